#include <gtest/gtest.h>

#include "protocol/crc32c.h"
#include "tests/sim/cluster_client.h"

namespace crossover::sim {
namespace {

using protocol::build_batch;
using protocol::PlainRecord;

class SimCompaction : public testing::Test {
 protected:
  SimCompaction() : client(ClusterOptions{.brokers = 1}) {
    client.cluster.create_topic("t", 1, {{"cleanup.policy", "compact"}, {"delete.retention.ms", "1000"}});
    client.advance(0);
  }

  const PartitionLog& log() { return *client.cluster.partition("t", 0)->log; }

  void write(const std::vector<PlainRecord>& records, ProducerId id = -1, std::int32_t sequence = -1) {
    Bytes batch = build_batch(records, id, id < 0 ? -1 : 0, sequence);
    ASSERT_EQ(client.cluster.append_as_stranger("t", 0, batch), ErrorCode::NONE);
  }

  void compact() {
    ASSERT_TRUE(client.cluster.compact("t", 0));
    for (const StoredBatch& batch : log().batches()) {
      BatchHeader header;
      ASSERT_EQ(protocol::read_batch_header(batch.bytes, header), protocol::BatchState::complete);
      EXPECT_EQ(header.crc, protocol::crc32c(BytesView(batch.bytes).substr(21)));
      EXPECT_EQ(header.base_offset, batch.header.base_offset);
      EXPECT_EQ(header.last_offset_delta, batch.header.last_offset_delta);
    }
  }

  std::vector<std::string> contents() {
    std::vector<std::string> all;
    for (const StoredBatch& batch : log().batches()) {
      auto records = protocol::read_plain_records(batch.bytes);
      if (!records) {
        all.push_back("unreadable");
        continue;
      }
      for (const auto& record : *records) all.push_back(*record.key + "=" + record.value.value_or("(none)"));
    }
    return all;
  }

  ClusterClient client;
};

TEST_F(SimCompaction, KeepsTheLastValueOfEachKeyAtItsOffset) {
  write({{1, "a", "1"}, {2, "b", "1"}});
  write({{3, "a", "2"}, {4, "c", "1"}});
  write({{5, "c", "2"}});
  write({{6, "end", "1"}});
  compact();
  EXPECT_EQ(contents(), (std::vector<std::string>{"b=1", "a=2", "c=2", "end=1"}));
  EXPECT_EQ(log().batches().front().header.base_offset, 0);
  EXPECT_EQ(log().batches().front().header.last_offset(), 1);
  EXPECT_EQ(log().end(), 6);
  auto hit = log().find_timestamp(2, 6);
  ASSERT_TRUE(hit);
  EXPECT_EQ(hit->offset, 1);
}

TEST_F(SimCompaction, TheLastBatchIsNeverCleaned) {
  write({{1, "a", "1"}});
  write({{1, "a", "2"}, {1, "a", "3"}});
  compact();
  EXPECT_EQ(contents(), (std::vector<std::string>{"a=1", "a=2", "a=3"}));
}

TEST_F(SimCompaction, TombstonesGoAfterTheirRetention) {
  write({{1, "a", "1"}});
  write({{2, "a", std::nullopt}});
  write({{3, "end", "1"}});
  compact();
  EXPECT_EQ(contents(), (std::vector<std::string>{"a=(none)", "end=1"}));
  client.advance(999);
  compact();
  EXPECT_EQ(contents(), (std::vector<std::string>{"a=(none)", "end=1"}));
  client.advance(1);
  compact();
  EXPECT_EQ(contents(), (std::vector<std::string>{"end=1"}));
  EXPECT_EQ(log().batches().size(), 1u);
}

TEST_F(SimCompaction, AProducersLastBatchStaysEmpty) {
  write({{1, "a", "1"}}, 7, 0);
  write({{2, "b", "1"}}, 7, 1);
  write({{3, "b", "2"}, {3, "a", "2"}});
  write({{4, "end", "1"}});
  compact();
  EXPECT_EQ(contents(), (std::vector<std::string>{"b=2", "a=2", "end=1"}));
  ASSERT_EQ(log().batches().size(), 3u);
  EXPECT_EQ(log().batches()[0].header.base_offset, 1);
  EXPECT_EQ(log().batches()[0].header.record_count, 0);
  EXPECT_EQ(log().batches()[0].header.last_sequence(), 1);
}

TEST_F(SimCompaction, NothingAtOrBehindTheLimit) {
  write({{1, "a", "1"}});
  write({{2, "a", "2"}});
  write({{3, "a", "3"}});
  ASSERT_TRUE(client.cluster.compact("t", 0, 1));
  // Only the first batch could go, and what lies behind the limit is not known to the cleaner.
  EXPECT_EQ(contents(), (std::vector<std::string>{"a=1", "a=2", "a=3"}));
  ASSERT_TRUE(client.cluster.compact("t", 0, 2));
  EXPECT_EQ(contents(), (std::vector<std::string>{"a=2", "a=3"}));
}

TEST_F(SimCompaction, AReadThroughTheHolesGoesOn) {
  write({{1, "a", "1"}});
  write({{1, "a", "2"}});
  write({{1, "b", "1"}});
  write({{1, "end", "1"}});
  compact();
  EXPECT_EQ(log().batches().front().header.base_offset, 1);
  EXPECT_EQ(log().read(0, log().end(), 1 << 20, true).substr(0, 8), Bytes("\0\0\0\0\0\0\0\1", 8));
  EXPECT_EQ(log().start(), 0);
}

}  // namespace
}  // namespace crossover::sim
