// What Prometheus sees. Names stand in one table in metrics.cc; labels take few values, whatever clients do.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "proxy/controller.h"
#include "src/worker.h"

namespace crossover::src {

class Metrics {
 public:
  Metrics(std::string version, std::size_t workers);
  ~Metrics();

  // From any thread.
  void on_worker_totals(std::size_t worker, const WorkerTotals& totals);
  void on_hold_times(const std::vector<proxy::Millis>& hold_ms);
  void on_flip(const proxy::FlipReport& report);
  void on_control_append(bool acknowledged);
  // Values read at the moment of the scrape.
  struct Now {
    std::array<bool, 2> reachable{};
    bool ready = false;
    std::vector<proxy::RouteView> routes;
    std::vector<std::pair<std::string, proxy::Cluster>> unknown_outcomes;  // route and cluster that have any
    std::int64_t stranger_records = 0;
    std::int64_t buffered_bytes = 0;
    double uptime_s = 0;
  };
  void set(const Now& now);
  std::string text();

 private:
  struct Families;
  std::mutex mutex_;  // guards what is not a metric by itself; nothing here is on a hot path
  std::unique_ptr<Families> families_;
  std::vector<WorkerTotals> last_;
};

}  // namespace crossover::src
