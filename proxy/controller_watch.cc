// Follows both clusters (brokers, topics, versions) and keeps what every proxy must know in both control topics.
#include <algorithm>

#include "protocol/error_code.h"
#include "protocol/messages.h"
#include "proxy/controller_core.h"

namespace crossover::proxy {

using namespace protocol;

namespace {

constexpr Millis answer_ms = 5'000;
constexpr Millis retry_ms = 500;
constexpr Millis ended_for_good_ms = 3'000;   // longer than a broker that starts knows of no topic
constexpr Millis ended_says_one_ms = 60'000;  // where there were several, and one alone answers

ClusterVersions versions_of(const ApiVersionsResponse& answer) {
  ClusterVersions v;
  for (const auto& row : answer.api_keys) {
    if (row.min_version <= row.max_version)
      v.apis[static_cast<ApiKey>(row.api_key)] = {row.min_version, row.max_version};
  }
  for (const auto& row : answer.supported_features) v.supported_features[row.name] = {row.min_version, row.max_version};
  for (const auto& row : answer.finalized_features) v.finalized_features[row.name] = row.max_version_level;
  return v;
}

RealTopic topic_of(const MetadataResponse::MetadataResponseTopic& row) {
  RealTopic topic;
  topic.id = row.topic_id;
  topic.internal = row.is_internal;
  for (const auto& p : row.partitions) {
    const auto at = static_cast<std::size_t>(p.partition_index);
    constexpr std::size_t most = 1'000'000;
    if (p.partition_index < 0 || at > most) continue;
    if (topic.partitions.size() <= at) topic.partitions.resize(at + 1);
    RealPartition& out = topic.partitions[at];
    out.leader = p.leader_id;
    out.leader_epoch = p.leader_epoch;
    out.error = p.error_code;
    out.replicas = p.replica_nodes;
    out.isr = p.isr_nodes;
    out.offline = p.offline_replicas;
  }
  return topic;
}

std::shared_ptr<ClusterImage> image_of(const MetadataResponse& answer) {
  auto image = std::make_shared<ClusterImage>();
  image->known = image->reachable = true;
  image->cluster_id = answer.cluster_id.value_or("");
  image->controller = answer.controller_id;
  for (const auto& b : answer.brokers) image->brokers[b.node_id] = {b.host, b.port, b.rack};
  for (const auto& t : answer.topics) {
    if (t.error_code == 0 && t.name) image->topics[*t.name] = topic_of(t);
  }
  return image;
}

bool has_history_on(const TopicState& topic, Cluster c) {
  return std::any_of(topic.partitions.begin(), topic.partitions.end(),
                     [c](const auto& partition) { return partition.log.has_history_on(c); });
}

std::string fresh_cluster_id(std::uint64_t seed) {
  Uuid fresh;
  std::uint64_t x = seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du;
  for (auto& byte : fresh.bytes) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    byte = static_cast<std::uint8_t>(x >> 32);
  }
  fresh.bytes[0] &= 0x7f;  // some tools take a leading dash for an option
  return to_string(fresh);
}

}  // namespace

std::optional<Version> Controller::Impl::version_of(Cluster cluster, ApiKey api, VersionRange wanted) const {
  const auto spoken = versions_[index_of(cluster)]->apis.find(api);
  if (spoken == versions_[index_of(cluster)]->apis.end()) return std::nullopt;
  const Version last = std::min(wanted.last, spoken->second.last);
  return last < std::max(wanted.first, spoken->second.first) ? std::nullopt : std::optional(last);
}

Task<> Controller::Impl::watch(Cluster cluster) {
  const std::size_t at = index_of(cluster);
  for (;;) {
    const Millis asked_at = now_;
    bool ok = versions_fresh_[at];
    if (!ok) ok = co_await refresh_versions(cluster);
    if (ok) ok = co_await refresh_image(cluster);
    if (!ok) {
      const bool was = images_[at]->reachable;
      auto image = std::make_shared<ClusterImage>(*images_[at]);
      image->reachable = false;
      answers_since_[at] = never;
      image->asked_at = asked_at;
      images_[at] = std::move(image);
      versions_fresh_[at] = false;
      if (was) io_.log("warn", "cluster_unreachable", {{"cluster", std::string(to_string(cluster))}});
      publish();
    }
    const Millis next = now_ + (ok ? options_.refresh_ms : retry_ms);
    Until due(
        *this, [this, at, ok] { return ok && wanted_at_[at] > images_[at]->asked_at; }, next);
    co_await due;
  }
}

Task<bool> Controller::Impl::refresh_versions(Cluster cluster) {
  ApiVersionsRequest ask;
  ask.client_software_name = "crossover";
  ask.client_software_version = "0.1.0";
  constexpr Version flexible = 3;  // since Kafka 2.4
  const auto answer = co_await ask_for<ApiVersionsResponse>(cluster, any_node, flexible, ask, answer_ms);
  if (!answer || answer->error_code != 0) co_return false;
  versions_[index_of(cluster)] = std::make_shared<ClusterVersions>(versions_of(*answer));
  versions_fresh_[index_of(cluster)] = true;
  co_return true;
}

Task<bool> Controller::Impl::refresh_image(Cluster cluster) {
  const std::size_t at = index_of(cluster);
  const auto version = version_of(cluster, ApiKey::Metadata, {7, 12});
  if (!version) co_return false;
  MetadataRequest ask;
  ask.topics.reset();
  ask.allow_auto_topic_creation = false;
  const Millis asked_at = now_;
  const auto answer = co_await ask_for<MetadataResponse>(cluster, any_node, *version, ask, answer_ms);
  if (!answer || answer->brokers.empty()) co_return false;
  auto image = image_of(*answer);
  image->asked_at = asked_at;
  if (!images_[at]->reachable) {
    answers_since_[at] = now_;
    io_.log("info", "cluster_reachable",
            {{"cluster", std::string(to_string(cluster))},
             {"brokers", std::to_string(image->brokers.size())},
             {"topics", std::to_string(image->topics.size())}});
  }
  const ClusterImage& before = *images_[at];
  topics_changed_ = topics_changed_ || before.known != image->known || before.topics != image->topics;
  images_[at] = std::move(image);
  if (const std::string wrong = wrong_clusters(); wrong != reported_wrong_clusters_) {
    if (!wrong.empty()) io_.log("error", "wrong_clusters", {{"problem", wrong}, {"action", "nothing is served"}});
    reported_wrong_clusters_ = wrong;
  }
  publish();
  co_return true;
}

// What is wrong with the two addresses that were given, if anything: logs of other clusters are never spliced.
std::string Controller::Impl::wrong_clusters() const {
  const std::string& source = images_[0]->cluster_id;
  if (!source.empty() && source == images_[1]->cluster_id)
    return "source and target are the same cluster, " + source + ": give two different ones";
  for (const Cluster c : both_clusters) {
    const std::string& expected = state_.real_cluster_ids[index_of(c)];
    const std::string& found = images_[index_of(c)]->cluster_id;
    if (!expected.empty() && !found.empty() && expected != found) {
      return "the " + std::string(to_string(c)) + " cluster is " + found + ", but the control topics were begun with " +
             expected + ": give the addresses that they belong to";
    }
  }
  return "";
}

// --- what must stand in the control topics ---

Task<> Controller::Impl::keep_records() {
  for (;;) {
    bool busy = false;
    for (const Cluster log : both_clusters) {
      if (!wrong_clusters().empty() || !claimed_[index_of(log)] || !images_[index_of(log)]->reachable) continue;
      if (logs_[index_of(log)].newer_seen()) continue;  // a newer proxy writes there: this one only follows
      const bool wrote = co_await keep_records_of(log);
      busy = busy || wrote;
    }
    const std::uint64_t seen = revision_;
    Until changed(
        *this, [this, seen, busy] { return busy || revision_ != seen; }, now_ + 1'000);
    co_await changed;
  }
}

// What a record says was found when `seen` was the log's last one: what came since may have changed it.
Controller::Impl::Encode Controller::Impl::only_behind(Offset seen, Encode encode) {
  return [seen, encode = std::move(encode)](const control_record::Chain& chain) {
    return chain.prev == seen ? encode(chain) : Bytes();
  };
}

// Writes the first fact that this log lacks; true when it wrote.
Task<bool> Controller::Impl::keep_records_of(Cluster log) {
  const Offset seen = logs_[index_of(log)].last_accepted();
  const Millis deadline = now_ + answer_ms;
  const bool begun = !logs_[index_of(log)].state().cluster_id.empty();
  Encode fact = begun ? missing_fact(log) : identity(log);
  const Bindings moves = begun && !fact && !moving_ ? missing_bindings(log) : Bindings();
  if (!moves.empty()) {
    const bool repeated = co_await record_bindings(moves, log, true);
    co_return repeated;
  }
  std::optional<EndedTopic> ended;
  if (begun && !fact) ended = co_await find_ended_topic(log);
  if (ended) {
    fact = [ended](const control_record::Chain& chain) {
      return ended->only_on ? control_record::lost(chain, ended->name, ended->virtual_id, *ended->only_on)
                            : control_record::forget(chain, ended->name, ended->virtual_id);
    };
  }
  if (fact) {
    const Written written = co_await append(log, only_behind(seen, fact), deadline);
    const bool accepted = written == Written::accepted;
    if (accepted && ended) log_ended(*ended, log);
    co_return accepted;
  }
  if (!begun) co_return false;
  const bool kept = co_await keep_snapshot(log, seen, deadline);
  co_return kept;
}

// It stands in both logs, and is said once.
void Controller::Impl::log_ended(const EndedTopic& ended, Cluster log) {
  const Cluster home = state_.route_of(ended.name).home;
  if (log != home) return;
  io_.log("warn", ended.only_on ? "history_lost" : "virtual_log_ended",
          {{"topic", ended.name},
           {"reason", ended.reason},
           {"cluster", std::string(to_string(ended.only_on.value_or(home)))}});
}

// The source's log names the virtual cluster, the target's repeats it; each puts both real clusters on record. Empty as
// long as that cannot be said.
Controller::Impl::Encode Controller::Impl::identity(Cluster log) const {
  if (state_.cluster_id.empty() && log != Cluster::source) return {};
  std::array<std::string, 2> real = state_.real_cluster_ids;
  for (const Cluster c : both_clusters) {
    // Both logs may know of an earlier start.
    if (!caught_up_[index_of(c)] || images_[index_of(c)]->cluster_id.empty()) return {};
    if (real[index_of(c)].empty()) real[index_of(c)] = images_[index_of(c)]->cluster_id;
  }
  const std::string id = state_.cluster_id.empty() ? fresh_cluster_id(options_.seed) : state_.cluster_id;
  return [id, real](const control_record::Chain& chain) { return control_record::identity(chain, id, real); };
}

// What the other log or the clusters know and this log does not; empty: nothing.
Controller::Impl::Encode Controller::Impl::missing_fact(Cluster log) const {
  if (Encode fact = new_broker(log)) return fact;
  const ControlState& here = logs_[index_of(log)].state();
  for (const auto& [id, broker] : state_.brokers) {
    if (here.brokers.contains(id)) continue;
    return [id = id, broker = broker](const control_record::Chain& chain) {
      return control_record::broker(chain, id, broker);
    };
  }
  for (const Cluster c : both_clusters) {
    if (!versions_fresh_[index_of(c)] || here.versions[index_of(c)]) continue;
    const ClusterVersions versions = state_.versions[index_of(c)].value_or(*versions_[index_of(c)]);
    return [c, versions](const control_record::Chain& chain) { return control_record::versions(chain, c, versions); };
  }
  if (here.routes_revision >= state_.routes_revision) return {};
  return [all = state_](const control_record::Chain& chain) { return control_record::routes(chain, all); };
}

// Moves of ids and groups that the other log knows of alone: the process that wrote them ended between its two records,
// or this log could not be written then.
Bindings Controller::Impl::missing_bindings(Cluster log) const {
  const Bindings& here = logs_[index_of(log)].state().bindings;
  Bindings missing;
  const auto add = [](const auto& known, const auto& there, auto& out) {
    for (const auto& [name, binding] : known) {
      const auto found = there.find(name);
      if (found == there.end() || found->second.generation < binding.generation) out.emplace(name, binding);
    }
  };
  add(state_.bindings.ids, here.ids, missing.ids);
  add(state_.bindings.groups, here.groups, missing.groups);
  return missing;
}

// A broker of this log's cluster without a virtual id. Those of source are even, of target odd, so that each log can
// hand them out alone.
Controller::Impl::Encode Controller::Impl::new_broker(Cluster log) const {
  for (const auto& [node, address] : images_[index_of(log)]->brokers) {
    const bool known = std::any_of(state_.brokers.begin(), state_.brokers.end(), [log, node = node](const auto& entry) {
      return entry.second.cluster == log && entry.second.real_id == node;
    });
    if (known) continue;
    NodeId id = static_cast<NodeId>(index_of(log));
    while (state_.brokers.contains(id)) id += 2;
    if (id >= options_.port_count) return {};
    const BrokerRecord broker{log, node, options_.first_port + id};
    return [id, broker](const control_record::Chain& chain) { return control_record::broker(chain, id, broker); };
  }
  return {};
}

// A topic deleted, or deleted and made anew, behind the proxy's back is another topic: its virtual log ends; away from
// home, what it held of the log is lost.
Task<std::optional<Controller::Impl::EndedTopic>> Controller::Impl::find_ended_topic(Cluster log) {
  const std::map<std::string, TopicState> topics = logs_[index_of(log)].state().topics;
  std::erase_if(ended_since_, [&topics, log](const auto& entry) {
    return entry.first.log == log && !topics.contains(entry.first.topic);
  });
  for (const auto& [name, topic] : topics) {
    const Cluster home = state_.route_of(name).home;
    for (const Cluster c : {home, other(home)}) {
      const ClusterImage& image = *images_[index_of(c)];
      const Ended ended{name, topic.real_id[index_of(c)], c, log};
      const bool gone = !image.topics.contains(name);
      const bool nothing_lost = c != home && !has_history_on(topic, c);
      const bool there = gone ? nothing_lost : !made_anew(name, topic, c);
      std::size_t agreed = 0;
      if (image.reachable && !there) agreed = co_await brokers_that_agree(c, name, topic.real_id[index_of(c)]);
      if (agreed == 0) {
        ended_since_.erase(ended);
        continue;
      }
      const auto on_record = std::count_if(state_.brokers.begin(), state_.brokers.end(),
                                           [c](const auto& b) { return b.second.cluster == c; });
      const bool enough = agreed > 1 || on_record < 2;
      const Millis since = ended_since_.try_emplace(ended, now_).first->second;
      if (now_ - since < (enough ? ended_for_good_ms : ended_says_one_ms)) continue;
      const std::optional<Cluster> only_on = c == home ? std::nullopt : std::optional(c);
      co_return EndedTopic{name, gone ? "deleted" : "recreated", topic.virtual_id, only_on};
    }
  }
  co_return std::nullopt;
}

// A broker that lags behind its controller, or has just started, may not know a topic yet, or know one that is gone:
// all that answer must say the same. How many do; 0: they do not agree.
Task<std::size_t> Controller::Impl::brokers_that_agree(Cluster cluster, std::string topic, Uuid real_id) {
  const auto version = version_of(cluster, ApiKey::Metadata, {7, 12});
  if (!version) co_return 0;
  MetadataRequest question;
  question.topics.emplace().emplace_back().name = topic;
  question.allow_auto_topic_creation = false;
  constexpr std::size_t enough = 5;
  std::vector<Pending> asked;
  for (const auto& [node, address] : images_[index_of(cluster)]->brokers) {
    if (asked.size() == enough) break;
    asked.push_back(ask(cluster, node, ApiKey::Metadata, *version, encode(question, *version), answer_ms));
  }
  std::size_t agreed = 0;
  for (const Pending& pending : asked) {
    const auto answer = co_await answer_to<MetadataResponse>(pending, *version, answer_ms);
    if (!answer || answer->topics.size() != 1) continue;
    const auto& row = answer->topics[0];
    const bool gone = row.error_code == static_cast<std::int16_t>(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    const bool another = row.error_code == 0 && !row.topic_id.is_zero() && row.topic_id != real_id;
    if (!gone && !another) co_return 0;
    ++agreed;
  }
  co_return agreed;
}

// A log that could not be written when a route was recovered is told of it, or else it would go on alone.
bool Controller::Impl::missed_recovery(Cluster log) const {
  return std::any_of(state_.routes.begin(), state_.routes.end(), [this, log](const auto& entry) {
    const RouteState& route = entry.second;
    const auto& here = logs_[index_of(log)].state().routes;
    const auto found = here.find(entry.first);
    return route.recovered && route.opened && !running_step_.contains(entry.first) && found != here.end() &&
           found->second.generation < route.generation;
  });
}

Task<bool> Controller::Impl::keep_snapshot(Cluster log, Offset seen, Millis deadline) {
  constexpr std::size_t records_between_snapshots = 1'000;
  const bool due = logs_[index_of(log)].records_since_snapshot() > records_between_snapshots;
  if (!due && !missed_recovery(log)) co_return false;
  ControlState all = state_;
  // What the other log has forgotten as well needs no mention any more.
  const std::size_t elsewhere = index_of(other(log));
  if (caught_up_[elsewhere]) {
    const auto& there = logs_[elsewhere].state().topics;
    std::erase_if(all.forgotten, [&there](const auto& f) {
      return std::none_of(there.begin(), there.end(), [&f](const auto& t) { return t.second.virtual_id == f.first; });
    });
  }
  const std::string parts_id = options_.proxy_id + "/snapshot/" + std::to_string(next_id_++);
  const std::vector<Bytes> parts = control_record::parts(parts_id, all.topics, all.bindings);
  for (const Bytes& part : parts) {
    const bool written = co_await append_part(log, part, deadline);
    if (!written) co_return false;
  }
  const std::size_t count = parts.size();
  const Encode encode = [&all, parts_id, count](const control_record::Chain& chain) {
    return control_record::snapshot(chain, all, parts_id, count);
  };
  const bool written = co_await append(log, only_behind(seen, encode), deadline) == Written::accepted;
  if (written) io_.trim_control(log, logs_[index_of(log)].snapshot_from());
  co_return written;
}

}  // namespace crossover::proxy
