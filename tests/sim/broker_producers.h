// What a partition remembers of idempotent producers (ProducerStateManager, ProducerAppendInfo.checkSequence).
#pragma once

#include <deque>
#include <map>
#include <optional>

#include "protocol/error_code.h"
#include "tests/sim/broker_log.h"

namespace crossover::sim {

struct ProducedBatch {
  std::int32_t first_sequence;
  std::int32_t last_sequence;
  Offset base_offset;
  Offset last_offset;
};

struct ProducerEntry {
  ProducerEpoch epoch = -1;
  std::deque<ProducedBatch> batches;  // the last five of this epoch
  std::int64_t last_append_ms = 0;

  std::int32_t last_sequence() const { return batches.empty() ? -1 : batches.back().last_sequence; }
};

class ProducerStates {
 public:
  static constexpr std::size_t batches_remembered = 5;

  struct Verdict {
    protocol::ErrorCode error = protocol::ErrorCode::NONE;
    std::optional<ProducedBatch> duplicate;  // already written: answer with its offset
  };
  Verdict check(const BatchHeader&) const;
  void record(const BatchHeader& stored, std::int64_t now_ms);
  void expire(std::int64_t now_ms, std::int64_t expiration_ms);
  // After a truncation: what the remaining log shows.
  void rebuild(const PartitionLog&, std::int64_t now_ms);

  const std::map<ProducerId, ProducerEntry>& entries() const { return entries_; }

 private:
  std::map<ProducerId, ProducerEntry> entries_;
};

}  // namespace crossover::sim
