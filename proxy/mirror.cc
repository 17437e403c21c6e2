#include "proxy/mirror.h"

#include <algorithm>

namespace crossover::proxy {
namespace {

constexpr Millis flip_wait_ms = 10'000;

// In ZooKeeper mode only the controller takes these; with KRaft any broker does.
NodeId controller_of(const SessionCore& core, Cluster cluster) {
  const ClusterImage& image = *core.snapshot().images[index_of(cluster)];
  return image.brokers.contains(image.controller) ? image.controller : any_node;
}

bool any_flip(const Snapshot& snapshot) {
  return std::any_of(snapshot.routes.begin(), snapshot.routes.end(),
                     [](const RouteView& r) { return r.phase != RoutePhase::open; });
}

}  // namespace

std::vector<DefinedRoute> all_routes(const Snapshot& snapshot) {
  std::vector<DefinedRoute> routes;
  for (std::size_t i = 0; i < snapshot.routes.size(); ++i) routes.push_back(snapshot.defined_route(i));
  return routes;
}

Task<bool> no_flip(SessionCore& core) {
  const Millis deadline = core.now() + flip_wait_ms;
  while (any_flip(core.snapshot()) && core.now() < deadline) {
    SessionCore::Changed changed(core, deadline);
    co_await changed;
  }
  co_return !any_flip(core.snapshot());
}

Task<std::optional<Bytes>> ask_controller(SessionCore& core, const Request& request, Cluster cluster, ApiKey api,
                                          Version version, Bytes body) {
  const NodeId node = controller_of(core, cluster);
  Call call = core.send(request, cluster, node, api, version, body);
  const CallState& answered = co_await call;
  if (answered.status != CallStatus::answered) co_return std::nullopt;
  co_return Bytes(answered.body());
}

std::string refusal(Cluster cluster, const std::optional<std::string>& message, std::int16_t error,
                    Elsewhere elsewhere) {
  const bool said = message && !message->empty();
  const std::string reason = said ? *message : std::string(protocol::error_name(error));
  const std::string tail =
      elsewhere == Elsewhere::changed
          ? "it was done on the " + std::string(to_string(other(cluster))) + " cluster: repeat it or undo it there"
          : "nothing was changed on either";
  return "refused by the " + std::string(to_string(cluster)) + " cluster: " + reason + "; " + tail;
}

}  // namespace crossover::proxy
