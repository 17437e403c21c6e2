// One instance of a transactional producer, in the manner of the Java client: one request to a coordinator at a time,
// up to five in flight to a leader, sequences per partition; protocol 1 or 2 as ApiVersions says.
#pragma once

#include <list>

#include "tests/sim/clients.h"

namespace crossover::sim {

class TransactionalClient : public Client {
 public:
  TransactionalClient(ClientWorld& world, std::string name, TransactionalOptions options);
  bool done() override { return dead_ || (finishing_ && !open_ && id_ >= 0 && idle()); }
  std::string describe() override;
  void crash() override;
  void finish() override {
    Client::finish();
    step();
  }

 protected:
  using Positions = std::map<Place, Offset>;

  // What the application does; called while no transaction is open.
  virtual void next_transaction() = 0;
  virtual void ended(bool /*committed*/) {}
  virtual bool idle() { return true; }  // nothing of its own is left to do
  virtual void at_rest() {}             // no new transaction will be asked for
  void step();

  void begin();
  void add_batch(const Place& place, std::vector<protocol::PlainRecord> records, std::vector<std::string> values);
  void commit_positions(Positions positions) { positions_ = std::move(positions); }
  void end(bool commit);
  void later(Micros delay);
  std::string new_record(const Place& place, const std::string& key);

  // Asks who coordinates; 0: groups, 1: transactions. `found` is not called when the answer is not known yet.
  void find_coordinator(const std::string& key, std::int8_t type, std::function<void(NodeId)> found);
  void abort_for(const std::string& why);
  void fail(const std::string& request, std::int16_t error);
  void on_ready() override;
  void on_metadata() override;
  // What a commit of positions says of the group; nothing without a membership.
  struct Membership {
    std::string member_id;
    std::int32_t generation = -1;
  };
  void speak_as(Membership membership) { membership_ = std::move(membership); }
  const std::optional<Membership>& membership() const { return membership_; }
  virtual void rejoin() {}  // the group has gone on without this member
  bool dead() const { return dead_; }
  bool open() const { return open_; }
  const TransactionalOptions& options() const { return options_; }

 private:
  struct Batch {
    std::uint64_t id;
    std::vector<std::string> values;
    std::vector<protocol::PlainRecord> records;
    Bytes bytes;  // once it has a sequence
    int attempts = 0;
    bool in_flight = false;
    NodeId broker = -1;
  };
  struct Queue {
    std::list<Batch> batches;  // unacknowledged, in order
    std::int32_t next_sequence = 0;
    bool waiting = false;  // for the refresh that follows an error
    bool known = false;    // the leader has acknowledged a batch of this epoch
  };
  enum class Outcome { done, retry, find_again, failed };

  void pump();
  Batch* sendable(Queue& queue, NodeId leader);
  void send(const std::shared_ptr<ClientConnection>& to, const std::vector<std::pair<Place, Batch*>>& batches);
  const protocol::ProduceResponse::PartitionProduceResponse* row_of(const protocol::ProduceResponse& answer,
                                                                    const Place& place) const;
  void settle(const Place& place, std::uint64_t id, const protocol::ProduceResponse::PartitionProduceResponse* row);
  void drop_unsent();
  bool all_acknowledged() const;

  void init();
  void add_partitions();
  void add_offsets();
  void send_positions();
  void end_transaction();
  void conclude(bool committed);
  // What a coordinator's error means; asks again after a while where that helps.
  Outcome judge(const std::string& request, std::optional<std::int16_t> error);
  template <class Response, class Request>
  void ask(NodeId& coordinator, Version version, const Request& request, std::function<void(const Response&)> taken);

  TransactionalOptions options_;
  bool protocol_2_ = false;
  bool dead_ = false, open_ = false, ending_ = false, commit_ = false, aborting_ = false, busy_ = false;
  bool step_due_ = false, idle_due_ = false;
  bool begun_at_coordinator_ = false, group_added_ = false;
  ProducerId id_ = -1;
  ProducerEpoch epoch_ = -1;
  NodeId coordinator_ = bootstrap, group_coordinator_ = bootstrap;
  std::uint64_t transaction_ = 0;
  Micros began_ = 0;
  std::set<Place> added_, adding_;
  Positions positions_;
  std::optional<Membership> membership_;
  std::map<Place, Queue> queues_;
  std::uint64_t next_batch_ = 1;
  Version produce_version_ = 3;
};

}  // namespace crossover::sim
