// Model clients: they speak wire bytes as the Java client and librdkafka do, keep their rules for order, sequences,
// retries and refreshes, and report to the invariants what they are told.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "protocol/codec.h"
#include "protocol/messages.h"
#include "tests/sim/invariants.h"

namespace crossover::sim {

struct ClientWorld {
  Events& events;
  Random& random;
  Invariants& checks;
  std::function<std::optional<ClientEnd>(int port)> dial;
  std::uint64_t next_connection = 1;
  std::vector<Place> places;
  std::function<void(const std::string&)> log;
  bool calm = false;  // no fault happens: what a flip needs is not the clients' to repeat
};

// One connection: requests go out in order, and their answers must come back in that order, one each.
class ClientConnection : public std::enable_shared_from_this<ClientConnection> {
 public:
  // nullopt: the connection ended before the answer.
  using Answer = std::function<void(std::optional<BytesView> body)>;

  ClientConnection(ClientWorld& world, std::string owner)
      : world_(world), owner_(std::move(owner)), id_(world.next_connection++) {}
  void dial(int port, std::function<void()> on_closed);
  void send(ApiKey api, protocol::Version version, BytesView body, Answer answer);
  void send_unanswered(ApiKey api, protocol::Version version, BytesView body);
  void close();
  bool closed() const { return closed_; }
  std::size_t in_flight() const { return waiting_.size(); }
  bool all_arrived() const { return closed_ || (end_ ? end_->to_proxy->idle() : unsent_.empty()); }

 private:
  struct Waiting {
    ApiKey api;
    protocol::Version version;
    std::int32_t correlation;
    Answer answer;
    Micros sent_at;
  };
  void on_bytes(BytesView data);
  void ended();
  void watch_time();

  ClientWorld& world_;
  std::string owner_;
  std::uint64_t id_;
  std::optional<ClientEnd> end_;
  Bytes unsent_;
  protocol::FrameBuffer input_{std::size_t{1} << 26};
  std::deque<Waiting> waiting_;
  std::int32_t next_correlation_ = 1;
  std::function<void()> on_closed_;
  bool closed_ = false;
};

class Client {
 public:
  Client(ClientWorld& world, std::string name);
  virtual ~Client() = default;
  const std::string& name() const { return name_; }
  void start();
  // No new work; what is under way is brought to its end.
  virtual void finish() { finishing_ = true; }
  virtual bool done() = 0;
  virtual std::string describe() { return {}; }
  virtual void crash() {}  // its process dies

 protected:
  using Version = protocol::Version;
  static constexpr NodeId bootstrap = -1;
  struct PartitionInfo {
    NodeId leader = -1;
    LeaderEpoch epoch = -1;
  };
  struct TopicInfo {
    Uuid id;
    std::map<PartitionIndex, PartitionInfo> partitions;
  };

  virtual void on_ready() = 0;  // versions and metadata are known
  virtual void on_metadata() {}
  virtual void on_connection_lost(NodeId) {}

  // The connection to that virtual broker; nullptr when it is not known.
  std::shared_ptr<ClientConnection> connection(NodeId node);
  void drop_connection(NodeId node);
  void drop_connections();
  // The finalized feature transaction.version; 0 where it is unknown.
  std::int16_t transaction_version() const { return transaction_version_; }
  bool topic_ids_known() const { return metadata_version_ >= 10; }
  // What this client sent on one connection reached the proxy before what it sends on another now.
  bool all_arrived() const;
  void refresh(Micros delay = 0);
  Version version(ApiKey api, Version lowest, Version highest);
  const PartitionInfo* leader_of(const Place& place) const;
  Uuid id_of(const std::string& topic) const;
  std::optional<std::string> name_of(const Uuid& id) const;

  template <class Response, class Request>
  void call(const std::shared_ptr<ClientConnection>& to, Version version, const Request& request,
            std::function<void(std::optional<Response>)> done) {
    const Bytes body = protocol::encode(request, version);
    to->send(Request::api, version, body, [version, done = std::move(done)](std::optional<BytesView> answer) {
      done(answer ? protocol::decode<Response>(*answer, version) : std::nullopt);
    });
  }

  ClientWorld& world_;
  std::string name_;
  bool finishing_ = false;
  std::map<std::string, TopicInfo> topics_;
  std::map<NodeId, int> ports_;

 private:
  void ask_versions();
  void cap(ApiKey api, Version highest);
  void ask_metadata();
  void take_metadata(const protocol::MetadataResponse& answer, bool by_name);

  std::map<NodeId, std::shared_ptr<ClientConnection>> connections_;
  std::map<ApiKey, protocol::VersionRange> announced_;
  Version metadata_version_ = 7;
  std::int16_t transaction_version_ = 0;
  bool refreshing_ = false, ready_ = false;
};

struct ProducerOptions {
  Delivery delivery = Delivery::idempotent;
  std::int16_t acks = -1;
  std::size_t in_flight = 5;
  // Asks for metadata all the time and writes to a new leader at once, whatever is under way to the old one.
  bool follows_at_once = false;
  std::vector<Place> places;
  Micros pause = 10 * one_ms;  // between batches, on average
  bool raises_epochs = false;
  std::int32_t first_sequence = 0;
};
std::unique_ptr<Client> make_producer(ClientWorld& world, std::string name, ProducerOptions options);

struct ConsumerOptions {
  std::vector<Place> places;
  bool keeps_sessions = false;  // fetch sessions (KIP-227); else it asks in full, whatever the answer grants
  bool read_committed = false;
  bool seeks_back = false;  // reads some of it again, now and then
};
// Reads every partition from 0 to its end.
std::unique_ptr<Client> make_consumer(ClientWorld& world, std::string name, ConsumerOptions options);
// Commits positions as a consumer without a group membership does, and reads them back.
std::unique_ptr<Client> make_committer(ClientWorld& world, std::string name);
struct TransactionalOptions {
  std::string transactional_id;
  int instance = 1;  // a higher one fences those before
  std::vector<Place> outputs;
  bool topic_by_topic = false;  // each transaction writes to one topic: to the first for a while, then to any
  // Consume, transform, produce: what is read of these, and the group whose positions are committed with the outputs.
  std::vector<Place> inputs;
  std::string group;
  bool as_member = false;      // else the partitions are assigned by hand
  Micros pause = 20 * one_ms;  // between transactions, on average
  std::int32_t timeout_ms = 60'000;
};
std::unique_ptr<Client> make_transactional(ClientWorld& world, std::string name, TransactionalOptions options);
// Refreshes metadata all the time.
std::unique_ptr<Client> make_watcher(ClientWorld& world, std::string name);

}  // namespace crossover::sim
