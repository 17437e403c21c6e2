// DescribeTransactions, ListTransactions.
#include <algorithm>
#include <regex>

#include "tests/sim/cluster_state.h"

namespace crossover::sim {

namespace {

using protocol::DescribeTransactionsRequest;
using protocol::DescribeTransactionsResponse;
using protocol::ListTransactionsRequest;
using protocol::ListTransactionsResponse;

constexpr const char* offsets_topic = "__consumer_offsets";
constexpr TransactionState all_states[] = {TransactionState::empty,           TransactionState::ongoing,
                                           TransactionState::prepare_commit,  TransactionState::prepare_abort,
                                           TransactionState::complete_commit, TransactionState::complete_abort};

DescribeTransactionsResponse::TransactionState describe(ClusterState& state, NodeId node, const std::string& id) {
  DescribeTransactionsResponse::TransactionState row;
  row.transactional_id = id;
  const FoundTransaction found = find_transaction(state, id, node);
  const bool missing = found.error == ErrorCode::INVALID_PRODUCER_ID_MAPPING;
  row.error_code = code(missing ? ErrorCode::TRANSACTIONAL_ID_NOT_FOUND : found.error);
  if (found.error != ErrorCode::NONE) return row;
  const Transaction& txn = *found.transaction;
  row.transaction_state = state_name(txn.state);
  row.transaction_timeout_ms = txn.timeout_ms;
  row.transaction_start_time_ms = txn.start_ms;
  row.producer_id = txn.producer_id;
  row.producer_epoch = txn.epoch;
  std::set<TopicPartition> places = txn.partitions;
  for (const std::string& group : txn.groups) places.emplace(offsets_topic, offsets_partition_of(group));
  for (const auto& [topic, partition] : places) {
    if (row.topics.empty() || row.topics.back().topic != topic) row.topics.emplace_back().topic = topic;
    row.topics.back().partitions.push_back(partition);
  }
  return row;
}

void describe_transactions(ClusterState& state, const Call& call, const DescribeTransactionsRequest& request) {
  DescribeTransactionsResponse response;
  for (const std::string& id : request.transactional_ids)
    response.transaction_states.push_back(describe(state, call.ticket.node, id));
  respond(state, call.ticket, response);
}

template <class List, class Value>
bool excluded(const List& filter, const Value& value) {
  return !filter.empty() && std::find(filter.begin(), filter.end(), value) == filter.end();
}

bool listed(const ClusterState& state, const Transaction& txn, const ListTransactionsRequest& request) {
  if (excluded(request.producer_id_filters, txn.producer_id)) return false;
  if (excluded(request.state_filters, state_name(txn.state))) return false;
  if (request.duration_filter >= 0 && state.now_ms - txn.start_ms <= request.duration_filter) return false;
  return true;
}

// nullopt: not a pattern.
std::optional<std::regex> pattern_of(const ListTransactionsRequest& request) {
  const std::string pattern = request.transactional_id_pattern.value_or("");
  try {
    return std::regex(pattern.empty() ? ".*" : pattern);
  } catch (const std::regex_error&) {
    return std::nullopt;
  }
}

// Each broker lists the transactional ids that it coordinates.
void list_transactions(ClusterState& state, const Call& call, const ListTransactionsRequest& request) {
  ListTransactionsResponse response;
  const std::optional<std::regex> pattern = pattern_of(request);
  if (!pattern) {
    response.error_code = code(ErrorCode::INVALID_REGULAR_EXPRESSION);
    return respond(state, call.ticket, response);
  }
  for (const std::string& name : request.state_filters) {
    const bool known = std::any_of(std::begin(all_states), std::end(all_states),
                                   [&name](TransactionState s) { return state_name(s) == name; });
    if (!known) response.unknown_state_filters.push_back(name);
  }
  for (const auto& [id, txn] : state.transactions) {
    if (state.transaction_coordinator(id) != call.ticket.node || !listed(state, txn, request)) continue;
    if (!std::regex_match(id, *pattern)) continue;
    response.transaction_states.push_back({id, txn.producer_id, state_name(txn.state)});
  }
  respond(state, call.ticket, response);
}

}  // namespace

std::string state_name(TransactionState state) {
  switch (state) {
    case TransactionState::empty:
      return "Empty";
    case TransactionState::ongoing:
      return "Ongoing";
    case TransactionState::prepare_commit:
      return "PrepareCommit";
    case TransactionState::prepare_abort:
      return "PrepareAbort";
    case TransactionState::complete_commit:
      return "CompleteCommit";
    case TransactionState::complete_abort:
      break;
  }
  return "CompleteAbort";
}

void Cluster::add_transactional_id(const std::string& id, ProducerId producer, const std::string& state,
                                   ProducerEpoch epoch) {
  Transaction& txn = state_->transactions[id];
  txn.id = id;
  txn.producer_id = producer;
  txn.epoch = epoch;
  txn.timeout_ms = INT32_MAX;
  txn.start_ms = state_->now_ms;
  txn.coordinator = state_->transaction_coordinator(id);
  for (TransactionState known : all_states) {
    if (state_name(known) == state) txn.state = known;
  }
}

void add_transaction_admin_handlers(Handlers& handlers) {
  handlers[ApiKey::DescribeTransactions] = decoded<DescribeTransactionsRequest, describe_transactions>;
  handlers[ApiKey::ListTransactions] = decoded<ListTransactionsRequest, list_transactions>;
}

}  // namespace crossover::sim
