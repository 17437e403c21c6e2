#include "proxy/coordinators.h"

#include <algorithm>

#include "protocol/error_code.h"
#include "proxy/log_lookup.h"

namespace crossover::proxy {

using namespace protocol;

namespace {

constexpr std::size_t most_remembered = 10'000;

// States of a coordinator (TransactionState.java).
enum class AtCoordinator : std::uint8_t {
  nothing_open,
  ongoing,
  ending,
  elsewhere,  // the client came to a broker that does not coordinate the id
  unknown
};

AtCoordinator state_from(const std::string& state) {
  if (state == "Ongoing") return AtCoordinator::ongoing;
  return state.starts_with("Prepare") ? AtCoordinator::ending : AtCoordinator::nothing_open;
}

// Whose coordinator a client takes the broker for that it sends this to.
std::optional<CoordinatorKind> asked_coordinator(ApiKey api) {
  switch (api) {
    case ApiKey::InitProducerId:
    case ApiKey::AddPartitionsToTxn:
    case ApiKey::AddOffsetsToTxn:
    case ApiKey::EndTxn:
    case ApiKey::DescribeTransactions:
      return CoordinatorKind::transaction;
    case ApiKey::TxnOffsetCommit:
    case ApiKey::OffsetCommit:
    case ApiKey::OffsetFetch:
    case ApiKey::OffsetDelete:
    case ApiKey::DeleteGroups:
      return CoordinatorKind::group;
    default:
      return std::nullopt;
  }
}

struct Described {
  AtCoordinator state = AtCoordinator::unknown;
  ProducerName name;  // of the latest instance
};

// What the coordinator of that transactional id says of it.
Task<Described> described(SessionCore& core, const Request& origin, std::string id) {
  const Cluster home = core.snapshot().bindings->home_of(id);
  const auto version = version_for(core.snapshot(), home, ApiKey::DescribeTransactions, {0, 0});
  if (!version) co_return Described{AtCoordinator::nothing_open};
  DescribeTransactionsRequest question;
  question.transactional_ids.push_back(id);
  const auto answer = co_await ask_coordinator<DescribeTransactionsResponse>(
      core, origin, home, CoordinatorKind::transaction, id, question, *version);
  if (!answer || answer->transaction_states.size() != 1) co_return Described{};
  const auto& row = answer->transaction_states[0];
  note_coordinator_error(core, home, CoordinatorKind::transaction, id, row.error_code);
  if (row.error_code == static_cast<std::int16_t>(ErrorCode::TRANSACTIONAL_ID_NOT_FOUND))
    co_return Described{AtCoordinator::nothing_open};
  const bool clients_choice = core.own_node(home) && asked_coordinator(origin.api()) == CoordinatorKind::transaction;
  if (row.error_code == static_cast<std::int16_t>(ErrorCode::NOT_COORDINATOR) && clients_choice)
    co_return Described{AtCoordinator::elsewhere};
  if (row.error_code != 0) co_return Described{};
  co_return Described{state_from(row.transaction_state), {row.producer_id, row.producer_epoch}};
}

// Without topics: a flip reads the epochs of all ids on the cluster that it leaves.
bool concerns(const Snapshot& snapshot, const RouteView& route, const std::string& id,
              const std::vector<std::string>& topics) {
  if (topics.empty()) return route.home == snapshot.bindings->home_of(id);
  return std::any_of(topics.begin(), topics.end(), [&](const std::string& name) {
    const TopicView* topic = snapshot.topic(name);
    return snapshot.routes[topic ? topic->route : 0].name == route.name;
  });
}

bool any_in(const Snapshot& snapshot, const std::string& id, const std::vector<std::string>& topics, RoutePhase phase) {
  return std::any_of(snapshot.routes.begin(), snapshot.routes.end(), [&](const RouteView& route) {
    return route.phase == phase && concerns(snapshot, route, id, topics);
  });
}

std::vector<DefinedRoute> all_routes(const Snapshot& snapshot) {
  std::vector<DefinedRoute> routes;
  for (std::size_t i = 0; i < snapshot.routes.size(); ++i) routes.push_back(snapshot.defined_route(i));
  return routes;
}

// Whether that transactional id is held as by a route in that phase.
bool is_held(const Snapshot& snapshot, const std::string& id, RoutePhase phase) {
  const auto held = snapshot.held_ids.find(id);
  return held != snapshot.held_ids.end() && held->second == phase;
}

}  // namespace

TransactionGuard::TransactionGuard(SessionCore& core, Request& request, std::string transactional_id)
    : write_(core, request, all_routes(core.snapshot())),
      id_(core.worker().ids_in_flight, std::move(transactional_id)) {}

Task<std::optional<NodeId>> coordinator_of(SessionCore& core, const Request& origin, Cluster cluster,
                                           CoordinatorKind kind, std::string name) {
  const auto own = core.own_node(cluster);
  if (own && asked_coordinator(origin.api()) == kind) co_return own;
  const std::tuple key{cluster, static_cast<std::int8_t>(kind), name};
  if (const auto known = core.coordinators.find(key); known != core.coordinators.end()) co_return known->second;
  const auto version = version_for(core.snapshot(), cluster, ApiKey::FindCoordinator, {1, 3});
  if (!version) co_return std::nullopt;
  FindCoordinatorRequest question;
  question.key = name;
  question.key_type = static_cast<std::int8_t>(kind);
  const Bytes body = encode(question, *version);
  Call call = core.send(origin, cluster, any_node, ApiKey::FindCoordinator, *version, body);
  const CallState& answered = co_await call;
  if (answered.status != CallStatus::answered) co_return std::nullopt;
  const auto answer = decode<FindCoordinatorResponse>(answered.body(), *version);
  if (!answer || answer->error_code != 0) co_return std::nullopt;
  if (core.coordinators.size() >= most_remembered) core.coordinators.clear();
  core.coordinators[key] = answer->node_id;
  co_return answer->node_id;
}

void note_coordinator_error(SessionCore& core, Cluster cluster, CoordinatorKind kind, const std::string& name,
                            std::int16_t error) {
  const auto code = static_cast<ErrorCode>(error);
  if (code == ErrorCode::NOT_COORDINATOR || code == ErrorCode::COORDINATOR_NOT_AVAILABLE)
    core.coordinators.erase({cluster, static_cast<std::int8_t>(kind), name});
}

Task<Turn> wait_for_turn(SessionCore& core, const Request& origin, std::string transactional_id,
                         std::vector<std::string> topics, bool begins) {
  constexpr Millis look_again = 50;  // what another of its requests begins meanwhile
  const Millis deadline = origin.arrived_at + core.options().limits.hold_ms;
  const auto in = [&core, &topics, &transactional_id](RoutePhase phase) {
    return any_in(core.snapshot(), transactional_id, topics, phase) ||
           is_held(core.snapshot(), transactional_id, phase);
  };
  for (;;) {
    const bool fenced = in(RoutePhase::fenced);
    if (!fenced && !(begins && in(RoutePhase::braking))) co_return Turn::now;
    if (!fenced) {
      const auto [state, name] = co_await described(core, origin, transactional_id);
      if (in(RoutePhase::fenced)) continue;
      // A client that asks the wrong broker is to hear it from that one.
      if (state == AtCoordinator::ongoing || state == AtCoordinator::elsewhere) co_return Turn::now;
    }
    if (core.now() >= deadline) co_return Turn::later;
    SessionCore::Changed changed(core, fenced ? deadline : std::min(deadline, core.now() + look_again));
    co_await changed;
  }
}

Task<bool> has_begun(SessionCore& core, const Request& origin, std::string transactional_id) {
  const Described now = co_await described(core, origin, transactional_id);
  co_return now.state == AtCoordinator::ongoing;
}

Task<bool> is_replaced(SessionCore& core, const Request& origin, std::string transactional_id, ProducerName known_as) {
  if (!core.snapshot().bindings->to_real(transactional_id, known_as)) co_return true;
  const Described now = co_await described(core, origin, transactional_id);
  const auto real = core.snapshot().bindings->to_real(transactional_id, known_as);
  co_return !real || (now.name.id >= 0 && (now.name.id != real->id || now.name.epoch > real->epoch));
}

Task<Turn> bring_home(SessionCore& core, const Request& origin, std::string transactional_id, Cluster to, bool fresh,
                      std::function<bool()> still_wanted) {
  constexpr Millis until_ended = 20, until_asked_again = 1'000;
  const Millis deadline = core.now() + core.options().limits.hold_ms;
  const auto there = [&core, &transactional_id, to] {
    return core.snapshot().bindings->home_of(transactional_id) == to;
  };
  while (!there() && still_wanted()) {
    const auto [state, name] = co_await described(core, origin, transactional_id);
    if (there() || !still_wanted()) break;
    if (state == AtCoordinator::ongoing) co_return Turn::never;
    if (core.now() >= deadline) co_return Turn::later;
    const bool ending = state == AtCoordinator::ending;
    if (!ending) core.io().want_binding({Bound::transactional_id, transactional_id, to, fresh});
    const Millis again = std::min(deadline, core.now() + (ending ? until_ended : until_asked_again));
    // A flip forgets what was wanted before it.
    const std::int64_t flips = core.snapshot().flips();
    while (!there() && still_wanted() && core.now() < again && core.snapshot().flips() == flips) {
      SessionCore::Changed changed(core, again);
      co_await changed;
    }
  }
  co_return Turn::now;
}

Task<bool> wait_for_offsets(SessionCore& core, const Request& origin, std::string group) {
  const Millis deadline = origin.arrived_at + core.options().limits.hold_ms;
  while (core.snapshot().moving_groups.contains(group)) {
    if (core.now() >= deadline) co_return false;
    SessionCore::Changed changed(core, deadline);
    co_await changed;
  }
  co_return true;
}

Task<Turn> bring_offsets(SessionCore& core, const Request& origin, std::string group, Cluster to) {
  const Millis deadline = origin.arrived_at + core.options().limits.hold_ms;
  const auto there = [&core, &group, to] {
    const Snapshot& snapshot = core.snapshot();
    return snapshot.bindings->home_of_group(group) == to && !snapshot.moving_groups.contains(group);
  };
  if (there()) co_return Turn::now;
  core.io().want_binding({Bound::group, group, to});
  while (!there()) {
    if (core.now() >= deadline) co_return Turn::later;
    SessionCore::Changed changed(core, deadline);
    co_await changed;
  }
  co_return Turn::now;
}

}  // namespace crossover::proxy
