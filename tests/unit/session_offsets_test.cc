// ListOffsets of what lies in remote storage, after a flip.
#include "tests/unit/handler_script.h"

namespace crossover::test {
namespace {

using namespace protocol;

struct OffsetsScript : HandlerScript {
  // What a client is told when the open segment's broker says that.
  Offset latest(Version version, std::int64_t which, Offset said) {
    begin(world(on_target(), on_target()));
    ListOffsetsRequest request;
    request.replica_id = -1;
    request.topics.emplace_back().name = "orders";
    request.topics[0].partitions.emplace_back().timestamp = which;
    ask(ApiKey::ListOffsets, version, request);
    const Reached sent = at_broker(target).value();
    EXPECT_EQ(sent.as<ListOffsetsRequest>().topics[0].partitions[0].timestamp, which);
    ListOffsetsResponse response;
    response.topics.emplace_back().partitions.emplace_back().offset = said;
    answer(sent, response);
    const auto got = next_answer<ListOffsetsResponse>(ApiKey::ListOffsets, version);
    return got.value().topics.at(0).partitions.at(0).offset;
  }
};

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

}  // namespace
}  // namespace crossover::test
