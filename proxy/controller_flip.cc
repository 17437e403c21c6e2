// A flip, step by step (design, section 2):
//
//   prepare -> brake -> fence -> drain -> boundary -> record (commit point) -> open -> release
//        \________\________\________\________/  any failure: the fence is lifted, nothing happened
//
// The boundary is found in controller_boundary.cc. After the record only forward: whoever finds a route closed and not
// opened opens it (finish_open_flips).
#include <algorithm>

#include "protocol/messages.h"
#include "proxy/controller_core.h"

namespace crossover::proxy {

using namespace protocol;

namespace {

constexpr Millis answer_ms = 2'000;
constexpr Millis release_ms = 2'000;
constexpr Millis look_again_ms = 20;
constexpr Millis others_ms = 12'000;  // a predecessor is taken for gone sooner, also by a busy machine

// What an abandoned flip has changed all the same.
std::string what_stays(const FlipReport& report) {
  std::vector<std::string> owners;
  for (const OpenTransaction& aborted : report.aborted) owners.push_back(aborted.transactional_id);
  std::string text = ". The route was not flipped";
  if (!report.added_topics.empty()) text += "; it keeps the topics that it took over: " + some_of(report.added_topics);
  if (!owners.empty()) text += "; the owners of what was aborted stay fenced: " + some_of(owners);
  return text;
}

std::string still_open_error(const std::vector<OpenTransaction>& open) {
  return "transactions did not end in time: " + owners_of(open) +
         ". Let them end, or have them aborted, which fences their owners (?abort_open=true, or "
         "POST /v1/transactions/ID/abort), and try again";
}

}  // namespace

void Controller::Impl::flip(const std::string& route, Cluster to, FlipWishes wishes, FlipDone done, Millis now) {
  now_ = now;
  spawn(run_flip(route, to, wishes, std::move(done)));
  settle();
}

void Controller::Impl::begin_step(Flip& flip, std::string name) {
  end_step(flip);
  if (!flip.wishes.dry_run) running_step_[flip.route.id] = name;  // who only looks is in nobody's way
  flip.step_began = now_;
  flip.report.steps.push_back({std::move(name), 0});
}

void Controller::Impl::end_step(Flip& flip) {
  if (!flip.report.steps.empty()) flip.report.steps.back().ms = static_cast<double>(now_ - flip.step_began);
}

void Controller::Impl::fail(Flip& flip, std::string error) {
  flip.report.result = "failed";
  if (flip.report.error.empty()) flip.report.error = std::move(error);
}

void Controller::Impl::gate(Flip& flip, std::string name, bool ok, std::string detail) {
  flip.report.gates.push_back({std::move(name), ok, std::move(detail)});
}

Task<> Controller::Impl::run_flip(std::string route_name, Cluster to, FlipWishes wishes, FlipDone done) {
  Flip flip;
  flip.to = to;
  flip.from = other(to);
  flip.wishes = wishes;
  flip.began = now_;
  flip.report.route = route_name;
  flip.report.direction = to == Cluster::target ? "cutover" : "rollback";
  const RouteState* route = state_.route(route_name);
  if (!route) {
    fail(flip, "no such route");
    co_return done(flip.report);
  }
  flip.route = *route;
  flip.definitions = state_.routes_revision;
  flip.foreign_records = foreign_records_;
  flip.report.generation = route->generation;
  const std::string problem = why_no_flip(*route, to);
  if (!problem.empty() || route->home == to) {
    flip.report.result = "unchanged";
    if (!problem.empty()) fail(flip, problem);
    co_return done(flip.report);
  }
  begin_step(flip, "prepare");
  bool prepared = co_await prepare(flip);
  if (prepared && !wishes.dry_run) prepared = co_await widen(flip);
  if (wishes.dry_run) {
    flip.report.result = "dry_run";
    end_step(flip);
    co_return done(flip.report);
  }
  if (!prepared) {
    refuse(flip);
    end_step(flip);
    running_step_.erase(flip.route.id);
    co_return done(flip.report);
  }
  io_.log("info", "flip_started", {{"route", route_name}, {"to", std::string(to_string(to))}});
  hold_times_.clear();
  const std::uint64_t recoveries = recoveries_;
  Millis deadline = 0;
  bool ok = co_await come_to_rest(flip, deadline);
  if (ok) ok = co_await boundary(flip, deadline);
  if (ok) {
    splice(flip);
    ok = co_await record(flip, deadline);
  }
  if (ok) co_await open_and_release(flip);
  release_ids(flip);
  const RouteState* now_route = state_.route(route_name);
  if (recoveries_ != recoveries && now_route && now_route->recovered) {
    fail(flip, "a recovery of the route went beyond this flip, and says how it stands");
    co_return done(flip.report);
  }
  if (!ok) {
    fail(flip, "abandoned");
    flip.report.error += what_stays(flip.report);
    set_phase(flip.route.id, RoutePhase::open);
  } else {
    flip.report.result = "done";
    flip.report.generation = flip.route.generation + 1;
  }
  conclude(flip);
  done(flip.report);
}

std::string Controller::Impl::why_no_flip(const RouteState& route, Cluster to) const {
  if (running_step_.contains(route.id)) return "a flip of this route is running";
  if (defining_) return "routes are being defined: try again";
  if (!route.opened) return "an earlier flip of this route is still being completed";
  return route.home == to ? home_in_doubt(to) : "";
}

// Whether a route that seems to be at home there may be elsewhere, as its control log says, or after a recovery the
// other one alone. Empty: no.
std::string Controller::Impl::home_in_doubt(Cluster home) const {
  for (const Cluster c : {home, other(home)}) {
    const bool answers = images_[index_of(c)]->reachable;
    if (claimed_[index_of(c)] || (c != home && !answers)) continue;
    const std::string name(to_string(c));
    return "where the route is at home is not known yet: the control topic of the " + name +
           " cluster was not read since this process started" +
           (answers ? "" : ", for no broker of the " + name + " cluster answers");
  }
  return "";
}

// What was wanted before the flip may have lost its reason with it: who still wants it asks again.
void Controller::Impl::release_ids(Flip& flip) {
  take_wanted(Bound::transactional_id);
  if (std::exchange(flip.holds_moves, false)) moving_ = false;
  let_ids_go(std::exchange(flip.held, {}));
}

void Controller::Impl::refuse(Flip& flip) {
  fail(flip, "a gate is red");
  std::string red;
  for (const Gate& gate : flip.report.gates) {
    if (!gate.ok) red += (red.empty() ? "" : "; ") + gate.name + ": " + gate.detail;
  }
  io_.log("warn", "flip_refused",
          {{"route", flip.report.route}, {"to", std::string(to_string(flip.to))}, {"red", red}});
}

void Controller::Impl::conclude(Flip& flip) {
  end_step(flip);
  running_step_.erase(flip.route.id);
  flip.report.hold_ms = std::exchange(hold_times_, {});
  const bool ok = flip.report.result == "done";
  const auto& held = flip.report.hold_ms;
  const std::string_view event =
      flip.recovers ? (ok ? "recovered" : "recovery_failed") : (ok ? "flip_done" : "flip_abandoned");
  io_.log(ok && !flip.recovers ? "info" : "warn", event,
          {{"route", flip.report.route},
           {"to", std::string(to_string(flip.to))},
           {"ms", std::to_string(now_ - flip.began)},
           {"generation", std::to_string(flip.report.generation)},
           {"held", std::to_string(held.size())},
           {"hold_ms_max", std::to_string(held.empty() ? 0 : *std::max_element(held.begin(), held.end()))},
           {"error", flip.report.error}});
  auto& history = history_[flip.route.id];
  history.push_back(flip.report);
  constexpr std::size_t kept = 20;
  if (history.size() > kept) history.erase(history.begin());
}

// --- prepare ---

Task<bool> Controller::Impl::prepare(Flip& flip) {
  {
    // Just after a start it is not known yet who else serves.
    for (const Cluster c : both_clusters) wanted_at_[index_of(c)] = std::max(wanted_at_[index_of(c)], now_);
    Until known(
        *this, [this] { return others_known() || !images_[0]->reachable || !images_[1]->reachable; }, now_ + others_ms);
    co_await known;
  }
  // Gates are judged on pictures taken now.
  const Millis asked = now_ + 1;
  for (const Cluster c : both_clusters) wanted_at_[index_of(c)] = std::max(wanted_at_[index_of(c)], asked);
  {
    Until fresh(
        *this,
        [this, asked] {
          return std::all_of(images_.begin(), images_.end(),
                             [asked](const auto& image) { return image->asked_at >= asked - 1 && image->reachable; });
        },
        now_ + answer_ms);
    co_await fresh;
  }
  co_await gates(flip);
  if (!flip.wishes.dry_run && all_green(flip.report)) co_await keep_tombstones(flip);
  io_.passed("prepare");
  co_return all_green(flip.report);
}

bool Controller::Impl::concerns(const Flip& flip, const TopicView& topic) const {
  return !topic.internal && (snapshot_->route_of(topic).name == flip.route.name || flip.added.contains(topic.name));
}

void Controller::Impl::find_places(Flip& flip) {
  flip.places.clear();
  for (const auto& [name, topic] : snapshot_->topics) {
    if (!concerns(flip, *topic)) continue;
    for (std::size_t i = 0; i < topic->partitions.size(); ++i) {
      const auto& real = topic->partitions[i].real;
      Flip::Place& place = flip.places.emplace_back();
      place.topic = name;
      place.partition = static_cast<PartitionIndex>(i);
      place.old_leader = real[index_of(flip.from)].leader;
      place.old_epoch = real[index_of(flip.from)].leader_epoch;
      place.new_leader = real[index_of(flip.to)].leader;
      place.new_epoch = real[index_of(flip.to)].leader_epoch;
    }
  }
}

// --- brake ---

// Transactions first, then all writes. The deadline is that of the hold, which begins with the fence.
Task<bool> Controller::Impl::come_to_rest(Flip& flip, Millis& deadline) {
  const Millis transactions_deadline = now_ + options_.transactions_ms;
  {
    ++flips_waiting_;
    Until free(
        *this, [this] { return !moving_; }, transactions_deadline);
    const bool mine = co_await free;
    --flips_waiting_;
    if (!mine) {
      fail(flip, "transactional ids are being moved; try again");
      co_return false;
    }
  }
  moving_ = flip.holds_moves = true;
  bool ok = co_await brake(flip, transactions_deadline);
  for (bool again = ok; again;) {
    deadline = now_ + options_.hold_budget_ms;
    ok = co_await fence_and_drain(flip, deadline);
    again = false;
    if (ok) ok = co_await ids_at_rest(flip, again);
    if (!again) continue;
    // One began between the look at all of them and the fence: it goes on.
    set_phase(flip.route.id, RoutePhase::braking);
    ok = co_await none_open(flip, transactions_deadline);
    again = ok;
  }
  co_return ok;
}

// What would begin a transaction is held until those that are open have ended; everything else flows.
Task<bool> Controller::Impl::brake(Flip& flip, Millis deadline) {
  if (!version_of(flip.from, ApiKey::DescribeTransactions, {0, 0})) co_return true;  // the gate has judged
  auto listed = co_await listed_ids(flip.from);
  if (listed && listed->empty() && transactional_ids_.empty() && state_.bindings.ids.empty()) co_return true;
  flip.braked = true;
  begin_step(flip, "brake");
  set_phase(flip.route.id, RoutePhase::braking);
  const std::uint64_t revision = revision_;
  {
    Until braked(
        *this, [this, revision] { return taken(revision); }, deadline);
    const bool all = co_await braked;
    if (!all) {
      fail(flip, "a worker did not take the brake in time");
      co_return false;
    }
  }
  bool ended = co_await none_open(flip, deadline);
  if (ended) ended = co_await none_hanging(flip);
  if (ended) io_.passed("brake");
  co_return ended;
}

// A transaction that has named topics of other routes alone, groups' offsets apart, goes on there. One that has named
// none yet may still name any.
bool Controller::Impl::may_write_here(const Flip& flip, const KnownId& id) const {
  bool named = false, here = false;
  for (const std::string& topic : id.topics) {
    const TopicView* view = snapshot_->topic(topic);
    if (topic == "__consumer_offsets" || (view && view->internal)) continue;
    named = true;
    here = here || !view || state_.route_of(topic).id == flip.route.id || flip.added.contains(topic);
  }
  return here || !named;
}

// Ids that are in use on the old home, as far as is known here, and that no broker has listed: a coordinator that moves
// between two brokers' answers is in neither.
std::vector<std::string> Controller::Impl::unlisted_ids(const Flip& flip, const Coordinators& listed) const {
  std::set<std::string> ids;
  const auto add = [&](const auto& names) {
    for (const auto& [id, what] : names) {
      const bool there = state_.bindings.home_of(id) == flip.from && !id.starts_with("__crossover");
      if (there && !listed.contains(id) && !flip.absent.contains(id)) ids.insert(id);
    }
  };
  add(flip.known);
  add(state_.bindings.ids);
  add(couplings_.ids());
  return {ids.begin(), ids.end()};
}

// What the old home's coordinators say now: the ids that move with the route, and who has a transaction open that
// concerns it. nullopt: not all of them answered.
Task<std::optional<std::vector<OpenTransaction>>> Controller::Impl::look_at_ids(Flip& flip) {
  auto listed = co_await listed_ids(flip.from);
  if (!listed) co_return std::nullopt;
  const std::vector<std::string> unlisted = unlisted_ids(flip, *listed);
  const Coordinators theirs = co_await coordinators(flip.from, transaction_kind, unlisted);
  if (theirs.size() != unlisted.size()) co_return std::nullopt;
  listed->insert(theirs.begin(), theirs.end());
  auto known = co_await describe_ids(flip.from, *listed);
  if (!known) co_return std::nullopt;
  for (const std::string& id : unlisted) {
    const auto found = known->find(id);
    if (found == known->end()) co_return std::nullopt;
    if (!found->second.state.empty()) continue;
    known->erase(found);
    flip.absent.insert(id);
  }
  std::vector<OpenTransaction> open;
  flip.ids.clear();
  flip.known = *known;
  for (const auto& [id, is] : *known) {
    if (is.open() && (may_write_here(flip, is) || belongs(flip, id))) open.push_back(owned(id, is));
    if (belongs(flip, id)) flip.ids[id] = is;
  }
  co_return open;
}

// Nothing of the ids that move can begin a transaction any more, on whatever route; false: some of that is news.
Task<bool> Controller::Impl::hold_those_that_move(Flip& flip, Millis deadline) {
  std::set<std::string> fresh;
  for (const auto& [id, is] : flip.ids) {
    if (flip.held.insert(id).second) fresh.insert(id);
  }
  if (fresh.empty()) co_return !any_in_flight(flip.held);
  // Those whose transaction is open go on, so that there may be no instant without any: it is looked at once more.
  co_await hold_ids(fresh, RoutePhase::braking, std::min(deadline, now_ + look_again_ms));
  co_return false;
}

// Waits for the end of the route's open transactions, and lets the new home know the ids that move.
Task<bool> Controller::Impl::none_open(Flip& flip, Millis deadline) {
  bool may_abort = flip.wishes.abort_open;
  std::string problem;
  for (;;) {
    const bool quiet = !any_in_flight(flip.held);
    const auto open = co_await look_at_ids(flip);
    bool held = false;
    if (open) held = co_await hold_those_that_move(flip, deadline);
    problem = "requests of transactional ids were not answered in time";
    if (open && open->empty() && quiet && held) {
      problem = co_await learn_sequences(flip.from, flip.ids, flip.names_of_places());
      if (problem.empty()) break;
    }
    if (open && now_ >= deadline && may_abort) {
      may_abort = false;
      const bool aborted = co_await abort_open(flip, *open);
      if (!aborted) co_return false;
      deadline = now_ + answer_ms;  // for those that were ending by themselves
      continue;
    }
    if (now_ >= deadline) {
      if (open) flip.report.open_transactions = *open;
      fail(flip, !open ? "not every coordinator of the " + std::string(to_string(flip.from)) +
                             " cluster described its transactions"
                 : open->empty() ? problem
                                 : still_open_error(*open));
      co_return false;
    }
    Until pause(
        *this, [] { return false; }, now_ + 20);
    co_await pause;
  }
  flip.rested = flip.ids;
  const Millis until = std::max(deadline, now_ + move_ms);  // the last one may have ended late
  const bool initialised = co_await initialise_ids(flip.to, flip.ids, until, flip.names, problem);
  if (!initialised) fail(flip, problem);
  co_return initialised;
}

// Whether there are ids now that a flip without a brake has to care for: none was known when it began. What workers
// have seen they tell with their word that they took the fence.
Task<bool> Controller::Impl::ids_since_the_start(Flip& flip) {
  if (!version_of(flip.from, ApiKey::DescribeTransactions, {0, 0})) {
    const std::string bound = ids_bound_to_home();
    if (!bound.empty()) fail(flip, bound);
    co_return false;
  }
  const auto listed = co_await listed_ids(flip.from);
  if (!listed) fail(flip, "not every coordinator listed its transactions under the fence");
  co_return listed && !listed->empty();
}

// Under the fence nothing can begin any more: what the coordinators say now holds until the release.
Task<bool> Controller::Impl::ids_at_rest(Flip& flip, bool& again) {
  if (!flip.braked) {
    const bool first_ids = co_await ids_since_the_start(flip);
    again = first_ids && flip.report.error.empty();
    flip.braked = again;
    co_return !first_ids && flip.report.error.empty();
  }
  const auto open = co_await look_at_ids(flip);
  if (!open) {
    fail(flip, "not every coordinator described its transactions under the fence");
    co_return false;
  }
  again = !open->empty();
  if (again) co_return false;
  // Who came between the last look and the fence stays, and moves by itself when it begins a transaction.
  std::erase_if(flip.ids, [&flip](const auto& entry) { return !flip.rested.contains(entry.first); });
  for (auto& [id, is] : flip.ids) {
    const KnownId& rested = flip.rested.at(id);
    if (is.name == rested.name) is.sequences = rested.sequences;
  }
  for (const auto& [id, is] : flip.ids) flip.bindings.ids[id] = moved(id, is, flip.names.at(id), flip.to);
  co_return true;
}

// --- fence, drain ---

bool Controller::Impl::taken(std::uint64_t revision) const {
  return std::all_of(workers_.begin(), workers_.end(),
                     [revision](const WorkerView& w) { return w.revision >= revision; });
}

bool Controller::Impl::none_left(const std::string& route, std::uint64_t revision,
                                 std::int64_t RouteLoad::*load) const {
  return taken(revision) && std::all_of(workers_.begin(), workers_.end(), [&](const WorkerView& w) {
           return std::all_of(w.routes.begin(), w.routes.end(), [&](const auto& entry) {
             return entry.second.*load == 0 || !entry.first.may_concern(route, state_.routes_revision);
           });
         });
}

Task<bool> Controller::Impl::fence_and_drain(Flip& flip, Millis deadline) {
  begin_step(flip, "fence");
  flip.fenced_at = now_;
  set_phase(flip.route.id, RoutePhase::fenced);
  const std::uint64_t revision = revision_;
  {
    Until fenced(
        *this, [this, revision] { return taken(revision); }, std::min(deadline, now_ + options_.drain_timeout_ms));
    const bool all = co_await fenced;
    if (!all) {
      fail(flip, "a worker did not take the fence in time");
      co_return false;
    }
  }
  io_.passed("fence");
  begin_step(flip, "drain");
  const std::string name = flip.route.name;
  {
    Until drained(
        *this, [this, name, revision] { return none_left(name, revision, &RouteLoad::writes_in_flight); },
        std::min(deadline, now_ + options_.drain_timeout_ms));
    const bool all = co_await drained;
    if (!all) {
      fail(flip, "writes that were forwarded before the fence were not answered in time");
      co_return false;
    }
  }
  io_.passed("drain");
  co_return true;
}

// --- record ---

// The state after the flip, and its report.
void Controller::Impl::splice(Flip& flip) {
  for (const Flip::Place& place : flip.places) {
    const TopicView& view = *snapshot_->topics.at(place.topic);
    TopicState& topic = flip.topics[place.topic];
    topic.virtual_id = view.virtual_id;
    topic.real_id = view.real_id;
    if (topic.partitions.size() < view.partitions.size()) topic.partitions.resize(view.partitions.size());
    const auto at = static_cast<std::size_t>(place.partition);
    const VirtualLog& before = view.partitions[at].log;
    TopicState::Partition& after = topic.partitions[at];
    after.log = flip.recovers
                    ? before.recovered(place.old_end, place.old_epoch, flip.to, place.new_end, place.new_epoch)
                    : before.flipped(place.old_end, place.old_epoch, flip.to, place.new_end, place.new_epoch);
    after.producers = place.producers ? place.producers : std::make_shared<ProducerTable>();
    known_ends_.note_whole({flip.to, place.topic, topic.real_id[index_of(flip.to)], place.partition}, place.new_end);
    flip.report.partitions.push_back(
        {place.topic, place.partition, after.log.open_segment().virtual_base, place.old_end, place.new_end});
  }
}

Task<bool> Controller::Impl::record(Flip& flip, Millis deadline) {
  begin_step(flip, "record");
  io_.passed("record_before");
  if (now_ >= deadline) {
    fail(flip, "the hold budget was used up before the flip record");
    co_return false;
  }
  const bool written = co_await write_flip(flip, flip.from, false, deadline);
  if (written) io_.passed("record_after");
  co_return written;
}

Task<bool> Controller::Impl::write_flip(Flip& flip, Cluster log, bool opening, Millis deadline) {
  const std::string parts_id = options_.proxy_id + "/flip/" + std::to_string(next_id_++);
  const std::vector<Bytes> parts = control_record::parts(parts_id, flip.topics, flip.bindings);
  // Not awaited: a record whose parts are not all before it is ignored by everyone.
  std::vector<CallId> part_calls;
  for (const Bytes& part : parts) part_calls.push_back(begin_append(log, part));
  RouteState after = flip.route;
  after.home = flip.to;
  after.generation = flip.route.generation + (flip.recovers ? 2 : 1);
  after.recovered = flip.recovers;
  const std::size_t count = parts.size();
  const Encode encode = [this, &flip, &after, &parts_id, count, opening](const control_record::Chain& chain) {
    // What was spliced must still be what stands: another process's record may have been folded meanwhile.
    const RouteState* present = state_.route(flip.route.name);
    const bool unchanged = present && (present->opened || flip.recovers) &&
                           present->generation == flip.route.generation && state_.routes_revision == flip.definitions &&
                           foreign_records_ == flip.foreign_records;
    if ((!opening || flip.recovers) && !unchanged) return Bytes();
    return opening ? control_record::open(chain, after, parts_id, count)
                   : control_record::close(chain, after, parts_id, count);
  };
  const Written written = co_await append(log, encode, deadline);
  const bool parts_refused =
      std::any_of(part_calls.begin(), part_calls.end(), [this](CallId call) { return !appends_[call].value_or(true); });
  for (const CallId call : part_calls) appends_.erase(call);
  if (written == Written::accepted) co_return true;
  if (written == Written::unknown) {
    co_await settle_doubt(log);
    const RouteState* now_route = state_.route(flip.route.name);
    const bool there = now_route && now_route->generation == after.generation && now_route->home == flip.to;
    if (there && (!opening || now_route->opened)) co_return true;
  }
  const std::string where = "on the " + std::string(to_string(log)) + " cluster";
  fail(flip, parts_refused ? "the control topic " + where + " did not take the flip's state"
                           : "the flip record was not accepted " + where + ": another change came first");
  co_return false;
}

// A record whose fate is unknown: one that names the same predecessor can only be accepted if that one was not, and
// once it was read back the doubt is over. Until then the route stays fenced.
Task<bool> Controller::Impl::settle_doubt(Cluster log) {
  const Encode encode = [](const control_record::Chain& chain) { return control_record::nothing(chain); };
  for (const std::uint64_t before = recoveries_; before == recoveries_;) {
    const Written written = co_await append(log, encode, now_ + answer_ms);
    if (written != Written::unknown) co_return true;
    io_.log("warn", "flip_record_in_doubt", {{"cluster", std::string(to_string(log))}});
  }
  co_return false;  // whatever it says, a recovery has gone beyond
}

// --- open, release ---

Task<> Controller::Impl::open_and_release(Flip& flip) {
  running_step_[flip.route.id] = "open";
  // Writes stay held until the route is open; from the moment it is, the epoch known at the fence says nothing any
  // more.
  phases_[flip.route.id].phase = RoutePhase::releasing;
  {
    // No worker may write to the new segment while another one does not know it: what is read there could be committed
    // through that one.
    const std::uint64_t closed = revision_;
    Until known(
        *this, [this, closed] { return taken(closed); }, now_ + release_ms);
    co_await known;
  }
  for (;;) {
    const RouteState* route = state_.route(flip.route.name);
    if (!route || (route->opened && route->generation > flip.route.generation)) break;
    const bool opened = co_await write_flip(flip, flip.to, true, now_ + answer_ms);
    if (opened) break;
    Until pause(
        *this, [] { return false; }, now_ + 100);
    co_await pause;
  }
  flip.report.error.clear();
  io_.passed("open");
  // What is held for its id has to go on before the route is released.
  release_ids(flip);
  co_await release(flip);
}

Task<> Controller::Impl::release(Flip& flip) {
  begin_step(flip, "release");
  set_phase(flip.route.id, RoutePhase::releasing);
  const std::uint64_t revision = revision_;
  const std::string name = flip.route.name;
  {
    Until released(
        *this, [this, name, revision] { return none_left(name, revision, &RouteLoad::held); }, now_ + release_ms);
    co_await released;
  }
  set_phase(flip.route.id, RoutePhase::open);
  io_.passed("release");
}

// A driver that died between the two records left a route closed and not open: anybody may open it, once.
Task<> Controller::Impl::finish_open_flips() {
  for (;;) {
    std::optional<RouteState> closed;
    for (const auto& [id, route] : state_.routes) {
      const bool mine = running_step_.contains(id);
      if (!route.opened && !mine && claimed_[index_of(route.home)] && images_[index_of(route.home)]->reachable)
        closed = route;
    }
    if (closed) {
      Flip flip;
      flip.to = closed->home;
      flip.from = other(closed->home);
      flip.route = *closed;
      flip.route.home = flip.from;
      flip.route.generation = closed->generation - 1;
      for (const auto& [name, topic] : state_.topics) {
        if (state_.route_of(name).id == closed->id) flip.topics[name] = topic;
      }
      for (const auto& [id, binding] : state_.bindings.ids) {
        if (binding.home == flip.to) flip.bindings.ids[id] = binding;
      }
      io_.log("info", "flip_resumed", {{"route", closed->name}, {"to", std::string(to_string(closed->home))}});
      running_step_[closed->id] = "open";
      co_await open_and_release(flip);
      running_step_.erase(closed->id);
    }
    Until again(
        *this, [] { return false; }, now_ + 200);
    co_await again;
  }
}

}  // namespace crossover::proxy
