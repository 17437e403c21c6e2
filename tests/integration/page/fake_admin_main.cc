// The real command line and admin server over a made-up proxy, for the tests of the page and of the command line: no
// Kafka is needed, and what is shown is rich. Its flips take their time, so that the steps can be watched.
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <thread>

#include "src/admin_server.h"
#include "src/cli.h"
#include "src/runtime.h"
#include "tests/unit/admin_fake.h"

namespace crossover::tests {
namespace {

using namespace std::chrono_literals;

class SlowFake : public FakeAdmin {
 public:
  SlowFake() {
    change([](src::StatusView& view) { view.strangers.push_back({"orders", 3, proxy::Cluster::target, 18'512, 3}); });
  }
  ~SlowFake() override {
    for (std::thread& thread : flips_) thread.join();
  }

  void flip(std::string route, proxy::Cluster to, proxy::FlipWishes wishes, proxy::Controller::FlipDone done) override {
    proxy::FlipReport report = plan(route, to, wishes.dry_run);
    if (!report.result.empty()) return done(report);
    flips_.emplace_back([this, route, to, report, done]() mutable {
      for (const char* step : {"prepare", "fence", "drain", "boundary", "record", "release"}) {
        const bool open = std::string_view(step) == "prepare";
        const bool releasing = std::string_view(step) == "release";
        show_step(route,
                  open        ? proxy::RoutePhase::open
                  : releasing ? proxy::RoutePhase::releasing
                              : proxy::RoutePhase::fenced,
                  step);
        std::this_thread::sleep_for(300ms);
        report.steps.push_back({step, 300.25});
      }
      for (int i = 0; i < 250; ++i) report.hold_ms.push_back(900 + i % 97);
      show_step(route, proxy::RoutePhase::open, "");
      finish(route, to, report);
      done(report);
    });
  }

  // Load that rises and falls, so that the page has something to draw.
  void pass_time(double seconds) {
    ++ticks_;
    change([&](src::StatusView& view) {
      const auto wave = static_cast<std::uint64_t>(400 + 150 * ((ticks_ / 10) % 7));
      view.uptime_s += seconds;
      view.counters.requests += wave / 10;
      view.counters.produce_records += wave;
      view.counters.bytes_in += wave * 310;
      view.counters.bytes_out += wave * 655;
      view.counters.held_requests += (ticks_ / 30) % 5 == 0 ? 3 : 0;
    });
  }

 private:
  std::vector<std::thread> flips_;
  std::uint64_t ticks_ = 0;
};

std::atomic<bool> stop_asked{false};

}  // namespace
}  // namespace crossover::tests

namespace crossover::src {

int run_proxy(const config::Config& config) {
  using namespace std::chrono_literals;
  tests::SlowFake fake;
  AdminServer server(fake, {config.admin.listen, {config.admin.allowed_hosts, [] { return proxy::Millis{71'000}; }}});
  if (const std::string error = server.start(); !error.empty()) {
    std::fprintf(stderr, "%s\n", error.c_str());
    return 1;
  }
  std::printf("admin endpoint at port %d\n", server.port());
  std::fflush(stdout);
  std::signal(SIGTERM, [](int) { tests::stop_asked = true; });
  while (!tests::stop_asked) {
    std::this_thread::sleep_for(100ms);
    fake.pass_time(0.1);
  }
  server.stop();
  return 0;
}

}  // namespace crossover::src

int main(int argc, char** argv) {
  return crossover::src::run_command(argc, argv);
}
