// The engine of a session: requests in order, upstream connections, and what a handler may await. Handlers (handlers.h)
// are coroutines over it.
//
// Order: answers leave in request order. A request starts when the one before it has been sent on (released) or
// answered: a broker handles one request of a connection at a time, so nothing may overtake, and a held produce holds
// what follows.
#pragma once

#include <deque>
#include <list>
#include <memory>
#include <set>
#include <tuple>

#include "protocol/codec.h"
#include "protocol/error_code.h"
#include "protocol/frame.h"
#include "proxy/fetch_session.h"
#include "proxy/session.h"
#include "proxy/task.h"

namespace crossover::proxy {

enum class CallStatus : std::uint8_t {
  pending,
  answered,
  lost,         // it was sent, the connection ended before the answer: it may or may not have been carried out
  unreachable,  // it was never sent
  late,         // no answer in time, or not sent, for one before it is late: what still comes is discarded
};

struct CallState {
  CallStatus status = CallStatus::pending;
  std::int32_t correlation_id = 0;
  ApiKey api{};
  Version version = 0;
  UpstreamId upstream = 0;
  std::uint64_t place = 0;  // among all that was sent over its connection
  Bytes frame;
  std::size_t body_at = 0;
  std::coroutine_handle<> waiter;
  BytesView body() const { return BytesView(frame).substr(body_at); }
};

// One request to a broker; await it as a named variable.
class Call {
 public:
  Call() = default;
  explicit Call(std::shared_ptr<CallState> state) : state_(std::move(state)) {}
  Call(Call&&) = default;
  Call& operator=(Call&&) = default;
  ~Call() {
    if (state_) state_->waiter = {};  // the awaiting coroutine goes away
  }
  bool await_ready() const { return state_->status != CallStatus::pending; }
  void await_suspend(std::coroutine_handle<> h) { state_->waiter = h; }
  CallState& await_resume() { return *state_; }

 private:
  friend class SessionCore;
  std::shared_ptr<CallState> state_;
};

struct Request {
  protocol::RequestHeader header;
  Bytes frame;  // without the size prefix
  Millis arrived_at = 0;
  std::uint64_t place = 0;  // among the requests of the session, from 1
  bool started = false;
  bool released = false;  // the next request may start
  bool done = false;
  bool answered = false;  // false with done: no answer is due (acks=0)
  int writes_in_flight = 0;
  Bytes answer_prefix, answer;  // sent one after the other
  Task<> task;

  ApiKey api() const { return header.api; }
  Version version() const { return header.version; }
  BytesView body() const { return BytesView(frame).substr(header.body_at); }
};

class SessionCore {
 public:
  SessionCore(SessionIo& io, WorkerState& worker, SessionOptions options, std::shared_ptr<const Snapshot> snapshot,
              Millis now);
  ~SessionCore();

  // --- events, see Session ---
  void on_client_bytes(BytesView data, Millis now);
  void on_client_writable(Millis now);
  void on_client_closed(Millis now);
  void on_upstream_opened(UpstreamId id, Millis now);
  void on_upstream_bytes(UpstreamId id, BytesView data, Millis now);
  void on_upstream_closed(UpstreamId id, Millis now);
  void on_snapshot(std::shared_ptr<const Snapshot> snapshot, Millis now);
  void on_timer(Millis now);
  void on_predecessors_answered(std::uint64_t wait, Millis now);
  void drain(Millis now);
  bool finished() const;
  std::size_t buffered_bytes() const;
  SessionInfo info() const;
  std::uint64_t newest_write_elsewhere(Cluster home, std::string_view client_id, Millis arrived_at) const;
  bool owes_write(std::uint64_t up_to) const;

  // --- for handlers ---
  const Snapshot& snapshot() const { return *snapshot_; }
  std::shared_ptr<const Snapshot> shared_snapshot() const { return snapshot_; }
  Millis now() const { return now_; }
  SessionIo& io() { return io_; }
  WorkerState& worker() { return worker_; }
  const SessionOptions& options() const { return options_; }
  // The virtual broker this connection came in on, if its real broker is one of `cluster`.
  std::optional<NodeId> own_node(Cluster cluster) const;
  // own_node or whichever broker of that cluster answers.
  NodeId some_node(Cluster cluster) const { return own_node(cluster).value_or(any_node); }

  // Whether nothing may be asked of that cluster now: whatever is sent there is unreachable.
  bool severed(Cluster cluster) const { return snapshot_->severed[index_of(cluster)]; }
  // The connection to that broker; 0 while there is none.
  UpstreamId upstream_id(Cluster cluster, NodeId node) const {
    const auto found = upstream_of_.find({cluster, node});
    return found == upstream_of_.end() ? 0 : found->second;
  }

  // Sends a request with this client's own client id. Calls to one node leave in order. One that no broker has a reason
  // to keep waiting is late after call_ms, and so is at once whatever but a write is to go where an earlier one is
  // late.
  Call send(const Request& origin, Cluster cluster, NodeId node, ApiKey api, Version version, BytesView body);
  // The client's request as it came, moved out of `request`.
  Call forward(Request& request, Cluster cluster, NodeId node);
  // Gives one part of a fetch that much time and what its broker is granted beyond.
  void limit_fetch(Call& call, Millis wait);
  // An acks=0 produce: no answer will come; `body` as in send.
  void send_unanswered(const Request& origin, Cluster cluster, NodeId node, Version version, BytesView body,
                       std::vector<DefinedRoute> routes);

  void reply(Request& request, BytesView body);
  // The upstream's answer as it came, under the client's correlation id; moved out of `call`.
  void reply_with(Request& request, CallState& call);
  void reply_error(Request& request, protocol::ErrorCode error);
  void no_reply(Request& request);
  template <class T>
  void reply(Request& request, const T& message) {
    Bytes body;
    protocol::encode(message, request.version(), body);
    reply(request, BytesView(body));
  }
  // Lets the next request start although this one is not answered yet.
  void release(Request& request) { request.released = true; }
  void close(std::string_view reason);
  bool closed() const { return closed_; }

  // Resumes at the next snapshot, when predecessors are answered, or at the deadline, whichever is first.
  class Changed {
   public:
    Changed(SessionCore& core, Millis deadline) : core_(core), deadline_(deadline) {}
    Changed(const Changed&) = delete;
    ~Changed() { core_.waiters_.remove(this); }
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> h) {
      handle_ = h;
      core_.waiters_.push_back(this);
    }
    void await_resume() {}

   private:
    friend class SessionCore;
    SessionCore& core_;
    Millis deadline_;
    std::coroutine_handle<> handle_;
  };

  // Asks when the writes that the client sent elsewhere before are answered; Changed resumes when they are.
  void ask_for_predecessors(const Request& request, Cluster home);
  bool waits_for_predecessors() const { return waiting_; }
  void give_up_predecessors() { waiting_ = false; }

  // Lets those that await a change look again, at the end of this event.
  void wake() { wake_ = true; }

  // Counts a request's writes into routes as in flight until it goes out of scope.
  class WriteGuard {
   public:
    WriteGuard(SessionCore& core, Request& request, std::vector<DefinedRoute> routes);
    WriteGuard(const WriteGuard&) = delete;
    ~WriteGuard();

   private:
    SessionCore& core_;
    Request& request_;
    std::vector<DefinedRoute> routes_;
  };
  // Counts a held request until it is answered or dropped.
  class HoldGuard {
   public:
    HoldGuard(SessionCore& core, std::vector<DefinedRoute> routes);
    HoldGuard(const HoldGuard&) = delete;
    ~HoldGuard();

   private:
    SessionCore& core_;
    std::vector<DefinedRoute> routes_;
    Millis since_;
  };
  void note_unknown_outcome(UnknownOutcome lost);

  // State that handlers keep per connection.
  struct ProducerKey {
    std::string topic;
    PartitionIndex partition;
    ProducerId producer;
    std::int32_t generation;
    auto operator<=>(const ProducerKey&) const = default;
  };
  // Producers known to have a batch in the open segment of that generation.
  std::set<ProducerKey> established;
  // Those among them whose sequences have gone so far beyond the boundary that none of theirs is a retry from before
  // it.
  std::set<ProducerKey> past_boundary;
  // Those whose first batch there is under way: nothing of them may follow before its answer (design, step 8).
  std::multiset<ProducerKey> first_in_flight;
  struct BatchKey {
    ProducerKey producer;
    std::int16_t epoch;
    std::int32_t base_sequence;
    auto operator<=>(const BatchKey&) const = default;
  };
  // Since when a batch has been refused because one before it is missing.
  std::map<BatchKey, Millis> missing_since;
  // Those whose first batch was refused, by its sequence, under generation 0: what follows it must not overtake it, on
  // this segment or on one that a flip opens meanwhile, for a broker takes any first sequence from a producer that it
  // does not know.
  std::map<ProducerKey, std::int32_t> refused_first;
  // What the client was told of a partition, in virtual terms: it never goes back, until the topic is made anew.
  struct ShownMarks {
    Uuid topic_id;
    Offset high_watermark = 0;
    Offset last_stable_offset = 0;
  };
  std::map<std::pair<std::string, PartitionIndex>, ShownMarks> shown_marks;
  std::optional<FetchSession> fetch_session;
  // The segment of a partition, by its generation, for which this session has asked for predecessors.
  std::map<std::pair<std::string, PartitionIndex>, std::int32_t> preceded;
  std::string software_name, software_version;
  // Coordinators that were asked for: cluster, FindCoordinator's key type, key.
  std::map<std::tuple<Cluster, std::int8_t, std::string>, NodeId> coordinators;

 private:
  struct Upstream {
    Cluster cluster{};
    NodeId node = any_node;
    bool open = false;
    protocol::FrameBuffer input;
    std::deque<std::shared_ptr<CallState>> in_flight;
    std::int32_t next_correlation = 1;
    std::uint64_t sent = 0;
    std::vector<DefinedRoute> unconfirmed;  // routes of acks=0 writes that no later answer confirmed
    std::uint64_t unconfirmed_place = 0;    // of the last of them
    Millis fetch_patience = 0;              // 0: as configured
    explicit Upstream(std::size_t limit) : input(limit) {}
  };

  bool pump();  // true when it started any
  void start(Request& request);
  void finish_event();
  bool flush_answers();  // true when it sent any
  bool forget_done();    // true when there was any
  void count_started();
  void arm();
  void fire_waiters(bool all);
  Upstream& upstream(Cluster cluster, NodeId node, UpstreamId& id);
  Call enqueue(UpstreamId id, Upstream& up, ApiKey api, Version version);
  void resolve(const std::shared_ptr<CallState>& call, CallStatus status);
  void drop_upstream(UpstreamId id, bool was_open);
  void drop_upstreams(bool all);
  void give_up_calls();
  // What was sent before is late still.
  static bool is_stalled(const Upstream& up);
  Millis patience_with(const Upstream& up) const;
  void leave_hung(const std::shared_ptr<CallState>& call, bool first);
  void confirm_unanswered(Upstream& up);
  void probe_unconfirmed();

  SessionIo& io_;
  WorkerState& worker_;
  SessionOptions options_;
  std::shared_ptr<const Snapshot> snapshot_;
  Millis now_;
  Millis connected_at_;
  Millis last_request_at_ = 0;
  std::uint64_t requests_seen_ = 0;
  std::string client_id_;

  protocol::FrameBuffer input_;
  std::size_t ahead_bytes_ = 0;  // of requests that were read and not started
  std::list<Request> requests_;  // in order of arrival; the front is the next to answer
  std::size_t started_ = 0;      // how many of them were started
  bool closed_ = false;          // no further answer goes to the client
  bool client_gone_ = false;
  bool draining_ = false;
  bool paused_ = false;
  bool pumping_ = false;
  bool wake_ = false;
  Millis linger_until_ = 0;
  std::uint64_t last_wait_ = 0;  // for predecessors
  Millis waiting_arrived_ = 0;   // when the request did that waits
  bool waiting_ = false;         // that one is not answered yet

  std::map<UpstreamId, Upstream> upstreams_;
  std::map<std::pair<Cluster, NodeId>, UpstreamId> upstream_of_;
  UpstreamId next_upstream_ = 1;
  std::list<Changed*> waiters_;
  std::multimap<Millis, std::weak_ptr<CallState>> limited_;  // calls, by when they are to be looked at
};

}  // namespace crossover::proxy
