// Committed positions: virtual to the client, in its own cluster's terms where they are stored.
#pragma once

#include <algorithm>
#include <string>

#include "proxy/commit_tag.h"
#include "proxy/snapshot.h"

namespace crossover::proxy {

inline const TopicView* topic_of(const Snapshot& snapshot, const std::string& name, const Uuid& virtual_id) {
  return name.empty() && !virtual_id.is_zero() ? snapshot.topic(virtual_id) : snapshot.topic(name);
}

inline const TopicView* topic_by_real_id(const Snapshot& snapshot, Cluster cluster, const Uuid& real_id) {
  for (const auto& [name, topic] : snapshot.topics) {
    if (topic->real_id[index_of(cluster)] == real_id) return topic.get();
  }
  return nullptr;
}

// A log that never left that cluster.
inline bool stored_as_it_is(const VirtualLog& log, Cluster home) {
  return log.is_plain_identity() && log.home() == home;
}

// A virtual position as it is stored on `home`.
template <class Row>
void project(const Snapshot& snapshot, Cluster home, const std::string& topic, Row& row) {
  const PartitionView* partition = snapshot.partition(topic, row.partition_index);
  if (!partition || row.committed_offset < 0 || stored_as_it_is(partition->log, home)) return;
  const Offset virtual_offset = row.committed_offset;
  const Projection projection = partition->log.project(virtual_offset, row.committed_leader_epoch, home);
  row.committed_offset = projection.real;
  row.committed_leader_epoch = projection.epoch;
  std::string metadata = row.committed_metadata.value_or("");
  // Where the string is full the lowest position is meant when it is read back: replay, never a skip.
  if (!projection.invertible && metadata.size() + commit_tag_bytes <= commit_metadata_bytes) {
    row.committed_metadata = with_commit_tag(std::move(metadata), virtual_offset);
  }
}

// The way back. A tag counts only while it says the same as the offset beside it: a native tool may have reset that.
template <class Row>
void unproject(const Snapshot& snapshot, Cluster home, const std::string& topic, Row& row) {
  TaggedMetadata tagged = split_commit_tag(row.metadata.value_or(""));
  if (row.metadata) row.metadata = std::move(tagged.metadata);
  const PartitionView* partition = snapshot.partition(topic, row.partition_index);
  if (!partition || row.committed_offset < 0 || stored_as_it_is(partition->log, home)) return;
  const VirtualLog& log = partition->log;
  const Offset stored = row.committed_offset;
  const LeaderEpoch stored_epoch = row.committed_leader_epoch;
  row.committed_offset = log.inverse(stored, home);
  row.committed_leader_epoch = -1;
  if (tagged.virtual_offset && log.ever_projected(*tagged.virtual_offset, stored, home)) {
    row.committed_offset = *tagged.virtual_offset;
  }
  const std::size_t at = log.find(row.committed_offset);
  const Segment& segment = log.segments()[at];
  if (segment.cluster == home && stored_epoch >= 0 && segment.to_virtual(stored) == row.committed_offset) {
    const LeaderEpoch epoch = segment.epoch_base + stored_epoch;
    if (epoch >= log.first_epoch(at) && (segment.open() || epoch <= segment.boundary_epoch))
      row.committed_leader_epoch = epoch;
  }
}

// Commits of both kinds: projects the rows and puts the coordinator's topic ids in.
template <class Asked>
void project_commit(const Snapshot& snapshot, Cluster home, Asked& asked) {
  for (auto& topic : asked.topics) {
    const TopicView* view = topic_of(snapshot, topic.name, topic.topic_id);
    if (!view) continue;
    if (!topic.topic_id.is_zero()) topic.topic_id = view->real_id[index_of(home)];
    for (auto& row : topic.partitions) project(snapshot, home, view->name, row);
  }
}

}  // namespace crossover::proxy
