// Messages about topics, configurations and log directories. Rules for all of them: messages.h.
#pragma once

#include "protocol/members.h"

namespace crossover::protocol {

struct CreateTopicsRequest {
  static constexpr ApiKey api = ApiKey::CreateTopics;
  static constexpr Direction direction = Direction::request;

  struct CreatableReplicaAssignment {
    std::int32_t partition_index = 0;
    std::vector<std::int32_t> broker_ids;
    CROSSOVER_MEMBERS(CreatableReplicaAssignment, partition_index, broker_ids)
  };

  struct CreatableTopicConfig {
    std::string name;
    std::optional<std::string> value = "";
    CROSSOVER_MEMBERS(CreatableTopicConfig, name, value)
  };

  struct CreatableTopic {
    std::string name;
    std::int32_t num_partitions = 0;
    std::int16_t replication_factor = 0;
    std::vector<CreatableReplicaAssignment> assignments;
    std::vector<CreatableTopicConfig> configs;
    CROSSOVER_MEMBERS(CreatableTopic, name, num_partitions, replication_factor, assignments, configs)
  };

  std::vector<CreatableTopic> topics;
  std::int32_t timeout_ms = 60000;
  bool validate_only = false;
  CROSSOVER_MEMBERS(CreateTopicsRequest, topics, timeout_ms, validate_only)
};

struct CreateTopicsResponse {
  static constexpr ApiKey api = ApiKey::CreateTopics;
  static constexpr Direction direction = Direction::response;

  struct CreatableTopicConfigs {
    std::string name;
    std::optional<std::string> value = "";
    bool read_only = false;
    std::int8_t config_source = -1;
    bool is_sensitive = false;
    CROSSOVER_MEMBERS(CreatableTopicConfigs, name, value, read_only, config_source, is_sensitive)
  };

  struct CreatableTopicResult {
    std::string name;
    Uuid topic_id;
    std::int16_t error_code = 0;
    std::optional<std::string> error_message = "";
    std::int16_t topic_config_error_code = 0;
    std::int32_t num_partitions = -1;
    std::int16_t replication_factor = -1;
    std::optional<std::vector<CreatableTopicConfigs>> configs = std::vector<CreatableTopicConfigs>{};
    CROSSOVER_MEMBERS(CreatableTopicResult, name, topic_id, error_code, error_message, topic_config_error_code,
                      num_partitions, replication_factor, configs)
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<CreatableTopicResult> topics;
  CROSSOVER_MEMBERS(CreateTopicsResponse, throttle_time_ms, topics)
};

struct DeleteTopicsRequest {
  static constexpr ApiKey api = ApiKey::DeleteTopics;
  static constexpr Direction direction = Direction::request;

  struct DeleteTopicState {
    std::optional<std::string> name;
    Uuid topic_id;
    CROSSOVER_MEMBERS(DeleteTopicState, name, topic_id)
  };

  std::vector<DeleteTopicState> topics;
  std::vector<std::string> topic_names;
  std::int32_t timeout_ms = 0;
  CROSSOVER_MEMBERS(DeleteTopicsRequest, topics, topic_names, timeout_ms)
};

struct DeleteTopicsResponse {
  static constexpr ApiKey api = ApiKey::DeleteTopics;
  static constexpr Direction direction = Direction::response;

  struct DeletableTopicResult {
    std::optional<std::string> name = "";
    Uuid topic_id;
    std::int16_t error_code = 0;
    std::optional<std::string> error_message;
    CROSSOVER_MEMBERS(DeletableTopicResult, name, topic_id, error_code, error_message)
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<DeletableTopicResult> responses;
  CROSSOVER_MEMBERS(DeleteTopicsResponse, throttle_time_ms, responses)
};

struct CreatePartitionsRequest {
  static constexpr ApiKey api = ApiKey::CreatePartitions;
  static constexpr Direction direction = Direction::request;

  struct CreatePartitionsAssignment {
    std::vector<std::int32_t> broker_ids;
    CROSSOVER_MEMBERS(CreatePartitionsAssignment, broker_ids)
  };

  struct CreatePartitionsTopic {
    std::string name;
    std::int32_t count = 0;
    std::optional<std::vector<CreatePartitionsAssignment>> assignments = std::vector<CreatePartitionsAssignment>{};
    CROSSOVER_MEMBERS(CreatePartitionsTopic, name, count, assignments)
  };

  std::vector<CreatePartitionsTopic> topics;
  std::int32_t timeout_ms = 0;
  bool validate_only = false;
  CROSSOVER_MEMBERS(CreatePartitionsRequest, topics, timeout_ms, validate_only)
};

struct CreatePartitionsResponse {
  static constexpr ApiKey api = ApiKey::CreatePartitions;
  static constexpr Direction direction = Direction::response;

  struct CreatePartitionsTopicResult {
    std::string name;
    std::int16_t error_code = 0;
    std::optional<std::string> error_message;
    CROSSOVER_MEMBERS(CreatePartitionsTopicResult, name, error_code, error_message)
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<CreatePartitionsTopicResult> results;
  CROSSOVER_MEMBERS(CreatePartitionsResponse, throttle_time_ms, results)
};

struct DescribeConfigsRequest {
  static constexpr ApiKey api = ApiKey::DescribeConfigs;
  static constexpr Direction direction = Direction::request;

  struct DescribeConfigsResource {
    std::int8_t resource_type = 0;
    std::string resource_name;
    std::optional<std::vector<std::string>> configuration_keys = std::vector<std::string>{};
    CROSSOVER_MEMBERS(DescribeConfigsResource, resource_type, resource_name, configuration_keys)
  };

  std::vector<DescribeConfigsResource> resources;
  bool include_synonyms = false;
  bool include_documentation = false;
  CROSSOVER_MEMBERS(DescribeConfigsRequest, resources, include_synonyms, include_documentation)
};

struct DescribeConfigsResponse {
  static constexpr ApiKey api = ApiKey::DescribeConfigs;
  static constexpr Direction direction = Direction::response;

  struct DescribeConfigsSynonym {
    std::string name;
    std::optional<std::string> value = "";
    std::int8_t source = 0;
    CROSSOVER_MEMBERS(DescribeConfigsSynonym, name, value, source)
  };

  struct DescribeConfigsResourceResult {
    std::string name;
    std::optional<std::string> value = "";
    bool read_only = false;
    bool is_default = false;
    std::int8_t config_source = -1;
    bool is_sensitive = false;
    std::vector<DescribeConfigsSynonym> synonyms;
    std::int8_t config_type = 0;
    std::optional<std::string> documentation = "";
    CROSSOVER_MEMBERS(DescribeConfigsResourceResult, name, value, read_only, is_default, config_source, is_sensitive,
                      synonyms, config_type, documentation)
  };

  struct DescribeConfigsResult {
    std::int16_t error_code = 0;
    std::optional<std::string> error_message = "";
    std::int8_t resource_type = 0;
    std::string resource_name;
    std::vector<DescribeConfigsResourceResult> configs;
    CROSSOVER_MEMBERS(DescribeConfigsResult, error_code, error_message, resource_type, resource_name, configs)
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<DescribeConfigsResult> results;
  CROSSOVER_MEMBERS(DescribeConfigsResponse, throttle_time_ms, results)
};

struct AlterConfigsRequest {
  static constexpr ApiKey api = ApiKey::AlterConfigs;
  static constexpr Direction direction = Direction::request;

  struct AlterableConfig {
    std::string name;
    std::optional<std::string> value = "";
    CROSSOVER_MEMBERS(AlterableConfig, name, value)
  };

  struct AlterConfigsResource {
    std::int8_t resource_type = 0;
    std::string resource_name;
    std::vector<AlterableConfig> configs;
    CROSSOVER_MEMBERS(AlterConfigsResource, resource_type, resource_name, configs)
  };

  std::vector<AlterConfigsResource> resources;
  bool validate_only = false;
  CROSSOVER_MEMBERS(AlterConfigsRequest, resources, validate_only)
};

struct AlterConfigsResponse {
  static constexpr ApiKey api = ApiKey::AlterConfigs;
  static constexpr Direction direction = Direction::response;

  struct AlterConfigsResourceResponse {
    std::int16_t error_code = 0;
    std::optional<std::string> error_message = "";
    std::int8_t resource_type = 0;
    std::string resource_name;
    CROSSOVER_MEMBERS(AlterConfigsResourceResponse, error_code, error_message, resource_type, resource_name)
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<AlterConfigsResourceResponse> responses;
  CROSSOVER_MEMBERS(AlterConfigsResponse, throttle_time_ms, responses)
};

struct IncrementalAlterConfigsRequest {
  static constexpr ApiKey api = ApiKey::IncrementalAlterConfigs;
  static constexpr Direction direction = Direction::request;

  struct AlterableConfig {
    std::string name;
    std::int8_t config_operation = 0;
    std::optional<std::string> value = "";
    CROSSOVER_MEMBERS(AlterableConfig, name, config_operation, value)
  };

  struct AlterConfigsResource {
    std::int8_t resource_type = 0;
    std::string resource_name;
    std::vector<AlterableConfig> configs;
    CROSSOVER_MEMBERS(AlterConfigsResource, resource_type, resource_name, configs)
  };

  std::vector<AlterConfigsResource> resources;
  bool validate_only = false;
  CROSSOVER_MEMBERS(IncrementalAlterConfigsRequest, resources, validate_only)
};

struct IncrementalAlterConfigsResponse {
  static constexpr ApiKey api = ApiKey::IncrementalAlterConfigs;
  static constexpr Direction direction = Direction::response;

  struct AlterConfigsResourceResponse {
    std::int16_t error_code = 0;
    std::optional<std::string> error_message = "";
    std::int8_t resource_type = 0;
    std::string resource_name;
    CROSSOVER_MEMBERS(AlterConfigsResourceResponse, error_code, error_message, resource_type, resource_name)
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<AlterConfigsResourceResponse> responses;
  CROSSOVER_MEMBERS(IncrementalAlterConfigsResponse, throttle_time_ms, responses)
};

struct DescribeLogDirsRequest {
  static constexpr ApiKey api = ApiKey::DescribeLogDirs;
  static constexpr Direction direction = Direction::request;

  struct DescribableLogDirTopic {
    std::string topic;
    std::vector<std::int32_t> partitions;
    CROSSOVER_MEMBERS(DescribableLogDirTopic, topic, partitions)
  };

  std::optional<std::vector<DescribableLogDirTopic>> topics = std::vector<DescribableLogDirTopic>{};
  CROSSOVER_MEMBERS(DescribeLogDirsRequest, topics)
};

struct DescribeLogDirsResponse {
  static constexpr ApiKey api = ApiKey::DescribeLogDirs;
  static constexpr Direction direction = Direction::response;

  struct DescribeLogDirsPartition {
    std::int32_t partition_index = 0;
    std::int64_t partition_size = 0;
    std::int64_t offset_lag = 0;
    bool is_future_key = false;
    CROSSOVER_MEMBERS(DescribeLogDirsPartition, partition_index, partition_size, offset_lag, is_future_key)
  };

  struct DescribeLogDirsTopic {
    std::string name;
    std::vector<DescribeLogDirsPartition> partitions;
    CROSSOVER_MEMBERS(DescribeLogDirsTopic, name, partitions)
  };

  struct DescribeLogDirsResult {
    std::int16_t error_code = 0;
    std::string log_dir;
    std::vector<DescribeLogDirsTopic> topics;
    std::int64_t total_bytes = -1;
    std::int64_t usable_bytes = -1;
    bool is_cordoned = false;
    CROSSOVER_MEMBERS(DescribeLogDirsResult, error_code, log_dir, topics, total_bytes, usable_bytes, is_cordoned)
  };

  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::vector<DescribeLogDirsResult> results;
  CROSSOVER_MEMBERS(DescribeLogDirsResponse, throttle_time_ms, error_code, results)
};

}  // namespace crossover::protocol
