// Group coordinators live on the groups' home; a group's offsets may live on the other cluster (binding.h). What is
// stored is in its own cluster's terms; what the client sees is virtual.
#include <algorithm>
#include <set>

#include "protocol/messages.h"
#include "protocol/walk.h"
#include "protocol/wire.h"
#include "proxy/commit_positions.h"
#include "proxy/coordinators.h"
#include "proxy/group_members.h"
#include "proxy/handlers.h"
#include "proxy/producer_id.h"

namespace crossover::proxy {
namespace {

using namespace protocol;

// Sends the body to the coordinator's cluster; nullptr after the client was answered with a retriable error. `home` is
// the groups' home as the request was written for: the groups may move before the answer comes, which stays in its
// terms.
Task<CallState*> ask(SessionCore& core, Request& request, Cluster home, Call& call, const Bytes& body) {
  call = core.send(request, home, core.some_node(home), request.api(), request.version(), body);
  CallState& answered = co_await call;
  if (answered.status == CallStatus::answered) co_return &answered;
  core.reply_error(request, ErrorCode::NOT_COORDINATOR);
  co_return nullptr;
}

// Replaces virtual producer ids and topic ids in place: both have a fixed width.
class PatchIds : public Visitor {
 public:
  PatchIds(const Snapshot& snapshot, Cluster home, Bytes& body, Direction direction)
      : snapshot_(snapshot), home_(home), body_(body), direction_(direction) {}

  void value(const Visit& visit) override {
    if (visit.null) return;
    if (visit.field.role == Role::producer_id && visit.size == 8) patch_producer(visit.at);
    if (visit.field.role == Role::topic_id && visit.size == 16) patch_topic(visit.at);
  }

 private:
  void patch_producer(std::size_t at) {
    const ProducerId id = load_int64(body_.data() + at);
    const ProducerId mapped =
        direction_ == Direction::request ? split_virtual(id).id : virtual_from_any_wire(id, home_);
    if (id >= 0) store_int64(body_.data() + at, mapped);
  }
  void patch_topic(std::size_t at) {
    Uuid id;
    std::copy_n(body_.data() + at, 16, reinterpret_cast<char*>(id.bytes.data()));
    if (id.is_zero()) return;
    const TopicView* view =
        direction_ == Direction::request ? snapshot_.topic(id) : topic_by_real_id(snapshot_, home_, id);
    if (!view) return;
    const Uuid& mapped = direction_ == Direction::request ? view->real_id[index_of(home_)] : view->virtual_id;
    std::copy_n(reinterpret_cast<const char*>(mapped.bytes.data()), 16, body_.data() + at);
  }

  const Snapshot& snapshot_;
  Cluster home_;
  Bytes& body_;
  Direction direction_;
};

bool patch_ids(const Snapshot& snapshot, Cluster home, ApiKey api, Version version, Direction direction, Bytes& body) {
  PatchIds visitor(snapshot, home, body, direction);
  const Bytes original = body;  // the walk reads what the visitor does not change under it
  return walk(*find_message(api, direction), version, original, visitor);
}

// An answer in which only ids have to be exchanged.
void reply_patched(SessionCore& core, Request& request, Cluster home, const CallState& answered) {
  Bytes answer(answered.body());
  if (!patch_ids(core.snapshot(), home, request.api(), request.version(), Direction::response, answer)) {
    return core.close("malformed coordinator answer");
  }
  core.reply(request, BytesView(answer));
}

// Where the group's offsets are not with its members, these are asked first whether the committing one is theirs.
Task<> commit_apart(SessionCore& core, Request& request, OffsetCommitRequest asked, Cluster home) {
  const GroupMember member{asked.group_id, asked.generation_id_or_member_epoch, asked.member_id,
                           asked.group_instance_id};
  const std::int16_t error = co_await member_error(core, request, member);
  if (error != 0) co_return core.reply_error(request, static_cast<ErrorCode>(error));
  asked.generation_id_or_member_epoch = -1;
  asked.member_id.clear();
  asked.group_instance_id.reset();
  auto answer = co_await ask_coordinator<OffsetCommitResponse>(core, request, home, CoordinatorKind::group,
                                                               member.group, asked, request.version());
  if (!answer) co_return core.reply_error(request, ErrorCode::COORDINATOR_NOT_AVAILABLE);
  for (auto& topic : answer->topics) {
    const TopicView* view =
        topic.topic_id.is_zero() ? nullptr : topic_by_real_id(core.snapshot(), home, topic.topic_id);
    if (view) topic.topic_id = view->virtual_id;
    for (const auto& row : topic.partitions)
      note_coordinator_error(core, home, CoordinatorKind::group, member.group, row.error_code);
  }
  core.reply(request, *answer);
}

Task<> commit(SessionCore& core, Request& request) {
  auto asked = decode<OffsetCommitRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed OffsetCommit request");
  const bool there = co_await wait_for_offsets(core, request, asked->group_id);
  if (!there) co_return core.reply_error(request, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
  const CommitGuard in_flight(core, asked->group_id);
  const Cluster home = core.snapshot().bindings->home_of_group(asked->group_id);
  project_commit(core.snapshot(), home, *asked);
  if (home != core.snapshot().groups_home) {
    co_await commit_apart(core, request, *asked, home);
    co_return;
  }
  const Bytes body = encode(*asked, request.version());
  Call call;
  CallState* answered = co_await ask(core, request, home, call, body);
  if (answered) reply_patched(core, request, home, *answered);
}

void replace_ids(const Snapshot& snapshot, Cluster home, OffsetFetchRequest::OffsetFetchRequestGroup& group) {
  if (!group.topics) return;
  for (auto& topic : *group.topics) {
    const TopicView* view = topic.topic_id.is_zero() ? nullptr : snapshot.topic(topic.topic_id);
    if (view) topic.topic_id = view->real_id[index_of(home)];
  }
}

bool is_named(const OffsetFetchRequest::OffsetFetchRequestGroup& group, const Uuid& topic_id) {
  return group.topics && std::any_of(group.topics->begin(), group.topics->end(),
                                     [&](const auto& topic) { return topic.topic_id == topic_id; });
}

// The committed positions of a group in the client's terms.
void show_positions(const Snapshot& snapshot, Cluster home, const OffsetFetchRequest::OffsetFetchRequestGroup& asked,
                    OffsetFetchResponse::OffsetFetchResponseGroup& group) {
  // Who asks for all that a group has committed is told of no topic that the proxy does not show.
  std::erase_if(group.topics, [&](const auto& topic) {
    return !topic.topic_id.is_zero() && !topic_by_real_id(snapshot, home, topic.topic_id) &&
           !is_named(asked, topic.topic_id);
  });
  for (auto& topic : group.topics) {
    const TopicView* view = topic.topic_id.is_zero() ? nullptr : topic_by_real_id(snapshot, home, topic.topic_id);
    if (view) topic.topic_id = view->virtual_id;
    for (auto& row : topic.partitions) unproject(snapshot, home, view ? view->name : topic.name, row);
  }
}

// Several groups in one request may have their offsets on either cluster: each is asked for by itself.
Task<> fetch_commits_of_groups(SessionCore& core, Request& request, OffsetFetchRequest asked) {
  OffsetFetchResponse answer;
  for (auto& group : asked.groups) {
    auto& row = answer.groups.emplace_back();
    row.group_id = group.group_id;
    row.error_code = static_cast<std::int16_t>(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
    const bool there = co_await wait_for_offsets(core, request, group.group_id);
    if (!there) continue;
    const CommitGuard in_flight(core, group.group_id);
    const Cluster home = core.snapshot().bindings->home_of_group(group.group_id);
    OffsetFetchRequest question;
    question.require_stable = asked.require_stable;
    question.groups.push_back(group);
    replace_ids(core.snapshot(), home, question.groups[0]);
    if (home != core.snapshot().groups_home) {  // its members are not known there
      question.groups[0].member_id.reset();
      question.groups[0].member_epoch = -1;
    }
    auto answered = co_await ask_coordinator<OffsetFetchResponse>(core, request, home, CoordinatorKind::group,
                                                                  group.group_id, question, request.version());
    row.error_code = static_cast<std::int16_t>(ErrorCode::NOT_COORDINATOR);
    if (!answered || answered->groups.size() != 1) continue;
    row = std::move(answered->groups[0]);
    note_coordinator_error(core, home, CoordinatorKind::group, group.group_id, row.error_code);
    show_positions(core.snapshot(), home, question.groups[0], row);
  }
  core.reply(request, answer);
}

Task<> fetch_commits(SessionCore& core, Request& request) {
  constexpr Version first_of_groups = 8;
  auto asked = decode<OffsetFetchRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed OffsetFetch request");
  if (request.version() >= first_of_groups) {
    co_await fetch_commits_of_groups(core, request, *asked);
    co_return;
  }
  const bool there = co_await wait_for_offsets(core, request, asked->group_id);
  if (!there) co_return core.reply_error(request, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
  const CommitGuard in_flight(core, asked->group_id);
  const Cluster home = core.snapshot().bindings->home_of_group(asked->group_id);
  auto answer = co_await ask_coordinator<OffsetFetchResponse>(core, request, home, CoordinatorKind::group,
                                                              asked->group_id, *asked, request.version());
  if (!answer) co_return core.reply_error(request, ErrorCode::NOT_COORDINATOR);
  note_coordinator_error(core, home, CoordinatorKind::group, asked->group_id, answer->error_code);
  for (auto& topic : answer->topics) {
    for (auto& row : topic.partitions) unproject(core.snapshot(), home, topic.name, row);
  }
  core.reply(request, *answer);
}

// The request as it came, with the home's ids; nullptr: it was dealt with.
Task<CallState*> ask_with_real_ids(SessionCore& core, Request& request, Cluster home, Call& call) {
  Bytes body(request.body());
  if (!patch_ids(core.snapshot(), home, request.api(), request.version(), Direction::request, body)) {
    core.close("malformed coordinator request");
    co_return nullptr;
  }
  CallState* answered = co_await ask(core, request, home, call, body);
  co_return answered;
}

// Everything else a coordinator answers: only ids are exchanged.
Task<> forward_to_coordinator(SessionCore& core, Request& request) {
  const Cluster home = core.snapshot().groups_home;
  Call call;
  CallState* answered = co_await ask_with_real_ids(core, request, home, call);
  if (answered) reply_patched(core, request, home, *answered);
}

// --- deletions, where a group's offsets are not with its members: both clusters are asked, the members' one first ---

constexpr std::int16_t no_such_group = static_cast<std::int16_t>(ErrorCode::GROUP_ID_NOT_FOUND);

// What of the offsets may be deleted the members' coordinator says; it deletes what was left there, too.
Task<> delete_offsets(SessionCore& core, Request& request) {
  const auto asked = decode<OffsetDeleteRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed OffsetDelete request");
  const bool there = co_await wait_for_offsets(core, request, asked->group_id);
  if (!there) co_return core.reply_error(request, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
  const CommitGuard in_flight(core, asked->group_id);
  const Cluster members = core.snapshot().groups_home;
  const Cluster home = core.snapshot().bindings->home_of_group(asked->group_id);
  if (home == members) {
    co_await forward_to_coordinator(core, request);
    co_return;
  }
  auto answer = co_await ask_coordinator<OffsetDeleteResponse>(core, request, members, CoordinatorKind::group,
                                                               asked->group_id, *asked, request.version());
  if (!answer) co_return core.reply_error(request, ErrorCode::COORDINATOR_NOT_AVAILABLE);
  note_coordinator_error(core, members, CoordinatorKind::group, asked->group_id, answer->error_code);
  if (answer->error_code != 0 && answer->error_code != no_such_group) co_return core.reply(request, *answer);
  std::set<std::pair<std::string, PartitionIndex>> refused;
  for (const auto& topic : answer->topics) {
    for (const auto& row : topic.partitions) {
      if (row.error_code == static_cast<std::int16_t>(ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC))
        refused.emplace(topic.name, row.partition_index);
    }
  }
  OffsetDeleteRequest question = *asked;
  for (auto& topic : question.topics) {
    std::erase_if(topic.partitions, [&](const auto& row) {
      return refused.contains({topic.name, row.partition_index});
    });
  }
  std::erase_if(question.topics, [](const auto& topic) { return topic.partitions.empty(); });
  if (question.topics.empty()) co_return core.reply(request, *answer);
  auto deleted = co_await ask_coordinator<OffsetDeleteResponse>(core, request, home, CoordinatorKind::group,
                                                                asked->group_id, question, request.version());
  if (!deleted) co_return core.reply_error(request, ErrorCode::COORDINATOR_NOT_AVAILABLE);
  note_coordinator_error(core, home, CoordinatorKind::group, asked->group_id, deleted->error_code);
  for (const auto& [topic, partition] : refused) {
    auto& row = deleted->topics.emplace_back();
    row.name = topic;
    row.partitions.push_back({partition, static_cast<std::int16_t>(ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC)});
  }
  core.reply(request, *deleted);
}

Task<std::int16_t> delete_group_on(SessionCore& core, const Request& request, Cluster cluster, std::string group) {
  DeleteGroupsRequest question;
  question.groups_names.push_back(group);
  const auto answer = co_await ask_coordinator<DeleteGroupsResponse>(core, request, cluster, CoordinatorKind::group,
                                                                     group, question, request.version());
  if (!answer || answer->results.size() != 1) co_return static_cast<std::int16_t>(ErrorCode::COORDINATOR_NOT_AVAILABLE);
  note_coordinator_error(core, cluster, CoordinatorKind::group, group, answer->results[0].error_code);
  co_return answer->results[0].error_code;
}

Task<std::int16_t> delete_group(SessionCore& core, const Request& request, std::string group) {
  const bool there = co_await wait_for_offsets(core, request, group);
  if (!there) co_return static_cast<std::int16_t>(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
  const CommitGuard in_flight(core, group);
  const Cluster members = core.snapshot().groups_home;
  const Cluster home = core.snapshot().bindings->home_of_group(group);
  const std::int16_t first = co_await delete_group_on(core, request, members, group);
  if (home == members || (first != 0 && first != no_such_group)) co_return first;
  const std::int16_t second = co_await delete_group_on(core, request, home, group);
  co_return second == no_such_group ? first : second;
}

Task<> delete_groups(SessionCore& core, Request& request) {
  const auto asked = decode<DeleteGroupsRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed DeleteGroups request");
  DeleteGroupsResponse answer;
  for (const std::string& group : asked->groups_names) {
    const std::int16_t error = co_await delete_group(core, request, group);
    auto& row = answer.results.emplace_back();
    row.group_id = group;
    row.error_code = error;
  }
  core.reply(request, answer);
}

using Assignments = std::vector<std::vector<ConsumerGroupHeartbeatResponse::TopicPartitions>*>;
using DescribedAssignments = std::vector<std::vector<ConsumerGroupDescribeResponse::TopicPartitions>*>;

Assignments assignments_in(ConsumerGroupHeartbeatResponse& answer) {
  if (!answer.assignment) return {};
  return {&answer.assignment->topic_partitions};
}

DescribedAssignments assignments_in(ConsumerGroupDescribeResponse& answer) {
  DescribedAssignments all;
  for (auto& group : answer.groups) {
    for (auto& member : group.members) {
      all.push_back(&member.assignment.topic_partitions);
      all.push_back(&member.target_assignment.topic_partitions);
    }
  }
  return all;
}

template <class Answer>
bool names_unknown_topics(const Snapshot& snapshot, Cluster home, Answer& answer) {
  for (const auto* topics : assignments_in(answer)) {
    for (const auto& topic : *topics) {
      if (!topic_by_real_id(snapshot, home, topic.topic_id)) return true;
    }
  }
  return false;
}

// The broker assigns by patterns over all topics that it has (KIP-848): those that the proxy does not show are left
// out.
template <class Answer>
void show_assignments(const Snapshot& snapshot, Cluster home, Answer& answer) {
  for (auto* topics : assignments_in(answer)) {
    std::erase_if(*topics, [&](auto& topic) {
      const TopicView* view = topic_by_real_id(snapshot, home, topic.topic_id);
      if (view) topic.topic_id = view->virtual_id;
      return !view;
    });
  }
}

// A broker names an assignment once: a topic so new that the proxy has not seen it is waited for.
template <class Answer>
Task<> answer_with_assignments(SessionCore& core, Request& request) {
  const Cluster home = core.snapshot().groups_home;
  Call call;
  CallState* answered = co_await ask_with_real_ids(core, request, home, call);
  if (!answered) co_return;
  auto answer = decode<Answer>(answered->body(), request.version());
  if (!answer) co_return core.close("malformed coordinator answer");
  const Millis since = core.now();
  const Millis deadline = since + core.options().limits.image_wait_ms;
  while (names_unknown_topics(core.snapshot(), home, *answer) && core.now() < deadline &&
         core.snapshot().images[index_of(home)]->asked_at < since) {
    core.io().want_image(home, since);
    SessionCore::Changed changed(core, deadline);
    co_await changed;
  }
  show_assignments(core.snapshot(), home, *answer);
  core.reply(request, *answer);
}

}  // namespace

Task<> handle_coordinator(SessionCore& core, Request& request) {
  switch (request.api()) {
    case ApiKey::OffsetCommit:
      return commit(core, request);
    case ApiKey::OffsetFetch:
      return fetch_commits(core, request);
    case ApiKey::OffsetDelete:
      return delete_offsets(core, request);
    case ApiKey::DeleteGroups:
      return delete_groups(core, request);
    case ApiKey::ConsumerGroupHeartbeat:
      return answer_with_assignments<ConsumerGroupHeartbeatResponse>(core, request);
    case ApiKey::ConsumerGroupDescribe:
      return answer_with_assignments<ConsumerGroupDescribeResponse>(core, request);
    default:
      return forward_to_coordinator(core, request);
  }
}

// Every broker answers for its own groups; those of the other cluster are no part of the virtual one.
Task<> handle_list_groups(SessionCore& core, Request& request) {
  const Cluster home = core.snapshot().groups_home;
  if (core.options().virtual_broker && !core.own_node(home)) {
    co_return core.reply(request, ListGroupsResponse{});
  }
  co_await forward_to_coordinator(core, request);
}

}  // namespace crossover::proxy
