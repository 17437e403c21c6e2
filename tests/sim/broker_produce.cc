// Produce, and what a leader checks before it writes (UnifiedLog.append, LogValidator, ProducerAppendInfo).
#include "protocol/crc32c.h"
#include "tests/sim/cluster_state.h"

namespace crossover::sim {

namespace {

using protocol::BatchState;
using protocol::ProduceRequest;
using protocol::ProduceResponse;

constexpr std::size_t crc_starts_at = 21;
constexpr Version first_abortable = 11, first_protocol_2 = 12;

bool crc_holds(BytesView batch, const BatchHeader& header) {
  return protocol::crc32c(batch.substr(crc_starts_at)) == header.crc;
}

// A compacted topic takes no record without a key; compressed records are trusted.
bool keys_missing(BytesView batch) {
  auto records = protocol::read_plain_records(batch);
  if (!records) return false;
  for (const protocol::PlainRecord& record : *records) {
    if (!record.key) return true;
  }
  return false;
}

ErrorCode check_batch(ClusterState& state, const Topic& topic, BytesView batch, BatchHeader& header) {
  if (protocol::read_batch_header(batch, header) != BatchState::complete) return errors::invalid_record;
  // Exactly one batch per partition and request.
  if (header.total_bytes() != batch.size() || header.magic != 2) return errors::invalid_record;
  if (header.base_offset != 0) return errors::invalid_record;
  // The size is looked at before the checksum: a topic locked with max.message.bytes=0 says 10 to any bytes.
  if (static_cast<std::int64_t>(batch.size()) > state.config_number(topic, "max.message.bytes")) {
    return ErrorCode::MESSAGE_TOO_LARGE;
  }
  if (!crc_holds(batch, header)) return ErrorCode::CORRUPT_MESSAGE;
  if (header.is_control() || header.record_count <= 0) return errors::invalid_record;
  if (header.record_count != header.last_offset_delta + 1) return errors::invalid_record;
  if (header.producer_id >= 0 && (header.base_sequence < 0 || header.producer_epoch < 0)) return errors::invalid_record;
  if (state.config(topic, "cleanup.policy").find("compact") != std::string::npos && keys_missing(batch)) {
    return errors::invalid_record;
  }
  return ErrorCode::NONE;
}

struct Written {
  ProduceResponse::PartitionProduceResponse answer;
  std::string topic;
  PartitionIndex partition = 0;
  Offset required = 0;  // the high watermark that acks=all waits for
};

struct WrittenTopic {
  std::string name;
  Uuid id;
  std::vector<Written> partitions;
};

struct ProduceState {
  Ticket ticket;
  std::vector<WrittenTopic> topics;
};

ErrorCode produce_error(ClusterState& state, const Call& call, const ProduceRequest& request, const Topic* topic,
                        const Partition* partition) {
  if (topic == nullptr && call.version() >= 13) return ErrorCode::UNKNOWN_TOPIC_ID;
  if (partition == nullptr) return ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
  if (partition->leader != call.ticket.node) return ErrorCode::NOT_LEADER_OR_FOLLOWER;
  auto in_sync = static_cast<std::int64_t>(state.in_sync(*partition).size());
  if (request.acks == -1 && in_sync < state.config_number(*topic, "min.insync.replicas")) {
    return ErrorCode::NOT_ENOUGH_REPLICAS;
  }
  return ErrorCode::NONE;
}

ProduceContext context_of(const ClusterState& state, const Call& call, const ProduceRequest& request) {
  ProduceContext context{request.transactional_id.value_or(""), Verification::none};
  if (!state.verifies_transactions()) return context;
  context.verification = call.version() >= first_protocol_2  ? Verification::add
                         : call.version() >= first_abortable ? Verification::abortable
                                                             : Verification::default_error;
  return context;
}

// Clients of protocol 1 may not know that these are passing; 19 they all try again (ReplicaManager).
ErrorCode as_produce_error(ErrorCode error, Verification verification) {
  switch (error) {
    case ErrorCode::CONCURRENT_TRANSACTIONS:
      return verification == Verification::add ? error : ErrorCode::NOT_ENOUGH_REPLICAS;
    case ErrorCode::NETWORK_EXCEPTION:
    case ErrorCode::COORDINATOR_LOAD_IN_PROGRESS:
    case ErrorCode::COORDINATOR_NOT_AVAILABLE:
    case ErrorCode::NOT_COORDINATOR:
      return ErrorCode::NOT_ENOUGH_REPLICAS;
    default:
      return error;
  }
}

// A batch that opens its producer's transaction on this partition is checked with the coordinator.
ErrorCode verify(ClusterState& state, const Topic& topic, Partition& partition, const BatchHeader& header,
                 const ProduceContext& context) {
  if (!header.is_transactional() || context.verification == Verification::none) return ErrorCode::NONE;
  if (partition.producers.has_open_transaction(header.producer_id, header.producer_epoch)) return ErrorCode::NONE;
  const ErrorCode error =
      verify_in_transaction(state, context.transactional_id, {header.producer_id, header.producer_epoch},
                            {topic.name, partition.index}, "", context.verification);
  if (error != ErrorCode::NONE) partition.producers.verification_failed(header);
  return as_produce_error(error, context.verification);
}

Written write_partition(ClusterState& state, const Call& call, const ProduceRequest& request, Topic* topic,
                        const ProduceRequest::PartitionProduceData& data) {
  Written written;
  Partition* partition = state.partition(topic, data.index);
  written.partition = data.index;
  written.answer.index = data.index;
  written.answer.base_offset = -1;
  written.answer.log_append_time_ms = -1;
  written.answer.log_start_offset = -1;
  ErrorCode error = produce_error(state, call, request, topic, partition);
  BatchHeader stored;
  if (error == ErrorCode::NONE)
    error = state.append(*topic, *partition, data.records.value_or(""), stored, context_of(state, call, request));
  written.answer.error_code = code(error);
  if (topic != nullptr) written.topic = topic->name;
  if (error != ErrorCode::NONE) return written;
  written.answer.base_offset = stored.base_offset;
  written.answer.log_start_offset = partition->log.start();
  written.required = stored.last_offset() + 1;
  return written;
}

void add_hint(ClusterState& state, const Ticket& ticket, Written& written, ProduceResponse& response) {
  const Partition* partition = state.partition(state.topic(written.topic), written.partition);
  if (written.answer.error_code != code(ErrorCode::NOT_LEADER_OR_FOLLOWER) || ticket.version < 10) return;
  if (partition == nullptr || partition->leader < 0) return;
  written.answer.current_leader.leader_id = partition->leader;
  written.answer.current_leader.leader_epoch = partition->leader_epoch;
  for (const auto& node : response.node_endpoints) {
    if (node.node_id == partition->leader) return;
  }
  const Broker& broker = state.brokers.at(partition->leader);
  ProduceResponse::NodeEndpoint node;
  node.node_id = broker.id;
  node.host = broker.host;
  node.port = broker.port;
  response.node_endpoints.push_back(node);
}

void answer_produce(ClusterState& state, ProduceState& produce) {
  ProduceResponse response;
  for (WrittenTopic& topic : produce.topics) {
    ProduceResponse::TopicProduceResponse answer;
    answer.name = topic.name;
    answer.topic_id = topic.id;
    for (Written& written : topic.partitions) {
      add_hint(state, produce.ticket, written, response);
      answer.partition_responses.push_back(written.answer);
    }
    response.responses.push_back(std::move(answer));
  }
  respond(state, produce.ticket, response);
}

// acks=0 has no answer; an error shows only as a closed connection.
void finish_unacknowledged(ClusterState& state, const ProduceState& produce) {
  for (const WrittenTopic& topic : produce.topics) {
    for (const Written& written : topic.partitions) {
      if (written.answer.error_code != 0) return state.close(produce.ticket.connection);
    }
  }
  state.end_without_reply(produce.ticket);
}

bool replicated(ClusterState& state, const Ticket& ticket, Written& written, bool expired) {
  if (written.answer.error_code != 0) return true;
  Partition* partition = state.partition(state.topic(written.topic), written.partition);
  ErrorCode error = ErrorCode::NONE;
  if (partition == nullptr) {
    error = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
  } else if (partition->leader != ticket.node) {
    error = ErrorCode::NOT_LEADER_OR_FOLLOWER;
  } else if (partition->high_watermark >= written.required) {
    return true;
  } else if (expired) {
    error = ErrorCode::REQUEST_TIMED_OUT;
  } else {
    return false;
  }
  written.answer.error_code = code(error);
  written.answer.base_offset = -1;
  written.answer.log_start_offset = -1;
  return true;
}

void park_until_replicated(ClusterState& state, ProduceState produce, std::int32_t timeout_ms) {
  Ticket ticket = produce.ticket;
  auto attempt = [&state, produce = std::move(produce)](bool expired) mutable {
    bool all = true;
    for (WrittenTopic& topic : produce.topics) {
      for (Written& written : topic.partitions) all &= replicated(state, produce.ticket, written, expired);
    }
    if (all) answer_produce(state, produce);
    return all;
  };
  state.park({ticket, state.now_ms + timeout_ms, std::move(attempt)});
}

void produce(ClusterState& state, const Call& call, const ProduceRequest& request) {
  ProduceState written{call.ticket, {}};
  bool acks_valid = request.acks >= -1 && request.acks <= 1;
  for (const auto& asked : request.topic_data) {
    Topic* topic = call.version() >= 13 ? state.topic(asked.topic_id) : state.topic(asked.name);
    WrittenTopic answers{asked.name, asked.topic_id, {}};
    for (const auto& data : asked.partition_data) {
      if (acks_valid) {
        answers.partitions.push_back(write_partition(state, call, request, topic, data));
        continue;
      }
      Written refused;
      refused.answer.index = data.index;
      refused.answer.base_offset = -1;
      refused.answer.error_code = code(errors::invalid_required_acks);
      answers.partitions.push_back(refused);
    }
    written.topics.push_back(std::move(answers));
  }
  if (request.acks == 0) return finish_unacknowledged(state, written);
  if (request.acks == -1) return park_until_replicated(state, std::move(written), request.timeout_ms);
  answer_produce(state, written);
}

}  // namespace

ErrorCode ClusterState::append(Topic& topic, Partition& partition, BytesView batch, BatchHeader& stored,
                               const ProduceContext& context) {
  BatchHeader header;
  ErrorCode error = check_batch(*this, topic, batch, header);
  if (error != ErrorCode::NONE) return error;
  partition.producers.expire(now_ms, options.producer_id_expiration_ms);
  if (header.producer_id >= 0) {
    error = verify(*this, topic, partition, header, context);
    if (error != ErrorCode::NONE) return error;
    ProducerStates::Verdict verdict =
        partition.producers.check(header, header.is_transactional() && context.verification == Verification::add);
    if (verdict.error != ErrorCode::NONE) return verdict.error;
    if (verdict.duplicate) {
      stored = header;
      stored.base_offset = verdict.duplicate->base_offset;
      return ErrorCode::NONE;
    }
  }
  stored = partition.log.append(batch, header, partition.leader_epoch);
  partition.producers.record(stored, now_ms);
  update_high_watermark(partition);
  changed();
  return ErrorCode::NONE;
}

void add_produce_handlers(Handlers& handlers) {
  handlers[ApiKey::Produce] = decoded<ProduceRequest, produce>;
}

}  // namespace crossover::sim
