// Any bytes as records: reading stays inside them, a patch moves the checksum exactly as the contents, and records that
// were read come back from a batch built of them.
#include "fuzz/fuzz_input.h"
#include "protocol/crc32c.h"
#include "protocol/record_batch.h"

namespace crossover::fuzz {
namespace {

using namespace protocol;

std::uint32_t crc_error(BytesView batch) {
  BatchHeader header;
  require(read_batch_header(batch, header) == BatchState::complete, "a patch keeps the header valid");
  const BytesView covered = batch.substr(21, header.total_bytes() - 21);
  const std::uint32_t computed = crc32c(covered);
  require(computed == crc32c_portable(covered), "both ways to compute a checksum agree");
  return computed ^ header.crc;
}

void check_patches(Bytes batch, std::int64_t value) {
  const std::uint32_t error = crc_error(batch);
  patch_producer_id(batch.data(), batch.size(), value);
  require(crc_error(batch) == error, "a producer id's patch carries the checksum along");
  patch_base_sequence(batch.data(), batch.size(), static_cast<std::int32_t>(value));
  require(crc_error(batch) == error, "a sequence's patch carries the checksum along");
  patch_base_offset(batch.data(), value & 0xffffffff);
  patch_leader_epoch(batch.data(), static_cast<LeaderEpoch>(value));
  require(crc_error(batch) == error, "offset and epoch are outside the checksum");
}

void check_records(const BatchHeader& header, BytesView batch, std::int64_t timestamp) {
  const auto found = find_by_timestamp(batch, timestamp);
  require(!found || (found->offset >= header.base_offset && found->offset <= header.last_offset()),
          "a hit lies in the batch");
  const auto records = read_plain_records(batch);
  if (!records) return;
  require(records->size() == static_cast<std::size_t>(header.record_count), "every record is read");
  const Bytes rebuilt = build_batch(*records);
  require(has_valid_crc(rebuilt), "a built batch has its checksum");
  const auto again = read_plain_records(rebuilt);
  require(again && again->size() == records->size(), "built records are read");
  for (std::size_t i = 0; i < records->size(); ++i) {
    const PlainRecord& a = (*records)[i];
    const PlainRecord& b = (*again)[i];
    require(a.timestamp == b.timestamp && a.key == b.key && a.value == b.value, "records come back");
  }
}

void run(Input input) {
  std::int64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | input.byte();
  BatchCursor cursor{input.rest()};
  for (; cursor.load(); cursor.advance()) {
    const BytesView batch = cursor.records.substr(cursor.at, cursor.header.total_bytes());
    require(batch.size() == cursor.header.total_bytes(), "a complete batch is all there");
    check_patches(Bytes(batch), value);
    check_records(cursor.header, batch, value);
  }
  require(cursor.at <= cursor.records.size(), "the cursor ends inside the records");
}

}  // namespace
}  // namespace crossover::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  crossover::fuzz::run({data, size});
  return 0;
}
