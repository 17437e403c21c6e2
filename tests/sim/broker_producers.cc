#include "tests/sim/broker_producers.h"

#include <limits>

namespace crossover::sim {

using protocol::ErrorCode;

namespace {

bool follows(std::int32_t last, std::int32_t next) {
  return last == std::numeric_limits<std::int32_t>::max() ? next == 0 : next == last + 1;
}

}  // namespace

ProducerStates::Verdict ProducerStates::check(const BatchHeader& batch) const {
  auto found = entries_.find(batch.producer_id);
  // KIP-360: an id without state may start at any epoch and sequence.
  if (found == entries_.end()) return {};
  const ProducerEntry& entry = found->second;
  if (batch.producer_epoch == entry.epoch) {
    for (const ProducedBatch& known : entry.batches) {
      if (known.first_sequence == batch.base_sequence && known.last_sequence == batch.last_sequence()) {
        return {ErrorCode::NONE, known};
      }
    }
    bool in_order = entry.batches.empty() || follows(entry.last_sequence(), batch.base_sequence);
    return {in_order ? ErrorCode::NONE : ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, std::nullopt};
  }
  if (batch.producer_epoch < entry.epoch) return {ErrorCode::INVALID_PRODUCER_EPOCH, std::nullopt};
  return {batch.base_sequence == 0 ? ErrorCode::NONE : ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, std::nullopt};
}

void ProducerStates::record(const BatchHeader& stored, std::int64_t now_ms) {
  if (stored.producer_id < 0) return;
  ProducerEntry& entry = entries_[stored.producer_id];
  if (entry.epoch != stored.producer_epoch) entry.batches.clear();
  entry.epoch = stored.producer_epoch;
  entry.last_append_ms = now_ms;
  entry.batches.push_back({stored.base_sequence, stored.last_sequence(), stored.base_offset, stored.last_offset()});
  if (entry.batches.size() > batches_remembered) entry.batches.pop_front();
}

void ProducerStates::expire(std::int64_t now_ms, std::int64_t expiration_ms) {
  std::erase_if(entries_, [&](const auto& item) { return now_ms - item.second.last_append_ms >= expiration_ms; });
}

void ProducerStates::rebuild(const PartitionLog& log, std::int64_t now_ms) {
  entries_.clear();
  for (const StoredBatch& batch : log.batches()) record(batch.header, now_ms);
}

}  // namespace crossover::sim
