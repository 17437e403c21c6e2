// Fetch: every partition is read from the segment that holds its offset, cut at the segment's end, and shown in virtual
// terms. What is left empty by compaction, control records or retention is skipped forward, never answered as a reset.
//
// Sessions (KIP-227) end here: the answer carries session id 0, which keeps clients in full fetches without an error.
#include <algorithm>
#include <list>

#include "protocol/messages.h"
#include "protocol/record_batch.h"
#include "proxy/handlers.h"
#include "proxy/log_lookup.h"

namespace crossover::proxy {
namespace {

using namespace protocol;
using PartitionData = FetchResponse::PartitionData;
using Destination = std::pair<Cluster, NodeId>;

constexpr std::int16_t code(ErrorCode e) {
  return static_cast<std::int16_t>(e);
}

// While one answer is assembled from several brokers, an idle one must not keep back what another has.
constexpr std::int32_t split_wait_ms = 100;

struct Want {
  std::size_t topic = 0, partition = 0;  // places in the request
  std::string name;
  Uuid real_id;
  std::optional<PartitionData> answer;
  Offset at = 0;  // virtual
  std::int32_t generation = 0;
  bool open = true;
  Destination to{};
};

PartitionData refused(PartitionIndex index, ErrorCode error) {
  PartitionData data;
  data.partition_index = index;
  data.error_code = code(error);
  data.high_watermark = -1;
  data.records = BytesView();
  return data;
}

const TopicView* find_topic(const Snapshot& snapshot, Version version, const FetchRequest::FetchTopic& topic) {
  return version >= 13 ? snapshot.topic(topic.topic_id) : snapshot.topic(topic.topic);
}

std::optional<std::size_t> segment_index(const VirtualLog& log, std::int32_t generation) {
  for (std::size_t i = 0; i < log.segments().size(); ++i) {
    if (log.segments()[i].generation == generation) return i;
  }
  return std::nullopt;
}

// Picks the segment and the broker for a want's present position.
void place(const SessionCore& core, const TopicView& topic, const PartitionView& partition, PartitionIndex index,
           Want& want) {
  std::size_t at = partition.log.find(want.at);
  const auto& segments = partition.log.segments();
  // A topic that is gone on a closed segment's cluster took that part of the history with it.
  while (!segments[at].open() && !topic.exists[index_of(segments[at].cluster)]) {
    want.at = segments[++at].virtual_base;
    ++const_cast<SessionCore&>(core).worker().counters.skipped_segments;
  }
  const Segment& segment = segments[at];
  want.at = std::max(want.at, segment.virtual_base);
  want.generation = segment.generation;
  want.open = segment.open();
  want.real_id = topic.real_id[index_of(segment.cluster)];
  NodeId node = partition.real[index_of(segment.cluster)].leader;
  if (segment.open()) node = core.own_node(segment.cluster).value_or(node);
  if (node < 0) {
    want.answer = refused(index, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    return;
  }
  want.to = {segment.cluster, node};
}

// nullptr when the topic or partition went away.
const PartitionView* view_of(const SessionCore& core, const FetchRequest& asked, const Want& want) {
  return core.snapshot().partition(want.name, asked.topics[want.topic].partitions[want.partition].partition);
}

std::vector<Want> plan(const SessionCore& core, const Request& request, const FetchRequest& asked) {
  std::vector<Want> wants;
  for (std::size_t t = 0; t < asked.topics.size(); ++t) {
    const TopicView* topic = find_topic(core.snapshot(), request.version(), asked.topics[t]);
    for (std::size_t p = 0; p < asked.topics[t].partitions.size(); ++p) {
      const auto& row = asked.topics[t].partitions[p];
      Want& want = wants.emplace_back();
      want.topic = t;
      want.partition = p;
      want.at = row.fetch_offset;
      const PartitionView* partition = topic ? core.snapshot().partition(topic->name, row.partition) : nullptr;
      if (!partition) {
        want.answer = refused(row.partition, request.version() >= 13 && !topic ? ErrorCode::UNKNOWN_TOPIC_ID
                                                                               : ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        continue;
      }
      want.name = topic->name;
      if (row.fetch_offset < 0) {
        want.answer = refused(row.partition, ErrorCode::OFFSET_OUT_OF_RANGE);
        continue;
      }
      place(core, *topic, *partition, row.partition, want);
    }
  }
  return wants;
}

bool waits_for_release(const SessionCore& core, const std::vector<Want>& wants) {
  return std::any_of(wants.begin(), wants.end(), [&core](const Want& want) {
    const TopicView* topic = want.answer || !want.open ? nullptr : core.snapshot().topic(want.name);
    return topic && core.snapshot().route_of(*topic).phase == RoutePhase::releasing;
  });
}

std::vector<Destination> destinations(const std::vector<Want>& wants) {
  std::vector<Destination> to;
  for (const Want& want : wants) {
    if (!want.answer && std::find(to.begin(), to.end(), want.to) == to.end()) to.push_back(want.to);
  }
  return to;
}

Bytes request_for(const SessionCore& core, const Request& request, const FetchRequest& asked,
                  const std::vector<Want>& wants, Destination to, std::int32_t max_wait_ms, std::size_t parts) {
  FetchRequest part;
  part.replica_id = -1;
  part.max_wait_ms = max_wait_ms;
  part.min_bytes = asked.min_bytes;
  part.max_bytes =
      parts > 1 ? std::max<std::int32_t>(asked.max_bytes / static_cast<std::int32_t>(parts), 1 << 20) : asked.max_bytes;
  part.isolation_level = asked.isolation_level;
  part.session_epoch = -1;
  for (const Want& want : wants) {
    if (want.answer || want.to != to) continue;
    const PartitionView* view = view_of(core, asked, want);
    const auto at = view ? segment_index(view->log, want.generation) : std::nullopt;
    if (!at) continue;
    const Segment& segment = view->log.segments()[*at];
    if (want.open) part.rack_id = asked.rack_id;
    if (part.topics.empty() || part.topics.back().topic != want.name) {
      auto& topic = part.topics.emplace_back();
      topic.topic = want.name;
      topic.topic_id = want.real_id;
    }
    const auto& row = asked.topics[want.topic].partitions[want.partition];
    auto& p = part.topics.back().partitions.emplace_back();
    p.partition = row.partition;
    p.fetch_offset = segment.to_real(want.at);
    p.partition_max_bytes = row.partition_max_bytes;
    // An epoch of another segment means nothing to this cluster, and while fenced later ones are not announced.
    const bool own_epoch =
        segment.open() && view->fenced_epoch < 0 && row.current_leader_epoch >= view->log.first_epoch(*at);
    p.current_leader_epoch = own_epoch ? row.current_leader_epoch - segment.epoch_base : -1;
  }
  return encode(part, request.version());
}

// Cuts at the segment's end and patches offsets and epochs in place. `records` lies in a frame that we own.
void map_records(const Segment& segment, PartitionData& data) {
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

void map_marks(SessionCore& core, const std::string& name, const VirtualLog& log, const Segment& segment,
               PartitionData& data) {
  if (log.segments().size() == 1) {
    if (segment.identity()) return;
    for (Offset* mark : {&data.high_watermark, &data.last_stable_offset, &data.log_start_offset}) {
      if (*mark >= 0) *mark = segment.to_virtual(*mark);
    }
    return;
  }
  Offset& shown = core.shown_high_watermark[{name, data.partition_index}];
  const Segment& open = log.open_segment();
  if (segment.open() && data.high_watermark >= 0) shown = std::max(shown, segment.to_virtual(data.high_watermark));
  shown = std::max(shown, open.virtual_base);
  const Offset stable =
      segment.open() && data.last_stable_offset >= 0 ? segment.to_virtual(data.last_stable_offset) : shown;
  data.last_stable_offset = data.last_stable_offset < 0 ? -1 : std::max(stable, open.virtual_base);
  data.high_watermark = shown;
  data.log_start_offset = data.log_start_offset < 0 ? -1 : log.segments().front().virtual_base;
}

void map_identities(const SessionCore& core, const std::string& name, const Segment& segment, PartitionData& data) {
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
  const bool announced = topic && segment.open() && snapshot.route_of(*topic).phase == RoutePhase::open;
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

enum class Outcome { answered, next_segment, find_start };

// Turns one broker's word on a partition into the answer, or says how to go on.
Outcome take(SessionCore& core, Want& want, const VirtualLog& log, std::size_t at, PartitionData data,
             bool others_had_data) {
  const Segment& segment = log.segments()[at];
  if (data.error_code == code(ErrorCode::OFFSET_OUT_OF_RANGE) && log.segments().size() > 1) return Outcome::find_start;
  if (data.error_code == code(ErrorCode::NOT_LEADER_OR_FOLLOWER) ||
      data.error_code == code(ErrorCode::FENCED_LEADER_EPOCH) ||
      data.error_code == code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)) {
    core.io().want_image(segment.cluster, core.now());
  }
  const bool had_records = data.records && !data.records->empty();
  map_records(segment, data);
  const bool empty = !data.records || data.records->empty();
  // Nothing below the end of a closed segment: go on at once. Unless the answer's bytes went to other partitions, or it
  // is from before the end, when records could still come: then the client asks again.
  if (!segment.open() && data.error_code == 0 && empty && (had_records || (!want.open && !others_had_data)))
    return Outcome::next_segment;
  map_marks(core, want.name, log, segment, data);
  map_identities(core, want.name, segment, data);
  if (!data.records) data.records = BytesView();
  want.answer = std::move(data);
  return Outcome::answered;
}

// The broker has nothing at that offset: records below its log start are gone (retention, DeleteRecords). Goes on where
// the cluster's log starts now, or with the next segment; out of range only where nothing older is left at all.
Task<> skip_forward(SessionCore& core, const Request& request, const FetchRequest& asked, Want& want) {
  constexpr std::int64_t earliest = -2;
  const PartitionIndex index = asked.topics[want.topic].partitions[want.partition].partition;
  const PartitionView* view = view_of(core, asked, want);
  const auto at = view ? segment_index(view->log, want.generation) : std::nullopt;
  if (!at) {
    want.answer = refused(index, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    co_return;
  }
  const Segment segment = view->log.segments()[*at];
  bool older_left = false;
  for (std::size_t i = 0; i < *at && !older_left; ++i) {
    view = view_of(core, asked, want);
    if (!view || i >= view->log.segments().size()) break;
    const Segment older = view->log.segments()[i];
    const RealOffset start = co_await list_real_offset(core, request, want.name, index, older.cluster, earliest, 0);
    older_left = start.error == 0 && start.offset < older.real_end() && older.length > 0;
  }
  const RealOffset start = co_await list_real_offset(core, request, want.name, index, segment.cluster, earliest, 0);
  if (start.error != 0) {
    want.answer = refused(index, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    co_return;
  }
  const bool below_start = segment.to_real(want.at) < start.offset;
  if (!below_start ||
      (!older_left && want.at == asked.topics[want.topic].partitions[want.partition].fetch_offset && *at == 0)) {
    want.answer = refused(index, ErrorCode::OFFSET_OUT_OF_RANGE);
    co_return;
  }
  ++core.worker().counters.skipped_segments;
  const bool emptied = !segment.open() && start.offset >= segment.real_end();
  want.at = emptied ? segment.virtual_end() : segment.to_virtual(std::max(start.offset, segment.real_base));
}

std::size_t record_bytes(const FetchResponse& answer) {
  std::size_t total = 0;
  for (const auto& topic : answer.responses) {
    for (const auto& p : topic.partitions) total += p.records ? p.records->size() : 0;
  }
  return total;
}

// A whole answer that needs no change at all.
bool untouched(const FetchResponse& answer) {
  if (answer.session_id != 0 || !answer.node_endpoints.empty()) return false;
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

bool all_plain(const SessionCore& core, const FetchRequest& asked, const std::vector<Want>& wants) {
  return std::all_of(wants.begin(), wants.end(), [&](const Want& want) {
    if (want.answer) return false;
    const PartitionView* view = view_of(core, asked, want);
    return view && view->log.is_plain_identity() && want.real_id == core.snapshot().topic(want.name)->virtual_id;
  });
}

void add_endpoints(const Snapshot& snapshot, FetchResponse& answer) {
  std::set<NodeId> named;
  for (const auto& topic : answer.responses) {
    for (const auto& p : topic.partitions) {
      if (p.current_leader.leader_id >= 0) named.insert(p.current_leader.leader_id);
    }
  }
  for (const NodeId id : named) {
    const auto broker = snapshot.brokers.find(id);
    if (broker == snapshot.brokers.end()) continue;
    auto& row = answer.node_endpoints.emplace_back();
    row.node_id = id;
    row.host = snapshot.advertised_host;
    row.port = broker->second.port;
    row.rack = broker->second.rack;
  }
}

// One broker's answer, whose frame must outlive the assembled one: records point into it.
struct Sent {
  Destination to;
  Call call;
};

std::vector<std::size_t> apply(SessionCore& core, const Request& request, const FetchRequest& asked,
                               std::vector<Want>& wants, Destination to, const FetchResponse& answer) {
  std::vector<std::size_t> expired;
  const std::size_t total = record_bytes(answer);
  for (const auto& topic : answer.responses) {
    for (const auto& data : topic.partitions) {
      for (std::size_t i = 0; i < wants.size(); ++i) {
        Want& want = wants[i];
        const bool same = request.version() >= 13 ? want.real_id == topic.topic_id : want.name == topic.topic;
        if (want.answer || want.to != to || !same ||
            asked.topics[want.topic].partitions[want.partition].partition != data.partition_index)
          continue;
        const PartitionView* view = view_of(core, asked, want);
        const TopicView* view_topic = core.snapshot().topic(want.name);
        const auto at = view ? segment_index(view->log, want.generation) : std::nullopt;
        if (!at) {
          want.answer = refused(data.partition_index, ErrorCode::NOT_LEADER_OR_FOLLOWER);
          break;
        }
        const std::size_t own = data.records ? data.records->size() : 0;
        switch (take(core, want, view->log, *at, data, total > own)) {
          case Outcome::answered:
            break;
          case Outcome::find_start:
            expired.push_back(i);
            break;
          case Outcome::next_segment:
            want.at = view->log.segments()[*at].virtual_end();
            place(core, *view_topic, *view, data.partition_index, want);
            break;
        }
        break;
      }
    }
  }
  return expired;
}

FetchResponse assembled(const SessionCore& core, const FetchRequest& asked, std::vector<Want>& wants,
                        std::int32_t throttle) {
  FetchResponse answer;
  answer.throttle_time_ms = throttle;
  std::size_t i = 0;
  for (const auto& topic : asked.topics) {
    auto& row = answer.responses.emplace_back();
    row.topic = topic.topic;
    row.topic_id = topic.topic_id;
    for (const auto& p : topic.partitions) {
      Want& want = wants[i++];
      row.partitions.push_back(want.answer ? std::move(*want.answer)
                                           : refused(p.partition, ErrorCode::NOT_LEADER_OR_FOLLOWER));
    }
  }
  add_endpoints(core.snapshot(), answer);
  return answer;
}

bool any_records(const std::vector<Want>& wants) {
  return std::any_of(wants.begin(), wants.end(), [](const Want& w) {
    return w.answer && (w.answer->error_code != 0 || (w.answer->records && !w.answer->records->empty()));
  });
}

bool any_closed(const std::vector<Want>& wants) {
  return std::any_of(wants.begin(), wants.end(), [](const Want& w) { return !w.answer && !w.open; });
}

}  // namespace

Task<> handle_fetch(SessionCore& core, Request& request) {
  const auto asked = decode<FetchRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed Fetch request");
  if (asked->session_epoch > 0) {
    // No session was ever granted: the client goes on with full requests.
    FetchResponse answer;
    answer.error_code = code(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    co_return core.reply(request, answer);
  }
  std::vector<Want> wants = plan(core, request, *asked);
  const Millis release_deadline = core.now() + 1'000;
  while (waits_for_release(core, wants) && core.now() < release_deadline) {
    SessionCore::Changed changed(core, release_deadline);
    co_await changed;
    wants = plan(core, request, *asked);
  }

  std::list<Sent> sent;  // kept until the answer is encoded
  std::int32_t throttle = 0;
  // Each round moves a partition to a later segment or answers it, so this ends.
  for (std::vector<Destination> to = destinations(wants); !to.empty(); to = destinations(wants)) {
    const bool at_once = any_closed(wants) || any_records(wants);
    const std::int32_t wait = at_once         ? 0
                              : to.size() > 1 ? std::min(asked->max_wait_ms, split_wait_ms)
                                              : asked->max_wait_ms;
    const bool alone = sent.empty() && to.size() == 1 && all_plain(core, *asked, wants);
    if (to.size() > 1) ++core.worker().counters.split_requests;
    std::list<Sent> round;
    for (const Destination& d : to) {
      const Bytes body = request_for(core, request, *asked, wants, d, wait, to.size());
      round.push_back({d, core.send(request, d.first, d.second, ApiKey::Fetch, request.version(), body)});
    }
    for (Sent& s : round) {
      CallState& answered = co_await s.call;
      auto answer = answered.status == CallStatus::answered ? decode<FetchResponse>(answered.body(), request.version())
                                                            : std::nullopt;
      std::vector<std::size_t> expired;
      if (answer) {
        throttle = std::max(throttle, answer->throttle_time_ms);
        core.worker().counters.fetch_bytes += record_bytes(*answer);
        if (alone && untouched(*answer) && all_plain(core, *asked, wants)) co_return core.reply_with(request, answered);
        expired = apply(core, request, *asked, wants, s.to, *answer);
      } else {
        core.io().want_image(s.to.first, core.now());
      }
      for (const std::size_t i : expired) {
        co_await skip_forward(core, request, *asked, wants[i]);
        const PartitionView* view = view_of(core, *asked, wants[i]);
        const TopicView* topic = core.snapshot().topic(wants[i].name);
        if (!wants[i].answer && view && topic)
          place(core, *topic, *view, asked->topics[wants[i].topic].partitions[wants[i].partition].partition, wants[i]);
      }
    }
    // What a broker was asked for and did not speak of, or could not be asked: the client tries again.
    for (Want& want : wants) {
      const bool asked_now =
          std::any_of(round.begin(), round.end(), [&want](const Sent& s) { return s.to == want.to; });
      const auto& row = asked->topics[want.topic].partitions[want.partition];
      const PartitionView* view = view_of(core, *asked, want);
      const bool moved = view && view->log.segments()[view->log.find(want.at)].generation !=
                                     view->log.segments()[view->log.find(row.fetch_offset)].generation;
      if (!want.answer && asked_now && !moved && want.at == row.fetch_offset)
        want.answer = refused(row.partition, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    }
    sent.splice(sent.end(), round);
    if (sent.size() > 64) break;
  }
  const FetchResponse answer = assembled(core, *asked, wants, throttle);
  core.reply(request, answer);
}

}  // namespace crossover::proxy
