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
  std::uint64_t committed = 0, aborted = 0;  // transactions whose end was told
  int flips_done = 0, flips_failed = 0, proxies = 0;
};

struct WorldOptions {
  bool verbose = false;       // tells on standard output what happens
  bool transactions = false;  // in every run; else in some
  bool direct = false;  // no proxy: clients talk to the source's brokers, which shows what a plain cluster would do
};
Verdict simulate(std::uint64_t seed, WorldOptions options);

}  // namespace crossover::sim
