// ListOffsets, OffsetForLeaderEpoch, DeleteRecords, DescribeProducers over segments.
#include <algorithm>

#include "protocol/messages.h"
#include "protocol/record_batch.h"
#include "proxy/fetch_map.h"
#include "proxy/handlers.h"
#include "proxy/log_lookup.h"
#include "proxy/producer_id.h"
#include "proxy/producer_order.h"

namespace crossover::proxy {
namespace {

using namespace protocol;

constexpr std::int16_t code(ErrorCode e) {
  return static_cast<std::int16_t>(e);
}
constexpr std::int64_t earliest = -2, max_timestamp = -3;

RealOffset failed(ErrorCode error) {
  RealOffset result;
  result.error = code(error);
  return result;
}

RealOffset in_virtual(const VirtualLog& log, std::size_t at, RealOffset real) {
  const Segment& segment = log.segments()[at];
  if (real.offset >= 0) real.offset = segment.to_virtual(real.offset);
  if (real.leader_epoch >= 0) {
    real.leader_epoch += segment.epoch_base;
    if (!segment.open()) real.leader_epoch = std::min(real.leader_epoch, segment.boundary_epoch);
  }
  return real;
}

struct Place {
  std::string topic;
  PartitionIndex partition;
  std::int8_t isolation;
};

// The first offset that the virtual log still holds.
Task<RealOffset> virtual_earliest(SessionCore& core, const Request& request, Place place, VirtualLog log,
                                  std::int64_t which) {
  for (std::size_t i = 0; i < log.segments().size(); ++i) {
    const Segment segment = log.segments()[i];
    if (segment.nothing_to_read()) continue;
    RealOffset real =
        co_await list_real_offset(core, request, place.topic, place.partition, segment.cluster, which, place.isolation);
    if (real.error != 0) co_return real;
    real.offset = std::max(real.offset, segment.real_base);
    if (segment.open() || real.offset < segment.real_end()) co_return in_virtual(log, i, real);
  }
  co_return failed(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

Task<RealOffset> virtual_latest(SessionCore& core, const Request& request, Place place, VirtualLog log,
                                std::int64_t which) {
  const Segment open = log.open_segment();
  RealOffset real =
      co_await list_real_offset(core, request, place.topic, place.partition, open.cluster, which, place.isolation);
  if (real.error != 0) co_return real;
  // -1: there is none, of those in remote storage say.
  if (real.offset >= 0) real.offset = std::max(real.offset, open.real_base);
  co_return in_virtual(log, log.segments().size() - 1, real);
}

// The batch headers of a segment from its start on: needed only where the cluster's own answer lies before the segment,
// in records of the same topic that belong to no segment or to an earlier one.
Task<RealOffset> scan_by_timestamp(SessionCore& core, const Request& request, Place place, Segment segment,
                                   std::int64_t timestamp) {
  constexpr VersionRange by_name{4, 12};
  const auto version = version_for(core.snapshot(), segment.cluster, ApiKey::Fetch, by_name);
  RealOffset nothing;
  Offset at = segment.real_base;
  while (version && (segment.open() || at < segment.real_end())) {
    const PartitionView* view = core.snapshot().partition(place.topic, place.partition);
    const NodeId leader = view ? view->real[index_of(segment.cluster)].leader : -1;
    if (leader < 0) co_return failed(ErrorCode::LEADER_NOT_AVAILABLE);
    FetchRequest ask;
    ask.max_bytes = 8 << 20;
    ask.isolation_level = place.isolation;
    auto& t = ask.topics.emplace_back();
    t.topic = place.topic;
    auto& p = t.partitions.emplace_back();
    p.partition = place.partition;
    p.fetch_offset = at;
    p.partition_max_bytes = 8 << 20;
    const Bytes body = encode(ask, *version);
    Call call = core.send(request, segment.cluster, leader, ApiKey::Fetch, *version, body);
    core.limit_fetch(call, core.options().limits.call_ms);
    const CallState& answered = co_await call;
    const auto answer =
        answered.status == CallStatus::answered ? decode<FetchResponse>(answered.body(), *version) : std::nullopt;
    if (!answer || answer->responses.empty() || answer->responses[0].partitions.empty())
      co_return failed(ErrorCode::LEADER_NOT_AVAILABLE);
    const auto& data = answer->responses[0].partitions[0];
    note_fetch_error(core, segment.cluster, data.error_code);
    if (data.error_code != 0) co_return failed(ErrorCode::LEADER_NOT_AVAILABLE);
    BatchCursor cursor{data.records.value_or(BytesView())};
    const Offset before = at;
    for (; cursor.load(); cursor.advance()) {
      if (!segment.open() && cursor.header.base_offset >= segment.real_end()) co_return nothing;
      at = cursor.header.last_offset() + 1;
      if (cursor.header.is_control() || cursor.header.max_timestamp < timestamp) continue;
      const auto hit = find_by_timestamp(data.records->substr(cursor.at, cursor.header.total_bytes()), timestamp);
      if (!hit) continue;
      RealOffset result;
      result.offset = hit->offset;
      result.timestamp = hit->timestamp;
      result.leader_epoch = cursor.header.leader_epoch;
      co_return result;
    }
    if (at != before) continue;
    // The log's end, or only as far as a leader shows it that was just restarted.
    const bool whole = segment.open() || shows_end(segment, data, place.isolation);
    co_return whole ? nothing : failed(ErrorCode::LEADER_NOT_AVAILABLE);
  }
  co_return nothing;
}

// The first record at or after a time: the first segment that has one.
Task<RealOffset> virtual_by_timestamp(SessionCore& core, const Request& request, Place place, VirtualLog log,
                                      std::int64_t timestamp) {
  for (std::size_t i = 0; i < log.segments().size(); ++i) {
    const Segment segment = log.segments()[i];
    if (segment.nothing_to_read()) continue;
    RealOffset real = co_await list_real_offset(core, request, place.topic, place.partition, segment.cluster, timestamp,
                                                place.isolation);
    if (real.error != 0) co_return real;
    if (real.offset >= 0 && real.offset < segment.real_base) {
      real = co_await scan_by_timestamp(core, request, place, segment, timestamp);
      if (real.error != 0) co_return real;
    }
    if (real.offset >= 0 && segment.holds_real(real.offset)) co_return in_virtual(log, i, real);
  }
  co_return RealOffset{};
}

Task<RealOffset> virtual_max_timestamp(SessionCore& core, const Request& request, Place place, VirtualLog log) {
  RealOffset best;
  for (std::size_t i = 0; i < log.segments().size(); ++i) {
    const Segment segment = log.segments()[i];
    if (segment.nothing_to_read()) continue;
    const RealOffset real = co_await list_real_offset(core, request, place.topic, place.partition, segment.cluster,
                                                      max_timestamp, place.isolation);
    if (real.error != 0) co_return real;
    if (real.offset >= 0 && segment.holds_real(real.offset) && real.timestamp > best.timestamp)
      best = in_virtual(log, i, real);
  }
  co_return best;
}

Task<RealOffset> list_virtual(SessionCore& core, const Request& request, Place place, VirtualLog log,
                              std::int64_t timestamp) {
  if (timestamp >= 0) co_return co_await virtual_by_timestamp(core, request, place, log, timestamp);
  if (timestamp == max_timestamp) co_return co_await virtual_max_timestamp(core, request, place, log);
  constexpr std::int64_t earliest_local = -4;
  if (timestamp == earliest || timestamp == earliest_local)
    co_return co_await virtual_earliest(core, request, place, log, timestamp);
  co_return co_await virtual_latest(core, request, place, log, timestamp);
}

// Asked again when a flip closed the open segment meanwhile: what its cluster said of that may lie behind the end.
Task<RealOffset> list_settled(SessionCore& core, const Request& request, Place place, std::int64_t timestamp) {
  constexpr std::int64_t latest = -1;
  for (;;) {
    const PartitionView* view = core.snapshot().partition(place.topic, place.partition);
    if (!view) co_return failed(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    const VirtualLog log = view->log;
    const Segment open = log.open_segment();
    const RealOffset found = co_await list_virtual(core, request, place, log, timestamp);
    if (found.error != 0 || found.offset < open.virtual_base) co_return found;
    const Millis deadline = core.now() + core.options().limits.hold_ms;
    while (core.snapshot().awaits_boundary(place.topic, place.partition, open.generation)) {
      if (core.now() >= deadline) co_return failed(ErrorCode::NOT_LEADER_OR_FOLLOWER);
      SessionCore::Changed changed(core, deadline);
      co_await changed;
    }
    view = core.snapshot().partition(place.topic, place.partition);
    if (view && view->log.open_segment().generation != open.generation) continue;
    if (view && timestamp == latest) note_shown_end(core, place.topic, place.partition, place.isolation, found.offset);
    co_return found;
  }
}

// True when every partition asked for is one identity segment led by one broker: then the answer holds as it is.
std::optional<std::pair<Cluster, NodeId>> plain_destination(
    const SessionCore& core, const std::vector<std::pair<std::string, PartitionIndex>>& asked) {
  std::optional<std::pair<Cluster, NodeId>> to;
  for (const auto& [topic, index] : asked) {
    const PartitionView* view = core.snapshot().partition(topic, index);
    if (!view || !view->log.is_plain_identity()) return std::nullopt;
    const Cluster home = view->log.home();
    const NodeId node = core.own_node(home).value_or(view->real[index_of(home)].leader);
    if (node < 0 || (to && *to != std::pair(home, node))) return std::nullopt;
    to = std::pair(home, node);
  }
  return to;
}

bool any_awaits_boundary(const SessionCore& core, const std::vector<std::pair<std::string, PartitionIndex>>& asked) {
  return std::any_of(asked.begin(), asked.end(), [&core](const auto& place) {
    const PartitionView* view = core.snapshot().partition(place.first, place.second);
    return view && core.snapshot().awaits_boundary(place.first, place.second, view->log.open_segment().generation);
  });
}

// An answer that goes to the client as it came.
void note_plain(SessionCore& core, const ListOffsetsRequest& asked, Cluster home, BytesView body, Version version) {
  const auto answer = decode<ListOffsetsResponse>(body, version);
  if (!answer) return;
  std::map<std::pair<std::string, PartitionIndex>, std::int64_t> timestamps;
  for (const auto& topic : asked.topics) {
    for (const auto& p : topic.partitions) timestamps[{topic.name, p.partition_index}] = p.timestamp;
  }
  for (const auto& topic : answer->topics) {
    for (const auto& row : topic.partitions) {
      const auto timestamp = timestamps.find({topic.name, row.partition_index});
      if (timestamp == timestamps.end() || row.error_code != 0) continue;
      Offset offset = row.offset;
      for (const Offset old_style : row.old_style_offsets) offset = std::max(offset, old_style);
      note_listed(core, topic.name, row.partition_index, home, timestamp->second, offset);
    }
  }
}

void reply_late(SessionCore& core, Request& request, const ListOffsetsRequest& asked) {
  ListOffsetsResponse answer;
  for (const auto& topic : asked.topics) {
    auto& row = answer.topics.emplace_back();
    row.name = topic.name;
    for (const auto& p : topic.partitions) {
      auto& out = row.partitions.emplace_back();
      out.partition_index = p.partition_index;
      out.error_code = code(ErrorCode::NOT_LEADER_OR_FOLLOWER);
    }
  }
  core.reply(request, answer);
}

}  // namespace

Task<> handle_list_offsets(SessionCore& core, Request& request) {
  const auto asked = decode<ListOffsetsRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed ListOffsets request");
  std::vector<std::pair<std::string, PartitionIndex>> partitions;
  for (const auto& topic : asked->topics) {
    for (const auto& p : topic.partitions) partitions.emplace_back(topic.name, p.partition_index);
  }
  if (const auto to = plain_destination(core, partitions)) {
    Call call = core.forward(request, to->first, to->second);
    core.release(request);
    CallState& answered = co_await call;
    if (answered.status == CallStatus::late) co_return reply_late(core, request, *asked);
    if (answered.status != CallStatus::answered) co_return core.close("broker connection lost");
    const Millis deadline = core.now() + core.options().limits.hold_ms;
    while (any_awaits_boundary(core, partitions)) {
      if (core.now() >= deadline) co_return reply_late(core, request, *asked);
      SessionCore::Changed changed(core, deadline);
      co_await changed;
    }
    if (plain_destination(core, partitions)) {
      note_plain(core, *asked, to->first, answered.body(), request.version());
      co_return core.reply_with(request, answered);
    }
  }
  ListOffsetsResponse answer;
  for (const auto& topic : asked->topics) {
    auto& row = answer.topics.emplace_back();
    row.name = topic.name;
    for (const auto& p : topic.partitions) {
      auto& out = row.partitions.emplace_back();
      out.partition_index = p.partition_index;
      const Place place{topic.name, p.partition_index, asked->isolation_level};
      const RealOffset found = co_await list_settled(core, request, place, p.timestamp);
      out.error_code = found.error;
      out.offset = found.offset;
      out.timestamp = found.timestamp;
      out.leader_epoch = found.leader_epoch;
      if (request.version() == 0 && found.error == 0) out.old_style_offsets.push_back(found.offset);
    }
  }
  core.reply(request, answer);
}

namespace {

// Where a virtual leader epoch ended, from the cluster that had it, never beyond its segment.
Task<OffsetForLeaderEpochResponse::EpochEndOffset> epoch_end(SessionCore& core, const Request& request,
                                                             std::string topic, PartitionIndex partition,
                                                             LeaderEpoch epoch) {
  OffsetForLeaderEpochResponse::EpochEndOffset out;
  out.partition = partition;
  out.error_code = code(ErrorCode::NOT_LEADER_OR_FOLLOWER);
  const PartitionView* view = core.snapshot().partition(topic, partition);
  if (!view) {
    out.error_code = code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    co_return out;
  }
  const VirtualLog log = view->log;
  const std::size_t at = log.find_epoch(epoch);
  const Segment segment = log.segments()[at];
  if (!segment.open() && epoch >= segment.boundary_epoch) {
    // Known from the flip, whether that cluster still answers or not.
    out.error_code = 0;
    out.leader_epoch = segment.boundary_epoch;
    out.end_offset = segment.virtual_end();
    co_return out;
  }
  const auto version = version_for(core.snapshot(), segment.cluster, ApiKey::OffsetForLeaderEpoch, {2, 4});
  const NodeId leader = view->real[index_of(segment.cluster)].leader;
  if (!version || leader < 0) co_return out;
  OffsetForLeaderEpochRequest ask;
  ask.replica_id = -1;
  auto& t = ask.topics.emplace_back();
  t.topic = topic;
  auto& p = t.partitions.emplace_back();
  p.partition = partition;
  p.leader_epoch = epoch - segment.epoch_base;
  const Bytes body = encode(ask, *version);
  Call call = core.send(request, segment.cluster, leader, ApiKey::OffsetForLeaderEpoch, *version, body);
  const CallState& answered = co_await call;
  const auto answer = answered.status == CallStatus::answered
                          ? decode<OffsetForLeaderEpochResponse>(answered.body(), *version)
                          : std::nullopt;
  if (!answer || answer->topics.empty() || answer->topics[0].partitions.empty()) co_return out;
  const auto& got = answer->topics[0].partitions[0];
  out.error_code = got.error_code;
  if (out.error_code != 0) co_return out;
  out.leader_epoch = got.leader_epoch;
  out.end_offset = got.end_offset;
  if (out.end_offset < 0 || out.end_offset < segment.real_base) {
    // The cluster knew no such epoch in this segment: it ended where the segment before it did.
    out.leader_epoch = at > 0 ? log.segments()[at - 1].boundary_epoch : -1;
    out.end_offset = at > 0 ? segment.virtual_base : -1;
    co_return out;
  }
  if (!segment.open()) out.end_offset = std::min(out.end_offset, segment.real_end());
  out.end_offset = segment.to_virtual(out.end_offset);
  out.leader_epoch += segment.epoch_base;
  if (!segment.open()) out.leader_epoch = std::min(out.leader_epoch, segment.boundary_epoch);
  co_return out;
}

}  // namespace

Task<> handle_offset_for_leader_epoch(SessionCore& core, Request& request) {
  const auto asked = decode<OffsetForLeaderEpochRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed OffsetForLeaderEpoch request");
  OffsetForLeaderEpochResponse answer;
  for (const auto& topic : asked->topics) {
    auto& row = answer.topics.emplace_back();
    row.topic = topic.topic;
    for (const auto& p : topic.partitions) {
      auto end = co_await epoch_end(core, request, topic.topic, p.partition, p.leader_epoch);
      row.partitions.push_back(end);
    }
  }
  core.reply(request, answer);
}

namespace {

Task<RealOffset> delete_real_records(SessionCore& core, const Request& request, std::string topic,
                                     PartitionIndex partition, Cluster cluster, Offset before,
                                     std::int32_t timeout_ms) {
  RealOffset result = failed(ErrorCode::NOT_LEADER_OR_FOLLOWER);
  const PartitionView* view = core.snapshot().partition(topic, partition);
  const NodeId leader = view ? view->real[index_of(cluster)].leader : -1;
  if (leader < 0) co_return result;
  DeleteRecordsRequest ask;
  ask.timeout_ms = timeout_ms;
  auto& t = ask.topics.emplace_back();
  t.name = topic;
  auto& p = t.partitions.emplace_back();
  p.partition_index = partition;
  p.offset = before;
  const Version version = request.version();
  const Bytes body = encode(ask, version);
  Call call = core.send(request, cluster, leader, ApiKey::DeleteRecords, version, body);
  const CallState& answered = co_await call;
  const auto answer =
      answered.status == CallStatus::answered ? decode<DeleteRecordsResponse>(answered.body(), version) : std::nullopt;
  if (!answer || answer->topics.empty() || answer->topics[0].partitions.empty()) co_return result;
  result.error = answer->topics[0].partitions[0].error_code;
  result.offset = answer->topics[0].partitions[0].low_watermark;
  co_return result;
}

// Deletes what lies below a virtual offset, oldest segment first, so that a failure leaves no hole.
Task<RealOffset> delete_virtual_records(SessionCore& core, const Request& request, std::string topic,
                                        PartitionIndex partition, Offset before, std::int32_t timeout_ms) {
  const PartitionView* view = core.snapshot().partition(topic, partition);
  if (!view) co_return failed(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
  const VirtualLog log = view->log;
  constexpr Offset to_high_watermark = -1;
  RealOffset last = failed(ErrorCode::OFFSET_OUT_OF_RANGE);
  for (std::size_t i = 0; i < log.segments().size(); ++i) {
    const Segment segment = log.segments()[i];
    if (before != to_high_watermark && before < segment.virtual_base) break;
    if (segment.nothing_to_read()) continue;
    const bool whole = !segment.open() && (before == to_high_watermark || before >= segment.virtual_end());
    Offset real = whole                         ? segment.real_end()
                  : before == to_high_watermark ? to_high_watermark
                                                : segment.to_real(before);
    last = co_await delete_real_records(core, request, topic, partition, segment.cluster, real, timeout_ms);
    if (last.error != 0) co_return last;
    last = in_virtual(log, i, last);
    if (!whole) break;
  }
  if (last.error != 0) co_return last;
  // Less may have been asked for than was gone already.
  constexpr std::int64_t first_there = -2;
  const Place place{topic, partition, 0};
  const RealOffset start = co_await virtual_earliest(core, request, place, log, first_there);
  co_return start;
}

}  // namespace

Task<> handle_delete_records(SessionCore& core, Request& request) {
  const auto asked = decode<DeleteRecordsRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed DeleteRecords request");
  DeleteRecordsResponse answer;
  for (const auto& topic : asked->topics) {
    auto& row = answer.topics.emplace_back();
    row.name = topic.name;
    for (const auto& p : topic.partitions) {
      const RealOffset done =
          co_await delete_virtual_records(core, request, topic.name, p.partition_index, p.offset, asked->timeout_ms);
      auto& out = row.partitions.emplace_back();
      out.partition_index = p.partition_index;
      out.error_code = done.error;
      out.low_watermark = done.error == 0 ? done.offset : -1;
    }
  }
  core.reply(request, answer);
}

// --- DescribeProducers ---

namespace {

// Of the transactional ids that moved to that cluster, by the producer id that they have there.
std::map<ProducerId, std::pair<std::string, const TransactionalBinding*>> moved_to(const Bindings& bindings,
                                                                                   Cluster cluster) {
  std::map<ProducerId, std::pair<std::string, const TransactionalBinding*>> moved;
  for (const auto& [id, binding] : bindings.ids) {
    if (binding.home == cluster) moved[binding.real.id] = {id, &binding};
  }
  return moved;
}

// Where the transaction began, which may be a segment that was closed over it long ago.
Offset virtual_start(const VirtualLog& log, Cluster cluster, Offset real) {
  for (const Segment& segment : log.segments()) {
    const bool holds = segment.cluster == cluster && real >= segment.real_base &&
                       (segment.open() || real < segment.real_base + segment.length);
    if (holds) return segment.to_virtual(real);
  }
  return log.open_segment().virtual_base;
}

// What a leader says of its producers, as clients know them. A client may have been here before, under another name.
void show_producers(const Bindings& bindings, const std::string& topic, PartitionIndex index, const PartitionView& view,
                    std::vector<DescribeProducersResponse::ProducerState>& producers) {
  const Cluster cluster = view.log.home();
  const auto moved = moved_to(bindings, cluster);
  std::map<ProducerId, DescribeProducersResponse::ProducerState> shown;
  for (auto& producer : producers) {
    const ProducerName here{producer.producer_id, static_cast<ProducerEpoch>(producer.producer_epoch)};
    ProducerName known_as{virtual_from_any_wire(here.id, cluster), here.epoch};
    if (const auto at = moved.find(here.id); at != moved.end()) {
      const auto& [id, binding] = at->second;
      if (here.epoch < binding->real.epoch) continue;  // from an earlier stay
      known_as = bindings.to_virtual(id, here);
      const bool goes_on = binding->alias.id >= 0 && here == binding->real && producer.last_sequence >= 0;
      const auto before = goes_on ? written_before(*binding, topic, index, view.producers.get()) : std::nullopt;
      if (before) producer.last_sequence = sequence_plus(sequence_after(before->last_sequence), producer.last_sequence);
    }
    producer.producer_id = known_as.id;
    producer.producer_epoch = known_as.epoch;
    if (producer.current_txn_start_offset >= 0)
      producer.current_txn_start_offset = virtual_start(view.log, cluster, producer.current_txn_start_offset);
    const auto [at, fresh] = shown.try_emplace(producer.producer_id, producer);
    if (!fresh && producer.last_timestamp > at->second.last_timestamp) at->second = producer;
  }
  producers.clear();
  for (auto& [id, producer] : shown) producers.push_back(producer);
}

Task<DescribeProducersResponse::PartitionResponse> describe_producers(SessionCore& core, const Request& request,
                                                                      std::string topic, PartitionIndex index) {
  DescribeProducersResponse::PartitionResponse out;
  out.partition_index = index;
  out.error_code = code(ErrorCode::NOT_LEADER_OR_FOLLOWER);
  const std::shared_ptr<const Snapshot> snapshot = core.shared_snapshot();
  const PartitionView* view = snapshot->partition(topic, index);
  if (!view) out.error_code = code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
  const Cluster home = view ? view->log.home() : Cluster::source;
  const NodeId leader = view ? view->real[index_of(home)].leader : -1;
  if (leader < 0) co_return out;
  DescribeProducersRequest question;
  auto& row = question.topics.emplace_back();
  row.name = topic;
  row.partition_indexes.push_back(index);
  const Bytes body = encode(question, request.version());
  Call call = core.send(request, home, leader, ApiKey::DescribeProducers, request.version(), body);
  const CallState& answered = co_await call;
  auto got = answered.status == CallStatus::answered
                 ? decode<DescribeProducersResponse>(answered.body(), request.version())
                 : std::nullopt;
  if (!got || got->topics.empty() || got->topics[0].partitions.empty()) co_return out;
  out = std::move(got->topics[0].partitions[0]);
  show_producers(*snapshot->bindings, topic, index, *view, out.active_producers);
  co_return out;
}

}  // namespace

Task<> handle_describe_producers(SessionCore& core, Request& request) {
  const auto asked = decode<DescribeProducersRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed DescribeProducers request");
  DescribeProducersResponse answer;
  for (const auto& topic : asked->topics) {
    auto& row = answer.topics.emplace_back();
    row.name = topic.name;
    for (const PartitionIndex index : topic.partition_indexes) {
      auto described = co_await describe_producers(core, request, topic.name, index);
      row.partitions.push_back(std::move(described));
    }
  }
  core.reply(request, answer);
}

}  // namespace crossover::proxy
