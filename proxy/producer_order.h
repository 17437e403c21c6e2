// How a batch stands to what a producer had written to a partition when its segment was opened (protocol facts, 6.1).
#pragma once

#include <optional>

#include "protocol/record_batch.h"
#include "proxy/snapshot.h"

namespace crossover::proxy {

enum class BatchVerdict : std::uint8_t {
  next,       // the first that may be written to the new segment
  duplicate,  // it lies in an earlier segment already, unless its producer's sequences have come round since
  ahead,      // something must come before it, unless that is on the new segment already
  fenced,     // from an older epoch of the producer
};

BatchVerdict judge(const protocol::BatchHeader& batch, const ProducerEntry& at_boundary);

std::int32_t sequence_after(std::int32_t last);
std::int32_t sequence_plus(std::int32_t a, std::int32_t b);  // on the circle

// From a forward to b on the circle.
std::int64_t sequences_between(std::int32_t a, std::int32_t b);

// A retry is of one of its producer's last five batches, for no more are in flight: what lies further back than five of
// the largest batches are long is no retry. A producer that goes on for long comes by here again, every 2^31 records.
inline constexpr std::int64_t retry_window = std::int64_t{1} << 27;

// Whether a says more of a producer than b: of what it wrote under a later generation or epoch, or further on.
bool is_later(const ProducerEntry& a, const ProducerEntry& b);

// What a client under the alias of a transactional id had written last on a partition when the id came to its present
// home, or when the partition's open segment was opened, whichever is later. nullopt: nothing that is known.
std::optional<ProducerEntry> written_before(const TransactionalBinding& binding, const std::string& topic,
                                            PartitionIndex partition, const ProducerTable* at_boundary);

// a is at or before b on the circle of sequences, which wraps to 0 after 2^31-1.
bool at_or_before(std::int32_t a, std::int32_t b);

}  // namespace crossover::proxy
