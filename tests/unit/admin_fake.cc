#include "tests/unit/admin_fake.h"

#include <algorithm>

namespace crossover::tests {
namespace {

using proxy::Cluster;
using proxy::Offset;
using proxy::Segment;

// Segments that alternate between the clusters, beginning at the source; the last one is open.
proxy::VirtualLog log_of(const std::vector<std::int64_t>& lengths, Offset target_base) {
  std::vector<Segment> segments;
  std::array<Offset, 2> real{0, target_base};
  Offset virtual_base = 0;
  for (std::size_t i = 0; i <= lengths.size(); ++i) {
    const Cluster cluster = i % 2 == 0 ? Cluster::source : Cluster::target;
    Segment segment{.virtual_base = virtual_base, .cluster = cluster, .real_base = real[index_of(cluster)]};
    segment.generation = static_cast<std::int32_t>(i);
    if (i < lengths.size()) {
      segment.length = lengths[i];
      virtual_base += lengths[i];
      real[index_of(cluster)] += lengths[i];
    }
    segments.push_back(segment);
  }
  return proxy::VirtualLog(std::move(segments));
}

std::shared_ptr<const proxy::TopicView> topic(std::string name, std::size_t route, std::size_t partitions,
                                              const std::vector<std::int64_t>& lengths) {
  auto out = std::make_shared<proxy::TopicView>();
  out->name = std::move(name);
  out->route = route;
  for (std::size_t i = 0; i < partitions; ++i) {
    std::vector<std::int64_t> its_lengths = lengths;
    for (auto& length : its_lengths) length += static_cast<std::int64_t>((i * 7919) % 400);
    proxy::PartitionView partition{.log = log_of(its_lengths, i % 2 == 0 ? 0 : 40)};
    partition.real[0].leader = static_cast<proxy::NodeId>(1 + i % 3);
    partition.real[1].leader = static_cast<proxy::NodeId>(101 + i % 3);
    out->partitions.push_back(std::move(partition));
  }
  return out;
}

std::shared_ptr<const proxy::ClusterImage> image(std::string id, proxy::NodeId first) {
  auto out = std::make_shared<proxy::ClusterImage>();
  out->known = out->reachable = true;
  out->cluster_id = std::move(id);
  for (proxy::NodeId node = first; node < first + 3; ++node)
    out->brokers[node] = {"broker.example", 9092, std::nullopt};
  out->topics = {{"orders", {}}, {"payments", {}}, {"clicks", {}}};
  return out;
}

proxy::FlipReport past_flip(const std::string& route, const std::string& direction, std::int32_t generation) {
  proxy::FlipReport report{.route = route, .direction = direction, .result = "done", .generation = generation};
  report.gates = {{"both clusters serve", true, "3 and 3 brokers"}, {"replicas in sync", true, "12 partitions"}};
  report.steps = {{"prepare", 3.2},  {"fence", 0.4},  {"drain", 6.1},
                  {"boundary", 9.8}, {"record", 7.5}, {"release", 4.4}};
  for (int i = 0; i < 120; ++i) report.hold_ms.push_back(12 + i % 31);
  report.partitions = {{"orders", 0, 41'200, 41'200, 0}, {"orders", 1, 41'512, 41'512, 40}};
  return report;
}

}  // namespace

FakeAdmin::FakeAdmin() {
  auto snapshot = std::make_shared<proxy::Snapshot>();
  snapshot->revision = 42;
  snapshot->virtual_cluster_id = "kDq8Zp1gR0uP3fWmXo5b7A";
  snapshot->advertised_host = "127.0.0.1";
  snapshot->images = {image("source-cluster-id", 1), image("target-cluster-id", 101)};
  snapshot->versions = {std::make_shared<proxy::ClusterVersions>(), std::make_shared<proxy::ClusterVersions>()};
  for (proxy::NodeId id = 0; id < 6; ++id) {
    const Cluster cluster = id < 3 ? Cluster::source : Cluster::target;
    snapshot->brokers[id] = {.id = id, .cluster = cluster, .real_id = id < 3 ? id + 1 : id + 98, .port = 9093 + id};
  }
  snapshot->routes = {{.name = "default"}, {.name = "orders", .home = Cluster::source, .generation = 2}};
  snapshot->topics = {{"orders", topic("orders", 1, 6, {41'200, 18'300})},
                      {"payments", topic("payments", 1, 3, {9'000, 2'500})},
                      {"clicks", topic("clicks", 0, 12, {})}};
  view_.ready = true;
  view_.reachable = {true, true};
  view_.snapshot = snapshot;
  view_.routes = {{.view = snapshot->routes[0]},
                  {.view = snapshot->routes[1],
                   .topics = {"orders", "payments"},
                   .couplings = {{"billing-1", {"orders", "clicks"}, {"billing"}, 90'000, 4'000, true},
                                 {"shop-7", {"orders", "payments"}, {}, 3'600'000, 20, false}},
                   .coupling_count = 2,
                   .history = {past_flip("orders", "cutover", 1), past_flip("orders", "rollback", 2)}}};
  view_.version = "0.1.0";
  view_.uptime_s = 73.25;
  sessions = {{"127.0.0.1:53422", "orders-producer", "apache-kafka-java", "4.1.0", 1, 18'234, 2, 1'000, 70'900},
              {"127.0.0.1:53426", "billing", "librdkafka", "2.12.0", 4, 9'120, 1, 5'000, 70'200},
              {"127.0.0.1:53430", "odd\xff<b>name", "franz-go", "1.20.0", std::nullopt, 4, 0, 9'000, 10'000}};
  view_.connections = sessions.size();
}

void FakeAdmin::status(std::function<void(src::StatusView)> done) {
  std::unique_lock lock(mutex_);
  const src::StatusView view = view_;
  lock.unlock();
  done(view);
}

void FakeAdmin::connections(std::function<void(std::vector<proxy::SessionInfo>)> done) {
  done(sessions);
}

proxy::FlipReport FakeAdmin::plan(const std::string& route, Cluster to, bool dry_run) {
  const std::lock_guard lock(mutex_);
  calls.push_back("flip " + route + " " + std::string(to_string(to)) + (dry_run ? " dry_run" : ""));
  const auto found = std::ranges::find_if(view_.routes, [&](const auto& r) { return r.view.name == route; });
  proxy::FlipReport report{.route = route, .direction = to == Cluster::target ? "cutover" : "rollback"};
  report.generation = found->view.generation;
  if (found->view.home == to) {
    report.result = "unchanged";
    return report;
  }
  report.gates = {{"both clusters serve", true, "3 and 3 brokers"},
                  {"topics exist on both sides", true, "2 topics, 9 partitions"},
                  {"replicas in sync", !gate_fails, gate_fails ? "orders-3 has 1 of 3 in sync on the target" : "all"},
                  {"no open transactions", true, "none seen"}};
  report.result = dry_run ? "dry_run" : "";
  if (gate_fails && !dry_run) {
    report.result = "failed";
    report.error = "gate: replicas in sync";
  }
  return report;
}

void FakeAdmin::show_step(const std::string& route, proxy::RoutePhase phase, const std::string& step) {
  const std::lock_guard lock(mutex_);
  for (auto& shown : view_.routes) {
    if (shown.view.name != route) continue;
    shown.view.phase = phase;
    shown.flip_running = !step.empty();
    shown.flip_step = step;
  }
}

void FakeAdmin::finish(const std::string& route, Cluster to, proxy::FlipReport& report) {
  const std::lock_guard lock(mutex_);
  auto snapshot = std::make_shared<proxy::Snapshot>(*view_.snapshot);
  const auto index = static_cast<std::size_t>(std::ranges::find(snapshot->routes, route, &proxy::RouteView::name) -
                                              snapshot->routes.begin());
  snapshot->routes[index].home = to;
  ++snapshot->routes[index].generation;
  for (auto& [name, shared] : snapshot->topics) {
    if (shared->route != index) continue;
    auto changed = std::make_shared<proxy::TopicView>(*shared);
    for (std::size_t i = 0; i < changed->partitions.size(); ++i) {
      auto segments = changed->partitions[i].log.segments();
      Segment& last = segments.back();
      last.length = 5'000 + static_cast<std::int64_t>(i * 137);
      const Offset opened = 1'000 + static_cast<Offset>(i);
      report.partitions.push_back(
          {name, static_cast<proxy::PartitionIndex>(i), last.virtual_end(), last.real_end(), opened});
      Segment next{.virtual_base = last.virtual_end(), .cluster = to, .real_base = opened};
      next.generation = last.generation + 1;
      segments.push_back(next);
      changed->partitions[i].log = proxy::VirtualLog(std::move(segments));
    }
    shared = changed;
  }
  ++snapshot->revision;
  report.result = "done";
  report.generation = snapshot->routes[index].generation;
  view_.routes[index].view = snapshot->routes[index];
  view_.routes[index].flip_running = false;
  view_.routes[index].flip_step.clear();
  view_.routes[index].history.push_back(report);
  view_.snapshot = snapshot;
}

void FakeAdmin::flip(std::string route, Cluster to, proxy::FlipWishes wishes, proxy::Controller::FlipDone done) {
  proxy::FlipReport report = plan(route, to, wishes.dry_run);
  if (wishes.widen) calls.back() += " widen";
  if (wishes.abort_open) calls.back() += " abort_open";
  if (report.result.empty()) {
    report.steps = {{"prepare", 2}, {"fence", 0.5}, {"drain", 4.25}, {"boundary", 8}, {"record", 6}, {"release", 3}};
    report.hold_ms = {30, 10, 20, 40};
    finish(route, to, report);
  }
  done(report);
}

void FakeAdmin::abort_transaction(std::string transactional_id, proxy::Controller::AbortDone done) {
  calls.push_back("abort " + transactional_id);
  proxy::AbortReport report;
  report.transaction = {.transactional_id = transactional_id,
                        .producer_id = 4'000,
                        .producer_epoch = 3,
                        .client_id = "orders-app",
                        .peer = "127.0.0.1:53430",
                        .state = "Ongoing",
                        .started_at = 1'790'000'000'000,
                        .timeout_ms = 60'000,
                        .topics = {"orders"}};
  report.error = change_error;
  report.hint = change_error.empty() ? "" : "a hint";
  done(report);
}

void FakeAdmin::recover(std::string route, std::string confirm, proxy::Controller::RecoveryDone done) {
  calls.push_back("recover " + route + (confirm.empty() ? "" : " '" + confirm + "'"));
  proxy::RecoveryReport report{.route = route, .from = Cluster::source, .to = Cluster::target, .generation = 2};
  if (home_answers) {
    report.result = "refused";
    report.error = "the source cluster answers";
    return done(report);
  }
  report.gates = {{"target_reachable", true, "answers"}};
  report.confirm = "recover " + route + " to target at generation 2";
  report.partitions = {{"orders", 0, 41'230, 30, 5}};
  report.in_doubt = {{"orders", 0, "orders-\xff", 1'000, 0, 17, 5}, {.producer_id = -1, .records = 1}};
  report.transactional_ids = {"payments-1"};
  report.groups = {"readers"};
  report.consequences = {"6 records of 2 writers are in doubt"};
  report.result = confirm == report.confirm ? "done" : "unconfirmed";
  if (report.result == "done") report.steps = {{"fence", 1}, {"record", 4}};
  done(report);
}

void FakeAdmin::define_route(proxy::RouteDefinition definition, proxy::Controller::Done done) {
  std::string call = "define " + definition.name;
  for (const std::string& topic : definition.topics) call += " " + topic;
  calls.push_back(call);
  done(change_error);
}

void FakeAdmin::delete_route(std::string route, proxy::Controller::Done done) {
  calls.push_back("delete " + route);
  done(change_error);
}

bool FakeAdmin::set_log_level(std::string_view level) {
  calls.push_back("log " + std::string(level));
  return level == "debug" || level == "info";
}

}  // namespace crossover::tests
