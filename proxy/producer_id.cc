#include "proxy/producer_id.h"

namespace crossover::proxy {
namespace {

constexpr ProducerId tagged_bit = ProducerId{1} << 62;
constexpr ProducerId target_bit = ProducerId{1} << 61;
constexpr int generation_shift = 44;
constexpr ProducerId id_mask = (ProducerId{1} << generation_shift) - 1;

ProducerId tagged(Cluster allocator, std::int32_t generation, ProducerId id) {
  return tagged_bit | (allocator == Cluster::target ? target_bit : 0) |
         (static_cast<ProducerId>(generation & max_generation) << generation_shift) | (id & id_mask);
}

bool is_tagged(ProducerId id) {
  return id >= 0 && (id & tagged_bit);
}
Cluster allocator_of(ProducerId tagged_id) {
  return tagged_id & target_bit ? Cluster::target : Cluster::source;
}
std::int32_t generation_of(ProducerId tagged_id) {
  return static_cast<std::int32_t>((tagged_id >> generation_shift) & max_generation);
}

}  // namespace

ProducerId virtual_producer_id(Cluster allocator, ProducerId allocated) {
  if (allocated < 0 || allocator == Cluster::source) return allocated;
  return tagged(allocator, 0, allocated);
}

AllocatedId split_virtual(ProducerId virtual_id) {
  if (!is_tagged(virtual_id)) return {Cluster::source, virtual_id};
  return {allocator_of(virtual_id), virtual_id & id_mask};
}

ProducerId wire_producer_id(ProducerId virtual_id, Cluster cluster, std::int32_t generation) {
  if (virtual_id < 0) return virtual_id;
  const AllocatedId allocated = split_virtual(virtual_id);
  if (allocated.allocator == cluster && generation == 0) return allocated.id;
  return tagged(allocated.allocator, generation, allocated.id);
}

std::optional<ProducerId> virtual_from_wire(ProducerId wire_id, Cluster cluster, std::int32_t generation) {
  if (wire_id < 0) return std::nullopt;
  if (!is_tagged(wire_id)) {
    if (generation != 0) return std::nullopt;  // an id of the cluster's own, from an earlier segment or a stranger
    return virtual_producer_id(cluster, wire_id);
  }
  if (generation_of(wire_id) != generation) return std::nullopt;
  return virtual_producer_id(allocator_of(wire_id), wire_id & id_mask);
}

ProducerId virtual_from_any_wire(ProducerId wire_id, Cluster cluster) {
  if (wire_id < 0) return wire_id;
  if (!is_tagged(wire_id)) return virtual_producer_id(cluster, wire_id);
  return virtual_producer_id(allocator_of(wire_id), wire_id & id_mask);
}

}  // namespace crossover::proxy
