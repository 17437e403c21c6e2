// Asking the coordinator of a group or of a transactional id, on whichever cluster it is.
#pragma once

#include <functional>
#include <string>

#include "protocol/messages.h"
#include "proxy/session_core.h"

namespace crossover::proxy {

enum class CoordinatorKind : std::int8_t { group = 0, transaction = 1 };  // FindCoordinator's key types

// The broker that the client came to if that is one of the cluster and the request is one for such a coordinator; else
// the cluster is asked, and its answer kept until a broker denies it. nullopt: it is not known now.
Task<std::optional<NodeId>> coordinator_of(SessionCore& core, const Request& origin, Cluster cluster,
                                           CoordinatorKind kind, std::string name);
// What a broker's answer says: it does not coordinate that name (any more).
void note_coordinator_error(SessionCore& core, Cluster cluster, CoordinatorKind kind, const std::string& name,
                            std::int16_t error);

// One question to a coordinator, answered in its own terms; nullopt: no answer.
template <class Answer, class Question>
Task<std::optional<Answer>> ask_coordinator(SessionCore& core, const Request& origin, Cluster cluster,
                                            CoordinatorKind kind, std::string name, Question question,
                                            Version version) {
  const auto node = co_await coordinator_of(core, origin, cluster, kind, name);
  if (!node) co_return std::nullopt;
  const Bytes body = protocol::encode(question, version);
  Call call = core.send(origin, cluster, *node, Question::api, version, body);
  const CallState& answered = co_await call;
  if (answered.status != CallStatus::answered) {
    core.coordinators.erase({cluster, static_cast<std::int8_t>(kind), name});
    co_return std::nullopt;
  }
  co_return protocol::decode<Answer>(answered.body(), version);
}

// --- what a flip or a move holds ---

enum class Turn : std::uint8_t {
  now,
  later,     // a flip or a move takes too long: the client is to ask again
  never,     // its open transaction is on another cluster than what it asks for
  replaced,  // a later instance has taken the place of the one that asks
};

// Waits while a flip of the route of one of these topics holds what would begin a transaction; `topics` empty: of any
// route of its home. A transaction that is open goes on while the route brakes.
Task<Turn> wait_for_turn(SessionCore& core, const Request& origin, std::string transactional_id,
                         std::vector<std::string> topics, bool begins);
// Whether its coordinator has a transaction of that id open.
Task<bool> has_begun(SessionCore& core, const Request& origin, std::string transactional_id);
// Whether a later instance has taken the place of the one that goes by that name.
Task<bool> is_replaced(SessionCore& core, const Request& origin, std::string transactional_id, ProducerName known_as);
// Waits until that transactional id is at home there, moving it where it is not, or until that is not wanted any more:
// a flip may change what is. `fresh`: its client has no name yet.
Task<Turn> bring_home(SessionCore& core, const Request& origin, std::string transactional_id, Cluster to, bool fresh,
                      std::function<bool()> still_wanted);
// The same for a group's offsets, and while they are moving.
Task<Turn> bring_offsets(SessionCore& core, const Request& origin, std::string group, Cluster to);
Task<bool> wait_for_offsets(SessionCore& core, const Request& origin, std::string group);

// Counts, by name, what is in flight until it goes out of scope.
class InFlight {
 public:
  using Counts = std::map<std::string, std::int64_t>;
  InFlight(Counts& counts, std::string name) : counts_(counts), name_(std::move(name)) { ++counts_[name_]; }
  InFlight(const InFlight&) = delete;
  ~InFlight() {
    const auto at = counts_.find(name_);
    if (--at->second == 0) counts_.erase(at);
  }

 private:
  Counts& counts_;
  std::string name_;
};

// A commit, or a read of offsets.
class CommitGuard : InFlight {
 public:
  CommitGuard(SessionCore& core, std::string group) : InFlight(core.worker().commits_in_flight, std::move(group)) {}
};

// What a transactional id asks of its coordinator: a flip of whatever route waits for it, and a move of the id.
class TransactionGuard {
 public:
  TransactionGuard(SessionCore& core, Request& request, std::string transactional_id);

 private:
  SessionCore::WriteGuard write_;
  InFlight id_;
};

// Waits until the instance of that transactional id that goes by that name may write to these topics: their home is its
// home, and no flip holds it.
Task<Turn> may_add_topics(SessionCore& core, const Request& request, std::string id, ProducerName known_as,
                          std::vector<std::string> topics, bool begins);

}  // namespace crossover::proxy
