// What consumers that read committed records make of a Fetch answer.
#pragma once

#include <set>

#include "protocol/messages.h"
#include "tests/sim/broker_log.h"

namespace crossover::sim {

// Leaves out aborted records by the answer's list of aborted transactions, and control batches (CompletedFetch).
class CommittedFilter {
 public:
  explicit CommittedFilter(const protocol::FetchResponse::PartitionData& data);
  // Batches have to come in the order of the log.
  bool shows(const StoredBatch& batch);

 private:
  std::vector<protocol::FetchResponse::AbortedTransaction> aborted_;  // by first offset, last one first
  std::set<ProducerId> aborting_;
};

struct CommittedRecords {
  std::vector<std::pair<Offset, std::string>> records;  // their values
  Offset next = 0;                                      // where to go on
};
CommittedRecords committed_records(const protocol::FetchResponse::PartitionData& data, Offset from);

}  // namespace crossover::sim
