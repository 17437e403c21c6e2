// What the proxy knows of a real cluster: an image made from its Metadata, DescribeCluster and ApiVersions answers.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "protocol/schema.h"
#include "protocol/types.h"

namespace crossover::proxy {

using protocol::ApiKey;
using protocol::Bytes;
using protocol::BytesView;
using protocol::LeaderEpoch;
using protocol::NodeId;
using protocol::Offset;
using protocol::PartitionIndex;
using protocol::ProducerEpoch;
using protocol::ProducerId;
using protocol::Uuid;
using protocol::Version;
using protocol::VersionRange;

enum class Cluster : std::uint8_t { source = 0, target = 1 };
inline constexpr Cluster both_clusters[] = {Cluster::source, Cluster::target};
constexpr Cluster other(Cluster c) {
  return c == Cluster::source ? Cluster::target : Cluster::source;
}
constexpr std::size_t index_of(Cluster c) {
  return static_cast<std::size_t>(c);
}
std::string_view to_string(Cluster c);  // "source", "target"

// Milliseconds; the core never reads a clock, its driver passes `now`. Monotonic.
using Millis = std::int64_t;

inline constexpr NodeId any_node = -1;  // "whichever broker of that cluster answers"

struct BrokerAddress {
  std::string host;
  std::int32_t port = 0;
  std::optional<std::string> rack;
  bool operator==(const BrokerAddress&) const = default;
};

struct RealPartition {
  NodeId leader = -1;
  LeaderEpoch leader_epoch = -1;
  std::int16_t error = 0;
  std::vector<NodeId> replicas, isr, offline;
  bool operator==(const RealPartition&) const = default;
};

struct RealTopic {
  Uuid id;  // zero where the cluster is older than topic ids
  bool internal = false;
  std::vector<RealPartition> partitions;  // by index
  bool operator==(const RealTopic&) const = default;
};

// Immutable once published.
struct ClusterImage {
  bool known = false;      // at least one answer was ever had
  bool reachable = false;  // the last attempt succeeded
  Millis asked_at = -1;    // when the request behind this image was sent
  std::string cluster_id;
  NodeId controller = -1;
  std::map<NodeId, BrokerAddress> brokers;
  std::unordered_map<std::string, RealTopic> topics;
};

// Versions that a cluster speaks, and its finalized features.
struct ClusterVersions {
  std::map<ApiKey, VersionRange> apis;
  std::map<std::string, VersionRange> supported_features;
  std::map<std::string, std::int16_t> finalized_features;
  bool operator==(const ClusterVersions&) const = default;
};

}  // namespace crossover::proxy
