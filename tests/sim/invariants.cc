#include "tests/sim/invariants.h"

#include <algorithm>

#include "protocol/messages.h"
#include "protocol/wire.h"
#include "tests/sim/broker_records.h"

namespace crossover::sim {

std::string to_string(const Place& place) {
  return place.topic + "-" + std::to_string(place.partition);
}

Invariants::Invariants(Events& events, std::array<ClusterNet*, 2> nets, std::array<ControlTopic*, 2> topics)
    : events_(events),
      nets_(nets),
      topics_(topics),
      transactions_([this](const std::string& what) { violated(what); }) {}

void Invariants::violated(const std::string& what) {
  constexpr std::size_t kept = 20;
  if (violations_.size() >= kept) return;
  violations_.push_back("at " + std::to_string(events_.now() / one_ms) + " ms: " + what);
}

// --- the truth ---

void Invariants::follow() {
  bool changed = false;
  for (std::size_t i = 0; i < 2; ++i) {
    folded_[i] = std::max(folded_[i], topics_[i]->start);
    for (; folded_[i] < topics_[i]->end(); ++folded_[i]) {
      logs_[i].fold(folded_[i], topics_[i]->records[static_cast<std::size_t>(folded_[i] - topics_[i]->start)]);
      changed = true;
    }
  }
  if (!changed) return;
  state_ = logs_[0].state();
  state_.merge(logs_[1].state());
}

proxy::VirtualLog Invariants::log_of(const Place& place) {
  follow();
  const auto found = state_.topics.find(place.topic);
  if (found == state_.topics.end()) return proxy::VirtualLog::identity(state_.route_of(place.topic).home);
  const auto at = static_cast<std::size_t>(place.partition);
  if (at >= found->second.partitions.size()) return proxy::VirtualLog::identity(state_.route_of(place.topic).home);
  return found->second.partitions[at].log;
}

Side Invariants::home_of(const std::string& topic) {
  follow();
  return state_.route_of(topic).home;
}

std::int32_t Invariants::generation() {
  follow();
  std::int32_t sum = 0;
  for (const auto& [id, route] : state_.routes) sum += route.generation;
  return sum;
}

bool Invariants::every_route_flipped() {
  follow();
  return std::all_of(state_.routes.begin(), state_.routes.end(),
                     [](const auto& entry) { return entry.second.generation > 0; });
}

Offset Invariants::virtual_end(const Place& place) {
  const proxy::VirtualLog log = log_of(place);
  const auto& open = log.open_segment();
  const auto partition = nets_[proxy::index_of(open.cluster)]->cluster.partition(place.topic, place.partition);
  return partition ? open.to_virtual(partition->log->end()) : open.virtual_base;
}

Offset Invariants::shown_end(const Place& place) {
  const proxy::VirtualLog log = log_of(place);
  const auto& open = log.open_segment();
  const auto partition = nets_[proxy::index_of(open.cluster)]->cluster.partition(place.topic, place.partition);
  return partition ? std::max(open.virtual_base, open.to_virtual(partition->high_watermark)) : open.virtual_base;
}

// The lowest offset that is still there.
Offset Invariants::virtual_start(const Place& place) {
  const proxy::VirtualLog log = log_of(place);
  for (const auto& segment : log.segments()) {
    const auto partition = nets_[proxy::index_of(segment.cluster)]->cluster.partition(place.topic, place.partition);
    if (!partition) continue;
    const Offset start = std::max(partition->log->start(), segment.real_base);
    if (segment.open() || start < segment.real_end()) return segment.to_virtual(start);
  }
  return 0;
}

// The record under a virtual offset; `gone` when retention removed it.
std::optional<std::string> Invariants::stored_at(const Place& place, Offset offset, bool& gone) {
  const proxy::VirtualLog log = log_of(place);
  const auto& segment = log.segments()[log.find(offset)];
  gone = false;
  if (!segment.holds_virtual(offset)) return std::nullopt;
  const auto partition = nets_[proxy::index_of(segment.cluster)]->cluster.partition(place.topic, place.partition);
  if (!partition) return std::nullopt;
  const Offset real = segment.to_real(offset);
  gone = real < partition->log->start();
  const auto& batches = partition->log->batches();
  auto at = std::partition_point(batches.begin(), batches.end(),
                                 [real](const StoredBatch& b) { return b.header.last_offset() < real; });
  if (at == batches.end() || at->header.base_offset > real) return std::nullopt;
  const auto records = records_of(*at);
  if (!records) return std::nullopt;
  for (const LogRecord& record : *records) {
    if (at->header.base_offset + record.offset_delta == real) return std::string(record.value.value_or(""));
  }
  return std::nullopt;
}

// --- what clients report ---

std::string Invariants::new_record(const std::string& producer, const Place& place, Delivery delivery,
                                   const std::string& key) {
  const std::uint64_t order = next_order_[{producer, place}]++;
  std::string value = producer + "/" + to_string(place) + "/" + std::to_string(order);
  records_[value] = Record{producer, place, delivery, key, order};
  return value;
}

void Invariants::acknowledged(const std::string& value, std::optional<Offset> offset, bool ordered) {
  Record& record = records_.at(value);
  if (record.acknowledged) violated("answer: acknowledged twice: " + value);
  record.acknowledged = true;
  record.offset = offset;
  ++acknowledged_;
  if (!offset) {
    // Rightly only where retention or a cleaner took it before its retry came.
    bool complete = true;
    for (const StoredRecord& stored : contents(record.place, complete)) {
      if (stored.value != value) continue;
      violated("1: " + value + " was acknowledged without an offset, and lies at " + std::to_string(stored.offset));
    }
  }
  if (!offset || record.delivery == Delivery::unreplicated) return;
  bool gone = false;
  const auto found = stored_at(record.place, *offset, gone);
  if (found != value && !gone && (found || !compacted_.contains(record.place))) {
    violated("1: " + value + " was acknowledged at " + std::to_string(*offset) + ", where the open segments hold " +
             found.value_or("nothing"));
  }
  if (!ordered) return;
  auto [at, first] = last_acknowledged_.try_emplace({record.producer, record.place}, record.order, *offset);
  if (first) return;
  const bool rising = (record.order > at->second.first) == (*offset > at->second.second);
  if (!rising)
    violated("2: " + value + " at " + std::to_string(*offset) + " stands on the wrong side of its predecessor");
  if (record.order > at->second.first) at->second = {record.order, *offset};
}

void Invariants::gave_up(const std::string& value) {
  records_.at(value).acknowledged = false;
}

void Invariants::fetched(const std::string& consumer, const Place& place, Offset offset, LeaderEpoch epoch,
                         const Bytes& value) {
  const auto [at, fresh] = named_[place].try_emplace(offset, value);
  if (!fresh && at->second != value) {
    violated("3: " + to_string(place) + " offset " + std::to_string(offset) + " named " + at->second + " and now " +
             value);
  }
  if (strangers_.contains(value)) violated("4: a stranger's write past the proxy is shown: " + value);
  seen_[{consumer, place}].insert(offset);
  LeaderEpoch& highest = emitted_epoch_[place];
  highest = std::max(highest, epoch);
}

// What the home's leader has is only more than when it was asked.
void Invariants::marks_shown(const Place& place, Offset last_stable_offset, Offset high_watermark) {
  const proxy::VirtualLog log = log_of(place);
  const auto& open = log.open_segment();
  const auto partition = nets_[proxy::index_of(open.cluster)]->cluster.partition(place.topic, place.partition);
  if (!partition) return;
  const auto check = [&](const char* mark, Offset shown, Offset real) {
    const Offset now = std::max(open.virtual_base, open.to_virtual(real));
    if (shown > now)
      violated("6: " + std::string(mark) + " of " + to_string(place) + " is shown as " + std::to_string(shown) +
               " and is " + std::to_string(now));
  };
  check("high watermark", high_watermark, partition->high_watermark);
  check("last stable offset", last_stable_offset, partition->last_stable_offset);
}

void Invariants::skipped(const std::string& consumer, const Place& place, Offset from, Offset to) {
  bool gone = false;
  for (Offset at = from; at < to; ++at) {
    const auto found = stored_at(place, at, gone);
    if (found && !gone && records_.contains(*found)) {
      return violated("1: " + consumer + " was led past " + to_string(place) + " offset " + std::to_string(at) +
                      ", which is there: " + *found);
    }
  }
}

// --- identities ---

class LeakSearch : public protocol::Visitor {
 public:
  LeakSearch(Invariants& checks, BytesView body, std::string where)
      : checks_(checks), body_(body), where_(std::move(where)) {}
  void value(const protocol::Visit& visit) override {
    using enum protocol::Role;
    if (visit.null) return;
    switch (visit.field.role) {
      case node_id:
      case controller_id:
        number(visit, -2, 1'000);
        break;
      case leader_epoch:
        number(visit, -1, 4'000);
        break;
      case port:
        number(visit, -1, 12'000);
        break;
      case host: {
        const BytesView text = body_.substr(visit.at, visit.size);
        if (!text.empty() && text != "127.0.0.1") checks_.violated("6: host " + std::string(text) + " in " + where_);
        break;
      }
      case cluster_id: {
        const std::string text(body_.substr(visit.at, visit.size));
        if (checks_.cluster_id_.empty()) checks_.cluster_id_ = text;
        if (text != checks_.cluster_id_) checks_.violated("6: cluster id " + text + " in " + where_);
        break;
      }
      case topic_id: {
        Uuid id;
        if (visit.size != id.bytes.size()) return;
        std::copy_n(body_.begin() + static_cast<std::ptrdiff_t>(visit.at), visit.size, id.bytes.begin());
        const bool known = std::any_of(checks_.topic_ids_.begin(), checks_.topic_ids_.end(),
                                       [&id](const auto& t) { return t.second == id; });
        if (!id.is_zero() && !known) checks_.violated("6: topic id " + protocol::to_string(id) + " in " + where_);
        break;
      }
      default:
        break;
    }
  }

 private:
  void number(const protocol::Visit& visit, std::int64_t low, std::int64_t high) {
    if (visit.size != 4) return;
    const std::int32_t value = protocol::load_int32(body_.data() + visit.at);
    if (value < low || value > high) {
      checks_.violated("6: " + std::string(visit.field.name) + " " + std::to_string(value) + " in " + where_);
    }
  }

  Invariants& checks_;
  BytesView body_;
  std::string where_;
};

void Invariants::on_answer(std::uint64_t connection, ApiKey api, protocol::Version version, BytesView body) {
  if (api == ApiKey::Metadata) {
    const auto answer = protocol::decode<protocol::MetadataResponse>(body, version);
    if (!answer) return violated("answer: malformed Metadata answer");
    if (answer->brokers.empty()) violated("6: Metadata without brokers");
    for (const auto& topic : answer->topics) {
      if (topic.error_code != 0 || !topic.name) continue;
      if (!topic.topic_id.is_zero()) {
        const auto [at, fresh] = topic_ids_.try_emplace(*topic.name, topic.topic_id);
        if (at->second != topic.topic_id) violated("6: the id of topic " + *topic.name + " changed");
      }
      for (const auto& p : topic.partitions) {
        const Place place{*topic.name, p.partition_index};
        LeaderEpoch& shown = shown_epoch_.try_emplace({connection, place}, -1).first->second;
        if (p.leader_epoch >= 0 && p.leader_epoch < shown) {
          violated("6: leader epoch of " + to_string(place) + " went back from " + std::to_string(shown) + " to " +
                   std::to_string(p.leader_epoch));
        }
        shown = std::max(shown, p.leader_epoch);
        metadata_epoch_[place] = std::max(metadata_epoch_[place], p.leader_epoch);
      }
    }
  }
  const protocol::Message* message = protocol::find_message(api, protocol::Direction::response);
  if (without_proxy_) return;
  LeakSearch search(*this, body, std::string(message ? message->name : "?") + " v" + std::to_string(version));
  if (!message || !protocol::walk(*message, version, body, search))
    violated("answer: malformed answer to API " + std::to_string(static_cast<int>(api)));
}

// --- the whole history ---

namespace {

bool is_committed(const ProducerStates& producers, const BatchHeader& batch) {
  if (!batch.is_transactional()) return true;
  const auto entry = producers.entries().find(batch.producer_id);
  if (entry != producers.entries().end() && entry->second.txn_start && batch.base_offset >= *entry->second.txn_start)
    return false;
  const auto in = producers.aborted_in(batch.base_offset, batch.base_offset + 1);
  return std::none_of(in.begin(), in.end(), [&](const auto& range) { return range.producer_id == batch.producer_id; });
}

}  // namespace

std::vector<StoredRecord> Invariants::contents(const Place& place, bool& complete) {
  std::vector<StoredRecord> all;
  complete = true;
  const proxy::VirtualLog log = log_of(place);
  for (const auto& segment : log.segments()) {
    const auto partition = nets_[proxy::index_of(segment.cluster)]->cluster.partition(place.topic, place.partition);
    if (!partition) continue;
    if (partition->log->start() > segment.real_base) complete = false;
    const ProducerStates& producers = *partition->producers;
    for (const StoredBatch& batch : partition->log->batches()) {
      if (batch.header.last_offset() < segment.real_base ||
          (!segment.open() && batch.header.base_offset >= segment.real_end()))
        continue;
      const auto records = records_of(batch);
      if (!records) continue;
      const bool hidden = !is_committed(producers, batch.header);
      for (const LogRecord& record : *records) {
        const Offset real = batch.header.base_offset + record.offset_delta;
        if (!segment.holds_real(real) || real < partition->log->start()) continue;
        all.push_back({segment.to_virtual(real), std::string(record.value.value_or("")),
                       std::string(record.key.value_or("")), hidden});
      }
    }
  }
  return all;
}

// 9: whatever the cleaners did on either side, the last acknowledged value of a key is there, or a later one.
void Invariants::check_last_values(const Place& place, const std::vector<StoredRecord>& all) {
  std::map<std::string, std::pair<Offset, std::string>> last;
  for (const auto& [value, record] : records_) {
    if (record.place != place || !record.acknowledged || !record.offset) continue;
    if (record.delivery == Delivery::unreplicated) continue;
    if (record.delivery == Delivery::transactional && !transactions_.known_committed(value)) continue;
    auto& latest = last.try_emplace(record.key, -1, "").first->second;
    latest = std::max(latest, std::pair(*record.offset, value));
  }
  for (const StoredRecord& stored : all) {
    const auto at = last.find(stored.key);
    if (at != last.end() && !stored.aborted && stored.offset >= at->second.first) last.erase(at);
  }
  for (const auto& [key, latest] : last)
    violated("9: the last value of " + key + " in " + to_string(place) + " is gone: " + latest.second);
}

void Invariants::check_seen(const Place& place, const std::vector<StoredRecord>& all, const std::string& consumer,
                            bool committed_only) {
  const auto& seen = seen_[{consumer, place}];
  for (const StoredRecord& s : all) {
    const bool wanted = !committed_only || !s.aborted;
    if (seen.contains(s.offset) == wanted) continue;
    const std::string at = to_string(place) + " offset " + std::to_string(s.offset) + ": " + s.value;
    if (!wanted) return violated("committed: " + consumer + " saw the aborted " + at);
    return violated("1: " + consumer + " never saw " + at);
  }
}

void Invariants::check_place(const Place& place, const std::vector<StoredRecord>& all, bool complete,
                             const std::vector<std::string>& consumers, const std::vector<std::string>& committed) {
  std::map<std::string, std::vector<Offset>> where;
  std::map<std::string, std::uint64_t> next_of;
  Offset last = -1;
  for (const StoredRecord& s : all) {
    if (s.offset <= last) violated("3: offsets of " + to_string(place) + " do not rise at " + std::to_string(s.offset));
    last = s.offset;
    where[s.value].push_back(s.offset);
    const auto named = named_[place].find(s.offset);
    if (named != named_[place].end() && named->second != s.value) {
      violated("3: " + to_string(place) + " offset " + std::to_string(s.offset) + " was shown as " + named->second +
               " and holds " + s.value);
    }
    const auto record = records_.find(s.value);
    if (record == records_.end() || record->second.delivery > Delivery::idempotent) continue;
    auto& next = next_of[record->second.producer];
    if (record->second.order < next)
      violated("2: " + s.value + " at " + std::to_string(s.offset) + " lies behind a later record of its producer");
    next = std::max(next, record->second.order + 1);
  }
  for (const auto& [value, record] : records_) {
    if (record.place != place) continue;
    const auto found = where.find(value);
    const std::size_t count = found == where.end() ? 0 : found->second.size();
    if (record.delivery <= Delivery::idempotent && count > 1) {
      violated("5: " + value + " lies at " + std::to_string(found->second[0]) + " and " +
               std::to_string(found->second[1]));
    }
    if (!record.acknowledged || record.delivery == Delivery::unreplicated) continue;
    if (count == 0) {
      if (complete) violated("1: " + value + " was acknowledged and is lost");
      continue;
    }
    if (record.offset && std::find(found->second.begin(), found->second.end(), *record.offset) == found->second.end() &&
        complete) {
      violated("1: " + value + " was acknowledged at " + std::to_string(*record.offset) + " and lies at " +
               std::to_string(found->second[0]));
    }
  }
  for (const std::string& consumer : consumers) check_seen(place, all, consumer, false);
  for (const std::string& consumer : committed) check_seen(place, all, consumer, true);
  if (emitted_epoch_[place] > metadata_epoch_[place]) {
    violated("6: records of " + to_string(place) + " carry epoch " + std::to_string(emitted_epoch_[place]) +
             ", above Metadata's " + std::to_string(metadata_epoch_[place]));
  }
}

void Invariants::check_history(const std::vector<Place>& places, const std::vector<std::string>& consumers,
                               const std::vector<std::string>& committed) {
  TransactionChecks::Contents all;
  bool all_complete = true;
  for (const Place& place : places) {
    bool complete = true;
    all[place] = contents(place, complete);
    if (complete && compacted_.contains(place)) check_last_values(place, all[place]);
    complete = complete && !compacted_.contains(place);
    all_complete = all_complete && complete;
    check_place(place, all[place], complete, consumers, committed);
  }
  transactions_.check(all, all_complete);
}

}  // namespace crossover::sim
