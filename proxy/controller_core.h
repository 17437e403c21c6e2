// The inside of the controller: what its coroutines (watching clusters, keeping records, flipping) share.
#pragma once

#include <list>
#include <set>

#include "protocol/codec.h"
#include "protocol/messages_group.h"
#include "protocol/messages_transaction.h"
#include "proxy/control_state.h"
#include "proxy/controller.h"
#include "proxy/session.h"
#include "proxy/task.h"

namespace crossover::protocol {
struct FetchResponse;
}

namespace crossover::proxy {

// "a-0, b-3 and 7 more"
std::string some_of(const std::vector<std::string>& names);
// "orders-0"
std::string place_name(const std::string& topic, PartitionIndex p);
// "shop (producer 4, epoch 2, Ongoing since 07:50:12 UTC, client orders-app at 10.0.0.7:40112, writes to orders)"
std::string owners_of(const std::vector<OpenTransaction>& open);
bool all_green(const FlipReport& report);

class Controller::Impl {
 public:
  Impl(ControllerIo& io, ControllerOptions options, std::size_t workers);

  void start(Millis now);
  void on_reply(CallId id, std::optional<Bytes> body, Millis now);
  void on_append_result(CallId id, bool acknowledged, Millis now);
  void on_control_record(Cluster cluster, Offset offset, BytesView record, Millis now);
  void on_control_caught_up(Cluster cluster, Millis now);
  void on_worker_report(const WorkerReport& report, Millis now);
  void on_want_image(Cluster cluster, Millis not_before, Millis now);
  void on_want_binding(const WantedBinding& wanted, Millis now);
  void on_timer(Millis now);
  void flip(const std::string& route, Cluster to, FlipWishes wishes, FlipDone done, Millis now);
  void abort_transaction(const std::string& transactional_id, AbortDone done, Millis now);
  void recover(const std::string& route, const std::string& confirm, RecoveryDone done, Millis now);
  void define_route(RouteDefinition definition, Done done, Millis now);
  void delete_route(const std::string& route, Done done, Millis now);

  bool ready() const;
  bool reachable(Cluster c) const { return images_[index_of(c)]->reachable; }
  std::vector<RouteStatus> routes() const;
  std::shared_ptr<const Snapshot> snapshot() const { return snapshot_; }
  std::vector<Stranger> strangers() const { return strangers_; }

 private:
  // --- waiting: a coroutine goes on when its condition holds, or at its deadline ---
  class Until {
   public:
    Until(Impl& impl, std::function<bool()> condition, Millis deadline)
        : impl_(impl), condition_(std::move(condition)), deadline_(deadline) {}
    Until(const Until&) = delete;
    ~Until() { impl_.waiting_.remove(this); }
    bool await_ready() const { return condition_(); }
    void await_suspend(std::coroutine_handle<> h) {
      handle_ = h;
      impl_.waiting_.push_back(this);
    }
    bool await_resume() const { return condition_(); }  // false: the deadline came first

   private:
    friend class Impl;
    Impl& impl_;
    std::function<bool()> condition_;
    Millis deadline_;
    std::coroutine_handle<> handle_;
  };
  friend class Until;
  void settle();  // lets every coroutine whose condition holds go on
  void spawn(Task<> task);

  // --- asking the clusters ---
  struct Reply {
    bool done = false;
    std::optional<Bytes> body;
  };
  using Pending = std::shared_ptr<Reply>;
  Pending ask(Cluster cluster, NodeId node, ApiKey api, Version version, Bytes body, Millis timeout_ms);
  // The typed answer; nullopt when none came in time or it did not parse.
  template <class T, class Q>
  Task<std::optional<T>> ask_for(Cluster cluster, NodeId node, Version version, Q question, Millis timeout_ms);
  template <class T>
  Task<std::optional<T>> answer_to(Pending pending, Version version, Millis timeout_ms);

  // A control record, given its place; no bytes: nothing is to be written after all.
  using Encode = std::function<Bytes(const control_record::Chain&)>;

  // --- watching (controller_watch.cc) ---
  Task<> watch(Cluster cluster);
  Task<bool> refresh_versions(Cluster cluster);
  Task<bool> refresh_image(Cluster cluster);
  std::string wrong_clusters() const;  // empty: nothing
  Task<> keep_records();
  Task<bool> keep_records_of(Cluster log);
  Encode identity(Cluster log) const;
  Encode missing_fact(Cluster log) const;
  Bindings missing_bindings(Cluster log) const;
  Encode new_broker(Cluster log) const;
  struct EndedTopic {
    std::string name, reason;
    Uuid virtual_id;
    std::optional<Cluster> only_on;  // away from home: its closed segments there are lost, and the log goes on
  };
  Task<std::optional<EndedTopic>> find_ended_topic(Cluster log);
  void log_ended(const EndedTopic& ended, Cluster log);
  Task<std::size_t> brokers_that_agree(Cluster cluster, std::string topic, Uuid real_id);
  struct Ended {
    std::string topic;
    Uuid real_id;
    Cluster cluster{}, log{};  // where it ended, and which log is to say so
    auto operator<=>(const Ended&) const = default;
  };
  Task<bool> keep_snapshot(Cluster log, Offset seen, Millis deadline);
  bool missed_recovery(Cluster log) const;
  // --- writes past the proxy (controller_strangers.cc) ---
  struct Place {
    std::string topic;
    PartitionIndex partition = 0;
    Cluster cluster{};
    std::optional<Offset> closed_end;  // of the latest segment there
  };
  Task<> watch_strangers();
  Task<> look_for_strangers();
  void note_first_ends();
  Offset expected_end(const Place& place, Offset seen);
  std::map<std::pair<Cluster, NodeId>, std::vector<Place>> places_away_from_home() const;

  // --- leases (controller_lease.cc) ---
  struct LeaseLog {
    Offset next = -1;  // to be read; -1: from the start
    Offset own = -1;   // this proxy's first heartbeat that was not read back yet
    Millis own_sent_at = -1;
    bool caught_up = false;  // what stood there at start, or since the log was cut, was read
    Millis read_at = -1;     // every heartbeat sent until then was read; -1: what stood there at start was not
  };
  struct OtherProxy {
    Millis heard_at = -1;
    bool beats = false;  // since this proxy started
  };
  Task<> keep_lease(Cluster cluster);
  Task<bool> beat(Cluster cluster);
  Task<> read_others(Cluster cluster);
  void read_anew(Cluster cluster);
  void read_heartbeats(const protocol::FetchResponse& answer, Cluster cluster);
  void note_heartbeat(const std::string& proxy_id, bool new_one);
  Task<> recreate_leases(Cluster cluster);
  NodeId leases_leader(Cluster cluster) const;  // -1: none
  Millis others_read_at() const;
  bool may_live(const std::string& proxy_id, const OtherProxy& other, Millis read_at) const;
  bool may_be_predecessor(const std::string& proxy_id, const OtherProxy& other) const;
  bool awaits_predecessor() const;
  bool others_known() const;
  std::string other_proxies(std::vector<Cluster> read_on = {Cluster::source, Cluster::target}) const;

  std::optional<Version> version_of(Cluster cluster, ApiKey api, VersionRange wanted) const;

  using PlaceNames = std::set<std::pair<std::string, PartitionIndex>>;
  using DescribedProducers =
      std::map<std::pair<std::string, PartitionIndex>, std::vector<protocol::DescribeProducersResponse::ProducerState>>;
  // Those that answered without an error; one request per leader, all under way together.
  Task<DescribedProducers> describe_producers(Cluster cluster, std::map<NodeId, PlaceNames> by_leader);

  // --- control records (controller.cc) ---
  enum class Written { accepted, ignored, unknown };
  Task<Written> append(Cluster log, Encode encode, Millis deadline);
  static Encode only_behind(Offset seen, Encode encode);
  CallId begin_append(Cluster log, Bytes record);  // its result is in appends_ until it is erased there
  Task<bool> append_part(Cluster log, Bytes part, Millis deadline);
  Task<> claim(Cluster log);
  // A change of the definitions, or why it may not be.
  using ChangeRoutes = std::function<std::string(ControlState&)>;
  void change_routes(ChangeRoutes change, Done done);
  Task<> write_routes(ChangeRoutes change, Done done);
  void refold();
  bool any_log_ready() const { return caught_up_[0] || caught_up_[1]; }

  // --- the snapshot (controller_snapshot.cc) ---
  void publish();
  void fill_brokers(Snapshot& snapshot) const;
  std::string brokers_without_port() const;
  void fill_routes(Snapshot& snapshot) const;
  void fill_topics(Snapshot& snapshot) const;
  LeaderEpoch epoch_at_fence(const RouteState& route, const std::string& topic, std::size_t partition) const;
  bool made_anew(const std::string& name, const TopicState& topic, Cluster c) const;

  // --- transactional ids, and groups' offsets (controller_bindings.cc) ---
  // What a coordinator says of a transactional id.
  struct KnownId {
    ProducerName name;
    std::string state;  // empty: it knows none of that name
    std::int32_t timeout_ms = 0;
    std::vector<std::string> topics;  // of its open transaction
    std::int64_t started_at = -1;     // of that, ms since 1970 by the coordinator's clock
    // What its client used last on partitions that do not move along, on its home.
    std::map<std::pair<std::string, PartitionIndex>, std::int32_t> sequences;
    bool open() const { return state == "Ongoing" || state.starts_with("Prepare"); }
  };
  using KnownIds = std::map<std::string, KnownId>;
  using Coordinators = std::map<std::string, NodeId>;
  static constexpr std::int8_t group_kind = 0, transaction_kind = 1;  // FindCoordinator's key types
  Task<Coordinators> coordinators(Cluster cluster, std::int8_t kind, std::vector<std::string> names);
  Task<std::optional<Coordinators>> listed_ids(Cluster cluster);
  Task<std::optional<KnownIds>> describe_ids(Cluster cluster, Coordinators ids);
  Task<std::optional<KnownIds>> find_and_describe_ids(Cluster cluster, std::vector<std::string> ids);
  static constexpr Millis move_ms = 3'000;  // for what moves by itself: below what a session holds a request for
  Task<std::optional<std::map<std::string, ProducerName>>> names_there(Cluster cluster, Coordinators ids);
  Task<std::string> initialise_at(Cluster to, const KnownIds& ids, Millis deadline, Coordinators& nodes,
                                  std::map<std::string, ProducerName>& names);
  Task<bool> initialise_ids(Cluster to, const KnownIds& ids, Millis deadline,
                            std::map<std::string, ProducerName>& names, std::string& problem);
  TransactionalBinding moved(const std::string& id, const KnownId& known, ProducerName real, Cluster to) const;
  // Their requests are held from now on, those of `braking` that belong to an open transaction excepted; true once no
  // request that would be held is in flight.
  Task<std::set<std::string>> hold_ids(std::set<std::string> ids, RoutePhase phase, Millis deadline);
  void let_ids_go(const std::set<std::string>& ids);
  bool any_in_flight(const std::set<std::string>& ids) const;
  Task<std::string> learn_sequences(Cluster from, KnownIds& ids, PlaceNames but);
  std::map<ProducerId, std::string> owners_of_names(const KnownIds& ids) const;
  // What a partition's leader says of a transactional id's producer, in its clients' terms; nullopt: it is of another
  // name than the id's present one, or nothing of it counts any more.
  std::optional<std::pair<ProducerName, std::int32_t>> last_of_client(
      const std::string& id, const PartitionView& view, const std::string& topic, PartitionIndex partition,
      const protocol::DescribeProducersResponse::ProducerState& producer) const;
  std::set<WantedBinding> take_wanted(Bound what);
  bool wants(Bound what) const;
  Task<> move_wanted_ids();
  Task<> move_wanted_offsets();
  Task<> move_ids(std::map<std::string, bool> fresh, Cluster to);  // by id: WantedBinding::fresh
  Task<bool> move_held_ids(std::map<std::string, bool> fresh, Cluster to);
  Task<> move_offsets(std::string group, Cluster to);
  Task<std::optional<protocol::OffsetFetchResponse>> settled_offsets(std::string group, Cluster cluster);
  Task<bool> copy_offsets(std::string group, Cluster from, Cluster to, Millis deadline);
  Task<bool> write_offsets(std::string group, Cluster to, protocol::OffsetCommitRequest commits);
  Task<bool> write_offsets_in_transaction(std::string group, Cluster to, protocol::OffsetCommitRequest commits);
  Task<bool> record_move(Bindings moved, Cluster from);
  // `repeated`: the other log has it already, so that a doubt may stay.
  Task<bool> record_bindings(Bindings moved, Cluster log, bool repeated);

  // --- flips (controller_flip.cc, controller_gates.cc, controller_boundary.cc, controller_couplings.cc) ---
  struct Flip {
    RouteState route;              // as before
    std::int64_t definitions = 0;  // of routes, as before
    std::uint64_t foreign_records = 0;
    Cluster from, to;
    FlipWishes wishes;
    bool recovers = false;
    FlipReport report;
    Millis began = 0, step_began = 0, fenced_at = 0;
    struct Place {
      std::string topic;
      PartitionIndex partition = 0;
      NodeId old_leader = -1, new_leader = -1;
      LeaderEpoch old_epoch = -1, new_epoch = -1;
      Offset old_end = -1, new_end = -1;
      std::shared_ptr<ProducerTable> producers;
    };
    std::vector<Place> places;
    std::map<std::string, TopicState> topics;   // as after
    std::set<std::string> added;                // topics of other routes that this one takes over
    KnownIds known;                             // all ids on the old home
    std::set<std::string> absent;               // ids that its coordinators do not know, although they were used
    std::map<ProducerId, std::string> owners;   // of the names in `known`
    KnownIds ids;                               // those that move along
    std::set<std::string> held;                 // ids of which nothing can begin a transaction any more
    KnownIds rested;                            // the ids that move as they were when nothing of theirs was under way
    std::map<std::string, ProducerName> names;  // which the new home has given them
    Bindings bindings;                          // as after
    bool holds_moves = false, braked = false;

    NodeId leader(const Place& place, Cluster cluster) const {
      return cluster == from ? place.old_leader : place.new_leader;
    }
    PlaceNames names_of_places() const {
      PlaceNames named;
      for (const Place& place : places) named.emplace(place.topic, place.partition);
      return named;
    }
  };
  Task<> run_flip(std::string route, Cluster to, FlipWishes wishes, FlipDone done);
  std::string why_no_flip(const RouteState& route, Cluster to) const;
  std::string home_in_doubt(Cluster home) const;
  Task<bool> prepare(Flip& flip);
  Task<bool> gates(Flip& flip);
  Task<> doubt_gate(Flip& flip);
  std::vector<UnknownOutcome> unknown_outcomes(const Flip& flip, Cluster cluster) const;
  Task<std::vector<UnknownOutcome>> still_in_doubt(Cluster cluster, std::vector<UnknownOutcome> lost);
  Task<> history_gate(Flip& flip);
  const Segment* last_history(const Flip& flip, const Flip::Place& place) const;
  bool continues_history(Flip& flip, const Flip::Place& place);
  Task<> transaction_gate(Flip& flip);
  using ProducerIds = std::set<ProducerId>;
  Task<> new_home_gate(Flip& flip);
  Task<ProducerIds> taken_over_there(const Flip& flip);
  // Of a home that cannot describe its transactional ids: why it cannot be left; empty: none was seen.
  std::string ids_bound_to_home() const;
  Task<> keep_tombstones(Flip& flip);
  Task<std::optional<std::set<std::string>>> forgetful_topics(Cluster cluster, const std::set<std::string>& topics);
  Task<bool> raise_delete_retention(Cluster cluster, const std::set<std::string>& topics);
  void gate(Flip& flip, std::string name, bool ok, std::string detail);
  void find_places(Flip& flip);
  bool concerns(const Flip& flip, const TopicView& topic) const;
  bool taken(std::uint64_t revision) const;  // every worker's sessions have that snapshot
  // And none of them has any more of that which may concern the route.
  bool none_left(const std::string& route, std::uint64_t revision, std::int64_t RouteLoad::*load) const;
  Task<bool> come_to_rest(Flip& flip, Millis& deadline);
  Task<bool> brake(Flip& flip, Millis deadline);
  bool may_write_here(const Flip& flip, const KnownId& id) const;
  std::vector<std::string> unlisted_ids(const Flip& flip, const Coordinators& listed) const;
  Task<std::optional<std::vector<OpenTransaction>>> look_at_ids(Flip& flip);
  Task<bool> hold_those_that_move(Flip& flip, Millis deadline);
  Task<bool> none_open(Flip& flip, Millis deadline);
  Task<bool> ids_since_the_start(Flip& flip);
  Task<bool> ids_at_rest(Flip& flip, bool& again);
  void release_ids(Flip& flip);
  Task<bool> fence_and_drain(Flip& flip, Millis deadline);
  std::optional<std::pair<ProducerId, ProducerEntry>> virtual_state(
      const Flip& flip, const Flip::Place& place, const PartitionView& view,
      const protocol::DescribeProducersResponse::ProducerState& producer) const;
  Task<bool> same_places(Flip& flip);
  Task<bool> boundary(Flip& flip, Millis deadline);
  struct AskedEnds {
    Cluster cluster{};
    std::int32_t replica = 0;
    std::optional<Version> version;
    std::vector<std::pair<NodeId, Pending>> leaders;
  };
  AskedEnds ask_log_ends(const Flip& flip, Cluster cluster, std::int32_t replica);
  Task<std::string> told_log_ends(const Flip& flip, AskedEnds asked, std::vector<Offset>& ends);
  Task<bool> log_ends(Flip& flip, Cluster cluster, std::int32_t replica, std::vector<Offset>& ends);
  Task<std::string> find_new_ends(Flip& flip, Millis deadline, const ProducerIds& spared);
  Task<bool> producer_states(Flip& flip);
  void splice(Flip& flip);
  Task<bool> record(Flip& flip, Millis deadline);
  Task<bool> write_flip(Flip& flip, Cluster log, bool opening, Millis deadline);
  Task<bool> settle_doubt(Cluster log);
  Task<> open_and_release(Flip& flip);
  Task<> release(Flip& flip);
  Task<> finish_open_flips();

  // What a flip's transactions bind to its route, beyond its own topics: by topic, a transactional id that does.
  using Bonds = std::map<std::string, std::string>;
  void learn(const Couplings::Ids& couplings);
  bool belongs(const Flip& flip, const std::string& transactional_id) const;
  Bonds bonds(const Flip& flip) const;
  bool find_added(Flip& flip);
  void coupling_gate(Flip& flip);
  Task<bool> widen(Flip& flip);
  void show_couplings(const RouteState& route, RouteStatus& status) const;

  // --- transactions that do not end (controller_aborts.cc) ---
  OpenTransaction owned(const std::string& transactional_id, const KnownId& known) const;
  Task<bool> abort_open(Flip& flip, std::vector<OpenTransaction> open);
  Task<DescribedProducers> open_at_leaders(const Flip& flip, Cluster cluster);
  Task<std::vector<std::string>> hanging(const Flip& flip);
  Task<bool> none_hanging(Flip& flip);
  std::string hanging_error(const Flip& flip, const std::vector<std::string>& where) const;
  Task<std::string> unstable_error(const Flip& flip, const PlaceNames& behind, const ProducerIds& spared);
  Task<> run_abort(std::string transactional_id, AbortDone done);

  void begin_step(Flip& flip, std::string name);
  void end_step(Flip& flip);
  void refuse(Flip& flip);
  void conclude(Flip& flip);
  void fail(Flip& flip, std::string error);
  void set_phase(const std::string& route_id, RoutePhase phase);

  // --- recoveries (controller_recover.cc) ---
  Task<> watch_home_ends();
  Task<> look_at_home_ends(Cluster cluster);
  Task<> run_recovery(std::string route, std::string confirm, RecoveryDone done);
  Task<std::string> old_home_answers(Flip& flip);
  std::string why_not_now(const Flip& flip) const;
  Task<> recovery_gates(Flip& flip);
  void topic_gates(Flip& flip);
  Task<> plan_recovery(Flip& flip, RecoveryReport& plan);
  std::vector<std::string> find_known_ends(Flip& flip) const;
  std::vector<std::string> ids_of(const Flip& flip) const;
  std::vector<std::string> groups_to_rebind(const Flip& flip) const;
  std::vector<RecoveryReport::InDoubt> in_doubt(const Flip& flip) const;
  std::int64_t unanswered(const Flip& flip) const;
  void name_doubts(const Flip& flip, RecoveryReport& plan) const;
  void doubt_of_old_home_gate(Flip& flip);
  Task<bool> do_recover(Flip& flip);
  Task<bool> fence_ids(Flip& flip);
  Task<bool> sever(Flip& flip);
  Task<bool> new_ends(Flip& flip);
  void conclude_recovery(Flip& flip, RecoveryReport& plan);

  ControllerIo& io_;
  ControllerOptions options_;
  Millis now_ = 0;
  std::uint64_t next_id_ = 1;

  std::list<Until*> waiting_;
  std::list<Task<>> tasks_;
  bool settling_ = false;
  std::map<CallId, Pending> calls_;

  std::array<std::shared_ptr<const ClusterImage>, 2> images_;
  std::array<std::shared_ptr<const ClusterVersions>, 2> versions_;
  std::array<Millis, 2> wanted_at_{-1, -1};
  std::array<bool, 2> versions_fresh_{};
  std::string reported_wrong_clusters_, reported_without_port_;

  std::array<ControlLog, 2> logs_;
  std::array<bool, 2> caught_up_{};
  std::array<bool, 2> claimed_{};  // and no record of an earlier process can be accepted any more
  std::array<bool, 2> writing_{};
  std::map<CallId, std::optional<bool>> appends_;
  std::map<Ended, Millis> ended_since_;  // according to all brokers that answered, without a break
  std::uint64_t foreign_records_ = 0;    // of other proxies, since the logs were first read
  ControlState state_;                   // both logs together

  std::shared_ptr<const Snapshot> snapshot_;
  std::uint64_t revision_ = 0;
  bool topics_changed_ = true;  // since the last publication
  struct Phase {
    RoutePhase phase = RoutePhase::open;
    std::uint64_t fence = 0;
  };
  std::map<std::string, Phase> phases_;  // by route id; absent: open
  std::uint64_t next_fence_ = 1;

  struct WorkerView {
    std::uint64_t revision = 0;
    std::map<DefinedRoute, RouteLoad> routes;
    std::map<std::string, std::int64_t> commits_in_flight;
    std::set<std::string> ids_in_flight;
    std::vector<UnknownOutcome> unknown_outcomes;
  };
  std::vector<WorkerView> workers_;
  KnownEnds known_ends_;
  std::array<bool, 2> severed_{};
  std::array<Millis, 2> answers_since_{never, never};
  std::uint64_t recoveries_ = 0;
  bool defining_ = false;  // a record of definitions is on its way
  std::vector<Millis> hold_times_;
  std::shared_ptr<const Bindings> bindings_ = std::make_shared<const Bindings>();  // of state_
  std::set<WantedBinding> wanted_bindings_;
  std::set<std::string> moving_groups_;
  std::map<std::string, RoutePhase> held_ids_;
  bool moving_ = false;    // a flip, or another move, has ids under way
  int flips_waiting_ = 0;  // for that: no other move begins before them
  Couplings couplings_;
  Millis couplings_tidied_at_ = 0;
  SeenIds transactional_ids_;                               // when clients of this proxy used each last
  std::map<std::string, std::string> running_step_;         // by route id, while a flip runs
  std::map<std::string, std::vector<FlipReport>> history_;  // by route id
  std::vector<Stranger> strangers_;
  std::array<std::optional<std::set<std::string>>, 2> topics_at_start_;
  std::map<std::pair<std::string, PartitionIndex>, Offset> first_ends_;  // where no segment says what to expect
  // Until a first heartbeat was written a lease does not bind: serving does not depend on the leases topic's creation.
  std::array<Millis, 2> lease_until_{no_lease, no_lease};
  std::array<LeaseLog, 2> leases_;
  std::map<std::string, OtherProxy> other_proxies_;
};

template <class T>
Task<std::optional<T>> Controller::Impl::answer_to(Pending pending, Version version, Millis timeout_ms) {
  {
    Until answered(
        *this, [&pending] { return pending->done; }, now_ + timeout_ms);
    co_await answered;
  }
  if (!pending->body) co_return std::nullopt;
  co_return protocol::decode<T>(*pending->body, version);
}

template <class T, class Q>
Task<std::optional<T>> Controller::Impl::ask_for(Cluster cluster, NodeId node, Version version, Q question,
                                                 Millis timeout_ms) {
  static_assert(!std::is_same_v<T, protocol::FetchResponse>, "its records lie in the answer's bytes: keep those");
  Bytes body = protocol::encode(question, version);
  Pending pending = ask(cluster, node, Q::api, version, std::move(body), timeout_ms);
  co_return co_await answer_to<T>(pending, version, timeout_ms);
}

}  // namespace crossover::proxy
