// Heartbeats and leases of the proxies, on a topic of their own on each cluster, with short retention.
//
// A proxy that has written a heartbeat to a cluster may acknowledge writes there for lease_ms from the moment it sent
// it; the others take it for alive for as long from the moment they read it, which is later. So whoever was asleep, or
// cut off from a cluster, has stopped acknowledging by the time another proxy takes it for gone. Clocks need only run
// at the same rate within the difference, which no clock in use exceeds over half a minute.
//
// A proxy that starts reads the heartbeats of its predecessors as well, and cannot tell how old they are. One that does
// not go on beating is taken for gone when its lease must have run out; a process of this host sooner, since that is
// what this one most likely replaces.
#include <algorithm>
#include <boost/json.hpp>
#include <limits>

#include "protocol/error_code.h"
#include "protocol/messages.h"
#include "protocol/record_batch.h"
#include "proxy/controller_core.h"

namespace crossover::proxy {

using namespace protocol;

namespace {

constexpr Millis heartbeat_ms = 2'000;
constexpr Millis again_ms = 500;     // while it is not known yet who else serves
constexpr Millis lease_ms = 30'000;  // longer than a cluster takes to replace a leader that fell silent
constexpr Millis blind_ms = 10'000;  // after which what was read last says nothing of who serves now
constexpr Millis answer_ms = 2'000;
constexpr std::int64_t earliest = -2;

Bytes heartbeat_request(const ControllerOptions& options, Version version, Bytes& batch) {
  PlainRecord record;  // without a time: one of another clock would let retention delete it at once, or never
  record.key = options.proxy_id;
  record.value = boost::json::serialize(boost::json::object{{"v", 1}, {"proxy", options.proxy_id}});
  batch = build_batch({record});
  ProduceRequest ask;
  ask.acks = -1;  // a leader cut off from its followers renews no lease that the others would not see
  ask.timeout_ms = answer_ms;
  auto& topic = ask.topic_data.emplace_back();
  topic.name = options.leases_topic;
  auto& data = topic.partition_data.emplace_back();
  data.records = Records(batch);
  return encode(ask, version);
}

FetchRequest tail(const std::string& leases_topic, Offset from) {
  FetchRequest ask;
  ask.max_bytes = 1 << 20;
  ask.session_epoch = -1;
  auto& topic = ask.topics.emplace_back();
  topic.topic = leases_topic;
  auto& p = topic.partitions.emplace_back();
  p.fetch_offset = from;
  p.partition_max_bytes = 1 << 20;
  return ask;
}

ListOffsetsRequest first_offset(const std::string& leases_topic) {
  ListOffsetsRequest ask;
  ask.replica_id = -1;
  auto& topic = ask.topics.emplace_back();
  topic.name = leases_topic;
  topic.partitions.emplace_back().timestamp = earliest;
  return ask;
}

// Proxy ids are a host's name and a suffix of the process.
std::string_view host_of(std::string_view proxy_id) {
  return proxy_id.substr(0, proxy_id.rfind('-'));
}

}  // namespace

Task<> Controller::Impl::keep_lease(Cluster cluster) {
  for (;;) {
    const bool written = co_await beat(cluster);
    if (written) co_await read_others(cluster);
    if (!written) co_await recreate_leases(cluster);
    const bool behind = !leases_[index_of(cluster)].caught_up || awaits_predecessor();
    Until due(
        *this, [] { return false; }, now_ + (behind ? again_ms : heartbeat_ms));
    co_await due;
  }
}

NodeId Controller::Impl::leases_leader(Cluster cluster) const {
  const ClusterImage& image = *images_[index_of(cluster)];
  const auto topic = image.topics.find(options_.leases_topic);
  const bool there = image.reachable && topic != image.topics.end() && !topic->second.partitions.empty();
  return there ? topic->second.partitions[0].leader : -1;
}

// It is made at start; without it no lease can be renewed, so once it was deleted it is made anew.
Task<> Controller::Impl::recreate_leases(Cluster cluster) {
  const ClusterImage& image = *images_[index_of(cluster)];
  const auto version = version_of(cluster, ApiKey::CreateTopics, {2, 7});
  const bool gone = claimed_[index_of(cluster)] && image.reachable && !image.topics.contains(options_.leases_topic);
  if (!gone || !version) co_return;
  constexpr std::size_t replicas_wanted = 3;
  const std::size_t replicas = options_.control_replication > 0 ? static_cast<std::size_t>(options_.control_replication)
                                                                : std::min(replicas_wanted, image.brokers.size());
  CreateTopicsRequest question;
  question.timeout_ms = answer_ms;
  auto& topic = question.topics.emplace_back();
  topic.name = options_.leases_topic;
  topic.num_partitions = 1;
  topic.replication_factor = static_cast<std::int16_t>(replicas);
  topic.configs = {{"cleanup.policy", "delete"},
                   {"retention.ms", "600000"},
                   {"segment.ms", "600000"},
                   {"min.insync.replicas", "1"},  // all that are in sync, be it one
                   {"unclean.leader.election.enable", "false"}};
  const NodeId node = image.brokers.contains(image.controller) ? image.controller : any_node;
  const auto answer = co_await ask_for<CreateTopicsResponse>(cluster, node, *version, question, answer_ms);
  const bool done = answer && answer->topics.size() == 1 && answer->topics[0].error_code == 0;
  if (done) io_.log("warn", "leases_topic_recreated", {{"cluster", std::string(to_string(cluster))}});
  wanted_at_[index_of(cluster)] = now_;
}

Task<bool> Controller::Impl::beat(Cluster cluster) {
  const auto version = version_of(cluster, ApiKey::Produce, {3, 9});
  const NodeId leader = leases_leader(cluster);
  if (leader < 0 || !version) co_return false;
  const Millis sent_at = now_;
  Bytes batch;
  Bytes body = heartbeat_request(options_, *version, batch);
  Pending pending = ask(cluster, leader, ApiKey::Produce, *version, std::move(body), answer_ms);
  const auto written = co_await answer_to<ProduceResponse>(pending, *version, answer_ms);
  if (!written || written->responses.empty() || written->responses[0].partition_responses.empty()) co_return false;
  const auto& row = written->responses[0].partition_responses[0];
  if (row.error_code != 0) {
    wanted_at_[index_of(cluster)] = now_;
    co_return false;
  }
  lease_until_[index_of(cluster)] = sent_at + lease_ms;
  publish();
  LeaseLog& log = leases_[index_of(cluster)];
  if (row.base_offset < log.own) read_anew(cluster);
  if (log.own < 0) {
    log.own = row.base_offset;
    log.own_sent_at = sent_at;
  }
  co_return true;
}

// What the others wrote, up to this proxy's own heartbeat if there is not too much of it.
Task<> Controller::Impl::read_others(Cluster cluster) {
  const auto fetch = version_of(cluster, ApiKey::Fetch, {4, 12});
  const auto list = version_of(cluster, ApiKey::ListOffsets, {1, 7});
  LeaseLog& log = leases_[index_of(cluster)];
  if (!fetch || !list) co_return;
  if (log.next < 0) {
    const auto answer = co_await ask_for<ListOffsetsResponse>(cluster, leases_leader(cluster), *list,
                                                              first_offset(options_.leases_topic), answer_ms);
    if (!answer || answer->topics.empty() || answer->topics[0].partitions.empty()) co_return;
    const auto& row = answer->topics[0].partitions[0];
    if (row.error_code == 0) log.next = row.offset;
  }
  constexpr int most = 16;  // of a megabyte each; then the next heartbeat is due
  for (int i = 0; i < most && log.next >= 0 && log.own >= 0; ++i) {
    const Offset before = log.next;
    Bytes question = encode(tail(options_.leases_topic, log.next), *fetch);
    const Pending pending =  // the records are in its body
        ask(cluster, leases_leader(cluster), ApiKey::Fetch, *fetch, std::move(question), answer_ms);
    const auto answer = co_await answer_to<FetchResponse>(pending, *fetch, answer_ms);
    if (answer) read_heartbeats(*answer, cluster);
    if (log.next == before) break;
  }
}

// The log was cut, or made anew: all that is there is read again, as at start. What was read until now stays read.
void Controller::Impl::read_anew(Cluster cluster) {
  LeaseLog& log = leases_[index_of(cluster)];
  io_.log("warn", "heartbeats_read_anew",
          {{"cluster", std::string(to_string(cluster))}, {"offset", std::to_string(log.next)}});
  const Millis read_at = log.read_at;
  log = LeaseLog{};
  log.read_at = read_at;
}

void Controller::Impl::read_heartbeats(const FetchResponse& answer, Cluster cluster) {
  LeaseLog& log = leases_[index_of(cluster)];
  if (answer.responses.empty() || answer.responses[0].partitions.empty()) return;
  const auto& data = answer.responses[0].partitions[0];
  if (data.error_code == static_cast<std::int16_t>(ErrorCode::OFFSET_OUT_OF_RANGE)) read_anew(cluster);
  if (data.error_code != 0 || !data.records) return;
  for (BatchCursor cursor{*data.records}; cursor.load(); cursor.advance()) {
    log.next = std::max(log.next, cursor.header.last_offset() + 1);
    const auto records = read_plain_records(data.records->substr(cursor.at, cursor.header.total_bytes()));
    if (!records) continue;
    for (const PlainRecord& record : *records) {
      if (record.key && *record.key != options_.proxy_id) note_heartbeat(*record.key, log.caught_up);
    }
  }
  if (log.next <= log.own) return;
  log.caught_up = true;
  log.read_at = std::exchange(log.own_sent_at, -1);
  log.own = -1;
}

void Controller::Impl::note_heartbeat(const std::string& proxy_id, bool new_one) {
  constexpr std::size_t most = 10'000;
  if (other_proxies_.size() >= most)
    std::erase_if(other_proxies_,
                  [this](const auto& other) { return !may_live(other.first, other.second, others_read_at()); });
  if (other_proxies_.size() >= most) return;  // there are others, which is all that counts
  OtherProxy& other = other_proxies_[proxy_id];
  other.heard_at = now_;
  other.beats = other.beats || new_one;
}

// Every heartbeat sent to either cluster until then was read; -1: not since the start.
Millis Controller::Impl::others_read_at() const {
  return std::min(leases_[0].read_at, leases_[1].read_at);
}

bool Controller::Impl::may_live(const std::string& proxy_id, const OtherProxy& other, Millis read_at) const {
  if (!may_be_predecessor(proxy_id, other)) return read_at - other.heard_at < lease_ms;
  return options_.predecessor_ms >= 0 && read_at - other.heard_at < options_.predecessor_ms;
}

bool Controller::Impl::may_be_predecessor(const std::string& proxy_id, const OtherProxy& other) const {
  return !other.beats && host_of(proxy_id) == host_of(options_.proxy_id);
}

// One that may be gone, and is taken for gone if it does not beat for a few seconds.
bool Controller::Impl::awaits_predecessor() const {
  return std::any_of(other_proxies_.begin(), other_proxies_.end(), [this](const auto& other) {
    return may_be_predecessor(other.first, other.second) && may_live(other.first, other.second, others_read_at());
  });
}

// Whether waiting a little longer would not tell more of who serves.
bool Controller::Impl::others_known() const {
  return others_read_at() >= 0 && now_ - others_read_at() < blind_ms && !awaits_predecessor();
}

// One process drives flips: what another one has forwarded is not known here. Empty: there is none.
std::string Controller::Impl::other_proxies(std::vector<Cluster> read_on) const {
  for (const Cluster c : read_on) {
    const Millis read_at = leases_[index_of(c)].read_at;
    if (read_at >= 0 && now_ - read_at < blind_ms) continue;
    return "the other proxies' heartbeats on the " + std::string(to_string(c)) + " cluster were not read " +
           (read_at < 0 ? "since this proxy started" : "for " + std::to_string((now_ - read_at) / 1'000) + " s") +
           ": check that " + options_.leases_topic + " has a leader, and that the proxy may read and write it";
  }
  Millis all_read_at = std::numeric_limits<Millis>::max();
  for (const Cluster c : read_on) all_read_at = std::min(all_read_at, leases_[index_of(c)].read_at);
  std::vector<std::string> beating, silent;
  for (const auto& [id, other] : other_proxies_) {
    if (may_live(id, other, all_read_at)) (other.beats ? beating : silent).push_back(id);
  }
  if (!beating.empty())
    return "other proxies serve this virtual cluster, and a flip would not fence them: stop " + some_of(beating);
  if (silent.empty()) return "";
  return "other proxies served this virtual cluster before this one started, and may only be silent: try again in " +
         std::to_string(lease_ms / 1'000) + " s, or stop " + some_of(silent);
}

}  // namespace crossover::proxy
