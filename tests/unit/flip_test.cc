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
  // Asks the coordinator of "shop" on the source itself, past the proxy.
  template <class Answer, class Question>
  std::optional<Answer> at_coordinator(const Question& question, Version version) {
    sim::ClusterClient& client = world.clients[index_of(source)];
    return client.ask<Answer>(client.to(client.cluster.transaction_coordinator("shop")), question, version);
  }
  InitProducerIdResponse initialise_shop() {
    InitProducerIdRequest init;
    init.transactional_id = "shop";
    init.transaction_timeout_ms = 60'000;
    return at_coordinator<InitProducerIdResponse>(init, 4).value();
  }
  void add_orders(const InitProducerIdResponse& owner) {
    AddPartitionsToTxnRequest add;
    add.v3_and_below_transactional_id = "shop";
    add.v3_and_below_producer_id = owner.producer_id;
    add.v3_and_below_producer_epoch = owner.producer_epoch;
    add.v3_and_below_topics.push_back({"orders", {0}});
    ASSERT_TRUE(at_coordinator<AddPartitionsToTxnResponse>(add, 3));
  }
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
  const InitProducerIdResponse owner = initialise_shop();
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
  initialise_shop();
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
  initialise_shop();
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
            "not every coordinator of the source cluster described its transactions");
  std::optional<AbortReport> aborted;
  world.controller->abort_transaction(
      "shop", [&aborted](const AbortReport& report) { aborted = report; }, world.now);
  world.run(5'000);
  ASSERT_TRUE(aborted);
  EXPECT_EQ(aborted->error, "its coordinator on the source cluster did not describe it");
}

// One of a loop that reads and writes topics of its own route alone, open for as long as it likes.
TEST_F(FlipOfOrders, ATransactionOfAnotherRouteIsNotWaitedFor) {
  world.cluster(source).create_topic("payments", 1);
  world.cluster(target).create_topic("payments", 1);
  start("delete");
  world.controller->define_route(
      {"second", {"payments"}}, [](const std::string& error) { EXPECT_EQ(error, ""); }, world.now);
  world.run(1'000);
  const InitProducerIdResponse owner = initialise_shop();
  const AddOffsetsToTxnRequest offsets{"shop", owner.producer_id, owner.producer_epoch, "readers"};
  ASSERT_EQ(at_coordinator<AddOffsetsToTxnResponse>(offsets, 3)->error_code, 0);
  const auto with_offsets_alone = world.flip(target, FlipWishes{}, "second");
  ASSERT_TRUE(!with_offsets_alone || with_offsets_alone->result == "failed") << "it may yet write to payments";
  world.run(10'000);
  add_orders(owner);
  EXPECT_EQ(world.flip(target, FlipWishes{}, "second").value().result, "done");
}

}  // namespace
}  // namespace crossover::proxy
