#include "src/worker.h"

#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>

#include "src/log.h"

namespace crossover::src {

using boost::system::error_code;
using config::LogLevel;
using proxy::Cluster;
using proxy::Millis;

namespace {

constexpr auto tick = std::chrono::milliseconds(250);
constexpr std::size_t read_buffer_bytes = 262'144;
// The process-wide count is touched only when this worker's share moved by so much: it is one cache line for all.
constexpr std::int64_t account_step_bytes = 65'536;
// In two turns every socket is polled once for sure; the others are for what does not come in one read.
constexpr int turns_to_read = 4;

}  // namespace

Worker::Worker(Options options, Upcalls upcalls, std::shared_ptr<MemoryBudget> budget,
               std::shared_ptr<const proxy::Snapshot> snapshot)
    : options_(std::move(options)),
      upcalls_(std::move(upcalls)),
      budget_(std::move(budget)),
      io_(1),
      work_(io_.get_executor()),
      ticker_(io_),
      read_buffer_(read_buffer_bytes),
      random_(std::random_device{}()),
      snapshot_(std::move(snapshot)) {}

Worker::~Worker() {
  stop();
}

void Worker::meet(std::vector<Worker*> peers) {
  boost::asio::post(io_, [this, peers = std::move(peers)]() mutable { peers_ = std::move(peers); });
}

void Worker::start() {
  thread_ = std::jthread([this] {
    on_tick();
    io_.run();
  });
}

void Worker::stop() {
  io_.stop();
  if (thread_.joinable()) thread_.join();
  connections_.clear();
}

void Worker::adopt(int fd, std::optional<proxy::NodeId> virtual_broker, std::string peer) {
  boost::asio::post(io_, [this, fd, virtual_broker, peer = std::move(peer)]() mutable {
    if (draining_) {
      ::close(fd);
      return;
    }
    proxy::SessionOptions options{virtual_broker, std::move(peer), options_.limits};
    auto connection = std::make_shared<Connection>(*this, ++next_id_, fd, std::move(options));
    connections_.emplace(connection->id(), connection);
    connection_count_.store(connections_.size(), std::memory_order_relaxed);
    ++totals_.accepted;
    connection->start();
  });
}

void Worker::publish(std::shared_ptr<const proxy::Snapshot> snapshot) {
  boost::asio::post(io_, [this, snapshot = std::move(snapshot)]() mutable { apply(std::move(snapshot)); });
}

void Worker::apply(std::shared_ptr<const proxy::Snapshot> snapshot) {
  snapshot_ = std::move(snapshot);
  flip_under_way_ = snapshot_->under_way();
  // A connection retires by a post, so none leaves the table here.
  for (auto& [id, connection] : connections_) connection->on_snapshot(snapshot_);
  send_report();
}

void Worker::drain() {
  boost::asio::post(io_, [this] {
    draining_ = true;
    for (auto& [id, connection] : connections_) connection->drain();
  });
}

void Worker::connections(std::function<void(std::vector<proxy::SessionInfo>)> done) {
  boost::asio::post(io_, [this, done = std::move(done)] {
    std::vector<proxy::SessionInfo> infos;
    infos.reserve(connections_.size());
    for (const auto& [id, connection] : connections_) infos.push_back(connection->info());
    done(std::move(infos));
  });
}

// ---- for connections ----

std::vector<config::HostPort> Worker::addresses(Cluster cluster, proxy::NodeId node) {
  std::vector<config::HostPort> found;
  const auto& brokers = snapshot_->images[proxy::index_of(cluster)]->brokers;
  const auto add = [&found](const proxy::BrokerAddress& at) {
    found.push_back({at.host, static_cast<std::uint16_t>(at.port)});
  };
  if (node != proxy::any_node) {
    if (auto broker = brokers.find(node); broker != brokers.end()) add(broker->second);
    return found;
  }
  for (const auto& [id, address] : brokers) add(address);
  std::shuffle(found.begin(), found.end(), random_);
  // All brokers may have moved since the image was made; the bootstrap addresses are the operator's word.
  const auto& bootstrap = options_.bootstrap[proxy::index_of(cluster)];
  found.insert(found.end(), bootstrap.begin(), bootstrap.end());
  return found;
}

void Worker::want_image(Cluster cluster, Millis not_before) {
  auto& want = wants_[proxy::index_of(cluster)];
  want = want ? std::max(*want, not_before) : not_before;
  if (std::exchange(wants_posted_, true)) return;
  boost::asio::post(io_, [this] { send_wants(); });
}

void Worker::send_wants() {
  wants_posted_ = false;
  for (Cluster cluster : proxy::both_clusters) {
    auto& want = wants_[proxy::index_of(cluster)];
    if (want) upcalls_.want_image(cluster, *want);
    want.reset();
  }
}

// All workers are asked, and the last to answer ends the wait. The count is touched on this worker's thread only.
void Worker::want_predecessors(std::uint64_t connection, std::uint64_t wait, Cluster home, std::string client_id,
                               Millis arrived_at) {
  const auto missing = std::make_shared<std::size_t>(peers_.size());
  const auto answered = [this, connection, wait, missing] {
    boost::asio::post(io_, [this, connection, wait, missing] {
      if (--*missing > 0) return;
      const auto found = connections_.find(connection);
      if (found != connections_.end()) found->second->on_predecessors_answered(wait);
    });
  };
  for (Worker* peer : peers_) peer->await_writes({home, client_id, arrived_at}, answered, turns_to_read);
}

// What the client sent before may still lie in sockets: the loop gets some turns to read it.
void Worker::await_writes(WritesOf whose, std::function<void()> done, int turns) {
  boost::asio::post(io_, [this, whose = std::move(whose), done = std::move(done), turns]() mutable {
    if (turns == 0) return mark_writes(whose, std::move(done));
    await_writes(std::move(whose), std::move(done), turns - 1);
  });
}

void Worker::mark_writes(const WritesOf& whose, std::function<void()> done) {
  std::vector<proxy::AwaitedWrites::Mark> marks;
  for (const auto& [id, connection] : connections_) {
    const auto newest = connection->session().newest_write_elsewhere(whose.home, whose.client_id, whose.arrived_at);
    if (newest > 0) marks.push_back({id, newest});
  }
  const Millis longest = options_.limits.hold_ms + options_.limits.predecessors_ms;
  awaited_.add(std::move(marks), now_ms() + longest, std::move(done));
}

void Worker::check_writes() {
  check_posted_ = false;
  awaited_.check(now_ms(), [this](std::uint64_t connection) -> const proxy::Session* {
    const auto found = connections_.find(connection);
    return found == connections_.end() ? nullptr : &found->second->session();
  });
}

void Worker::account(std::int64_t change) {
  unaccounted_ += change;
  if (std::abs(unaccounted_) < account_step_bytes) return;
  budget_->used.fetch_add(std::exchange(unaccounted_, 0), std::memory_order_relaxed);
}

namespace {

using Loads = decltype(proxy::WorkerState::routes);
bool same(const Loads& a, const Loads& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.writes_in_flight == y.second.writes_in_flight &&
           x.second.held == y.second.held;
  });
}

}  // namespace

// Reports of one turn of the loop become one: a fence touches many connections at once.
void Worker::note_state() {
  if (!awaited_.empty() && !std::exchange(check_posted_, true)) boost::asio::post(io_, [this] { check_writes(); });
  if (!flip_under_way_ || report_posted_) return;
  if (same(state_.routes, reported_) && state_.commits_in_flight == reported_commits_ &&
      state_.in_flight_of(snapshot_->held_ids) == reported_ids_)
    return;
  report_posted_ = true;
  boost::asio::post(io_, [this] { send_report(); });
}

void Worker::send_report() {
  report_posted_ = false;
  reported_ = state_.routes;
  reported_commits_ = state_.commits_in_flight;
  reported_ids_ = state_.in_flight_of(snapshot_->held_ids);
  reported_unknown_ = state_.unknown_outcomes.changes();
  proxy::WorkerReport report;
  report.worker = options_.index;
  report.revision = snapshot_->revision;
  for (const auto& [name, load] : state_.routes) report.routes.push_back({name, load.writes_in_flight, load.held});
  report.unknown_outcomes = state_.unknown_outcomes.all();
  report.known_ends = state_.known_ends.take_changed(*snapshot_);
  report.hold_times_ms = std::exchange(state_.hold_times_ms, {});
  report.transactional_ids = state_.transactional_ids;
  report.couplings = state_.couplings.take_changes();
  report.commits_in_flight = state_.commits_in_flight;
  report.ids_in_flight = reported_ids_;
  upcalls_.report(std::move(report));
}

void Worker::retire(Connection& connection) {
  // Posted: the connection's own methods are still on the stack.
  boost::asio::post(io_, [this, id = connection.id()] {
    connections_.erase(id);
    connection_count_.store(connections_.size(), std::memory_order_relaxed);
    ++totals_.closed;
    check_writes();
  });
}

// ---- regularly ----

void Worker::on_tick() {
  const bool over = budget_->exceeded();
  std::int64_t largest = 0;
  for (auto& [id, connection] : connections_) {
    connection->on_tick(over);
    largest = std::max(largest, static_cast<std::int64_t>(connection->buffered()));
  }
  enforce_budget(over, largest);
  check_writes();
  state_.unknown_outcomes.forget(now_ms(), snapshot_->answers_since);
  // What was found without a flip (unknown outcomes, late hold times) reaches the controller with the next tick.
  if (!state_.hold_times_ms.empty() || !same(state_.routes, reported_) ||
      state_.unknown_outcomes.changes() != reported_unknown_ || state_.couplings.changed()) {
    send_report();
  }
  totals_.counters = state_.counters;
  totals_.connections = connections_.size();
  totals_.held = 0;
  for (const auto& [name, load] : state_.routes) totals_.held += load.held;
  upcalls_.totals(totals_);
  ticker_.expires_after(tick);
  ticker_.async_wait([this](error_code ec) {
    if (!ec) on_tick();
  });
}

// Pausing readers did not help for a whole tick: the largest connection of the process gives way.
void Worker::enforce_budget(bool over, std::int64_t largest) {
  budget_->largest[options_.index].store(largest, std::memory_order_relaxed);
  if (!std::exchange(over_at_last_tick_, over) || !over || largest == 0) return;
  for (const auto& of_worker : budget_->largest) {
    if (of_worker.load(std::memory_order_relaxed) > largest) return;
  }
  auto victim = std::max_element(connections_.begin(), connections_.end(), [](const auto& a, const auto& b) {
    return a.second->buffered() < b.second->buffered();
  });
  log(LogLevel::warn, "memory_budget_exceeded",
      {{"peer", victim->second->peer()},
       {"buffered_bytes", std::to_string(largest)},
       {"limit_bytes", std::to_string(budget_->limit)},
       {"action", "closed"}});
  ++totals_.closed_for_memory;
  victim->second->abort("memory budget exceeded");
}

}  // namespace crossover::src
