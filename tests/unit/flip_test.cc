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
  Cluster asked = source;
  std::string id = "shop";
  ControllerWorld world;
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

// An id that the flip itself has moved may have its markers under way.
TEST_F(OpenOnTheNewHome, IsAwaitedUnderTheFence) {
  start("delete");
  world.on_step = [this](std::string_view step) {
    if (step == "fence") begin();
  };
  const auto report = world.begin_flip(target);
  world.run(1'000);
  ASSERT_FALSE(*report);
  end();
  world.run(1'000);
  ASSERT_TRUE(*report);
  EXPECT_EQ((*report)->result, "done") << (*report)->error;
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
  world.on_step = [this](std::string_view step) {
    if (step == "fence") begin();
  };
  const auto report = world.flip(target);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->result, "failed");
  EXPECT_TRUE(names_it(report->error)) << report->error;
  EXPECT_EQ(world.controller->routes().at(0).view.home, source);
  EXPECT_EQ(world.controller->routes().at(0).view.phase, RoutePhase::open);
}

}  // namespace
}  // namespace crossover::proxy
