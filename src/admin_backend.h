// What the admin endpoint may ask of the running proxy. Implemented by Runtime; the admin server knows nothing else.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "proxy/controller.h"
#include "proxy/session.h"

namespace crossover::src {

// Everything that GET /v1/status shows, taken at one instant on the controller's thread.
struct StatusView {
  bool ready = false;
  std::array<bool, 2> reachable{};
  std::shared_ptr<const proxy::Snapshot> snapshot;
  std::vector<proxy::RouteStatus> routes;
  std::vector<proxy::Controller::Stranger> strangers;
  proxy::WorkerState::Counters counters;  // summed over workers
  std::size_t connections = 0;
  std::string version;
  double uptime_s = 0;
  bool draining = false;
};

// Any thread may call; callbacks run on an unspecified thread, exactly once.
class AdminBackend {
 public:
  virtual ~AdminBackend() = default;
  virtual void status(std::function<void(StatusView)> done) = 0;
  virtual void connections(std::function<void(std::vector<proxy::SessionInfo>)> done) = 0;
  virtual void flip(std::string route, proxy::Cluster to, proxy::FlipWishes wishes,
                    proxy::Controller::FlipDone done) = 0;
  virtual void abort_transaction(std::string transactional_id, proxy::Controller::AbortDone done) = 0;
  virtual void recover(std::string route, std::string confirm, proxy::Controller::RecoveryDone done) = 0;
  virtual void define_route(proxy::RouteDefinition definition, proxy::Controller::Done done) = 0;
  virtual void delete_route(std::string route, proxy::Controller::Done done) = 0;
  virtual std::string metrics() = 0;                       // Prometheus text format
  virtual bool set_log_level(std::string_view level) = 0;  // false: unknown level
};

}  // namespace crossover::src
