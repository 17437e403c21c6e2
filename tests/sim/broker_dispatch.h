// From a frame to the API's handler.
#pragma once

#include "tests/sim/cluster_state.h"

namespace crossover::sim {

// Serves the connection's oldest waiting request unless it is busy.
void serve_next(ClusterState&, ConnectionId);

}  // namespace crossover::sim
