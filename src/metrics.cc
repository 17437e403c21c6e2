#include "src/metrics.h"

#include <dirent.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>

namespace crossover::src {
namespace {

using prometheus::Labels;
using proxy::Cluster;

// Each row: what the code calls it, its name, its help. Counters end in _total; seconds and bytes are base units.
enum class Count {
  requests,
  requests_refused,
  requests_malformed,
  requests_held,
  requests_split,
  duplicates,
  skipped,
  bytes_in,
  bytes_out,
  produced,
  fetched,
  accepted,
  closed,
  closed_memory,
  closed_idle,
  upstream_opened,
  upstream_failed,
  upstream_lost,
  flips,
  appends,
  cpu,
};
enum class Level {
  connections,
  held,
  buffered,
  route_home,
  route_phase,
  route_generation,
  reachable,
  unknown,
  strangers,
  ready,
  uptime,
  build,
  resident,
  virtual_bytes,
  open_files,
  open_files_max,
};

struct CountRow {
  Count id;
  const char* name;
  const char* help;
};
constexpr CountRow count_rows[] = {
    {Count::requests, "crossover_requests_total", "Requests read from clients"},
    {Count::requests_refused, "crossover_requests_refused_total", "Requests answered with a refusal by policy"},
    {Count::requests_malformed, "crossover_requests_malformed_total", "Requests that could not be understood"},
    {Count::requests_held, "crossover_requests_held_total", "Produce requests held by a fence"},
    {Count::requests_split, "crossover_requests_split_total", "Requests that went to more than one broker"},
    {Count::duplicates, "crossover_duplicates_answered_total", "Retried batches answered from a flip's producer state"},
    {Count::skipped, "crossover_segments_skipped_total", "Segments skipped because nothing was left in them"},
    {Count::bytes_in, "crossover_client_received_bytes_total", "Bytes received from clients"},
    {Count::bytes_out, "crossover_client_sent_bytes_total", "Bytes sent to clients"},
    {Count::produced, "crossover_produced_records_total", "Records in forwarded produce requests"},
    {Count::fetched, "crossover_fetched_bytes_total", "Record bytes in fetch answers"},
    {Count::accepted, "crossover_connections_accepted_total", "Client connections accepted"},
    {Count::closed, "crossover_connections_closed_total", "Client connections ended"},
    {Count::closed_memory, "crossover_connections_closed_memory_total", "Client connections closed for their memory"},
    {Count::closed_idle, "crossover_connections_closed_idle_total", "Client connections closed because nothing came"},
    {Count::upstream_opened, "crossover_upstream_connects_total", "Connections opened to brokers for clients"},
    {Count::upstream_failed, "crossover_upstream_connect_failures_total", "Connections to brokers that failed to open"},
    {Count::upstream_lost, "crossover_upstream_lost_total", "Open connections that a broker ended"},
    {Count::flips, "crossover_flips_total", "Cutovers, rollbacks and recoveries by result; dry runs are none"},
    {Count::appends, "crossover_control_appends_total", "Records appended to the control topics by result"},
    {Count::cpu, "process_cpu_seconds_total", "CPU time, user and system"},
};
struct LevelRow {
  Level id;
  const char* name;
  const char* help;
};
constexpr LevelRow level_rows[] = {
    {Level::connections, "crossover_connections", "Client connections now"},
    {Level::held, "crossover_held_requests", "Produce requests held now"},
    {Level::buffered, "crossover_buffered_bytes", "Bytes held in memory for connections"},
    {Level::route_home, "crossover_route_home", "1 for the cluster that takes the route's writes"},
    {Level::route_phase, "crossover_route_phase", "1 for the phase the route is in"},
    {Level::route_generation, "crossover_route_generation", "Flips of the route so far"},
    {Level::reachable, "crossover_cluster_reachable", "1 if the last attempt to reach the cluster succeeded"},
    {Level::unknown, "crossover_unknown_outcomes", "1 if writes lost their connection before the answer"},
    {Level::strangers, "crossover_stranger_records", "Records written past the proxy, outside every open segment"},
    {Level::ready, "crossover_ready", "1 if control state is loaded and every home cluster serves"},
    {Level::uptime, "crossover_uptime_seconds", "Seconds since start"},
    {Level::build, "crossover_build_info", "Version of this build"},
    {Level::resident, "process_resident_memory_bytes", "Resident memory size in bytes"},
    {Level::virtual_bytes, "process_virtual_memory_bytes", "Virtual memory size in bytes"},
    {Level::open_files, "process_open_fds", "Open file descriptors"},
    {Level::open_files_max, "process_max_fds", "Limit of open file descriptors"},
};
const prometheus::Histogram::BucketBoundaries hold_buckets = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                              0.1,   0.25,   0.5,   1,    2.5,   5};

Labels of(Cluster cluster) {
  return {{"cluster", std::string(to_string(cluster))}};
}

std::size_t open_files() {
  std::size_t count = 0;
  if (DIR* folder = ::opendir("/proc/self/fd")) {
    while (::readdir(folder)) ++count;
    ::closedir(folder);
  }
  return count > 3 ? count - 3 : 0;  // ".", ".." and the folder itself
}

}  // namespace

struct Metrics::Families {
  prometheus::Registry registry;
  std::map<Count, prometheus::Family<prometheus::Counter>*> counts;
  std::map<Level, prometheus::Family<prometheus::Gauge>*> levels;
  prometheus::Histogram* hold = nullptr;
  prometheus::Histogram* flip = nullptr;
  std::set<std::string> routes;

  Families() {
    for (const auto& row : count_rows) {
      counts[row.id] = &prometheus::BuildCounter().Name(row.name).Help(row.help).Register(registry);
    }
    for (const auto& row : level_rows) {
      levels[row.id] = &prometheus::BuildGauge().Name(row.name).Help(row.help).Register(registry);
    }
    hold = &prometheus::BuildHistogram()
                .Name("crossover_hold_seconds")
                .Help("How long held requests waited")
                .Register(registry)
                .Add({}, hold_buckets);
    flip = &prometheus::BuildHistogram()
                .Name("crossover_flip_seconds")
                .Help("How long flips took that were done")
                .Register(registry)
                .Add({}, hold_buckets);
  }
  void add(Count id, std::uint64_t now, std::uint64_t before, const Labels& labels = {}) {
    counts.at(id)->Add(labels).Increment(static_cast<double>(now - before));
  }
  void set(Level id, double value, const Labels& labels = {}) { levels.at(id)->Add(labels).Set(value); }
};

Metrics::Metrics(std::string version, std::size_t workers) : families_(std::make_unique<Families>()), last_(workers) {
  families_->set(Level::build, 1, {{"version", std::move(version)}});
}

Metrics::~Metrics() = default;

void Metrics::on_worker_totals(std::size_t worker, const WorkerTotals& totals) {
  std::lock_guard lock(mutex_);
  const WorkerTotals before = std::exchange(last_.at(worker), totals);
  Families& f = *families_;
  const auto& now = totals.counters;
  const auto& old = before.counters;
  f.add(Count::requests, now.requests, old.requests);
  f.add(Count::requests_refused, now.refused_requests, old.refused_requests);
  f.add(Count::requests_malformed, now.malformed_requests, old.malformed_requests);
  f.add(Count::requests_held, now.held_requests, old.held_requests);
  f.add(Count::requests_split, now.split_requests, old.split_requests);
  f.add(Count::duplicates, now.duplicates_answered, old.duplicates_answered);
  f.add(Count::skipped, now.skipped_segments, old.skipped_segments);
  f.add(Count::bytes_in, now.bytes_in, old.bytes_in);
  f.add(Count::bytes_out, now.bytes_out, old.bytes_out);
  f.add(Count::produced, now.produce_records, old.produce_records);
  f.add(Count::fetched, now.fetch_bytes, old.fetch_bytes);
  f.add(Count::accepted, totals.accepted, before.accepted);
  f.add(Count::closed, totals.closed, before.closed);
  f.add(Count::closed_memory, totals.closed_for_memory, before.closed_for_memory);
  f.add(Count::closed_idle, totals.closed_idle, before.closed_idle);
  for (Cluster cluster : proxy::both_clusters) {
    const std::size_t i = proxy::index_of(cluster);
    f.add(Count::upstream_opened, totals.upstream_opened[i], before.upstream_opened[i], of(cluster));
    f.add(Count::upstream_failed, totals.upstream_failed[i], before.upstream_failed[i], of(cluster));
    f.add(Count::upstream_lost, totals.upstream_lost[i], before.upstream_lost[i], of(cluster));
  }
}

void Metrics::on_hold_times(const std::vector<proxy::Millis>& hold_ms) {
  for (proxy::Millis ms : hold_ms) families_->hold->Observe(static_cast<double>(ms) / 1'000);
}

void Metrics::on_flip(const proxy::FlipReport& report) {
  families_->counts.at(Count::flips)->Add({{"direction", report.direction}, {"result", report.result}}).Increment();
  if (report.result != "done") return;
  double ms = 0;
  for (const auto& step : report.steps) ms += step.ms;
  families_->flip->Observe(ms / 1'000);
}

void Metrics::on_control_append(bool acknowledged) {
  families_->counts.at(Count::appends)->Add({{"result", acknowledged ? "acknowledged" : "failed"}}).Increment();
}

void Metrics::set(const Now& now) {
  std::lock_guard lock(mutex_);
  Families& f = *families_;
  double connections = 0, held = 0;
  for (const WorkerTotals& totals : last_) {
    connections += static_cast<double>(totals.connections);
    held += static_cast<double>(totals.held);
  }
  f.set(Level::connections, connections);
  f.set(Level::held, held);
  f.set(Level::buffered, static_cast<double>(now.buffered_bytes));
  f.set(Level::strangers, static_cast<double>(now.stranger_records));
  f.set(Level::ready, now.ready);
  f.set(Level::uptime, now.uptime_s);
  for (Cluster cluster : proxy::both_clusters)
    f.set(Level::reachable, now.reachable[proxy::index_of(cluster)], of(cluster));
  // A route that was deleted must not stay with its last values.
  std::set<std::string> names;
  for (const auto& route : now.routes) names.insert(route.name);
  for (const auto& gone : std::exchange(f.routes, names)) {
    if (names.contains(gone)) continue;
    f.levels.at(Level::route_generation)->Remove(&f.levels.at(Level::route_generation)->Add({{"route", gone}}));
    for (Cluster cluster : proxy::both_clusters) {
      const Labels labels{{"route", gone}, {"cluster", std::string(to_string(cluster))}};
      for (Level id : {Level::route_home, Level::unknown}) f.levels.at(id)->Remove(&f.levels.at(id)->Add(labels));
    }
    for (auto phase : {proxy::RoutePhase::open, proxy::RoutePhase::braking, proxy::RoutePhase::fenced,
                       proxy::RoutePhase::releasing}) {
      auto* family = f.levels.at(Level::route_phase);
      family->Remove(&family->Add({{"route", gone}, {"phase", std::string(to_string(phase))}}));
    }
  }
  for (const auto& route : now.routes) {
    f.set(Level::route_generation, route.generation, {{"route", route.name}});
    for (Cluster cluster : proxy::both_clusters) {
      const Labels labels{{"route", route.name}, {"cluster", std::string(to_string(cluster))}};
      f.set(Level::route_home, route.home == cluster, labels);
      const std::pair<std::string, Cluster> key{route.name, cluster};
      f.set(Level::unknown, std::count(now.unknown_outcomes.begin(), now.unknown_outcomes.end(), key) > 0, labels);
    }
    for (auto phase : {proxy::RoutePhase::open, proxy::RoutePhase::braking, proxy::RoutePhase::fenced,
                       proxy::RoutePhase::releasing}) {
      f.set(Level::route_phase, route.phase == phase,
            {{"route", route.name}, {"phase", std::string(to_string(phase))}});
    }
  }
}

std::string Metrics::text() {
  std::lock_guard lock(mutex_);
  Families& f = *families_;
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  auto& cpu = f.counts.at(Count::cpu)->Add({});
  cpu.Increment(std::max(seconds(usage.ru_utime) + seconds(usage.ru_stime) - cpu.Value(), 0.0));
  std::ifstream statm("/proc/self/statm");
  std::uint64_t pages = 0, resident = 0;
  if (statm >> pages >> resident) {
    const auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
    f.set(Level::virtual_bytes, static_cast<double>(pages) * page);
    f.set(Level::resident, static_cast<double>(resident) * page);
  }
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  f.set(Level::open_files, static_cast<double>(open_files()));
  f.set(Level::open_files_max, static_cast<double>(limit.rlim_cur));
  return prometheus::TextSerializer().Serialize(f.registry.Collect());
}

}  // namespace crossover::src
