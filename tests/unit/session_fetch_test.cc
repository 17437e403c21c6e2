// Fetches over one session: a broker's fetch session handed through (KIP-227) and its end, and a long poll at a flip.
#include <gtest/gtest.h>

#include <deque>

#include "protocol/codec.h"
#include "protocol/error_code.h"
#include "protocol/frame.h"
#include "protocol/messages.h"
#include "protocol/record_batch.h"
#include "proxy/session.h"
#include "tests/unit/fake_session_io.h"
#include "tests/unit/leak_world.h"

namespace crossover::test {
namespace {

using namespace protocol;
using namespace proxy;

constexpr Version version = 13;
constexpr std::int32_t broker_session = 77;
constexpr auto source = Cluster::source, target = Cluster::target;

// What reached a broker.
struct Reached {
  UpstreamId upstream = 0;
  std::int32_t correlation = 0;
  Bytes frame;
  FetchRequest ask;
};

// The real ids of the topic, by cluster, are 0x91 and 0xa1; the virtual one 0x33.
std::shared_ptr<Snapshot> world(const VirtualLog& first, const VirtualLog& second,
                                RoutePhase phase = RoutePhase::open) {
  auto snapshot = leak_snapshot(source);
  snapshot->topics.clear();
  snapshot->topics_by_id.clear();
  auto topic =
      std::make_shared<TopicView>(*topic_view("orders", {repeated(0x91), repeated(0xa1)}, repeated(0x33), first, 0));
  topic->partitions[1].log = second;
  for (PartitionView& p : topic->partitions) {
    for (const Cluster c : both_clusters) p.real[index_of(c)].leader = real_node(c, 0);
  }
  add_topic(*snapshot, topic);
  snapshot->routes[0].home = first.home();
  snapshot->routes[0].phase = phase;
  snapshot->routes[0].fence = phase == RoutePhase::fenced ? 1 : 0;
  return snapshot;
}

VirtualLog on_source() {
  return VirtualLog::identity(source);
}
VirtualLog on_target() {
  return on_source().flipped(100, 5, target, 40, 2);
}
VirtualLog on_source_again() {
  return on_target().flipped(40, 2, source, 100, 7);
}

struct FetchScript : ::testing::Test {
  FakeIo io;
  WorkerState worker;
  Millis now = 1'000;
  SessionOptions options;
  std::unique_ptr<Session> session;
  std::int32_t next_correlation = 1;
  std::deque<Bytes> frames;  // that decoded answers point into

  void begin(std::shared_ptr<const Snapshot> s) {
    session = std::make_unique<Session>(io, worker, options, std::move(s), now);
  }
  void flip_to(std::shared_ptr<const Snapshot> s) { session->on_snapshot(std::move(s), now); }

  static FetchRequest fetch_of(std::int32_t id, std::int32_t epoch, std::map<PartitionIndex, Offset> partitions) {
    FetchRequest request;
    request.replica_id = -1;
    request.max_wait_ms = 500;
    request.min_bytes = 1;
    request.session_id = id;
    request.session_epoch = epoch;
    if (partitions.empty()) return request;
    request.topics.emplace_back().topic_id = repeated(0x33);
    for (const auto& [index, offset] : partitions) {
      auto& row = request.topics[0].partitions.emplace_back();
      row.partition = index;
      row.fetch_offset = offset;
      row.partition_max_bytes = 1000;
    }
    return request;
  }
  void ask(const FetchRequest& request) {
    session->on_client_bytes(
        request_frame(ApiKey::Fetch, version, next_correlation++, "test", encode(request, version)), now);
  }

  std::optional<Reached> at_broker(Cluster cluster) {
    for (auto& [id, upstream] : io.upstreams) {
      if (upstream.cluster != cluster) continue;
      auto frame = upstream.sent.next();
      if (!frame) continue;
      const auto header = parse_request_header(*frame);
      const auto ask = decode<FetchRequest>(BytesView(*frame).substr(header->body_at), version);
      if (ask) return Reached{id, header->correlation_id, *frame, *ask};
    }
    return std::nullopt;
  }

  struct Row {
    PartitionIndex index;
    Offset high_watermark;
    std::int16_t error = 0;
    BytesView records{};
  };
  FetchResponse answer_of(std::int32_t session_id, const Uuid& topic, const std::vector<Row>& rows) {
    FetchResponse answer;
    answer.session_id = session_id;
    if (!rows.empty()) answer.responses.emplace_back().topic_id = topic;
    for (const Row& row : rows) {
      auto& out = answer.responses[0].partitions.emplace_back();
      out.partition_index = row.index;
      out.error_code = row.error;
      out.high_watermark = out.last_stable_offset = row.high_watermark;
      out.log_start_offset = 0;
      out.records = row.records;
    }
    return answer;
  }
  void answer(const Reached& to, const FetchResponse& response) {
    session->on_upstream_bytes(to.upstream,
                               response_frame(ApiKey::Fetch, version, to.correlation, encode(response, version)), now);
  }

  std::optional<FetchResponse> next_answer() {
    auto frame = io.to_client.next();
    if (!frame) return std::nullopt;
    frames.push_back(std::move(*frame));
    const auto header = parse_response_header(frames.back(), ApiKey::Fetch, version);
    return decode<FetchResponse>(BytesView(frames.back()).substr(header->body_at), version);
  }

  // A full fetch of both partitions that opens a session at `home`'s broker.
  void open_session(Cluster home, Offset at) {
    ask(fetch_of(0, 0, {{0, at}, {1, at}}));
    const auto sent = at_broker(home);
    ASSERT_TRUE(sent);
    EXPECT_EQ(sent->ask.session_epoch, 0);
    answer(*sent, answer_of(broker_session, repeated(home == source ? 0x91 : 0xa1), {{0, 50}, {1, 50}}));
    const auto got = next_answer();
    ASSERT_TRUE(got);
    EXPECT_EQ(got->session_id, broker_session);
    ASSERT_EQ(got->responses.size(), 1u);
    EXPECT_EQ(got->responses[0].topic_id, repeated(0x33));
    EXPECT_EQ(got->responses[0].partitions.size(), 2u);
  }
  void expect_not_found() {
    const auto got = next_answer();
    ASSERT_TRUE(got);
    EXPECT_EQ(got->error_code, static_cast<std::int16_t>(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
    EXPECT_TRUE(got->responses.empty());
  }
};

TEST_F(FetchScript, AnIncrementalRequestAndItsAnswerPassMapped) {
  begin(world(on_target(), on_target()));
  open_session(target, 110);
  FetchRequest request = fetch_of(broker_session, 1, {{1, 112}});
  request.forgotten_topics_data.emplace_back().topic_id = repeated(0x33);
  request.forgotten_topics_data[0].partitions = {0};
  ask(request);
  const auto sent = at_broker(target);
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->ask.session_id, broker_session);
  EXPECT_EQ(sent->ask.session_epoch, 1);
  ASSERT_EQ(sent->ask.topics.size(), 1u);
  EXPECT_EQ(sent->ask.topics[0].topic_id, repeated(0xa1));
  ASSERT_EQ(sent->ask.topics[0].partitions.size(), 1u);
  EXPECT_EQ(sent->ask.topics[0].partitions[0].fetch_offset, 52);
  ASSERT_EQ(sent->ask.forgotten_topics_data.size(), 1u);
  EXPECT_EQ(sent->ask.forgotten_topics_data[0].topic_id, repeated(0xa1));
  Bytes batch = build_batch({{10, "k", "v"}});
  patch_base_offset(batch.data(), 52);
  answer(*sent, answer_of(broker_session, repeated(0xa1), {{1, 53, 0, batch}}));
  const auto got = next_answer();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->session_id, broker_session);
  ASSERT_EQ(got->responses.size(), 1u);
  EXPECT_EQ(got->responses[0].topic_id, repeated(0x33));
  ASSERT_EQ(got->responses[0].partitions.size(), 1u);
  EXPECT_EQ(got->responses[0].partitions[0].high_watermark, 113);
  BatchCursor cursor{*got->responses[0].partitions[0].records};
  ASSERT_TRUE(cursor.load());
  EXPECT_EQ(cursor.header.base_offset, 112);
}

TEST_F(FetchScript, WhatHasNoNewsIsNotInvented) {
  begin(world(on_target(), on_target()));
  open_session(target, 110);
  ask(fetch_of(broker_session, 1, {}));
  const auto sent = at_broker(target);
  ASSERT_TRUE(sent);
  EXPECT_TRUE(sent->ask.topics.empty());
  answer(*sent, answer_of(broker_session, {}, {}));
  const auto got = next_answer();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->session_id, broker_session);
  EXPECT_TRUE(got->responses.empty());
}

TEST_F(FetchScript, ASessionEndsWithAFlipAndTheNextOneOpensAtTheNewHome) {
  begin(world(on_source(), on_source()));
  open_session(source, 50);
  flip_to(world(on_target(), on_target()));
  ask(fetch_of(broker_session, 1, {}));
  expect_not_found();
  EXPECT_FALSE(at_broker(source));
  ask(fetch_of(0, 0, {{0, 100}, {1, 100}}));
  const auto sent = at_broker(target);
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->ask.session_id, 0) << "the old home's session is unknown there";
  EXPECT_EQ(sent->ask.session_epoch, 0);
  answer(*sent, answer_of(5, repeated(0xa1), {{0, 40}, {1, 40}}));
  const auto got = next_answer();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->session_id, 5);
  EXPECT_EQ(got->responses[0].partitions[0].high_watermark, 100);
}

TEST_F(FetchScript, ASplitFetchHasNoSession) {
  begin(world(on_target(), on_source()));
  ask(fetch_of(0, 0, {{0, 110}, {1, 50}}));
  for (const Cluster c : both_clusters) {
    const auto sent = at_broker(c);
    ASSERT_TRUE(sent);
    EXPECT_EQ(sent->ask.session_epoch, -1);
    answer(*sent, answer_of(0, repeated(c == source ? 0x91 : 0xa1), {{c == source ? 1 : 0, 60}}));
  }
  const auto got = next_answer();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->session_id, 0);
  EXPECT_EQ(got->responses[0].partitions.size(), 2u);
}

TEST_F(FetchScript, HistoryIsReadWithoutASession) {
  begin(world(on_target(), on_target()));
  open_session(target, 110);
  ask(fetch_of(broker_session, 1, {{0, 20}}));
  expect_not_found();
  EXPECT_FALSE(at_broker(target));
  ask(fetch_of(0, 0, {{0, 20}}));
  const auto sent = at_broker(source);
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->ask.session_epoch, -1);
}

TEST_F(FetchScript, AnUnknownSessionIsNotFoundAndReachesNoBroker) {
  begin(world(on_source(), on_source()));
  ask(fetch_of(broker_session, 1, {{0, 50}}));
  expect_not_found();
  EXPECT_TRUE(io.upstreams.empty());
  open_session(source, 50);
  ask(fetch_of(broker_session + 1, 1, {{0, 50}}));
  expect_not_found();
  EXPECT_FALSE(at_broker(source));
  ask(fetch_of(broker_session, 1, {}));
  EXPECT_TRUE(at_broker(source)) << "the session that is known is still there";
}

TEST_F(FetchScript, TheBrokersWordOnEpochsPassesAndItsOwnErrorsDoNot) {
  begin(world(on_source(), on_source()));
  open_session(source, 50);
  ask(fetch_of(broker_session, 9, {}));
  FetchResponse refusal;
  refusal.error_code = static_cast<std::int16_t>(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
  answer(*at_broker(source), refusal);
  EXPECT_EQ(next_answer()->error_code, refusal.error_code);
  ask(fetch_of(broker_session, 1, {}));
  refusal.error_code = static_cast<std::int16_t>(ErrorCode::UNKNOWN_SERVER_ERROR);
  answer(*at_broker(source), refusal);
  expect_not_found();
  ask(fetch_of(0, 0, {{0, 50}}));
  const auto sent = at_broker(source);
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->ask.session_id, broker_session) << "what its broker may still hold is closed";
}

TEST_F(FetchScript, ASessionDiesWithItsConnectionToTheBroker) {
  begin(world(on_source(), on_source()));
  open_session(source, 50);
  session->on_upstream_closed(io.upstreams.begin()->first, now);
  io.upstreams.clear();
  ask(fetch_of(broker_session, 1, {}));
  expect_not_found();
  ask(fetch_of(broker_session, 0, {{0, 50}}));
  const auto sent = at_broker(source);
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->ask.session_id, 0);
}

TEST_F(FetchScript, ALargeSessionIsNotHandedThrough) {
  options.limits.fetch_session_partitions = 1;
  begin(world(on_source(), on_source()));
  ask(fetch_of(0, 0, {{0, 50}, {1, 50}}));
  auto sent = at_broker(source);
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->ask.session_epoch, -1);
  answer(*sent, answer_of(0, repeated(0x91), {{0, 50}, {1, 50}}));
  EXPECT_EQ(next_answer()->session_id, 0);
  ask(fetch_of(0, 0, {{0, 50}}));
  answer(*at_broker(source), answer_of(broker_session, repeated(0x91), {{0, 50}}));
  EXPECT_EQ(next_answer()->session_id, broker_session);
  ask(fetch_of(broker_session, 1, {{1, 50}}));
  expect_not_found();
}

TEST_F(FetchScript, AClientThatLeavesClosesItsSession) {
  begin(world(on_source(), on_source()));
  open_session(source, 50);
  ask(fetch_of(broker_session, -1, {}));
  const auto sent = at_broker(source);
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->ask.session_id, broker_session);
  EXPECT_EQ(sent->ask.session_epoch, -1);
  answer(*sent, answer_of(0, {}, {}));
  EXPECT_EQ(next_answer()->session_id, 0);
  ask(fetch_of(broker_session, 1, {}));
  expect_not_found();
}

TEST_F(FetchScript, AThrottledAnswerIsNoError) {
  begin(world(on_source(), on_source()));
  ask(fetch_of(0, -1, {{0, 50}}));
  FetchResponse throttled;
  throttled.throttle_time_ms = 300;
  answer(*at_broker(source), throttled);
  const auto got = next_answer();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->throttle_time_ms, 300);
  EXPECT_TRUE(got->responses.empty());
}

TEST_F(FetchScript, ALongPollIsLeftAtAFlipAndGoesOnAtTheNewHome) {
  begin(world(on_source(), on_source()));
  ask(fetch_of(0, -1, {{0, 100}, {1, 100}}));
  const auto old = at_broker(source);
  ASSERT_TRUE(old);
  now += 200;
  flip_to(world(on_target(), on_target(), RoutePhase::releasing));
  EXPECT_FALSE(at_broker(target)) << "the new leaders are not announced yet";
  now += 50;
  flip_to(world(on_target(), on_target()));
  const auto sent = at_broker(target);
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->ask.max_wait_ms, 250);
  EXPECT_EQ(sent->ask.topics[0].partitions[0].fetch_offset, 40);
  Bytes batch = build_batch({{10, "k", "v"}});
  patch_base_offset(batch.data(), 40);
  answer(*sent, answer_of(0, repeated(0xa1), {{0, 41, 0, batch}, {1, 40}}));
  const auto got = next_answer();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->responses[0].partitions[0].error_code, 0);
  EXPECT_EQ(got->responses[0].partitions[0].high_watermark, 101);
  EXPECT_EQ(got->responses[0].partitions[1].high_watermark, 100);
  // The old home's late word is for nobody, and what follows on that connection is not taken for it.
  answer(*old, answer_of(0, repeated(0x91), {{0, 100}, {1, 100}}));
  EXPECT_FALSE(next_answer());
}

TEST_F(FetchScript, AnAnswerThatComesAfterALeftOneIsGivenToItsOwnRequest) {
  begin(world(on_source(), on_source()));
  ask(fetch_of(0, -1, {{0, 100}}));
  const auto old = at_broker(source);
  ASSERT_TRUE(old);
  flip_to(world(on_target(), on_target()));
  ASSERT_TRUE(at_broker(target));
  flip_to(world(on_source_again(), on_source_again()));
  const auto again = at_broker(source);
  ASSERT_TRUE(again) << "home came back while the first poll was still waiting there";
  EXPECT_EQ(again->upstream, old->upstream);
  EXPECT_EQ(again->ask.topics[0].partitions[0].fetch_offset, 100);
  answer(*old, answer_of(0, repeated(0x91), {{0, 100}}));
  EXPECT_FALSE(next_answer());
  answer(*again, answer_of(0, repeated(0x91), {{0, 103}}));
  EXPECT_EQ(next_answer()->responses[0].partitions[0].high_watermark, 103);
}

TEST_F(FetchScript, ALongPollInASessionIsToldThatTheSessionIsGone) {
  begin(world(on_source(), on_source()));
  open_session(source, 50);
  ask(fetch_of(broker_session, 1, {}));
  const auto old = at_broker(source);
  ASSERT_TRUE(old);
  flip_to(world(on_target(), on_source()));
  expect_not_found();
  answer(*old, answer_of(broker_session, repeated(0x91), {{0, 51}}));
  EXPECT_FALSE(next_answer());
}

TEST_F(FetchScript, ALongPollThatIsNotConcernedGoesOnWaiting) {
  begin(world(on_source(), on_source()));
  ask(fetch_of(0, -1, {{1, 100}}));
  const auto sent = at_broker(source);
  ASSERT_TRUE(sent);
  flip_to(world(on_target(), on_source()));
  EXPECT_FALSE(at_broker(target));
  EXPECT_FALSE(at_broker(source));
  answer(*sent, answer_of(0, repeated(0x91), {{1, 100}}));
  EXPECT_EQ(next_answer()->responses[0].partitions[0].high_watermark, 100);
}

// A write whose connection was cut may land behind the boundary before this worker knows of it.
TEST_F(FetchScript, WhatTheOldHomeSaysUnderAFenceWaitsForTheBoundary) {
  begin(world(on_source(), on_source()));
  ask(fetch_of(0, -1, {{0, 99}}));
  const auto sent = at_broker(source);
  ASSERT_TRUE(sent);
  flip_to(world(on_source(), on_source(), RoutePhase::fenced));
  Bytes batches = build_batch({{10, "k", "last"}}), straggler = build_batch({{10, "k", "straggler"}});
  patch_base_offset(batches.data(), 99);
  patch_base_offset(straggler.data(), 100);
  batches += straggler;
  answer(*sent, answer_of(0, repeated(0x91), {{0, 101, 0, batches}}));
  EXPECT_FALSE(next_answer());
  flip_to(world(on_target(), on_target(), RoutePhase::releasing));
  const auto got = next_answer();
  ASSERT_TRUE(got);
  const auto& row = got->responses[0].partitions[0];
  EXPECT_EQ(row.high_watermark, 100);
  BatchCursor cursor{*row.records};
  ASSERT_TRUE(cursor.load());
  EXPECT_EQ(cursor.header.base_offset, 99);
  cursor.advance();
  EXPECT_FALSE(cursor.load());
}

TEST_F(FetchScript, WhatWaitedForAFlipThatIsAbandonedIsGivenAsItCame) {
  begin(world(on_source(), on_source()));
  ask(fetch_of(0, -1, {{0, 99}}));
  const auto sent = at_broker(source);
  ASSERT_TRUE(sent);
  flip_to(world(on_source(), on_source(), RoutePhase::fenced));
  answer(*sent, answer_of(0, repeated(0x91), {{0, 101}}));
  EXPECT_FALSE(next_answer());
  flip_to(world(on_source(), on_source()));
  const auto got = next_answer();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->responses[0].partitions[0].high_watermark, 101);
}

TEST_F(FetchScript, UnderAFenceASessionWaitsAsWell) {
  begin(world(on_source(), on_source()));
  open_session(source, 50);
  ask(fetch_of(broker_session, 1, {}));
  const auto sent = at_broker(source);
  ASSERT_TRUE(sent);
  flip_to(world(on_source(), on_source(), RoutePhase::fenced));
  answer(*sent, answer_of(broker_session, repeated(0x91), {{0, 101}}));
  EXPECT_FALSE(next_answer());
  flip_to(world(on_target(), on_target()));
  expect_not_found();
}

}  // namespace
}  // namespace crossover::test
