#include "proxy/known_ends.h"

#include <algorithm>
#include <utility>

#include "proxy/producer_order.h"

namespace crossover::proxy {

namespace {

constexpr PartitionIndex most_partitions = 1'000'000;
// Beyond that a retry may be taken for a new batch, or a new batch wait a while for one before it.
constexpr std::size_t most_producers = 100'000;

}  // namespace

KnownEnds::Entry* KnownEnds::entry(const Place& place) {
  if (place.partition < 0 || place.partition >= most_partitions) return nullptr;
  std::vector<Entry>& partitions = topics_[index_of(place.cluster)][place.topic];
  const auto at = static_cast<std::size_t>(place.partition);
  if (partitions.size() <= at) partitions.resize(at + 1);
  Entry& entry = partitions[at];
  if (!entry.noted || entry.known.real_id != place.real_id) {
    producers_ -= entry.known.producers.size();
    entry = {};
    entry.known.real_id = place.real_id;
    entry.noted = entry.changed = true;
  }
  return &entry;
}

void KnownEnds::note(const Place& place, Offset end) {
  Entry* const found = end < 0 ? nullptr : entry(place);
  if (!found || end <= found->known.end) return;
  found->known.end = end;
  found->changed = true;
}

void KnownEnds::note_whole(const Place& place, Offset end) {
  note(place, end);
  if (Entry* const found = entry(place)) found->known.whole = true;
}

void KnownEnds::note_batch(const Place& place, Offset end, ProducerId producer, const ProducerEntry& last) {
  note(place, end);
  Entry* const found = entry(place);
  if (!found) return;
  found->changed = true;
  const auto known = found->known.producers.find(producer);
  if (known != found->known.producers.end()) {
    if (is_later(last, known->second)) known->second = last;
  } else if (producers_ < most_producers) {
    found->known.producers.emplace(producer, last);
    ++producers_;
  }
}

const KnownEnd* KnownEnds::find(Cluster cluster, const std::string& topic, PartitionIndex partition) const {
  const auto found = topics_[index_of(cluster)].find(topic);
  const auto at = static_cast<std::size_t>(partition);
  if (found == topics_[index_of(cluster)].end() || at >= found->second.size() || !found->second[at].noted)
    return nullptr;
  return &found->second[at].known;
}

std::vector<KnownEnds::Row> KnownEnds::take_changed(const Snapshot& snapshot) {
  std::vector<Row> rows;
  for (const Cluster c : both_clusters) {
    if (!snapshot.out_of_reach(c)) continue;
    std::vector<Row> of_cluster = take_changed(c);
    rows.insert(rows.end(), std::make_move_iterator(of_cluster.begin()), std::make_move_iterator(of_cluster.end()));
  }
  return rows;
}

std::vector<KnownEnds::Row> KnownEnds::take_changed(Cluster cluster) {
  std::vector<Row> rows;
  for (auto& [topic, partitions] : topics_[index_of(cluster)]) {
    for (std::size_t i = 0; i < partitions.size(); ++i) {
      if (!std::exchange(partitions[i].changed, false)) continue;
      rows.push_back({cluster, topic, static_cast<PartitionIndex>(i), partitions[i].known});
    }
  }
  return rows;
}

// Several workers may have acknowledged batches of one producer, and each knows only its own.
void KnownEnds::merge(const Row& row) {
  const Place place{row.cluster, row.topic, row.known.real_id, row.partition};
  note(place, row.known.end);
  Entry* const found = entry(place);
  if (!found) return;
  for (const auto& [producer, last] : row.known.producers) note_batch(place, row.known.end, producer, last);
}

}  // namespace crossover::proxy
