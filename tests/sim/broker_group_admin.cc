// ListGroups, DescribeGroups, DeleteGroups, OffsetDelete.
#include <algorithm>

#include "protocol/wire.h"
#include "tests/sim/cluster_state.h"

namespace crossover::sim {

namespace {

using protocol::DeleteGroupsRequest;
using protocol::DeleteGroupsResponse;
using protocol::DescribeGroupsRequest;
using protocol::DescribeGroupsResponse;
using protocol::ListGroupsRequest;
using protocol::ListGroupsResponse;
using protocol::OffsetDeleteRequest;
using protocol::OffsetDeleteResponse;

constexpr std::int32_t not_asked = INT32_MIN;
constexpr std::int32_t all_on_group = 328;

bool filtered_out(const std::vector<std::string>& filter, const std::string& value) {
  auto equal = [&](const std::string& wanted) {
    return std::equal(wanted.begin(), wanted.end(), value.begin(), value.end(),
                      [](char a, char b) { return std::tolower(a) == std::tolower(b); });
  };
  return !filter.empty() && std::none_of(filter.begin(), filter.end(), equal);
}

// Each broker lists the groups that it coordinates.
void list_groups(ClusterState& state, const Call& call, const ListGroupsRequest& request) {
  ListGroupsResponse response;
  for (const auto& [id, group] : state.groups) {
    if (state.coordinator(id) != call.ticket.node) continue;
    if (filtered_out(request.states_filter, state_name(group.state))) continue;
    if (filtered_out(request.types_filter, "classic")) continue;
    ListGroupsResponse::ListedGroup row;
    row.group_id = id;
    row.protocol_type = group.protocol_type;
    row.group_state = state_name(group.state);
    row.group_type = "classic";
    response.groups.push_back(std::move(row));
  }
  respond(state, call.ticket, response);
}

DescribeGroupsResponse::DescribedGroupMember describe_member(const Group& group, const GroupMember& member) {
  DescribeGroupsResponse::DescribedGroupMember row;
  row.member_id = member.id;
  row.group_instance_id = member.instance_id;
  row.client_id = member.client_id;
  row.client_host = "/127.0.0.1";
  if (group.state != GroupState::stable) return row;
  for (const auto& [name, metadata] : member.protocols) {
    if (name == group.protocol_name) row.member_metadata = metadata;
  }
  row.member_assignment = member.assignment;
  return row;
}

DescribeGroupsResponse::DescribedGroup describe_group(const ClusterState& state, const Call& call,
                                                      const std::string& id) {
  DescribeGroupsResponse::DescribedGroup answer;
  answer.group_id = id;
  answer.authorized_operations = not_asked;
  auto found = state.groups.find(id);
  if (state.coordinator(id) != call.ticket.node) {
    answer.error_code = code(ErrorCode::NOT_COORDINATOR);
  } else if (found == state.groups.end()) {
    answer.group_state = "Dead";
    if (call.version() >= 6) answer.error_code = code(errors::group_id_not_found);
  } else {
    const Group& group = found->second;
    answer.group_state = state_name(group.state);
    answer.protocol_type = group.protocol_type;
    if (group.state == GroupState::stable) answer.protocol_data = group.protocol_name;
    for (const auto& [member_id, member] : group.members) answer.members.push_back(describe_member(group, member));
  }
  return answer;
}

void describe_groups(ClusterState& state, const Call& call, const DescribeGroupsRequest& request) {
  DescribeGroupsResponse response;
  for (const std::string& id : request.groups) {
    response.groups.push_back(describe_group(state, call, id));
    if (request.include_authorized_operations) response.groups.back().authorized_operations = all_on_group;
  }
  respond(state, call.ticket, response);
}

void delete_groups(ClusterState& state, const Call& call, const DeleteGroupsRequest& request) {
  DeleteGroupsResponse response;
  for (const std::string& id : request.groups_names) {
    auto found = state.groups.find(id);
    ErrorCode error = ErrorCode::NONE;
    if (state.coordinator(id) != call.ticket.node) {
      error = ErrorCode::NOT_COORDINATOR;
    } else if (found == state.groups.end()) {
      error = errors::group_id_not_found;
    } else if (!found->second.members.empty() || !found->second.promised.empty()) {
      error = errors::non_empty_group;
    } else {
      state.groups.erase(found);
    }
    DeleteGroupsResponse::DeletableGroupResult row;
    row.group_id = id;
    row.error_code = code(error);
    response.results.push_back(std::move(row));
  }
  respond(state, call.ticket, response);
}

// Topics in a consumer's subscription: version, then an array of names.
std::set<std::string> subscribed_topics(const Group& group) {
  std::set<std::string> topics;
  for (const auto& [id, member] : group.members) {
    for (const auto& [name, metadata] : member.protocols) {
      protocol::Reader in(metadata);
      in.skip(2);
      std::int32_t count = in.int32();
      for (std::int32_t i = 0; i < count && in.ok(); ++i) {
        std::int16_t size = in.int16();
        if (size < 0) break;
        BytesView topic = in.raw(static_cast<std::size_t>(size));
        if (in.ok()) topics.emplace(topic);
      }
    }
  }
  return topics;
}

void offset_delete(ClusterState& state, const Call& call, const OffsetDeleteRequest& request) {
  OffsetDeleteResponse response;
  auto found = state.groups.find(request.group_id);
  ErrorCode error = ErrorCode::NONE;
  if (state.coordinator(request.group_id) != call.ticket.node) {
    error = ErrorCode::NOT_COORDINATOR;
  } else if (found == state.groups.end()) {
    error = errors::group_id_not_found;
  } else if (!found->second.members.empty() && found->second.protocol_type != "consumer") {
    error = errors::non_empty_group;
  }
  response.error_code = code(error);
  if (error != ErrorCode::NONE) return respond(state, call.ticket, response);
  std::set<std::string> subscribed = subscribed_topics(found->second);
  for (const auto& topic : request.topics) {
    OffsetDeleteResponse::OffsetDeleteResponseTopic answers;
    answers.name = topic.name;
    for (const auto& asked : topic.partitions) {
      OffsetDeleteResponse::OffsetDeleteResponsePartition answer;
      answer.partition_index = asked.partition_index;
      if (state.partition(state.topic(topic.name), asked.partition_index) == nullptr) {
        answer.error_code = code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
      } else if (subscribed.contains(topic.name)) {
        answer.error_code = code(errors::group_subscribed_to_topic);
      } else {
        found->second.offsets.erase({topic.name, asked.partition_index});
      }
      answers.partitions.push_back(answer);
    }
    response.topics.push_back(std::move(answers));
  }
  respond(state, call.ticket, response);
}

}  // namespace

void add_group_admin_handlers(Handlers& handlers) {
  handlers[ApiKey::ListGroups] = decoded<ListGroupsRequest, list_groups>;
  handlers[ApiKey::DescribeGroups] = decoded<DescribeGroupsRequest, describe_groups>;
  handlers[ApiKey::DeleteGroups] = decoded<DeleteGroupsRequest, delete_groups>;
  handlers[ApiKey::OffsetDelete] = decoded<OffsetDeleteRequest, offset_delete>;
}

}  // namespace crossover::sim
