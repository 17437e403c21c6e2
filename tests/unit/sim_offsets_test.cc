#include <gtest/gtest.h>

#include "protocol/record_batch.h"
#include "tests/sim/cluster_client.h"

namespace crossover::sim {
namespace {

using protocol::build_batch;
using protocol::DeleteRecordsRequest;
using protocol::DeleteRecordsResponse;
using protocol::DescribeProducersRequest;
using protocol::DescribeProducersResponse;
using protocol::ListOffsetsRequest;
using protocol::ListOffsetsResponse;
using protocol::OffsetForLeaderEpochRequest;
using protocol::OffsetForLeaderEpochResponse;

class SimOffsets : public testing::Test {
 protected:
  SimOffsets() : client(ClusterOptions{.first_leader_epoch = 3}) { client.cluster.create_topic("t", 1); }

  PartitionView view() { return *client.cluster.partition("t", 0); }
  NodeId follower() { return view().leader == view().replicas[0] ? view().replicas[1] : view().replicas[0]; }

  void write(std::int64_t timestamp, int records = 1) {
    std::vector<protocol::PlainRecord> plain(static_cast<std::size_t>(records));
    for (auto& record : plain) record = {timestamp++, "k", "v"};
    ASSERT_EQ(client.cluster.append_as_stranger("t", 0, build_batch(plain)), ErrorCode::NONE);
  }

  struct Asked {
    std::int64_t timestamp = -1;
    NodeId replica = -1;
    LeaderEpoch epoch = -1;
    NodeId node = -1;  // the leader
    protocol::Version version = 7;
  };
  ListOffsetsResponse::ListOffsetsPartitionResponse list(const Asked& asked) {
    ListOffsetsRequest request;
    request.replica_id = asked.replica;
    request.topics.resize(1);
    request.topics[0].name = "t";
    request.topics[0].partitions.resize(1);
    request.topics[0].partitions[0].timestamp = asked.timestamp;
    request.topics[0].partitions[0].current_leader_epoch = asked.epoch;
    NodeId node = asked.node < 0 ? view().leader : asked.node;
    auto response = client.ask<ListOffsetsResponse>(client.to(node), request, asked.version);
    return response.value().topics.at(0).partitions.at(0);
  }

  OffsetForLeaderEpochResponse::EpochEndOffset epoch_end(LeaderEpoch epoch, LeaderEpoch current = -1) {
    OffsetForLeaderEpochRequest request;
    request.topics.resize(1);
    request.topics[0].topic = "t";
    request.topics[0].partitions.resize(1);
    request.topics[0].partitions[0].leader_epoch = epoch;
    request.topics[0].partitions[0].current_leader_epoch = current;
    auto response = client.ask<OffsetForLeaderEpochResponse>(client.to(view().leader), request, 4);
    return response.value().topics.at(0).partitions.at(0);
  }

  ClusterClient client;
};

TEST_F(SimOffsets, EndsOfTheLogInEveryVersion) {
  write(100, 3);
  write(200, 2);
  client.cluster.set_log_start("t", 0, 1);
  for (protocol::Version version = 1; version <= 11; ++version) {
    EXPECT_EQ(list({.timestamp = -1, .version = version}).offset, 5) << version;
    EXPECT_EQ(list({.timestamp = -2, .version = version}).offset, 1) << version;
  }
  EXPECT_EQ(list({.timestamp = -1}).leader_epoch, 3);
  EXPECT_EQ(list({.timestamp = -2}).leader_epoch, 3);
}

TEST_F(SimOffsets, ByTimestamp) {
  write(100, 3);
  write(50, 2);
  write(200, 1);
  auto hit = list({.timestamp = 102});
  EXPECT_EQ(hit.offset, 2);
  EXPECT_EQ(hit.timestamp, 102);
  EXPECT_EQ(list({.timestamp = 103}).offset, 5);
  EXPECT_EQ(list({.timestamp = 201}).offset, -1);
  EXPECT_EQ(list({.timestamp = 0}).offset, 0);
  client.cluster.set_log_start("t", 0, 1);
  EXPECT_EQ(list({.timestamp = 0}).offset, 1);
  auto newest = list({.timestamp = -3});
  EXPECT_EQ(newest.offset, 5);
  EXPECT_EQ(newest.timestamp, 200);
}

TEST_F(SimOffsets, SpecialTimestampsHaveTheirVersions) {
  write(100);
  EXPECT_EQ(list({.timestamp = -3, .version = 6}).error_code, 35);
  EXPECT_EQ(list({.timestamp = -4, .version = 7}).error_code, 35);
  EXPECT_EQ(list({.timestamp = -4, .version = 8}).offset, 0);
  EXPECT_EQ(list({.timestamp = -5, .version = 9}).offset, -1);
  EXPECT_EQ(list({.timestamp = -9, .version = 11}).error_code, 35);
}

TEST_F(SimOffsets, TheDebuggingReplicaSeesTheLogEnd) {
  write(100, 2);
  client.cluster.set_high_watermark_lag("t", 0, 2);
  write(100, 2);
  EXPECT_EQ(list({.timestamp = -1}).offset, 2);
  EXPECT_EQ(list({.timestamp = -1, .replica = -2}).offset, 4);
  // A follower answers it too, with what it has copied; it does not answer consumers.
  EXPECT_EQ(list({.timestamp = -1, .replica = -2, .node = follower()}).offset, 2);
  EXPECT_EQ(list({.timestamp = -1, .node = follower()}).error_code, 6);
}

TEST_F(SimOffsets, LeaderEpochsAreChecked) {
  write(100);
  EXPECT_EQ(list({.epoch = 3}).error_code, 0);
  EXPECT_EQ(list({.epoch = 2}).error_code, 74);
  EXPECT_EQ(list({.epoch = 4}).error_code, 75);
  EXPECT_EQ(list({.replica = -2, .epoch = 4}).error_code, 75);
}

TEST_F(SimOffsets, ANewLeaderWaitsForTheWatermarkToReachItsEpoch) {
  write(100, 2);
  client.cluster.set_high_watermark_lag("t", 0, 2);
  write(100, 2);
  client.cluster.move_leader("t", 0, follower());
  EXPECT_EQ(list({.timestamp = -1}).error_code, 78);
  EXPECT_EQ(list({.timestamp = 999}).error_code, 78);
  EXPECT_EQ(list({.timestamp = 0}).offset, 0);
  client.cluster.set_high_watermark_lag("t", 0, 0);
  EXPECT_EQ(list({.timestamp = -1}).offset, 4);
}

TEST_F(SimOffsets, EpochHistory) {
  write(100, 2);                                   // epoch 3: 0..2
  client.cluster.move_leader("t", 0, follower());  // 4, nothing written
  client.cluster.move_leader("t", 0, follower());  // 5
  write(100, 3);                                   // 2..5
  client.cluster.move_leader("t", 0, follower());  // 6
  EXPECT_EQ(epoch_end(3).end_offset, 2);
  // The empty epoch is unknown: the answer is the one below it.
  EXPECT_EQ(epoch_end(4).leader_epoch, 3);
  EXPECT_EQ(epoch_end(4).end_offset, 2);
  EXPECT_EQ(epoch_end(5).end_offset, 5);
  EXPECT_EQ(epoch_end(6).end_offset, 5);
  EXPECT_EQ(epoch_end(6).leader_epoch, 6);
  EXPECT_EQ(epoch_end(7).end_offset, -1);
  EXPECT_EQ(epoch_end(7).leader_epoch, -1);
  EXPECT_EQ(epoch_end(1).leader_epoch, 1);
  EXPECT_EQ(epoch_end(1).end_offset, 0);
  EXPECT_EQ(epoch_end(5, 5).error_code, 74);
}

TEST_F(SimOffsets, RetentionCutsTheEpochHistory) {
  write(100, 2);
  client.cluster.move_leader("t", 0, follower());
  write(100, 2);
  client.cluster.set_log_start("t", 0, 3);
  EXPECT_EQ(epoch_end(3).leader_epoch, 3);
  EXPECT_EQ(epoch_end(3).end_offset, 3);
  EXPECT_EQ(list({.timestamp = -2}).leader_epoch, 4);
}

TEST_F(SimOffsets, DescribeProducersTellsTheLastSequence) {
  client.cluster.append_as_stranger("t", 0, build_batch({{1, "k", "v"}, {1, "k", "v"}}, 9, 2, 0));
  DescribeProducersRequest request;
  request.topics = {{"t", {0, 5}}};
  auto leader = client.ask<DescribeProducersResponse>(client.to(view().leader), request, 0).value();
  auto& partition = leader.topics.at(0).partitions.at(0);
  ASSERT_EQ(partition.active_producers.size(), 1u);
  EXPECT_EQ(partition.active_producers[0].producer_id, 9);
  EXPECT_EQ(partition.active_producers[0].producer_epoch, 2);
  EXPECT_EQ(partition.active_producers[0].last_sequence, 1);
  EXPECT_EQ(leader.topics[0].partitions.at(1).error_code, 3);
  auto other = client.ask<DescribeProducersResponse>(client.to(follower()), request, 0).value();
  EXPECT_EQ(other.topics.at(0).partitions.at(0).error_code, 6);
}

TEST_F(SimOffsets, DeleteRecordsMovesTheStart) {
  write(100, 4);
  auto remove = [&](Offset upto) {
    DeleteRecordsRequest request;
    request.topics = {{"t", {{0, upto}}}};
    auto response = client.ask<DeleteRecordsResponse>(client.to(view().leader), request, 2);
    return response.value().topics.at(0).partitions.at(0);
  };
  EXPECT_EQ(remove(2).low_watermark, 2);
  EXPECT_EQ(remove(1).low_watermark, 2);
  EXPECT_EQ(remove(5).error_code, 1);
  EXPECT_EQ(remove(-1).low_watermark, 4);
  client.cluster.set_topic_config("t", "cleanup.policy", "compact");
  EXPECT_EQ(remove(-1).error_code, 44);
}

}  // namespace
}  // namespace crossover::sim
