// Producer ids as clients know them (virtual) and as they stand on a cluster (wire).
//
// A virtual id says which cluster allocated it: source's ids as allocated, target's with a tag. On its own cluster in a
// generation-0 segment an id stands as allocated; elsewhere and later it is tagged with allocator and generation, far
// above anything a broker allocates, so that two allocators' ids, or one id in two segments of one cluster, never meet.
//
//   bit 62: tagged | bit 61: allocator (1 = target) | bits 60..44: generation (17 bits) | bits 43..0: id as allocated
#pragma once

#include <optional>

#include "proxy/cluster.h"

namespace crossover::proxy {

inline constexpr std::int32_t max_generation = (1 << 17) - 1;

struct AllocatedId {
  Cluster allocator;
  ProducerId id;
};

// What the client is given for an id that `allocator` handed out.
ProducerId virtual_producer_id(Cluster allocator, ProducerId allocated);
AllocatedId split_virtual(ProducerId virtual_id);

// What stands in a batch written to `cluster` into a segment of that generation.
ProducerId wire_producer_id(ProducerId virtual_id, Cluster cluster, std::int32_t generation);
// The inverse; nullopt when that wire id does not belong to that segment (another generation's, or a stranger's tag).
std::optional<ProducerId> virtual_from_wire(ProducerId wire_id, Cluster cluster, std::int32_t generation);
// For admin answers, where any generation is shown under its virtual id.
ProducerId virtual_from_any_wire(ProducerId wire_id, Cluster cluster);

}  // namespace crossover::proxy
