// A route that goes on without the word of its home: what is known of it, what is refused, what stands in the logs.
#include <gtest/gtest.h>

#include <algorithm>

#include "protocol/messages.h"
#include "protocol/record_batch.h"
#include "proxy/producer_id.h"
#include "tests/unit/controller_world.h"
#include "tests/unit/handler_script.h"

namespace crossover::proxy {
namespace {

constexpr Cluster source = Cluster::source, target = Cluster::target;

// A proxy that has served both clusters; the source, which is home, held five records before it started.
struct Recovery : testing::Test {
  void SetUp() override {
    for (const Cluster c : both_clusters) world.cluster(c).create_topic("orders", 2);
    append(source, 5);
    world.start("p1");
    world.run(3'000);
  }
  void append(Cluster c, int records) {
    for (int i = 0; i < records; ++i) {
      const Bytes batch = protocol::build_batch({{1, std::nullopt, "v"}});
      ASSERT_EQ(world.cluster(c).append_as_stranger("orders", 0, batch), protocol::ErrorCode::NONE);
    }
  }
  void kill(Cluster dead) {
    world.instead = [dead](Cluster c, NodeId, ApiKey, Version, BytesView) -> std::optional<Bytes> {
      return c == dead ? std::optional(Bytes("?")) : std::nullopt;
    };
    world.run(2'000);
  }
  void revive() {
    world.instead = {};
    world.run(5'000);
  }
  // What the worker says was acknowledged on the source.
  void acknowledged(Offset end, ProducerId producer = 7, std::int32_t last_sequence = 3) {
    KnownEnds::Row row{source, "orders", 0, {}};
    row.known.real_id = world.controller->snapshot()->topic("orders")->real_id[0];
    row.known.end = end;
    row.known.producers[producer] = {0, last_sequence, 0};
    world.known_ends = {row};
  }
  RecoveryReport recover(const std::string& confirm = "") {
    std::optional<RecoveryReport> report;
    world.controller->recover(
        default_route, confirm, [&report](RecoveryReport done) { report = std::move(done); }, world.now);
    world.run(8'000);
    EXPECT_TRUE(report);
    return report.value_or(RecoveryReport{});
  }
  std::vector<Segment> segments() const { return world.controller->snapshot()->partition("orders", 0)->log.segments(); }
  static Gate gate_of(const RecoveryReport& report, const std::string& name) {
    const auto found =
        std::find_if(report.gates.begin(), report.gates.end(), [&name](const Gate& gate) { return gate.name == name; });
    return found == report.gates.end() ? Gate{"none", false, ""} : *found;
  }

  ControllerWorld world;
  void lose_write_to(PartitionIndex partition) {
    UnknownOutcome lost;
    lost.writer = {source, {default_route, 0}, "orders", partition, 7};
    lost.client_id = "shop";
    lost.records = 4;
    lost.at = world.now;
    world.lose(lost);
  }
};

constexpr const char* words = "recover default to target at generation 0";

TEST_F(Recovery, ARouteWhoseHomeAnswersIsFlippedInstead) {
  const RecoveryReport report = recover(words);
  EXPECT_EQ(report.result, "refused");
  EXPECT_NE(report.error.find("crossover cutover default"), std::string::npos) << report.error;
  EXPECT_EQ(segments().size(), 1u);
}

TEST_F(Recovery, WithoutTheWordsItSaysWhatItWouldDoAndDoesNothing) {
  acknowledged(9);
  kill(source);
  lose_write_to(0);
  for (const char* said : {"", "yes", "recover default to target at generation 1"}) {
    const RecoveryReport report = recover(said);
    EXPECT_EQ(report.result, "unconfirmed") << report.error;
    EXPECT_EQ(report.confirm, words);
    ASSERT_EQ(report.partitions.size(), 2u);
    EXPECT_EQ(report.partitions[0].virtual_end, 9);
    EXPECT_EQ(report.partitions[0].records_in_doubt, 4);
    EXPECT_EQ(report.partitions[1].virtual_end, 0);
    ASSERT_EQ(report.in_doubt.size(), 1u) << "for as long as the cluster is away";
    EXPECT_EQ(report.in_doubt[0].client_id, "shop");
  }
  EXPECT_EQ(world.controller->routes().at(0).view.generation, 0);
  EXPECT_EQ(segments().size(), 1u);
}

TEST_F(Recovery, AFlipNamesWhatIsInDoubtAndPointsHere) {
  kill(source);
  lose_write_to(1);
  const auto report = world.flip(target);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->result, "failed");
  const Gate gate = gate_named(*report, "old_home_unreachable");
  EXPECT_FALSE(gate.ok);
  for (const char* named : {"orders-1", "client shop", "producer 7", "4 records", "crossover recover default"})
    EXPECT_NE(gate.detail.find(named), std::string::npos) << named << " in " << gate.detail;
}

TEST_F(Recovery, GoesOnBehindTheHighestOffsetThatAnybodyWasShown) {
  acknowledged(9);
  append(target, 2);
  kill(source);
  const RecoveryReport report = recover(words);
  ASSERT_EQ(report.result, "done") << report.error;
  EXPECT_EQ(report.generation, 2) << "beyond a flip that the old home alone may know of";
  ASSERT_EQ(segments().size(), 2u);
  EXPECT_EQ(segments()[0].real_end(), 9);
  EXPECT_TRUE(segments()[0].assumed);
  EXPECT_EQ(segments()[1].virtual_base, 9);
  EXPECT_EQ(segments()[1].real_base, 2);
  const PartitionView& view = *world.controller->snapshot()->partition("orders", 0);
  EXPECT_EQ(view.producers->at(7).last_sequence, 3) << "a retry of what was acknowledged is a duplicate";
  EXPECT_FALSE(world.controller->snapshot()->severed[0]);
  const RouteStatus route = world.controller->routes().at(0);
  EXPECT_TRUE(route.recovered);
  EXPECT_EQ(route.view.home, target);
  EXPECT_EQ(route.view.phase, RoutePhase::open);
  ASSERT_FALSE(route.history.empty());
  EXPECT_EQ(route.history.back().direction, "recover");
  EXPECT_EQ(world.said("recovered", "to"), "target");
  EXPECT_EQ(recover(words).result, "refused") << "it is homed elsewhere now, and that home answers";
}

TEST_F(Recovery, TheOldHomesLogIsToldSoThatEitherSuffices) {
  kill(source);
  ASSERT_EQ(recover(words).result, "done");
  EXPECT_EQ(world.fold(source).state().routes.at(default_route).home, source);
  revive();
  const ControlState told = world.fold(source).state();
  EXPECT_EQ(told.routes.at(default_route).home, target);
  EXPECT_EQ(told.routes.at(default_route).generation, 2);
  EXPECT_TRUE(told.routes.at(default_route).recovered);
  EXPECT_EQ(told.topics.at("orders").partitions[0].log, world.controller->snapshot()->partition("orders", 0)->log);
}

TEST_F(Recovery, AnotherProcessTakesTheRecoveredStateWhateverTheOldHomeSays) {
  kill(source);
  ASSERT_EQ(recover(words).result, "done");
  world.start("p2");
  world.run(100);
  EXPECT_EQ(world.controller->routes().at(0).view.home, target);
  EXPECT_EQ(segments().size(), 2u);
}

TEST_F(Recovery, ACleanRollbackOpensTheOldHomeBehindItsStragglers) {
  kill(source);
  ASSERT_EQ(recover(words).result, "done");
  append(source, 3);  // landed when nobody was told any more
  append(target, 4);
  revive();
  const auto report = world.flip(source);
  ASSERT_TRUE(report);
  ASSERT_EQ(report->result, "done") << report->error;
  ASSERT_EQ(segments().size(), 3u);
  EXPECT_EQ(segments()[0].real_end(), 5);
  EXPECT_EQ(segments()[2].real_base, 8) << "what nobody was shown stays hidden";
  EXPECT_FALSE(world.controller->routes().at(0).recovered);
}

TEST_F(Recovery, WhoHasNotSeenTheOldHomeDoesNotKnowWhatWasAcknowledged) {
  kill(source);
  world.start("p2");
  world.run(8'000);
  const RecoveryReport report = recover(words);
  EXPECT_EQ(report.result, "refused");
  EXPECT_FALSE(gate_of(report, "old_home_seen").ok);
}

TEST_F(Recovery, TheNewHomeMustBeAbleToTakeIt) {
  world.cluster(target).delete_topic("orders");
  kill(source);
  world.run(2'000);
  const RecoveryReport report = recover(words);
  EXPECT_EQ(report.result, "refused");
  EXPECT_FALSE(gate_of(report, "topics_exist").ok);
  EXPECT_EQ(report.confirm, "");
}

// An application's transactional id, as its cluster knows it.
protocol::InitProducerIdResponse initialise(ControllerWorld& world, Cluster c) {
  protocol::InitProducerIdRequest init;
  init.transactional_id = "shop";
  init.transaction_timeout_ms = 60'000;
  sim::ClusterClient& client = world.clients[index_of(c)];
  const auto coordinator = client.to(client.cluster.transaction_coordinator("shop"));
  return client.ask<protocol::InitProducerIdResponse>(coordinator, init, 4).value();
}

// What the worker has seen transactions of that id write to, and commit offsets of.
void writes(ControllerWorld& world, const std::string& id, const std::string& topic, const std::string& group) {
  Couplings seen;
  seen.note(id, {"app", "10.0.0.7:4000", world.now}, {topic}, group);
  WorkerReport report;
  report.revision = world.controller->snapshot()->revision;
  report.couplings = seen.take_changes();
  world.controller->on_worker_report(report, world.now);
}

TEST_F(Recovery, ATransactionalIdIsFencedAndBeginsAnewAtTheNewHome) {
  const auto owner = initialise(world, source);
  writes(world, "shop", "orders", "");
  kill(source);
  const RecoveryReport report = recover(words);
  ASSERT_EQ(report.result, "done") << report.error;
  EXPECT_EQ(report.transactional_ids, std::vector<std::string>{"shop"});
  const Bindings bindings = *world.controller->snapshot()->bindings;
  EXPECT_EQ(bindings.home_of("shop"), target);
  const ProducerName before{virtual_producer_id(source, owner.producer_id), owner.producer_epoch};
  EXPECT_EQ(bindings.to_real("shop", before), std::nullopt) << "whoever has that name is fenced";
  const auto anew = initialise(world, target);
  ASSERT_EQ(anew.error_code, 0);
  const ProducerName there{anew.producer_id, anew.producer_epoch};
  EXPECT_EQ(bindings.to_real("shop", bindings.to_virtual("shop", there)), there);
}

// The name that it had there is its coordinator's to fence.
TEST_F(Recovery, AnIdThatHasBeenAtTheNewHomeIsFencedThereToo) {
  initialise(world, source);
  writes(world, "shop", "orders", "");
  ASSERT_EQ(world.flip(target)->result, "done");
  const auto there = initialise(world, target);
  ASSERT_EQ(world.flip(source)->result, "done");
  kill(source);
  ASSERT_EQ(recover("recover default to target at generation 2").result, "done");
  const Bindings bindings = *world.controller->snapshot()->bindings;
  EXPECT_EQ(bindings.home_of("shop"), target);
  EXPECT_GT(bindings.find("shop")->real.epoch, there.producer_epoch);
}

// Groups whose offsets moved to the target after their transactions; their members are the source's.
struct GroupsOnTheLostHome : Recovery {
  void SetUp() override {
    for (const Cluster c : both_clusters) world.cluster(c).create_topic("payments", 1);
    Recovery::SetUp();
    world.controller->define_route(
        {"second", {"payments"}}, [](const std::string& error) { EXPECT_EQ(error, ""); }, world.now);
    world.run(1'000);
    ASSERT_EQ(world.flip(target)->result, "done");
    for (const char* group : {"readers", "unknown", "others"})
      world.controller->on_want_binding({Bound::group, group, target}, world.now);
    world.run(3'000);
    ASSERT_EQ(home_of("readers"), target);
  }
  Cluster home_of(const std::string& group) const {
    return world.controller->snapshot()->bindings->home_of_group(group);
  }
  static constexpr const char* words_back = "recover default to source at generation 1";
};

TEST_F(GroupsOnTheLostHome, GoOnFromWhatTheirMembersClusterHas) {
  kill(target);
  const RecoveryReport plan = recover();
  EXPECT_EQ(plan.groups, (std::vector<std::string>{"others", "readers", "unknown"}));
  const auto said = std::find_if(plan.consequences.begin(), plan.consequences.end(),
                                 [](const std::string& text) { return text.find("readers") != std::string::npos; });
  ASSERT_NE(said, plan.consequences.end());
  for (const char* what : {"3 consumer groups", "lost with it", "may be processed again", "auto.offset.reset"})
    EXPECT_NE(said->find(what), std::string::npos) << what << " in " << *said;
  EXPECT_EQ(home_of("readers"), target) << "nothing is done unconfirmed";
  const RecoveryReport report = recover(words_back);
  ASSERT_EQ(report.result, "done") << report.error;
  for (const char* group : {"readers", "unknown", "others"}) EXPECT_EQ(home_of(group), source) << group;
  revive();
  EXPECT_EQ(world.fold(target).state().bindings.home_of_group("readers"), source) << "its log is told";
}

// Their positions are exact there, and may come back with it.
TEST_F(GroupsOnTheLostHome, StayWithTheIdsOfOtherRoutes) {
  ASSERT_EQ(world.flip(target, FlipWishes{}, "second")->result, "done");
  for (const char* id : {"shop", "till"})
    world.controller->on_want_binding({Bound::transactional_id, id, target, true}, world.now);
  world.run(3'000);
  writes(world, "shop", "orders", "readers");
  writes(world, "till", "payments", "others");
  kill(target);
  const RecoveryReport report = recover(words_back);
  ASSERT_EQ(report.result, "done") << report.error;
  EXPECT_EQ(report.groups, (std::vector<std::string>{"readers", "unknown"}));
  EXPECT_EQ(home_of("readers"), source);
  EXPECT_EQ(home_of("others"), target);
}

// Those that the source coordinates wait for it, whatever they have committed.
TEST_F(GroupsOnTheLostHome, WaitForTheirMembersCluster) {
  ASSERT_EQ(world.flip(source)->result, "done");
  world.controller->on_want_binding({Bound::group, "readers", source}, world.now);
  world.run(3'000);
  ASSERT_EQ(home_of("readers"), source);
  kill(source);
  const RecoveryReport report = recover("recover default to target at generation 2");
  ASSERT_EQ(report.result, "done") << report.error;
  EXPECT_TRUE(report.groups.empty());
  EXPECT_EQ(home_of("readers"), source);
}

TEST(KnownEnds, TheHighestCountsAndATopicMadeAnewBeginsAnew) {
  Uuid old, anew;
  old.bytes.fill(1);
  anew.bytes.fill(2);
  const std::string topic = "orders";
  KnownEnds ends;
  EXPECT_EQ(ends.find(source, topic, 0), nullptr);
  ends.note({source, topic, old, 3}, 10);
  ends.note({source, topic, old, 3}, 7);
  ends.note_batch({source, topic, old, 3}, 8, 7, {0, 5, 0});
  EXPECT_EQ(ends.find(source, topic, 3)->end, 10);
  EXPECT_EQ(ends.find(source, topic, 0), nullptr);
  EXPECT_EQ(ends.find(target, topic, 3), nullptr);
  const auto rows = ends.take_changed(source);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_TRUE(ends.take_changed(source).empty());
  KnownEnds together;
  together.note_batch({source, topic, old, 3}, 12, 7, {0, 9, 0});
  together.merge(rows[0]);
  EXPECT_EQ(together.find(source, topic, 3)->end, 12);
  EXPECT_EQ(together.find(source, topic, 3)->producers.at(7).last_sequence, 9) << "the later of the two";
  together.note_batch({source, topic, old, 3}, 12, 7, {0, 5, 0});
  EXPECT_EQ(together.find(source, topic, 3)->producers.at(7).last_sequence, 9) << "a retry, answered late";
  together.note_batch({source, topic, old, 3}, 12, 7, {0, 0, 2});
  together.merge(rows[0]);
  EXPECT_EQ(together.find(source, topic, 3)->producers.at(7).generation, 2) << "of a later stay at home";
  ends.note({source, topic, anew, 3}, 1);
  EXPECT_EQ(ends.find(source, topic, 3)->end, 1);
  EXPECT_TRUE(ends.find(source, topic, 3)->producers.empty());
}

}  // namespace
}  // namespace crossover::proxy

namespace crossover::test {
namespace {

// What sessions know of how far the logs reach, and how they let go of a cluster.
struct LettingGo : HandlerScript {
  void fetch() {
    protocol::FetchRequest ask_body;
    ask_body.session_epoch = -1;
    auto& topic = ask_body.topics.emplace_back();
    topic.topic = "orders";
    topic.partitions.emplace_back().partition_max_bytes = 1'000;
    ask(ApiKey::Fetch, 11, ask_body);
  }
  protocol::FetchResponse nothing_below(protocol::Offset high_watermark) {
    protocol::FetchResponse response;
    auto& topic = response.responses.emplace_back();
    topic.topic = "orders";
    auto& row = topic.partitions.emplace_back();
    row.high_watermark = row.last_stable_offset = high_watermark;
    row.records = BytesView();
    return response;
  }
  proxy::Offset known_end() const {
    const proxy::KnownEnd* known = worker.known_ends.find(source, "orders", 0);
    return known ? known->end : -1;
  }
};

TEST_F(LettingGo, WhatCouldBeReadIsKnown) {
  begin(world(on_source(), on_source()));
  fetch();
  const auto asked = at_broker(source);
  ASSERT_TRUE(asked);
  answer(*asked, nothing_below(42));
  EXPECT_EQ(known_end(), 42);
}

TEST_F(LettingGo, WhatWasListedIsKnown) {
  begin(world(on_source(), on_source()));
  protocol::ListOffsetsRequest list;
  list.topics.emplace_back().name = "orders";
  list.topics[0].partitions.emplace_back().timestamp = -1;
  ask(ApiKey::ListOffsets, 5, list);
  const auto asked = at_broker(source);
  ASSERT_TRUE(asked);
  protocol::ListOffsetsResponse response;
  response.topics.emplace_back().name = "orders";
  response.topics[0].partitions.emplace_back().offset = 17;
  answer(*asked, response);
  EXPECT_EQ(known_end(), 17);
}

TEST_F(LettingGo, AClusterThatIsSeveredSaysNothingMore) {
  const auto before = world(on_source(), on_source());
  begin(before);
  fetch();
  const auto asked = at_broker(source);
  ASSERT_TRUE(asked);
  auto severed = std::make_shared<proxy::Snapshot>(*before);
  severed->severed[proxy::index_of(source)] = true;
  session->on_snapshot(severed, now);
  answer(*asked, nothing_below(42));
  EXPECT_EQ(known_end(), -1) << "it was not passed on either";
  fetch();
  EXPECT_FALSE(at_broker(source));
}

}  // namespace
}  // namespace crossover::test
