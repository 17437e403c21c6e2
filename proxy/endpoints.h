// Addresses of the leaders that an answer of Produce or Fetch names (KIP-951), in virtual terms.
#pragma once

#include <set>

#include "proxy/snapshot.h"

namespace crossover::proxy {

// `Endpoint` is the row of either answer: node id, host, port, rack.
template <class Endpoint>
void name_endpoints(const Snapshot& snapshot, const std::set<NodeId>& named, std::vector<Endpoint>& endpoints) {
  endpoints.clear();
  for (const NodeId id : named) {
    const auto broker = snapshot.brokers.find(id);
    if (broker == snapshot.brokers.end()) continue;
    Endpoint& row = endpoints.emplace_back();
    row.node_id = id;
    row.host = snapshot.advertised_host;
    row.port = broker->second.port;
    row.rack = broker->second.rack;
  }
}

}  // namespace crossover::proxy
