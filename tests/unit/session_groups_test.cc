// What a group's coordinator says of topics that the proxy does not show.
#include "tests/unit/handler_script.h"

namespace crossover::test {
namespace {

using namespace protocol;

const Uuid shown = repeated(0x33), shown_really = repeated(0x91), hidden = repeated(0x77);

struct GroupsScript : HandlerScript {
  void begin_at(proxy::Millis asked_at) {
    const auto snapshot = world(on_source(), on_source());
    auto image = std::make_shared<proxy::ClusterImage>(*snapshot->images[0]);
    image->asked_at = asked_at;
    snapshot->images[0] = image;
    begin(snapshot);
  }
  Reached heartbeat() {
    ConsumerGroupHeartbeatRequest request;
    request.group_id = "g";
    ask(ApiKey::ConsumerGroupHeartbeat, 1, request);
    return at_broker(source).value();
  }
  static ConsumerGroupHeartbeatResponse assigned() {
    ConsumerGroupHeartbeatResponse response;
    auto& topics = response.assignment.emplace().topic_partitions;
    topics.push_back({hidden, {0}});
    topics.push_back({shown_really, {0, 1}});
    return response;
  }
  std::optional<ConsumerGroupHeartbeatResponse> next_heartbeat() {
    return next_answer<ConsumerGroupHeartbeatResponse>(ApiKey::ConsumerGroupHeartbeat, 1);
  }
};

TEST_F(GroupsScript, AssignmentsLeaveOutWhatIsNotShown) {
  begin_at(now);
  answer(heartbeat(), assigned());
  const auto got = next_heartbeat();
  ASSERT_TRUE(got && got->assignment);
  ASSERT_EQ(got->assignment->topic_partitions.size(), 1u);
  EXPECT_EQ(got->assignment->topic_partitions[0].topic_id, shown);
  EXPECT_EQ(got->assignment->topic_partitions[0].partitions, (std::vector<PartitionIndex>{0, 1}));
}

TEST_F(GroupsScript, AnAssignmentOfANewTopicWaitsUntilItIsKnown) {
  begin_at(0);
  answer(heartbeat(), assigned());
  EXPECT_FALSE(next_heartbeat());
  const auto later = world(on_source(), on_source());
  add_topic(*later, topic_view("new", {hidden, {}}, repeated(0x34), on_source(), 0));
  session->on_snapshot(later, now);
  const auto got = next_heartbeat();
  ASSERT_TRUE(got && got->assignment);
  ASSERT_EQ(got->assignment->topic_partitions.size(), 2u);
  EXPECT_EQ(got->assignment->topic_partitions[0].topic_id, repeated(0x34));
}

TEST_F(GroupsScript, AnAssignmentWaitsForATopicOnlySoLong) {
  begin_at(0);
  answer(heartbeat(), assigned());
  pass(options.limits.image_wait_ms);
  const auto got = next_heartbeat();
  ASSERT_TRUE(got && got->assignment);
  EXPECT_EQ(got->assignment->topic_partitions.size(), 1u);
}

TEST_F(GroupsScript, DescribedMembersLeaveOutWhatIsNotShown) {
  begin_at(now);
  ConsumerGroupDescribeRequest request;
  request.group_ids = {"g"};
  ask(ApiKey::ConsumerGroupDescribe, 1, request);
  ConsumerGroupDescribeResponse response;
  auto& member = response.groups.emplace_back().members.emplace_back();
  member.assignment.topic_partitions = {{shown_really, "orders", {0}}, {hidden, "__crossover_control", {0}}};
  member.target_assignment = member.assignment;
  answer(at_broker(source).value(), response);
  const auto got = next_answer<ConsumerGroupDescribeResponse>(ApiKey::ConsumerGroupDescribe, 1);
  ASSERT_TRUE(got);
  const auto& described = got->groups.at(0).members.at(0);
  for (const auto* topics : {&described.assignment.topic_partitions, &described.target_assignment.topic_partitions}) {
    ASSERT_EQ(topics->size(), 1u);
    EXPECT_EQ((*topics)[0].topic_id, shown);
  }
}

TEST_F(GroupsScript, AllThatAGroupCommittedLeavesOutWhatIsNotShown) {
  begin_at(now);
  OffsetFetchRequest request;
  request.groups.emplace_back().group_id = "g";
  request.groups[0].topics.reset();
  ask(ApiKey::OffsetFetch, 10, request);
  FindCoordinatorResponse coordinator;  // the client came by the bootstrap listener
  coordinator.node_id = real_node(source, 0);
  answer(at_broker(source).value(), coordinator);
  OffsetFetchResponse response;
  auto& group = response.groups.emplace_back();
  group.group_id = "g";
  for (const Uuid& id : {hidden, shown_really}) group.topics.emplace_back().topic_id = id;
  answer(at_broker(source).value(), response);
  const auto got = next_answer<OffsetFetchResponse>(ApiKey::OffsetFetch, 10);
  ASSERT_TRUE(got);
  ASSERT_EQ(got->groups.at(0).topics.size(), 1u);
  EXPECT_EQ(got->groups[0].topics[0].topic_id, shown);
}

}  // namespace
}  // namespace crossover::test
