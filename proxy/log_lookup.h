// Questions that handlers put to a cluster's log on the side.
#pragma once

#include "protocol/record_batch.h"
#include "proxy/session_core.h"

namespace crossover::proxy {

// The virtual offset of a batch that landed in the segment of that generation, or in an earlier one while later batches
// of its producer went on, found by reading their tails backwards; -1 when it is not there any more (retention),
// nullopt when that is not known now: the cluster does not answer, refuses to be read, or does not show all of the
// segment yet.
Task<std::optional<Offset>> find_landed_batch(SessionCore& core, const Request& origin, std::string topic,
                                              PartitionIndex partition, VirtualLog log, protocol::BatchHeader batch,
                                              std::int32_t generation);

// What a leader knows of a producer (DescribeProducers).
struct LeaderView {
  bool answered = false;
  std::optional<ProducerEntry> producer;  // generation unset
};
Task<LeaderView> ask_leader(SessionCore& core, const Request& origin, std::string topic, PartitionIndex partition,
                            std::pair<Cluster, NodeId> at, ProducerId wire_id);

struct RealOffset {
  std::int16_t error = 0;
  Offset offset = -1;
  std::int64_t timestamp = -1;
  LeaderEpoch leader_epoch = -1;
};
// What an answer to ListOffsets says of how far a log reaches.
void note_listed(SessionCore& core, const std::string& topic, PartitionIndex partition, Cluster cluster,
                 std::int64_t timestamp, Offset offset);
// ListOffsets of one partition on one cluster, at its leader, in that cluster's own terms.
Task<RealOffset> list_real_offset(SessionCore& core, const Request& origin, std::string topic, PartitionIndex partition,
                                  Cluster cluster, std::int64_t timestamp, std::int8_t isolation);

// The highest of the versions wanted that the cluster speaks; nullopt when it speaks none of them.
std::optional<Version> version_for(const Snapshot& snapshot, Cluster cluster, ApiKey api, VersionRange wanted);

}  // namespace crossover::proxy
