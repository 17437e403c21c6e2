// One proxy process in the simulation: workers with their sessions, the controller, and the control topics it reads.
// Plays the part of the threads and sockets around the pure core, and may die at any moment.
#pragma once

#include <deque>
#include <functional>
#include <set>

#include "proxy/controller.h"
#include "proxy/predecessors.h"
#include "proxy/session.h"
#include "tests/sim/network.h"

namespace crossover::sim {

using Side = proxy::Cluster;
using proxy::Millis;

// One cluster's control topic. Lives as long as the world does; proxies come and go.
struct ControlTopic {
  std::deque<Bytes> records;
  Offset start = 0;
  bool available = true;
  std::vector<std::function<void()>> readers;  // told when something changed
  Offset end() const { return start + static_cast<Offset>(records.size()); }
  void changed() {
    const auto told = readers;
    for (const auto& tell : told) tell();
  }
};

// A client's end of a connection to the proxy.
struct ClientEnd {
  std::shared_ptr<Pipe> to_proxy, to_client;
};

struct ProxySurroundings {
  Events& events;
  Random& random;
  std::array<ClusterNet*, 2> nets;
  std::array<ControlTopic*, 2> topics;
  std::function<void(const std::string& line)> log;  // may be empty
  std::function<void(std::string_view step)> passed;
  bool calm = false;  // no fault happens
  bool slow_workers = false;
};

class ProxyProcess : public std::enable_shared_from_this<ProxyProcess> {
 public:
  static constexpr int bootstrap_port = 9092;
  static constexpr int first_port = 9093;

  ProxyProcess(ProxySurroundings around, std::uint64_t generation);
  ~ProxyProcess();
  void start();
  void die();  // every connection breaks; what was sent to brokers may still arrive
  // nullopt: refused.
  std::optional<ClientEnd> accept(int port);
  void reset_some_client();
  void cut_some_client();  // at some byte of what passes next
  // Sends effects nowhere from now on: the process dies inside the present event.
  void freeze() { frozen_ = true; }

  proxy::Controller& controller() { return *controller_; }
  std::int64_t held() const;
  const std::vector<proxy::WorkerState>& worker_states() const { return states_; }

 private:
  struct Worker;
  class Connection;
  class Io;
  class OwnLink;
  friend class Connection;
  friend class Io;
  friend class OwnLink;

  void publish(std::shared_ptr<const proxy::Snapshot> snapshot);
  void apply(std::size_t worker, std::shared_ptr<const proxy::Snapshot> snapshot);
  void report(std::size_t worker);
  void note_state(std::size_t worker);
  void tick(std::size_t worker);
  void want_image(Side side, Millis not_before);
  void want_binding(const proxy::WantedBinding& wanted);
  void want_predecessors(std::size_t worker, std::uint64_t connection, std::uint64_t wait, Side home,
                         const std::string& client_id, Millis arrived_at);
  void check_writes(std::size_t worker);
  void append(proxy::CallId id, Side side, Bytes record);
  void read_control(Side side);
  void arm_controller(Millis at);
  void controller_event(std::function<void()> act);
  NodeId pick_node(Side side, NodeId node, const proxy::Snapshot& snapshot);
  std::function<void()> guarded(std::function<void()> act);

  ProxySurroundings around_;
  std::uint64_t generation_;
  bool frozen_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<Io> io_;
  std::vector<proxy::WorkerState> states_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<proxy::Controller> controller_;
  Millis controller_due_ = -1;
  std::uint64_t controller_timer_ = 0;
  struct Reader {
    Offset at = 0;
    Offset end_at_start = -1;
    bool caught_up = false, busy = false;
  };
  std::array<Reader, 2> readers_;
  std::array<Micros, 2> last_arrival_{};  // of control records, by side
  Micros late_when_dead_ = 0;             // how much later they come when this process is dead by then
  std::map<std::pair<Side, NodeId>, std::shared_ptr<OwnLink>> links_;
};

}  // namespace crossover::sim
