// One simulated run: two clusters, proxies that come and go, clients, an operator, and faults, all out of one seed.
#pragma once

#include <string>
#include <vector>

#include "tests/sim/clients.h"

namespace crossover::sim {

struct Verdict {
  std::vector<std::string> violations;
  std::uint64_t steps = 0;
  std::uint64_t acknowledged = 0, incremental_fetches = 0;
  int flips_done = 0, flips_failed = 0, proxies = 0;
};

// `verbose`: tells on standard output what happens.
Verdict simulate(std::uint64_t seed, bool verbose);

}  // namespace crossover::sim
