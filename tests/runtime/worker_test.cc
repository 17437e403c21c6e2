// Workers, connections and listeners with a session that does what its client's first byte says.
#include "src/worker.h"

#include <gtest/gtest.h>

#include <thread>

#include "src/listeners.h"
#include "tests/runtime/sockets.h"

namespace crossover::proxy {

// 'e': echo. 'u': open an upstream to any broker and relay both ways. 'h': count as one held request until a snapshot
// of revision 2 or more comes, then answer "r". 'b': count the bytes as a frame that is not complete. 'x': answer "bye"
// and close. 't': answer "t" after 50 ms. 'w': ask for an image. 'o': owe one write until more bytes come. 'p': ask for
// predecessors and answer "p" when they are answered.
class Session::Impl {
 public:
  SessionIo& io;
  WorkerState& worker;
  SessionOptions options;
  std::uint64_t revision;
  char mode = 0;
  std::size_t partial = 0;
  std::uint64_t requests = 0;
  bool held = false, gone = false;
};

Session::Session(SessionIo& io, WorkerState& worker, SessionOptions options, std::shared_ptr<const Snapshot> snapshot,
                 Millis)
    : impl_(std::make_unique<Impl>(Impl{io, worker, std::move(options), snapshot->revision})) {}
Session::~Session() = default;

void Session::on_client_bytes(BytesView data, Millis now) {
  Impl& s = *impl_;
  ++s.requests;
  const bool first = s.mode == 0;
  if (first) s.mode = data[0];
  if (s.mode == 'e') s.io.send_to_client(Bytes(data));
  if (s.mode == 'b') s.partial += data.size();
  if (s.mode == 't') s.io.arm_timer(now + 50);
  if (s.mode == 'w') s.io.want_image(Cluster::target, now);
  if (s.mode == 'p') s.io.want_predecessors(7, Cluster::target, "tester", now);
  if (s.mode == 'u') {
    if (first) s.io.open_upstream(1, Cluster::source, any_node);
    s.io.send_upstream(1, Bytes(data));
  }
  if (s.mode == 'h' && first) {
    s.held = true;
    ++s.worker.routes[{"default"}].held;
  }
  if (s.mode == 'x') {
    s.io.send_to_client("bye");
    s.io.close_client("asked to");
  }
}
void Session::on_client_writable(Millis) {}
void Session::on_client_closed(Millis) {
  impl_->gone = true;
}
void Session::on_upstream_opened(UpstreamId, Millis) {}
void Session::on_upstream_bytes(UpstreamId, BytesView data, Millis) {
  impl_->io.send_to_client(Bytes(data));
}
void Session::on_upstream_closed(UpstreamId, Millis) {
  impl_->io.close_client("upstream closed");
}
void Session::on_snapshot(std::shared_ptr<const Snapshot> snapshot, Millis) {
  impl_->revision = snapshot->revision;
  if (!impl_->held || impl_->revision < 2) return;
  impl_->held = false;
  --impl_->worker.routes[{"default"}].held;
  impl_->worker.hold_times_ms.push_back(3);
  impl_->io.send_to_client("r");
}
void Session::on_timer(Millis) {
  impl_->io.send_to_client("t");
}
void Session::on_predecessors_answered(std::uint64_t wait, Millis) {
  if (wait == 7) impl_->io.send_to_client("p");
}
void Session::drain(Millis) {
  impl_->io.close_client("drain");
}
bool Session::finished() const {
  return impl_->gone;
}
std::size_t Session::buffered_bytes() const {
  return impl_->partial;
}
std::uint64_t Session::newest_write_elsewhere(Cluster home, std::string_view client_id, Millis) const {
  return owes_write(3) && home == Cluster::target && client_id == "tester" ? 3 : 0;
}
bool Session::owes_write(std::uint64_t up_to) const {
  return impl_->mode == 'o' && impl_->requests == 1 && up_to == 3;
}
SessionInfo Session::info() const {
  return {.peer = impl_->options.peer, .requests = impl_->requests};
}

}  // namespace crossover::proxy

namespace crossover::src {
namespace {

using proxy::Cluster;
using proxy::Millis;
using test::Socket;
using test::Watched;
using namespace std::chrono_literals;

std::shared_ptr<proxy::Snapshot> make_snapshot(std::uint64_t revision,
                                               proxy::RoutePhase phase = proxy::RoutePhase::open) {
  auto snapshot = std::make_shared<proxy::Snapshot>();
  snapshot->revision = revision;
  snapshot->images.fill(std::make_shared<proxy::ClusterImage>());
  snapshot->versions.fill(std::make_shared<proxy::ClusterVersions>());
  snapshot->routes.push_back({.name = "default", .phase = phase});
  return snapshot;
}

struct Bench {
  Watched<std::vector<proxy::WorkerReport>> reports;
  Watched<std::vector<std::pair<Cluster, Millis>>> wants;
  Watched<WorkerTotals> totals;
  std::shared_ptr<MemoryBudget> budget;
  std::unique_ptr<Worker> worker;

  explicit Bench(Worker::Options options = {}, std::int64_t memory = 1 << 30)
      : budget(std::make_shared<MemoryBudget>(memory, 1)) {
    worker = std::make_unique<Worker>(
        std::move(options),
        Worker::Upcalls{
            [this](proxy::WorkerReport report) {
              reports.change([&](auto& all) { all.push_back(std::move(report)); });
            },
            [this](Cluster cluster, Millis at) { wants.change([&](auto& all) { all.emplace_back(cluster, at); }); },
            [](const proxy::WantedBinding&) {},
            [this](const WorkerTotals& now) { totals.change([&](WorkerTotals& all) { all = now; }); }},
        budget, make_snapshot(1));
    worker->start();
  }
  // A TCP connection whose other end the worker has.
  Socket client() {
    Socket listener = test::listen_on_any_port();
    Socket ours = test::connect_to(test::port_of(listener));
    worker->adopt(test::accept_from(listener).release(), std::nullopt, "tester");
    return ours;
  }
};

TEST(Worker, bytes_go_through_the_session_both_ways) {
  Bench bench;
  Socket client = bench.client();
  const std::string data = "e" + std::string(3'000'000, 'x');
  std::jthread sender([&] { EXPECT_TRUE(client.send(data)); });
  EXPECT_EQ(client.receive(data.size()), data);
}

TEST(Worker, an_upstream_is_opened_at_the_first_bootstrap_address_that_answers) {
  Socket broker = test::listen_on_any_port();
  Worker::Options options;
  options.bootstrap[0] = {{"127.0.0.1", test::closed_port()}, {"localhost", test::port_of(broker)}};
  Bench bench(std::move(options));
  Socket client = bench.client();
  ASSERT_TRUE(client.send("u123"));
  Socket upstream = test::accept_from(broker);
  EXPECT_EQ(upstream.receive(4), "u123");
  EXPECT_TRUE(upstream.send("answer"));
  EXPECT_EQ(client.receive(6), "answer");
  EXPECT_TRUE(bench.totals.wait([](const auto& t) { return t.upstream_opened[0] == 1; }));
  upstream = Socket();
  EXPECT_TRUE(client.closed_by_peer());
}

TEST(Worker, an_upstream_that_cannot_be_opened_is_told_to_the_session) {
  Worker::Options options;
  options.bootstrap[0] = {{"127.0.0.1", test::closed_port()}};
  Bench bench(std::move(options));
  Socket client = bench.client();
  ASSERT_TRUE(client.send("u"));
  EXPECT_TRUE(client.closed_by_peer());
  EXPECT_TRUE(bench.totals.wait([](const auto& t) { return t.upstream_failed[0] == 1 && t.closed == 1; }));
}

TEST(Worker, a_client_that_does_not_read_stops_its_upstream_and_memory_stays_bounded) {
  Socket broker = test::listen_on_any_port();
  Worker::Options options;
  options.bootstrap[0] = {{"127.0.0.1", test::port_of(broker)}};
  options.unsent_bytes = 100'000;
  Bench bench(std::move(options));
  Socket client = bench.client();
  ASSERT_TRUE(client.send("u"));
  Socket upstream = test::accept_from(broker);
  ASSERT_EQ(upstream.receive(1), "u");
  const std::string data(64'000'000, 'd');
  std::atomic<std::size_t> sent{0};
  std::jthread sender([&] {
    for (std::size_t at = 0; at < data.size(); at += 64'000) {
      if (!upstream.send(std::string_view(data).substr(at, 64'000))) return;
      sent = at + 64'000;
    }
  });
  std::this_thread::sleep_for(500ms);
  // What the kernel's buffers take on both sides, and no more.
  EXPECT_LT(sent.load(), data.size() / 2);
  EXPECT_LT(bench.budget->used.load(), 2'000'000);
  EXPECT_EQ(client.receive(data.size(), 20s).size(), data.size());
}

TEST(Worker, reports_follow_each_snapshot_and_each_change_while_a_flip_is_under_way) {
  Bench bench;
  bench.worker->publish(make_snapshot(1, proxy::RoutePhase::fenced));
  ASSERT_TRUE(bench.reports.wait([](const auto& all) { return !all.empty() && all.back().revision == 1; }));
  Socket client = bench.client();
  ASSERT_TRUE(client.send("h"));
  ASSERT_TRUE(bench.reports.wait(
      [](const auto& all) { return !all.back().routes.empty() && all.back().routes[0].held == 1; }, 5s));
  bench.worker->publish(make_snapshot(2));
  ASSERT_TRUE(bench.reports.wait([](const auto& all) { return all.back().revision == 2; }));
  const auto last = bench.reports.get().back();
  ASSERT_EQ(last.routes.size(), 1u);
  EXPECT_EQ(last.routes[0].held, 0);
  EXPECT_EQ(last.hold_times_ms, std::vector<Millis>{3});
  EXPECT_EQ(client.receive(1), "r");
}

TEST(Worker, timers_and_wishes_reach_their_ends) {
  Bench bench;
  Socket timer = bench.client();
  ASSERT_TRUE(timer.send("t"));
  EXPECT_EQ(timer.receive(1), "t");
  Socket wish = bench.client();
  ASSERT_TRUE(wish.send("w"));
  ASSERT_TRUE(bench.wants.wait([](const auto& all) { return !all.empty(); }));
  EXPECT_EQ(bench.wants.get()[0].first, Cluster::target);
}

TEST(Worker, a_write_waits_for_those_of_all_workers) {
  Bench one, two;
  one.worker->meet({one.worker.get(), two.worker.get()});
  Socket owing_here = one.client(), owing_there = two.client(), waiting = one.client();
  ASSERT_TRUE(owing_here.send("o") && owing_there.send("o"));
  ASSERT_TRUE(two.totals.wait([](const auto& t) { return t.connections == 1; }));
  ASSERT_TRUE(waiting.send("p"));
  EXPECT_FALSE(waiting.readable(100ms));
  ASSERT_TRUE(owing_there.send("o"));
  EXPECT_FALSE(waiting.readable(100ms));
  owing_here = Socket();  // one that is gone owes nothing
  EXPECT_EQ(waiting.receive(1), "p");
  one.worker->stop();
}

TEST(Worker, a_write_without_predecessors_does_not_wait) {
  Bench bench;
  Socket waiting = bench.client();
  ASSERT_TRUE(waiting.send("p"));
  EXPECT_EQ(waiting.receive(1), "p");
}

TEST(Worker, what_was_said_before_closing_arrives) {
  Bench bench;
  Socket client = bench.client();
  ASSERT_TRUE(client.send("x"));
  EXPECT_EQ(client.receive(3), "bye");
  EXPECT_TRUE(client.closed_by_peer());
  EXPECT_TRUE(bench.totals.wait([](const auto& t) { return t.closed == 1 && t.connections == 0; }));
}

TEST(Worker, a_connection_that_makes_no_progress_is_closed) {
  Worker::Options options;
  options.idle_ms = 300;
  Bench bench(std::move(options));
  Socket client = bench.client();
  EXPECT_TRUE(client.closed_by_peer());
  EXPECT_TRUE(bench.totals.wait([](const auto& t) { return t.closed_idle == 1; }));
}

TEST(Worker, above_the_memory_budget_the_largest_connection_gives_way) {
  Bench bench({}, 2'000'000);
  Socket small = bench.client();
  ASSERT_TRUE(small.send("b" + std::string(500'000, 's')));
  Socket large = bench.client();
  std::jthread sender([&] { large.send("b" + std::string(10'000'000, 'l')); });  // cut off on the way
  EXPECT_TRUE(bench.totals.wait([](const auto& t) { return t.closed_for_memory == 1 && t.connections == 1; }));
  EXPECT_LT(bench.budget->used.load(), 2'000'000);
  EXPECT_FALSE(small.readable(50ms));  // still there
}

TEST(Worker, draining_ends_every_session_and_takes_no_new_one) {
  Bench bench;
  Socket client = bench.client();
  ASSERT_TRUE(client.send("e"));
  ASSERT_EQ(client.receive(1), "e");
  bench.worker->drain();
  EXPECT_TRUE(client.closed_by_peer());
  EXPECT_TRUE(bench.client().closed_by_peer());
  EXPECT_TRUE(bench.totals.wait([](const auto& t) { return t.connections == 0; }));
}

// ---- listeners ----

struct Accepts {
  boost::asio::io_context io;
  std::vector<std::pair<Socket, std::optional<proxy::NodeId>>> accepted;
  Listeners::Accepted handler() {
    return
        [this](int fd, std::optional<proxy::NodeId> broker, std::string) { accepted.emplace_back(Socket(fd), broker); };
  }
};

TEST(Listeners, connections_wait_until_serving_starts_and_know_their_broker) {
  Accepts accepts;
  const std::uint16_t port = test::closed_port();
  Listeners listeners(accepts.io, {"127.0.0.1", port}, accepts.handler());
  ASSERT_EQ(listeners.open(), "");
  Socket early = test::connect_to(port);
  ASSERT_GE(early.fd(), 0);
  accepts.io.run_for(50ms);
  EXPECT_TRUE(accepts.accepted.empty());
  auto snapshot = make_snapshot(1);
  const std::uint16_t broker_port = test::closed_port();
  snapshot->brokers[4] = {.id = 4, .port = broker_port};
  listeners.apply(*snapshot);
  EXPECT_TRUE(listeners.complete());
  listeners.start();
  Socket to_broker = test::connect_to(broker_port);
  ASSERT_GE(to_broker.fd(), 0);
  accepts.io.restart();
  accepts.io.run_for(200ms);
  ASSERT_EQ(accepts.accepted.size(), 2u);
  EXPECT_EQ(accepts.accepted[0].second.has_value() + accepts.accepted[1].second.has_value(), 1);
  listeners.close();
  EXPECT_LT(test::connect_to(broker_port).fd(), 0);
}

TEST(Listeners, a_port_in_use_is_a_clear_error) {
  Socket taken = test::listen_on_any_port();
  Accepts accepts;
  Listeners bootstrap(accepts.io, {"127.0.0.1", test::port_of(taken)}, accepts.handler());
  EXPECT_EQ(bootstrap.open(),
            "cannot listen on 127.0.0.1:" + std::to_string(test::port_of(taken)) + ": Address already in use");
  auto snapshot = make_snapshot(1);
  snapshot->brokers[0] = {.id = 0, .port = test::port_of(taken)};
  bootstrap.apply(*snapshot);
  EXPECT_FALSE(bootstrap.complete());
}

}  // namespace
}  // namespace crossover::src
