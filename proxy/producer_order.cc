#include "proxy/producer_order.h"

namespace crossover::proxy {

constexpr std::int64_t circle = std::int64_t{1} << 31;

std::int64_t sequences_between(std::int32_t a, std::int32_t b) {
  return ((std::int64_t{b} - a) % circle + circle) % circle;
}

bool at_or_before(std::int32_t a, std::int32_t b) {
  return sequences_between(a, b) < circle / 2;
}

BatchVerdict judge(const protocol::BatchHeader& batch, const ProducerEntry& at_boundary) {
  if (batch.producer_epoch < at_boundary.epoch) return BatchVerdict::fenced;
  if (batch.producer_epoch > at_boundary.epoch)
    return batch.base_sequence == 0 ? BatchVerdict::next : BatchVerdict::ahead;
  if (sequences_between(batch.last_sequence(), at_boundary.last_sequence) < retry_window)
    return BatchVerdict::duplicate;
  const std::int32_t next = at_boundary.last_sequence == 0x7fffffff ? 0 : at_boundary.last_sequence + 1;
  return batch.base_sequence == next ? BatchVerdict::next : BatchVerdict::ahead;
}

}  // namespace crossover::proxy
