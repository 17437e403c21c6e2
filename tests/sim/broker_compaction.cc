// The log cleaner (LogCleaner, MemoryRecords.filterTo): records go, offsets and batch borders stay.
#include <algorithm>
#include <map>

#include "protocol/crc32c.h"
#include "protocol/wire.h"
#include "tests/sim/broker_records.h"

namespace crossover::sim {

namespace {

using protocol::Writer;

constexpr std::int16_t delete_horizon_bit = 0x40;  // KIP-534: base timestamp then holds the horizon

void put_nullable(Writer& out, const std::optional<BytesView>& value) {
  out.varint(value ? static_cast<std::int32_t>(value->size()) : -1);
  if (value) out.raw(*value);
}

Bytes encode_record(const LogRecord& record, std::int64_t base_timestamp) {
  Bytes body;
  Writer out(body);
  out.int8(record.attributes);
  out.varlong(record.timestamp - base_timestamp);
  out.varint(record.offset_delta);
  put_nullable(out, record.key);
  put_nullable(out, record.value);
  out.raw(record.headers);
  return body;
}

// The batch with only these records. Base offset, last offset and sequences stay: they outlive the records.
StoredBatch rebuilt(const StoredBatch& old, const std::vector<LogRecord>& kept, std::optional<std::int64_t> horizon) {
  BatchHeader header = old.header;
  if (horizon) header.attributes |= delete_horizon_bit;
  if (horizon) header.base_timestamp = *horizon;
  header.record_count = static_cast<std::int32_t>(kept.size());
  header.max_timestamp = kept.empty() ? -1 : kept.front().timestamp;
  Bytes records;
  for (const LogRecord& record : kept) {
    header.max_timestamp = std::max(header.max_timestamp, record.timestamp);
    Bytes body = encode_record(record, header.base_timestamp);
    Writer out(records);
    out.varint(static_cast<std::int32_t>(body.size()));
    out.raw(body);
  }
  Bytes checked;  // what the checksum covers
  Writer out(checked);
  out.int16(header.attributes);
  out.int32(header.last_offset_delta);
  out.int64(header.base_timestamp);
  out.int64(header.max_timestamp);
  out.int64(header.producer_id);
  out.int16(header.producer_epoch);
  out.int32(header.base_sequence);
  out.int32(header.record_count);
  out.raw(records);
  header.crc = protocol::crc32c(checked);
  header.batch_length = static_cast<std::int32_t>(checked.size() + 9);
  StoredBatch batch{header, {}};
  Writer front(batch.bytes);
  front.int64(header.base_offset);
  front.int32(header.batch_length);
  front.int32(header.leader_epoch);
  front.int8(header.magic);
  front.uint32(header.crc);
  front.raw(checked);
  return batch;
}

struct CleanerMap {
  std::map<Bytes, Offset> last_by_key;
  std::map<ProducerId, Offset> last_by_producer;  // base offset of the batch that tells the producer's state
  std::map<ProducerId, ProducerEpoch> epoch_of;
  std::vector<TransactionRange> aborted;
};

// A producer's state stands in its last data, and in a marker only where that raised the epoch.
void note_producer(CleanerMap& map, const BatchHeader& batch) {
  if (batch.producer_id < 0) return;
  auto [epoch, fresh] = map.epoch_of.try_emplace(batch.producer_id, batch.producer_epoch);
  if (batch.is_control() && !fresh && epoch->second >= batch.producer_epoch) return;
  epoch->second = batch.producer_epoch;
  map.last_by_producer[batch.producer_id] = batch.base_offset;
}

bool is_aborted(const CleanerMap& map, const BatchHeader& batch) {
  return batch.is_transactional() && std::any_of(map.aborted.begin(), map.aborted.end(), [&](const auto& range) {
           return range.producer_id == batch.producer_id && range.first <= batch.base_offset &&
                  batch.base_offset < range.last;
         });
}

CleanerMap map_log(const std::deque<StoredBatch>& batches, std::size_t cleanable,
                   const std::vector<TransactionRange>& aborted) {
  CleanerMap map;
  map.aborted = aborted;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const StoredBatch& batch = batches[i];
    note_producer(map, batch.header);
    if (i >= cleanable || is_aborted(map, batch.header)) continue;
    auto records = records_of(batch);
    if (!records) continue;
    for (const LogRecord& record : *records) {
      if (record.key) map.last_by_key[Bytes(*record.key)] = batch.header.base_offset + record.offset_delta;
    }
  }
  return map;
}

bool tells_producer_state(const CleanerMap& map, const BatchHeader& batch) {
  auto last = map.last_by_producer.find(batch.producer_id);
  return last != map.last_by_producer.end() && last->second == batch.base_offset;
}

// Whether records are left, before `marker`, of the transaction that it ended.
bool has_records_left(const std::deque<StoredBatch>& before, const BatchHeader& marker) {
  for (auto at = before.rbegin(); at != before.rend(); ++at) {
    if (at->header.producer_id != marker.producer_id) continue;
    if (at->header.is_control()) return false;
    if (at->header.is_transactional() && at->header.record_count > 0) return true;
  }
  return false;
}

std::optional<StoredBatch> cleaned_marker(const StoredBatch& marker, const CleanerMap& map,
                                          const std::deque<StoredBatch>& before, std::int64_t now_ms,
                                          std::int64_t delete_retention_ms) {
  const auto records = all_records_of(marker);
  if (!records || records->empty() || has_records_left(before, marker.header)) return marker;
  if (!marker.header.has_delete_horizon()) return rebuilt(marker, *records, now_ms + delete_retention_ms);
  if (now_ms < marker.header.base_timestamp) return marker;
  if (!tells_producer_state(map, marker.header)) return std::nullopt;
  return rebuilt(marker, {}, std::nullopt);
}

// nullopt: the batch vanishes.
std::optional<StoredBatch> cleaned(const StoredBatch& batch, const CleanerMap& map, std::int64_t now_ms,
                                   std::int64_t delete_retention_ms) {
  auto records = records_of(batch);
  if (!records) return batch;
  bool dated = batch.header.attributes & delete_horizon_bit;
  bool tombstones_over = dated && now_ms >= batch.header.base_timestamp;
  std::vector<LogRecord> kept;
  bool tombstone_kept = false;
  for (const LogRecord& record : *records) {
    // A record without a key cannot be wanted: the cleaner drops it.
    if (!record.key || is_aborted(map, batch.header)) continue;
    if (map.last_by_key.at(Bytes(*record.key)) != batch.header.base_offset + record.offset_delta) continue;
    if (!record.value && tombstones_over) continue;
    tombstone_kept |= !record.value;
    kept.push_back(record);
  }
  std::optional<std::int64_t> horizon;
  if (tombstone_kept && !dated) horizon = now_ms + delete_retention_ms;
  if (kept.size() == records->size() && !horizon) return batch;
  if (kept.empty() && !tells_producer_state(map, batch.header)) return std::nullopt;
  return rebuilt(batch, kept, horizon);
}

}  // namespace

void PartitionLog::compact(Offset upto, std::int64_t now_ms, std::int64_t delete_retention_ms,
                           const std::vector<TransactionRange>& aborted) {
  std::size_t cleanable = 0;
  while (cleanable + 1 < batches_.size() && batches_[cleanable].header.last_offset() < upto) ++cleanable;
  CleanerMap map = map_log(batches_, cleanable, aborted);
  std::deque<StoredBatch> result;
  for (std::size_t i = 0; i < batches_.size(); ++i) {
    std::optional<StoredBatch> batch = batches_[i];
    if (i < cleanable) {
      batch = batch->header.is_control() ? cleaned_marker(batches_[i], map, result, now_ms, delete_retention_ms)
                                         : cleaned(batches_[i], map, now_ms, delete_retention_ms);
    }
    if (batch) result.push_back(std::move(*batch));
  }
  batches_ = std::move(result);
}

}  // namespace crossover::sim
