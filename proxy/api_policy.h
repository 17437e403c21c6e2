// One row for every API: what the proxy does with it. An API without a row does not compile (-Wswitch is an error).
#pragma once

#include "proxy/cluster.h"

namespace crossover::proxy {

enum class Treatment : std::uint8_t {
  answer_here,       // from the snapshot alone
  find_coordinator,  // asked of the groups' home, answered with virtual brokers
  produce,           // by partition leader; held, tagged, split and merged
  fetch,
  list_offsets,
  offset_for_leader_epoch,
  delete_records,
  describe_producers,
  coordinator,        // forwarded to the groups' home, ids and offsets mapped
  transaction,        // asked of the transactional id's home under the names there
  list_groups,        // each broker answers for its own; brokers of the other cluster have none
  list_transactions,  // each broker answers for its own
  forward,            // to any broker of the groups' home
  configs,            // by resource: topics at their home, brokers by id
  mirror,             // done on both clusters, or refused
  refuse,             // not announced
};

struct ApiPolicy {
  Treatment treatment;
  Version last = 32767;  // versions above are not announced although the table has them
};

constexpr ApiPolicy policy_of(ApiKey api) {
  using enum ApiKey;
  using enum Treatment;
  switch (api) {
    case ApiVersions:
    case Metadata:
    case DescribeCluster:
    case DescribeTopicPartitions:
      return {answer_here};
    case FindCoordinator:
      return {find_coordinator};
    case Produce:
      return {produce};
    case Fetch:
      return {fetch};
    case ListOffsets:
      return {list_offsets};
    case OffsetForLeaderEpoch:
      return {offset_for_leader_epoch};
    case DeleteRecords:
      return {delete_records};
    case DescribeProducers:
      return {describe_producers};
    case OffsetCommit:
    case OffsetFetch:
    case OffsetDelete:
    case JoinGroup:
    case Heartbeat:
    case LeaveGroup:
    case SyncGroup:
    case DescribeGroups:
    case DeleteGroups:
    case ConsumerGroupHeartbeat:
    case ConsumerGroupDescribe:
      return {coordinator};
    case TxnOffsetCommit:
    case AddOffsetsToTxn:
    case EndTxn:
    case DescribeTransactions:
      return {transaction};
    // From version 6 it speaks of two-phase commit, which is off everywhere.
    case InitProducerId:
      return {transaction, 5};
    // From version 4 it is spoken between brokers only.
    case AddPartitionsToTxn:
      return {transaction, 3};
    case ListGroups:
      return {list_groups};
    case ListTransactions:
      return {list_transactions};
    case DescribeAcls:
    case DescribeClientQuotas:
    case DescribeUserScramCredentials:
      return {forward};
    case DescribeConfigs:
    case IncrementalAlterConfigs:
    case AlterConfigs:
      return {configs};
    case CreateTopics:
    case DeleteTopics:
    case CreatePartitions:
    case CreateAcls:
    case DeleteAcls:
    case AlterClientQuotas:
    case AlterUserScramCredentials:
      return {mirror};
    // SASL comes with the security layer; until then listeners are plaintext.
    case SaslHandshake:
    case SaslAuthenticate:
    // A token's secret is one cluster's own.
    case CreateDelegationToken:
    case RenewDelegationToken:
    case ExpireDelegationToken:
    case DescribeDelegationToken:
    // Acts of an operator on real brokers, or between brokers: meaningless for a virtual broker.
    case LeaderAndIsr:
    case StopReplica:
    case UpdateMetadata:
    case ControlledShutdown:
    case WriteTxnMarkers:
    case AlterReplicaLogDirs:
    case DescribeLogDirs:
    case ElectLeaders:
    case AlterPartitionReassignments:
    case ListPartitionReassignments:
    case Vote:
    case BeginQuorumEpoch:
    case EndQuorumEpoch:
    case DescribeQuorum:
    case AlterPartition:
    case UpdateFeatures:
    case Envelope:
    case FetchSnapshot:
    case BrokerRegistration:
    case BrokerHeartbeat:
    case UnregisterBroker:
    case AllocateProducerIds:
    case ControllerRegistration:
    case AssignReplicasToDirs:
    case AddRaftVoter:
    case RemoveRaftVoter:
    case UpdateRaftVoter:
    case UnregisterController:
    // Telemetry names brokers and topics of the real clusters; clients that are not offered it do not push.
    case GetTelemetrySubscriptions:
    case PushTelemetry:
    case ListConfigResources:
    // Share and Streams groups: their state cannot be carried yet, so they are not announced.
    case ShareGroupHeartbeat:
    case ShareGroupDescribe:
    case ShareFetch:
    case ShareAcknowledge:
    case InitializeShareGroupState:
    case ReadShareGroupState:
    case WriteShareGroupState:
    case DeleteShareGroupState:
    case ReadShareGroupStateSummary:
    case StreamsGroupHeartbeat:
    case StreamsGroupDescribe:
    case DescribeShareGroupOffsets:
    case AlterShareGroupOffsets:
    case DeleteShareGroupOffsets:
    case StreamsGroupTopologyDescriptionUpdate:
      return {refuse};
  }
  return {Treatment::refuse};
}

// What to announce: for APIs answered here the proxy's own range; for others what both clusters and the proxy speak.
// A cluster whose versions are not known yet does not narrow the range.
std::map<ApiKey, VersionRange> announced_versions(const ClusterVersions& source, const ClusterVersions& target);

}  // namespace crossover::proxy
