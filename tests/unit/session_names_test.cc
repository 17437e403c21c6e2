// What admin tools are told of producers, transactional ids and groups that live elsewhere than the clients think.
#include "proxy/producer_id.h"
#include "tests/unit/handler_script.h"

namespace crossover::test {
namespace {

using namespace protocol;
using proxy::ProducerName;

// "shop" was initialised on the source as 4000, epoch 5; moved to the target, where it became 9, epoch 2.
struct NamesScript : HandlerScript {
  std::shared_ptr<proxy::Snapshot> moved() {
    auto snapshot = world(on_target(), on_target());
    auto bindings = std::make_shared<proxy::Bindings>();
    bindings->ids["shop"] = {target, 1, {4000, 5}, {9, 2}, proxy::LastEnd::committed};
    bindings->groups["readers"] = {target, 1};
    snapshot->bindings = bindings;
    auto topic = std::make_shared<proxy::TopicView>(*snapshot->topics.at("orders"));
    auto table = std::make_shared<proxy::ProducerTable>();
    (*table)[4000] = {5, 99, 0};
    topic->partitions[0].producers = table;
    add_topic(*snapshot, topic);
    return snapshot;
  }
  using Rows = std::vector<DescribeProducersResponse::ProducerState>;
  // What a client is told when the open segment's leader says that.
  Rows described(const Rows& said) {
    begin(moved());
    DescribeProducersRequest request;
    request.topics.emplace_back().name = "orders";
    request.topics[0].partition_indexes = {0};
    ask(ApiKey::DescribeProducers, 0, request);
    DescribeProducersResponse response;
    response.topics.emplace_back().name = "orders";
    response.topics[0].partitions.emplace_back().active_producers = said;
    answer(at_broker(target).value(), response);
    return next_answer<DescribeProducersResponse>(ApiKey::DescribeProducers, 0)
        .value()
        .topics.at(0)
        .partitions.at(0)
        .active_producers;
  }
};

TEST_F(NamesScript, AMovedProducerIsDescribedAsItsClientKnowsItself) {
  const Rows got = described({{.producer_id = 9,
                               .producer_epoch = 2,
                               .last_sequence = 10,
                               .last_timestamp = 77,
                               .current_txn_start_offset = 45}});
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].producer_id, 4000);
  EXPECT_EQ(got[0].producer_epoch, 5);
  EXPECT_EQ(got[0].last_sequence, 110) << "its sequences go on";
  EXPECT_EQ(got[0].last_timestamp, 77);
  EXPECT_EQ(got[0].current_txn_start_offset, 105);
}

TEST_F(NamesScript, WhatItsNewHomeGaveItLaterIsVirtual) {
  const Rows got = described({{.producer_id = 9, .producer_epoch = 3, .last_sequence = 4}});
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].producer_id, proxy::virtual_producer_id(target, 9));
  EXPECT_EQ(got[0].producer_epoch, 3);
  EXPECT_EQ(got[0].last_sequence, 4);
}

TEST_F(NamesScript, StateOfAnEarlierStayIsNotShown) {
  EXPECT_TRUE(described({{.producer_id = 9, .producer_epoch = 1, .last_sequence = 4}}).empty());
}

TEST_F(NamesScript, OneProducerIsDescribedOnce) {
  const proxy::ProducerId known_as = 4711;
  const std::int32_t now_in = on_target().open_segment().generation;
  const Rows got = described(
      {{.producer_id = proxy::wire_producer_id(known_as, target, now_in), .last_sequence = 8, .last_timestamp = 20},
       {.producer_id = proxy::wire_producer_id(known_as, target, now_in + 2),
        .last_sequence = 3,
        .last_timestamp = 10}});
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].producer_id, known_as);
  EXPECT_EQ(got[0].last_sequence, 8);
}

TEST_F(NamesScript, ATransactionIsDescribedAsItsClientKnowsItself) {
  begin(moved());
  DescribeTransactionsRequest request;
  request.transactional_ids = {"shop"};
  ask(ApiKey::DescribeTransactions, 0, request);
  const Reached find = at_broker(target).value();
  ASSERT_EQ(find.header.api, ApiKey::FindCoordinator);
  answer(find, FindCoordinatorResponse{.node_id = real_node(target, 0)});
  DescribeTransactionsResponse response;
  auto& row = response.transaction_states.emplace_back();
  row.transactional_id = "shop";
  row.transaction_state = "Ongoing";
  row.producer_id = 9;
  row.producer_epoch = 2;
  answer(at_broker(target).value(), response);
  const auto got = next_answer<DescribeTransactionsResponse>(ApiKey::DescribeTransactions, 0).value();
  EXPECT_EQ(got.transaction_states.at(0).producer_id, 4000);
  EXPECT_EQ(got.transaction_states.at(0).producer_epoch, 5);
}

// "shop" as above; "till" was new on the target, as 12.
struct ListScript : NamesScript {
  using Ids = std::vector<std::int64_t>;
  static constexpr std::int64_t given_by_target = (std::int64_t{3} << 61);  // and the number that it gave

  void SetUp() override {
    const auto snapshot = moved();
    for (const auto& [id, broker] : snapshot->brokers) {
      if (broker.cluster == target && broker.real_id == real_node(target, 0)) options.virtual_broker = id;
    }
    auto bindings = std::make_shared<proxy::Bindings>(*snapshot->bindings);
    bindings->ids["till"] = {target, 1, {}, {12, 0}};
    snapshot->bindings = bindings;
    begin(snapshot);
  }
  // Whom a client finds that asks the target's broker with that filter, whatever that one makes of it.
  Ids found(const Ids& filter) {
    ListTransactionsRequest request;
    request.producer_id_filters = filter;
    ask(ApiKey::ListTransactions, 0, request);
    const Reached sent = at_broker(target).value();
    asked = sent.as<ListTransactionsRequest>().producer_id_filters;
    ListTransactionsResponse response;
    response.transaction_states = {
        {"shop", 9, "Ongoing"}, {"till", 12, "Ongoing"}, {"left", 12, "Empty"}, {"__crossover_offsets", 13, "Empty"}};
    answer(sent, response);
    Ids ids;
    for (const auto& row :
         next_answer<ListTransactionsResponse>(ApiKey::ListTransactions, 0).value().transaction_states)
      ids.push_back(row.producer_id);
    return ids;
  }
  Ids asked;  // of the broker
};

TEST_F(ListScript, ListedTransactionsAreVirtualAndFiltersAreReal) {
  EXPECT_EQ(found({}), (Ids{4000, given_by_target + 12})) << "the others are not at home there, or not a client's";
  EXPECT_EQ(asked, Ids{});
  EXPECT_EQ(found({4000}), Ids{4000});
  EXPECT_EQ(asked, Ids{9});
  EXPECT_EQ(found({given_by_target + 12, 5}), Ids{given_by_target + 12});
  EXPECT_EQ(asked, Ids{12});
  EXPECT_EQ(found({given_by_target + 9}), Ids{given_by_target + 9}) << "its name there after a higher epoch";
}

// A number that both clusters have handed out.
TEST_F(ListScript, AProducerOfTheOtherClusterIsNotAskedFor) {
  EXPECT_EQ(found({12}), Ids{});
  EXPECT_EQ(asked, Ids{-1}) << "no filter at all would be everything";
  EXPECT_EQ(found({12, 4000}), Ids{4000});
  EXPECT_EQ(asked, Ids{9});
}

// --- deletions of a group whose offsets are on the target, its members on the source ---

struct DeletionsScript : NamesScript {
  // The next question to a coordinator of that cluster, which is found on the way.
  Reached at_coordinator(Cluster cluster) {
    Reached reached = at_broker(cluster).value();
    if (reached.header.api != ApiKey::FindCoordinator) return reached;
    answer(reached, FindCoordinatorResponse{.node_id = real_node(cluster, 0)});
    return at_broker(cluster).value();
  }
  std::int16_t deleted(std::int16_t with_members, std::optional<std::int16_t> with_offsets) {
    begin(moved());
    DeleteGroupsRequest request;
    request.groups_names = {"readers"};
    ask(ApiKey::DeleteGroups, 2, request);
    for (const auto& [cluster, error] :
         {std::pair(source, std::optional(with_members)), std::pair(target, with_offsets)}) {
      if (!error) continue;
      const Reached sent = at_coordinator(cluster);
      EXPECT_EQ(sent.as<DeleteGroupsRequest>().groups_names, std::vector<std::string>{"readers"});
      DeleteGroupsResponse response;
      response.results.push_back({.group_id = "readers", .error_code = *error});
      answer(sent, response);
    }
    return next_answer<DeleteGroupsResponse>(ApiKey::DeleteGroups, 2).value().results.at(0).error_code;
  }
};

constexpr std::int16_t non_empty_group = 68, no_such_group = 69, subscribed = 86;

TEST_F(DeletionsScript, AGroupIsDeletedWhereItsMembersAndWhereItsOffsetsAre) {
  EXPECT_EQ(deleted(0, 0), 0);
}
TEST_F(DeletionsScript, AGroupThatNeverHadMembersIsDeletedWhereItsOffsetsAre) {
  EXPECT_EQ(deleted(no_such_group, 0), 0);
}
TEST_F(DeletionsScript, AGroupWithMembersKeepsItsOffsets) {
  EXPECT_EQ(deleted(non_empty_group, std::nullopt), non_empty_group);
}
TEST_F(DeletionsScript, AGroupThatIsNowhereIsNotFound) {
  EXPECT_EQ(deleted(no_such_group, no_such_group), no_such_group);
}

TEST_F(DeletionsScript, OffsetsAreDeletedWhereTheyAreUnlessSubscribed) {
  begin(moved());
  OffsetDeleteRequest request;
  request.group_id = "readers";
  request.topics.push_back({"orders", {{0}, {1}}});
  ask(ApiKey::OffsetDelete, 0, request);
  const Reached first = at_coordinator(source);
  OffsetDeleteResponse response;
  response.topics.push_back({"orders", {{0, 0}, {1, subscribed}}});
  answer(first, response);
  const Reached second = at_coordinator(target);
  const auto asked = second.as<OffsetDeleteRequest>();
  ASSERT_EQ(asked.topics.at(0).partitions.size(), 1u);
  EXPECT_EQ(asked.topics[0].partitions[0].partition_index, 0);
  OffsetDeleteResponse done;
  done.topics.push_back({"orders", {{0, 0}}});
  answer(second, done);
  const auto got = next_answer<OffsetDeleteResponse>(ApiKey::OffsetDelete, 0).value();
  EXPECT_EQ(got.error_code, 0);
  ASSERT_EQ(got.topics.size(), 2u);
  EXPECT_EQ(got.topics[1].partitions.at(0).error_code, subscribed);
}

}  // namespace
}  // namespace crossover::test
