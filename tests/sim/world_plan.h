// What a seed is about.
#pragma once

#include "tests/sim/clients.h"

namespace crossover::sim {

// Some runs are calm, so that a failure there points at the flips themselves.
struct Plan {
  Plan(Random& random, bool with_transactions) {
    partitions = static_cast<int>(random.between(1, 3));
    topics = static_cast<int>(random.between(1, 2));
    duration = random.between(2'000, 5'000) * one_ms;
    flip_pause = random.between(100, 1'200) * one_ms;
    const bool calm = random.one_in(8);
    const auto chance = [&random, calm](int n) { return !calm && random.one_in(n); };
    fault_pause = chance(1) ? random.between(30, 600) * one_ms : 0;
    broker_stops = chance(2);
    leader_moves = chance(2);
    resets = chance(2);
    lags = chance(3);
    restarts = chance(3);
    deaths_in_flips = chance(3);
    control_outages = chance(4);
    lost_answers = chance(3);
    errors = chance(3);
    retention = chance(3);
    strangers = chance(4);
    outages = chance(5);
    compaction = chance(4);
    transactions = random.one_in(3) || with_transactions;
    cuts = chance(2);
    lost_tails = lags && !compaction && random.one_in(2);
    slow_workers = chance(4);
    hasty = random.one_in(3);
    two_routes = topics == 2 && random.one_in(2);
    protocol_2 = random.one_in(4);
  }
  int partitions, topics;
  Micros duration, flip_pause, fault_pause;
  bool broker_stops, leader_moves, resets, lags, restarts, deaths_in_flips, control_outages, lost_answers, errors,
      retention, strangers, outages, compaction, transactions, cuts, lost_tails, slow_workers, hasty, two_routes,
      protocol_2;
  bool calm() const { return fault_pause == 0; }
};

inline ClusterOptions cluster_options(Side side, std::uint64_t seed, const Plan& plan, Random& random) {
  ClusterOptions options;
  const bool source = side == Side::source;
  options.cluster_id = source ? "source-real-id" : "target-real-id";
  options.first_id = source ? 3'001 : 7'001;
  options.brokers = 3;
  for (int i = 0; i < options.brokers; ++i)
    options.addresses.emplace_back(source ? "source-host" : "target-host", (source ? 19'000 : 29'000) + i);
  options.seed = seed * 2 + (source ? 1 : 2);
  options.first_leader_epoch = source ? 10 : 5'000;
  options.first_producer_id = 0;
  constexpr KafkaRelease releases[] = {KafkaRelease::v2_8, KafkaRelease::v3_9, KafkaRelease::v4_4, KafkaRelease::v4_4};
  options.release = releases[random.below(4)];
  if (plan.protocol_2) options.release = KafkaRelease::v4_4;
  options.leaders_lose_tails = plan.lost_tails;
  if (!plan.transactions) return options;
  options.transaction_version = plan.protocol_2 ? 2 : static_cast<std::int16_t>(random.between(1, 2));
  options.transaction_marker_delay_ms = random.one_in(3) ? 0 : random.between(1, 60);
  options.coordinator_load_ms = random.one_in(2) ? 0 : random.between(1, 100);
  return options;
}

}  // namespace crossover::sim
