#include "tests/sim/invariants_transactions.h"

#include "tests/sim/invariants.h"

namespace crossover::sim {

void TransactionChecks::instance_started(const std::string& id, int instance) {
  int& newest = started_[id];
  newest = std::max(newest, instance);
}

void TransactionChecks::initialised(const std::string& id, int instance, ProducerId producer, ProducerEpoch epoch) {
  int& newest = initialised_[id];
  newest = std::max(newest, instance);
  shown_id(id, producer);
  const auto [at, first] = identity_.try_emplace(id, producer, epoch);
  const bool grows = at->second.first != producer || at->second.second < epoch;
  if (!first && !grows)
    violated_("zombie: " + id + " was initialised with epoch " + std::to_string(epoch) + ", not above the one before");
  at->second = {producer, epoch};
}

void TransactionChecks::shown_id(const std::string& owner, ProducerId producer) {
  const auto [at, fresh] = owners_.try_emplace(producer, owner);
  if (at->second != owner)
    violated_("producer id: " + std::to_string(producer) + " belongs to " + at->second + " and to " + owner);
}

bool TransactionChecks::has_successor(const std::string& id, int instance) const {
  const auto found = started_.find(id);
  return found != started_.end() && found->second > instance;
}

bool TransactionChecks::is_initialised(const std::string& id, int instance) const {
  const auto found = initialised_.find(id);
  return found != initialised_.end() && found->second >= instance;
}

bool TransactionChecks::is_zombie(const std::string& id, int instance) const {
  const auto found = initialised_.find(id);
  return found != initialised_.end() && found->second > instance;
}

std::uint64_t TransactionChecks::began(const std::string& id, int instance) {
  transactions_.push_back({id, instance, Outcome::open, false, {}});
  return transactions_.size() - 1;
}

void TransactionChecks::wrote(std::uint64_t transaction, const std::string& value) {
  transactions_[transaction].values.push_back(value);
  transaction_of_[value] = transaction;
}

void TransactionChecks::ending(std::uint64_t transaction, bool commit) {
  transactions_[transaction].outcome = Outcome::ending;
  transactions_[transaction].may_commit |= commit;
}

void TransactionChecks::told(std::uint64_t transaction, bool committed) {
  transactions_[transaction].outcome = committed ? Outcome::committed : Outcome::aborted;
  ++(committed ? committed_ : aborted_);
}

void TransactionChecks::gave_up(std::uint64_t transaction) {
  Transaction& t = transactions_[transaction];
  // Without a word about a commit its successor can only have aborted it.
  if (t.outcome == Outcome::open || t.outcome == Outcome::ending)
    t.outcome = t.may_commit ? Outcome::unknown : Outcome::aborted;
}

bool TransactionChecks::known_committed(const std::string& value) const {
  const auto found = transaction_of_.find(value);
  return found != transaction_of_.end() && transactions_[found->second].outcome == Outcome::committed;
}

void TransactionChecks::read_committed(const std::string& consumer, const std::string& value) {
  const auto found = transaction_of_.find(value);
  if (found == transaction_of_.end()) return;
  const Transaction& t = transactions_[found->second];
  if (t.outcome == Outcome::aborted || !t.may_commit)
    violated_("committed: " + consumer + " was shown " + value + ", whose transaction was " +
              (t.outcome == Outcome::aborted ? "aborted" : "not committed"));
}

void TransactionChecks::transforms(const std::string& group, const Place& place, Offset offset,
                                   const std::string& output) {
  outputs_[group][{place.topic, place.partition}][offset].push_back(output);
}

void TransactionChecks::group_is_at(const std::string& group, const std::map<Place, Offset>& positions) {
  for (const auto& [place, offset] : positions) positions_[group][{place.topic, place.partition}] = offset;
}

// --- the whole history ---

void TransactionChecks::check(const Contents& contents, bool complete) {
  std::map<std::string, int> shown, hidden;
  for (const auto& [place, records] : contents) {
    for (const StoredRecord& record : records) ++(record.aborted ? hidden : shown)[record.value];
  }
  for (std::uint64_t i = 0; i < transactions_.size(); ++i) check_outcome(i, transactions_[i], shown, hidden, complete);
  check_transforms(contents, shown, complete);
}

void TransactionChecks::check_outcome(std::uint64_t number, const Transaction& transaction,
                                      const std::map<std::string, int>& shown, const std::map<std::string, int>& hidden,
                                      bool complete) {
  const std::string name =
      "transaction " + std::to_string(number) + " of " + transaction.id + "/" + std::to_string(transaction.instance);
  std::size_t seen = 0;
  for (const std::string& value : transaction.values) {
    const auto found = shown.find(value);
    if (found == shown.end()) continue;
    ++seen;
    if (found->second > 1) violated_("5: " + value + " of " + name + " stands there more than once");
    if (hidden.contains(value)) violated_("5: " + value + " of " + name + " was aborted and committed");
    if (transaction.outcome == Outcome::aborted)
      violated_("committed: " + value + " is shown, but " + name + " was aborted");
    if (transaction.outcome == Outcome::open)
      violated_("committed: " + value + " is shown, but " + name + " was never ended");
  }
  if (!complete) return;
  const bool all = seen == transaction.values.size();
  if (transaction.outcome == Outcome::committed && !all)
    violated_("1: " + name + " was committed, and " + std::to_string(seen) + " of " +
              std::to_string(transaction.values.size()) + " records are there");
  if (seen > 0 && !all)
    violated_("committed: " + name + " was carried out in part: " + std::to_string(seen) + " of " +
              std::to_string(transaction.values.size()) + " records");
}

// What was read below the group's position was transformed once, and nothing above it was.
void TransactionChecks::check_transforms(const Contents& contents, const std::map<std::string, int>& shown,
                                         bool complete) {
  for (const auto& [group, positions] : positions_) {
    for (const auto& [at, position] : positions) {
      const Place place{at.first, at.second};
      const auto input = contents.find(place);
      if (input == contents.end()) continue;
      for (const StoredRecord& record : input->second) {
        int made = 0;
        for (const std::string& output : outputs_[group][at][record.offset]) made += shown.contains(output) ? 1 : 0;
        const bool wanted = record.offset < position && !record.aborted;
        const std::string text = to_string(place) + " offset " + std::to_string(record.offset) + " (" + record.value +
                                 ") was transformed " + std::to_string(made) + " times by " + group +
                                 ", whose position is " + std::to_string(position);
        if (made > (wanted ? 1 : 0)) violated_("exactly once: " + text);
        if (made == 0 && wanted && complete) violated_("exactly once: " + text);
      }
    }
  }
}

}  // namespace crossover::sim
