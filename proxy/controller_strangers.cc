// Writes past the proxy: records on either cluster that lie in no segment of the virtual log.
#include <algorithm>
#include <numeric>
#include <tuple>

#include "protocol/messages.h"
#include "proxy/controller_core.h"

namespace crossover::proxy {

using namespace protocol;

namespace {

constexpr Millis period_ms = 2'000;
constexpr Millis answer_ms = 5'000;

std::int64_t generations(const Snapshot& snapshot) {
  return std::accumulate(snapshot.routes.begin(), snapshot.routes.end(), std::int64_t{0},
                         [](std::int64_t sum, const RouteView& route) { return sum + route.generation; });
}

// Between two segments of one cluster lies what somebody else wrote while the log was homed on the other.
void find_gaps(const std::string& topic, PartitionIndex partition, const VirtualLog& log,
               std::vector<Controller::Stranger>& found) {
  for (const Cluster c : both_clusters) {
    const Segment* before = nullptr;
    for (const Segment& segment : log.segments()) {
      if (segment.cluster != c || segment.lost) continue;
      const Offset end = before ? before->real_end() : segment.real_base;
      if (segment.real_base > end) found.push_back({topic, partition, c, end, segment.real_base - end});
      before = &segment;
    }
  }
}

}  // namespace

Task<> Controller::Impl::watch_strangers() {
  for (;;) {
    Until due(
        *this, [] { return false; }, now_ + period_ms);
    co_await due;
    note_first_ends();
    if (running_step_.empty()) co_await look_for_strangers();
  }
}

// A topic that is there when the proxy starts may have been filled by a replicator or earlier; one that appears later
// is expected to be empty on the cluster that it is not homed on.
void Controller::Impl::note_first_ends() {
  for (const Cluster c : both_clusters) {
    if (topics_at_start_[index_of(c)] || !images_[index_of(c)]->known) continue;
    auto& names = topics_at_start_[index_of(c)].emplace();
    for (const auto& entry : images_[index_of(c)]->topics) names.insert(entry.first);
  }
}

Offset Controller::Impl::expected_end(const Place& place, Offset seen) {
  if (place.closed_end) return *place.closed_end;
  const auto& at_start = topics_at_start_[index_of(place.cluster)];
  const bool there_at_start = !at_start || at_start->contains(place.topic);
  return first_ends_.try_emplace({place.topic, place.partition}, there_at_start ? seen : 0).first->second;
}

// Every partition on the cluster that it is not homed on, by leader there.
std::map<std::pair<Cluster, NodeId>, std::vector<Controller::Impl::Place>> Controller::Impl::places_away_from_home()
    const {
  std::map<std::pair<Cluster, NodeId>, std::vector<Place>> by_leader;
  for (const auto& [name, topic] : snapshot_->topics) {
    for (std::size_t i = 0; i < topic->partitions.size() && !topic->internal; ++i) {
      const PartitionView& p = topic->partitions[i];
      const Cluster away = other(p.log.home());
      const NodeId leader = p.real[index_of(away)].leader;
      if (leader < 0) continue;
      const auto& segments = p.log.segments();
      const auto last = std::find_if(segments.rbegin(), segments.rend(),
                                     [away](const Segment& s) { return s.cluster == away && !s.lost; });
      Place place{name, static_cast<PartitionIndex>(i), away, std::nullopt};
      if (last != segments.rend()) place.closed_end = last->real_end();
      by_leader[{away, leader}].push_back(std::move(place));
    }
  }
  return by_leader;
}

Task<> Controller::Impl::look_for_strangers() {
  std::vector<Stranger> found;
  std::set<std::tuple<Cluster, std::string, PartitionIndex>> silent;
  for (const auto& [name, topic] : snapshot_->topics) {
    for (std::size_t i = 0; i < topic->partitions.size(); ++i)
      find_gaps(name, static_cast<PartitionIndex>(i), topic->partitions[i].log, found);
  }
  const std::int64_t before = generations(*snapshot_);
  const auto by_leader = places_away_from_home();
  for (const auto& [at, places] : by_leader) {
    for (const Place& place : places) silent.emplace(at.first, place.topic, place.partition);
    const auto version = version_of(at.first, ApiKey::ListOffsets, {1, 7});
    if (!version || !images_[index_of(at.first)]->reachable) continue;
    ListOffsetsRequest question;
    question.replica_id = -1;
    // Brokers answer in an order of their own, and once for each topic.
    std::map<std::pair<std::string, PartitionIndex>, const Place*> asked;
    for (const Place& place : places) {
      asked[{place.topic, place.partition}] = &place;
      if (question.topics.empty() || question.topics.back().name != place.topic)
        question.topics.emplace_back().name = place.topic;
      auto& row = question.topics.back().partitions.emplace_back();
      row.partition_index = place.partition;
      row.timestamp = -1;
    }
    const auto answer = co_await ask_for<ListOffsetsResponse>(at.first, at.second, *version, question, answer_ms);
    if (!answer) continue;
    for (const auto& topic : answer->topics) {
      for (const auto& row : topic.partitions) {
        const auto place = asked.find({topic.name, row.partition_index});
        if (place == asked.end() || row.error_code != 0) continue;
        silent.erase({at.first, topic.name, row.partition_index});
        const Offset end = expected_end(*place->second, row.offset);
        if (row.offset > end) found.push_back({topic.name, row.partition_index, at.first, end, row.offset - end});
      }
    }
  }
  // A flip meanwhile moved the ends that were compared with.
  if (!running_step_.empty() || generations(*snapshot_) != before) co_return;
  // What was found before and was not looked at now is still there.
  for (const Stranger& s : strangers_) {
    const bool told = std::any_of(found.begin(), found.end(), [&s](const Stranger& f) {
      return std::tie(f.cluster, f.topic, f.partition, f.first) == std::tie(s.cluster, s.topic, s.partition, s.first);
    });
    if (!told && silent.contains({s.cluster, s.topic, s.partition})) found.push_back(s);
  }
  if (found.size() > strangers_.size()) {
    io_.log("warn", "writes_past_the_proxy",
            {{"partitions", std::to_string(found.size())}, {"topic", found.back().topic}});
  }
  strangers_ = std::move(found);
}

}  // namespace crossover::proxy
