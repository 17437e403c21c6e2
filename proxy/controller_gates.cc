// What must hold before a flip begins, each said to the operator as a gate; and the tombstones that a flip must keep.
#include <algorithm>

#include "protocol/error_code.h"
#include "protocol/messages.h"
#include "proxy/controller_core.h"

namespace crossover::proxy {

using namespace protocol;

namespace {

constexpr Millis answer_ms = 2'000;
constexpr std::int32_t consumer_replica = -1;
constexpr std::int8_t topic_resource = 2;
constexpr const char* tombstones_for_ever = "9223372036854775807";
constexpr Millis transactional_id_expiration_ms = 7 * 24 * 3'600'000LL;  // Kafka's default

}  // namespace

bool all_green(const FlipReport& report) {
  return std::all_of(report.gates.begin(), report.gates.end(), [](const Gate& g) { return g.ok; });
}

std::string place_name(const std::string& topic, PartitionIndex p) {
  return topic + "-" + std::to_string(p);
}

std::string some_of(const std::vector<std::string>& names) {
  std::string text;
  constexpr std::size_t shown = 5, longest = 120;
  for (std::size_t i = 0; i < std::min(shown, names.size()); ++i) text += (i ? ", " : "") + names[i].substr(0, longest);
  if (names.size() > shown) text += " and " + std::to_string(names.size() - shown) + " more";
  return text;
}

Task<bool> Controller::Impl::gates(Flip& flip) {
  for (const Cluster c : both_clusters) {
    const std::string name(to_string(c));
    const bool up = images_[index_of(c)]->reachable;
    gate(flip, name + "_reachable", up, up ? "answers" : "no broker of the " + name + " cluster answers");
    const bool log = claimed_[index_of(c)];
    gate(flip, name + "_control_topic", log,
         log ? "read to its end, and takes records"
             : "its control topic cannot be read and written: check that the proxy may create, read and write it");
    const bool newer = logs_[index_of(c)].newer_seen();
    if (newer)
      gate(flip, name + "_control_format", false,
           "a newer proxy has written records that this one does not understand: upgrade it first");
  }
  if (!images_[index_of(flip.from)]->reachable) doubt_of_old_home_gate(flip);
  if (!all_green(flip.report)) co_return false;

  coupling_gate(flip);
  std::vector<std::string> missing, uneven, leaderless, behind;
  for (const auto& [name, topic] : snapshot_->topics) {
    if (!concerns(flip, *topic)) continue;
    const auto there = images_[index_of(flip.to)]->topics.find(name);
    if (there == images_[index_of(flip.to)]->topics.end()) {
      missing.push_back(name);
    } else if (there->second.partitions.size() != topic->partitions.size()) {
      uneven.push_back(name + " (" + std::to_string(topic->partitions.size()) + " here, " +
                       std::to_string(there->second.partitions.size()) + " there)");
    }
    for (std::size_t i = 0; i < topic->partitions.size(); ++i) {
      for (const Cluster c : both_clusters) {
        const RealPartition& p = topic->partitions[i].real[index_of(c)];
        const std::string place = place_name(name, static_cast<PartitionIndex>(i)) + " on " + std::string(to_string(c));
        if (p.leader < 0) leaderless.push_back(place);
        if (p.isr.size() < p.replicas.size()) behind.push_back(place);
      }
    }
  }
  const std::string to_name(to_string(flip.to));
  gate(flip, "topics_exist", missing.empty(),
       missing.empty() ? "every topic exists on both clusters"
                       : "missing on the " + to_name + " cluster: " + some_of(missing));
  gate(flip, "partition_counts", uneven.empty(),
       uneven.empty() ? "equal on both clusters" : "different: " + some_of(uneven));
  gate(flip, "leaders", leaderless.empty(),
       leaderless.empty() ? "every partition has one" : "without a leader: " + some_of(leaderless));
  gate(flip, "in_sync_replicas", behind.empty(),
       behind.empty() ? "complete" : "replicas out of sync: " + some_of(behind));
  const std::string& no_port = snapshot_->brokers_without_port;
  gate(flip, "broker_ports", no_port.empty(), no_port.empty() ? "every broker has one" : no_port);
  const std::string others = other_proxies();
  gate(flip, "other_proxies", others.empty(), others.empty() ? "no other proxy serves this virtual cluster" : others);
  co_await doubt_gate(flip);
  co_await transaction_gate(flip);
  find_places(flip);
  co_await history_gate(flip);
  co_await new_home_gate(flip);
  co_return true;
}

// The writes on that cluster that were lost and may concern the route.
std::vector<UnknownOutcome> Controller::Impl::unknown_outcomes(const Flip& flip, Cluster cluster) const {
  std::vector<UnknownOutcome> found;
  for (const WorkerView& worker : workers_) {
    for (const UnknownOutcome& lost : worker.unknown_outcomes) {
      const bool here = lost.writer.topic.empty()
                            ? lost.writer.route.may_concern(flip.route.name, state_.routes_revision)
                            : state_.route_of(lost.writer.topic).id == flip.route.id;
      if (here && lost.writer.cluster == cluster && now_ < lost.in_doubt_until(answers_since_)) found.push_back(lost);
    }
  }
  return found;
}

// Those of them that the partitions' leaders do not show as settled: a retry that was taken settles what it repeats.
Task<std::vector<UnknownOutcome>> Controller::Impl::still_in_doubt(Cluster cluster, std::vector<UnknownOutcome> lost) {
  if (lost.empty()) co_return lost;
  std::map<NodeId, PlaceNames> wanted;
  for (const UnknownOutcome& one : lost) {
    const PartitionView* partition = snapshot_->partition(one.writer.topic, one.writer.partition);
    if (partition && one.writer.producer >= 0)
      wanted[partition->real[index_of(cluster)].leader].emplace(one.writer.topic, one.writer.partition);
  }
  const DescribedProducers described = co_await describe_producers(cluster, wanted);
  std::erase_if(lost, [&described](const UnknownOutcome& one) {
    const auto found = described.find({one.writer.topic, one.writer.partition});
    return found != described.end() && std::any_of(found->second.begin(), found->second.end(), [&one](const auto& is) {
             return one.writer.producer == is.producer_id &&
                    one.settled_by(static_cast<ProducerEpoch>(is.producer_epoch), is.last_sequence);
           });
  });
  co_return lost;
}

// A write whose connection was lost may still land on a cluster for a while. Were the log there reopened meanwhile, the
// straggler would appear in the middle of newer records, and its retry a second time.
Task<> Controller::Impl::doubt_gate(Flip& flip) {
  std::vector<UnknownOutcome> lost = unknown_outcomes(flip, flip.to);
  lost = co_await still_in_doubt(flip.to, std::move(lost));
  const std::string there = "the " + std::string(to_string(flip.to)) + " cluster";
  if (lost.empty()) {
    gate(flip, "unknown_outcomes", true, "no write to " + there + " is in doubt");
    co_return;
  }
  Millis last = 0;
  std::vector<std::string> names;
  for (const UnknownOutcome& one : lost) {
    last = std::max(last, one.in_doubt_until(answers_since_));
    const std::string where =
        one.writer.topic.empty() ? "some partition" : place_name(one.writer.topic, one.writer.partition);
    names.push_back(where + (one.client_id.empty() ? "" : " (client " + one.client_id + ")"));
  }
  gate(flip, "unknown_outcomes", false,
       "a connection to " + there + " was lost with a write in flight that was not seen to land or to be repeated: " +
           some_of(names) + "; it may still land: try again in " + std::to_string((last - now_) / 1000 + 1) + " s");
}

// The latest closed segment on the cluster that a flip leads to, if any of it can be read.
const Segment* Controller::Impl::last_history(const Flip& flip, const Flip::Place& place) const {
  const PartitionView* partition = snapshot_->partition(place.topic, place.partition);
  if (!partition) return nullptr;
  const auto& segments = partition->log.segments();
  const auto last = std::find_if(segments.rbegin(), segments.rend(),
                                 [&flip](const Segment& s) { return s.cluster == flip.to && !s.nothing_to_read(); });
  return last == segments.rend() ? nullptr : &*last;
}

// What clients read of the new home's log must still be what it was: not another topic of that name, and not cut off by
// an unclean election, which the leader's history of epochs shows. A real offset never belongs to two segments.
Task<> Controller::Impl::history_gate(Flip& flip) {
  std::set<std::string> anew;
  std::vector<std::string> cut;
  const auto version = version_of(flip.to, ApiKey::OffsetForLeaderEpoch, {2, 3});
  std::map<NodeId, OffsetForLeaderEpochRequest> questions;
  for (const Flip::Place& place : flip.places) {
    const auto recorded = state_.topics.find(place.topic);
    for (const Cluster c : both_clusters) {
      if (recorded != state_.topics.end() && made_anew(place.topic, recorded->second, c))
        anew.insert(place.topic + " on the " + std::string(to_string(c)) + " cluster");
    }
    const Segment* closed = last_history(flip, place);
    if (!closed || !version || place.new_leader < 0) continue;
    OffsetForLeaderEpochRequest& question = questions[place.new_leader];
    if (question.topics.empty() || question.topics.back().topic != place.topic)
      question.topics.emplace_back().topic = place.topic;
    auto& row = question.topics.back().partitions.emplace_back();
    row.partition = place.partition;
    row.current_leader_epoch = -1;
    row.leader_epoch = closed->boundary_epoch - closed->epoch_base;
  }
  for (auto& [leader, question] : questions) {
    question.replica_id = consumer_replica;
    const auto answer = co_await ask_for<OffsetForLeaderEpochResponse>(flip.to, leader, *version, question, answer_ms);
    if (!answer) continue;  // nothing is said of it: the log's end is still looked at under the fence
    for (const auto& topic : answer->topics) {
      for (const auto& row : topic.partitions) {
        const Segment* closed = last_history(flip, {topic.topic, row.partition});
        if (closed && row.error_code == 0 && row.end_offset >= 0 && row.end_offset < closed->real_end())
          cut.push_back(place_name(topic.topic, row.partition));
      }
    }
  }
  const std::string there = "on the " + std::string(to_string(flip.to)) + " cluster";
  gate(flip, "history", anew.empty() && cut.empty(),
       !anew.empty() ? "deleted and made anew, which is being taken down: " + some_of({anew.begin(), anew.end()}) +
                           "; try again in a moment"
       : !cut.empty() ? "an unclean election " + there + " cut off records that clients have read: " + some_of(cut) +
                            "; to give up what is left of them there, delete the topic there and make it anew"
                      : "what was written " + there + " before is still there");
}

// A cluster that cannot describe its transactions cannot hand them over either: a route on which any transactional id
// is known stays on it.
Task<> Controller::Impl::transaction_gate(Flip& flip) {
  if (version_of(flip.from, ApiKey::DescribeTransactions, {0, 0})) {
    const auto listed = co_await listed_ids(flip.from);
    gate(flip, "transactions", listed.has_value(),
         listed ? std::to_string(listed->size()) + " transactional ids: open transactions are waited for, new ones held"
                : "not every broker answered what transactional ids it knows");
    co_return;
  }
  const std::string bound = ids_bound_to_home();
  gate(flip, "transactions", bound.empty(),
       bound.empty()
           ? "no transactional id was seen; the cluster is too old to list them, open transactions are looked "
             "for at the boundary"
           : bound);
}

// The flip initialises its ids on the new home, which ends what they left open there in an earlier stay.
Task<Controller::Impl::ProducerIds> Controller::Impl::taken_over_there(const Flip& flip) {
  ProducerIds producers;
  if (flip.recovers || !version_of(flip.to, ApiKey::DescribeTransactions, {0, 0})) co_return producers;
  const std::vector<std::string> ids = ids_of(flip);
  if (ids.empty()) co_return producers;
  const auto known = co_await find_and_describe_ids(flip.to, ids);
  if (!known) co_return producers;
  for (const auto& [id, is] : *known) {
    if (is.name.id >= 0 && !is.state.empty()) producers.insert(is.name.id);
  }
  co_return producers;
}

// Told before any client is held; under the fence it is looked at once more.
Task<> Controller::Impl::new_home_gate(Flip& flip) {
  const bool leaderless = std::any_of(flip.places.begin(), flip.places.end(),
                                      [](const Flip::Place& place) { return place.new_leader < 0; });
  if (leaderless) co_return;  // another gate says so
  const ProducerIds taken_over = co_await taken_over_there(flip);
  const std::string problem = co_await find_new_ends(flip, now_ + answer_ms, taken_over);
  gate(flip, "new_home_transactions", problem.empty(),
       problem.empty() ? "none is open on the " + std::string(to_string(flip.to)) + " cluster where the route begins"
                       : problem);
}

std::string Controller::Impl::ids_bound_to_home() const {
  std::vector<std::string> names;
  for (const auto& [id, seen_at] : transactional_ids_) {
    if (now_ - seen_at < transactional_id_expiration_ms) names.push_back(id);
  }
  if (names.empty()) return "";
  return "the cluster is too old (before 3.0) to describe transactions, so these ids cannot be carried over: " +
         some_of(names);
}

// --- compacted topics ---

// A tombstone that vanished from the open segment would let the deleted key rise again from a closed one, which no
// cleaner of the other cluster can reach. So compacted topics keep their tombstones, on both sides, from before the
// first flip on.
Task<> Controller::Impl::keep_tombstones(Flip& flip) {
  std::set<std::string> topics;
  for (const Flip::Place& place : flip.places) topics.insert(place.topic);
  std::size_t raised = 0;
  std::vector<std::string> problems;
  for (const Cluster c : both_clusters) {
    if (flip.recovers && c == flip.from) continue;  // with the next flip
    const std::optional<std::set<std::string>> forgetful = co_await forgetful_topics(c, topics);
    if (!forgetful) problems.push_back("read on the " + std::string(to_string(c)) + " cluster");
    if (!forgetful || forgetful->empty()) continue;
    const bool done = co_await raise_delete_retention(c, *forgetful);
    if (!done) problems.push_back("raised on the " + std::string(to_string(c)) + " cluster");
    raised += forgetful->size();
    io_.log(done ? "info" : "warn", "delete_retention_raised",
            {{"cluster", std::string(to_string(c))},
             {"topics", std::to_string(forgetful->size())},
             {"done", done ? "true" : "false"}});
  }
  const bool ok = problems.empty();
  gate(flip, "tombstones", ok,
       ok ? "compacted topics keep their tombstones (delete.retention.ms raised on " + std::to_string(raised) + " now)"
          : "delete.retention.ms of compacted topics could not be " + some_of(problems) +
                ": let the proxy describe and alter the topics' configs and try again, or set it to " +
                tombstones_for_ever + " by hand; else deleted keys could rise again from a closed segment");
}

// The compacted ones of these topics that drop tombstones after a time; nullopt: not every topic's configs were told.
Task<std::optional<std::set<std::string>>> Controller::Impl::forgetful_topics(Cluster cluster,
                                                                              const std::set<std::string>& topics) {
  std::set<std::string> found, told;
  const auto version = version_of(cluster, ApiKey::DescribeConfigs, {1, 4});
  if (topics.empty()) co_return found;
  if (!version) co_return std::nullopt;
  DescribeConfigsRequest question;
  for (const std::string& topic : topics) {
    auto& resource = question.resources.emplace_back();
    resource.resource_type = topic_resource;
    resource.resource_name = topic;
    resource.configuration_keys = std::vector<std::string>{"cleanup.policy", "delete.retention.ms"};
  }
  const auto answer = co_await ask_for<DescribeConfigsResponse>(cluster, any_node, *version, question, answer_ms);
  if (!answer) co_return std::nullopt;
  for (const auto& result : answer->results) {
    if (result.error_code == 0) told.insert(result.resource_name);
    bool compacted = false, kept = false;
    for (const auto& config : result.configs) {
      if (config.name == "cleanup.policy") compacted = config.value.value_or("").find("compact") != std::string::npos;
      if (config.name == "delete.retention.ms") kept = config.value == tombstones_for_ever;
    }
    if (compacted && !kept) found.insert(result.resource_name);
  }
  if (told != topics) co_return std::nullopt;
  co_return found;
}

Task<bool> Controller::Impl::raise_delete_retention(Cluster cluster, const std::set<std::string>& topics) {
  const auto version = version_of(cluster, ApiKey::IncrementalAlterConfigs, {0, 1});
  if (!version) co_return false;
  IncrementalAlterConfigsRequest change;
  for (const std::string& topic : topics) {
    auto& resource = change.resources.emplace_back();
    resource.resource_type = topic_resource;
    resource.resource_name = topic;
    auto& config = resource.configs.emplace_back();
    config.name = "delete.retention.ms";
    config.value = tombstones_for_ever;
  }
  const auto answer = co_await ask_for<IncrementalAlterConfigsResponse>(cluster, any_node, *version, change, answer_ms);
  co_return answer&& std::all_of(answer->responses.begin(), answer->responses.end(),
                                 [](const auto& r) { return r.error_code == 0; });
}

}  // namespace crossover::proxy
