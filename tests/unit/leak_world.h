// A snapshot whose real clusters hold nothing that a client may ever see: every address, id, epoch and offset of theirs
// is far away from the virtual ones, so that one look at a number tells which it is.
#pragma once

#include <memory>

#include "proxy/api_policy.h"
#include "proxy/snapshot.h"

namespace crossover::test {

using protocol::LeaderEpoch;
using protocol::NodeId;
using protocol::Offset;
using protocol::Uuid;
using proxy::Cluster;

// Everything real is at or above these, everything virtual below.
inline constexpr Offset lowest_real_offset = 1'000'000;
inline constexpr LeaderEpoch lowest_real_epoch = 100'000;
inline constexpr std::int32_t brokers_per_cluster = 3;
inline constexpr std::string_view poison_word = "leak-";  // in every real host and cluster id

constexpr NodeId real_node(Cluster c, int i) {
  return (c == Cluster::source ? 7001 : 8001) + i;
}
constexpr NodeId virtual_node(Cluster c, int i) {
  return (c == Cluster::source ? 1 : 4) + i;
}
constexpr std::int32_t real_port(Cluster c, int i) {
  return (c == Cluster::source ? 39'001 : 39'501) + i;
}
inline std::string real_host(Cluster c, int i) {
  return std::string(poison_word) + std::string(proxy::to_string(c)) + "-" + std::to_string(i + 1);
}
inline std::string real_cluster_id(Cluster c) {
  return std::string(poison_word) + "id-" + std::string(to_string(c));
}

inline Uuid repeated(std::uint8_t byte) {
  Uuid id;
  id.bytes.fill(byte);
  return id;
}

inline const char* const plain_topic =
    "plain";  // never flipped: its source's id, offsets and epochs are the virtual ones
inline const char* const shifted_topic = "shifted";  // source, target and source again
inline const char* const moved_topic = "moved";      // source, then target
inline const char* const known_topics[] = {plain_topic, shifted_topic, moved_topic};

inline proxy::Segment segment(Cluster cluster, Offset virtual_base, Offset real_base, LeaderEpoch virtual_epoch,
                              LeaderEpoch real_epoch, std::int32_t generation) {
  proxy::Segment s;
  s.cluster = cluster;
  s.virtual_base = virtual_base;
  s.real_base = real_base;
  s.epoch_base = virtual_epoch - real_epoch;
  s.generation = generation;
  return s;
}

inline proxy::Segment closed(proxy::Segment s, std::int64_t length, LeaderEpoch boundary_epoch) {
  s.length = length;
  s.boundary_epoch = boundary_epoch;
  return s;
}

inline proxy::VirtualLog shifted_log() {
  return proxy::VirtualLog({closed(segment(Cluster::source, 0, 5'000'000, 0, 900'000, 0), 100, 4),
                            closed(segment(Cluster::target, 100, 7'000'000, 5, 910'000, 1), 100, 9),
                            segment(Cluster::source, 200, 6'000'000, 10, 900'010, 2)});
}

inline proxy::VirtualLog moved_log() {
  return proxy::VirtualLog({closed(segment(Cluster::source, 0, 5'000'000, 0, 900'000, 0), 100, 4),
                            segment(Cluster::target, 100, 7'000'000, 5, 910'000, 1)});
}

// The epoch that the leader on that cluster has now.
inline LeaderEpoch real_epoch(const proxy::VirtualLog& log, Cluster cluster) {
  for (std::size_t i = log.segments().size(); i-- > 0;) {
    const proxy::Segment& s = log.segments()[i];
    if (s.cluster == cluster) return log.first_epoch(i) - s.epoch_base + 1;
  }
  return 990'000;
}

inline std::shared_ptr<const proxy::TopicView> topic_view(const char* name, std::array<Uuid, 2> real_id,
                                                          Uuid virtual_id, const proxy::VirtualLog& log,
                                                          std::size_t route) {
  auto topic = std::make_shared<proxy::TopicView>();
  topic->name = name;
  topic->virtual_id = virtual_id;
  topic->real_id = real_id;
  topic->route = route;
  // Producer 4000 wrote last at the boundary: a retry of it is a duplicate, what is ahead of it has to wait.
  auto producers = std::make_shared<proxy::ProducerTable>();
  if (log.segments().size() > 1) (*producers)[4000] = {2, 9, log.open_segment().generation - 1};
  for (int p = 0; p < 2; ++p) {
    proxy::PartitionView& partition = topic->partitions.emplace_back();
    partition.log = log;
    partition.producers = producers;
    for (const Cluster c : proxy::both_clusters) {
      proxy::RealPartition& real = partition.real[proxy::index_of(c)];
      real.leader = real_node(c, p);
      real.leader_epoch = real_epoch(log, c);
      real.replicas = {real_node(c, p), real_node(c, p + 1)};
      real.isr = real.replicas;
      real.offline = {real_node(c, p + 1)};
    }
  }
  return topic;
}

inline void add_topic(proxy::Snapshot& snapshot, std::shared_ptr<const proxy::TopicView> topic) {
  snapshot.topics_by_id[topic->virtual_id] = topic;
  snapshot.topics[topic->name] = std::move(topic);
}

inline std::shared_ptr<const proxy::ClusterVersions> all_versions() {
  auto versions = std::make_shared<proxy::ClusterVersions>();
  for (const protocol::Message& m : protocol::messages()) {
    if (m.direction == protocol::Direction::request) versions->apis[m.api] = m.versions;
  }
  return versions;
}

inline void add_cluster(proxy::Snapshot& snapshot, Cluster c) {
  auto image = std::make_shared<proxy::ClusterImage>();
  image->known = image->reachable = true;
  image->asked_at = std::int64_t{1} << 50;  // fresh enough for any request
  image->cluster_id = real_cluster_id(c);
  image->controller = real_node(c, 2);
  for (int i = 0; i < brokers_per_cluster; ++i) {
    image->brokers[real_node(c, i)] = {real_host(c, i), real_port(c, i), "rack"};
    proxy::VirtualBroker& broker = snapshot.brokers[virtual_node(c, i)];
    broker.id = virtual_node(c, i);
    broker.cluster = c;
    broker.real_id = real_node(c, i);
    broker.port = 9000 + broker.id;
    broker.rack = "rack";
    snapshot.virtual_of[proxy::index_of(c)][broker.real_id] = broker.id;
  }
  snapshot.images[proxy::index_of(c)] = image;
  snapshot.versions[proxy::index_of(c)] = all_versions();
}

inline std::shared_ptr<proxy::Snapshot> leak_snapshot(Cluster groups_home) {
  auto snapshot = std::make_shared<proxy::Snapshot>();
  snapshot->revision = 1;
  snapshot->virtual_cluster_id = "virtual-id";
  snapshot->advertised_host = "proxy.example";
  for (const Cluster c : proxy::both_clusters) add_cluster(*snapshot, c);
  proxy::RouteView at_source, at_target;
  at_source.name = "default";
  at_target.name = "moved";
  at_target.home = Cluster::target;
  at_target.generation = 1;
  snapshot->routes = {at_source, at_target};
  snapshot->groups_home = groups_home;
  add_topic(*snapshot, topic_view(plain_topic, {repeated(0x11), repeated(0x91)}, repeated(0x11),
                                  proxy::VirtualLog::identity(Cluster::source), 0));
  add_topic(*snapshot, topic_view(shifted_topic, {repeated(0xa2), repeated(0xb2)}, repeated(0x22), shifted_log(), 0));
  add_topic(*snapshot, topic_view(moved_topic, {repeated(0xa3), repeated(0xb3)}, repeated(0x33), moved_log(), 1));
  snapshot->announced = proxy::announced_versions(*snapshot->versions[0], *snapshot->versions[1]);
  return snapshot;
}

}  // namespace crossover::test
