#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "protocol/schema.h"

namespace crossover::protocol {
namespace {

const Field* find(std::span<const Field> rows, std::string_view name) {
  for (const Field& row : rows)
    if (row.name == name) return &row;
  return nullptr;
}

TEST(Schema, EveryApiHasARequestAndAResponseOfTheSameVersions) {
  std::set<std::int16_t> keys;
  for (const Message& message : messages()) {
    keys.insert(static_cast<std::int16_t>(message.api));
    const Message* request = find_message(message.api, Direction::request);
    const Message* response = find_message(message.api, Direction::response);
    ASSERT_TRUE(request && response) << message.name;
    EXPECT_EQ(request->versions, response->versions) << message.name;
    EXPECT_EQ(find_message(message.api, message.direction), &message);
    EXPECT_FALSE(api_name(message.api).empty());
  }
  EXPECT_EQ(keys.size(), 95u);
  EXPECT_EQ(*keys.rbegin(), 94);
}

TEST(Schema, UnknownApis) {
  for (const int key : {-1, 95, 32767, -32768}) {
    EXPECT_EQ(find_message(static_cast<ApiKey>(key), Direction::request), nullptr);
    EXPECT_EQ(api_name(static_cast<ApiKey>(key)), "");
    EXPECT_EQ(request_header_version(static_cast<ApiKey>(key), 0), 1);
    EXPECT_EQ(response_header_version(static_cast<ApiKey>(key), 0), 0);
  }
}

TEST(Schema, VersionsAreTheUnionOfTheReleases) {
  EXPECT_EQ(find_message(ApiKey::Produce, Direction::request)->versions, (VersionRange{0, 13}));
  EXPECT_EQ(find_message(ApiKey::Fetch, Direction::response)->versions, (VersionRange{0, 18}));
  EXPECT_EQ(find_message(ApiKey::LeaderAndIsr, Direction::request)->versions, (VersionRange{0, 7}));
}

TEST(Schema, UnstableVersionsAreLeftOut) {
  EXPECT_EQ(find_message(ApiKey::InitProducerId, Direction::request)->versions, (VersionRange{0, 5}));
  EXPECT_EQ(find_message(ApiKey::InitProducerId, Direction::response)->versions, (VersionRange{0, 5}));
  EXPECT_EQ(find_message(ApiKey::ShareFetch, Direction::request)->versions, (VersionRange{1, 2}));
}

TEST(Schema, FieldsThatNewReleasesDroppedKeepTheirPlace) {
  const Field* topics = find(find_message(ApiKey::ListOffsets, Direction::request)->fields, "Topics");
  const Field* partitions = find(topics->children, "Partitions");
  const Field* dropped = find(partitions->children, "MaxNumOffsets");
  ASSERT_TRUE(dropped);
  EXPECT_EQ(dropped->versions, (VersionRange{0, 0}));
  EXPECT_EQ(dropped, &partitions->children.back());
}

TEST(Schema, RolesOfTheFetchAnswer) {
  const Message& fetch = *find_message(ApiKey::Fetch, Direction::response);
  const Field* partitions = find(find(fetch.fields, "Responses")->children, "Partitions");
  const auto role = [&](std::string_view name) { return find(partitions->children, name)->role; };
  EXPECT_EQ(role("PartitionIndex"), Role::partition);
  EXPECT_EQ(role("HighWatermark"), Role::offset);
  EXPECT_EQ(role("Records"), Role::records);
  EXPECT_EQ(role("PreferredReadReplica"), Role::node_id);
  const Field* leader = find(partitions->children, "CurrentLeader");
  EXPECT_EQ(leader->tag, 1);
  EXPECT_EQ(find(leader->children, "LeaderId")->role, Role::node_id);
  EXPECT_EQ(find(leader->children, "LeaderEpoch")->role, Role::leader_epoch);
  const Field* nodes = find(fetch.fields, "NodeEndpoints");
  EXPECT_EQ(find(nodes->children, "Host")->role, Role::host);
  EXPECT_EQ(find(nodes->children, "Port")->role, Role::port);
}

void visit_fields(std::span<const Field> rows, const std::function<void(const Field&)>& visit) {
  for (const Field& row : rows) {
    visit(row);
    visit_fields(row.children, visit);
  }
}

// What a name that leaves no doubt means must not be missed when a release brings a new message.
TEST(Schema, TellingNamesHaveTheirRoles) {
  const std::pair<std::string_view, Role> telling[] = {{"TopicId", Role::topic_id},
                                                       {"LeaderEpoch", Role::leader_epoch},
                                                       {"ErrorCode", Role::error_code},
                                                       {"ClusterId", Role::cluster_id},
                                                       {"NodeId", Role::node_id},
                                                       {"LeaderId", Role::node_id},
                                                       {"ProducerId", Role::producer_id},
                                                       {"ProducerEpoch", Role::producer_epoch},
                                                       {"GroupId", Role::group_id},
                                                       {"MemberId", Role::member_id},
                                                       {"ThrottleTimeMs", Role::throttle},
                                                       {"PartitionIndex", Role::partition},
                                                       {"TopicName", Role::topic_name},
                                                       {"StartOffset", Role::offset},
                                                       {"CommittedOffset", Role::offset},
                                                       {"ControllerId", Role::controller_id},
                                                       {"TransactionalId", Role::transactional_id}};
  for (const Message& message : messages())
    visit_fields(message.fields, [&](const Field& row) {
      for (const auto& [name, role] : telling)
        if (row.name == name) {
          EXPECT_EQ(row.role, role) << message.name << " " << name;
        }
    });
}

TEST(Schema, HeaderVersions) {
  EXPECT_EQ(request_header_version(ApiKey::Produce, 8), 1);
  EXPECT_EQ(request_header_version(ApiKey::Produce, 9), 2);
  EXPECT_EQ(request_header_version(ApiKey::ControlledShutdown, 0), 0);
  EXPECT_EQ(request_header_version(ApiKey::ControlledShutdown, 1), 1);
  EXPECT_EQ(request_header_version(ApiKey::ApiVersions, 3), 2);
  EXPECT_EQ(request_header_version(ApiKey::SaslHandshake, 1), 1);
  EXPECT_EQ(response_header_version(ApiKey::ApiVersions, 3), 0);
  EXPECT_EQ(response_header_version(ApiKey::Fetch, 11), 0);
  EXPECT_EQ(response_header_version(ApiKey::Fetch, 12), 1);
}

}  // namespace
}  // namespace crossover::protocol
