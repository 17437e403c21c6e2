// OffsetCommit and OffsetFetch.
#include "tests/sim/cluster_state.h"

namespace crossover::sim {

namespace {

using protocol::OffsetCommitRequest;
using protocol::OffsetCommitResponse;
using protocol::OffsetFetchRequest;
using protocol::OffsetFetchResponse;

// ClassicGroup.validateOffsetCommit.
ErrorCode commit_error(ClusterState& state, const Call& call, const OffsetCommitRequest& request) {
  std::int32_t generation = request.generation_id_or_member_epoch;
  if (state.coordinator(request.group_id) != call.ticket.node) return ErrorCode::NOT_COORDINATOR;
  auto found = state.groups.find(request.group_id);
  // A consumer that manages its partitions itself, or an operator, brings the group into being.
  if (found == state.groups.end()) return generation < 0 ? ErrorCode::NONE : ErrorCode::ILLEGAL_GENERATION;
  const Group& group = found->second;
  if (generation < 0 && group.state == GroupState::empty) return ErrorCode::NONE;
  if (generation < 0 && request.member_id.empty() && !request.group_instance_id) return ErrorCode::UNKNOWN_MEMBER_ID;
  ErrorCode error = check_member(group, request.member_id, request.group_instance_id);
  if (error != ErrorCode::NONE) return error;
  if (generation != group.generation) return ErrorCode::ILLEGAL_GENERATION;
  return group.state == GroupState::completing_rebalance ? ErrorCode::REBALANCE_IN_PROGRESS : ErrorCode::NONE;
}

ErrorCode commit_partition(ClusterState& state, const Call& call, const OffsetCommitRequest& request, Topic* topic,
                           const OffsetCommitRequest::OffsetCommitRequestPartition& asked) {
  if (topic == nullptr && call.version() >= 10) return ErrorCode::UNKNOWN_TOPIC_ID;
  if (state.partition(topic, asked.partition_index) == nullptr) return ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
  std::string metadata = asked.committed_metadata.value_or("");
  if (metadata.size() > offset_metadata_limit) return ErrorCode::OFFSET_METADATA_TOO_LARGE;
  // Neither offset nor epoch is compared with the log.
  LeaderEpoch epoch = call.version() >= 6 ? asked.committed_leader_epoch : -1;
  store_offset(state.groups[request.group_id], {topic->name, asked.partition_index},
               {asked.committed_offset, epoch, std::move(metadata)}, state.next_offset_record++);
  return ErrorCode::NONE;
}

void offset_commit(ClusterState& state, const Call& call, const OffsetCommitRequest& request) {
  OffsetCommitResponse response;
  ErrorCode refused = commit_error(state, call, request);
  for (const auto& topic : request.topics) {
    OffsetCommitResponse::OffsetCommitResponseTopic answers;
    answers.name = topic.name;
    answers.topic_id = topic.topic_id;
    Topic* found = call.version() >= 10 ? state.topic(topic.topic_id) : state.topic(topic.name);
    for (const auto& asked : topic.partitions) {
      ErrorCode error = refused;
      if (error == ErrorCode::NONE) error = commit_partition(state, call, request, found, asked);
      OffsetCommitResponse::OffsetCommitResponsePartition answer;
      answer.partition_index = asked.partition_index;
      answer.error_code = code(error);
      answers.partitions.push_back(answer);
    }
    response.topics.push_back(std::move(answers));
  }
  auto group = state.groups.find(request.group_id);
  if (refused == ErrorCode::NONE && group != state.groups.end()) {
    auto member = group->second.members.find(request.member_id);
    if (member != group->second.members.end()) touch_session(state, member->second);
  }
  respond(state, call.ticket, response);
}

// Both shapes of the answer name their rows alike up to the word for the metadata.
template <class Row>
Row committed_row(const Group* group, const std::string& topic, PartitionIndex partition, bool require_stable) {
  Row row;
  row.partition_index = partition;
  row.committed_offset = -1;
  row.committed_leader_epoch = -1;
  row.metadata = "";
  if (group == nullptr) return row;
  if (require_stable && has_pending_offset(*group, {topic, partition})) {
    row.error_code = code(ErrorCode::UNSTABLE_OFFSET_COMMIT);
    return row;
  }
  auto found = group->offsets.find({topic, partition});
  if (found == group->offsets.end()) return row;
  row.committed_offset = found->second.offset;
  row.committed_leader_epoch = found->second.leader_epoch;
  row.metadata = found->second.metadata;
  return row;
}

std::map<std::string, std::vector<PartitionIndex>> everything_committed(const Group* group) {
  std::map<std::string, std::vector<PartitionIndex>> topics;
  if (group == nullptr) return topics;
  for (const auto& [key, offset] : group->offsets) topics[key.first].push_back(key.second);
  return topics;
}

const Group* find_group(const ClusterState& state, const std::string& id) {
  auto found = state.groups.find(id);
  return found == state.groups.end() ? nullptr : &found->second;
}

using OneTopic = OffsetFetchResponse::OffsetFetchResponseTopic;
using OneRow = OffsetFetchResponse::OffsetFetchResponsePartition;
using GroupTopic = OffsetFetchResponse::OffsetFetchResponseTopics;
using GroupRow = OffsetFetchResponse::OffsetFetchResponsePartitions;

template <class TopicAnswer, class Row>
TopicAnswer topic_rows(const Group* group, const std::string& name, const std::vector<PartitionIndex>& partitions,
                       bool require_stable) {
  TopicAnswer answer;
  answer.name = name;
  for (PartitionIndex partition : partitions) {
    answer.partitions.push_back(committed_row<Row>(group, name, partition, require_stable));
  }
  return answer;
}

// Up to version 7: one group; before version 2 an error has room in the partitions only.
void fetch_one_group(ClusterState& state, const Call& call, const OffsetFetchRequest& request) {
  OffsetFetchResponse response;
  bool here = state.coordinator(request.group_id) == call.ticket.node;
  const Group* group = here ? find_group(state, request.group_id) : nullptr;
  if (!here) response.error_code = code(ErrorCode::NOT_COORDINATOR);
  if (request.topics) {
    for (const auto& topic : *request.topics) {
      if (!here && call.version() >= 2) break;
      response.topics.push_back(
          topic_rows<OneTopic, OneRow>(group, topic.name, topic.partition_indexes, request.require_stable));
      if (here) continue;
      for (auto& row : response.topics.back().partitions) row.error_code = response.error_code;
    }
  } else {
    for (const auto& [name, partitions] : everything_committed(group)) {
      response.topics.push_back(topic_rows<OneTopic, OneRow>(group, name, partitions, request.require_stable));
    }
  }
  respond(state, call.ticket, response);
}

GroupTopic asked_topic(ClusterState& state, const Call& call, const Group* group,
                       const OffsetFetchRequest::OffsetFetchRequestTopics& asked, bool require_stable) {
  const Topic* topic = call.version() >= 10 ? state.topic(asked.topic_id) : nullptr;
  std::string name = topic != nullptr ? topic->name : asked.name;
  GroupTopic answer = topic_rows<GroupTopic, GroupRow>(group, name, asked.partition_indexes, require_stable);
  answer.topic_id = asked.topic_id;
  if (call.version() >= 10 && topic == nullptr) {
    for (auto& row : answer.partitions) row.error_code = code(ErrorCode::UNKNOWN_TOPIC_ID);
  }
  return answer;
}

OffsetFetchResponse::OffsetFetchResponseGroup fetch_group(ClusterState& state, const Call& call,
                                                          const OffsetFetchRequest::OffsetFetchRequestGroup& asked,
                                                          bool require_stable) {
  OffsetFetchResponse::OffsetFetchResponseGroup answer;
  answer.group_id = asked.group_id;
  if (state.coordinator(asked.group_id) != call.ticket.node) {
    answer.error_code = code(ErrorCode::NOT_COORDINATOR);
    return answer;
  }
  const Group* group = find_group(state, asked.group_id);
  if (asked.topics) {
    for (const auto& topic : *asked.topics)
      answer.topics.push_back(asked_topic(state, call, group, topic, require_stable));
    return answer;
  }
  for (const auto& [name, partitions] : everything_committed(group)) {
    answer.topics.push_back(topic_rows<GroupTopic, GroupRow>(group, name, partitions, require_stable));
    if (const Topic* topic = state.topic(name)) answer.topics.back().topic_id = topic->id;
  }
  return answer;
}

void offset_fetch(ClusterState& state, const Call& call, const OffsetFetchRequest& request) {
  if (call.version() < 8) return fetch_one_group(state, call, request);
  OffsetFetchResponse response;
  for (const auto& group : request.groups)
    response.groups.push_back(fetch_group(state, call, group, request.require_stable));
  respond(state, call.ticket, response);
}

}  // namespace

void store_offset(Group& group, const Group::Place& place, const CommittedOffset& offset, std::uint64_t record) {
  group.offsets[place] = offset;
  group.offset_records[place] = record;
}

bool has_pending_offset(const Group& group, const Group::Place& place) {
  return std::any_of(group.pending_offsets.begin(), group.pending_offsets.end(),
                     [&place](const auto& producer) { return producer.second.contains(place); });
}

void add_commit_handlers(Handlers& handlers) {
  handlers[ApiKey::OffsetCommit] = decoded<OffsetCommitRequest, offset_commit>;
  handlers[ApiKey::OffsetFetch] = decoded<OffsetFetchRequest, offset_fetch>;
}

}  // namespace crossover::sim
