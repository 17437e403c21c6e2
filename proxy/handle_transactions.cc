// Transactional ids: asked of the coordinator at their home, under the names that it knows (binding.h).
#include <algorithm>

#include "protocol/error_code.h"
#include "proxy/commit_positions.h"
#include "proxy/coordinators.h"
#include "proxy/group_members.h"
#include "proxy/handlers.h"
#include "proxy/producer_id.h"

namespace crossover::proxy {
namespace {

using namespace protocol;

constexpr std::int16_t code(ErrorCode e) {
  return static_cast<std::int16_t>(e);
}

// What an older instance of a transactional id is told; clients that do not know the newer code take the older.
ErrorCode fenced(const Request& request) {
  const Version first = request.api() == ApiKey::InitProducerId ? 4 : 2;
  return request.version() >= first ? ErrorCode::PRODUCER_FENCED : ErrorCode::INVALID_PRODUCER_EPOCH;
}

// Puts the name on the home into a request; false: it is an older instance's.
template <class Asked>
bool name_on_home(const SessionCore& core, Asked& asked) {
  const auto real =
      core.snapshot().bindings->to_real(asked.transactional_id, {asked.producer_id, asked.producer_epoch});
  if (!real) return false;
  asked.producer_id = real->id;
  asked.producer_epoch = real->epoch;
  return true;
}

template <class Answer>
void name_for_client(const Bindings& bindings, const std::string& id, Answer& answer) {
  const ProducerName known_as = bindings.to_virtual(id, {answer.producer_id, answer.producer_epoch});
  answer.producer_id = known_as.id;
  answer.producer_epoch = known_as.epoch;
}

template <class Answer, class Question>
Task<std::optional<Answer>> ask_home(SessionCore& core, const Request& request, std::string id, Question question) {
  const Cluster home = core.snapshot().bindings->home_of(id);
  auto answer = co_await ask_coordinator<Answer>(core, request, home, CoordinatorKind::transaction, id,
                                                 std::move(question), request.version());
  co_return answer;
}

// Who uses a transactional id, and what its transactions bind together.
void note_used(SessionCore& core, const Request& request, const std::string& id,
               const std::vector<std::string>& topics = {}, const std::string& group = {}) {
  note_seen(core.worker().transactional_ids, id, core.now());
  // Its owner is who speaks to the coordinator; batches go over as many connections as there are leaders.
  const std::string client_id = request.header.client_id.value_or("");
  const std::string peer = request.api() == ApiKey::Produce ? "" : core.options().peer;
  core.worker().couplings.note(id, {client_id, peer, core.now()}, topics, group);
}

// --- InitProducerId ---

// Without a transactional id any broker of either cluster can hand out an id; the virtual one says which did.
Task<> init_idempotent(SessionCore& core, Request& request, InitProducerIdRequest asked) {
  Cluster allocator = core.snapshot().groups_home;
  const AllocatedId given = split_virtual(asked.producer_id);
  for (int attempt = 0; attempt < 2; ++attempt) {
    InitProducerIdRequest sent = asked;
    if (asked.producer_id >= 0) {
      sent.producer_id = given.allocator == allocator ? given.id : -1;
      if (given.allocator != allocator) sent.producer_epoch = -1;
    }
    const Bytes body = encode(sent, request.version());
    Call call = core.send(request, allocator, core.some_node(allocator), request.api(), request.version(), body);
    CallState& answered = co_await call;
    auto answer = answered.status == CallStatus::answered
                      ? decode<InitProducerIdResponse>(answered.body(), request.version())
                      : std::nullopt;
    if (answer) {
      answer->producer_id = virtual_producer_id(allocator, answer->producer_id);
      co_return core.reply(request, *answer);
    }
    allocator = other(allocator);
  }
  core.reply_error(request, ErrorCode::COORDINATOR_NOT_AVAILABLE);
}

// A new id begins where the default route is at home.
Task<> init_transactional(SessionCore& core, Request& request, InitProducerIdRequest asked) {
  const std::string id = *asked.transactional_id;
  note_used(core, request, id);
  for (;;) {
    Turn turn = co_await wait_for_turn(core, request, id, {}, true);
    if (turn != Turn::now) co_return core.reply_error(request, ErrorCode::CONCURRENT_TRANSACTIONS);
    const Cluster begins_at = core.snapshot().routes[0].home;
    if (core.snapshot().bindings->find(id) || begins_at == Bindings::first_home) break;
    const std::function<bool()> still_wanted = [&core, begins_at] {
      return core.snapshot().routes[0].home == begins_at;
    };
    const bool fresh = asked.producer_id < 0;
    turn = co_await bring_home(core, request, id, begins_at, fresh, still_wanted);
    if (turn == Turn::later) co_return core.reply_error(request, ErrorCode::CONCURRENT_TRANSACTIONS);
    if (turn == Turn::never) break;  // it goes on where its transaction is
  }
  const TransactionGuard in_flight(core, request, id);
  const auto real = core.snapshot().bindings->to_real(id, {asked.producer_id, asked.producer_epoch});
  if (!real) co_return core.reply_error(request, fenced(request));
  asked.producer_id = real->id;
  asked.producer_epoch = real->epoch;
  const std::shared_ptr<const Bindings> bindings = core.snapshot().bindings;
  auto answer = co_await ask_home<InitProducerIdResponse>(core, request, id, asked);
  if (!answer) co_return core.reply_error(request, ErrorCode::COORDINATOR_NOT_AVAILABLE);
  note_coordinator_error(core, bindings->home_of(id), CoordinatorKind::transaction, id, answer->error_code);
  name_for_client(*bindings, id, *answer);
  core.reply(request, *answer);
}

Task<> init_producer_id(SessionCore& core, Request& request) {
  const auto asked = decode<InitProducerIdRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed InitProducerId request");
  if (asked->transactional_id) {
    co_await init_transactional(core, request, *asked);
  } else {
    co_await init_idempotent(core, request, *asked);
  }
}

// --- what begins a transaction, or adds to it ---

// The cluster that all of these topics are homed on; nullopt: they are on both, which no transaction can span.
std::optional<Cluster> common_home(const Snapshot& snapshot, const std::vector<std::string>& topics) {
  std::optional<Cluster> home;
  for (const std::string& name : topics) {
    const TopicView* topic = snapshot.topic(name);
    if (!topic) continue;  // its coordinator will say so
    const Cluster here = snapshot.route_of(*topic).home;
    if (home && *home != here) return std::nullopt;
    home = here;
  }
  return home ? home : snapshot.routes[0].home;
}

}  // namespace

Task<Turn> may_add_topics(SessionCore& core, const Request& request, std::string id, ProducerName known_as,
                          std::vector<std::string> topics, bool begins) {
  note_used(core, request, id, topics);
  for (;;) {
    Turn turn = co_await wait_for_turn(core, request, id, topics, begins);
    if (turn != Turn::now) co_return turn;
    // Not before: while its id moves, what this worker knows of names may be old.
    if (!core.snapshot().bindings->to_real(id, known_as)) co_return Turn::replaced;
    const auto home = common_home(core.snapshot(), topics);
    if (home && core.snapshot().bindings->home_of(id) == *home) co_return Turn::now;
    turn = Turn::never;
    if (home) {
      const std::function<bool()> still_wanted = [&core, &topics, home] {
        return common_home(core.snapshot(), topics) == home;
      };
      turn = co_await bring_home(core, request, id, *home, false, still_wanted);
    }
    if (turn == Turn::now) continue;
    if (turn == Turn::later) co_return turn;
    const bool replaced = co_await is_replaced(core, request, id, known_as);
    if (replaced) co_return Turn::replaced;
    const bool any_known = std::any_of(topics.begin(), topics.end(),
                                       [&core](const std::string& name) { return core.snapshot().topic(name); });
    co_return any_known ? Turn::never : Turn::now;  // who is asked says that there are no such topics
  }
}

namespace {

ErrorCode error_of(Turn turn, const Request& request) {
  if (turn == Turn::replaced) return fenced(request);
  return turn == Turn::never ? ErrorCode::INVALID_TXN_STATE : ErrorCode::CONCURRENT_TRANSACTIONS;
}

Task<> add_partitions(SessionCore& core, Request& request) {
  auto asked = decode<AddPartitionsToTxnRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed AddPartitionsToTxn request");
  const std::string id = asked->v3_and_below_transactional_id;
  std::vector<std::string> topics;
  for (const auto& topic : asked->v3_and_below_topics) topics.push_back(topic.name);
  const ProducerName known_as{asked->v3_and_below_producer_id, asked->v3_and_below_producer_epoch};
  const Turn turn = co_await may_add_topics(core, request, id, known_as, topics, true);
  if (turn != Turn::now) co_return core.reply_error(request, error_of(turn, request));
  const TransactionGuard in_flight(core, request, id);
  const auto real = core.snapshot().bindings->to_real(id, known_as);
  if (!real) co_return core.reply_error(request, fenced(request));
  asked->v3_and_below_producer_id = real->id;
  asked->v3_and_below_producer_epoch = real->epoch;
  const auto answer = co_await ask_home<AddPartitionsToTxnResponse>(core, request, id, *asked);
  if (!answer) co_return core.reply_error(request, ErrorCode::COORDINATOR_NOT_AVAILABLE);
  for (const auto& topic : answer->results_by_topic_v3_and_below) {
    for (const auto& row : topic.results_by_partition)
      note_coordinator_error(core, core.snapshot().bindings->home_of(id), CoordinatorKind::transaction, id,
                             row.partition_error_code);
  }
  core.reply(request, *answer);
}

// The cluster that all routes are at home on; nullopt: they are not all on one.
std::optional<Cluster> only_home(const Snapshot& snapshot) {
  const Cluster home = snapshot.routes[0].home;
  const bool one = std::all_of(snapshot.routes.begin(), snapshot.routes.end(),
                               [home](const RouteView& route) { return route.home == home; });
  return one ? std::optional(home) : std::nullopt;
}

// A transaction may begin with offsets and say only then what topics it writes to, which decide where it has to be.
// Where that makes a difference it is given a moment to say so, once after each flip.
bool awaits_topics(SessionCore& core, const std::string& id) {
  constexpr Millis moment = 1'000;
  const Snapshot& snapshot = core.snapshot();
  if (only_home(snapshot)) return false;
  auto& moments = core.worker().topics_awaited;
  if (moments.size() >= core.options().limits.tracked_producers) moments.clear();
  const auto [at, fresh] = moments.try_emplace(id);
  if (fresh || at->second.flips != snapshot.flips()) at->second = {snapshot.flips(), core.now() + moment};
  if (core.now() >= at->second.until) return false;
  // Nothing moves by itself during a flip, and what would have said so may be held.
  const bool flipping = std::any_of(snapshot.routes.begin(), snapshot.routes.end(),
                                    [](const RouteView& route) { return route.phase != RoutePhase::open; });
  if (flipping || snapshot.held_ids.contains(id)) at->second.until = core.now() + moment;
  return true;
}

// For what may begin a transaction without a word of its topics.
Task<Turn> wait_for_turn_and_topics(SessionCore& core, const Request& request, std::string id, bool begins) {
  constexpr Millis look_again = 50;
  const std::vector<std::string> any;
  for (;;) {
    const Turn turn = co_await wait_for_turn(core, request, id, any, begins);
    if (turn != Turn::now || !begins) co_return turn;
    if (!awaits_topics(core, id)) {
      const std::optional<Cluster> home = only_home(core.snapshot());
      if (!home || core.snapshot().bindings->home_of(id) == *home) co_return Turn::now;
      // Its topics were flipped before they were known to be its own.
      const std::function<bool()> still_wanted = [&core, home] { return only_home(core.snapshot()) == home; };
      const Turn there = co_await bring_home(core, request, id, *home, false, still_wanted);
      if (there == Turn::later) co_return there;
      if (there == Turn::never) begins = false;  // it has begun where it is
      continue;
    }
    const std::uint64_t seen = core.snapshot().revision;
    const bool begun = co_await has_begun(core, request, id);
    if (begun && core.snapshot().revision == seen) co_return Turn::now;
    if (core.now() - request.arrived_at >= core.options().limits.hold_ms) co_return Turn::later;
    SessionCore::Changed changed(core, core.now() + look_again);
    co_await changed;
  }
}

Task<> add_offsets(SessionCore& core, Request& request) {
  auto asked = decode<AddOffsetsToTxnRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed AddOffsetsToTxn request");
  const std::string id = asked->transactional_id;
  note_used(core, request, id, {}, asked->group_id);
  const Turn turn = co_await wait_for_turn_and_topics(core, request, id, true);
  if (turn != Turn::now) co_return core.reply_error(request, error_of(turn, request));
  const TransactionGuard in_flight(core, request, id);
  if (!name_on_home(core, *asked)) co_return core.reply_error(request, fenced(request));
  const auto answer = co_await ask_home<AddOffsetsToTxnResponse>(core, request, id, *asked);
  if (!answer) co_return core.reply_error(request, ErrorCode::COORDINATOR_NOT_AVAILABLE);
  note_coordinator_error(core, core.snapshot().bindings->home_of(id), CoordinatorKind::transaction, id,
                         answer->error_code);
  core.reply(request, *answer);
}

void refuse_all(TxnOffsetCommitResponse& answer, std::int16_t error) {
  for (auto& topic : answer.topics) {
    for (auto& row : topic.partitions) row.error_code = error;
  }
}

// Where the group's offsets are not with its members, these are looked up behind the write: if the member was one then,
// whoever takes its partitions over reads the offsets later, and so waits for this transaction.
Task<> commit_offsets(SessionCore& core, Request& request) {
  constexpr Version first_that_begins = 5;
  auto asked = decode<TxnOffsetCommitRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed TxnOffsetCommit request");
  const std::string id = asked->transactional_id, group = asked->group_id;
  note_used(core, request, id, {}, group);
  for (;;) {
    Turn turn = co_await wait_for_turn_and_topics(core, request, id, request.version() >= first_that_begins);
    const Cluster home = core.snapshot().bindings->home_of(id);
    const bool there =
        core.snapshot().bindings->home_of_group(group) == home && !core.snapshot().moving_groups.contains(group);
    if (turn == Turn::now && there) break;
    if (turn == Turn::now) turn = co_await bring_offsets(core, request, group, home);
    if (turn != Turn::now) co_return core.reply_error(request, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
  }
  const TransactionGuard in_flight(core, request, id);
  const CommitGuard commit_in_flight(core, group);
  const Cluster home = core.snapshot().bindings->home_of(id);
  if (!name_on_home(core, *asked)) co_return core.reply_error(request, ErrorCode::INVALID_PRODUCER_EPOCH);
  project_commit(core.snapshot(), home, *asked);
  const GroupMember member{group, asked->generation_id_or_member_epoch, asked->member_id, asked->group_instance_id};
  const bool apart = home != core.snapshot().groups_home;
  if (apart) {
    asked->generation_id_or_member_epoch = -1;
    asked->member_id.clear();
    asked->group_instance_id.reset();
  }
  auto answer = co_await ask_coordinator<TxnOffsetCommitResponse>(core, request, home, CoordinatorKind::group, group,
                                                                  *asked, request.version());
  if (!answer) co_return core.reply_error(request, ErrorCode::COORDINATOR_NOT_AVAILABLE);
  if (apart) {
    const std::int16_t error = co_await member_error(core, request, member);
    // As coordinators do (KIP-848): clients take the newer code for fatal in a transaction.
    const bool stale = error == code(ErrorCode::STALE_MEMBER_EPOCH);
    if (error != 0) refuse_all(*answer, stale ? code(ErrorCode::ILLEGAL_GENERATION) : error);
  }
  for (auto& topic : answer->topics) {
    const TopicView* view =
        topic.topic_id.is_zero() ? nullptr : topic_by_real_id(core.snapshot(), home, topic.topic_id);
    if (view) topic.topic_id = view->virtual_id;
    for (const auto& row : topic.partitions)
      note_coordinator_error(core, home, CoordinatorKind::group, group, row.error_code);
  }
  core.reply(request, *answer);
}

// --- EndTxn ---

bool ended_so(const TransactionalBinding& binding, bool committed) {
  return binding.ended == (committed ? LastEnd::committed : LastEnd::aborted);
}

// The answer was lost on the home before: asked again here, where that transaction never was.
bool repeats_end_elsewhere(const TransactionalBinding* binding, const EndTxnRequest& asked, Version version) {
  constexpr Version first_that_renames = 5;  // the answer carries the epoch of the next transaction
  if (!binding || version < first_that_renames || !ended_so(*binding, asked.committed)) return false;
  const ProducerName known_as{asked.producer_id, asked.producer_epoch};
  return known_as == binding->before_end ||
         known_as == ProducerName{binding->alias.id, static_cast<ProducerEpoch>(binding->alias.epoch - 1)};
}

Task<> end(SessionCore& core, Request& request) {
  auto asked = decode<EndTxnRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed EndTxn request");
  const std::string id = asked->transactional_id;
  note_used(core, request, id);
  // It may raise the epoch (KIP-890), also where nothing is open: not while a flip reads the epochs that it carries on.
  const Turn turn = co_await wait_for_turn(core, request, id, {}, false);
  if (turn != Turn::now) co_return core.reply_error(request, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
  const TransactionGuard in_flight(core, request, id);
  const std::shared_ptr<const Bindings> bindings = core.snapshot().bindings;
  const TransactionalBinding* binding = bindings->find(id);
  const ProducerName known_as{asked->producer_id, asked->producer_epoch};
  EndTxnResponse done_before;
  if (binding) {
    done_before.producer_id = binding->alias.id;
    done_before.producer_epoch = binding->alias.epoch;
  }
  if (repeats_end_elsewhere(binding, *asked, request.version())) co_return core.reply(request, done_before);
  const bool committed = asked->committed;
  if (!name_on_home(core, *asked)) co_return core.reply_error(request, fenced(request));
  auto answer = co_await ask_home<EndTxnResponse>(core, request, id, *asked);
  if (!answer) co_return core.reply_error(request, ErrorCode::COORDINATOR_NOT_AVAILABLE);
  note_coordinator_error(core, bindings->home_of(id), CoordinatorKind::transaction, id, answer->error_code);
  const bool none_here = answer->error_code == code(ErrorCode::INVALID_TXN_STATE);
  if (none_here && binding && known_as == binding->alias && ended_so(*binding, committed))
    co_return core.reply(request, done_before);
  name_for_client(*bindings, id, *answer);
  core.reply(request, *answer);
}

// --- for admin tools ---

// Who is asked coordinates some of them; of the others it is not the coordinator.
Task<> describe(SessionCore& core, Request& request) {
  const auto asked = decode<DescribeTransactionsRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed DescribeTransactions request");
  const std::shared_ptr<const Bindings> bindings = core.snapshot().bindings;
  DescribeTransactionsResponse answer;
  for (const std::string& id : asked->transactional_ids) {
    DescribeTransactionsRequest question;
    question.transactional_ids.push_back(id);
    const auto answered = co_await ask_home<DescribeTransactionsResponse>(core, request, id, question);
    auto& row = answer.transaction_states.emplace_back();
    row.error_code = code(ErrorCode::COORDINATOR_NOT_AVAILABLE);
    if (answered && answered->transaction_states.size() == 1) row = answered->transaction_states[0];
    row.transactional_id = id;
    note_coordinator_error(core, bindings->home_of(id), CoordinatorKind::transaction, id, row.error_code);
    name_for_client(*bindings, id, row);
  }
  core.reply(request, answer);
}

// What a client's filter means on a cluster: what that one handed out, and what moved there under a name of the other.
std::vector<std::int64_t> producers_on(const Bindings& bindings, Cluster cluster,
                                       const std::vector<std::int64_t>& wanted) {
  constexpr std::int64_t nobody = -1;
  std::vector<std::int64_t> real;
  for (const std::int64_t id : wanted) {
    const AllocatedId given = split_virtual(id);
    if (given.allocator == cluster) real.push_back(given.id);
    for (const auto& [name, binding] : bindings.ids) {
      if (binding.home == cluster && binding.alias.id == id) real.push_back(binding.real.id);
    }
  }
  if (real.empty() && !wanted.empty()) real.push_back(nobody);  // no filter would be all
  return real;
}

}  // namespace

Task<> handle_transaction(SessionCore& core, Request& request) {
  switch (request.api()) {
    case ApiKey::InitProducerId:
      return init_producer_id(core, request);
    case ApiKey::AddPartitionsToTxn:
      return add_partitions(core, request);
    case ApiKey::AddOffsetsToTxn:
      return add_offsets(core, request);
    case ApiKey::TxnOffsetCommit:
      return commit_offsets(core, request);
    case ApiKey::DescribeTransactions:
      return describe(core, request);
    default:
      return end(core, request);
  }
}

// Each broker lists those that it coordinates; what a cluster remembers of ids that moved away is not shown.
Task<> handle_list_transactions(SessionCore& core, Request& request) {
  auto asked = decode<ListTransactionsRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed ListTransactions request");
  Cluster cluster = Bindings::first_home;
  for (const Cluster c : both_clusters) {
    if (core.own_node(c)) cluster = c;
  }
  const std::vector<std::int64_t> wanted = asked->producer_id_filters;
  asked->producer_id_filters = producers_on(*core.snapshot().bindings, cluster, wanted);
  const Bytes body = encode(*asked, request.version());
  Call call = core.send(request, cluster, core.some_node(cluster), request.api(), request.version(), body);
  CallState& answered = co_await call;
  auto answer = answered.status == CallStatus::answered
                    ? decode<ListTransactionsResponse>(answered.body(), request.version())
                    : std::nullopt;
  if (!answer) co_return core.reply_error(request, ErrorCode::COORDINATOR_NOT_AVAILABLE);
  const std::shared_ptr<const Bindings> bindings = core.snapshot().bindings;
  std::erase_if(answer->transaction_states, [&](const auto& row) {
    return bindings->home_of(row.transactional_id) != cluster ||
           row.transactional_id.starts_with("__crossover");  // the proxy's own
  });
  const auto is_wanted = [&wanted](std::int64_t id) {
    return wanted.empty() || std::find(wanted.begin(), wanted.end(), id) != wanted.end();
  };
  // A row tells no epoch: whether its client still has the name from before the move, or one of the new home's, is
  // open.
  for (auto& row : answer->transaction_states) {
    const TransactionalBinding* binding = bindings->find(row.transactional_id);
    const bool as_moved = binding && binding->alias.id >= 0 && binding->real.id == row.producer_id;
    const std::int64_t given_here = virtual_from_any_wire(row.producer_id, cluster);
    row.producer_id = as_moved && is_wanted(binding->alias.id) ? binding->alias.id : given_here;
  }
  std::erase_if(answer->transaction_states, [&is_wanted](const auto& row) { return !is_wanted(row.producer_id); });
  core.reply(request, *answer);
}

}  // namespace crossover::proxy
