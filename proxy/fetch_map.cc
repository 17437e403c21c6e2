#include "proxy/fetch_map.h"

#include <algorithm>

#include "protocol/record_batch.h"
#include "proxy/endpoints.h"

namespace crossover::proxy {

using namespace protocol;

const TopicView* find_fetch_topic(const Snapshot& snapshot, const Request& request, const std::string& name,
                                  const Uuid& virtual_id) {
  return request.version() >= 13 ? snapshot.topic(virtual_id) : snapshot.topic(name);
}

FetchPlace find_fetch_place(SessionCore& core, const PartitionView& partition, Offset at) {
  FetchPlace place;
  place.at = at;
  place.segment = partition.log.find(at);
  const auto& segments = partition.log.segments();
  while (segments[place.segment].lost) {
    place.at = segments[++place.segment].virtual_base;
    ++core.worker().counters.skipped_segments;
  }
  const Segment& segment = segments[place.segment];
  place.at = std::max(place.at, segment.virtual_base);
  place.cluster = segment.cluster;
  place.node = partition.real[index_of(segment.cluster)].leader;
  if (segment.open()) place.node = core.own_node(segment.cluster).value_or(place.node);
  return place;
}

FetchRequest::FetchPartition fetch_row(const PartitionView& view, std::size_t at_segment, Offset at,
                                       const FetchRequest::FetchPartition& asked) {
  const Segment& segment = view.log.segments()[at_segment];
  FetchRequest::FetchPartition row;
  row.partition = asked.partition;
  row.fetch_offset = segment.to_real(at);
  row.partition_max_bytes = asked.partition_max_bytes;
  // An epoch of another segment means nothing to this cluster, and while fenced later ones are not announced.
  const bool own_epoch =
      segment.open() && view.fenced_epoch < 0 && asked.current_leader_epoch >= view.log.first_epoch(at_segment);
  row.current_leader_epoch = own_epoch ? asked.current_leader_epoch - segment.epoch_base : -1;
  return row;
}

FetchedPartition refused_fetch(PartitionIndex index, ErrorCode error) {
  FetchedPartition data;
  data.partition_index = index;
  data.error_code = error_code(error);
  data.high_watermark = -1;
  data.records = BytesView();
  return data;
}

bool shows_end(const Segment& segment, const FetchedPartition& data, std::int8_t isolation) {
  const bool committed_only = isolation == 1 && data.last_stable_offset >= 0;
  const Offset visible = committed_only ? data.last_stable_offset : data.high_watermark;
  return std::max(visible, data.log_start_offset) >= segment.real_end();
}

void map_fetched_records(const Segment& segment, FetchedPartition& data) {
  if (!data.records || data.records->empty()) return;
  if (segment.open() && segment.identity()) return;
  BatchCursor cursor{*data.records};
  char* const start = const_cast<char*>(data.records->data());
  std::size_t end = data.records->size();
  while (cursor.load()) {
    if (!segment.open() && cursor.header.base_offset >= segment.real_end()) {
      end = cursor.at;
      break;
    }
    patch_base_offset(start + cursor.at, segment.to_virtual(cursor.header.base_offset));
    LeaderEpoch epoch = cursor.header.leader_epoch + segment.epoch_base;
    if (!segment.open()) epoch = std::min(epoch, segment.boundary_epoch);
    patch_leader_epoch(start + cursor.at, epoch);
    cursor.advance();
  }
  // What is left over is a batch cut off by the broker: clients skip it, but its offset is real.
  if (cursor.at < end) end = cursor.at;
  data.records = data.records->substr(0, end);
}

namespace {

SessionCore::ShownMarks& shown_marks(SessionCore& core, const std::string& topic, PartitionIndex partition) {
  SessionCore::ShownMarks& shown = core.shown_marks[{topic, partition}];
  const TopicView* view = core.snapshot().topic(topic);
  if (view && shown.topic_id != view->virtual_id) shown = {view->virtual_id};
  return shown;
}

void map_marks(SessionCore& core, const std::string& topic, const VirtualLog& log, const Segment& segment,
               FetchedPartition& data) {
  if (log.segments().size() == 1) {
    if (segment.identity()) return;
    for (Offset* mark : {&data.high_watermark, &data.last_stable_offset, &data.log_start_offset}) {
      if (*mark >= 0) *mark = segment.to_virtual(*mark);
    }
    return;
  }
  SessionCore::ShownMarks& shown = shown_marks(core, topic, data.partition_index);
  const Segment& open = log.open_segment();
  // Only the open segment's leader knows what is beyond its base. All before it was stable when it was opened.
  const auto raise = [&](Offset& mark, Offset real) {
    const bool said = segment.open() && real >= 0;
    mark = std::max({mark, open.virtual_base, said ? segment.to_virtual(real) : open.virtual_base});
  };
  raise(shown.high_watermark, data.high_watermark);
  raise(shown.last_stable_offset, data.last_stable_offset);
  shown.last_stable_offset = std::min(shown.last_stable_offset, shown.high_watermark);
  data.high_watermark = shown.high_watermark;
  if (data.last_stable_offset >= 0) data.last_stable_offset = shown.last_stable_offset;
  data.log_start_offset = data.log_start_offset < 0 ? -1 : log.segments().front().virtual_base;
}

void map_identities(const SessionCore& core, const std::string& name, const Segment& segment, FetchedPartition& data) {
  const Snapshot& snapshot = core.snapshot();
  const TopicView* topic = snapshot.topic(name);
  data.diverging_epoch = {};
  data.snapshot_id = {};
  if (data.preferred_read_replica >= 0) {
    data.preferred_read_replica =
        segment.open() ? snapshot.to_virtual(segment.cluster, data.preferred_read_replica) : -1;
  }
  const NodeId leader =
      data.current_leader.leader_id >= 0 ? snapshot.to_virtual(segment.cluster, data.current_leader.leader_id) : -1;
  const bool announced = topic && segment.open() && announces_home(snapshot.route_of(*topic).phase);
  if (leader < 0 || !announced) {
    data.current_leader = {};
  } else {
    data.current_leader.leader_id = leader;
    data.current_leader.leader_epoch += segment.epoch_base;
  }
  if (data.aborted_transactions) {
    for (auto& aborted : *data.aborted_transactions) aborted.first_offset = segment.to_virtual(aborted.first_offset);
  }
}

}  // namespace

void map_fetched(SessionCore& core, const std::string& topic, const VirtualLog& log, const Segment& segment,
                 FetchedPartition& data) {
  map_marks(core, topic, log, segment, data);
  map_identities(core, topic, segment, data);
  if (!data.records) data.records = BytesView();
}

void note_shown_end(SessionCore& core, const std::string& topic, PartitionIndex partition, std::int8_t isolation,
                    Offset end) {
  if (!core.snapshot().partition(topic, partition)) return;
  SessionCore::ShownMarks& shown = shown_marks(core, topic, partition);
  shown.high_watermark = std::max(shown.high_watermark, end);  // the last stable offset is no higher
  if (isolation == 1) shown.last_stable_offset = std::max(shown.last_stable_offset, end);
}

FetchedPartition empty_fetch(SessionCore& core, const std::string& topic, const VirtualLog& log, PartitionIndex index) {
  FetchedPartition data;
  data.partition_index = index;
  data.high_watermark = -1;
  data.last_stable_offset = log.segments().size() > 1 ? 0 : -1;
  data.log_start_offset = data.last_stable_offset;
  data.records = BytesView();
  map_marks(core, topic, log, log.segments().front(), data);
  return data;
}

void note_fetch_error(SessionCore& core, Cluster cluster, std::int16_t error) {
  if (error == error_code(ErrorCode::NOT_LEADER_OR_FOLLOWER) || error == error_code(ErrorCode::FENCED_LEADER_EPOCH) ||
      error == error_code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)) {
    core.io().want_image(cluster, core.now());
  }
}

void add_fetch_endpoints(const Snapshot& snapshot, FetchResponse& answer) {
  std::set<NodeId> named;
  for (const auto& topic : answer.responses) {
    for (const auto& p : topic.partitions) {
      if (p.current_leader.leader_id >= 0) named.insert(p.current_leader.leader_id);
    }
  }
  name_endpoints(snapshot, named, answer.node_endpoints);
}

std::size_t fetched_bytes(const FetchResponse& answer) {
  std::size_t total = 0;
  for (const auto& topic : answer.responses) {
    for (const auto& p : topic.partitions) total += p.records ? p.records->size() : 0;
  }
  return total;
}

bool untouched_fetch(const FetchResponse& answer) {
  if (answer.error_code != 0 || !answer.node_endpoints.empty()) return false;
  for (const auto& topic : answer.responses) {
    for (const auto& p : topic.partitions) {
      if (p.error_code != 0 || p.preferred_read_replica >= 0 || p.current_leader.leader_id >= 0 ||
          p.diverging_epoch.epoch >= 0 || p.snapshot_id.epoch >= 0) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace crossover::proxy
