// Transactions as their coordinator keeps them (TransactionCoordinator, TransactionMetadata), and the markers that it
// has leaders write (TransactionMarkerChannelManager). The state survives brokers, as __transaction_state does.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/cluster.h"

namespace crossover::sim {

struct Ticket;
struct ClusterState;
struct Partition;
struct Topic;

//                AddPartitions / AddOffsets, or produce with protocol 2
//   empty ──────────────────────────────────> ongoing <────────────────────────────────┐
//     ^                     EndTxn, time-out, a new instance │                         │
//     │ InitProducerId                                       v        all markers      │
//     └──────── complete_commit / complete_abort <─── prepare_commit / prepare_abort   │
//                           └──────────────────────────────────────────────────────────┘
enum class TransactionState { empty, ongoing, prepare_commit, prepare_abort, complete_commit, complete_abort };

std::string state_name(TransactionState);

using TopicPartition = std::pair<std::string, PartitionIndex>;

// A marker that has to get into one partition's log, or into that of one group's offsets.
struct PendingMarker {
  TopicPartition place;  // or else
  std::string group;
  std::int64_t due_ms = 0;
  bool hung = false;  // refused for good (error 10): not tried again before the coordinator moves
  // Where it was written, while followers still lack it.
  std::optional<Offset> offset;
  LeaderEpoch leader_epoch = -1;
};

struct Transaction {
  std::string id;
  TransactionState state = TransactionState::empty;
  ProducerId producer_id = -1;
  ProducerId previous_producer_id = -1;
  ProducerId next_producer_id = -1;  // protocol 2, when the epochs are used up
  ProducerEpoch epoch = -1;
  ProducerEpoch last_epoch = -1;
  bool protocol_2 = false;  // how the present or last transaction was carried out
  std::int32_t timeout_ms = 0;
  std::int64_t start_ms = -1;
  std::set<TopicPartition> partitions;
  std::set<std::string> groups;
  std::vector<PendingMarker> markers;
  NodeId coordinator = -1;
  std::int32_t coordinator_epoch = 0;
  std::int64_t loaded_at_ms = 0;  // before that the new coordinator still reads

  bool preparing() const {
    return state == TransactionState::prepare_commit || state == TransactionState::prepare_abort;
  }
  bool epoch_exhausted() const { return epoch >= INT16_MAX - 1; }
};

struct ProducerIdentity {
  ProducerId id = -1;
  ProducerEpoch epoch = -1;
};

// The transaction that a request names; an error where this broker cannot say or the producer may not act for it.
struct FoundTransaction {
  ErrorCode error = ErrorCode::NONE;
  Transaction* transaction = nullptr;
};
FoundTransaction find_transaction(ClusterState&, const std::string& id, NodeId node);

// What AddPartitionsToTxn and its like check first: 49, 90, 51.
ErrorCode check_producer(const Transaction&, ProducerIdentity);
ErrorCode add_to_transaction(ClusterState&, const std::string& id, NodeId coordinator, ProducerIdentity,
                             const std::set<TopicPartition>& partitions, const std::string& group, bool protocol_2);

// How a broker that got data makes sure that its partition is part of the transaction (AddPartitionsToTxnManager).
enum class Verification {
  none,           // releases before 3.6
  default_error,  // 48 when it is not
  abortable,      // 120 when it is not
  add,            // protocol 2: it is added
};
ErrorCode verify_in_transaction(ClusterState&, const std::string& id, ProducerIdentity, const TopicPartition&,
                                const std::string& group, Verification);

// The transaction ends; its markers are still to be written.
void prepare_end(ClusterState&, Transaction&, bool commit, bool protocol_2);
// The producer's epoch rises above any that a client was told, and what it left open is aborted.
void fence_and_abort(ClusterState&, Transaction&);

ProducerId allocate_producer_id(ClusterState&, NodeId);

// Writes the markers that are due and completes what they complete. True when anything happened.
bool advance_markers(ClusterState&);
void abort_timed_out(ClusterState&);
void transaction_coordinators_moved(ClusterState&);
std::optional<std::int64_t> next_transaction_deadline(const ClusterState&);

// The partition of __consumer_offsets that keeps a group.
PartitionIndex offsets_partition_of(const std::string& group);
// What a transaction committed for the group counts from now on, or never will.
void end_transactional_offsets(ClusterState&, const std::string& group, ProducerIdentity, bool commit);

}  // namespace crossover::sim
