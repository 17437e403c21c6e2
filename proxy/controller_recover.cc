// Recovery: a route goes on at the other cluster without the word of its home, which does not answer any more.
//
//   look -> plan -> (confirmed) fence -> sever -> ends -> open (commit point) -> release
//        \_______________________________________________/  any failure: nothing happened
//
// The old home's segment ends where its log is known to reach: one past the highest offset that was acknowledged, or
// that could be read, through this proxy, or that the log had when this process first looked. Nothing beyond was shown
// to anybody, so nothing beyond is given up but what was never acknowledged: it stays hidden, and its retry is written
// to the new home. While the ends are taken the connections to the old home are given up, so that it can neither
// acknowledge nor show anything more.
#include <algorithm>

#include "protocol/error_code.h"
#include "protocol/messages.h"
#include "proxy/controller_core.h"
#include "proxy/producer_id.h"
#include "proxy/producer_order.h"

namespace crossover::proxy {

using namespace protocol;

namespace {

constexpr Millis answer_ms = 2'000;
constexpr Millis look_ms = 3'000;  // in which a home that lives would answer
constexpr Millis look_period_ms = 1'000;
constexpr Millis record_ms = 5'000;
constexpr Millis severed_ms = 2'000;
constexpr std::int32_t debug_replica = -2;
constexpr std::int64_t latest = -1;
// Leaders that the old home may have elected unseen: clients may have met their epochs in what they read.
constexpr LeaderEpoch unseen_elections = 8;

std::string confirmation(const std::string& route, Cluster to, std::int32_t generation) {
  return "recover " + route + " to " + std::string(to_string(to)) + " at generation " + std::to_string(generation);
}

std::string count_of(std::size_t n, const std::string& one) {
  return std::to_string(n) + " " + one + (n == 1 ? "" : "s");
}

}  // namespace

// --- how far the logs at home reach ---

// What was there before this process began was acknowledged by another one.
Task<> Controller::Impl::watch_home_ends() {
  for (;;) {
    for (const Cluster c : both_clusters) {
      if (images_[index_of(c)]->reachable && claimed_[index_of(c)]) co_await look_at_home_ends(c);
    }
    Until due(
        *this, [] { return false; }, now_ + look_period_ms);
    co_await due;
  }
}

Task<> Controller::Impl::look_at_home_ends(Cluster cluster) {
  const auto version = version_of(cluster, ApiKey::ListOffsets, {4, 7});
  if (!version) co_return;
  std::map<NodeId, ListOffsetsRequest> questions;
  for (const auto& [name, topic] : snapshot_->topics) {
    for (std::size_t i = 0; i < topic->partitions.size() && !topic->internal; ++i) {
      const auto partition = static_cast<PartitionIndex>(i);
      const PartitionView& view = topic->partitions[i];
      const NodeId leader = view.real[index_of(cluster)].leader;
      if (view.log.home() != cluster || leader < 0) continue;
      const KnownEnd* known = known_ends_.find(cluster, name, partition);
      if (known && known->whole && known->real_id == topic->real_id[index_of(cluster)]) continue;
      ListOffsetsRequest& question = questions[leader];
      question.replica_id = debug_replica;
      if (question.topics.empty() || question.topics.back().name != name) question.topics.emplace_back().name = name;
      auto& row = question.topics.back().partitions.emplace_back();
      row.partition_index = partition;
      row.current_leader_epoch = -1;
      row.timestamp = latest;
    }
  }
  for (const auto& [leader, question] : questions) {
    const auto answer = co_await ask_for<ListOffsetsResponse>(cluster, leader, *version, question, answer_ms);
    if (!answer) continue;
    for (const auto& topic : answer->topics) {
      for (const auto& row : topic.partitions) {
        const TopicView* view = snapshot_->topic(topic.name);
        if (row.error_code != 0 || !snapshot_->partition(topic.name, row.partition_index)) continue;
        known_ends_.note_whole({cluster, topic.name, view->real_id[index_of(cluster)], row.partition_index},
                               row.offset);
      }
    }
  }
}

// Places' ends on the old home; those that are not known are named.
std::vector<std::string> Controller::Impl::find_known_ends(Flip& flip) const {
  std::vector<std::string> unknown;
  const std::size_t from = index_of(flip.from);
  for (Flip::Place& place : flip.places) {
    const TopicView* topic = snapshot_->topic(place.topic);
    const PartitionView* view = snapshot_->partition(place.topic, place.partition);
    if (!topic || !view) continue;
    const Offset base = view->log.open_segment().real_base;
    const KnownEnd* known = known_ends_.find(flip.from, place.topic, place.partition);
    if (known && known->real_id != topic->real_id[from]) known = nullptr;
    place.old_end = std::max(base, known ? known->end : 0);
    place.producers =
        view->producers ? std::make_shared<ProducerTable>(*view->producers) : std::make_shared<ProducerTable>();
    if (known) {
      for (const auto& [producer, last] : known->producers) {
        const auto [at, added] = place.producers->try_emplace(producer, last);
        if (!added && is_later(last, at->second)) at->second = last;
      }
    }
    // One that was made since is known from its first record on; and none has written where none may write yet, which
    // only the home's own log can tell.
    const bool new_topic = topics_at_start_[from] && !topics_at_start_[from]->contains(place.topic);
    const bool nothing_written = !flip.route.opened && claimed_[from];
    if (!(known && known->whole) && !new_topic && !nothing_written)
      unknown.push_back(place_name(place.topic, place.partition));
  }
  return unknown;
}

// The writes that were forwarded to it and never answered.
std::vector<RecoveryReport::InDoubt> Controller::Impl::in_doubt(const Flip& flip) const {
  std::vector<RecoveryReport::InDoubt> named;
  for (const UnknownOutcome& lost : unknown_outcomes(flip, flip.from)) {
    auto& row = named.emplace_back();
    row.topic = lost.writer.topic;
    row.partition = lost.writer.partition;
    row.client_id = lost.client_id;
    if (lost.writer.producer >= 0) row.producer_id = virtual_from_any_wire(lost.writer.producer, flip.from);
    row.producer_epoch = lost.epoch;
    row.last_sequence = lost.last_sequence;
    row.records = lost.records;
  }
  return named;
}

// Requests that still wait for its answer: once their connections are given up they are in doubt as well.
std::int64_t Controller::Impl::unanswered(const Flip& flip) const {
  std::int64_t writes = 0;
  for (const WorkerView& worker : workers_) {
    for (const auto& [route, load] : worker.routes)
      writes += route.may_concern(flip.route.name, state_.routes_revision) ? load.writes_in_flight : 0;
  }
  return writes;
}

void Controller::Impl::name_doubts(const Flip& flip, RecoveryReport& plan) const {
  plan.in_doubt = in_doubt(flip);
  for (auto& row : plan.partitions) {
    row.records_in_doubt = 0;
    for (const auto& doubt : plan.in_doubt)
      row.records_in_doubt += doubt.topic == row.topic && doubt.partition == row.partition ? doubt.records : 0;
  }
}

// --- whether it may be ---

void Controller::Impl::recover(const std::string& route, const std::string& confirm, RecoveryDone done, Millis now) {
  now_ = now;
  spawn(run_recovery(route, confirm, std::move(done)));
  settle();
}

// A fresh look at both clusters. Empty: the old home does not answer.
Task<std::string> Controller::Impl::old_home_answers(Flip& flip) {
  const Millis began = now_;
  for (const Cluster c : both_clusters) wanted_at_[index_of(c)] = std::max(wanted_at_[index_of(c)], now_ + 1);
  const std::size_t from = index_of(flip.from), to = index_of(flip.to);
  {
    // What was found not to answer is asked again until then.
    Until looked(
        *this,
        [this, from, to, began] {
          return images_[from]->reachable
                     ? images_[from]->asked_at >= began
                     : images_[from]->asked_at >= began + look_ms / 2 && images_[to]->asked_at >= began;
        },
        now_ + look_ms);
    co_await looked;
  }
  const std::string name(to_string(flip.from));
  if (images_[from]->reachable)
    co_return "the " + name + " cluster answers, or did until a moment ago: " +
        (flip.to == Cluster::target ? "crossover cutover " : "crossover rollback ") + flip.route.name +
        " flips the route with its word, and hides and duplicates nothing";
  co_return "";
}

// What else is under way here. A flip whose record is in doubt, or that cannot be opened, would never end by itself.
std::string Controller::Impl::why_not_now(const Flip& flip) const {
  const auto step = running_step_.find(flip.route.id);
  const bool stuck = step != running_step_.end() && (step->second == "record" || step->second == "open");
  if (step != running_step_.end() && !stuck)
    return "a flip or a recovery of this route is running: try again in a few seconds";
  if (defining_) return "routes are being defined: try again";
  return "";
}

Task<> Controller::Impl::recovery_gates(Flip& flip) {
  const std::size_t to = index_of(flip.to);
  const std::string name(to_string(flip.to));
  const bool up = images_[to]->reachable;
  gate(flip, name + "_reachable", up, up ? "answers" : "no broker of the " + name + " cluster answers");
  const bool log = claimed_[to];
  gate(flip, name + "_control_topic", log,
       log ? "read to its end, and takes records"
           : "its control topic cannot be read and written: check that the proxy may create, read and write it");
  if (logs_[to].newer_seen())
    gate(flip, name + "_control_format", false,
         "a newer proxy has written records that this one does not understand: upgrade it first");
  if (!all_green(flip.report)) co_return;
  const bool seen = images_[index_of(flip.from)]->known;
  gate(flip, "old_home_seen", seen,
       seen ? "its topics are known"
            : "this proxy has not seen the " + std::string(to_string(flip.from)) +
                  " cluster since it started, so it does not know what is there");
  topic_gates(flip);
  const std::string others = other_proxies(std::vector<Cluster>(1, flip.to));
  gate(flip, "other_proxies", others.empty(), others.empty() ? "no other proxy serves this virtual cluster" : others);
  find_places(flip);
  const std::vector<std::string> unknown = find_known_ends(flip);
  gate(flip, "log_ends_known", unknown.empty(),
       unknown.empty() ? "this proxy has seen how far each log at the old home reached"
                       : "this proxy has not seen the ends of these logs since it started, so it does not know which "
                         "of their offsets were acknowledged: " +
                             some_of(unknown));
  co_await history_gate(flip);
  co_await new_home_gate(flip);
}

// Of the new home alone.
void Controller::Impl::topic_gates(Flip& flip) {
  std::vector<std::string> missing, uneven, leaderless;
  const ClusterImage& image = *images_[index_of(flip.to)];
  for (const auto& [name, topic] : snapshot_->topics) {
    if (topic->internal || snapshot_->route_of(*topic).name != flip.route.name) continue;
    const auto there = image.topics.find(name);
    if (there == image.topics.end()) {
      missing.push_back(name);
      continue;
    }
    if (there->second.partitions.size() != topic->partitions.size())
      uneven.push_back(name + " (" + std::to_string(topic->partitions.size()) + " here, " +
                       std::to_string(there->second.partitions.size()) + " there)");
    for (std::size_t i = 0; i < there->second.partitions.size(); ++i) {
      if (there->second.partitions[i].leader < 0)
        leaderless.push_back(place_name(name, static_cast<PartitionIndex>(i)));
    }
  }
  const std::string there = " on the " + std::string(to_string(flip.to)) + " cluster";
  gate(flip, "topics_exist", missing.empty(),
       missing.empty() ? "every topic exists" + there : "missing" + there + ": " + some_of(missing));
  gate(flip, "partition_counts", uneven.empty(),
       uneven.empty() ? "equal on both clusters" : "different: " + some_of(uneven));
  gate(
      flip, "leaders", leaderless.empty(),
      leaderless.empty() ? "every partition has one" + there : "without a leader" + there + ": " + some_of(leaderless));
}

// --- what it would do ---

// Of a flip that the old home does not answer for: what it alone could settle.
void Controller::Impl::doubt_of_old_home_gate(Flip& flip) {
  std::map<std::string, std::int64_t> records;
  for (const auto& doubt : in_doubt(flip)) {
    std::string who = doubt.topic.empty() ? "some partition" : place_name(doubt.topic, doubt.partition);
    if (!doubt.client_id.empty()) who += " of client " + doubt.client_id;
    if (doubt.producer_id >= 0) who += " (producer " + std::to_string(doubt.producer_id) + ")";
    records[who] += doubt.records;
  }
  std::vector<std::string> named;
  for (const auto& [who, count] : records)
    named.push_back(who + ": " + count_of(static_cast<std::size_t>(count), "record"));
  if (const std::int64_t waiting = unanswered(flip); waiting > 0)
    named.push_back(count_of(static_cast<std::size_t>(waiting), "request") + " that still wait");
  const std::string home(to_string(flip.from));
  gate(flip, "old_home_unreachable", false,
       "the " + home + " cluster is the route's home, and what landed there it alone can say; " +
           (named.empty() ? std::string("no write there is known to be in doubt")
                          : "in doubt, forwarded without an answer: " + some_of(named)) +
           ". If it does not come back, `crossover recover " + flip.route.name +
           "` goes on without it, and says first what that hides or may duplicate");
}

std::vector<std::string> Controller::Impl::ids_of(const Flip& flip) const {
  std::set<std::string> ids;
  for (const auto& coupled : couplings_.ids()) ids.insert(coupled.first);
  for (const auto& bound : state_.bindings.ids) ids.insert(bound.first);
  std::erase_if(ids,
                [this, &flip](const std::string& id) { return !belongs(flip, id) || id.starts_with("__crossover"); });
  return {ids.begin(), ids.end()};
}

// Groups whose offsets are there, for their transactions were, but not their members: they can go on without it. Those
// that only ids of other routes are known to use stay with these.
std::vector<std::string> Controller::Impl::groups_to_rebind(const Flip& flip) const {
  std::set<std::string> used_here, used_elsewhere;
  for (const auto& [id, coupling] : couplings_.ids()) {
    if (state_.bindings.home_of(id) != flip.from) continue;
    auto& used = belongs(flip, id) ? used_here : used_elsewhere;
    for (const auto& seen : coupling.groups) used.insert(seen.first);
  }
  std::vector<std::string> groups;
  for (const auto& [group, binding] : state_.bindings.groups) {
    const bool goes = used_here.contains(group) || !used_elsewhere.contains(group);
    if (binding.home == flip.from && flip.from != snapshot_->groups_home && goes) groups.push_back(group);
  }
  return groups;
}

namespace {

std::vector<std::string> consequences_of(const RecoveryReport& plan, std::size_t held_there, bool groups_live_there) {
  const std::string from(to_string(plan.from)), to(to_string(plan.to));
  std::vector<std::string> said;
  said.push_back(count_of(held_there, "partition") + " of " + std::to_string(plan.partitions.size()) +
                 " have records on the " + from +
                 " cluster: those cannot be read while it is away; consumers that "
                 "have not read them yet wait for it");
  said.push_back("whatever landed on the " + from +
                 " cluster at or beyond the ends below stays hidden, also when it is back: it was never acknowledged, "
                 "and no client has seen it");
  std::int64_t records = 0;
  for (const auto& doubt : plan.in_doubt) records += doubt.records;
  if (plan.in_doubt.empty()) {
    said.push_back("no write is known to be in doubt");
  } else {
    said.push_back(count_of(static_cast<std::size_t>(records), "record") + " of " +
                   count_of(plan.in_doubt.size(), "writer") +
                   " are in doubt: a client that retries them has them written to the " + to +
                   " cluster; those of them that landed below the ends are then there twice");
  }
  if (!plan.transactional_ids.empty())
    said.push_back(count_of(plan.transactional_ids.size(), "transactional id") +
                   " lose what they have open and are fenced: their applications have to be started again");
  if (!plan.groups.empty())
    said.push_back(count_of(plan.groups.size(), "consumer group") + " committed in transactions on the " + from +
                   " cluster, and what was committed there since is lost with it, also when it is back: " +
                   some_of(plan.groups) + ". The " + to +
                   " cluster still has the positions from before, and there they go on: records behind these may be "
                   "processed again; where it has none, auto.offset.reset decides");
  if (groups_live_there)
    said.push_back("consumer groups are coordinated by the " + from +
                   " cluster: until it is back, none can join, commit or read its commits");
  return said;
}

}  // namespace

Task<> Controller::Impl::plan_recovery(Flip& flip, RecoveryReport& plan) {
  {
    publish();  // workers say what they know under a picture in which the cluster does not answer
    const std::uint64_t revision = revision_;
    Until told(
        *this, [this, revision] { return taken(revision); }, now_ + severed_ms);
    co_await told;
  }
  find_known_ends(flip);
  plan.transactional_ids = ids_of(flip);
  plan.groups = groups_to_rebind(flip);
  plan.partitions.clear();
  std::size_t held_there = 0;
  for (const Flip::Place& place : flip.places) {
    const PartitionView* view = snapshot_->partition(place.topic, place.partition);
    if (!view) continue;
    auto& row = plan.partitions.emplace_back();
    row.topic = place.topic;
    row.partition = place.partition;
    row.real_end = place.old_end;
    row.virtual_end = view->log.open_segment().to_virtual(place.old_end);
    const bool open_holds_any = place.old_end > view->log.open_segment().real_base;
    if (open_holds_any || view->log.has_history_on(flip.from)) ++held_there;
  }
  name_doubts(flip, plan);
  plan.consequences = consequences_of(plan, held_there, flip.from == snapshot_->groups_home);
  if (const std::int64_t waiting = unanswered(flip); waiting > 0)
    plan.consequences.push_back(count_of(static_cast<std::size_t>(waiting), "request") +
                                " with writes still wait for its answer: they will be in doubt as well");
}

// --- doing it ---

// Two generations on, as everything here: beyond a move that the old home's log alone may know of. Nobody can go on
// under a name that the old home gave. Names that the new home gave before, while an id was at home there, are its
// coordinator's to fence.
Task<bool> Controller::Impl::fence_ids(Flip& flip) {
  KnownIds been_there;
  for (const std::string& id : ids_of(flip)) {
    const TransactionalBinding* before = state_.bindings.find(id);
    TransactionalBinding& after = flip.bindings.ids[id];
    after.home = flip.to;
    after.generation = (before ? before->generation : 0) + 2;
    if (before) been_there[id] = {};
  }
  for (const std::string& group : groups_to_rebind(flip))
    flip.bindings.groups[group] = {flip.to, state_.bindings.groups.at(group).generation + 2};
  std::string problem;
  const bool fenced = co_await initialise_ids(flip.to, been_there, now_ + std::max(move_ms, options_.transactions_ms),
                                              flip.names, problem);
  if (!fenced) fail(flip, problem);
  for (const auto& [id, name] : flip.names) flip.bindings.ids[id].real = name;
  co_return fenced;
}

// Writes are held, and nothing that the old home still says reaches a client.
Task<bool> Controller::Impl::sever(Flip& flip) {
  begin_step(flip, "fence");
  flip.fenced_at = now_;
  severed_[index_of(flip.from)] = true;
  set_phase(flip.route.id, RoutePhase::fenced);
  const std::uint64_t revision = revision_;
  const std::string name = flip.route.name;
  Until quiet(
      *this, [this, name, revision] { return none_left(name, revision, &RouteLoad::writes_in_flight); },
      now_ + options_.drain_timeout_ms);
  const bool all = co_await quiet;
  if (!all) fail(flip, "a worker did not give up its connections to the old home in time");
  if (all) io_.passed("fence");
  co_return all;
}

Task<bool> Controller::Impl::new_ends(Flip& flip) {
  begin_step(flip, "boundary");
  const bool asked = co_await refresh_image(flip.to);
  if (!asked) fail(flip, "the " + std::string(to_string(flip.to)) + " cluster did not answer under the fence");
  if (!asked) co_return false;
  find_places(flip);
  const std::vector<std::string> unknown = find_known_ends(flip);
  if (!unknown.empty()) {
    fail(flip, "topics or partitions of the route changed meanwhile: " + some_of(unknown));
    co_return false;
  }
  const ProducerIds none_spared;
  const std::string problem = co_await find_new_ends(flip, now_ + options_.hold_budget_ms, none_spared);
  if (!problem.empty()) {
    fail(flip, problem);
    co_return false;
  }
  for (Flip::Place& place : flip.places) {
    place.old_epoch = std::max(place.old_epoch, 0) + unseen_elections;
    if (!continues_history(flip, place)) co_return false;
  }
  io_.passed("boundary");
  co_return true;
}

Task<bool> Controller::Impl::do_recover(Flip& flip) {
  begin_step(flip, "prepare");
  co_await keep_tombstones(flip);
  const bool fenced = co_await fence_ids(flip);
  if (!fenced) co_return false;
  bool ok = co_await sever(flip);
  if (ok) ok = co_await new_ends(flip);
  if (ok) {
    splice(flip);
    begin_step(flip, "record");
    io_.passed("record_before");
    ok = co_await write_flip(flip, flip.to, true, now_ + record_ms);
  }
  if (ok) {
    ++recoveries_;
    io_.passed("record_after");
    // Only when all know where the old home's segment ends may anything be read there again.
    const std::uint64_t opened = revision_;
    Until known(
        *this, [this, opened] { return taken(opened); }, now_ + severed_ms);
    co_await known;
  }
  severed_[index_of(flip.from)] = false;
  if (ok) co_await release(flip);
  if (!ok) set_phase(flip.route.id, RoutePhase::open);
  co_return ok;
}

Task<> Controller::Impl::run_recovery(std::string route_name, std::string confirm, RecoveryDone done) {
  RecoveryReport plan;
  plan.route = route_name;
  plan.result = "refused";
  const RouteState* route = state_.route(route_name);
  if (!route) {
    plan.error = "no such route";
    co_return done(plan);
  }
  Flip flip;
  flip.recovers = true;
  flip.route = *route;
  flip.from = plan.from = route->home;
  flip.to = plan.to = other(route->home);
  flip.definitions = state_.routes_revision;
  flip.foreign_records = foreign_records_;
  flip.began = now_;
  flip.report.route = route_name;
  flip.report.direction = "recover";
  flip.report.recovered_to = flip.to;
  flip.report.generation = plan.generation = route->generation;
  plan.error = co_await old_home_answers(flip);
  if (plan.error.empty()) plan.error = why_not_now(flip);
  if (plan.error.empty()) co_await recovery_gates(flip);
  plan.gates = flip.report.gates;
  if (plan.error.empty() && !all_green(flip.report)) plan.error = "a gate is red";
  if (!plan.error.empty()) {
    io_.log("warn", "recovery_refused",
            {{"route", route_name}, {"to", std::string(to_string(flip.to))}, {"error", plan.error}});
    co_return done(plan);
  }
  co_await plan_recovery(flip, plan);
  plan.confirm = confirmation(route_name, flip.to, plan.generation);
  if (confirm != plan.confirm) {
    plan.result = "unconfirmed";
    if (!confirm.empty()) plan.error = "this is not what is to be typed: " + confirm.substr(0, 200);
    co_return done(plan);
  }
  const RouteState* present = state_.route(route_name);
  if (!present || present->generation != plan.generation || !why_not_now(flip).empty()) {
    plan.error = "the route has changed meanwhile: look again";
    co_return done(plan);
  }
  io_.log("warn", "recovery_started", {{"route", route_name}, {"to", std::string(to_string(flip.to))}});
  hold_times_.clear();
  const bool ok = co_await do_recover(flip);
  flip.report.result = ok ? "done" : "failed";
  if (ok) flip.report.generation = flip.route.generation + 2;
  conclude_recovery(flip, plan);
  done(plan);
}

void Controller::Impl::conclude_recovery(Flip& flip, RecoveryReport& plan) {
  conclude(flip);
  plan.result = flip.report.result;
  plan.error = flip.report.error;
  plan.generation = flip.report.generation;
  plan.steps = flip.report.steps;
  plan.hold_ms = flip.report.hold_ms;
  name_doubts(flip, plan);
  for (const FlipPartition& done : flip.report.partitions) {
    for (auto& row : plan.partitions) {
      if (row.topic != done.topic || row.partition != done.partition) continue;
      row.virtual_end = done.virtual_boundary;
      row.real_end = done.closed_end;
    }
  }
}

}  // namespace crossover::proxy
