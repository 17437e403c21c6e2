#include "tests/sim/broker_records.h"

#include "protocol/wire.h"

namespace crossover::sim {

namespace {

using protocol::Reader;

std::optional<BytesView> nullable(Reader& in) {
  std::int32_t size = in.varint();
  if (size < 0) return std::nullopt;
  return in.raw(static_cast<std::size_t>(size));
}

}  // namespace

std::optional<std::vector<LogRecord>> records_of(const StoredBatch& batch) {
  if (batch.header.compression() != 0 || batch.header.is_control()) return std::nullopt;
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

}  // namespace crossover::sim
