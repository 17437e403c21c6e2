#include "proxy/unknown_outcomes.h"

#include <algorithm>

#include "proxy/producer_order.h"

namespace crossover::proxy {

bool UnknownOutcome::settled_by(ProducerEpoch epoch_there, std::int32_t last_sequence_there) const {
  if (writer.producer < 0 || writer.topic.empty()) return false;
  if (epoch_there != epoch) return epoch_there > epoch;
  return at_or_before(last_sequence, last_sequence_there);
}

void UnknownOutcomes::note(UnknownOutcome lost) {
  constexpr std::size_t most = 10'000;
  ++changes_;
  if (by_writer_.size() >= most && !by_writer_.contains(lost.writer)) {
    lost.writer.topic.clear();
    lost.writer.partition = 0;
    lost.writer.producer = -1;
    lost.client_id.clear();
  }
  const auto [found, added] = by_writer_.try_emplace(lost.writer, lost);
  if (added) return;
  UnknownOutcome& known = found->second;
  const bool newer =
      known.epoch != lost.epoch ? known.epoch < lost.epoch : at_or_before(known.last_sequence, lost.last_sequence);
  if (newer) {
    known.epoch = lost.epoch;
    known.last_sequence = lost.last_sequence;
  }
  known.records += lost.records;
  known.at = std::max(known.at, lost.at);
  if (!lost.client_id.empty()) known.client_id = lost.client_id;
}

Millis UnknownOutcome::in_doubt_until(const AnswersSince& answers_since) const {
  const Millis since = answers_since[index_of(writer.cluster)];
  if (since == never) return never;
  return (since > at + request_horizon_ms ? since : at) + request_horizon_ms;
}

void UnknownOutcomes::forget(Millis now, const AnswersSince& answers_since) {
  const std::size_t gone =
      std::erase_if(by_writer_, [&](const auto& e) { return now > e.second.in_doubt_until(answers_since); });
  if (gone > 0) ++changes_;
}

std::vector<UnknownOutcome> UnknownOutcomes::all() const {
  std::vector<UnknownOutcome> all;
  all.reserve(by_writer_.size());
  for (const auto& [writer, lost] : by_writer_) all.push_back(lost);
  return all;
}

}  // namespace crossover::proxy
