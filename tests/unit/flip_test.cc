// What a flip waits for, and what it changes, on the clusters themselves.
#include <gtest/gtest.h>

#include "protocol/messages.h"
#include "tests/unit/controller_world.h"

namespace crossover::proxy {
namespace {

using namespace protocol;

constexpr Cluster source = Cluster::source, target = Cluster::target;

struct FlipOfOrders : testing::Test {
  void start(const std::string& cleanup) {
    for (const Cluster c : both_clusters) world.cluster(c).create_topic("orders", 1, {{"cleanup.policy", cleanup}});
    world.start("p1");
    world.run(3'000);
  }
  // Asks the id's coordinator on the cluster itself, past the proxy.
  template <class Answer, class Question>
  std::optional<Answer> at_coordinator(const Question& question, Version version) {
    sim::ClusterClient& client = world.clients[index_of(asked)];
    return client.ask<Answer>(client.to(client.cluster.transaction_coordinator(id)), question, version);
  }
  InitProducerIdResponse initialise_id(const std::string& other) {
    id = other;
    return initialise();
  }
  InitProducerIdResponse initialise() {
    InitProducerIdRequest init;
    init.transactional_id = id;
    init.transaction_timeout_ms = 60'000;
    return at_coordinator<InitProducerIdResponse>(init, 4).value();
  }
  void add_orders(const InitProducerIdResponse& owner) {
    AddPartitionsToTxnRequest add;
    add.v3_and_below_transactional_id = id;
    add.v3_and_below_producer_id = owner.producer_id;
    add.v3_and_below_producer_epoch = owner.producer_epoch;
    add.v3_and_below_topics.push_back({"orders", {0}});
    ASSERT_TRUE(at_coordinator<AddPartitionsToTxnResponse>(add, 3));
  }
  // Requests to the target, by what was asked of whom; `refuse` gives errors in the place of its answers.
  using Refuse = std::function<std::int16_t(const std::string& id)>;
  void count_initialisations(Refuse refuse) {
    world.instead = [this, refuse](Cluster c, NodeId, ApiKey api, Version version,
                                   BytesView body) -> std::optional<Bytes> {
      if (c != target) return std::nullopt;
      if (api == ApiKey::FindCoordinator) ++found[decode<FindCoordinatorRequest>(body, version)->key];
      if (api != ApiKey::InitProducerId) return std::nullopt;
      const std::string id = *decode<InitProducerIdRequest>(body, version)->transactional_id;
      ++initialised[id];
      const std::int16_t error = refuse(id);
      return error == 0 ? std::nullopt : std::optional(encode(InitProducerIdResponse{.error_code = error}, version));
    };
  }
  static bool each_once(const std::map<std::string, int>& asked) {
    return std::all_of(asked.begin(), asked.end(), [](const auto& entry) { return entry.second == 1; });
  }

  Cluster asked = source;
  std::string id = "shop";
  ControllerWorld world;
  std::map<std::string, int> found, initialised;
};

// What only the leader has may be lost with it, and so would a boundary behind it.
TEST_F(FlipOfOrders, WaitsForReplicasToReachTheBoundary) {
  start("delete");
  world.cluster(source).set_high_watermark_lag("orders", 0, 1);
  const Bytes batch = build_batch({{.value = "v"}});
  ASSERT_EQ(world.cluster(source).append_as_stranger("orders", 0, batch), ErrorCode::NONE);
  const auto report = world.begin_flip(target);
  world.run(1'000);
  EXPECT_FALSE(*report);
  world.cluster(source).set_high_watermark_lag("orders", 0, 0);
  world.run(1'000);
  ASSERT_TRUE(*report);
  EXPECT_EQ((*report)->result, "done");
}

// What is read there by way of one worker could be committed by way of another that takes it for the old home's.
TEST_F(FlipOfOrders, OpensTheNewHomeWhenEveryWorkerKnowsOfIt) {
  start("delete");
  world.on_step = [this](std::string_view step) { world.worker_hangs |= step == "record_after"; };
  const auto report = world.begin_flip(target);
  world.run(1'000);
  EXPECT_EQ(world.fold(source).state().route_of("orders").home, target);
  EXPECT_EQ(world.fold(target).state().route_of("orders").home, source);
  world.on_step = nullptr;
  world.worker_hangs = false;
  world.report();
  world.run(1'000);
  ASSERT_TRUE(*report);
  EXPECT_EQ((*report)->result, "done");
  EXPECT_EQ(world.fold(target).state().route_of("orders").home, target);
}

// Else a key that was deleted on the open segment could rise again from a closed one.
TEST_F(FlipOfOrders, CompactedTopicsKeepTheirTombstonesOnBothClusters) {
  std::set<Cluster> raised;
  world.instead = [&raised](Cluster c, NodeId, ApiKey api, Version version, BytesView body) -> std::optional<Bytes> {
    if (api != ApiKey::IncrementalAlterConfigs) return std::nullopt;
    const auto change = decode<IncrementalAlterConfigsRequest>(body, version);
    if (change && change->resources.at(0).configs.at(0).name == "delete.retention.ms") raised.insert(c);
    return std::nullopt;
  };
  start("compact");
  EXPECT_EQ(world.flip(target)->result, "done");
  EXPECT_EQ(raised, (std::set<Cluster>{source, target}));
}

// A client whose answer to EndTxn was lost may ask again only then.
TEST_F(FlipOfOrders, HowATransactionEndedOutlivesTwoMoves) {
  start("delete");
  const InitProducerIdResponse owner = initialise();
  add_orders(owner);
  const EndTxnRequest end{"shop", owner.producer_id, owner.producer_epoch, true};
  ASSERT_EQ(at_coordinator<EndTxnResponse>(end, 3)->error_code, 0);
  for (const Cluster to : {target, source}) {
    ASSERT_EQ(world.flip(to)->result, "done");
    const TransactionalBinding* binding = world.controller->snapshot()->bindings->find("shop");
    ASSERT_TRUE(binding);
    EXPECT_EQ(binding->ended, LastEnd::committed);
  }
}

// A coordinator that moves is in no broker's list: what its ids have written would be unknown at the boundary.
TEST_F(FlipOfOrders, AnIdThatNoBrokerListsMovesAllTheSame) {
  start("delete");
  initialise();
  ASSERT_EQ(world.flip(target)->result, "done");
  ASSERT_EQ(world.flip(source)->result, "done");
  world.instead = [](Cluster c, NodeId, ApiKey api, Version version, BytesView) -> std::optional<Bytes> {
    if (c != source || api != ApiKey::ListTransactions) return std::nullopt;
    return encode(ListTransactionsResponse{}, version);
  };
  ASSERT_EQ(world.flip(target)->result, "done");
  EXPECT_EQ(world.controller->snapshot()->bindings->home_of("shop"), target);
}

// Nothing is known of an id then, so nothing can be moved, nor be aborted.
TEST_F(FlipOfOrders, AnIdDescribedUnderAnotherNameIsNotDescribed) {
  start("delete");
  initialise();
  ASSERT_EQ(world.flip(target)->result, "done");
  ASSERT_EQ(world.flip(source)->result, "done");
  world.instead = [](Cluster c, NodeId, ApiKey api, Version version, BytesView) -> std::optional<Bytes> {
    if (c != source) return std::nullopt;
    if (api == ApiKey::ListTransactions) return encode(ListTransactionsResponse{}, version);
    if (api != ApiKey::DescribeTransactions) return std::nullopt;
    DescribeTransactionsResponse other;
    other.transaction_states.push_back({.transactional_id = "another", .transaction_state = "Ongoing"});
    return encode(other, version);
  };
  world.begin_flip(target);
  world.run(15'000);
  EXPECT_EQ(world.said("flip_abandoned", "error"),
            "not every coordinator of the source cluster described its transactions. The route was not flipped");
  std::optional<AbortReport> aborted;
  world.controller->abort_transaction(
      "shop", [&aborted](const AbortReport& report) { aborted = report; }, world.now);
  world.run(5'000);
  ASSERT_TRUE(aborted);
  EXPECT_EQ(aborted->error, "its coordinator on the source cluster did not describe it");
}

// Else thousands of them would never be done in time.
TEST_F(FlipOfOrders, EachIdThatMovesIsAskedForOnce) {
  constexpr int ids = 5'000;
  world.options.transactions_ms = 60'000;  // here all questions together take the sum of their times
  start("delete");
  for (int i = 0; i < ids; ++i) initialise_id("shop-" + std::to_string(i));
  count_initialisations([](const std::string&) { return std::int16_t{0}; });
  ASSERT_EQ(world.flip(target)->result, "done");
  EXPECT_EQ(found.size(), static_cast<std::size_t>(ids));
  EXPECT_TRUE(each_once(found));
  EXPECT_EQ(initialised.size(), static_cast<std::size_t>(ids));
  EXPECT_TRUE(each_once(initialised));
}

TEST_F(FlipOfOrders, OnlyWhoseCoordinatorMovedIsLookedForAgain) {
  start("delete");
  for (int i = 0; i < 100; ++i) initialise_id("shop-" + std::to_string(i));
  count_initialisations([this](const std::string& id) {
    if (initialised[id] > 1) return std::int16_t{0};
    if (id == "shop-7") return static_cast<std::int16_t>(ErrorCode::NOT_COORDINATOR);
    return static_cast<std::int16_t>(id == "shop-8" ? ErrorCode::COORDINATOR_LOAD_IN_PROGRESS : ErrorCode::NONE);
  });
  ASSERT_EQ(world.flip(target)->result, "done");
  EXPECT_EQ(std::exchange(found["shop-7"], 1), 2);
  EXPECT_EQ(std::exchange(initialised["shop-7"], 1), 2);
  EXPECT_EQ(std::exchange(initialised["shop-8"], 1), 2);
  EXPECT_TRUE(each_once(found));
  EXPECT_TRUE(each_once(initialised));
}

// One that was given up may be carried out behind the one whose answer counted, and would fence the owner.
TEST_F(FlipOfOrders, TheSameQuestionAgainChangesNoName) {
  start("delete");
  initialise();
  std::vector<InitProducerIdRequest> questions;
  world.instead = [&](Cluster, NodeId, ApiKey api, Version version, BytesView body) -> std::optional<Bytes> {
    if (api == ApiKey::InitProducerId) questions.push_back(*decode<InitProducerIdRequest>(body, version));
    return std::nullopt;
  };
  for (const Cluster to : {target, source, target}) {
    asked = to;
    ASSERT_EQ(world.flip(to)->result, "done");
    ASSERT_FALSE(questions.empty());
    for (const InitProducerIdRequest& question : std::exchange(questions, {}))
      at_coordinator<InitProducerIdResponse>(question, 4);
    const auto known = at_coordinator<DescribeTransactionsResponse>(DescribeTransactionsRequest{{"shop"}}, 0);
    const auto& row = known.value().transaction_states.at(0);
    const ProducerName there{row.producer_id, row.producer_epoch};
    EXPECT_EQ(world.controller->snapshot()->bindings->find("shop")->real, there) << "on the " << to_string(to);
  }
}

// As long as a flip waits for transactions to end.
TEST_F(FlipOfOrders, TheNewHomeMayTakeTheBrakesTimeToTakeIdsOver) {
  start("delete");
  initialise();
  const Millis began = world.now;
  Millis busy_for = 8'000;
  count_initialisations([&](const std::string&) {
    const bool busy = world.now < began + busy_for;
    return static_cast<std::int16_t>(busy ? ErrorCode::COORDINATOR_LOAD_IN_PROGRESS : ErrorCode::NONE);
  });
  const auto report = world.begin_flip(target);
  world.run(9'000);
  ASSERT_TRUE(*report);
  EXPECT_EQ((*report)->result, "done");
  busy_for = 60'000;
  const auto refused = world.begin_flip(source);
  world.run(9'000);
  ASSERT_TRUE(*refused);
  EXPECT_EQ((*refused)->result, "done") << "only the target is busy";
  const auto late = world.begin_flip(target);
  world.run(12'000);
  ASSERT_TRUE(*late);
  EXPECT_EQ((*late)->error, "the target cluster did not take over shop in time. The route was not flipped");
}

// One of a loop that reads and writes topics of its own route alone, open for as long as it likes.
TEST_F(FlipOfOrders, ATransactionOfAnotherRouteIsNotWaitedFor) {
  world.cluster(source).create_topic("payments", 1);
  world.cluster(target).create_topic("payments", 1);
  start("delete");
  world.controller->define_route(
      {"second", {"payments"}}, [](const std::string& error) { EXPECT_EQ(error, ""); }, world.now);
  world.run(1'000);
  const InitProducerIdResponse owner = initialise();
  const AddOffsetsToTxnRequest offsets{"shop", owner.producer_id, owner.producer_epoch, "readers"};
  ASSERT_EQ(at_coordinator<AddOffsetsToTxnResponse>(offsets, 3)->error_code, 0);
  const auto with_offsets_alone = world.flip(target, FlipWishes{}, "second");
  ASSERT_TRUE(!with_offsets_alone || with_offsets_alone->result == "failed") << "it may yet write to payments";
  world.run(10'000);
  add_orders(owner);
  EXPECT_EQ(world.flip(target, FlipWishes{}, "second").value().result, "done");
}

// A transaction of a native client of the new home, or a late write of an earlier stay there: who reads committed
// records alone would be shown nothing behind it.
struct OpenOnTheNewHome : FlipOfOrders {
  OpenOnTheNewHome() {
    asked = target;
    id = "native";
  }
  void begin() {
    constexpr std::int16_t transactional = 0x10;
    owner = initialise();
    add_orders(owner);
    const Bytes batch = build_batch({{.value = "v"}}, owner.producer_id, owner.producer_epoch, 0, transactional);
    ASSERT_EQ(world.cluster(target).append_as_stranger("orders", 0, batch), ErrorCode::NONE);
  }
  void begin_under_the_fence() {
    world.on_step = [this](std::string_view step) {
      if (step == "fence") begin();
    };
  }
  void end() {
    const EndTxnRequest abort{id, owner.producer_id, owner.producer_epoch, false};
    ASSERT_EQ(at_coordinator<EndTxnResponse>(abort, 3)->error_code, 0);
  }
  bool names_it(const std::string& text) const {
    const std::string who = "orders-0 (producer " + std::to_string(owner.producer_id) + ", epoch " +
                            std::to_string(owner.producer_epoch) + ", from offset 0)";
    return text.find(who) != std::string::npos &&
           text.find("abort --topic orders --partition 0 --start-offset 0") != std::string::npos;
  }
  InitProducerIdResponse owner;
};

TEST_F(OpenOnTheNewHome, IsToldBeforeAnybodyIsHeld) {
  start("delete");
  begin();
  world.on_step = [](std::string_view step) { EXPECT_NE(step, "fence"); };
  for (const bool dry_run : {true, false}) {
    const auto report = world.flip(target, dry_run);
    ASSERT_TRUE(report);
    EXPECT_EQ(report->result, dry_run ? "dry_run" : "failed");
    const Gate& gate = gate_named(*report, "new_home_transactions");
    EXPECT_FALSE(gate.ok);
    EXPECT_TRUE(names_it(gate.detail)) << gate.detail;
  }
  world.on_step = nullptr;
  end();
  EXPECT_EQ(world.flip(target)->result, "done");
}

// An id that the flip itself has moved may have its markers under way. The one that follows it at once lies below the
// new segment as well, marker and all.
TEST_F(OpenOnTheNewHome, IsAwaitedUnderTheFence) {
  start("delete");
  begin_under_the_fence();
  const auto report = world.begin_flip(target);
  world.run(1'000);
  ASSERT_FALSE(*report);
  end();
  begin();
  world.run(1'000);
  ASSERT_FALSE(*report);
  end();
  world.run(1'000);
  ASSERT_TRUE(*report);
  ASSERT_EQ((*report)->result, "done") << (*report)->error;
  EXPECT_EQ((*report)->partitions.at(0).opened_start, 4) << "two records and two markers";
}

// One that the route's own transactional id left open there in an earlier stay is aborted by the flip itself.
TEST_F(OpenOnTheNewHome, IsNoHindranceWhereTheFlipTakesItsIdOver) {
  id = "shop";
  asked = source;
  start("delete");
  initialise();
  ASSERT_EQ(world.flip(target)->result, "done");
  ASSERT_EQ(world.flip(source)->result, "done");
  asked = target;
  begin();
  const auto report = world.flip(target);
  ASSERT_TRUE(report);
  EXPECT_TRUE(gate_named(*report, "new_home_transactions").ok);
  EXPECT_EQ(report->result, "done") << report->error;
}

// So a leader answers that was elected just now.
TEST_F(OpenOnTheNewHome, WhatIsStableMayNotBeKnownYet) {
  start("delete");
  const Millis known = world.now + 2'000;
  world.instead = [&](Cluster c, NodeId, ApiKey api, Version version, BytesView body) -> std::optional<Bytes> {
    if (c != target || api != ApiKey::ListOffsets || world.now >= known) return std::nullopt;
    if (decode<ListOffsetsRequest>(body, version)->isolation_level == 0) return std::nullopt;
    ListOffsetsResponse unknown;
    auto& row = unknown.topics.emplace_back(ListOffsetsResponse::ListOffsetsTopicResponse{"orders", {}})
                    .partitions.emplace_back();
    row.error_code = static_cast<std::int16_t>(ErrorCode::OFFSET_NOT_AVAILABLE);
    return encode(unknown, version);
  };
  const auto report = world.begin_flip(target);
  world.run(4'000);
  ASSERT_TRUE(*report);
  EXPECT_EQ((*report)->result, "done") << (*report)->error;
  EXPECT_GE(world.now, known);
}

TEST_F(OpenOnTheNewHome, WhoOnlyLooksIsInNobodysWay) {
  start("delete");
  begin();
  const auto looks = world.begin_flip(target, true);
  const auto report = world.begin_flip(target);
  ASSERT_FALSE(*looks || *report);
  end();
  world.run(5'000);
  ASSERT_TRUE(*looks && *report);
  EXPECT_EQ((*looks)->result, "dry_run");
  EXPECT_EQ((*report)->result, "done") << (*report)->error;
}

TEST_F(OpenOnTheNewHome, AbandonsTheFlipWhereItDoesNotEnd) {
  start("delete");
  begin_under_the_fence();
  const auto report = world.flip(target);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->result, "failed");
  EXPECT_TRUE(names_it(report->error)) << report->error;
  EXPECT_EQ(world.controller->routes().at(0).view.home, source);
  EXPECT_EQ(world.controller->routes().at(0).view.phase, RoutePhase::open);
}

}  // namespace
}  // namespace crossover::proxy
