// What transactions bind together: learnt, bounded, shown, a gate of flips, and what a widened route takes over. And
// how an open transaction is named and aborted.
#include "proxy/couplings.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/controller_world.h"

namespace crossover::proxy {
namespace {

constexpr Cluster source = Cluster::source, target = Cluster::target;
using Names = std::vector<std::string>;

TEST(Couplings, WhatIsNewIsReportedOnce) {
  Couplings seen;
  EXPECT_FALSE(seen.changed());
  seen.note("shop", {"app", "10.0.0.7:4000", 1'000}, {"a", "b"}, "");
  seen.note("shop", {"app", "", 2'000}, {}, "readers");
  const Couplings::Ids first = seen.take_changes();
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first.at("shop").topics.size(), 2u);
  EXPECT_TRUE(first.at("shop").groups.contains("readers"));
  EXPECT_EQ(first.at("shop").peer, "10.0.0.7:4000");
  EXPECT_EQ(first.at("shop").since, 1'000);
  seen.note("shop", {"app", "10.0.0.7:4000", 3'000}, {"a"}, "readers");
  EXPECT_FALSE(seen.changed());
  seen.note("shop", {"app", "10.0.0.8:4000", 4'000}, {}, "");
  EXPECT_EQ(seen.take_changes().at("shop").peer, "10.0.0.8:4000");
  seen.note("shop", {"app", "10.0.0.8:4000", 70'000}, {"a"}, "");
  EXPECT_TRUE(seen.changed()) << "that it is in use is said again";
}

TEST(Couplings, AreBounded) {
  Couplings seen;
  for (int i = 0; i < 11'000; ++i) seen.note("id-" + std::to_string(i), {"", "", i}, {"t"}, "");
  EXPECT_LE(seen.ids().size(), Couplings::most_ids);
  EXPECT_TRUE(seen.find("id-10999"));
  EXPECT_FALSE(seen.find("id-0"));
  Names many;
  for (int i = 0; i < 3'000; ++i) many.push_back("t" + std::to_string(i));
  seen.note("wide", {"", "", 20'000}, many, "");
  EXPECT_EQ(seen.find("wide")->topics.size(), Couplings::most_names_of_id);
  seen.note(std::string(2'000, 'x'), {"", "", 20'000}, {"t"}, "");
  EXPECT_FALSE(seen.find(std::string(2'000, 'x')));

  Couplings whole;
  Couplings::Ids many_ids;
  for (int i = 0; i < 9'000; ++i) many_ids["id-" + std::to_string(i)] = {.since = i, .seen_at = 100 + i};
  whole.merge(many_ids);
  whole.merge({{"old", {.topics = {{"t", 5}}, .since = 5, .seen_at = 5}}});
  EXPECT_EQ(whole.forget(20'000), 0u);
  for (int i = 0; i < 2'000; ++i) many_ids["more-" + std::to_string(i)] = {.since = 30'000, .seen_at = 30'000};
  whole.merge(many_ids);
  EXPECT_GT(whole.forget(30'000), 0u);
  EXPECT_LE(whole.ids().size(), Couplings::most_ids);
  EXPECT_FALSE(whole.find("old"));
  EXPECT_EQ(whole.forget(Couplings::remembered_ms + 40'000), 0u);
  EXPECT_TRUE(whole.ids().empty());
}

// Routes of one topic each, and the default one with what is left: "rest".
struct CoupledRoutes : testing::Test {
  void SetUp() override {
    world.options.transactions_ms = 500;
    for (const Cluster c : both_clusters) {
      for (const char* topic : {"a", "b", "c", "d", "rest"}) world.cluster(c).create_topic(topic, 1);
    }
    world.start("p1");
    world.run(3'000);
    for (const char* topic : {"a", "b", "c", "d"}) define(std::string("route-") + topic, {topic});
  }
  void define(const std::string& route, const Names& topics) {
    std::string problem = "no answer";
    world.controller->define_route(
        {route, topics}, [&problem](const std::string& error) { problem = error; }, world.now);
    world.run(100);
    ASSERT_EQ(problem, "");
  }
  void writes(const std::string& id, const Names& topics, const std::string& group = "") {
    Couplings seen;
    seen.note(id, {"app", "10.0.0.7:4000", world.now}, topics, group);
    WorkerReport report;
    report.revision = world.controller->snapshot()->revision;
    report.couplings = seen.take_changes();
    world.controller->on_worker_report(report, world.now);
  }
  RouteStatus route(const std::string& name) {
    for (const RouteStatus& status : world.controller->routes()) {
      if (status.view.name == name) return status;
    }
    return {};
  }
  static std::string gate(const FlipReport& report, const std::string& name) {
    for (const Gate& gate : report.gates) {
      if (gate.name == name) return (gate.ok ? "green: " : "red: ") + gate.detail;
    }
    return "none";
  }
  static bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

  ControllerWorld world;
};

TEST_F(CoupledRoutes, WhatOneTransactionWritesFlipsTogether) {
  writes("shop", {"a", "b"});
  const auto refused = world.flip(target, {}, "route-a");
  EXPECT_EQ(refused->result, "failed");
  EXPECT_TRUE(holds(gate(*refused, "coupled_topics"), "shop")) << gate(*refused, "coupled_topics");
  EXPECT_TRUE(holds(gate(*refused, "coupled_topics"), "b (route route-b)"));
  writes("alone", {"c"});
  EXPECT_EQ(world.flip(target, {}, "route-c")->result, "done");
}

TEST_F(CoupledRoutes, AWidenedRouteTakesOverAllThatIsBoundToIt) {
  writes("shop", {"a", "b"}, "readers");
  writes("billing", {"b", "rest"});
  writes("reports", {"c"}, "readers");
  const auto planned = world.flip(target, {.dry_run = true, .widen = true}, "route-a");
  EXPECT_EQ(planned->result, "dry_run");
  EXPECT_EQ(planned->added_topics, (Names{"b", "c", "rest"}));
  EXPECT_EQ(route("route-a").topics, (Names{"a"}));
  const auto report = world.flip(target, {.widen = true}, "route-a");
  ASSERT_EQ(report->result, "done") << report->error;
  EXPECT_EQ(report->added_topics, (Names{"b", "c", "rest"}));
  EXPECT_EQ(report->partitions.size(), 4u);
  for (const Cluster c : both_clusters) {
    const ControlState state = world.fold(c).state();
    for (const char* topic : {"a", "b", "c", "rest"}) EXPECT_EQ(state.route_of(topic).name, "route-a") << topic;
    EXPECT_EQ(state.route_of("rest").home, target);
    EXPECT_EQ(state.route_of("d").home, source);
  }
  EXPECT_EQ(world.said("route_widened", "topics"), "b, c, rest");
  EXPECT_EQ(world.flip(source, {}, "route-a")->result, "done");
}

TEST_F(CoupledRoutes, TheDefaultRouteTakesOverToo) {
  writes("shop", {"a", "rest"});
  const auto report = world.flip(target, {.widen = true});
  ASSERT_EQ(report->result, "done") << report->error;
  EXPECT_EQ(world.fold(source).state().route_of("a").name, default_route);
  EXPECT_EQ(world.fold(target).state().route_of("a").home, target);
}

TEST_F(CoupledRoutes, WhatIsOnTheOtherClusterIsNotTakenOver) {
  ASSERT_EQ(world.flip(target, {}, "route-b")->result, "done");
  writes("shop", {"a", "b"});
  const auto refused = world.flip(target, {.widen = true}, "route-a");
  EXPECT_EQ(refused->result, "failed");
  EXPECT_TRUE(holds(gate(*refused, "widening"), "b (route route-b, bound by shop)")) << gate(*refused, "widening");
  EXPECT_TRUE(refused->added_topics.empty());
  EXPECT_EQ(world.flip(target, {}, "route-a")->result, "done") << "brings them together";
}

TEST_F(CoupledRoutes, AreShown) {
  writes("alone", {"c"}, "readers");
  writes("shop", {"c", "d"});
  world.run(1'000);
  const RouteStatus shown = route("route-c");
  ASSERT_EQ(shown.coupling_count, 2u);
  EXPECT_EQ(shown.couplings[0].transactional_id, "shop");
  EXPECT_TRUE(shown.couplings[0].torn);
  EXPECT_EQ(shown.couplings[0].topics, (Names{"c", "d"}));
  EXPECT_FALSE(shown.couplings[1].torn);
  EXPECT_EQ(shown.couplings[1].groups, (Names{"readers"}));
  EXPECT_GE(shown.couplings[1].known_ms, 1'000);
  EXPECT_EQ(route("route-a").coupling_count, 0u);
}

TEST_F(CoupledRoutes, TooManyAreForgottenAndThatIsSaid) {
  WorkerReport report;
  report.revision = world.controller->snapshot()->revision;
  for (int i = 0; i < 10'500; ++i) report.couplings["id-" + std::to_string(i)] = {.topics = {{"a", i}}, .seen_at = i};
  world.controller->on_worker_report(report, world.now);
  EXPECT_TRUE(world.logged("couplings_forgotten"));
  EXPECT_LE(route("route-a").coupling_count, Couplings::most_ids);
}

// --- transactions that do not end ---

struct OpenTransactions : CoupledRoutes {
  sim::ClusterClient& client() { return world.clients[index_of(source)]; }
  sim::ConnectionId coordinator() { return client().to(client().cluster.transaction_coordinator("shop")); }
  protocol::InitProducerIdResponse init() {
    protocol::InitProducerIdRequest request;
    request.transactional_id = "shop";
    request.transaction_timeout_ms = 60'000;
    return client().ask<protocol::InitProducerIdResponse>(coordinator(), request, 4).value();
  }
  std::int16_t add(ProducerId id, ProducerEpoch epoch, const std::string& topic = "a") {
    protocol::AddPartitionsToTxnRequest request;
    request.v3_and_below_transactional_id = "shop";
    request.v3_and_below_producer_id = id;
    request.v3_and_below_producer_epoch = epoch;
    request.v3_and_below_topics.push_back({topic, {0}});
    const auto answer = client().ask<protocol::AddPartitionsToTxnResponse>(coordinator(), request, 3).value();
    return answer.results_by_topic_v3_and_below.at(0).results_by_partition.at(0).partition_error_code;
  }
  std::int16_t commit(ProducerId id, ProducerEpoch epoch) {
    const protocol::EndTxnRequest request{"shop", id, epoch, true};
    return client().ask<protocol::EndTxnResponse>(coordinator(), request, 3)->error_code;
  }
  void begin() {
    const auto producer = init();
    owner = {producer.producer_id, producer.producer_epoch};
    ASSERT_EQ(add(owner.id, owner.epoch), 0);
    writes("shop", {"a"});
  }
  std::optional<AbortReport> abort(const std::string& id) {
    std::optional<AbortReport> got;
    world.controller->abort_transaction(
        id, [&got](AbortReport report) { got = std::move(report); }, world.now);
    world.run(4'000);
    return got;
  }
  // A leader knows of a transaction, no coordinator does.
  void one_hangs() {
    world.instead = [](Cluster c, NodeId, ApiKey api, Version version, BytesView body) -> std::optional<Bytes> {
      if (c != source || api != ApiKey::DescribeProducers) return std::nullopt;
      const auto asked = protocol::decode<protocol::DescribeProducersRequest>(body, version);
      protocol::DescribeProducersResponse answer;
      for (const auto& topic : asked->topics) {
        auto& row = answer.topics.emplace_back();
        row.name = topic.name;
        row.partitions.push_back({.partition_index = 0});
        row.partitions[0].active_producers.push_back({.producer_id = 77, .current_txn_start_offset = 40});
      }
      return protocol::encode(answer, version);
    };
  }
  ProducerName owner;
};

TEST_F(OpenTransactions, AreNamedWithTheirOwner) {
  begin();
  const auto report = world.flip(target, {}, "route-a");
  ASSERT_TRUE(report);
  EXPECT_EQ(report->result, "failed");
  ASSERT_EQ(report->open_transactions.size(), 1u);
  const OpenTransaction& open = report->open_transactions[0];
  EXPECT_EQ(open.transactional_id, "shop");
  EXPECT_EQ((ProducerName{open.producer_id, open.producer_epoch}), owner);
  EXPECT_EQ(open.peer, "10.0.0.7:4000");
  EXPECT_EQ(open.state, "Ongoing");
  EXPECT_GT(open.started_at, 0);
  EXPECT_EQ(open.topics, (Names{"a"}));
  EXPECT_TRUE(holds(report->error, "client app at 10.0.0.7:4000")) << report->error;
  EXPECT_EQ(commit(owner.id, owner.epoch), 0) << "its owner notices nothing";
  EXPECT_EQ(world.flip(target, {}, "route-a")->result, "done");
}

TEST_F(OpenTransactions, AFlipThatTheyEndLeavesTheRouteWidened) {
  begin();
  writes("shop", {"a", "b"});
  const auto report = world.flip(target, {.widen = true}, "route-a");
  EXPECT_EQ(report->result, "failed");
  EXPECT_TRUE(holds(report->error, "The route was not flipped; it keeps the topics that it took over: b"))
      << report->error;
  EXPECT_EQ(route("route-a").topics, (Names{"a", "b"}));
}

TEST_F(OpenTransactions, AreAbortedWhereTheOperatorSaysSo) {
  begin();
  const auto report = world.flip(target, {.abort_open = true}, "route-a");
  ASSERT_TRUE(report);
  ASSERT_EQ(report->result, "done") << report->error;
  ASSERT_EQ(report->aborted.size(), 1u);
  EXPECT_EQ(report->aborted[0].transactional_id, "shop");
  EXPECT_TRUE(report->open_transactions.empty());
  EXPECT_NE(commit(owner.id, owner.epoch), 0) << "its owner is fenced";
  const Bindings bindings = world.fold(target).state().bindings;
  EXPECT_EQ(bindings.home_of("shop"), target);
  EXPECT_EQ(bindings.to_real("shop", owner), std::nullopt) << "there too";
}

TEST_F(OpenTransactions, AreAbortedByTheirId) {
  begin();
  const auto aborted = abort("shop");
  ASSERT_TRUE(aborted);
  EXPECT_EQ(aborted->error, "");
  EXPECT_EQ(aborted->transaction.topics, (Names{"a"}));
  EXPECT_NE(commit(owner.id, owner.epoch), 0);
  const auto again = abort("shop");
  EXPECT_TRUE(holds(again->error, "no transaction open")) << again->error;
  const auto anew = init();
  EXPECT_EQ(add(anew.producer_id, anew.producer_epoch), 0);
}

TEST_F(OpenTransactions, AnUnknownIdIsNotMadeUp) {
  const auto refused = abort("nobody");
  ASSERT_TRUE(refused);
  EXPECT_TRUE(holds(refused->error, "no coordinator")) << refused->error;
  EXPECT_TRUE(holds(refused->hint, "kafka-transactions.sh abort"));
  EXPECT_TRUE(holds(abort("__crossover_offsets")->error, "the proxy's own"));
}

TEST_F(OpenTransactions, AClusterThatDoesNotAnswerIsSaidNotToDoSo) {
  begin();
  world.instead = [](Cluster c, NodeId, ApiKey, Version, BytesView) -> std::optional<Bytes> {
    return c == source ? std::optional(Bytes("?")) : std::nullopt;
  };
  world.run(3'000);
  const auto refused = abort("shop");
  ASSERT_TRUE(refused);
  EXPECT_TRUE(holds(refused->error, "no broker of the source cluster answers")) << refused->error;
}

TEST_F(OpenTransactions, HangingOnesAreForTheClustersAdministrator) {
  const auto producer = init();
  ASSERT_EQ(add(producer.producer_id, producer.producer_epoch), 0);
  ASSERT_EQ(commit(producer.producer_id, producer.producer_epoch), 0);
  one_hangs();
  const auto report = world.flip(target, {.abort_open = true}, "route-a");
  EXPECT_EQ(report->result, "failed");
  EXPECT_TRUE(holds(report->error, "abort --topic a --partition 0 --start-offset 40")) << report->error;
}

TEST_F(OpenTransactions, WhoWasFencedStaysSoWhenTheFlipIsAbandoned) {
  begin();
  one_hangs();
  const auto report = world.flip(target, {.abort_open = true}, "route-a");
  EXPECT_EQ(report->result, "failed");
  EXPECT_TRUE(holds(report->error, "the owners of what was aborted stay fenced: shop")) << report->error;
  EXPECT_NE(commit(owner.id, owner.epoch), 0);
}

}  // namespace
}  // namespace crossover::proxy
