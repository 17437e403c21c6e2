// What a client is told of the cluster: virtual brokers, constant ids, leader epochs that only rise.
#include <algorithm>
#include <set>

#include "protocol/messages.h"
#include "proxy/api_policy.h"
#include "proxy/handlers.h"

namespace crossover::proxy {
namespace {

using namespace protocol;

constexpr std::int16_t code(ErrorCode e) {
  return static_cast<std::int16_t>(e);
}

// A request is answered from an image that was asked for at most this long before it arrived.
constexpr Millis image_slack_ms = 20;

bool fresh(const ClusterImage& image, Millis not_before) {
  return image.asked_at >= not_before;
}

// Waits until the clusters were asked after the request came, so that a client that was sent for new leaders gets them.
Task<> refresh(SessionCore& core, Request& request, std::set<Cluster> clusters) {
  const Millis not_before = request.arrived_at - image_slack_ms;
  const Millis deadline = request.arrived_at + core.options().limits.image_wait_ms;
  for (;;) {
    bool waiting = false;
    for (const Cluster c : clusters) {
      if (fresh(*core.snapshot().images[index_of(c)], not_before)) continue;
      core.io().want_image(c, request.arrived_at);
      waiting = true;
    }
    if (!waiting || core.now() >= deadline) co_return;
    SessionCore::Changed changed(core, deadline);
    co_await changed;
  }
}

std::set<Cluster> all_homes(const Snapshot& snapshot) {
  std::set<Cluster> homes{snapshot.groups_home};
  for (const RouteView& route : snapshot.routes) homes.insert(route.home);
  return homes;
}

struct VirtualPartition {
  std::int16_t error = 0;
  NodeId leader = -1;
  LeaderEpoch leader_epoch = -1;
  std::vector<NodeId> replicas, isr, offline;
};

std::vector<NodeId> map_nodes(const Snapshot& snapshot, Cluster cluster, const std::vector<NodeId>& real) {
  std::vector<NodeId> mapped;
  for (const NodeId id : real) {
    if (const NodeId v = snapshot.to_virtual(cluster, id); v >= 0) mapped.push_back(v);
  }
  return mapped;
}

VirtualPartition virtual_partition(const Snapshot& snapshot, const TopicView& topic, const PartitionView& partition) {
  const std::size_t at = snapshot.announced_segment(topic, partition);
  const Segment& segment = partition.log.segments()[at];
  const RealPartition& real = partition.real[index_of(segment.cluster)];
  VirtualPartition out;
  out.error = real.error;
  out.leader = snapshot.to_virtual(segment.cluster, real.leader);
  if (out.leader < 0 && out.error == 0) out.error = code(ErrorCode::LEADER_NOT_AVAILABLE);
  LeaderEpoch epoch = real.leader_epoch;
  if (partition.fenced_epoch >= 0) epoch = std::min(epoch, partition.fenced_epoch);
  // A process that has just begun knows no boundary, and a flip of the one before it may still turn out to be done.
  const bool unclaimed = snapshot.route_of(topic).phase == RoutePhase::fenced && partition.fenced_epoch < 0;
  if (unclaimed && segment.open()) epoch = -1;
  if (epoch >= 0) out.leader_epoch = segment.open() ? segment.epoch_base + epoch : segment.boundary_epoch;
  out.replicas = map_nodes(snapshot, segment.cluster, real.replicas);
  out.isr = map_nodes(snapshot, segment.cluster, real.isr);
  out.offline = map_nodes(snapshot, segment.cluster, real.offline);
  return out;
}

NodeId virtual_controller(const Snapshot& snapshot) {
  const ClusterImage& image = *snapshot.images[index_of(snapshot.groups_home)];
  if (const NodeId v = snapshot.to_virtual(snapshot.groups_home, image.controller); v >= 0) return v;
  for (const auto& [id, broker] : snapshot.brokers) {
    if (broker.present) return id;
  }
  return -1;
}

MetadataResponse::MetadataResponseTopic describe(const Snapshot& snapshot, const TopicView& topic) {
  MetadataResponse::MetadataResponseTopic out;
  out.name = topic.name;
  out.topic_id = topic.virtual_id;
  out.is_internal = topic.internal;
  for (std::size_t i = 0; i < topic.partitions.size(); ++i) {
    VirtualPartition p = virtual_partition(snapshot, topic, topic.partitions[i]);
    MetadataResponse::MetadataResponsePartition& row = out.partitions.emplace_back();
    row.error_code = p.error;
    row.partition_index = static_cast<PartitionIndex>(i);
    row.leader_id = p.leader;
    row.leader_epoch = p.leader_epoch;
    row.replica_nodes = std::move(p.replicas);
    row.isr_nodes = std::move(p.isr);
    row.offline_replicas = std::move(p.offline);
  }
  return out;
}

// Topic names as brokers accept them (org.apache.kafka.common.internals.Topic).
bool valid_topic_name(const std::string& name) {
  if (name.empty() || name.size() > 249 || name == "." || name == "..") return false;
  return std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return std::isalnum(c) || c == '.' || c == '_' || c == '-'; });
}

MetadataResponse::MetadataResponseTopic unknown_topic(const MetadataRequest::MetadataRequestTopic& asked) {
  MetadataResponse::MetadataResponseTopic out;
  out.name = asked.name;
  out.topic_id = asked.topic_id;
  const bool by_id = !asked.name || (asked.name->empty() && !asked.topic_id.is_zero());
  if (by_id) {
    out.name.reset();
    out.error_code = code(ErrorCode::UNKNOWN_TOPIC_ID);
  } else {
    out.error_code = code(valid_topic_name(*asked.name) ? ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
                                                        : ErrorCode::INVALID_TOPIC_EXCEPTION);
  }
  return out;
}

const TopicView* find_topic(const Snapshot& snapshot, const MetadataRequest::MetadataRequestTopic& asked) {
  if (asked.name && !asked.name->empty()) return snapshot.topic(*asked.name);
  return snapshot.topic(asked.topic_id);
}

// Lets both clusters create what they are configured to create on first use, so that neither side has it alone.
Task<> auto_create(SessionCore& core, Request& request, const MetadataRequest& asked) {
  MetadataRequest missing;
  missing.topics.emplace();
  for (const auto& topic : *asked.topics) {
    if (!find_topic(core.snapshot(), topic) && topic.name && valid_topic_name(*topic.name))
      missing.topics->push_back(topic);
  }
  if (missing.topics->empty()) co_return;
  const Bytes body = encode(missing, request.version());
  const Cluster home = core.snapshot().routes[0].home;
  Call first = core.send(request, home, core.some_node(home), ApiKey::Metadata, request.version(), body);
  const CallState& answered = co_await first;
  if (answered.status != CallStatus::answered) co_return;
  Call second = core.send(request, other(home), core.some_node(other(home)), ApiKey::Metadata, request.version(), body);
  co_await second;
  request.arrived_at = core.now() + image_slack_ms;  // an image from after the creation is wanted
}

}  // namespace

Task<> handle_metadata(SessionCore& core, Request& request) {
  auto asked = decode<MetadataRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed Metadata request");
  // Version 0 has no null: there an empty list means all topics.
  const bool all = !asked->topics || (request.version() == 0 && asked->topics->empty());
  std::set<Cluster> clusters = all_homes(core.snapshot());
  co_await refresh(core, request, clusters);
  if (!all && (asked->allow_auto_topic_creation || request.version() < 4)) {
    co_await auto_create(core, request, *asked);
    co_await refresh(core, request, clusters);
  }

  const Snapshot& snapshot = core.snapshot();
  MetadataResponse answer;
  for (const auto& [id, broker] : snapshot.brokers) {
    if (!broker.present) continue;
    MetadataResponse::MetadataResponseBroker& row = answer.brokers.emplace_back();
    row.node_id = id;
    row.host = snapshot.advertised_host;
    row.port = broker.port;
    row.rack = broker.rack;
  }
  answer.cluster_id = snapshot.virtual_cluster_id;
  answer.controller_id = virtual_controller(snapshot);
  if (all) {
    for (const auto& [name, topic] : snapshot.topics) answer.topics.push_back(describe(snapshot, *topic));
  } else {
    for (const auto& topic : *asked->topics) {
      const TopicView* found = find_topic(snapshot, topic);
      answer.topics.push_back(found ? describe(snapshot, *found) : unknown_topic(topic));
    }
  }
  core.reply(request, answer);
}

Task<> handle_describe_cluster(SessionCore& core, Request& request) {
  const auto asked = decode<DescribeClusterRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed DescribeCluster request");
  std::set<Cluster> clusters = all_homes(core.snapshot());
  co_await refresh(core, request, clusters);
  const Snapshot& snapshot = core.snapshot();
  DescribeClusterResponse answer;
  answer.endpoint_type = asked->endpoint_type;
  if (asked->endpoint_type != 1) {
    answer.error_code = 115;  // UNSUPPORTED_ENDPOINT_TYPE: controllers are not part of the virtual cluster
    answer.error_message = "this endpoint serves brokers";
    co_return core.reply(request, answer);
  }
  answer.cluster_id = snapshot.virtual_cluster_id;
  answer.controller_id = virtual_controller(snapshot);
  for (const auto& [id, broker] : snapshot.brokers) {
    if (!broker.present) continue;
    DescribeClusterResponse::DescribeClusterBroker& row = answer.brokers.emplace_back();
    row.broker_id = id;
    row.host = snapshot.advertised_host;
    row.port = broker.port;
    row.rack = broker.rack;
  }
  core.reply(request, answer);
}

Task<> handle_describe_topic_partitions(SessionCore& core, Request& request) {
  const auto asked = decode<DescribeTopicPartitionsRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed DescribeTopicPartitions request");
  std::set<Cluster> clusters = all_homes(core.snapshot());
  co_await refresh(core, request, clusters);
  const Snapshot& snapshot = core.snapshot();

  std::set<std::string> names;
  for (const auto& topic : asked->topics) names.insert(topic.name);
  const bool all = asked->topics.empty();
  if (all) {
    for (const auto& [name, topic] : snapshot.topics) names.insert(name);
  }
  constexpr std::int32_t broker_limit = 2000;  // max.request.partition.size.limit
  std::int32_t room = std::clamp(asked->response_partition_limit, 1, broker_limit);
  DescribeTopicPartitionsResponse answer;
  for (const std::string& name : names) {
    if (asked->cursor && name < asked->cursor->topic_name) continue;
    const TopicView* topic = snapshot.topic(name);
    DescribeTopicPartitionsResponse::DescribeTopicPartitionsResponseTopic row;
    row.name = name;
    if (!topic) {
      row.error_code = code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
      answer.topics.push_back(std::move(row));
      continue;
    }
    row.topic_id = topic->virtual_id;
    row.is_internal = topic->internal;
    const bool resumed = asked->cursor && name == asked->cursor->topic_name;
    std::size_t i = resumed ? static_cast<std::size_t>(std::max(0, asked->cursor->partition_index)) : 0;
    for (; i < topic->partitions.size() && room > 0; ++i, --room) {
      VirtualPartition p = virtual_partition(snapshot, *topic, topic->partitions[i]);
      auto& partition = row.partitions.emplace_back();
      partition.error_code = p.error;
      partition.partition_index = static_cast<PartitionIndex>(i);
      partition.leader_id = p.leader;
      partition.leader_epoch = p.leader_epoch;
      partition.replica_nodes = std::move(p.replicas);
      partition.isr_nodes = std::move(p.isr);
      partition.offline_replicas = std::move(p.offline);
      // Never null: the Java client does not expect that, although the schema allows it.
      partition.eligible_leader_replicas.emplace();
      partition.last_known_elr.emplace();
    }
    const bool cut = i < topic->partitions.size();
    if (!row.partitions.empty() || topic->partitions.empty()) answer.topics.push_back(std::move(row));
    if (cut) {
      answer.next_cursor.emplace(decltype(answer.next_cursor)::value_type{});  // clang 14: see codec_impl.h
      answer.next_cursor->topic_name = name;
      answer.next_cursor->partition_index = static_cast<PartitionIndex>(i);
      break;
    }
  }
  core.reply(request, answer);
}

namespace {

void add_features(ApiVersionsResponse& answer, const Snapshot& snapshot) {
  const ClusterVersions& a = *snapshot.versions[0];
  const ClusterVersions& b = *snapshot.versions[1];
  for (const auto& [name, range] : a.supported_features) {
    const auto there = b.supported_features.find(name);
    if (there == b.supported_features.end()) continue;
    const VersionRange common{std::max(range.first, there->second.first), std::min(range.last, there->second.last)};
    if (common.empty()) continue;
    auto& row = answer.supported_features.emplace_back();
    row.name = name;
    row.min_version = common.first;
    row.max_version = common.last;
    const auto here_level = a.finalized_features.find(name);
    const auto there_level = b.finalized_features.find(name);
    if (here_level == a.finalized_features.end() || there_level == b.finalized_features.end()) continue;
    auto& level = answer.finalized_features.emplace_back();
    level.name = name;
    level.max_version_level = std::min(here_level->second, there_level->second);
    level.min_version_level = level.max_version_level;
  }
  // Constant for a migration: clients switch protocols when a higher epoch says so, and must not at a flip.
  answer.finalized_features_epoch = answer.finalized_features.empty() ? -1 : 1;
}

ApiVersionsResponse announced_versions_answer(const Snapshot& snapshot) {
  ApiVersionsResponse answer;
  for (const auto& [api, range] : snapshot.announced) {
    auto& row = answer.api_keys.emplace_back();
    row.api_key = static_cast<std::int16_t>(api);
    row.min_version = range.first;
    row.max_version = range.last;
    // librdkafka probes features by Produce v0; brokers announce it although they refuse versions 0 to 2 (KAFKA-18659).
    if (api == ApiKey::Produce) row.min_version = 0;
  }
  add_features(answer, snapshot);
  return answer;
}

// KIP-1242: what the client believes it talks to, checked as brokers do.
bool mistaken_identity(const SessionCore& core, const ApiVersionsRequest& asked) {
  if (asked.cluster_id && *asked.cluster_id != core.snapshot().virtual_cluster_id) return true;
  return asked.node_id >= 0 && core.options().virtual_broker && asked.node_id != *core.options().virtual_broker;
}

}  // namespace

Task<> handle_api_versions(SessionCore& core, Request& request) {
  const VersionRange spoken = core.snapshot().announced.at(ApiKey::ApiVersions);
  ApiVersionsResponse answer = announced_versions_answer(core.snapshot());
  if (!spoken.contains(request.version())) {
    // A newer client asks again with a version from this answer, which is always in v0's form.
    answer.error_code = code(ErrorCode::UNSUPPORTED_VERSION);
    request.header.version = 0;
    co_return core.reply(request, answer);
  }
  const auto asked = decode<ApiVersionsRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed ApiVersions request");
  core.software_name = asked->client_software_name.substr(0, 128);
  core.software_version = asked->client_software_version.substr(0, 128);
  if (mistaken_identity(core, *asked)) answer.error_code = code(ErrorCode::REBOOTSTRAP_REQUIRED);
  core.reply(request, answer);
}

namespace {

template <class Row>
void place_coordinator(const Snapshot& snapshot, Cluster home, Row& row) {
  if (row.error_code != 0) {
    row.node_id = -1;
    row.host.clear();
    row.port = -1;
    return;
  }
  const NodeId id = snapshot.to_virtual(home, row.node_id);
  const auto broker = snapshot.brokers.find(id);
  if (broker == snapshot.brokers.end()) {
    row.error_code = code(ErrorCode::COORDINATOR_NOT_AVAILABLE);
    return place_coordinator(snapshot, home, row);
  }
  row.node_id = id;
  row.host = snapshot.advertised_host;
  row.port = broker->second.port;
}

// Groups are where their members are, transactional ids at home.
Cluster home_of_key(const Snapshot& snapshot, const FindCoordinatorRequest& asked, const std::string& key) {
  constexpr std::int8_t transaction = 1;
  return asked.key_type == transaction ? snapshot.bindings->home_of(key) : snapshot.groups_home;
}

// Several keys in one question: each cluster is asked for those at home there.
Task<> find_coordinators(SessionCore& core, Request& request, FindCoordinatorRequest asked) {
  FindCoordinatorResponse answer;
  for (const Cluster home : both_clusters) {
    FindCoordinatorRequest question;
    question.key_type = asked.key_type;
    for (const std::string& key : asked.coordinator_keys) {
      if (home_of_key(core.snapshot(), asked, key) == home) question.coordinator_keys.push_back(key);
    }
    if (question.coordinator_keys.empty()) continue;
    const Bytes body = encode(question, request.version());
    Call call = core.send(request, home, core.some_node(home), request.api(), request.version(), body);
    CallState& answered = co_await call;
    auto rows = answered.status == CallStatus::answered
                    ? decode<FindCoordinatorResponse>(answered.body(), request.version())
                    : std::nullopt;
    if (!rows) co_return core.reply_error(request, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    answer.throttle_time_ms = std::max(answer.throttle_time_ms, rows->throttle_time_ms);
    for (auto& row : rows->coordinators) {
      place_coordinator(core.snapshot(), home, row);
      answer.coordinators.push_back(std::move(row));
    }
  }
  core.reply(request, answer);
}

}  // namespace

Task<> handle_find_coordinator(SessionCore& core, Request& request) {
  const auto asked = decode<FindCoordinatorRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed FindCoordinator request");
  constexpr std::int8_t share = 2;
  if (asked->key_type == share) co_return core.reply_error(request, ErrorCode::INVALID_REQUEST);
  if (request.version() >= 4) {
    co_await find_coordinators(core, request, *asked);
    co_return;
  }
  const Cluster home = home_of_key(core.snapshot(), *asked, asked->key);
  const Bytes body(request.body());
  Call call = core.send(request, home, core.some_node(home), request.api(), request.version(), body);
  CallState& answered = co_await call;
  if (answered.status != CallStatus::answered)
    co_return core.reply_error(request, ErrorCode::COORDINATOR_NOT_AVAILABLE);
  auto answer = decode<FindCoordinatorResponse>(answered.body(), request.version());
  if (!answer) co_return core.close("malformed FindCoordinator answer");
  place_coordinator(core.snapshot(), home, *answer);
  core.reply(request, *answer);
}

}  // namespace crossover::proxy
