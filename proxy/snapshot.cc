#include "proxy/snapshot.h"

#include <algorithm>

namespace crossover::proxy {

std::string_view to_string(RoutePhase phase) {
  switch (phase) {
    case RoutePhase::open:
      return "open";
    case RoutePhase::braking:
      return "braking";
    case RoutePhase::fenced:
      return "fenced";
    case RoutePhase::releasing:
      return "releasing";
  }
  return "?";
}

bool Snapshot::hidden(const std::string& topic) const {
  return topic.starts_with("__crossover") || control_topics.contains(topic);
}

const TopicView* Snapshot::topic(const std::string& name) const {
  const auto found = topics.find(name);
  return found == topics.end() ? nullptr : found->second.get();
}

const TopicView* Snapshot::topic(const Uuid& virtual_id) const {
  const auto found = topics_by_id.find(virtual_id);
  return found == topics_by_id.end() ? nullptr : found->second.get();
}

const PartitionView* Snapshot::partition(const std::string& name, PartitionIndex index) const {
  const TopicView* view = topic(name);
  if (!view || index < 0 || static_cast<std::size_t>(index) >= view->partitions.size()) return nullptr;
  return &view->partitions[static_cast<std::size_t>(index)];
}

bool Snapshot::awaits_boundary(const std::string& name, PartitionIndex index, std::int32_t generation) const {
  const PartitionView* view = partition(name, index);
  if (!view) return false;
  const RouteView& route = route_of(*topic(name));
  // A process that only has not claimed the home's log yet decides nothing, and may never.
  const bool decides = route.phase == RoutePhase::fenced && route.opened && route.fence != 0;
  return decides && view->log.open_segment().generation == generation;
}

std::int64_t Snapshot::flips() const {
  std::int64_t count = 0;
  for (const RouteView& route : routes) count += route.generation;
  return count;
}

bool Snapshot::under_way() const {
  return !moving_groups.empty() || !held_ids.empty() ||
         std::any_of(routes.begin(), routes.end(), [](const RouteView& r) { return r.phase != RoutePhase::open; });
}

std::size_t Snapshot::announced_segment(const TopicView& topic, const PartitionView& partition) const {
  const std::size_t last = partition.log.segments().size() - 1;
  const RouteView& route = route_of(topic);
  return (route.phase == RoutePhase::releasing || !route.opened) && last > 0 ? last - 1 : last;
}

NodeId Snapshot::to_virtual(Cluster cluster, NodeId real) const {
  const auto& ids = virtual_of[index_of(cluster)];
  const auto found = ids.find(real);
  return found == ids.end() ? -1 : found->second;
}

}  // namespace crossover::proxy
