#include <gtest/gtest.h>

#include "tests/sim/cluster_client.h"

namespace crossover::sim {
namespace {

using protocol::ApiVersionsRequest;
using protocol::ApiVersionsResponse;
using protocol::DescribeClusterRequest;
using protocol::DescribeClusterResponse;
using protocol::DescribeTopicPartitionsRequest;
using protocol::DescribeTopicPartitionsResponse;
using protocol::FindCoordinatorRequest;
using protocol::FindCoordinatorResponse;
using protocol::ListTransactionsRequest;
using protocol::ListTransactionsResponse;
using protocol::MetadataRequest;
using protocol::MetadataResponse;

class SimMetadata : public testing::Test {
 protected:
  SimMetadata() : client(ClusterOptions{.cluster_id = "c", .first_leader_epoch = 4}) {
    client.cluster.create_topic("a", 2);
    client.cluster.create_topic("b", 3);
  }

  MetadataResponse ask(const MetadataRequest& request, protocol::Version version) {
    return client.ask<MetadataResponse>(client.to(1), request, version).value();
  }

  static MetadataRequest all() {
    MetadataRequest request;
    request.topics.reset();
    return request;
  }

  static MetadataRequest named(const std::string& name) {
    MetadataRequest request;
    request.topics.emplace(1);
    request.topics->front().name = name;
    return request;
  }

  ClusterClient client;
};

TEST_F(SimMetadata, AllTopicsInEveryVersion) {
  for (protocol::Version version = 1; version <= 13; ++version) {
    MetadataResponse response = ask(all(), version);
    ASSERT_EQ(response.topics.size(), 2u) << version;
    EXPECT_EQ(response.brokers.size(), 3u) << version;
    EXPECT_EQ(response.topics[1].name, "b") << version;
    ASSERT_EQ(response.topics[1].partitions.size(), 3u) << version;
    EXPECT_EQ(response.topics[1].partitions[0].leader_epoch, version >= 7 ? 4 : -1) << version;
  }
  MetadataRequest none;
  none.topics.emplace();
  EXPECT_EQ(ask(none, 0).topics.size(), 2u);
  EXPECT_EQ(ask(none, 12).topics.size(), 0u);
}

TEST_F(SimMetadata, ByNameAndById) {
  EXPECT_EQ(ask(named("a"), 12).topics.at(0).topic_id, client.cluster.topic_id("a"));
  EXPECT_EQ(ask(named("zzz"), 12).topics.at(0).error_code, 3);
  EXPECT_EQ(ask(named("no such name"), 12).topics.at(0).error_code, 17);
  MetadataRequest by_id = named("");
  by_id.topics->front().name.reset();
  by_id.topics->front().topic_id = *client.cluster.topic_id("b");
  EXPECT_EQ(ask(by_id, 12).topics.at(0).name, "b");
  by_id.topics->front().topic_id.bytes[3] ^= 1;
  EXPECT_EQ(ask(by_id, 12).topics.at(0).error_code, 100);
  EXPECT_EQ(client.cluster.topics().size(), 2u);
}

TEST_F(SimMetadata, AutoCreationWhenItIsOn) {
  ClusterClient creating(ClusterOptions{.auto_create_topics = true});
  auto first = creating.ask<MetadataResponse>(creating.to(1), named("new"), 9);
  EXPECT_EQ(first->topics.at(0).error_code, 5);
  auto second = creating.ask<MetadataResponse>(creating.to(1), named("new"), 9);
  EXPECT_EQ(second->topics.at(0).error_code, 0);
  MetadataRequest unwilling = named("newer");
  unwilling.allow_auto_topic_creation = false;
  EXPECT_EQ(creating.ask<MetadataResponse>(creating.to(1), unwilling, 9)->topics.at(0).error_code, 3);
}

TEST_F(SimMetadata, AStoppedBrokerLosesItsLeadershipsAndConnections) {
  PartitionView before = *client.cluster.partition("b", 0);
  NodeId stopped = before.leader;
  NodeId other = stopped == 1 ? 2 : 1;
  ConnectionId doomed = client.to(stopped);
  client.cluster.stop_broker(stopped);
  EXPECT_TRUE(client.closed(doomed));
  EXPECT_FALSE(client.cluster.connect(stopped).has_value());
  auto response = client.ask<MetadataResponse>(client.to(other), named("b"), 9).value();
  EXPECT_EQ(response.brokers.size(), 2u);
  auto& partition = response.topics.at(0).partitions.at(0);
  EXPECT_NE(partition.leader_id, stopped);
  EXPECT_EQ(partition.leader_epoch, before.leader_epoch + 1);
  EXPECT_EQ(partition.offline_replicas, std::vector<NodeId>{stopped});
  EXPECT_EQ(partition.isr_nodes.size(), 2u);
  for (NodeId id : {1, 2, 3}) client.cluster.stop_broker(id);
  EXPECT_EQ(client.cluster.partition("b", 0)->leader, -1);
  client.cluster.start_broker(other);
  EXPECT_EQ(client.cluster.partition("b", 0)->leader, other);
}

TEST_F(SimMetadata, BrokersComeAndGo) {
  client.cluster.add_broker(9, "nine", 9);
  EXPECT_EQ(ask(named("a"), 9).brokers.size(), 4u);
  client.cluster.remove_broker(2);
  auto response = ask(named("a"), 9);
  ASSERT_EQ(response.brokers.size(), 3u);
  EXPECT_EQ(response.brokers[2].host, "nine");
  for (const auto& partition : response.topics.at(0).partitions) {
    EXPECT_EQ(std::count(partition.replica_nodes.begin(), partition.replica_nodes.end(), 2), 0);
    EXPECT_NE(partition.leader_id, 2);
  }
}

TEST_F(SimMetadata, DescribeClusterNamesTheBrokers) {
  DescribeClusterRequest request;
  auto response = client.ask<DescribeClusterResponse>(client.to(2), request, 1).value();
  EXPECT_EQ(response.cluster_id, "c");
  EXPECT_EQ(response.brokers.size(), 3u);
  EXPECT_EQ(response.controller_id, 1);
  request.endpoint_type = 2;
  EXPECT_EQ(client.ask<DescribeClusterResponse>(client.to(2), request, 1)->error_code, 114);
}

TEST_F(SimMetadata, TopicPartitionsComeInPages) {
  DescribeTopicPartitionsRequest request;
  request.cursor.reset();
  request.response_partition_limit = 4;
  auto first = client.ask<DescribeTopicPartitionsResponse>(client.to(1), request, 0).value();
  ASSERT_EQ(first.topics.size(), 2u);
  EXPECT_EQ(first.topics[1].partitions.size(), 2u);
  ASSERT_TRUE(first.next_cursor.has_value());
  EXPECT_EQ(first.next_cursor->topic_name, "b");
  EXPECT_EQ(first.next_cursor->partition_index, 2);
  request.cursor = {.topic_name = "b", .partition_index = 2};
  auto rest = client.ask<DescribeTopicPartitionsResponse>(client.to(1), request, 0).value();
  ASSERT_EQ(rest.topics.size(), 1u);
  EXPECT_EQ(rest.topics[0].partitions.at(0).partition_index, 2);
  EXPECT_FALSE(rest.next_cursor.has_value());
}

TEST_F(SimMetadata, ApiVersionsAnswersNewerOnesInVersionZero) {
  auto response = client.ask<ApiVersionsResponse>(client.to(1), ApiVersionsRequest{}, 3).value();
  std::map<std::int16_t, protocol::VersionRange> shown;
  for (const auto& row : response.api_keys) shown[row.api_key] = {row.min_version, row.max_version};
  EXPECT_EQ(shown.at(0), (protocol::VersionRange{0, 13}));
  EXPECT_EQ(shown.at(1), (protocol::VersionRange{4, 18}));
  EXPECT_EQ(shown.at(18), (protocol::VersionRange{0, 5}));

  ClusterClient old(ClusterOptions{.release = KafkaRelease::v2_8});
  old.send(old.to(1), ApiVersionsRequest{}, 4);
  auto refused = old.receive<ApiVersionsResponse>(old.to(1), 0);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->error_code, 35);
  EXPECT_EQ(refused->api_keys.at(0).max_version, 3);
}

TEST_F(SimMetadata, ApiVersionsSendsMistakenClientsBack) {
  ApiVersionsRequest request;
  request.cluster_id = "c";
  request.node_id = 1;
  auto ask = [&] { return client.ask<ApiVersionsResponse>(client.to(1), request, 5)->error_code; };
  EXPECT_EQ(ask(), 0);
  request.node_id = 2;
  EXPECT_EQ(ask(), 129);
  request.node_id = -1;
  request.cluster_id = "d";
  EXPECT_EQ(ask(), 129);
}

TEST_F(SimMetadata, UnknownApisAndGarbageCloseTheConnection) {
  for (BytesView frame : {BytesView("\x00\x04\x00\x00\x00\x00\x00\x01\xff\xff", 10), BytesView("\x00", 1),
                          BytesView("\x00\x03\x00\x0c\x00\x00\x00\x01\xff\xff\x00garbage", 18)}) {
    ConnectionId connection = *client.cluster.connect(1);
    client.cluster.request(connection, frame, 0);
    EXPECT_TRUE(client.closed(connection));
  }
}

TEST_F(SimMetadata, BytesBehindARequestAreIgnored) {
  // What librdkafka 2.16 sends for list_topics: a null array, false, false, no tags, and three bytes more.
  ConnectionId connection = client.to(1);
  Bytes frame = protocol::request_frame(ApiKey::Metadata, 13, 1, "rdkafka", BytesView("\0\0\0\0\1\0\0", 7));
  client.cluster.request(connection, BytesView(frame).substr(4), 0);
  auto response = client.receive<MetadataResponse>(connection, 13);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->topics.size(), 2u);
}

TEST_F(SimMetadata, HiddenApisAreNotServed) {
  ClusterOptions options;
  options.versions[ApiKey::DescribeCluster] = {};
  ClusterClient narrow(options);
  ConnectionId connection = narrow.to(1);
  narrow.send(connection, DescribeClusterRequest{}, 0);
  EXPECT_TRUE(narrow.closed(connection));
}

TEST_F(SimMetadata, OneCoordinatorPerGroupAndItMovesOnlyWithItsBroker) {
  FindCoordinatorRequest request;
  for (int i = 0; i < 40; ++i) request.coordinator_keys.push_back("group-" + std::to_string(i));
  std::map<NodeId, int> load;
  const auto coordinators = client.ask<FindCoordinatorResponse>(client.to(2), request, 4)->coordinators;
  for (const auto& found : coordinators) {
    EXPECT_EQ(found.error_code, 0);
    ++load[found.node_id];
  }
  EXPECT_EQ(load.size(), 3u);
  std::map<std::string, NodeId> before;
  for (const auto& key : request.coordinator_keys) before[key] = client.cluster.coordinator(key);
  client.cluster.stop_broker(3);
  for (const auto& [key, node] : before) {
    NodeId after = client.cluster.coordinator(key);
    EXPECT_TRUE(node == 3 ? after != 3 : after == node) << key;
  }
  request.key = "group-1";
  auto old = client.ask<FindCoordinatorResponse>(client.to(2), request, 2);
  EXPECT_EQ(old->node_id, client.cluster.coordinator("group-1"));
  EXPECT_EQ(old->host, client.cluster.address(old->node_id)->first);
}

TEST_F(SimMetadata, ListTransactionsShowsWhatTheBrokerCoordinates) {
  client.cluster.add_transactional_id("tx", 77, "Ongoing");
  NodeId home = client.cluster.transaction_coordinator("tx");
  for (NodeId id : {1, 2, 3}) {
    auto response = client.ask<ListTransactionsResponse>(client.to(id), ListTransactionsRequest{}, 1);
    EXPECT_EQ(response->transaction_states.size(), id == home ? 1u : 0u);
  }
}

}  // namespace
}  // namespace crossover::sim
