// Heartbeats and leases of the proxies, on a topic of their own on each cluster, with short retention.
//
// A proxy that has written a heartbeat to a cluster may acknowledge writes there for lease_ms from the moment it sent
// it; the others take it for alive for as long from the moment they read it, which is later. So whoever was asleep, or
// cut off from a cluster, has stopped acknowledging by the time another proxy takes it for gone. Clocks need only run
// at the same rate within the difference, which no clock in use exceeds over half a minute.
#include <boost/json.hpp>

#include "protocol/messages.h"
#include "protocol/record_batch.h"
#include "proxy/controller_core.h"

namespace crossover::proxy {

using namespace protocol;

namespace {

constexpr Millis heartbeat_ms = 2'000;
constexpr Millis lease_ms = 30'000;  // longer than a cluster takes to replace a leader that fell silent
constexpr Millis answer_ms = 2'000;

Bytes heartbeat_request(const ControllerOptions& options, Version version, Bytes& batch) {
  PlainRecord record;
  record.key = options.proxy_id;
  record.value = boost::json::serialize(boost::json::object{{"v", 1}, {"proxy", options.proxy_id}});
  batch = build_batch({record});
  ProduceRequest ask;
  ask.acks = 1;
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

}  // namespace

Task<> Controller::Impl::keep_lease(Cluster cluster) {
  Offset read_from = -1;
  for (;;) {
    const Offset next = co_await beat(cluster, read_from);
    if (next >= 0) read_from = next;
    Until due(
        *this, [] { return false; }, now_ + heartbeat_ms);
    co_await due;
  }
}

// One heartbeat, then what the others wrote since; returns where to read on, -1 when nothing was read.
Task<Offset> Controller::Impl::beat(Cluster cluster, Offset read_from) {
  const ClusterImage& image = *images_[index_of(cluster)];
  const auto topic = image.topics.find(options_.leases_topic);
  const auto write = version_of(cluster, ApiKey::Produce, {3, 9});
  const auto read = version_of(cluster, ApiKey::Fetch, {4, 12});
  if (!image.reachable || topic == image.topics.end() || topic->second.partitions.empty() || !write || !read)
    co_return -1;
  const NodeId leader = topic->second.partitions[0].leader;
  if (leader < 0) co_return -1;
  const Millis sent_at = now_;
  Bytes batch;
  Bytes body = heartbeat_request(options_, *write, batch);
  Pending pending = ask(cluster, leader, ApiKey::Produce, *write, std::move(body), answer_ms);
  const auto written = co_await answer_to<ProduceResponse>(pending, *write, answer_ms);
  if (!written || written->responses.empty() || written->responses[0].partition_responses.empty()) co_return -1;
  const auto& row = written->responses[0].partition_responses[0];
  if (row.error_code != 0) {
    wanted_at_[index_of(cluster)] = now_;
    co_return -1;
  }
  lease_until_[index_of(cluster)] = sent_at + lease_ms;
  publish();
  if (read_from < 0) co_return row.base_offset;
  FetchRequest question = tail(options_.leases_topic, read_from);
  const auto answer = co_await ask_for<FetchResponse>(cluster, leader, *read, question, answer_ms);
  co_return answer ? read_heartbeats(*answer, read_from) : -1;
}

Offset Controller::Impl::read_heartbeats(const FetchResponse& answer, Offset read_from) {
  if (answer.responses.empty() || answer.responses[0].partitions.empty()) return -1;
  const auto& data = answer.responses[0].partitions[0];
  if (!data.records) return read_from;
  for (BatchCursor cursor{*data.records}; cursor.load(); cursor.advance()) {
    read_from = std::max(read_from, cursor.header.last_offset() + 1);
    const auto records = read_plain_records(data.records->substr(cursor.at, cursor.header.total_bytes()));
    if (!records) continue;
    for (const PlainRecord& record : *records) {
      constexpr std::size_t most = 10'000;
      if (record.key && *record.key != options_.proxy_id && other_proxies_.size() < most)
        other_proxies_[*record.key] = now_;
    }
  }
  return read_from;
}

// One process drives flips: what another one has forwarded is not known here.
std::vector<std::string> Controller::Impl::other_live_proxies() const {
  std::vector<std::string> alive;
  for (const auto& [id, seen_at] : other_proxies_) {
    if (now_ - seen_at < lease_ms) alive.push_back(id);
  }
  return alive;
}

}  // namespace crossover::proxy
