// Administration through a session, carried out on two simulated clusters.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/codec.h"
#include "protocol/error_code.h"
#include "protocol/messages.h"
#include "proxy/session.h"
#include "tests/unit/controller_world.h"
#include "tests/unit/fake_session_io.h"

namespace crossover::proxy {
namespace {

using namespace protocol;
using testing::HasSubstr;

constexpr Cluster source = Cluster::source, target = Cluster::target;

struct Administration : testing::Test {
  ControllerWorld world;
  FakeIo io;
  WorkerState worker;
  std::unique_ptr<Session> session;
  // An answer in place of a broker's; an empty one: the connection ends.
  std::function<std::optional<Bytes>(Cluster, ApiKey, Version, BytesView)> instead;
  std::array<int, 2> asked{};  // requests by cluster

  void SetUp() override {
    world.start("p1");
    look();
    session = std::make_unique<Session>(io, worker, SessionOptions{}, world.controller->snapshot(), world.now);
  }

  // The proxy sees what there is on both clusters.
  void look() {
    world.run(3'000);
    if (session) session->on_snapshot(world.controller->snapshot(), world.now);
  }

  template <class Asked, class Answer>
  Answer ask(const Asked& request, Version version) {
    session->on_client_bytes(request_frame(Asked::api, version, 7, "test", encode(request, version)), world.now);
    while (serve_one()) {
    }
    const auto frame = io.to_client.next();
    if (!frame) throw std::logic_error("no answer");
    kept = Bytes(*frame);
    const auto header = parse_response_header(kept, Asked::api, version);
    return decode<Answer>(BytesView(kept).substr(header->body_at), version).value();
  }

  bool serve_one() {
    for (auto& [id, upstream] : io.upstreams) {
      if (upstream.closed) continue;
      const auto frame = upstream.sent.next();
      if (!frame) continue;
      const Bytes request(*frame);
      const RequestHeader header = parse_request_header(request).value();
      const BytesView body = BytesView(request).substr(header.body_at);
      const UpstreamId to = id;
      const Cluster c = upstream.cluster;
      ++asked[index_of(c)];
      auto answer = instead ? instead(c, header.api, header.version, body) : std::nullopt;
      if (!answer) {
        const NodeId node = upstream.node == any_node ? world.cluster(c).brokers().front() : upstream.node;
        answer = world.clients[index_of(c)].ask_raw(node, header.api, header.version, body);
      }
      if (!answer || answer->empty()) {
        upstream.closed = true;
        session->on_upstream_closed(to, world.now);
      } else {
        session->on_upstream_bytes(to, response_frame(header.api, header.version, header.correlation_id, *answer),
                                   world.now);
      }
      return true;
    }
    return false;
  }

  DeleteTopicsResponse remove(std::vector<std::string> names) {
    return ask<DeleteTopicsRequest, DeleteTopicsResponse>({.topic_names = std::move(names)}, 5);
  }
  CreateTopicsResponse create(std::vector<std::pair<std::string, int>> topics, bool validate_only = false,
                              Version version = 7) {
    CreateTopicsRequest request;
    request.validate_only = validate_only;
    for (const auto& [name, partitions] : topics) {
      auto& topic = request.topics.emplace_back();
      topic.name = name;
      topic.num_partitions = partitions;
      topic.replication_factor = 1;
    }
    return ask<CreateTopicsRequest, CreateTopicsResponse>(request, version);
  }
  CreatePartitionsResponse extend(std::vector<std::pair<std::string, int>> topics) {
    CreatePartitionsRequest request;
    for (const auto& [name, count] : topics) {
      auto& topic = request.topics.emplace_back();
      topic.name = name;
      topic.count = count;
      topic.assignments.reset();
    }
    return ask<CreatePartitionsRequest, CreatePartitionsResponse>(request, 3);
  }
  int partitions(Cluster c, const std::string& topic) { return world.cluster(c).partition_count(topic); }
  std::string retention(Cluster c, const std::string& topic) {
    DescribeConfigsRequest request;
    auto& resource = request.resources.emplace_back();
    resource.resource_type = 2;
    resource.resource_name = topic;
    resource.configuration_keys = {"retention.ms"};
    auto& client = world.clients[index_of(c)];
    const auto answer = client.ask<DescribeConfigsResponse>(client.to(1), request, 4).value();
    return answer.results.at(0).configs.at(0).value.value_or("");
  }
  std::string where(const std::string& topic) {
    return std::string(partitions(source, topic) > 0 ? "source" : "") + (partitions(target, topic) > 0 ? "target" : "");
  }
  void make(const std::string& topic, int count = 2) {
    for (const Cluster c : both_clusters) world.cluster(c).create_topic(topic, count);
  }
  static std::vector<std::int16_t> errors(const auto& rows) {
    std::vector<std::int16_t> all;
    for (const auto& row : rows) all.push_back(row.error_code);
    return all;
  }
  using Errors = std::vector<std::int16_t>;

 private:
  Bytes kept;
};

TEST_F(Administration, OfTopicsToDeleteTheMissingOneAloneFails) {
  make("a");
  look();
  const auto answer = remove({"a", "missing"});
  EXPECT_EQ(errors(answer.responses), (Errors{0, 3}));
  EXPECT_EQ(where("a"), "");
}

TEST_F(Administration, ATopicOnOneClusterAloneCanBeDeleted) {
  world.cluster(source).create_topic("here", 1);
  world.cluster(target).create_topic("there", 1);
  look();
  EXPECT_EQ(errors(remove({"here", "there"}).responses), (Errors{0, 0}));
  EXPECT_EQ(where("here") + where("there"), "");
}

TEST_F(Administration, ADeletionThatOneClusterRefusedSaysSoAndCanBeRepeated) {
  make("a");
  make("b");
  look();
  instead = [](Cluster c, ApiKey api, Version version, BytesView body) -> std::optional<Bytes> {
    if (c != target || api != ApiKey::DeleteTopics) return std::nullopt;
    const auto request = decode<DeleteTopicsRequest>(body, version);
    DeleteTopicsResponse refused;
    for (const auto& name : request->topic_names) refused.responses.push_back({.name = name, .error_code = 29});
    return encode(refused, version);
  };
  const auto answer = remove({"a", "b"});
  EXPECT_EQ(errors(answer.responses), (Errors{29, 29}));
  EXPECT_THAT(answer.responses[0].error_message.value(), HasSubstr("refused by the target cluster"));
  EXPECT_THAT(answer.responses[0].error_message.value(), HasSubstr("done on the source cluster"));
  instead = {};
  EXPECT_EQ(errors(remove({"a", "b"}).responses), (Errors{0, 0}));
  EXPECT_EQ(where("a") + where("b"), "");
}

TEST_F(Administration, ADeletionThatOneClusterDidNotAnswerCanBeRepeated) {
  make("a");
  look();
  instead = [](Cluster c, ApiKey, Version, BytesView) { return c == target ? std::optional(Bytes()) : std::nullopt; };
  EXPECT_EQ(errors(remove({"a"}).responses), (Errors{7}));
  instead = {};
  EXPECT_EQ(errors(remove({"a"}).responses), (Errors{0}));
  EXPECT_EQ(where("a"), "");
}

TEST_F(Administration, TopicsAreDeletedByTheirIds) {
  make("known");
  look();
  const Uuid known = session ? world.controller->snapshot()->topic("known")->virtual_id : Uuid{};
  const auto fresh = create({{"fresh", 1}}).topics.at(0);  // the session has not seen it yet
  ASSERT_EQ(fresh.error_code, 0);
  Uuid nobodys;
  nobodys.bytes.fill(9);
  DeleteTopicsRequest request;
  for (const Uuid& id : {known, fresh.topic_id, nobodys}) {
    auto& topic = request.topics.emplace_back();
    topic.name.reset();
    topic.topic_id = id;
  }
  const auto answer = ask<DeleteTopicsRequest, DeleteTopicsResponse>(request, 6);
  EXPECT_EQ(errors(answer.responses), (Errors{0, 0, 100}));
  EXPECT_EQ(answer.responses[0].name, "known");
  EXPECT_EQ(answer.responses[1].name, "fresh");
  EXPECT_EQ(answer.responses[0].topic_id, known);
  EXPECT_EQ(answer.responses[2].topic_id, nobodys);
  EXPECT_EQ(where("known") + where("fresh"), "");
}

TEST_F(Administration, OfTopicsToCreateTheOneThatIsThereAloneFails) {
  make("old");
  look();
  const auto answer = create({{"new", 2}, {"old", 2}});
  EXPECT_EQ(errors(answer.topics), (Errors{0, 36}));
  EXPECT_EQ(answer.topics[0].num_partitions, 2);
  EXPECT_THAT(answer.topics[1].error_message.value(), HasSubstr("nothing was changed on either"));
  EXPECT_EQ(where("new"), "sourcetarget");
}

TEST_F(Administration, ALeftoverWithAsManyPartitionsIsTakenAsItIs) {
  world.cluster(target).create_topic("same", 2);
  world.cluster(target).create_topic("other", 3);
  look();
  EXPECT_EQ(errors(create({{"same", 2}, {"other", 2}}, true).topics), (Errors{0, 36}));
  EXPECT_EQ(where("same"), "target") << "it was only asked whether that would do";
  const auto answer = create({{"same", 2}, {"other", 2}});
  EXPECT_EQ(errors(answer.topics), (Errors{0, 36}));
  EXPECT_EQ(where("same"), "sourcetarget");
  EXPECT_EQ(where("other"), "target");
  EXPECT_THAT(answer.topics[1].error_message.value(), HasSubstr("refused by the target cluster"));
}

TEST_F(Administration, WhatTheOtherClusterDoesNotMakeIsUndoneAtHome) {
  instead = [](Cluster c, ApiKey api, Version version, BytesView body) -> std::optional<Bytes> {
    const auto request = decode<CreateTopicsRequest>(body, version);
    if (c != target || api != ApiKey::CreateTopics || request->validate_only) return std::nullopt;
    CreateTopicsResponse refused;
    for (const auto& topic : request->topics) {
      auto& row = refused.topics.emplace_back();
      row.name = topic.name;
      row.error_code = topic.name == "bad" ? 44 : 0;
    }
    return encode(refused, version);
  };
  const auto answer = create({{"bad", 1}, {"good", 1}});
  EXPECT_EQ(errors(answer.topics), (Errors{44, 0}));
  EXPECT_THAT(answer.topics[0].error_message.value(), HasSubstr("nothing was changed on either"));
  EXPECT_EQ(where("bad"), "");
  EXPECT_EQ(where("good"), "source") << "the made-up answer made nothing";
}

TEST_F(Administration, OfTopicsToExtendTheOneThatIsAsLargeAloneFails) {
  make("a", 2);
  make("b", 4);
  look();
  EXPECT_EQ(errors(extend({{"a", 4}, {"b", 4}}).results), (Errors{0, 37}));
  for (const Cluster c : both_clusters) EXPECT_EQ(partitions(c, "a"), 4);
}

TEST_F(Administration, AnExtensionThatOneClusterTookCanBeRepeated) {
  make("a", 2);
  make("b", 2);
  world.cluster(source).add_partitions("a", 4);
  world.cluster(target).add_partitions("b", 4);
  look();
  EXPECT_EQ(errors(extend({{"a", 4}, {"b", 4}}).results), (Errors{0, 0}));
  for (const Cluster c : both_clusters) EXPECT_EQ(partitions(c, "a") + partitions(c, "b"), 8);
}

TEST_F(Administration, OfConfigsToAlterTheWrongOneAloneFails) {
  make("a");
  make("b");
  look();
  IncrementalAlterConfigsRequest request;
  for (const auto& [topic, config] : {std::pair("a", "retention.ms"), std::pair("b", "no.such.config")}) {
    auto& resource = request.resources.emplace_back();
    resource.resource_type = 2;
    resource.resource_name = topic;
    auto& altered = resource.configs.emplace_back();
    altered.name = config;
    altered.value = "1000";
  }
  const auto answer = ask<IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse>(request, 1);
  ASSERT_EQ(answer.responses.size(), 2u);
  EXPECT_EQ(answer.responses[0].error_code, 0);
  EXPECT_NE(answer.responses[1].error_code, 0);
  for (const Cluster c : both_clusters) EXPECT_EQ(retention(c, "a"), "1000");
}

struct OtherControlTopics : Administration {
  void SetUp() override {
    world.options.control_topic = "xo_state";
    world.options.leases_topic = "xo_leases";
    make("xo_state", 1);
    make("xo_leases", 1);
    make("orders", 1);
    Administration::SetUp();
  }
};

TEST_F(OtherControlTopics, AreNeitherShownNorFlipped) {
  EXPECT_TRUE(world.controller->snapshot()->topic("orders"));
  const auto report = world.flip(target);
  ASSERT_TRUE(report);
  ASSERT_EQ(report->result, "done") << report->error;
  for (const char* name : {"xo_state", "xo_leases"}) {
    EXPECT_FALSE(world.controller->snapshot()->topic(name));
    EXPECT_FALSE(world.fold(target).state().topics.contains(name));
  }
  EXPECT_TRUE(world.cluster(source).partition("xo_leases", 0)->high_watermark > 0) << "heartbeats go there";
}

TEST_F(OtherControlTopics, AreNotTakenFromClients) {
  EXPECT_EQ(errors(remove({"xo_state", "xo_leases"}).responses), (Errors{3, 3}));
  EXPECT_EQ(errors(create({{"xo_state", 1}}).topics), (Errors{17}));
  EXPECT_EQ(errors(extend({{"xo_state", 2}}).results), (Errors{17}));
  DeleteTopicsRequest by_id;
  auto& topic = by_id.topics.emplace_back();
  topic.name.reset();
  topic.topic_id = world.controller->snapshot()->images[0]->topics.at("xo_state").id;
  const auto answer = ask<DeleteTopicsRequest, DeleteTopicsResponse>(by_id, 6);
  EXPECT_EQ(errors(answer.responses), (Errors{100}));
  EXPECT_EQ(where("xo_state"), "sourcetarget");
  EXPECT_EQ(asked, (std::array<int, 2>{}));
}

struct AdministrationOfOldClusters : Administration {
  void SetUp() override {
    for (const Cluster c : both_clusters) {
      sim::ClusterOptions options = world.cluster(c).options();
      options.release = sim::KafkaRelease::v2_8;
      options.versions[ApiKey::CreateTopics] = {0, 7};
      world.clients[index_of(c)] = sim::ClusterClient(options);
    }
    Administration::SetUp();
  }
};

// The first version of the request knows no trial: what is meant as one would be the deed, and then stand in its way.
TEST_F(AdministrationOfOldClusters, ACreationThatCannotBeTriedIsDoneOnce) {
  const auto answer = create({{"made", 2}}, false, 0);
  ASSERT_EQ(answer.topics.size(), 1u);
  EXPECT_EQ(answer.topics[0].error_code, 0);
  for (const Cluster c : both_clusters) EXPECT_EQ(partitions(c, "made"), 2);
}

}  // namespace
}  // namespace crossover::proxy
