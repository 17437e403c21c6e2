// Produce: held while fenced, split by home and leader, producer ids tagged, first batches after a flip in order,
// retries of what landed before the flip answered as the duplicates they are.
#include <algorithm>
#include <limits>
#include <utility>

#include "protocol/messages.h"
#include "protocol/record_batch.h"
#include "proxy/coordinators.h"
#include "proxy/endpoints.h"
#include "proxy/handlers.h"
#include "proxy/log_lookup.h"
#include "proxy/producer_id.h"
#include "proxy/producer_order.h"
#include "proxy/unknown_outcomes.h"

namespace crossover::proxy {
namespace {

using namespace protocol;
using PartitionAnswer = ProduceResponse::PartitionProduceResponse;

constexpr std::int16_t code(ErrorCode e) {
  return static_cast<std::int16_t>(e);
}

using Destination = std::pair<Cluster, NodeId>;

// What becomes of one partition of the request.
struct Item {
  const ProduceRequest::TopicProduceData* topic = nullptr;
  const ProduceRequest::PartitionProduceData* data = nullptr;
  std::string name;
  Uuid virtual_id, real_id;
  DefinedRoute route;
  std::optional<PartitionAnswer> answer;  // decided here
  bool placed = false;                    // `segment` is that which was open when this was planned
  Segment segment;
  Destination to{};
  BatchHeader batch;
  bool duplicate = false;     // of what lies before the boundary: answered here, its producer not known there
  bool has_producer = false;  // one whose batches are judged here: idempotent, or a transactional id that moved
  std::optional<ProducerEntry> before;  // what its producer is known to have written before the segment, or its stay
  ProducerName wire;                    // what stands in the batch on the cluster
  std::int32_t sequences_from = 0;      // of a transactional id that moved: the client's sequence that is 0 there
  Bytes tagged;                         // the records under their wire producer id; empty where they go as they came
};

SessionCore::ProducerKey key_of(const Item& item) {
  return {item.name, item.data->index, item.batch.producer_id, item.segment.generation};
}

PartitionAnswer refused(PartitionIndex index, ErrorCode error) {
  PartitionAnswer answer;
  answer.index = index;
  answer.error_code = code(error);
  answer.base_offset = -1;
  return answer;
}

const TopicView* find_topic(const Snapshot& snapshot, Version version, const ProduceRequest::TopicProduceData& topic) {
  return version >= 13 ? snapshot.topic(topic.topic_id) : snapshot.topic(topic.name);
}

// As they are defined now: a topic may move to another route while a request waits.
std::vector<DefinedRoute> routes_of(const Snapshot& snapshot, Version version, const ProduceRequest& asked) {
  std::vector<DefinedRoute> routes;
  for (const auto& topic : asked.topic_data) {
    const TopicView* view = find_topic(snapshot, version, topic);
    DefinedRoute route = snapshot.defined_route(view ? view->route : 0);
    if (std::find(routes.begin(), routes.end(), route) == routes.end()) routes.push_back(std::move(route));
  }
  return routes;
}

bool any_fenced(const Snapshot& snapshot, Version version, const ProduceRequest& asked) {
  return std::any_of(asked.topic_data.begin(), asked.topic_data.end(), [&snapshot, version](const auto& topic) {
    const TopicView* view = find_topic(snapshot, version, topic);
    return snapshot.routes[view ? view->route : 0].phase == RoutePhase::fenced;
  });
}

// Where a partition's writes go. A client that still asks the old home's broker is served by the new one: it has had no
// chance to learn better, and its retries may be off. Whoever wants no answer could not be told by one either.
std::optional<Destination> destination(const SessionCore& core, const PartitionView& partition, bool answered) {
  const Cluster home = partition.log.home();
  const NodeId leader = partition.real[index_of(home)].leader;
  if (const auto own = core.own_node(home); own && (answered || leader < 0)) return Destination{home, *own};
  if (leader < 0) return std::nullopt;
  return Destination{home, leader};
}

// Reads the one batch of the partition; an answer when it cannot be placed.
std::optional<ErrorCode> read_batch(Item& item) {
  if (!item.data->records || item.data->records->empty()) return std::nullopt;  // the broker judges it
  switch (read_batch_header(*item.data->records, item.batch)) {
    case BatchState::complete:
      break;
    case BatchState::old_format:
      return ErrorCode::UNSUPPORTED_VERSION;
    default:
      return ErrorCode::CORRUPT_MESSAGE;
  }
  return std::nullopt;
}

// Under which name the batch goes to the cluster. A transactional id has there what its coordinator gave it.
std::optional<ErrorCode> name_producer(const Snapshot& snapshot, const ProduceRequest& asked,
                                       const PartitionView& partition, Item& item) {
  const ProducerName known_as{item.batch.producer_id, item.batch.producer_epoch};
  item.wire = known_as;
  if (known_as.id < 0) return std::nullopt;
  if (item.batch.is_transactional() && !asked.transactional_id) return std::nullopt;  // the broker refuses it
  if (!item.batch.is_transactional()) {
    item.wire.id = wire_producer_id(known_as.id, item.to.first, item.segment.generation);
    if (partition.producers && partition.producers->contains(known_as.id))
      item.before = partition.producers->at(known_as.id);
    return std::nullopt;
  }
  const auto real = snapshot.bindings->to_real(*asked.transactional_id, known_as);
  if (!real) return ErrorCode::INVALID_PRODUCER_EPOCH;
  item.wire = *real;
  const TransactionalBinding* binding = snapshot.bindings->find(*asked.transactional_id);
  if (!binding || known_as != binding->alias) return std::nullopt;
  // It goes on with its sequences, but began anew there.
  item.has_producer = true;
  item.before = written_before(*binding, item.name, item.data->index, partition.producers.get());
  if (item.before) item.sequences_from = sequence_after(item.before->last_sequence);
  return std::nullopt;
}

bool holds_lease(const SessionCore& core, const Item& item) {
  return core.now() < core.snapshot().lease_until[index_of(item.to.first)];
}

void plan(const SessionCore& core, const Request& request, const ProduceRequest& asked, std::vector<Item>& items) {
  const Snapshot& snapshot = core.snapshot();
  items.clear();
  for (const auto& topic : asked.topic_data) {
    const TopicView* view = find_topic(snapshot, request.version(), topic);
    for (const auto& data : topic.partition_data) {
      Item& item = items.emplace_back();
      item.topic = &topic;
      item.data = &data;
      item.name = view ? view->name : topic.name;
      item.virtual_id = topic.topic_id;
      if (!view) {
        const bool by_id = request.version() >= 13;
        item.answer = refused(data.index, by_id ? ErrorCode::UNKNOWN_TOPIC_ID : ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        continue;
      }
      item.route = snapshot.defined_route(view->route);
      const PartitionView* partition = snapshot.partition(view->name, data.index);
      if (!partition) {
        item.answer = refused(data.index, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        continue;
      }
      item.segment = partition->log.open_segment();
      item.placed = true;
      const auto bad = read_batch(item);
      // Known of what is refused here as well: nothing may go before it.
      item.has_producer = !bad && item.batch.producer_id >= 0 && !item.batch.is_transactional();
      const auto to = destination(core, *partition, asked.acks != 0);
      if (!to) {
        item.answer = refused(data.index, ErrorCode::LEADER_NOT_AVAILABLE);
        continue;
      }
      item.to = *to;
      item.real_id = view->real_id[index_of(item.to.first)];
      if (bad) {
        item.answer = refused(data.index, *bad);
      } else if (asked.acks != 0 && !holds_lease(core, item)) {
        item.answer = refused(data.index, ErrorCode::NOT_LEADER_OR_FOLLOWER);  // nothing could be acknowledged
      } else if (asked.transactional_id &&
                 item.segment.cluster != snapshot.bindings->home_of(*asked.transactional_id)) {
        // The coordinator is on the other cluster: such a transaction could never end.
        item.answer = refused(data.index, ErrorCode::INVALID_TXN_STATE);
        item.answer->error_message = "topic is homed on the other cluster than its transaction coordinator";
      } else if (const auto unknown = name_producer(snapshot, asked, *partition, item)) {
        item.answer = refused(data.index, *unknown);
      }
    }
  }
}

// Puts the producers' names on the cluster into the batches; true when any batch changed.
bool name_producers(std::vector<Item>& items) {
  bool changed = false;
  for (Item& item : items) {
    const ProducerName known_as{item.batch.producer_id, item.batch.producer_epoch};
    if (item.answer || known_as.id < 0 || (item.wire == known_as && item.sequences_from == 0)) continue;
    item.tagged.assign(*item.data->records);
    char* const batch = item.tagged.data();
    const std::size_t size = item.batch.total_bytes();
    patch_producer_id(batch, size, item.wire.id);
    if (item.wire.epoch != known_as.epoch) patch_producer_epoch(batch, size, item.wire.epoch);
    if (item.sequences_from != 0)
      patch_base_sequence(batch, size,
                          static_cast<std::int32_t>(sequences_between(item.sequences_from, item.batch.base_sequence)));
    changed = true;
  }
  return changed;
}

// Whether what was the open segment of a partition still is; also where there is none.
bool still_open(const Snapshot& snapshot, const Item& item) {
  const PartitionView* partition = item.placed ? snapshot.partition(item.name, item.data->index) : nullptr;
  if (!partition) return true;
  const Segment& open = partition->log.open_segment();
  return open.cluster == item.segment.cluster && open.generation == item.segment.generation;
}

// Whether a flip happened since the items were planned.
bool outdated(const Snapshot& snapshot, const std::vector<Item>& items) {
  return std::any_of(items.begin(), items.end(), [&snapshot](const Item& item) { return !still_open(snapshot, item); });
}

std::optional<Destination> single_destination(const std::vector<Item>& items) {
  std::optional<Destination> to;
  for (const Item& item : items) {
    if (item.answer || (to && *to != item.to)) return std::nullopt;
    to = item.to;
  }
  return to;
}

bool same_ids(const std::vector<Item>& items, Version version) {
  if (version < 13) return true;
  return std::all_of(items.begin(), items.end(), [](const Item& item) { return item.virtual_id == item.real_id; });
}

Bytes request_for(const Request& request, const ProduceRequest& asked, const std::vector<Item>& items, Destination to) {
  ProduceRequest part;
  part.transactional_id = asked.transactional_id;
  part.acks = asked.acks;
  part.timeout_ms = asked.timeout_ms;
  for (const Item& item : items) {
    if (item.answer || item.to != to) continue;
    if (part.topic_data.empty() || part.topic_data.back().name != item.name) {
      auto& topic = part.topic_data.emplace_back();
      topic.name = item.name;
      topic.topic_id = item.real_id;
    }
    auto& data = part.topic_data.back().partition_data.emplace_back();
    data.index = item.data->index;
    data.records = item.tagged.empty() ? item.data->records : Records(item.tagged);
  }
  return encode(part, request.version());
}

// A leader hint names the new leader only in virtual terms, and not before it is announced.
void map_hint(const SessionCore& core, const Item& item, PartitionAnswer& answer) {
  const Snapshot& snapshot = core.snapshot();
  const TopicView* topic = snapshot.topic(item.name);
  const NodeId leader = snapshot.to_virtual(item.to.first, answer.current_leader.leader_id);
  const bool announced = topic && announces_home(snapshot.route_of(*topic).phase);
  if (leader < 0 || !announced) {
    answer.current_leader = {};
    return;
  }
  answer.current_leader.leader_id = leader;
  answer.current_leader.leader_epoch += item.segment.epoch_base;
}

void to_virtual(const SessionCore& core, const Item& item, PartitionAnswer& answer) {
  if (answer.base_offset >= 0) answer.base_offset = item.segment.to_virtual(answer.base_offset);
  if (answer.log_start_offset >= 0) {
    const PartitionView* partition = core.snapshot().partition(item.name, item.data->index);
    const bool spliced = partition && partition->log.segments().size() > 1;
    answer.log_start_offset =
        spliced ? partition->log.segments().front().virtual_base : item.segment.to_virtual(answer.log_start_offset);
  }
  map_hint(core, item, answer);
}

bool needs_mapping(const std::vector<Item>& items, const ProduceResponse& answer) {
  if (!answer.node_endpoints.empty()) return true;
  for (const auto& topic : answer.responses) {
    for (const auto& p : topic.partition_responses) {
      if (p.error_code != 0 || p.current_leader.leader_id >= 0) return true;
    }
  }
  return std::any_of(items.begin(), items.end(), [](const Item& item) {
    return !item.segment.identity() || item.segment.generation != 0 || item.virtual_id != item.real_id;
  });
}

// A leader that moved: the picture of that cluster is old.
void learn(SessionCore& core, const Item& item, const PartitionAnswer& answer) {
  if (answer.error_code == code(ErrorCode::NOT_LEADER_OR_FOLLOWER) ||
      answer.error_code == code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)) {
    core.io().want_image(item.to.first, core.now());
  }
}

void add_endpoints(const Snapshot& snapshot, ProduceResponse& answer) {
  std::set<NodeId> named;
  for (const auto& topic : answer.responses) {
    for (const auto& p : topic.partition_responses) {
      if (p.current_leader.leader_id >= 0) named.insert(p.current_leader.leader_id);
    }
  }
  name_endpoints(snapshot, named, answer.node_endpoints);
}

// The check between the broker's answer and the client's: a proxy that slept through its lease, or through a flip,
// acknowledges nothing.
bool may_acknowledge(const SessionCore& core, const std::vector<Item>& items) {
  for (const Item& item : items) {
    if (item.answer && item.answer->error_code != 0) continue;
    if (!holds_lease(core, item)) return false;
    if (!still_open(core.snapshot(), item)) return false;
  }
  return true;
}

struct Sent {
  Destination to;
  Call call;
};

// Since when the batch has been refused for want of the one before it: first asked now, if never before.
Millis missing_since(SessionCore& core, const Item& item) {
  const SessionCore::BatchKey key{key_of(item), item.batch.producer_epoch, item.batch.base_sequence};
  if (core.missing_since.size() >= core.options().limits.tracked_producers) core.missing_since.clear();
  return core.missing_since.try_emplace(key, core.now()).first->second;
}

// A producer one of whose batches was written misses nothing; what follows a refused one waits for that to come again.
void note_not_missing(SessionCore& core, const Item& item, ErrorCode error) {
  const SessionCore::ProducerKey producer = key_of(item);
  auto at = core.missing_since.lower_bound({producer, std::numeric_limits<std::int16_t>::min(), 0});
  while (at != core.missing_since.end() && at->first.producer == producer) {
    const bool follows = !at_or_before(at->first.base_sequence, item.batch.base_sequence);
    at = error == ErrorCode::NONE || follows ? core.missing_since.erase(at) : std::next(at);
  }
}

// A batch that came by one connection before its predecessor came by another, as both may just after new leaders were
// announced, is out of order for the broker. Clients may take that for a loss once the predecessor is acknowledged;
// they are to send it again, for as long as a predecessor may be on its way.
void spare_refusal(SessionCore& core, const Item& item, PartitionAnswer& answer) {
  if (answer.error_code != code(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER)) return;
  if (!item.has_producer) return;
  if (core.now() - missing_since(core, item) < core.options().limits.missing_batch_ms)
    answer.error_code = code(ErrorCode::NOT_LEADER_OR_FOLLOWER);
}

// Whether a broker's answer is about that part of the request.
bool is_about(const Item& item, Version version, const ProduceResponse::TopicProduceResponse& topic,
              const PartitionAnswer& partition) {
  const bool same_topic = version >= 13 ? item.real_id == topic.topic_id : item.name == topic.name;
  return same_topic && item.data->index == partition.index;
}

// What is acknowledged keeps its place, whatever becomes of the cluster.
void note_acknowledged(SessionCore& core, const Item& item, const PartitionAnswer& answer) {
  if (answer.error_code != 0 || answer.base_offset < 0) return;
  const KnownEnds::Place place{item.to.first, item.name, item.real_id, answer.index};
  const Offset end = answer.base_offset + item.batch.last_offset_delta + 1;
  if (item.has_producer && !item.batch.is_transactional()) {
    const ProducerEntry last{item.batch.producer_epoch, item.batch.last_sequence(), item.segment.generation};
    core.worker().known_ends.note_batch(place, end, item.batch.producer_id, last);
  } else {
    core.worker().known_ends.note(place, end);
  }
}

// Collects a broker's answer into the items.
void take_answer(SessionCore& core, std::vector<Item>& items, Destination to, const ProduceResponse& answer,
                 Version version, std::int32_t& throttle) {
  throttle = std::max(throttle, answer.throttle_time_ms);
  for (const auto& topic : answer.responses) {
    for (const auto& partition : topic.partition_responses) {
      for (Item& item : items) {
        if (item.answer || item.to != to || !is_about(item, version, topic, partition)) continue;
        learn(core, item, partition);
        note_acknowledged(core, item, partition);
        item.answer = partition;
        spare_refusal(core, item, *item.answer);
        to_virtual(core, item, *item.answer);
        break;
      }
    }
  }
}

ProduceResponse merged(const SessionCore& core, const ProduceRequest& asked, const std::vector<Item>& items,
                       std::int32_t throttle) {
  ProduceResponse answer;
  answer.throttle_time_ms = throttle;
  std::size_t i = 0;
  for (const auto& topic : asked.topic_data) {
    auto& row = answer.responses.emplace_back();
    row.name = topic.name;
    row.topic_id = topic.topic_id;
    for (std::size_t p = 0; p < topic.partition_data.size(); ++p, ++i) {
      row.partition_responses.push_back(items[i].answer ? *items[i].answer
                                                        : refused(items[i].data->index, ErrorCode::REQUEST_TIMED_OUT));
    }
  }
  add_endpoints(core.snapshot(), answer);
  return answer;
}

// What a broker said of a producer's batch, for those that follow it (see SessionCore::refused_first).
void note_verdict(SessionCore& core, const Item& item, ErrorCode error) {
  const SessionCore::ProducerKey key = key_of(item);
  const SessionCore::ProducerKey any_generation{key.topic, key.partition, key.producer, 0};
  const std::size_t limit = core.options().limits.tracked_producers;
  if (core.established.size() >= limit) core.established.clear();
  if (core.refused_first.size() >= limit) core.refused_first.clear();
  const auto refused = core.refused_first.find(any_generation);
  note_not_missing(core, item, error);
  if (error == ErrorCode::NONE) {
    if (item.segment.generation > 0 && !item.duplicate) core.established.insert(key);
    if (refused != core.refused_first.end() && at_or_before(refused->second, item.batch.last_sequence()))
      core.refused_first.erase(refused);
  } else if (refused == core.refused_first.end()) {
    if (!core.established.contains(key)) core.refused_first.emplace(any_generation, item.batch.base_sequence);
  } else if (at_or_before(item.batch.base_sequence, refused->second)) {
    refused->second = item.batch.base_sequence;
  }
}

void note_verdicts(SessionCore& core, const std::vector<Item>& items) {
  for (const Item& item : items) {
    if (item.has_producer && item.answer) note_verdict(core, item, static_cast<ErrorCode>(item.answer->error_code));
  }
}

// Whether a batch would overtake the refused first one of its producer.
bool overtakes(const SessionCore& core, const Item& item) {
  if (core.established.contains(key_of(item))) return false;
  const auto refused = core.refused_first.find({item.name, item.data->index, item.batch.producer_id, 0});
  return refused != core.refused_first.end() && !at_or_before(item.batch.base_sequence, refused->second);
}

// The writes to a broker whose answer was lost.
void note_lost(SessionCore& core, const std::vector<Item>& items, Destination to) {
  for (const Item& item : items) {
    if (item.answer || item.to != to) continue;
    // Perhaps it is not there: no later one of its producer may go first.
    if (item.has_producer) note_verdict(core, item, ErrorCode::REQUEST_TIMED_OUT);
    UnknownOutcome lost;
    lost.writer = {to.first, item.route, item.name, item.data->index, item.wire.id};
    lost.epoch = item.wire.epoch;
    if (item.wire.id >= 0)
      lost.last_sequence =
          static_cast<std::int32_t>(sequences_between(item.sequences_from, item.batch.last_sequence()));
    lost.records = item.batch.record_count;
    core.note_unknown_outcome(std::move(lost));
  }
}

void note_acknowledged(SessionCore& core, const std::vector<Item>& items, const ProduceResponse& answer,
                       Version version) {
  for (const auto& topic : answer.responses) {
    for (const auto& partition : topic.partition_responses) {
      for (const Item& item : items) {
        if (is_about(item, version, topic, partition)) note_acknowledged(core, item, partition);
      }
    }
  }
}

// One upstream, nothing to change: the request goes as it came, and so does the answer where it says nothing real.
Task<> pass_through(SessionCore& core, Request& request, std::vector<Item>& items, Destination to) {
  Call call = core.forward(request, to.first, to.second);
  core.release(request);
  CallState& answered = co_await call;
  if (answered.status == CallStatus::unreachable) co_return core.close("broker unreachable");
  if (answered.status == CallStatus::lost) {
    note_lost(core, items, to);
    co_return core.close("broker connection lost with a write in flight");
  }
  auto answer = decode<ProduceResponse>(answered.body(), request.version());
  if (!answer) co_return core.close("malformed Produce answer");
  note_acknowledged(core, items, *answer, request.version());
  if (!may_acknowledge(core, items)) co_return core.close("the lease or the segment ended before the acknowledgement");
  if (core.refused_first.empty() && !needs_mapping(items, *answer)) co_return core.reply_with(request, answered);
  for (auto& topic : answer->responses) {
    for (auto& partition : topic.partition_responses) {
      for (const Item& item : items) {
        if (!is_about(item, request.version(), topic, partition)) continue;
        learn(core, item, partition);
        to_virtual(core, item, partition);
        if (item.has_producer) note_verdict(core, item, static_cast<ErrorCode>(partition.error_code));
        break;
      }
    }
  }
  add_endpoints(core.snapshot(), *answer);
  core.reply(request, *answer);
}

bool may_be_first(const SessionCore& core, const Item& item) {
  return !item.answer && item.has_producer && item.segment.generation > 0 && !core.established.contains(key_of(item));
}

// Marks the batches that may be their producers' first on their segments until it goes out of scope.
class FirstBatches {
 public:
  FirstBatches(SessionCore& core, const std::vector<Item>& items) : core_(core) {
    for (const Item& item : items) {
      if (!may_be_first(core, item)) continue;
      marks_.push_back(core.first_in_flight.insert(key_of(item)));
    }
  }
  FirstBatches(const FirstBatches&) = delete;
  ~FirstBatches() {
    for (const auto& mark : marks_) core_.first_in_flight.erase(mark);
    if (!marks_.empty()) core_.wake();
  }

 private:
  SessionCore& core_;
  std::vector<std::multiset<SessionCore::ProducerKey>::iterator> marks_;
};

bool behind_first(const SessionCore& core, const std::vector<Item>& items) {
  return std::any_of(items.begin(), items.end(), [&core](const Item& item) {
    return may_be_first(core, item) && core.first_in_flight.contains(key_of(item));
  });
}

Task<> split(SessionCore& core, Request& request, const ProduceRequest& asked, std::vector<Item>& items) {
  note_verdicts(core, items);  // what is refused here: others must not go first while the rest is under way
  std::vector<Sent> sent;
  for (const Item& item : items) {
    const bool known = std::any_of(sent.begin(), sent.end(), [&item](const Sent& s) { return s.to == item.to; });
    if (item.answer || known) continue;
    const Bytes body = request_for(request, asked, items, item.to);
    sent.push_back(
        {item.to, core.send(request, item.to.first, item.to.second, ApiKey::Produce, request.version(), body)});
  }
  if (sent.size() > 1) ++core.worker().counters.split_requests;
  const FirstBatches first(core, items);
  core.release(request);
  std::int32_t throttle = 0;
  bool lost = false;
  for (Sent& s : sent) {
    CallState& answered = co_await s.call;
    if (answered.status == CallStatus::unreachable) {
      for (Item& item : items) {
        if (!item.answer && item.to == s.to) item.answer = refused(item.data->index, ErrorCode::NOT_LEADER_OR_FOLLOWER);
      }
      core.io().want_image(s.to.first, core.now());
      continue;
    }
    const auto answer = answered.status == CallStatus::answered
                            ? decode<ProduceResponse>(answered.body(), request.version())
                            : std::nullopt;
    if (!answer) {
      lost = true;
      note_lost(core, items, s.to);
      continue;
    }
    take_answer(core, items, s.to, *answer, request.version(), throttle);
  }
  note_verdicts(core, items);
  if (lost && sent.size() == 1) co_return core.close("broker connection lost with a write in flight");
  if (!may_acknowledge(core, items)) co_return core.close("the lease or the segment ended before the acknowledgement");
  const ProduceResponse answer = merged(core, asked, items, throttle);
  core.reply(request, answer);
}

// acks=0: no answer comes, so nothing can be refused either; what has no place is dropped, as a broker would.
void send_unacknowledged(SessionCore& core, Request& request, const ProduceRequest& asked, std::vector<Item>& items) {
  std::vector<Destination> done;
  for (const Item& item : items) {
    if (item.answer || std::find(done.begin(), done.end(), item.to) != done.end()) continue;
    done.push_back(item.to);
    const Bytes body = request_for(request, asked, items, item.to);
    std::vector<DefinedRoute> routes;
    for (const Item& other : items) {
      if (!other.answer && other.to == item.to) routes.push_back(other.route);
    }
    core.send_unanswered(request, item.to.first, item.to.second, request.version(), body, std::move(routes));
  }
  core.no_reply(request);
}

// Whether a batch that others should come before may be written all the same: the leader knows the producer by now and
// judges the sequence itself (asked anew for each: what a leader knows may be lost with it), or what is missing was
// waited for long enough.
Task<bool> may_go_ahead(SessionCore& core, Request& request, const Item& item) {
  const SessionCore::ProducerKey key = key_of(item);
  if (core.established.contains(key)) co_return true;
  const LeaderView leader = co_await ask_leader(core, request, item.name, item.data->index, item.to, item.wire.id);
  if (leader.producer) co_return true;
  co_return core.now() - missing_since(core, item) >= core.options().limits.unknown_state_ms;
}

// How a batch stands to the state at the boundary, or, where that knows nothing of the producer, to its refused first.
BatchVerdict judge(const SessionCore& core, const Item& item) {
  if (item.before) return judge(item.batch, *item.before);
  return overtakes(core, item) ? BatchVerdict::ahead : BatchVerdict::next;
}

// Sequences come round every 2^31 records: a batch that looks like a retry from before the boundary is none when the
// leader knows its producer far beyond. nullopt: it did not say.
Task<std::optional<bool>> is_past_boundary(SessionCore& core, Request& request, const Item& item, ProducerEntry entry) {
  const LeaderView leader = co_await ask_leader(core, request, item.name, item.data->index, item.to, item.wire.id);
  if (!leader.answered) co_return std::nullopt;
  if (!leader.producer || leader.producer->epoch != item.batch.producer_epoch) co_return false;
  const bool past = sequences_between(entry.last_sequence, leader.producer->last_sequence) >= retry_window;
  if (past) {
    if (core.past_boundary.size() >= core.options().limits.tracked_producers) core.past_boundary.clear();
    core.past_boundary.insert(key_of(item));
  }
  co_return past;
}

// A batch that the boundary's table shows as written before it: answered as the duplicate it is.
Task<> answer_duplicate(SessionCore& core, Request& request, Item& item, ProducerEntry entry) {
  const std::optional<bool> past = co_await is_past_boundary(core, request, item, entry);
  if (!past) {
    core.io().want_image(item.to.first, core.now());
    item.answer = refused(item.data->index, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    co_return;
  }
  if (*past) co_return;
  ++core.worker().counters.duplicates_answered;
  const PartitionView* partition = core.snapshot().partition(item.name, item.data->index);
  std::optional<Offset> offset;
  if (partition) {
    const VirtualLog log = partition->log;
    offset = co_await find_landed_batch(core, request, item.name, item.data->index, log, item.batch, entry.generation);
  }
  item.answer = refused(item.data->index, offset ? ErrorCode::NONE : ErrorCode::NOT_LEADER_OR_FOLLOWER);
  item.answer->base_offset = offset.value_or(-1);
  item.duplicate = offset.has_value();
}

// Settles what is known of each idempotent batch on a segment that a flip opened.
Task<> settle(SessionCore& core, Request& request, std::vector<Item>& items) {
  for (Item& item : items) {
    if (item.answer || !item.has_producer || (item.segment.generation == 0 && !item.before)) continue;
    if (core.past_boundary.contains(key_of(item))) continue;
    switch (judge(core, item)) {
      case BatchVerdict::next:
        break;
      case BatchVerdict::fenced:
        item.answer = refused(item.data->index, ErrorCode::INVALID_PRODUCER_EPOCH);
        break;
      case BatchVerdict::duplicate:
        if (item.batch.is_transactional()) {
          // Its transaction ended before the boundary, or the flip would have waited.
          item.answer = refused(item.data->index, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
          break;
        }
        co_await answer_duplicate(core, request, item, *item.before);
        break;
      case BatchVerdict::ahead:
        if (!co_await may_go_ahead(core, request, item))
          item.answer = refused(item.data->index, ErrorCode::NOT_LEADER_OR_FOLLOWER);
        break;
    }
  }
}

// The first write of a session to a partition since a flip announced its own broker as the place to write: until then
// the client wrote through the other cluster's brokers, and some of that may still be under way. What has sequences is
// in order anyway, and is spared refusals.
void look_for_predecessors(SessionCore& core, const Request& request, const std::vector<Item>& items) {
  std::optional<Cluster> home;
  if (core.preceded.size() >= core.options().limits.tracked_producers) core.preceded.clear();
  for (const Item& item : items) {
    const TopicView* topic = core.snapshot().topic(item.name);
    const PartitionView* partition = core.snapshot().partition(item.name, item.data->index);
    if (item.answer || !topic || !partition) continue;
    const Segment& announced = partition->log.segments()[core.snapshot().announced_segment(*topic, *partition)];
    const Segment& open = partition->log.open_segment();
    if (announced.generation > 0 && core.own_node(announced.cluster)) {
      std::int32_t& generation = core.preceded[{item.name, item.data->index}];
      if (std::exchange(generation, announced.generation) != announced.generation) home = announced.cluster;
    } else if (announced.generation != open.generation && core.own_node(open.cluster)) {
      // Another worker may have announced it already; or else the client comes late, and will come from elsewhere yet.
      home = open.cluster;
    }
  }
  if (home) core.ask_for_predecessors(request, *home);
}

// Plans, behind the client's own earlier writes through other brokers.
Task<> prepare(SessionCore& core, Request& request, const ProduceRequest& asked, std::vector<Item>& items) {
  const auto fenced = [&core, &request, &asked] { return any_fenced(core.snapshot(), request.version(), asked); };
  plan(core, request, asked, items);
  look_for_predecessors(core, request, items);
  const Millis deadline = core.now() + core.options().limits.predecessors_ms;
  // Under a fence they are held as well: the time counts anew when it is over.
  while (core.waits_for_predecessors() && !fenced()) {
    if (core.now() >= deadline) core.give_up_predecessors();
    SessionCore::Changed changed(core, deadline);
    if (core.waits_for_predecessors()) co_await changed;
    plan(core, request, asked, items);
  }
  while (behind_first(core, items) && !fenced()) {
    SessionCore::Changed changed(core, std::numeric_limits<Millis>::max());
    co_await changed;
    plan(core, request, asked, items);
  }
  co_await settle(core, request, items);
}

// Holds the request while a fence stands; false when that takes longer than its client is to wait.
Task<bool> hold_while_fenced(SessionCore& core, const Request& request, const ProduceRequest& asked, Millis deadline,
                             std::optional<SessionCore::HoldGuard>& hold) {
  while (any_fenced(core.snapshot(), request.version(), asked)) {
    if (!hold) hold.emplace(core, routes_of(core.snapshot(), request.version(), asked));
    if (core.now() >= deadline && asked.acks != 0) co_return false;
    SessionCore::Changed changed(core, asked.acks != 0 ? deadline : core.now() + core.options().limits.hold_ms);
    co_await changed;
  }
  co_return true;
}

void refuse_held(SessionCore& core, Request& request, const ProduceRequest& asked, std::vector<Item>& items) {
  plan(core, request, asked, items);
  for (Item& item : items) item.answer = refused(item.data->index, ErrorCode::NOT_LEADER_OR_FOLLOWER);
  note_verdicts(core, items);
  core.reply_error(request, ErrorCode::NOT_LEADER_OR_FOLLOWER);
}

// Under which name a transactional request is written; all batches of one are of one producer.
ProducerName writer_of(const ProduceRequest& asked) {
  for (const auto& topic : asked.topic_data) {
    for (const auto& data : topic.partition_data) {
      BatchHeader batch;
      if (read_batch_header(data.records.value_or(BytesView()), batch) == BatchState::complete)
        return {batch.producer_id, batch.producer_epoch};
    }
  }
  return {};
}

// From that version on a write begins the transaction itself (KIP-890).
Task<Turn> wait_for_transaction(SessionCore& core, const Request& request, const ProduceRequest& asked) {
  constexpr Version first_that_begins = 12;
  std::vector<std::string> topics;
  for (const auto& topic : asked.topic_data) {
    const TopicView* view = find_topic(core.snapshot(), request.version(), topic);
    if (view) topics.push_back(view->name);
  }
  const ProducerName known_as = writer_of(asked);
  const bool begins = request.version() >= first_that_begins;
  const Turn turn = co_await may_add_topics(core, request, *asked.transactional_id, known_as, topics, begins);
  co_return turn;
}

}  // namespace

Task<> handle_produce(SessionCore& core, Request& request) {
  constexpr Version first_with_batches = 3;
  if (request.version() < first_with_batches) co_return core.reply_error(request, ErrorCode::UNSUPPORTED_VERSION);
  const auto asked = decode<ProduceRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed Produce request");

  std::vector<Item> items;
  std::optional<SessionCore::HoldGuard> hold;
  if (any_fenced(core.snapshot(), request.version(), *asked)) {
    // The flip's end lets all go at once, wherever they wait: what came before this is known only now.
    plan(core, request, *asked, items);
    look_for_predecessors(core, request, items);
  }
  // What preparing awaits may take a while: a fence that comes meanwhile holds this request like any other, and a whole
  // flip that passes meanwhile leaves its plan behind.
  Millis held_from = request.arrived_at;
  std::uint64_t seen = 0;
  do {
    const Millis deadline = held_from + core.options().limits.hold_ms;
    const bool free = co_await hold_while_fenced(core, request, *asked, deadline, hold);
    if (!free) co_return refuse_held(core, request, *asked, items);
    if (asked->transactional_id) {
      const Turn turn = co_await wait_for_transaction(core, request, *asked);
      if (turn == Turn::never) co_return core.reply_error(request, ErrorCode::INVALID_TXN_STATE);
      if (turn == Turn::replaced) co_return core.reply_error(request, ErrorCode::INVALID_PRODUCER_EPOCH);
      if (turn == Turn::later) co_return refuse_held(core, request, *asked, items);
    }
    seen = core.snapshot().revision;
    co_await prepare(core, request, *asked, items);
    held_from = core.now();
  } while (any_fenced(core.snapshot(), request.version(), *asked) || outdated(core.snapshot(), items) ||
           (asked->transactional_id && core.snapshot().revision != seen));

  // Its connection is being given up: it would be written in front of what was lost with it.
  if (core.closed() && asked->acks != 0) co_return core.no_reply(request);
  for (const Item& item : items)
    core.worker().counters.produce_records +=
        static_cast<std::uint64_t>(item.answer ? 0 : std::max(0, item.batch.record_count));
  const bool tagged = name_producers(items);
  if (asked->acks == 0) co_return send_unacknowledged(core, request, *asked, items);
  const SessionCore::WriteGuard in_flight(core, request, routes_of(core.snapshot(), request.version(), *asked));
  std::optional<InFlight> of_id;
  if (asked->transactional_id) of_id.emplace(core.worker().ids_in_flight, *asked->transactional_id);
  const auto to = single_destination(items);
  const bool first_batches =
      std::any_of(items.begin(), items.end(), [](const Item& i) { return i.segment.generation > 0 && i.has_producer; });
  if (to && !tagged && !first_batches && same_ids(items, request.version())) {
    co_await pass_through(core, request, items, *to);
  } else {
    co_await split(core, request, *asked, items);
  }
}

}  // namespace crossover::proxy
