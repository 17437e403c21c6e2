// Moves transactional ids, and the offsets that transactions commit, between the clusters (binding.h).
#include <algorithm>
#include <deque>
#include <limits>

#include "protocol/error_code.h"
#include "protocol/messages.h"
#include "proxy/commit_positions.h"
#include "proxy/controller_core.h"
#include "proxy/producer_id.h"

namespace crossover::proxy {

using namespace protocol;

namespace {

constexpr Millis answer_ms = 2'000;
constexpr std::size_t at_once = 64;
constexpr const char* own_transactional_id = "__crossover_offsets";

bool is(std::int16_t error, ErrorCode code) {
  return error == static_cast<std::int16_t>(code);
}

// Errors that go away by themselves, at the same coordinator; the last two where the id has got another name meanwhile.
bool passes(std::int16_t error) {
  return is(error, ErrorCode::CONCURRENT_TRANSACTIONS) || is(error, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) ||
         is(error, ErrorCode::PRODUCER_FENCED) || is(error, ErrorCode::INVALID_PRODUCER_EPOCH);
}

// Another one may be its coordinator by now.
bool moves(std::int16_t error) {
  return is(error, ErrorCode::COORDINATOR_NOT_AVAILABLE) || is(error, ErrorCode::NOT_COORDINATOR);
}

// g++ 12 compiles no braced list among the arguments of what is awaited.
std::vector<std::string> just(std::string name) {
  return {std::move(name)};
}

// Whether a log knows all of these moves, or later ones.
bool is_on_record(const Bindings& moved, const Bindings& there) {
  const auto knows = [](const auto& have, const auto& want) {
    return std::all_of(want.begin(), want.end(), [&have](const auto& entry) {
      const auto found = have.find(entry.first);
      return found != have.end() && found->second.generation >= entry.second.generation;
    });
  };
  return knows(there.ids, moved.ids) && knows(there.groups, moved.groups);
}

LastEnd end_of(const std::string& state) {
  if (state == "CompleteCommit") return LastEnd::committed;
  return state == "CompleteAbort" ? LastEnd::aborted : LastEnd::none;
}

}  // namespace

// Those that are known now. Where one question is not answered the others would not be either.
Task<Controller::Impl::Coordinators> Controller::Impl::coordinators(Cluster cluster, std::int8_t kind,
                                                                    std::vector<std::string> names) {
  Coordinators found;
  const auto version = version_of(cluster, ApiKey::FindCoordinator, {1, 3});
  if (!version) co_return found;
  std::deque<Pending> asked;
  std::size_t sent = 0;
  for (std::size_t done = 0; done < names.size(); ++done) {
    for (; sent < std::min(names.size(), done + at_once); ++sent) {
      FindCoordinatorRequest question;
      question.key = names[sent];
      question.key_type = kind;
      asked.push_back(ask(cluster, any_node, ApiKey::FindCoordinator, *version, encode(question, *version), answer_ms));
    }
    const Pending first = asked.front();
    asked.pop_front();
    const auto answer = co_await answer_to<FindCoordinatorResponse>(first, *version, answer_ms);
    if (!answer) break;
    if (answer->error_code == 0) found[names[done]] = answer->node_id;
  }
  co_return found;
}

// By coordinator; nullopt: not every broker answered.
Task<std::optional<Controller::Impl::Coordinators>> Controller::Impl::listed_ids(Cluster cluster) {
  const auto version = version_of(cluster, ApiKey::ListTransactions, {0, 1});
  if (!version) co_return std::nullopt;
  const Bytes question = encode(ListTransactionsRequest{}, *version);
  std::vector<std::pair<NodeId, Pending>> asked;
  for (const auto& [node, address] : images_[index_of(cluster)]->brokers)
    asked.emplace_back(node, ask(cluster, node, ApiKey::ListTransactions, *version, question, answer_ms));
  Coordinators ids;
  bool complete = true;
  for (const auto& [node, pending] : asked) {
    const auto answer = co_await answer_to<ListTransactionsResponse>(pending, *version, answer_ms);
    complete = complete && answer && answer->error_code == 0;
    if (!answer) continue;
    for (const auto& row : answer->transaction_states) {
      if (row.transaction_state != "Dead" && !row.transactional_id.starts_with("__crossover"))
        ids[row.transactional_id] = node;
    }
  }
  if (!complete) co_return std::nullopt;
  co_return ids;
}

// nullopt: not every coordinator is known, or described them.
Task<std::optional<Controller::Impl::KnownIds>> Controller::Impl::find_and_describe_ids(Cluster cluster,
                                                                                        std::vector<std::string> ids) {
  const Coordinators nodes = co_await coordinators(cluster, transaction_kind, ids);
  if (nodes.size() != ids.size()) co_return std::nullopt;
  const auto known = co_await describe_ids(cluster, nodes);
  co_return known;
}

// nullopt: not every coordinator answered.
Task<std::optional<Controller::Impl::KnownIds>> Controller::Impl::describe_ids(Cluster cluster, Coordinators ids) {
  KnownIds known;
  const auto version = version_of(cluster, ApiKey::DescribeTransactions, {0, 0});
  if (!version) co_return std::nullopt;
  std::map<NodeId, DescribeTransactionsRequest> questions;
  for (const auto& [id, node] : ids) questions[node].transactional_ids.push_back(id);
  std::vector<Pending> asked;
  for (const auto& [node, question] : questions)
    asked.push_back(ask(cluster, node, ApiKey::DescribeTransactions, *version, encode(question, *version), answer_ms));
  for (const Pending& pending : asked) {
    const auto answer = co_await answer_to<DescribeTransactionsResponse>(pending, *version, answer_ms);
    if (!answer) co_return std::nullopt;
    for (const auto& row : answer->transaction_states) {
      const bool none = is(row.error_code, ErrorCode::TRANSACTIONAL_ID_NOT_FOUND);
      if (row.error_code != 0 && !none) co_return std::nullopt;
      if (!ids.contains(row.transactional_id)) continue;
      KnownId& id = known[row.transactional_id];
      if (none) continue;
      id.name = {row.producer_id, row.producer_epoch};
      id.state = row.transaction_state;
      id.timeout_ms = row.transaction_timeout_ms;
      if (id.open()) id.started_at = row.transaction_start_time_ms;
      for (const auto& topic : row.topics) id.topics.push_back(topic.topic);
    }
  }
  if (known.size() != ids.size()) co_return std::nullopt;
  co_return known;
}

// Names of ids as a cluster knows them now; of one that it does not know, a name that it never gives: for an id that is
// new a coordinator takes any (KIP-360; TransactionCoordinator.isValidProducerId). nullopt: not every coordinator said.
Task<std::optional<std::map<std::string, ProducerName>>> Controller::Impl::names_there(Cluster cluster,
                                                                                       Coordinators ids) {
  constexpr ProducerName never_given{std::numeric_limits<ProducerId>::max(), 0};
  std::map<std::string, ProducerName> names;
  const auto known = co_await describe_ids(cluster, std::move(ids));
  if (!known) co_return std::nullopt;
  for (const auto& [id, there] : *known) names[id] = there.name.id < 0 ? never_given : there.name;
  co_return names;
}

// One question for each that has no name yet, where its coordinator is known. Returns what does not go away by itself;
// empty: nothing. A question that was given up may be carried out all the same, behind the one whose answer counts, and
// would fence the owner: each says what name it follows on, so that no two of them do anything (KIP-360).
Task<std::string> Controller::Impl::initialise_at(Cluster to, const KnownIds& ids, Millis deadline, Coordinators& nodes,
                                                  std::map<std::string, ProducerName>& names) {
  constexpr std::int32_t default_timeout_ms = 60'000;
  const auto version = version_of(to, ApiKey::InitProducerId, {0, 4});
  std::vector<std::pair<std::string, NodeId>> next;
  Coordinators unnamed;
  for (const auto& [id, node] : nodes) {
    if (!version || names.contains(id)) continue;
    next.emplace_back(id, node);
    unnamed.emplace(id, node);
  }
  std::map<std::string, ProducerName> following;
  if (version_of(to, ApiKey::DescribeTransactions, {0, 0}) && !next.empty()) {
    auto there = co_await names_there(to, unnamed);
    if (!there) {
      nodes.clear();  // perhaps others are their coordinators by now
      co_return "";
    }
    following = std::move(*there);
  }
  std::deque<Pending> asked;
  std::size_t sent = 0;
  for (std::size_t done = 0; done < next.size() && now_ < deadline; ++done) {
    for (; sent < std::min(next.size(), done + at_once); ++sent) {
      const auto& [id, node] = next[sent];
      InitProducerIdRequest question;
      question.transactional_id = id;
      question.transaction_timeout_ms = ids.at(id).timeout_ms > 0 ? ids.at(id).timeout_ms : default_timeout_ms;
      if (const auto name = following.find(id); name != following.end()) {
        question.producer_id = name->second.id;
        question.producer_epoch = name->second.epoch;
      }
      asked.push_back(ask(to, node, ApiKey::InitProducerId, *version, encode(question, *version), answer_ms));
    }
    const std::string& id = next[done].first;
    const Pending first = asked.front();
    asked.pop_front();
    const auto answer = co_await answer_to<InitProducerIdResponse>(first, *version, answer_ms);
    if (answer && answer->error_code == 0) {
      names[id] = {answer->producer_id, answer->producer_epoch};
    } else if (!answer || moves(answer->error_code)) {
      nodes.erase(id);
    } else if (!passes(answer->error_code)) {
      co_return "the transactional id " + id.substr(0, 100) + " cannot be initialised on the " +
          std::string(to_string(to)) + " cluster: " + std::string(error_name(answer->error_code));
    }
  }
  co_return "";
}

// Each id becomes known at its new home, under a name of that cluster. Doing it again does no harm. What an abandoned
// attempt was given is not kept for the next: somebody else may have initialised the id there since, or the cluster may
// have forgotten it, and its owner would be fenced under a name that was never used.
Task<bool> Controller::Impl::initialise_ids(Cluster to, const KnownIds& ids, Millis deadline,
                                            std::map<std::string, ProducerName>& names, std::string& problem) {
  std::vector<std::string> missing;
  for (const auto& [id, known] : ids) {
    if (!names.contains(id)) missing.push_back(id);
  }
  Coordinators nodes;
  while (!missing.empty()) {
    std::vector<std::string> lost = missing;
    std::erase_if(lost, [&nodes](const std::string& id) { return nodes.contains(id); });
    Coordinators found = co_await coordinators(to, transaction_kind, lost);
    nodes.merge(found);
    problem = co_await initialise_at(to, ids, deadline, nodes, names);
    if (!problem.empty()) co_return false;
    std::erase_if(missing, [&names](const std::string& id) { return names.contains(id); });
    if (missing.empty()) break;
    if (now_ >= deadline) {
      problem = "the " + std::string(to_string(to)) + " cluster did not take over " + some_of(missing) + " in time";
      co_return false;
    }
    Until pause(
        *this, [] { return false; }, now_ + 20);
    co_await pause;
  }
  co_return true;
}

// A client that has not spoken to its coordinator since the last move still has the name from before it.
TransactionalBinding Controller::Impl::moved(const std::string& id, const KnownId& known, ProducerName real,
                                             Cluster to) const {
  const TransactionalBinding* before = state_.bindings.find(id);
  TransactionalBinding after;
  after.home = to;
  after.generation = before ? before->generation + 1 : 1;
  after.real = real;
  if (known.state.empty()) return after;
  const bool untouched = before && before->real == known.name;
  after.alias =
      untouched ? before->alias : ProducerName{virtual_producer_id(other(to), known.name.id), known.name.epoch};
  after.ended = untouched && known.state == "Empty" ? before->ended : end_of(known.state);
  const bool renamed = before && before->real.id == known.name.id && before->real.epoch + 1 == known.name.epoch;
  if (renamed) after.before_end = before->alias;
  if (untouched) after.before_end = before->before_end;
  if (untouched) after.sequences = before->sequences;
  for (const auto& [place, last] : known.sequences) after.sequences[place] = last;
  return after;
}

// --- while they move ---

bool Controller::Impl::any_in_flight(const std::set<std::string>& ids) const {
  return std::any_of(workers_.begin(), workers_.end(), [&ids](const WorkerView& w) {
    return std::any_of(w.ids_in_flight.begin(), w.ids_in_flight.end(),
                       [&ids](const std::string& id) { return ids.contains(id); });
  });
}

Task<std::set<std::string>> Controller::Impl::hold_ids(std::set<std::string> ids, RoutePhase phase, Millis deadline) {
  for (const std::string& id : ids) held_ids_[id] = phase;
  publish();
  const std::uint64_t revision = revision_;
  Until quiet(
      *this, [this, revision, &ids] { return taken(revision) && !any_in_flight(ids); }, deadline);
  const bool is_quiet = co_await quiet;
  std::set<std::string> busy;
  for (const std::string& id : ids) {
    if (!is_quiet && (!taken(revision) || any_in_flight({id}))) busy.insert(id);
  }
  co_return busy;
}

void Controller::Impl::let_ids_go(const std::set<std::string>& ids) {
  if (ids.empty()) return;
  for (const std::string& id : ids) held_ids_.erase(id);
  publish();
}

// The log of the home before says it first: whoever finds only that log must not go on with what was left there. That
// of the new one repeats it, now or when it can be written again (missing_bindings).
Task<bool> Controller::Impl::record_move(Bindings moved, Cluster from) {
  const bool recorded = co_await record_bindings(moved, from, false);
  if (recorded) co_await record_bindings(moved, other(from), true);
  co_return recorded;
}

Task<bool> Controller::Impl::record_bindings(Bindings moved, Cluster log, bool repeated) {
  const std::string parts_id = options_.proxy_id + "/bind/" + std::to_string(next_id_++);
  const std::vector<Bytes> parts = control_record::parts(parts_id, {}, moved);
  const Millis deadline = now_ + move_ms;
  for (const Bytes& part : parts) {
    const bool written = co_await append_part(log, part, deadline);
    if (!written) co_return false;
  }
  const std::size_t count = parts.size();
  const Encode encode = [parts_id, count](const control_record::Chain& chain) {
    return control_record::bind(chain, parts_id, count);
  };
  const Written written = co_await append(log, encode, deadline);
  if (written != Written::unknown) co_return written == Written::accepted;
  if (repeated) co_return false;
  co_await settle_doubt(log);
  co_return is_on_record(moved, logs_[index_of(log)].state().bindings);
}

// --- what sessions ask for ---

std::set<WantedBinding> Controller::Impl::take_wanted(Bound what) {
  std::set<WantedBinding> taken;
  std::erase_if(wanted_bindings_, [&taken, what](const WantedBinding& w) {
    if (w.what == what) taken.insert(w);
    return w.what == what;
  });
  return taken;
}

bool Controller::Impl::wants(Bound what) const {
  return std::any_of(wanted_bindings_.begin(), wanted_bindings_.end(),
                     [what](const WantedBinding& w) { return w.what == what; });
}

Task<> Controller::Impl::move_wanted_ids() {
  for (;;) {
    {
      Until wanted(
          *this, [this] { return wants(Bound::transactional_id) && !moving_ && flips_waiting_ == 0; },
          std::numeric_limits<Millis>::max());
      co_await wanted;
    }
    moving_ = true;
    const std::set<WantedBinding> all = take_wanted(Bound::transactional_id);
    for (const Cluster to : both_clusters) {
      std::map<std::string, bool> fresh;
      for (const WantedBinding& w : all) {
        if (w.to != to) continue;
        bool& all_fresh = fresh.try_emplace(w.name, true).first->second;
        all_fresh = all_fresh && w.fresh;
      }
      if (!fresh.empty()) co_await move_ids(fresh, to);
    }
    moving_ = false;
  }
}

// Also while a flip waits for open transactions: some of these may have to commit such offsets before they can end.
Task<> Controller::Impl::move_wanted_offsets() {
  for (;;) {
    {
      Until wanted(
          *this, [this] { return wants(Bound::group); }, std::numeric_limits<Millis>::max());
      co_await wanted;
    }
    const std::set<WantedBinding> all = take_wanted(Bound::group);
    for (const WantedBinding& w : all) co_await move_offsets(w.name, w.to);
  }
}

// Whoever has a request under way for longer than a moment is left for later: it must not keep the others back.
Task<> Controller::Impl::move_ids(std::map<std::string, bool> fresh, Cluster to) {
  constexpr Millis moment = 1'000;
  const Millis deadline = now_ + move_ms;
  std::erase_if(fresh, [this, to](const auto& entry) { return state_.bindings.home_of(entry.first) == to; });
  if (fresh.empty()) co_return;
  std::set<std::string> held;
  for (const auto& [id, is_fresh] : fresh) held.insert(id);
  const std::set<std::string> busy = co_await hold_ids(held, RoutePhase::fenced, now_ + moment);
  let_ids_go(busy);
  if (!busy.empty())
    io_.log("warn", "transactional_ids_not_moved",
            {{"error", "requests of theirs were not answered in time: " + some_of({busy.begin(), busy.end()})}});
  std::erase_if(fresh, [&busy](const auto& entry) { return busy.contains(entry.first); });
  bool moved = fresh.empty();
  if (!moved) moved = co_await move_held_ids(fresh, to);
  // One whose coordinator is away keeps the others back only so long.
  for (auto at = fresh.begin(); !moved && fresh.size() > 1 && at != fresh.end() && now_ < deadline; ++at) {
    const std::map<std::string, bool> one(at, std::next(at));
    co_await move_held_ids(one, to);
  }
  let_ids_go(held);
}

// Nothing of theirs is under way, and nothing can begin. False: nothing could be done for all of them together.
Task<bool> Controller::Impl::move_held_ids(std::map<std::string, bool> fresh, Cluster to) {
  const Cluster from = other(to);
  std::vector<std::string> ids;
  for (const auto& [id, is_fresh] : fresh) ids.push_back(id);
  auto known = co_await find_and_describe_ids(from, ids);
  const bool described = known.has_value();
  // Where the default route has left the cluster that cannot be asked, an id is taken for new whose client is.
  const bool all_new = std::all_of(fresh.begin(), fresh.end(), [this](const auto& entry) {
    return entry.second && !state_.bindings.find(entry.first);
  });
  const bool mute =
      !images_[index_of(from)]->reachable || !version_of(from, ApiKey::DescribeTransactions, {0, 0});  // before 3.0
  if (!known && all_new && mute && state_.routes.at(default_route).home == to) {
    known.emplace();
    for (const std::string& id : ids) (*known)[id] = {};
  }
  if (!known) {
    io_.log("warn", "transactional_ids_not_moved",
            {{"error",
              "not every coordinator of the " + std::string(to_string(from)) + " cluster described " + some_of(ids)}});
    co_return false;
  }
  std::erase_if(*known, [](const auto& entry) { return entry.second.open(); });
  std::map<std::string, ProducerName> names;
  PlaceNames none;
  std::string problem;
  if (described) problem = co_await learn_sequences(from, *known, none);
  if (problem.empty()) co_await initialise_ids(to, *known, now_ + move_ms, names, problem);
  if (!problem.empty()) io_.log("warn", "transactional_ids_not_moved", {{"error", problem}});
  Bindings after;
  for (const auto& [id, name] : names) after.ids[id] = moved(id, known->at(id), name, to);
  if (after.empty()) co_return problem.empty();
  bool recorded = false;
  if (all_new && !images_[index_of(from)]->reachable) {
    recorded = co_await record_bindings(after, to, false);
  } else {
    recorded = co_await record_move(after, from);
  }
  if (recorded)
    io_.log("info", "transactional_ids_moved",
            {{"to", std::string(to_string(to))}, {"ids", std::to_string(after.ids.size())}});
  co_return recorded;
}

// --- groups' offsets ---

Task<> Controller::Impl::move_offsets(std::string group, Cluster to) {
  const Cluster from = state_.bindings.home_of_group(group);
  if (from == to) co_return;
  const Millis deadline = now_ + move_ms;
  moving_groups_.insert(group);
  publish();
  const std::uint64_t revision = revision_;
  bool copied = false;
  {
    Until quiet(
        *this,
        [this, revision, &group] {
          return taken(revision) && std::none_of(workers_.begin(), workers_.end(), [&group](const WorkerView& w) {
                   return w.commits_in_flight.contains(group);
                 });
        },
        deadline);
    const bool still = co_await quiet;
    if (still) copied = co_await copy_offsets(group, from, to, deadline);
  }
  if (copied) {
    Bindings after;
    const auto before = state_.bindings.groups.find(group);
    after.groups[group] = {to, before == state_.bindings.groups.end() ? 1 : before->second.generation + 1};
    copied = co_await record_move(after, from);
  }
  moving_groups_.erase(group);
  publish();
  io_.log(copied ? "info" : "warn", copied ? "group_offsets_moved" : "group_offsets_not_moved",
          {{"group", group}, {"to", std::string(to_string(to))}});
}

// nullopt: some of them are pending, or the coordinator does not say.
Task<std::optional<OffsetFetchResponse>> Controller::Impl::settled_offsets(std::string group, Cluster cluster) {
  constexpr VersionRange by_name{7, 7};  // from 7 on it waits for transactions
  const auto version = version_of(cluster, ApiKey::OffsetFetch, by_name);
  const Coordinators nodes = co_await coordinators(cluster, group_kind, just(group));
  if (!version || !nodes.contains(group)) co_return std::nullopt;
  OffsetFetchRequest question;
  question.group_id = group;
  question.topics.reset();
  question.require_stable = true;
  auto answer = co_await ask_for<OffsetFetchResponse>(cluster, nodes.at(group), *version, question, answer_ms);
  bool settled = answer && answer->error_code == 0;
  for (const auto& topic : settled ? answer->topics : std::vector<OffsetFetchResponse::OffsetFetchResponseTopic>{}) {
    for (const auto& row : topic.partitions) settled = settled && row.error_code == 0;
  }
  if (!settled) co_return std::nullopt;
  co_return answer;
}

// All that the group has committed, none of it pending, in the terms of the cluster that it goes to.
Task<bool> Controller::Impl::copy_offsets(std::string group, Cluster from, Cluster to, Millis deadline) {
  while (now_ < deadline) {
    auto offsets = co_await settled_offsets(group, from);
    OffsetCommitRequest commits;
    for (auto& topic : offsets ? offsets->topics : std::vector<OffsetFetchResponse::OffsetFetchResponseTopic>{}) {
      auto& rows = commits.topics.emplace_back();
      rows.name = topic.name;
      for (auto& row : topic.partitions) {
        unproject(*snapshot_, from, topic.name, row);
        auto& commit = rows.partitions.emplace_back();
        commit.partition_index = row.partition_index;
        commit.committed_offset = row.committed_offset;
        commit.committed_leader_epoch = row.committed_leader_epoch;
        commit.committed_metadata = row.metadata;
        project(*snapshot_, to, topic.name, commit);
      }
    }
    if (offsets) {
      const bool written = co_await write_offsets(group, to, commits);
      if (written) co_return true;
    }
    Until pause(
        *this, [] { return false; }, now_ + 20);
    co_await pause;
  }
  co_return false;
}

// On the cluster of the group's members a commit under no member's name is refused, but not in a transaction.
Task<bool> Controller::Impl::write_offsets(std::string group, Cluster to, OffsetCommitRequest commits) {
  if (commits.topics.empty()) co_return true;
  if (to == snapshot_->groups_home) {
    const bool written = co_await write_offsets_in_transaction(group, to, std::move(commits));
    co_return written;
  }
  const auto version = version_of(to, ApiKey::OffsetCommit, {6, 8});
  const Coordinators nodes = co_await coordinators(to, group_kind, just(group));
  if (!version || !nodes.contains(group)) co_return false;
  commits.group_id = group;
  commits.generation_id_or_member_epoch = -1;
  const auto answer = co_await ask_for<OffsetCommitResponse>(to, nodes.at(group), *version, commits, answer_ms);
  if (!answer || answer->topics.size() != commits.topics.size()) co_return false;
  co_return std::all_of(answer->topics.begin(), answer->topics.end(), [](const auto& topic) {
    return std::all_of(topic.partitions.begin(), topic.partitions.end(),
                       [](const auto& row) { return row.error_code == 0; });
  });
}

Task<bool> Controller::Impl::write_offsets_in_transaction(std::string group, Cluster to, OffsetCommitRequest commits) {
  KnownIds own;
  own[own_transactional_id] = {};
  std::map<std::string, ProducerName> names;
  std::string problem;
  const bool known = co_await initialise_ids(to, own, now_ + move_ms, names, problem);
  const auto nodes = co_await coordinators(to, transaction_kind, just(own_transactional_id));
  const auto groups = co_await coordinators(to, group_kind, just(group));
  const auto add_version = version_of(to, ApiKey::AddOffsetsToTxn, {0, 3});
  const auto commit_version = version_of(to, ApiKey::TxnOffsetCommit, {2, 2});
  const auto end_version = version_of(to, ApiKey::EndTxn, {0, 3});
  if (!known || nodes.empty() || groups.empty() || !add_version || !commit_version || !end_version) co_return false;
  const ProducerName name = names.at(own_transactional_id);
  const NodeId coordinator = nodes.at(own_transactional_id);

  AddOffsetsToTxnRequest add{own_transactional_id, name.id, name.epoch, group};
  const auto added = co_await ask_for<AddOffsetsToTxnResponse>(to, coordinator, *add_version, add, answer_ms);
  if (!added || added->error_code != 0) co_return false;
  TxnOffsetCommitRequest commit;
  commit.transactional_id = own_transactional_id;
  commit.group_id = group;
  commit.producer_id = name.id;
  commit.producer_epoch = name.epoch;
  for (const auto& topic : commits.topics) {
    auto& rows = commit.topics.emplace_back();
    rows.name = topic.name;
    for (const auto& row : topic.partitions)
      rows.partitions.push_back(
          {row.partition_index, row.committed_offset, row.committed_leader_epoch, row.committed_metadata});
  }
  const auto committed =
      co_await ask_for<TxnOffsetCommitResponse>(to, groups.at(group), *commit_version, commit, answer_ms);
  bool ok = committed && committed->topics.size() == commit.topics.size();
  for (const auto& topic :
       ok ? committed->topics : std::vector<TxnOffsetCommitResponse::TxnOffsetCommitResponseTopic>{}) {
    for (const auto& row : topic.partitions) ok = ok && row.error_code == 0;
  }
  EndTxnRequest end{own_transactional_id, name.id, name.epoch, ok};
  const auto ended = co_await ask_for<EndTxnResponse>(to, coordinator, *end_version, end, answer_ms);
  bool readable = false;  // the answer comes before the offsets are
  for (int i = 0; i < 100 && !readable; ++i) {
    const auto offsets = co_await settled_offsets(group, to);
    readable = offsets.has_value();
    Until pause(
        *this, [] { return false; }, now_ + 10);
    if (!readable) co_await pause;
  }
  co_return ok&& ended && ended->error_code == 0 && readable;
}

}  // namespace crossover::proxy
