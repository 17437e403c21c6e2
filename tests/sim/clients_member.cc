#include "tests/sim/clients_member.h"

#include "protocol/wire.h"

namespace crossover::sim {

namespace {

using protocol::HeartbeatRequest;
using protocol::HeartbeatResponse;
using protocol::JoinGroupRequest;
using protocol::JoinGroupResponse;
using protocol::SyncGroupRequest;
using protocol::SyncGroupResponse;

constexpr Micros backoff = 40 * one_ms, heartbeat_interval = 300 * one_ms;
constexpr std::int32_t session_timeout_ms = 6'000;  // the least that brokers allow
constexpr const char* everything = "all";

bool is_one_of(std::int16_t error, std::initializer_list<ErrorCode> codes) {
  return std::find(codes.begin(), codes.end(), static_cast<ErrorCode>(error)) != codes.end();
}

// ConsumerProtocolSubscription, version 0.
Bytes subscription_to(const std::string& topic) {
  Bytes bytes;
  protocol::Writer out(bytes);
  out.int16(0);
  out.int32(1);
  out.int16(static_cast<std::int16_t>(topic.size()));
  out.raw(topic);
  out.int32(-1);
  return bytes;
}

}  // namespace

void MemberClient::join() {
  if (joining_ || dead()) return;
  joining_ = true;
  if (node_ != bootstrap) return ask_to_join();
  protocol::FindCoordinatorRequest request;
  request.key = options().group;
  call<protocol::FindCoordinatorResponse>(connection(bootstrap), version(ApiKey::FindCoordinator, 0, 3), request,
                                          [this](auto answer) {
                                            if (dead()) return;
                                            if (!answer || answer->error_code != 0) return again(std::nullopt);
                                            node_ = answer->node_id;
                                            ask_to_join();
                                          });
}

void MemberClient::ask_to_join() {
  const auto to = connection(node_);
  if (!to) return again(std::nullopt);
  JoinGroupRequest request;
  request.group_id = options().group;
  request.session_timeout_ms = request.rebalance_timeout_ms = session_timeout_ms;
  request.member_id = member_id_;
  request.protocol_type = "consumer";
  request.protocols.push_back({"range", subscription_to(options().inputs.front().topic)});
  call<JoinGroupResponse>(to, version(ApiKey::JoinGroup, 1, 9), request, [this](auto answer) {
    if (dead()) return;
    if (!answer) return again(std::nullopt);
    if (answer->error_code != 0) {
      if (static_cast<ErrorCode>(answer->error_code) == ErrorCode::MEMBER_ID_REQUIRED) member_id_ = answer->member_id;
      return again(answer->error_code);
    }
    member_id_ = answer->member_id;
    sync(*answer);
  });
}

// The leader takes everything; the others stand by.
void MemberClient::sync(const JoinGroupResponse& joined) {
  const auto to = connection(node_);
  if (!to) return again(std::nullopt);
  SyncGroupRequest request;
  request.group_id = options().group;
  request.generation_id = joined.generation_id;
  request.member_id = member_id_;
  request.protocol_type = joined.protocol_type;
  request.protocol_name = joined.protocol_name;
  if (joined.leader == member_id_) {
    for (const auto& member : joined.members) {
      auto& assignment = request.assignments.emplace_back();
      assignment.member_id = member.member_id;
      if (member.member_id == member_id_) assignment.assignment = everything;
    }
  }
  const std::int32_t generation = joined.generation_id;
  call<SyncGroupResponse>(to, version(ApiKey::SyncGroup, 1, 5), request, [this, generation](auto answer) {
    if (dead()) return;
    if (!answer || answer->error_code != 0) return again(answer ? std::optional(answer->error_code) : std::nullopt);
    joining_ = rejoins_ = false;
    assigned_ = answer->assignment == everything;
    speak_as({member_id_, generation});
    if (world_.log)
      world_.log(name_ + " is in generation " + std::to_string(generation) + (assigned_ ? ", and reads" : ""));
    if (!std::exchange(beats_, true)) keep_alive();
    step();
  });
}

void MemberClient::again(std::optional<std::int16_t> error) {
  using enum ErrorCode;
  joining_ = false;
  const bool moved = !error || is_one_of(*error, {NOT_COORDINATOR, COORDINATOR_NOT_AVAILABLE, REQUEST_TIMED_OUT});
  const bool passing = moved || is_one_of(*error, {MEMBER_ID_REQUIRED, UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS,
                                                   ILLEGAL_GENERATION, COORDINATOR_LOAD_IN_PROGRESS});
  if (!passing) return fail("JoinGroup or SyncGroup", *error);
  if (moved) node_ = bootstrap;
  if (error && static_cast<ErrorCode>(*error) == UNKNOWN_MEMBER_ID) member_id_.clear();
  if (moved) refresh();
  world_.events.after(backoff, [this] { step(); });
}

void MemberClient::keep_alive() {
  if (dead() || done()) return;
  world_.events.after(heartbeat_interval, [this] { keep_alive(); });
  const auto to = joining_ || rejoins_ || node_ == bootstrap ? nullptr : connection(node_);
  if (!to || to->in_flight() > 0) return;
  HeartbeatRequest request;
  request.group_id = options().group;
  request.generation_id = membership()->generation;
  request.member_id = membership()->member_id;
  call<HeartbeatResponse>(to, version(ApiKey::Heartbeat, 0, 4), request, [this](auto answer) {
    if (!dead()) take_heartbeat(answer ? std::optional(answer->error_code) : std::nullopt);
  });
}

void MemberClient::take_heartbeat(std::optional<std::int16_t> error) {
  using enum ErrorCode;
  if (error && *error == 0) return;
  if (!error || is_one_of(*error, {NOT_COORDINATOR, COORDINATOR_NOT_AVAILABLE, COORDINATOR_LOAD_IN_PROGRESS})) {
    node_ = bootstrap;
  } else if (!is_one_of(*error, {REBALANCE_IN_PROGRESS, UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION})) {
    return fail("Heartbeat", *error);
  }
  if (error && static_cast<ErrorCode>(*error) == UNKNOWN_MEMBER_ID) member_id_.clear();
  rejoins_ = true;
  if (!open()) step();
}

}  // namespace crossover::sim
