// Brokers that accept what they are sent and do not answer: what others have must not wait for them for long.
#include "protocol/record_batch.h"
#include "tests/unit/handler_script.h"

namespace crossover::test {
namespace {

using namespace protocol;

constexpr Version fetch_version = 12;

struct HungScript : HandlerScript {
  const proxy::Limits limits;

  // Partition 0 is read from the source's closed segment, 1 from the target's open one.
  void fetch() { fetch({60, 110}); }
  void fetch(const std::vector<Offset>& from) {
    FetchRequest request;
    request.replica_id = -1;
    request.max_wait_ms = 500;
    request.session_epoch = -1;
    request.topics.emplace_back().topic = "orders";
    for (const Offset offset : from) {
      auto& row = request.topics[0].partitions.emplace_back();
      row.partition = static_cast<PartitionIndex>(request.topics[0].partitions.size() - 1);
      row.fetch_offset = offset;
      row.partition_max_bytes = 1000;
    }
    ask(ApiKey::Fetch, fetch_version, request);
  }
  void answer_fetch(const Reached& to, PartitionIndex index, Offset real) {
    Bytes& batch = frames.emplace_back(build_batch({{10, "k", "v"}}));
    patch_base_offset(batch.data(), real);
    FetchResponse response;
    response.responses.emplace_back().topic = "orders";
    auto& row = response.responses[0].partitions.emplace_back();
    row.partition_index = index;
    row.high_watermark = 100;
    row.last_stable_offset = 70;
    row.records = batch;
    answer(to, response);
  }
  struct Fetched {
    std::int16_t error;
    bool empty;
    Offset stable, high_watermark;
  };
  std::vector<Fetched> next_fetched() {
    const auto got = next_answer<FetchResponse>(ApiKey::Fetch, fetch_version);
    std::vector<Fetched> rows;
    if (!got) return rows;
    for (const auto& p : got->responses.at(0).partitions)
      rows.push_back({p.error_code, !p.records || p.records->empty(), p.last_stable_offset, p.high_watermark});
    return rows;
  }
  template <class T>
  void ask_coordinator(ApiKey api, Version version, T request) {
    request.group_id = "g";
    ask(api, version, request);
  }
  void find_coordinator() {
    FindCoordinatorRequest request;
    request.key = "g";
    ask(ApiKey::FindCoordinator, 3, request);
  }
  std::optional<std::int16_t> next_coordinator_error() {
    const auto got = next_answer<FindCoordinatorResponse>(ApiKey::FindCoordinator, 3);
    return got ? std::optional(got->error_code) : std::nullopt;
  }
};

TEST_F(HungScript, WhatLiveBrokersHaveIsGivenWithoutTheHungOne) {
  begin(world(on_target(), on_target()));
  fetch();
  const auto hung = at_broker(source);
  ASSERT_TRUE(hung);
  answer_fetch(at_broker(target).value(), 1, 50);
  pass(limits.fetch_patience_ms - 1);
  EXPECT_TRUE(next_fetched().empty());
  pass(1);
  const auto got = next_fetched();
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].error, 0);
  EXPECT_TRUE(got[0].empty);
  EXPECT_FALSE(got[1].empty);

  // It is not asked again, nor waited for, until it has answered; and that answer is for nobody.
  fetch();
  EXPECT_FALSE(at_broker(source));
  answer_fetch(at_broker(target).value(), 1, 51);
  EXPECT_EQ(next_fetched().size(), 2u);
  answer_fetch(*hung, 0, 60);
  EXPECT_TRUE(next_fetched().empty());
  fetch();
  const auto again = at_broker(source);
  ASSERT_TRUE(again);
  answer_fetch(*again, 0, 60);
  answer_fetch(at_broker(target).value(), 1, 52);
  const auto both = next_fetched();
  ASSERT_EQ(both.size(), 2u);
  EXPECT_FALSE(both[0].empty);
}

TEST_F(HungScript, ABrokerThatIsSlowIsGivenMoreTime) {
  begin(world(on_target(), on_target()));
  fetch({60});
  const auto slow = at_broker(source);
  ASSERT_TRUE(slow);
  pass(limits.fetch_patience_ms + 600);
  EXPECT_EQ(next_fetched().size(), 1u);
  answer_fetch(*slow, 0, 60);
  fetch({60});
  const auto again = at_broker(source);
  ASSERT_TRUE(again);
  pass(limits.fetch_patience_ms + 600);
  answer_fetch(*again, 0, 60);
  const auto got = next_fetched();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_FALSE(got[0].empty) << "it would never be read";
}

TEST_F(HungScript, AnAnswerForAHungBrokerShowsWhatWasShownLast) {
  begin(world(on_target(), on_target()));
  fetch({110});
  answer_fetch(at_broker(target).value(), 0, 50);
  fetch({60});
  pass(limits.fetch_patience_ms + 600);
  ASSERT_EQ(next_fetched().size(), 1u);
  const auto got = next_fetched();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_TRUE(got[0].empty);
  EXPECT_EQ(got[0].high_watermark, 160);
  EXPECT_EQ(got[0].stable, 130);
}

TEST_F(HungScript, ALongPollOfOneBrokerIsItsOwnAffair) {
  begin(world(on_target(), on_target()));
  fetch({110, 110});
  const auto sent = at_broker(target);
  ASSERT_TRUE(sent);
  pass(60'000);
  EXPECT_TRUE(next_fetched().empty());
  EXPECT_FALSE(io.upstreams.at(sent->upstream).closed);
}

TEST_F(HungScript, WhileNothingElseIsAskedForTheClientDoesNotSpin) {
  begin(world(on_target(), on_target()));
  fetch({60});
  pass(limits.fetch_patience_ms + 600);
  EXPECT_EQ(next_fetched().size(), 1u);
  fetch({60});
  EXPECT_TRUE(next_fetched().empty());
  pass(100);
  EXPECT_EQ(next_fetched().size(), 1u);
}

TEST_F(HungScript, ASilentConnectionIsGivenUp) {
  begin(world(on_target(), on_target()));
  fetch({60});
  const auto hung = at_broker(source);
  ASSERT_TRUE(hung);
  pass(limits.fetch_patience_ms + limits.hung_ms - 1);
  EXPECT_FALSE(io.upstreams.at(hung->upstream).closed);
  pass(1);
  EXPECT_TRUE(io.upstreams.at(hung->upstream).closed);
  EXPECT_EQ(next_fetched().size(), 1u);
  fetch({60});
  const auto again = at_broker(source);
  ASSERT_TRUE(again);
  EXPECT_NE(again->upstream, hung->upstream);
}

TEST_F(HungScript, AConnectionIsKeptWhileTheOutcomeOfAWriteIsAwaited) {
  options.virtual_broker = virtual_node(source, 0);
  begin(world(on_source(), on_source()));
  ProduceRequest request;
  request.acks = -1;
  request.topic_data.emplace_back().name = "orders";
  request.topic_data[0].partition_data.emplace_back().records =
      Records(frames.emplace_back(build_batch({{10, "k", "v"}})));
  ask(ApiKey::Produce, 9, request);
  const auto write = at_broker(source);
  ASSERT_TRUE(write);
  find_coordinator();
  pass(limits.call_ms + 3 * limits.hung_ms);
  EXPECT_FALSE(io.upstreams.at(write->upstream).closed);
  EXPECT_FALSE(io.client_closed);
}

TEST_F(HungScript, ACoordinatorThatIsNotFoundHoldsUpAFetchOnlySoLong) {
  begin(world(on_target(), on_target()));
  find_coordinator();
  fetch({110, 110});
  const auto hung = at_broker(source);
  ASSERT_TRUE(hung);
  EXPECT_FALSE(at_broker(target)) << "answers keep their order";
  pass(limits.call_ms);
  EXPECT_EQ(next_coordinator_error(), number(ErrorCode::COORDINATOR_NOT_AVAILABLE));
  EXPECT_TRUE(at_broker(target));
  EXPECT_TRUE(io.upstreams.at(hung->upstream).closed) << "any other broker would do";
}

TEST_F(HungScript, AMemberWaitsForItsGroupAsLongAsItTakes) {
  begin(world(on_target(), on_target()));
  JoinGroupRequest join;
  join.session_timeout_ms = 10'000;
  join.rebalance_timeout_ms = 300'000;
  ask_coordinator(ApiKey::JoinGroup, 5, join);
  const auto sent = at_broker(source);
  ASSERT_TRUE(sent);
  pass(290'000);
  EXPECT_FALSE(next_answer<JoinGroupResponse>(ApiKey::JoinGroup, 5));
  JoinGroupResponse joined;
  joined.generation_id = 7;
  answer(*sent, joined);
  EXPECT_EQ(next_answer<JoinGroupResponse>(ApiKey::JoinGroup, 5)->generation_id, 7);
}

TEST_F(HungScript, OffsetsThatAreNotToldInTimeAreAskedForAgain) {
  begin(world(on_source(), on_source()));
  ListOffsetsRequest request;
  request.replica_id = -1;
  request.topics.emplace_back().name = "orders";
  request.topics[0].partitions.emplace_back().timestamp = -1;
  ask(ApiKey::ListOffsets, 7, request);
  ASSERT_TRUE(at_broker(source));
  pass(limits.call_ms);
  const auto got = next_answer<ListOffsetsResponse>(ApiKey::ListOffsets, 7);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->topics.at(0).name, "orders");
  EXPECT_EQ(got->topics[0].partitions.at(0).error_code, number(ErrorCode::NOT_LEADER_OR_FOLLOWER));
  EXPECT_FALSE(io.client_closed);
}

}  // namespace
}  // namespace crossover::test
