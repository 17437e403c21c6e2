// What must hold whatever happens (the invariants of the design), checked on every answer that a client gets and once
// more on the whole history when everything has come to rest.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "protocol/walk.h"
#include "proxy/control_state.h"
#include "tests/sim/invariants_transactions.h"
#include "tests/sim/world_proxy.h"

namespace crossover::sim {

struct Place {
  std::string topic;
  PartitionIndex partition = 0;
  auto operator<=>(const Place&) const = default;
};
std::string to_string(const Place&);

// What a producer promises its user.
// Unreplicated: acknowledged by a leader (acks=1) whose successor need not have it.
enum class Delivery { transactional, idempotent, acknowledged, unreplicated, unacknowledged };

class Invariants {
 public:
  Invariants(Events& events, std::array<ClusterNet*, 2> nets, std::array<ControlTopic*, 2> topics);

  // The first one is what the seed is reported with.
  void violated(const std::string& what);
  const std::vector<std::string>& violations() const { return violations_; }

  // --- what clients report ---
  void on_answer(std::uint64_t connection, ApiKey api, protocol::Version version, BytesView body);
  // The record's value, unique in the simulation.
  std::string new_record(const std::string& producer, const Place& place, Delivery delivery, const std::string& key);
  // `ordered`: it must stand on the right side of the producer's other records.
  void acknowledged(const std::string& value, std::optional<Offset> offset, bool ordered = true);
  void gave_up(const std::string& value);
  void fetched(const std::string& consumer, const Place& place, Offset offset, LeaderEpoch epoch, const Bytes& value);
  void marks_shown(const Place& place, Offset last_stable_offset, Offset high_watermark);
  void skipped(const std::string& consumer, const Place& place, Offset from, Offset to);
  void compacted(const Place& place) { compacted_.insert(place); }
  void stranger_wrote(const std::string& value) { strangers_.insert(value); }

  // --- the truth, from the control topics and the clusters themselves ---
  proxy::VirtualLog log_of(const Place& place);
  Offset virtual_end(const Place& place);
  Offset shown_end(const Place& place);  // up to which readers get it
  Offset virtual_start(const Place& place);
  Side home_of(const std::string& topic);
  std::int32_t generation();
  bool every_route_flipped();
  // `committed`: the consumers that read committed records only.
  void check_history(const std::vector<Place>& places, const std::vector<std::string>& consumers,
                     const std::vector<std::string>& committed);
  TransactionChecks& transactions() { return transactions_; }
  const TransactionChecks& transactions() const { return transactions_; }
  // Clients talk to the source's brokers: nothing is virtual.
  void without_proxy() { without_proxy_ = true; }

  // The highest that any client was told.
  LeaderEpoch announced_epoch(const Place& place) { return metadata_epoch_[place]; }
  std::uint64_t acknowledged_count() const { return acknowledged_; }
  void count_incremental_fetch() { ++incremental_fetches_; }
  std::uint64_t incremental_fetches() const { return incremental_fetches_; }

 private:
  struct Record {
    std::string producer;
    Place place;
    Delivery delivery;
    std::string key;
    std::uint64_t order;  // among its producer's records for that partition
    bool acknowledged = false;
    std::optional<Offset> offset;
  };
  void follow();
  std::vector<StoredRecord> contents(const Place& place, bool& complete);
  void check_last_values(const Place& place, const std::vector<StoredRecord>& all);
  void check_place(const Place& place, const std::vector<StoredRecord>& all, bool complete,
                   const std::vector<std::string>& consumers, const std::vector<std::string>& committed);
  void check_seen(const Place& place, const std::vector<StoredRecord>& all, const std::string& consumer,
                  bool committed_only);
  std::optional<std::string> stored_at(const Place& place, Offset offset, bool& gone);

  friend class LeakSearch;
  Events& events_;
  std::array<ClusterNet*, 2> nets_;
  std::array<ControlTopic*, 2> topics_;
  std::array<proxy::ControlLog, 2> logs_;
  std::array<Offset, 2> folded_{};
  proxy::ControlState state_;
  std::vector<std::string> violations_;
  TransactionChecks transactions_;
  bool without_proxy_ = false;

  std::map<std::string, Record> records_;
  std::map<std::pair<std::string, Place>, std::uint64_t> next_order_;
  std::map<std::pair<std::string, Place>, std::pair<std::uint64_t, Offset>> last_acknowledged_;
  std::map<Place, std::map<Offset, std::string>> named_;  // what was ever shown under an offset
  std::map<std::pair<std::string, Place>, std::set<Offset>> seen_;
  std::set<std::string> strangers_;
  std::set<Place> compacted_;
  std::uint64_t acknowledged_ = 0, incremental_fetches_ = 0;

  std::string cluster_id_;
  std::map<std::string, Uuid> topic_ids_;
  std::map<std::pair<std::uint64_t, Place>, LeaderEpoch> shown_epoch_;  // by connection
  std::map<Place, LeaderEpoch> emitted_epoch_, metadata_epoch_;
};

}  // namespace crossover::sim
