// The one place where the virtual cluster's state changes: follows both clusters, folds the control topics, drives
// flips, publishes snapshots. Pure: its driver executes the effects and reports events; one thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "proxy/couplings.h"
#include "proxy/known_ends.h"
#include "proxy/snapshot.h"
#include "proxy/unknown_outcomes.h"

namespace crossover::proxy {

using CallId = std::uint64_t;

class ControllerIo {
 public:
  virtual ~ControllerIo() = default;
  // To every worker; each session sees it before its next event. Workers then report through on_worker_report.
  virtual void publish(std::shared_ptr<const Snapshot> snapshot) = 0;
  // One request to a broker (any_node: whichever answers; bootstrap addresses before the first image). Answered by
  // on_reply exactly once. Requests to one node leave in the order of the calls.
  virtual void request(CallId id, Cluster cluster, NodeId node, ApiKey api, Version version, Bytes body,
                       Millis timeout_ms) = 0;
  // Appends to that cluster's control topic with acks=all. What was written comes back through on_control_record, also
  // for this proxy's own records; on_append_result says that the broker acknowledged it, or that it may not be there.
  virtual void append_control(CallId id, Cluster cluster, Bytes record) = 0;
  // Deletes the records of the control topic below `before`.
  virtual void trim_control(Cluster cluster, Offset before) = 0;
  virtual void arm_timer(Millis at) = 0;  // replaces an earlier one
  // One line per state change: a short event name and key=value pairs.
  virtual void log(std::string_view level, std::string_view event,
                   std::vector<std::pair<std::string, std::string>> fields) = 0;
  // Named points of a flip; tests let the process die there.
  virtual void passed(std::string_view step) = 0;
};

struct ControllerOptions {
  std::string proxy_id;  // this proxy's identity in control records
  std::string advertised_host = "127.0.0.1";
  std::string control_topic = "__crossover_control";
  std::string leases_topic = "__crossover_leases";
  std::int32_t first_port = 9093;  // of virtual broker 0
  std::int32_t port_count = 1000;
  Millis refresh_ms = 1'000;      // image refresh when nobody asks
  Millis hold_budget_ms = 3'500;  // fence to flip record, after which a flip is abandoned
  Millis drain_timeout_ms = 3'000;
  Millis transactions_ms = 10'000;  // how long a flip waits for open transactions to end
  // How long a process of this host that stopped beating before this one's start is waited for; below 0: not at all.
  Millis predecessor_ms = 5'000;
  std::int32_t control_replication = 0;  // of the proxy's own topics; 0: three, or as many as there are brokers
  std::uint64_t seed = 0;                // for the virtual cluster id when there is none yet
};

// What one worker thread knows, sent after it applied a snapshot and whenever a number reached zero.
struct WorkerReport {
  std::size_t worker = 0;
  std::uint64_t revision = 0;  // of the snapshot that all of its sessions have applied
  struct Route {
    DefinedRoute route;
    std::int64_t writes_in_flight = 0;
    std::int64_t held = 0;
  };
  std::vector<Route> routes;
  std::vector<UnknownOutcome> unknown_outcomes;
  std::vector<KnownEnds::Row> known_ends;  // that changed, on clusters that do not answer
  std::vector<Millis> hold_times_ms;
  std::map<std::string, Millis> transactional_ids;        // when this worker's sessions saw each last
  Couplings::Ids couplings;                               // of which something new was learnt
  std::map<std::string, std::int64_t> commits_in_flight;  // by group
  std::set<std::string> ids_in_flight;                    // of those that are held, in the snapshot of that revision
};

struct Gate {
  std::string name;
  bool ok = false;
  std::string detail;
};
struct FlipStep {
  std::string name;  // prepare, widen, brake, abort, fence, drain, boundary, record, release
  double ms = 0;
};
struct FlipPartition {
  std::string topic;
  PartitionIndex partition = 0;
  Offset virtual_boundary = 0;
  Offset closed_end = 0;    // real end on the old home
  Offset opened_start = 0;  // real start on the new home
};
// A transaction that is under way, and whose it is, as clients and their tools see it.
struct OpenTransaction {
  std::string transactional_id;
  ProducerId producer_id = -1;
  ProducerEpoch producer_epoch = -1;
  std::string client_id, peer;   // of the connection that used the id last; empty: none through this proxy
  std::string state;             // the coordinator's word
  std::int64_t started_at = -1;  // ms since 1970, by the coordinator's clock
  std::int32_t timeout_ms = 0;
  std::vector<std::string> topics;
};
// Of the transaction that was aborted, or why none was.
struct AbortReport {
  OpenTransaction transaction;
  Cluster cluster{};        // its home
  std::string error, hint;  // empty: aborted
};
struct FlipReport {
  std::string route;
  std::string direction;  // cutover, rollback, recover
  std::string result;     // done, unchanged (already there), failed, dry_run
  std::string error;      // empty unless failed
  std::int32_t generation = 0;
  std::vector<Gate> gates;
  std::vector<FlipStep> steps;
  std::vector<FlipPartition> partitions;
  std::vector<std::string> added_topics;           // taken over from other routes (FlipWishes::widen)
  std::vector<OpenTransaction> open_transactions;  // that did not end in time
  std::vector<OpenTransaction> aborted;            // FlipWishes::abort_open
  std::vector<Millis> hold_ms;                     // of the requests this flip held
  Cluster recovered_to = Cluster::target;          // of a recovery
};

// What the operator allows a flip to do besides.
struct FlipWishes {
  bool dry_run = false;     // judge the gates, change nothing
  bool widen = false;       // the route takes over what its transactions bind to it from other routes
  bool abort_open = false;  // transactions that do not end in time are aborted, which fences their owners
};

// What a recovery would do, and what it did.
struct RecoveryReport {
  std::string route;
  Cluster from{}, to{};
  std::int32_t generation = 0;
  std::string result;   // refused, unconfirmed (nothing was done), done, failed (nothing was done)
  std::string error;    // empty unless refused or failed
  std::string confirm;  // what is to be said for it to be done; empty where it is refused
  std::vector<Gate> gates;
  struct Partition {
    std::string topic;
    PartitionIndex partition = 0;
    Offset virtual_end = 0;  // where the old home's segment is taken to end
    Offset real_end = 0;
    std::int64_t records_in_doubt = 0;  // at most
  };
  std::vector<Partition> partitions;
  struct InDoubt {      // what one writer has sent and was never answered
    std::string topic;  // empty: of some partition
    PartitionIndex partition = 0;
    std::string client_id;
    ProducerId producer_id = -1;
    ProducerEpoch producer_epoch = -1;
    std::int32_t last_sequence = -1;
    std::int64_t records = 0;
  };
  std::vector<InDoubt> in_doubt;
  std::vector<std::string> transactional_ids;  // that are fenced
  std::vector<std::string> groups;             // that lose what they have committed there
  std::vector<std::string> consequences;       // in words
  std::vector<FlipStep> steps;
  std::vector<Millis> hold_ms;
};

struct RouteDefinition {
  std::string name;
  std::vector<std::string> topics;
};

struct RouteStatus {
  RouteView view;
  std::vector<std::string> topics;  // empty for default: "all the rest"
  bool recovered = false;           // it came to its home without the word of the one before
  bool flip_running = false;
  std::string flip_step;
  std::vector<RouteCoupling> couplings;  // bounded, torn ones first
  std::size_t coupling_count = 0;
  std::vector<FlipReport> history;  // latest last, bounded
};

class Controller {
 public:
  Controller(ControllerIo& io, ControllerOptions options, std::size_t workers);
  ~Controller();

  void start(Millis now);
  void on_reply(CallId id, std::optional<Bytes> body,
                Millis now);  // nullopt: no answer (the request may have been seen)
  void on_append_result(CallId id, bool acknowledged, Millis now);
  void on_control_record(Cluster cluster, Offset offset, BytesView record, Millis now);
  // The control topic was read to the end it had at start; called once per cluster when it becomes readable.
  void on_control_caught_up(Cluster cluster, Millis now);
  void on_worker_report(const WorkerReport& report, Millis now);
  void on_want_image(Cluster cluster, Millis not_before, Millis now);
  void on_want_binding(const WantedBinding& wanted, Millis now);
  void on_timer(Millis now);

  using FlipDone = std::function<void(FlipReport)>;
  void flip(const std::string& route, Cluster to, FlipWishes wishes, FlipDone done, Millis now);
  // As the coordinator does to an older instance: the owner is fenced, its transaction aborted.
  using AbortDone = std::function<void(AbortReport)>;
  void abort_transaction(const std::string& transactional_id, AbortDone done, Millis now);
  // Takes a route to the other cluster without the word of its home, which does not answer any more. Without the words
  // that the report asks for, nothing is done.
  using RecoveryDone = std::function<void(RecoveryReport)>;
  void recover(const std::string& route, const std::string& confirm, RecoveryDone done, Millis now);
  using Done = std::function<void(std::string error)>;  // empty: done
  void define_route(RouteDefinition definition, Done done, Millis now);
  void delete_route(const std::string& route, Done done, Millis now);

  bool ready() const;  // control state loaded, and the home cluster of every route serves
  bool reachable(Cluster cluster) const;
  std::vector<RouteStatus> routes() const;
  std::shared_ptr<const Snapshot> snapshot() const;
  // Writes that lie outside every open segment, by partition ("a stranger's write is noticed").
  struct Stranger {
    std::string topic;
    PartitionIndex partition;
    Cluster cluster;
    Offset first;
    std::int64_t count;
  };
  std::vector<Stranger> strangers() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace crossover::proxy
