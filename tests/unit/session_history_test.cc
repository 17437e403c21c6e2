// Reading a closed segment whose leader does not show all of it: a broker that was just restarted starts from the last
// watermark it wrote down, and answers with nothing, and without an error, between that and its log's end.
#include "protocol/record_batch.h"
#include "proxy/producer_id.h"
#include "tests/unit/handler_script.h"

namespace crossover::test {
namespace {

using namespace protocol;

constexpr Version fetch_version = 12, list_version = 7, produce_version = 9;
constexpr ProducerId retrying = 4000;  // of leak_world.h: its last batch before the boundary was of epoch 2, up to 9

struct HistoryScript : HandlerScript {
  void fetch(Offset from, std::int8_t isolation = 0) {
    FetchRequest request;
    request.replica_id = -1;
    request.max_wait_ms = 500;
    request.session_epoch = -1;
    request.isolation_level = isolation;
    request.topics.emplace_back().topic = "orders";
    auto& row = request.topics[0].partitions.emplace_back();
    row.fetch_offset = from;
    row.partition_max_bytes = 1000;
    ask(ApiKey::Fetch, fetch_version, request);
  }
  static FetchResponse::PartitionData shown(Offset stable, Offset high_watermark, BytesView records = {}) {
    FetchResponse::PartitionData row;
    row.last_stable_offset = stable;
    row.high_watermark = high_watermark;
    row.log_start_offset = 0;
    row.records = records;
    return row;
  }
  void answer_fetch(const Reached& to, const FetchResponse::PartitionData& row) {
    FetchResponse response;
    response.responses.emplace_back().topic = "orders";
    response.responses[0].partitions.push_back(row);
    answer(to, response);
  }
  std::optional<FetchResponse::PartitionData> next_fetched() {
    const auto got = next_answer<FetchResponse>(ApiKey::Fetch, fetch_version);
    return got ? std::optional(got->responses.at(0).partitions.at(0)) : std::nullopt;
  }
  void expect_nothing_yet() {
    EXPECT_FALSE(at_broker(source));
    EXPECT_FALSE(at_broker(target)) << "records of the closed segment would be skipped";
    EXPECT_FALSE(next_fetched()) << "the client would ask again at once";
    pass(100);
    const auto got = next_fetched();
    ASSERT_TRUE(got);
    EXPECT_EQ(got->error_code, 0);
    EXPECT_TRUE(got->records->empty());
  }
};

TEST_F(HistoryScript, WhatIsNotShownYetIsNotSkipped) {
  begin(world(on_target(), on_target()));
  fetch(60);
  answer_fetch(*at_broker(source), shown(50, 50));
  expect_nothing_yet();
  fetch(60);
  const auto again = at_broker(source);
  ASSERT_TRUE(again);
  const Bytes batch = build_batch({{10, "k", "v"}});
  answer_fetch(*again, shown(100, 100, batch));
  EXPECT_FALSE(next_fetched()->records->empty());
}

TEST_F(HistoryScript, WhoReadsCommittedRecordsWaitsForTheStableOffset) {
  begin(world(on_target(), on_target()));
  fetch(60, 1);
  answer_fetch(*at_broker(source), shown(60, 100));
  expect_nothing_yet();
  fetch(60, 0);
  answer_fetch(*at_broker(source), shown(60, 100));
  EXPECT_TRUE(at_broker(target)) << "others see the end";
}

TEST_F(HistoryScript, WhatIsEmptyUpToItsEndIsSkipped) {
  begin(world(on_target(), on_target()));
  fetch(60);
  answer_fetch(*at_broker(source), shown(100, 100));
  const auto next = at_broker(target);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->as<FetchRequest>().topics[0].partitions[0].fetch_offset, 40);
}

TEST_F(HistoryScript, ABatchThatIsCutOffIsNotTheEnd) {
  begin(world(on_target(), on_target()));
  fetch(60);
  Bytes batch = build_batch({{10, "k", "v"}});
  patch_base_offset(batch.data(), 60);
  answer_fetch(*at_broker(source), shown(100, 100, BytesView(batch).substr(0, batch.size() - 5)));
  EXPECT_FALSE(at_broker(target));
}

// High watermark and last stable offset are those of the whole log, whichever segment is read. Fetched at 120 virtual,
// the target's broker speaks of its own offsets, which are lower by 60.
struct MarksScript : HistoryScript {
  Bytes batch = build_batch({{10, "k", "v"}});
  std::pair<Offset, Offset> marks_of(Offset at, const FetchResponse::PartitionData& row) {
    fetch(at, 1);
    const auto asked = at_broker(at < 100 ? source : target);
    EXPECT_TRUE(asked);
    if (asked) answer_fetch(*asked, row);
    const auto got = next_fetched();
    EXPECT_TRUE(got);
    return got ? std::pair(got->last_stable_offset, got->high_watermark) : std::pair<Offset, Offset>(-9, -9);
  }
  std::pair<Offset, Offset> at_head(Offset stable, Offset high_watermark) {
    return marks_of(120, shown(stable, high_watermark, batch));
  }
  std::pair<Offset, Offset> in_history() { return marks_of(60, shown(100, 100, batch)); }
  static std::pair<Offset, Offset> marks(Offset stable, Offset high_watermark) { return {stable, high_watermark}; }
};

TEST_F(MarksScript, AllOfClosedSegmentsIsStable) {
  begin(world(on_target(), on_target()));
  EXPECT_EQ(in_history(), marks(100, 100));
}

TEST_F(MarksScript, HistoryShowsTheStableOffsetThatTheHeadShowed) {
  begin(world(on_target(), on_target()));
  EXPECT_EQ(at_head(70, 90), marks(130, 150));
  EXPECT_EQ(in_history(), marks(130, 150)) << "a transaction is open at 130";
  EXPECT_EQ(at_head(70, 95), marks(130, 155));
}

TEST_F(MarksScript, TheStableOffsetNeverGoesBack) {
  begin(world(on_target(), on_target()));
  EXPECT_EQ(at_head(70, 90), marks(130, 150));
  EXPECT_EQ(at_head(65, 80), marks(130, 150)) << "of a leader that is behind";
}

TEST_F(MarksScript, TheStableOffsetIsNeverAboveTheHighWatermark) {
  begin(world(on_target(), on_target()));
  EXPECT_EQ(at_head(95, 90), marks(150, 150));
}

TEST_F(MarksScript, WhoAsksInAVersionWithoutItIsToldOfNone) {
  begin(world(on_target(), on_target()));
  EXPECT_EQ(at_head(-1, 90), marks(-1, 150));
  EXPECT_EQ(at_head(70, 90), marks(130, 150));
}

TEST_F(MarksScript, ATopicMadeAnewBeginsAnew) {
  const auto before = world(on_target(), on_target());
  begin(before);
  EXPECT_EQ(at_head(70, 90), marks(130, 150));
  auto anew = std::make_shared<proxy::TopicView>(*before->topic("orders"));
  anew->virtual_id = repeated(0x44);
  auto after = std::make_shared<proxy::Snapshot>(*before);
  after->topics_by_id.clear();
  add_topic(*after, anew);
  session->on_snapshot(after, now);
  EXPECT_EQ(in_history(), marks(100, 100));
}

// The source's answer lies before its second segment, so that segment is scanned.
struct ScanScript : HistoryScript {
  Reached scan() {
    const auto twice = proxy::VirtualLog::identity(target).flipped(30, 1, source, 10, 7).flipped(100, 7, target, 40, 2);
    begin(world(twice, twice));
    ListOffsetsRequest request;
    request.replica_id = -1;
    request.topics.emplace_back().name = "orders";
    request.topics[0].partitions.emplace_back().timestamp = 500;
    ask(ApiKey::ListOffsets, list_version, request);
    answer_list(target, -1);
    answer_list(source, 3);
    return at_broker(source).value();
  }
  void answer_list(Cluster cluster, Offset offset) {
    ListOffsetsResponse response;
    response.topics.emplace_back().partitions.emplace_back().offset = offset;
    answer(at_broker(cluster).value(), response);
  }
  std::int16_t error() {
    const auto got = next_answer<ListOffsetsResponse>(ApiKey::ListOffsets, list_version);
    return got ? got->topics.at(0).partitions.at(0).error_code : -1;
  }
};

TEST_F(ScanScript, ATimeIsNotLookedUpPastWhatIsNotShownYet) {
  const Reached asked = scan();
  answer_fetch(asked, shown(50, 50));
  EXPECT_FALSE(at_broker(target)) << "an earlier record may still be shown";
  EXPECT_EQ(error(), number(ErrorCode::LEADER_NOT_AVAILABLE));
}

TEST_F(ScanScript, ATimeIsLookedUpAfterAScannedSegment) {
  const Reached asked = scan();
  answer_fetch(asked, shown(100, 100));
  answer_list(target, 44);
  EXPECT_EQ(error(), 0);
}

TEST_F(ScanScript, AScanThatIsRefusedIsTriedAgain) {
  const Reached asked = scan();
  auto refused = shown(-1, -1);
  refused.error_code = number(ErrorCode::NOT_LEADER_OR_FOLLOWER);
  answer_fetch(asked, refused);
  EXPECT_EQ(error(), number(ErrorCode::LEADER_NOT_AVAILABLE));
}

// A retry of the last batch before the boundary: where it landed is looked up in the closed segment.
struct LandedScript : HistoryScript {
  void produce(std::int32_t sequence) {
    ProduceRequest request;
    request.acks = -1;
    request.timeout_ms = 1'000;
    request.topic_data.emplace_back().name = "orders";
    request.topic_data[0].partition_data.emplace_back().records =
        Records(frames.emplace_back(build_batch({{10, "k", "v"}}, retrying, 2, sequence)));
    ask(ApiKey::Produce, produce_version, request);
  }
  Reached retry() {
    begin(world(on_target(), on_target()));
    produce(9);
    DescribeProducersResponse nobody;
    nobody.topics.emplace_back().partitions.emplace_back();
    answer(at_broker(target).value(), nobody);
    return at_broker(source).value();
  }
  std::optional<ProduceResponse::PartitionProduceResponse> next_produced() {
    const auto got = next_answer<ProduceResponse>(ApiKey::Produce, produce_version);
    return got ? std::optional(got->responses.at(0).partition_responses.at(0)) : std::nullopt;
  }
};

TEST_F(LandedScript, ADuplicateWhoseOffsetIsNotShownYetIsTriedAgain) {
  const Reached asked = retry();
  answer_fetch(asked, shown(50, 50));
  const auto got = next_produced();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->error_code, number(ErrorCode::NOT_LEADER_OR_FOLLOWER));
  EXPECT_FALSE(at_broker(target)) << "it was written";
}

TEST_F(LandedScript, ADuplicateThatIsGoneHasNoOffset) {
  const Reached asked = retry();
  answer_fetch(asked, shown(100, 100));
  const auto got = next_produced();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->error_code, 0);
  EXPECT_EQ(got->base_offset, -1);
}

TEST_F(LandedScript, ADuplicateWhoseOldHomeDoesNotAnswerIsTriedAgain) {
  const Reached asked = retry();
  session->on_upstream_opened(asked.upstream, now);
  session->on_upstream_closed(asked.upstream, now);
  const auto got = next_produced();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->error_code, number(ErrorCode::NOT_LEADER_OR_FOLLOWER)) << "an answer without an offset is for good";
}

TEST_F(LandedScript, ADuplicateIsLookedForBehindWhatRetentionTook) {
  const Reached asked = retry();
  auto gone = shown(-1, -1);
  gone.error_code = number(ErrorCode::OFFSET_OUT_OF_RANGE);
  answer_fetch(asked, gone);
  const Reached listed = at_broker(source).value();
  ASSERT_EQ(listed.header.api, ApiKey::ListOffsets);
  ListOffsetsResponse response;
  response.topics.emplace_back().partitions.emplace_back().offset = 60;
  answer(listed, response);
  const Reached again = at_broker(source).value();
  ASSERT_EQ(again.header.api, ApiKey::Fetch);
  EXPECT_EQ(again.as<FetchRequest>().topics.at(0).partitions.at(0).fetch_offset, 60);
}

// It was held up while what its client had sent behind it went on in the next segment.
TEST_F(LandedScript, ADuplicateIsLookedForInEarlierSegmentsToo) {
  const proxy::VirtualLog log = on_target().flipped(50, 2, source, 100, 7);
  auto snapshot = world(log, log);
  auto topic = std::make_shared<proxy::TopicView>(*snapshot->topic("orders"));
  auto table = std::make_shared<proxy::ProducerTable>();
  (*table)[retrying] = {2, 9, 1};
  topic->partitions[0].producers = table;
  snapshot->topics["orders"] = topic;
  begin(snapshot);
  produce(7);
  DescribeProducersResponse nobody;
  nobody.topics.emplace_back().partitions.emplace_back();
  answer(at_broker(source).value(), nobody);
  answer_fetch(at_broker(target).value(), shown(50, 50));
  Bytes landed = build_batch({{10, "k", "v"}}, proxy::wire_producer_id(retrying, source, 0), 2, 7);
  patch_base_offset(landed.data(), 98);
  answer_fetch(at_broker(source).value(), shown(100, 100, landed));
  const auto got = next_produced();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->error_code, 0);
  EXPECT_EQ(got->base_offset, 98);
}

// Its producer is still unknown to the new home's leader, which would take any batch for the first.
TEST_F(LandedScript, AnAnsweredDuplicateLetsNoLaterBatchGoFirst) {
  const Reached asked = retry();
  answer_fetch(asked, shown(100, 100));
  ASSERT_TRUE(next_produced());
  produce(12);
  const auto sent = at_broker(target);
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->header.api, ApiKey::DescribeProducers) << "what comes between must come first";
}

}  // namespace
}  // namespace crossover::test
