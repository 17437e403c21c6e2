// Messages about what a client learns about the cluster. Rules for all of them: messages.h.
#pragma once

#include "protocol/members.h"

namespace crossover::protocol {

struct ApiVersionsRequest {
  static constexpr ApiKey api = ApiKey::ApiVersions;
  static constexpr Direction direction = Direction::request;

  std::string client_software_name;
  std::string client_software_version;
  std::optional<std::string> cluster_id;
  std::int32_t node_id = -1;
  CROSSOVER_MEMBERS(ApiVersionsRequest, client_software_name, client_software_version, cluster_id, node_id)
};

struct ApiVersionsResponse {
  static constexpr ApiKey api = ApiKey::ApiVersions;
  static constexpr Direction direction = Direction::response;

  struct ApiVersion {
    std::int16_t api_key = 0;
    std::int16_t min_version = 0;
    std::int16_t max_version = 0;
    CROSSOVER_MEMBERS(ApiVersion, api_key, min_version, max_version)
  };

  struct SupportedFeatureKey {
    std::string name;
    std::int16_t min_version = 0;
    std::int16_t max_version = 0;
    CROSSOVER_MEMBERS(SupportedFeatureKey, name, min_version, max_version)
  };

  struct FinalizedFeatureKey {
    std::string name;
    std::int16_t max_version_level = 0;
    std::int16_t min_version_level = 0;
    CROSSOVER_MEMBERS(FinalizedFeatureKey, name, max_version_level, min_version_level)
  };

  std::int16_t error_code = 0;
  std::vector<ApiVersion> api_keys;
  std::int32_t throttle_time_ms = 0;
  std::vector<SupportedFeatureKey> supported_features;
  std::int64_t finalized_features_epoch = -1;
  std::vector<FinalizedFeatureKey> finalized_features;
  bool zk_migration_ready = false;
  CROSSOVER_MEMBERS(ApiVersionsResponse, error_code, api_keys, throttle_time_ms, supported_features,
                    finalized_features_epoch, finalized_features, zk_migration_ready)
};

struct MetadataRequest {
  static constexpr ApiKey api = ApiKey::Metadata;
  static constexpr Direction direction = Direction::request;

  struct MetadataRequestTopic {
    Uuid topic_id;
    std::optional<std::string> name = "";
    CROSSOVER_MEMBERS(MetadataRequestTopic, topic_id, name)
  };

  std::optional<std::vector<MetadataRequestTopic>> topics = std::vector<MetadataRequestTopic>{};
  bool allow_auto_topic_creation = true;
  bool include_cluster_authorized_operations = false;
  bool include_topic_authorized_operations = false;
  CROSSOVER_MEMBERS(MetadataRequest, topics, allow_auto_topic_creation, include_cluster_authorized_operations,
                    include_topic_authorized_operations)
};

struct MetadataResponse {
  static constexpr ApiKey api = ApiKey::Metadata;
  static constexpr Direction direction = Direction::response;

  struct MetadataResponseBroker {
    std::int32_t node_id = 0;
    std::string host;
    std::int32_t port = 0;
    std::optional<std::string> rack;
    CROSSOVER_MEMBERS(MetadataResponseBroker, node_id, host, port, rack)
  };

  struct MetadataResponsePartition {
    std::int16_t error_code = 0;
    std::int32_t partition_index = 0;
    std::int32_t leader_id = 0;
    std::int32_t leader_epoch = -1;
    std::vector<std::int32_t> replica_nodes;
    std::vector<std::int32_t> isr_nodes;
    std::vector<std::int32_t> offline_replicas;
    CROSSOVER_MEMBERS(MetadataResponsePartition, error_code, partition_index, leader_id, leader_epoch, replica_nodes,
                      isr_nodes, offline_replicas)
  };

  struct MetadataResponseTopic {
    std::int16_t error_code = 0;
    std::optional<std::string> name = "";
    Uuid topic_id;
    bool is_internal = false;
    std::vector<MetadataResponsePartition> partitions;
    std::int32_t topic_authorized_operations = INT32_MIN;
    CROSSOVER_MEMBERS(MetadataResponseTopic, error_code, name, topic_id, is_internal, partitions,
                      topic_authorized_operations)
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<MetadataResponseBroker> brokers;
  std::optional<std::string> cluster_id;
  std::int32_t controller_id = -1;
  std::vector<MetadataResponseTopic> topics;
  std::int32_t cluster_authorized_operations = INT32_MIN;
  std::int16_t error_code = 0;
  CROSSOVER_MEMBERS(MetadataResponse, throttle_time_ms, brokers, cluster_id, controller_id, topics,
                    cluster_authorized_operations, error_code)
};

struct FindCoordinatorRequest {
  static constexpr ApiKey api = ApiKey::FindCoordinator;
  static constexpr Direction direction = Direction::request;

  std::string key;
  std::int8_t key_type = 0;
  std::vector<std::string> coordinator_keys;
  CROSSOVER_MEMBERS(FindCoordinatorRequest, key, key_type, coordinator_keys)
};

struct FindCoordinatorResponse {
  static constexpr ApiKey api = ApiKey::FindCoordinator;
  static constexpr Direction direction = Direction::response;

  struct Coordinator {
    std::string key;
    std::int32_t node_id = 0;
    std::string host;
    std::int32_t port = 0;
    std::int16_t error_code = 0;
    std::optional<std::string> error_message = "";
    CROSSOVER_MEMBERS(Coordinator, key, node_id, host, port, error_code, error_message)
  };

  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::optional<std::string> error_message = "";
  std::int32_t node_id = 0;
  std::string host;
  std::int32_t port = 0;
  std::vector<Coordinator> coordinators;
  CROSSOVER_MEMBERS(FindCoordinatorResponse, throttle_time_ms, error_code, error_message, node_id, host, port,
                    coordinators)
};

struct DescribeClusterRequest {
  static constexpr ApiKey api = ApiKey::DescribeCluster;
  static constexpr Direction direction = Direction::request;

  bool include_cluster_authorized_operations = false;
  std::int8_t endpoint_type = 1;
  bool include_fenced_brokers = false;
  CROSSOVER_MEMBERS(DescribeClusterRequest, include_cluster_authorized_operations, endpoint_type,
                    include_fenced_brokers)
};

struct DescribeClusterResponse {
  static constexpr ApiKey api = ApiKey::DescribeCluster;
  static constexpr Direction direction = Direction::response;

  struct DescribeClusterBroker {
    std::int32_t broker_id = 0;
    std::string host;
    std::int32_t port = 0;
    std::optional<std::string> rack;
    bool is_fenced = false;
    CROSSOVER_MEMBERS(DescribeClusterBroker, broker_id, host, port, rack, is_fenced)
  };

  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::optional<std::string> error_message;
  std::int8_t endpoint_type = 1;
  std::string cluster_id;
  std::int32_t controller_id = -1;
  std::vector<DescribeClusterBroker> brokers;
  std::int32_t cluster_authorized_operations = INT32_MIN;
  CROSSOVER_MEMBERS(DescribeClusterResponse, throttle_time_ms, error_code, error_message, endpoint_type, cluster_id,
                    controller_id, brokers, cluster_authorized_operations)
};

struct DescribeTopicPartitionsRequest {
  static constexpr ApiKey api = ApiKey::DescribeTopicPartitions;
  static constexpr Direction direction = Direction::request;

  struct TopicRequest {
    std::string name;
    CROSSOVER_MEMBERS(TopicRequest, name)
  };

  struct Cursor {
    std::string topic_name;
    std::int32_t partition_index = 0;
    CROSSOVER_MEMBERS(Cursor, topic_name, partition_index)
  };

  std::vector<TopicRequest> topics;
  std::int32_t response_partition_limit = 2000;
  std::optional<Cursor> cursor;
  CROSSOVER_MEMBERS(DescribeTopicPartitionsRequest, topics, response_partition_limit, cursor)
};

struct DescribeTopicPartitionsResponse {
  static constexpr ApiKey api = ApiKey::DescribeTopicPartitions;
  static constexpr Direction direction = Direction::response;

  struct DescribeTopicPartitionsResponsePartition {
    std::int16_t error_code = 0;
    std::int32_t partition_index = 0;
    std::int32_t leader_id = 0;
    std::int32_t leader_epoch = -1;
    std::vector<std::int32_t> replica_nodes;
    std::vector<std::int32_t> isr_nodes;
    std::optional<std::vector<std::int32_t>> eligible_leader_replicas;
    std::optional<std::vector<std::int32_t>> last_known_elr;
    std::vector<std::int32_t> offline_replicas;
    CROSSOVER_MEMBERS(DescribeTopicPartitionsResponsePartition, error_code, partition_index, leader_id, leader_epoch,
                      replica_nodes, isr_nodes, eligible_leader_replicas, last_known_elr, offline_replicas)
  };

  struct DescribeTopicPartitionsResponseTopic {
    std::int16_t error_code = 0;
    std::optional<std::string> name = "";
    Uuid topic_id;
    bool is_internal = false;
    std::vector<DescribeTopicPartitionsResponsePartition> partitions;
    std::int32_t topic_authorized_operations = INT32_MIN;
    CROSSOVER_MEMBERS(DescribeTopicPartitionsResponseTopic, error_code, name, topic_id, is_internal, partitions,
                      topic_authorized_operations)
  };

  struct Cursor {
    std::string topic_name;
    std::int32_t partition_index = 0;
    CROSSOVER_MEMBERS(Cursor, topic_name, partition_index)
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<DescribeTopicPartitionsResponseTopic> topics;
  std::optional<Cursor> next_cursor;
  CROSSOVER_MEMBERS(DescribeTopicPartitionsResponse, throttle_time_ms, topics, next_cursor)
};

}  // namespace crossover::protocol
