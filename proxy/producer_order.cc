#include "proxy/producer_order.h"

namespace crossover::proxy {

constexpr std::int64_t circle = std::int64_t{1} << 31;

std::int64_t sequences_between(std::int32_t a, std::int32_t b) {
  return ((std::int64_t{b} - a) % circle + circle) % circle;
}

bool at_or_before(std::int32_t a, std::int32_t b) {
  return sequences_between(a, b) < circle / 2;
}

std::int32_t sequence_after(std::int32_t last) {
  return last == 0x7fffffff ? 0 : last + 1;
}

std::int32_t sequence_plus(std::int32_t a, std::int32_t b) {
  return static_cast<std::int32_t>((std::int64_t{a} + b) % circle);
}

BatchVerdict judge(const protocol::BatchHeader& batch, const ProducerEntry& at_boundary) {
  if (batch.producer_epoch < at_boundary.epoch) return BatchVerdict::fenced;
  if (batch.producer_epoch > at_boundary.epoch)
    return batch.base_sequence == 0 ? BatchVerdict::next : BatchVerdict::ahead;
  if (sequences_between(batch.last_sequence(), at_boundary.last_sequence) < retry_window)
    return BatchVerdict::duplicate;
  return batch.base_sequence == sequence_after(at_boundary.last_sequence) ? BatchVerdict::next : BatchVerdict::ahead;
}

std::optional<ProducerEntry> written_before(const TransactionalBinding& binding, const std::string& topic,
                                            PartitionIndex partition, const ProducerTable* at_boundary) {
  if (binding.alias.id < 0) return std::nullopt;
  std::optional<ProducerEntry> last;
  if (at_boundary) {
    const auto found = at_boundary->find(binding.alias.id);
    if (found != at_boundary->end() && found->second.epoch == binding.alias.epoch) last = found->second;
  }
  const auto moved = binding.sequences.find({topic, partition});
  if (moved == binding.sequences.end()) return last;
  if (!last) return ProducerEntry{binding.alias.epoch, moved->second, 0};
  if (at_or_before(last->last_sequence, moved->second)) last->last_sequence = moved->second;
  return last;
}

bool is_later(const ProducerEntry& a, const ProducerEntry& b) {
  if (a.generation != b.generation) return a.generation > b.generation;
  if (a.epoch != b.epoch) return a.epoch > b.epoch;
  return !at_or_before(a.last_sequence, b.last_sequence);
}

}  // namespace crossover::proxy
