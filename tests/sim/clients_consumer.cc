// Consumers that assign their partitions themselves, from the beginning.
#include "protocol/record_batch.h"
#include "tests/sim/broker_records.h"
#include "tests/sim/clients.h"
#include "tests/sim/clients_reading.h"

namespace crossover::sim {

namespace {

using protocol::FetchRequest;
using protocol::FetchResponse;

constexpr Micros backoff = 30 * one_ms;

bool retriable(std::int16_t error) {
  constexpr std::int16_t codes[] = {3, 5, 6, 13, 74, 75, 100};
  return std::find(std::begin(codes), std::end(codes), error) != std::end(codes);
}

class Consumer : public Client {
 public:
  Consumer(ClientWorld& world, std::string name, ConsumerOptions options)
      : Client(world, std::move(name)),
        keeps_sessions_(options.keeps_sessions),
        read_committed_(options.read_committed),
        seeks_back_(options.seeks_back) {
    for (const Place& place : options.places) positions_[place] = {};
  }

  bool done() override {
    return std::all_of(positions_.begin(), positions_.end(),
                       [this](const auto& p) { return p.second.at >= world_.checks.virtual_end(p.first); });
  }
  std::string describe() override {
    std::string text;
    for (const auto& [place, position] : positions_) {
      const Offset end = world_.checks.virtual_end(place);
      if (position.at < end)
        text += " " + to_string(place) + " at " + std::to_string(position.at) + " of " + std::to_string(end);
    }
    return text;
  }

 protected:
  void on_ready() override { version_ = version(ApiKey::Fetch, 4, 17); }
  void on_metadata() override {
    for (auto& [place, position] : positions_) position.waiting = false;
    pump();
  }
  void on_connection_lost(NodeId) override { refresh(backoff); }

 private:
  struct Position {
    Offset at = 0;
    bool asked = false;    // in a request under way
    bool waiting = false;  // for the refresh that follows an error
    Offset high_watermark = -1;
    Offset last_stable_offset = -1;
    std::shared_ptr<ClientConnection> shown_by;
  };

  // As the Java client's FetchSessionHandler, one per broker; it outlives the connection.
  struct Asked {
    Offset at;
    std::int32_t max_bytes;
    LeaderEpoch epoch;
    bool operator==(const Asked&) const = default;
  };
  struct FetchSession {
    std::int32_t id = 0;
    std::int32_t epoch = 0;  // of the next request
    std::map<Place, Asked> places;

    // After a failed request: the next one is full, and closes what there may still be.
    void close_next() {
      epoch = 0;
      places.clear();
    }
    void begin_anew() { *this = {}; }
  };

  void pump() {
    std::map<NodeId, std::vector<Place>> by_leader;
    for (auto& [place, position] : positions_) {
      if (position.asked || position.waiting) continue;
      const PartitionInfo* leader = leader_of(place);
      if (!leader) {
        refresh(backoff);
      } else {
        by_leader[leader->leader].push_back(place);
      }
    }
    for (const auto& [node, places] : by_leader) {
      const auto to = connection(node);
      if (!to) {
        refresh(backoff);
      } else if (to->in_flight() == 0) {
        fetch(node, to, places);
      }
    }
  }

  static void add_place(FetchRequest& request, const Place& place, const Uuid& id, const Asked& asked) {
    if (request.topics.empty() || request.topics.back().topic != place.topic) {
      request.topics.emplace_back().topic = place.topic;
      request.topics.back().topic_id = id;
    }
    auto& row = request.topics.back().partitions.emplace_back();
    row.partition = place.partition;
    row.fetch_offset = asked.at;
    row.partition_max_bytes = asked.max_bytes;
    row.current_leader_epoch = asked.epoch;
  }

  void forget_place(FetchRequest& request, const Place& place) {
    auto& row = request.forgotten_topics_data.emplace_back();
    row.topic = place.topic;
    row.topic_id = id_of(place.topic);
    row.partitions.push_back(place.partition);
  }

  void fill(FetchRequest& request, FetchSession& session, const std::map<Place, Asked>& wanted) {
    if (keeps_sessions_) {
      request.session_id = session.id;
      request.session_epoch = session.epoch;
    }
    const bool incremental = keeps_sessions_ && session.epoch > 0;
    for (const auto& [place, asked] : wanted) {
      const auto known = session.places.find(place);
      if (incremental && known != session.places.end() && known->second == asked) continue;
      add_place(request, place, id_of(place.topic), asked);
    }
    if (!keeps_sessions_) return;
    for (const auto& [place, asked] : session.places) {
      if (!wanted.contains(place)) forget_place(request, place);
    }
    session.places = wanted;
  }

  void fetch(NodeId node, const std::shared_ptr<ClientConnection>& to, const std::vector<Place>& places) {
    FetchRequest request;
    request.replica_id = -1;
    request.max_wait_ms = 200;
    request.min_bytes = 1;
    request.isolation_level = read_committed_ ? 1 : 0;
    request.max_bytes = static_cast<std::int32_t>(world_.random.between(300, 20'000));
    request.session_epoch = !keeps_sessions_ && world_.random.one_in(2) ? 0 : -1;
    FetchSession& session = sessions_[node];
    std::map<Place, Asked> wanted;
    for (const Place& place : places) {
      // A session keeps what does not change.
      const auto max_bytes = keeps_sessions_ ? 3'000 : static_cast<std::int32_t>(world_.random.between(100, 5'000));
      wanted[place] = {positions_[place].at, max_bytes, leader_of(place)->epoch};
      positions_[place].asked = true;
    }
    fill(request, session, wanted);
    const bool incremental = request.session_epoch > 0;
    call<FetchResponse>(to, version_, request, [this, places, to, node, incremental](auto answer) {
      for (const Place& place : places) {
        positions_[place].asked = false;
        positions_[place].waiting = !answer;
      }
      FetchSession& session = sessions_[node];
      if (!answer) {
        session.close_next();
        return refresh(backoff);
      }
      if (follow_session(session, *answer, incremental)) take(*answer, to);
      pump();
    });
  }

  // False when the answer is not to be read.
  bool follow_session(FetchSession& session, const FetchResponse& answer, bool incremental) {
    constexpr std::int16_t not_found = 70;
    if (answer.error_code != 0) {
      // The arithmetic is right here: no other word about a session is true.
      if (!incremental || answer.error_code != not_found) {
        world_.checks.violated("error surfaced: " + name_ + ": Fetch answered as a whole with error " +
                               std::to_string(answer.error_code));
      }
      session.begin_anew();
      return false;
    }
    if (!keeps_sessions_) return true;
    if (!answer_fits(session, answer, incremental)) {
      session.begin_anew();
      return false;
    }
    if (answer.session_id == 0) {
      session.begin_anew();
    } else if (incremental) {
      ++session.epoch;
      world_.checks.count_incremental_fetch();
    } else {
      session.id = answer.session_id;
      session.epoch = 1;
    }
    return true;
  }

  bool answer_fits(const FetchSession& session, const FetchResponse& answer, bool incremental) {
    std::size_t count = 0;
    for (const auto& topic : answer.responses) {
      const auto name = version_ >= 13 ? name_of(topic.topic_id) : std::optional(topic.topic);
      for (const auto& row : topic.partitions) {
        ++count;
        if (name && session.places.contains({*name, row.partition_index})) continue;
        world_.checks.violated("answer: " + name_ + ": Fetch answer about a partition that is not in its session");
        return false;
      }
    }
    if (incremental && answer.session_id != 0 && answer.session_id != session.id)
      world_.checks.violated("answer: " + name_ + ": an incremental Fetch answer of another session");
    if (incremental || count == session.places.size()) return true;
    world_.checks.violated("answer: " + name_ + ": a full Fetch answer leaves partitions out");
    return false;
  }

  void take(const FetchResponse& answer, const std::shared_ptr<ClientConnection>& from) {
    for (const auto& topic : answer.responses) {
      const auto name = version_ >= 13 ? name_of(topic.topic_id) : std::optional(topic.topic);
      if (!name) {
        world_.checks.violated("6: Fetch answer about a topic that was not asked for");
        continue;
      }
      for (const auto& row : topic.partitions) take({*name, row.partition_index}, row, from);
    }
  }

  void take(const Place& place, const FetchResponse::PartitionData& row,
            const std::shared_ptr<ClientConnection>& from) {
    constexpr std::int16_t out_of_range = 1;
    if (row.error_code == out_of_range) return start_anew(place, from);
    if (row.error_code != 0) {
      if (!retriable(row.error_code)) {
        world_.checks.violated("error surfaced: " + name_ + ": fetch of " + to_string(place) + " answered with error " +
                               std::to_string(row.error_code));
      }
      positions_[place].waiting = true;
      return refresh(backoff);
    }
    Position& position = positions_[place];
    if (position.shown_by == from && row.high_watermark < position.high_watermark) {
      world_.checks.violated("6: high watermark of " + to_string(place) + " went back from " +
                             std::to_string(position.high_watermark) + " to " + std::to_string(row.high_watermark));
    }
    if (position.shown_by == from && row.last_stable_offset < position.last_stable_offset) {
      world_.checks.violated("6: last stable offset of " + to_string(place) + " went back from " +
                             std::to_string(position.last_stable_offset) + " to " +
                             std::to_string(row.last_stable_offset));
    }
    if (row.last_stable_offset > row.high_watermark)
      world_.checks.violated("6: last stable offset of " + to_string(place) + " lies above its high watermark");
    world_.checks.marks_shown(place, row.last_stable_offset, row.high_watermark);
    position.shown_by = from;
    position.high_watermark = row.high_watermark;
    position.last_stable_offset = row.last_stable_offset;
    CommittedFilter filter(row);
    protocol::BatchCursor cursor{row.records.value_or("")};
    for (; cursor.load(); cursor.advance()) {
      const StoredBatch batch{cursor.header, Bytes(cursor.records.substr(cursor.at, cursor.header.total_bytes()))};
      const bool shown = filter.shows(batch);
      if (shown || !read_committed_) take(place, position, batch);
      position.at = std::max(position.at, batch.header.last_offset() + 1);
    }
    if (seeks_back_ && !finishing_ && world_.random.one_in(25)) seek_back(place);
  }

  void seek_back(const Place& place) {
    Offset& at = positions_[place].at;
    const Offset start = std::min(world_.checks.virtual_start(place), at);
    at = world_.random.between(start, at);
  }

  void take(const Place& place, Position& position, const StoredBatch& batch) {
    const auto records = records_of(batch);
    for (const LogRecord& record : records.value_or(std::vector<LogRecord>{})) {
      const Offset offset = batch.header.base_offset + record.offset_delta;
      if (offset < position.at) continue;
      // What was aborted is passed over.
      if (offset > position.at && !read_committed_) world_.checks.skipped(name_, place, position.at, offset);
      if (read_committed_) world_.checks.transactions().read_committed(name_, std::string(record.value.value_or("")));
      world_.checks.fetched(name_, place, offset, batch.header.leader_epoch, Bytes(record.value.value_or("")));
      position.at = offset + 1;
    }
  }

  // Rightly only below the start of what is left (retention).
  void start_anew(const Place& place, const std::shared_ptr<ClientConnection>& from) {
    Position& position = positions_[place];
    if (position.at >= world_.checks.virtual_start(place)) {
      world_.checks.violated("1: " + name_ + ": " + to_string(place) + " offset " + std::to_string(position.at) +
                             " answered as out of range, what is left starts at " +
                             std::to_string(world_.checks.virtual_start(place)));
    }
    protocol::ListOffsetsRequest ask;
    ask.replica_id = -1;
    ask.topics.emplace_back().name = place.topic;
    auto& row = ask.topics[0].partitions.emplace_back();
    row.partition_index = place.partition;
    row.timestamp = -2;
    position.asked = true;
    call<protocol::ListOffsetsResponse>(from, version(ApiKey::ListOffsets, 1, 7), ask, [this, place](auto answer) {
      Position& position = positions_[place];
      position.asked = false;
      const bool usable = answer && !answer->topics.empty() && !answer->topics[0].partitions.empty() &&
                          answer->topics[0].partitions[0].error_code == 0;
      if (!usable) {
        position.waiting = true;
        return refresh(backoff);
      }
      const Offset start = answer->topics[0].partitions[0].offset;
      if (start > position.at) world_.checks.skipped(name_, place, position.at, start);
      position.at = std::max(position.at, start);
      pump();
    });
  }

  const bool keeps_sessions_, read_committed_, seeks_back_;
  std::map<NodeId, FetchSession> sessions_;
  Version version_ = 4;
  std::map<Place, Position> positions_;
};

}  // namespace

std::unique_ptr<Client> make_consumer(ClientWorld& world, std::string name, ConsumerOptions options) {
  return std::make_unique<Consumer>(world, std::move(name), std::move(options));
}

}  // namespace crossover::sim
