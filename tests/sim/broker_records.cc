#include "tests/sim/broker_records.h"

#include "protocol/wire.h"

namespace crossover::sim {

namespace {

using protocol::Reader;
using protocol::Writer;

std::optional<BytesView> nullable(Reader& in) {
  std::int32_t size = in.varint();
  if (size < 0) return std::nullopt;
  return in.raw(static_cast<std::size_t>(size));
}

constexpr std::int16_t transactional_bit = 0x10, control_bit = 0x20;
constexpr std::int16_t abort_type = 0, commit_type = 1;  // ControlRecordType

}  // namespace

std::optional<std::vector<LogRecord>> all_records_of(const StoredBatch& batch) {
  Reader in(BytesView(batch.bytes).substr(protocol::batch_header_bytes));
  std::vector<LogRecord> records;
  for (std::int32_t i = 0; i < batch.header.record_count; ++i) {
    std::int32_t length = in.varint();
    if (!in.ok() || length < 0) return std::nullopt;
    BytesView body = in.raw(static_cast<std::size_t>(length));
    Reader inner(body);
    LogRecord record;
    record.attributes = inner.int8();
    record.timestamp = batch.header.base_timestamp + inner.varlong();
    record.offset_delta = inner.varint();
    record.key = nullable(inner);
    record.value = nullable(inner);
    if (!in.ok() || !inner.ok()) return std::nullopt;
    record.headers = body.substr(inner.position());
    records.push_back(record);
  }
  return records;
}

std::optional<std::vector<LogRecord>> records_of(const StoredBatch& batch) {
  if (batch.header.compression() != 0 || batch.header.is_control()) return std::nullopt;
  return all_records_of(batch);
}

Bytes build_end_marker(ProducerId id, ProducerEpoch epoch, const EndTransactionMarker& marker, std::int64_t now_ms) {
  Bytes key, value;
  Writer(key).int16(0);  // the key's version
  Writer(key).int16(marker.committed ? commit_type : abort_type);
  Writer(value).int16(0);
  Writer(value).int32(marker.coordinator_epoch);
  return protocol::build_batch({{now_ms, key, value}}, id, epoch, -1, transactional_bit | control_bit);
}

std::optional<EndTransactionMarker> read_end_marker(const StoredBatch& batch) {
  if (!batch.header.is_control()) return std::nullopt;
  const auto records = all_records_of(batch);
  if (!records || records->empty()) return std::nullopt;
  Reader key(records->front().key.value_or(""));
  Reader value(records->front().value.value_or(""));
  key.skip(2);
  value.skip(2);
  const std::int16_t type = key.int16();
  const std::int32_t coordinator_epoch = value.int32();
  if (!key.ok() || !value.ok() || (type != abort_type && type != commit_type)) return std::nullopt;
  return EndTransactionMarker{type == commit_type, coordinator_epoch};
}

}  // namespace crossover::sim
