// A proxy that the admin endpoint can be pointed at in tests: two routes, three topics, a history of flips. It keeps
// what it was asked, and its flips move its segments.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "src/admin_backend.h"

namespace crossover::tests {

class FakeAdmin : public src::AdminBackend {
 public:
  FakeAdmin();

  void status(std::function<void(src::StatusView)> done) override;
  void connections(std::function<void(std::vector<proxy::SessionInfo>)> done) override;
  void flip(std::string route, proxy::Cluster to, proxy::FlipWishes wishes, proxy::Controller::FlipDone done) override;
  void abort_transaction(std::string transactional_id, proxy::Controller::AbortDone done) override;
  void recover(std::string route, std::string confirm, proxy::Controller::RecoveryDone done) override;
  void define_route(proxy::RouteDefinition definition, proxy::Controller::Done done) override;
  void delete_route(std::string route, proxy::Controller::Done done) override;
  std::string metrics() override { return "# TYPE crossover_up gauge\ncrossover_up 1\n"; }
  bool set_log_level(std::string_view level) override;

  // Changes what is shown; safe while a server uses it.
  template <typename Change>
  void change(Change change_view) {
    const std::lock_guard lock(mutex_);
    change_view(view_);
  }
  // The parts of a flip, for a fake that takes its time.
  proxy::FlipReport plan(const std::string& route, proxy::Cluster to, bool dry_run);
  void show_step(const std::string& route, proxy::RoutePhase phase, const std::string& step);
  void finish(const std::string& route, proxy::Cluster to, proxy::FlipReport& report);

  std::vector<std::string> calls;  // "flip orders target dry_run", ...
  std::vector<proxy::SessionInfo> sessions;
  bool gate_fails = false;
  std::string change_error;  // of define_route and delete_route, and of abort_transaction
  bool home_answers = true;  // a recovery is refused

 private:
  std::mutex mutex_;
  src::StatusView view_;
};

}  // namespace crossover::tests
