// Ends of transactions, and commits inside them, as scripts: a client, brokers and flips.
#include "proxy/producer_id.h"
#include "tests/unit/handler_script.h"

namespace crossover::test {
namespace {

using namespace protocol;
using proxy::RoutePhase;

// "shop" was initialised on the source as 4000, epoch 5; moved to the target, where it became 9, epoch 2. Group
// "readers" has its members on the source, its offsets on the target.
struct TransactionsScript : HandlerScript {
  static constexpr Version end_version = 3, commit_version = 3;

  std::shared_ptr<proxy::Snapshot> moved(RoutePhase phase, std::uint64_t revision) {
    auto snapshot = world(on_target(), on_target());
    auto bindings = std::make_shared<proxy::Bindings>();
    bindings->ids["shop"] = {target, 1, {4000, 5}, {9, 2}, proxy::LastEnd::none};
    bindings->groups["readers"] = {target, 1};
    snapshot->bindings = bindings;
    snapshot->routes[0].phase = phase;
    snapshot->revision = revision;
    return snapshot;
  }
  void end_transaction() {
    EndTxnRequest request{"shop", 4000, 5, false};
    ask(ApiKey::EndTxn, end_version, request);
  }
  Reached at_coordinator(Cluster cluster) {
    Reached reached = at_broker(cluster).value();
    if (reached.header.api != ApiKey::FindCoordinator) return reached;
    answer(reached, FindCoordinatorResponse{.node_id = real_node(cluster, 0)});
    return at_broker(cluster).value();
  }
  // Commits offsets of "readers" on the target under a member's name, and gives the question to its coordinator, on the
  // source, that follows.
  Reached commit_as_member(std::int32_t generation) {
    TxnOffsetCommitRequest request;
    request.transactional_id = "shop";
    request.group_id = "readers";
    request.producer_id = 4000;
    request.producer_epoch = 5;
    request.generation_id_or_member_epoch = generation;
    request.member_id = "m1";
    request.topics.push_back({.name = "orders", .partitions = {{.partition_index = 0, .committed_offset = 3}}});
    ask(ApiKey::TxnOffsetCommit, commit_version, request);
    const Reached commit = at_coordinator(target);
    EXPECT_EQ(commit.header.api, ApiKey::TxnOffsetCommit);
    EXPECT_EQ(commit.as<TxnOffsetCommitRequest>().member_id, "");
    TxnOffsetCommitResponse done;
    done.topics.push_back({.name = "orders", .partitions = {{.partition_index = 0}}});
    answer(commit, done);
    const Reached beat = at_coordinator(source);
    EXPECT_EQ(beat.header.api, ApiKey::Heartbeat);
    return beat;
  }
  std::int64_t in_flight() const {
    std::int64_t sum = 0;
    for (const auto& [route, load] : worker.routes) sum += load.writes_in_flight;
    return sum;
  }
};

// Its coordinator answers under that name, so a flip would not find another one there.
TEST_F(TransactionsScript, AnIdThatIsNoTextIsRememberedAsItsBrokerKnowsIt) {
  begin(moved(RoutePhase::open, 1));
  const EndTxnRequest request{"caf\xe9", 4000, 5, false};
  ask(ApiKey::EndTxn, end_version, request);
  EXPECT_EQ(at_coordinator(source).as<EndTxnRequest>().transactional_id, "caf\xef\xbf\xbd");
  EXPECT_TRUE(worker.couplings.find("caf\xef\xbf\xbd"));
  EXPECT_EQ(worker.couplings.ids().size(), 1u);
  EXPECT_EQ(worker.transactional_ids.count("caf\xef\xbf\xbd"), 1u);
  EXPECT_EQ(worker.transactional_ids.size(), 1u);
}

// It may raise the epoch, and the flip has read the epochs already.
TEST_F(TransactionsScript, AnEndWaitsForAFence) {
  begin(moved(RoutePhase::fenced, 1));
  end_transaction();
  EXPECT_FALSE(at_broker(target));
  EXPECT_FALSE(at_broker(source));
  session->on_snapshot(moved(RoutePhase::open, 2), now);
  const Reached sent = at_coordinator(target);
  EXPECT_EQ(sent.as<EndTxnRequest>().producer_id, 9);
  EXPECT_EQ(sent.as<EndTxnRequest>().producer_epoch, 2);
  EXPECT_GT(in_flight(), 0) << "a fence that comes now waits for its outcome";
  answer(sent, EndTxnResponse{});
  EXPECT_EQ(next_answer<EndTxnResponse>(ApiKey::EndTxn, end_version).value().error_code, 0);
  EXPECT_EQ(in_flight(), 0);
}

TEST_F(TransactionsScript, AnEndPassesABrake) {
  begin(moved(RoutePhase::braking, 1));
  end_transaction();
  EXPECT_EQ(at_coordinator(target).header.api, ApiKey::EndTxn) << "what is open must be able to end";
}

TEST_F(TransactionsScript, WhatWouldBeginOneWaitsForABrake) {
  begin(moved(RoutePhase::braking, 1));
  AddPartitionsToTxnRequest request;
  request.v3_and_below_transactional_id = "shop";
  request.v3_and_below_producer_id = 4000;
  request.v3_and_below_producer_epoch = 5;
  request.v3_and_below_topics.push_back({.name = "orders", .partitions = {0}});
  ask(ApiKey::AddPartitionsToTxn, 3, request);
  const Reached look = at_coordinator(target);
  ASSERT_EQ(look.header.api, ApiKey::DescribeTransactions);
  DescribeTransactionsResponse state;
  state.transaction_states.push_back({.transactional_id = "shop", .transaction_state = "CompleteCommit"});
  answer(look, state);
  EXPECT_FALSE(at_broker(target));
  session->on_snapshot(moved(RoutePhase::open, 2), now);
  EXPECT_EQ(at_coordinator(target).header.api, ApiKey::AddPartitionsToTxn);
}

// It had been on the target before, as 7; its transaction there was ended and renamed it, and the client did not hear
// of that before it moved away and back.
TEST_F(TransactionsScript, AnEndThatRenamedElsewhereIsKnownWhenItIsRepeated) {
  const auto snapshot = moved(RoutePhase::open, 1);
  auto bindings = std::make_shared<proxy::Bindings>(*snapshot->bindings);
  const ProducerId known_as = proxy::virtual_producer_id(target, 7);
  bindings->ids["shop"].before_end = {known_as, 3};
  bindings->ids["shop"].ended = proxy::LastEnd::committed;
  snapshot->bindings = bindings;
  begin(snapshot);
  constexpr Version renames = 5;
  ask(ApiKey::EndTxn, renames, EndTxnRequest{"shop", known_as, 3, true});
  const auto told = next_answer<EndTxnResponse>(ApiKey::EndTxn, renames).value();
  EXPECT_EQ(told.error_code, 0);
  EXPECT_EQ(told.producer_id, 4000);
  EXPECT_EQ(told.producer_epoch, 5);
  EXPECT_FALSE(at_broker(target)) << "its coordinator would fence that name";
}

// Its home may be another one when it goes on.
TEST_F(TransactionsScript, AllThatAnIdAsksWaitsWhileItMovesByItself) {
  const auto moving = moved(RoutePhase::open, 1);
  moving->held_ids["shop"] = RoutePhase::fenced;
  begin(moving);
  end_transaction();
  EXPECT_FALSE(at_broker(target));
  EXPECT_TRUE(worker.in_flight_of(moving->held_ids).empty()) << "or the move would wait for what waits for it";
  session->on_snapshot(moved(RoutePhase::open, 2), now);
  const Reached sent = at_coordinator(target);
  EXPECT_EQ(sent.header.api, ApiKey::EndTxn);
  EXPECT_TRUE(worker.in_flight_of(moving->held_ids).contains("shop"));
  answer(sent, EndTxnResponse{});
  EXPECT_TRUE(worker.ids_in_flight.empty());
}

TEST_F(TransactionsScript, AnEndPassesWhileAFlipHoldsItsIdForItsTransactionToEnd) {
  const auto braking = moved(RoutePhase::open, 1);
  braking->held_ids["shop"] = RoutePhase::braking;
  begin(braking);
  end_transaction();
  EXPECT_EQ(at_coordinator(target).header.api, ApiKey::EndTxn);
}

TEST_F(TransactionsScript, AnEndThatWaitedForTooLongIsTriedAgain) {
  begin(moved(RoutePhase::fenced, 1));
  end_transaction();
  pass(options.limits.hold_ms + 1);
  EXPECT_EQ(next_answer<EndTxnResponse>(ApiKey::EndTxn, end_version).value().error_code,
            number(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS));
}

TEST_F(TransactionsScript, NothingIsReadOfAGroupWhoseOffsetsMove) {
  const auto moving = moved(RoutePhase::open, 1);
  moving->moving_groups.insert("readers");
  begin(moving);
  OffsetFetchRequest request;
  request.group_id = "readers";
  request.topics.emplace().push_back({.name = "orders", .partition_indexes = {0}});
  ask(ApiKey::OffsetFetch, 7, request);
  EXPECT_FALSE(at_broker(source));
  EXPECT_FALSE(at_broker(target));
  session->on_snapshot(moved(RoutePhase::open, 2), now);
  EXPECT_EQ(at_coordinator(target).header.api, ApiKey::OffsetFetch);
}

// The client took the broker for the coordinator of its group: told to wait it would ask there for ever.
TEST_F(TransactionsScript, AClientWhoseGroupIsCoordinatedElsewhereIsToldSo) {
  const auto snapshot = moved(RoutePhase::open, 1);
  for (const auto& [id, broker] : snapshot->brokers) {
    if (broker.cluster == source && broker.real_id == real_node(source, 0)) options.virtual_broker = id;
  }
  begin(moved(RoutePhase::open, 1));
  const Reached beat = commit_as_member(1);
  answer(beat, HeartbeatResponse{.error_code = number(ErrorCode::NOT_COORDINATOR)});
  const auto got = next_answer<TxnOffsetCommitResponse>(ApiKey::TxnOffsetCommit, commit_version).value();
  EXPECT_EQ(got.topics.at(0).partitions.at(0).error_code, number(ErrorCode::NOT_COORDINATOR));
}

// Of the newer protocol (KIP-848) members are not known by their heartbeats. Coordinators give the older code, too, for
// a stale epoch in a transaction: clients take the newer one for fatal there.
TEST_F(TransactionsScript, AStaleMemberOfTheNewerProtocolIsToldTheOlderCode) {
  begin(moved(RoutePhase::open, 1));
  const Reached beat = commit_as_member(6);
  answer(beat, HeartbeatResponse{.error_code = number(ErrorCode::UNKNOWN_MEMBER_ID)});
  const Reached read = at_coordinator(source);
  ASSERT_EQ(read.header.api, ApiKey::OffsetFetch);
  EXPECT_EQ(read.as<OffsetFetchRequest>().groups.at(0).member_epoch, 6);
  OffsetFetchResponse stale;
  stale.groups.push_back({.group_id = "readers", .error_code = number(ErrorCode::STALE_MEMBER_EPOCH)});
  answer(read, stale);
  const auto got = next_answer<TxnOffsetCommitResponse>(ApiKey::TxnOffsetCommit, commit_version).value();
  EXPECT_EQ(got.topics.at(0).partitions.at(0).error_code, number(ErrorCode::ILLEGAL_GENERATION));
}

// --- topics that are at home elsewhere than the id ---

struct OtherHomeScript : TransactionsScript {
  static constexpr Version add_version = 3;

  // As `moved`, but "orders" is at home on the source.
  std::shared_ptr<proxy::Snapshot> apart(std::uint64_t revision) {
    auto snapshot = world(on_source(), on_source());
    snapshot->bindings = moved(RoutePhase::open, revision)->bindings;
    snapshot->revision = revision;
    return snapshot;
  }
  void add_orders(ProducerEpoch epoch) {
    AddPartitionsToTxnRequest request;
    request.v3_and_below_transactional_id = "shop";
    request.v3_and_below_producer_id = 4000;
    request.v3_and_below_producer_epoch = epoch;
    request.v3_and_below_topics.push_back({.name = "orders", .partitions = {0}});
    ask(ApiKey::AddPartitionsToTxn, add_version, request);
  }
  // Whether its coordinator was asked how the id stands there, and told that.
  bool coordinator_says(const std::string& state, ProducerEpoch epoch) {
    const Reached look = at_coordinator(target);
    if (look.header.api != ApiKey::DescribeTransactions) return false;
    DescribeTransactionsResponse told;
    told.transaction_states.push_back({.transactional_id = "shop", .transaction_state = state});
    told.transaction_states[0].producer_id = 9;
    told.transaction_states[0].producer_epoch = epoch;
    answer(look, told);
    return true;
  }
  std::int16_t told() {
    const auto got = next_answer<AddPartitionsToTxnResponse>(ApiKey::AddPartitionsToTxn, add_version).value();
    return got.results_by_topic_v3_and_below.at(0).results_by_partition.at(0).partition_error_code;
  }
};

TEST_F(OtherHomeScript, ATransactionCannotReachThere) {
  begin(apart(1));
  add_orders(5);
  ASSERT_TRUE(coordinator_says("Ongoing", 2));
  ASSERT_TRUE(coordinator_says("Ongoing", 2));
  EXPECT_EQ(told(), number(ErrorCode::INVALID_TXN_STATE));
}

TEST_F(OtherHomeScript, AnInstanceThatWasReplacedIsFenced) {
  begin(apart(1));
  add_orders(5);
  ASSERT_TRUE(coordinator_says("Ongoing", 3));
  ASSERT_TRUE(coordinator_says("Ongoing", 3));
  EXPECT_EQ(told(), number(ErrorCode::PRODUCER_FENCED));
}

// Were it not, each of its requests would move the id to and fro under the instance that lives.
TEST_F(OtherHomeScript, ANameOfBeforeTheMoveIsFencedAndMovesNothing) {
  begin(apart(1));
  add_orders(4);
  EXPECT_EQ(told(), number(ErrorCode::PRODUCER_FENCED));
  EXPECT_TRUE(io.bindings.empty());
  EXPECT_FALSE(at_broker(target));
}

// Its id would move to a home that nothing of it has any more; and what it begins meanwhile would forbid it to go back.
TEST_F(OtherHomeScript, AFlipChangesWhereTheIdIsWanted) {
  begin(apart(1));
  add_orders(5);
  ASSERT_TRUE(coordinator_says("CompleteCommit", 2));
  ASSERT_EQ(io.bindings.size(), 1u);
  EXPECT_EQ(io.bindings[0].to, source);
  session->on_snapshot(moved(RoutePhase::open, 2), now);
  EXPECT_EQ(at_coordinator(target).header.api, ApiKey::AddPartitionsToTxn);
  EXPECT_EQ(io.bindings.size(), 1u);
}

// --- what begins with offsets says later what topics it writes to ---

struct OffsetsFirstScript : TransactionsScript {
  static constexpr Version begins = 5;

  // "payments" has a route of its own, and stayed on the source.
  std::shared_ptr<proxy::Snapshot> two_homes(std::uint64_t revision) {
    auto snapshot = moved(RoutePhase::open, revision);
    snapshot->routes[0].generation = 1;
    proxy::RouteView other;
    other.name = "payments";
    snapshot->routes.push_back(other);
    return snapshot;
  }
  void commit_first() {
    TxnOffsetCommitRequest request;
    request.transactional_id = "shop";
    request.group_id = "readers";
    request.producer_id = 4000;
    request.producer_epoch = 5;
    request.topics.push_back({.name = "orders", .partitions = {{.partition_index = 0, .committed_offset = 3}}});
    ask(ApiKey::TxnOffsetCommit, begins, request);
  }
  bool coordinator_says(const std::string& state) {
    const Reached look = at_coordinator(target);
    if (look.header.api != ApiKey::DescribeTransactions) return false;
    DescribeTransactionsResponse told;
    told.transaction_states.push_back({.transactional_id = "shop", .transaction_state = state});
    answer(look, told);
    return true;
  }
};

TEST_F(OffsetsFirstScript, ItWaitsUntilATopicIsNamed) {
  begin(two_homes(1));
  commit_first();
  ASSERT_TRUE(coordinator_says("Empty"));
  EXPECT_FALSE(at_broker(target));
  pass(51);
  ASSERT_TRUE(coordinator_says("Ongoing"));
  EXPECT_EQ(at_coordinator(target).header.api, ApiKey::TxnOffsetCommit);
}

TEST_F(OffsetsFirstScript, ItWaitsForAMomentOnceAfterEachFlip) {
  begin(two_homes(1));
  commit_first();
  for (int look = 0; look < 20; ++look) {
    ASSERT_TRUE(coordinator_says("Empty")) << look;
    pass(50);
  }
  const Reached first = at_coordinator(target);
  ASSERT_EQ(first.header.api, ApiKey::TxnOffsetCommit);
  answer(first, TxnOffsetCommitResponse{});
  commit_first();
  EXPECT_EQ(at_coordinator(target).header.api, ApiKey::TxnOffsetCommit) << "it has been given its moment";
}

TEST_F(OffsetsFirstScript, AnIdThatStayedBehindIsBroughtWhereAllRoutesAre) {
  const auto all_on_source = [this](std::uint64_t revision) {
    auto snapshot = world(on_source(), on_source());
    for (proxy::RouteView& route : snapshot->routes) route.home = source;
    snapshot->bindings = moved(RoutePhase::open, revision)->bindings;
    snapshot->revision = revision;
    return snapshot;
  };
  begin(all_on_source(1));
  commit_first();
  ASSERT_TRUE(coordinator_says("CompleteCommit"));
  ASSERT_EQ(io.bindings.size(), 1u);
  EXPECT_EQ(io.bindings[0].to, source);
  EXPECT_FALSE(at_broker(target));
  session->on_snapshot(moved(RoutePhase::open, 2), now);
  EXPECT_EQ(at_coordinator(target).header.api, ApiKey::TxnOffsetCommit) << "and not where none of them is";
}

TEST_F(OffsetsFirstScript, NothingWaitsWhereAllRoutesHaveOneHome) {
  begin(moved(RoutePhase::open, 1));
  commit_first();
  EXPECT_EQ(at_coordinator(target).header.api, ApiKey::TxnOffsetCommit);
}

}  // namespace
}  // namespace crossover::test
