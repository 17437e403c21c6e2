#include "tests/sim/world_direct.h"

namespace crossover::sim {

namespace {

std::optional<NodeId> node_at(const Cluster& cluster, Random& random, int port) {
  const std::vector<NodeId> up = cluster.brokers();
  if (up.empty()) return std::nullopt;
  if (port == ProxyProcess::bootstrap_port)
    return up[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(up.size())))];
  for (NodeId node : up) {
    if (cluster.address(node)->second == port) return node;
  }
  return std::nullopt;
}

}  // namespace

std::optional<ClientEnd> dial_broker(Events& events, Random& random, ClusterNet& net, int port) {
  const auto node = node_at(net.cluster, random, port);
  if (!node) return std::nullopt;
  ClientEnd end{std::make_shared<Pipe>(events, random), std::make_shared<Pipe>(events, random)};
  const auto broker = net.connect(*node);
  end.to_proxy->on_bytes = [broker](BytesView data) { broker->send(data); };
  end.to_proxy->on_close = [broker] { broker->close(); };
  const std::weak_ptr<Pipe> to_client = end.to_client, to_broker = end.to_proxy;
  broker->on_bytes = [to_client](BytesView data) {
    if (const auto pipe = to_client.lock()) pipe->send(data);
  };
  broker->on_closed = [to_client, to_broker] {
    if (const auto pipe = to_client.lock()) pipe->close();
    if (const auto pipe = to_broker.lock()) pipe->cut();
  };
  return end;
}

}  // namespace crossover::sim
