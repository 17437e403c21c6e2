// The commands that ask a running proxy's admin endpoint.
#pragma once

#include "src/cli_options.h"

namespace crossover::src {

int run_admin_command(const CliCall& call);  // the process's exit code

}  // namespace crossover::src
