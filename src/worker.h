// One thread with its connections. Everything that a connection touches belongs to its worker, so nothing is locked.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <unordered_map>
#include <vector>

#include "proxy/controller.h"
#include "proxy/predecessors.h"
#include "proxy/session.h"
#include "src/connection.h"

namespace crossover::src {

// Shared by all workers: how much they hold in memory for their connections.
struct MemoryBudget {
  MemoryBudget(std::int64_t limit_bytes, std::size_t workers) : limit(limit_bytes), largest(workers) {}
  const std::int64_t limit;
  std::atomic<std::int64_t> used{0};
  std::vector<std::atomic<std::int64_t>> largest;  // connection, by worker, at its last tick
  bool exceeded() const { return used.load(std::memory_order_relaxed) > limit; }
};

// What a worker did since its start; for metrics.
struct WorkerTotals {
  proxy::WorkerState::Counters counters;
  std::size_t connections = 0;
  std::int64_t held = 0;
  std::array<std::uint64_t, 2> upstream_opened{};  // by cluster
  std::array<std::uint64_t, 2> upstream_failed{};  // could not be opened
  std::array<std::uint64_t, 2> upstream_lost{};    // closed by the other side or broken
  std::uint64_t accepted = 0, closed = 0;
  std::uint64_t closed_for_memory = 0, closed_idle = 0;
};

class Worker {
 public:
  struct Options {
    std::size_t index = 0;
    proxy::Limits limits;
    std::array<std::vector<config::HostPort>, 2> bootstrap;  // by cluster
    proxy::Millis idle_ms = 660'000;
    std::size_t connection_bytes = 134'217'728;  // of one connection, above which its client is not read
    std::size_t unsent_bytes = 4'194'304;        // to one peer, above which those who feed it are not read
  };
  // Called on the worker's thread; the owner hands them on to its own.
  struct Upcalls {
    std::function<void(proxy::WorkerReport)> report;
    std::function<void(proxy::Cluster, proxy::Millis)> want_image;
    std::function<void(const proxy::WantedBinding&)> want_binding;
    std::function<void(const WorkerTotals&)> totals;  // every tick
  };

  Worker(Options options, Upcalls upcalls, std::shared_ptr<MemoryBudget> budget,
         std::shared_ptr<const proxy::Snapshot> snapshot);
  ~Worker();

  // From any thread. Peers are all workers of the process, this one too; each must be stopped before any is destroyed.
  void meet(std::vector<Worker*> peers);
  void start();
  void stop();  // and wait for the thread
  void adopt(int fd, std::optional<proxy::NodeId> virtual_broker, std::string peer);
  void publish(std::shared_ptr<const proxy::Snapshot> snapshot);
  void drain();
  void connections(std::function<void(std::vector<proxy::SessionInfo>)> done);
  std::size_t connection_count() const { return connection_count_.load(std::memory_order_relaxed); }

 private:
  friend class Connection;

  // For connections, on the worker's thread.
  std::vector<config::HostPort> addresses(proxy::Cluster cluster, proxy::NodeId node);
  void want_image(proxy::Cluster cluster, proxy::Millis not_before);
  void want_binding(const proxy::WantedBinding& wanted) { upcalls_.want_binding(wanted); }
  void want_predecessors(std::uint64_t connection, std::uint64_t wait, proxy::Cluster home, std::string client_id,
                         proxy::Millis arrived_at);
  void account(std::int64_t change);
  void note_state();  // after an event: routes may have changed
  void retire(Connection& connection);

  void apply(std::shared_ptr<const proxy::Snapshot> snapshot);
  void send_report();
  void send_wants();
  struct WritesOf {  // Session::newest_write_elsewhere
    proxy::Cluster home;
    std::string client_id;
    proxy::Millis arrived_at;
  };
  // From any thread: calls `done`, on this worker's thread, when the writes that count are answered.
  void await_writes(WritesOf whose, std::function<void()> done, int turns);
  void mark_writes(const WritesOf& whose, std::function<void()> done);
  void check_writes();
  void on_tick();
  void enforce_budget(bool over, std::int64_t largest);

  const Options options_;
  const Upcalls upcalls_;
  const std::shared_ptr<MemoryBudget> budget_;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer ticker_;
  std::vector<char> read_buffer_;
  std::mt19937 random_;
  proxy::WorkerState state_;
  WorkerTotals totals_;
  std::shared_ptr<const proxy::Snapshot> snapshot_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Connection>> connections_;
  std::atomic<std::size_t> connection_count_{0};
  std::uint64_t next_id_ = 0;
  std::int64_t unaccounted_ = 0;
  decltype(proxy::WorkerState::routes) reported_;
  std::map<std::string, std::int64_t> reported_commits_;
  std::set<std::string> reported_ids_;
  std::uint64_t reported_unknown_ = 0;
  std::array<std::optional<proxy::Millis>, 2> wants_;
  std::vector<Worker*> peers_{this};
  proxy::AwaitedWrites awaited_;
  bool check_posted_ = false;
  bool flip_under_way_ = false;
  bool report_posted_ = false;
  bool wants_posted_ = false;
  bool draining_ = false;
  bool over_at_last_tick_ = false;
  std::jthread thread_;
};

}  // namespace crossover::src
