// What transactions leave in simulated logs: what is stable, what was aborted, and positions that wait for an end.
#include "tests/sim/broker_records.h"
#include "tests/unit/sim_transactions.h"

namespace crossover::sim {
namespace {

using protocol::FetchRequest;
using protocol::FetchResponse;

constexpr std::int16_t read_committed = 1;

ClusterOptions of_release(KafkaRelease release) {
  ClusterOptions options;
  options.release = release;
  return options;
}

class SimTransactionLog : public SimTransactions {
 protected:
  FetchResponse::PartitionData fetch(Offset from, std::int8_t isolation) {
    FetchRequest request;
    request.max_bytes = 1 << 24;
    request.isolation_level = isolation;
    auto& topic = request.topics.emplace_back();
    topic.topic = "t";
    auto& row = topic.partitions.emplace_back();
    row.fetch_offset = from;
    row.partition_max_bytes = 1 << 20;
    return client.ask<FetchResponse>(leader(0), request, 11)->responses.at(0).partitions.at(0);
  }

  static std::vector<Offset> offsets_in(const FetchResponse::PartitionData& data) {
    std::vector<Offset> offsets;
    protocol::BatchCursor cursor{data.records.value_or("")};
    for (; cursor.load(); cursor.advance()) offsets.push_back(cursor.header.base_offset);
    return offsets;
  }

  Offset end_offset(std::int8_t isolation) {
    protocol::ListOffsetsRequest request;
    request.replica_id = -1;
    request.isolation_level = isolation;
    auto& topic = request.topics.emplace_back();
    topic.name = "t";
    topic.partitions.emplace_back().timestamp = -1;
    return client.ask<protocol::ListOffsetsResponse>(leader(0), request, 5)->topics.at(0).partitions.at(0).offset;
  }

  protocol::OffsetFetchResponse::OffsetFetchResponsePartition committed(bool require_stable) {
    protocol::OffsetFetchRequest request;
    request.group_id = "g";
    request.require_stable = require_stable;
    request.topics->push_back({"in", {0}});
    const auto to = client.to(client.cluster.coordinator("g"));
    return client.ask<protocol::OffsetFetchResponse>(to, request, 7)->topics.at(0).partitions.at(0);
  }

  protocol::DescribeProducersResponse::ProducerState described() {
    protocol::DescribeProducersRequest request;
    request.topics.push_back({"t", {0}});
    const auto answer = client.ask<protocol::DescribeProducersResponse>(leader(0), request, 0).value();
    return answer.topics.at(0).partitions.at(0).active_producers.at(0);
  }
};

TEST_F(SimTransactionLog, ReadCommittedStopsAtTheFirstOpenTransaction) {
  ASSERT_EQ(client.cluster.append_as_stranger("t", 0, protocol::build_batch({{1, "k", "v"}})), ErrorCode::NONE);
  const Identity producer = init();
  ASSERT_EQ(add(producer), 0);
  ASSERT_EQ(produce(producer, 0).error_code, 0);
  EXPECT_EQ(offsets_in(fetch(0, read_committed)), (std::vector<Offset>{0}));
  EXPECT_EQ(offsets_in(fetch(0, 0)), (std::vector<Offset>{0, 1}));
  EXPECT_EQ(fetch(0, 0).last_stable_offset, 1);
  EXPECT_EQ(fetch(0, 0).high_watermark, 2);
  EXPECT_EQ(end_offset(read_committed), 1);
  EXPECT_EQ(end_offset(0), 2);
  EXPECT_EQ(described().current_txn_start_offset, 1);
  EXPECT_EQ(described().coordinator_epoch, -1);
  ASSERT_EQ(end(producer, true).error, 0);
  EXPECT_EQ(offsets_in(fetch(0, read_committed)), (std::vector<Offset>{0, 1, 2})) << "markers are in the answer";
  EXPECT_EQ(end_offset(read_committed), 3);
  EXPECT_EQ(described().current_txn_start_offset, -1);
  EXPECT_EQ(described().coordinator_epoch, 0);
}

TEST_F(SimTransactionLog, AbortedTransactionsAreNamedWhereTheyOverlap) {
  const Identity producer = init();
  transact(producer, 0, false);  // 0, marker 1
  transact(producer, 1, true);   // 2, marker 3
  transact(producer, 2, false);  // 4, marker 5
  const auto all = fetch(0, read_committed);
  ASSERT_EQ(all.aborted_transactions->size(), 2u);
  EXPECT_EQ(all.aborted_transactions->at(0).producer_id, producer.id);
  EXPECT_EQ(all.aborted_transactions->at(0).first_offset, 0);
  EXPECT_EQ(all.aborted_transactions->at(1).first_offset, 4);
  EXPECT_EQ(fetch(2, read_committed).aborted_transactions->size(), 1u);
  EXPECT_EQ(fetch(1, read_committed).aborted_transactions->size(), 2u) << "its marker is still to come";
  EXPECT_TRUE(fetch(6, read_committed).aborted_transactions->empty());
  EXPECT_FALSE(fetch(0, 0).aborted_transactions.has_value());
}

TEST_F(SimTransactionLog, MarkersSayHowItEnded) {
  const Identity producer = init();
  transact(producer, 0, false);
  const auto& batches = client.cluster.partition("t", 0)->log->batches();
  ASSERT_TRUE(read_end_marker(batches.back()));
  EXPECT_FALSE(read_end_marker(batches.back())->committed);
  EXPECT_FALSE(read_end_marker(batches.front())) << "data";
  EXPECT_TRUE(protocol::has_valid_crc(batches.back().bytes));
}

TEST_F(SimTransactionLog, TheLogAloneTellsEverything) {
  const Identity producer = init();
  transact(producer, 0, false);
  ASSERT_EQ(add(producer), 0);
  ASSERT_EQ(produce(producer, 1).error_code, 0);
  const auto view = *client.cluster.partition("t", 0);
  ProducerStates rebuilt;
  rebuilt.rebuild(*view.log, client.now_ms);
  EXPECT_EQ(rebuilt.aborted().size(), 1u);
  EXPECT_EQ(rebuilt.entries().at(producer.id).txn_start, 2);
  EXPECT_EQ(rebuilt.entries().at(producer.id).last_sequence(), 1);
  EXPECT_EQ(rebuilt.first_unstable(view.high_watermark), 2);
}

TEST_F(SimTransactionLog, ATruncatedMarkerReopensTheTransaction) {
  const Identity producer = init();
  transact(producer, 0, false);
  client.cluster.unclean_election("t", 0, client.cluster.partition("t", 0)->replicas[1], 1);
  EXPECT_EQ(stable_end(), 0);
  EXPECT_TRUE(client.cluster.partition("t", 0)->producers->aborted().empty());
}

TEST_F(SimTransactionLog, RetentionDoesNotHoldTheStableOffsetBack) {
  const Identity producer = init();
  transact(producer, 0, false);
  ASSERT_EQ(add(producer), 0);
  ASSERT_EQ(produce(producer, 1).error_code, 0);
  client.cluster.set_log_start("t", 0, 3);
  EXPECT_EQ(stable_end(), 3);
  EXPECT_TRUE(client.cluster.partition("t", 0)->producers->aborted().empty());
  ProducerStates later = *client.cluster.partition("t", 0)->producers;
  later.expire(client.now_ms + 86400000, 86400000);
  EXPECT_EQ(later.entries().at(producer.id).txn_start, 2) << "open transactions do not expire";
}

TEST_F(SimTransactionLog, TheCleanerDropsAbortedRecordsAndThenTheirMarkers) {
  client.cluster.set_topic_config("t", "cleanup.policy", "compact");
  client.cluster.set_topic_config("t", "delete.retention.ms", "100");
  const Identity producer = init();
  transact(producer, 0, true);   // 0, 1
  transact(producer, 1, false);  // 2, 3
  transact(producer, 2, true);   // 4, 5
  ASSERT_EQ(client.cluster.append_as_stranger("t", 0, protocol::build_batch({{1, "other", "v"}})), ErrorCode::NONE);
  client.cluster.compact("t", 0);
  EXPECT_EQ(offsets_in(fetch(0, 0)), (std::vector<Offset>{1, 3, 4, 5, 6})) << "the key's last committed value is at 4";
  client.advance(101);
  client.cluster.compact("t", 0);
  EXPECT_EQ(offsets_in(fetch(0, 0)), (std::vector<Offset>{4, 5, 6}));
}

TEST_F(SimTransactionLog, TheCleanerStopsAtTheStableOffset) {
  client.cluster.set_topic_config("t", "cleanup.policy", "compact");
  const Identity producer = init();
  ASSERT_EQ(add(producer), 0);
  ASSERT_EQ(produce(producer, 0).error_code, 0);
  for (int i = 0; i < 3; ++i)
    ASSERT_EQ(client.cluster.append_as_stranger("t", 0, protocol::build_batch({{1, "key", "v"}})), ErrorCode::NONE);
  client.cluster.compact("t", 0);
  EXPECT_EQ(offsets_in(fetch(0, 0)).size(), 4u);
}

TEST_F(SimTransactionLog, PlainBatchesHaveNoPlaceInAnOpenTransaction) {
  const Identity producer = init();
  ASSERT_EQ(add(producer), 0);
  ASSERT_EQ(produce(producer, 0).error_code, 0);
  const Bytes plain = protocol::build_batch({{1, "k", "v"}}, producer.id, producer.epoch, 1);
  EXPECT_EQ(client.cluster.append_as_stranger("t", 0, plain), ErrorCode::INVALID_TXN_STATE);
}

TEST_F(SimTransactionLog, DataOfNoTransactionIsRefusedByItsVersionsError) {
  const Identity producer = init();
  EXPECT_EQ(produce(producer, 0, 0, 10).error_code, 48);
  EXPECT_EQ(produce(producer, 0, 0, 11).error_code, 120);
  ASSERT_EQ(add(producer, 1), 0);
  EXPECT_EQ(produce(producer, 0, 0, 11).error_code, 120) << "another partition was added";
  EXPECT_EQ(produce({0, producer.id + 5, 0}, 0, 1, 11).error_code, 49);
  EXPECT_EQ(log_end(), 0);
}

TEST_F(SimTransactionLog, WhatCouldNotBeVerifiedComesFirst) {
  const Identity producer = init();
  EXPECT_EQ(produce(producer, 0).error_code, 120);
  ASSERT_EQ(add(producer), 0);
  EXPECT_EQ(produce(producer, 1).error_code, 45);
  EXPECT_EQ(produce(producer, 0).error_code, 0);
  EXPECT_EQ(produce(producer, 1).error_code, 0);
}

class SimOldTransactions : public SimTransactionLog {
 protected:
  SimOldTransactions() {
    client.cluster = Cluster(of_release(KafkaRelease::v2_8)), client.cluster.create_topic("t", 1);
  }
};

TEST_F(SimOldTransactions, VerifyNothing) {
  const Identity producer = init(-1, -1, 4);
  EXPECT_EQ(produce(producer, 7, 0, 9).error_code, 0);
  EXPECT_EQ(stable_end(), 0) << "such a transaction hangs";
}

TEST_F(SimTransactionLog, PositionsCountWhenTheTransactionIsCommitted) {
  const Identity producer = init();
  EXPECT_EQ(commit_offset(producer, 5, 4), 120) << "the group was not added";
  ASSERT_EQ(add_offsets(producer), 0);
  ASSERT_EQ(commit_offset(producer, 5), 0) << "without a member; the group comes into being";
  EXPECT_EQ(committed(false).committed_offset, -1);
  EXPECT_EQ(committed(false).error_code, 0);
  EXPECT_EQ(committed(true).error_code, 88);
  ASSERT_EQ(end(producer, true).error, 0);
  EXPECT_EQ(committed(true).committed_offset, 5);
  ASSERT_EQ(add_offsets(producer), 0);
  ASSERT_EQ(commit_offset(producer, 9), 0);
  ASSERT_EQ(end(producer, false).error, 0);
  EXPECT_EQ(committed(true).committed_offset, 5);
}

TEST_F(SimTransactionLog, Protocol2AddsTheGroupWithTheCommit) {
  const Identity producer = init();
  for (Version version : {5, 6}) {
    const Identity now{0, producer.id, static_cast<ProducerEpoch>(producer.epoch + version - 5)};
    ASSERT_EQ(commit_offset(now, version, version), 0);
    EXPECT_EQ(client.cluster.transaction("tx")->groups.count("g"), 1u);
    ASSERT_EQ(end(now, true, 5).error, 0);
    EXPECT_EQ(committed(true).committed_offset, version);
    EXPECT_EQ(commit_offset(now, 1, version), 47) << "the epoch is over";
  }
}

TEST_F(SimTransactionLog, AMembersCommitIsCheckedALegacyOneIsNot) {
  const Identity producer = init();
  ASSERT_EQ(add_offsets(producer), 0);
  EXPECT_EQ(commit_offset(producer, 1, 3, "nobody", 3), 22) << "no such group yet";
  ASSERT_EQ(commit_offset(producer, 1), 0);
  EXPECT_EQ(commit_offset(producer, 1, 3, "nobody", 3), 25);
}

TEST_F(SimTransactionLog, ALaterPlainCommitOutlivesTheTransactionsEarlierOne) {
  const Identity producer = init();
  ASSERT_EQ(add_offsets(producer), 0);
  ASSERT_EQ(commit_offset(producer, 5), 0);
  protocol::OffsetCommitRequest request;
  request.group_id = "g";
  auto& topic = request.topics.emplace_back();
  topic.name = "in";
  topic.partitions.emplace_back().committed_offset = 77;
  client.ask<protocol::OffsetCommitResponse>(client.to(client.cluster.coordinator("g")), request, 7);
  ASSERT_EQ(end(producer, true).error, 0);
  EXPECT_EQ(committed(true).committed_offset, 77);
}

}  // namespace
}  // namespace crossover::sim
