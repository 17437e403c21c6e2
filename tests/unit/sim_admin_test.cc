#include <gtest/gtest.h>

#include "tests/sim/cluster_client.h"

namespace crossover::sim {
namespace {

using protocol::AlterConfigsRequest;
using protocol::AlterConfigsResponse;
using protocol::CreatePartitionsRequest;
using protocol::CreatePartitionsResponse;
using protocol::CreateTopicsRequest;
using protocol::CreateTopicsResponse;
using protocol::DeleteTopicsRequest;
using protocol::DeleteTopicsResponse;
using protocol::DescribeConfigsRequest;
using protocol::DescribeConfigsResponse;
using protocol::IncrementalAlterConfigsRequest;
using protocol::IncrementalAlterConfigsResponse;

class SimAdmin : public testing::Test {
 protected:
  SimAdmin() : client(ClusterOptions{.first_leader_epoch = 2}) {}

  CreateTopicsResponse::CreatableTopicResult create(const CreateTopicsRequest::CreatableTopic& topic,
                                                    bool validate_only = false, NodeId node = 2) {
    CreateTopicsRequest request;
    request.topics = {topic};
    request.validate_only = validate_only;
    return client.ask<CreateTopicsResponse>(client.to(node), request, 7).value().topics.at(0);
  }

  static CreateTopicsRequest::CreatableTopic topic_of(const std::string& name, std::int32_t partitions = -1,
                                                      std::int16_t factor = -1) {
    CreateTopicsRequest::CreatableTopic topic;
    topic.name = name;
    topic.num_partitions = partitions;
    topic.replication_factor = factor;
    return topic;
  }

  std::map<std::string, std::string> configs(std::int8_t type, const std::string& name, NodeId node = 1) {
    DescribeConfigsRequest request;
    request.resources.resize(1);
    request.resources[0].resource_type = type;
    request.resources[0].resource_name = name;
    request.resources[0].configuration_keys.reset();
    std::map<std::string, std::string> found;
    auto result = client.ask<DescribeConfigsResponse>(client.to(node), request, 4).value().results.at(0);
    last_error = result.error_code;
    for (const auto& row : result.configs) found[row.name] = row.value.value_or("");
    return found;
  }

  std::int16_t alter(const std::string& topic, const std::string& name, std::int8_t operation,
                     const std::optional<std::string>& value) {
    IncrementalAlterConfigsRequest request;
    request.resources.resize(1);
    request.resources[0].resource_type = 2;
    request.resources[0].resource_name = topic;
    request.resources[0].configs = {{name, operation, value}};
    auto response = client.ask<IncrementalAlterConfigsResponse>(client.to(1), request, 1);
    return response.value().responses.at(0).error_code;
  }

  ClusterClient client;
  std::int16_t last_error = 0;
};

TEST_F(SimAdmin, CreatesTopics) {
  auto topic = topic_of("t", 5, 2);
  topic.configs = {{"retention.ms", "1000"}};
  auto result = create(topic);
  EXPECT_EQ(result.error_code, 0);
  EXPECT_EQ(result.topic_id, client.cluster.topic_id("t"));
  EXPECT_EQ(result.num_partitions, 5);
  EXPECT_EQ(client.cluster.partition_count("t"), 5);
  std::map<NodeId, int> leaders;
  for (int i = 0; i < 5; ++i) {
    auto view = *client.cluster.partition("t", i);
    EXPECT_EQ(view.replicas.size(), 2u);
    EXPECT_EQ(view.leader_epoch, 2);
    ++leaders[view.leader];
  }
  EXPECT_EQ(leaders.size(), 3u);
  EXPECT_EQ(configs(2, "t").at("retention.ms"), "1000");
  EXPECT_EQ(configs(2, "t").at("cleanup.policy"), "delete");
}

TEST_F(SimAdmin, RefusesWhatKafkaRefuses) {
  EXPECT_EQ(create(topic_of("t")).error_code, 0);
  EXPECT_EQ(create(topic_of("t")).error_code, 36);
  EXPECT_EQ(create(topic_of("a b")).error_code, 17);
  EXPECT_EQ(create(topic_of("none", 0)).error_code, 37);
  EXPECT_EQ(create(topic_of("wide", 1, 4)).error_code, 38);
  auto odd = topic_of("odd");
  odd.configs = {{"no.such.config", "1"}};
  EXPECT_EQ(create(odd).error_code, 40);
  EXPECT_EQ(create(topic_of("only-checked"), true).error_code, 0);
  EXPECT_EQ(client.cluster.topics(), std::vector<std::string>{"t"});
}

TEST_F(SimAdmin, PlacesReplicasAsAsked) {
  auto topic = topic_of("t");
  topic.assignments = {{0, {3, 1}}, {1, {2, 3}}};
  EXPECT_EQ(create(topic).error_code, 0);
  EXPECT_EQ(client.cluster.partition("t", 0)->leader, 3);
  EXPECT_EQ(client.cluster.partition("t", 1)->replicas, (std::vector<NodeId>{2, 3}));
  topic.name = "u";
  topic.assignments = {{0, {3, 9}}};
  EXPECT_EQ(create(topic).error_code, 39);
  EXPECT_EQ(client.cluster.partition_count("u"), 0);
}

TEST_F(SimAdmin, WithZooKeeperOnlyTheControllerCreates) {
  ClusterClient old(ClusterOptions{.release = KafkaRelease::v2_8, .zookeeper_mode = true});
  CreateTopicsRequest request;
  request.topics = {topic_of("t", 1, 1)};
  auto ask = [&](NodeId node) {
    return old.ask<CreateTopicsResponse>(old.to(node), request, 5).value().topics.at(0).error_code;
  };
  EXPECT_EQ(ask(2), 41);
  EXPECT_EQ(ask(1), 0);
}

TEST_F(SimAdmin, DeletesByNameAndId) {
  create(topic_of("a"));
  create(topic_of("b"));
  DeleteTopicsRequest by_name;
  by_name.topic_names = {"a", "none"};
  auto first = client.ask<DeleteTopicsResponse>(client.to(1), by_name, 5).value().responses;
  EXPECT_EQ(first.at(0).error_code, 0);
  EXPECT_EQ(first.at(1).error_code, 3);
  DeleteTopicsRequest by_id;
  by_id.topics.resize(2);
  by_id.topics[0].topic_id = *client.cluster.topic_id("b");
  by_id.topics[1].topic_id.bytes[0] = 1;
  auto second = client.ask<DeleteTopicsResponse>(client.to(1), by_id, 6).value().responses;
  EXPECT_EQ(second.at(0).name, "b");
  EXPECT_EQ(second.at(0).error_code, 0);
  EXPECT_EQ(second.at(1).error_code, 100);
  EXPECT_TRUE(client.cluster.topics().empty());
}

TEST_F(SimAdmin, ARecreatedTopicHasAnotherId) {
  create(topic_of("t"));
  Uuid before = *client.cluster.topic_id("t");
  client.cluster.delete_topic("t");
  create(topic_of("t"));
  EXPECT_NE(client.cluster.topic_id("t"), before);
}

TEST_F(SimAdmin, PartitionsOnlyGrow) {
  create(topic_of("t", 2));
  auto grow = [&](const std::string& name, std::int32_t count) {
    CreatePartitionsRequest request;
    request.topics.resize(1);
    request.topics[0].name = name;
    request.topics[0].count = count;
    return client.ask<CreatePartitionsResponse>(client.to(1), request, 3).value().results.at(0).error_code;
  };
  EXPECT_EQ(grow("t", 2), 37);
  EXPECT_EQ(grow("none", 3), 3);
  EXPECT_EQ(grow("t", 4), 0);
  EXPECT_EQ(client.cluster.partition_count("t"), 4);
  EXPECT_EQ(client.cluster.partition("t", 3)->replicas.size(), 3u);
}

TEST_F(SimAdmin, AltersConfigs) {
  create(topic_of("t"));
  EXPECT_EQ(alter("t", "retention.ms", 0, "5"), 0);
  EXPECT_EQ(configs(2, "t").at("retention.ms"), "5");
  EXPECT_EQ(alter("t", "cleanup.policy", 2, "compact"), 0);
  EXPECT_EQ(configs(2, "t").at("cleanup.policy"), "delete,compact");
  EXPECT_EQ(alter("t", "cleanup.policy", 3, "delete"), 0);
  EXPECT_EQ(configs(2, "t").at("cleanup.policy"), "compact");
  EXPECT_EQ(alter("t", "retention.ms", 1, std::nullopt), 0);
  EXPECT_EQ(configs(2, "t").at("retention.ms"), "604800000");
  EXPECT_EQ(alter("t", "no.such.config", 0, "1"), 40);
  EXPECT_EQ(alter("none", "retention.ms", 0, "1"), 3);
}

TEST_F(SimAdmin, AlterConfigsReplacesAll) {
  create(topic_of("t"));
  alter("t", "retention.ms", 0, "5");
  AlterConfigsRequest request;
  request.resources.resize(1);
  request.resources[0].resource_type = 2;
  request.resources[0].resource_name = "t";
  request.resources[0].configs = {{"segment.ms", "7"}};
  EXPECT_EQ(client.ask<AlterConfigsResponse>(client.to(1), request, 1)->responses.at(0).error_code, 0);
  EXPECT_EQ(configs(2, "t").at("segment.ms"), "7");
  EXPECT_EQ(configs(2, "t").at("retention.ms"), "604800000");
}

TEST_F(SimAdmin, ABrokerDescribesItselfOnly) {
  EXPECT_EQ(configs(4, "2", 2).at("node.id"), "2");
  EXPECT_EQ(configs(4, "2", 1).size(), 0u);
  EXPECT_EQ(last_error, 42);
}

TEST_F(SimAdmin, TheSameSeedMakesTheSameIds) {
  Cluster one(ClusterOptions{.seed = 5});
  Cluster two(ClusterOptions{.seed = 5});
  Cluster other(ClusterOptions{.seed = 6});
  for (Cluster* cluster : {&one, &two, &other}) cluster->create_topic("t", 1);
  EXPECT_EQ(one.topic_id("t"), two.topic_id("t"));
  EXPECT_NE(one.topic_id("t"), other.topic_id("t"));
}

}  // namespace
}  // namespace crossover::sim
