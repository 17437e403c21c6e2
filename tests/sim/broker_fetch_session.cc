#include "tests/sim/broker_fetch_session.h"

#include <algorithm>
#include <limits>

namespace crossover::sim {

namespace {

using protocol::FetchRequest;

constexpr std::int32_t initial_epoch = 0;
constexpr std::int32_t final_epoch = -1;
constexpr std::size_t session_slots = 1000;
constexpr std::int64_t eviction_ms = 120000;

FetchKey key_of(const Call& call, const std::string& topic, const Uuid& id, PartitionIndex partition) {
  if (call.version() >= 13) return {"", id, partition};
  return {topic, {}, partition};
}

std::vector<FetchPosition> asked_positions(const Call& call, const FetchRequest& request) {
  std::vector<FetchPosition> positions;
  for (const auto& topic : request.topics) {
    for (const auto& asked : topic.partitions) {
      FetchPosition position;
      position.key = key_of(call, topic.topic, topic.topic_id, asked.partition);
      position.current_leader_epoch = call.version() >= 9 ? asked.current_leader_epoch : -1;
      position.offset = asked.fetch_offset;
      position.last_fetched_epoch = call.version() >= 12 ? asked.last_fetched_epoch : -1;
      position.max_bytes = asked.partition_max_bytes;
      positions.push_back(position);
    }
  }
  return positions;
}

// A slot is taken from the session that was idle longest, once it was idle for long enough.
bool room_for_session(ClusterState& state, Broker& broker) {
  auto& sessions = broker.fetch_sessions;
  if (sessions.size() < session_slots) return true;
  auto oldest = std::min_element(sessions.begin(), sessions.end(), [](const auto& a, const auto& b) {
    return a.second.last_used_ms < b.second.last_used_ms;
  });
  if (state.now_ms - oldest->second.last_used_ms <= eviction_ms) return false;
  sessions.erase(oldest);
  return true;
}

std::int32_t new_session(ClusterState& state, Broker& broker, bool by_id, const std::vector<FetchPosition>& positions) {
  if (!room_for_session(state, broker)) return 0;
  std::int32_t id = 0;
  while (id == 0 || broker.fetch_sessions.contains(id)) {
    id = static_cast<std::int32_t>(state.random() & std::numeric_limits<std::int32_t>::max());
  }
  broker.fetch_sessions[id] = {1, by_id, positions, state.now_ms};
  return id;
}

void merge(FetchSession& session, const FetchPosition& asked) {
  for (FetchPosition& position : session.positions) {
    if (position.key != asked.key) continue;
    FetchPosition updated = asked;
    updated.known_high_watermark = position.known_high_watermark;
    updated.known_log_start = position.known_log_start;
    position = updated;
    return;
  }
  session.positions.push_back(asked);
}

void forget(FetchSession& session, const Call& call, const FetchRequest& request) {
  for (const auto& topic : request.forgotten_topics_data) {
    for (PartitionIndex partition : topic.partitions) {
      FetchKey key = key_of(call, topic.topic, topic.topic_id, partition);
      std::erase_if(session.positions, [&](const FetchPosition& position) { return position.key == key; });
    }
  }
}

FetchContext failed(ErrorCode error) {
  FetchContext context;
  context.error = error;
  return context;
}

FetchContext incremental_context(ClusterState& state, Broker& broker, const Call& call, const FetchRequest& request) {
  auto found = broker.fetch_sessions.find(request.session_id);
  if (found == broker.fetch_sessions.end()) return failed(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
  FetchSession& session = found->second;
  if (session.epoch != request.session_epoch) return failed(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
  if (session.by_id != (call.version() >= 13)) return failed(errors::fetch_session_topic_id_error);
  for (const FetchPosition& asked : asked_positions(call, request)) merge(session, asked);
  forget(session, call, request);
  if (session.positions.empty()) {
    broker.fetch_sessions.erase(found);
    return {};
  }
  session.epoch = session.epoch == std::numeric_limits<std::int32_t>::max() ? 1 : session.epoch + 1;
  session.last_used_ms = state.now_ms;
  return {ErrorCode::NONE, FetchMode::incremental, request.session_id, session.positions};
}

}  // namespace

FetchContext open_fetch_context(ClusterState& state, const Call& call, const FetchRequest& request) {
  Broker& broker = state.brokers.at(call.ticket.node);
  std::int32_t epoch = call.version() >= 7 ? request.session_epoch : final_epoch;
  if (epoch != initial_epoch && epoch != final_epoch) return incremental_context(state, broker, call, request);
  if (call.version() >= 7) broker.fetch_sessions.erase(request.session_id);
  std::vector<FetchPosition> positions = asked_positions(call, request);
  if (epoch == final_epoch) return {ErrorCode::NONE, FetchMode::sessionless, 0, std::move(positions)};
  std::int32_t id = new_session(state, broker, call.version() >= 13, positions);
  return {ErrorCode::NONE, id == 0 ? FetchMode::sessionless : FetchMode::full, id, std::move(positions)};
}

FetchSession* find_session(ClusterState& state, NodeId node, std::int32_t session_id) {
  Broker* broker = state.broker(node);
  if (broker == nullptr) return nullptr;
  auto found = broker->fetch_sessions.find(session_id);
  return found == broker->fetch_sessions.end() ? nullptr : &found->second;
}

}  // namespace crossover::sim
