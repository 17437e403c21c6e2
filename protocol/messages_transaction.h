// Messages about producer ids and transactions. Rules for all of them: messages.h.
#pragma once

#include "protocol/members.h"

namespace crossover::protocol {

struct InitProducerIdRequest {
  static constexpr ApiKey api = ApiKey::InitProducerId;
  static constexpr Direction direction = Direction::request;

  std::optional<std::string> transactional_id = "";
  std::int32_t transaction_timeout_ms = 0;
  std::int64_t producer_id = -1;
  std::int16_t producer_epoch = -1;
  CROSSOVER_MEMBERS(InitProducerIdRequest, transactional_id, transaction_timeout_ms, producer_id, producer_epoch)
};

struct InitProducerIdResponse {
  static constexpr ApiKey api = ApiKey::InitProducerId;
  static constexpr Direction direction = Direction::response;

  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::int64_t producer_id = -1;
  std::int16_t producer_epoch = 0;
  CROSSOVER_MEMBERS(InitProducerIdResponse, throttle_time_ms, error_code, producer_id, producer_epoch)
};

struct AddPartitionsToTxnRequest {
  static constexpr ApiKey api = ApiKey::AddPartitionsToTxn;
  static constexpr Direction direction = Direction::request;

  struct AddPartitionsToTxnTopic {
    std::string name;
    std::vector<std::int32_t> partitions;
    CROSSOVER_MEMBERS(AddPartitionsToTxnTopic, name, partitions)
  };

  struct AddPartitionsToTxnTransaction {
    std::string transactional_id;
    std::int64_t producer_id = 0;
    std::int16_t producer_epoch = 0;
    bool verify_only = false;
    std::vector<AddPartitionsToTxnTopic> topics;
    CROSSOVER_MEMBERS(AddPartitionsToTxnTransaction, transactional_id, producer_id, producer_epoch, verify_only, topics)
  };

  std::vector<AddPartitionsToTxnTransaction> transactions;
  std::string v3_and_below_transactional_id;
  std::int64_t v3_and_below_producer_id = 0;
  std::int16_t v3_and_below_producer_epoch = 0;
  std::vector<AddPartitionsToTxnTopic> v3_and_below_topics;
  CROSSOVER_MEMBERS(AddPartitionsToTxnRequest, transactions, v3_and_below_transactional_id, v3_and_below_producer_id,
                    v3_and_below_producer_epoch, v3_and_below_topics)
};

struct AddPartitionsToTxnResponse {
  static constexpr ApiKey api = ApiKey::AddPartitionsToTxn;
  static constexpr Direction direction = Direction::response;

  struct AddPartitionsToTxnPartitionResult {
    std::int32_t partition_index = 0;
    std::int16_t partition_error_code = 0;
    CROSSOVER_MEMBERS(AddPartitionsToTxnPartitionResult, partition_index, partition_error_code)
  };

  struct AddPartitionsToTxnTopicResult {
    std::string name;
    std::vector<AddPartitionsToTxnPartitionResult> results_by_partition;
    CROSSOVER_MEMBERS(AddPartitionsToTxnTopicResult, name, results_by_partition)
  };

  struct AddPartitionsToTxnResult {
    std::string transactional_id;
    std::vector<AddPartitionsToTxnTopicResult> topic_results;
    CROSSOVER_MEMBERS(AddPartitionsToTxnResult, transactional_id, topic_results)
  };

  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::vector<AddPartitionsToTxnResult> results_by_transaction;
  std::vector<AddPartitionsToTxnTopicResult> results_by_topic_v3_and_below;
  CROSSOVER_MEMBERS(AddPartitionsToTxnResponse, throttle_time_ms, error_code, results_by_transaction,
                    results_by_topic_v3_and_below)
};

struct AddOffsetsToTxnRequest {
  static constexpr ApiKey api = ApiKey::AddOffsetsToTxn;
  static constexpr Direction direction = Direction::request;

  std::string transactional_id;
  std::int64_t producer_id = 0;
  std::int16_t producer_epoch = 0;
  std::string group_id;
  CROSSOVER_MEMBERS(AddOffsetsToTxnRequest, transactional_id, producer_id, producer_epoch, group_id)
};

struct AddOffsetsToTxnResponse {
  static constexpr ApiKey api = ApiKey::AddOffsetsToTxn;
  static constexpr Direction direction = Direction::response;

  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  CROSSOVER_MEMBERS(AddOffsetsToTxnResponse, throttle_time_ms, error_code)
};

struct EndTxnRequest {
  static constexpr ApiKey api = ApiKey::EndTxn;
  static constexpr Direction direction = Direction::request;

  std::string transactional_id;
  std::int64_t producer_id = 0;
  std::int16_t producer_epoch = 0;
  bool committed = false;
  CROSSOVER_MEMBERS(EndTxnRequest, transactional_id, producer_id, producer_epoch, committed)
};

struct EndTxnResponse {
  static constexpr ApiKey api = ApiKey::EndTxn;
  static constexpr Direction direction = Direction::response;

  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::int64_t producer_id = -1;
  std::int16_t producer_epoch = -1;
  CROSSOVER_MEMBERS(EndTxnResponse, throttle_time_ms, error_code, producer_id, producer_epoch)
};

struct TxnOffsetCommitRequest {
  static constexpr ApiKey api = ApiKey::TxnOffsetCommit;
  static constexpr Direction direction = Direction::request;

  struct TxnOffsetCommitRequestPartition {
    std::int32_t partition_index = 0;
    std::int64_t committed_offset = 0;
    std::int32_t committed_leader_epoch = -1;
    std::optional<std::string> committed_metadata = "";
    CROSSOVER_MEMBERS(TxnOffsetCommitRequestPartition, partition_index, committed_offset, committed_leader_epoch,
                      committed_metadata)
  };

  struct TxnOffsetCommitRequestTopic {
    std::string name;
    Uuid topic_id;
    std::vector<TxnOffsetCommitRequestPartition> partitions;
    CROSSOVER_MEMBERS(TxnOffsetCommitRequestTopic, name, topic_id, partitions)
  };

  std::string transactional_id;
  std::string group_id;
  std::int64_t producer_id = 0;
  std::int16_t producer_epoch = 0;
  std::int32_t generation_id_or_member_epoch = -1;
  std::string member_id;
  std::optional<std::string> group_instance_id;
  std::vector<TxnOffsetCommitRequestTopic> topics;
  CROSSOVER_MEMBERS(TxnOffsetCommitRequest, transactional_id, group_id, producer_id, producer_epoch,
                    generation_id_or_member_epoch, member_id, group_instance_id, topics)
};

struct TxnOffsetCommitResponse {
  static constexpr ApiKey api = ApiKey::TxnOffsetCommit;
  static constexpr Direction direction = Direction::response;

  struct TxnOffsetCommitResponsePartition {
    std::int32_t partition_index = 0;
    std::int16_t error_code = 0;
    CROSSOVER_MEMBERS(TxnOffsetCommitResponsePartition, partition_index, error_code)
  };

  struct TxnOffsetCommitResponseTopic {
    std::string name;
    Uuid topic_id;
    std::vector<TxnOffsetCommitResponsePartition> partitions;
    CROSSOVER_MEMBERS(TxnOffsetCommitResponseTopic, name, topic_id, partitions)
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<TxnOffsetCommitResponseTopic> topics;
  CROSSOVER_MEMBERS(TxnOffsetCommitResponse, throttle_time_ms, topics)
};

struct DescribeProducersRequest {
  static constexpr ApiKey api = ApiKey::DescribeProducers;
  static constexpr Direction direction = Direction::request;

  struct TopicRequest {
    std::string name;
    std::vector<std::int32_t> partition_indexes;
    CROSSOVER_MEMBERS(TopicRequest, name, partition_indexes)
  };

  std::vector<TopicRequest> topics;
  CROSSOVER_MEMBERS(DescribeProducersRequest, topics)
};

struct DescribeProducersResponse {
  static constexpr ApiKey api = ApiKey::DescribeProducers;
  static constexpr Direction direction = Direction::response;

  struct ProducerState {
    std::int64_t producer_id = 0;
    std::int32_t producer_epoch = 0;
    std::int32_t last_sequence = -1;
    std::int64_t last_timestamp = -1;
    std::int32_t coordinator_epoch = 0;
    std::int64_t current_txn_start_offset = -1;
    CROSSOVER_MEMBERS(ProducerState, producer_id, producer_epoch, last_sequence, last_timestamp, coordinator_epoch,
                      current_txn_start_offset)
  };

  struct PartitionResponse {
    std::int32_t partition_index = 0;
    std::int16_t error_code = 0;
    std::optional<std::string> error_message;
    std::vector<ProducerState> active_producers;
    CROSSOVER_MEMBERS(PartitionResponse, partition_index, error_code, error_message, active_producers)
  };

  struct TopicResponse {
    std::string name;
    std::vector<PartitionResponse> partitions;
    CROSSOVER_MEMBERS(TopicResponse, name, partitions)
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<TopicResponse> topics;
  CROSSOVER_MEMBERS(DescribeProducersResponse, throttle_time_ms, topics)
};

struct DescribeTransactionsRequest {
  static constexpr ApiKey api = ApiKey::DescribeTransactions;
  static constexpr Direction direction = Direction::request;

  std::vector<std::string> transactional_ids;
  CROSSOVER_MEMBERS(DescribeTransactionsRequest, transactional_ids)
};

struct DescribeTransactionsResponse {
  static constexpr ApiKey api = ApiKey::DescribeTransactions;
  static constexpr Direction direction = Direction::response;

  struct TopicData {
    std::string topic;
    std::vector<std::int32_t> partitions;
    CROSSOVER_MEMBERS(TopicData, topic, partitions)
  };

  struct TransactionState {
    std::int16_t error_code = 0;
    std::string transactional_id;
    std::string transaction_state;
    std::int32_t transaction_timeout_ms = 0;
    std::int64_t transaction_start_time_ms = 0;
    std::int64_t producer_id = 0;
    std::int16_t producer_epoch = 0;
    std::vector<TopicData> topics;
    CROSSOVER_MEMBERS(TransactionState, error_code, transactional_id, transaction_state, transaction_timeout_ms,
                      transaction_start_time_ms, producer_id, producer_epoch, topics)
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<TransactionState> transaction_states;
  CROSSOVER_MEMBERS(DescribeTransactionsResponse, throttle_time_ms, transaction_states)
};

struct ListTransactionsRequest {
  static constexpr ApiKey api = ApiKey::ListTransactions;
  static constexpr Direction direction = Direction::request;

  std::vector<std::string> state_filters;
  std::vector<std::int64_t> producer_id_filters;
  std::int64_t duration_filter = -1;
  std::optional<std::string> transactional_id_pattern;
  CROSSOVER_MEMBERS(ListTransactionsRequest, state_filters, producer_id_filters, duration_filter,
                    transactional_id_pattern)
};

struct ListTransactionsResponse {
  static constexpr ApiKey api = ApiKey::ListTransactions;
  static constexpr Direction direction = Direction::response;

  struct TransactionState {
    std::string transactional_id;
    std::int64_t producer_id = 0;
    std::string transaction_state;
    CROSSOVER_MEMBERS(TransactionState, transactional_id, producer_id, transaction_state)
  };

  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::vector<std::string> unknown_state_filters;
  std::vector<TransactionState> transaction_states;
  CROSSOVER_MEMBERS(ListTransactionsResponse, throttle_time_ms, error_code, unknown_state_filters, transaction_states)
};

}  // namespace crossover::protocol
