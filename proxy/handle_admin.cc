// Administration through the proxy: read at home, changed on both clusters or refused.
#include <algorithm>

#include "protocol/error_reply.h"
#include "protocol/messages.h"
#include "protocol/walk.h"
#include "protocol/wire.h"
#include "proxy/handlers.h"

namespace crossover::proxy {
namespace {

using namespace protocol;

constexpr std::int16_t code(ErrorCode e) {
  return static_cast<std::int16_t>(e);
}
constexpr std::int8_t topic_resource = 2, broker_resource = 4, broker_logger_resource = 8;
constexpr Millis flip_wait_ms = 10'000;

// In ZooKeeper mode only the controller takes these; with KRaft any broker does.
NodeId controller_of(const SessionCore& core, Cluster cluster) {
  const ClusterImage& image = *core.snapshot().images[index_of(cluster)];
  return image.brokers.contains(image.controller) ? image.controller : any_node;
}

std::vector<DefinedRoute> all_routes(const Snapshot& snapshot) {
  std::vector<DefinedRoute> routes;
  for (std::size_t i = 0; i < snapshot.routes.size(); ++i) routes.push_back(snapshot.defined_route(i));
  return routes;
}

bool any_flip(const Snapshot& snapshot) {
  return std::any_of(snapshot.routes.begin(), snapshot.routes.end(),
                     [](const RouteView& r) { return r.phase != RoutePhase::open; });
}

// Administration never overlaps a flip.
Task<bool> no_flip(SessionCore& core) {
  const Millis deadline = core.now() + flip_wait_ms;
  while (any_flip(core.snapshot()) && core.now() < deadline) {
    SessionCore::Changed changed(core, deadline);
    co_await changed;
  }
  co_return !any_flip(core.snapshot());
}

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

Task<std::optional<Bytes>> ask(SessionCore& core, const Request& request, Cluster cluster, ApiKey api, Version version,
                               Bytes body) {
  const NodeId node = controller_of(core, cluster);
  Call call = core.send(request, cluster, node, api, version, body);
  const CallState& answered = co_await call;
  if (answered.status != CallStatus::answered) co_return std::nullopt;
  co_return Bytes(answered.body());
}

// The same request with validate_only set, where the API has that.
template <class T>
std::optional<Bytes> dry_run(const Request& request) {
  auto asked = decode<T>(request.body(), request.version());
  if (!asked) return std::nullopt;
  asked->validate_only = true;
  return encode(*asked, request.version());
}

std::optional<Bytes> dry_run_of(const Request& request) {
  switch (request.api()) {
    case ApiKey::CreateTopics:
      return dry_run<CreateTopicsRequest>(request);
    case ApiKey::CreatePartitions:
      return dry_run<CreatePartitionsRequest>(request);
    case ApiKey::IncrementalAlterConfigs:
      return dry_run<IncrementalAlterConfigsRequest>(request);
    case ApiKey::AlterConfigs:
      return dry_run<AlterConfigsRequest>(request);
    default:
      return std::nullopt;
  }
}

template <class Answer>
void explain(Answer& answer, Cluster cluster, bool done_elsewhere) {
  const std::string where = "refused by the " + std::string(to_string(cluster)) + " cluster";
  const std::string tail = done_elsewhere ? "; it was done on the " + std::string(to_string(other(cluster))) +
                                                " cluster: repeat it or undo it there"
                                          : "; nothing was changed on either";
  for (auto& row : answer) {
    if (row.error_code != 0)
      row.error_message = where + ": " + row.error_message.value_or(std::string(error_name(row.error_code))) + tail;
  }
}

// Says in the answer itself which cluster refused and what stands now.
Bytes explained(const Request& request, Bytes body, Cluster cluster, bool done_elsewhere) {
  const Version v = request.version();
  switch (request.api()) {
    case ApiKey::CreateTopics:
      if (auto a = decode<CreateTopicsResponse>(body, v))
        return explain(a->topics, cluster, done_elsewhere), encode(*a, v);
      break;
    case ApiKey::DeleteTopics:
      if (auto a = decode<DeleteTopicsResponse>(body, v))
        return explain(a->responses, cluster, done_elsewhere), encode(*a, v);
      break;
    case ApiKey::CreatePartitions:
      if (auto a = decode<CreatePartitionsResponse>(body, v))
        return explain(a->results, cluster, done_elsewhere), encode(*a, v);
      break;
    case ApiKey::IncrementalAlterConfigs:
      if (auto a = decode<IncrementalAlterConfigsResponse>(body, v))
        return explain(a->responses, cluster, done_elsewhere), encode(*a, v);
      break;
    case ApiKey::AlterConfigs:
      if (auto a = decode<AlterConfigsResponse>(body, v))
        return explain(a->responses, cluster, done_elsewhere), encode(*a, v);
      break;
    default:
      break;
  }
  return body;
}

// Throttles of replication list partition:broker pairs; "*" means all and names none.
template <class Configs>
bool throttles_brokers(const Configs& configs) {
  return std::any_of(configs.begin(), configs.end(), [](const auto& config) {
    return config.name.find("throttled.replicas") != std::string::npos && config.value && !config.value->empty() &&
           *config.value != "*";
  });
}

template <class T>
bool alters_throttles(const Request& request) {
  const auto asked = decode<T>(request.body(), request.version());
  return asked && std::any_of(asked->resources.begin(), asked->resources.end(),
                              [](const auto& r) { return throttles_brokers(r.configs); });
}

// Replica assignments and throttles name real brokers, and the two clusters have different ones.
bool names_brokers(const Request& request) {
  if (request.api() == ApiKey::CreateTopics) {
    const auto asked = decode<CreateTopicsRequest>(request.body(), request.version());
    return asked && std::any_of(asked->topics.begin(), asked->topics.end(),
                                [](const auto& t) { return !t.assignments.empty() || throttles_brokers(t.configs); });
  }
  if (request.api() == ApiKey::AlterConfigs) return alters_throttles<AlterConfigsRequest>(request);
  if (request.api() == ApiKey::IncrementalAlterConfigs)
    return alters_throttles<IncrementalAlterConfigsRequest>(request);
  if (request.api() == ApiKey::CreatePartitions) {
    const auto asked = decode<CreatePartitionsRequest>(request.body(), request.version());
    return asked && std::any_of(asked->topics.begin(), asked->topics.end(),
                                [](const auto& t) { return t.assignments && !t.assignments->empty(); });
  }
  return false;
}

// Topic ids of the request (DeleteTopics v6) as the given cluster knows them.
Bytes request_on(const SessionCore& core, const Request& request, Cluster cluster) {
  if (request.api() != ApiKey::DeleteTopics || request.version() < 6) return Bytes(request.body());
  auto asked = decode<DeleteTopicsRequest>(request.body(), request.version());
  if (!asked) return Bytes(request.body());
  for (auto& topic : asked->topics) {
    const TopicView* view = topic.topic_id.is_zero() ? nullptr : core.snapshot().topic(topic.topic_id);
    if (view) topic.topic_id = view->real_id[index_of(cluster)];
  }
  return encode(*asked, request.version());
}

Uuid virtual_id_of(const Snapshot& snapshot, Cluster cluster, const Uuid& real_id) {
  for (const auto& [name, topic] : snapshot.topics) {
    if (topic->real_id[index_of(cluster)] == real_id) return topic->virtual_id;
  }
  return real_id;
}

// Virtual topic ids for those of the answering cluster. A topic made just now keeps its home's id as its virtual one.
template <class T, class Rows>
Bytes with_virtual_ids(const SessionCore& core, const Request& request, Cluster cluster, Bytes body, Rows rows) {
  auto answer = decode<T>(body, request.version());
  if (!answer) return body;
  for (auto& row : (*answer).*rows) {
    if (!row.topic_id.is_zero()) row.topic_id = virtual_id_of(core.snapshot(), cluster, row.topic_id);
  }
  return encode(*answer, request.version());
}

Bytes answer_of(const SessionCore& core, const Request& request, Cluster cluster, Bytes body) {
  switch (request.api()) {
    case ApiKey::CreateTopics:
      return with_virtual_ids<CreateTopicsResponse>(core, request, cluster, std::move(body),
                                                    &CreateTopicsResponse::topics);
    case ApiKey::DeleteTopics:
      return with_virtual_ids<DeleteTopicsResponse>(core, request, cluster, std::move(body),
                                                    &DeleteTopicsResponse::responses);
    default:
      return body;
  }
}

Task<> undo_create(SessionCore& core, const Request& request, Cluster cluster) {
  const auto asked = decode<CreateTopicsRequest>(request.body(), request.version());
  const auto& apis = core.snapshot().versions[index_of(cluster)]->apis;
  if (!asked || !apis.contains(ApiKey::DeleteTopics)) co_return;
  DeleteTopicsRequest undo;
  for (const auto& topic : asked->topics) undo.topic_names.push_back(topic.name);
  undo.timeout_ms = asked->timeout_ms;
  constexpr Version by_name = 1;
  Bytes body = encode(undo, by_name);
  co_await ask(core, request, cluster, ApiKey::DeleteTopics, by_name, body);
}

Task<> change_both(SessionCore& core, Request& request) {
  const bool calm = co_await no_flip(core);
  if (!calm) co_return core.reply_error(request, ErrorCode::REQUEST_TIMED_OUT);
  if (names_brokers(request)) co_return core.reply_error(request, ErrorCode::INVALID_REQUEST);
  const SessionCore::WriteGuard in_flight(core, request,
                                          all_routes(core.snapshot()));  // a flip that starts now waits for this
  const Cluster home = core.snapshot().routes[0].home;
  const Cluster order[] = {home, other(home)};
  if (const auto trial = dry_run_of(request)) {
    for (const Cluster c : order) {
      auto answer = co_await ask(core, request, c, request.api(), request.version(), *trial);
      if (!answer) co_return core.reply_error(request, ErrorCode::REQUEST_TIMED_OUT);
      if (first_error(request.api(), request.version(), *answer) != 0) {
        const Bytes body = explained(request, answer_of(core, request, c, std::move(*answer)), c, false);
        co_return core.reply(request, BytesView(body));
      }
    }
  }
  std::optional<Bytes> first;
  for (const Cluster c : order) {
    Bytes sent = request_on(core, request, c);
    auto answer = co_await ask(core, request, c, request.api(), request.version(), sent);
    const bool second = c != home;
    const bool ok = answer && first_error(request.api(), request.version(), *answer) == 0;
    if (!ok) {
      const bool undone = second && request.api() == ApiKey::CreateTopics;
      if (undone) co_await undo_create(core, request, home);
      if (!answer) co_return core.reply_error(request, ErrorCode::REQUEST_TIMED_OUT);
      const Bytes body = explained(request, answer_of(core, request, c, std::move(*answer)), c, second && !undone);
      co_return core.reply(request, BytesView(body));
    }
    if (!second) first = std::move(answer);
  }
  for (const Cluster c : both_clusters) core.io().want_image(c, core.now());
  const Bytes body = answer_of(core, request, home, std::move(*first));
  core.reply(request, BytesView(body));
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
  if (topics) return change_both(core, request);
  return refuse_broker_configs(core, request);
}

Task<> handle_mirror(SessionCore& core, Request& request) {
  return change_both(core, request);
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
