#include "proxy/fetch_session.h"

#include "proxy/fetch_map.h"

namespace crossover::proxy {

using namespace protocol;

bool FetchSession::add(const std::string& name, const Uuid& real_id, PartitionIndex partition, const Segment& segment) {
  const auto [topic, fresh_topic] = topics.try_emplace(name);
  if (fresh_topic) {
    topic->second.real_id = real_id;
    name_of[real_id] = name;
  }
  const bool fresh = topic->second.partitions.insert_or_assign(partition, segment).second;
  partitions += fresh ? 1 : 0;
  return fresh;
}

void FetchSession::remove(const std::string& name, PartitionIndex partition) {
  const auto topic = topics.find(name);
  if (topic == topics.end()) return;
  partitions -= topic->second.partitions.erase(partition);
  if (!topic->second.partitions.empty()) return;
  name_of.erase(topic->second.real_id);
  topics.erase(topic);
}

namespace {

bool topic_still_served(const SessionCore& core, const FetchSession& session, const std::string& name,
                        const FetchSession::Topic& known) {
  const TopicView* topic = core.snapshot().topic(name);
  if (!topic || topic->real_id[index_of(session.cluster)] != known.real_id) return false;
  const auto own = core.own_node(session.cluster);
  for (const auto& [index, segment] : known.partitions) {
    const auto at = static_cast<std::size_t>(index);
    if (at >= topic->partitions.size()) return false;
    const PartitionView& view = topic->partitions[at];
    if (view.log.open_segment() != segment) return false;
    if (own.value_or(view.real[index_of(session.cluster)].leader) != session.node) return false;
  }
  return true;
}

}  // namespace

bool still_served(const SessionCore& core, FetchSession& session) {
  if (core.upstream_id(session.cluster, session.node) != session.upstream) return false;
  const auto snapshot = core.shared_snapshot();
  if (session.checked.lock() == snapshot) return true;
  for (const auto& [name, topic] : session.topics) {
    if (!topic_still_served(core, session, name, topic)) return false;
  }
  session.checked = snapshot;
  return true;
}

bool awaits_boundary(const Snapshot& snapshot, const FetchSession& session) {
  if (!snapshot.under_way()) return false;
  for (const auto& [name, topic] : session.topics) {
    for (const auto& [index, segment] : topic.partitions) {
      if (snapshot.awaits_boundary(name, index, segment.generation)) return true;
    }
  }
  return false;
}

namespace {

bool add_rows(SessionCore& core, const FetchRequest::FetchTopic& asked, const TopicView& topic, FetchSession& session,
              FetchRequest& ask) {
  const Uuid& real_id = topic.real_id[index_of(session.cluster)];
  auto& rows = ask.topics.emplace_back();
  rows.topic = topic.name;
  rows.topic_id = real_id;
  for (const auto& row : asked.partitions) {
    const PartitionView* view = core.snapshot().partition(topic.name, row.partition);
    if (!view || row.fetch_offset < 0) return false;
    const FetchPlace place = find_fetch_place(core, *view, row.fetch_offset);
    const Segment& segment = view->log.segments()[place.segment];
    if (!segment.open() || place.cluster != session.cluster || place.node != session.node) return false;
    rows.partitions.push_back(fetch_row(*view, place.segment, place.at, row));
    session.add(topic.name, real_id, row.partition, segment);
    if (session.partitions > core.options().limits.fetch_session_partitions) return false;
  }
  return true;
}

}  // namespace

std::optional<FetchRequest> session_request(SessionCore& core, const Request& request, const FetchRequest& asked,
                                            FetchSession& session) {
  FetchRequest ask;
  ask.replica_id = -1;
  ask.max_wait_ms = asked.max_wait_ms;
  ask.min_bytes = asked.min_bytes;
  ask.max_bytes = asked.max_bytes;
  ask.isolation_level = asked.isolation_level;
  ask.rack_id = asked.rack_id;
  ask.session_id = session.id;
  ask.session_epoch = asked.session_epoch;
  for (const auto& topic : asked.topics) {
    const TopicView* view = find_fetch_topic(core.snapshot(), request, topic.topic, topic.topic_id);
    if (!view || !add_rows(core, topic, *view, session, ask)) return std::nullopt;
  }
  for (const auto& topic : asked.forgotten_topics_data) {
    const TopicView* view = find_fetch_topic(core.snapshot(), request, topic.topic, topic.topic_id);
    if (!view) return std::nullopt;
    auto& row = ask.forgotten_topics_data.emplace_back();
    row.topic = view->name;
    row.topic_id = view->real_id[index_of(session.cluster)];
    row.partitions = topic.partitions;
    for (const PartitionIndex partition : topic.partitions) session.remove(view->name, partition);
  }
  return ask;
}

}  // namespace crossover::proxy
