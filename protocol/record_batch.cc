#include "protocol/record_batch.h"

#include <algorithm>
#include <limits>

#include "protocol/crc32c.h"
#include "protocol/wire.h"

namespace crossover::protocol {
namespace {

// Where the fields of a v2 header stand.
constexpr std::size_t length_at = 8;
constexpr std::size_t leader_epoch_at = 12;
constexpr std::size_t magic_at = 16;
constexpr std::size_t crc_at = 17;
constexpr std::size_t attributes_at = 21;  // the checksum covers from here to the end
constexpr std::size_t producer_id_at = 43;
constexpr std::size_t producer_epoch_at = 51;
constexpr std::size_t base_sequence_at = 53;

constexpr std::size_t log_overhead_bytes = 12;  // offset and length, in every format
constexpr std::int32_t smallest_batch_length = batch_header_bytes - log_overhead_bytes;
constexpr std::int32_t smallest_message_length = 14;  // magic 0: crc, magic, attributes, null key, null value
// Length, attributes, two deltas, key, value and header count take a byte each at least.
constexpr std::int32_t smallest_record_bytes = 7;

void parse_header(BytesView data, BatchHeader& header) {
  Reader reader(data);
  header.base_offset = reader.int64();
  header.batch_length = reader.int32();
  header.leader_epoch = reader.int32();
  header.magic = reader.int8();
  header.crc = reader.uint32();
  header.attributes = reader.int16();
  header.last_offset_delta = reader.int32();
  header.base_timestamp = reader.int64();
  header.max_timestamp = reader.int64();
  header.producer_id = reader.int64();
  header.producer_epoch = reader.int16();
  header.base_sequence = reader.int32();
  header.record_count = reader.int32();
}

// What arithmetic on the header relies on. Contents are the brokers' business.
bool is_consistent(const BatchHeader& header) {
  if (header.base_offset < 0 || header.last_offset_delta < 0 || header.record_count < 0) return false;
  if (header.base_offset > std::numeric_limits<Offset>::max() - header.last_offset_delta) return false;
  // Offsets within a batch rise; compaction removes records but keeps the last offset.
  if (header.record_count > std::int64_t{header.last_offset_delta} + 1) return false;
  const std::int32_t payload = header.batch_length - smallest_batch_length;
  return header.compression() != 0 || header.record_count <= payload / smallest_record_bytes;
}

void patch_checked(char* batch, std::size_t batch_bytes, std::size_t at, BytesView after) {
  const auto crc = static_cast<std::uint32_t>(load_int32(batch + crc_at));
  const std::uint32_t patched =
      crc32c_replace(crc, BytesView(batch + at, after.size()), after, batch_bytes - at - after.size());
  store_int32(batch + crc_at, static_cast<std::int32_t>(patched));
  std::copy(after.begin(), after.end(), batch + at);
}

// Sums of what the network sent must not overflow.
std::int64_t wrapping_add(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

std::int64_t wrapping_subtract(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}

struct RecordView {
  std::int32_t offset_delta = 0;
  std::int64_t timestamp_delta = 0;
  std::optional<BytesView> key;
  std::optional<BytesView> value;
};

std::optional<BytesView> read_nullable(Reader& reader) {
  const std::int32_t size = reader.varint();
  if (size == -1) return std::nullopt;
  if (size < 0) {
    reader.fail();
    return std::nullopt;
  }
  return reader.raw(static_cast<std::size_t>(size));
}

bool skip_headers(Reader& reader) {
  const std::int32_t count = reader.varint();
  if (count < 0) return false;
  for (std::int32_t i = 0; i < count && reader.ok(); ++i) {
    if (!read_nullable(reader)) return false;  // a header's key is never null
    read_nullable(reader);
  }
  return reader.at_end();
}

std::optional<RecordView> read_record(Reader& records) {
  const std::int32_t size = records.varint();
  if (!records.ok() || size < 0) return std::nullopt;
  Reader reader(records.raw(static_cast<std::size_t>(size)));
  if (!records.ok()) return std::nullopt;
  RecordView record;
  reader.int8();  // attributes, unused in magic 2
  record.timestamp_delta = reader.varlong();
  record.offset_delta = reader.varint();
  record.key = read_nullable(reader);
  record.value = read_nullable(reader);
  if (!skip_headers(reader)) return std::nullopt;
  return record;
}

// Calls `visit(record)` for each record of a complete uncompressed batch until it returns false. False when malformed.
template <class Visit>
bool for_each_record(const BatchHeader& header, BytesView batch, Visit visit) {
  Reader reader(batch.substr(batch_header_bytes, header.total_bytes() - batch_header_bytes));
  std::int32_t previous_delta = -1;
  for (std::int32_t i = 0; i < header.record_count; ++i) {
    const auto record = read_record(reader);
    if (!record || record->offset_delta <= previous_delta || record->offset_delta > header.last_offset_delta)
      return false;
    previous_delta = record->offset_delta;
    if (!visit(*record)) return true;
  }
  return reader.at_end();
}

std::int64_t timestamp_of(const BatchHeader& header, const RecordView& record) {
  return header.has_log_append_time() ? header.max_timestamp
                                      : wrapping_add(header.base_timestamp, record.timestamp_delta);
}

void write_nullable(Writer& writer, const std::optional<Bytes>& value) {
  writer.varint(value ? static_cast<std::int32_t>(value->size()) : -1);
  if (value) writer.raw(*value);
}

void write_record(Writer& writer, const PlainRecord& record, std::int64_t base_timestamp, std::int32_t offset_delta) {
  Bytes body;
  Writer body_writer(body);
  body_writer.int8(0);
  body_writer.varlong(wrapping_subtract(record.timestamp, base_timestamp));
  body_writer.varint(offset_delta);
  write_nullable(body_writer, record.key);
  write_nullable(body_writer, record.value);
  body_writer.varint(0);
  writer.varint(static_cast<std::int32_t>(body.size()));
  writer.raw(body);
}

}  // namespace

std::int32_t BatchHeader::last_sequence() const {
  if (base_sequence < 0) return -1;
  return static_cast<std::int32_t>((std::int64_t{base_sequence} + last_offset_delta) & 0x7fffffff);
}

BatchState read_batch_header(BytesView data, BatchHeader& header) {
  if (data.size() <= magic_at) return BatchState::truncated;
  const std::int32_t length = load_int32(data.data() + length_at);
  const auto magic = static_cast<std::int8_t>(data[magic_at]);
  if (magic == 0 || magic == 1) {
    return length < smallest_message_length ? BatchState::malformed : BatchState::old_format;
  }
  if (magic != 2 || length < smallest_batch_length) return BatchState::malformed;
  if (data.size() < batch_header_bytes) return BatchState::truncated;
  parse_header(data, header);
  if (!is_consistent(header)) return BatchState::malformed;
  return data.size() < header.total_bytes() ? BatchState::truncated : BatchState::complete;
}

bool BatchCursor::load() {
  if (at >= records.size()) return false;
  state = read_batch_header(records.substr(at), header);
  return state == BatchState::complete;
}

void patch_base_offset(char* batch, Offset offset) {
  store_int64(batch, offset);
}

void patch_leader_epoch(char* batch, LeaderEpoch epoch) {
  store_int32(batch + leader_epoch_at, epoch);
}

void patch_producer_id(char* batch, std::size_t batch_bytes, ProducerId id) {
  char after[sizeof id];
  store_int64(after, id);
  patch_checked(batch, batch_bytes, producer_id_at, BytesView(after, sizeof after));
}

void patch_producer_epoch(char* batch, std::size_t batch_bytes, ProducerEpoch epoch) {
  const char after[sizeof epoch] = {static_cast<char>(epoch >> 8), static_cast<char>(epoch)};
  patch_checked(batch, batch_bytes, producer_epoch_at, BytesView(after, sizeof after));
}

void patch_base_sequence(char* batch, std::size_t batch_bytes, std::int32_t sequence) {
  char after[sizeof sequence];
  store_int32(after, sequence);
  patch_checked(batch, batch_bytes, base_sequence_at, BytesView(after, sizeof after));
}

bool has_valid_crc(BytesView batch) {
  BatchHeader header;
  if (read_batch_header(batch, header) != BatchState::complete) return false;
  return crc32c(batch.substr(attributes_at, header.total_bytes() - attributes_at)) == header.crc;
}

Bytes build_batch(const std::vector<PlainRecord>& records, ProducerId id, ProducerEpoch epoch,
                  std::int32_t base_sequence, std::int16_t attributes) {
  const std::int64_t base_timestamp = records.empty() ? -1 : records.front().timestamp;
  std::int64_t max_timestamp = base_timestamp;
  for (const PlainRecord& record : records) max_timestamp = std::max(max_timestamp, record.timestamp);
  const auto count = static_cast<std::int32_t>(records.size());

  Bytes batch;
  Writer writer(batch);
  writer.int64(0);  // base offset: 0 in what producers send
  writer.int32(0);  // length and checksum are known at the end
  writer.int32(-1);
  writer.int8(2);
  writer.uint32(0);
  writer.int16(attributes);
  writer.int32(std::max(count - 1, 0));
  writer.int64(base_timestamp);
  writer.int64(max_timestamp);
  writer.int64(id);
  writer.int16(epoch);
  writer.int32(base_sequence);
  writer.int32(count);
  for (std::int32_t i = 0; i < count; ++i)
    write_record(writer, records[static_cast<std::size_t>(i)], base_timestamp, i);
  store_int32(batch.data() + length_at, static_cast<std::int32_t>(batch.size() - log_overhead_bytes));
  store_int32(batch.data() + crc_at, static_cast<std::int32_t>(crc32c(BytesView(batch).substr(attributes_at))));
  return batch;
}

std::optional<TimestampedOffset> find_by_timestamp(BytesView batch, std::int64_t timestamp) {
  BatchHeader header;
  if (read_batch_header(batch, header) != BatchState::complete) return std::nullopt;
  if (header.max_timestamp < timestamp) return std::nullopt;
  if (header.compression() != 0) {
    const bool first_is_known = !header.has_log_append_time() && !header.has_delete_horizon();
    const bool first_fits = first_is_known && header.base_timestamp >= timestamp;
    return TimestampedOffset{header.base_offset, first_fits ? header.base_timestamp : header.max_timestamp};
  }
  std::optional<TimestampedOffset> found;
  for_each_record(header, batch, [&](const RecordView& record) {
    const std::int64_t at = timestamp_of(header, record);
    if (at >= timestamp) found = TimestampedOffset{header.base_offset + record.offset_delta, at};
    return !found;
  });
  return found;
}

std::optional<std::vector<PlainRecord>> read_plain_records(BytesView batch) {
  BatchHeader header;
  if (read_batch_header(batch, header) != BatchState::complete || header.compression() != 0) return std::nullopt;
  std::vector<PlainRecord> records;
  records.reserve(static_cast<std::size_t>(header.record_count));
  const bool well_formed = for_each_record(header, batch, [&](const RecordView& record) {
    records.push_back({timestamp_of(header, record), record.key ? std::optional<Bytes>(*record.key) : std::nullopt,
                       record.value ? std::optional<Bytes>(*record.value) : std::nullopt});
    return true;
  });
  if (!well_formed) return std::nullopt;
  return records;
}

}  // namespace crossover::protocol
