// What applications do with transactions: they write, or they transform what they read and commit how far they got.
#include "protocol/record_batch.h"
#include "tests/sim/clients_member.h"
#include "tests/sim/clients_reading.h"

namespace crossover::sim {

namespace {

using protocol::FetchRequest;
using protocol::FetchResponse;
using protocol::OffsetFetchRequest;
using protocol::OffsetFetchResponse;
using protocol::PlainRecord;

constexpr Micros backoff = 30 * one_ms;

bool aborts_on_purpose(Random& random) {
  return random.one_in(4);
}

class Writer : public TransactionalClient {
 public:
  Writer(ClientWorld& world, std::string name, TransactionalOptions options)
      : TransactionalClient(world, std::move(name), std::move(options)), faithful_(world.random.below(40)) {}

 protected:
  void next_transaction() override {
    begin();
    const std::vector<Place> outputs = outputs_of_this();
    for (std::int64_t n = world_.random.between(1, 8); n > 0; --n) {
      const Place& place = world_.random.pick(outputs);
      std::vector<PlainRecord> records(static_cast<std::size_t>(world_.random.between(1, 4)));
      std::vector<std::string> values;
      for (PlainRecord& record : records) {
        record.timestamp = world_.events.now_ms();
        record.key = "k" + std::to_string(world_.random.below(8));
        values.push_back(new_record(place, *record.key));
        record.value = values.back();
      }
      add_batch(place, std::move(records), std::move(values));
    }
    end(!aborts_on_purpose(world_.random));
  }

 private:
  std::vector<Place> outputs_of_this() {
    std::vector<Place> outputs = options().outputs;
    if (!options().topic_by_topic) return outputs;
    const std::string topic = (faithful_-- > 0 ? outputs.front() : world_.random.pick(outputs)).topic;
    std::erase_if(outputs, [&topic](const Place& place) { return place.topic != topic; });
    return outputs;
  }

  std::int64_t faithful_;  // transactions that are yet to be written to the first topic
};

// Reads committed records from the positions of its group: of partitions that it assigned itself, or as a member.
class Transformer : public MemberClient {
 public:
  using MemberClient::MemberClient;
  std::string describe() override {
    std::string text = TransactionalClient::describe();
    for (const auto& [place, at] : positions_) text += " " + to_string(place) + " at " + std::to_string(at);
    return text;
  }

 protected:
  bool idle() override { return verified_; }

  void next_transaction() override {
    if (reading_) return;
    if (options().as_member && !is_member()) {
      positions_.clear();
      committed_.clear();
      return join();
    }
    if (options().as_member && !is_assigned()) return later(backoff);
    if (positions_.empty()) return fetch_positions();
    read(world_.random.pick(options().inputs));
  }

  void ended(bool committed) override {
    if (committed) positions_[place_] = committed_[place_] = next_;
  }

  // How far the group has come, in the end, is compared with what was written.
  void at_rest() override {
    if (!verified_ && !reading_) fetch_positions();
  }

 private:
  void again() {
    refresh();
    world_.events.after(backoff, [this] { step(); });
  }

  void fetch_positions() {
    if (group_coordinator_ == bootstrap) {
      reading_ = true;
      find_group();
      return;
    }
    const auto to = connection(group_coordinator_);
    if (!to) {
      group_coordinator_ = bootstrap;
      return again();
    }
    OffsetFetchRequest request;
    const Version at = version(ApiKey::OffsetFetch, 7, 9);
    request.require_stable = true;
    request.group_id = options().group;
    request.topics.emplace();
    if (at >= 8) {
      request.groups.emplace_back().group_id = options().group;
      request.groups[0].topics.emplace();
    }
    for (const Place& place : options().inputs) add_row(request, at, place);
    reading_ = true;
    call<OffsetFetchResponse>(to, at, request, [this, at](auto answer) {
      reading_ = false;
      if (dead()) return;
      if (!answer) {
        group_coordinator_ = bootstrap;
        return again();
      }
      if (at < 8) return take_positions(answer->error_code, answer->topics);
      if (answer->groups.size() != 1)
        return world_.checks.violated("answer: " + name_ + ": malformed OffsetFetch answer");
      take_positions(answer->groups[0].error_code, answer->groups[0].topics);
    });
  }

  static void add_row(OffsetFetchRequest& request, Version at, const Place& place) {
    if (at >= 8) {
      auto& topic = request.groups[0].topics->emplace_back();
      topic.name = place.topic;
      topic.partition_indexes = {place.partition};
    } else {
      request.topics->push_back({place.topic, {place.partition}});
    }
  }

  void find_group() {
    protocol::FindCoordinatorRequest request;
    request.key = options().group;
    call<protocol::FindCoordinatorResponse>(connection(bootstrap), version(ApiKey::FindCoordinator, 0, 3), request,
                                            [this](auto answer) {
                                              reading_ = false;
                                              if (answer && answer->error_code == 0) {
                                                group_coordinator_ = answer->node_id;
                                              }
                                              again();
                                            });
  }

  template <class Topics>
  void take_positions(std::int16_t error, const Topics& topics) {
    Positions found;
    for (const auto& topic : topics) {
      for (const auto& row : topic.partitions) {
        if (row.error_code != 0) error = row.error_code;
        found[{topic.name, row.partition_index}] = std::max<Offset>(row.committed_offset, 0);
      }
    }
    constexpr std::int16_t passing[] = {3, 7, 14, 15, 16, 88};
    if (std::find(std::begin(passing), std::end(passing), error) != std::end(passing)) {
      if (error != 88) group_coordinator_ = bootstrap;
      return again();
    }
    if (error != 0) return fail("OffsetFetch", error);
    if (world_.log) {
      for (const auto& [place, at] : found)
        world_.log(name_ + " finds its group at " + std::to_string(at) + " of " + to_string(place));
    }
    const bool alone = !world_.checks.transactions().has_successor(options().transactional_id, options().instance);
    for (const auto& [place, at] : committed_) {
      if (!alone || (found.contains(place) && found.at(place) == at)) continue;
      world_.checks.violated("positions: " + name_ + " committed " + std::to_string(at) + " of " + to_string(place) +
                             " and finds " + std::to_string(found[place]));
    }
    if (positions_.empty()) positions_ = committed_ = found;
    if (!finishing_) return step();
    verified_ = true;
    if (!alone) return;
    world_.checks.transactions().group_is_at(options().group, found);
  }

  void read(const Place& place) {
    const PartitionInfo* leader = leader_of(place);
    const auto to = leader ? connection(leader->leader) : nullptr;
    if (!to) return again();
    FetchRequest request;
    request.replica_id = -1;
    request.max_wait_ms = 50;
    request.min_bytes = 1;
    request.max_bytes = 2'000;
    request.isolation_level = 1;
    request.session_epoch = -1;
    auto& topic = request.topics.emplace_back();
    topic.topic = place.topic;
    topic.topic_id = id_of(place.topic);
    auto& row = topic.partitions.emplace_back();
    row.partition = place.partition;
    row.fetch_offset = positions_.at(place);
    row.partition_max_bytes = 2'000;
    row.current_leader_epoch = leader->epoch;
    reading_ = true;
    call<FetchResponse>(to, version(ApiKey::Fetch, 4, 17), request, [this, place, to](auto answer) {
      reading_ = false;
      if (dead()) return;
      if (finishing_) return step();
      const bool one = answer && answer->responses.size() == 1 && answer->responses[0].partitions.size() == 1;
      if (!one) return again();
      take(place, answer->responses[0].partitions[0], to);
    });
  }

  void take(const Place& place, const FetchResponse::PartitionData& row, const std::shared_ptr<ClientConnection>& to) {
    constexpr std::int16_t out_of_range = 1;
    if (row.error_code == out_of_range) return start_anew(place, to);
    if (row.error_code != 0) return again();
    const CommittedRecords read = committed_records(row, positions_.at(place));
    if (read.records.empty()) {
      positions_[place] = read.next;
      return later(world_.random.below(2 * options().pause));
    }
    transform(place, read);
  }

  void transform(const Place& place, const CommittedRecords& read) {
    begin();
    for (const auto& [offset, value] : read.records) {
      const Place& to = world_.random.pick(options().outputs);
      const std::string key = "k" + std::to_string(world_.random.below(8));
      const std::string made = new_record(to, key);
      world_.checks.transactions().transforms(options().group, place, offset, made);
      add_batch(to, {{world_.events.now_ms(), key, made}}, {made});
    }
    place_ = place;
    next_ = read.next;
    commit_positions({{place, next_}});
    end(!aborts_on_purpose(world_.random));
  }

  // Retention has gone past the position.
  void start_anew(const Place& place, const std::shared_ptr<ClientConnection>& to) {
    protocol::ListOffsetsRequest ask;
    ask.replica_id = -1;
    ask.isolation_level = 1;
    ask.topics.emplace_back().name = place.topic;
    auto& row = ask.topics[0].partitions.emplace_back();
    row.partition_index = place.partition;
    row.timestamp = -2;
    reading_ = true;
    call<protocol::ListOffsetsResponse>(to, version(ApiKey::ListOffsets, 2, 7), ask, [this, place](auto answer) {
      reading_ = false;
      if (dead()) return;
      if (finishing_) return step();
      const bool usable = answer && !answer->topics.empty() && !answer->topics[0].partitions.empty() &&
                          answer->topics[0].partitions[0].error_code == 0;
      if (usable) {
        Offset& at = positions_[place];
        const Offset start = answer->topics[0].partitions[0].offset;
        if (start > at) world_.checks.skipped(name_, place, at, start);
        at = std::max(at, start);
      }
      again();
    });
  }

  NodeId group_coordinator_ = bootstrap;
  Positions positions_, committed_;
  Place place_;
  Offset next_ = 0;
  bool reading_ = false, verified_ = false;
};

}  // namespace

std::unique_ptr<Client> make_transactional(ClientWorld& world, std::string name, TransactionalOptions options) {
  if (options.inputs.empty()) return std::make_unique<Writer>(world, std::move(name), std::move(options));
  return std::make_unique<Transformer>(world, std::move(name), std::move(options));
}

}  // namespace crossover::sim
