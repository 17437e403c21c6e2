// A group's offsets on their way to the other cluster: what is waited for before they are read there.
#include <gtest/gtest.h>

#include "protocol/messages.h"
#include "tests/unit/controller_world.h"

namespace crossover::proxy {
namespace {

using namespace protocol;

constexpr Cluster source = Cluster::source, target = Cluster::target;

struct GroupMoves : testing::Test {
  void SetUp() override {
    for (const Cluster c : both_clusters) world.cluster(c).create_topic("orders", 1);
    world.instead = [this](Cluster c, NodeId, ApiKey api, Version version, BytesView body) -> std::optional<Bytes> {
      if (c != source || api != ApiKey::OffsetFetch) return std::nullopt;
      ++asked;
      const bool waits = decode<OffsetFetchRequest>(body, version).value().require_stable;
      OffsetFetchResponse answer;
      answer.topics.push_back({.name = "orders", .partitions = {{.committed_offset = 5}}});
      if (pending && waits)
        answer.topics[0].partitions[0].error_code = static_cast<std::int16_t>(ErrorCode::UNSTABLE_OFFSET_COMMIT);
      return encode(answer, version);
    };
    world.start("p1");
    world.run(3'000);
    ASSERT_EQ(world.flip(target)->result, "done");
  }
  void want() {
    world.controller->on_want_binding({Bound::group, "readers", target}, world.now);
    world.run(500);
  }
  Cluster offsets_home() { return world.fold(source).state().bindings.home_of_group("readers"); }

  ControllerWorld world;
  bool pending = false;  // there are offsets of an open transaction
  int asked = 0;
};

TEST_F(GroupMoves, WaitForTransactionsWithOffsetsOfTheGroup) {
  pending = true;
  want();
  EXPECT_GT(asked, 0);
  EXPECT_EQ(offsets_home(), source);
  pending = false;
  world.run(500);
  EXPECT_EQ(offsets_home(), target);
}

TEST_F(GroupMoves, WaitForCommitsUnderWay) {
  world.commits_in_flight["readers"] = 1;
  want();
  EXPECT_EQ(asked, 0);
  world.commits_in_flight.clear();
  world.report();
  world.run(500);
  EXPECT_GT(asked, 0);
  EXPECT_EQ(offsets_home(), target);
}

}  // namespace
}  // namespace crossover::proxy
