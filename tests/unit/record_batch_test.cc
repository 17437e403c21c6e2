#include "protocol/record_batch.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "protocol/crc32c.h"
#include "protocol/wire.h"

namespace crossover::protocol {
namespace {

using namespace std::string_literals;

std::vector<PlainRecord> random_records(std::mt19937_64& random, std::size_t count) {
  std::vector<PlainRecord> records(count);
  for (PlainRecord& record : records) {
    record.timestamp = 1'700'000'000'000 + static_cast<std::int64_t>(random() % 1000);
    if (random() % 4 != 0) record.key = Bytes(random() % 20, 'k');
    if (random() % 4 != 0) record.value = Bytes(random() % 300, static_cast<char>(random()));
  }
  return records;
}

// A batch of records given as encoded bytes, with a right checksum; for contents that build_batch never makes.
Bytes batch_of(std::int32_t count, std::int32_t last_offset_delta, const Bytes& encoded, std::int16_t attributes = 0) {
  Bytes batch = build_batch({}, 5, 1, 0, attributes) + encoded;
  store_int32(batch.data() + 8, static_cast<std::int32_t>(batch.size() - 12));
  store_int32(batch.data() + 23, last_offset_delta);
  store_int32(batch.data() + 57, count);
  store_int32(batch.data() + 17, static_cast<std::int32_t>(crc32c(BytesView(batch).substr(21))));
  return batch;
}

Bytes with_timestamps(Bytes batch, std::int64_t base, std::int64_t max) {
  store_int64(batch.data() + 27, base);
  store_int64(batch.data() + 35, max);
  return batch;
}

TEST(RecordBatch, HeaderOfABuiltBatch) {
  const Bytes batch =
      build_batch({{100, "k", "v"}, {90, std::nullopt, "w"}, {120, "x", std::nullopt}}, 4711, 3, 17, 0x10);
  BatchHeader header;
  ASSERT_EQ(read_batch_header(batch, header), BatchState::complete);
  EXPECT_EQ(header.base_offset, 0);
  EXPECT_EQ(header.total_bytes(), batch.size());
  EXPECT_EQ(header.leader_epoch, -1);
  EXPECT_EQ(header.magic, 2);
  EXPECT_EQ(header.last_offset_delta, 2);
  EXPECT_EQ(header.last_offset(), 2);
  EXPECT_EQ(header.base_timestamp, 100);
  EXPECT_EQ(header.max_timestamp, 120);
  EXPECT_EQ(header.producer_id, 4711);
  EXPECT_EQ(header.producer_epoch, 3);
  EXPECT_EQ(header.base_sequence, 17);
  EXPECT_EQ(header.last_sequence(), 19);
  EXPECT_EQ(header.record_count, 3);
  EXPECT_TRUE(header.is_transactional());
  EXPECT_FALSE(header.is_control());
  EXPECT_EQ(header.compression(), 0);
  EXPECT_TRUE(has_valid_crc(batch));
}

TEST(RecordBatch, SequencesWrap) {
  BatchHeader header;
  header.base_sequence = std::numeric_limits<std::int32_t>::max() - 1;
  header.last_offset_delta = 1;
  EXPECT_EQ(header.last_sequence(), std::numeric_limits<std::int32_t>::max());
  header.last_offset_delta = 2;
  EXPECT_EQ(header.last_sequence(), 0);
  header.base_sequence = -1;
  EXPECT_EQ(header.last_sequence(), -1);
}

TEST(RecordBatch, RecordsComeBack) {
  std::mt19937_64 random(4);
  for (std::size_t count : {0, 1, 2, 50}) {
    const auto records = random_records(random, count);
    const auto read = read_plain_records(build_batch(records));
    ASSERT_TRUE(read);
    ASSERT_EQ(read->size(), count);
    for (std::size_t i = 0; i < count; ++i) {
      EXPECT_EQ((*read)[i].timestamp, records[i].timestamp);
      EXPECT_EQ((*read)[i].key, records[i].key);
      EXPECT_EQ((*read)[i].value, records[i].value);
    }
  }
}

TEST(RecordBatch, ExtremeTimestampsComeBack) {
  const std::vector<PlainRecord> records = {{std::numeric_limits<std::int64_t>::min(), "a", "b"},
                                            {std::numeric_limits<std::int64_t>::max(), "c", "d"}};
  const auto read = read_plain_records(build_batch(records));
  ASSERT_TRUE(read);
  EXPECT_EQ((*read)[0].timestamp, records[0].timestamp);
  EXPECT_EQ((*read)[1].timestamp, records[1].timestamp);
}

TEST(RecordBatch, PatchedChecksumsEqualRecomputation) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 200; ++round) {
    Bytes batch = build_batch(random_records(random, 1 + random() % 40), 1, 0, 0);
    const auto id = static_cast<ProducerId>(random());
    const auto sequence = static_cast<std::int32_t>(random() & 0x7fffffff);
    patch_producer_id(batch.data(), batch.size(), id);
    ASSERT_TRUE(has_valid_crc(batch)) << round;
    patch_base_sequence(batch.data(), batch.size(), sequence);
    ASSERT_TRUE(has_valid_crc(batch)) << round;
    BatchHeader header;
    ASSERT_EQ(read_batch_header(batch, header), BatchState::complete);
    EXPECT_EQ(header.producer_id, id);
    EXPECT_EQ(header.base_sequence, sequence);
    EXPECT_EQ(header.crc, crc32c(BytesView(batch).substr(21)));
  }
}

TEST(RecordBatch, OffsetAndEpochLieOutsideTheChecksum) {
  Bytes batch = build_batch({{1, "k", "v"}});
  patch_base_offset(batch.data(), 1LL << 40);
  patch_leader_epoch(batch.data(), 99);
  BatchHeader header;
  ASSERT_EQ(read_batch_header(batch, header), BatchState::complete);
  EXPECT_EQ(header.base_offset, 1LL << 40);
  EXPECT_EQ(header.leader_epoch, 99);
  EXPECT_TRUE(has_valid_crc(batch));
}

TEST(RecordBatch, DamagedPayloadFailsTheChecksum) {
  Bytes batch = build_batch({{1, "k", "v"}});
  batch.back() ^= 1;
  EXPECT_FALSE(has_valid_crc(batch));
}

TEST(RecordBatch, EveryTruncationIsTruncated) {
  const Bytes batch = build_batch({{1, "key", "value"}});
  for (std::size_t size = 0; size < batch.size(); ++size) {
    BatchHeader header;
    EXPECT_EQ(read_batch_header(BytesView(batch).substr(0, size), header), BatchState::truncated) << size;
  }
}

TEST(RecordBatch, OldMessageSetsAreRecognised) {
  // Magic 0: offset, size, crc, magic, attributes, key, value. Magic 1 has a timestamp before the key.
  const Bytes v0 = "\0\0\0\0\0\0\0\x05\0\0\0\x0f\x11\x22\x33\x44\x00\x00\xff\xff\xff\xff\0\0\0\x01v"s;
  const Bytes v1 = "\0\0\0\0\0\0\0\x05\0\0\0\x17\x11\x22\x33\x44\x01\x00\0\0\0\0\0\0\0\x01\xff\xff\xff\xff\0\0\0\x01v"s;
  for (const Bytes& set : {v0, v1}) {
    BatchHeader header;
    EXPECT_EQ(read_batch_header(set, header), BatchState::old_format);
    BatchCursor cursor{set};
    EXPECT_FALSE(cursor.load());
    EXPECT_EQ(cursor.state, BatchState::old_format);
    EXPECT_EQ(read_plain_records(set), std::nullopt);
    EXPECT_FALSE(has_valid_crc(set));
  }
}

TEST(RecordBatch, InconsistentHeadersAreMalformed) {
  const Bytes good = build_batch({{1, "k", "v"}, {2, "k", "v"}});
  const auto state_with = [&](std::size_t at, auto value) {
    Bytes batch = good;
    if constexpr (sizeof value == 8) store_int64(batch.data() + at, value);
    if constexpr (sizeof value == 4) store_int32(batch.data() + at, value);
    if constexpr (sizeof value == 1) batch[at] = value;
    BatchHeader header;
    return read_batch_header(batch, header);
  };
  EXPECT_EQ(state_with(16, char{2}), BatchState::complete);
  EXPECT_EQ(state_with(16, char{3}), BatchState::malformed);
  EXPECT_EQ(state_with(16, char{-1}), BatchState::malformed);
  EXPECT_EQ(state_with(8, std::int32_t{-1}), BatchState::malformed);
  EXPECT_EQ(state_with(8, std::int32_t{48}), BatchState::malformed);
  EXPECT_EQ(state_with(8, std::numeric_limits<std::int32_t>::max()), BatchState::truncated);
  EXPECT_EQ(state_with(0, std::int64_t{-1}), BatchState::malformed);
  EXPECT_EQ(state_with(0, std::numeric_limits<std::int64_t>::max()), BatchState::malformed);
  EXPECT_EQ(state_with(0, std::numeric_limits<std::int64_t>::max() - 1), BatchState::complete);
  EXPECT_EQ(state_with(23, std::int32_t{-1}), BatchState::malformed);
  EXPECT_EQ(state_with(23, std::int32_t{0}), BatchState::malformed);  // two records, one offset
  EXPECT_EQ(state_with(23, std::int32_t{9}), BatchState::complete);   // a compacted batch keeps its last offset
  EXPECT_EQ(state_with(57, std::int32_t{-1}), BatchState::malformed);
  EXPECT_EQ(state_with(57, std::int32_t{3}), BatchState::malformed);
}

TEST(RecordBatch, RecordCountIsBoundedByTheBytes) {
  BatchHeader header;
  EXPECT_EQ(read_batch_header(batch_of(2, 1'000'000, Bytes(14, '\0')), header), BatchState::complete);
  EXPECT_EQ(read_batch_header(batch_of(3, 1'000'000, Bytes(14, '\0')), header), BatchState::malformed);
  // A compressed payload says nothing about the count.
  EXPECT_EQ(read_batch_header(batch_of(3, 1'000'000, Bytes(14, '\0'), 1), header), BatchState::complete);
}

TEST(RecordBatch, CursorWalksBatches) {
  Bytes second = build_batch({{2, "b", "b"}, {3, "c", "c"}});
  patch_base_offset(second.data(), 1);
  const Bytes records = build_batch({{1, "a", "a"}}) + second;
  const Bytes all = records + second.substr(0, 40);
  BatchCursor cursor{all};
  std::vector<Offset> last_offsets;
  for (; cursor.load(); cursor.advance()) last_offsets.push_back(cursor.header.last_offset());
  EXPECT_EQ(last_offsets, (std::vector<Offset>{0, 2}));
  EXPECT_EQ(cursor.state, BatchState::truncated);
  EXPECT_EQ(cursor.at, records.size());

  BatchCursor whole{records};
  while (whole.load()) whole.advance();
  EXPECT_EQ(whole.state, BatchState::complete);
  EXPECT_EQ(whole.at, records.size());
  BatchCursor empty{""};
  EXPECT_FALSE(empty.load());
  EXPECT_EQ(empty.state, BatchState::complete);
}

TEST(RecordBatch, HeadersOfRecordsAreSkipped) {
  // length 15: attributes, timestamp delta 1, offset delta 0, key "k", value "v", headers h="x" and i=null
  const Bytes record = "\x1e\x00\x02\x00\x02k\x02v\x04\x02h\x02x\x02i\x01"s;
  const auto records = read_plain_records(with_timestamps(batch_of(1, 0, record), 10, 11));
  ASSERT_TRUE(records);
  EXPECT_EQ(records->at(0).timestamp, 11);
  EXPECT_EQ(records->at(0).key, "k");
  EXPECT_EQ(records->at(0).value, "v");
}

TEST(RecordBatch, MalformedRecordsAreRefused) {
  const Bytes good = "\x0e\x00\x00\x00\x01\x02v\x00"s;  // null key, value "v"
  ASSERT_TRUE(read_plain_records(batch_of(1, 0, good)));
  const std::vector<Bytes> bad = {
      "\x0e\x00\x00\x00\x01\x02v"s,                      // ends early
      good + "\x00"s,                                    // bytes behind the last record
      "\x10\x00\x00\x00\x01\x02v\x00\x00"s,              // bytes behind the headers
      "\x0e\x00\x00\x02\x01\x02v\x00"s,                  // offset delta 1 in a batch whose last is 0
      "\x0e\x00\x00\x01\x01\x02v\x00"s,                  // offset delta -1
      "\x0e\x00\x00\x00\x03\x02v\x00"s,                  // key size -2
      "\x0e\x00\x00\x00\x01\x04v\x00"s,                  // value runs over the record
      "\x0e\x00\x00\x00\x01\x02v\x01"s,                  // header count -1
      "\x10\x00\x00\x00\x01\x02v\x02\x01"s,              // a header whose key is null
      "\x16\x00\x00\x00\x01\x02v\xfe\xff\xff\xff\x0f"s,  // 2^31-1 headers
      "\x01\x00\x00\x00\x01\x02v\x00"s,                  // record size -1
      "\xff\xff\xff\xff\xff\xff\xff\x00"s,               // an endless varint
  };
  for (std::size_t i = 0; i < bad.size(); ++i) EXPECT_FALSE(read_plain_records(batch_of(1, 0, bad[i]))) << i;
  EXPECT_FALSE(read_plain_records(batch_of(2, 1, good + good)));  // the same offset twice
}

TEST(RecordBatch, CompressedRecordsAreNotRead) {
  EXPECT_EQ(read_plain_records(build_batch({{1, "k", "v"}}, -1, -1, -1, 4)), std::nullopt);
}

TEST(FindByTimestamp, UncompressedIsExact) {
  Bytes batch = build_batch({{100, "a", "a"}, {90, "b", "b"}, {120, "c", "c"}, {110, "d", "d"}});
  patch_base_offset(batch.data(), 50);
  const auto offset_at = [&](std::int64_t timestamp) -> std::pair<Offset, std::int64_t> {
    const auto found = find_by_timestamp(batch, timestamp);
    return found ? std::pair{found->offset, found->timestamp} : std::pair{Offset{-1}, std::int64_t{-1}};
  };
  EXPECT_EQ(offset_at(0), (std::pair<Offset, std::int64_t>{50, 100}));
  EXPECT_EQ(offset_at(100), (std::pair<Offset, std::int64_t>{50, 100}));
  EXPECT_EQ(offset_at(101), (std::pair<Offset, std::int64_t>{52, 120}));
  EXPECT_EQ(offset_at(120), (std::pair<Offset, std::int64_t>{52, 120}));
  EXPECT_EQ(offset_at(121), (std::pair<Offset, std::int64_t>{-1, -1}));
}

TEST(FindByTimestamp, CompressedYieldsTheBaseOffset) {
  Bytes batch = build_batch({{100, "a", "a"}, {200, "b", "b"}}, -1, -1, -1, 1);
  patch_base_offset(batch.data(), 7);
  EXPECT_EQ(find_by_timestamp(batch, 50)->offset, 7);
  EXPECT_EQ(find_by_timestamp(batch, 50)->timestamp, 100);
  EXPECT_EQ(find_by_timestamp(batch, 150)->offset, 7);
  EXPECT_EQ(find_by_timestamp(batch, 150)->timestamp, 200);
  EXPECT_FALSE(find_by_timestamp(batch, 201));
}

TEST(FindByTimestamp, LogAppendTimeCountsForEveryRecord) {
  const Bytes batch = with_timestamps(build_batch({{1, "a", "a"}, {2, "b", "b"}}, -1, -1, -1, 8), 1, 500);
  EXPECT_EQ(find_by_timestamp(batch, 400)->offset, 0);
  EXPECT_EQ(find_by_timestamp(batch, 400)->timestamp, 500);
}

TEST(FindByTimestamp, MalformedIsNothing) {
  EXPECT_FALSE(find_by_timestamp("", 0));
  EXPECT_FALSE(find_by_timestamp(BytesView(build_batch({{100, "a", "a"}})).substr(0, 65), 0));
}

}  // namespace
}  // namespace crossover::protocol
