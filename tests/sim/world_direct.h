// Clients without a proxy: their connections end at the brokers of one cluster.
#pragma once

#include "tests/sim/world_proxy.h"

namespace crossover::sim {

// nullopt: nobody listens on that port. ProxyProcess::bootstrap_port leads to some broker.
std::optional<ClientEnd> dial_broker(Events& events, Random& random, ClusterNet& net, int port);

}  // namespace crossover::sim
