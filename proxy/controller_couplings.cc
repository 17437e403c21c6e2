// What transactions bind together flips together: learnt, shown, enforced by a gate, and the route widened by it.
#include <algorithm>

#include "proxy/controller_core.h"

namespace crossover::proxy {

namespace {

constexpr Millis tidy_ms = 60'000;
constexpr std::size_t most_shown = 1'000, most_names_shown = 20;

// By topic, of the routes that name topics.
std::map<std::string, const RouteState*> owners(const ControlState& state) {
  std::map<std::string, const RouteState*> owner;
  for (const auto& [id, route] : state.routes) {
    for (const std::string& topic : route.topics) owner[topic] = &route;
  }
  return owner;
}

std::vector<std::string> names_of(const std::map<std::string, Millis>& seen) {
  std::vector<std::string> names;
  for (const auto& [name, at] : seen) {
    if (names.size() < most_names_shown) names.push_back(name);
  }
  return names;
}

// The topics leave the routes that they are in. A route that names none any more stays, for it may be given some.
std::string take_over(ControlState& state, const std::string& route_id, Cluster home,
                      const std::set<std::string>& topics) {
  const auto taker = state.routes.find(route_id);
  if (taker == state.routes.end() || taker->second.home != home || !taker->second.opened)
    return "the route was changed meanwhile";
  for (auto& [id, route] : state.routes) {
    if (id == route_id) continue;
    for (const std::string& topic : topics) {
      if (!route.topics.contains(topic)) continue;
      if (route.home != home || !route.opened) return "the route " + route.name + " was flipped meanwhile";
      route.topics.erase(topic);
    }
  }
  if (taker->second.name != default_route) taker->second.topics.insert(topics.begin(), topics.end());
  ++state.routes_revision;
  return "";
}

}  // namespace

void Controller::Impl::learn(const Couplings::Ids& couplings) {
  couplings_.merge(couplings);
  const bool many = couplings_.ids().size() > Couplings::most_ids;
  if (!many && now_ - couplings_tidied_at_ < tidy_ms) return;
  couplings_tidied_at_ = now_;
  const std::size_t forgotten = couplings_.forget(now_);
  if (forgotten > 0)
    io_.log("warn", "couplings_forgotten",
            {{"ids", std::to_string(forgotten)}, {"left", std::to_string(couplings_.ids().size())}});
}

// Whether a transactional id moves with the route: it writes to its topics, as far as is known here. The others move
// when they next begin a transaction.
bool Controller::Impl::belongs(const Flip& flip, const std::string& transactional_id) const {
  if (state_.bindings.home_of(transactional_id) != flip.from) return false;
  const Coupling* coupling = couplings_.find(transactional_id);
  if (!coupling || coupling->topics.empty()) return flip.route.name == default_route;
  return std::any_of(coupling->topics.begin(), coupling->topics.end(), [this, &flip](const auto& seen) {
    return state_.route_of(seen.first).id == flip.route.id || flip.added.contains(seen.first);
  });
}

// Transitively: an id binds its topics and groups to each other, and they bind all other ids that use them.
Controller::Impl::Bonds Controller::Impl::bonds(const Flip& flip) const {
  const auto owner = owners(state_);
  const auto route_of = [&](const std::string& topic) -> const RouteState& {
    const auto found = owner.find(topic);
    return found == owner.end() ? state_.routes.at(default_route) : *found->second;
  };
  std::map<std::string, std::vector<std::string>> by_topic, by_group;
  std::vector<std::string> next;
  std::set<std::string> visited;
  for (const auto& [id, coupling] : couplings_.ids()) {
    if (state_.bindings.home_of(id) != flip.from || coupling.topics.empty()) continue;
    bool here = false;
    for (const auto& [topic, seen_at] : coupling.topics) {
      by_topic[topic].push_back(id);
      here = here || route_of(topic).id == flip.route.id;
    }
    for (const auto& [group, seen_at] : coupling.groups) by_group[group].push_back(id);
    if (here && visited.insert(id).second) next.push_back(id);
  }
  Bonds found;
  const auto visit = [&](const std::vector<std::string>& ids) {
    for (const std::string& id : ids) {
      if (visited.insert(id).second) next.push_back(id);
    }
  };
  while (!next.empty()) {
    const std::string id = next.back();
    next.pop_back();
    const Coupling& coupling = couplings_.ids().at(id);
    for (const auto& [topic, seen_at] : coupling.topics) {
      const TopicView* view = snapshot_->topic(topic);
      if (!view || view->internal) continue;
      if (route_of(topic).id != flip.route.id && !found.emplace(topic, id).second) continue;
      visit(std::exchange(by_topic[topic], {}));
    }
    for (const auto& [group, seen_at] : coupling.groups) visit(std::exchange(by_group[group], {}));
  }
  return found;
}

// What the route is to take over; false, and a gate that says why, where it cannot.
bool Controller::Impl::find_added(Flip& flip) {
  std::vector<std::string> elsewhere, added;
  for (const auto& [topic, id] : bonds(flip)) {
    const RouteState& route = state_.route_of(topic);
    if (route.home == flip.from) {
      flip.added.insert(topic);
      added.push_back(topic + " (route " + route.name + ")");
    } else {
      elsewhere.push_back(topic + " (route " + route.name + ", bound by " + id + ")");
    }
  }
  const bool ok = elsewhere.empty();
  if (!ok) flip.added.clear();
  flip.report.added_topics.assign(flip.added.begin(), flip.added.end());
  gate(flip, "widening", ok,
       !ok ? "a route can take over only what has the same home, and these are on the " +
                 std::string(to_string(flip.to)) + " cluster already: " + some_of(elsewhere) +
                 ". Flip without widening, which brings them together, or flip their routes back first"
       : added.empty() ? "no transaction binds this route to topics of others"
                       : "the route takes over what its transactions bind to it: " + some_of(added));
  return ok;
}

// A transaction cannot span clusters, and a group's offsets go where its transactions are.
void Controller::Impl::coupling_gate(Flip& flip) {
  if (flip.wishes.widen && !find_added(flip)) return;
  std::set<std::string> torn, beside;
  for (const auto& [topic, id] : bonds(flip)) {
    const RouteState& route = state_.route_of(topic);
    if (route.home != flip.from || flip.added.contains(topic)) continue;
    torn.insert(id);
    beside.insert(topic + " (route " + route.name + ")");
  }
  if (torn.empty()) return;
  gate(flip, "coupled_topics", false,
       "transactions bind this route to topics of others: " + some_of({torn.begin(), torn.end()}) + " also writes to " +
           some_of({beside.begin(), beside.end()}) +
           ", in one transaction or for one consumer group. Put them into one route, or flip with ?widen=true");
}

// The definition goes on record as any other does; then the flip is one of the wider route.
Task<bool> Controller::Impl::widen(Flip& flip) {
  if (flip.added.empty()) co_return true;
  if (running_step_.size() > 1 || defining_) {
    fail(flip, "another route is being flipped or defined, so that this one cannot be widened now; try again");
    co_return false;
  }
  begin_step(flip, "widen");
  const ChangeRoutes change = [id = flip.route.id, home = flip.from, topics = flip.added](ControlState& state) {
    return take_over(state, id, home, topics);
  };
  defining_ = true;
  std::string problem;
  const Done done = [&problem](const std::string& error) { problem = error; };
  co_await write_routes(change, done);
  const RouteState* route = state_.route(flip.route.name);
  if (problem.empty() && (!route || route->id != flip.route.id)) problem = "the route was changed meanwhile";
  if (!problem.empty()) {
    fail(flip, "the route could not be widened: " + problem);
    co_return false;
  }
  io_.log("info", "route_widened", {{"route", flip.route.name}, {"topics", some_of(flip.report.added_topics)}});
  flip.route = *route;
  flip.definitions = state_.routes_revision;
  find_places(flip);
  co_return true;
}

void Controller::Impl::show_couplings(const RouteState& route, RouteStatus& status) const {
  const auto owner = owners(state_);
  const RouteState& rest = state_.routes.at(default_route);
  for (const auto& [id, coupling] : couplings_.ids()) {
    std::set<const RouteState*> routes;
    for (const auto& [topic, seen_at] : coupling.topics) {
      const auto found = owner.find(topic);
      routes.insert(found == owner.end() ? &rest : found->second);
    }
    const bool here = std::any_of(routes.begin(), routes.end(), [&route](const auto* r) { return r->id == route.id; });
    const bool nowhere = routes.empty() && !coupling.groups.empty() && route.id == rest.id;
    if (!here && !nowhere) continue;
    ++status.coupling_count;
    const bool torn = routes.size() > 1;
    if (status.couplings.size() >= most_shown && !torn) continue;
    status.couplings.push_back({id, names_of(coupling.topics), names_of(coupling.groups), now_ - coupling.since,
                                now_ - coupling.seen_at, torn});
  }
  std::stable_partition(status.couplings.begin(), status.couplings.end(), [](const auto& c) { return c.torn; });
  if (status.couplings.size() > most_shown) status.couplings.resize(most_shown);
}

}  // namespace crossover::proxy
