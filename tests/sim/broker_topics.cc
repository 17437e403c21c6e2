// CreateTopics, DeleteTopics, CreatePartitions, and the state behind them.
#include <algorithm>

#include "tests/sim/broker_configs.h"
#include "tests/sim/cluster_state.h"

namespace crossover::sim {

namespace {

using protocol::CreatePartitionsRequest;
using protocol::CreatePartitionsResponse;
using protocol::CreateTopicsRequest;
using protocol::CreateTopicsResponse;
using protocol::DeleteTopicsRequest;
using protocol::DeleteTopicsResponse;

// A ZooKeeper-mode broker that is not the controller refuses; one of a KRaft cluster forwards by itself.
bool not_controller(const ClusterState& state, const Ticket& ticket) {
  return state.options.zookeeper_mode && state.controller() != ticket.node;
}

std::vector<NodeId> live_brokers(const ClusterState& state) {
  std::vector<NodeId> nodes;
  for (const auto& [id, broker] : state.brokers) {
    if (broker.up) nodes.push_back(id);
  }
  return nodes;
}

struct Wanted {
  int partitions = 0;
  int replication_factor = 0;
  std::map<std::string, std::string> configs;
};

Wanted wanted(const ClusterState& state, const CreateTopicsRequest::CreatableTopic& asked) {
  Wanted topic;
  auto up = static_cast<int>(live_brokers(state).size());
  topic.partitions = asked.num_partitions == -1 ? state.options.default_partitions : asked.num_partitions;
  topic.replication_factor = asked.replication_factor == -1 ? std::min(state.options.default_replication_factor, up)
                                                            : asked.replication_factor;
  if (!asked.assignments.empty()) {
    topic.partitions = static_cast<int>(asked.assignments.size());
    topic.replication_factor = static_cast<int>(asked.assignments.front().broker_ids.size());
  }
  for (const auto& config : asked.configs) topic.configs[config.name] = config.value.value_or("");
  return topic;
}

ErrorCode creation_error(ClusterState& state, const std::string& name, const Wanted& topic) {
  if (!valid_topic_name(name)) return ErrorCode::INVALID_TOPIC_EXCEPTION;
  if (state.topic(name) != nullptr) return ErrorCode::TOPIC_ALREADY_EXISTS;
  if (topic.partitions <= 0) return ErrorCode::INVALID_PARTITIONS;
  auto up = static_cast<int>(live_brokers(state).size());
  if (topic.replication_factor <= 0 || topic.replication_factor > up) return errors::invalid_replication_factor;
  for (const auto& [config, value] : topic.configs) {
    if (!known_topic_config(config)) return errors::invalid_config;
  }
  return ErrorCode::NONE;
}

ErrorCode place_replicas(ClusterState& state, Topic& topic, const CreateTopicsRequest::CreatableTopic& asked) {
  for (const auto& assignment : asked.assignments) {
    Partition* partition = state.partition(&topic, assignment.partition_index);
    if (partition == nullptr || assignment.broker_ids.empty()) return errors::invalid_replica_assignment;
    for (NodeId id : assignment.broker_ids) {
      if (state.broker(id) == nullptr) return errors::invalid_replica_assignment;
    }
    partition->replicas = assignment.broker_ids;
    partition->leader = assignment.broker_ids.front();
  }
  return ErrorCode::NONE;
}

ErrorCode create_asked(ClusterState& state, const Call& call, const CreateTopicsRequest::CreatableTopic& asked,
                       bool validate_only) {
  if (not_controller(state, call.ticket)) return ErrorCode::NOT_CONTROLLER;
  Wanted topic = wanted(state, asked);
  ErrorCode error = creation_error(state, asked.name, topic);
  if (error != ErrorCode::NONE || validate_only) return error;
  error = state.create_topic(asked.name, topic.partitions, topic.replication_factor, topic.configs);
  if (error == ErrorCode::NONE) error = place_replicas(state, *state.topic(asked.name), asked);
  if (error == errors::invalid_replica_assignment) state.delete_topic(asked.name);
  return error;
}

void create_topics(ClusterState& state, const Call& call, const CreateTopicsRequest& request) {
  CreateTopicsResponse response;
  for (const auto& asked : request.topics) {
    ErrorCode error = create_asked(state, call, asked, request.validate_only);
    CreateTopicsResponse::CreatableTopicResult answer;
    answer.name = asked.name;
    answer.error_code = code(error);
    answer.num_partitions = -1;
    answer.replication_factor = -1;
    answer.configs.emplace();
    answer.error_message.reset();
    if (error != ErrorCode::NONE) answer.error_message = std::string(protocol::error_name(code(error)));
    if (const Topic* topic = state.topic(asked.name); error == ErrorCode::NONE && topic != nullptr) {
      answer.topic_id = topic->id;
      answer.num_partitions = static_cast<std::int32_t>(topic->partitions.size());
      answer.replication_factor = static_cast<std::int16_t>(topic->partitions.front().replicas.size());
      for (const auto& known : topic_config_defaults()) {
        CreateTopicsResponse::CreatableTopicConfigs row;
        row.name = std::string(known.name);
        row.value = state.config(*topic, row.name);
        row.config_source = topic->configs.contains(row.name) ? 1 : 5;
        answer.configs->push_back(std::move(row));
      }
    }
    response.topics.push_back(std::move(answer));
  }
  respond(state, call.ticket, response);
}

DeleteTopicsResponse::DeletableTopicResult delete_asked(ClusterState& state, const Call& call, const std::string& name,
                                                        const Uuid& id) {
  DeleteTopicsResponse::DeletableTopicResult answer;
  const Topic* topic = state.topic(name, id);
  ErrorCode error = ErrorCode::NONE;
  if (not_controller(state, call.ticket)) {
    error = ErrorCode::NOT_CONTROLLER;
  } else if (topic == nullptr) {
    error = name.empty() ? ErrorCode::UNKNOWN_TOPIC_ID : ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
  }
  if (topic != nullptr || !name.empty()) answer.name = topic != nullptr ? topic->name : name;
  answer.topic_id = topic != nullptr ? topic->id : id;
  if (error == ErrorCode::NONE) error = state.delete_topic(topic->name);
  answer.error_code = code(error);
  return answer;
}

void delete_topics(ClusterState& state, const Call& call, const DeleteTopicsRequest& request) {
  DeleteTopicsResponse response;
  for (const std::string& name : request.topic_names) response.responses.push_back(delete_asked(state, call, name, {}));
  for (const auto& asked : request.topics) {
    response.responses.push_back(delete_asked(state, call, asked.name.value_or(""), asked.topic_id));
  }
  respond(state, call.ticket, response);
}

void create_partitions(ClusterState& state, const Call& call, const CreatePartitionsRequest& request) {
  CreatePartitionsResponse response;
  for (const auto& asked : request.topics) {
    Topic* topic = state.topic(asked.name);
    ErrorCode error = ErrorCode::NONE;
    if (not_controller(state, call.ticket)) {
      error = ErrorCode::NOT_CONTROLLER;
    } else if (topic == nullptr) {
      error = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    } else if (asked.count <= static_cast<std::int32_t>(topic->partitions.size())) {
      error = ErrorCode::INVALID_PARTITIONS;
    }
    if (error == ErrorCode::NONE && !request.validate_only) state.grow_topic(*topic, asked.count);
    CreatePartitionsResponse::CreatePartitionsTopicResult answer;
    answer.name = asked.name;
    answer.error_code = code(error);
    response.results.push_back(std::move(answer));
  }
  respond(state, call.ticket, response);
}

}  // namespace

void ClusterState::grow_topic(Topic& topic, int count) {
  std::vector<NodeId> up = live_brokers(*this);
  std::size_t factor = topic.partitions.empty() ? 1 : topic.partitions.front().replicas.size();
  while (static_cast<int>(topic.partitions.size()) < count && !up.empty()) {
    Partition& partition = topic.partitions.emplace_back();
    partition.index = static_cast<PartitionIndex>(topic.partitions.size() - 1);
    for (std::size_t i = 0; i < std::min(factor, up.size()); ++i) {
      partition.replicas.push_back(up[(static_cast<std::size_t>(partition.index) + i) % up.size()]);
    }
    partition.leader = partition.replicas.front();
    partition.leader_epoch = options.first_leader_epoch;
    partition.log.assign_epoch(partition.leader_epoch);
  }
  changed();
}

ErrorCode ClusterState::create_topic(const std::string& name, int partitions, int replication_factor,
                                     std::map<std::string, std::string> configs) {
  auto up = static_cast<int>(live_brokers(*this).size());
  Wanted asked{partitions, std::min(replication_factor, up), std::move(configs)};
  ErrorCode error = creation_error(*this, name, asked);
  if (error != ErrorCode::NONE) return error;
  Topic& topic = topics[name];
  topic.name = name;
  topic.id = random_uuid();
  topic.configs = std::move(asked.configs);
  topic_names[topic.id] = name;
  grow_topic(topic, 1);
  // The first partition's replicas set the pattern for the rest.
  std::vector<NodeId> nodes = live_brokers(*this);
  topic.partitions.front().replicas.assign(nodes.begin(), nodes.begin() + asked.replication_factor);
  grow_topic(topic, partitions);
  return ErrorCode::NONE;
}

ErrorCode ClusterState::delete_topic(const std::string& name) {
  auto found = topics.find(name);
  if (found == topics.end()) return ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
  topic_names.erase(found->second.id);
  topics.erase(found);
  for (auto& [id, group] : groups) {
    std::erase_if(group.offsets, [&](const auto& item) { return item.first.first == name; });
  }
  changed();
  return ErrorCode::NONE;
}

void add_topic_handlers(Handlers& handlers) {
  handlers[ApiKey::CreateTopics] = decoded<CreateTopicsRequest, create_topics>;
  handlers[ApiKey::DeleteTopics] = decoded<DeleteTopicsRequest, delete_topics>;
  handlers[ApiKey::CreatePartitions] = decoded<CreatePartitionsRequest, create_partitions>;
}

}  // namespace crossover::sim
