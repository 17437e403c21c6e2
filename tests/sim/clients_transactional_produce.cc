// The batches of a transactional producer.
#include "protocol/record_batch.h"
#include "tests/sim/clients_transactional.h"

namespace crossover::sim {

namespace {

using protocol::ProduceRequest;
using protocol::ProduceResponse;

constexpr Micros backoff = 30 * one_ms;
constexpr std::int16_t transactional_bit = 0x10;
constexpr std::size_t most_in_flight = 5;

bool retriable(std::int16_t error) {
  constexpr std::int16_t codes[] = {2, 3, 5, 6, 7, 13, 14, 15, 16, 19, 20, 51, 72, 74, 75, 100};
  return std::find(std::begin(codes), std::end(codes), error) != std::end(codes);
}

}  // namespace

bool TransactionalClient::all_acknowledged() const {
  return std::all_of(queues_.begin(), queues_.end(), [](const auto& q) { return q.second.batches.empty(); });
}

// What never went out leaves no trace: it has no sequence yet.
void TransactionalClient::drop_unsent() {
  for (auto& [place, queue] : queues_) queue.batches.remove_if([](const Batch& b) { return b.bytes.empty(); });
}

TransactionalClient::Batch* TransactionalClient::sendable(Queue& queue, NodeId leader) {
  if (queue.waiting) return nullptr;
  std::size_t flying = 0;
  for (Batch& batch : queue.batches) {
    if (batch.in_flight) {
      // What is under way to another leader has to be settled first.
      if (batch.broker != leader) return nullptr;
      ++flying;
      continue;
    }
    // A leader that does not know the producer takes any sequence, so the first one goes alone.
    const bool alone = batch.attempts > 0 || !queue.known;
    if (flying >= (alone ? 1 : most_in_flight)) return nullptr;
    return &batch;
  }
  return nullptr;
}

void TransactionalClient::pump() {
  if (dead() || id_ < 0) return;
  for (bool sent = true; std::exchange(sent, false);) {
    std::map<NodeId, std::vector<std::pair<Place, Batch*>>> by_leader;
    for (auto& [place, queue] : queues_) {
      if (queue.batches.empty() || (!protocol_2_ && !added_.contains(place))) continue;
      const PartitionInfo* leader = leader_of(place);
      if (!leader) {
        refresh(backoff);
      } else if (Batch* batch = sendable(queue, leader->leader)) {
        by_leader[leader->leader].emplace_back(place, batch);
      }
    }
    for (auto& [node, batches] : by_leader) {
      const auto to = connection(node);
      if (!to) {
        refresh(backoff);
      } else if (to->in_flight() < most_in_flight) {
        send(to, batches);
        sent = true;
      }
    }
  }
}

void TransactionalClient::send(const std::shared_ptr<ClientConnection>& to,
                               const std::vector<std::pair<Place, Batch*>>& batches) {
  ProduceRequest request;
  request.transactional_id = options_.transactional_id;
  request.acks = -1;
  request.timeout_ms = 30'000;
  std::vector<std::pair<Place, std::uint64_t>> sent;
  for (const auto& [place, batch] : batches) {
    Queue& queue = queues_.at(place);
    if (batch->bytes.empty()) {
      batch->bytes = protocol::build_batch(batch->records, id_, epoch_, queue.next_sequence, transactional_bit);
      queue.next_sequence += static_cast<std::int32_t>(batch->records.size());
    }
    if (request.topic_data.empty() || request.topic_data.back().name != place.topic) {
      request.topic_data.emplace_back().name = place.topic;
      request.topic_data.back().topic_id = id_of(place.topic);
    }
    auto& data = request.topic_data.back().partition_data.emplace_back();
    data.index = place.partition;
    data.records = batch->bytes;
    batch->in_flight = true;
    batch->broker = leader_of(place)->leader;
    ++batch->attempts;
    sent.emplace_back(place, batch->id);
  }
  call<ProduceResponse>(to, produce_version_, request, [this, sent](auto answer) {
    if (dead()) return;
    for (const auto& [place, id] : sent) {
      const auto* found = answer ? row_of(*answer, place) : nullptr;
      if (answer && !found)
        world_.checks.violated("answer: " + name_ + ": " + to_string(place) + " is missing in a Produce answer");
      settle(place, id, found);
      if (dead()) return;
    }
    // As real clients do: all requests of a lost connection are settled before anything is sent.
    world_.events.after(0, [this] { step(); });
  });
}

const ProduceResponse::PartitionProduceResponse* TransactionalClient::row_of(const ProduceResponse& answer,
                                                                             const Place& place) const {
  for (const auto& topic : answer.responses) {
    if (produce_version_ >= 13 ? topic.topic_id != id_of(place.topic) : topic.name != place.topic) continue;
    for (const auto& row : topic.partition_responses) {
      if (row.index == place.partition) return &row;
    }
  }
  return nullptr;
}

void TransactionalClient::settle(const Place& place, std::uint64_t id,
                                 const ProduceResponse::PartitionProduceResponse* row) {
  Queue& queue = queues_.at(place);
  const auto batch =
      std::find_if(queue.batches.begin(), queue.batches.end(), [id](const Batch& b) { return b.id == id; });
  if (batch == queue.batches.end()) return;
  batch->in_flight = false;
  constexpr std::int16_t out_of_order = 45;
  if (row && row->error_code == 0) {
    const bool located = row->base_offset >= 0;
    for (std::size_t i = 0; i < batch->values.size(); ++i) {
      world_.checks.acknowledged(batch->values[i],
                                 located ? std::optional(row->base_offset + static_cast<Offset>(i)) : std::nullopt);
    }
    if (world_.log) world_.log("acknowledged " + batch->values.front() + " at " + std::to_string(row->base_offset));
    begun_at_coordinator_ = queue.known = true;
    queue.batches.erase(batch);
    return;
  }
  const bool head = batch == queue.batches.begin();
  if (row && !retriable(row->error_code) && !(row->error_code == out_of_order && !head))
    return fail("Produce of " + batch->values.front(), row->error_code);
  if (world_.log)
    world_.log(name_ + " will send again " + batch->values.front() + " after " +
               (row ? std::to_string(row->error_code) : "no answer"));
  queue.waiting = true;
  refresh(backoff);
}

}  // namespace crossover::sim
