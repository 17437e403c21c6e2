// An incremental fetch (KIP-227): it goes on with the session that a full one opened (handle_fetch.cc), at the broker
// that made it, or is told that there is none, upon which every client asks in full. An answer leaves out what has no
// news, and so it is passed on: nothing is added.
#include "proxy/fetch_map.h"
#include "proxy/fetch_session.h"
#include "proxy/handlers.h"

namespace crossover::proxy {
namespace {

using namespace protocol;

void refuse(SessionCore& core, Request& request) {
  if (core.fetch_session) core.fetch_session->granted = false;
  FetchResponse answer;
  answer.error_code = error_code(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
  core.reply(request, answer);
}

// The broker's own word on the client's session id and epoch. Others would say something of a broker that clients do
// not expect to hear of a whole fetch.
void pass_error(SessionCore& core, Request& request, const FetchResponse& answer) {
  if (answer.error_code != error_code(ErrorCode::INVALID_FETCH_SESSION_EPOCH) &&
      answer.error_code != error_code(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR)) {
    return refuse(core, request);
  }
  FetchResponse passed;
  passed.throttle_time_ms = answer.throttle_time_ms;
  passed.error_code = answer.error_code;
  core.reply(request, passed);
}

// One row of the answer and what the session knows of it.
struct Named {
  const TopicView* topic = nullptr;
  const FetchSession::Topic* known = nullptr;
};

Named find_named(const SessionCore& core, const Request& request, const FetchResponse::FetchableTopicResponse& row) {
  const FetchSession& session = *core.fetch_session;
  const std::string* name = &row.topic;
  if (request.version() >= 13) {
    const auto found = session.name_of.find(row.topic_id);
    if (found == session.name_of.end()) return {};
    name = &found->second;
  }
  const auto known = session.topics.find(*name);
  if (known == session.topics.end()) return {};
  return {core.snapshot().topic(*name), &known->second};
}

bool is_plain(const Named& named, const FetchResponse::FetchableTopicResponse& row) {
  if (named.known->real_id != named.topic->virtual_id) return false;
  for (const auto& data : row.partitions) {
    const PartitionView* view = nullptr;
    const auto at = static_cast<std::size_t>(data.partition_index);
    if (at < named.topic->partitions.size()) view = &named.topic->partitions[at];
    if (!view || !view->log.is_plain_identity()) return false;
  }
  return true;
}

// False when the client has to ask in full instead: the broker speaks of what the session does not hold; or retention
// took the offset, and there may be a later start to go on with; or the leader has a later epoch than the one which the
// session was given, and none is announced while fenced.
bool map_row(SessionCore& core, const Named& named, const FetchResponse::FetchableTopicResponse& row,
             FetchResponse& out) {
  auto& mapped = out.responses.emplace_back();
  mapped.topic = row.topic;
  mapped.topic_id = named.topic->virtual_id;
  for (const auto& data : row.partitions) {
    const auto known = named.known->partitions.find(data.partition_index);
    if (known == named.known->partitions.end()) return false;
    const PartitionView& view = named.topic->partitions[static_cast<std::size_t>(data.partition_index)];
    const VirtualLog& log = view.log;
    if (data.error_code == error_code(ErrorCode::OFFSET_OUT_OF_RANGE) && log.segments().size() > 1) return false;
    if (data.error_code == error_code(ErrorCode::FENCED_LEADER_EPOCH) && view.fenced_epoch >= 0) return false;
    note_fetch_error(core, core.fetch_session->cluster, data.error_code);
    FetchedPartition& copy = mapped.partitions.emplace_back(data);
    map_fetched_records(known->second, copy);
    map_fetched(core, named.topic->name, log, known->second, copy);
  }
  return true;
}

void note_ends(SessionCore& core, const Named& named, const FetchResponse::FetchableTopicResponse& row) {
  const Cluster home = core.fetch_session->cluster;
  for (const auto& data : row.partitions) {
    if (named.known->partitions.contains(data.partition_index))
      core.worker().known_ends.note({home, named.topic->name, named.known->real_id, data.partition_index},
                                    data.high_watermark);
  }
}

void pass_answer(SessionCore& core, Request& request, CallState& answered, const FetchResponse& answer) {
  FetchResponse out;
  out.throttle_time_ms = answer.throttle_time_ms;
  out.session_id = answer.session_id;
  bool plain = untouched_fetch(answer);
  std::vector<Named> rows;
  for (const auto& row : answer.responses) {
    const Named& named = rows.emplace_back(find_named(core, request, row));
    if (!named.topic) return refuse(core, request);
    note_ends(core, named, row);
    plain = plain && is_plain(named, row);
  }
  if (plain) return core.reply_with(request, answered);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!map_row(core, rows[i], answer.responses[i], out)) return refuse(core, request);
  }
  add_fetch_endpoints(core.snapshot(), out);
  core.reply(request, out);
}

}  // namespace

Task<> handle_session_fetch(SessionCore& core, Request& request, const FetchRequest& asked) {
  auto& session = core.fetch_session;
  if (!session || !session->granted || session->id != asked.session_id) {
    FetchResponse unknown;
    unknown.error_code = error_code(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    co_return core.reply(request, unknown);
  }
  const auto ask = still_served(core, *session) ? session_request(core, request, asked, *session) : std::nullopt;
  if (!ask) co_return refuse(core, request);
  const Bytes body = encode(*ask, request.version());
  Call call = core.send(request, session->cluster, session->node, ApiKey::Fetch, request.version(), body);
  for (bool resolved = false; !resolved;) {
    AnswerOrChange either(core, call);
    resolved = co_await either;
    // A flip: what the old home still has to say is of no use, and the new home may have records.
    if (!resolved && !still_served(core, *session)) co_return refuse(core, request);
  }
  CallState& answered = co_await call;
  const Millis deadline = core.now() + core.options().limits.hold_ms;
  while (awaits_boundary(core.snapshot(), *session)) {
    if (core.now() >= deadline) co_return refuse(core, request);
    SessionCore::Changed changed(core, deadline);
    co_await changed;
  }
  const auto answer = answered.status == CallStatus::answered
                          ? decode<FetchResponse>(answered.body(), request.version())
                          : std::nullopt;
  if (!answer) {
    core.io().want_image(session->cluster, core.now());
    co_return refuse(core, request);
  }
  if (answer->error_code != 0) co_return pass_error(core, request, *answer);
  core.worker().counters.fetch_bytes += fetched_bytes(*answer);
  // 0: the broker has ended it, for nothing is left in it.
  if (!still_served(core, *session) || (answer->session_id != session->id && answer->session_id != 0))
    co_return refuse(core, request);
  pass_answer(core, request, answered, *answer);
  if (answer->session_id == 0) session.reset();
}

}  // namespace crossover::proxy
