#include "tests/sim/broker_log.h"

#include <algorithm>

#include "tests/sim/broker_records.h"

namespace crossover::sim {

namespace {

// First record at or after the timestamp that retention has left. Records are not decompressed here: a compressed batch
// is found by its first offset, which replays some and skips none.
std::optional<protocol::TimestampedOffset> find_in(const StoredBatch& batch, std::int64_t timestamp, Offset start) {
  auto records = records_of(batch);
  if (!records)
    return protocol::TimestampedOffset{std::max(batch.header.base_offset, start), batch.header.max_timestamp};
  for (const LogRecord& record : *records) {
    Offset offset = batch.header.base_offset + record.offset_delta;
    if (record.timestamp >= timestamp && offset >= start) return protocol::TimestampedOffset{offset, record.timestamp};
  }
  return std::nullopt;
}

}  // namespace

void PartitionLog::assign_epoch(LeaderEpoch epoch) {
  if (!epochs_.empty() && epochs_.back().epoch >= epoch) return;
  while (!epochs_.empty() && epochs_.back().start >= end_) epochs_.pop_back();
  epochs_.push_back({epoch, end_});
}

BatchHeader PartitionLog::append(BytesView batch, const BatchHeader& header, LeaderEpoch epoch) {
  StoredBatch stored{header, Bytes(batch)};
  stored.header.base_offset = end_;
  stored.header.leader_epoch = epoch;
  protocol::patch_base_offset(stored.bytes.data(), end_);
  protocol::patch_leader_epoch(stored.bytes.data(), epoch);
  assign_epoch(epoch);
  end_ = stored.header.last_offset() + 1;
  batches_.push_back(std::move(stored));
  return batches_.back().header;
}

void PartitionLog::advance_start(Offset start) {
  start_ = std::clamp(start, start_, end_);
  while (!batches_.empty() && batches_.front().header.last_offset() < start_) batches_.pop_front();
  // The epoch in force at the new start now begins there.
  while (epochs_.size() > 1 && epochs_[1].start <= start_) epochs_.erase(epochs_.begin());
  if (!epochs_.empty() && epochs_.front().start < start_) epochs_.front().start = start_;
}

void PartitionLog::truncate(Offset new_end) {
  if (new_end >= end_) return;
  while (!batches_.empty() && batches_.back().header.last_offset() >= new_end) batches_.pop_back();
  end_ = std::max(new_end, start_);
  if (!batches_.empty()) end_ = std::max(start_, batches_.back().header.last_offset() + 1);
  while (!epochs_.empty() && epochs_.back().start >= end_) epochs_.pop_back();
}

EpochEnd PartitionLog::end_of_epoch(LeaderEpoch asked) const {
  if (asked < 0 || epochs_.empty()) return {};
  if (epochs_.back().epoch == asked) return {asked, end_};
  auto higher =
      std::find_if(epochs_.begin(), epochs_.end(), [&](const EpochStart& entry) { return entry.epoch > asked; });
  if (higher == epochs_.end()) return {};
  if (higher == epochs_.begin()) return {asked, higher->start};
  return {std::prev(higher)->epoch, higher->start};
}

LeaderEpoch PartitionLog::epoch_at(Offset offset) const {
  LeaderEpoch epoch = -1;
  for (const EpochStart& entry : epochs_) {
    if (entry.start <= offset) epoch = entry.epoch;
  }
  return epoch;
}

PartitionLog::Iterator PartitionLog::holding(Offset offset) const {
  return std::partition_point(batches_.begin(), batches_.end(),
                              [&](const StoredBatch& batch) { return batch.header.last_offset() < offset; });
}

Offset PartitionLog::batch_start_at_or_below(Offset offset) const {
  auto at = holding(offset);
  return at == batches_.end() ? end_ : std::min(offset, at->header.base_offset);
}

std::size_t PartitionLog::readable(Offset from, Offset upto, std::size_t max_bytes, bool at_least_one) const {
  std::size_t total = 0;
  if (from >= upto) return total;
  for (auto at = holding(from); at != batches_.end() && at->header.last_offset() < upto; ++at) {
    bool first = total == 0;
    total += at->bytes.size();
    if (total < max_bytes) continue;
    if (first && at_least_one) return at->bytes.size();
    // A broker cuts where the limit falls; a first batch that does not fit is left out altogether.
    return first && total > max_bytes ? 0 : max_bytes;
  }
  return total;
}

Bytes PartitionLog::read(Offset from, Offset upto, std::size_t max_bytes, bool at_least_one) const {
  std::size_t size = readable(from, upto, max_bytes, at_least_one);
  Bytes out;
  out.reserve(size);
  for (auto at = holding(from); out.size() < size; ++at) out += at->bytes.substr(0, size - out.size());
  return out;
}

std::optional<protocol::TimestampedOffset> PartitionLog::find_timestamp(std::int64_t timestamp, Offset upto) const {
  for (const StoredBatch& batch : batches_) {
    if (batch.header.max_timestamp < timestamp) continue;
    auto hit = find_in(batch, timestamp, start_);
    if (!hit) continue;
    if (hit->offset >= upto) return std::nullopt;
    return hit;
  }
  return std::nullopt;
}

std::optional<protocol::TimestampedOffset> PartitionLog::max_timestamp(Offset upto) const {
  const StoredBatch* best = nullptr;
  for (const StoredBatch& batch : batches_) {
    if (batch.header.last_offset() >= upto || batch.header.record_count == 0) continue;
    if (best == nullptr || batch.header.max_timestamp > best->header.max_timestamp) best = &batch;
  }
  if (best == nullptr) return std::nullopt;
  return find_in(*best, best->header.max_timestamp, start_);
}

}  // namespace crossover::sim
