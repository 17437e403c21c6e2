// simulate --seeds FROM..TO     many runs, one line for each that fails
// simulate --seed N --verbose   one run, told step by step
//          --transactions       in every run
//          --direct             without a proxy: what the clients and checks make of a plain cluster
//
// Without arguments the seeds are 1..CROSSOVER_SIM_SEEDS (500).
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/sim/world.h"

namespace {

struct Arguments {
  std::uint64_t from = 1, to = 500;
  bool verbose = false, transactions = false, direct = false;
};

bool parse(int argc, char** argv, Arguments& args) {
  if (const char* seeds = std::getenv("CROSSOVER_SIM_SEEDS")) args.to = std::strtoull(seeds, nullptr, 10);
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    if (arg == "--verbose") {
      args.verbose = true;
    } else if (arg == "--transactions") {
      args.transactions = true;
    } else if (arg == "--direct") {
      args.direct = true;
    } else if (arg == "--seed" && i + 1 < argc) {
      args.from = args.to = std::strtoull(argv[++i], nullptr, 10);
    } else if (arg == "--seeds" && i + 1 < argc) {
      const char* dots = std::strstr(argv[++i], "..");
      if (!dots) return false;
      args.from = std::strtoull(argv[i], nullptr, 10);
      args.to = std::strtoull(dots + 2, nullptr, 10);
    } else {
      return false;
    }
  }
  return args.from <= args.to;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments args;
  if (!parse(argc, argv, args)) {
    std::fprintf(stderr, "usage: simulate [--seeds FROM..TO | --seed N] [--verbose] [--transactions] [--direct]\n");
    return 2;
  }
  std::uint64_t failed = 0, steps = 0, acknowledged = 0, incremental = 0, committed = 0, aborted = 0;
  int flips = 0, refused = 0, proxies = 0;
  const auto began = std::chrono::steady_clock::now();
  for (std::uint64_t seed = args.from; seed <= args.to; ++seed) {
    const auto verdict = crossover::sim::simulate(seed, {args.verbose, args.transactions, args.direct});
    steps += verdict.steps;
    acknowledged += verdict.acknowledged;
    incremental += verdict.incremental_fetches;
    committed += verdict.committed;
    aborted += verdict.aborted;
    flips += verdict.flips_done;
    refused += verdict.flips_failed;
    proxies += verdict.proxies;
    if (verdict.violations.empty()) continue;
    ++failed;
    std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), verdict.violations.front().c_str());
    for (std::size_t i = 1; args.verbose && i < verdict.violations.size(); ++i)
      std::printf("  %s\n", verdict.violations[i].c_str());
    std::fflush(stdout);
  }
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const auto seeds = static_cast<double>(args.to - args.from + 1);
  std::printf(
      "%.0f seeds, %llu failed; %llu events, %llu records acknowledged, %llu incremental fetches, %llu transactions "
      "committed, %llu aborted, %d flips done, %d failed, %d proxies; %.1f ms per seed\n",
      seeds, static_cast<unsigned long long>(failed), static_cast<unsigned long long>(steps),
      static_cast<unsigned long long>(acknowledged), static_cast<unsigned long long>(incremental),
      static_cast<unsigned long long>(committed), static_cast<unsigned long long>(aborted), flips, refused, proxies,
      took * 1e3 / seeds);
  return failed == 0 ? 0 : 1;
}
