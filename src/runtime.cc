#include "src/runtime.h"

#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <cstdlib>
#include <random>

#include "src/admin_backend.h"
#include "src/admin_server.h"
#include "src/cluster_client.h"
#include "src/control_topic.h"
#include "src/listeners.h"
#include "src/log.h"
#include "src/metrics.h"
#include "src/notify.h"
#include "src/worker.h"

namespace crossover::src {
namespace {

using boost::system::error_code;
using config::LogLevel;
using protocol::Bytes;
using protocol::BytesView;
using proxy::CallId;
using proxy::Cluster;
using proxy::Millis;

constexpr auto tick = std::chrono::milliseconds(250);
constexpr auto drain_poll = std::chrono::milliseconds(20);
constexpr int exit_forced = 1;
// How long a start waits for the control topic of a cluster that cannot be reached.
constexpr Millis control_wait_ms = 5'000;

// Distinguishes proxies and their restarts in control records.
std::string make_proxy_id(std::mt19937_64& random) {
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  char suffix[24];
  std::snprintf(suffix, sizeof suffix, "-%012llx", static_cast<unsigned long long>(random() >> 16));
  return host + std::string(suffix);
}

std::mt19937_64 make_random() {
  std::random_device device;
  std::seed_seq seed{device(), device(), device(), device()};
  return std::mt19937_64(seed);
}

// Everything here runs on the thread of run(), the controller's, except where it says otherwise.
class Runtime final : public proxy::ControllerIo, public AdminBackend {
 public:
  explicit Runtime(config::Config config);
  int run();

 private:
  // ControllerIo
  void publish(std::shared_ptr<const proxy::Snapshot> snapshot) override;
  void request(CallId id, Cluster cluster, proxy::NodeId node, proxy::ApiKey api, proxy::Version version, Bytes body,
               Millis timeout_ms) override;
  void append_control(CallId id, Cluster cluster, Bytes record) override;
  void trim_control(Cluster cluster, proxy::Offset before) override;
  void arm_timer(Millis at) override;
  void log(std::string_view level, std::string_view event, LogFields fields) override;
  void passed(std::string_view step) override;

  // AdminBackend: any thread
  void status(std::function<void(StatusView)> done) override;
  void connections(std::function<void(std::vector<proxy::SessionInfo>)> done) override;
  void flip(std::string route, Cluster to, proxy::FlipWishes wishes, proxy::Controller::FlipDone done) override;
  void abort_transaction(std::string transactional_id, proxy::Controller::AbortDone done) override;
  void recover(std::string route, std::string confirm, proxy::Controller::RecoveryDone done) override;
  void define_route(proxy::RouteDefinition definition, proxy::Controller::Done done) override;
  void delete_route(std::string route, proxy::Controller::Done done) override;
  std::string metrics() override { return metrics_.text(); }
  bool set_log_level(std::string_view level) override;

  proxy::ControllerOptions controller_options();
  Worker::Options worker_options(std::size_t index) const;
  Worker::Upcalls worker_upcalls(std::size_t index);
  void make_cluster(Cluster cluster);
  StatusView status_now() const;
  void on_report(const proxy::WorkerReport& report);
  void on_tick();
  bool control_known() const;
  void begin_to_serve();
  void on_signal();
  void begin_drain(int signal);
  void await_drain();
  [[noreturn]] void leave(int code, std::string_view why);
  const std::vector<config::HostPort>& bootstrap(Cluster cluster) const {
    return cluster == Cluster::source ? config_.source.bootstrap : config_.target.bootstrap;
  }

  const config::Config config_;
  const Millis started_at_ = now_ms();
  std::mt19937_64 random_ = make_random();
  boost::asio::io_context io_{1};
  boost::asio::signal_set signals_{io_, SIGTERM, SIGINT};
  boost::asio::steady_timer controller_timer_{io_}, ticker_{io_}, drain_timer_{io_};
  Millis controller_due_ = 0;
  std::array<std::unique_ptr<ClusterClient>, 2> clients_;
  std::array<std::unique_ptr<ControlTopic>, 2> control_;
  std::unique_ptr<proxy::Controller> controller_;
  Metrics metrics_;
  std::shared_ptr<MemoryBudget> budget_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<proxy::WorkerState::Counters> counters_;  // by worker, as of its last tick
  std::vector<proxy::WorkerReport> reports_;            // by worker, the last one
  std::unique_ptr<Listeners> listeners_;
  std::unique_ptr<AdminServer> admin_;
  std::array<bool, 2> control_read_{};
  bool serving_ = false;
  bool draining_ = false;
  Millis drain_deadline_ = 0;
};

std::size_t worker_count(const config::Config& config) {
  if (config.workers > 0) return static_cast<std::size_t>(config.workers);
  return std::max(1u, std::thread::hardware_concurrency());
}

Runtime::Runtime(config::Config config)
    : config_(std::move(config)),
      metrics_(CROSSOVER_VERSION, worker_count(config_)),
      budget_(std::make_shared<MemoryBudget>(config_.limits.total_buffered_bytes, worker_count(config_))),
      counters_(worker_count(config_)),
      reports_(worker_count(config_)) {}

int Runtime::run() {
  std::signal(SIGPIPE, SIG_IGN);
  const std::uint64_t files = raise_open_file_limit();
  src::log(LogLevel::info, "starting",
           {{"version", CROSSOVER_VERSION},
            {"workers", std::to_string(worker_count(config_))},
            {"open_files_max", std::to_string(files)}});
  listeners_ = std::make_unique<Listeners>(io_, config_.listen,
                                           [this](int fd, std::optional<proxy::NodeId> broker, std::string peer) {
                                             thread_local std::size_t next = 0;
                                             workers_[next++ % workers_.size()]->adopt(fd, broker, std::move(peer));
                                           });
  if (const std::string error = listeners_->open(); !error.empty()) {
    src::log(LogLevel::error, "start_failed", {{"error", error}});
    return 1;
  }
  for (Cluster cluster : proxy::both_clusters) make_cluster(cluster);
  controller_ = std::make_unique<proxy::Controller>(*this, controller_options(), worker_count(config_));
  for (std::size_t i = 0; i < worker_count(config_); ++i) {
    workers_.push_back(
        std::make_unique<Worker>(worker_options(i), worker_upcalls(i), budget_, controller_->snapshot()));
  }
  std::vector<Worker*> peers;
  for (const auto& worker : workers_) peers.push_back(worker.get());
  for (const auto& worker : workers_) worker->meet(peers);
  admin_ = std::make_unique<AdminServer>(
      *this, AdminServerOptions{config_.admin.listen, {config_.admin.allowed_hosts, now_ms}});
  if (const std::string error = admin_->start(); !error.empty()) {
    src::log(LogLevel::error, "start_failed", {{"error", error}});
    return 1;
  }
  for (auto& worker : workers_) worker->start();
  on_signal();
  controller_->start(now_ms());
  for (auto& topic : control_) topic->start();
  on_tick();
  io_.run();
  return 0;
}

proxy::ControllerOptions Runtime::controller_options() {
  proxy::ControllerOptions options;
  options.proxy_id = make_proxy_id(random_);
  options.advertised_host = config_.advertised_host;
  options.control_topic = config_.control.topic;
  options.leases_topic = config_.control.leases_topic;
  options.first_port = config_.broker_ports.first;
  options.port_count = config_.broker_ports.count;
  options.refresh_ms = config_.refresh_ms;
  options.hold_budget_ms = config_.flip.hold_budget_ms;
  options.drain_timeout_ms = config_.flip.drain_timeout_ms;
  options.transactions_ms = config_.flip.transactions_ms;
  options.control_replication = config_.control.replication_factor;
  options.seed = random_();
  return options;
}

Worker::Options Runtime::worker_options(std::size_t index) const {
  Worker::Options options;
  options.index = index;
  options.limits.request_bytes = static_cast<std::size_t>(config_.limits.request_bytes);
  options.limits.response_bytes = static_cast<std::size_t>(config_.limits.response_bytes);
  options.limits.requests_in_flight = static_cast<std::size_t>(config_.limits.requests_in_flight);
  options.limits.hold_ms = config_.limits.hold_ms;
  options.bootstrap = {config_.source.bootstrap, config_.target.bootstrap};
  options.idle_ms = config_.limits.idle_ms;
  options.connection_bytes = static_cast<std::size_t>(config_.limits.buffered_bytes);
  return options;
}

Worker::Upcalls Runtime::worker_upcalls(std::size_t index) {
  return {
      .report =
          [this](proxy::WorkerReport report) {
            boost::asio::post(io_, [this, report = std::move(report)] { on_report(report); });
          },
      .want_image =
          [this](Cluster cluster, Millis not_before) {
            boost::asio::post(
                io_, [this, cluster, not_before] { controller_->on_want_image(cluster, not_before, now_ms()); });
          },
      .want_binding =
          [this](const proxy::WantedBinding& wanted) {
            boost::asio::post(io_, [this, wanted] { controller_->on_want_binding(wanted, now_ms()); });
          },
      .totals =
          [this, index](const WorkerTotals& totals) {
            metrics_.on_worker_totals(index, totals);
            boost::asio::post(io_, [this, index, counters = totals.counters] { counters_[index] = counters; });
          },
  };
}

void Runtime::make_cluster(Cluster cluster) {
  const std::size_t i = proxy::index_of(cluster);
  clients_[i] = std::make_unique<ClusterClient>(
      io_, cluster, bootstrap(cluster),
      [this](CallId id, std::optional<Bytes> body) { controller_->on_reply(id, std::move(body), now_ms()); });
  ControlTopic::Options options;
  options.cluster = cluster;
  options.bootstrap = bootstrap(cluster);
  options.topic = config_.control.topic;
  options.leases_topic = config_.control.leases_topic;
  options.replication_factor = config_.control.replication_factor;
  ControlTopic::Events events;
  events.record = [this, cluster](proxy::Offset offset, Bytes record) {
    boost::asio::post(io_, [this, cluster, offset, record = std::move(record)] {
      controller_->on_control_record(cluster, offset, record, now_ms());
    });
  };
  events.caught_up = [this, cluster] {
    boost::asio::post(io_, [this, cluster] {
      control_read_[proxy::index_of(cluster)] = true;
      controller_->on_control_caught_up(cluster, now_ms());
      begin_to_serve();
    });
  };
  events.append_result = [this](CallId id, bool acknowledged) {
    boost::asio::post(io_, [this, id, acknowledged] {
      metrics_.on_control_append(acknowledged);
      controller_->on_append_result(id, acknowledged, now_ms());
    });
  };
  control_[i] = std::make_unique<ControlTopic>(std::move(options), std::move(events));
}

// ---- what the controller asks for ----

void Runtime::publish(std::shared_ptr<const proxy::Snapshot> snapshot) {
  for (auto& worker : workers_) worker->publish(snapshot);
  for (Cluster cluster : proxy::both_clusters) {
    clients_[proxy::index_of(cluster)]->apply(*snapshot->images[proxy::index_of(cluster)]);
  }
  listeners_->apply(*snapshot);
  if (controller_) begin_to_serve();
}

// What one cluster's control topic says may be superseded by the other's, so both are read before anybody is served. A
// cluster that is down is not waited for: writes to it fail anyway.
bool Runtime::control_known() const {
  if (!control_read_[0] && !control_read_[1]) return false;
  const bool waited = now_ms() - started_at_ > control_wait_ms;
  return std::all_of(std::begin(proxy::both_clusters), std::end(proxy::both_clusters), [&](Cluster cluster) {
    return control_read_[proxy::index_of(cluster)] || (waited && !controller_->reachable(cluster));
  });
}

// Clients wait in the listeners' backlog until there is a virtual cluster to show them.
void Runtime::begin_to_serve() {
  if (serving_ || draining_ || !control_known()) return;
  const proxy::Snapshot& snapshot = *controller_->snapshot();
  if (snapshot.virtual_cluster_id.empty() || snapshot.announced.empty()) return;
  serving_ = true;
  listeners_->start();
  src::log(LogLevel::info, "serving",
           {{"listen", config::to_string(config_.listen)},
            {"admin", config::to_string(config_.admin.listen)},
            {"cluster_id", snapshot.virtual_cluster_id},
            {"topics", std::to_string(snapshot.topics.size())}});
  notify_service_manager("READY=1");
}

void Runtime::request(CallId id, Cluster cluster, proxy::NodeId node, proxy::ApiKey api, proxy::Version version,
                      Bytes body, Millis timeout_ms) {
  clients_[proxy::index_of(cluster)]->request(id, node, api, version, body, timeout_ms);
}

void Runtime::append_control(CallId id, Cluster cluster, Bytes record) {
  control_[proxy::index_of(cluster)]->append(id, record);
}

void Runtime::trim_control(Cluster cluster, proxy::Offset before) {
  control_[proxy::index_of(cluster)]->trim(before);
}

void Runtime::arm_timer(Millis at) {
  controller_due_ = at;
  controller_timer_.expires_after(std::chrono::milliseconds(std::max<Millis>(at - now_ms(), 0)));
  controller_timer_.async_wait([this, at](error_code ec) {
    if (!ec && controller_due_ == at) controller_->on_timer(now_ms());
  });
}

void Runtime::log(std::string_view level, std::string_view event, LogFields fields) {
  src::log(config::parse_log_level(level).value_or(LogLevel::info), event, fields);
}

void Runtime::passed(std::string_view step) {
  src::log(LogLevel::debug, "passed", {{"step", std::string(step)}});
#ifdef CROSSOVER_FAULT_POINTS
  // For the tests that kill the proxy at every step of a flip; as abrupt as SIGKILL.
  if (const char* wanted = std::getenv("CROSSOVER_CRASH_AT"); wanted && step == wanted) ::_exit(137);
#endif
}

// ---- what the admin endpoint asks for ----

StatusView Runtime::status_now() const {
  StatusView view;
  view.ready = controller_->ready() && serving_ && listeners_->complete();
  for (Cluster cluster : proxy::both_clusters)
    view.reachable[proxy::index_of(cluster)] = controller_->reachable(cluster);
  view.snapshot = controller_->snapshot();
  view.routes = controller_->routes();
  view.strangers = controller_->strangers();
  for (const auto& counters : counters_) {
    view.counters.requests += counters.requests;
    view.counters.bytes_in += counters.bytes_in;
    view.counters.bytes_out += counters.bytes_out;
    view.counters.produce_records += counters.produce_records;
    view.counters.fetch_bytes += counters.fetch_bytes;
    view.counters.held_requests += counters.held_requests;
    view.counters.split_requests += counters.split_requests;
    view.counters.refused_requests += counters.refused_requests;
    view.counters.malformed_requests += counters.malformed_requests;
    view.counters.duplicates_answered += counters.duplicates_answered;
    view.counters.skipped_segments += counters.skipped_segments;
  }
  for (const auto& worker : workers_) view.connections += worker->connection_count();
  view.version = CROSSOVER_VERSION;
  view.uptime_s = static_cast<double>(now_ms() - started_at_) / 1'000;
  view.draining = draining_;
  return view;
}

void Runtime::status(std::function<void(StatusView)> done) {
  boost::asio::post(io_, [this, done = std::move(done)] { done(status_now()); });
}

void Runtime::connections(std::function<void(std::vector<proxy::SessionInfo>)> done) {
  struct Gather {
    std::mutex mutex;
    std::vector<proxy::SessionInfo> infos;
    std::size_t missing;
    std::function<void(std::vector<proxy::SessionInfo>)> done;
  };
  auto gather = std::make_shared<Gather>();
  gather->missing = workers_.size();
  gather->done = std::move(done);
  for (auto& worker : workers_) {
    worker->connections([gather](std::vector<proxy::SessionInfo> infos) {
      std::unique_lock lock(gather->mutex);
      std::move(infos.begin(), infos.end(), std::back_inserter(gather->infos));
      if (--gather->missing > 0) return;
      lock.unlock();
      gather->done(std::move(gather->infos));
    });
  }
}

void Runtime::flip(std::string route, Cluster to, proxy::FlipWishes wishes, proxy::Controller::FlipDone done) {
  boost::asio::post(io_, [this, route = std::move(route), to, wishes, done = std::move(done)] {
    const auto counted = [this, done, dry_run = wishes.dry_run](proxy::FlipReport report) {
      if (!dry_run) metrics_.on_flip(report);
      done(std::move(report));
    };
    controller_->flip(route, to, wishes, counted, now_ms());
  });
}

void Runtime::abort_transaction(std::string transactional_id, proxy::Controller::AbortDone done) {
  boost::asio::post(io_, [this, id = std::move(transactional_id), done = std::move(done)] {
    controller_->abort_transaction(id, done, now_ms());
  });
}

void Runtime::recover(std::string route, std::string confirm, proxy::Controller::RecoveryDone done) {
  boost::asio::post(io_, [this, route = std::move(route), confirm = std::move(confirm), done = std::move(done)] {
    const auto counted = [this, done](proxy::RecoveryReport report) {
      const bool tried = report.result == "done" || report.result == "failed";
      if (tried) metrics_.on_flip({.direction = "recover", .result = report.result, .steps = report.steps});
      done(std::move(report));
    };
    controller_->recover(route, confirm, counted, now_ms());
  });
}

void Runtime::define_route(proxy::RouteDefinition definition, proxy::Controller::Done done) {
  boost::asio::post(io_, [this, definition = std::move(definition), done = std::move(done)] {
    controller_->define_route(definition, done, now_ms());
  });
}

void Runtime::delete_route(std::string route, proxy::Controller::Done done) {
  boost::asio::post(io_, [this, route = std::move(route), done = std::move(done)] {
    controller_->delete_route(route, done, now_ms());
  });
}

bool Runtime::set_log_level(std::string_view level) {
  const auto parsed = config::parse_log_level(level);
  if (!parsed) return false;
  src::set_log_level(*parsed);
  src::log(LogLevel::info, "log_level", {{"level", std::string(level)}});
  return true;
}

// ---- regularly ----

void Runtime::on_report(const proxy::WorkerReport& report) {
  metrics_.on_hold_times(report.hold_times_ms);
  reports_[report.worker] = report;
  controller_->on_worker_report(report, now_ms());
}

void Runtime::on_tick() {
  begin_to_serve();
  const StatusView view = status_now();
  Metrics::Now now;
  now.reachable = view.reachable;
  now.ready = view.ready;
  if (view.snapshot) now.routes = view.snapshot->routes;
  for (const auto& report : reports_) {
    for (const auto& lost : report.unknown_outcomes)
      now.unknown_outcomes.emplace_back(lost.writer.route.name, lost.writer.cluster);
  }
  for (const auto& stranger : view.strangers) now.stranger_records += stranger.count;
  now.buffered_bytes = std::max<std::int64_t>(budget_->used.load(std::memory_order_relaxed), 0);
  now.uptime_s = view.uptime_s;
  metrics_.set(now);
  ticker_.expires_after(tick);
  ticker_.async_wait([this](error_code ec) {
    if (!ec) on_tick();
  });
}

// ---- the end ----

void Runtime::on_signal() {
  signals_.async_wait([this](error_code ec, int signal) {
    if (ec) return;
    if (draining_) leave(exit_forced, "second signal");
    begin_drain(signal);
    on_signal();
  });
}

void Runtime::begin_drain(int signal) {
  draining_ = true;
  drain_deadline_ = now_ms() + config_.shutdown.drain_seconds * 1'000;
  src::log(LogLevel::info, "draining",
           {{"signal", std::to_string(signal)}, {"deadline_s", std::to_string(config_.shutdown.drain_seconds)}});
  notify_service_manager("STOPPING=1");
  listeners_->close();
  for (auto& worker : workers_) worker->drain();
  await_drain();
}

void Runtime::await_drain() {
  drain_timer_.expires_after(drain_poll);
  drain_timer_.async_wait([this](error_code ec) {
    if (ec) return;
    std::size_t left = 0;
    for (const auto& worker : workers_) left += worker->connection_count();
    if (left == 0) leave(0, "drained");
    if (now_ms() >= drain_deadline_) leave(0, "drain deadline, connections left: " + std::to_string(left));
    await_drain();
  });
}

// Nothing needs to be put away: what counts is in the clusters. Threads that wait for a cluster would only hold us up.
void Runtime::leave(int code, std::string_view why) {
  src::log(LogLevel::info, "stopped", {{"reason", std::string(why)}, {"exit_code", std::to_string(code)}});
  std::_Exit(code);
}

}  // namespace

int run_proxy(const config::Config& config) {
  config::Config resolved = config;
  config::resolve(resolved);
  set_log_level(resolved.log.level);
  return Runtime(std::move(resolved)).run();
}

}  // namespace crossover::src
