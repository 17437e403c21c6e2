// The virtual cluster's durable state, folded from the control topics of both clusters.
//
// Each control topic is a log whose order is the compare-and-set: a record names its predecessor (the offset of the
// last accepted one); a record that does not follow is ignored by everyone. Large state goes in "part" records that
// stand outside the chain and count only when a chained record names them.
//
// What belongs to a route travels by chain of custody: "close" on the old home's log is a flip's commit point, "open"
// on the new home's log admits writes there. Both carry the whole segments and producer tables of the route's topics,
// so each log alone suffices for what is homed on its cluster. Of several records on one thing the highest generation
// holds, whatever order the two logs are read in.
//
// A recovery has no word of the old home: its "open" is the commit point, and goes two generations on, beyond whatever
// flip may stand on the log that cannot be read. That log is told when it can be written again.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "proxy/binding.h"
#include "proxy/snapshot.h"

namespace crossover::proxy {

struct TopicState {
  Uuid virtual_id;
  std::array<Uuid, 2> real_id;
  struct Partition {
    VirtualLog log;
    std::shared_ptr<const ProducerTable> producers;
  };
  std::vector<Partition> partitions;
  std::int32_t generation() const;  // of the latest opening of any partition
};

struct RouteState {
  std::string id;  // unique for ever; a name may be used again
  std::string name;
  std::set<std::string> topics;  // empty for default
  Cluster home = Cluster::source;
  std::int32_t generation = 0;
  bool opened = true;      // the new home's log holds the "open" of this generation
  bool recovered = false;  // it came to its home without the word of the one before
};

struct BrokerRecord {
  Cluster cluster;
  NodeId real_id;
  std::int32_t port;
  bool operator==(const BrokerRecord&) const = default;
};

inline constexpr const char* default_route = "default";

// What one log says, and what both say together.
struct ControlState {
  std::string cluster_id;                       // virtual
  std::array<std::string, 2> real_cluster_ids;  // of source and target: others are never spliced; empty: not on record
  std::map<NodeId, BrokerRecord> brokers;       // by virtual id
  std::array<std::optional<ClusterVersions>, 2> versions;
  std::map<std::string, RouteState> routes;  // by id; always holds default
  std::int64_t routes_revision = 0;
  std::set<std::string> deleted_routes;      // ids
  std::map<std::string, TopicState> topics;  // those that were ever flipped
  Bindings bindings;
  // Virtual ids of topics whose logs ended, with the generation that they had, while a log may still hold them. A
  // flip of a later generation under the same id begins another log.
  std::map<Uuid, std::int32_t> forgotten;

  ControlState();
  const RouteState* route(const std::string& name) const;
  const RouteState& route_of(const std::string& topic) const;
  // Takes over what `other` knows better.
  void merge(const ControlState& other);
};

// Folds one cluster's control topic.
class ControlLog {
 public:
  // Unreadable or newer records are counted and ignored, never guessed at.
  void fold(Offset offset, BytesView record);

  const ControlState& state() const { return state_; }
  Offset last_accepted() const { return last_accepted_; }
  const std::string& last_writer() const { return last_writer_; }  // the proxy that wrote that one
  // Whether a chained record with that id was seen, and whether it took effect.
  std::optional<bool> outcome(const std::string& record_id) const;
  std::size_t records_since_snapshot() const { return since_snapshot_; }
  Offset snapshot_from() const { return snapshot_from_; }  // records below it are not needed any more; -1: none
  std::size_t unreadable() const { return unreadable_; }
  bool newer_seen() const { return newer_seen_; }

 private:
  ControlState state_;
  Offset last_accepted_ = -1;
  std::string last_writer_;
  std::map<std::string, bool> outcomes_;
  struct Parts {
    Offset first = -1;
    std::map<int, std::string> bodies;
  };
  std::map<std::string, Parts> parts_;
  std::size_t since_snapshot_ = 0;
  Offset snapshot_from_ = -1;
  std::size_t unreadable_ = 0;
  bool newer_seen_ = false;
};

// Encoders. `prev` is the log's last accepted offset. Part records are written before the record that names them.
namespace control_record {
inline constexpr int format = 1;
inline constexpr std::size_t part_bytes = 400'000;  // below the 1 MB that brokers take by default

struct Chain {
  std::string id;  // of this record
  Offset prev = -1;
  std::string by;  // the proxy
};
Bytes identity(const Chain&, const std::string& cluster_id, const std::array<std::string, 2>& real_cluster_ids = {});
Bytes broker(const Chain&, NodeId virtual_id, const BrokerRecord&);
Bytes versions(const Chain&, Cluster, const ClusterVersions&);
Bytes routes(const Chain&, const ControlState&);
Bytes forget(const Chain&, const std::string& topic, const Uuid& virtual_id);
// The topic is not any more on that cluster what the closed segments there were of.
Bytes lost(const Chain&, const std::string& topic, const Uuid& virtual_id, Cluster);
Bytes nothing(const Chain&);
// What is named besides: transactional ids and groups that moved by themselves.
Bytes bind(const Chain&, const std::string& parts_id, std::size_t parts);
// Parts of a set of topics and bindings, to be appended in order; the chained record names `parts_id` and their number.
std::vector<Bytes> parts(const std::string& parts_id, const std::map<std::string, TopicState>& topics,
                         const Bindings& bindings);
Bytes close(const Chain&, const RouteState& route, const std::string& parts_id, std::size_t parts);
Bytes open(const Chain&, const RouteState& route, const std::string& parts_id, std::size_t parts);
// The folded state as one: head, then parts of its topics.
Bytes snapshot(const Chain&, const ControlState&, const std::string& parts_id, std::size_t parts);
}  // namespace control_record

}  // namespace crossover::proxy
