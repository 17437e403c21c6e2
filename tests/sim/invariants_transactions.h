// What must hold of transactions: all of their records or none are seen, once; what a client was told is so; who was
// replaced can do nothing more.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/cluster.h"

namespace crossover::sim {

struct Place;

// A record as the clusters hold it in the end.
struct StoredRecord {
  Offset offset;  // virtual
  std::string value;
  std::string key;
  bool aborted = false;  // of a transaction that was aborted, or is open
};

class TransactionChecks {
 public:
  explicit TransactionChecks(std::function<void(const std::string&)> violated) : violated_(std::move(violated)) {}

  // --- what clients report ---
  void instance_started(const std::string& id, int instance);
  void initialised(const std::string& id, int instance, ProducerId producer, ProducerEpoch epoch);
  // `owner`: a transactional id, or a producer without one.
  void shown_id(const std::string& owner, ProducerId producer);
  bool has_successor(const std::string& id, int instance) const;
  bool is_initialised(const std::string& id, int instance) const;
  bool is_zombie(const std::string& id, int instance) const;  // its successor was given the id

  std::uint64_t began(const std::string& id, int instance);
  void wrote(std::uint64_t transaction, const std::string& value);
  void ending(std::uint64_t transaction, bool commit);
  void told(std::uint64_t transaction, bool committed);
  void gave_up(std::uint64_t transaction);  // its client will never know
  void read_committed(const std::string& consumer, const std::string& value);
  void transforms(const std::string& group, const Place& place, Offset offset, const std::string& output);
  void group_is_at(const std::string& group, const std::map<Place, Offset>& positions);

  // Whether the record belongs to a transaction whose client knows that it was committed.
  bool known_committed(const std::string& value) const;

  // --- the whole history ---
  using Contents = std::map<Place, std::vector<StoredRecord>>;
  // `complete`: nothing was removed by retention or compaction.
  void check(const Contents& contents, bool complete);
  std::uint64_t committed_count() const { return committed_; }
  std::uint64_t aborted_count() const { return aborted_; }

 private:
  enum class Outcome { open, ending, committed, aborted, unknown };
  struct Transaction {
    std::string id;
    int instance;
    Outcome outcome = Outcome::open;
    bool may_commit = false;  // a commit was asked for
    std::vector<std::string> values;
  };
  struct Input;
  void check_outcome(std::uint64_t number, const Transaction& transaction, const std::map<std::string, int>& shown,
                     const std::map<std::string, int>& hidden, bool complete);
  void check_transforms(const Contents& contents, const std::map<std::string, int>& shown, bool complete);

  std::function<void(const std::string&)> violated_;
  std::map<std::string, int> started_, initialised_;  // the newest instance
  std::map<std::string, std::pair<ProducerId, ProducerEpoch>> identity_;
  std::map<ProducerId, std::string> owners_;
  std::vector<Transaction> transactions_;
  std::map<std::string, std::uint64_t> transaction_of_;
  // By group, and by what was read: the records made of it.
  std::map<std::string, std::map<std::pair<std::string, PartitionIndex>, std::map<Offset, std::vector<std::string>>>>
      outputs_;
  std::map<std::string, std::map<std::pair<std::string, PartitionIndex>, Offset>> positions_;
  std::uint64_t committed_ = 0, aborted_ = 0;
};

}  // namespace crossover::sim
