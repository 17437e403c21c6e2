// The records inside a stored batch, with their places, and the markers that end transactions.
#pragma once

#include "tests/sim/broker_log.h"

namespace crossover::sim {

struct LogRecord {
  std::int8_t attributes = 0;
  std::int64_t timestamp = 0;
  std::int32_t offset_delta = 0;
  std::optional<BytesView> key;
  std::optional<BytesView> value;
  BytesView headers;
};

// nullopt when the batch is compressed, a control batch, or does not parse. The views point into the batch.
std::optional<std::vector<LogRecord>> records_of(const StoredBatch&);
// Of a control batch too.
std::optional<std::vector<LogRecord>> all_records_of(const StoredBatch&);

struct EndTransactionMarker {
  bool committed = false;
  std::int32_t coordinator_epoch = 0;
};

// The control batch that a leader appends when a transaction ends (EndTransactionMarker, ControlRecordType).
Bytes build_end_marker(ProducerId, ProducerEpoch, const EndTransactionMarker&, std::int64_t now_ms);
// nullopt when the batch is no such marker, or has lost its record.
std::optional<EndTransactionMarker> read_end_marker(const StoredBatch&);

}  // namespace crossover::sim
