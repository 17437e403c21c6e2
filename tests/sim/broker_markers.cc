// How transactions end: markers in every partition, late and retried (TransactionMarkerChannelManager); time-outs.
#include <algorithm>

#include "tests/sim/broker_records.h"
#include "tests/sim/cluster_state.h"

namespace crossover::sim {

namespace {

constexpr std::int64_t retry_ms = 20;

// The leader's answer to WriteTxnMarkers; NONE also when followers still lack the marker.
ErrorCode write_marker(ClusterState& state, const Transaction& txn, Topic& topic, Partition& partition,
                       PendingMarker& marker) {
  if (partition.leader < 0) return ErrorCode::NOT_LEADER_OR_FOLLOWER;
  const auto in_sync = static_cast<std::int64_t>(state.in_sync(partition).size());
  if (in_sync < state.config_number(topic, "min.insync.replicas")) return ErrorCode::NOT_ENOUGH_REPLICAS;
  const bool commit = txn.state == TransactionState::prepare_commit;
  const Bytes bytes = build_end_marker(txn.producer_id, txn.epoch, {commit, txn.coordinator_epoch}, state.now_ms);
  if (static_cast<std::int64_t>(bytes.size()) > state.config_number(topic, "max.message.bytes")) {
    return ErrorCode::MESSAGE_TOO_LARGE;
  }
  ErrorCode error = partition.producers.check_marker(txn.producer_id, txn.epoch, txn.coordinator_epoch);
  if (error != ErrorCode::NONE) return error;
  BatchHeader header;
  protocol::read_batch_header(bytes, header);
  marker.offset = partition.log.append(bytes, header, partition.leader_epoch).base_offset;
  marker.leader_epoch = partition.leader_epoch;
  partition.producers.record_marker(partition.log.batches().back(), state.now_ms);
  state.update_high_watermark(partition);
  state.changed();
  return ErrorCode::NONE;
}

enum class Progress { none, some, done };

Progress advance_offsets(ClusterState& state, const Transaction& txn, PendingMarker& marker) {
  if (state.coordinator(marker.group) < 0) {
    marker.due_ms = state.now_ms + retry_ms;
    return Progress::none;
  }
  end_transactional_offsets(state, marker.group, {txn.producer_id, txn.epoch},
                            txn.state == TransactionState::prepare_commit);
  return Progress::done;
}

Progress advance(ClusterState& state, const Transaction& txn, PendingMarker& marker) {
  if (marker.hung) return Progress::none;
  Topic* topic = state.topic(marker.place.first);
  Partition* partition = state.partition(topic, marker.place.second);
  if (marker.group.empty() && partition == nullptr) return Progress::done;  // the topic is gone
  if (marker.offset) {
    // Acknowledged by all, or lost with its leader and written once more.
    if (partition->high_watermark > *marker.offset) return Progress::done;
    if (partition->leader_epoch == marker.leader_epoch) return Progress::none;
    marker.offset.reset();
    marker.due_ms = state.now_ms + retry_ms;
  }
  if (marker.due_ms > state.now_ms) return Progress::none;
  if (!marker.group.empty()) return advance_offsets(state, txn, marker);
  const ErrorCode error = write_marker(state, txn, *topic, *partition, marker);
  if (error == ErrorCode::NONE) return partition->high_watermark > *marker.offset ? Progress::done : Progress::some;
  marker.due_ms = state.now_ms + retry_ms;
  // Seen on real brokers: such a transaction hangs until the coordinator starts anew.
  marker.hung = error != ErrorCode::NOT_LEADER_OR_FOLLOWER && error != ErrorCode::NOT_ENOUGH_REPLICAS;
  return Progress::none;
}

void complete(ClusterState& state, Transaction& txn) {
  const bool commit = txn.state == TransactionState::prepare_commit;
  txn.state = commit ? TransactionState::complete_commit : TransactionState::complete_abort;
  txn.partitions.clear();
  txn.groups.clear();
  if (!txn.protocol_2) return state.changed();
  txn.last_epoch = txn.epoch;
  txn.previous_producer_id = txn.producer_id;
  if (txn.next_producer_id >= 0) {
    txn.producer_id = std::exchange(txn.next_producer_id, -1);
    txn.epoch = 0;
  }
  state.changed();
}

std::int64_t marker_delay(ClusterState& state) {
  const std::int64_t most = state.options.transaction_marker_delay_ms;
  return most <= 0 ? 0 : static_cast<std::int64_t>(state.random() % static_cast<std::uint64_t>(most + 1));
}

}  // namespace

void prepare_end(ClusterState& state, Transaction& txn, bool commit, bool protocol_2) {
  txn.state = commit ? TransactionState::prepare_commit : TransactionState::prepare_abort;
  txn.protocol_2 = protocol_2;
  txn.markers.clear();
  for (const TopicPartition& place : txn.partitions) {
    PendingMarker marker;
    marker.place = place;
    marker.due_ms = state.now_ms + marker_delay(state);
    txn.markers.push_back(std::move(marker));
  }
  for (const std::string& group : txn.groups) {
    PendingMarker marker;
    marker.group = group;
    marker.due_ms = state.now_ms + marker_delay(state);
    txn.markers.push_back(std::move(marker));
  }
  state.changed();
}

void fence_and_abort(ClusterState& state, Transaction& txn) {
  ++txn.epoch;
  txn.last_epoch = -1;
  prepare_end(state, txn, false, false);
}

bool advance_markers(ClusterState& state) {
  bool moved = false;
  for (auto& [id, txn] : state.transactions) {
    if (!txn.preparing() || txn.coordinator < 0 || txn.loaded_at_ms > state.now_ms) continue;
    for (auto at = txn.markers.begin(); at != txn.markers.end();) {
      const Progress progress = advance(state, txn, *at);
      moved |= progress != Progress::none;
      at = progress == Progress::done ? txn.markers.erase(at) : std::next(at);
    }
    if (!txn.markers.empty()) continue;
    complete(state, txn);
    moved = true;
  }
  return moved;
}

void abort_timed_out(ClusterState& state) {
  for (auto& [id, txn] : state.transactions) {
    if (txn.state != TransactionState::ongoing || txn.coordinator < 0) continue;
    if (txn.start_ms + txn.timeout_ms <= state.now_ms) fence_and_abort(state, txn);
  }
}

// A new coordinator reads what the old one wrote, and sends what markers are missing under its own, higher epoch.
void transaction_coordinators_moved(ClusterState& state) {
  for (auto& [id, txn] : state.transactions) {
    const NodeId now = state.transaction_coordinator(id);
    if (now == txn.coordinator) continue;
    txn.coordinator = now;
    ++txn.coordinator_epoch;
    const std::int64_t most = state.options.coordinator_load_ms;
    const std::int64_t load =
        most <= 0 ? 0 : static_cast<std::int64_t>(state.random() % static_cast<std::uint64_t>(most + 1));
    txn.loaded_at_ms = state.now_ms + load;
    for (PendingMarker& marker : txn.markers) {
      marker.hung = false;
      marker.due_ms = std::max(marker.due_ms, txn.loaded_at_ms);
    }
  }
  state.changed();
}

std::optional<std::int64_t> next_transaction_deadline(const ClusterState& state) {
  std::optional<std::int64_t> next;
  const auto note = [&next](std::int64_t at) { next = std::min(next.value_or(at), at); };
  for (const auto& [id, txn] : state.transactions) {
    if (txn.coordinator < 0) continue;
    if (txn.state == TransactionState::ongoing) note(txn.start_ms + txn.timeout_ms);
    for (const PendingMarker& marker : txn.markers) {
      if (!marker.hung && !marker.offset) note(std::max(marker.due_ms, txn.loaded_at_ms));
    }
  }
  return next;
}

}  // namespace crossover::sim
