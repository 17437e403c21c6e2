// Faults and operator acts.
#include <algorithm>

#include "tests/sim/broker_configs.h"
#include "tests/sim/cluster_state.h"

namespace crossover::sim {

namespace {

// Who takes over has what all followers have: what lay beyond that on the old leader is gone. Not where retention has
// taken records: brokers keep the state of their producers elsewhere, here it is made anew from the log.
void lose_tail(ClusterState& state, Partition& partition) {
  if (!state.options.leaders_lose_tails || partition.log.start() > 0 || partition.log.end() <= partition.high_watermark)
    return;
  partition.log.truncate(partition.high_watermark);
  partition.producers.rebuild(partition.log, state.now_ms);
}

void elect(ClusterState& state, Partition& partition) {
  lose_tail(state, partition);
  std::vector<NodeId> candidates = state.in_sync(partition);
  state.become_leader(partition, candidates.empty() ? -1 : candidates.front());
}

template <class Act>
void each_partition(ClusterState& state, Act act) {
  for (auto& [name, topic] : state.topics) {
    for (Partition& partition : topic.partitions) act(partition);
  }
}

void drop_connections(ClusterState& state, NodeId node) {
  std::vector<ConnectionId> doomed;
  for (const auto& [id, connection] : state.connections) {
    if (connection.node == node) doomed.push_back(id);
  }
  for (ConnectionId id : doomed) state.close(id);
}

// Another broker takes the place of one that leaves for good, where there is one without a replica yet.
void replace_replica(ClusterState& state, Partition& partition, NodeId leaving) {
  auto at = std::find(partition.replicas.begin(), partition.replicas.end(), leaving);
  if (at == partition.replicas.end()) return;
  for (const auto& [id, broker] : state.brokers) {
    if (!broker.up || id == leaving || std::count(partition.replicas.begin(), partition.replicas.end(), id) > 0)
      continue;
    *at = id;
    return;
  }
  partition.replicas.erase(at);
}

void reassign_coordinators(ClusterState& state) {
  coordinators_moved(state);
  transaction_coordinators_moved(state);
}

}  // namespace

void Cluster::stop_broker(NodeId id) {
  Broker* broker = state_->broker(id);
  if (broker == nullptr) return;
  broker->up = false;
  broker->fetch_sessions.clear();
  drop_connections(*state_, id);
  each_partition(*state_, [&](Partition& partition) {
    if (partition.leader == id) elect(*state_, partition);
  });
  reassign_coordinators(*state_);
  state_->settle();
}

void Cluster::start_broker(NodeId id) {
  auto found = state_->brokers.find(id);
  if (found == state_->brokers.end() || found->second.up) return;
  found->second.up = true;
  each_partition(*state_, [&](Partition& partition) {
    if (partition.leader == -1) elect(*state_, partition);
  });
  reassign_coordinators(*state_);
  state_->settle();
}

void Cluster::add_broker(NodeId id, std::string host, int port) {
  if (state_->brokers.contains(id)) return;
  Broker broker;
  broker.id = id;
  broker.host = std::move(host);
  broker.port = port;
  state_->brokers.emplace(id, std::move(broker));
  reassign_coordinators(*state_);
  state_->settle();
}

void Cluster::remove_broker(NodeId id) {
  if (!state_->brokers.contains(id)) return;
  each_partition(*state_, [&](Partition& partition) {
    replace_replica(*state_, partition, id);
    if (partition.leader == id) elect(*state_, partition);
  });
  drop_connections(*state_, id);
  state_->brokers.erase(id);
  reassign_coordinators(*state_);
  state_->settle();
}

void Cluster::set_address(NodeId id, std::string host, int port) {
  auto found = state_->brokers.find(id);
  if (found == state_->brokers.end()) return;
  found->second.host = std::move(host);
  found->second.port = port;
}

ErrorCode Cluster::create_topic(const std::string& name, int partitions, std::map<std::string, std::string> configs) {
  return state_->create_topic(name, partitions, state_->options.default_replication_factor, std::move(configs));
}

ErrorCode Cluster::delete_topic(const std::string& name) {
  ErrorCode error = state_->delete_topic(name);
  state_->settle();
  return error;
}

ErrorCode Cluster::add_partitions(const std::string& name, int count) {
  Topic* topic = state_->topic(name);
  if (topic == nullptr) return ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
  if (count <= static_cast<int>(topic->partitions.size())) return ErrorCode::INVALID_PARTITIONS;
  state_->grow_topic(*topic, count);
  return ErrorCode::NONE;
}

bool Cluster::move_leader(const std::string& topic, PartitionIndex index, NodeId node) {
  Partition* partition = state_->partition(state_->topic(topic), index);
  if (partition == nullptr || state_->broker(node) == nullptr) return false;
  auto& replicas = partition->replicas;
  if (std::find(replicas.begin(), replicas.end(), node) == replicas.end()) return false;
  if (node != partition->leader) lose_tail(*state_, *partition);
  state_->become_leader(*partition, node);
  state_->settle();
  return true;
}

bool Cluster::unclean_election(const std::string& topic, PartitionIndex index, NodeId node, Offset new_end) {
  Partition* partition = state_->partition(state_->topic(topic), index);
  if (partition == nullptr || state_->broker(node) == nullptr) return false;
  partition->log.truncate(new_end);
  partition->producers.rebuild(partition->log, state_->now_ms);
  state_->update_high_watermark(*partition);
  state_->become_leader(*partition, node);
  state_->settle();
  return true;
}

ErrorCode Cluster::append_as_stranger(const std::string& topic, PartitionIndex index, BytesView batch) {
  Topic* found = state_->topic(topic);
  Partition* partition = state_->partition(found, index);
  if (partition == nullptr) return ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
  BatchHeader stored;
  ErrorCode error = state_->append(*found, *partition, batch, stored);
  state_->settle();
  return error;
}

bool Cluster::set_log_start(const std::string& topic, PartitionIndex index, Offset start) {
  Partition* partition = state_->partition(state_->topic(topic), index);
  if (partition == nullptr) return false;
  // Retention never takes what followers still have to read.
  partition->log.advance_start(std::min(start, partition->high_watermark));
  partition->producers.forget_below(partition->log.start());
  state_->changed();
  state_->settle();
  return true;
}

bool Cluster::compact(const std::string& topic, PartitionIndex index, Offset upto) {
  Topic* found = state_->topic(topic);
  Partition* partition = state_->partition(found, index);
  if (partition == nullptr) return false;
  partition->log.compact(std::min(upto, partition->last_stable_offset()), state_->now_ms,
                         state_->config_number(*found, "delete.retention.ms"), partition->producers.aborted());
  partition->producers.forget_cleaned(partition->log);
  return true;
}

bool Cluster::set_high_watermark_lag(const std::string& topic, PartitionIndex index, std::int64_t records) {
  Partition* partition = state_->partition(state_->topic(topic), index);
  if (partition == nullptr) return false;
  partition->lag = std::max<std::int64_t>(records, 0);
  state_->update_high_watermark(*partition);
  state_->settle();
  return true;
}

}  // namespace crossover::sim
