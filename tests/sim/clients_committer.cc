// Commits and reads back positions of a group without members, as consumers that assign themselves and admin tools do.
#include "tests/sim/clients.h"

namespace crossover::sim {

namespace {

using protocol::OffsetCommitRequest;
using protocol::OffsetCommitResponse;
using protocol::OffsetFetchRequest;
using protocol::OffsetFetchResponse;

constexpr Micros backoff = 40 * one_ms;

bool retriable(std::int16_t error) {
  constexpr std::int16_t codes[] = {3, 7, 14, 15, 16};
  return std::find(std::begin(codes), std::end(codes), error) != std::end(codes);
}

class Committer : public Client {
 public:
  using Client::Client;
  bool done() override { return finishing_ && verified_; }
  std::string describe() override { return " coordinator " + std::to_string(coordinator_); }

 protected:
  void on_ready() override { find_coordinator(); }

 private:
  using Committed = std::pair<Offset, std::string>;

  void again() {
    coordinator_ = bootstrap;
    refresh();
    world_.events.after(backoff, [this] { find_coordinator(); });
  }

  void find_coordinator() {
    protocol::FindCoordinatorRequest ask;
    ask.key = name_;
    call<protocol::FindCoordinatorResponse>(
        connection(bootstrap), version(ApiKey::FindCoordinator, 0, 3), ask, [this](auto answer) {
          if (!answer || (answer->error_code != 0 && retriable(answer->error_code))) return again();
          if (answer->error_code != 0)
            return world_.checks.violated("error surfaced: " + name_ + ": FindCoordinator error " +
                                          std::to_string(answer->error_code));
          coordinator_ = answer->node_id;
          next();
        });
  }

  void next() {
    const auto to = connection(coordinator_);
    if (!to) return again();
    if (finishing_ || world_.random.one_in(2)) return read_back(to);
    commit(to);
  }

  void later() {
    world_.events.after(world_.random.between(5, 120) * one_ms, [this] { next(); });
  }

  // Ends of segments are where a position is ambiguous.
  Offset some_offset(const Place& place) {
    const auto log = world_.checks.log_of(place);
    auto segments = log.segments();
    const Offset end = world_.checks.shown_end(place);
    if (world_.random.one_in(2)) return world_.random.between(0, end);
    return std::clamp<Offset>(world_.random.pick(segments).virtual_base + world_.random.between(-1, 1), 0, end);
  }

  void commit(const std::shared_ptr<ClientConnection>& to) {
    const Place place = world_.random.pick(world_.places);
    const Committed wanted{some_offset(place), world_.random.one_in(2) ? "" : "note-" + std::to_string(++notes_)};
    OffsetCommitRequest request;
    request.group_id = name_;
    request.topics.emplace_back().name = place.topic;
    auto& row = request.topics[0].partitions.emplace_back();
    row.partition_index = place.partition;
    row.committed_offset = wanted.first;
    row.committed_metadata = wanted.second;
    if (const auto* leader = leader_of(place); leader && world_.random.one_in(2))
      row.committed_leader_epoch = leader->epoch;
    possible_[place].insert(wanted);  // whatever becomes of the answer
    call<OffsetCommitResponse>(to, version(ApiKey::OffsetCommit, 2, 9), request, [this, place, wanted](auto answer) {
      if (!answer) {
        in_doubt_[place].insert(wanted);
        return again();
      }
      if (answer->topics.size() != 1 || answer->topics[0].partitions.size() != 1)
        return world_.checks.violated("answer: " + name_ + ": malformed OffsetCommit answer");
      const std::int16_t error = answer->topics[0].partitions[0].error_code;
      if (error != 0 && !retriable(error))
        return world_.checks.violated("error surfaced: " + name_ + ": OffsetCommit error " + std::to_string(error));
      if (error != 0) {
        in_doubt_[place].insert(wanted);
        return again();
      }
      possible_[place] = in_doubt_[place];
      possible_[place].insert(wanted);
      later();
    });
  }

  void read_back(const std::shared_ptr<ClientConnection>& to) {
    const Version at = version(ApiKey::OffsetFetch, 1, 9);
    constexpr Version first_of_groups = 8;
    const auto& place = world_.random.pick(world_.places);
    OffsetFetchRequest request;
    if (at < first_of_groups) {
      request.group_id = name_;
      request.topics->push_back({place.topic, {place.partition}});
    } else {
      auto& group = request.groups.emplace_back();
      group.group_id = name_;
      auto& topic = group.topics->emplace_back();
      topic.name = place.topic;
      topic.partition_indexes = {place.partition};
    }
    call<OffsetFetchResponse>(to, at, request, [this, place, at](auto answer) {
      if (!answer) return again();
      if (at < first_of_groups) {
        if (retriable(answer->error_code)) return again();
        if (answer->topics.size() == 1 && answer->topics[0].partitions.size() == 1)
          return judge(place, answer->topics[0].partitions[0]);
      } else {
        if (answer->groups.size() == 1 && retriable(answer->groups[0].error_code)) return again();
        const bool one = answer->groups.size() == 1 && answer->groups[0].topics.size() == 1 &&
                         answer->groups[0].topics[0].partitions.size() == 1;
        if (one) return judge(place, answer->groups[0].topics[0].partitions[0]);
      }
      world_.checks.violated("answer: " + name_ + ": malformed OffsetFetch answer of version " + std::to_string(at));
    });
  }

  template <class Row>
  void judge(const Place& place, const Row& row) {
    if (row.error_code != 0) {
      if (retriable(row.error_code)) return again();
      return world_.checks.violated("error surfaced: " + name_ + ": OffsetFetch error " +
                                    std::to_string(row.error_code));
    }
    const Committed read{row.committed_offset, row.metadata.value_or("")};
    const auto& possible = possible_[place];
    const bool nothing = read.first < 0 && acknowledged_none(place);
    if (!nothing && !possible.contains(read)) {
      std::string wanted;
      for (const auto& [offset, note] : possible) wanted += " " + std::to_string(offset) + "(" + note + ")";
      world_.checks.violated("commit: " + name_ + " reads " + to_string(place) + " back as " +
                             std::to_string(read.first) + "(" + read.second + "), committed was" + wanted);
    }
    verified_ = finishing_;
    later();
  }

  bool acknowledged_none(const Place& place) { return possible_[place] == in_doubt_[place]; }

  NodeId coordinator_ = bootstrap;
  bool verified_ = false;
  int notes_ = 0;
  std::map<Place, std::set<Committed>> possible_, in_doubt_;
};

}  // namespace

std::unique_ptr<Client> make_committer(ClientWorld& world, std::string name) {
  return std::make_unique<Committer>(world, std::move(name));
}

}  // namespace crossover::sim
