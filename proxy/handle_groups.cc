// Group and transaction coordinators live on the groups' home. What they store is in their own cluster's terms; what
// the client sees is virtual.
#include <algorithm>

#include "protocol/messages.h"
#include "protocol/walk.h"
#include "protocol/wire.h"
#include "proxy/commit_tag.h"
#include "proxy/handlers.h"
#include "proxy/producer_id.h"

namespace crossover::proxy {
namespace {

using namespace protocol;

const TopicView* topic_of(const Snapshot& snapshot, const std::string& name, const Uuid& virtual_id) {
  return name.empty() && !virtual_id.is_zero() ? snapshot.topic(virtual_id) : snapshot.topic(name);
}

const TopicView* topic_by_real_id(const Snapshot& snapshot, Cluster cluster, const Uuid& real_id) {
  for (const auto& [name, topic] : snapshot.topics) {
    if (topic->real_id[index_of(cluster)] == real_id) return topic.get();
  }
  return nullptr;
}

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

// A log that never left the coordinator's cluster.
bool stored_as_it_is(const Snapshot& snapshot, const VirtualLog& log) {
  return log.is_plain_identity() && log.home() == snapshot.groups_home;
}

// A virtual position as the coordinator stores it.
template <class Row>
void project(const Snapshot& snapshot, const std::string& topic, Row& row) {
  const PartitionView* partition = snapshot.partition(topic, row.partition_index);
  if (!partition || row.committed_offset < 0 || stored_as_it_is(snapshot, partition->log)) return;
  const Offset virtual_offset = row.committed_offset;
  const Projection projection =
      partition->log.project(virtual_offset, row.committed_leader_epoch, snapshot.groups_home);
  row.committed_offset = projection.real;
  row.committed_leader_epoch = projection.epoch;
  std::string metadata = row.committed_metadata.value_or("");
  // Where the string is full the lowest position is meant when it is read back: replay, never a skip.
  if (!projection.invertible && metadata.size() + commit_tag_bytes <= commit_metadata_bytes) {
    row.committed_metadata = with_commit_tag(std::move(metadata), virtual_offset);
  }
}

// The way back. A tag counts only while it says the same as the offset beside it: a native tool may have reset that.
template <class Row>
void unproject(const Snapshot& snapshot, Cluster home, const std::string& topic, Row& row) {
  TaggedMetadata tagged = split_commit_tag(row.metadata.value_or(""));
  if (row.metadata) row.metadata = std::move(tagged.metadata);
  const PartitionView* partition = snapshot.partition(topic, row.partition_index);
  if (!partition || row.committed_offset < 0 || stored_as_it_is(snapshot, partition->log)) return;
  const VirtualLog& log = partition->log;
  const Offset stored = row.committed_offset;
  const LeaderEpoch stored_epoch = row.committed_leader_epoch;
  row.committed_offset = log.inverse(stored, home);
  row.committed_leader_epoch = -1;
  if (tagged.virtual_offset && log.ever_projected(*tagged.virtual_offset, stored, home)) {
    row.committed_offset = *tagged.virtual_offset;
  }
  const std::size_t at = log.find(row.committed_offset);
  const Segment& segment = log.segments()[at];
  if (segment.cluster == home && stored_epoch >= 0 && segment.to_virtual(stored) == row.committed_offset) {
    const LeaderEpoch epoch = segment.epoch_base + stored_epoch;
    if (epoch >= log.first_epoch(at) && (segment.open() || epoch <= segment.boundary_epoch))
      row.committed_leader_epoch = epoch;
  }
}

// Commits of both kinds: projects the rows and puts the coordinator's topic ids in.
template <class Asked>
void project_commit(const Snapshot& snapshot, Asked& asked) {
  for (auto& topic : asked.topics) {
    const TopicView* view = topic_of(snapshot, topic.name, topic.topic_id);
    if (!view) continue;
    if (!topic.topic_id.is_zero()) topic.topic_id = view->real_id[index_of(snapshot.groups_home)];
    for (auto& row : topic.partitions) project(snapshot, view->name, row);
  }
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

Task<> commit(SessionCore& core, Request& request) {
  auto asked = decode<OffsetCommitRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed OffsetCommit request");
  const Cluster home = core.snapshot().groups_home;
  project_commit(core.snapshot(), *asked);
  const Bytes body = encode(*asked, request.version());
  Call call;
  CallState* answered = co_await ask(core, request, home, call, body);
  if (answered) reply_patched(core, request, home, *answered);
}

Task<> transactional_commit(SessionCore& core, Request& request) {
  auto asked = decode<TxnOffsetCommitRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed TxnOffsetCommit request");
  const Cluster home = core.snapshot().groups_home;
  project_commit(core.snapshot(), *asked);
  asked->producer_id = split_virtual(asked->producer_id).id;
  const Bytes body = encode(*asked, request.version());
  Call call;
  CallState* answered = co_await ask(core, request, home, call, body);
  if (answered) reply_patched(core, request, home, *answered);
}

void replace_ids(const Snapshot& snapshot, OffsetFetchRequest& asked) {
  for (auto& group : asked.groups) {
    if (!group.topics) continue;
    for (auto& topic : *group.topics) {
      const TopicView* view = topic.topic_id.is_zero() ? nullptr : snapshot.topic(topic.topic_id);
      if (view) topic.topic_id = view->real_id[index_of(snapshot.groups_home)];
    }
  }
}

bool is_named(const OffsetFetchRequest& asked, const std::string& group_id, const Uuid& topic_id) {
  return std::any_of(asked.groups.begin(), asked.groups.end(), [&](const auto& group) {
    return group.group_id == group_id && group.topics &&
           std::any_of(group.topics->begin(), group.topics->end(),
                       [&](const auto& topic) { return topic.topic_id == topic_id; });
  });
}

Task<> fetch_commits(SessionCore& core, Request& request) {
  auto asked = decode<OffsetFetchRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed OffsetFetch request");
  const Cluster home = core.snapshot().groups_home;
  replace_ids(core.snapshot(), *asked);
  const Bytes body = encode(*asked, request.version());
  Call call;
  CallState* answered = co_await ask(core, request, home, call, body);
  if (!answered) co_return;
  auto answer = decode<OffsetFetchResponse>(answered->body(), request.version());
  if (!answer) co_return core.close("malformed OffsetFetch answer");
  const Snapshot& snapshot = core.snapshot();
  for (auto& topic : answer->topics) {
    for (auto& row : topic.partitions) unproject(snapshot, home, topic.name, row);
  }
  for (auto& group : answer->groups) {
    // Who asks for all that a group has committed is told of no topic that the proxy does not show.
    std::erase_if(group.topics, [&](const auto& topic) {
      return !topic.topic_id.is_zero() && !topic_by_real_id(snapshot, home, topic.topic_id) &&
             !is_named(*asked, group.group_id, topic.topic_id);
    });
    for (auto& topic : group.topics) {
      const TopicView* view = topic.topic_id.is_zero() ? nullptr : topic_by_real_id(snapshot, home, topic.topic_id);
      if (view) topic.topic_id = view->virtual_id;
      for (auto& row : topic.partitions) unproject(snapshot, home, view ? view->name : topic.name, row);
    }
  }
  core.reply(request, *answer);
}

// Without a transactional id any broker of either cluster can hand out an id; the virtual one says which did.
Task<> init_producer_id(SessionCore& core, Request& request) {
  auto asked = decode<InitProducerIdRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed InitProducerId request");
  if (asked->transactional_id) note_seen(core.worker().transactional_ids, *asked->transactional_id, core.now());
  Cluster allocator = core.snapshot().groups_home;
  const AllocatedId given = split_virtual(asked->producer_id);
  for (int attempt = 0;; ++attempt) {
    InitProducerIdRequest sent = *asked;
    if (asked->producer_id >= 0) {
      sent.producer_id = given.allocator == allocator ? given.id : -1;
      if (given.allocator != allocator) sent.producer_epoch = -1;
    }
    const Bytes body = encode(sent, request.version());
    Call call = core.send(request, allocator, core.some_node(allocator), request.api(), request.version(), body);
    CallState& answered = co_await call;
    auto answer = answered.status == CallStatus::answered
                      ? decode<InitProducerIdResponse>(answered.body(), request.version())
                      : std::nullopt;
    if (answer) {
      answer->producer_id = virtual_producer_id(allocator, answer->producer_id);
      co_return core.reply(request, *answer);
    }
    if (asked->transactional_id || attempt > 0)
      co_return core.reply_error(request, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    allocator = other(allocator);
  }
}

// A transaction cannot span clusters: its coordinator is at the groups' home, so its partitions must be too.
Task<> add_partitions(SessionCore& core, Request& request) {
  auto asked = decode<AddPartitionsToTxnRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed AddPartitionsToTxn request");
  if (!asked->v3_and_below_transactional_id.empty())
    note_seen(core.worker().transactional_ids, asked->v3_and_below_transactional_id, core.now());
  const Snapshot& snapshot = core.snapshot();
  for (const auto& topic : asked->v3_and_below_topics) {
    const TopicView* view = snapshot.topic(topic.name);
    if (view && snapshot.route_of(*view).home != snapshot.groups_home)
      co_return core.reply_error(request, ErrorCode::INVALID_TXN_STATE);
  }
  const Cluster home = snapshot.groups_home;
  asked->v3_and_below_producer_id = split_virtual(asked->v3_and_below_producer_id).id;
  const Bytes body = encode(*asked, request.version());
  Call call;
  CallState* answered = co_await ask(core, request, home, call, body);
  if (answered) core.reply_with(request, *answered);
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
    case ApiKey::TxnOffsetCommit:
      return transactional_commit(core, request);
    case ApiKey::InitProducerId:
      return init_producer_id(core, request);
    case ApiKey::AddPartitionsToTxn:
      return add_partitions(core, request);
    case ApiKey::ConsumerGroupHeartbeat:
      return answer_with_assignments<ConsumerGroupHeartbeatResponse>(core, request);
    case ApiKey::ConsumerGroupDescribe:
      return answer_with_assignments<ConsumerGroupDescribeResponse>(core, request);
    default:
      return forward_to_coordinator(core, request);
  }
}

// Every broker answers for its own groups; those of the other cluster are no part of the virtual one.
Task<> handle_broker_list(SessionCore& core, Request& request) {
  const Cluster home = core.snapshot().groups_home;
  if (core.options().virtual_broker && !core.own_node(home)) {
    if (request.api() == ApiKey::ListGroups) co_return core.reply(request, ListGroupsResponse{});
    co_return core.reply(request, ListTransactionsResponse{});
  }
  co_await forward_to_coordinator(core, request);
}

}  // namespace crossover::proxy
