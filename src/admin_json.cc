#include "src/admin_json.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <cmath>

#include "protocol/utf8.h"

namespace crossover::src {
namespace {

namespace json = boost::json;
using proxy::Cluster;

constexpr std::size_t max_strangers = 1'000;
constexpr std::size_t max_connections = 10'000;
constexpr std::size_t max_couplings = 100;

json::string_view text(std::string_view t) {
  return {t.data(), t.size()};
}

void append_number(std::string& out, double number) {
  if (!std::isfinite(number)) {
    out += "null";
    return;
  }
  char buffer[40];
  // Three decimals are microseconds where the unit is a millisecond.
  const double rounded = std::round(number * 1000) / 1000;
  const auto format = std::abs(rounded) < 1e15 ? std::chars_format::fixed : std::chars_format::scientific;
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, rounded, format).ptr;
  out.append(buffer, end);
}

void append(std::string& out, const json::value& value) {
  switch (value.kind()) {
    case json::kind::double_:
      return append_number(out, value.get_double());
    case json::kind::array: {
      out += '[';
      const char* separator = "";
      for (const json::value& item : value.get_array()) {
        out += std::exchange(separator, ",");
        append(out, item);
      }
      out += ']';
      return;
    }
    case json::kind::object: {
      out += '{';
      const char* separator = "";
      for (const auto& [key, item] : value.get_object()) {
        out += std::exchange(separator, ",");
        out += json::serialize(key);
        out += ':';
        append(out, item);
      }
      out += '}';
      return;
    }
    default:
      out += json::serialize(value);
  }
}

json::object cluster_json(const StatusView& view, Cluster cluster) {
  json::object out{{"reachable", view.reachable[index_of(cluster)]}};
  if (!view.snapshot || !view.snapshot->images[index_of(cluster)]) return out;
  const proxy::ClusterImage& image = *view.snapshot->images[index_of(cluster)];
  out["known"] = image.known;
  out["cluster_id"] = image.cluster_id;
  out["brokers"] = image.brokers.size();
  out["topics"] = image.topics.size();
  return out;
}

json::array brokers_json(const proxy::Snapshot& snapshot) {
  json::array out;
  for (const auto& [id, broker] : snapshot.brokers) {
    out.push_back(json::object{{"id", id},
                               {"port", broker.port},
                               {"cluster", text(to_string(broker.cluster))},
                               {"real_id", broker.real_id},
                               {"present", broker.present}});
  }
  return out;
}

json::array strangers_json(const std::vector<proxy::Controller::Stranger>& strangers) {
  json::array out;
  for (const auto& stranger : strangers) {
    if (out.size() == max_strangers) break;
    out.push_back(json::object{{"topic", stranger.topic},
                               {"partition", stranger.partition},
                               {"cluster", text(to_string(stranger.cluster))},
                               {"first_offset", stranger.first},
                               {"count", stranger.count}});
  }
  return out;
}

json::object counters_json(const proxy::WorkerState::Counters& c) {
  return {{"requests", c.requests},
          {"bytes_in", c.bytes_in},
          {"bytes_out", c.bytes_out},
          {"produce_records", c.produce_records},
          {"fetch_bytes", c.fetch_bytes},
          {"held_requests", c.held_requests},
          {"split_requests", c.split_requests},
          {"refused_requests", c.refused_requests},
          {"malformed_requests", c.malformed_requests},
          {"duplicates_answered", c.duplicates_answered},
          {"skipped_segments", c.skipped_segments}};
}

json::array names_json(const std::vector<std::string>& names) {
  json::array out;
  for (const std::string& name : names) out.emplace_back(name);
  return out;
}

json::array couplings_json(const std::vector<proxy::RouteCoupling>& couplings) {
  json::array out;
  for (const auto& coupling : couplings) {
    if (out.size() == max_couplings) break;
    out.push_back(json::object{{"transactional_id", coupling.transactional_id},
                               {"topics", names_json(coupling.topics)},
                               {"groups", names_json(coupling.groups)},
                               {"known_ms", coupling.known_ms},
                               {"idle_ms", coupling.idle_ms},
                               {"torn", coupling.torn}});
  }
  return out;
}

json::array transactions_json(const std::vector<proxy::OpenTransaction>& transactions) {
  json::array out;
  for (const auto& transaction : transactions) {
    if (out.size() == max_couplings) break;
    out.push_back(transaction_json(transaction));
  }
  return out;
}

struct RouteSize {
  std::size_t topics = 0, partitions = 0;
};

// Topics and partitions by index of their route.
std::vector<RouteSize> route_sizes(const StatusView& view) {
  if (!view.snapshot) return {};
  std::vector<RouteSize> sizes(view.snapshot->routes.size());
  for (const auto& [name, topic] : view.snapshot->topics) {
    if (topic->route >= sizes.size()) continue;
    ++sizes[topic->route].topics;
    sizes[topic->route].partitions += topic->partitions.size();
  }
  return sizes;
}

std::optional<std::size_t> route_index(const StatusView& view, const std::string& name) {
  if (!view.snapshot) return std::nullopt;
  const auto& routes = view.snapshot->routes;
  const auto found = std::ranges::find(routes, name, &proxy::RouteView::name);
  if (found == routes.end()) return std::nullopt;
  return static_cast<std::size_t>(found - routes.begin());
}

json::object summary_json(const StatusView& view, const proxy::RouteStatus& route,
                          const std::vector<RouteSize>& sizes) {
  const std::optional<std::size_t> index = route_index(view, route.view.name);
  const RouteSize size = index && *index < sizes.size() ? sizes[*index] : RouteSize{};
  json::object out{{"route", route.view.name},
                   {"home", text(to_string(route.view.home))},
                   {"generation", route.view.generation},
                   {"phase", text(to_string(route.view.phase))},
                   {"recovered", route.recovered},
                   {"topic_count", size.topics},
                   {"partition_count", size.partitions}};
  // null: all that no other route names.
  if (route.view.name == "default") {
    out["defined_topics"] = nullptr;
  } else {
    json::array topics;
    for (const std::string& topic : route.topics) topics.emplace_back(topic);
    out["defined_topics"] = std::move(topics);
  }
  out["couplings"] = couplings_json(route.couplings);
  out["coupling_count"] = route.coupling_count;
  out["flip"] = json::object{{"running", route.flip_running}, {"step", route.flip_step}};
  if (route.history.empty()) {
    out["last_flip"] = nullptr;
  } else {
    out["last_flip"] = flip_json(route.history.back(), false);
  }
  return out;
}

json::object segment_json(const proxy::Segment& segment) {
  json::object out{{"cluster", text(to_string(segment.cluster))},
                   {"virtual_base", segment.virtual_base},
                   {"real_base", segment.real_base},
                   {"length", nullptr},
                   {"generation", segment.generation}};
  if (!segment.open()) out["length"] = segment.length;
  if (segment.assumed) out["assumed_end"] = true;
  return out;
}

json::object partition_json(const proxy::PartitionView& partition, std::size_t index) {
  json::array segments;
  for (const proxy::Segment& segment : partition.log.segments()) segments.push_back(segment_json(segment));
  json::object leaders;
  for (const Cluster cluster : proxy::both_clusters) {
    leaders[text(to_string(cluster))] = partition.real[index_of(cluster)].leader;
  }
  return {{"partition", index}, {"leaders", std::move(leaders)}, {"segments", std::move(segments)}};
}

// The topics of a route that a filter admits, by name.
std::vector<const proxy::TopicView*> topics_of(const StatusView& view, const std::string& route,
                                               const PartitionFilter& filter) {
  std::vector<const proxy::TopicView*> topics;
  const std::optional<std::size_t> index = route_index(view, route);
  if (!index) return topics;
  for (const auto& [name, topic] : view.snapshot->topics) {
    if (topic->route != *index || name <= filter.after) continue;
    if (filter.topic.empty() || filter.topic == name) topics.push_back(topic.get());
  }
  std::ranges::sort(topics, {}, &proxy::TopicView::name);
  return topics;
}

}  // namespace

std::string to_text(const json::value& value) {
  std::string out;
  append(out, value);
  return protocol::valid_utf8(out);
}

HoldSummary summarise(std::vector<proxy::Millis> hold_ms) {
  if (hold_ms.empty()) return {};
  std::ranges::sort(hold_ms);
  // Nearest rank: the smallest value that at least that share does not exceed.
  const auto rank = [&](std::size_t percent) { return hold_ms[(hold_ms.size() * percent + 99) / 100 - 1]; };
  return {hold_ms.size(), rank(50), rank(99), hold_ms.back()};
}

namespace {

json::array gates_json(const std::vector<proxy::Gate>& gates) {
  json::array out;
  for (const auto& gate : gates)
    out.push_back(json::object{{"name", gate.name}, {"ok", gate.ok}, {"detail", gate.detail}});
  return out;
}

json::array steps_json(const std::vector<proxy::FlipStep>& steps) {
  json::array out;
  for (const auto& step : steps) out.push_back(json::object{{"name", step.name}, {"ms", step.ms}});
  return out;
}

json::object hold_json(const std::vector<proxy::Millis>& hold_ms) {
  const HoldSummary hold = summarise(hold_ms);
  return {{"count", hold.count}, {"p50", hold.p50}, {"p99", hold.p99}, {"max", hold.max}};
}

}  // namespace

json::object recovery_json(const proxy::RecoveryReport& report) {
  constexpr std::size_t most = 10'000;
  json::array partitions, in_doubt, ids, groups, consequences;
  for (const auto& p : report.partitions) {
    if (partitions.size() == most) break;
    partitions.push_back(json::object{{"topic", p.topic},
                                      {"partition", p.partition},
                                      {"virtual_end", p.virtual_end},
                                      {"end_offset", p.real_end},
                                      {"records_in_doubt", p.records_in_doubt}});
  }
  for (const auto& doubt : report.in_doubt) {
    if (in_doubt.size() == most) break;
    json::object row{{"topic", nullptr},
                     {"partition", nullptr},
                     {"client_id", doubt.client_id},
                     {"producer_id", nullptr},
                     {"records", doubt.records}};
    if (!doubt.topic.empty()) {
      row["topic"] = doubt.topic;
      row["partition"] = doubt.partition;
    }
    if (doubt.producer_id >= 0) row["producer_id"] = doubt.producer_id;
    in_doubt.push_back(std::move(row));
  }
  for (const std::string& id : report.transactional_ids) ids.emplace_back(id);
  for (const std::string& group : report.groups) groups.emplace_back(group);
  for (const std::string& said : report.consequences) consequences.emplace_back(said);
  return {{"route", report.route},
          {"result", report.result},
          {"from", text(to_string(report.from))},
          {"to", text(to_string(report.to))},
          {"generation", report.generation},
          {"confirm", report.confirm},
          {"error", report.error},
          {"gates", gates_json(report.gates)},
          {"consequences", std::move(consequences)},
          {"partition_count", report.partitions.size()},
          {"partitions", std::move(partitions)},
          {"in_doubt_count", report.in_doubt.size()},
          {"in_doubt", std::move(in_doubt)},
          {"transactional_ids", std::move(ids)},
          {"groups", std::move(groups)},
          {"steps", steps_json(report.steps)},
          {"hold_ms", hold_json(report.hold_ms)}};
}

json::object flip_json(const proxy::FlipReport& report, bool with_partitions) {
  const bool recovery = report.direction == "recover";
  const bool cutover = recovery ? report.recovered_to == Cluster::target : report.direction != "rollback";
  const std::string_view from = to_string(cutover ? Cluster::source : Cluster::target);
  const std::string_view to = to_string(cutover ? Cluster::target : Cluster::source);
  json::array partitions;
  json::object out{{"route", report.route},
                   {"result", report.result},
                   {"direction", report.direction},
                   {"generation", report.generation},
                   {"gates", gates_json(report.gates)},
                   {"steps", steps_json(report.steps)},
                   {"hold_ms", hold_json(report.hold_ms)},
                   {"partition_count", report.partitions.size()},
                   {"added_topics", names_json(report.added_topics)},
                   {"open_transactions", transactions_json(report.open_transactions)},
                   {"aborted", transactions_json(report.aborted)},
                   {"error", report.error}};
  if (!with_partitions) return out;
  for (const auto& p : report.partitions) {
    partitions.push_back(json::object{{"topic", p.topic},
                                      {"partition", p.partition},
                                      {"virtual_boundary", p.virtual_boundary},
                                      {"from", json::object{{"cluster", text(from)}, {"end_offset", p.closed_end}}},
                                      {"to", json::object{{"cluster", text(to)}, {"start_offset", p.opened_start}}}});
  }
  out["partitions"] = std::move(partitions);
  return out;
}

json::object transaction_json(const proxy::OpenTransaction& transaction) {
  return {{"transactional_id", transaction.transactional_id},
          {"producer_id", transaction.producer_id},
          {"producer_epoch", transaction.producer_epoch},
          {"client_id", transaction.client_id},
          {"peer", transaction.peer},
          {"state", transaction.state},
          {"started_at_ms", transaction.started_at},
          {"timeout_ms", transaction.timeout_ms},
          {"topics", names_json(transaction.topics)}};
}

json::object clusters_json(const StatusView& view) {
  return {{"source", cluster_json(view, Cluster::source)}, {"target", cluster_json(view, Cluster::target)}};
}

json::object status_json(const StatusView& view) {
  json::object out{{"version", view.version},
                   {"uptime_s", view.uptime_s},
                   {"ready", view.ready},
                   {"draining", view.draining},
                   {"clusters", clusters_json(view)},
                   {"routes", routes_json(view).at("routes")},
                   {"problems", json::array()},
                   {"strangers", strangers_json(view.strangers)},
                   {"stranger_partitions", view.strangers.size()},
                   {"connections", view.connections},
                   {"counters", counters_json(view.counters)}};
  if (!view.snapshot) return out;
  if (!view.snapshot->brokers_without_port.empty())
    out["problems"].as_array().emplace_back(view.snapshot->brokers_without_port);
  out["revision"] = view.snapshot->revision;
  out["virtual_cluster_id"] = view.snapshot->virtual_cluster_id;
  out["advertised_host"] = view.snapshot->advertised_host;
  out["groups_home"] = text(to_string(view.snapshot->groups_home));
  out["virtual_brokers"] = brokers_json(*view.snapshot);
  return out;
}

json::object connections_json(const std::vector<proxy::SessionInfo>& sessions, proxy::Millis now) {
  json::array connections;
  for (const auto& session : sessions) {
    if (connections.size() == max_connections) break;
    json::object item{
        {"peer", session.peer},
        {"client_id", session.client_id},
        {"software_name", session.software_name},
        {"software_version", session.software_version},
        {"virtual_broker", nullptr},
        {"requests", session.requests},
        {"in_flight", session.in_flight},
        {"connected_ms", std::max<proxy::Millis>(now - session.connected_at, 0)},
        {"idle_ms", std::max<proxy::Millis>(now - std::max(session.last_request_at, session.connected_at), 0)}};
    if (session.virtual_broker) item["virtual_broker"] = *session.virtual_broker;
    connections.push_back(std::move(item));
  }
  return {{"count", sessions.size()},
          {"truncated", sessions.size() > max_connections},
          {"connections", std::move(connections)}};
}

json::object routes_json(const StatusView& view) {
  const std::vector<RouteSize> sizes = route_sizes(view);
  json::array routes;
  for (const auto& route : view.routes) routes.push_back(summary_json(view, route, sizes));
  return {{"routes", std::move(routes)}};
}

json::object route_json(const StatusView& view, const proxy::RouteStatus& route, const PartitionFilter& filter) {
  json::object out = summary_json(view, route, route_sizes(view));
  json::array history, topics;
  for (const auto& report : route.history) history.push_back(flip_json(report, &report == &route.history.back()));
  std::size_t listed = 0;
  bool truncated = false;
  for (const proxy::TopicView* topic : topics_of(view, route.view.name, filter)) {
    // Whole topics only, so that `after` can go on from the last one; the first is listed whatever its size.
    if (listed > 0 && listed + topic->partitions.size() > filter.limit) {
      truncated = true;
      break;
    }
    json::array partitions;
    for (std::size_t i = 0; i < topic->partitions.size(); ++i)
      partitions.push_back(partition_json(topic->partitions[i], i));
    listed += topic->partitions.size();
    topics.push_back(
        json::object{{"topic", topic->name}, {"internal", topic->internal}, {"partitions", std::move(partitions)}});
  }
  out["history"] = std::move(history);
  out["topics"] = std::move(topics);
  out["truncated"] = truncated;
  return out;
}

}  // namespace crossover::src
