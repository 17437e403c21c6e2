#include "tests/sim/clients_reading.h"

#include <algorithm>

#include "tests/sim/broker_records.h"

namespace crossover::sim {

CommittedFilter::CommittedFilter(const protocol::FetchResponse::PartitionData& data) {
  if (data.aborted_transactions) aborted_ = *data.aborted_transactions;
  std::sort(aborted_.begin(), aborted_.end(),
            [](const auto& a, const auto& b) { return a.first_offset > b.first_offset; });
}

bool CommittedFilter::shows(const StoredBatch& batch) {
  while (!aborted_.empty() && aborted_.back().first_offset <= batch.header.last_offset()) {
    aborting_.insert(aborted_.back().producer_id);
    aborted_.pop_back();
  }
  const auto marker = read_end_marker(batch);
  if (marker && !marker->committed) aborting_.erase(batch.header.producer_id);
  if (batch.header.is_control()) return false;
  return !batch.header.is_transactional() || !aborting_.contains(batch.header.producer_id);
}

CommittedRecords committed_records(const protocol::FetchResponse::PartitionData& data, Offset from) {
  CommittedRecords found{{}, from};
  CommittedFilter filter(data);
  protocol::BatchCursor cursor{data.records.value_or("")};
  for (; cursor.load(); cursor.advance()) {
    const StoredBatch batch{cursor.header, Bytes(cursor.records.substr(cursor.at, cursor.header.total_bytes()))};
    const auto records = records_of(batch);
    if (filter.shows(batch) && records) {
      for (const LogRecord& record : *records) {
        const Offset offset = batch.header.base_offset + record.offset_delta;
        if (offset >= from) found.records.emplace_back(offset, std::string(record.value.value_or("")));
      }
    }
    found.next = std::max(found.next, batch.header.last_offset() + 1);
  }
  return found;
}

}  // namespace crossover::sim
