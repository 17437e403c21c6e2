#include "proxy/binding.h"

#include "proxy/producer_id.h"

namespace crossover::proxy {

const TransactionalBinding* Bindings::find(const std::string& transactional_id) const {
  const auto found = ids.find(transactional_id);
  return found == ids.end() ? nullptr : &found->second;
}

Cluster Bindings::home_of(const std::string& transactional_id) const {
  const TransactionalBinding* binding = find(transactional_id);
  return binding ? binding->home : first_home;
}

Cluster Bindings::home_of_group(const std::string& group) const {
  const auto found = groups.find(group);
  return found == groups.end() ? first_home : found->second.home;
}

void Bindings::merge(const Bindings& other) {
  const auto take = [](auto& mine, const auto& theirs) {
    for (const auto& [name, binding] : theirs) {
      const auto [at, fresh] = mine.try_emplace(name, binding);
      if (!fresh && binding.generation > at->second.generation) at->second = binding;
    }
  };
  take(ids, other.ids);
  take(groups, other.groups);
}

std::optional<ProducerName> Bindings::to_real(const std::string& transactional_id, ProducerName known_as) const {
  if (known_as.id < 0) return known_as;
  const TransactionalBinding* binding = find(transactional_id);
  if (binding && known_as == binding->alias) return binding->real;
  const AllocatedId allocated = split_virtual(known_as.id);
  if (allocated.allocator != home_of(transactional_id)) return std::nullopt;
  return ProducerName{allocated.id, known_as.epoch};
}

ProducerName Bindings::to_virtual(const std::string& transactional_id, ProducerName on_home) const {
  if (on_home.id < 0) return on_home;
  const TransactionalBinding* binding = find(transactional_id);
  if (binding && binding->alias.id >= 0 && on_home == binding->real) return binding->alias;
  return {virtual_from_any_wire(on_home.id, home_of(transactional_id)), on_home.epoch};
}

}  // namespace crossover::proxy
