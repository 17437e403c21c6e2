#include "tests/sim/broker_configs.h"

#include <algorithm>

#include "tests/sim/cluster_state.h"

namespace crossover::sim {

namespace {

using protocol::AlterConfigsRequest;
using protocol::AlterConfigsResponse;
using protocol::DescribeConfigsRequest;
using protocol::DescribeConfigsResponse;
using protocol::IncrementalAlterConfigsRequest;
using protocol::IncrementalAlterConfigsResponse;

enum ConfigType { boolean = 1, string = 2, int32 = 3, int64 = 5, float64 = 6, list = 7 };
enum ResourceType : std::int8_t { topic_resource = 2, broker_resource = 4 };
enum ConfigSource : std::int8_t { dynamic_topic = 1, dynamic_broker = 2, static_broker = 4, default_config = 5 };
enum Operation : std::int8_t { set = 0, remove = 1, append = 2, subtract = 3 };

constexpr ConfigDefault topic_defaults[] = {
    {"cleanup.policy", "delete", list},
    {"compression.type", "producer", string},
    {"delete.retention.ms", "86400000", int64},
    {"file.delete.delay.ms", "60000", int64},
    {"flush.messages", "9223372036854775807", int64},
    {"flush.ms", "9223372036854775807", int64},
    {"follower.replication.throttled.replicas", "", list},
    {"index.interval.bytes", "4096", int32},
    {"leader.replication.throttled.replicas", "", list},
    {"local.retention.bytes", "-2", int64},
    {"local.retention.ms", "-2", int64},
    {"max.compaction.lag.ms", "9223372036854775807", int64},
    {"max.message.bytes", "1048588", int32},
    {"message.timestamp.after.max.ms", "3600000", int64},
    {"message.timestamp.before.max.ms", "9223372036854775807", int64},
    {"message.timestamp.type", "CreateTime", string},
    {"min.cleanable.dirty.ratio", "0.5", float64},
    {"min.compaction.lag.ms", "0", int64},
    {"min.insync.replicas", "1", int32},
    {"preallocate", "false", boolean},
    {"remote.storage.enable", "false", boolean},
    {"retention.bytes", "-1", int64},
    {"retention.ms", "604800000", int64},
    {"segment.bytes", "1073741824", int32},
    {"segment.index.bytes", "10485760", int32},
    {"segment.jitter.ms", "0", int64},
    {"segment.ms", "604800000", int64},
    {"unclean.leader.election.enable", "false", boolean},
};

using Configs = std::map<std::string, std::string>;

// A resource's settings in force; nullptr with an error when there is no such resource.
struct Resource {
  ErrorCode error = ErrorCode::NONE;
  Configs* configs = nullptr;
  bool is_topic = false;
};

Resource find_resource(ClusterState& state, NodeId node, std::int8_t type, const std::string& name) {
  if (type == topic_resource) {
    Topic* topic = state.topic(name);
    if (topic == nullptr) return {ErrorCode::UNKNOWN_TOPIC_OR_PARTITION};
    return {ErrorCode::NONE, &topic->configs, true};
  }
  // A broker speaks for itself only.
  if (type == broker_resource && name == std::to_string(node)) {
    return {ErrorCode::NONE, &state.brokers.at(node).configs, false};
  }
  return {ErrorCode::INVALID_REQUEST};
}

DescribeConfigsResponse::DescribeConfigsResourceResult describe(const std::string& name, const std::string& value,
                                                                ConfigSource source, int type, bool synonyms) {
  DescribeConfigsResponse::DescribeConfigsResourceResult row;
  row.name = name;
  row.value = value;
  row.read_only = source == static_broker;
  row.config_source = source;
  row.config_type = static_cast<std::int8_t>(type);
  row.documentation.reset();
  if (synonyms) {
    DescribeConfigsResponse::DescribeConfigsSynonym synonym;
    synonym.name = name;
    synonym.value = value;
    synonym.source = source;
    row.synonyms.push_back(synonym);
  }
  return row;
}

bool wants(const DescribeConfigsRequest::DescribeConfigsResource& asked, const std::string& name) {
  if (!asked.configuration_keys) return true;
  auto& keys = *asked.configuration_keys;
  return std::find(keys.begin(), keys.end(), name) != keys.end();
}

Configs broker_facts(const ClusterState& state, NodeId node) {
  const Broker& broker = state.brokers.at(node);
  std::string id = std::to_string(node);
  std::string listener = "PLAINTEXT://" + broker.host + ":" + std::to_string(broker.port);
  return {{state.options.zookeeper_mode ? "broker.id" : "node.id", id},
          {"advertised.listeners", listener},
          {"auto.create.topics.enable", state.options.auto_create_topics ? "true" : "false"},
          {"default.replication.factor", std::to_string(state.options.default_replication_factor)},
          {"num.partitions", std::to_string(state.options.default_partitions)},
          {"producer.id.expiration.ms", std::to_string(state.options.producer_id_expiration_ms)}};
}

DescribeConfigsResponse::DescribeConfigsResult describe_resource(
    ClusterState& state, const Call& call, const DescribeConfigsRequest::DescribeConfigsResource& asked,
    bool synonyms) {
  DescribeConfigsResponse::DescribeConfigsResult answer;
  answer.resource_type = asked.resource_type;
  answer.resource_name = asked.resource_name;
  answer.error_message.reset();
  Resource resource = find_resource(state, call.ticket.node, asked.resource_type, asked.resource_name);
  answer.error_code = code(resource.error);
  if (resource.error != ErrorCode::NONE) return answer;
  if (!resource.is_topic) {
    for (const auto& [name, value] : broker_facts(state, call.ticket.node)) {
      if (wants(asked, name)) answer.configs.push_back(describe(name, value, static_broker, string, synonyms));
    }
    for (const auto& [name, value] : *resource.configs) {
      if (wants(asked, name)) answer.configs.push_back(describe(name, value, dynamic_broker, string, synonyms));
    }
    return answer;
  }
  for (const ConfigDefault& known : topic_defaults) {
    std::string name(known.name);
    if (!wants(asked, name)) continue;
    auto own = resource.configs->find(name);
    bool overridden = own != resource.configs->end();
    std::string value = overridden ? own->second : std::string(known.value);
    answer.configs.push_back(describe(name, value, overridden ? dynamic_topic : default_config, known.type, synonyms));
  }
  return answer;
}

void describe_configs(ClusterState& state, const Call& call, const DescribeConfigsRequest& request) {
  DescribeConfigsResponse response;
  for (const auto& asked : request.resources) {
    response.results.push_back(describe_resource(state, call, asked, request.include_synonyms));
  }
  respond(state, call.ticket, response);
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> items;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = std::min(text.find(',', at), text.size());
    items.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return items;
}

std::string join(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : ",") + item;
  return text;
}

ErrorCode apply(Configs& configs, bool is_topic, const IncrementalAlterConfigsRequest::AlterableConfig& change) {
  if (is_topic && !known_topic_config(change.name)) return errors::invalid_config;
  if (change.config_operation == remove) {
    configs.erase(change.name);
    return ErrorCode::NONE;
  }
  if (!change.value) return errors::invalid_config;
  if (change.config_operation == set) {
    configs[change.name] = *change.value;
    return ErrorCode::NONE;
  }
  auto own = configs.find(change.name);
  std::vector<std::string> items =
      split(own != configs.end() ? own->second : std::string(default_topic_config(change.name)));
  for (const std::string& item : split(*change.value)) {
    std::erase(items, item);
    if (change.config_operation == append) items.push_back(item);
  }
  configs[change.name] = join(items);
  return ErrorCode::NONE;
}

void incremental_alter_configs(ClusterState& state, const Call& call, const IncrementalAlterConfigsRequest& request) {
  IncrementalAlterConfigsResponse response;
  for (const auto& asked : request.resources) {
    Resource resource = find_resource(state, call.ticket.node, asked.resource_type, asked.resource_name);
    ErrorCode error = resource.error;
    Configs changed = resource.configs != nullptr ? *resource.configs : Configs{};
    for (const auto& change : asked.configs) {
      if (error == ErrorCode::NONE) error = apply(changed, resource.is_topic, change);
    }
    // All of a resource's changes or none.
    if (error == ErrorCode::NONE && !request.validate_only) *resource.configs = std::move(changed);
    IncrementalAlterConfigsResponse::AlterConfigsResourceResponse answer;
    answer.error_code = code(error);
    answer.error_message.reset();
    answer.resource_type = asked.resource_type;
    answer.resource_name = asked.resource_name;
    response.responses.push_back(std::move(answer));
  }
  respond(state, call.ticket, response);
}

void alter_configs(ClusterState& state, const Call& call, const AlterConfigsRequest& request) {
  AlterConfigsResponse response;
  for (const auto& asked : request.resources) {
    Resource resource = find_resource(state, call.ticket.node, asked.resource_type, asked.resource_name);
    ErrorCode error = resource.error;
    Configs replacement;
    for (const auto& config : asked.configs) {
      if (resource.is_topic && !known_topic_config(config.name)) error = errors::invalid_config;
      if (config.value) replacement[config.name] = *config.value;
    }
    if (error == ErrorCode::NONE && !request.validate_only) *resource.configs = std::move(replacement);
    AlterConfigsResponse::AlterConfigsResourceResponse answer;
    answer.error_code = code(error);
    answer.error_message.reset();
    answer.resource_type = asked.resource_type;
    answer.resource_name = asked.resource_name;
    response.responses.push_back(std::move(answer));
  }
  respond(state, call.ticket, response);
}

}  // namespace

std::span<const ConfigDefault> topic_config_defaults() {
  return topic_defaults;
}

std::string_view default_topic_config(const std::string& name) {
  for (const ConfigDefault& known : topic_defaults) {
    if (known.name == name) return known.value;
  }
  return {};
}

bool known_topic_config(const std::string& name) {
  return std::any_of(std::begin(topic_defaults), std::end(topic_defaults),
                     [&](const ConfigDefault& known) { return known.name == name; });
}

void add_config_handlers(Handlers& handlers) {
  handlers[ApiKey::DescribeConfigs] = decoded<DescribeConfigsRequest, describe_configs>;
  handlers[ApiKey::IncrementalAlterConfigs] = decoded<IncrementalAlterConfigsRequest, incremental_alter_configs>;
  handlers[ApiKey::AlterConfigs] = decoded<AlterConfigsRequest, alter_configs>;
}

}  // namespace crossover::sim
