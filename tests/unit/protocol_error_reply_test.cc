#include <gtest/gtest.h>

#include <set>

#include "protocol/error_reply.h"
#include "protocol/messages.h"
#include "protocol/walk.h"
#include "tests/unit/random_message.h"

namespace crossover::protocol {
namespace {

constexpr std::int16_t not_leader = 6;

template <class Response, class Request>
std::optional<Response> reply(const Request& request, Version version) {
  const auto body = error_reply(Request::api, version, encode(request, version), ErrorCode::NOT_LEADER_OR_FOLLOWER);
  if (!body) return std::nullopt;
  return decode<Response>(*body, version);
}

class ErrorCounter : public Visitor {
 public:
  explicit ErrorCounter(BytesView body) : body_(body) {}
  void value(const Visit& visit) override {
    if (visit.field.role != Role::error_code || visit.size != 2) return;
    ++errors;
    wrong += body_.substr(visit.at, 2) != BytesView("\0\x06", 2);
  }
  int errors = 0;
  int wrong = 0;

 private:
  BytesView body_;
};

TEST(ErrorReply, ParsesAndCarriesOnlyTheErrorForEveryRequest) {
  for (const Message& request : messages()) {
    if (request.direction != Direction::request) continue;
    const Message& response = *find_message(request.api, Direction::response);
    for (Version version = request.versions.first; version <= request.versions.last; ++version)
      for (std::uint32_t seed = 0; seed < 10; ++seed) {
        SCOPED_TRACE(std::string(request.name) + " v" + std::to_string(version) + " seed " + std::to_string(seed));
        const Bytes body = test::random_message(request, version, seed).bytes;
        const auto answer = error_reply(request.api, version, body, ErrorCode::NOT_LEADER_OR_FOLLOWER);
        if (!answer) continue;
        ErrorCounter counter(*answer);
        ASSERT_TRUE(walk(response, version, *answer, counter));
        EXPECT_GT(counter.errors, 0);
        EXPECT_EQ(counter.wrong, 0);
      }
  }
}

// A request that names something is answered, whatever the API; the few that cannot be are listed with the reason.
TEST(ErrorReply, NoApiIsForgotten) {
  std::set<std::string> silent;
  for (const Message& request : messages()) {
    if (request.direction != Direction::request) continue;
    for (Version version = request.versions.first; version <= request.versions.last; ++version) {
      bool answered = false;
      for (std::uint32_t seed = 0; seed < 20 && !answered; ++seed)
        answered = error_reply(request.api, version, test::random_message(request, version, seed).bytes,
                               ErrorCode::NOT_LEADER_OR_FOLLOWER)
                       .has_value();
      if (!answered) silent.insert(std::string(api_name(request.api)) + " " + std::to_string(version));
    }
  }
  // Answers by log directory, which the request does not name.
  EXPECT_EQ(silent, (std::set<std::string>{"DescribeLogDirs 0", "DescribeLogDirs 1", "DescribeLogDirs 2"}));
}

TEST(ErrorReply, ProduceNamesEveryPartition) {
  ProduceRequest request{.topic_data = {{.name = "a", .partition_data = {{.index = 1}, {.index = 2}}}, {.name = "b"}}};
  const auto answer = reply<ProduceResponse>(request, 9);
  ASSERT_TRUE(answer);
  ASSERT_EQ(answer->responses.size(), 2u);
  EXPECT_EQ(answer->responses[0].name, "a");
  ASSERT_EQ(answer->responses[0].partition_responses.size(), 2u);
  const auto& partition = answer->responses[0].partition_responses[1];
  EXPECT_EQ(partition.index, 2);
  EXPECT_EQ(partition.error_code, not_leader);
  EXPECT_EQ(partition.base_offset, -1);
  EXPECT_EQ(partition.log_append_time_ms, -1);
}

TEST(ErrorReply, ProduceByTopicId) {
  Uuid id;
  id.bytes.fill(7);
  const auto answer =
      reply<ProduceResponse>(ProduceRequest{.topic_data = {{.topic_id = id, .partition_data = {{.index = 1}}}}}, 13);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->responses.at(0).topic_id, id);
}

TEST(ErrorReply, FetchAnswersTopicsButNotForgottenOnes) {
  const FetchRequest request{.topics = {{.topic = "t", .partitions = {{.partition = 4}}}},
                             .forgotten_topics_data = {{.topic = "gone", .partitions = {1}}}};
  const auto answer = reply<FetchResponse>(request, 11);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->error_code, not_leader);
  ASSERT_EQ(answer->responses.size(), 1u);
  EXPECT_EQ(answer->responses[0].topic, "t");
  const auto& partition = answer->responses[0].partitions.at(0);
  EXPECT_EQ(partition.partition_index, 4);
  EXPECT_EQ(partition.error_code, not_leader);
  EXPECT_EQ(partition.high_watermark, -1);
  EXPECT_EQ(partition.records, BytesView(""));
}

TEST(ErrorReply, GroupsByName) {
  const auto described = reply<DescribeGroupsResponse>(DescribeGroupsRequest{.groups = {"g", "h"}}, 5);
  ASSERT_TRUE(described);
  ASSERT_EQ(described->groups.size(), 2u);
  EXPECT_EQ(described->groups[1].group_id, "h");
  EXPECT_EQ(described->groups[1].error_code, not_leader);

  OffsetFetchRequest fetch;
  fetch.groups = {{.group_id = "g"}};
  fetch.groups[0].topics.emplace().push_back({.name = "t", .partition_indexes = {3}});
  const auto fetched = reply<OffsetFetchResponse>(fetch, 8);
  ASSERT_TRUE(fetched);
  EXPECT_EQ(fetched->groups.at(0).group_id, "g");
  EXPECT_EQ(fetched->groups[0].error_code, not_leader);
  const auto& partition = fetched->groups[0].topics.at(0).partitions.at(0);
  EXPECT_EQ(partition.partition_index, 3);
  EXPECT_EQ(partition.committed_offset, -1);
}

TEST(ErrorReply, TopLevelOnes) {
  const auto joined = reply<JoinGroupResponse>(JoinGroupRequest{.group_id = "g", .member_id = "m"}, 9);
  ASSERT_TRUE(joined);
  EXPECT_EQ(joined->error_code, not_leader);
  EXPECT_EQ(joined->generation_id, -1);
  EXPECT_EQ(joined->leader, "");
  const auto begun = reply<InitProducerIdResponse>(InitProducerIdRequest{.transactional_id = "t"}, 4);
  ASSERT_TRUE(begun);
  EXPECT_EQ(begun->error_code, not_leader);
  EXPECT_EQ(begun->producer_id, -1);
  const auto found = reply<FindCoordinatorResponse>(FindCoordinatorRequest{.key = "k"}, 3);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->node_id, -1);
  const auto many = reply<FindCoordinatorResponse>(FindCoordinatorRequest{.coordinator_keys = {"k"}}, 4);
  ASSERT_TRUE(many);
  EXPECT_EQ(many->coordinators.at(0).key, "k");
}

TEST(ErrorReply, DeleteTopicsByNameOrId) {
  const auto by_name = reply<DeleteTopicsResponse>(DeleteTopicsRequest{.topic_names = {"a", "b"}}, 4);
  ASSERT_TRUE(by_name);
  EXPECT_EQ(by_name->responses.at(1).name, "b");
  Uuid id;
  id.bytes.fill(1);
  const auto by_id = reply<DeleteTopicsResponse>(DeleteTopicsRequest{.topics = {{.topic_id = id}}}, 6);
  ASSERT_TRUE(by_id);
  EXPECT_EQ(by_id->responses.at(0).topic_id, id);
  EXPECT_EQ(by_id->responses[0].name, std::nullopt);
}

TEST(ErrorReply, NoneWhereNothingCouldSayIt) {
  // All topics: an empty answer would pass for an empty cluster.
  EXPECT_FALSE(reply<MetadataResponse>(MetadataRequest{.topics = std::nullopt}, 8));
  EXPECT_FALSE(error_reply(ApiKey::Heartbeat, 4, "garbage", ErrorCode::NOT_COORDINATOR));
  EXPECT_FALSE(error_reply(ApiKey::Heartbeat, 99, "", ErrorCode::NOT_COORDINATOR));
  EXPECT_FALSE(error_reply(static_cast<ApiKey>(1234), 0, "", ErrorCode::NOT_COORDINATOR));
}

}  // namespace
}  // namespace crossover::protocol
