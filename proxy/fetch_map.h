// What a fetch says of one partition, from virtual terms to a segment's real ones and back.
#pragma once

#include "protocol/messages.h"
#include "proxy/session_core.h"

namespace crossover::proxy {

using FetchedPartition = protocol::FetchResponse::PartitionData;

constexpr std::int16_t error_code(protocol::ErrorCode error) {
  return static_cast<std::int16_t>(error);
}

// From version 13 on topics are named by their ids.
const TopicView* find_fetch_topic(const Snapshot& snapshot, const Request& request, const std::string& name,
                                  const Uuid& virtual_id);

// The segment that is read for a virtual offset, and the broker that is asked for it.
struct FetchPlace {
  Offset at = 0;  // virtual: history that is gone with its topic is skipped
  std::size_t segment = 0;
  Cluster cluster{};
  NodeId node = -1;  // -1: no leader
};
FetchPlace find_fetch_place(SessionCore& core, const PartitionView& partition, Offset at);

// The row that asks for it.
protocol::FetchRequest::FetchPartition fetch_row(const PartitionView& view, std::size_t segment, Offset at,
                                                 const protocol::FetchRequest::FetchPartition& asked);

// Nothing, without an error: of a broker that has said nothing yet.
FetchedPartition empty_fetch(SessionCore& core, const std::string& topic, const VirtualLog& log, PartitionIndex index);
FetchedPartition refused_fetch(PartitionIndex index, protocol::ErrorCode error);

// Whether a broker's answer from somewhere in a closed segment, in its own terms still, shows all that readers will
// ever get of it: the watermark that bounds what they see is at the segment's end, or the cluster's log starts there. A
// leader just restarted is behind for a while, and answers with nothing instead of with an error.
bool shows_end(const Segment& segment, const FetchedPartition& data, std::int8_t isolation);

// Cuts at the segment's end and patches offsets and epochs in place. The records lie in a frame that we own.
void map_fetched_records(const Segment& segment, FetchedPartition& data);
// The rest of the answer: high watermark and so on are those of the whole log.
void map_fetched(SessionCore& core, const std::string& topic, const VirtualLog& log, const Segment& segment,
                 FetchedPartition& data);
// What ListOffsets was answered: no later fetch shows the client less.
void note_shown_end(SessionCore& core, const std::string& topic, PartitionIndex partition, std::int8_t isolation,
                    Offset end);
// An error that says that our picture of the cluster is old.
void note_fetch_error(SessionCore& core, Cluster cluster, std::int16_t error);

// Virtual addresses of the leaders that the answer names.
void add_fetch_endpoints(const Snapshot& snapshot, protocol::FetchResponse& answer);
std::size_t fetched_bytes(const protocol::FetchResponse& answer);
// Nothing in it needs a change when neither topic ids nor offsets do.
bool untouched_fetch(const protocol::FetchResponse& answer);

// Resumes when the call is resolved or at the next snapshot, whichever is first; says whether it is resolved. To be
// gone before anything else is awaited.
class AnswerOrChange {
 public:
  AnswerOrChange(SessionCore& core, Call& call) : call_(call), changed_(core, std::numeric_limits<Millis>::max()) {}
  bool await_ready() const { return call_.await_ready(); }
  void await_suspend(std::coroutine_handle<> h) {
    call_.await_suspend(h);
    changed_.await_suspend(h);
  }
  bool await_resume() {
    call_.await_suspend({});
    return call_.await_ready();
  }

 private:
  Call& call_;
  SessionCore::Changed changed_;
};

}  // namespace crossover::proxy
