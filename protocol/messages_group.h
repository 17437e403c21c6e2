// Messages about groups and their committed offsets. Rules for all of them: messages.h.
#pragma once

#include "protocol/members.h"

namespace crossover::protocol {

struct OffsetCommitRequest {
  static constexpr ApiKey api = ApiKey::OffsetCommit;
  static constexpr Direction direction = Direction::request;

  struct OffsetCommitRequestPartition {
    std::int32_t partition_index = 0;
    std::int64_t committed_offset = 0;
    std::int64_t commit_timestamp = -1;
    std::int32_t committed_leader_epoch = -1;
    std::optional<std::string> committed_metadata = "";
    CROSSOVER_MEMBERS(OffsetCommitRequestPartition, partition_index, committed_offset, commit_timestamp,
                      committed_leader_epoch, committed_metadata)
  };

  struct OffsetCommitRequestTopic {
    std::string name;
    Uuid topic_id;
    std::vector<OffsetCommitRequestPartition> partitions;
    CROSSOVER_MEMBERS(OffsetCommitRequestTopic, name, topic_id, partitions)
  };

  std::string group_id;
  std::int32_t generation_id_or_member_epoch = -1;
  std::string member_id;
  std::optional<std::string> group_instance_id;
  std::int64_t retention_time_ms = -1;
  std::vector<OffsetCommitRequestTopic> topics;
  CROSSOVER_MEMBERS(OffsetCommitRequest, group_id, generation_id_or_member_epoch, member_id, group_instance_id,
                    retention_time_ms, topics)
};

struct OffsetCommitResponse {
  static constexpr ApiKey api = ApiKey::OffsetCommit;
  static constexpr Direction direction = Direction::response;

  struct OffsetCommitResponsePartition {
    std::int32_t partition_index = 0;
    std::int16_t error_code = 0;
    CROSSOVER_MEMBERS(OffsetCommitResponsePartition, partition_index, error_code)
  };

  struct OffsetCommitResponseTopic {
    std::string name;
    Uuid topic_id;
    std::vector<OffsetCommitResponsePartition> partitions;
    CROSSOVER_MEMBERS(OffsetCommitResponseTopic, name, topic_id, partitions)
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<OffsetCommitResponseTopic> topics;
  CROSSOVER_MEMBERS(OffsetCommitResponse, throttle_time_ms, topics)
};

struct OffsetFetchRequest {
  static constexpr ApiKey api = ApiKey::OffsetFetch;
  static constexpr Direction direction = Direction::request;

  struct OffsetFetchRequestTopic {
    std::string name;
    std::vector<std::int32_t> partition_indexes;
    CROSSOVER_MEMBERS(OffsetFetchRequestTopic, name, partition_indexes)
  };

  struct OffsetFetchRequestTopics {
    std::string name;
    Uuid topic_id;
    std::vector<std::int32_t> partition_indexes;
    CROSSOVER_MEMBERS(OffsetFetchRequestTopics, name, topic_id, partition_indexes)
  };

  struct OffsetFetchRequestGroup {
    std::string group_id;
    std::optional<std::string> member_id;
    std::int32_t member_epoch = -1;
    std::optional<std::vector<OffsetFetchRequestTopics>> topics = std::vector<OffsetFetchRequestTopics>{};
    CROSSOVER_MEMBERS(OffsetFetchRequestGroup, group_id, member_id, member_epoch, topics)
  };

  std::string group_id;
  std::optional<std::vector<OffsetFetchRequestTopic>> topics = std::vector<OffsetFetchRequestTopic>{};
  std::vector<OffsetFetchRequestGroup> groups;
  bool require_stable = false;
  CROSSOVER_MEMBERS(OffsetFetchRequest, group_id, topics, groups, require_stable)
};

struct OffsetFetchResponse {
  static constexpr ApiKey api = ApiKey::OffsetFetch;
  static constexpr Direction direction = Direction::response;

  struct OffsetFetchResponsePartition {
    std::int32_t partition_index = 0;
    std::int64_t committed_offset = 0;
    std::int32_t committed_leader_epoch = -1;
    std::optional<std::string> metadata = "";
    std::int16_t error_code = 0;
    CROSSOVER_MEMBERS(OffsetFetchResponsePartition, partition_index, committed_offset, committed_leader_epoch, metadata,
                      error_code)
  };

  struct OffsetFetchResponseTopic {
    std::string name;
    std::vector<OffsetFetchResponsePartition> partitions;
    CROSSOVER_MEMBERS(OffsetFetchResponseTopic, name, partitions)
  };

  struct OffsetFetchResponsePartitions {
    std::int32_t partition_index = 0;
    std::int64_t committed_offset = 0;
    std::int32_t committed_leader_epoch = -1;
    std::optional<std::string> metadata = "";
    std::int16_t error_code = 0;
    CROSSOVER_MEMBERS(OffsetFetchResponsePartitions, partition_index, committed_offset, committed_leader_epoch,
                      metadata, error_code)
  };

  struct OffsetFetchResponseTopics {
    std::string name;
    Uuid topic_id;
    std::vector<OffsetFetchResponsePartitions> partitions;
    CROSSOVER_MEMBERS(OffsetFetchResponseTopics, name, topic_id, partitions)
  };

  struct OffsetFetchResponseGroup {
    std::string group_id;
    std::vector<OffsetFetchResponseTopics> topics;
    std::int16_t error_code = 0;
    CROSSOVER_MEMBERS(OffsetFetchResponseGroup, group_id, topics, error_code)
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<OffsetFetchResponseTopic> topics;
  std::int16_t error_code = 0;
  std::vector<OffsetFetchResponseGroup> groups;
  CROSSOVER_MEMBERS(OffsetFetchResponse, throttle_time_ms, topics, error_code, groups)
};

struct JoinGroupRequest {
  static constexpr ApiKey api = ApiKey::JoinGroup;
  static constexpr Direction direction = Direction::request;

  struct JoinGroupRequestProtocol {
    std::string name;
    Bytes metadata;
    CROSSOVER_MEMBERS(JoinGroupRequestProtocol, name, metadata)
  };

  std::string group_id;
  std::int32_t session_timeout_ms = 0;
  std::int32_t rebalance_timeout_ms = -1;
  std::string member_id;
  std::optional<std::string> group_instance_id;
  std::string protocol_type;
  std::vector<JoinGroupRequestProtocol> protocols;
  std::optional<std::string> reason;
  CROSSOVER_MEMBERS(JoinGroupRequest, group_id, session_timeout_ms, rebalance_timeout_ms, member_id, group_instance_id,
                    protocol_type, protocols, reason)
};

struct JoinGroupResponse {
  static constexpr ApiKey api = ApiKey::JoinGroup;
  static constexpr Direction direction = Direction::response;

  struct JoinGroupResponseMember {
    std::string member_id;
    std::optional<std::string> group_instance_id;
    Bytes metadata;
    CROSSOVER_MEMBERS(JoinGroupResponseMember, member_id, group_instance_id, metadata)
  };

  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::int32_t generation_id = -1;
  std::optional<std::string> protocol_type;
  std::optional<std::string> protocol_name = "";
  std::string leader;
  bool skip_assignment = false;
  std::string member_id;
  std::vector<JoinGroupResponseMember> members;
  CROSSOVER_MEMBERS(JoinGroupResponse, throttle_time_ms, error_code, generation_id, protocol_type, protocol_name,
                    leader, skip_assignment, member_id, members)
};

struct HeartbeatRequest {
  static constexpr ApiKey api = ApiKey::Heartbeat;
  static constexpr Direction direction = Direction::request;

  std::string group_id;
  std::int32_t generation_id = 0;
  std::string member_id;
  std::optional<std::string> group_instance_id;
  CROSSOVER_MEMBERS(HeartbeatRequest, group_id, generation_id, member_id, group_instance_id)
};

struct HeartbeatResponse {
  static constexpr ApiKey api = ApiKey::Heartbeat;
  static constexpr Direction direction = Direction::response;

  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  CROSSOVER_MEMBERS(HeartbeatResponse, throttle_time_ms, error_code)
};

struct LeaveGroupRequest {
  static constexpr ApiKey api = ApiKey::LeaveGroup;
  static constexpr Direction direction = Direction::request;

  struct MemberIdentity {
    std::string member_id;
    std::optional<std::string> group_instance_id;
    std::optional<std::string> reason;
    CROSSOVER_MEMBERS(MemberIdentity, member_id, group_instance_id, reason)
  };

  std::string group_id;
  std::string member_id;
  std::vector<MemberIdentity> members;
  CROSSOVER_MEMBERS(LeaveGroupRequest, group_id, member_id, members)
};

struct LeaveGroupResponse {
  static constexpr ApiKey api = ApiKey::LeaveGroup;
  static constexpr Direction direction = Direction::response;

  struct MemberResponse {
    std::string member_id;
    std::optional<std::string> group_instance_id = "";
    std::int16_t error_code = 0;
    CROSSOVER_MEMBERS(MemberResponse, member_id, group_instance_id, error_code)
  };

  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::vector<MemberResponse> members;
  CROSSOVER_MEMBERS(LeaveGroupResponse, throttle_time_ms, error_code, members)
};

struct SyncGroupRequest {
  static constexpr ApiKey api = ApiKey::SyncGroup;
  static constexpr Direction direction = Direction::request;

  struct SyncGroupRequestAssignment {
    std::string member_id;
    Bytes assignment;
    CROSSOVER_MEMBERS(SyncGroupRequestAssignment, member_id, assignment)
  };

  std::string group_id;
  std::int32_t generation_id = 0;
  std::string member_id;
  std::optional<std::string> group_instance_id;
  std::optional<std::string> protocol_type;
  std::optional<std::string> protocol_name;
  std::vector<SyncGroupRequestAssignment> assignments;
  CROSSOVER_MEMBERS(SyncGroupRequest, group_id, generation_id, member_id, group_instance_id, protocol_type,
                    protocol_name, assignments)
};

struct SyncGroupResponse {
  static constexpr ApiKey api = ApiKey::SyncGroup;
  static constexpr Direction direction = Direction::response;

  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::optional<std::string> protocol_type;
  std::optional<std::string> protocol_name;
  Bytes assignment;
  CROSSOVER_MEMBERS(SyncGroupResponse, throttle_time_ms, error_code, protocol_type, protocol_name, assignment)
};

struct DescribeGroupsRequest {
  static constexpr ApiKey api = ApiKey::DescribeGroups;
  static constexpr Direction direction = Direction::request;

  std::vector<std::string> groups;
  bool include_authorized_operations = false;
  CROSSOVER_MEMBERS(DescribeGroupsRequest, groups, include_authorized_operations)
};

struct DescribeGroupsResponse {
  static constexpr ApiKey api = ApiKey::DescribeGroups;
  static constexpr Direction direction = Direction::response;

  struct DescribedGroupMember {
    std::string member_id;
    std::optional<std::string> group_instance_id;
    std::string client_id;
    std::string client_host;
    Bytes member_metadata;
    Bytes member_assignment;
    CROSSOVER_MEMBERS(DescribedGroupMember, member_id, group_instance_id, client_id, client_host, member_metadata,
                      member_assignment)
  };

  struct DescribedGroup {
    std::int16_t error_code = 0;
    std::optional<std::string> error_message;
    std::string group_id;
    std::string group_state;
    std::string protocol_type;
    std::string protocol_data;
    std::vector<DescribedGroupMember> members;
    std::int32_t authorized_operations = INT32_MIN;
    CROSSOVER_MEMBERS(DescribedGroup, error_code, error_message, group_id, group_state, protocol_type, protocol_data,
                      members, authorized_operations)
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<DescribedGroup> groups;
  CROSSOVER_MEMBERS(DescribeGroupsResponse, throttle_time_ms, groups)
};

struct ListGroupsRequest {
  static constexpr ApiKey api = ApiKey::ListGroups;
  static constexpr Direction direction = Direction::request;

  std::vector<std::string> states_filter;
  std::vector<std::string> types_filter;
  CROSSOVER_MEMBERS(ListGroupsRequest, states_filter, types_filter)
};

struct ListGroupsResponse {
  static constexpr ApiKey api = ApiKey::ListGroups;
  static constexpr Direction direction = Direction::response;

  struct ListedGroup {
    std::string group_id;
    std::string protocol_type;
    std::string group_state;
    std::string group_type;
    CROSSOVER_MEMBERS(ListedGroup, group_id, protocol_type, group_state, group_type)
  };

  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::vector<ListedGroup> groups;
  CROSSOVER_MEMBERS(ListGroupsResponse, throttle_time_ms, error_code, groups)
};

struct DeleteGroupsRequest {
  static constexpr ApiKey api = ApiKey::DeleteGroups;
  static constexpr Direction direction = Direction::request;

  std::vector<std::string> groups_names;
  CROSSOVER_MEMBERS(DeleteGroupsRequest, groups_names)
};

struct DeleteGroupsResponse {
  static constexpr ApiKey api = ApiKey::DeleteGroups;
  static constexpr Direction direction = Direction::response;

  struct DeletableGroupResult {
    std::string group_id;
    std::int16_t error_code = 0;
    std::optional<std::string> error_message;
    CROSSOVER_MEMBERS(DeletableGroupResult, group_id, error_code, error_message)
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<DeletableGroupResult> results;
  CROSSOVER_MEMBERS(DeleteGroupsResponse, throttle_time_ms, results)
};

struct OffsetDeleteRequest {
  static constexpr ApiKey api = ApiKey::OffsetDelete;
  static constexpr Direction direction = Direction::request;

  struct OffsetDeleteRequestPartition {
    std::int32_t partition_index = 0;
    CROSSOVER_MEMBERS(OffsetDeleteRequestPartition, partition_index)
  };

  struct OffsetDeleteRequestTopic {
    std::string name;
    std::vector<OffsetDeleteRequestPartition> partitions;
    CROSSOVER_MEMBERS(OffsetDeleteRequestTopic, name, partitions)
  };

  std::string group_id;
  std::vector<OffsetDeleteRequestTopic> topics;
  CROSSOVER_MEMBERS(OffsetDeleteRequest, group_id, topics)
};

struct OffsetDeleteResponse {
  static constexpr ApiKey api = ApiKey::OffsetDelete;
  static constexpr Direction direction = Direction::response;

  struct OffsetDeleteResponsePartition {
    std::int32_t partition_index = 0;
    std::int16_t error_code = 0;
    CROSSOVER_MEMBERS(OffsetDeleteResponsePartition, partition_index, error_code)
  };

  struct OffsetDeleteResponseTopic {
    std::string name;
    std::vector<OffsetDeleteResponsePartition> partitions;
    CROSSOVER_MEMBERS(OffsetDeleteResponseTopic, name, partitions)
  };

  std::int16_t error_code = 0;
  std::int32_t throttle_time_ms = 0;
  std::vector<OffsetDeleteResponseTopic> topics;
  CROSSOVER_MEMBERS(OffsetDeleteResponse, error_code, throttle_time_ms, topics)
};

struct ConsumerGroupHeartbeatRequest {
  static constexpr ApiKey api = ApiKey::ConsumerGroupHeartbeat;
  static constexpr Direction direction = Direction::request;

  struct TopicPartitions {
    Uuid topic_id;
    std::vector<std::int32_t> partitions;
    CROSSOVER_MEMBERS(TopicPartitions, topic_id, partitions)
  };

  std::string group_id;
  std::string member_id;
  std::int32_t member_epoch = 0;
  std::optional<std::string> instance_id;
  std::optional<std::string> rack_id;
  std::int32_t rebalance_timeout_ms = -1;
  std::optional<std::vector<std::string>> subscribed_topic_names;
  std::optional<std::string> subscribed_topic_regex;
  std::optional<std::string> server_assignor;
  std::optional<std::vector<TopicPartitions>> topic_partitions;
  CROSSOVER_MEMBERS(ConsumerGroupHeartbeatRequest, group_id, member_id, member_epoch, instance_id, rack_id,
                    rebalance_timeout_ms, subscribed_topic_names, subscribed_topic_regex, server_assignor,
                    topic_partitions)
};

struct ConsumerGroupHeartbeatResponse {
  static constexpr ApiKey api = ApiKey::ConsumerGroupHeartbeat;
  static constexpr Direction direction = Direction::response;

  struct TopicPartitions {
    Uuid topic_id;
    std::vector<std::int32_t> partitions;
    CROSSOVER_MEMBERS(TopicPartitions, topic_id, partitions)
  };

  struct Assignment {
    std::vector<TopicPartitions> topic_partitions;
    CROSSOVER_MEMBERS(Assignment, topic_partitions)
  };

  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::optional<std::string> error_message;
  std::optional<std::string> member_id;
  std::int32_t member_epoch = 0;
  std::int32_t heartbeat_interval_ms = 0;
  std::optional<Assignment> assignment;
  CROSSOVER_MEMBERS(ConsumerGroupHeartbeatResponse, throttle_time_ms, error_code, error_message, member_id,
                    member_epoch, heartbeat_interval_ms, assignment)
};

struct ConsumerGroupDescribeRequest {
  static constexpr ApiKey api = ApiKey::ConsumerGroupDescribe;
  static constexpr Direction direction = Direction::request;

  std::vector<std::string> group_ids;
  bool include_authorized_operations = false;
  CROSSOVER_MEMBERS(ConsumerGroupDescribeRequest, group_ids, include_authorized_operations)
};

struct ConsumerGroupDescribeResponse {
  static constexpr ApiKey api = ApiKey::ConsumerGroupDescribe;
  static constexpr Direction direction = Direction::response;

  struct TopicPartitions {
    Uuid topic_id;
    std::string topic_name;
    std::vector<std::int32_t> partitions;
    CROSSOVER_MEMBERS(TopicPartitions, topic_id, topic_name, partitions)
  };

  struct Assignment {
    std::vector<TopicPartitions> topic_partitions;
    CROSSOVER_MEMBERS(Assignment, topic_partitions)
  };

  struct Member {
    std::string member_id;
    std::optional<std::string> instance_id;
    std::optional<std::string> rack_id;
    std::int32_t member_epoch = 0;
    std::string client_id;
    std::string client_host;
    std::vector<std::string> subscribed_topic_names;
    std::optional<std::string> subscribed_topic_regex;
    Assignment assignment;
    Assignment target_assignment;
    std::int8_t member_type = -1;
    CROSSOVER_MEMBERS(Member, member_id, instance_id, rack_id, member_epoch, client_id, client_host,
                      subscribed_topic_names, subscribed_topic_regex, assignment, target_assignment, member_type)
  };

  struct DescribedGroup {
    std::int16_t error_code = 0;
    std::optional<std::string> error_message;
    std::string group_id;
    std::string group_state;
    std::int32_t group_epoch = 0;
    std::int32_t assignment_epoch = 0;
    std::string assignor_name;
    std::vector<Member> members;
    std::int32_t authorized_operations = INT32_MIN;
    CROSSOVER_MEMBERS(DescribedGroup, error_code, error_message, group_id, group_state, group_epoch, assignment_epoch,
                      assignor_name, members, authorized_operations)
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<DescribedGroup> groups;
  CROSSOVER_MEMBERS(ConsumerGroupDescribeResponse, throttle_time_ms, groups)
};

}  // namespace crossover::protocol
