#include <gtest/gtest.h>

#include "protocol/wire.h"
#include "tests/sim/cluster_client.h"

namespace crossover::sim {
namespace {

using protocol::DeleteGroupsRequest;
using protocol::DeleteGroupsResponse;
using protocol::DescribeGroupsRequest;
using protocol::DescribeGroupsResponse;
using protocol::HeartbeatRequest;
using protocol::HeartbeatResponse;
using protocol::JoinGroupRequest;
using protocol::JoinGroupResponse;
using protocol::LeaveGroupRequest;
using protocol::LeaveGroupResponse;
using protocol::ListGroupsRequest;
using protocol::ListGroupsResponse;
using protocol::OffsetCommitRequest;
using protocol::OffsetCommitResponse;
using protocol::OffsetDeleteRequest;
using protocol::OffsetDeleteResponse;
using protocol::OffsetFetchRequest;
using protocol::OffsetFetchResponse;
using protocol::SyncGroupRequest;
using protocol::SyncGroupResponse;

Bytes subscription(const std::string& topic) {
  Bytes bytes;
  protocol::Writer out(bytes);
  out.int16(0);
  out.int32(1);
  out.int16(static_cast<std::int16_t>(topic.size()));
  out.raw(topic);
  out.int32(-1);
  return bytes;
}

class SimGroup : public testing::Test {
 protected:
  SimGroup() : client(ClusterOptions{}) {
    client.cluster.create_topic("t", 2);
    client.cluster.create_topic("u", 1);
    home = client.cluster.coordinator("g");
  }

  // A member with its own connection to the coordinator.
  struct Member {
    ConnectionId connection = 0;
    std::string id;
    std::int32_t generation = -1;
    std::optional<std::string> instance;
  };

  Member member() { return {*client.cluster.connect(home), "", -1, std::nullopt}; }

  void send_join(const Member& who, protocol::Version version = 7, const std::string& protocol = "range") {
    JoinGroupRequest request;
    request.group_id = "g";
    request.session_timeout_ms = 6000;
    request.rebalance_timeout_ms = 10000;
    request.member_id = who.id;
    request.group_instance_id = who.instance;
    request.protocol_type = "consumer";
    request.protocols = {{protocol, subscription("t")}};
    client.send(who.connection, request, version);
  }

  JoinGroupResponse joined(Member& who, protocol::Version version = 7) {
    auto response = client.receive<JoinGroupResponse>(who.connection, version).value();
    who.id = response.member_id;
    if (response.error_code == 0) who.generation = response.generation_id;
    return response;
  }

  // Through the MEMBER_ID_REQUIRED round, up to the second request.
  void enter(Member& who) {
    send_join(who);
    EXPECT_EQ(joined(who).error_code, 79);
    send_join(who);
  }

  std::optional<SyncGroupResponse> sync(const Member& who, const std::vector<const Member*>& everybody = {}) {
    SyncGroupRequest request;
    request.group_id = "g";
    request.generation_id = who.generation;
    request.member_id = who.id;
    request.group_instance_id = who.instance;
    for (const Member* other : everybody) request.assignments.push_back({other->id, "for " + other->id});
    return client.ask<SyncGroupResponse>(who.connection, request, 3);
  }

  std::int16_t heartbeat(const Member& who) {
    HeartbeatRequest request;
    request.group_id = "g";
    request.generation_id = who.generation;
    request.member_id = who.id;
    request.group_instance_id = who.instance;
    return client.ask<HeartbeatResponse>(who.connection, request, 3).value().error_code;
  }

  std::int16_t commit(const Member& who, Offset offset, const std::string& metadata = "") {
    OffsetCommitRequest request;
    request.group_id = "g";
    request.generation_id_or_member_epoch = who.generation;
    request.member_id = who.id;
    request.group_instance_id = who.instance;
    request.topics.resize(1);
    request.topics[0].name = "t";
    request.topics[0].partitions.resize(1);
    request.topics[0].partitions[0].committed_offset = offset;
    request.topics[0].partitions[0].committed_leader_epoch = 5;
    request.topics[0].partitions[0].committed_metadata = metadata;
    auto response = client.ask<OffsetCommitResponse>(who.connection, request, 7);
    return response.value().topics.at(0).partitions.at(0).error_code;
  }

  // One stable member.
  Member stable() {
    Member who = member();
    enter(who);
    EXPECT_EQ(joined(who).error_code, 0);
    EXPECT_EQ(sync(who, {&who})->error_code, 0);
    return who;
  }

  ClusterClient client;
  NodeId home = -1;
};

TEST_F(SimGroup, AMemberJoinsAndIsAssigned) {
  Member a = member();
  enter(a);
  JoinGroupResponse response = joined(a);
  EXPECT_EQ(response.generation_id, 1);
  EXPECT_EQ(response.leader, a.id);
  EXPECT_EQ(response.protocol_name, "range");
  ASSERT_EQ(response.members.size(), 1u);
  EXPECT_EQ(response.members[0].metadata, subscription("t"));
  EXPECT_EQ(client.cluster.group("g")->state, "CompletingRebalance");
  EXPECT_EQ(sync(a, {&a})->assignment, "for " + a.id);
  EXPECT_EQ(client.cluster.group("g")->state, "Stable");
  EXPECT_EQ(heartbeat(a), 0);
}

TEST_F(SimGroup, ASecondMemberCausesARebalance) {
  Member a = stable();
  Member b = member();
  enter(b);
  EXPECT_FALSE(client.answered(b.connection));
  EXPECT_EQ(heartbeat(a), 27);
  EXPECT_EQ(commit(a, 7), 0);  // still accepted while the rebalance is prepared
  send_join(a);
  EXPECT_EQ(joined(a).members.size(), 2u);
  EXPECT_EQ(joined(b).members.size(), 0u);
  EXPECT_EQ(a.generation, 2);
  EXPECT_EQ(b.generation, 2);
  EXPECT_EQ(commit(a, 8), 27);
  EXPECT_FALSE(sync(b));
  EXPECT_EQ(sync(a, {&a, &b})->assignment, "for " + a.id);
  EXPECT_EQ(client.receive<SyncGroupResponse>(b.connection, 3)->assignment, "for " + b.id);
  EXPECT_EQ(commit(b, 9), 0);
}

TEST_F(SimGroup, WrongMembersAndGenerationsAreRefused) {
  Member a = stable();
  Member stranger = member();
  stranger.id = "nobody";
  stranger.generation = a.generation;
  EXPECT_EQ(heartbeat(stranger), 25);
  EXPECT_EQ(commit(stranger, 1), 25);
  send_join(stranger);
  EXPECT_EQ(joined(stranger).error_code, 25);
  Member old = a;
  old.generation = 0;
  EXPECT_EQ(heartbeat(old), 22);
  EXPECT_EQ(commit(old, 1), 22);
  Member outsider = member();
  EXPECT_EQ(commit(outsider, 1), 25);  // generation -1 is for empty groups only
}

TEST_F(SimGroup, ProtocolsMustHaveOneInCommon) {
  stable();
  Member b = member();
  send_join(b, 7, "sticky");
  EXPECT_EQ(joined(b).error_code, 23);
}

TEST_F(SimGroup, TheSessionTimeoutHasLimits) {
  Member a = member();
  JoinGroupRequest request;
  request.group_id = "g";
  request.session_timeout_ms = 5999;
  EXPECT_EQ(client.ask<JoinGroupResponse>(a.connection, request, 5)->error_code, 26);
  request.group_id = "";
  EXPECT_EQ(client.ask<JoinGroupResponse>(a.connection, request, 5)->error_code, 24);
}

TEST_F(SimGroup, ASilentMemberIsDropped) {
  Member a = stable();
  client.advance(5999);
  EXPECT_EQ(heartbeat(a), 0);
  client.advance(5999);
  EXPECT_EQ(client.cluster.group("g")->members.size(), 1u);
  client.advance(1);
  EXPECT_EQ(client.cluster.group("g")->state, "Empty");
  EXPECT_EQ(heartbeat(a), 25);
}

TEST_F(SimGroup, WhoDoesNotRejoinInTimeLosesItsPlace) {
  Member a = stable();
  Member b = member();
  enter(b);
  for (int i = 0; i < 4; ++i) {
    client.advance(2000);
    EXPECT_EQ(heartbeat(a), 27);
  }
  EXPECT_FALSE(client.answered(b.connection));
  client.advance(2000);
  EXPECT_EQ(joined(b).leader, b.id);
  EXPECT_EQ(heartbeat(a), 25);
}

TEST_F(SimGroup, ANewGroupWaitsForMoreMembers) {
  ClusterClient slow(ClusterOptions{.brokers = 1, .initial_rebalance_delay_ms = 3000});
  JoinGroupRequest request;
  request.group_id = "g";
  request.session_timeout_ms = 6000;
  request.rebalance_timeout_ms = 10000;
  request.protocol_type = "consumer";
  request.protocols = {{"range", ""}};
  slow.send(slow.to(1), request, 3);
  slow.advance(2999);
  EXPECT_FALSE(slow.answered(slow.to(1)));
  EXPECT_EQ(slow.cluster.next_deadline(), slow.now_ms + 1);
  slow.advance(1);
  EXPECT_TRUE(slow.answered(slow.to(1)));
}

TEST_F(SimGroup, LeavingRebalancesAndEmpties) {
  Member a = stable();
  LeaveGroupRequest request;
  request.group_id = "g";
  request.members = {{a.id, std::nullopt, std::nullopt}, {"nobody", std::nullopt, std::nullopt}};
  auto response = client.ask<LeaveGroupResponse>(a.connection, request, 5).value();
  EXPECT_EQ(response.members.at(0).error_code, 0);
  EXPECT_EQ(response.members.at(1).error_code, 25);
  EXPECT_EQ(client.cluster.group("g")->state, "Empty");
  EXPECT_EQ(client.cluster.group("g")->generation, 2);
}

TEST_F(SimGroup, AStaticMemberTakesItsPlaceBackUnnoticed) {
  Member a = member();
  a.instance = "one";
  send_join(a);
  ASSERT_EQ(joined(a).error_code, 0);
  ASSERT_EQ(sync(a, {&a})->error_code, 0);
  Member again = member();
  again.instance = "one";
  send_join(again);
  EXPECT_EQ(joined(again).error_code, 0);
  EXPECT_EQ(again.generation, 1);
  EXPECT_NE(again.id, a.id);
  EXPECT_EQ(heartbeat(a), 82);
  EXPECT_EQ(sync(again)->assignment, "for " + a.id);
}

TEST_F(SimGroup, OnlyTheCoordinatorAnswers) {
  NodeId other = home == 1 ? 2 : 1;
  Member a = stable();
  Member lost = a;
  lost.connection = client.to(other);
  EXPECT_EQ(heartbeat(lost), 16);
  EXPECT_EQ(commit(lost, 1), 16);
  client.cluster.stop_broker(home);
  lost.connection = *client.cluster.connect(client.cluster.coordinator("g"));
  EXPECT_EQ(heartbeat(lost), 0);  // the group itself survives
}

TEST_F(SimGroup, CommitsAreReadBackInEveryVersion) {
  Member outside = member();
  EXPECT_EQ(commit(outside, 1LL << 40, "note"), 0);
  EXPECT_EQ(client.cluster.committed("g").at({"t", 0}), (CommittedOffset{1LL << 40, 5, "note"}));
  for (protocol::Version version = 1; version <= 7; ++version) {
    OffsetFetchRequest request;
    request.group_id = "g";
    request.topics->push_back({"t", {0, 1}});
    auto topic = client.ask<OffsetFetchResponse>(outside.connection, request, version).value().topics.at(0);
    EXPECT_EQ(topic.partitions.at(0).committed_offset, 1LL << 40) << version;
    EXPECT_EQ(topic.partitions.at(0).metadata, "note") << version;
    EXPECT_EQ(topic.partitions.at(1).committed_offset, -1) << version;
  }
  for (protocol::Version version = 8; version <= 10; ++version) {
    OffsetFetchRequest request;
    request.groups.resize(2);
    request.groups[0].group_id = "g";
    request.groups[0].topics.reset();
    request.groups[1].group_id = "unknown";
    request.groups[1].topics.reset();
    // The other group may live elsewhere; its error must not touch this one.
    auto groups = client.ask<OffsetFetchResponse>(outside.connection, request, version).value().groups;
    ASSERT_EQ(groups.at(0).topics.size(), 1u) << version;
    EXPECT_EQ(groups[0].topics[0].partitions.at(0).committed_leader_epoch, 5) << version;
    EXPECT_TRUE(groups.at(1).topics.empty()) << version;
  }
}

TEST_F(SimGroup, CommitLimits) {
  Member outside = member();
  EXPECT_EQ(commit(outside, 1, std::string(4096, 'm')), 0);
  EXPECT_EQ(commit(outside, 1, std::string(4097, 'm')), 12);
  client.cluster.delete_topic("t");
  EXPECT_TRUE(client.cluster.committed("g").empty());
  EXPECT_EQ(commit(outside, 1), 3);
}

TEST_F(SimGroup, AdminSeesTheGroup) {
  Member a = stable();
  ListGroupsRequest list;
  list.states_filter = {"stable"};
  auto listed = client.ask<ListGroupsResponse>(a.connection, list, 5).value();
  ASSERT_EQ(listed.groups.size(), 1u);
  EXPECT_EQ(listed.groups[0].group_type, "classic");
  NodeId other = home == 1 ? 2 : 1;
  EXPECT_TRUE(client.ask<ListGroupsResponse>(client.to(other), list, 5)->groups.empty());
  DescribeGroupsRequest describe;
  describe.groups = {"g"};
  auto described = client.ask<DescribeGroupsResponse>(a.connection, describe, 5).value().groups.at(0);
  EXPECT_EQ(described.group_state, "Stable");
  EXPECT_EQ(described.members.at(0).member_assignment, "for " + a.id);
}

TEST_F(SimGroup, OnlyEmptyGroupsAreDeleted) {
  Member a = stable();
  commit(a, 3);
  DeleteGroupsRequest request;
  request.groups_names = {"g"};
  auto remove = [&] { return client.ask<DeleteGroupsResponse>(a.connection, request, 2)->results.at(0).error_code; };
  EXPECT_EQ(remove(), 68);
  client.advance(6000);
  EXPECT_EQ(remove(), 0);
  EXPECT_EQ(remove(), 69);
  EXPECT_TRUE(client.cluster.committed("g").empty());
}

TEST_F(SimGroup, OffsetsOfSubscribedTopicsAreNotDeleted) {
  Member a = stable();
  commit(a, 3);
  OffsetDeleteRequest request;
  request.group_id = "g";
  request.topics = {{"t", {{0}}}, {"u", {{0}}}};
  auto response = client.ask<OffsetDeleteResponse>(a.connection, request, 0).value();
  EXPECT_EQ(response.topics.at(0).partitions.at(0).error_code, 86);
  EXPECT_EQ(response.topics.at(1).partitions.at(0).error_code, 0);
  EXPECT_EQ(client.cluster.committed("g").size(), 1u);
  client.advance(6000);
  response = client.ask<OffsetDeleteResponse>(a.connection, request, 0).value();
  EXPECT_EQ(response.topics.at(0).partitions.at(0).error_code, 0);
  EXPECT_TRUE(client.cluster.committed("g").empty());
}

}  // namespace
}  // namespace crossover::sim
