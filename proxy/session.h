// One client connection: bytes and events in, effects out. Knows no sockets, clock or threads; a worker drives it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "proxy/couplings.h"
#include "proxy/known_ends.h"
#include "proxy/limits.h"
#include "proxy/snapshot.h"
#include "proxy/unknown_outcomes.h"

namespace crossover::proxy {

using UpstreamId = std::uint64_t;  // unique within a session

// What a session asks of its driver. Calls are made from within the session's event methods and must not call back into
// it.
class SessionIo {
 public:
  virtual ~SessionIo() = default;
  virtual void send_to_client(Bytes data) = 0;
  // The session ends: flush what was sent before, then close. No event follows but on_client_closed is still allowed.
  virtual void close_client(std::string_view reason) = 0;
  // Bytes of answers that the client has not taken yet. While there are too many no further request is started; the
  // driver calls on_client_writable when there are fewer again.
  virtual std::size_t client_backlog() const { return 0; }
  virtual void pause_client_reads() = 0;
  virtual void resume_client_reads() = 0;
  // Answered by on_upstream_opened or on_upstream_closed. `node` may be any_node.
  virtual void open_upstream(UpstreamId id, Cluster cluster, NodeId node) = 0;
  virtual void send_upstream(UpstreamId id, Bytes data) = 0;  // queued until open
  virtual void close_upstream(UpstreamId id) = 0;
  // on_timer is due at that instant; replaces an earlier one.
  virtual void arm_timer(Millis at) = 0;
  // Asks for an image of that cluster that was requested at or after `not_before`; answered by on_snapshot in time.
  virtual void want_image(Cluster cluster, Millis not_before) = 0;
  // Asks to be told, by on_predecessors_answered, when every write that this client had sent by now on connections that
  // did not come in on a virtual broker of `home` is answered (Session::newest_write_elsewhere, owes_write).
  virtual void want_predecessors(std::uint64_t wait, Cluster home, std::string_view client_id, Millis arrived_at) = 0;
  // Asks for a transactional id, or a group's offsets, to be moved to that cluster; a snapshot shows it in time.
  virtual void want_binding(const WantedBinding& wanted) = 0;
};

// Shared by the sessions of one worker thread; the worker reads it after each event and reports to the controller.
struct RouteLoad {
  std::int64_t writes_in_flight = 0;  // forwarded, outcome not known yet
  std::int64_t held = 0;              // held by a fence and not yet answered
};
// Names that were seen, and when last: bounded, the newest are kept.
using SeenIds = std::map<std::string, Millis>;
void note_seen(SeenIds& seen, std::string_view id, Millis at);
struct WorkerState {
  std::map<DefinedRoute, RouteLoad> routes;  // none where both are 0
  void count(const DefinedRoute& route, std::int64_t writes, std::int64_t held);
  UnknownOutcomes unknown_outcomes;
  // How far logs reach on the clusters that they are homed on.
  KnownEnds known_ends;
  // Transactional ids that clients of this worker have used, and when: what a cluster too old to list them cannot tell.
  SeenIds transactional_ids;
  struct Moment {
    std::int64_t flips = 0;
    Millis until = 0;
  };
  std::map<std::string, Moment> topics_awaited;  // of ids that commit offsets first: once after each flip
  Couplings couplings;                           // what their transactions bind together
  // Commits and reads of offsets that were forwarded and not answered, by group; none where there are none.
  std::map<std::string, std::int64_t> commits_in_flight;
  // Requests of transactional ids, writes among them, that were forwarded and not answered; none where there are none.
  std::map<std::string, std::int64_t> ids_in_flight;
  std::set<std::string> in_flight_of(const std::map<std::string, RoutePhase>& held_ids) const {
    std::set<std::string> held;
    for (auto at = ids_in_flight.begin(); at != ids_in_flight.end() && !held_ids.empty(); ++at) {
      if (held_ids.contains(at->first)) held.insert(at->first);
    }
    return held;
  }
  struct Counters {
    std::uint64_t requests = 0, bytes_in = 0, bytes_out = 0, produce_records = 0, fetch_bytes = 0, held_requests = 0,
                  split_requests = 0, refused_requests = 0, malformed_requests = 0, duplicates_answered = 0,
                  skipped_segments = 0;
  } counters;
  std::vector<Millis> hold_times_ms;  // of held requests that were answered since the worker last took them
};

struct SessionOptions {
  std::optional<NodeId> virtual_broker;  // the listener it came in on; nullopt: bootstrap
  std::string peer;                      // "127.0.0.1:53422", for status and logs
  Limits limits;
};

struct SessionInfo {  // for GET /v1/connections
  std::string peer, client_id, software_name, software_version;
  std::optional<NodeId> virtual_broker;
  std::uint64_t requests = 0;
  std::size_t in_flight = 0;
  Millis connected_at = 0, last_request_at = 0;
};

class Session {
 public:
  Session(SessionIo& io, WorkerState& worker, SessionOptions options, std::shared_ptr<const Snapshot> snapshot,
          Millis now);
  ~Session();

  void on_client_bytes(BytesView data, Millis now);
  void on_client_writable(Millis now);
  void on_client_closed(Millis now);
  void on_upstream_opened(UpstreamId id, Millis now);
  void on_upstream_bytes(UpstreamId id, BytesView data, Millis now);
  void on_upstream_closed(UpstreamId id, Millis now);
  void on_snapshot(std::shared_ptr<const Snapshot> snapshot, Millis now);
  void on_timer(Millis now);
  void on_predecessors_answered(std::uint64_t wait, Millis now);
  // Graceful drain: answer what is in flight, take no further request, then close.
  void drain(Millis now);

  // True when nothing is left to wait for after on_client_closed: the driver may destroy it. Until then writes
  // in flight are still awaited, so that a flip's drain sees their outcome.
  bool finished() const;
  std::size_t buffered_bytes() const;
  SessionInfo info() const;
  // The newest unanswered write of that client, by its place among the requests of this session, unless it came in on a
  // broker of `home`; 0: none. A request that has not arrived in full may be one. acks=0: answered once it was sent on.
  // Whoever came first, at `arrived_at`, is not to wait for those that wait themselves and came later.
  std::uint64_t newest_write_elsewhere(Cluster home, std::string_view client_id, Millis arrived_at) const;
  // Whether a write up to that place is unanswered.
  bool owes_write(std::uint64_t up_to) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace crossover::proxy
