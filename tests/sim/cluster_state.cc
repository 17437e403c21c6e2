#include "tests/sim/cluster_state.h"

#include <algorithm>

#include "tests/sim/broker_configs.h"
#include "tests/sim/broker_dispatch.h"
#include "tests/sim/broker_versions.h"

namespace crossover::sim {

namespace {

// FNV-1a and a final mix: group names spread over brokers in the same way on every machine.
std::uint64_t hash_of(const std::string& text, std::uint64_t start) {
  std::uint64_t hash = 0xcbf29ce484222325U ^ start;
  for (unsigned char byte : text) hash = (hash ^ byte) * 0x100000001b3U;
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9U;
  return hash ^ (hash >> 31);
}

Broker make_broker(const ClusterOptions& options, int index) {
  Broker broker;
  broker.id = options.first_id + index;
  broker.host = "broker-" + std::to_string(broker.id) + "." + options.cluster_id;
  broker.port = 9092;
  if (static_cast<std::size_t>(index) < options.addresses.size()) {
    std::tie(broker.host, broker.port) = options.addresses[static_cast<std::size_t>(index)];
  }
  return broker;
}

}  // namespace

ClusterState::ClusterState(ClusterOptions given)
    : options(std::move(given)),
      versions(shown_versions(options)),
      next_producer_block(options.first_producer_id),
      random_state(options.seed) {
  for (int i = 0; i < options.brokers; ++i) {
    Broker broker = make_broker(options, i);
    brokers.emplace(broker.id, std::move(broker));
  }
}

void ClusterState::reply(const Ticket& ticket, BytesView body) {
  auto found = connections.find(ticket.connection);
  if (found == connections.end()) return;
  auto faulty = faults.find(ticket.api);
  if (faulty != faults.end() && !faulty->second.empty() && faulty->second.front().lose_answer) {
    if (--faulty->second.front().count <= 0) faulty->second.pop_front();
    return close(ticket.connection);
  }
  replies.push_back(
      {ticket.connection, protocol::response_frame(ticket.api, ticket.version, ticket.correlation_id, body), false});
  end_without_reply(ticket);
}

void ClusterState::end_without_reply(const Ticket& ticket) {
  auto found = connections.find(ticket.connection);
  if (found == connections.end()) return;
  found->second.busy = false;
  if (!found->second.waiting.empty()) runnable.push_back(ticket.connection);
}

void ClusterState::close(ConnectionId id) {
  if (connections.erase(id) > 0) replies.push_back({id, {}, true});
}

void ClusterState::park(Pending pending) {
  if (pending.attempt(false)) return;
  if (pending.deadline_ms <= now_ms) {
    pending.attempt(true);
    return;
  }
  parked.emplace(next_parked++, std::move(pending));
}

void ClusterState::attempt_parked() {
  advance_markers(*this);
  for (auto at = parked.begin(); at != parked.end();) {
    bool gone = !connections.contains(at->second.ticket.connection);
    at = gone || at->second.attempt(false) ? parked.erase(at) : std::next(at);
  }
}

void ClusterState::settle() {
  if (settling) return;
  settling = true;
  while (!runnable.empty() || changes != changes_seen) {
    if (changes != changes_seen) {
      changes_seen = changes;
      attempt_parked();
    }
    if (runnable.empty()) continue;
    ConnectionId next = runnable.front();
    runnable.pop_front();
    serve_next(*this, next);
  }
  settling = false;
}

Topic* ClusterState::topic(const std::string& name) {
  auto found = topics.find(name);
  return found == topics.end() ? nullptr : &found->second;
}

Topic* ClusterState::topic(const Uuid& id) {
  auto found = topic_names.find(id);
  return found == topic_names.end() ? nullptr : topic(found->second);
}

Partition* ClusterState::partition(Topic* topic, PartitionIndex index) {
  if (topic == nullptr || index < 0 || static_cast<std::size_t>(index) >= topic->partitions.size()) return nullptr;
  return &topic->partitions[static_cast<std::size_t>(index)];
}

Broker* ClusterState::broker(NodeId id) {
  auto found = brokers.find(id);
  return found == brokers.end() || !found->second.up ? nullptr : &found->second;
}

NodeId ClusterState::controller() const {
  for (const auto& [id, broker] : brokers) {
    if (broker.up) return id;
  }
  return -1;
}

// Highest weight among those that are up: a broker's outage moves only its own groups.
NodeId ClusterState::coordinator(const std::string& key) const {
  NodeId best = -1;
  std::uint64_t best_weight = 0;
  for (const auto& [id, broker] : brokers) {
    std::uint64_t weight = hash_of(key, static_cast<std::uint64_t>(id) * 0x9e3779b97f4a7c15U);
    if (!broker.up || (best != -1 && weight <= best_weight)) continue;
    best = id;
    best_weight = weight;
  }
  return best;
}

// Another topic keeps transactions than groups, so the same name lives elsewhere.
NodeId ClusterState::transaction_coordinator(const std::string& transactional_id) const {
  return coordinator("transaction/" + transactional_id);
}

std::vector<NodeId> ClusterState::in_sync(const Partition& partition) const {
  std::vector<NodeId> nodes;
  for (NodeId id : partition.replicas) {
    auto found = brokers.find(id);
    if (found != brokers.end() && found->second.up) nodes.push_back(id);
  }
  return nodes;
}

std::string ClusterState::config(const Topic& topic, const std::string& name) const {
  auto found = topic.configs.find(name);
  return found != topic.configs.end() ? found->second : std::string(default_topic_config(name));
}

std::int64_t ClusterState::config_number(const Topic& topic, const std::string& name) const {
  return std::strtoll(config(topic, name).c_str(), nullptr, 10);
}

void ClusterState::update_high_watermark(Partition& partition) {
  Offset reached = partition.log.end() - partition.lag;
  if (partition.lag > 0) reached = partition.log.batch_start_at_or_below(reached);
  // Never down; only a truncated log takes the watermark with it.
  Offset next = std::min(std::max(partition.high_watermark, reached), partition.log.end());
  next = std::max(next, partition.log.start());
  if (next == partition.high_watermark) return;
  partition.high_watermark = next;
  changed();
}

void ClusterState::become_leader(Partition& partition, NodeId node) {
  partition.leader = node;
  ++partition.leader_epoch;
  if (node >= 0) partition.log.assign_epoch(partition.leader_epoch);
  changed();
}

std::uint64_t ClusterState::random() {  // splitmix64
  random_state += 0x9e3779b97f4a7c15U;
  std::uint64_t z = random_state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

Uuid ClusterState::random_uuid() {
  Uuid id;
  for (std::size_t i = 0; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<std::uint8_t>(random() >> 32);
  return id;
}

ErrorCode check_leader_epoch(const Partition& partition, LeaderEpoch claimed) {
  if (claimed < 0 || claimed == partition.leader_epoch) return ErrorCode::NONE;
  return claimed < partition.leader_epoch ? ErrorCode::FENCED_LEADER_EPOCH : ErrorCode::UNKNOWN_LEADER_EPOCH;
}

bool valid_topic_name(const std::string& name) {
  if (name.empty() || name == "." || name == ".." || name.size() > 249) return false;
  return std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
}

}  // namespace crossover::sim
