// The immutable picture that every session works from. The controller publishes a new one for every change.
#pragma once

#include <array>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "proxy/binding.h"
#include "proxy/cluster.h"
#include "proxy/virtual_log.h"

namespace crossover::proxy {

// Last epoch and sequence of a producer at a boundary (DescribeProducers), by virtual producer id.
struct ProducerEntry {
  ProducerEpoch epoch = -1;
  std::int32_t last_sequence = -1;
  std::int32_t generation = 0;  // the segment in which it wrote last
  bool operator==(const ProducerEntry&) const = default;
};
using ProducerTable = std::unordered_map<ProducerId, ProducerEntry>;

inline constexpr Millis never = std::numeric_limits<Millis>::max();
inline constexpr Millis no_lease = never;

struct PartitionView {
  VirtualLog log;
  std::array<RealPartition, 2> real;               // by cluster
  LeaderEpoch fenced_epoch = -1;                   // real epoch of the home's leader when the fence came; -1: no fence
  std::shared_ptr<const ProducerTable> producers;  // at the last boundary; null before the first flip
};

struct TopicView {
  std::string name;
  Uuid virtual_id;
  std::array<Uuid, 2> real_id;  // by cluster; zero where it does not exist or has none
  bool internal = false;
  std::size_t route = 0;  // index into Snapshot::routes
  std::vector<PartitionView> partitions;
};

// open -> braking -> fenced -> releasing -> open; braking, fenced -> open when a flip is abandoned.
enum class RoutePhase : std::uint8_t {
  open,
  braking,    // what would begin a transaction is held until those that are open have ended
  fenced,     // produce requests are held
  releasing,  // the new home takes writes, held requests are sent on, the old leaders are still announced
};
std::string_view to_string(RoutePhase);
// Whether the leaders of the open segments are announced, and they alone.
constexpr bool announces_home(RoutePhase phase) {
  return phase == RoutePhase::open || phase == RoutePhase::braking;
}

// A route under the definitions that stood when a write was admitted: topics may have moved to another one since.
struct DefinedRoute {
  std::string name;
  std::int64_t definitions = 0;  // Snapshot::definitions
  // Whether a write admitted under this may be to a topic that is in `route` now.
  bool may_concern(const std::string& route, std::int64_t definitions_now) const {
    return name == route || definitions < definitions_now;
  }
  auto operator<=>(const DefinedRoute&) const = default;
};

struct RouteView {
  std::string name;
  Cluster home = Cluster::source;
  std::int32_t generation = 0;
  RoutePhase phase = RoutePhase::open;
  bool opened = true;       // false between a flip's two records: still fenced, the old leaders are still announced
  std::uint64_t fence = 0;  // identifies one fencing; sessions report drained and released under it
};

struct VirtualBroker {
  NodeId id = 0;
  Cluster cluster = Cluster::source;
  NodeId real_id = 0;
  std::int32_t port = 0;  // of its own listener
  bool present = true;    // the real broker is in the cluster's present image
  std::optional<std::string> rack;
};

struct Snapshot {
  std::uint64_t revision = 0;
  std::string virtual_cluster_id;
  std::string advertised_host;
  std::array<std::shared_ptr<const ClusterImage>, 2> images;       // never null
  std::array<std::shared_ptr<const ClusterVersions>, 2> versions;  // never null
  std::map<NodeId, VirtualBroker> brokers;                         // by virtual id
  std::array<std::map<NodeId, NodeId>, 2> virtual_of;              // real id -> virtual id, by cluster
  std::vector<RouteView> routes;                                   // [0] is "default"
  std::int64_t definitions = 0;                                    // rises whenever topics move between routes
  std::unordered_map<std::string, std::shared_ptr<const TopicView>> topics;
  std::unordered_map<Uuid, std::shared_ptr<const TopicView>, protocol::UuidHash> topics_by_id;  // by virtual id
  Cluster groups_home = Cluster::source;                                          // where group coordinators live
  std::shared_ptr<const Bindings> bindings = std::make_shared<const Bindings>();  // never null
  // Transactional ids that move, or may: what would begin a transaction of theirs waits, or (fenced) all that they ask.
  std::map<std::string, RoutePhase> held_ids;
  std::set<std::string> moving_groups;  // whose offsets are on their way: nothing of theirs is read or written
  // Writes to a cluster are acknowledged only before this instant (controller_lease.cc).
  std::array<Millis, 2> lease_until{no_lease, no_lease};

  // A cluster whose connections are given up, and not made anew: what it says meanwhile must reach no client.
  std::array<bool, 2> severed{};
  std::array<Millis, 2> answers_since{};  // never: it does not

  std::string brokers_without_port;      // which, and what to do about it; empty: every broker has one
  std::set<std::string> control_topics;  // the proxy's own, on both clusters

  // Never shown to clients, nor taken from them.
  bool hidden(const std::string& topic) const;
  const TopicView* topic(const std::string& name) const;
  const TopicView* topic(const Uuid& virtual_id) const;
  const PartitionView* partition(const std::string& topic, PartitionIndex index) const;
  const RouteView& route_of(const TopicView& topic) const { return routes[topic.route]; }
  DefinedRoute defined_route(std::size_t route) const { return {routes[route].name, definitions}; }
  // The segment whose leaders are announced: while held requests are still being sent on, the one before.
  std::size_t announced_segment(const TopicView& topic, const PartitionView& partition) const;
  // Whether the end of that open segment is being decided: what its cluster says meanwhile of records and ends may lie
  // behind it (a write whose connection was cut lands late), and is shown to nobody before the decision is known.
  bool awaits_boundary(const std::string& topic, PartitionIndex, std::int32_t generation) const;
  // How many flips of all routes there were: rises with each.
  std::int64_t flips() const;
  // Whether the controller waits for what its workers have in flight.
  bool under_way() const;
  // Whether somebody may have to go on without that cluster's word.
  bool out_of_reach(Cluster cluster) const {
    const auto& image = images[index_of(cluster)];  // null before the first publication
    return severed[index_of(cluster)] || !image || !image->reachable;
  }
  // -1 when that real broker has no virtual one (yet).
  NodeId to_virtual(Cluster cluster, NodeId real) const;
  // Versions to announce to clients; an API that is not announced is absent.
  std::map<ApiKey, VersionRange> announced;
};

}  // namespace crossover::proxy
