// How a batch stands to what a producer had written to a partition when its segment was opened (protocol facts, 6.1).
#pragma once

#include "protocol/record_batch.h"
#include "proxy/snapshot.h"

namespace crossover::proxy {

enum class BatchVerdict : std::uint8_t {
  next,       // the first that may be written to the new segment
  duplicate,  // it lies in an earlier segment already
  ahead,      // something must come before it, unless that is on the new segment already
  fenced,     // from an older epoch of the producer
};

BatchVerdict judge(const protocol::BatchHeader& batch, const ProducerEntry& at_boundary);

// a is at or before b on the circle of sequences, which wraps to 0 after 2^31-1.
bool at_or_before(std::int32_t a, std::int32_t b);

}  // namespace crossover::proxy
