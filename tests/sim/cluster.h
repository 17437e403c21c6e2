// An in-memory Kafka cluster that keeps Kafka's rules and speaks its wire format. Pure: no sockets, clock or threads;
// time comes in with every call, randomness from a seed. The simulator drives it, and the demo serves it on sockets.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "protocol/error_code.h"
#include "protocol/schema.h"
#include "tests/sim/broker_log.h"
#include "tests/sim/broker_producers.h"

namespace crossover::sim {

using protocol::ApiKey;
using protocol::ErrorCode;
using protocol::NodeId;
using protocol::PartitionIndex;
using protocol::Uuid;

using ConnectionId = std::uint64_t;

// Which release's table of API versions the brokers show.
enum class KafkaRelease { v2_8, v3_9, v4_4 };

struct ClusterOptions {
  std::string cluster_id = "sim-cluster";
  int brokers = 3;
  NodeId first_id = 1;
  // Host and port per broker in order; a made-up name for the rest.
  std::vector<std::pair<std::string, int>> addresses;
  std::uint64_t seed = 1;  // topic ids and member ids follow from it
  LeaderEpoch first_leader_epoch = 0;
  ProducerId first_producer_id = 0;
  KafkaRelease release = KafkaRelease::v4_4;
  std::map<ApiKey, protocol::VersionRange> versions;  // overrides; an empty range hides the API
  bool zookeeper_mode = false;                        // only the controller takes topic administration (error 41)
  bool auto_create_topics = false;
  int default_partitions = 1;
  int default_replication_factor = 3;  // at most the number of brokers
  std::int64_t initial_rebalance_delay_ms = 0;
  std::int64_t min_session_timeout_ms = 6000;
  std::int64_t max_session_timeout_ms = 1800000;
  std::int64_t producer_id_expiration_ms = 86400000;
  std::int16_t transaction_version = 2;  // the finalized feature, where the release has it
  bool verify_transactions = true;       // transaction.partition.verification.enable
  std::int64_t max_transaction_timeout_ms = 900000;
  std::int64_t transaction_marker_delay_ms = 0;  // at most that long after EndTxn was answered, for each partition
  std::int64_t coordinator_load_ms = 0;          // at most, where transactions move to another coordinator
  bool leaders_lose_tails = false;               // what followers lack is lost when another leads
};

// What a broker sends to one connection. Per connection in request order; `close` means that the broker hangs up.
struct Reply {
  ConnectionId connection = 0;
  Bytes frame;  // with its size prefix; empty when only closing
  bool close = false;
};

struct CommittedOffset {
  Offset offset = -1;
  LeaderEpoch leader_epoch = -1;
  std::string metadata;
  bool operator==(const CommittedOffset&) const = default;
};

struct PartitionView {
  NodeId leader = -1;
  LeaderEpoch leader_epoch = -1;
  std::vector<NodeId> replicas;
  std::vector<NodeId> isr;
  Offset high_watermark = 0;
  Offset last_stable_offset = 0;
  const PartitionLog* log = nullptr;
  const ProducerStates* producers = nullptr;
};

struct GroupView {
  std::string state;
  std::int32_t generation = 0;
  std::string leader;
  std::vector<std::string> members;
};

struct TransactionView {
  std::string state;
  ProducerId producer_id = -1;
  ProducerEpoch epoch = -1;
  std::set<std::pair<std::string, PartitionIndex>> partitions;
  std::set<std::string> groups;
  NodeId coordinator = -1;  // -1: no broker is up
};

struct ClusterState;

class Cluster {
 public:
  explicit Cluster(ClusterOptions options);
  ~Cluster();
  Cluster(Cluster&&) noexcept;
  Cluster& operator=(Cluster&&) noexcept;

  // nullopt when that broker is down or unknown.
  std::optional<ConnectionId> connect(NodeId);
  void disconnect(ConnectionId);
  // `frame` is without its size prefix. A broker serves one request of a connection at a time; further ones wait.
  void request(ConnectionId, BytesView frame, std::int64_t now_ms);
  void tick(std::int64_t now_ms);
  std::optional<std::int64_t> next_deadline() const;
  std::vector<Reply> take_replies();
  // Requests that the broker has not answered yet, waiting ones included: what backpressure goes by.
  std::size_t outstanding(ConnectionId) const;

  // Faults and operator acts. They take effect at the time last seen; answers that they cause come out of take_replies.
  void stop_broker(NodeId);  // its connections die, its leaderships move, epochs rise
  void start_broker(NodeId);
  void add_broker(NodeId, std::string host, int port);
  void remove_broker(NodeId);  // its replicas are placed elsewhere first
  void set_address(NodeId, std::string host, int port);
  ErrorCode create_topic(const std::string& name, int partitions, std::map<std::string, std::string> configs = {});
  ErrorCode delete_topic(const std::string& name);
  ErrorCode add_partitions(const std::string& name, int count);
  bool move_leader(const std::string& topic, PartitionIndex, NodeId);
  // An unclean election: what lies at or behind `new_end` is gone.
  bool unclean_election(const std::string& topic, PartitionIndex, NodeId, Offset new_end);
  // A write that no client of the simulation made. Same checks as a produce request.
  ErrorCode append_as_stranger(const std::string& topic, PartitionIndex, BytesView batch);
  bool set_log_start(const std::string& topic, PartitionIndex, Offset);  // what retention does
  // One run of the log cleaner: last value per key up to `upto`, tombstones once delete.retention.ms is over.
  bool compact(const std::string& topic, PartitionIndex, Offset upto = INT64_MAX);
  // Followers stay that many records behind (rounded to whole batches); 0 lets them catch up. The watermark never
  // falls.
  bool set_high_watermark_lag(const std::string& topic, PartitionIndex, std::int64_t records);
  void set_topic_config(const std::string& topic, const std::string& name, const std::string& value);
  // The next `count` requests of that API are answered with the error wherever the answer has room for one.
  void fail_next(int count, ApiKey, ErrorCode);
  // The next `count` requests of that API are carried out and then the connection is closed instead of answered.
  void lose_answers(int count, ApiKey);
  // A transactional id that is in that state already, and stays there until a client does something about it.
  void add_transactional_id(const std::string& id, ProducerId, const std::string& state, ProducerEpoch epoch = 0);

  // Inspection, for invariants and tests.
  const ClusterOptions& options() const;
  std::vector<NodeId> brokers() const;  // those that are up
  std::optional<std::pair<std::string, int>> address(NodeId) const;
  std::vector<std::string> topics() const;
  int partition_count(const std::string& topic) const;  // 0: no such topic
  std::optional<Uuid> topic_id(const std::string& topic) const;
  std::optional<PartitionView> partition(const std::string& topic, PartitionIndex) const;
  std::map<std::pair<std::string, PartitionIndex>, CommittedOffset> committed(const std::string& group) const;
  std::optional<GroupView> group(const std::string& group) const;
  NodeId coordinator(const std::string& group) const;  // -1: no broker is up
  std::vector<std::string> transactional_ids() const;
  std::optional<TransactionView> transaction(const std::string& transactional_id) const;
  NodeId transaction_coordinator(const std::string& transactional_id) const;

 private:
  std::unique_ptr<ClusterState> state_;
};

}  // namespace crossover::sim
