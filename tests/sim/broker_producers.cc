#include "tests/sim/broker_producers.h"

#include <algorithm>
#include <limits>

#include "tests/sim/broker_records.h"

namespace crossover::sim {

using protocol::ErrorCode;

namespace {

bool follows(std::int32_t last, std::int32_t next) {
  return last == std::numeric_limits<std::int32_t>::max() ? next == 0 : next == last + 1;
}

}  // namespace

ProducerStates::Verdict ProducerStates::check(const BatchHeader& batch, bool starts_at_zero) const {
  constexpr ErrorCode out_of_order = ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER;
  auto found = entries_.find(batch.producer_id);
  const bool known = found != entries_.end();
  if (known && batch.producer_epoch == found->second.epoch) {
    for (const ProducedBatch& written : found->second.batches) {
      if (written.first_sequence == batch.base_sequence && written.last_sequence == batch.last_sequence()) {
        return {ErrorCode::NONE, written};
      }
    }
  }
  if (known && batch.producer_epoch < found->second.epoch) return {ErrorCode::INVALID_PRODUCER_EPOCH, std::nullopt};
  auto waiting = unverified_.find(batch.producer_id);
  if (batch.is_transactional() && waiting != unverified_.end() && waiting->second.epoch == batch.producer_epoch &&
      batch.base_sequence > waiting->second.lowest_sequence) {
    return {out_of_order, std::nullopt};
  }
  // KIP-360: an id without state may start at any epoch and sequence.
  if (!known) return {starts_at_zero && batch.base_sequence != 0 ? out_of_order : ErrorCode::NONE, std::nullopt};
  const ProducerEntry& entry = found->second;
  if (batch.producer_epoch > entry.epoch)
    return {batch.base_sequence == 0 ? ErrorCode::NONE : out_of_order, std::nullopt};
  if (!follows(entry.last_sequence(), batch.base_sequence)) return {out_of_order, std::nullopt};
  if (entry.txn_start && !batch.is_transactional()) return {ErrorCode::INVALID_TXN_STATE, std::nullopt};
  return {};
}

ErrorCode ProducerStates::check_marker(ProducerId id, ProducerEpoch epoch, std::int32_t coordinator_epoch) const {
  auto found = entries_.find(id);
  if (found == entries_.end()) return ErrorCode::NONE;
  if (epoch < found->second.epoch) return ErrorCode::INVALID_PRODUCER_EPOCH;
  const bool zombie = coordinator_epoch < found->second.coordinator_epoch;
  return zombie ? ErrorCode::TRANSACTION_COORDINATOR_FENCED : ErrorCode::NONE;
}

void ProducerStates::record(const BatchHeader& stored, std::int64_t now_ms) {
  if (stored.producer_id < 0) return;
  ProducerEntry& entry = entries_[stored.producer_id];
  if (entry.epoch != stored.producer_epoch) entry.batches.clear();
  entry.epoch = stored.producer_epoch;
  entry.last_append_ms = now_ms;
  entry.batches.push_back({stored.base_sequence, stored.last_sequence(), stored.base_offset, stored.last_offset()});
  if (entry.batches.size() > batches_remembered) entry.batches.pop_front();
  if (!stored.is_transactional()) return;
  if (!entry.txn_start) open_.insert(entry.txn_start.emplace(stored.base_offset));
  unverified_.erase(stored.producer_id);
}

void ProducerStates::record_marker(const StoredBatch& marker, std::int64_t now_ms) {
  const auto end = read_end_marker(marker);
  if (!end) return;
  const BatchHeader& header = marker.header;
  ProducerEntry& entry = entries_[header.producer_id];
  // Where the epoch rose (transaction protocol 2, or a fenced producer), sequences start anew.
  if (entry.epoch != header.producer_epoch) entry.batches.clear();
  entry.epoch = header.producer_epoch;
  entry.coordinator_epoch = end->coordinator_epoch;
  entry.last_append_ms = now_ms;
  unverified_.erase(header.producer_id);
  if (!entry.txn_start) return;  // an empty transaction
  const TransactionRange range{header.producer_id, *entry.txn_start, header.base_offset};
  completed_.push_back(range);
  if (!end->committed) aborted_.push_back(range);
  open_.erase(range.first);
  entry.txn_start.reset();
}

void ProducerStates::expire(std::int64_t now_ms, std::int64_t expiration_ms) {
  std::erase_if(entries_, [&](const auto& item) {
    return !item.second.txn_start && now_ms - item.second.last_append_ms >= expiration_ms;
  });
}

void ProducerStates::rebuild(const PartitionLog& log, std::int64_t now_ms) {
  *this = {};
  for (const StoredBatch& batch : log.batches()) {
    if (batch.header.is_control()) {
      record_marker(batch, now_ms);
    } else {
      record(batch.header, now_ms);
    }
  }
}

void ProducerStates::forget_below(Offset log_start) {
  std::erase_if(aborted_, [&](const TransactionRange& range) { return range.last < log_start; });
  std::erase_if(completed_, [&](const TransactionRange& range) { return range.last < log_start; });
}

void ProducerStates::forget_cleaned(const PartitionLog& log) {
  const auto& batches = log.batches();
  std::erase_if(aborted_, [&batches](const TransactionRange& range) {
    const auto at = std::partition_point(batches.begin(), batches.end(), [&range](const StoredBatch& batch) {
      return batch.header.base_offset < range.last;
    });
    return at == batches.end() || at->header.base_offset != range.last || at->header.record_count == 0;
  });
}

void ProducerStates::verification_failed(const BatchHeader& batch) {
  // A late copy of what was written in a transaction that is over. Real brokers note that too, and then refuse the
  // producer's next batch with 45; here a run must be able to tell such an error from one of the proxy's making.
  auto known = entries_.find(batch.producer_id);
  if (known != entries_.end() && known->second.epoch == batch.producer_epoch &&
      batch.base_sequence <= known->second.last_sequence())
    return;
  auto [at, fresh] = unverified_.try_emplace(batch.producer_id, batch.producer_epoch, batch.base_sequence);
  if (fresh || batch.producer_epoch < at->second.epoch) return;
  const bool newer = batch.producer_epoch > at->second.epoch;
  const std::int32_t lowest = std::min(at->second.lowest_sequence, batch.base_sequence);
  at->second = {batch.producer_epoch, newer ? batch.base_sequence : lowest};
}

bool ProducerStates::has_open_transaction(ProducerId id, ProducerEpoch epoch) const {
  auto found = entries_.find(id);
  return found != entries_.end() && found->second.txn_start && found->second.epoch == epoch;
}

std::optional<Offset> ProducerStates::first_unstable(Offset high_watermark) const {
  std::optional<Offset> first;
  const auto note = [&first](Offset offset) { first = std::min(first.value_or(offset), offset); };
  if (!open_.empty()) note(*open_.begin());
  // Markers rise, and the watermark never falls far: only the last few can lie behind it.
  for (auto at = completed_.rbegin(); at != completed_.rend() && at->last >= high_watermark; ++at) note(at->first);
  return first;
}

std::vector<TransactionRange> ProducerStates::aborted_in(Offset from, Offset upto) const {
  std::vector<TransactionRange> found;
  for (const TransactionRange& range : aborted_) {
    if (range.last >= from && range.first < upto) found.push_back(range);
  }
  return found;
}

}  // namespace crossover::sim
