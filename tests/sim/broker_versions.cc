#include "tests/sim/broker_versions.h"

namespace crossover::sim {

namespace {

using protocol::Version;
using protocol::VersionRange;

// Oldest version served, then the newest of each release; -1 where the release lacks the API. Message sets older than
// v2 batches are not kept here, so Produce and Fetch start where those ended.
struct Row {
  ApiKey api;
  Version first;
  Version v2_8, v3_9, v4_4;
};

constexpr Row rows[] = {
    {ApiKey::Produce, 0, 9, 11, 13},
    {ApiKey::Fetch, 4, 12, 17, 18},
    {ApiKey::ListOffsets, 1, 6, 9, 11},
    {ApiKey::Metadata, 0, 11, 12, 13},
    {ApiKey::OffsetCommit, 2, 8, 9, 10},
    {ApiKey::OffsetFetch, 1, 7, 9, 10},
    {ApiKey::FindCoordinator, 0, 3, 6, 6},
    {ApiKey::JoinGroup, 0, 7, 9, 9},
    {ApiKey::Heartbeat, 0, 4, 4, 4},
    {ApiKey::LeaveGroup, 0, 4, 5, 5},
    {ApiKey::SyncGroup, 0, 5, 5, 5},
    {ApiKey::DescribeGroups, 0, 5, 5, 6},
    {ApiKey::ListGroups, 0, 4, 5, 5},
    {ApiKey::ApiVersions, 0, 3, 4, 5},
    {ApiKey::CreateTopics, 2, 7, 7, 7},
    {ApiKey::DeleteTopics, 1, 6, 6, 6},
    {ApiKey::DeleteRecords, 0, 2, 2, 2},
    {ApiKey::InitProducerId, 0, 4, 5, 5},
    {ApiKey::OffsetForLeaderEpoch, 2, 4, 4, 4},
    {ApiKey::AddPartitionsToTxn, 0, 3, 5, 5},
    {ApiKey::AddOffsetsToTxn, 0, 3, 4, 4},
    {ApiKey::EndTxn, 0, 3, 4, 5},
    {ApiKey::TxnOffsetCommit, 0, 3, 4, 6},
    {ApiKey::DescribeConfigs, 1, 4, 4, 4},
    {ApiKey::AlterConfigs, 0, 2, 2, 2},
    {ApiKey::CreatePartitions, 0, 3, 3, 3},
    {ApiKey::DeleteGroups, 0, 2, 2, 3},
    {ApiKey::IncrementalAlterConfigs, 0, 1, 1, 1},
    {ApiKey::OffsetDelete, 0, 0, 0, 0},
    {ApiKey::DescribeCluster, 0, 0, 1, 2},
    {ApiKey::DescribeProducers, 0, 0, 0, 0},
    {ApiKey::DescribeTransactions, 0, -1, 0, 0},
    {ApiKey::ListTransactions, 0, -1, 1, 2},
    {ApiKey::DescribeTopicPartitions, 0, -1, 0, 0},
};

Version newest(const Row& row, KafkaRelease release) {
  switch (release) {
    case KafkaRelease::v2_8:
      return row.v2_8;
    case KafkaRelease::v3_9:
      return row.v3_9;
    case KafkaRelease::v4_4:
      break;
  }
  return row.v4_4;
}

}  // namespace

std::map<ApiKey, VersionRange> shown_versions(const ClusterOptions& options) {
  std::map<ApiKey, VersionRange> versions;
  for (const Row& row : rows) versions[row.api] = {row.first, newest(row, options.release)};
  for (const auto& [api, range] : options.versions) versions[api] = range;
  std::erase_if(versions, [](const auto& item) { return item.second.empty(); });
  return versions;
}

bool served(ApiKey api, Version version, const std::map<ApiKey, VersionRange>& shown) {
  if (api == ApiKey::Produce && version < 3) return false;
  auto found = shown.find(api);
  return found != shown.end() && found->second.contains(version);
}

}  // namespace crossover::sim
