// Builds the picture that sessions work from out of control state and the clusters' images.
#include <algorithm>
#include <limits>

#include "proxy/api_policy.h"
#include "proxy/controller_core.h"

namespace crossover::proxy {

void Controller::Impl::publish() {
  auto next = std::make_shared<Snapshot>();
  next->revision = ++revision_;
  next->virtual_cluster_id = state_.cluster_id;
  next->advertised_host = options_.advertised_host;
  next->control_topics = {options_.control_topic, options_.leases_topic};
  next->images = images_;
  next->lease_until = lease_until_;
  next->severed = severed_;
  next->answers_since = answers_since_;
  for (const Cluster c : both_clusters) {
    const auto& recorded = state_.versions[index_of(c)];
    next->versions[index_of(c)] =
        recorded ? std::make_shared<const ClusterVersions>(*recorded) : versions_[index_of(c)];
  }
  next->bindings = bindings_;
  next->moving_groups = moving_groups_;
  next->held_ids = held_ids_;
  fill_brokers(*next);
  next->brokers_without_port = brokers_without_port();
  if (next->brokers_without_port != reported_without_port_) {
    reported_without_port_ = next->brokers_without_port;
    if (!reported_without_port_.empty()) io_.log("error", "broker_without_port", {{"problem", reported_without_port_}});
  }
  fill_routes(*next);
  // Most publications bring a newer time of asking and nothing else: the topics are then taken over as they are.
  if (topics_changed_) {
    fill_topics(*next);
  } else {
    next->topics = snapshot_->topics;
    next->topics_by_id = snapshot_->topics_by_id;
  }
  topics_changed_ = false;
  // Nothing is announced, so nothing is answered, before it is known what this virtual cluster is.
  // What both speak must be known too, since it never changes afterwards: a first start needs both clusters, later ones
  // have it on record.
  const bool known = wrong_clusters().empty() && !state_.cluster_id.empty() && any_log_ready() && state_.versions[0] &&
                     state_.versions[1];
  if (known) next->announced = announced_versions(*next->versions[0], *next->versions[1]);
  snapshot_ = next;
  io_.publish(std::move(next));
}

void Controller::Impl::fill_brokers(Snapshot& snapshot) const {
  for (const auto& [id, record] : state_.brokers) {
    const ClusterImage& image = *images_[index_of(record.cluster)];
    const auto real = image.brokers.find(record.real_id);
    VirtualBroker& broker = snapshot.brokers[id];
    broker.id = id;
    broker.cluster = record.cluster;
    broker.real_id = record.real_id;
    broker.port = record.port;
    // While a cluster was never seen its brokers are announced as recorded: clients keep what they know.
    broker.present = !image.known || real != image.brokers.end();
    if (real != image.brokers.end()) broker.rack = real->second.rack;
    snapshot.virtual_of[index_of(record.cluster)][record.real_id] = id;
  }
}

// Brokers that clients cannot be told of, because the ids that would be theirs lie behind the last port.
std::string Controller::Impl::brokers_without_port() const {
  std::string left_out;
  NodeId needed = 0;
  for (const Cluster c : both_clusters) {
    std::set<NodeId> known;
    NodeId next = static_cast<NodeId>(index_of(c));
    for (const auto& [id, broker] : state_.brokers) {
      if (broker.cluster == c) known.insert(broker.real_id);
    }
    while (state_.brokers.contains(next)) next += 2;
    if (next < options_.port_count) continue;  // the next one is about to get its id
    for (const auto& [node, address] : images_[index_of(c)]->brokers) {
      if (known.contains(node)) continue;
      left_out += (left_out.empty() ? "" : ", ") + std::string(to_string(c)) + " broker " + std::to_string(node);
      needed = std::max(needed, next + 1);
      next += 2;
    }
  }
  if (left_out.empty()) return "";
  return left_out + ": no port is left, so clients cannot reach what it leads: raise broker_ports.count from " +
         std::to_string(options_.port_count) + " to " + std::to_string(needed) + " or more and restart";
}

void Controller::Impl::fill_routes(Snapshot& snapshot) const {
  snapshot.definitions = state_.routes_revision;
  std::vector<const RouteState*> ordered{&state_.routes.at(default_route)};
  for (const auto& [id, route] : state_.routes) {
    if (id != default_route) ordered.push_back(&route);
  }
  for (const RouteState* route : ordered) {
    RouteView& view = snapshot.routes.emplace_back();
    view.name = route->name;
    view.home = route->home;
    view.generation = route->generation;
    view.opened = route->opened;
    // Closed on the old home but not yet open on the new one: nobody may write. Nor before the home's own log was read
    // and claimed, which alone can say that the route was closed there.
    if (!route->opened || !claimed_[index_of(route->home)]) view.phase = RoutePhase::fenced;
    if (const auto phase = phases_.find(route->id); phase != phases_.end() && view.phase == RoutePhase::open) {
      view.phase = phase->second.phase;
      view.fence = phase->second.fence;
    }
  }
}

// Whether a cluster shows another topic of that name than the one whose records are spliced.
bool Controller::Impl::made_anew(const std::string& name, const TopicState& topic, Cluster c) const {
  const auto shown = images_[index_of(c)]->topics.find(name);
  if (shown == images_[index_of(c)]->topics.end()) return false;
  const Uuid& recorded = topic.real_id[index_of(c)];
  return !recorded.is_zero() && !shown->second.id.is_zero() && shown->second.id != recorded;
}

void Controller::Impl::fill_topics(Snapshot& snapshot) const {
  std::set<std::string> names;
  for (const auto& image : images_) {
    for (const auto& [name, topic] : image->topics) names.insert(name);
  }
  for (const auto& [name, topic] : state_.topics) names.insert(name);
  for (const std::string& name : names) {
    if (snapshot.hidden(name)) continue;
    auto view = std::make_shared<TopicView>();
    view->name = name;
    std::array<const RealTopic*, 2> real{};
    for (const Cluster c : both_clusters) {
      const auto found = images_[index_of(c)]->topics.find(name);
      if (found == images_[index_of(c)]->topics.end()) continue;
      real[index_of(c)] = &found->second;
      view->real_id[index_of(c)] = found->second.id;
      view->internal = view->internal || found->second.internal;
    }
    // Internal topics (offsets, transactions) belong to the coordinators' cluster and are never flipped.
    const RouteState& route = state_.route_of(name);
    const Cluster home = view->internal ? snapshot.groups_home : route.home;
    const auto recorded = state_.topics.find(name);
    const RealTopic* at_home = real[index_of(home)];
    if (!at_home && recorded == state_.topics.end()) continue;
    for (std::size_t i = 0; i < snapshot.routes.size(); ++i) {
      if (snapshot.routes[i].name == route.name) view->route = i;
    }
    const bool flipped = recorded != state_.topics.end() && !view->internal;
    view->virtual_id = flipped ? recorded->second.virtual_id : at_home ? at_home->id : Uuid{};
    if (flipped) {
      for (const Cluster c : both_clusters) {
        if (!real[index_of(c)]) view->real_id[index_of(c)] = recorded->second.real_id[index_of(c)];
        // Nothing is read from another topic of the same name.
        if (made_anew(name, recorded->second, c)) real[index_of(c)] = nullptr;
      }
    }
    std::size_t count = at_home ? at_home->partitions.size() : 0;
    if (flipped) count = std::max(count, recorded->second.partitions.size());
    view->partitions.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      PartitionView& p = view->partitions[i];
      for (const Cluster c : both_clusters) {
        if (real[index_of(c)] && i < real[index_of(c)]->partitions.size())
          p.real[index_of(c)] = real[index_of(c)]->partitions[i];
      }
      p.fenced_epoch = view->internal ? -1 : epoch_at_fence(route, name, i);
      if (flipped && i < recorded->second.partitions.size()) {
        p.log = recorded->second.partitions[i].log;
        p.producers = recorded->second.partitions[i].producers;
      } else {
        p.log = VirtualLog::identity(home);  // also a partition that was added since
      }
    }
    if (!view->virtual_id.is_zero()) snapshot.topics_by_id[view->virtual_id] = view;
    snapshot.topics[name] = std::move(view);
  }
}

// The boundary's epoch is read after every proxy fenced, so it is not below this one: clients see epochs rise, although
// the old leaders may move on between the boundary and the record that closes the segment there.
LeaderEpoch Controller::Impl::epoch_at_fence(const RouteState& route, const std::string& topic,
                                             std::size_t partition) const {
  const auto phase = phases_.find(route.id);
  if (phase == phases_.end() || phase->second.phase != RoutePhase::fenced || !snapshot_) return -1;
  const PartitionView* before = snapshot_->partition(topic, static_cast<PartitionIndex>(partition));
  if (!before) return -1;
  return before->fenced_epoch >= 0 ? before->fenced_epoch : before->real[index_of(route.home)].leader_epoch;
}

void Controller::Impl::set_phase(const std::string& route_id, RoutePhase phase) {
  Phase& p = phases_[route_id];
  if (phase == RoutePhase::fenced) p.fence = next_fence_++;
  p.phase = phase;
  if (phase == RoutePhase::open) phases_.erase(route_id);
  topics_changed_ = true;  // what is announced of them while fenced
  publish();
}

}  // namespace crossover::proxy
