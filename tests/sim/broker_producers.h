// What a partition remembers of idempotent and transactional producers (ProducerStateManager, ProducerAppendInfo), and
// which of its transactions were aborted (TransactionIndex).
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <vector>

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
  std::int32_t coordinator_epoch = -1;
  std::optional<Offset> txn_start;  // of the open transaction

  std::int32_t last_sequence() const { return batches.empty() ? -1 : batches.back().last_sequence; }
};

class ProducerStates {
 public:
  static constexpr std::size_t batches_remembered = 5;

  struct Verdict {
    protocol::ErrorCode error = protocol::ErrorCode::NONE;
    std::optional<ProducedBatch> duplicate;  // already written: answer with its offset
  };
  // `starts_at_zero`: transaction protocol 2, where a producer without state has to begin at sequence 0.
  Verdict check(const BatchHeader&, bool starts_at_zero = false) const;
  protocol::ErrorCode check_marker(ProducerId, ProducerEpoch, std::int32_t coordinator_epoch) const;
  void record(const BatchHeader& stored, std::int64_t now_ms);
  void record_marker(const StoredBatch& marker, std::int64_t now_ms);
  void expire(std::int64_t now_ms, std::int64_t expiration_ms);
  // What the log shows: after a truncation, or at a new leader.
  void rebuild(const PartitionLog&, std::int64_t now_ms);
  void forget_below(Offset log_start);
  // An aborted transaction whose marker the cleaner took has nothing left that it would hide.
  void forget_cleaned(const PartitionLog&);

  // A partition that could not be verified with the coordinator: nothing above that sequence may come before it.
  void verification_failed(const BatchHeader&);

  bool has_open_transaction(ProducerId, ProducerEpoch) const;
  // The first offset of the earliest transaction that is open, or whose marker the watermark has not reached.
  std::optional<Offset> first_unstable(Offset high_watermark) const;
  std::vector<TransactionRange> aborted_in(Offset from, Offset upto) const;

  const std::map<ProducerId, ProducerEntry>& entries() const { return entries_; }
  const std::vector<TransactionRange>& aborted() const { return aborted_; }

 private:
  struct Unverified {
    ProducerEpoch epoch;
    std::int32_t lowest_sequence;
  };
  std::map<ProducerId, ProducerEntry> entries_;
  std::set<Offset> open_;  // where their open transactions begin
  std::map<ProducerId, Unverified> unverified_;
  std::vector<TransactionRange> aborted_;    // by marker
  std::vector<TransactionRange> completed_;  // also the committed ones
};

}  // namespace crossover::sim
