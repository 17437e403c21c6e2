// A controller between two simulated clusters whose answers take a millisecond: what it writes and says is kept.
#pragma once

#include <functional>

#include "protocol/record_batch.h"
#include "proxy/control_state.h"
#include "proxy/controller.h"
#include "tests/sim/cluster_client.h"

namespace crossover::proxy {

inline const Gate& gate_named(const FlipReport& report, const std::string& name) {
  static const Gate none{"none", false, "not judged"};
  const auto found =
      std::find_if(report.gates.begin(), report.gates.end(), [&name](const Gate& g) { return g.name == name; });
  return found == report.gates.end() ? none : *found;
}

struct ControllerWorld : ControllerIo {
  ControllerWorld() : ControllerWorld("source-id", "target-id") {}
  ControllerWorld(const std::string& source_id, const std::string& target_id)
      : clients{sim::ClusterClient({.cluster_id = source_id}),
                sim::ClusterClient({.cluster_id = target_id, .seed = 2})} {
    for (sim::ClusterClient& client : clients) client.cluster.create_topic(leases_topic, 1);
  }

  sim::Cluster& cluster(Cluster c) { return clients[index_of(c)].cluster; }

  // A process: reads both control topics from their beginning.
  void start(const std::string& proxy_id) {
    controller.reset();
    effects.clear();
    options.proxy_id = proxy_id;
    controller = std::make_unique<Controller>(*this, options, 1);
    controller->start(now);
    for (const Cluster c : both_clusters) {
      if (control_unread) continue;
      Offset at = 0;
      for (const Bytes& record : control[index_of(c)]) controller->on_control_record(c, at++, record, now);
      controller->on_control_caught_up(c, now);
    }
    settle();
  }

  // Time passes; every timer that becomes due fires.
  void run(Millis for_ms) {
    for (const Millis until = now + for_ms; now < until;) {
      now = timer > now && timer < until ? timer : until;
      controller->on_timer(now);
      settle();
    }
  }

  // A heartbeat of another proxy.
  void beat(const std::string& proxy_id) {
    const Bytes batch = protocol::build_batch({{.key = proxy_id, .value = ""}});
    protocol::ProduceRequest heartbeat;
    heartbeat.acks = 1;
    heartbeat.topic_data.push_back({.name = leases_topic});
    heartbeat.topic_data[0].partition_data.push_back({.index = 0, .records = BytesView(batch)});
    constexpr Version version = 9;
    for (const Cluster c : both_clusters) {
      const NodeId leader = cluster(c).partition(leases_topic, 0)->leader;
      ask(c, leader, ApiKey::Produce, version, protocol::encode(heartbeat, version));
    }
  }

  // What stands in a control topic, whoever wrote it.
  void write(Cluster c, Bytes record) {
    control[index_of(c)].push_back(std::move(record));
    controller->on_control_record(c, static_cast<Offset>(control[index_of(c)].size()) - 1, control[index_of(c)].back(),
                                  now);
    settle();
  }

  // The log as any reader folds it.
  ControlLog fold(Cluster c) const {
    ControlLog log;
    Offset at = 0;
    for (const Bytes& record : control[index_of(c)]) log.fold(at++, record);
    return log;
  }

  bool logged(const std::string& event) const { return log_lines.contains(event); }

  // A field of the last such line; empty when there is none.
  std::string said(const std::string& event, const std::string& key) const {
    std::string value;
    const auto [first, last] = log_lines.equal_range(event);
    for (auto line = first; line != last; ++line) {
      for (const auto& [name, text] : line->second) {
        if (name == key) value = text;
      }
    }
    return value;
  }

  // Its report, once there is one.
  std::shared_ptr<std::optional<FlipReport>> begin_flip(Cluster to, FlipWishes wishes,
                                                        const std::string& route = default_route) {
    const auto report = std::make_shared<std::optional<FlipReport>>();
    controller->flip(
        route, to, wishes, [report](FlipReport done) { *report = std::move(done); }, now);
    settle();
    return report;
  }
  void lose(UnknownOutcome write) {
    unknown_outcomes = {std::move(write)};
    report();
  }
  // What the worker says by itself.
  void report() { report(controller->snapshot()->revision); }
  std::shared_ptr<std::optional<FlipReport>> begin_flip(Cluster to, bool dry_run = false) {
    return begin_flip(to, FlipWishes{.dry_run = dry_run});
  }
  std::optional<FlipReport> flip(Cluster to, bool dry_run = false) { return flip(to, FlipWishes{.dry_run = dry_run}); }
  std::optional<FlipReport> flip(Cluster to, FlipWishes wishes, const std::string& route = default_route) {
    const auto report = begin_flip(to, wishes, route);
    run(5'000);
    return *report;
  }

  // --- ControllerIo: effects wait until the controller has returned ---
  void publish(std::shared_ptr<const Snapshot> snapshot) override {
    effects.push_back([this, revision = snapshot->revision] {
      if (!worker_hangs) report(revision);
    });
  }
  void request(CallId id, Cluster c, NodeId node, ApiKey api, Version version, Bytes body, Millis) override {
    effects.push_back([this, id, c, node, api, version, body = std::move(body)] {
      ++now;  // an answer takes its time, or what is asked again and again would be asked for ever
      controller->on_reply(id, ask(c, node, api, version, body), now);
    });
  }
  void append_control(CallId id, Cluster c, Bytes record) override {
    if (drop_appends) return;
    effects.push_back([this, id, c, record = std::move(record)]() mutable {
      write(c, std::move(record));
      controller->on_append_result(id, true, now);
    });
  }
  void trim_control(Cluster, Offset) override {}
  void arm_timer(Millis at) override { timer = at; }
  void log(std::string_view, std::string_view event, std::vector<std::pair<std::string, std::string>> fields) override {
    log_lines.emplace(event, std::move(fields));
  }
  void passed(std::string_view step) override {
    if (on_step) on_step(step);
  }

  static constexpr const char* leases_topic = "__crossover_leases";
  std::array<sim::ClusterClient, 2> clients;
  std::array<std::vector<Bytes>, 2> control;
  // An answer in place of the broker's.
  std::function<std::optional<Bytes>(Cluster, NodeId, ApiKey, Version, BytesView)> instead;
  std::multimap<std::string, std::vector<std::pair<std::string, std::string>>, std::less<>> log_lines;
  ControllerOptions options;
  std::unique_ptr<Controller> controller;
  Millis now = 1'000'000, timer = -1;
  bool control_unread = false;                   // as if they could not be read at start
  bool drop_appends = false;                     // as if the control topics' leaders were silent
  std::vector<UnknownOutcome> unknown_outcomes;  // as the worker reports them
  std::vector<KnownEnds::Row> known_ends;        // the same
  std::map<std::string, std::int64_t> commits_in_flight;
  std::set<std::string> ids_in_flight;
  bool worker_hangs = false;  // and so does not take what is published
  std::function<void(std::string_view)> on_step;

 private:
  void report(std::uint64_t revision) {
    WorkerReport report;
    report.worker = 0;
    report.revision = revision;
    report.unknown_outcomes = unknown_outcomes;
    report.known_ends = known_ends;
    report.commits_in_flight = commits_in_flight;
    report.ids_in_flight = ids_in_flight;
    controller->on_worker_report(report, now);
  }

  std::optional<Bytes> ask(Cluster c, NodeId node, ApiKey api, Version version, BytesView body) {
    if (node == any_node) node = cluster(c).brokers().front();
    if (instead) {
      if (auto answer = instead(c, node, api, version, body)) return answer;
    }
    return clients[index_of(c)].ask_raw(node, api, version, body);
  }

  void settle() {
    if (settling) return;
    settling = true;
    while (!effects.empty()) {
      const auto effect = std::move(effects.front());
      effects.pop_front();
      effect();
    }
    settling = false;
  }

  std::deque<std::function<void()>> effects;
  bool settling = false;
};

}  // namespace crossover::proxy
