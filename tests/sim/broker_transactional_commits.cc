// TxnOffsetCommit: offsets that count when their transaction is committed, not before (OffsetMetadataManager).
#include "tests/sim/cluster_state.h"

namespace crossover::sim {

namespace {

using protocol::TxnOffsetCommitRequest;
using protocol::TxnOffsetCommitResponse;

constexpr Version first_abortable = 4, first_protocol_2 = 5, first_with_topic_ids = 6;
constexpr PartitionIndex offsets_partitions = 50;

// ClassicGroup.validateOffsetCommit for a transaction: without a member (old clients, or partitions that the consumer
// assigned itself) it is taken as it is, whoever is in the group.
ErrorCode check_group(ClusterState& state, const TxnOffsetCommitRequest& request) {
  const std::int32_t generation = request.generation_id_or_member_epoch;
  auto found = state.groups.find(request.group_id);
  if (found == state.groups.end()) return generation < 0 ? ErrorCode::NONE : ErrorCode::ILLEGAL_GENERATION;
  const Group& group = found->second;
  if (generation < 0 && group.state == GroupState::empty) return ErrorCode::NONE;
  if (generation < 0 && request.member_id.empty() && !request.group_instance_id) return ErrorCode::NONE;
  ErrorCode error = check_member(group, request.member_id, request.group_instance_id);
  if (error != ErrorCode::NONE) return error;
  return generation == group.generation ? ErrorCode::NONE : ErrorCode::ILLEGAL_GENERATION;
}

Verification verification_of(const ClusterState& state, Version version) {
  if (!state.verifies_transactions()) return Verification::none;
  if (version >= first_protocol_2) return Verification::add;
  return version >= first_abortable ? Verification::abortable : Verification::default_error;
}

// What the coordinator of the group makes of what that of the transaction says.
ErrorCode as_group_error(ErrorCode error) {
  switch (error) {
    case ErrorCode::NETWORK_EXCEPTION:
      return ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
    case ErrorCode::NOT_COORDINATOR:
      return ErrorCode::COORDINATOR_NOT_AVAILABLE;
    default:
      return error;
  }
}

ErrorCode commit_error(ClusterState& state, const Call& call, const TxnOffsetCommitRequest& request) {
  if (request.group_id.empty()) return errors::invalid_group_id;
  if (state.coordinator(request.group_id) != call.ticket.node) return ErrorCode::NOT_COORDINATOR;
  const ProducerIdentity producer{request.producer_id, request.producer_epoch};
  ErrorCode error = verify_in_transaction(state, request.transactional_id, producer, {}, request.group_id,
                                          verification_of(state, call.version()));
  if (error != ErrorCode::NONE) return as_group_error(error);
  error = check_group(state, request);
  if (error != ErrorCode::NONE) return error;
  const auto known = state.offsets_producer_epochs.find({offsets_partition_of(request.group_id), producer.id});
  const bool stale = known != state.offsets_producer_epochs.end() && producer.epoch < known->second;
  return stale ? ErrorCode::INVALID_PRODUCER_EPOCH : ErrorCode::NONE;
}

ErrorCode commit_partition(ClusterState& state, const TxnOffsetCommitRequest& request, Topic* topic,
                           const TxnOffsetCommitRequest::TxnOffsetCommitRequestPartition& asked) {
  if (state.partition(topic, asked.partition_index) == nullptr) return ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
  std::string metadata = asked.committed_metadata.value_or("");
  if (metadata.size() > offset_metadata_limit) return ErrorCode::OFFSET_METADATA_TOO_LARGE;
  Group& group = state.groups[request.group_id];
  state.offsets_producer_epochs[{offsets_partition_of(request.group_id), request.producer_id}] = request.producer_epoch;
  group.pending_offsets[request.producer_id][{topic->name, asked.partition_index}] = {
      {asked.committed_offset, asked.committed_leader_epoch, std::move(metadata)}, state.next_offset_record++};
  return ErrorCode::NONE;
}

void txn_offset_commit(ClusterState& state, const Call& call, const TxnOffsetCommitRequest& request) {
  TxnOffsetCommitResponse response;
  const ErrorCode refused = commit_error(state, call, request);
  const bool by_id = call.version() >= first_with_topic_ids;
  for (const auto& topic : request.topics) {
    auto& answers = response.topics.emplace_back();
    answers.name = topic.name;
    answers.topic_id = topic.topic_id;
    Topic* found = by_id ? state.topic(topic.topic_id) : state.topic(topic.name);
    for (const auto& asked : topic.partitions) {
      ErrorCode error = refused;
      if (error == ErrorCode::NONE && by_id && found == nullptr) error = ErrorCode::UNKNOWN_TOPIC_ID;
      if (error == ErrorCode::NONE) error = commit_partition(state, request, found, asked);
      answers.partitions.push_back({asked.partition_index, code(error)});
    }
  }
  respond(state, call.ticket, response);
}

}  // namespace

PartitionIndex offsets_partition_of(const std::string& group) {
  std::uint32_t hash = 0;  // as java.lang.String does, made positive
  for (unsigned char byte : group) hash = hash * 31 + byte;
  return static_cast<PartitionIndex>((hash & 0x7fffffffU) % offsets_partitions);
}

void end_transactional_offsets(ClusterState& state, const std::string& id, ProducerIdentity producer, bool commit) {
  ProducerEpoch& epoch = state.offsets_producer_epochs[{offsets_partition_of(id), producer.id}];
  epoch = std::max(epoch, producer.epoch);
  auto found = state.groups.find(id);
  if (found == state.groups.end()) return;
  Group& group = found->second;
  auto pending = group.pending_offsets.find(producer.id);
  if (pending == group.pending_offsets.end()) return;
  for (const auto& [place, offset] : pending->second) {
    // What was committed by others after it was written here stays.
    if (commit && group.offset_records[place] < offset.record) store_offset(group, place, offset.offset, offset.record);
  }
  group.pending_offsets.erase(pending);
  state.changed();
}

void add_transactional_commit_handlers(Handlers& handlers) {
  handlers[ApiKey::TxnOffsetCommit] = decoded<TxnOffsetCommitRequest, txn_offset_commit>;
}

}  // namespace crossover::sim
