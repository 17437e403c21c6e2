#include "proxy/log_lookup.h"

#include <algorithm>

#include "protocol/messages.h"
#include "proxy/fetch_map.h"
#include "proxy/producer_id.h"

namespace crossover::proxy {

using namespace protocol;

std::optional<Version> version_for(const Snapshot& snapshot, Cluster cluster, ApiKey api, VersionRange wanted) {
  const auto& apis = snapshot.versions[index_of(cluster)]->apis;
  const auto spoken = apis.find(api);
  if (spoken == apis.end()) return std::nullopt;
  const Version last = std::min(wanted.last, spoken->second.last);
  if (last < std::max(wanted.first, spoken->second.first)) return std::nullopt;
  return last;
}

namespace {

NodeId leader_of(const SessionCore& core, const std::string& topic, PartitionIndex partition, Cluster cluster) {
  const PartitionView* view = core.snapshot().partition(topic, partition);
  return view ? view->real[index_of(cluster)].leader : -1;
}

constexpr VersionRange fetch_by_name{4, 12};
constexpr std::int64_t earliest = -2;

Bytes tail_fetch(const std::string& topic, PartitionIndex partition, Offset from, Version version) {
  FetchRequest ask;
  ask.max_wait_ms = 0;
  ask.min_bytes = 0;
  ask.max_bytes = 8 << 20;
  ask.session_epoch = -1;
  auto& t = ask.topics.emplace_back();
  t.topic = topic;
  auto& p = t.partitions.emplace_back();
  p.partition = partition;
  p.fetch_offset = from;
  p.partition_max_bytes = 8 << 20;
  return encode(ask, version);
}

bool is_same_batch(const BatchHeader& found, const BatchHeader& wanted, ProducerId wire) {
  return found.producer_id == wire && found.producer_epoch == wanted.producer_epoch &&
         found.base_sequence == wanted.base_sequence && found.last_offset_delta == wanted.last_offset_delta;
}

// Within so many records of the segment's end.
Task<std::optional<Offset>> find_in_segment(SessionCore& core, const Request& origin, std::string topic,
                                            PartitionIndex partition, Segment segment, BatchHeader batch, Offset most) {
  const auto version = version_for(core.snapshot(), segment.cluster, ApiKey::Fetch, fetch_by_name);
  const NodeId leader = leader_of(core, topic, partition, segment.cluster);
  if (!version || leader < 0) co_return std::nullopt;
  const ProducerId wire = wire_producer_id(batch.producer_id, segment.cluster, segment.generation);
  // A retry is of one of the last few batches of its producer: look a little before the end, then ever further.
  for (Offset reach = 1000;; reach *= 8) {
    const Offset first = std::max(segment.real_base, segment.real_end() - reach);
    Offset at = first;
    while (at < segment.real_end()) {
      const Bytes body = tail_fetch(topic, partition, at, *version);
      Call call = core.send(origin, segment.cluster, leader, ApiKey::Fetch, *version, body);
      core.limit_fetch(call, core.options().limits.call_ms);
      const CallState& answered = co_await call;
      if (answered.status != CallStatus::answered) co_return std::nullopt;
      const auto answer = decode<FetchResponse>(answered.body(), *version);
      if (!answer || answer->responses.empty() || answer->responses[0].partitions.empty()) co_return std::nullopt;
      const auto& data = answer->responses[0].partitions[0];
      note_fetch_error(core, segment.cluster, data.error_code);
      if (data.error_code == error_code(ErrorCode::OFFSET_OUT_OF_RANGE)) {
        const RealOffset start =
            co_await list_real_offset(core, origin, topic, partition, segment.cluster, earliest, 0);
        if (start.error != 0 || start.offset <= at) co_return std::nullopt;
        at = start.offset;  // retention took what is before
        continue;
      }
      if (data.error_code != 0) co_return std::nullopt;
      BatchCursor cursor{data.records.value_or(BytesView())};
      Offset next = at;
      for (; cursor.load(); cursor.advance()) {
        const bool inside =
            cursor.header.base_offset < segment.real_end();  // a straggler behind the end lies in no segment
        if (inside && is_same_batch(cursor.header, batch, wire))
          co_return segment.to_virtual(cursor.header.base_offset);
        next = cursor.header.last_offset() + 1;
      }
      if (next == at && !shows_end(segment, data, 0)) co_return std::nullopt;
      if (next == at) break;
      at = next;
    }
    if (first == segment.real_base || reach >= most) co_return -1;
  }
}

}  // namespace

Task<std::optional<Offset>> find_landed_batch(SessionCore& core, const Request& origin, std::string topic,
                                              PartitionIndex partition, VirtualLog log, BatchHeader batch,
                                              std::int32_t generation) {
  Offset most = 10'000'000;
  for (std::size_t i = log.segments().size(); i-- > 0;) {
    const Segment segment = log.segments()[i];
    if (segment.open() || segment.generation > generation) continue;
    if (segment.generation < generation && segment.nothing_to_read()) continue;
    const auto found = co_await find_in_segment(core, origin, topic, partition, segment, batch, most);
    if (!found || *found >= 0) co_return found;
    most = 500'000;  // it was under way when the segment was closed
  }
  co_return -1;
}

Task<LeaderView> ask_leader(SessionCore& core, const Request& origin, std::string topic, PartitionIndex partition,
                            std::pair<Cluster, NodeId> at, ProducerId wire_id) {
  DescribeProducersRequest ask;
  auto& t = ask.topics.emplace_back();
  t.name = topic;
  t.partition_indexes.push_back(partition);
  const Bytes body = encode(ask, 0);
  Call call = core.send(origin, at.first, at.second, ApiKey::DescribeProducers, 0, body);
  const CallState& answered = co_await call;
  LeaderView view;
  if (answered.status != CallStatus::answered) co_return view;
  const auto answer = decode<DescribeProducersResponse>(answered.body(), 0);
  if (!answer || answer->topics.empty() || answer->topics[0].partitions.empty()) co_return view;
  const auto& row = answer->topics[0].partitions[0];
  view.answered = row.error_code == 0;
  for (const auto& p : row.active_producers) {
    if (p.producer_id == wire_id) view.producer = {static_cast<ProducerEpoch>(p.producer_epoch), p.last_sequence, 0};
  }
  co_return view;
}

void note_listed(SessionCore& core, const std::string& topic, PartitionIndex partition, Cluster cluster,
                 std::int64_t timestamp, Offset offset) {
  constexpr std::int64_t max_timestamp = -3;
  const TopicView* view = core.snapshot().topic(topic);
  const PartitionView* of = core.snapshot().partition(topic, partition);
  if (!view || !of || of->log.home() != cluster || offset < 0) return;
  const bool is_record = timestamp >= 0 || timestamp == max_timestamp;
  const Offset end = is_record ? offset + 1 : offset;
  core.worker().known_ends.note({cluster, topic, view->real_id[index_of(cluster)], partition}, end);
}

Task<RealOffset> list_real_offset(SessionCore& core, const Request& origin, std::string topic, PartitionIndex partition,
                                  Cluster cluster, std::int64_t timestamp, std::int8_t isolation) {
  RealOffset result;
  result.error = static_cast<std::int16_t>(ErrorCode::LEADER_NOT_AVAILABLE);
  const Version lowest = timestamp >= -2 ? 1 : timestamp == -3 ? 7 : timestamp == -4 ? 8 : timestamp == -5 ? 9 : 11;
  const auto version = version_for(core.snapshot(), cluster, ApiKey::ListOffsets, {lowest, 11});
  if (!version) {
    result.error = static_cast<std::int16_t>(ErrorCode::UNSUPPORTED_VERSION);
    co_return result;
  }
  const NodeId leader = leader_of(core, topic, partition, cluster);
  if (leader < 0) co_return result;
  ListOffsetsRequest ask;
  ask.replica_id = -1;
  ask.isolation_level = isolation;
  auto& t = ask.topics.emplace_back();
  t.name = topic;
  auto& p = t.partitions.emplace_back();
  p.partition_index = partition;
  p.timestamp = timestamp;
  const Bytes body = encode(ask, *version);
  Call call = core.send(origin, cluster, leader, ApiKey::ListOffsets, *version, body);
  const CallState& answered = co_await call;
  if (answered.status != CallStatus::answered) co_return result;
  const auto answer = decode<ListOffsetsResponse>(answered.body(), *version);
  if (!answer || answer->topics.empty() || answer->topics[0].partitions.empty()) co_return result;
  const auto& row = answer->topics[0].partitions[0];
  result.error = row.error_code;
  if (row.error_code == 0) {
    result.offset = row.offset;
    result.timestamp = row.timestamp;
    result.leader_epoch = row.leader_epoch;
    note_listed(core, topic, partition, cluster, timestamp, row.offset);
  }
  if (row.error_code == static_cast<std::int16_t>(ErrorCode::NOT_LEADER_OR_FOLLOWER))
    core.io().want_image(cluster, core.now());
  co_return result;
}

}  // namespace crossover::proxy
