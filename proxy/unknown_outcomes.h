// Writes whose answers were lost. A cluster may still take such a write a while later: a request that lies in a
// broker's queue outlives its connection.
#pragma once

#include <array>
#include <compare>
#include <map>
#include <string>
#include <vector>

#include "proxy/binding.h"
#include "proxy/snapshot.h"

namespace crossover::proxy {

using AnswersSince = std::array<Millis, 2>;  // by cluster; never: it does not answer

struct UnknownOutcome {
  // What the writes of one producer to one partition have in common.
  struct Writer {
    Cluster cluster = Cluster::source;
    DefinedRoute route;
    std::string topic;  // empty: any partition of the route
    PartitionIndex partition = 0;
    ProducerId producer = -1;  // as the cluster knows it; -1: without one, so that nothing tells whether it landed
    auto operator<=>(const Writer&) const = default;
  };
  Writer writer;
  ProducerEpoch epoch = -1;  // the newest, and of it the last sequence
  std::int32_t last_sequence = -1;
  std::string client_id;
  std::int64_t records = 0;  // at most, of all of them
  Millis at = 0;             // when the last of them was lost

  // Whether a cluster that has this state of the producer has taken these writes, or refuses them from now on: it knows
  // what a producer wrote last, and takes nothing that comes before.
  bool settled_by(ProducerEpoch epoch_there, std::int32_t last_sequence_there) const;
  // Beyond that time it is taken for gone. What its cluster had not taken when it fell silent, it may take when it
  // comes back: a machine that was frozen goes on with what lay in its sockets.
  Millis in_doubt_until(const AnswersSince& answers_since) const;
};

// Beyond this time after its connection was lost a request is taken for gone: longer than clients wait for an answer.
inline constexpr Millis request_horizon_ms = 30'000;

// Those of one worker: bounded, none forgotten before its time.
class UnknownOutcomes {
 public:
  void note(UnknownOutcome lost);
  void forget(Millis now, const AnswersSince& answers_since);
  std::vector<UnknownOutcome> all() const;
  std::uint64_t changes() const { return changes_; }  // rises with each

 private:
  std::map<UnknownOutcome::Writer, UnknownOutcome> by_writer_;
  std::uint64_t changes_ = 0;
};

}  // namespace crossover::proxy
