#include "proxy/producer_order.h"

namespace crossover::proxy {

bool at_or_before(std::int32_t a, std::int32_t b) {
  constexpr std::int64_t circle = std::int64_t{1} << 31;
  const std::int64_t ahead = ((std::int64_t{b} - a) % circle + circle) % circle;
  return ahead < circle / 2;
}

BatchVerdict judge(const protocol::BatchHeader& batch, const ProducerEntry& at_boundary) {
  if (batch.producer_epoch < at_boundary.epoch) return BatchVerdict::fenced;
  if (batch.producer_epoch > at_boundary.epoch)
    return batch.base_sequence == 0 ? BatchVerdict::next : BatchVerdict::ahead;
  if (at_or_before(batch.last_sequence(), at_boundary.last_sequence)) return BatchVerdict::duplicate;
  const std::int32_t next = at_boundary.last_sequence == 0x7fffffff ? 0 : at_boundary.last_sequence + 1;
  return batch.base_sequence == next ? BatchVerdict::next : BatchVerdict::ahead;
}

}  // namespace crossover::proxy
