// Producers. Idempotent ones follow the Java producer: up to five batches in flight per connection, sequences per
// partition, a batch that is sent again goes alone and in order.
#include <list>

#include "protocol/record_batch.h"
#include "tests/sim/clients.h"

namespace crossover::sim {

namespace {

using protocol::ProduceRequest;
using protocol::ProduceResponse;

constexpr Micros backoff = 30 * one_ms;

bool retriable(std::int16_t error) {
  constexpr std::int16_t codes[] = {2, 3, 5, 6, 7, 13, 19, 20, 72, 74, 75, 100};
  return std::find(std::begin(codes), std::end(codes), error) != std::end(codes);
}

struct Batch {
  std::uint64_t id;
  std::vector<std::string> values;
  Bytes bytes;
  int attempts = 0;
  bool in_flight = false;
  NodeId broker = -1;   // it was sent to
  bool ordered = true;  // if it needs to be sent only once
  bool behind = false;  // sent while one before it was not acknowledged
};

struct Queue {
  std::list<Batch> unacknowledged;  // in the order of production
  std::int32_t next_sequence = 0;
  protocol::ProducerEpoch epoch = 0;
  bool waiting = false;      // for the refresh that follows a retriable error
  bool known_there = false;  // one of its batches was acknowledged
  std::size_t in_flight() const {
    return static_cast<std::size_t>(
        std::count_if(unacknowledged.begin(), unacknowledged.end(), [](const Batch& b) { return b.in_flight; }));
  }
};

class Producer : public Client {
 public:
  Producer(ClientWorld& world, std::string name, ProducerOptions options)
      : Client(world, std::move(name)),
        options_(std::move(options)),
        begins_anew_(options_.delivery == Delivery::idempotent && world.random.one_in(3)) {
    for (const Place& place : options_.places) queues_[place].next_sequence = options_.first_sequence;
  }

  bool done() override { return finishing_ && nothing_left(); }

  std::string describe() override {
    std::string text;
    for (const auto& [place, queue] : queues_) {
      if (queue.unacknowledged.empty()) continue;
      text += " " + to_string(place) + ": " + std::to_string(queue.unacknowledged.size()) + " from " +
              queue.unacknowledged.front().values.front() + " attempts " +
              std::to_string(queue.unacknowledged.front().attempts) +
              (queue.unacknowledged.front().in_flight ? " in flight" : "");
    }
    return text;
  }

 protected:
  void on_ready() override {
    version_ = version(ApiKey::Produce, 3, 13);
    if (options_.delivery == Delivery::idempotent) {
      ask_id();
    } else {
      produce();
    }
  }
  void on_metadata() override {
    for (auto& [place, queue] : queues_) queue.waiting = false;
    if (options_.follows_at_once) refresh(world_.random.between(5, 60) * one_ms);
    pump();
  }

 private:
  void ask_id() {
    protocol::InitProducerIdRequest ask;
    ask.transactional_id.reset();
    const NodeId node = world_.random.pick(ports_).first;
    call<protocol::InitProducerIdResponse>(connection(node), version(ApiKey::InitProducerId, 0, 4), ask,
                                           [this](auto answer) {
                                             if (!answer || answer->error_code != 0) {
                                               refresh();
                                               world_.events.after(backoff, [this] { ask_id(); });
                                               return;
                                             }
                                             id_ = answer->producer_id;
                                             world_.checks.transactions().shown_id(name_, id_);
                                             for (auto& [place, queue] : queues_) queue.epoch = answer->producer_epoch;
                                             produce();
                                           });
  }

  void produce() {
    if (finishing_) return;
    if (begins_anew_ && nothing_left() && world_.random.one_in(30)) return begin_anew();
    const Place& place = world_.random.pick(options_.places);
    Queue& queue = queues_.at(place);
    constexpr std::size_t bound = 50;
    if (queue.unacknowledged.size() < bound) {
      add_batch(place, queue);
      pump();
    }
    world_.events.after(world_.random.below(2 * options_.pause), [this] { produce(); });
  }

  // As an application that is started again.
  void begin_anew() {
    for (auto& [place, queue] : queues_) {
      queue.next_sequence = 0;
      queue.known_there = false;
    }
    ask_id();
  }

  bool nothing_left() const {
    return std::all_of(queues_.begin(), queues_.end(), [](const auto& q) { return q.second.unacknowledged.empty(); });
  }

  void add_batch(const Place& place, Queue& queue) {
    // Clients raise epochs by themselves, per partition, and start sequences anew.
    if (options_.raises_epochs && queue.unacknowledged.empty() && world_.random.one_in(15)) {
      ++queue.epoch;
      queue.next_sequence = 0;
    }
    Batch batch;
    batch.id = next_batch_++;
    std::vector<protocol::PlainRecord> records(static_cast<std::size_t>(world_.random.between(1, 4)));
    for (auto& record : records) {
      record.timestamp = world_.events.now_ms();
      record.key = "k" + std::to_string(world_.random.below(8));
      batch.values.push_back(world_.checks.new_record(name_, place, options_.delivery, *record.key));
      record.value = batch.values.back();
    }
    if (options_.delivery == Delivery::idempotent) {
      batch.bytes = protocol::build_batch(records, id_, queue.epoch, queue.next_sequence);
      queue.next_sequence =
          static_cast<std::int32_t>((queue.next_sequence + static_cast<std::int64_t>(records.size())) & 0x7fffffff);
    } else {
      batch.bytes = protocol::build_batch(records);
    }
    queue.unacknowledged.push_back(std::move(batch));
  }

  // The next batch of a partition that may go out now.
  Batch* sendable(Queue& queue) {
    if (queue.waiting) return nullptr;
    const std::size_t flying = queue.in_flight();
    for (Batch& batch : queue.unacknowledged) {
      if (batch.in_flight) continue;
      if (flying >= (options_.follows_at_once ? 5 : options_.in_flight)) return nullptr;
      return batch.attempts == 0 || flying == 0 ? &batch : nullptr;
    }
    return nullptr;
  }

  // A leader takes any sequence from a producer that it has not seen. What is under way to the one before it on the
  // same cluster would come too late, without the proxy as well; so would what has not even reached the proxy.
  bool outruns_first(const Queue& queue, NodeId to) const {
    const bool arrived = all_arrived();
    return !queue.known_there &&
           std::any_of(queue.unacknowledged.begin(), queue.unacknowledged.end(), [to, arrived](const Batch& batch) {
             return batch.in_flight && batch.broker != to && (batch.broker % 2 == to % 2 || !arrived);
           });
  }

  void pump() {
    if (options_.follows_at_once && !all_arrived()) {
      if (!std::exchange(pump_due_, true))
        world_.events.after(200, [this] {
          pump_due_ = false;
          pump();
        });
      return;
    }
    bool sent = true;
    while (sent) {
      sent = false;
      std::map<NodeId, std::vector<std::pair<Place, Batch*>>> by_leader;
      for (auto& [place, queue] : queues_) {
        const PartitionInfo* leader = leader_of(place);
        if (!leader) {
          if (!queue.unacknowledged.empty()) refresh(backoff);
          continue;
        }
        Batch* const batch = sendable(queue);
        if (batch && !outruns_first(queue, leader->leader)) by_leader[leader->leader].emplace_back(place, batch);
      }
      for (auto& [node, batches] : by_leader) {
        const auto to = connection(node);
        if (!to) {
          refresh(backoff);
        } else if (to->in_flight() < options_.in_flight) {
          send(to, batches);
          if (options_.follows_at_once) return pump();
          sent = true;
        }
      }
    }
  }

  void send(const std::shared_ptr<ClientConnection>& to, const std::vector<std::pair<Place, Batch*>>& batches) {
    ProduceRequest request;
    request.acks = options_.acks;
    request.timeout_ms = 30'000;
    std::vector<std::pair<Place, std::uint64_t>> sent;
    for (const auto& [place, batch] : batches) {
      if (request.topic_data.empty() || request.topic_data.back().name != place.topic) {
        request.topic_data.emplace_back().name = place.topic;
        request.topic_data.back().topic_id = id_of(place.topic);
      }
      auto& data = request.topic_data.back().partition_data.emplace_back();
      data.index = place.partition;
      data.records = batch->bytes;
      batch->in_flight = true;
      batch->broker = leader_of(place)->leader;
      batch->behind = batch != &queues_.at(place).unacknowledged.front();
      ++batch->attempts;
      note_unordered(place, batch->broker);
      if (world_.log && options_.follows_at_once)
        world_.log(name_ + " sends " + batch->values.front() + " to broker " + std::to_string(batch->broker));
      sent.emplace_back(place, batch->id);
    }
    if (options_.acks == 0) {
      to->send_unanswered(ApiKey::Produce, version_, protocol::encode(request, version_));
      for (const auto& [place, batch] : sent) queues_.at(place).unacknowledged.pop_front();
      return;
    }
    call<ProduceResponse>(to, version_, request,
                          [this, sent](auto answer) { take(sent, answer ? &*answer : nullptr); });
  }

  // What is under way elsewhere need not come before what is sent to `to` now when the leader moved within one cluster,
  // whose virtual brokers have ids of one parity (without the proxy too the old leader's comes late, if only because it
  // is refused), or when this client still follows an announcement that others know to be out of date.
  void note_unordered(const Place& place, NodeId to) {
    const bool behind = leader_of(place)->epoch < world_.checks.announced_epoch(place);
    for (Batch& batch : queues_.at(place).unacknowledged) {
      if (batch.in_flight && batch.broker != to && (behind || batch.broker % 2 == to % 2)) batch.ordered = false;
    }
  }

  void take(const std::vector<std::pair<Place, std::uint64_t>>& sent, const ProduceResponse* answer) {
    for (const auto& [place, id] : sent) {
      const auto* row = answer ? row_of(*answer, place) : nullptr;
      if (answer && !row)
        world_.checks.violated("answer: " + name_ + ": " + to_string(place) + " is missing in the Produce answer");
      settle(place, id, row);
    }
    if (answer) return pump();
    // As real clients do: all requests of a lost connection are settled before anything is sent.
    world_.events.after(0, [this] { pump(); });
  }

  const ProduceResponse::PartitionProduceResponse* row_of(const ProduceResponse& answer, const Place& place) const {
    for (const auto& topic : answer.responses) {
      if (version_ >= 13 ? topic.topic_id != id_of(place.topic) : topic.name != place.topic) continue;
      for (const auto& row : topic.partition_responses) {
        if (row.index == place.partition) return &row;
      }
    }
    return nullptr;
  }

  void settle(const Place& place, std::uint64_t id, const ProduceResponse::PartitionProduceResponse* row) {
    Queue& queue = queues_.at(place);
    auto& batches = queue.unacknowledged;
    const auto batch = std::find_if(batches.begin(), batches.end(), [id](const Batch& b) { return b.id == id; });
    if (batch == batches.end()) return;
    batch->in_flight = false;
    constexpr std::int16_t out_of_order = 45;
    if (row && row->error_code == 0) {
      if (world_.log) world_.log("acknowledged " + batch->values.front() + " at " + std::to_string(row->base_offset));
      for (std::size_t i = 0; i < batch->values.size(); ++i) {
        const bool known = row->base_offset >= 0;
        // Without sequences, what is sent again may stand behind what was sent after it.
        const bool ordered = options_.delivery == Delivery::idempotent || (batch->attempts == 1 && batch->ordered);
        world_.checks.acknowledged(
            batch->values[i], known ? std::optional(row->base_offset + static_cast<Offset>(i)) : std::nullopt, ordered);
      }
      queue.known_there = true;
      batches.erase(batch);
      return;
    }
    // Sent behind one that was under way, a batch out of order is tried again; at the head it is a loss.
    if (row && !retriable(row->error_code) && !(row->error_code == out_of_order && batch->behind)) {
      world_.checks.violated("error surfaced: " + name_ + ": " + batch->values.front() +
                             " was refused for good with error " + std::to_string(row->error_code));
      batches.erase(batch);
      return;
    }
    if (world_.log)
      world_.log(name_ + " will send again " + batch->values.front() + " after " +
                 (row ? std::to_string(row->error_code) : "no answer"));
    if (world_.calm) {
      world_.checks.violated("error surfaced: " + name_ + " has to send " + batch->values.front() +
                             " again without any fault, after " +
                             (row ? "error " + std::to_string(row->error_code) : "the connection's end"));
    }
    queue.waiting = true;
    refresh(backoff);
  }

  ProducerOptions options_;
  const bool begins_anew_;
  Version version_ = 3;
  ProducerId id_ = -1;
  std::uint64_t next_batch_ = 1;
  bool pump_due_ = false;
  std::map<Place, Queue> queues_;
};

}  // namespace

std::unique_ptr<Client> make_producer(ClientWorld& world, std::string name, ProducerOptions options) {
  return std::make_unique<Producer>(world, std::move(name), std::move(options));
}

}  // namespace crossover::sim
