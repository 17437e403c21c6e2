// The versions that the simulated brokers show, after the releases that they imitate.
#pragma once

#include <map>

#include "tests/sim/cluster.h"

namespace crossover::sim {

std::map<ApiKey, protocol::VersionRange> shown_versions(const ClusterOptions&);

// What is really served: Produce 0 to 2 are shown for the sake of librdkafka's probing (KAFKA-18659) and refused.
bool served(ApiKey, protocol::Version, const std::map<ApiKey, protocol::VersionRange>& shown);

}  // namespace crossover::sim
