// A broker's fetch session (KIP-227) that is handed through to the client: what it covers, as far as its answers have
// to be mapped and its end has to be noticed. It lives as long as one broker serves all of its partitions from their
// open segments, over one connection; then the client is told that it is not found, and asks in full.
#pragma once

#include <map>
#include <memory>
#include <unordered_map>

#include "proxy/session.h"

namespace crossover::protocol {
struct FetchRequest;
}

namespace crossover::proxy {

class SessionCore;
struct Request;

struct FetchSession {
  struct Topic {
    Uuid real_id;
    std::map<PartitionIndex, Segment> partitions;
  };
  std::int32_t id = 0;   // the broker's own
  bool granted = false;  // false: the client does not know it (any more); the next full request closes it
  Cluster cluster{};
  NodeId node = any_node;
  UpstreamId upstream = 0;  // the connection over which it was made
  std::map<std::string, Topic> topics;
  std::unordered_map<Uuid, std::string, protocol::UuidHash> name_of;  // by real id
  std::size_t partitions = 0;
  std::weak_ptr<const Snapshot> checked;  // with which all of it was found to be served as above

  bool add(const std::string& topic, const Uuid& real_id, PartitionIndex partition, const Segment& segment);
  void remove(const std::string& topic, PartitionIndex partition);
};

// Whether its broker still serves all of it.
bool still_served(const SessionCore& core, FetchSession& session);

// Whether a flip is deciding where any of its segments ends.
bool awaits_boundary(const Snapshot& snapshot, const FetchSession& session);

// Adds to the session what an incremental request adds, and gives what its broker is to be asked; nullopt when the
// session cannot be gone on with.
std::optional<protocol::FetchRequest> session_request(SessionCore& core, const Request& request,
                                                      const protocol::FetchRequest& asked, FetchSession& session);

}  // namespace crossover::proxy
