#include "tests/sim/clients_transactional.h"

#include "protocol/record_batch.h"

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
using protocol::TxnOffsetCommitRequest;
using protocol::TxnOffsetCommitResponse;

constexpr Micros backoff = 25 * one_ms;
constexpr std::int8_t group_key = 0, transaction_key = 1;

bool is_one_of(std::int16_t error, std::initializer_list<ErrorCode> codes) {
  return std::find(codes.begin(), codes.end(), static_cast<ErrorCode>(error)) != codes.end();
}

}  // namespace

TransactionalClient::TransactionalClient(ClientWorld& world, std::string name, TransactionalOptions options)
    : Client(world, std::move(name)), options_(std::move(options)) {}

std::string TransactionalClient::describe() {
  std::string text = " " + options_.transactional_id + " id " + std::to_string(id_) + "/" + std::to_string(epoch_);
  if (open_) text += " open";
  if (ending_) text += commit_ && !aborting_ ? " to commit" : " to abort";
  if (busy_) text += " waits for a coordinator";
  if (!positions_.empty()) text += " with positions";
  for (const auto& [place, queue] : queues_) {
    if (!queue.batches.empty()) text += " " + to_string(place) + ": " + std::to_string(queue.batches.size());
  }
  return text;
}

// The process is gone; what it left open is its successor's to abort.
void TransactionalClient::crash() {
  dead_ = true;
  drop_connections();
  if (open_) world_.checks.transactions().gave_up(transaction_);
}

void TransactionalClient::on_ready() {
  protocol_2_ = transaction_version() >= 2;
  produce_version_ = protocol_2_ ? version(ApiKey::Produce, 12, 13) : version(ApiKey::Produce, 3, 11);
  world_.checks.transactions().instance_started(options_.transactional_id, options_.instance);
  step();
}

void TransactionalClient::on_metadata() {
  for (auto& [place, queue] : queues_) queue.waiting = false;
  step();
}

// --- what the application does ---

void TransactionalClient::begin() {
  open_ = true;
  ending_ = aborting_ = begun_at_coordinator_ = group_added_ = false;
  began_ = world_.events.now();
  transaction_ = world_.checks.transactions().began(options_.transactional_id, options_.instance);
}

std::string TransactionalClient::new_record(const Place& place, const std::string& key) {
  const std::string value = world_.checks.new_record(name_, place, Delivery::transactional, key);
  world_.checks.transactions().wrote(transaction_, value);
  return value;
}

void TransactionalClient::add_batch(const Place& place, std::vector<protocol::PlainRecord> records,
                                    std::vector<std::string> values) {
  Batch batch;
  batch.id = next_batch_++;
  batch.values = std::move(values);
  batch.records = std::move(records);
  queues_[place].batches.push_back(std::move(batch));
  if (!added_.contains(place)) adding_.insert(place);
}

void TransactionalClient::end(bool commit) {
  ending_ = true;
  commit_ = commit;
  step();
}

void TransactionalClient::later(Micros delay) {
  if (std::exchange(idle_due_, true)) return;
  world_.events.after(delay, [this] {
    idle_due_ = false;
    if (dead_ || open_ || id_ < 0) return;
    finishing_ ? at_rest() : next_transaction();
  });
}

void TransactionalClient::abort_for(const std::string& why) {
  if (world_.log) world_.log(name_ + " has to abort: " + why);
  aborting_ = ending_ = true;
  positions_.clear();
  drop_unsent();
}

// Without a reason that the run knows, a plain cluster would not have said so.
void TransactionalClient::fail(const std::string& request, std::int16_t error) {
  if (dead_) return;
  if (world_.log) world_.log(name_ + " is done for: " + request + " error " + std::to_string(error));
  const bool fenced = is_one_of(error, {ErrorCode::PRODUCER_FENCED, ErrorCode::INVALID_PRODUCER_EPOCH});
  if (!fenced || !world_.checks.transactions().has_successor(options_.transactional_id, options_.instance)) {
    world_.checks.violated("error surfaced: " + name_ + ": " + request + " error " + std::to_string(error) +
                           describe());
  }
  crash();
}

// --- one thing at a time ---

void TransactionalClient::step() {
  if (dead_ || ports_.empty()) return;
  if (open_ && world_.events.now() - began_ > Micros{options_.timeout_ms} * one_ms)
    world_.checks.violated("7: " + name_ + " could not end its transaction in time:" + describe());
  pump();
  if (busy_) return;
  if (coordinator_ == bootstrap)
    return find_coordinator(options_.transactional_id, transaction_key, [this](NodeId node) { coordinator_ = node; });
  if (id_ < 0) return init();
  if (!open_) return finishing_ ? at_rest() : later(world_.random.below(2 * options_.pause));
  if (!protocol_2_ && !adding_.empty() && !aborting_) return add_partitions();
  if (!positions_.empty()) {
    if (!protocol_2_ && !group_added_) return add_offsets();
    if (group_coordinator_ != bootstrap) return send_positions();
    return find_coordinator(options_.group, group_key, [this](NodeId node) { group_coordinator_ = node; });
  }
  if (ending_ && all_acknowledged()) end_transaction();
}

void TransactionalClient::find_coordinator(const std::string& key, std::int8_t type,
                                           std::function<void(NodeId)> found) {
  busy_ = true;
  protocol::FindCoordinatorRequest request;
  request.key = key;
  request.key_type = type;
  const Version at = version(ApiKey::FindCoordinator, 1, 6);
  if (at >= 4) request.coordinator_keys = {key};
  call<protocol::FindCoordinatorResponse>(connection(bootstrap), at, request, [this, at, found](auto answer) {
    busy_ = false;
    if (dead_) return;
    const bool many = answer && at >= 4 && !answer->coordinators.empty();
    const std::int16_t error = !answer ? 0 : many ? answer->coordinators[0].error_code : answer->error_code;
    const bool passing = is_one_of(error, {ErrorCode::COORDINATOR_NOT_AVAILABLE, ErrorCode::NOT_COORDINATOR,
                                           ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, ErrorCode::REQUEST_TIMED_OUT});
    if (error != 0 && !passing) return fail("FindCoordinator", error);
    if (answer && error == 0) found(many ? answer->coordinators[0].node_id : answer->node_id);
    const bool known = answer && error == 0;
    if (!known) refresh();
    world_.events.after(known ? 0 : backoff, [this] { step(); });
  });
}

TransactionalClient::Outcome TransactionalClient::judge(const std::string& request, std::optional<std::int16_t> error) {
  using enum ErrorCode;
  if (error && *error == 0) return Outcome::done;
  const bool retry =
      error && is_one_of(*error, {CONCURRENT_TRANSACTIONS, COORDINATOR_LOAD_IN_PROGRESS, UNKNOWN_TOPIC_OR_PARTITION,
                                  UNKNOWN_TOPIC_ID, NOT_ENOUGH_REPLICAS, OPERATION_NOT_ATTEMPTED});
  const bool find =
      !error || is_one_of(*error, {NOT_COORDINATOR, COORDINATOR_NOT_AVAILABLE, REQUEST_TIMED_OUT, NETWORK_EXCEPTION});
  if (!retry && !find) {
    fail(request, *error);
    return Outcome::failed;
  }
  if (world_.log)
    world_.log(name_ + " asks again after " + request + ": " + (error ? std::to_string(*error) : "no answer"));
  if (find) refresh();
  // Some pause for long enough that much may happen meanwhile.
  world_.events.after(world_.random.one_in(20) ? world_.random.below(600 * one_ms) : backoff, [this] { step(); });
  return find ? Outcome::find_again : Outcome::retry;
}

template <class Response, class Request>
void TransactionalClient::ask(NodeId& coordinator, Version version, const Request& request,
                              std::function<void(const Response&)> taken) {
  const auto to = connection(coordinator);
  if (!to) {
    coordinator = bootstrap;
    refresh();
    world_.events.after(backoff, [this] { step(); });
    return;
  }
  busy_ = true;
  call<Response>(to, version, request, [this, &coordinator, taken](auto answer) {
    busy_ = false;
    if (dead_) return;
    if (answer) return taken(*answer);
    coordinator = bootstrap;
    judge("", std::nullopt);
  });
}

// --- the requests ---

void TransactionalClient::init() {
  InitProducerIdRequest request;
  request.transactional_id = options_.transactional_id;
  request.transaction_timeout_ms = options_.timeout_ms;
  ask<InitProducerIdResponse>(coordinator_, version(ApiKey::InitProducerId, 0, 5), request, [this](const auto& answer) {
    const Outcome outcome = judge("InitProducerId", answer.error_code);
    if (outcome == Outcome::find_again) coordinator_ = bootstrap;
    if (outcome != Outcome::done) return;
    id_ = answer.producer_id;
    epoch_ = answer.producer_epoch;
    if (world_.log) world_.log(name_ + " is " + std::to_string(id_) + "/" + std::to_string(epoch_));
    world_.checks.transactions().initialised(options_.transactional_id, options_.instance, id_, epoch_);
    step();
  });
}

void TransactionalClient::add_partitions() {
  AddPartitionsToTxnRequest request;
  request.v3_and_below_transactional_id = options_.transactional_id;
  request.v3_and_below_producer_id = id_;
  request.v3_and_below_producer_epoch = epoch_;
  for (const Place& place : adding_) {
    auto& topics = request.v3_and_below_topics;
    if (topics.empty() || topics.back().name != place.topic) topics.emplace_back().name = place.topic;
    topics.back().partitions.push_back(place.partition);
  }
  const std::set<Place> asked = adding_;
  ask<AddPartitionsToTxnResponse>(
      coordinator_, version(ApiKey::AddPartitionsToTxn, 0, 3), request, [this, asked](const auto& answer) {
        std::int16_t error = 0;
        std::size_t rows = 0;
        for (const auto& topic : answer.results_by_topic_v3_and_below) {
          for (const auto& row : topic.results_by_partition) {
            ++rows;
            if (row.partition_error_code != 0) error = row.partition_error_code;
          }
        }
        if (rows != asked.size()) world_.checks.violated("answer: " + name_ + ": malformed AddPartitionsToTxn answer");
        const Outcome outcome = judge("AddPartitionsToTxn", error);
        if (outcome == Outcome::find_again) coordinator_ = bootstrap;
        if (outcome != Outcome::done) return;
        begun_at_coordinator_ = true;
        added_.insert(asked.begin(), asked.end());
        for (const Place& place : asked) adding_.erase(place);
        step();
      });
}

void TransactionalClient::add_offsets() {
  AddOffsetsToTxnRequest request;
  request.transactional_id = options_.transactional_id;
  request.producer_id = id_;
  request.producer_epoch = epoch_;
  request.group_id = options_.group;
  ask<AddOffsetsToTxnResponse>(coordinator_, version(ApiKey::AddOffsetsToTxn, 0, 3), request,
                               [this](const auto& answer) {
                                 const Outcome outcome = judge("AddOffsetsToTxn", answer.error_code);
                                 if (outcome == Outcome::find_again) coordinator_ = bootstrap;
                                 if (outcome != Outcome::done) return;
                                 group_added_ = begun_at_coordinator_ = true;
                                 step();
                               });
}

void TransactionalClient::send_positions() {
  TxnOffsetCommitRequest request;
  request.transactional_id = options_.transactional_id;
  request.group_id = options_.group;
  request.producer_id = id_;
  request.producer_epoch = epoch_;
  if (membership_) {
    request.member_id = membership_->member_id;
    request.generation_id_or_member_epoch = membership_->generation;
  }
  for (const auto& [place, offset] : positions_) {
    auto& topic = request.topics.emplace_back();
    topic.name = place.topic;
    topic.topic_id = id_of(place.topic);
    auto& row = topic.partitions.emplace_back();
    row.partition_index = place.partition;
    row.committed_offset = offset;
  }
  const Version at = protocol_2_ ? version(ApiKey::TxnOffsetCommit, 5, topic_ids_known() ? 6 : 5)
                                 : version(ApiKey::TxnOffsetCommit, membership_ ? 3 : 0, 4);
  const std::size_t count = positions_.size();
  ask<TxnOffsetCommitResponse>(group_coordinator_, at, request, [this, count](const auto& answer) {
    std::int16_t error = 0;
    std::size_t rows = 0;
    for (const auto& topic : answer.topics) {
      for (const auto& row : topic.partitions) {
        ++rows;
        if (row.error_code != 0) error = row.error_code;
      }
    }
    if (rows != count) world_.checks.violated("answer: " + name_ + ": malformed TxnOffsetCommit answer");
    if (membership_ && is_one_of(error, {ErrorCode::ILLEGAL_GENERATION, ErrorCode::UNKNOWN_MEMBER_ID})) {
      abort_for("TxnOffsetCommit error " + std::to_string(error));
      rejoin();
      return step();
    }
    const Outcome outcome = judge("TxnOffsetCommit", error);
    if (outcome == Outcome::find_again) group_coordinator_ = bootstrap;
    if (outcome != Outcome::done) return;
    begun_at_coordinator_ = true;
    positions_.clear();
    step();
  });
}

void TransactionalClient::end_transaction() {
  const bool commit = commit_ && !aborting_;
  if (!protocol_2_ && !begun_at_coordinator_) return conclude(false);  // the coordinator has not heard of it
  EndTxnRequest request;
  request.transactional_id = options_.transactional_id;
  request.producer_id = id_;
  request.producer_epoch = epoch_;
  request.committed = commit;
  const Version at = protocol_2_ ? version(ApiKey::EndTxn, 5, 5) : version(ApiKey::EndTxn, 0, 4);
  const bool zombie = world_.checks.transactions().is_zombie(options_.transactional_id, options_.instance);
  world_.checks.transactions().ending(transaction_, commit);
  ask<EndTxnResponse>(coordinator_, at, request, [this, at, commit, zombie](const auto& answer) {
    const Outcome outcome = judge("EndTxn", answer.error_code);
    if (outcome == Outcome::find_again) coordinator_ = bootstrap;
    if (outcome != Outcome::done) return;
    if (zombie) world_.checks.violated("zombie: " + name_ + " ended a transaction after its successor had begun");
    if (at >= 5) {
      const bool grows = answer.producer_id != id_ || answer.producer_epoch > epoch_;
      if (!grows) world_.checks.violated("answer: " + name_ + ": EndTxn did not raise the epoch" + describe());
      id_ = answer.producer_id;
      epoch_ = answer.producer_epoch;
      world_.checks.transactions().shown_id(options_.transactional_id, id_);
      for (auto& [place, queue] : queues_) queue.next_sequence = 0, queue.known = false;
    }
    conclude(commit);
  });
}

void TransactionalClient::conclude(bool committed) {
  if (world_.log) world_.log(name_ + (committed ? " has committed" : " has aborted"));
  world_.checks.transactions().told(transaction_, committed);
  open_ = ending_ = aborting_ = false;
  added_.clear();
  adding_.clear();
  positions_.clear();
  ended(committed);
  step();
}

}  // namespace crossover::sim
