#include <gtest/gtest.h>

#include "protocol/record_batch.h"
#include "tests/sim/cluster_client.h"

namespace crossover::sim {
namespace {

using protocol::FetchRequest;
using protocol::FetchResponse;

class SimFetch : public testing::Test {
 protected:
  SimFetch() : client(ClusterOptions{.brokers = 1}) { client.cluster.create_topic("t", 2); }

  void write(int batches, PartitionIndex partition = 0) {
    for (int i = 0; i < batches; ++i) {
      Bytes batch = protocol::build_batch({{1000, "key", "value"}, {1000, "key", "value"}});
      batch_bytes = batch.size();
      ASSERT_EQ(client.cluster.append_as_stranger("t", partition, batch), ErrorCode::NONE);
    }
  }

  FetchRequest::FetchPartition position(PartitionIndex partition, Offset offset, std::int32_t max_bytes = 1 << 20) {
    FetchRequest::FetchPartition asked;
    asked.partition = partition;
    asked.fetch_offset = offset;
    asked.partition_max_bytes = max_bytes;
    return asked;
  }

  FetchRequest request_of(std::vector<FetchRequest::FetchPartition> partitions, std::int32_t max_wait_ms = 0) {
    FetchRequest request;
    request.max_wait_ms = max_wait_ms;
    request.min_bytes = 1;
    request.max_bytes = 1 << 24;
    FetchRequest::FetchTopic topic;
    topic.topic = "t";
    topic.topic_id = *client.cluster.topic_id("t");
    topic.partitions = std::move(partitions);
    request.topics.push_back(topic);
    return request;
  }

  FetchResponse ask(const FetchRequest& request, protocol::Version version = 12) {
    return client.ask<FetchResponse>(client.to(1), request, version).value();
  }

  FetchResponse::PartitionData one(const FetchRequest& request, protocol::Version version = 12) {
    return ask(request, version).responses.at(0).partitions.at(0);
  }

  ClusterClient client;
  std::size_t batch_bytes = 0;
};

TEST_F(SimFetch, EveryVersionReturnsTheLogsBytes) {
  write(2);
  for (protocol::Version version = 4; version <= 18; ++version) {
    FetchRequest request = request_of({position(0, 0)});
    request.session_epoch = -1;
    auto answer = one(request, version);
    EXPECT_EQ(answer.error_code, 0) << version;
    EXPECT_EQ(answer.high_watermark, 4) << version;
    EXPECT_EQ(answer.last_stable_offset, 4) << version;
    auto& batches = client.cluster.partition("t", 0)->log->batches();
    EXPECT_EQ(Bytes(answer.records.value()), batches[0].bytes + batches[1].bytes) << version;
  }
}

TEST_F(SimFetch, StartsWithTheBatchThatHoldsTheOffset) {
  write(3);
  auto answer = one(request_of({position(0, 3)}));
  EXPECT_EQ(answer.records->size(), 2 * batch_bytes);
}

TEST_F(SimFetch, LimitsCutBatchesButNeverTheFirst) {
  write(3);
  auto limit = static_cast<std::int32_t>(batch_bytes);
  EXPECT_EQ(one(request_of({position(0, 0, 1)})).records->size(), batch_bytes);
  EXPECT_EQ(one(request_of({position(0, 0, limit + 10)})).records->size(), batch_bytes + 10);
  write(1, 1);
  FetchRequest both = request_of({position(0, 0, 1), position(1, 0, 1)});
  auto answers = ask(both).responses.at(0).partitions;
  EXPECT_EQ(answers.at(0).records->size(), batch_bytes);
  EXPECT_EQ(answers.at(1).records->size(), 0u);
  FetchRequest whole = request_of({position(0, 0), position(1, 0)});
  whole.max_bytes = limit;
  answers = ask(whole).responses.at(0).partitions;
  EXPECT_EQ(answers.at(0).records->size(), batch_bytes);
  EXPECT_EQ(answers.at(1).records->size(), 0u);
}

TEST_F(SimFetch, NothingBehindTheHighWatermark) {
  write(2);
  client.cluster.set_high_watermark_lag("t", 0, 3);
  write(2);
  EXPECT_EQ(client.cluster.partition("t", 0)->high_watermark, 4);
  auto answer = one(request_of({position(0, 0)}));
  EXPECT_EQ(answer.high_watermark, 4);
  EXPECT_EQ(answer.records->size(), 2 * batch_bytes);
  EXPECT_EQ(one(request_of({position(0, 6)})).error_code, 0);
  EXPECT_EQ(one(request_of({position(0, 8)})).error_code, 0);
  EXPECT_EQ(one(request_of({position(0, 9)})).error_code, 1);
}

TEST_F(SimFetch, LongPollEndsWithRecordsOrWithTime) {
  ConnectionId connection = client.to(1);
  client.send(connection, request_of({position(0, 0)}, 500), 12);
  EXPECT_FALSE(client.answered(connection));
  write(1);
  EXPECT_EQ(client.receive<FetchResponse>(connection, 12)->responses[0].partitions[0].records->size(), batch_bytes);

  FetchRequest more = request_of({position(0, 0)}, 500);
  more.min_bytes = static_cast<std::int32_t>(batch_bytes) + 1;
  client.send(connection, more, 12);
  EXPECT_FALSE(client.answered(connection));
  client.advance(499);
  EXPECT_FALSE(client.answered(connection));
  client.advance(1);
  EXPECT_EQ(client.receive<FetchResponse>(connection, 12)->responses[0].partitions[0].records->size(), batch_bytes);
}

TEST_F(SimFetch, RetentionMovesTheStart) {
  write(3);
  client.cluster.set_log_start("t", 0, 3);
  EXPECT_EQ(one(request_of({position(0, 2)})).error_code, 1);
  auto answer = one(request_of({position(0, 3)}));
  EXPECT_EQ(answer.log_start_offset, 3);
  EXPECT_EQ(answer.records->size(), 2 * batch_bytes);
}

TEST_F(SimFetch, EpochsFenceAndHintAtTheLeader) {
  ClusterClient three(ClusterOptions{.first_leader_epoch = 5});
  three.cluster.create_topic("t", 1);
  NodeId leader = three.cluster.partition("t", 0)->leader;
  FetchRequest request = request_of({position(0, 0)});
  request.topics[0].topic_id = *three.cluster.topic_id("t");
  auto ask_at = [&](NodeId node, LeaderEpoch epoch) {
    request.topics[0].partitions[0].current_leader_epoch = epoch;
    return three.ask<FetchResponse>(three.to(node), request, 16).value();
  };
  EXPECT_EQ(ask_at(leader, 5).responses[0].partitions[0].error_code, 0);
  EXPECT_EQ(ask_at(leader, 6).responses[0].partitions[0].error_code, 75);
  auto fenced = ask_at(leader, 4);
  EXPECT_EQ(fenced.responses[0].partitions[0].error_code, 74);
  EXPECT_EQ(fenced.responses[0].partitions[0].current_leader.leader_epoch, 5);
  NodeId follower = three.cluster.partition("t", 0)->replicas[1];
  auto moved = ask_at(follower, 5);
  EXPECT_EQ(moved.responses[0].partitions[0].error_code, 6);
  EXPECT_EQ(moved.responses[0].partitions[0].current_leader.leader_id, leader);
  EXPECT_EQ(moved.node_endpoints.at(0).node_id, leader);
}

TEST_F(SimFetch, ATruncatedLogShowsWhereItDiverges) {
  write(2);
  client.cluster.unclean_election("t", 0, 1, 2);
  write(1);
  FetchRequest request = request_of({position(0, 4)});
  request.topics[0].partitions[0].last_fetched_epoch = 0;
  auto answer = one(request);
  EXPECT_EQ(answer.error_code, 0);
  EXPECT_EQ(answer.diverging_epoch.epoch, 0);
  EXPECT_EQ(answer.diverging_epoch.end_offset, 2);
}

TEST_F(SimFetch, UnknownIdsAndNames) {
  FetchRequest request = request_of({position(0, 0), position(7, 0)});
  EXPECT_EQ(ask(request).responses[0].partitions[1].error_code, 3);
  client.cluster.delete_topic("t");
  client.cluster.create_topic("t", 2);
  EXPECT_EQ(one(request, 13).error_code, 100);
  EXPECT_EQ(one(request, 12).error_code, 0);
}

TEST_F(SimFetch, SessionsAnswerOnlyWhatChanged) {
  write(1);
  FetchRequest full = request_of({position(0, 0), position(1, 0)});
  full.session_epoch = 0;
  auto first = ask(full);
  ASSERT_NE(first.session_id, 0);
  EXPECT_EQ(first.responses[0].partitions.size(), 2u);

  FetchRequest next = request_of({position(0, 2)});
  next.session_id = first.session_id;
  next.session_epoch = 1;
  auto second = ask(next);
  EXPECT_EQ(second.session_id, first.session_id);
  EXPECT_TRUE(second.responses.empty());

  next.topics.clear();
  next.session_epoch = 2;
  write(1, 1);
  auto third = ask(next);
  ASSERT_EQ(third.responses.size(), 1u);
  EXPECT_EQ(third.responses[0].partitions.at(0).partition_index, 1);

  FetchRequest forget = next;
  forget.session_epoch = 3;
  forget.forgotten_topics_data.push_back({});
  forget.forgotten_topics_data[0].topic = "t";
  forget.forgotten_topics_data[0].partitions = {1};
  EXPECT_TRUE(ask(forget).responses.empty());
  write(1, 1);
  forget.session_epoch = 4;
  forget.forgotten_topics_data.clear();
  EXPECT_TRUE(ask(forget).responses.empty());
}

TEST_F(SimFetch, SessionErrors) {
  FetchRequest full = request_of({position(0, 0)});
  full.session_epoch = 0;
  std::int32_t session = ask(full).session_id;
  FetchRequest next = request_of({});
  next.session_id = session;
  next.session_epoch = 2;
  EXPECT_EQ(ask(next).error_code, 71);
  next.session_id = session + 1;
  EXPECT_EQ(ask(next).error_code, 70);
  next.session_id = session;
  next.session_epoch = 1;
  EXPECT_EQ(ask(next, 13).error_code, 106);
  // A restart of the broker loses its sessions.
  client.cluster.stop_broker(1);
  client.cluster.start_broker(1);
  EXPECT_EQ(ask(next).error_code, 70);
}

TEST_F(SimFetch, AClosingEpochEndsTheSession) {
  FetchRequest full = request_of({position(0, 0)});
  full.session_epoch = 0;
  FetchRequest closing = request_of({position(0, 0)});
  closing.session_id = ask(full).session_id;
  closing.session_epoch = -1;
  EXPECT_EQ(ask(closing).session_id, 0);
  FetchRequest next = closing;
  next.session_epoch = 1;
  EXPECT_EQ(ask(next).error_code, 70);
}

TEST_F(SimFetch, ReadCommittedHasAnEmptyListOfAborts) {
  write(1);
  FetchRequest request = request_of({position(0, 0)});
  EXPECT_FALSE(one(request).aborted_transactions.has_value());
  request.isolation_level = 1;
  ASSERT_TRUE(one(request).aborted_transactions.has_value());
  EXPECT_TRUE(one(request).aborted_transactions->empty());
}

}  // namespace
}  // namespace crossover::sim
