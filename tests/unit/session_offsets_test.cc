// ListOffsets after a flip: of what lies in remote storage, of the log's end.
#include "protocol/record_batch.h"
#include "tests/unit/handler_script.h"

namespace crossover::test {
namespace {

using namespace protocol;

struct OffsetsScript : HandlerScript {
  // What a client is told when the open segment's broker says that.
  Offset latest(Version version, std::int64_t which, Offset said) {
    begin(world(on_target(), on_target()));
    const Reached sent = list(version, which);
    EXPECT_EQ(sent.as<ListOffsetsRequest>().topics[0].partitions[0].timestamp, which);
    return listed(version, sent, said);
  }
  Reached list(Version version, std::int64_t which, std::int8_t isolation = 0) {
    ListOffsetsRequest request;
    request.replica_id = -1;
    request.isolation_level = isolation;
    request.topics.emplace_back().name = "orders";
    request.topics[0].partitions.emplace_back().timestamp = which;
    ask(ApiKey::ListOffsets, version, request);
    return at_broker(target).value();
  }
  void say(const Reached& sent, Offset said) {
    ListOffsetsResponse response;
    response.topics.emplace_back().partitions.emplace_back().offset = said;
    answer(sent, response);
  }
  Offset listed(Version version, const Reached& sent, Offset said) {
    say(sent, said);
    const auto got = next_answer<ListOffsetsResponse>(ApiKey::ListOffsets, version);
    return got.value().topics.at(0).partitions.at(0).offset;
  }
  // What a fetch of the first segment shows of the whole log: the last stable offset and the high watermark.
  std::pair<Offset, Offset> marks_in_history() {
    constexpr Version version = 12;
    FetchRequest request;
    request.replica_id = -1;
    request.session_epoch = -1;
    request.topics.emplace_back().topic = "orders";
    request.topics[0].partitions.emplace_back().fetch_offset = 60;
    ask(ApiKey::Fetch, version, request);
    const Bytes& batch = frames.emplace_back(build_batch({{10, "k", "v"}}));
    FetchResponse response;
    response.responses.emplace_back().topic = "orders";
    auto& row = response.responses[0].partitions.emplace_back();
    row.high_watermark = row.last_stable_offset = 100;
    row.records = batch;
    answer(at_broker(source).value(), response);
    const auto got = next_answer<FetchResponse>(ApiKey::Fetch, version);
    const auto& shown = got.value().responses.at(0).partitions.at(0);
    return {shown.last_stable_offset, shown.high_watermark};
  }
};

constexpr std::int64_t log_end = -1;
constexpr std::int64_t latest_tiered = -5, earliest_pending_upload = -6;

TEST_F(OffsetsScript, NothingInRemoteStorageStaysNothing) {
  EXPECT_EQ(latest(9, latest_tiered, -1), -1);
  EXPECT_EQ(latest(11, earliest_pending_upload, -1), -1);
}

TEST_F(OffsetsScript, WhatIsInRemoteStorageIsNoEarlierThanTheOpenSegment) {
  EXPECT_EQ(latest(9, latest_tiered, 45), 105);
  EXPECT_EQ(latest(11, earliest_pending_upload, 30), 100);
}

TEST_F(OffsetsScript, AnEmptySegmentsEndIsItsStart) {
  EXPECT_EQ(latest(7, -1, 40), 100);
}

TEST_F(OffsetsScript, NoFetchShowsLessThanWhatWasListed) {
  begin(world(on_target(), on_target()));
  EXPECT_EQ(listed(7, list(7, log_end, 1), 70), 130);
  EXPECT_EQ(marks_in_history(), (std::pair<Offset, Offset>(130, 130)));
  EXPECT_EQ(listed(7, list(7, log_end, 0), 90), 150);
  EXPECT_EQ(marks_in_history(), (std::pair<Offset, Offset>(130, 150)))
      << "the high watermark says nothing of what is stable";
}

TEST_F(OffsetsScript, WhatLiesBeyondASegmentThatWasClosedMeanwhileIsNotListed) {
  begin(world(on_target(), on_target()));
  const Reached sent = list(7, log_end);
  const auto rolled_back = on_target().flipped(50, 2, source, 120, 6);
  session->on_snapshot(world(rolled_back, rolled_back), now);
  say(sent, 53);
  EXPECT_FALSE(next_answer<ListOffsetsResponse>(ApiKey::ListOffsets, 7)) << "the segment ended at 50";
  const auto again = at_broker(source);
  ASSERT_TRUE(again);
  EXPECT_EQ(listed(7, *again, 122), 112);
}

std::shared_ptr<proxy::Snapshot> fenced(const std::shared_ptr<proxy::Snapshot>& snapshot) {
  snapshot->routes[0].phase = proxy::RoutePhase::fenced;
  snapshot->routes[0].fence = 1;
  return snapshot;
}

TEST_F(OffsetsScript, AnEndThatIsToldUnderAFenceWaitsForTheBoundary) {
  begin(world(on_target(), on_target()));
  const Reached sent = list(7, log_end);
  session->on_snapshot(fenced(world(on_target(), on_target())), now);
  say(sent, 53);
  EXPECT_FALSE(next_answer<ListOffsetsResponse>(ApiKey::ListOffsets, 7));
  const auto rolled_back = on_target().flipped(50, 2, source, 120, 6);
  session->on_snapshot(world(rolled_back, rolled_back), now);
  const auto again = at_broker(source);
  ASSERT_TRUE(again);
  EXPECT_EQ(listed(7, *again, 120), 110);
}

TEST_F(OffsetsScript, SoDoesOneOfBeforeTheFirstFlip) {
  begin(world(on_source(), on_source()));
  ListOffsetsRequest request;
  request.replica_id = -1;
  request.topics.emplace_back().name = "orders";
  request.topics[0].partitions.emplace_back().timestamp = log_end;
  ask(ApiKey::ListOffsets, 7, request);
  const Reached sent = at_broker(source).value();
  session->on_snapshot(fenced(world(on_source(), on_source())), now);
  ListOffsetsResponse said;
  said.topics.emplace_back().name = "orders";
  said.topics[0].partitions.emplace_back().offset = 101;
  answer(sent, said);
  EXPECT_FALSE(next_answer<ListOffsetsResponse>(ApiKey::ListOffsets, 7));
  session->on_snapshot(world(on_target(), on_target()), now);
  const auto again = at_broker(target);
  ASSERT_TRUE(again) << "the straggler at 100 lies in no segment";
  EXPECT_EQ(listed(7, *again, 40), 100);
}

}  // namespace
}  // namespace crossover::test
