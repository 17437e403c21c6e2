#include "proxy/producer_order.h"

#include <gtest/gtest.h>

namespace crossover::proxy {
namespace {

constexpr std::int32_t last = 0x7fffffff;

protocol::BatchHeader batch(ProducerEpoch epoch, std::int32_t sequence, std::int32_t records) {
  protocol::BatchHeader header;
  header.producer_id = 1;
  header.producer_epoch = epoch;
  header.base_sequence = sequence;
  header.last_offset_delta = records - 1;
  header.record_count = records;
  return header;
}

BatchVerdict judge_against(std::int32_t last_sequence, const protocol::BatchHeader& header) {
  return judge(header, {3, last_sequence, 0});
}

TEST(ProducerOrder, WhatFollowsIsNext) {
  EXPECT_EQ(judge_against(9, batch(3, 10, 5)), BatchVerdict::next);
}

TEST(ProducerOrder, WhatLiesBeforeTheBoundaryIsADuplicate) {
  EXPECT_EQ(judge_against(9, batch(3, 5, 5)), BatchVerdict::duplicate);
  EXPECT_EQ(judge_against(9, batch(3, 0, 1)), BatchVerdict::duplicate);
  EXPECT_EQ(judge_against(9, batch(3, 9, 1)), BatchVerdict::duplicate);
}

TEST(ProducerOrder, AGapIsAhead) {
  EXPECT_EQ(judge_against(9, batch(3, 11, 1)), BatchVerdict::ahead);
}

TEST(ProducerOrder, AnOlderEpochIsFenced) {
  EXPECT_EQ(judge_against(9, batch(2, 10, 1)), BatchVerdict::fenced);
}

TEST(ProducerOrder, ANewerEpochStartsAtZero) {
  EXPECT_EQ(judge_against(9, batch(4, 0, 1)), BatchVerdict::next);
  EXPECT_EQ(judge_against(9, batch(4, 1, 1)), BatchVerdict::ahead);
  EXPECT_EQ(judge_against(9, batch(32767, 0, 1)), BatchVerdict::next);
}

TEST(ProducerOrder, SequencesWrap) {
  EXPECT_EQ(judge_against(last, batch(3, 0, 1)), BatchVerdict::next);
  EXPECT_EQ(judge_against(last, batch(3, last, 1)), BatchVerdict::duplicate);
  EXPECT_EQ(judge_against(1, batch(3, last - 1, 3)), BatchVerdict::duplicate);  // last-1, last, 0
  EXPECT_EQ(judge_against(1, batch(3, 2, 1)), BatchVerdict::next);
  EXPECT_EQ(judge_against(last - 1, batch(3, last, 3)), BatchVerdict::next);
  EXPECT_EQ(judge_against(last - 1, batch(3, 0, 1)), BatchVerdict::ahead);
}

TEST(ProducerOrder, OnlyWhatIsNearTheBoundaryIsARetry) {
  EXPECT_EQ(judge_against(999, batch(3, 1'500'000'000, 1)), BatchVerdict::ahead);
  EXPECT_EQ(judge_against(999, batch(3, last - 1'000'000'000, 1)), BatchVerdict::ahead);
  EXPECT_EQ(judge_against(1'000'000, batch(3, last, 1)), BatchVerdict::duplicate);  // or come round: the leader tells
}

// Known from the boundary at which the segment was opened, and from when the id came to its home: the later counts.
TEST(ProducerOrder, WhatAnAliasHadWrittenBefore) {
  TransactionalBinding binding{.alias = {4000, 3}};
  const ProducerTable at_boundary{{4000, {3, 9, 1}}}, of_older_epoch{{4000, {2, 9, 1}}};
  EXPECT_EQ(written_before(binding, "orders", 0, nullptr), std::nullopt);
  EXPECT_EQ(written_before(binding, "orders", 0, &of_older_epoch), std::nullopt);
  EXPECT_EQ(written_before(binding, "orders", 0, &at_boundary)->last_sequence, 9);
  binding.sequences[{"orders", 0}] = 14;
  EXPECT_EQ(written_before(binding, "orders", 0, nullptr)->last_sequence, 14);
  EXPECT_EQ(written_before(binding, "orders", 0, &of_older_epoch)->last_sequence, 14);
  EXPECT_EQ(written_before(binding, "orders", 0, &at_boundary)->last_sequence, 14);
  EXPECT_EQ(written_before(binding, "orders", 1, nullptr), std::nullopt);
  binding.sequences[{"orders", 0}] = last;  // it has come round since
  EXPECT_EQ(written_before(binding, "orders", 0, &at_boundary)->last_sequence, 9);
  EXPECT_EQ(written_before({}, "orders", 0, &at_boundary), std::nullopt) << "no client knew it when it moved";
}

TEST(ProducerOrder, TheCircleOfSequences) {
  EXPECT_TRUE(at_or_before(5, 5));
  EXPECT_TRUE(at_or_before(last, 0));
  EXPECT_FALSE(at_or_before(0, last));
  EXPECT_TRUE(at_or_before(0, last / 2));
}

}  // namespace
}  // namespace crossover::proxy
