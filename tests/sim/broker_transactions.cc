// The transaction coordinator: InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn.
#include "tests/sim/cluster_state.h"

namespace crossover::sim {

namespace {

using protocol::AddOffsetsToTxnRequest;
using protocol::AddOffsetsToTxnResponse;
using protocol::AddPartitionsToTxnRequest;
using protocol::AddPartitionsToTxnResponse;
using protocol::EndTxnRequest;
using protocol::EndTxnResponse;
using protocol::InitProducerIdRequest;
using protocol::InitProducerIdResponse;

constexpr ProducerId producer_ids_per_block = 1000;
constexpr Version first_protocol_2_end = 5;

// Versions that do not know error 90 speak of a wrong epoch.
ErrorCode fenced_as(ErrorCode error, Version version, Version knows) {
  return error == ErrorCode::PRODUCER_FENCED && version < knows ? ErrorCode::INVALID_PRODUCER_EPOCH : error;
}

struct Initialised {
  ErrorCode error = ErrorCode::NONE;
  ProducerIdentity producer;
};

// TransactionCoordinator.isValidProducerId: who may go on under this transactional id.
bool may_continue(const Transaction& txn, ProducerIdentity claimed) {
  if (claimed.id < 0 || txn.epoch < 0 || claimed.id == txn.producer_id) return true;
  return claimed.id == txn.previous_producer_id && claimed.epoch >= INT16_MAX - 1;
}

void begin_anew(Transaction& txn, ProducerIdentity producer, ProducerEpoch last_epoch, std::int32_t timeout_ms) {
  txn.previous_producer_id = txn.producer_id;
  txn.producer_id = producer.id;
  txn.epoch = producer.epoch;
  txn.last_epoch = last_epoch;
  txn.timeout_ms = timeout_ms;
  txn.start_ms = -1;
  txn.state = TransactionState::empty;
}

// TransactionMetadata.prepareIncrementProducerEpoch and prepareProducerIdRotation.
Initialised next_epoch(ClusterState& state, NodeId node, Transaction& txn, ProducerIdentity claimed,
                       std::int32_t timeout_ms) {
  const bool claims = claimed.id >= 0;
  if (txn.epoch_exhausted() && (!claims || claimed.epoch == txn.epoch)) {
    begin_anew(txn, {allocate_producer_id(state, node), 0}, claims ? txn.epoch : ProducerEpoch{-1}, timeout_ms);
  } else if (!claims) {
    begin_anew(txn, {txn.producer_id, static_cast<ProducerEpoch>(txn.epoch + 1)}, -1, timeout_ms);
  } else if (txn.epoch < 0 || claimed.epoch == txn.epoch) {
    begin_anew(txn, {txn.producer_id, static_cast<ProducerEpoch>(txn.epoch + 1)}, txn.epoch, timeout_ms);
  } else if (claimed.epoch != txn.last_epoch) {
    return {ErrorCode::PRODUCER_FENCED, {}};
  } else {
    begin_anew(txn, {txn.producer_id, txn.epoch}, txn.last_epoch, timeout_ms);  // a retry: as answered before
  }
  return {ErrorCode::NONE, {txn.producer_id, txn.epoch}};
}

Transaction& known_or_new(ClusterState& state, const std::string& id, NodeId node) {
  auto [at, fresh] = state.transactions.try_emplace(id);
  if (!fresh) return at->second;
  at->second.id = id;
  at->second.producer_id = allocate_producer_id(state, node);
  at->second.coordinator = node;
  return at->second;
}

Initialised initialise(ClusterState& state, NodeId node, const InitProducerIdRequest& request) {
  const std::string& id = *request.transactional_id;
  const ProducerIdentity claimed{request.producer_id, request.producer_epoch};
  if (id.empty() || (claimed.id < 0) != (claimed.epoch < 0)) return {ErrorCode::INVALID_REQUEST, {}};
  if (request.transaction_timeout_ms <= 0 || request.transaction_timeout_ms > state.options.max_transaction_timeout_ms)
    return {ErrorCode::INVALID_TRANSACTION_TIMEOUT, {}};
  FoundTransaction found = find_transaction(state, id, node);
  if (found.error != ErrorCode::NONE && found.error != ErrorCode::INVALID_PRODUCER_ID_MAPPING) return {found.error, {}};
  Transaction& txn = known_or_new(state, id, node);
  if (!may_continue(txn, claimed)) return {ErrorCode::PRODUCER_FENCED, {}};
  if (txn.preparing()) return {ErrorCode::CONCURRENT_TRANSACTIONS, {}};
  if (txn.state == TransactionState::ongoing) {
    // The epoch of this fence is never told to anybody: the retry gets the next one.
    fence_and_abort(state, txn);
    return {ErrorCode::CONCURRENT_TRANSACTIONS, {}};
  }
  return next_epoch(state, node, txn, claimed, request.transaction_timeout_ms);
}

void init_producer_id(ClusterState& state, const Call& call, const InitProducerIdRequest& request) {
  Initialised result;
  // An id and epoch that the client sends along mean nothing without a transactional id: it gets a new one.
  if (!request.transactional_id) result.producer = {allocate_producer_id(state, call.ticket.node), 0};
  if (request.transactional_id) result = initialise(state, call.ticket.node, request);
  InitProducerIdResponse response;
  response.error_code = code(fenced_as(result.error, call.version(), 4));
  response.producer_id = result.producer.id;
  response.producer_epoch = result.producer.epoch;
  respond(state, call.ticket, response);
}

using TopicList = std::vector<AddPartitionsToTxnRequest::AddPartitionsToTxnTopic>;
using TopicResults = std::vector<AddPartitionsToTxnResponse::AddPartitionsToTxnTopicResult>;

std::set<TopicPartition> places_of(const TopicList& topics) {
  std::set<TopicPartition> places;
  for (const auto& topic : topics) {
    for (PartitionIndex index : topic.partitions) places.emplace(topic.name, index);
  }
  return places;
}

// All of them or none.
TopicResults add_partitions(ClusterState& state, NodeId node, const std::string& id, ProducerIdentity producer,
                            const TopicList& topics, Version version) {
  bool all_exist = true;
  for (const auto& [topic, index] : places_of(topics))
    all_exist &= state.partition(state.topic(topic), index) != nullptr;
  ErrorCode outcome = ErrorCode::OPERATION_NOT_ATTEMPTED;
  if (all_exist) outcome = add_to_transaction(state, id, node, producer, places_of(topics), "", false);
  TopicResults results;
  for (const auto& topic : topics) {
    auto& answers = results.emplace_back();
    answers.name = topic.name;
    for (PartitionIndex index : topic.partitions) {
      const bool exists = state.partition(state.topic(topic.name), index) != nullptr;
      const ErrorCode error = exists ? fenced_as(outcome, version, 2) : ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
      answers.results_by_partition.push_back({index, code(error)});
    }
  }
  return results;
}

// Between brokers only (version 4 and later): are they part of it?
TopicResults verify_partitions(ClusterState& state, const AddPartitionsToTxnRequest::AddPartitionsToTxnTransaction& t) {
  TopicResults results;
  for (const auto& topic : t.topics) {
    auto& answers = results.emplace_back();
    answers.name = topic.name;
    for (PartitionIndex index : topic.partitions) {
      const ErrorCode error = verify_in_transaction(state, t.transactional_id, {t.producer_id, t.producer_epoch},
                                                    {topic.name, index}, "", Verification::abortable);
      answers.results_by_partition.push_back({index, code(error)});
    }
  }
  return results;
}

void add_partitions_to_txn(ClusterState& state, const Call& call, const AddPartitionsToTxnRequest& request) {
  AddPartitionsToTxnResponse response;
  const NodeId node = call.ticket.node;
  if (call.version() < 4) {
    response.results_by_topic_v3_and_below =
        add_partitions(state, node, request.v3_and_below_transactional_id,
                       {request.v3_and_below_producer_id, request.v3_and_below_producer_epoch},
                       request.v3_and_below_topics, call.version());
  }
  for (const auto& t : request.transactions) {
    const ProducerIdentity producer{t.producer_id, t.producer_epoch};
    response.results_by_transaction.push_back(
        {t.transactional_id,
         t.verify_only ? verify_partitions(state, t)
                       : add_partitions(state, node, t.transactional_id, producer, t.topics, call.version())});
  }
  respond(state, call.ticket, response);
}

void add_offsets_to_txn(ClusterState& state, const Call& call, const AddOffsetsToTxnRequest& request) {
  AddOffsetsToTxnResponse response;
  const ProducerIdentity producer{request.producer_id, request.producer_epoch};
  const ErrorCode error =
      add_to_transaction(state, request.transactional_id, call.ticket.node, producer, {}, request.group_id, false);
  response.error_code = code(fenced_as(error, call.version(), 2));
  respond(state, call.ticket, response);
}

// The client asks once more for what was done, having missed the answer: its epoch is the one before.
bool is_retry(const Transaction& txn, ProducerIdentity producer) {
  if (!txn.protocol_2) return false;
  const bool bumped = txn.producer_id == producer.id && txn.epoch == producer.epoch + 1;
  const bool rotated = txn.previous_producer_id == producer.id && producer.epoch == INT16_MAX - 1 && txn.epoch == 0;
  return bumped || rotated;
}

ErrorCode check_ending_producer(const Transaction& txn, ProducerIdentity producer) {
  const bool retry = is_retry(txn, producer);
  if (txn.producer_id != producer.id && !retry) return ErrorCode::INVALID_PRODUCER_ID_MAPPING;
  const bool completed =
      txn.state == TransactionState::complete_commit || txn.state == TransactionState::complete_abort;
  // With protocol 2 the epoch of a transaction that is being ended is never the client's.
  const bool present = txn.epoch == producer.epoch && !(txn.protocol_2 && txn.preparing());
  const bool valid = present || (retry && (txn.preparing() || completed));
  return valid ? ErrorCode::NONE : ErrorCode::PRODUCER_FENCED;
}

void end_now(ClusterState& state, NodeId node, Transaction& txn, bool commit, bool protocol_2) {
  if (protocol_2) {
    if (txn.epoch_exhausted()) txn.next_producer_id = allocate_producer_id(state, node);
    txn.last_epoch = txn.epoch++;
  }
  prepare_end(state, txn, commit, protocol_2);
}

// NONE: it has ended, now or before. 51: its markers are still being written.
ErrorCode end_transaction(ClusterState& state, NodeId node, Transaction& txn, const EndTxnRequest& request,
                          bool protocol_2) {
  const ProducerIdentity producer{request.producer_id, request.producer_epoch};
  if (ErrorCode error = check_ending_producer(txn, producer); error != ErrorCode::NONE) return error;
  const bool retry = is_retry(txn, producer);
  const bool may_abort_nothing = protocol_2 && !request.committed && !retry;
  switch (txn.state) {
    case TransactionState::ongoing:
      end_now(state, node, txn, request.committed, protocol_2);
      return ErrorCode::NONE;
    case TransactionState::prepare_commit:
    case TransactionState::prepare_abort:
      return request.committed == (txn.state == TransactionState::prepare_commit) ? ErrorCode::CONCURRENT_TRANSACTIONS
                                                                                  : ErrorCode::INVALID_TXN_STATE;
    case TransactionState::complete_commit:
    case TransactionState::complete_abort:
      if (may_abort_nothing) break;
      if (protocol_2 && !retry) return ErrorCode::INVALID_TXN_STATE;
      return request.committed == (txn.state == TransactionState::complete_commit) ? ErrorCode::NONE
                                                                                   : ErrorCode::INVALID_TXN_STATE;
    case TransactionState::empty:
      if (may_abort_nothing) break;
      return ErrorCode::INVALID_TXN_STATE;
  }
  // Protocol 2: an abort of a transaction of which the coordinator has not heard raises the epoch all the same.
  txn.start_ms = state.now_ms;
  end_now(state, node, txn, false, true);
  return ErrorCode::NONE;
}

// What the client goes on with: with protocol 2 the next epoch, or the id that comes after the last epoch.
ProducerIdentity after_end(const Transaction& txn) {
  if (txn.next_producer_id >= 0) return {txn.next_producer_id, 0};
  return {txn.producer_id, txn.epoch};
}

void end_txn(ClusterState& state, const Call& call, const EndTxnRequest& request) {
  EndTxnResponse response;
  FoundTransaction found = find_transaction(state, request.transactional_id, call.ticket.node);
  ErrorCode error = found.error;
  if (error == ErrorCode::NONE) {
    error =
        end_transaction(state, call.ticket.node, *found.transaction, request, call.version() >= first_protocol_2_end);
  }
  response.error_code = code(fenced_as(error, call.version(), 2));
  if (error == ErrorCode::NONE) {
    const ProducerIdentity next = after_end(*found.transaction);
    response.producer_id = next.id;
    response.producer_epoch = next.epoch;
  }
  respond(state, call.ticket, response);
}

}  // namespace

ProducerId allocate_producer_id(ClusterState& state, NodeId node) {
  Broker& broker = state.brokers.at(node);
  // Each broker hands out ids from a block of its own.
  if (broker.next_producer_id == broker.producer_ids_end) {
    broker.next_producer_id = state.next_producer_block;
    state.next_producer_block += producer_ids_per_block;
    broker.producer_ids_end = state.next_producer_block;
  }
  return broker.next_producer_id++;
}

FoundTransaction find_transaction(ClusterState& state, const std::string& id, NodeId node) {
  if (id.empty()) return {ErrorCode::INVALID_REQUEST, nullptr};
  if (state.transaction_coordinator(id) != node) return {ErrorCode::NOT_COORDINATOR, nullptr};
  auto found = state.transactions.find(id);
  if (found == state.transactions.end()) return {ErrorCode::INVALID_PRODUCER_ID_MAPPING, nullptr};
  if (found->second.loaded_at_ms > state.now_ms) return {ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, nullptr};
  return {ErrorCode::NONE, &found->second};
}

ErrorCode check_producer(const Transaction& txn, ProducerIdentity producer) {
  if (txn.producer_id != producer.id) return ErrorCode::INVALID_PRODUCER_ID_MAPPING;
  if (txn.epoch != producer.epoch) return ErrorCode::PRODUCER_FENCED;
  return txn.preparing() ? ErrorCode::CONCURRENT_TRANSACTIONS : ErrorCode::NONE;
}

ErrorCode add_to_transaction(ClusterState& state, const std::string& id, NodeId coordinator, ProducerIdentity producer,
                             const std::set<TopicPartition>& partitions, const std::string& group, bool protocol_2) {
  FoundTransaction found = find_transaction(state, id, coordinator);
  if (found.error != ErrorCode::NONE) return found.error;
  Transaction& txn = *found.transaction;
  if (ErrorCode error = check_producer(txn, producer); error != ErrorCode::NONE) return error;
  if (txn.state != TransactionState::ongoing) {
    txn.state = TransactionState::ongoing;
    txn.start_ms = state.now_ms;
    txn.protocol_2 = protocol_2;
  }
  txn.partitions.insert(partitions.begin(), partitions.end());
  if (!group.empty()) txn.groups.insert(group);
  return ErrorCode::NONE;
}

ErrorCode verify_in_transaction(ClusterState& state, const std::string& id, ProducerIdentity producer,
                                const TopicPartition& place, const std::string& group, Verification verification) {
  if (verification == Verification::none) return ErrorCode::NONE;
  const NodeId coordinator = state.transaction_coordinator(id);
  if (coordinator < 0) return ErrorCode::COORDINATOR_NOT_AVAILABLE;
  if (verification == Verification::add) {
    const auto places = group.empty() ? std::set<TopicPartition>{place} : std::set<TopicPartition>{};
    return fenced_as(add_to_transaction(state, id, coordinator, producer, places, group, true), 0, 1);
  }
  FoundTransaction found = find_transaction(state, id, coordinator);
  ErrorCode error = found.error;
  if (error == ErrorCode::NONE) error = fenced_as(check_producer(*found.transaction, producer), 0, 1);
  if (error != ErrorCode::NONE) return error;
  const Transaction& txn = *found.transaction;
  const bool part_of_it = group.empty() ? txn.partitions.contains(place) : txn.groups.contains(group);
  if (part_of_it) return ErrorCode::NONE;
  return verification == Verification::abortable ? ErrorCode::TRANSACTION_ABORTABLE : ErrorCode::INVALID_TXN_STATE;
}

void add_transaction_handlers(Handlers& handlers) {
  handlers[ApiKey::InitProducerId] = decoded<InitProducerIdRequest, init_producer_id>;
  handlers[ApiKey::AddPartitionsToTxn] = decoded<AddPartitionsToTxnRequest, add_partitions_to_txn>;
  handlers[ApiKey::AddOffsetsToTxn] = decoded<AddOffsetsToTxnRequest, add_offsets_to_txn>;
  handlers[ApiKey::EndTxn] = decoded<EndTxnRequest, end_txn>;
}

}  // namespace crossover::sim
