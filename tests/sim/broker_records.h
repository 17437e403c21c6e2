// The records inside a stored batch, with their places.
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

}  // namespace crossover::sim
