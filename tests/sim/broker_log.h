// One partition's log: batches as the bytes that a fetch returns, the leader epoch history, retention and compaction.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "protocol/record_batch.h"

namespace crossover::sim {

using protocol::BatchHeader;
using protocol::Bytes;
using protocol::BytesView;
using protocol::LeaderEpoch;
using protocol::Offset;
using protocol::ProducerEpoch;
using protocol::ProducerId;

struct StoredBatch {
  BatchHeader header;  // of `bytes`, with the stamped offset and epoch
  Bytes bytes;
};

struct EpochStart {
  LeaderEpoch epoch;
  Offset start;
};

// A transaction in one partition's log.
struct TransactionRange {
  ProducerId producer_id;
  Offset first;
  Offset last;  // the marker's
};

struct EpochEnd {
  LeaderEpoch epoch = -1;
  Offset end = -1;
};

class PartitionLog {
 public:
  Offset start() const { return start_; }
  Offset end() const { return end_; }
  const std::deque<StoredBatch>& batches() const { return batches_; }
  const std::vector<EpochStart>& epochs() const { return epochs_; }

  // A leader's epoch begins at the log end; an epoch in which nothing was written is forgotten.
  void assign_epoch(LeaderEpoch);
  // Stamps base offset and epoch; returns the header as stored.
  BatchHeader append(BytesView batch, const BatchHeader&, LeaderEpoch);
  void advance_start(Offset);
  void truncate(Offset new_end);

  // LeaderEpochFileCache.endOffsetFor.
  EpochEnd end_of_epoch(LeaderEpoch) const;
  LeaderEpoch latest_epoch() const { return epochs_.empty() ? -1 : epochs_.back().epoch; }
  LeaderEpoch epoch_at(Offset) const;

  // The start of the batch that holds the offset, or the log end.
  Offset batch_start_at_or_below(Offset) const;
  // Bytes a fetch from `from` gets: whole batches from the one that holds it, none with records at or behind `upto`,
  // cut hard at max_bytes, except that the first batch is whole when `at_least_one`.
  std::size_t readable(Offset from, Offset upto, std::size_t max_bytes, bool at_least_one) const;
  Bytes read(Offset from, Offset upto, std::size_t max_bytes, bool at_least_one) const;
  // First record at or after the timestamp below `upto`.
  std::optional<protocol::TimestampedOffset> find_timestamp(std::int64_t timestamp, Offset upto) const;
  // The record with the greatest timestamp, as ListOffsets -3 asks.
  std::optional<protocol::TimestampedOffset> max_timestamp(Offset upto) const;

  // One run of the cleaner over the batches that end below `upto`; the last batch stands for the active segment and is
  // left alone, compressed ones too. A batch that lost all records stays, empty, while it is its producer's last.
  // Records of aborted transactions go; a marker goes once nothing of its transaction is left and the time is over.
  void compact(Offset upto, std::int64_t now_ms, std::int64_t delete_retention_ms,
               const std::vector<TransactionRange>& aborted = {});

 private:
  using Iterator = std::deque<StoredBatch>::const_iterator;
  Iterator holding(Offset) const;

  std::deque<StoredBatch> batches_;
  std::vector<EpochStart> epochs_;
  Offset start_ = 0;
  Offset end_ = 0;
};

}  // namespace crossover::sim
