// Fetch: long poll, limits, epoch fencing, leader hints (ReplicaManager.fetchMessages, DelayedFetch).
#include <algorithm>

#include "tests/sim/broker_fetch_session.h"

namespace crossover::sim {

namespace {

using protocol::FetchRequest;
using protocol::FetchResponse;

constexpr std::size_t fetch_max_bytes = 55 * 1024 * 1024;  // the broker's own limit per answer

struct FetchWait {
  Ticket ticket;
  FetchContext context;
  std::int32_t min_bytes = 0;
  std::size_t max_bytes = 0;
  bool read_committed = false;
};

struct FetchLook {
  ErrorCode error = ErrorCode::NONE;
  std::optional<EpochEnd> diverging;
  Topic* topic = nullptr;
  Partition* partition = nullptr;
};

ErrorCode unknown_topic(const FetchKey& key) {
  return key.topic.empty() ? ErrorCode::UNKNOWN_TOPIC_ID : ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
}

// Everything that can be said about a position without reading.
FetchLook look(ClusterState& state, NodeId node, const FetchPosition& position) {
  FetchLook found;
  found.topic = state.topic(position.key.topic, position.key.topic_id);
  found.partition = state.partition(found.topic, position.key.partition);
  if (found.topic == nullptr) {
    found.error = unknown_topic(position.key);
  } else if (found.partition == nullptr) {
    found.error = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
  } else if (found.error = check_leader_epoch(*found.partition, position.current_leader_epoch);
             found.error != ErrorCode::NONE) {
    return found;
  } else if (found.partition->leader != node) {
    found.error = ErrorCode::NOT_LEADER_OR_FOLLOWER;
  }
  if (found.error != ErrorCode::NONE) return found;
  const PartitionLog& log = found.partition->log;
  if (position.last_fetched_epoch >= 0) {
    EpochEnd end = log.end_of_epoch(position.last_fetched_epoch);
    if (end.epoch < 0) {
      found.error = ErrorCode::OFFSET_OUT_OF_RANGE;
      return found;
    }
    if (end.epoch < position.last_fetched_epoch || end.end < position.offset) {
      found.diverging = end;
      return found;
    }
  }
  if (position.offset < log.start() || position.offset > log.end()) found.error = ErrorCode::OFFSET_OUT_OF_RANGE;
  return found;
}

Offset readable_end(const Partition& partition, bool read_committed) {
  return read_committed ? partition.last_stable_offset() : partition.high_watermark;
}

// What the answer would carry now; negative when there is a reason to answer at once.
std::int64_t readable_bytes(ClusterState& state, const FetchWait& wait) {
  std::int64_t total = 0;
  for (const FetchPosition& position : wait.context.positions) {
    FetchLook found = look(state, wait.ticket.node, position);
    if (found.error != ErrorCode::NONE || found.diverging) return -1;
    auto limit = static_cast<std::size_t>(std::max(position.max_bytes, 0));
    total += static_cast<std::int64_t>(found.partition->log.readable(
        position.offset, readable_end(*found.partition, wait.read_committed), limit, total == 0));
  }
  return total;
}

struct FetchRead {
  FetchResponse::PartitionData data;
  Bytes records;
};

// The aborted transactions with records in what is answered.
void add_aborted(const Partition& partition, Offset from, FetchRead& read) {
  Offset upto = from;
  protocol::BatchCursor cursor{read.records};
  for (; cursor.load(); cursor.advance()) upto = cursor.header.last_offset() + 1;
  // A last batch that was cut off is still named.
  if (cursor.state == protocol::BatchState::truncated) upto = partition.log.end();
  read.data.aborted_transactions.emplace();
  for (const TransactionRange& range : partition.producers.aborted_in(from, upto))
    read.data.aborted_transactions->push_back({range.producer_id, range.first});
}

FetchRead read_position(ClusterState& state, const FetchWait& wait, const FetchPosition& position,
                        std::size_t remaining, bool at_least_one) {
  FetchLook found = look(state, wait.ticket.node, position);
  FetchRead read;
  read.data.partition_index = position.key.partition;
  read.data.error_code = code(found.error);
  read.data.high_watermark = -1;
  read.data.last_stable_offset = -1;
  read.data.log_start_offset = -1;
  read.data.preferred_read_replica = -1;
  // Null unless asked for.
  if (!wait.read_committed) read.data.aborted_transactions.reset();
  if (found.error != ErrorCode::NONE) return read;
  const PartitionLog& log = found.partition->log;
  read.data.high_watermark = found.partition->high_watermark;
  read.data.last_stable_offset = found.partition->last_stable_offset();
  read.data.log_start_offset = log.start();
  if (found.diverging) {
    read.data.diverging_epoch.epoch = found.diverging->epoch;
    read.data.diverging_epoch.end_offset = found.diverging->end;
    return read;
  }
  std::size_t limit = std::min(remaining, static_cast<std::size_t>(std::max(position.max_bytes, 0)));
  read.records = log.read(position.offset, readable_end(*found.partition, wait.read_committed), limit, at_least_one);
  if (wait.read_committed) add_aborted(*found.partition, position.offset, read);
  return read;
}

void add_hint(ClusterState& state, const Ticket& ticket, const FetchPosition& position, FetchRead& read,
              FetchResponse& response) {
  auto error = static_cast<ErrorCode>(read.data.error_code);
  if (error != ErrorCode::NOT_LEADER_OR_FOLLOWER && error != ErrorCode::FENCED_LEADER_EPOCH) return;
  const Partition* partition =
      state.partition(state.topic(position.key.topic, position.key.topic_id), position.key.partition);
  if (ticket.version < 16 || partition == nullptr || partition->leader < 0) return;
  read.data.current_leader.leader_id = partition->leader;
  read.data.current_leader.leader_epoch = partition->leader_epoch;
  for (const auto& node : response.node_endpoints) {
    if (node.node_id == partition->leader) return;
  }
  const Broker& broker = state.brokers.at(partition->leader);
  FetchResponse::NodeEndpoint node;
  node.node_id = broker.id;
  node.host = broker.host;
  node.port = broker.port;
  response.node_endpoints.push_back(node);
}

// Whether an incremental answer must name the partition; remembers what the client is told. Partitions with records
// go to the end of the session's order, so that the others get their turn.
bool note_in_session(FetchSession* session, const FetchPosition& position, const FetchRead& read) {
  if (session == nullptr) return true;
  auto at = std::find_if(session->positions.begin(), session->positions.end(),
                         [&](const FetchPosition& known) { return known.key == position.key; });
  if (at == session->positions.end()) return true;
  bool failed = read.data.error_code != 0 || read.data.diverging_epoch.epoch >= 0;
  bool news = failed || !read.records.empty() || at->known_high_watermark != read.data.high_watermark ||
              at->known_log_start != read.data.log_start_offset;
  at->known_high_watermark = failed ? -1 : read.data.high_watermark;
  at->known_log_start = read.data.log_start_offset;
  if (!read.records.empty()) std::rotate(at, std::next(at), session->positions.end());
  return news;
}

void add_partition(FetchResponse& response, const FetchKey& key, const FetchRead& read) {
  if (response.responses.empty() || response.responses.back().topic != key.topic ||
      response.responses.back().topic_id != key.topic_id) {
    FetchResponse::FetchableTopicResponse topic;
    topic.topic = key.topic;
    topic.topic_id = key.topic_id;
    response.responses.push_back(std::move(topic));
  }
  response.responses.back().partitions.push_back(read.data);
  response.responses.back().partitions.back().records = BytesView(read.records);
}

void answer_fetch(ClusterState& state, const FetchWait& wait) {
  FetchResponse response;
  response.session_id = wait.context.session_id;
  FetchSession* session = find_session(state, wait.ticket.node, wait.context.session_id);
  std::size_t remaining = wait.max_bytes;
  bool at_least_one = true;
  std::deque<FetchRead> reads;  // the response points into them
  for (const FetchPosition& position : wait.context.positions) {
    FetchRead& read = reads.emplace_back(read_position(state, wait, position, remaining, at_least_one));
    if (!read.records.empty()) at_least_one = false;
    remaining -= std::min(remaining, read.records.size());
    bool news = note_in_session(session, position, read);
    if (wait.context.mode == FetchMode::incremental && !news) continue;
    add_hint(state, wait.ticket, position, read, response);
    add_partition(response, position.key, read);
  }
  respond(state, wait.ticket, response);
}

void fetch(ClusterState& state, const Call& call, const FetchRequest& request) {
  FetchWait wait;
  wait.ticket = call.ticket;
  wait.context = open_fetch_context(state, call, request);
  if (wait.context.error != ErrorCode::NONE) {
    FetchResponse response;
    response.error_code = code(wait.context.error);
    return respond(state, call.ticket, response);
  }
  wait.max_bytes = std::min(fetch_max_bytes, static_cast<std::size_t>(std::max(request.max_bytes, 0)));
  wait.min_bytes = std::min(request.min_bytes, static_cast<std::int32_t>(wait.max_bytes));
  wait.read_committed = request.isolation_level == 1;
  std::int64_t deadline = state.now_ms + std::max(request.max_wait_ms, 0);
  auto attempt = [&state, wait = std::move(wait)](bool expired) {
    std::int64_t bytes = readable_bytes(state, wait);
    bool ready = expired || bytes < 0 || bytes >= wait.min_bytes || wait.context.positions.empty();
    if (ready) answer_fetch(state, wait);
    return ready;
  };
  state.park({call.ticket, deadline, std::move(attempt)});
}

}  // namespace

void add_fetch_handlers(Handlers& handlers) {
  handlers[ApiKey::Fetch] = decoded<FetchRequest, fetch>;
}

}  // namespace crossover::sim
