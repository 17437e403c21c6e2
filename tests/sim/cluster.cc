#include "tests/sim/cluster.h"

#include <algorithm>

#include "tests/sim/cluster_state.h"

namespace crossover::sim {

Cluster::Cluster(ClusterOptions options) : state_(std::make_unique<ClusterState>(std::move(options))) {}
Cluster::~Cluster() = default;
Cluster::Cluster(Cluster&&) noexcept = default;
Cluster& Cluster::operator=(Cluster&&) noexcept = default;

std::optional<ConnectionId> Cluster::connect(NodeId node) {
  if (state_->broker(node) == nullptr) return std::nullopt;
  ConnectionId id = state_->next_connection++;
  state_->connections[id].node = node;
  return id;
}

void Cluster::disconnect(ConnectionId id) {
  state_->connections.erase(id);
  std::erase_if(state_->parked, [&](const auto& item) { return item.second.ticket.connection == id; });
}

void Cluster::request(ConnectionId id, BytesView frame, std::int64_t now_ms) {
  state_->now_ms = std::max(state_->now_ms, now_ms);
  auto found = state_->connections.find(id);
  if (found == state_->connections.end()) return;
  found->second.waiting.emplace_back(frame);
  state_->runnable.push_back(id);
  state_->settle();
}

void Cluster::tick(std::int64_t now_ms) {
  state_->now_ms = std::max(state_->now_ms, now_ms);
  expire_group_timers(*state_);
  abort_timed_out(*state_);
  state_->changed();
  std::vector<Pending> due;
  for (auto at = state_->parked.begin(); at != state_->parked.end();) {
    if (at->second.deadline_ms > state_->now_ms) {
      ++at;
      continue;
    }
    due.push_back(std::move(at->second));
    at = state_->parked.erase(at);
  }
  for (Pending& pending : due) pending.attempt(true);
  state_->settle();
}

std::optional<std::int64_t> Cluster::next_deadline() const {
  std::optional<std::int64_t> next = next_group_deadline(*state_);
  const std::optional<std::int64_t> transactions = next_transaction_deadline(*state_);
  if (transactions) next = std::min(next.value_or(*transactions), *transactions);
  for (const auto& [id, pending] : state_->parked) {
    if (!next || pending.deadline_ms < *next) next = pending.deadline_ms;
  }
  return next;
}

std::vector<Reply> Cluster::take_replies() {
  return std::exchange(state_->replies, {});
}

std::size_t Cluster::outstanding(ConnectionId id) const {
  auto found = state_->connections.find(id);
  if (found == state_->connections.end()) return 0;
  return found->second.waiting.size() + (found->second.busy ? 1 : 0);
}

void Cluster::set_topic_config(const std::string& topic, const std::string& name, const std::string& value) {
  if (Topic* found = state_->topic(topic)) found->configs[name] = value;
}

void Cluster::fail_next(int count, ApiKey api, ErrorCode error) {
  if (count > 0) state_->faults[api].push_back({count, error, false});
}

void Cluster::lose_answers(int count, ApiKey api) {
  if (count > 0) state_->faults[api].push_back({count, ErrorCode::NONE, true});
}

const ClusterOptions& Cluster::options() const {
  return state_->options;
}

std::vector<NodeId> Cluster::brokers() const {
  std::vector<NodeId> nodes;
  for (const auto& [id, broker] : state_->brokers) {
    if (broker.up) nodes.push_back(id);
  }
  return nodes;
}

std::optional<std::pair<std::string, int>> Cluster::address(NodeId id) const {
  auto found = state_->brokers.find(id);
  if (found == state_->brokers.end()) return std::nullopt;
  return std::pair{found->second.host, found->second.port};
}

std::vector<std::string> Cluster::topics() const {
  std::vector<std::string> names;
  for (const auto& [name, topic] : state_->topics) names.push_back(name);
  return names;
}

int Cluster::partition_count(const std::string& topic) const {
  const Topic* found = state_->topic(topic);
  return found == nullptr ? 0 : static_cast<int>(found->partitions.size());
}

std::optional<Uuid> Cluster::topic_id(const std::string& topic) const {
  const Topic* found = state_->topic(topic);
  return found == nullptr ? std::nullopt : std::optional(found->id);
}

std::optional<PartitionView> Cluster::partition(const std::string& topic, PartitionIndex index) const {
  const Partition* found = state_->partition(state_->topic(topic), index);
  if (found == nullptr) return std::nullopt;
  return PartitionView{found->leader,         found->leader_epoch,         found->replicas, state_->in_sync(*found),
                       found->high_watermark, found->last_stable_offset(), &found->log,     &found->producers};
}

std::map<std::pair<std::string, PartitionIndex>, CommittedOffset> Cluster::committed(const std::string& group) const {
  auto found = state_->groups.find(group);
  if (found == state_->groups.end()) return {};
  return found->second.offsets;
}

std::optional<GroupView> Cluster::group(const std::string& group) const {
  auto found = state_->groups.find(group);
  if (found == state_->groups.end()) return std::nullopt;
  GroupView view{state_name(found->second.state), found->second.generation, found->second.leader, {}};
  for (const auto& [id, member] : found->second.members) view.members.push_back(id);
  return view;
}

NodeId Cluster::coordinator(const std::string& group) const {
  return state_->coordinator(group);
}

std::vector<std::string> Cluster::transactional_ids() const {
  std::vector<std::string> ids;
  for (const auto& [id, txn] : state_->transactions) ids.push_back(id);
  return ids;
}

std::optional<TransactionView> Cluster::transaction(const std::string& transactional_id) const {
  auto found = state_->transactions.find(transactional_id);
  if (found == state_->transactions.end()) return std::nullopt;
  const Transaction& txn = found->second;
  return TransactionView{state_name(txn.state), txn.producer_id, txn.epoch,
                         txn.partitions,        txn.groups,      transaction_coordinator(transactional_id)};
}

NodeId Cluster::transaction_coordinator(const std::string& transactional_id) const {
  return state_->transaction_coordinator(transactional_id);
}

}  // namespace crossover::sim
