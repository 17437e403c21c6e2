// ListOffsets, OffsetForLeaderEpoch, DescribeProducers, DeleteRecords.
#include <algorithm>

#include "tests/sim/cluster_state.h"

namespace crossover::sim {

namespace {

using protocol::DeleteRecordsRequest;
using protocol::DeleteRecordsResponse;
using protocol::DescribeProducersRequest;
using protocol::DescribeProducersResponse;
using protocol::ListOffsetsRequest;
using protocol::ListOffsetsResponse;
using protocol::OffsetForLeaderEpochRequest;
using protocol::OffsetForLeaderEpochResponse;

constexpr NodeId consumer_replica = -1;
constexpr NodeId debugging_replica = -2;

enum Timestamp : std::int64_t {
  latest = -1,
  earliest = -2,
  max_timestamp = -3,
  earliest_local = -4,
  latest_tiered = -5,
  earliest_pending_upload = -6,
};

struct Found {
  ErrorCode error = ErrorCode::NONE;
  std::int64_t timestamp = -1;
  Offset offset = -1;
  LeaderEpoch epoch = -1;
};

// The version from which a special timestamp is understood.
Version first_version_of(std::int64_t timestamp) {
  switch (timestamp) {
    case max_timestamp:
      return 7;
    case earliest_local:
      return 8;
    case latest_tiered:
      return 9;
    case earliest_pending_upload:
      return 11;
    default:
      return timestamp < earliest_pending_upload ? 32767 : 1;
  }
}

ErrorCode reachable(const Partition* partition, const Ticket& ticket, LeaderEpoch claimed, bool leader_only) {
  if (partition == nullptr) return ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
  auto& replicas = partition->replicas;
  // A broker without a replica does not know the leader epoch either.
  if (std::find(replicas.begin(), replicas.end(), ticket.node) == replicas.end()) {
    return ErrorCode::NOT_LEADER_OR_FOLLOWER;
  }
  if (ErrorCode error = check_leader_epoch(*partition, claimed); error != ErrorCode::NONE) return error;
  bool leads = partition->leader == ticket.node;
  return leads || !leader_only ? ErrorCode::NONE : ErrorCode::NOT_LEADER_OR_FOLLOWER;
}

// Consumers see up to the high watermark or what is stable; replica -2 sees the log end, on a follower what that has
// copied.
Offset visible_end(const Partition& partition, NodeId replica, NodeId node, bool read_committed) {
  if (replica == consumer_replica && read_committed) return partition.last_stable_offset();
  bool whole = replica != consumer_replica && partition.leader == node;
  return whole ? partition.log.end() : partition.high_watermark;
}

Found from_record(const PartitionLog& log, const std::optional<protocol::TimestampedOffset>& hit) {
  if (!hit) return {};
  return {ErrorCode::NONE, hit->timestamp, hit->offset, log.epoch_at(hit->offset)};
}

Found find_offset(const Partition& partition, std::int64_t timestamp, NodeId replica, NodeId node,
                  bool read_committed) {
  const PartitionLog& log = partition.log;
  Offset end = visible_end(partition, replica, node, read_committed);
  // A new leader cannot tell clients where the log ends before the watermark has reached its epoch (KIP-207).
  bool unsettled = replica == consumer_replica && !log.epochs().empty() &&
                   log.epochs().back().epoch == partition.leader_epoch &&
                   log.epochs().back().start > partition.high_watermark;
  switch (timestamp) {
    case latest:
      if (unsettled) return {ErrorCode::OFFSET_NOT_AVAILABLE};
      return {ErrorCode::NONE, -1, end, partition.leader_epoch};
    case earliest:
    case earliest_local:
      return {ErrorCode::NONE, -1, log.start(), log.epoch_at(log.start())};
    case max_timestamp:
      return from_record(log, log.max_timestamp(end));
    case latest_tiered:
    case earliest_pending_upload:
      return {};  // no tiered storage here
    default:
      break;
  }
  Found found = from_record(log, log.find_timestamp(timestamp, end));
  if (found.offset < 0 && unsettled) return {ErrorCode::OFFSET_NOT_AVAILABLE};
  return found;
}

void list_offsets(ClusterState& state, const Call& call, const ListOffsetsRequest& request) {
  ListOffsetsResponse response;
  for (const auto& topic : request.topics) {
    ListOffsetsResponse::ListOffsetsTopicResponse answers;
    answers.name = topic.name;
    for (const auto& asked : topic.partitions) {
      const Partition* partition = state.partition(state.topic(topic.name), asked.partition_index);
      LeaderEpoch claimed = call.version() >= 4 ? asked.current_leader_epoch : -1;
      Found found;
      found.error = reachable(partition, call.ticket, claimed, request.replica_id != debugging_replica);
      if (call.version() < first_version_of(asked.timestamp)) found.error = ErrorCode::UNSUPPORTED_VERSION;
      if (found.error == ErrorCode::NONE) {
        const bool read_committed = call.version() >= 2 && request.isolation_level == 1;
        found = find_offset(*partition, asked.timestamp, request.replica_id, call.ticket.node, read_committed);
      }
      ListOffsetsResponse::ListOffsetsPartitionResponse answer;
      answer.partition_index = asked.partition_index;
      answer.error_code = code(found.error);
      answer.timestamp = found.timestamp;
      answer.offset = found.offset;
      answer.leader_epoch = found.epoch;
      answers.partitions.push_back(answer);
    }
    response.topics.push_back(std::move(answers));
  }
  respond(state, call.ticket, response);
}

void offset_for_leader_epoch(ClusterState& state, const Call& call, const OffsetForLeaderEpochRequest& request) {
  OffsetForLeaderEpochResponse response;
  for (const auto& topic : request.topics) {
    OffsetForLeaderEpochResponse::OffsetForLeaderTopicResult answers;
    answers.topic = topic.topic;
    for (const auto& asked : topic.partitions) {
      const Partition* partition = state.partition(state.topic(topic.topic), asked.partition);
      ErrorCode error = reachable(partition, call.ticket, asked.current_leader_epoch, true);
      EpochEnd end = error == ErrorCode::NONE ? partition->log.end_of_epoch(asked.leader_epoch) : EpochEnd{};
      OffsetForLeaderEpochResponse::EpochEndOffset answer;
      answer.error_code = code(error);
      answer.partition = asked.partition;
      answer.leader_epoch = end.epoch;
      answer.end_offset = end.end;
      answers.partitions.push_back(answer);
    }
    response.topics.push_back(std::move(answers));
  }
  respond(state, call.ticket, response);
}

DescribeProducersResponse::ProducerState describe(ProducerId id, const ProducerEntry& entry) {
  DescribeProducersResponse::ProducerState producer;
  producer.producer_id = id;
  producer.producer_epoch = entry.epoch;
  producer.last_sequence = entry.last_sequence();
  producer.last_timestamp = entry.last_append_ms;
  producer.coordinator_epoch = entry.coordinator_epoch;
  producer.current_txn_start_offset = entry.txn_start.value_or(-1);
  return producer;
}

void describe_producers(ClusterState& state, const Call& call, const DescribeProducersRequest& request) {
  DescribeProducersResponse response;
  for (const auto& topic : request.topics) {
    DescribeProducersResponse::TopicResponse answers;
    answers.name = topic.name;
    for (PartitionIndex index : topic.partition_indexes) {
      Partition* partition = state.partition(state.topic(topic.name), index);
      ErrorCode error = reachable(partition, call.ticket, -1, true);
      DescribeProducersResponse::PartitionResponse answer;
      answer.partition_index = index;
      answer.error_code = code(error);
      if (error == ErrorCode::NONE) {
        partition->producers.expire(state.now_ms, state.options.producer_id_expiration_ms);
        for (const auto& [id, entry] : partition->producers.entries()) {
          answer.active_producers.push_back(describe(id, entry));
        }
      }
      answers.partitions.push_back(std::move(answer));
    }
    response.topics.push_back(std::move(answers));
  }
  respond(state, call.ticket, response);
}

ErrorCode delete_records_of(ClusterState& state, const Ticket& ticket, Topic* topic, PartitionIndex index,
                            Offset upto) {
  Partition* partition = state.partition(topic, index);
  if (partition == nullptr) return ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
  if (partition->leader != ticket.node) return ErrorCode::NOT_LEADER_OR_FOLLOWER;
  if (state.config(*topic, "cleanup.policy").find("delete") == std::string::npos) return ErrorCode::POLICY_VIOLATION;
  if (upto == -1) upto = partition->high_watermark;
  if (upto < 0 || upto > partition->high_watermark) return ErrorCode::OFFSET_OUT_OF_RANGE;
  partition->log.advance_start(upto);
  partition->producers.forget_below(partition->log.start());
  state.changed();
  return ErrorCode::NONE;
}

void delete_records(ClusterState& state, const Call& call, const DeleteRecordsRequest& request) {
  DeleteRecordsResponse response;
  for (const auto& topic : request.topics) {
    DeleteRecordsResponse::DeleteRecordsTopicResult answers;
    answers.name = topic.name;
    Topic* found = state.topic(topic.name);
    for (const auto& asked : topic.partitions) {
      ErrorCode error = delete_records_of(state, call.ticket, found, asked.partition_index, asked.offset);
      DeleteRecordsResponse::DeleteRecordsPartitionResult answer;
      answer.partition_index = asked.partition_index;
      answer.error_code = code(error);
      answer.low_watermark = -1;
      if (error == ErrorCode::NONE) answer.low_watermark = state.partition(found, asked.partition_index)->log.start();
      answers.partitions.push_back(answer);
    }
    response.topics.push_back(std::move(answers));
  }
  respond(state, call.ticket, response);
}

}  // namespace

void add_offset_handlers(Handlers& handlers) {
  handlers[ApiKey::ListOffsets] = decoded<ListOffsetsRequest, list_offsets>;
  handlers[ApiKey::OffsetForLeaderEpoch] = decoded<OffsetForLeaderEpochRequest, offset_for_leader_epoch>;
  handlers[ApiKey::DescribeProducers] = decoded<DescribeProducersRequest, describe_producers>;
  handlers[ApiKey::DeleteRecords] = decoded<DeleteRecordsRequest, delete_records>;
}

}  // namespace crossover::sim
