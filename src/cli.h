// The command line: `crossover run`, and the client of the admin endpoint.
#pragma once

namespace crossover::src {

// 0: success, 1: failure, 2: wrong usage.
int run_command(int argc, char** argv);

}  // namespace crossover::src
