// A flip's boundary: where the route's segments end on the old home, by its own word, and where they begin on the new
// one. Of the new home a gate and a recovery ask the same.
#include "protocol/error_code.h"
#include "protocol/messages.h"
#include "proxy/controller_core.h"

namespace crossover::proxy {

using namespace protocol;

namespace {

constexpr Millis answer_ms = 2'000;
constexpr std::int32_t debug_replica = -2;  // ListOffsets: the log end, beyond the high watermark
constexpr std::int32_t consumer_replica = -1;
constexpr std::int64_t latest = -1;

}  // namespace

// The log ends (or, as a consumer, the last stable offsets) of all places: one request per leader, all in flight
// together.
Controller::Impl::AskedEnds Controller::Impl::ask_log_ends(const Flip& flip, Cluster cluster, std::int32_t replica) {
  AskedEnds asked;
  asked.cluster = cluster;
  asked.replica = replica;
  asked.version = version_of(cluster, ApiKey::ListOffsets, {4, 7});
  if (!asked.version) return asked;
  std::map<NodeId, ListOffsetsRequest> questions;
  for (const Flip::Place& place : flip.places) {
    ListOffsetsRequest& question = questions[flip.leader(place, cluster)];
    question.replica_id = replica;
    // A transaction that is open keeps the last stable offset back.
    question.isolation_level = replica == consumer_replica ? 1 : 0;
    if (question.topics.empty() || question.topics.back().name != place.topic)
      question.topics.emplace_back().name = place.topic;
    auto& row = question.topics.back().partitions.emplace_back();
    row.partition_index = place.partition;
    row.current_leader_epoch = cluster == flip.from ? place.old_epoch : place.new_epoch;
    row.timestamp = latest;
  }
  for (const auto& [leader, question] : questions)
    asked.leaders.emplace_back(
        leader, ask(cluster, leader, ApiKey::ListOffsets, *asked.version, encode(question, *asked.version), answer_ms));
  return asked;
}

// What hinders it; empty: all were told.
Task<std::string> Controller::Impl::told_log_ends(const Flip& flip, AskedEnds asked, std::vector<Offset>& ends) {
  const std::string there = "the " + std::string(to_string(asked.cluster)) + " cluster";
  if (!asked.version) co_return there + " is too old to be asked for its log ends";
  std::map<std::pair<std::string, PartitionIndex>, std::pair<std::int16_t, Offset>> rows;
  for (const auto& [leader, pending] : asked.leaders) {
    const auto answer = co_await answer_to<ListOffsetsResponse>(pending, *asked.version, answer_ms);
    if (!answer) co_return "broker " + std::to_string(leader) + " of " + there + " did not say its log ends";
    for (const auto& topic : answer->topics) {
      for (const auto& row : topic.partitions) rows[{topic.name, row.partition_index}] = {row.error_code, row.offset};
    }
  }
  ends.clear();
  for (const Flip::Place& place : flip.places) {
    const auto row = rows.find({place.topic, place.partition});
    const std::int16_t error = row == rows.end() ? -1 : row->second.first;
    // A leader that was elected just now does not know yet what is stable.
    const bool not_yet = error == static_cast<std::int16_t>(ErrorCode::OFFSET_NOT_AVAILABLE) ||
                         error == static_cast<std::int16_t>(ErrorCode::LEADER_NOT_AVAILABLE);
    if (not_yet && asked.replica == consumer_replica) {
      ends.push_back(-1);
      continue;
    }
    if (error != 0) {
      wanted_at_[index_of(asked.cluster)] = now_;
      co_return place_name(place.topic, place.partition) + " on " + there + ": " + std::string(error_name(error));
    }
    ends.push_back(row->second.second);
  }
  co_return "";
}

Task<bool> Controller::Impl::log_ends(Flip& flip, Cluster cluster, std::int32_t replica, std::vector<Offset>& ends) {
  const AskedEnds asked = ask_log_ends(flip, cluster, replica);
  const std::string problem = co_await told_log_ends(flip, asked, ends);
  if (!problem.empty()) fail(flip, problem);
  co_return problem.empty();
}

// Where the route begins on the new home: what is open below would hide, from those who read committed records alone,
// all that is written behind it. The end is asked for first and each time anew, for what ended there has written
// behind the last one. `spared`: producers that may have a transaction open. What hinders it; empty: nothing.
Task<std::string> Controller::Impl::find_new_ends(Flip& flip, Millis deadline, const ProducerIds& spared) {
  std::vector<Offset> ends, stable;
  std::string problem;
  for (;;) {
    const AskedEnds ends_asked = ask_log_ends(flip, flip.to, debug_replica);
    const AskedEnds stable_asked = ask_log_ends(flip, flip.to, consumer_replica);
    problem = co_await told_log_ends(flip, ends_asked, ends);
    if (problem.empty()) problem = co_await told_log_ends(flip, stable_asked, stable);
    PlaceNames behind;
    for (std::size_t i = 0; problem.empty() && i < ends.size(); ++i) {
      if (stable[i] < ends[i]) behind.emplace(flip.places[i].topic, flip.places[i].partition);
    }
    if (!problem.empty() || behind.empty()) break;
    if (now_ >= deadline) {
      problem = co_await unstable_error(flip, behind, spared);
      break;
    }
    Until pause(
        *this, [] { return false; }, now_ + 5);
    co_await pause;
  }
  for (std::size_t i = 0; problem.empty() && i < ends.size(); ++i) flip.places[i].new_end = ends[i];
  co_return problem;
}

// A topic or partition that appeared since the gates were judged would be left behind: asked again under the fence.
Task<bool> Controller::Impl::same_places(Flip& flip) {
  std::set<std::pair<std::string, PartitionIndex>> before, after;
  for (const Flip::Place& place : flip.places) before.emplace(place.topic, place.partition);
  const bool asked = co_await refresh_image(flip.from);
  if (!asked) {
    fail(flip, "the " + std::string(to_string(flip.from)) + " cluster did not answer under the fence");
    co_return false;
  }
  find_places(flip);
  for (const Flip::Place& place : flip.places) after.emplace(place.topic, place.partition);
  if (before == after) co_return true;
  fail(flip, "topics or partitions of the route changed while the flip began; try again");
  co_return false;
}

// Whether what would be opened lies behind what clients have read on that cluster before.
bool Controller::Impl::continues_history(Flip& flip, const Flip::Place& place) {
  const Segment* closed = last_history(flip, place);
  if (!closed || place.new_end >= closed->real_end()) return true;
  fail(flip, place_name(place.topic, place.partition) + " ends at " + std::to_string(place.new_end) + " on the " +
                 std::string(to_string(flip.to)) + " cluster, before " + std::to_string(closed->real_end()) +
                 ", where it ended when it was left: its log was cut, or is another one");
  return false;
}

// From the cluster's own word: log end; high watermark caught up; producers; log end again, unmoved.
Task<bool> Controller::Impl::boundary(Flip& flip, Millis deadline) {
  begin_step(flip, "boundary");
  const bool same = co_await same_places(flip);
  if (!same) co_return false;
  std::vector<Offset> ends, marks, again;
  for (;;) {
    const bool asked = co_await log_ends(flip, flip.from, debug_replica, ends);
    if (!asked) co_return false;
    for (;;) {
      const bool marked = co_await log_ends(flip, flip.from, consumer_replica, marks);
      if (!marked) co_return false;
      std::vector<std::string> behind;
      for (std::size_t i = 0; i < ends.size(); ++i) {
        if (marks[i] < ends[i]) behind.push_back(place_name(flip.places[i].topic, flip.places[i].partition));
      }
      if (behind.empty()) break;
      if (now_ >= deadline) {
        const std::vector<std::string> stuck = co_await hanging(flip);
        fail(flip, stuck.empty() ? "replicas did not catch up with the log end in time: " + some_of(behind)
                                 : hanging_error(flip, stuck));
        co_return false;
      }
      Until pause(
          *this, [] { return false; }, now_ + 5);
      co_await pause;
    }
    const bool described = co_await producer_states(flip);
    if (!described) co_return false;
    const ProducerIds none_spared;
    const std::string problem = co_await find_new_ends(flip, deadline, none_spared);
    if (!problem.empty()) {
      fail(flip, problem);
      co_return false;
    }
    const bool asked_again = co_await log_ends(flip, flip.from, debug_replica, again);
    if (!asked_again) co_return false;
    if (again == ends) break;
    if (now_ >= deadline) {
      fail(flip, "the log end keeps moving under the fence: something writes past the proxy");
      co_return false;
    }
  }
  for (std::size_t i = 0; i < flip.places.size(); ++i) {
    Flip::Place& place = flip.places[i];
    const PartitionView* view = snapshot_->partition(place.topic, place.partition);
    if (!view || ends[i] < view->log.open_segment().real_base) {
      fail(flip, place_name(place.topic, place.partition) + " ends at " + std::to_string(ends[i]) + " on the " +
                     std::string(to_string(flip.from)) +
                     " cluster, before the offset at which it was opened there: an unclean election cut its log");
      co_return false;
    }
    place.old_end = ends[i];
    if (!continues_history(flip, place)) co_return false;
  }
  io_.passed("boundary");
  co_return true;
}

}  // namespace crossover::proxy
