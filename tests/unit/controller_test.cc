// The controller as scripts: what it reads, what clusters answer, what it writes then.
#include "proxy/controller.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "proxy/control_state.h"
#include "proxy/session.h"
#include "tests/unit/controller_world.h"

namespace crossover::proxy {
namespace {

constexpr Cluster source = Cluster::source, target = Cluster::target;
using control_record::Chain;

// Both clusters hold the topic, and a proxy has served them.
struct TwoClusters : testing::Test {
  void SetUp() override {
    for (const Cluster c : both_clusters) world.cluster(c).create_topic("orders", 2);
    world.start("p1");
    world.run(3'000);
  }

  ControllerWorld world;
};

TEST_F(TwoClusters, AFlipStandsInBothControlTopics) {
  ASSERT_TRUE(world.controller->ready());
  const std::optional<FlipReport> report = world.flip(target);
  ASSERT_TRUE(report);
  ASSERT_EQ(report->result, "done") << report->error;
  for (const Cluster c : both_clusters) {
    EXPECT_EQ(world.fold(c).state().routes.at(default_route).home, target);
    EXPECT_EQ(world.fold(c).state().real_cluster_ids[index_of(c)], index_of(c) ? "target-id" : "source-id");
  }
  EXPECT_EQ(world.said("flip_done", "generation"), "1");
  EXPECT_EQ(world.said("flip_done", "hold_ms_max"), "0");
}

TEST_F(TwoClusters, ARecordOfADeadProcessThatArrivesLateCountsForNothing) {
  // Written by the dead process against what it had read; on its way while its successor starts.
  const ControlLog before = world.fold(source);
  RouteState closed = before.state().routes.at(default_route);
  closed.home = target;
  closed.generation += 1;
  closed.opened = false;
  const Chain chain{"p1/late", before.last_accepted(), "p1"};
  const Bytes late = control_record::close(chain, closed, "p1/parts", 0);

  world.start("p2");
  world.run(1'000);
  ASSERT_TRUE(world.controller->ready());
  world.write(source, late);
  EXPECT_EQ(world.fold(source).outcome("p1/late"), false);
  EXPECT_EQ(world.controller->routes().at(0).view.home, source);
}

TEST_F(TwoClusters, NothingIsServedBeforeTheControlTopicTookARecord) {
  world.drop_appends = true;
  world.start("p2");
  world.run(1'000);
  EXPECT_FALSE(world.controller->ready());
  world.drop_appends = false;
  world.run(5'000);
  EXPECT_TRUE(world.controller->ready());
}

// Where nothing was read every route seems to be at the source.
TEST_F(TwoClusters, WhoHasNotReadTheLogsDoesNotSayThatARouteIsThere) {
  ASSERT_EQ(world.flip(target)->result, "done");
  const auto silent = [](Cluster, NodeId, ApiKey, Version, BytesView) { return std::optional(Bytes("?")); };
  world.instead = silent;
  world.control_unread = true;
  world.start("p2");
  world.run(1'000);
  for (const bool dry_run : {true, false}) {
    const auto report = world.flip(source, dry_run);
    ASSERT_TRUE(report);
    EXPECT_EQ(report->result, "failed");
    EXPECT_NE(report->error.find("control topic of the source cluster was not read"), std::string::npos);
    EXPECT_NE(report->error.find("no broker of the source cluster answers"), std::string::npos) << report->error;
  }
  world.instead = {};
  world.control_unread = false;
  world.start("p2");
  world.run(8'000);
  EXPECT_EQ(world.flip(target)->result, "unchanged");
}

TEST_F(TwoClusters, SwappedClustersAreRefused) {
  std::swap(world.clients[0], world.clients[1]);
  const auto written = world.control;
  world.start("p2");
  world.run(3'000);
  EXPECT_TRUE(world.logged("wrong_clusters"));
  EXPECT_FALSE(world.controller->ready());
  EXPECT_EQ(world.control, written);
}

// Ids are even on source and odd on target, so three brokers on each need six ports.
TEST(Controller, ABrokerForWhichNoPortIsLeftIsSaidAndFlipsAreRefused) {
  ControllerWorld world;
  world.options.port_count = 4;
  for (const Cluster c : both_clusters) world.cluster(c).create_topic("orders", 3);
  world.start("p1");
  world.run(5'000);
  const std::string& said = world.controller->snapshot()->brokers_without_port;
  EXPECT_EQ(said.substr(0, said.find(':')), "source broker 3, target broker 3");
  EXPECT_NE(said.find("from 4 to 6 or more"), std::string::npos) << said;
  EXPECT_EQ(world.log_lines.count("broker_without_port"), 2u) << "once for each";
  const std::optional<FlipReport> report = world.flip(target);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->result, "failed");
  for (const Gate& gate : report->gates) EXPECT_EQ(gate.ok, gate.name != "broker_ports") << gate.name << gate.detail;

  world.options.port_count = 6;
  world.start("p2");
  world.run(5'000);
  EXPECT_EQ(world.controller->snapshot()->brokers_without_port, "");
  const std::optional<FlipReport> trial = world.flip(target, true);
  ASSERT_TRUE(trial);
  for (const Gate& gate : trial->gates) EXPECT_TRUE(gate.ok || gate.name != "broker_ports") << gate.detail;
}

TEST(Controller, OneClusterAsBothIsRefused) {
  ControllerWorld world("the-same", "the-same");
  world.start("p1");
  world.run(3'000);
  EXPECT_TRUE(world.logged("wrong_clusters"));
  EXPECT_FALSE(world.controller->ready());
  for (const Cluster c : both_clusters) EXPECT_EQ(world.fold(c).state().cluster_id, "");
}

TEST_F(TwoClusters, WhatRoutesMayBe) {
  std::string said;
  const auto define = [&](const std::string& name, std::vector<std::string> topics) {
    said = "nothing";
    world.controller->define_route(
        {name, std::move(topics)}, [&said](std::string error) { said = error; }, world.now);
    world.run(10);
    return said;
  };
  EXPECT_NE(define("a", {"__crossover_control"}).find("is internal"), std::string::npos) << said;
  std::vector<std::string> many;
  for (int i = 0; i < 4'000; ++i) many.push_back(std::string(240, 'x') + std::to_string(i));
  EXPECT_NE(define("a", many).find("too large"), std::string::npos) << said;
  ControlState full = world.fold(source).state();
  for (int i = 0; i < 1'000; ++i) {
    const std::string name = "r" + std::to_string(i);
    full.routes[name] = {.id = name, .name = name, .topics = {"t" + std::to_string(i)}};
  }
  ++full.routes_revision;
  world.write(source, control_record::routes({"full", world.fold(source).last_accepted(), "p1"}, full));
  world.run(3'000);
  ASSERT_EQ(world.controller->routes().size(), 1'001u);
  EXPECT_NE(define("one-more", {"orders"}).find("more than 1000 routes"), std::string::npos) << said;
  EXPECT_EQ(define("r0", {"orders"}), "");
}

struct AfterACutover : TwoClusters {
  void SetUp() override {
    TwoClusters::SetUp();
    ASSERT_EQ(world.flip(target)->result, "done");
    ASSERT_TRUE(world.fold(target).state().topics.contains("orders"));
  }

  void append(Cluster c, int records) {
    for (int i = 0; i < records; ++i) {
      const Bytes batch = protocol::build_batch({{1, std::nullopt, "value"}});
      ASSERT_EQ(world.cluster(c).append_as_stranger("orders", 0, batch), protocol::ErrorCode::NONE);
    }
  }

  // These brokers of the target have not heard of any topic.
  void lag(std::set<NodeId> nodes) {
    world.instead = [nodes](Cluster c, NodeId node, ApiKey api, Version version,
                            BytesView body) -> std::optional<Bytes> {
      if (c != target || api != ApiKey::Metadata || !nodes.contains(node)) return std::nullopt;
      protocol::MetadataResponse answer;
      for (NodeId id = 1; id <= 3; ++id) answer.brokers.push_back({.node_id = id, .host = "h", .port = 9092});
      answer.cluster_id = "target-id";
      const auto asked = protocol::decode<protocol::MetadataRequest>(body, version);
      if (asked->topics) {
        for (const auto& topic : *asked->topics) {
          auto& row = answer.topics.emplace_back();
          row.name = topic.name;
          row.error_code = 3;
        }
      }
      return protocol::encode(answer, version);
    };
  }
};

TEST_F(AfterACutover, AVirtualLogOutlivesOneBrokerThatLags) {
  lag({1});  // the one that is asked for all topics
  world.run(10'000);
  EXPECT_TRUE(world.controller->snapshot()->images[1]->topics.empty());
  EXPECT_FALSE(world.logged("virtual_log_ended"));
  EXPECT_TRUE(world.fold(target).state().topics.contains("orders"));
}

TEST_F(AfterACutover, AVirtualLogEndsWhenTheBrokersAgreeThatTheTopicIsGone) {
  lag({1, 2, 3});
  world.run(10'000);
  EXPECT_TRUE(world.logged("virtual_log_ended"));
  EXPECT_FALSE(world.fold(target).state().topics.contains("orders"));
}

TEST_F(AfterACutover, ATopicMadeAnewAwayFromHomeTakesItsHistoryWithIt) {
  world.cluster(source).delete_topic("orders");
  world.cluster(source).create_topic("orders", 2);
  const auto partition = [this] { return *world.controller->snapshot()->partition("orders", 0); };
  world.drop_appends = true;
  world.run(3'000);
  EXPECT_EQ(partition().real[0].leader, -1) << "nothing is read from the new one";
  world.drop_appends = false;
  world.run(10'000);
  EXPECT_EQ(world.log_lines.count("history_lost"), 1u);
  for (const Cluster c : both_clusters)
    EXPECT_TRUE(world.fold(c).state().topics.at("orders").partitions[0].log.segments()[0].lost);
  EXPECT_FALSE(partition().log.open_segment().lost);
  EXPECT_EQ(world.flip(source)->result, "done");
  EXPECT_FALSE(partition().log.open_segment().lost);
}

TEST_F(AfterACutover, ALogThatWasCutIsNotSplicedOn) {
  ASSERT_EQ(world.flip(source)->result, "done");
  append(source, 10);
  ASSERT_EQ(world.flip(target)->result, "done");
  world.cluster(source).unclean_election("orders", 0, 2, 4);
  const std::optional<FlipReport> refused = world.flip(source);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->result, "failed");
  const auto history = std::find_if(refused->gates.begin(), refused->gates.end(),
                                    [](const Gate& gate) { return gate.name == "history"; });
  ASSERT_NE(history, refused->gates.end());
  EXPECT_FALSE(history->ok) << history->detail;
}

TEST_F(AfterACutover, ATopicMadeAnewIsAnotherTopic) {
  world.cluster(target).delete_topic("orders");
  world.cluster(target).create_topic("orders", 2);
  world.run(10'000);
  EXPECT_TRUE(world.logged("virtual_log_ended"));
  EXPECT_FALSE(world.fold(target).state().topics.contains("orders"));
}

// What the gate of other proxies says; empty: green.
std::string others_gate(const FlipReport& report) {
  const Gate& gate = gate_named(report, "other_proxies");
  return gate.ok ? "" : gate.detail;
}

struct OtherProxies : testing::Test {
  void SetUp() override {
    for (const Cluster c : both_clusters) world.cluster(c).create_topic("orders", 2);
  }
  // Another process goes on beating meanwhile.
  void run_beside(const std::string& id, int seconds) {
    for (int i = 0; i < seconds; i += 2) {
      world.beat(id);
      world.run(2'000);
    }
  }
  std::string gate_within(Millis for_ms) {
    const auto report = world.begin_flip(target, true);
    world.run(for_ms);
    return *report ? others_gate(**report) : "no answer yet";
  }
  void expect_red(const std::string& because, Millis within = 10) {
    const std::string said = gate_within(within);
    EXPECT_NE(said.find(because), std::string::npos) << said;
  }

  ControllerWorld world;
};

TEST_F(OtherProxies, AFirstStartFlipsAtOnce) {
  world.start("a-1");
  world.run(700);
  const auto report = world.begin_flip(target);
  world.run(300);
  ASSERT_TRUE(*report);
  EXPECT_EQ((*report)->result, "done") << others_gate(**report);
}

TEST_F(OtherProxies, WhoStartsBesideALiveOneDoesNotFlip) {
  world.beat("b-1");
  world.start("a-1");
  world.run(700);
  expect_red("may only be silent");
  run_beside("b-1", 40);
  expect_red("stop b-1");
}

TEST_F(OtherProxies, ASilentOneOfAnotherHostMayHoldALease) {
  world.beat("b-1");
  world.start("a-1");
  world.run(28'000);
  expect_red("may only be silent");
  world.run(6'000);
  EXPECT_EQ(gate_within(10), "");
}

TEST_F(OtherProxies, AFlipWaitsUntilThePredecessorIsSilentForGood) {
  world.start("a-1");
  world.run(3'000);
  world.start("a-2");
  const auto report = world.begin_flip(target);
  world.run(4'000);
  ASSERT_FALSE(*report);
  world.run(4'000);
  ASSERT_TRUE(*report);
  EXPECT_EQ((*report)->result, "done") << others_gate(**report);
}

TEST_F(OtherProxies, APredecessorThatGoesOnBeatingIsNone) {
  world.start("a-1");
  world.run(3'000);
  world.start("a-2");
  run_beside("a-1", 20);
  expect_red("stop a-1");
}

TEST_F(OtherProxies, NothingIsKnownBeforeTheHeartbeatsWereRead) {
  world.instead = [](Cluster c, NodeId, ApiKey api, Version, BytesView) -> std::optional<Bytes> {
    return c == target && api == ApiKey::Fetch ? std::optional(Bytes("?")) : std::nullopt;
  };
  world.start("a-1");
  world.run(5'000);
  expect_red("target cluster were not read since", 12'000);
}

TEST_F(OtherProxies, ALeasesLogThatWasCutIsReadOn) {
  world.start("a-1");
  world.run(40'000);
  for (const Cluster c : both_clusters) {
    world.cluster(c).delete_topic(world.leases_topic);
    world.cluster(c).create_topic(world.leases_topic, 1);
  }
  world.run(10'000);
  EXPECT_EQ(gate_within(10), "");
  run_beside("b-1", 10);
  expect_red("stop b-1");
}

// Brokers check retention between the flip's question and the judgement of its gates.
TEST_F(OtherProxies, WhatWasReadBeforeACutStaysRead) {
  world.start("a-1");
  world.run(5'000);
  world.instead = [](Cluster, NodeId, ApiKey api, Version, BytesView) -> std::optional<Bytes> {
    return api == ApiKey::ListOffsets ? std::optional(Bytes("?")) : std::nullopt;
  };
  world.beat("b-1");
  for (const Cluster c : both_clusters) {
    const Offset end = world.cluster(c).partition(world.leases_topic, 0)->log->end();
    world.cluster(c).set_log_start(world.leases_topic, 0, end);
  }
  world.run(5'000);
  EXPECT_TRUE(world.logged("heartbeats_read_anew"));
  EXPECT_EQ(gate_within(10), "");
  world.run(10'000);
  expect_red("source cluster were not read for", 12'000);
}

// Retention goes by the time of the records: one of 1970 is deleted by the broker's next check.
TEST_F(OtherProxies, HeartbeatsHaveNoTime) {
  world.start("a-1");
  world.run(5'000);
  for (const Cluster c : both_clusters) {
    const auto& log = *world.cluster(c).partition(world.leases_topic, 0)->log;
    ASSERT_GT(log.end(), 0);
    EXPECT_EQ(log.batches().back().header.max_timestamp, -1);
  }
}

TEST_F(OtherProxies, ALeasesTopicThatWasDeletedIsMadeAnew) {
  world.start("a-1");
  world.run(5'000);
  for (const Cluster c : both_clusters) world.cluster(c).delete_topic(world.leases_topic);
  world.run(40'000);
  EXPECT_TRUE(world.logged("leases_topic_recreated"));
  for (const Cluster c : both_clusters)
    EXPECT_GT(world.controller->snapshot()->lease_until[index_of(c)], world.now) << "writes are not acknowledged";
  EXPECT_EQ(gate_within(10), "");
}

// --- what becomes of topics behind the proxy's back ---

struct FlippedOnce : testing::Test {
  void SetUp() override {
    for (const Cluster c : both_clusters) world.cluster(c).create_topic("orders", 2);
    world.start("a-1");
    world.run(9'000);
    append(source, 7);
    append(target, 10);
    ASSERT_EQ(world.flip(target)->result, "done");
  }
  void append(Cluster c, int records) {
    for (int i = 0; i < records; ++i) {
      const Bytes batch = protocol::build_batch({{1, std::nullopt, "v"}});
      ASSERT_EQ(world.cluster(c).append_as_stranger("orders", 0, batch), protocol::ErrorCode::NONE);
    }
  }
  void recreate(Cluster c) {
    world.cluster(c).delete_topic("orders");
    world.cluster(c).create_topic("orders", 2);
  }
  void silence(Cluster silent) {
    world.instead = [silent](Cluster c, NodeId, ApiKey, Version, BytesView) -> std::optional<Bytes> {
      return c == silent ? std::optional(Bytes("?")) : std::nullopt;
    };
  }
  std::size_t segments() const { return world.controller->snapshot()->partition("orders", 0)->log.segments().size(); }

  ControllerWorld world;
};

// The first broker of a cluster that was down knows itself alone, and no topic yet.
TEST_F(FlippedOnce, ABrokerThatHasJustStartedEndsNoLog) {
  bool starting = true;
  world.instead = [&starting](Cluster c, NodeId, ApiKey api, Version version, BytesView body) -> std::optional<Bytes> {
    const auto asked = c == source && starting && api == ApiKey::Metadata
                           ? protocol::decode<protocol::MetadataRequest>(body, version)
                           : std::nullopt;
    if (!asked) return std::nullopt;
    protocol::MetadataResponse answer;
    answer.cluster_id = "source-id";
    answer.brokers.push_back({.node_id = 1, .host = "h", .port = 1});
    for (const auto& topic : asked->topics.value_or(std::vector<protocol::MetadataRequest::MetadataRequestTopic>{})) {
      auto& row = answer.topics.emplace_back();
      row.name = topic.name;
      row.error_code = 3;
    }
    return protocol::encode(answer, version);
  };
  world.run(10'000);
  starting = false;
  world.run(5'000);
  EXPECT_FALSE(world.logged("history_lost"));
  EXPECT_FALSE(world.controller->snapshot()->partition("orders", 0)->log.segments()[0].lost);
}

TEST_F(FlippedOnce, ATopicMadeAnewAtHomeBeginsAnewAlthoughTheOtherClusterIsDown) {
  silence(source);
  world.run(3'000);
  recreate(target);
  world.run(1'100);
  const auto leader = [this] { return world.controller->snapshot()->partition("orders", 0)->real[1].leader; };
  EXPECT_EQ(leader(), -1) << "nothing is written to another topic under the old one's offsets";
  world.run(10'000);
  EXPECT_TRUE(world.logged("virtual_log_ended"));
  EXPECT_EQ(segments(), 1u);
  EXPECT_GE(leader(), 0);
  world.instead = {};
  world.run(15'000);
  EXPECT_EQ(segments(), 1u);
  EXPECT_FALSE(world.fold(source).state().topics.contains("orders"));
}

TEST_F(FlippedOnce, ATopicMadeAnewAtHomeIsNotFlipped) {
  const Uuid old = world.controller->snapshot()->topic("orders")->real_id[1];
  recreate(target);
  // One broker still knows the old one, so it is not settled.
  world.instead = [&old](Cluster c, NodeId node, ApiKey api, Version version, BytesView body) -> std::optional<Bytes> {
    if (c != target || api != ApiKey::Metadata || node != 3) return std::nullopt;
    const auto asked = protocol::decode<protocol::MetadataRequest>(body, version);
    if (!asked || !asked->topics) return std::nullopt;
    protocol::MetadataResponse answer;
    answer.cluster_id = "target-id";
    answer.brokers.push_back({.node_id = 3, .host = "h", .port = 1});
    auto& row = answer.topics.emplace_back();
    row.name = "orders";
    row.topic_id = old;
    return protocol::encode(answer, version);
  };
  world.run(8'000);
  const auto report = world.flip(source);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->result, "failed");
  EXPECT_FALSE(gate_named(*report, "history").ok);
}

TEST_F(FlippedOnce, AHomeCutBelowWhereItWasOpenedIsNotLeft) {
  world.cluster(target).unclean_election("orders", 0, 2, 4);
  append(target, 3);
  world.run(9'000);
  const auto report = world.flip(source);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->result, "failed");
  EXPECT_NE(report->error.find("before the offset at which it was opened"), std::string::npos) << report->error;
}

// A process that dies between a flip's two records leaves a route that is closed and not open.
TEST(Controller, NoTopicLeavesARouteThatIsBetweenAFlipsTwoRecords) {
  ControllerWorld world;
  for (const Cluster c : both_clusters) {
    for (const char* topic : {"orders", "payments"}) world.cluster(c).create_topic(topic, 1);
  }
  world.start("a-1");
  world.run(9'000);
  const auto define = [&world](const std::string& name, std::vector<std::string> topics) {
    std::string said = "no answer";
    world.controller->define_route(
        {name, std::move(topics)}, [&said](std::string e) { said = e; }, world.now);
    world.run(50);
    return said;
  };
  ASSERT_EQ(define("first", {"orders", "payments"}), "");
  const auto before = world.control[index_of(target)];
  auto report = std::make_shared<std::optional<FlipReport>>();
  world.controller->flip(
      "first", target, {}, [report](FlipReport done) { *report = done; }, world.now);
  world.run(500);
  ASSERT_TRUE(*report);
  ASSERT_EQ((*report)->result, "done") << (*report)->error;
  world.control[index_of(target)] = before;  // "open" was never written
  world.instead = [](Cluster c, NodeId, ApiKey, Version, BytesView) -> std::optional<Bytes> {
    return c == target ? std::optional(Bytes("?")) : std::nullopt;
  };
  world.start("a-2");
  world.run(3'000);
  EXPECT_NE(define("second", {"orders"}).find("still being completed"), std::string::npos);
  world.instead = {};
  world.run(15'000);
  EXPECT_EQ(define("second", {"orders"}), "");
}

// --- what another proxy writes meanwhile ---

struct BesideAnother : testing::Test {
  void SetUp() override {
    for (const Cluster c : both_clusters) world.cluster(c).create_topic("orders", 2);
    world.start("a-1");
    world.run(9'000);
  }
  // What another proxy writes before it serves.
  void claim(const std::string& id) {
    for (const Cluster c : both_clusters) {
      world.write(c, control_record::nothing({id + "/1", world.fold(c).last_accepted(), id}));
      EXPECT_EQ(world.fold(c).outcome(id + "/1"), true);
    }
  }
  ControllerWorld world;
};

TEST_F(BesideAnother, AClaimIsAsGoodAsAHeartbeat) {
  claim("b-1");
  const auto report = world.begin_flip(target);
  world.run(500);
  ASSERT_TRUE(*report);
  EXPECT_NE(others_gate(**report).find("stop b-1"), std::string::npos) << others_gate(**report);
}

TEST_F(BesideAnother, AClaimUnderTheFenceEndsTheFlip) {
  bool fenced = false, claimed = false;
  world.on_step = [&fenced](std::string_view step) { fenced |= step == "fence"; };
  world.instead = [&](Cluster c, NodeId, ApiKey api, Version version, BytesView body) -> std::optional<Bytes> {
    const auto asked = api == ApiKey::ListOffsets && c == target && fenced && !claimed
                           ? protocol::decode<protocol::ListOffsetsRequest>(body, version)
                           : std::nullopt;
    if (asked && asked->replica_id == -2) {
      claimed = true;
      claim("b-1");
    }
    return std::nullopt;
  };
  const auto report = world.begin_flip(target);
  world.run(8'000);
  ASSERT_TRUE(*report);
  EXPECT_TRUE(claimed);
  EXPECT_EQ((*report)->result, "failed");
}

// --- transactional ids ---

struct TransactionGate : testing::Test {
  void begin(sim::KafkaRelease release) {
    for (const Cluster c : both_clusters) {
      sim::ClusterOptions options = world.cluster(c).options();
      options.release = release;
      world.clients[index_of(c)] = sim::ClusterClient(options);
      world.cluster(c).create_topic("orders", 2);
      world.cluster(c).create_topic(world.leases_topic, 1);
    }
    world.start("p1");
    world.run(3'000);
  }
  void client_uses(const std::string& id) {
    WorkerReport report;
    report.revision = world.controller->snapshot()->revision;
    report.transactional_ids[id] = world.now;
    world.controller->on_worker_report(report, world.now);
  }
  Gate judged() {
    const auto report = world.begin_flip(target, true);
    world.run(200);
    return *report ? gate_named(**report, "transactions") : Gate{"none", false, "no answer"};
  }
  ControllerWorld world;
};

TEST_F(TransactionGate, IdsAreNoHindranceWhereTheyCanBeDescribed) {
  begin(sim::KafkaRelease::v4_4);
  client_uses("shop");
  EXPECT_TRUE(judged().ok) << judged().detail;
}

TEST_F(TransactionGate, AClusterTooOldToDescribeThemKeepsThem) {
  begin(sim::KafkaRelease::v2_8);
  EXPECT_TRUE(judged().ok) << judged().detail;
  client_uses("shop");
  EXPECT_FALSE(judged().ok);
  EXPECT_NE(judged().detail.find("shop"), std::string::npos);
  client_uses(std::string(20'000, 'x'));
  EXPECT_LT(judged().detail.size(), 600u);
}

TEST(SeenIds, TheNewestAreKept) {
  SeenIds seen;
  for (int i = 0; i < 3'000; ++i) note_seen(seen, "id-" + std::to_string(i), i);
  EXPECT_EQ(seen.size(), 1'000u);
  EXPECT_TRUE(seen.contains("id-2999"));
}

// --- compacted topics ---

TEST_F(TwoClusters, WithoutATopicsConfigsTheTombstonesGateIsRed) {
  world.cluster(source).set_topic_config("orders", "cleanup.policy", "compact");
  const auto instead_of = [this](std::function<Bytes(Version)> answer) {
    world.instead = [answer = std::move(answer)](Cluster c, NodeId, ApiKey api, Version version,
                                                 BytesView) -> std::optional<Bytes> {
      return c == source && api == ApiKey::DescribeConfigs ? std::optional(answer(version)) : std::nullopt;
    };
  };
  instead_of([](Version) { return Bytes("?"); });
  EXPECT_FALSE(gate_named(*world.flip(target), "tombstones").ok);
  instead_of([](Version version) {
    protocol::DescribeConfigsResponse refused;
    refused.results.push_back({.error_code = 29, .resource_type = 2, .resource_name = "orders"});
    return protocol::encode(refused, version);
  });
  const auto report = world.flip(target);
  EXPECT_FALSE(gate_named(*report, "tombstones").ok);
  EXPECT_EQ(report->result, "failed");
  world.instead = nullptr;
  EXPECT_EQ(world.flip(target)->result, "done");
}

}  // namespace
}  // namespace crossover::proxy
