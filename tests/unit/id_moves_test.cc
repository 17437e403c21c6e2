// A transactional id that moves by itself: what is waited for, and what of its client's sequences goes with it.
#include <gtest/gtest.h>

#include "protocol/messages.h"
#include "tests/unit/controller_world.h"

namespace crossover::proxy {
namespace {

using namespace protocol;

constexpr Cluster source = Cluster::source, target = Cluster::target;

// As its client does, at whichever broker coordinates it.
ProducerName initialise(ControllerWorld& world, const std::string& id) {
  constexpr Version version = 4;
  InitProducerIdRequest request;
  request.transactional_id = id;
  request.transaction_timeout_ms = 60'000;
  const Bytes body = encode(request, version);
  for (const NodeId node : world.cluster(source).brokers()) {
    const auto bytes = world.clients[0].ask_raw(node, ApiKey::InitProducerId, version, body);
    const auto answer = decode<InitProducerIdResponse>(bytes.value(), version);
    if (answer && answer->error_code == 0) return {answer->producer_id, answer->producer_epoch};
  }
  ADD_FAILURE() << "no coordinator";
  return {};
}

// "shop" is known on the source, where it has written six records to orders-0.
struct IdMoves : testing::Test {
  void SetUp() override {
    for (const Cluster c : both_clusters) world.cluster(c).create_topic("orders", 1);
    real = initialise(world, "shop");
    world.instead = [this](Cluster c, NodeId, ApiKey api, Version version, BytesView) -> std::optional<Bytes> {
      if (c == source && api == ApiKey::DescribeTransactions) ++asked;
      if (c != source || api != ApiKey::DescribeProducers) return std::nullopt;
      if (mute) return encode(DescribeProducersResponse{}, version);
      DescribeProducersResponse answer;
      auto& row = answer.topics.emplace_back().partitions.emplace_back();
      answer.topics[0].name = "orders";
      row.active_producers.push_back({.producer_id = real.id, .producer_epoch = real.epoch, .last_sequence = last});
      row.active_producers[0].current_txn_start_offset = -1;
      return encode(answer, version);
    };
    world.start("p1");
    world.run(3'000);
  }
  void want(Cluster to) {
    world.controller->on_want_binding({Bound::transactional_id, "shop", to}, world.now);
    world.run(500);
  }
  TransactionalBinding binding() {
    const TransactionalBinding* found = world.controller->snapshot()->bindings->find("shop");
    return found ? *found : TransactionalBinding{};
  }

  ControllerWorld world;
  ProducerName real;
  std::int32_t last = 5;
  int asked = 0;
  bool mute = false;  // no leader describes its producers
};

TEST_F(IdMoves, WaitForWhatIsInFlight) {
  world.ids_in_flight.insert("shop");
  want(target);
  EXPECT_EQ(asked, 0) << "what is under way may yet begin a transaction";
  EXPECT_EQ(world.controller->snapshot()->held_ids.at("shop"), RoutePhase::fenced);
  world.ids_in_flight.clear();
  world.report();
  world.run(500);
  EXPECT_EQ(binding().home, target);
  EXPECT_TRUE(world.controller->snapshot()->held_ids.empty());
}

// The source cannot be asked, just after a start say. Who has a name already would be fenced by an id begun anew.
TEST_F(IdMoves, OfAnIdInUseWaitForTheClusterThatKnowsIt) {
  ASSERT_EQ(world.flip(target)->result, "done");
  ASSERT_EQ(binding().home, target);
  world.instead = [](Cluster c, NodeId, ApiKey, Version, BytesView) {
    return c == source ? std::optional(Bytes()) : std::nullopt;  // it says nothing
  };
  world.run(10'000);
  world.controller->on_want_binding({Bound::transactional_id, "left-behind", target}, world.now);
  world.run(1'000);
  EXPECT_FALSE(world.controller->snapshot()->bindings->find("left-behind"));
  world.controller->on_want_binding({Bound::transactional_id, "new", target, true}, world.now);
  world.run(5'000);
  EXPECT_TRUE(world.controller->snapshot()->bindings->find("new")) << "what is new must be able to begin";
}

// The process ended between the two records, or the second log could not be written.
TEST_F(IdMoves, AreRepeatedInALogThatDoesNotKnowOfThem) {
  const std::size_t before = world.control[index_of(target)].size();
  want(target);
  ASSERT_EQ(binding().home, target);
  world.control[index_of(target)].resize(before);
  world.start("p2");
  world.run(10'000);
  const ControlLog log = world.fold(target);
  const TransactionalBinding* known = log.state().bindings.find("shop");
  ASSERT_TRUE(known) << "whoever finds that log alone would initialise the id once more, and fence its client";
  EXPECT_EQ(known->home, target);
  EXPECT_EQ(known->alias, binding().alias);
}

TEST_F(IdMoves, GiveUpWhenThatTakesTooLong) {
  world.ids_in_flight.insert("shop");
  want(target);
  world.run(5'000);
  EXPECT_EQ(world.controller->snapshot()->bindings->home_of("shop"), source);
  EXPECT_TRUE(world.controller->snapshot()->held_ids.empty());
  EXPECT_TRUE(world.logged("transactional_ids_not_moved"));
}

TEST_F(IdMoves, KeepTheSequencesOfPartitionsThatStay) {
  want(target);
  EXPECT_EQ(binding().alias, real) << "as its client knows it";
  ASSERT_EQ(binding().sequences.size(), 1u);
  EXPECT_EQ(binding().sequences.at({"orders", 0}), 5);

  // Another process finds it on record; back home, its client goes on from there.
  world.start("p2");
  EXPECT_EQ(binding().sequences.at({"orders", 0}), 5);
  world.run(3'000);
  want(source);
  ASSERT_EQ(binding().home, source);
  EXPECT_EQ(binding().sequences.at({"orders", 0}), 5);
  real = binding().real;
  last = 2;  // three more, which the leader counts from 0
  want(target);
  ASSERT_EQ(binding().home, target);
  EXPECT_EQ(binding().sequences.at({"orders", 0}), 8);
}

TEST_F(IdMoves, StayWhileALeaderDoesNotDescribeItsProducers) {
  mute = true;
  want(target);
  EXPECT_EQ(world.controller->snapshot()->bindings->home_of("shop"), source);
  mute = false;
  want(target);
  EXPECT_EQ(binding().home, target);
}

// The first of all, between the look that found none and the fence.
TEST(IdsOfAFlip, AreThoseThatAreThereUnderTheFence) {
  ControllerWorld world;
  for (const Cluster c : both_clusters) world.cluster(c).create_topic("orders", 1);
  world.start("p1");
  world.run(3'000);
  ProducerName name;
  world.on_step = [&world, &name](std::string_view step) {
    if (step == "fence" && name.id < 0) name = initialise(world, "late");
  };
  ASSERT_EQ(world.flip(target)->result, "done");
  const TransactionalBinding* binding = world.controller->snapshot()->bindings->find("late");
  ASSERT_TRUE(binding);
  EXPECT_EQ(binding->home, target);
  EXPECT_EQ(binding->alias, name);
}

}  // namespace
}  // namespace crossover::proxy
