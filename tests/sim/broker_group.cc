#include "tests/sim/broker_group.h"

#include <algorithm>

#include "tests/sim/cluster_state.h"

namespace crossover::sim {

namespace {

using protocol::HeartbeatRequest;
using protocol::HeartbeatResponse;
using protocol::JoinGroupRequest;
using protocol::JoinGroupResponse;
using protocol::LeaveGroupRequest;
using protocol::LeaveGroupResponse;
using protocol::SyncGroupRequest;
using protocol::SyncGroupResponse;

// ---- answers

void answer_join(ClusterState& state, const Ticket& ticket, const std::string& member_id, ErrorCode error) {
  JoinGroupResponse response;
  response.error_code = code(error);
  response.generation_id = -1;
  response.member_id = member_id;
  if (ticket.version >= 7) response.protocol_name.reset();
  respond(state, ticket, response);
}

void answer_sync(ClusterState& state, const Ticket& ticket, const Group& group, const Bytes& assignment,
                 ErrorCode error) {
  SyncGroupResponse response;
  response.error_code = code(error);
  response.assignment = assignment;
  if (error == ErrorCode::NONE) {
    response.protocol_type = group.protocol_type;
    response.protocol_name = group.protocol_name;
  }
  respond(state, ticket, response);
}

Bytes metadata_of(const GroupMember& member, const std::string& protocol) {
  for (const auto& [name, metadata] : member.protocols) {
    if (name == protocol) return metadata;
  }
  return {};
}

// The group as it stands; only its leader is told who the members are.
void answer_joined(ClusterState& state, const Ticket& ticket, const Group& group, const GroupMember& member,
                   bool skip_assignment) {
  JoinGroupResponse response;
  response.generation_id = group.generation;
  response.protocol_type = group.protocol_type;
  response.protocol_name = group.protocol_name;
  response.leader = group.leader;
  response.skip_assignment = skip_assignment;
  response.member_id = member.id;
  if (group.leader == member.id) {
    for (const auto& [id, other] : group.members) {
      JoinGroupResponse::JoinGroupResponseMember row;
      row.member_id = id;
      row.group_instance_id = other.instance_id;
      row.metadata = metadata_of(other, group.protocol_name);
      response.members.push_back(std::move(row));
    }
  }
  respond(state, ticket, response);
}

void end_join(ClusterState& state, GroupMember& member, ErrorCode error) {
  if (auto ticket = std::exchange(member.joining, nullptr)) answer_join(state, *ticket, member.id, error);
}

void end_sync(ClusterState& state, const Group& group, GroupMember& member, ErrorCode error) {
  auto ticket = std::exchange(member.syncing, nullptr);
  if (!ticket) return;
  touch_session(state, member);
  answer_sync(state, *ticket, group, error == ErrorCode::NONE ? member.assignment : Bytes{}, error);
}

// ---- rebalance

bool supports(const GroupMember& member, const std::string& protocol) {
  return std::any_of(member.protocols.begin(), member.protocols.end(),
                     [&](const auto& own) { return own.first == protocol; });
}

// Every member votes for the first of its protocols that all support.
std::string select_protocol(const Group& group) {
  std::map<std::string, int> votes;
  for (const auto& [id, member] : group.members) {
    for (const auto& [name, metadata] : member.protocols) {
      bool common = std::all_of(group.members.begin(), group.members.end(),
                                [&](const auto& other) { return supports(other.second, name); });
      if (!common) continue;
      ++votes[name];
      break;
    }
  }
  auto best =
      std::max_element(votes.begin(), votes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return best == votes.end() ? "" : best->first;
}

std::int64_t rebalance_timeout_of(const Group& group) {
  std::int64_t longest = 0;
  for (const auto& [id, member] : group.members) longest = std::max(longest, member.rebalance_timeout_ms);
  return longest;
}

void elect_leader(Group& group) {
  if (group.members.contains(group.leader)) return;
  group.leader = group.members.empty() ? "" : group.members.begin()->first;
}

// Somebody who is there must make the assignment; a static leader may be away.
void elect_joined_leader(Group& group) {
  elect_leader(group);
  if (group.members.empty() || group.members.at(group.leader).joining) return;
  for (const auto& [id, member] : group.members) {
    if (!member.joining) continue;
    group.leader = id;
    return;
  }
}

void complete_join(ClusterState& state, Group& group) {
  // Static members may be away; the others have lost their place.
  std::erase_if(group.members, [](const auto& item) { return !item.second.joining && !item.second.instance_id; });
  elect_joined_leader(group);
  ++group.generation;
  if (group.members.empty()) {
    group.state = GroupState::empty;
    group.protocol_name.clear();
    return;
  }
  group.state = GroupState::completing_rebalance;
  group.protocol_name = select_protocol(group);
  group.sync_deadline_ms = state.now_ms + rebalance_timeout_of(group);
  for (auto& [id, member] : group.members) {
    member.assignment.clear();
    touch_session(state, member);
    if (auto ticket = std::exchange(member.joining, nullptr)) answer_joined(state, *ticket, group, member, false);
  }
}

void try_complete_join(ClusterState& state, Group& group) {
  if (group.state != GroupState::preparing_rebalance) return;
  bool over = state.now_ms >= group.rebalance_deadline_ms;
  bool all = group.promised.empty() && std::all_of(group.members.begin(), group.members.end(),
                                                   [](const auto& item) { return item.second.joining != nullptr; });
  if (over || (all && state.now_ms >= group.not_before_ms)) complete_join(state, group);
}

void prepare_rebalance(ClusterState& state, Group& group) {
  if (group.state == GroupState::completing_rebalance) {
    for (auto& [id, member] : group.members) end_sync(state, group, member, ErrorCode::REBALANCE_IN_PROGRESS);
  }
  if (group.state != GroupState::preparing_rebalance) {
    bool first = group.state == GroupState::empty;
    group.not_before_ms = state.now_ms + (first ? state.options.initial_rebalance_delay_ms : 0);
    group.rebalance_deadline_ms = state.now_ms + rebalance_timeout_of(group);
  }
  group.state = GroupState::preparing_rebalance;
  try_complete_join(state, group);
}

// ---- JoinGroup

std::string new_member_id(ClusterState& state, const Call& call, const JoinGroupRequest& request) {
  return request.group_instance_id.value_or(call.client_id) + "-" + protocol::to_string(state.random_uuid());
}

void update_member(ClusterState& state, const Call& call, const JoinGroupRequest& request, GroupMember& member) {
  member.client_id = call.client_id;
  member.instance_id = request.group_instance_id;
  member.session_timeout_ms = request.session_timeout_ms;
  member.rebalance_timeout_ms = call.version() >= 1 ? request.rebalance_timeout_ms : request.session_timeout_ms;
  member.protocols.clear();
  for (const auto& protocol : request.protocols) member.protocols.emplace_back(protocol.name, protocol.metadata);
  end_join(state, member, ErrorCode::REBALANCE_IN_PROGRESS);  // an earlier join of a member that asks again
  member.joining = std::make_shared<const Ticket>(call.ticket);
}

bool same_protocols(const GroupMember& member, const JoinGroupRequest& request) {
  return std::equal(
      member.protocols.begin(), member.protocols.end(), request.protocols.begin(), request.protocols.end(),
      [](const auto& own, const auto& asked) { return own.first == asked.name && own.second == asked.metadata; });
}

bool compatible(const Group& group, const JoinGroupRequest& request) {
  if (request.protocols.empty() || request.protocol_type.empty()) return false;
  if (group.members.empty()) return true;
  if (group.protocol_type != request.protocol_type) return false;
  return std::any_of(request.protocols.begin(), request.protocols.end(), [&](const auto& protocol) {
    return std::all_of(group.members.begin(), group.members.end(), [&](const auto& item) {
      return item.first == request.member_id || supports(item.second, protocol.name);
    });
  });
}

void add_member(ClusterState& state, const Call& call, const JoinGroupRequest& request, Group& group,
                const std::string& id) {
  if (group.members.empty()) group.protocol_type = request.protocol_type;
  group.promised.erase(id);
  GroupMember& member = group.members[id];
  member.id = id;
  update_member(state, call, request, member);
  if (group.leader.empty()) group.leader = id;
  // Each further member of a new group gets the others some more time to arrive, within the rebalance timeout.
  if (group.state == GroupState::preparing_rebalance && group.not_before_ms > state.now_ms) {
    group.not_before_ms =
        std::min(state.now_ms + state.options.initial_rebalance_delay_ms, group.rebalance_deadline_ms);
  }
  prepare_rebalance(state, group);
}

// A static member (KIP-345) that starts again takes over its old place; nobody else notices unless its protocols
// changed.
void replace_static_member(ClusterState& state, const Call& call, const JoinGroupRequest& request, Group& group,
                           const std::string& old_id) {
  GroupMember member = std::move(group.members.at(old_id));
  group.members.erase(old_id);
  end_join(state, member, errors::fenced_instance_id);
  end_sync(state, group, member, errors::fenced_instance_id);
  bool same = same_protocols(member, request);
  member.id = new_member_id(state, call, request);
  if (group.leader == old_id) group.leader = member.id;
  update_member(state, call, request, member);
  GroupMember& placed = group.members[member.id] = std::move(member);
  touch_session(state, placed);
  if (group.state == GroupState::stable && same) {
    auto ticket = std::exchange(placed.joining, nullptr);
    return answer_joined(state, *ticket, group, placed, group.leader == placed.id && call.version() >= 9);
  }
  prepare_rebalance(state, group);
}

void join_new_member(ClusterState& state, const Call& call, const JoinGroupRequest& request, Group& group) {
  if (request.group_instance_id) {
    for (const auto& [id, member] : group.members) {
      if (member.instance_id == request.group_instance_id) {
        return replace_static_member(state, call, request, group, std::string(id));
      }
    }
    return add_member(state, call, request, group, new_member_id(state, call, request));
  }
  std::string id = new_member_id(state, call, request);
  if (call.version() < 4) return add_member(state, call, request, group, id);
  group.promised[id] = state.now_ms + request.session_timeout_ms;
  answer_join(state, call.ticket, id, ErrorCode::MEMBER_ID_REQUIRED);
}

void join_known_member(ClusterState& state, const Call& call, const JoinGroupRequest& request, Group& group) {
  GroupMember& member = group.members.at(request.member_id);
  bool same = same_protocols(member, request);
  bool completing = group.state == GroupState::completing_rebalance && same;
  bool stable = group.state == GroupState::stable && same && group.leader != member.id;
  touch_session(state, member);
  // Its answer was lost, or it asks without need: the generation goes on.
  if (completing || stable) return answer_joined(state, call.ticket, group, member, false);
  update_member(state, call, request, member);
  prepare_rebalance(state, group);
}

ErrorCode join_error(ClusterState& state, const Call& call, const JoinGroupRequest& request) {
  if (request.group_id.empty()) return errors::invalid_group_id;
  if (state.coordinator(request.group_id) != call.ticket.node) return ErrorCode::NOT_COORDINATOR;
  if (request.session_timeout_ms < state.options.min_session_timeout_ms ||
      request.session_timeout_ms > state.options.max_session_timeout_ms) {
    return errors::invalid_session_timeout;
  }
  auto found = state.groups.find(request.group_id);
  if (found == state.groups.end()) {
    return request.member_id.empty() ? ErrorCode::NONE : ErrorCode::UNKNOWN_MEMBER_ID;
  }
  if (!compatible(found->second, request)) return errors::inconsistent_group_protocol;
  if (request.member_id.empty() || found->second.promised.contains(request.member_id)) return ErrorCode::NONE;
  return check_member(found->second, request.member_id, request.group_instance_id);
}

void join_group(ClusterState& state, const Call& call, const JoinGroupRequest& request) {
  ErrorCode error = join_error(state, call, request);
  if (error == ErrorCode::NONE && (request.protocols.empty() || request.protocol_type.empty())) {
    error = errors::inconsistent_group_protocol;
  }
  if (error != ErrorCode::NONE) return answer_join(state, call.ticket, request.member_id, error);
  Group& group = state.groups[request.group_id];
  if (request.member_id.empty()) return join_new_member(state, call, request, group);
  if (group.promised.contains(request.member_id)) return add_member(state, call, request, group, request.member_id);
  join_known_member(state, call, request, group);
}

// ---- SyncGroup, Heartbeat, LeaveGroup

// The checks that all requests of a member of a generation share.
ErrorCode check_generation(ClusterState& state, const Call& call, const std::string& group_id,
                           const std::string& member_id, const std::optional<std::string>& instance_id,
                           std::int32_t generation) {
  if (group_id.empty()) return errors::invalid_group_id;
  if (state.coordinator(group_id) != call.ticket.node) return ErrorCode::NOT_COORDINATOR;
  auto found = state.groups.find(group_id);
  if (found == state.groups.end()) return ErrorCode::UNKNOWN_MEMBER_ID;
  ErrorCode error = check_member(found->second, member_id, instance_id);
  if (error != ErrorCode::NONE) return error;
  return generation == found->second.generation ? ErrorCode::NONE : ErrorCode::ILLEGAL_GENERATION;
}

void finish_sync(ClusterState& state, Group& group, const SyncGroupRequest& request) {
  for (const auto& given : request.assignments) {
    auto member = group.members.find(given.member_id);
    if (member != group.members.end()) member->second.assignment = given.assignment;
  }
  group.state = GroupState::stable;
  for (auto& [id, member] : group.members) end_sync(state, group, member, ErrorCode::NONE);
}

ErrorCode sync_error(ClusterState& state, const Call& call, const SyncGroupRequest& request) {
  ErrorCode error = check_generation(state, call, request.group_id, request.member_id, request.group_instance_id,
                                     request.generation_id);
  if (error != ErrorCode::NONE) return error;
  const Group& group = state.groups.at(request.group_id);
  if (request.protocol_type.value_or(group.protocol_type) != group.protocol_type ||
      request.protocol_name.value_or(group.protocol_name) != group.protocol_name) {
    return errors::inconsistent_group_protocol;
  }
  return group.state == GroupState::preparing_rebalance ? ErrorCode::REBALANCE_IN_PROGRESS : ErrorCode::NONE;
}

void sync_group(ClusterState& state, const Call& call, const SyncGroupRequest& request) {
  ErrorCode error = sync_error(state, call, request);
  if (error != ErrorCode::NONE) return answer_sync(state, call.ticket, {}, {}, error);
  Group& group = state.groups.at(request.group_id);
  GroupMember& member = group.members.at(request.member_id);
  touch_session(state, member);
  if (group.state == GroupState::stable) {
    return answer_sync(state, call.ticket, group, member.assignment, ErrorCode::NONE);
  }
  end_sync(state, group, member, ErrorCode::REBALANCE_IN_PROGRESS);
  member.syncing = std::make_shared<const Ticket>(call.ticket);
  if (group.leader == member.id) finish_sync(state, group, request);
}

void heartbeat(ClusterState& state, const Call& call, const HeartbeatRequest& request) {
  ErrorCode error = check_generation(state, call, request.group_id, request.member_id, request.group_instance_id,
                                     request.generation_id);
  if (error == ErrorCode::NONE) {
    Group& group = state.groups.at(request.group_id);
    touch_session(state, group.members.at(request.member_id));
    if (group.state == GroupState::preparing_rebalance) error = ErrorCode::REBALANCE_IN_PROGRESS;
  }
  HeartbeatResponse response;
  response.error_code = code(error);
  respond(state, call.ticket, response);
}

ErrorCode leave(ClusterState& state, Group& group, std::string member_id,
                const std::optional<std::string>& instance_id) {
  if (group.promised.erase(member_id) > 0) {
    try_complete_join(state, group);
    return ErrorCode::NONE;
  }
  if (instance_id && member_id.empty()) {
    for (const auto& [id, member] : group.members) {
      if (member.instance_id == instance_id) member_id = id;
    }
  }
  ErrorCode error = check_member(group, member_id, instance_id);
  if (error == ErrorCode::NONE) remove_member(state, group, member_id);
  return error;
}

void leave_group(ClusterState& state, const Call& call, const LeaveGroupRequest& request) {
  LeaveGroupResponse response;
  auto found = state.groups.find(request.group_id);
  if (state.coordinator(request.group_id) != call.ticket.node) {
    response.error_code = code(ErrorCode::NOT_COORDINATOR);
  } else if (call.version() < 3) {
    bool known = found != state.groups.end();
    response.error_code =
        code(known ? leave(state, found->second, request.member_id, std::nullopt) : ErrorCode::UNKNOWN_MEMBER_ID);
  } else {
    for (const auto& member : request.members) {
      LeaveGroupResponse::MemberResponse answer;
      answer.member_id = member.member_id;
      answer.group_instance_id = member.group_instance_id;
      bool known = found != state.groups.end();
      answer.error_code = code(known ? leave(state, found->second, member.member_id, member.group_instance_id)
                                     : ErrorCode::UNKNOWN_MEMBER_ID);
      response.members.push_back(std::move(answer));
    }
  }
  respond(state, call.ticket, response);
}

// ---- timers

bool waits(const GroupMember& member) {
  return member.joining || member.syncing;
}

void expire_members(ClusterState& state, Group& group) {
  std::vector<std::string> silent;
  bool sync_over = group.state == GroupState::completing_rebalance && state.now_ms >= group.sync_deadline_ms;
  for (const auto& [id, member] : group.members) {
    bool late = !waits(member) && state.now_ms >= member.session_deadline_ms;
    if (late || (sync_over && !member.syncing)) silent.push_back(id);
  }
  for (const std::string& id : silent) remove_member(state, group, id);
  // The leader never synced but others did: they join again.
  if (sync_over && group.state == GroupState::completing_rebalance) prepare_rebalance(state, group);
}

void lower(std::optional<std::int64_t>& next, std::int64_t candidate) {
  if (!next || candidate < *next) next = candidate;
}

}  // namespace

std::string state_name(GroupState state) {
  switch (state) {
    case GroupState::empty:
      return "Empty";
    case GroupState::preparing_rebalance:
      return "PreparingRebalance";
    case GroupState::completing_rebalance:
      return "CompletingRebalance";
    case GroupState::stable:
      break;
  }
  return "Stable";
}

ErrorCode check_member(const Group& group, const std::string& member_id,
                       const std::optional<std::string>& instance_id) {
  if (instance_id) {
    for (const auto& [id, member] : group.members) {
      if (member.instance_id == instance_id) return id == member_id ? ErrorCode::NONE : errors::fenced_instance_id;
    }
    return ErrorCode::UNKNOWN_MEMBER_ID;
  }
  return group.members.contains(member_id) ? ErrorCode::NONE : ErrorCode::UNKNOWN_MEMBER_ID;
}

void touch_session(ClusterState& state, GroupMember& member) {
  member.session_deadline_ms = state.now_ms + member.session_timeout_ms;
}

void remove_member(ClusterState& state, Group& group, const std::string& member_id) {
  auto found = group.members.find(member_id);
  if (found == group.members.end()) return;
  end_join(state, found->second, ErrorCode::UNKNOWN_MEMBER_ID);
  end_sync(state, group, found->second, ErrorCode::UNKNOWN_MEMBER_ID);
  group.members.erase(found);
  elect_leader(group);
  if (group.state == GroupState::preparing_rebalance) return try_complete_join(state, group);
  prepare_rebalance(state, group);
}

void coordinators_moved(ClusterState& state) {
  for (auto& [id, group] : state.groups) {
    NodeId now = state.coordinator(id);
    for (auto& [member_id, member] : group.members) {
      if (member.joining && member.joining->node != now) end_join(state, member, ErrorCode::NOT_COORDINATOR);
      if (member.syncing && member.syncing->node != now) {
        end_sync(state, group, member, ErrorCode::NOT_COORDINATOR);
      }
    }
  }
}

void expire_group_timers(ClusterState& state) {
  for (auto& [id, group] : state.groups) {
    std::erase_if(group.promised, [&](const auto& item) { return state.now_ms >= item.second; });
    expire_members(state, group);
    try_complete_join(state, group);
  }
}

std::optional<std::int64_t> next_group_deadline(const ClusterState& state) {
  std::optional<std::int64_t> next;
  for (const auto& [id, group] : state.groups) {
    for (const auto& [member_id, member] : group.members) {
      if (!waits(member)) lower(next, member.session_deadline_ms);
    }
    for (const auto& [member_id, deadline] : group.promised) lower(next, deadline);
    if (group.state == GroupState::completing_rebalance) lower(next, group.sync_deadline_ms);
    if (group.state != GroupState::preparing_rebalance) continue;
    lower(next, group.rebalance_deadline_ms);
    if (group.not_before_ms > state.now_ms) lower(next, group.not_before_ms);
  }
  return next;
}

void add_group_handlers(Handlers& handlers) {
  handlers[ApiKey::JoinGroup] = decoded<JoinGroupRequest, join_group>;
  handlers[ApiKey::SyncGroup] = decoded<SyncGroupRequest, sync_group>;
  handlers[ApiKey::Heartbeat] = decoded<HeartbeatRequest, heartbeat>;
  handlers[ApiKey::LeaveGroup] = decoded<LeaveGroupRequest, leave_group>;
}

}  // namespace crossover::sim
