// A producer's requests to the simulated transaction coordinator and to leaders, as both protocols send them.
#pragma once

#include <gtest/gtest.h>

#include "protocol/record_batch.h"
#include "tests/sim/cluster_client.h"

namespace crossover::sim {

class SimTransactions : public testing::Test {
 protected:
  using Version = protocol::Version;
  struct Identity {
    std::int16_t error = 0;
    ProducerId id = -1;
    ProducerEpoch epoch = -1;
  };

  explicit SimTransactions(ClusterOptions options = {}) : client(std::move(options)) {
    client.cluster.create_topic("t", 3);
    client.cluster.create_topic("in", 1);
  }

  ConnectionId coordinator(const std::string& id = "tx") {
    return client.to(client.cluster.transaction_coordinator(id));
  }
  ConnectionId leader(PartitionIndex partition) { return client.to(client.cluster.partition("t", partition)->leader); }

  Identity init(ProducerId claimed = -1, ProducerEpoch epoch = -1, Version version = 5, std::int32_t timeout = 60000) {
    protocol::InitProducerIdRequest request;
    request.transactional_id = "tx";
    request.transaction_timeout_ms = timeout;
    request.producer_id = claimed;
    request.producer_epoch = epoch;
    const auto answer = client.ask<protocol::InitProducerIdResponse>(coordinator(), request, version).value();
    return {answer.error_code, answer.producer_id, answer.producer_epoch};
  }

  std::int16_t add(const Identity& producer, PartitionIndex partition = 0, Version version = 3) {
    protocol::AddPartitionsToTxnRequest request;
    request.v3_and_below_transactional_id = "tx";
    request.v3_and_below_producer_id = producer.id;
    request.v3_and_below_producer_epoch = producer.epoch;
    request.v3_and_below_topics.push_back({"t", {partition}});
    const auto answer = client.ask<protocol::AddPartitionsToTxnResponse>(coordinator(), request, version).value();
    return answer.results_by_topic_v3_and_below.at(0).results_by_partition.at(0).partition_error_code;
  }

  std::int16_t add_offsets(const Identity& producer, const std::string& group = "g") {
    protocol::AddOffsetsToTxnRequest request;
    request.transactional_id = "tx";
    request.producer_id = producer.id;
    request.producer_epoch = producer.epoch;
    request.group_id = group;
    return client.ask<protocol::AddOffsetsToTxnResponse>(coordinator(), request, 3)->error_code;
  }

  Identity end(const Identity& producer, bool commit, Version version = 3) {
    protocol::EndTxnRequest request;
    request.transactional_id = "tx";
    request.producer_id = producer.id;
    request.producer_epoch = producer.epoch;
    request.committed = commit;
    const auto answer = client.ask<protocol::EndTxnResponse>(coordinator(), request, version).value();
    return {answer.error_code, answer.producer_id, answer.producer_epoch};
  }

  protocol::ProduceResponse::PartitionProduceResponse produce(const Identity& producer, std::int32_t sequence,
                                                              PartitionIndex partition = 0, Version version = 11) {
    const Bytes batch = protocol::build_batch({{client.now_ms, "key", "value"}}, producer.id, producer.epoch, sequence,
                                              transactional_bit);
    protocol::ProduceRequest request;
    request.transactional_id = "tx";
    request.acks = -1;
    request.timeout_ms = 1000;
    request.topic_data = {{"t", *client.cluster.topic_id("t"), {{partition, batch}}}};
    const auto answer = client.ask<protocol::ProduceResponse>(leader(partition), request, version).value();
    return answer.responses.at(0).partition_responses.at(0);
  }

  // One whole transaction of one record.
  void transact(const Identity& producer, std::int32_t sequence, bool commit, PartitionIndex partition = 0) {
    ASSERT_EQ(add(producer, partition), 0);
    ASSERT_EQ(produce(producer, sequence, partition).error_code, 0);
    ASSERT_EQ(end(producer, commit).error, 0);
  }

  std::int16_t commit_offset(const Identity& producer, Offset offset, Version version = 3,
                             const std::string& member = "", std::int32_t generation = -1) {
    protocol::TxnOffsetCommitRequest request;
    request.transactional_id = "tx";
    request.group_id = "g";
    request.producer_id = producer.id;
    request.producer_epoch = producer.epoch;
    request.member_id = member;
    request.generation_id_or_member_epoch = generation;
    auto& topic = request.topics.emplace_back();
    topic.name = "in";
    topic.topic_id = *client.cluster.topic_id("in");
    topic.partitions.push_back({0, offset, -1, ""});
    const auto to = client.to(client.cluster.coordinator("g"));
    const auto answer = client.ask<protocol::TxnOffsetCommitResponse>(to, request, version).value();
    return answer.topics.at(0).partitions.at(0).error_code;
  }

  Offset stable_end(PartitionIndex partition = 0) {
    return client.cluster.partition("t", partition)->last_stable_offset;
  }
  Offset log_end(PartitionIndex partition = 0) { return client.cluster.partition("t", partition)->log->end(); }
  std::string state() { return client.cluster.transaction("tx")->state; }

  static constexpr std::int16_t transactional_bit = 0x10;
  ClusterClient client;
};

}  // namespace crossover::sim
