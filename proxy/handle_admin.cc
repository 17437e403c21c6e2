// Administration through the proxy: read at home, changed on both clusters or refused.
#include <algorithm>

#include "protocol/error_reply.h"
#include "protocol/messages.h"
#include "protocol/walk.h"
#include "protocol/wire.h"
#include "proxy/handlers.h"
#include "proxy/mirror.h"

namespace crossover::proxy {
namespace {

using namespace protocol;

constexpr std::int16_t code(ErrorCode e) {
  return static_cast<std::int16_t>(e);
}
constexpr std::int8_t topic_resource = 2, broker_resource = 4, broker_logger_resource = 8;

// The first error code anywhere in an answer.
class FirstError : public Visitor {
 public:
  explicit FirstError(BytesView body) : body_(body) {}
  void value(const Visit& visit) override {
    if (visit.field.role != Role::error_code || visit.field.type != WireType::int16 || visit.null || error_ != 0)
      return;
    error_ = load_int16(body_.data() + visit.at);
  }
  std::int16_t error() const { return error_; }

 private:
  BytesView body_;
  std::int16_t error_ = 0;
};

std::int16_t first_error(ApiKey api, Version version, BytesView body) {
  FirstError visitor(body);
  if (!walk(*find_message(api, Direction::response), version, body, visitor))
    return code(ErrorCode::UNKNOWN_SERVER_ERROR);
  return visitor.error();
}

// What is asked of brokers as one thing (ACLs, quotas, credentials): all of it at home, then all on the other cluster.
Task<> change_both(SessionCore& core, Request& request) {
  const bool calm = co_await no_flip(core);
  if (!calm) co_return core.reply_error(request, ErrorCode::REQUEST_TIMED_OUT);
  const std::vector<DefinedRoute> routes = all_routes(core.snapshot());
  const SessionCore::WriteGuard in_flight(core, request, routes);  // a flip that starts now waits for this
  const Cluster home = core.snapshot().routes[0].home;
  const Cluster order[] = {home, other(home)};
  std::optional<Bytes> first;
  for (const Cluster c : order) {
    const Bytes body(request.body());
    auto answer = co_await ask_controller(core, request, c, request.api(), request.version(), body);
    if (!answer) co_return core.reply_error(request, ErrorCode::REQUEST_TIMED_OUT);
    const bool refused = first_error(request.api(), request.version(), *answer) != 0;
    if (refused) co_return core.reply(request, BytesView(*answer));
    if (!first) first = std::move(answer);
  }
  core.reply(request, BytesView(*first));
}

// Configs whose values are addresses or ids of the real cluster: mostly a broker's, but throttles of a topic name
// brokers.
bool reveals_cluster(const std::string& name) {
  constexpr std::string_view parts[] = {"listener", "quorum", "zookeeper", "broker.id", "node.id",
                                        "log.dir",  "host",   "port",      "bootstrap", "throttled.replicas"};
  return std::any_of(std::begin(parts), std::end(parts),
                     [&name](std::string_view part) { return name.find(part) != std::string::npos; });
}

void hide_addresses(DescribeConfigsResponse::DescribeConfigsResult& result) {
  for (auto& config : result.configs) {
    if (!reveals_cluster(config.name)) continue;
    config.value.reset();
    config.is_sensitive = true;
    for (auto& synonym : config.synonyms) synonym.value.reset();
  }
}

struct ConfigTarget {
  Cluster cluster;
  NodeId node;
  std::string name;  // of the resource there
};

std::optional<ConfigTarget> config_target(const SessionCore& core, std::int8_t type, const std::string& name) {
  const Snapshot& snapshot = core.snapshot();
  if (type == broker_resource || type == broker_logger_resource) {
    if (name.empty()) return ConfigTarget{snapshot.groups_home, core.some_node(snapshot.groups_home), name};
    NodeId id = -1;
    for (const auto& [v, broker] : snapshot.brokers) {
      if (std::to_string(v) == name) id = v;
    }
    if (id < 0) return std::nullopt;
    const VirtualBroker& broker = snapshot.brokers.at(id);
    return ConfigTarget{broker.cluster, broker.real_id, std::to_string(broker.real_id)};
  }
  const TopicView* topic = type == topic_resource ? snapshot.topic(name) : nullptr;
  const Cluster cluster = topic ? snapshot.route_of(*topic).home : snapshot.groups_home;
  return ConfigTarget{cluster, core.some_node(cluster), name};
}

Task<> describe_configs(SessionCore& core, Request& request) {
  const auto asked = decode<DescribeConfigsRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed DescribeConfigs request");
  DescribeConfigsResponse answer;
  for (const auto& resource : asked->resources) {
    auto& row = answer.results.emplace_back();
    row.resource_type = resource.resource_type;
    row.resource_name = resource.resource_name;
    row.error_code = code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    const auto target = config_target(core, resource.resource_type, resource.resource_name);
    if (!target) {
      row.error_code = code(ErrorCode::INVALID_REQUEST);
      row.error_message = "no such broker";
      continue;
    }
    if (resource.resource_type == topic_resource && !core.snapshot().topic(resource.resource_name)) continue;
    DescribeConfigsRequest one = *asked;
    one.resources = {resource};
    one.resources[0].resource_name = target->name;
    const Bytes body = encode(one, request.version());
    Call call = core.send(request, target->cluster, target->node, request.api(), request.version(), body);
    const CallState& answered = co_await call;
    auto got = answered.status == CallStatus::answered
                   ? decode<DescribeConfigsResponse>(answered.body(), request.version())
                   : std::nullopt;
    auto& out = answer.results.back();
    if (!got || got->results.empty()) {
      out.error_code = code(ErrorCode::REQUEST_TIMED_OUT);
      continue;
    }
    out = std::move(got->results[0]);
    out.resource_name = resource.resource_name;
    hide_addresses(out);
  }
  core.reply(request, answer);
}

template <class T>
bool only_topics(const Request& request) {
  const auto asked = decode<T>(request.body(), request.version());
  return asked && std::all_of(asked->resources.begin(), asked->resources.end(),
                              [](const auto& r) { return r.resource_type == topic_resource; });
}

// A broker's own settings are its operator's; the virtual one stands for a different real one on each side.
Task<> refuse_broker_configs(SessionCore& core, Request& request) {
  core.reply_error(request, ErrorCode::POLICY_VIOLATION);
  co_return;
}

}  // namespace

Task<> handle_configs(SessionCore& core, Request& request) {
  if (request.api() == ApiKey::DescribeConfigs) return describe_configs(core, request);
  const bool topics = request.api() == ApiKey::AlterConfigs ? only_topics<AlterConfigsRequest>(request)
                                                            : only_topics<IncrementalAlterConfigsRequest>(request);
  if (topics) return change_topics(core, request);
  return refuse_broker_configs(core, request);
}

Task<> handle_mirror(SessionCore& core, Request& request) {
  switch (request.api()) {
    case ApiKey::CreateTopics:
    case ApiKey::CreatePartitions:
      return change_topics(core, request);
    case ApiKey::DeleteTopics:
      return delete_topics(core, request);
    default:
      return change_both(core, request);
  }
}

Task<> handle_forward(SessionCore& core, Request& request) {
  const Cluster home = core.snapshot().groups_home;
  const Bytes body(request.body());
  Call call = core.send(request, home, core.some_node(home), request.api(), request.version(), body);
  CallState& answered = co_await call;
  if (answered.status != CallStatus::answered) co_return core.reply_error(request, ErrorCode::REQUEST_TIMED_OUT);
  core.reply_with(request, answered);
}

}  // namespace crossover::proxy
