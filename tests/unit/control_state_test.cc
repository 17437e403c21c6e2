// The fold of control records, as scripts of records.
#include "proxy/control_state.h"

#include <gtest/gtest.h>

namespace crossover::proxy {
namespace {

constexpr Cluster source = Cluster::source, target = Cluster::target;
using control_record::Chain;

Uuid uuid(std::uint8_t n) {
  Uuid id;
  id.bytes.fill(n);
  return id;
}

// A control topic: each record lands at the next offset.
struct Topic {
  ControlLog log;
  Offset next = 0;
  Offset write(const Bytes& record) {
    log.fold(next, record);
    return next++;
  }
  Chain chain(const std::string& id) const { return {id, log.last_accepted(), "p1"}; }
};

std::map<std::string, TopicState> orders(const VirtualLog& log) {
  TopicState topic;
  topic.virtual_id = uuid(1);
  topic.real_id = {uuid(1), uuid(2)};
  auto producers = std::make_shared<ProducerTable>();
  (*producers)[77] = {2, 9, 0};
  topic.partitions.push_back({log, producers});
  return {{"orders", topic}};
}

VirtualLog after_cutover() {
  return VirtualLog::identity(source).flipped(100, 5, target, 0, 0);
}

RouteState default_at(Cluster home, std::int32_t generation) {
  RouteState route;
  route.id = route.name = default_route;
  route.home = home;
  route.generation = generation;
  return route;
}

// The parts and then the record that names them.
void write_flip(Topic& topic, bool opening, const std::string& id, const VirtualLog& log, Cluster home,
                std::int32_t generation) {
  const auto parts = control_record::parts(id + "/parts", orders(log), {});
  for (const Bytes& part : parts) topic.write(part);
  const Chain chain = topic.chain(id);
  const RouteState route = default_at(home, generation);
  topic.write(opening ? control_record::open(chain, route, id + "/parts", parts.size())
                      : control_record::close(chain, route, id + "/parts", parts.size()));
}

// The other cluster's log may still hold what one has forgotten; a later flip under the same id begins another log.
TEST(ControlLog, WhatIsForgottenIsSoUpToItsGeneration) {
  Topic here, there;
  for (Topic* topic : {&here, &there}) write_flip(*topic, false, "close-1", after_cutover(), target, 1);
  here.write(control_record::forget(here.chain("forget"), "orders", uuid(1)));
  ControlState both = there.log.state();
  both.merge(here.log.state());
  EXPECT_FALSE(both.topics.contains("orders"));
  both = here.log.state();
  both.merge(there.log.state());
  EXPECT_FALSE(both.topics.contains("orders"));

  const VirtualLog later = VirtualLog::identity(source).flipped(100, 5, target, 0, 0).flipped(9, 1, source, 200, 6);
  write_flip(here, false, "close-2", later, source, 2);
  ASSERT_EQ(here.log.outcome("close-2"), true);
  both = there.log.state();
  both.merge(here.log.state());
  ASSERT_TRUE(both.topics.contains("orders"));
  EXPECT_EQ(both.topics.at("orders").partitions[0].log.segments().size(), 3u);
}

TEST(ControlLog, ARecordThatDoesNotFollowIsIgnored) {
  Topic topic;
  const Chain both = topic.chain("first");
  topic.write(control_record::identity(both, "id-1"));
  Chain loser = both;
  loser.id = "second";
  topic.write(control_record::identity(loser, "id-2"));
  EXPECT_EQ(topic.log.state().cluster_id, "id-1");
  EXPECT_EQ(topic.log.outcome("first"), true);
  EXPECT_EQ(topic.log.outcome("second"), false);
  EXPECT_EQ(topic.log.outcome("third"), std::nullopt);
  EXPECT_EQ(topic.log.last_accepted(), 0);
}

TEST(ControlLog, PartsStandOutsideTheChain) {
  Topic topic;
  topic.write(control_record::identity(topic.chain("a"), "id"));
  const Chain next = topic.chain("b");
  for (const Bytes& part : control_record::parts("x", orders(after_cutover()), {})) topic.write(part);
  topic.write(control_record::nothing(next));
  EXPECT_EQ(topic.log.outcome("b"), true);
  EXPECT_TRUE(topic.log.state().topics.empty());
}

TEST(ControlLog, CloseThenOpenMovesTheRoute) {
  Topic old_home, new_home;
  write_flip(old_home, false, "close", after_cutover(), target, 1);
  ControlState state = old_home.log.state();
  EXPECT_EQ(state.routes.at(default_route).home, target);
  EXPECT_FALSE(state.routes.at(default_route).opened);
  EXPECT_EQ(state.topics.at("orders").partitions[0].log, after_cutover());
  EXPECT_EQ(state.topics.at("orders").partitions[0].producers->at(77), (ProducerEntry{2, 9, 0}));
  write_flip(new_home, true, "open", after_cutover(), target, 1);
  state.merge(new_home.log.state());
  EXPECT_TRUE(state.routes.at(default_route).opened);
}

// The other log repeats the definitions; what the flip has spliced comes with the opening record alone.
TEST(ControlLog, ARouteThatIsOnlyClosedIsNotOpenInALogThatLearnsOfItThen) {
  ControlState known;
  RouteState& second = known.routes["r1"];
  second.id = "r1";
  second.name = "second";
  second.topics = {"payments"};
  second.home = target;
  second.generation = 1;
  second.opened = false;
  known.routes_revision = 1;
  Topic other_log;
  other_log.write(control_record::identity(other_log.chain("a"), "id"));
  other_log.write(control_record::routes(other_log.chain("b"), known));
  const RouteState& read = other_log.log.state().routes.at("r1");
  EXPECT_EQ(read.home, target);
  EXPECT_FALSE(read.opened);
}

TEST(ControlLog, TheTwoLogsMayBeReadInAnyOrder) {
  Topic source_log, target_log;
  const VirtualLog back = after_cutover().flipped(30, 0, source, 100, 5);
  write_flip(source_log, false, "close-1", after_cutover(), target, 1);
  write_flip(target_log, true, "open-1", after_cutover(), target, 1);
  write_flip(target_log, false, "close-2", back, source, 2);
  for (const bool source_first : {true, false}) {
    ControlState state = (source_first ? source_log : target_log).log.state();
    state.merge((source_first ? target_log : source_log).log.state());
    const RouteState& route = state.routes.at(default_route);
    EXPECT_EQ(route.generation, 2);
    EXPECT_EQ(route.home, source);
    EXPECT_FALSE(route.opened) << "only source's log can say so";
    EXPECT_EQ(state.topics.at("orders").partitions[0].log, back);
  }
  write_flip(source_log, true, "open-2", back, source, 2);
  for (const bool source_first : {true, false}) {
    ControlState state = (source_first ? source_log : target_log).log.state();
    state.merge((source_first ? target_log : source_log).log.state());
    EXPECT_TRUE(state.routes.at(default_route).opened);
    EXPECT_EQ(state.topics.at("orders").generation(), 2);
  }
}

TEST(ControlLog, AnOlderFlipThatIsReadLateChangesNothing) {
  Topic topic;
  const VirtualLog back = after_cutover().flipped(30, 0, source, 100, 5);
  write_flip(topic, false, "late", back, source, 2);
  write_flip(topic, false, "early", after_cutover(), target, 1);
  EXPECT_EQ(topic.log.state().routes.at(default_route).generation, 2);
  EXPECT_EQ(topic.log.state().topics.at("orders").partitions[0].log, back);
}

TEST(ControlLog, AFlipWhosePartsAreMissingDoesNotCount) {
  Topic topic;
  topic.write(control_record::identity(topic.chain("a"), "id"));
  topic.write(control_record::close(topic.chain("b"), default_at(target, 1), "nowhere", 1));
  EXPECT_EQ(topic.log.state().routes.at(default_route).generation, 0);
  EXPECT_EQ(topic.log.unreadable(), 1u);
}

TEST(ControlLog, ASnapshotStandsForWhatWasTrimmed) {
  Topic topic;
  topic.write(control_record::identity(topic.chain("a"), "id"));
  topic.write(control_record::broker(topic.chain("b"), 0, {source, 3001, 9093}));
  write_flip(topic, false, "close", after_cutover(), target, 1);
  const auto parts = control_record::parts("snap", topic.log.state().topics, {});
  std::vector<std::pair<Offset, Bytes>> kept;
  for (const Bytes& part : parts) kept.emplace_back(topic.write(part), part);
  const Bytes snapshot = control_record::snapshot(topic.chain("s"), topic.log.state(), "snap", parts.size());
  kept.emplace_back(topic.write(snapshot), snapshot);
  EXPECT_EQ(topic.log.snapshot_from(), kept.front().first);
  EXPECT_EQ(topic.log.records_since_snapshot(), 0u);
  const Bytes later = control_record::broker(topic.chain("c"), 1, {target, 7001, 9094});
  kept.emplace_back(topic.write(later), later);

  ControlLog fresh;
  for (const auto& [offset, record] : kept) fresh.fold(offset, record);
  EXPECT_EQ(fresh.state().cluster_id, "id");
  EXPECT_EQ(fresh.state().brokers.size(), 2u);
  EXPECT_EQ(fresh.state().routes.at(default_route).generation, 1);
  EXPECT_FALSE(fresh.state().routes.at(default_route).opened);
  EXPECT_EQ(fresh.state().topics.at("orders").partitions[0].log, after_cutover());
  EXPECT_EQ(fresh.last_accepted(), topic.log.last_accepted());
}

TEST(ControlLog, ForeignBytesAreCountedAndIgnored) {
  Topic topic;
  topic.write(control_record::identity(topic.chain("a"), "id"));
  for (const Bytes& bytes : {Bytes(), Bytes("{"), Bytes("[]"), Bytes("{\"v\":1}"), Bytes("\xff\x00\x01", 3)})
    topic.write(bytes);
  EXPECT_EQ(topic.log.unreadable(), 5u);
  EXPECT_EQ(topic.log.last_accepted(), 0);
  topic.write(control_record::broker(topic.chain("b"), 0, {source, 3001, 9093}));
  EXPECT_EQ(topic.log.state().brokers.size(), 1u);
}

// One that nobody can read would end the chain.
TEST(ControlLog, NamesThatAreNoTextAreWrittenAsText) {
  Topic topic;
  topic.write(control_record::identity(topic.chain("\xff"), "id\xc3"));
  Bindings moved;
  moved.ids["sh\xf6p"] = {target, 1, {}, {}, LastEnd::none, {}, {{{"\xe2\x82", 0}, 3}}};
  moved.groups["\xff"] = {target, 1};
  const auto parts = control_record::parts("parts", {{"\xed\xa0\x80", orders(after_cutover()).at("orders")}}, moved);
  for (const Bytes& part : parts) topic.write(part);
  topic.write(control_record::bind(topic.chain("bind"), "parts", parts.size()));
  EXPECT_EQ(topic.log.unreadable(), 0u);
  EXPECT_EQ(topic.log.last_accepted(), topic.next - 1);
  EXPECT_EQ(topic.log.state().bindings.home_of("sh\xef\xbf\xbdp"), target);
  EXPECT_EQ(topic.log.state().bindings.home_of_group("\xef\xbf\xbd"), target);
}

TEST(ControlLog, ANewerFormatIsNoticedAndNotFolded) {
  Topic topic;
  topic.write("{\"v\":2,\"type\":\"identity\",\"id\":\"x\",\"prev\":-1,\"cluster_id\":\"other\"}");
  EXPECT_TRUE(topic.log.newer_seen());
  EXPECT_EQ(topic.log.state().cluster_id, "");
}

// The old home closed the route for a flip that nobody else came to know of; then it was recovered.
TEST(ControlState, ARecoveryHoldsWhateverTheOldHomeSays) {
  Topic old_home, new_home;
  write_flip(old_home, false, "flip", after_cutover(), target, 1);
  const VirtualLog recovered = VirtualLog::identity(source).recovered(90, 5, target, 3, 0);
  const auto parts = control_record::parts("recovery", orders(recovered), {});
  for (const Bytes& part : parts) new_home.write(part);
  RouteState route = default_at(target, 2);
  route.recovered = true;
  new_home.write(control_record::open(new_home.chain("recover"), route, "recovery", parts.size()));
  for (const bool old_first : {true, false}) {
    ControlState together = (old_first ? old_home : new_home).log.state();
    together.merge((old_first ? new_home : old_home).log.state());
    const RouteState& now = together.routes.at(default_route);
    EXPECT_EQ(now.generation, 2);
    EXPECT_TRUE(now.opened);
    EXPECT_TRUE(now.recovered);
    EXPECT_EQ(together.topics.at("orders").partitions[0].log, recovered);
    EXPECT_TRUE(together.topics.at("orders").partitions[0].log.segments()[0].assumed);
  }
  // Told later, by a snapshot: either log alone suffices from then on.
  ControlState all = new_home.log.state();
  all.merge(old_home.log.state());
  const auto told = control_record::parts("told", all.topics, all.bindings);
  for (const Bytes& part : told) old_home.write(part);
  old_home.write(control_record::snapshot(old_home.chain("snapshot"), all, "told", told.size()));
  EXPECT_EQ(old_home.log.state().routes.at(default_route).generation, 2);
  EXPECT_TRUE(old_home.log.state().routes.at(default_route).recovered);
  EXPECT_EQ(old_home.log.state().topics.at("orders").partitions[0].log, recovered);
}

}  // namespace
}  // namespace crossover::proxy
