// Writes whose answers were lost: what settles them, and what they keep a flip from.
#include "proxy/unknown_outcomes.h"

#include <gtest/gtest.h>

#include "protocol/record_batch.h"
#include "tests/unit/controller_world.h"

namespace crossover::proxy {
namespace {

UnknownOutcome lost(ProducerEpoch epoch, std::int32_t last_sequence, Millis at = 0) {
  UnknownOutcome one;
  one.writer = {Cluster::source, {"default", 0}, "orders", 0, 7};
  one.epoch = epoch;
  one.last_sequence = last_sequence;
  one.records = 1;
  one.at = at;
  return one;
}

TEST(UnknownOutcomes, SettledByWhatTheClusterKnowsOfTheProducer) {
  EXPECT_FALSE(lost(0, 5).settled_by(0, 4));
  EXPECT_TRUE(lost(0, 5).settled_by(0, 5)) << "it landed, or its retry did";
  EXPECT_TRUE(lost(0, 5).settled_by(0, 9));
  EXPECT_TRUE(lost(0, 5).settled_by(1, -1)) << "a newer epoch: it is refused from now on";
  EXPECT_FALSE(lost(1, 5).settled_by(0, 9));
  EXPECT_TRUE(lost(0, 2'147'483'647).settled_by(0, 3)) << "sequences come round";
  UnknownOutcome nobodys = lost(-1, -1);
  nobodys.writer.producer = -1;
  EXPECT_FALSE(nobodys.settled_by(-1, -1)) << "nothing tells";
}

TEST(UnknownOutcomes, TheLastOfAProducerCounts) {
  UnknownOutcomes all;
  all.note(lost(0, 9, 10));
  all.note(lost(0, 5, 20));
  ASSERT_EQ(all.all().size(), 1u);
  EXPECT_EQ(all.all()[0].last_sequence, 9);
  EXPECT_EQ(all.all()[0].records, 2);
  EXPECT_EQ(all.all()[0].at, 20);
  all.note(lost(1, 0, 15));
  EXPECT_EQ(all.all()[0].epoch, 1);
  EXPECT_EQ(all.all()[0].last_sequence, 0);
  all.forget(request_horizon_ms + 20, {0, 0});
  EXPECT_EQ(all.all().size(), 1u);
  all.forget(request_horizon_ms + 21, {never, 0});
  EXPECT_EQ(all.all().size(), 1u) << "the cluster is away with it";
  all.forget(2 * request_horizon_ms + 50, {request_horizon_ms + 50, 0});
  EXPECT_EQ(all.all().size(), 1u) << "it has come back with it";
  all.forget(request_horizon_ms + 21, {0, 0});
  EXPECT_TRUE(all.all().empty());
}

TEST(UnknownOutcomes, BeyondTheirBoundTheRouteIsInDoubt) {
  UnknownOutcomes all;
  for (std::int64_t producer = 0; producer < 20'000; ++producer) {
    UnknownOutcome one = lost(0, 1);
    one.writer.producer = producer;
    all.note(one);
  }
  const auto kept = all.all();
  EXPECT_EQ(kept.size(), 10'001u);
  EXPECT_EQ(kept[0].writer, (UnknownOutcome::Writer{Cluster::source, {"default", 0}, "", 0, -1}));
  EXPECT_EQ(kept[0].records, 10'000);
}

struct DoubtGate : testing::Test {
  void SetUp() override {
    for (const Cluster c : both_clusters) world.cluster(c).create_topic("orders", 2);
    world.start("p1");
    world.run(3'000);
    ASSERT_EQ(world.flip(Cluster::target)->result, "done");
  }
  void land(std::int32_t sequence) {
    const Bytes batch = protocol::build_batch({{1, std::nullopt, "value"}}, 7, 0, sequence);
    ASSERT_EQ(world.cluster(Cluster::source).append_as_stranger("orders", 0, batch), protocol::ErrorCode::NONE);
  }
  Gate back(Cluster to = Cluster::source) {
    const auto report = world.begin_flip(to, true);
    world.run(200);
    return *report ? gate_named(**report, "unknown_outcomes") : Gate{"none", false, "no answer"};
  }
  ControllerWorld world;
};

TEST_F(DoubtGate, ALostWriteThatNothingSettlesKeepsItsClusterClosed) {
  land(4);
  UnknownOutcome write = lost(0, 5, world.now);
  write.client_id = "shop";
  world.lose(write);
  EXPECT_FALSE(back().ok);
  EXPECT_NE(back().detail.find("orders-0 (client shop)"), std::string::npos) << back().detail;
  EXPECT_NE(back().detail.find("try again in 30 s"), std::string::npos) << back().detail;
  world.run(request_horizon_ms);
  EXPECT_TRUE(back().ok) << back().detail;
}

TEST_F(DoubtGate, OneThatLandedOrWhoseRetryDidIsSettled) {
  world.lose(lost(0, 5, world.now));
  land(5);
  EXPECT_TRUE(back().ok) << back().detail;
}

TEST_F(DoubtGate, OneWithoutAProducerIsWaitedFor) {
  UnknownOutcome write = lost(-1, -1, world.now);
  write.writer.producer = -1;
  world.lose(write);
  land(5);
  EXPECT_FALSE(back().ok);
}

}  // namespace
}  // namespace crossover::proxy
