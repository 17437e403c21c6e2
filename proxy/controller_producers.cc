// What the leaders of partitions know of producers (DescribeProducers, KIP-664): how far each has written.
#include "protocol/messages.h"
#include "proxy/controller_core.h"
#include "proxy/producer_id.h"
#include "proxy/producer_order.h"

namespace crossover::proxy {

using namespace protocol;

namespace {

constexpr Millis answer_ms = 2'000;

template <class Asked, class Described>
std::vector<std::string> not_described(const Asked& by_leader, const Described& described) {
  std::vector<std::string> missing;
  for (const auto& [leader, places] : by_leader) {
    for (const auto& place : places) {
      if (!described.contains(place)) missing.push_back(place_name(place.first, place.second));
    }
  }
  return missing;
}

}  // namespace

Task<Controller::Impl::DescribedProducers> Controller::Impl::describe_producers(
    Cluster cluster, std::map<NodeId, PlaceNames> by_leader) {
  DescribedProducers found;
  const auto version = version_of(cluster, ApiKey::DescribeProducers, {0, 0});
  if (!version) co_return found;
  std::vector<Pending> asked;
  for (const auto& [leader, places] : by_leader) {
    if (leader < 0) continue;
    DescribeProducersRequest question;
    for (const auto& [topic, partition] : places) {
      if (question.topics.empty() || question.topics.back().name != topic) question.topics.emplace_back().name = topic;
      question.topics.back().partition_indexes.push_back(partition);
    }
    asked.push_back(ask(cluster, leader, ApiKey::DescribeProducers, *version, encode(question, *version), answer_ms));
  }
  for (const Pending& pending : asked) {
    auto answer = co_await answer_to<DescribeProducersResponse>(pending, *version, answer_ms);
    for (auto& topic : answer ? answer->topics : std::vector<DescribeProducersResponse::TopicResponse>{}) {
      for (auto& row : topic.partitions) {
        if (row.error_code == 0) found[{topic.name, row.partition_index}] = std::move(row.active_producers);
      }
    }
  }
  co_return found;
}

std::map<ProducerId, std::string> Controller::Impl::owners_of_names(const KnownIds& ids) const {
  std::map<ProducerId, std::string> owners;
  for (const auto& [id, known] : ids) {
    if (known.name.id >= 0) owners[known.name.id] = id;
  }
  return owners;
}

std::optional<std::pair<ProducerName, std::int32_t>> Controller::Impl::last_of_client(
    const std::string& id, const PartitionView& view, const std::string& topic, PartitionIndex partition,
    const DescribeProducersResponse::ProducerState& producer) const {
  if (producer.last_sequence < 0) return std::nullopt;
  const ProducerName on_cluster{producer.producer_id, static_cast<ProducerEpoch>(producer.producer_epoch)};
  const TransactionalBinding* binding = state_.bindings.find(id);
  // From an earlier stay on this cluster: what came after it is on record already.
  if (binding && on_cluster.id == binding->real.id && on_cluster.epoch < binding->real.epoch) return std::nullopt;
  std::int32_t last = producer.last_sequence;
  // A client that went on when its id moved here counts from where it was.
  if (binding && binding->alias.id >= 0 && on_cluster == binding->real) {
    const auto before = written_before(*binding, topic, partition, view.producers.get());
    if (before) last = sequence_plus(sequence_after(before->last_sequence), last);
  }
  return std::pair(state_.bindings.to_virtual(id, on_cluster), last);
}

// Their clients go on with the sequences that they had on every partition, also on those that stay where they are.
// Returns what hinders it; empty: nothing.
Task<std::string> Controller::Impl::learn_sequences(Cluster from, KnownIds& ids, PlaceNames but) {
  std::map<NodeId, PlaceNames> by_leader;
  std::size_t asked = 0;
  for (const auto& [name, topic] : snapshot_->topics) {
    for (std::size_t i = 0; i < topic->partitions.size() && !topic->internal; ++i) {
      const PartitionView& view = topic->partitions[i];
      const NodeId leader = view.real[index_of(from)].leader;
      const std::pair place(name, static_cast<PartitionIndex>(i));
      if (view.log.home() != from || but.contains(place)) continue;
      by_leader[leader].insert(place);
      ++asked;
    }
  }
  if (ids.empty() || asked == 0) co_return "";
  const DescribedProducers described = co_await describe_producers(from, by_leader);
  if (described.size() != asked) {
    wanted_at_[index_of(from)] = now_;
    co_return "the producers of " + some_of(not_described(by_leader, described)) + " were not described on the " +
        std::string(to_string(from)) + " cluster";
  }
  const std::map<ProducerId, std::string> owners = owners_of_names(ids);
  for (const auto& [place, producers] : described) {
    const PartitionView* view = snapshot_->partition(place.first, place.second);
    for (const auto& producer : producers) {
      const auto owner = owners.find(producer.producer_id);
      if (!view || owner == owners.end()) continue;
      KnownId& known = ids.at(owner->second);
      const auto last = last_of_client(owner->second, *view, place.first, place.second, producer);
      if (last && producer.producer_epoch == known.name.epoch) known.sequences[place] = last->second;
    }
  }
  co_return "";
}

// nullopt: written in another segment, or not through a proxy, or nothing of it counts any more.
std::optional<std::pair<ProducerId, ProducerEntry>> Controller::Impl::virtual_state(
    const Flip& flip, const Flip::Place& place, const PartitionView& view,
    const DescribeProducersResponse::ProducerState& producer) const {
  if (producer.last_sequence < 0) return std::nullopt;
  const std::int32_t generation = view.log.open_segment().generation;
  const auto owner = flip.owners.find(producer.producer_id);
  if (owner == flip.owners.end()) {
    const auto id = virtual_from_wire(producer.producer_id, flip.from, generation);
    const ProducerEntry entry{static_cast<ProducerEpoch>(producer.producer_epoch), producer.last_sequence, generation};
    return id ? std::optional(std::pair(*id, entry)) : std::nullopt;
  }
  // What an id that has moved away had written here was learnt then.
  if (state_.bindings.home_of(owner->second) != flip.from) return std::nullopt;
  const auto last = last_of_client(owner->second, view, place.topic, place.partition, producer);
  if (!last) return std::nullopt;
  return std::pair(last->first.id, ProducerEntry{last->first.epoch, last->second, generation});
}

Task<bool> Controller::Impl::producer_states(Flip& flip) {
  if (!version_of(flip.from, ApiKey::DescribeProducers, {0, 0})) {
    // Before 2.8: a retry whose answer was lost is then not recognised; said in the report.
    gate(
        flip, "producer_state", true,
        "the old home is too old to describe producers: a retry of a batch whose answer was lost may be written twice");
    co_return true;
  }
  std::map<NodeId, PlaceNames> by_leader;
  for (const Flip::Place& place : flip.places) by_leader[place.old_leader].emplace(place.topic, place.partition);
  const DescribedProducers described = co_await describe_producers(flip.from, by_leader);
  flip.owners = owners_of_names(flip.known);
  for (Flip::Place& place : flip.places) {
    const std::string name = place_name(place.topic, place.partition);
    const auto found = described.find({place.topic, place.partition});
    const PartitionView* view = snapshot_->partition(place.topic, place.partition);
    if (found == described.end() || !view) {
      wanted_at_[index_of(flip.from)] = now_;
      fail(flip, "the producers of " + name + " were not described by broker " + std::to_string(place.old_leader));
      co_return false;
    }
    place.producers =
        view->producers ? std::make_shared<ProducerTable>(*view->producers) : std::make_shared<ProducerTable>();
    for (const auto& producer : found->second) {
      if (producer.current_txn_start_offset >= 0) {
        fail(flip, name + " has an open transaction of producer " + std::to_string(producer.producer_id));
        co_return false;
      }
      const auto state = virtual_state(flip, place, *view, producer);
      if (state) (*place.producers)[state->first] = state->second;
    }
  }
  co_return true;
}

}  // namespace crossover::proxy
