#include "proxy/controller.h"

#include <algorithm>
#include <limits>

#include "proxy/controller_core.h"

namespace crossover::proxy {

Controller::Impl::Impl(ControllerIo& io, ControllerOptions options, std::size_t workers)
    : io_(io), options_(std::move(options)), workers_(workers) {
  for (const Cluster c : both_clusters) {
    images_[index_of(c)] = std::make_shared<ClusterImage>();
    versions_[index_of(c)] = std::make_shared<ClusterVersions>();
  }
  snapshot_ = std::make_shared<Snapshot>();
}

void Controller::Impl::start(Millis now) {
  now_ = now;
  publish();
  for (const Cluster c : both_clusters) spawn(watch(c));
  for (const Cluster c : both_clusters) spawn(keep_lease(c));
  spawn(keep_records());
  spawn(watch_strangers());
  spawn(watch_home_ends());
  for (const Cluster c : both_clusters) spawn(claim(c));
  spawn(finish_open_flips());
  spawn(move_wanted_ids());
  spawn(move_wanted_offsets());
  settle();
}

// --- events ---

void Controller::Impl::on_reply(CallId id, std::optional<Bytes> body, Millis now) {
  now_ = now;
  const auto found = calls_.find(id);
  if (found == calls_.end()) return;
  found->second->body = std::move(body);
  found->second->done = true;
  calls_.erase(found);
  settle();
}

void Controller::Impl::on_append_result(CallId id, bool acknowledged, Millis now) {
  now_ = now;
  const auto found = appends_.find(id);
  if (found != appends_.end()) found->second = acknowledged;
  settle();
}

void Controller::Impl::on_control_record(Cluster cluster, Offset offset, BytesView record, Millis now) {
  now_ = now;
  ControlLog& log = logs_[index_of(cluster)];
  const Offset before = log.last_accepted();
  log.fold(offset, record);
  // Who writes there serves, whether or not its heartbeat was read yet.
  if (caught_up_[index_of(cluster)] && log.last_accepted() != before && log.last_writer() != options_.proxy_id) {
    ++foreign_records_;
    note_heartbeat(log.last_writer(), claimed_[index_of(cluster)]);
  }
  // A part of a record says nothing before the record.
  if (log.last_accepted() == before) return settle();
  refold();
  // While the log is first read there is nothing to say yet.
  if (caught_up_[index_of(cluster)]) publish();
  settle();
}

void Controller::Impl::on_control_caught_up(Cluster cluster, Millis now) {
  now_ = now;
  caught_up_[index_of(cluster)] = true;
  refold();
  publish();
  io_.log("info", "control_topic_read", {{"cluster", std::string(to_string(cluster))}});
  settle();
}

void Controller::Impl::on_worker_report(const WorkerReport& report, Millis now) {
  now_ = now;
  if (report.worker >= workers_.size()) return;
  WorkerView& view = workers_[report.worker];
  view.revision = report.revision;
  view.routes.clear();
  for (const auto& r : report.routes) view.routes[r.route] = {r.writes_in_flight, r.held};
  view.unknown_outcomes = report.unknown_outcomes;
  for (const KnownEnds::Row& row : report.known_ends) {
    const TopicView* topic = snapshot_ ? snapshot_->topic(row.topic) : nullptr;
    // Of a topic that was made anew some workers may still tell what the one before held.
    if (topic && topic->real_id[index_of(row.cluster)] == row.known.real_id) known_ends_.merge(row);
  }
  for (const auto& [id, at] : report.transactional_ids) note_seen(transactional_ids_, id, at);
  if (!report.couplings.empty()) learn(report.couplings);
  view.commits_in_flight = report.commits_in_flight;
  view.ids_in_flight = report.ids_in_flight;
  constexpr std::size_t remembered = 100'000;
  if (hold_times_.size() < remembered)
    hold_times_.insert(hold_times_.end(), report.hold_times_ms.begin(), report.hold_times_ms.end());
  settle();
}

void Controller::Impl::on_want_image(Cluster cluster, Millis not_before, Millis now) {
  now_ = now;
  wanted_at_[index_of(cluster)] = std::max(wanted_at_[index_of(cluster)], not_before);
  settle();
}

void Controller::Impl::on_want_binding(const WantedBinding& wanted, Millis now) {
  now_ = now;
  wanted_bindings_.insert(wanted);
  settle();
}

void Controller::Impl::on_timer(Millis now) {
  now_ = now;
  settle();
}

// --- coroutines ---

void Controller::Impl::spawn(Task<> task) {
  tasks_.push_back(std::move(task));
  tasks_.back().start();
}

void Controller::Impl::settle() {
  if (settling_) return;
  settling_ = true;
  for (bool progress = true; progress;) {
    progress = false;
    for (Until* waiter : waiting_) {
      if (!waiter->condition_() && waiter->deadline_ > now_) continue;
      waiting_.remove(waiter);
      waiter->handle_.resume();
      progress = true;
      break;  // the list may have changed in any way
    }
  }
  tasks_.remove_if([](const Task<>& t) { return t.done(); });
  settling_ = false;
  Millis next = std::numeric_limits<Millis>::max();
  for (const Until* waiter : waiting_) next = std::min(next, waiter->deadline_);
  if (next != std::numeric_limits<Millis>::max()) io_.arm_timer(next);
}

Controller::Impl::Pending Controller::Impl::ask(Cluster cluster, NodeId node, ApiKey api, Version version, Bytes body,
                                                Millis timeout_ms) {
  const CallId id = next_id_++;
  auto pending = std::make_shared<Reply>();
  calls_[id] = pending;
  io_.request(id, cluster, node, api, version, std::move(body), timeout_ms);
  return pending;
}

// --- control records ---

void Controller::Impl::refold() {
  ControlState together = logs_[0].state();
  together.merge(logs_[1].state());
  if (bindings_->ids != together.bindings.ids || bindings_->groups != together.bindings.groups)
    bindings_ = std::make_shared<const Bindings>(together.bindings);
  state_ = std::move(together);
  topics_changed_ = true;
}

Task<Controller::Impl::Written> Controller::Impl::append(Cluster log, Encode encode, Millis deadline) {
  const std::size_t at = index_of(log);
  {
    Until free(
        *this, [this, at] { return !writing_[at]; }, deadline);
    const bool mine = co_await free;
    if (!mine) co_return Written::ignored;
  }
  writing_[at] = true;
  control_record::Chain chain;
  chain.id = options_.proxy_id + "/" + std::to_string(next_id_++);
  chain.prev = logs_[at].last_accepted();
  chain.by = options_.proxy_id;
  Bytes record = encode(chain);
  if (record.empty()) {
    writing_[at] = false;
    co_return Written::ignored;
  }
  const CallId call = begin_append(log, std::move(record));
  // A driver acts only on its own record read back: the acknowledgement alone says nothing of the order.
  {
    Until seen(
        *this,
        [this, at, &chain, call] {
          const auto& acknowledged = appends_[call];
          return logs_[at].outcome(chain.id).has_value() || (acknowledged && !*acknowledged);
        },
        deadline);
    co_await seen;
  }
  appends_.erase(call);
  writing_[at] = false;
  const auto outcome = logs_[at].outcome(chain.id);
  if (!outcome) co_return Written::unknown;
  co_return *outcome ? Written::accepted : Written::ignored;
}

constexpr Millis claim_ms = 2'000, claim_pause_ms = 100;

// A process that ended in the middle of a flip may have sent a record that arrives only after its successor has read
// the log to its end. Once a record of our own stands behind what we read, that one names the wrong predecessor.
Task<> Controller::Impl::claim(Cluster log) {
  const std::size_t at = index_of(log);
  const Encode encode = [](const control_record::Chain& chain) { return control_record::nothing(chain); };
  for (;;) {
    Until readable(
        *this, [this, at] { return caught_up_[at] && images_[at]->reachable && wrong_clusters().empty(); },
        std::numeric_limits<Millis>::max());
    co_await readable;
    // A newer proxy writes there: this one only follows, and drives nothing.
    if (logs_[at].newer_seen()) break;
    const Written written = co_await append(log, encode, now_ + claim_ms);
    if (written == Written::accepted) break;
    Until again(
        *this, [] { return false; }, now_ + claim_pause_ms);
    co_await again;
  }
  claimed_[at] = true;
  publish();
}

CallId Controller::Impl::begin_append(Cluster log, Bytes record) {
  const CallId call = next_id_++;
  appends_[call] = std::nullopt;
  io_.append_control(call, log, std::move(record));
  return call;
}

Task<bool> Controller::Impl::append_part(Cluster log, Bytes part, Millis deadline) {
  const CallId call = begin_append(log, std::move(part));
  {
    Until acknowledged(
        *this, [this, call] { return appends_[call].has_value(); }, deadline);
    co_await acknowledged;
  }
  const bool written = appends_[call].value_or(false);
  appends_.erase(call);
  co_return written;
}

// --- routes ---

bool Controller::Impl::ready() const {
  if (!any_log_ready() || state_.cluster_id.empty() || snapshot_->announced.empty()) return false;
  return std::all_of(state_.routes.begin(), state_.routes.end(), [this](const auto& entry) {
    const std::size_t home = index_of(entry.second.home);
    return claimed_[home] && images_[home]->reachable;
  });
}

std::vector<RouteStatus> Controller::Impl::routes() const {
  std::vector<RouteStatus> all;
  for (const auto& [id, route] : state_.routes) {
    RouteStatus& status = all.emplace_back();
    status.view.name = route.name;
    status.view.home = route.home;
    status.view.generation = route.generation;
    status.recovered = route.recovered;
    if (const auto phase = phases_.find(id); phase != phases_.end()) status.view.phase = phase->second.phase;
    status.topics.assign(route.topics.begin(), route.topics.end());
    const auto step = running_step_.find(id);
    status.flip_running = step != running_step_.end();
    if (status.flip_running) status.flip_step = step->second;
    if (const auto history = history_.find(id); history != history_.end()) status.history = history->second;
    show_couplings(route, status);
  }
  std::stable_sort(all.begin(), all.end(), [](const RouteStatus& a, const RouteStatus& b) {
    return (a.view.name == default_route) > (b.view.name == default_route);
  });
  return all;
}

namespace {

constexpr std::size_t most_routes = 1'000;            // besides default
constexpr std::size_t most_route_bytes = 800 * 1024;  // of the 1 MB that brokers take by default

// A route is all of a flip's two records; between them no topic leaves or joins it.
std::string unopened(const ControlState& state) {
  for (const auto& [id, route] : state.routes) {
    if (!route.opened) return "an earlier flip of the route '" + route.name + "' is still being completed: try again";
  }
  return "";
}

// What a definition would change, or why it may not.
std::string redefine(ControlState& state, const RouteDefinition& definition, const std::string& new_id) {
  if (definition.name == default_route)
    return "the route 'default' holds all topics that no other route names; it cannot be defined";
  if (definition.topics.empty()) return "a route needs at least one topic; delete it instead";
  if (std::string problem = unopened(state); !problem.empty()) return problem;
  const RouteState* known = state.route(definition.name);
  std::optional<Cluster> home;
  if (known) home = known->home;
  for (const std::string& topic : definition.topics) {
    const RouteState& owner = state.route_of(topic);
    if (!home) home = owner.home;
    if (owner.home != *home) {
      return "topic '" + topic + "' is homed on " + std::string(to_string(owner.home)) + " and the route on " +
             std::string(to_string(*home)) + "; a topic moves only between routes of one home";
    }
  }
  const std::string id = known ? known->id : new_id;
  for (auto& [other_id, route] : state.routes) {
    for (const std::string& topic : definition.topics) {
      if (other_id != id) route.topics.erase(topic);
    }
  }
  if (known) {
    for (const std::string& topic : known->topics) {
      const bool stays =
          std::find(definition.topics.begin(), definition.topics.end(), topic) != definition.topics.end();
      if (!stays && state.routes.at(default_route).home != *home) {
        return "topic '" + topic +
               "' would fall to 'default', which is homed on the other cluster; flip it there first";
      }
    }
  }
  RouteState& route = state.routes[id];
  route.id = id;
  route.name = definition.name;
  route.home = *home;
  route.topics = {definition.topics.begin(), definition.topics.end()};
  ++state.routes_revision;
  // All definitions stand in one control record, and in every snapshot.
  if (state.routes.size() > most_routes + 1)
    return "more than " + std::to_string(most_routes) + " routes: delete some, or join some into one";
  if (control_record::routes({}, state).size() > most_route_bytes)
    return "the definitions of all routes together are too large for a control record: name fewer topics";
  return "";
}

// The same of a deletion.
std::string remove(ControlState& state, const std::string& name) {
  const RouteState* route = state.route(name);
  if (!route) return "no such route";
  if (name == default_route) return "the route 'default' cannot be deleted";
  if (std::string problem = unopened(state); !problem.empty()) return problem;
  if (route->home != state.routes.at(default_route).home)
    return "its topics would fall to 'default', which is homed on the other cluster; flip the route there first";
  const std::string id = route->id;
  state.deleted_routes.insert(id);
  state.routes.erase(id);
  ++state.routes_revision;
  return "";
}

}  // namespace

void Controller::Impl::define_route(RouteDefinition definition, Done done, Millis now) {
  now_ = now;
  const std::string new_id = options_.proxy_id + "/" + definition.name + "/" + std::to_string(next_id_++);
  for (const std::string& topic : definition.topics) {
    const bool internal = std::any_of(images_.begin(), images_.end(), [&topic](const auto& image) {
      const auto found = image->topics.find(topic);
      return found != image->topics.end() && found->second.internal;
    });
    if (internal || snapshot_->hidden(topic))
      return done("topic '" + topic + "' is internal and is never flipped: leave it out");
  }
  change_routes(
      [definition = std::move(definition), new_id](ControlState& state) { return redefine(state, definition, new_id); },
      std::move(done));
}

void Controller::Impl::delete_route(const std::string& name, Done done, Millis now) {
  now_ = now;
  change_routes([name](ControlState& state) { return remove(state, name); }, std::move(done));
}

void Controller::Impl::change_routes(ChangeRoutes change, Done done) {
  if (!running_step_.empty()) return done("a flip is running; change routes when it is over");
  if (defining_) return done("another change of routes is being written; try again");
  ControlState trial = state_;
  if (const std::string refusal = change(trial); !refusal.empty()) return done(refusal);
  defining_ = true;
  spawn(write_routes(std::move(change), std::move(done)));
  settle();
}

// The definitions stand on both logs; the home of the route default must have them before they hold. A change is made
// to what stands when it is written: whatever other record comes first, it is made anew.
Task<> Controller::Impl::write_routes(ChangeRoutes change, Done done) {
  const Millis deadline = now_ + 5'000;
  const Cluster home = state_.routes.at(default_route).home;
  ControlState changed;
  std::string refusal;
  Written first = Written::ignored;
  while (refusal.empty() && first == Written::ignored && now_ < deadline) {
    changed = state_;
    refusal = change(changed);
    if (!refusal.empty()) break;
    const Encode encode = [&changed](const control_record::Chain& chain) {
      return control_record::routes(chain, changed);
    };
    const Offset seen = logs_[index_of(home)].last_accepted();
    first = co_await append(home, only_behind(seen, encode), deadline);
    if (first != Written::accepted) continue;
    // Kept up by keep_records when this fails.
    co_await append(other(home), encode, now_ + 1'000);
  }
  defining_ = false;
  if (first == Written::accepted)
    io_.log("info", "routes_defined", {{"revision", std::to_string(changed.routes_revision)}});
  else if (refusal.empty())
    refusal =
        "the control topic on the " + std::string(to_string(home)) + " cluster did not take the definition; try again";
  done(refusal);
}

// --- Controller ---

Controller::Controller(ControllerIo& io, ControllerOptions options, std::size_t workers)
    : impl_(std::make_unique<Impl>(io, std::move(options), workers)) {}
Controller::~Controller() = default;
void Controller::start(Millis now) {
  impl_->start(now);
}
void Controller::on_reply(CallId id, std::optional<Bytes> body, Millis now) {
  impl_->on_reply(id, std::move(body), now);
}
void Controller::on_append_result(CallId id, bool acknowledged, Millis now) {
  impl_->on_append_result(id, acknowledged, now);
}
void Controller::on_control_record(Cluster c, Offset o, BytesView r, Millis now) {
  impl_->on_control_record(c, o, r, now);
}
void Controller::on_control_caught_up(Cluster c, Millis now) {
  impl_->on_control_caught_up(c, now);
}
void Controller::on_worker_report(const WorkerReport& report, Millis now) {
  impl_->on_worker_report(report, now);
}
void Controller::on_want_binding(const WantedBinding& wanted, Millis now) {
  impl_->on_want_binding(wanted, now);
}
void Controller::on_want_image(Cluster c, Millis not_before, Millis now) {
  impl_->on_want_image(c, not_before, now);
}
void Controller::on_timer(Millis now) {
  impl_->on_timer(now);
}
void Controller::flip(const std::string& route, Cluster to, FlipWishes wishes, FlipDone done, Millis now) {
  impl_->flip(route, to, wishes, std::move(done), now);
}
void Controller::abort_transaction(const std::string& transactional_id, AbortDone done, Millis now) {
  impl_->abort_transaction(transactional_id, std::move(done), now);
}
void Controller::recover(const std::string& route, const std::string& confirm, RecoveryDone done, Millis now) {
  impl_->recover(route, confirm, std::move(done), now);
}
void Controller::define_route(RouteDefinition d, Done done, Millis now) {
  impl_->define_route(std::move(d), std::move(done), now);
}
void Controller::delete_route(const std::string& route, Done done, Millis now) {
  impl_->delete_route(route, std::move(done), now);
}
bool Controller::ready() const {
  return impl_->ready();
}
bool Controller::reachable(Cluster c) const {
  return impl_->reachable(c);
}
std::vector<RouteStatus> Controller::routes() const {
  return impl_->routes();
}
std::shared_ptr<const Snapshot> Controller::snapshot() const {
  return impl_->snapshot();
}
std::vector<Controller::Stranger> Controller::strangers() const {
  return impl_->strangers();
}

}  // namespace crossover::proxy
