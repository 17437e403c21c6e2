// Fetch: every partition is read from the segment that holds its offset, cut at the segment's end, and shown in virtual
// terms. What is left empty by compaction, control records or retention is skipped forward, never answered as a reset.
//
// Sessions (KIP-227): while one broker serves all that a full request asks for from open segments, the session that it
// opens is the client's, and incremental requests go on with it (handle_fetch_session.cc). Else the answer carries
// session id 0, which keeps clients in full fetches without an error.
//
// A flip does not wait for a long poll: what waits at the old home for partitions that have moved is left there, and
// the new home is asked. Its late answer is dropped.
#include <algorithm>
#include <list>

#include "protocol/record_batch.h"
#include "proxy/fetch_map.h"
#include "proxy/handlers.h"
#include "proxy/log_lookup.h"

namespace crossover::proxy {
namespace {

using namespace protocol;
using Destination = std::pair<Cluster, NodeId>;

// While one answer is assembled from several brokers, an idle one must not keep back what another has.
constexpr std::int32_t split_wait_ms = 100;
// How long a fetch waits for a flip's new leaders to be announced.
constexpr Millis release_wait_ms = 1'000;

struct Want {
  std::size_t topic = 0, partition = 0;  // places in the request
  std::string name;
  Uuid real_id;
  std::optional<FetchedPartition> answer;
  Offset at = 0;  // virtual
  std::int32_t generation = 0;
  bool open = true;
  bool asked = false;   // of `to`, in this round
  bool behind = false;  // answered with nothing, for its broker does not show what it holds, or not in time
  Destination to{};
};

std::optional<std::size_t> segment_index(const VirtualLog& log, std::int32_t generation) {
  for (std::size_t i = 0; i < log.segments().size(); ++i) {
    if (log.segments()[i].generation == generation) return i;
  }
  return std::nullopt;
}

// nullptr when the topic or partition went away.
const PartitionView* view_of(const SessionCore& core, const FetchRequest& asked, const Want& want) {
  return core.snapshot().partition(want.name, asked.topics[want.topic].partitions[want.partition].partition);
}

// Picks the segment and the broker for a want's present position.
void place(SessionCore& core, const TopicView& topic, const PartitionView& partition, PartitionIndex index,
           Want& want) {
  const FetchPlace place = find_fetch_place(core, partition, want.at);
  const Segment& segment = partition.log.segments()[place.segment];
  want.at = place.at;
  want.generation = segment.generation;
  want.open = segment.open();
  want.asked = false;
  want.real_id = topic.real_id[index_of(place.cluster)];
  want.to = {place.cluster, place.node};
  if (place.node < 0) want.answer = refused_fetch(index, ErrorCode::NOT_LEADER_OR_FOLLOWER);
}

void place_again(SessionCore& core, const FetchRequest& asked, Want& want) {
  const PartitionIndex index = asked.topics[want.topic].partitions[want.partition].partition;
  const TopicView* topic = core.snapshot().topic(want.name);
  const PartitionView* view = view_of(core, asked, want);
  if (topic && view) {
    place(core, *topic, *view, index, want);
  } else {
    want.answer = refused_fetch(index, ErrorCode::NOT_LEADER_OR_FOLLOWER);
  }
}

std::vector<Want> plan(SessionCore& core, const Request& request, const FetchRequest& asked) {
  std::vector<Want> wants;
  for (std::size_t t = 0; t < asked.topics.size(); ++t) {
    const TopicView* topic =
        find_fetch_topic(core.snapshot(), request, asked.topics[t].topic, asked.topics[t].topic_id);
    for (std::size_t p = 0; p < asked.topics[t].partitions.size(); ++p) {
      const auto& row = asked.topics[t].partitions[p];
      Want& want = wants.emplace_back();
      want.topic = t;
      want.partition = p;
      want.at = row.fetch_offset;
      const PartitionView* partition = topic ? core.snapshot().partition(topic->name, row.partition) : nullptr;
      if (!partition) {
        want.answer =
            refused_fetch(row.partition, request.version() >= 13 && !topic ? ErrorCode::UNKNOWN_TOPIC_ID
                                                                           : ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        continue;
      }
      want.name = topic->name;
      if (row.fetch_offset < 0) {
        want.answer = refused_fetch(row.partition, ErrorCode::OFFSET_OUT_OF_RANGE);
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

std::vector<Destination> destinations(const SessionCore& core, const std::vector<Want>& wants) {
  std::vector<Destination> to;
  // Without partitions it only closes the client's session.
  if (wants.empty() && core.fetch_session) to.emplace_back(core.fetch_session->cluster, core.fetch_session->node);
  for (const Want& want : wants) {
    if (!want.answer && std::find(to.begin(), to.end(), want.to) == to.end()) to.push_back(want.to);
  }
  return to;
}

// The client has begun anew: the session it had, or was never told of, ends with this request to its broker.
std::int32_t take_session_to_close(SessionCore& core, Destination to) {
  const auto& session = core.fetch_session;
  if (!session || to != Destination{session->cluster, session->node} ||
      core.upstream_id(to.first, to.second) != session->upstream)
    return 0;
  const std::int32_t id = session->id;
  core.fetch_session.reset();
  return id;
}

struct Round {
  std::int32_t max_wait_ms = 0;
  std::size_t parts = 1;
  bool opens_session = false;
  bool plain = false;    // nothing needs a change where no identity is named
  bool bounded = false;  // what one broker does not answer must not keep back what others have
};

Bytes request_for(SessionCore& core, const Request& request, const FetchRequest& asked, std::vector<Want>& wants,
                  Destination to, const Round& round) {
  FetchRequest part;
  part.replica_id = -1;
  part.max_wait_ms = round.max_wait_ms;
  part.min_bytes = asked.min_bytes;
  const auto parts = static_cast<std::int32_t>(round.parts);
  part.max_bytes = parts > 1 ? std::max<std::int32_t>(asked.max_bytes / parts, 1 << 20) : asked.max_bytes;
  part.isolation_level = asked.isolation_level;
  part.session_id = take_session_to_close(core, to);
  part.session_epoch = round.opens_session ? 0 : -1;
  for (Want& want : wants) {
    if (want.answer || want.to != to) continue;
    want.asked = true;
    const PartitionView* view = view_of(core, asked, want);
    const auto at = view ? segment_index(view->log, want.generation) : std::nullopt;
    if (!at) continue;
    if (want.open) part.rack_id = asked.rack_id;
    if (part.topics.empty() || part.topics.back().topic != want.name) {
      auto& topic = part.topics.emplace_back();
      topic.topic = want.name;
      topic.topic_id = want.real_id;
    }
    part.topics.back().partitions.push_back(
        fetch_row(*view, *at, want.at, asked.topics[want.topic].partitions[want.partition]));
  }
  return encode(part, request.version());
}

enum class Outcome { answered, next_segment, find_start };

// Turns one broker's word on a partition into the answer, or says how to go on.
Outcome take(SessionCore& core, Want& want, const VirtualLog& log, std::size_t at, std::int8_t isolation,
             FetchedPartition data, bool others_had_data) {
  const Segment& segment = log.segments()[at];
  if (data.error_code == error_code(ErrorCode::OFFSET_OUT_OF_RANGE) && log.segments().size() > 1)
    return Outcome::find_start;
  note_fetch_error(core, segment.cluster, data.error_code);
  if (segment.open())
    core.worker().known_ends.note({segment.cluster, want.name, want.real_id, data.partition_index},
                                  data.high_watermark);
  const bool nothing = !data.records || data.records->empty();
  BatchCursor first{data.records.value_or(BytesView())};
  const bool beyond = !segment.open() && first.load() && first.header.base_offset >= segment.real_end();
  const bool ends = !segment.open() && shows_end(segment, data, isolation);
  map_fetched_records(segment, data);
  const bool empty = !data.records || data.records->empty();
  // Nothing below the end of a closed segment: go on at once. Unless the answer's bytes went to other partitions, or it
  // is from before the end, when records could still come, or the broker does not show all of the segment: then the
  // client asks again.
  if (ends && data.error_code == 0 && empty && (beyond || (nothing && !want.open && !others_had_data)))
    return Outcome::next_segment;
  want.behind = !segment.open() && !ends && data.error_code == 0 && empty;
  map_fetched(core, want.name, log, segment, data);
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
    want.answer = refused_fetch(index, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    co_return;
  }
  const Segment segment = view->log.segments()[*at];
  bool older_left = false;
  for (std::size_t i = 0; i < *at && !older_left; ++i) {
    view = view_of(core, asked, want);
    if (!view || i >= view->log.segments().size()) break;
    const Segment older = view->log.segments()[i];
    if (older.nothing_to_read()) continue;
    const RealOffset start = co_await list_real_offset(core, request, want.name, index, older.cluster, earliest, 0);
    older_left = start.error == 0 && start.offset < older.real_end() && older.length > 0;
  }
  const RealOffset start = co_await list_real_offset(core, request, want.name, index, segment.cluster, earliest, 0);
  if (start.error != 0) {
    want.answer = refused_fetch(index, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    co_return;
  }
  const bool below_start = segment.to_real(want.at) < start.offset;
  if (!below_start ||
      (!older_left && want.at == asked.topics[want.topic].partitions[want.partition].fetch_offset && *at == 0)) {
    want.answer = refused_fetch(index, ErrorCode::OFFSET_OUT_OF_RANGE);
    co_return;
  }
  ++core.worker().counters.skipped_segments;
  const bool emptied = !segment.open() && start.offset >= segment.real_end();
  want.at = emptied ? segment.virtual_end() : segment.to_virtual(std::max(start.offset, segment.real_base));
}

bool all_plain(const SessionCore& core, const FetchRequest& asked, const std::vector<Want>& wants) {
  return std::all_of(wants.begin(), wants.end(), [&](const Want& want) {
    if (want.answer) return false;
    const PartitionView* view = view_of(core, asked, want);
    return view && view->log.is_plain_identity() && want.real_id == core.snapshot().topic(want.name)->virtual_id;
  });
}

// One broker's answer, whose frame must outlive the assembled one: records point into it.
struct Sent {
  Destination to;
  Call call;
  UpstreamId upstream = 0;
};

std::vector<std::size_t> apply(SessionCore& core, const Request& request, const FetchRequest& asked,
                               std::vector<Want>& wants, Destination to, const FetchResponse& answer) {
  std::vector<std::size_t> expired;
  const std::size_t total = fetched_bytes(answer);
  for (const auto& topic : answer.responses) {
    for (const auto& data : topic.partitions) {
      for (std::size_t i = 0; i < wants.size(); ++i) {
        Want& want = wants[i];
        const bool same = request.version() >= 13 ? want.real_id == topic.topic_id : want.name == topic.topic;
        if (want.answer || want.to != to || !same ||
            asked.topics[want.topic].partitions[want.partition].partition != data.partition_index)
          continue;
        const PartitionView* view = view_of(core, asked, want);
        const auto at = view ? segment_index(view->log, want.generation) : std::nullopt;
        if (!at) {
          want.answer = refused_fetch(data.partition_index, ErrorCode::NOT_LEADER_OR_FOLLOWER);
          break;
        }
        const std::size_t own = data.records ? data.records->size() : 0;
        switch (take(core, want, view->log, *at, asked.isolation_level, data, total > own)) {
          case Outcome::answered:
            break;
          case Outcome::find_start:
            expired.push_back(i);
            break;
          case Outcome::next_segment:
            want.at = view->log.segments()[*at].virtual_end();
            place_again(core, asked, want);
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
                                           : refused_fetch(p.partition, ErrorCode::NOT_LEADER_OR_FOLLOWER));
    }
  }
  add_fetch_endpoints(core.snapshot(), answer);
  return answer;
}

// The same of an answer that goes to the client as it came.
void note_plain(SessionCore& core, const std::vector<Want>& wants, Destination from, const FetchResponse& answer) {
  std::size_t at = 0;  // brokers answer in the order of the question
  for (const auto& topic : answer.responses) {
    for (const auto& data : topic.partitions) {
      const auto is_it = [&](const Want& want) {
        return want.name == topic.topic || (topic.topic.empty() && want.real_id == topic.topic_id);
      };
      std::size_t tried = 0;
      while (tried < wants.size() && !is_it(wants[at])) at = (at + 1) % wants.size(), ++tried;
      if (tried == wants.size() || !core.snapshot().partition(wants[at].name, data.partition_index)) continue;
      core.worker().known_ends.note({from.first, wants[at].name, wants[at].real_id, data.partition_index},
                                    data.high_watermark);
    }
  }
}

bool any_records(const std::vector<Want>& wants) {
  return std::any_of(wants.begin(), wants.end(), [](const Want& w) {
    return w.answer && (w.answer->error_code != 0 || (w.answer->records && !w.answer->records->empty()));
  });
}

bool any_behind(const std::vector<Want>& wants) {
  return std::any_of(wants.begin(), wants.end(), [](const Want& w) { return w.behind; });
}

bool any_closed(const std::vector<Want>& wants) {
  return std::any_of(wants.begin(), wants.end(), [](const Want& w) { return !w.answer && !w.open; });
}

bool all_answered(const std::vector<Want>& wants) {
  return std::all_of(wants.begin(), wants.end(), [](const Want& want) { return want.answer.has_value(); });
}

// Whether all that is still asked of that broker has a new home: then there is nothing there to wait for.
bool has_moved(const SessionCore& core, const FetchRequest& asked, const std::vector<Want>& wants, Destination to) {
  return std::all_of(wants.begin(), wants.end(), [&](const Want& want) {
    if (want.answer || !want.asked || want.to != to) return true;
    const PartitionView* view = view_of(core, asked, want);
    return want.open && (!view || view->log.open_segment().generation != want.generation);
  });
}

// Whether one broker serves all of it from open segments, so that its session could be the client's.
bool may_open_session(const SessionCore& core, const Request& request, const FetchRequest& asked,
                      const std::vector<Want>& wants, std::size_t destinations) {
  return request.version() >= 7 && asked.session_epoch == 0 && destinations == 1 && !wants.empty() &&
         wants.size() <= core.options().limits.fetch_session_partitions &&
         std::all_of(wants.begin(), wants.end(), [](const Want& want) { return !want.answer && want.open; });
}

std::size_t partitions_in(const FetchResponse& answer) {
  std::size_t count = 0;
  for (const auto& topic : answer.responses) count += topic.partitions.size();
  return count;
}

// Remembers the session that a broker opened; granted when it covers what was asked for, as it still is.
void note_session(SessionCore& core, const FetchRequest& asked, const std::vector<Want>& wants, Destination to,
                  UpstreamId upstream, const FetchResponse& answer) {
  if (answer.error_code != 0 || answer.session_id == 0) return;
  FetchSession& session = core.fetch_session.emplace();
  session.id = answer.session_id;
  session.cluster = to.first;
  session.node = to.second;
  session.upstream = upstream;
  bool whole = partitions_in(answer) == wants.size();
  for (const Want& want : wants) {
    const PartitionView* view = view_of(core, asked, want);
    whole = whole && view && view->log.open_segment().generation == want.generation &&
            session.add(want.name, want.real_id, asked.topics[want.topic].partitions[want.partition].partition,
                        view->log.open_segment());
  }
  session.granted = whole && still_served(core, session);
}

std::int32_t granted_session(const SessionCore& core) {
  return core.fetch_session && core.fetch_session->granted ? core.fetch_session->id : 0;
}

// A broker answers so when a quota is exceeded (KIP-219): the client shall wait and ask again.
bool only_throttles(const FetchResponse& answer) {
  return answer.error_code == 0 && answer.throttle_time_ms > 0 && answer.responses.empty();
}

void reply_throttled(SessionCore& core, Request& request, std::int32_t throttle) {
  FetchResponse answer;
  answer.throttle_time_ms = throttle;
  core.reply(request, answer);
}

// What was asked of the broker of an old home is to be asked elsewhere, as soon as the new leaders are announced.
Task<> leave(SessionCore& core, const FetchRequest& asked, std::vector<Want>& wants, Destination to) {
  for (Want& want : wants) {
    if (!want.answer && want.asked && want.to == to) place_again(core, asked, want);
  }
  const Millis deadline = core.now() + release_wait_ms;
  while (waits_for_release(core, wants) && core.now() < deadline) {
    SessionCore::Changed changed(core, deadline);
    co_await changed;
    for (Want& want : wants) {
      if (!want.answer && !want.asked) place_again(core, asked, want);
    }
  }
}

struct Run {
  SessionCore& core;
  Request& request;
  const FetchRequest& asked;
  std::vector<Want> wants;
  std::list<Sent> sent;  // kept until the answer is encoded
  std::int32_t throttle = 0;
};

std::list<Sent> send_round(Run& run, const std::vector<Destination>& to, const Round& round) {
  std::list<Sent> calls;
  for (const Destination& d : to) {
    const Bytes body = request_for(run.core, run.request, run.asked, run.wants, d, round);
    const Version version = run.request.version();
    calls.push_back({d, run.core.send(run.request, d.first, d.second, ApiKey::Fetch, version, body)});
    if (round.bounded) run.core.limit_fetch(calls.back().call, round.max_wait_ms);
    calls.back().upstream = run.core.upstream_id(d.first, d.second);
  }
  run.core.fetch_session.reset();
  return calls;
}

// The answer of one broker; may be all that there is to say, upon which the request is done.
Task<> take_answer(Run& run, Sent& call, CallState& answered, const Round& round) {
  SessionCore& core = run.core;
  const auto answer = decode<FetchResponse>(answered.body(), run.request.version());
  if (!answer) co_return core.io().want_image(call.to.first, core.now());
  run.throttle = std::max(run.throttle, answer->throttle_time_ms);
  core.worker().counters.fetch_bytes += fetched_bytes(*answer);
  const bool whole = run.sent.empty() && round.parts == 1;
  if (whole && only_throttles(*answer)) co_return reply_throttled(core, run.request, run.throttle);
  if (round.opens_session) note_session(core, run.asked, run.wants, call.to, call.upstream, *answer);
  if (whole && round.plain && answer->session_id == granted_session(core) && untouched_fetch(*answer) &&
      all_plain(core, run.asked, run.wants)) {
    note_plain(core, run.wants, call.to, *answer);
    co_return core.reply_with(run.request, answered);
  }
  const std::vector<std::size_t> expired = apply(core, run.request, run.asked, run.wants, call.to, *answer);
  if (core.fetch_session && !all_answered(run.wants)) core.fetch_session->granted = false;
  for (const std::size_t i : expired) {
    Want& want = run.wants[i];
    co_await skip_forward(core, run.request, run.asked, want);
    if (!want.answer) place_again(core, run.asked, want);
  }
}

// False when that takes longer than its client is to wait.
Task<bool> await_boundaries(Run& run, Destination to) {
  const Millis deadline = run.core.now() + run.core.options().limits.hold_ms;
  const auto awaits = [&run, to](const Want& want) {
    if (want.answer || !want.asked || want.to != to || !want.open) return false;
    const PartitionIndex index = run.asked.topics[want.topic].partitions[want.partition].partition;
    return run.core.snapshot().awaits_boundary(want.name, index, want.generation);
  };
  while (std::any_of(run.wants.begin(), run.wants.end(), awaits)) {
    if (run.core.now() >= deadline) co_return false;
    SessionCore::Changed changed(run.core, deadline);
    co_await changed;
  }
  co_return true;
}

// The client asks again, and is not told of an error which would make it look for another leader in vain.
void answer_late(Run& run, Destination to) {
  for (Want& want : run.wants) {
    if (want.answer || !want.asked || want.to != to) continue;
    const PartitionView* view = view_of(run.core, run.asked, want);
    if (!view) continue;
    const PartitionIndex index = run.asked.topics[want.topic].partitions[want.partition].partition;
    want.answer = empty_fetch(run.core, want.name, view->log, index);
    want.behind = true;
  }
}

Task<> await_round(Run& run, std::list<Sent>& calls, const Round& round) {
  SessionCore& core = run.core;
  const auto snapshot = core.shared_snapshot();
  for (Sent& call : calls) {
    bool resolved = false;
    bool moved = core.shared_snapshot() != snapshot && has_moved(core, run.asked, run.wants, call.to);
    while (!resolved && !moved) {
      AnswerOrChange either(core, call.call);
      resolved = co_await either;
      moved = !resolved && has_moved(core, run.asked, run.wants, call.to);
    }
    if (moved) {
      co_await leave(core, run.asked, run.wants, call.to);
      continue;
    }
    CallState& answered = co_await call.call;
    if (answered.status == CallStatus::answered) {
      const bool known = co_await await_boundaries(run, call.to);
      if (known) {
        co_await take_answer(run, call, answered, round);
      } else {
        answer_late(run, call.to);
      }
      if (run.request.done) co_return;
    } else if (answered.status == CallStatus::late) {
      answer_late(run, call.to);
    } else {
      core.io().want_image(call.to.first, core.now());
    }
  }
  // What a broker was asked for and did not speak of, or could not be asked: the client tries again.
  for (Want& want : run.wants) {
    if (want.answer || !want.asked) continue;
    const PartitionIndex index = run.asked.topics[want.topic].partitions[want.partition].partition;
    want.answer = refused_fetch(index, ErrorCode::NOT_LEADER_OR_FOLLOWER);
  }
}

Task<> handle_full_fetch(SessionCore& core, Request& request, const FetchRequest& asked) {
  const Millis began = core.now();
  Run run{core, request, asked, plan(core, request, asked), {}};
  while (waits_for_release(core, run.wants) && core.now() < began + release_wait_ms) {
    SessionCore::Changed changed(core, began + release_wait_ms);
    co_await changed;
    run.wants = plan(core, request, asked);
  }
  // Each round moves a partition to a later segment or answers it, so this ends.
  for (auto to = destinations(core, run.wants); !to.empty(); to = destinations(core, run.wants)) {
    const bool at_once = any_closed(run.wants) || any_records(run.wants);
    const auto left = std::max<Millis>(0, asked.max_wait_ms - (core.now() - began));
    const auto wait = at_once ? 0 : to.size() > 1 ? std::min<Millis>(left, split_wait_ms) : left;
    Round round;
    round.max_wait_ms = static_cast<std::int32_t>(wait);
    round.parts = to.size();
    round.opens_session = run.sent.empty() && may_open_session(core, request, asked, run.wants, to.size());
    round.plain = all_plain(core, asked, run.wants);
    round.bounded = to.size() > 1 || !run.sent.empty() || any_closed(run.wants);
    if (to.size() > 1) ++core.worker().counters.split_requests;
    std::list<Sent> calls = send_round(run, to, round);
    co_await await_round(run, calls, round);
    if (request.done) co_return;
    run.sent.splice(run.sent.end(), calls);
    if (run.sent.size() > 64) break;
  }
  // A client that is told nothing asks again at once: history that is not shown yet must not make it spin.
  const Millis pause = core.now() + std::min<Millis>(std::max(0, asked.max_wait_ms), split_wait_ms);
  while (any_behind(run.wants) && !any_records(run.wants) && core.now() < pause) {
    SessionCore::Changed changed(core, pause);
    co_await changed;
  }
  FetchResponse answer = assembled(core, asked, run.wants, run.throttle);
  answer.session_id = granted_session(core);
  core.reply(request, answer);
}

}  // namespace

Task<> handle_fetch(SessionCore& core, Request& request) {
  const auto decoded = decode<FetchRequest>(request.body(), request.version());
  if (!decoded) co_return core.close("malformed Fetch request");
  const FetchRequest& asked = *decoded;
  const bool full = asked.session_epoch == 0 || asked.session_epoch == -1;
  if (full) {
    co_await handle_full_fetch(core, request, asked);
  } else {
    co_await handle_session_fetch(core, request, asked);
  }
}

}  // namespace crossover::proxy
