// Who is who: Metadata, DescribeCluster, DescribeTopicPartitions, ApiVersions, FindCoordinator.
#include <algorithm>

#include "tests/sim/cluster_state.h"

namespace crossover::sim {

namespace {

using protocol::ApiVersionsRequest;
using protocol::ApiVersionsResponse;
using protocol::DescribeClusterRequest;
using protocol::DescribeClusterResponse;
using protocol::DescribeTopicPartitionsRequest;
using protocol::DescribeTopicPartitionsResponse;
using protocol::FindCoordinatorRequest;
using protocol::FindCoordinatorResponse;
using protocol::MetadataRequest;
using protocol::MetadataResponse;

// Bit masks of AclOperation: without an authorizer everything that the resource knows is allowed.
constexpr std::int32_t not_asked = INT32_MIN;
constexpr std::int32_t all_on_topic = 3576;
constexpr std::int32_t all_on_cluster = 8096;
constexpr std::int32_t partitions_per_page = 2000;
constexpr const char* transaction_feature = "transaction.version";
constexpr std::int16_t newest_transaction_version = 2;
constexpr std::int8_t transaction_key = 1;

std::vector<NodeId> offline_of(const ClusterState& state, const Partition& partition) {
  std::vector<NodeId> up = state.in_sync(partition);
  std::vector<NodeId> offline;
  for (NodeId id : partition.replicas) {
    if (std::find(up.begin(), up.end(), id) == up.end()) offline.push_back(id);
  }
  return offline;
}

template <class Answer>
Answer describe_partition(const ClusterState& state, const Partition& partition) {
  Answer answer;
  answer.error_code = code(partition.leader < 0 ? ErrorCode::LEADER_NOT_AVAILABLE : ErrorCode::NONE);
  answer.partition_index = partition.index;
  answer.leader_id = partition.leader;
  answer.leader_epoch = partition.leader_epoch;
  answer.replica_nodes = partition.replicas;
  answer.isr_nodes = state.in_sync(partition);
  answer.offline_replicas = offline_of(state, partition);
  return answer;
}

MetadataResponse::MetadataResponseTopic describe_topic(const ClusterState& state, const Topic& topic) {
  MetadataResponse::MetadataResponseTopic answer;
  answer.name = topic.name;
  answer.topic_id = topic.id;
  answer.topic_authorized_operations = not_asked;
  for (const Partition& partition : topic.partitions) {
    answer.partitions.push_back(describe_partition<MetadataResponse::MetadataResponsePartition>(state, partition));
  }
  return answer;
}

MetadataResponse::MetadataResponseTopic missing_topic(const std::optional<std::string>& name, const Uuid& id,
                                                      ErrorCode error) {
  MetadataResponse::MetadataResponseTopic answer;
  answer.error_code = code(error);
  answer.name = name;
  answer.topic_id = id;
  answer.topic_authorized_operations = not_asked;
  return answer;
}

MetadataResponse::MetadataResponseTopic asked_topic(ClusterState& state, const Call& call,
                                                    const MetadataRequest::MetadataRequestTopic& asked,
                                                    bool may_create) {
  if (call.version() >= 10 && !asked.topic_id.is_zero()) {
    if (call.version() < 12) return missing_topic("", asked.topic_id, ErrorCode::INVALID_REQUEST);
    const Topic* found = state.topic(asked.topic_id);
    if (found == nullptr) return missing_topic(std::nullopt, asked.topic_id, ErrorCode::UNKNOWN_TOPIC_ID);
    return describe_topic(state, *found);
  }
  std::string name = asked.name.value_or("");
  if (const Topic* found = state.topic(name)) return describe_topic(state, *found);
  if (!valid_topic_name(name)) return missing_topic(name, {}, ErrorCode::INVALID_TOPIC_EXCEPTION);
  if (!may_create) return missing_topic(name, {}, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
  // The broker asks for the topic and answers that its leaders are not known yet.
  state.create_topic(name, state.options.default_partitions, state.options.default_replication_factor, {});
  return missing_topic(name, {}, ErrorCode::LEADER_NOT_AVAILABLE);
}

void metadata(ClusterState& state, const Call& call, const MetadataRequest& request) {
  MetadataResponse response;
  response.cluster_id = state.options.cluster_id;
  response.controller_id = state.controller();
  response.cluster_authorized_operations = request.include_cluster_authorized_operations ? all_on_cluster : not_asked;
  for (const auto& [id, broker] : state.brokers) {
    if (!broker.up) continue;
    MetadataResponse::MetadataResponseBroker answer;
    answer.node_id = id;
    answer.host = broker.host;
    answer.port = broker.port;
    response.brokers.push_back(answer);
  }
  bool all = !request.topics || (call.version() == 0 && request.topics->empty());
  if (all) {
    for (const auto& [name, topic] : state.topics) response.topics.push_back(describe_topic(state, topic));
  } else {
    bool may_create = state.options.auto_create_topics && (call.version() < 4 || request.allow_auto_topic_creation);
    for (const auto& asked : *request.topics) {
      response.topics.push_back(asked_topic(state, call, asked, may_create));
    }
  }
  for (auto& topic : response.topics) {
    if (request.include_topic_authorized_operations) topic.topic_authorized_operations = all_on_topic;
  }
  respond(state, call.ticket, response);
}

void describe_cluster(ClusterState& state, const Call& call, const DescribeClusterRequest& request) {
  DescribeClusterResponse response;
  response.endpoint_type = request.endpoint_type;
  response.cluster_authorized_operations = not_asked;
  if (call.version() >= 1 && request.endpoint_type != 1) {
    response.error_code = code(errors::mismatched_endpoint_type);
    response.error_message = "The request was sent to an endpoint of the wrong type.";
    return respond(state, call.ticket, response);
  }
  response.cluster_id = state.options.cluster_id;
  response.controller_id = state.controller();
  if (request.include_cluster_authorized_operations) response.cluster_authorized_operations = all_on_cluster;
  for (const auto& [id, broker] : state.brokers) {
    if (!broker.up && !request.include_fenced_brokers) continue;
    DescribeClusterResponse::DescribeClusterBroker answer;
    answer.broker_id = id;
    answer.host = broker.host;
    answer.port = broker.port;
    answer.is_fenced = !broker.up;
    response.brokers.push_back(answer);
  }
  respond(state, call.ticket, response);
}

using TopicPartitions = DescribeTopicPartitionsResponse::DescribeTopicPartitionsResponseTopic;

TopicPartitions partitions_page(const ClusterState& state, const std::string& name, const Topic* topic,
                                PartitionIndex first, std::int32_t room) {
  TopicPartitions answer;
  answer.name = name;
  answer.topic_authorized_operations = not_asked;
  if (topic == nullptr) {
    answer.error_code =
        code(valid_topic_name(name) ? ErrorCode::UNKNOWN_TOPIC_OR_PARTITION : ErrorCode::INVALID_TOPIC_EXCEPTION);
    return answer;
  }
  answer.topic_id = topic->id;
  answer.topic_authorized_operations = all_on_topic;
  for (const Partition& partition : topic->partitions) {
    if (partition.index < first || static_cast<std::int32_t>(answer.partitions.size()) >= room) continue;
    auto described =
        describe_partition<DescribeTopicPartitionsResponse::DescribeTopicPartitionsResponsePartition>(state, partition);
    described.eligible_leader_replicas.emplace();
    described.last_known_elr.emplace();
    answer.partitions.push_back(std::move(described));
  }
  return answer;
}

void describe_topic_partitions(ClusterState& state, const Call& call, const DescribeTopicPartitionsRequest& request) {
  std::set<std::string> names;
  for (const auto& topic : request.topics) names.insert(topic.name);
  if (request.topics.empty()) {
    for (const auto& [name, topic] : state.topics) names.insert(name);
  }
  DescribeTopicPartitionsResponse response;
  std::int32_t room = std::min(request.response_partition_limit, partitions_per_page);
  for (const std::string& name : names) {
    if (request.cursor && name < request.cursor->topic_name) continue;
    bool resumed = request.cursor && request.cursor->topic_name == name;
    PartitionIndex first = resumed ? request.cursor->partition_index : 0;
    const Topic* topic = state.topic(name);
    if (room <= 0) {
      response.next_cursor = {.topic_name = name, .partition_index = first};
      break;
    }
    response.topics.push_back(partitions_page(state, name, topic, first, room));
    auto shown = static_cast<std::int32_t>(response.topics.back().partitions.size());
    room -= shown;
    if (topic == nullptr || first + shown >= static_cast<std::int32_t>(topic->partitions.size())) continue;
    response.next_cursor = {.topic_name = name, .partition_index = first + shown};
    break;
  }
  respond(state, call.ticket, response);
}

// KIP-1242: a client that believes to talk to another cluster or node is sent back to its bootstrap servers.
bool mistaken(const ClusterState& state, const Call& call, const ApiVersionsRequest& request) {
  if (call.version() < 5) return false;
  if (request.cluster_id && *request.cluster_id != state.options.cluster_id) return true;
  return request.node_id >= 0 && request.node_id != call.ticket.node;
}

void api_versions(ClusterState& state, const Call& call, const ApiVersionsRequest& request) {
  ApiVersionsResponse response;
  response.finalized_features_epoch = 0;
  if (mistaken(state, call, request)) {
    response.error_code = code(ErrorCode::REBOOTSTRAP_REQUIRED);
    return respond(state, call.ticket, response);
  }
  for (const auto& [api, range] : state.versions) {
    ApiVersionsResponse::ApiVersion row;
    row.api_key = static_cast<std::int16_t>(api);
    row.min_version = range.first;
    row.max_version = range.last;
    response.api_keys.push_back(row);
  }
  if (state.options.release == KafkaRelease::v4_4) {
    response.supported_features.push_back({transaction_feature, 0, newest_transaction_version});
    response.finalized_features.push_back({transaction_feature, state.options.transaction_version, 0});
  }
  respond(state, call.ticket, response);
}

FindCoordinatorResponse::Coordinator find_coordinator_of(const ClusterState& state, const std::string& key,
                                                         std::int8_t type) {
  FindCoordinatorResponse::Coordinator found;
  found.key = key;
  found.node_id = type == transaction_key ? state.transaction_coordinator(key) : state.coordinator(key);
  found.error_message = "";
  if (found.node_id < 0) {
    found.error_code = code(ErrorCode::COORDINATOR_NOT_AVAILABLE);
    return found;
  }
  const Broker& broker = state.brokers.at(found.node_id);
  found.host = broker.host;
  found.port = broker.port;
  return found;
}

void find_coordinator(ClusterState& state, const Call& call, const FindCoordinatorRequest& request) {
  FindCoordinatorResponse response;
  if (call.version() >= 4) {
    for (const std::string& key : request.coordinator_keys) {
      response.coordinators.push_back(find_coordinator_of(state, key, request.key_type));
    }
    return respond(state, call.ticket, response);
  }
  auto found = find_coordinator_of(state, request.key, request.key_type);
  response.error_code = found.error_code;
  response.error_message = found.error_message;
  response.node_id = found.node_id;
  response.host = found.host;
  response.port = found.port;
  respond(state, call.ticket, response);
}

}  // namespace

void add_metadata_handlers(Handlers& handlers) {
  handlers[ApiKey::Metadata] = decoded<MetadataRequest, metadata>;
  handlers[ApiKey::DescribeCluster] = decoded<DescribeClusterRequest, describe_cluster>;
  handlers[ApiKey::DescribeTopicPartitions] = decoded<DescribeTopicPartitionsRequest, describe_topic_partitions>;
  handlers[ApiKey::ApiVersions] = decoded<ApiVersionsRequest, api_versions>;
  handlers[ApiKey::FindCoordinator] = decoded<FindCoordinatorRequest, find_coordinator>;
}

}  // namespace crossover::sim
