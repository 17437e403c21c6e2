// Everything the brokers of one cluster know, and the ways in which handlers answer. Internal to the simulated cluster.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "protocol/codec.h"
#include "protocol/frame.h"
#include "protocol/messages.h"
#include "tests/sim/broker_errors.h"
#include "tests/sim/broker_group.h"
#include "tests/sim/broker_transactions.h"
#include "tests/sim/cluster.h"

namespace crossover::sim {

using protocol::Version;

struct Partition {
  PartitionIndex index = 0;
  NodeId leader = -1;
  LeaderEpoch leader_epoch = 0;
  std::vector<NodeId> replicas;  // all of those that are up are in sync
  PartitionLog log;
  ProducerStates producers;
  Offset high_watermark = 0;
  std::int64_t lag = 0;

  // What consumers that read committed records see: the first offset of the earliest open transaction.
  Offset last_stable_offset() const {
    return std::max(log.start(),
                    std::min(high_watermark, producers.first_unstable(high_watermark).value_or(high_watermark)));
  }
};

// What a produce request says about all of its batches.
struct ProduceContext {
  std::string transactional_id;
  Verification verification = Verification::none;
};

struct Topic {
  std::string name;
  Uuid id;
  std::map<std::string, std::string> configs;  // only what differs from the defaults
  std::deque<Partition> partitions;            // a deque: references stay valid when partitions are added
};

// What names a fetch session's partition: a name up to Fetch v12, an id after.
struct FetchKey {
  std::string topic;
  Uuid topic_id;
  PartitionIndex partition = 0;
  auto operator<=>(const FetchKey&) const = default;
};

struct FetchPosition {
  FetchKey key;
  LeaderEpoch current_leader_epoch = -1;
  Offset offset = 0;
  LeaderEpoch last_fetched_epoch = -1;
  std::int32_t max_bytes = 0;
  // What the session's client was last told.
  Offset known_high_watermark = -1;
  Offset known_log_start = -1;
};

// KIP-227: lives in the broker, not in the connection.
struct FetchSession {
  std::int32_t epoch = 1;
  bool by_id = false;
  std::vector<FetchPosition> positions;
  std::int64_t last_used_ms = 0;
};

struct Broker {
  NodeId id = 0;
  std::string host;
  int port = 0;
  bool up = true;
  std::map<std::string, std::string> configs;
  std::map<std::int32_t, FetchSession> fetch_sessions;
  ProducerId next_producer_id = 0;  // within the block that ends at:
  ProducerId producer_ids_end = 0;
};

// Where an answer goes.
struct Ticket {
  ConnectionId connection = 0;
  NodeId node = 0;
  ApiKey api{};
  Version version = 0;
  std::int32_t correlation_id = 0;
};

struct Call {
  Ticket ticket;
  std::string client_id;
  BytesView body;
  Version version() const { return ticket.version; }
};

struct Connection {
  NodeId node = 0;
  bool busy = false;  // a request is being served; the channel is muted until it is answered
  std::deque<Bytes> waiting;
};

// A request whose answer waits for something (Kafka's purgatory).
struct Pending {
  Ticket ticket;
  std::int64_t deadline_ms = 0;
  // Answers and returns true once it can, or must because `expired`.
  std::function<bool(bool expired)> attempt;
};

struct Fault {
  int count = 0;
  ErrorCode error = ErrorCode::NONE;
  bool lose_answer = false;
};

struct ClusterState {
  explicit ClusterState(ClusterOptions);

  // Answers. All of them end the connection's present request.
  void reply(const Ticket&, BytesView body);
  void end_without_reply(const Ticket&);  // acks=0
  void close(ConnectionId);
  void park(Pending);
  // Serves waiting requests and retries parked ones until nothing moves.
  void settle();
  void attempt_parked();
  // Something that a parked request may wait for has happened.
  void changed() { ++changes; }

  Topic* topic(const std::string& name);
  Topic* topic(const Uuid& id);
  // By name or, when that is empty, by id.
  Topic* topic(const std::string& name, const Uuid& id) { return name.empty() ? topic(id) : topic(name); }
  Partition* partition(Topic*, PartitionIndex);
  Broker* broker(NodeId);  // nullptr also when it is down
  NodeId controller() const;
  NodeId coordinator(const std::string& group) const;
  NodeId transaction_coordinator(const std::string& transactional_id) const;
  // KIP-890 came with release 3.6.
  bool verifies_transactions() const { return options.verify_transactions && options.release != KafkaRelease::v2_8; }
  std::vector<NodeId> in_sync(const Partition&) const;
  std::string config(const Topic&, const std::string& name) const;
  std::int64_t config_number(const Topic&, const std::string& name) const;

  void update_high_watermark(Partition&);
  void become_leader(Partition&, NodeId);  // -1: no replica is up
  // Checks and writes one client batch; `stored` tells where it lies, for a duplicate where it lay before.
  ErrorCode append(Topic&, Partition&, BytesView batch, BatchHeader& stored, const ProduceContext& context = {});
  ErrorCode create_topic(const std::string& name, int partitions, int replication_factor,
                         std::map<std::string, std::string> configs);
  ErrorCode delete_topic(const std::string& name);
  void grow_topic(Topic&, int count);

  std::uint64_t random();
  Uuid random_uuid();

  ClusterOptions options;
  std::map<ApiKey, protocol::VersionRange> versions;
  std::map<NodeId, Broker> brokers;
  std::map<std::string, Topic> topics;
  std::map<Uuid, std::string> topic_names;
  std::map<std::string, Group> groups;
  // Of __consumer_offsets: the newest epoch of each producer, also where its markers found nothing to end.
  std::map<std::pair<PartitionIndex, ProducerId>, ProducerEpoch> offsets_producer_epochs;
  std::map<std::string, Transaction> transactions;
  std::map<ApiKey, std::deque<Fault>> faults;
  std::int64_t refuses_writes_until = -1;  // milliseconds, with `refusal`
  ErrorCode refusal = ErrorCode::NONE;

  std::map<ConnectionId, Connection> connections;
  std::map<std::uint64_t, Pending> parked;
  std::deque<ConnectionId> runnable;
  std::vector<Reply> replies;
  ConnectionId next_connection = 1;
  std::uint64_t next_parked = 1;
  ProducerId next_producer_block = 0;
  std::uint64_t next_offset_record = 1;
  std::int64_t now_ms = 0;
  std::uint64_t changes = 0;
  std::uint64_t changes_seen = 0;
  std::uint64_t random_state;
  bool settling = false;
};

using Handler = std::function<void(ClusterState&, const Call&)>;
using Handlers = std::map<ApiKey, Handler>;

void add_produce_handlers(Handlers&);
void add_fetch_handlers(Handlers&);
void add_metadata_handlers(Handlers&);
void add_offset_handlers(Handlers&);
void add_topic_handlers(Handlers&);
void add_config_handlers(Handlers&);
void add_group_handlers(Handlers&);
void add_group_admin_handlers(Handlers&);
void add_commit_handlers(Handlers&);
void add_transactional_commit_handlers(Handlers&);
void add_transaction_handlers(Handlers&);
void add_transaction_admin_handlers(Handlers&);

// Brokers do not look at what follows a request in its frame, and clients rely on it: librdkafka's list_topics sends
// three bytes too many in Metadata v9 and later.
constexpr std::size_t ignored_bytes = 8;

template <class Request>
std::optional<Request> decode_request(const Call& call) {
  for (std::size_t extra = 0; extra <= std::min(ignored_bytes, call.body.size()); ++extra) {
    auto request = protocol::decode<Request>(call.body.substr(0, call.body.size() - extra), call.version());
    if (request) return request;
  }
  return std::nullopt;
}

// Decodes the body for `handle`; a body that does not parse closes the connection, as brokers do.
template <class Request, void (*handle)(ClusterState&, const Call&, const Request&)>
void decoded(ClusterState& state, const Call& call) {
  std::optional<Request> request = decode_request<Request>(call);
  if (!request) return state.close(call.ticket.connection);
  handle(state, call, *request);
}

template <class Response>
void respond(ClusterState& state, const Ticket& ticket, const Response& response) {
  state.reply(ticket, protocol::encode(response, ticket.version));
}

constexpr std::int16_t code(ErrorCode error) {
  return static_cast<std::int16_t>(error);
}

// Kafka's check of the epoch that a client believes in: 74 when it is older, 75 when newer than the broker's.
ErrorCode check_leader_epoch(const Partition&, LeaderEpoch claimed);

bool valid_topic_name(const std::string&);

}  // namespace crossover::sim
