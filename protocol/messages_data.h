// Messages about produce, fetch and what surrounds the log. Rules for all of them: messages.h.
#pragma once

#include "protocol/members.h"

namespace crossover::protocol {

struct ProduceRequest {
  static constexpr ApiKey api = ApiKey::Produce;
  static constexpr Direction direction = Direction::request;

  struct PartitionProduceData {
    std::int32_t index = 0;
    Records records;
    CROSSOVER_MEMBERS(PartitionProduceData, index, records)
  };

  struct TopicProduceData {
    std::string name;
    Uuid topic_id;
    std::vector<PartitionProduceData> partition_data;
    CROSSOVER_MEMBERS(TopicProduceData, name, topic_id, partition_data)
  };

  std::optional<std::string> transactional_id;
  std::int16_t acks = 0;
  std::int32_t timeout_ms = 0;
  std::vector<TopicProduceData> topic_data;
  CROSSOVER_MEMBERS(ProduceRequest, transactional_id, acks, timeout_ms, topic_data)
};

struct ProduceResponse {
  static constexpr ApiKey api = ApiKey::Produce;
  static constexpr Direction direction = Direction::response;

  struct BatchIndexAndErrorMessage {
    std::int32_t batch_index = 0;
    std::optional<std::string> batch_index_error_message;
    CROSSOVER_MEMBERS(BatchIndexAndErrorMessage, batch_index, batch_index_error_message)
  };

  struct LeaderIdAndEpoch {
    std::int32_t leader_id = -1;
    std::int32_t leader_epoch = -1;
    CROSSOVER_MEMBERS(LeaderIdAndEpoch, leader_id, leader_epoch)
  };

  struct PartitionProduceResponse {
    std::int32_t index = 0;
    std::int16_t error_code = 0;
    std::int64_t base_offset = 0;
    std::int64_t log_append_time_ms = -1;
    std::int64_t log_start_offset = -1;
    std::vector<BatchIndexAndErrorMessage> record_errors;
    std::optional<std::string> error_message;
    LeaderIdAndEpoch current_leader;
    CROSSOVER_MEMBERS(PartitionProduceResponse, index, error_code, base_offset, log_append_time_ms, log_start_offset,
                      record_errors, error_message, current_leader)
  };

  struct TopicProduceResponse {
    std::string name;
    Uuid topic_id;
    std::vector<PartitionProduceResponse> partition_responses;
    CROSSOVER_MEMBERS(TopicProduceResponse, name, topic_id, partition_responses)
  };

  struct NodeEndpoint {
    std::int32_t node_id = 0;
    std::string host;
    std::int32_t port = 0;
    std::optional<std::string> rack;
    CROSSOVER_MEMBERS(NodeEndpoint, node_id, host, port, rack)
  };

  std::vector<TopicProduceResponse> responses;
  std::int32_t throttle_time_ms = 0;
  std::vector<NodeEndpoint> node_endpoints;
  CROSSOVER_MEMBERS(ProduceResponse, responses, throttle_time_ms, node_endpoints)
};

struct FetchRequest {
  static constexpr ApiKey api = ApiKey::Fetch;
  static constexpr Direction direction = Direction::request;

  struct ReplicaState {
    std::int32_t replica_id = -1;
    std::int64_t replica_epoch = -1;
    CROSSOVER_MEMBERS(ReplicaState, replica_id, replica_epoch)
  };

  struct FetchPartition {
    std::int32_t partition = 0;
    std::int32_t current_leader_epoch = -1;
    std::int64_t fetch_offset = 0;
    std::int32_t last_fetched_epoch = -1;
    std::int64_t log_start_offset = -1;
    std::int32_t partition_max_bytes = 0;
    Uuid replica_directory_id;
    std::int64_t high_watermark = 9223372036854775807;
    CROSSOVER_MEMBERS(FetchPartition, partition, current_leader_epoch, fetch_offset, last_fetched_epoch,
                      log_start_offset, partition_max_bytes, replica_directory_id, high_watermark)
  };

  struct FetchTopic {
    std::string topic;
    Uuid topic_id;
    std::vector<FetchPartition> partitions;
    CROSSOVER_MEMBERS(FetchTopic, topic, topic_id, partitions)
  };

  struct ForgottenTopic {
    std::string topic;
    Uuid topic_id;
    std::vector<std::int32_t> partitions;
    CROSSOVER_MEMBERS(ForgottenTopic, topic, topic_id, partitions)
  };

  std::optional<std::string> cluster_id;
  std::int32_t replica_id = -1;
  ReplicaState replica_state;
  std::int32_t max_wait_ms = 0;
  std::int32_t min_bytes = 0;
  std::int32_t max_bytes = 0x7fffffff;
  std::int8_t isolation_level = 0;
  std::int32_t session_id = 0;
  std::int32_t session_epoch = -1;
  std::vector<FetchTopic> topics;
  std::vector<ForgottenTopic> forgotten_topics_data;
  std::string rack_id;
  CROSSOVER_MEMBERS(FetchRequest, cluster_id, replica_id, replica_state, max_wait_ms, min_bytes, max_bytes,
                    isolation_level, session_id, session_epoch, topics, forgotten_topics_data, rack_id)
};

struct FetchResponse {
  static constexpr ApiKey api = ApiKey::Fetch;
  static constexpr Direction direction = Direction::response;

  struct EpochEndOffset {
    std::int32_t epoch = -1;
    std::int64_t end_offset = -1;
    CROSSOVER_MEMBERS(EpochEndOffset, epoch, end_offset)
  };

  struct LeaderIdAndEpoch {
    std::int32_t leader_id = -1;
    std::int32_t leader_epoch = -1;
    CROSSOVER_MEMBERS(LeaderIdAndEpoch, leader_id, leader_epoch)
  };

  struct SnapshotId {
    std::int64_t end_offset = -1;
    std::int32_t epoch = -1;
    CROSSOVER_MEMBERS(SnapshotId, end_offset, epoch)
  };

  struct AbortedTransaction {
    std::int64_t producer_id = 0;
    std::int64_t first_offset = 0;
    CROSSOVER_MEMBERS(AbortedTransaction, producer_id, first_offset)
  };

  struct PartitionData {
    std::int32_t partition_index = 0;
    std::int16_t error_code = 0;
    std::int64_t high_watermark = 0;
    std::int64_t last_stable_offset = -1;
    std::int64_t log_start_offset = -1;
    EpochEndOffset diverging_epoch;
    LeaderIdAndEpoch current_leader;
    SnapshotId snapshot_id;
    std::optional<std::vector<AbortedTransaction>> aborted_transactions = std::vector<AbortedTransaction>{};
    std::int32_t preferred_read_replica = -1;
    Records records;
    CROSSOVER_MEMBERS(PartitionData, partition_index, error_code, high_watermark, last_stable_offset, log_start_offset,
                      diverging_epoch, current_leader, snapshot_id, aborted_transactions, preferred_read_replica,
                      records)
  };

  struct FetchableTopicResponse {
    std::string topic;
    Uuid topic_id;
    std::vector<PartitionData> partitions;
    CROSSOVER_MEMBERS(FetchableTopicResponse, topic, topic_id, partitions)
  };

  struct NodeEndpoint {
    std::int32_t node_id = 0;
    std::string host;
    std::int32_t port = 0;
    std::optional<std::string> rack;
    CROSSOVER_MEMBERS(NodeEndpoint, node_id, host, port, rack)
  };

  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::int32_t session_id = 0;
  std::vector<FetchableTopicResponse> responses;
  std::vector<NodeEndpoint> node_endpoints;
  CROSSOVER_MEMBERS(FetchResponse, throttle_time_ms, error_code, session_id, responses, node_endpoints)
};

struct ListOffsetsRequest {
  static constexpr ApiKey api = ApiKey::ListOffsets;
  static constexpr Direction direction = Direction::request;

  struct ListOffsetsPartition {
    std::int32_t partition_index = 0;
    std::int32_t current_leader_epoch = -1;
    std::int64_t timestamp = 0;
    std::int32_t max_num_offsets = 1;
    CROSSOVER_MEMBERS(ListOffsetsPartition, partition_index, current_leader_epoch, timestamp, max_num_offsets)
  };

  struct ListOffsetsTopic {
    std::string name;
    std::vector<ListOffsetsPartition> partitions;
    CROSSOVER_MEMBERS(ListOffsetsTopic, name, partitions)
  };

  std::int32_t replica_id = 0;
  std::int8_t isolation_level = 0;
  std::vector<ListOffsetsTopic> topics;
  std::int32_t timeout_ms = 0;
  CROSSOVER_MEMBERS(ListOffsetsRequest, replica_id, isolation_level, topics, timeout_ms)
};

struct ListOffsetsResponse {
  static constexpr ApiKey api = ApiKey::ListOffsets;
  static constexpr Direction direction = Direction::response;

  struct ListOffsetsPartitionResponse {
    std::int32_t partition_index = 0;
    std::int16_t error_code = 0;
    std::vector<std::int64_t> old_style_offsets;
    std::int64_t timestamp = -1;
    std::int64_t offset = -1;
    std::int32_t leader_epoch = -1;
    CROSSOVER_MEMBERS(ListOffsetsPartitionResponse, partition_index, error_code, old_style_offsets, timestamp, offset,
                      leader_epoch)
  };

  struct ListOffsetsTopicResponse {
    std::string name;
    std::vector<ListOffsetsPartitionResponse> partitions;
    CROSSOVER_MEMBERS(ListOffsetsTopicResponse, name, partitions)
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<ListOffsetsTopicResponse> topics;
  CROSSOVER_MEMBERS(ListOffsetsResponse, throttle_time_ms, topics)
};

struct DeleteRecordsRequest {
  static constexpr ApiKey api = ApiKey::DeleteRecords;
  static constexpr Direction direction = Direction::request;

  struct DeleteRecordsPartition {
    std::int32_t partition_index = 0;
    std::int64_t offset = 0;
    CROSSOVER_MEMBERS(DeleteRecordsPartition, partition_index, offset)
  };

  struct DeleteRecordsTopic {
    std::string name;
    std::vector<DeleteRecordsPartition> partitions;
    CROSSOVER_MEMBERS(DeleteRecordsTopic, name, partitions)
  };

  std::vector<DeleteRecordsTopic> topics;
  std::int32_t timeout_ms = 0;
  CROSSOVER_MEMBERS(DeleteRecordsRequest, topics, timeout_ms)
};

struct DeleteRecordsResponse {
  static constexpr ApiKey api = ApiKey::DeleteRecords;
  static constexpr Direction direction = Direction::response;

  struct DeleteRecordsPartitionResult {
    std::int32_t partition_index = 0;
    std::int64_t low_watermark = 0;
    std::int16_t error_code = 0;
    CROSSOVER_MEMBERS(DeleteRecordsPartitionResult, partition_index, low_watermark, error_code)
  };

  struct DeleteRecordsTopicResult {
    std::string name;
    std::vector<DeleteRecordsPartitionResult> partitions;
    CROSSOVER_MEMBERS(DeleteRecordsTopicResult, name, partitions)
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<DeleteRecordsTopicResult> topics;
  CROSSOVER_MEMBERS(DeleteRecordsResponse, throttle_time_ms, topics)
};

struct OffsetForLeaderEpochRequest {
  static constexpr ApiKey api = ApiKey::OffsetForLeaderEpoch;
  static constexpr Direction direction = Direction::request;

  struct OffsetForLeaderPartition {
    std::int32_t partition = 0;
    std::int32_t current_leader_epoch = -1;
    std::int32_t leader_epoch = 0;
    CROSSOVER_MEMBERS(OffsetForLeaderPartition, partition, current_leader_epoch, leader_epoch)
  };

  struct OffsetForLeaderTopic {
    std::string topic;
    std::vector<OffsetForLeaderPartition> partitions;
    CROSSOVER_MEMBERS(OffsetForLeaderTopic, topic, partitions)
  };

  std::int32_t replica_id = -2;
  std::vector<OffsetForLeaderTopic> topics;
  CROSSOVER_MEMBERS(OffsetForLeaderEpochRequest, replica_id, topics)
};

struct OffsetForLeaderEpochResponse {
  static constexpr ApiKey api = ApiKey::OffsetForLeaderEpoch;
  static constexpr Direction direction = Direction::response;

  struct EpochEndOffset {
    std::int16_t error_code = 0;
    std::int32_t partition = 0;
    std::int32_t leader_epoch = -1;
    std::int64_t end_offset = -1;
    CROSSOVER_MEMBERS(EpochEndOffset, error_code, partition, leader_epoch, end_offset)
  };

  struct OffsetForLeaderTopicResult {
    std::string topic;
    std::vector<EpochEndOffset> partitions;
    CROSSOVER_MEMBERS(OffsetForLeaderTopicResult, topic, partitions)
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<OffsetForLeaderTopicResult> topics;
  CROSSOVER_MEMBERS(OffsetForLeaderEpochResponse, throttle_time_ms, topics)
};

}  // namespace crossover::protocol
