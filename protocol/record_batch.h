// Record batch headers (magic 2) read and patched in place; records themselves are only read where a timestamp look-up
// needs them. Layout: KIP-98; field places are those of DefaultRecordBatch.
#pragma once

#include <optional>
#include <vector>

#include "protocol/types.h"

namespace crossover::protocol {

inline constexpr std::size_t batch_header_bytes = 61;

struct BatchHeader {
  Offset base_offset = 0;
  std::int32_t batch_length = 0;  // bytes after this field; the whole batch is 12 more
  LeaderEpoch leader_epoch = -1;
  std::int8_t magic = 2;
  std::uint32_t crc = 0;
  std::int16_t attributes = 0;
  std::int32_t last_offset_delta = 0;
  std::int64_t base_timestamp = 0;
  std::int64_t max_timestamp = 0;
  ProducerId producer_id = -1;
  ProducerEpoch producer_epoch = -1;
  std::int32_t base_sequence = -1;
  std::int32_t record_count = 0;

  Offset last_offset() const { return base_offset + last_offset_delta; }
  std::size_t total_bytes() const { return 12 + static_cast<std::size_t>(batch_length); }
  bool is_control() const { return attributes & 0x20; }
  bool is_transactional() const { return attributes & 0x10; }
  bool has_log_append_time() const { return attributes & 0x08; }  // every record's timestamp is max_timestamp
  bool has_delete_horizon() const { return attributes & 0x40; }   // base_timestamp is not the first record's (KIP-534)
  int compression() const { return attributes & 0x07; }
  // Sequences wrap to 0 after 2^31-1.
  std::int32_t last_sequence() const;
};

// What stands at the start of `data`.
enum class BatchState {
  complete,    // header valid and all its bytes present
  truncated,   // the bytes end before the batch does: what brokers leave at the end of a fetch answer
  old_format,  // magic 0 or 1, known from the magic byte alone: the messages behind it are not checked
  malformed,
};
// `header` is filled when the answer is `complete`, and when it is `truncated` behind the header.
BatchState read_batch_header(BytesView data, BatchHeader& header);

// Walks complete v2 batches; `at` is where the batch starts in `records`. Ends at the first that is not complete.
struct BatchCursor {
  BytesView records;
  std::size_t at = 0;
  BatchHeader header;
  BatchState state = BatchState::complete;
  // Loads the batch at `at`; false at the end or at an incomplete one (see state).
  bool load();
  void advance() { at += header.total_bytes(); }
};

// In-place patches of a v2 batch that starts at `batch`. Offset and epoch lie outside the checksum.
void patch_base_offset(char* batch, Offset offset);
void patch_leader_epoch(char* batch, LeaderEpoch epoch);
// The producer id lies inside the checksum: the new CRC-32C is computed from the change and the length alone.
// `batch_bytes` is the whole batch's size.
void patch_producer_id(char* batch, std::size_t batch_bytes, ProducerId id);
void patch_producer_epoch(char* batch, std::size_t batch_bytes, ProducerEpoch epoch);
void patch_base_sequence(char* batch, std::size_t batch_bytes, std::int32_t sequence);

// Whether the checksum fits the bytes of a complete v2 batch.
bool has_valid_crc(BytesView batch);

// Builds an uncompressed v2 batch; used by tests, the embedded cluster and probes.
struct PlainRecord {
  std::int64_t timestamp = -1;  // ms since 1970; -1: none, and retention goes by the age of the broker's file
  std::optional<Bytes> key;
  std::optional<Bytes> value;
};
Bytes build_batch(const std::vector<PlainRecord>& records, ProducerId id = -1, ProducerEpoch epoch = -1,
                  std::int32_t base_sequence = -1, std::int16_t attributes = 0);

// Offset and timestamp of the first record at or after `timestamp` in one batch. Uncompressed batches are searched
// record by record; a compressed one yields its base offset (an earlier record may be meant: replays, never skips).
struct TimestampedOffset {
  Offset offset;
  std::int64_t timestamp;
};
std::optional<TimestampedOffset> find_by_timestamp(BytesView batch, std::int64_t timestamp);

// Records of an uncompressed batch; nullopt when compressed or malformed.
std::optional<std::vector<PlainRecord>> read_plain_records(BytesView batch);

}  // namespace crossover::protocol
