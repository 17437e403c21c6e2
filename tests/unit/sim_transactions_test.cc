// The simulated transaction coordinator: who may do what in which state.
#include "tests/unit/sim_transactions.h"

namespace crossover::sim {
namespace {

using protocol::DescribeTransactionsRequest;
using protocol::DescribeTransactionsResponse;
using protocol::ListTransactionsRequest;
using protocol::ListTransactionsResponse;

constexpr std::int16_t not_coordinator = 16, out_of_order = 45, invalid_producer_epoch = 47, invalid_txn_state = 48,
                       invalid_mapping = 49, invalid_timeout = 50, concurrent = 51, fenced = 90;
constexpr ProducerEpoch last_usable_epoch = INT16_MAX - 1;

ClusterOptions slow_markers() {
  ClusterOptions options;
  options.transaction_marker_delay_ms = 40;
  return options;
}

class SimSlowMarkers : public SimTransactions {
 protected:
  SimSlowMarkers() : SimTransactions(slow_markers()) {}
};

TEST_F(SimTransactions, OnlyTheCoordinatorAnswers) {
  const NodeId home = client.cluster.transaction_coordinator("tx");
  protocol::FindCoordinatorRequest find;
  find.key = "tx";
  find.key_type = 1;
  EXPECT_EQ(client.ask<protocol::FindCoordinatorResponse>(client.to(1), find, 2)->node_id, home);
  protocol::InitProducerIdRequest request;
  request.transactional_id = "tx";
  request.transaction_timeout_ms = 1000;
  const NodeId other = home == 1 ? 2 : 1;
  const auto answer = client.ask<protocol::InitProducerIdResponse>(client.to(other), request, 4);
  EXPECT_EQ(answer->error_code, not_coordinator);
}

TEST_F(SimTransactions, EveryInitRaisesTheEpoch) {
  const Identity first = init();
  EXPECT_EQ(first.error, 0);
  EXPECT_EQ(first.epoch, 0);
  const Identity second = init();
  EXPECT_EQ(second.id, first.id);
  EXPECT_EQ(second.epoch, 1);
}

TEST_F(SimTransactions, AnInitThatNamesItsEpochIsFencedWhenThatIsOld) {
  const Identity first = init();
  const Identity raised = init(first.id, first.epoch);
  EXPECT_EQ(raised.epoch, 1);
  EXPECT_EQ(init(first.id, first.epoch).epoch, 1) << "a retry whose answer was lost gets the same";
  const Identity other = init();
  EXPECT_EQ(other.epoch, 2);
  EXPECT_EQ(init(raised.id, raised.epoch).error, fenced);
  EXPECT_EQ(init(raised.id, raised.epoch, 3).error, invalid_producer_epoch) << "before version 4";
  EXPECT_EQ(init(raised.id + 1, raised.epoch).error, fenced);
}

TEST_F(SimTransactions, RefusesTimeoutsItDoesNotAllow) {
  EXPECT_EQ(init(-1, -1, 4, 0).error, invalid_timeout);
  EXPECT_EQ(init(-1, -1, 4, 900001).error, invalid_timeout);
}

TEST_F(SimTransactions, ACommitWritesAMarkerThatTakesAnOffset) {
  const Identity producer = init();
  ASSERT_EQ(add(producer), 0);
  EXPECT_EQ(produce(producer, 0).base_offset, 0);
  EXPECT_EQ(stable_end(), 0);
  EXPECT_EQ(end(producer, true).error, 0);
  EXPECT_EQ(log_end(), 2);
  EXPECT_EQ(stable_end(), 2);
  EXPECT_EQ(state(), "CompleteCommit");
  const auto& marker = client.cluster.partition("t", 0)->log->batches().back().header;
  EXPECT_TRUE(marker.is_control());
  EXPECT_TRUE(marker.is_transactional());
  EXPECT_EQ(marker.producer_epoch, producer.epoch);
  EXPECT_EQ(produce(producer, 1).error_code, 120) << "not added to a new transaction";
  ASSERT_EQ(add(producer), 0);
  EXPECT_EQ(produce(producer, 1).error_code, 0) << "protocol 1: sequences go on";
}

TEST_F(SimTransactions, AnEndIsAnsweredTheSameWhenAskedAgain) {
  const Identity producer = init();
  EXPECT_EQ(end(producer, true).error, invalid_txn_state) << "nothing was begun";
  transact(producer, 0, true);
  EXPECT_EQ(end(producer, true).error, 0);
  EXPECT_EQ(end(producer, false).error, invalid_txn_state);
  EXPECT_EQ(end({0, producer.id + 1, producer.epoch}, true).error, invalid_mapping);
}

TEST_F(SimTransactions, AZombieIsFencedEverywhere) {
  const Identity old = init();
  ASSERT_EQ(add(old), 0);
  ASSERT_EQ(produce(old, 0).error_code, 0);
  EXPECT_EQ(init().error, concurrent) << "the old one's transaction is aborted first";
  const Identity fresh = init();
  EXPECT_EQ(fresh.epoch, 2);
  EXPECT_EQ(stable_end(), log_end());
  EXPECT_EQ(client.cluster.partition("t", 0)->producers->aborted().size(), 1u);
  EXPECT_EQ(add(old), fenced);
  EXPECT_EQ(add(old, 0, 1), invalid_producer_epoch);
  EXPECT_EQ(add_offsets(old), fenced);
  EXPECT_EQ(end(old, true).error, fenced);
  EXPECT_EQ(produce(old, 1).error_code, invalid_producer_epoch);
  EXPECT_EQ(commit_offset(old, 1), invalid_producer_epoch);
}

TEST_F(SimTransactions, AddingIsAllOrNothing) {
  const Identity producer = init();
  protocol::AddPartitionsToTxnRequest request;
  request.v3_and_below_transactional_id = "tx";
  request.v3_and_below_producer_id = producer.id;
  request.v3_and_below_producer_epoch = producer.epoch;
  request.v3_and_below_topics.push_back({"t", {0, 9}});
  const auto answer = client.ask<protocol::AddPartitionsToTxnResponse>(coordinator(), request, 3).value();
  const auto& rows = answer.results_by_topic_v3_and_below.at(0).results_by_partition;
  EXPECT_EQ(rows.at(0).partition_error_code, 55);
  EXPECT_EQ(rows.at(1).partition_error_code, 3);
  EXPECT_EQ(state(), "Empty");
  EXPECT_EQ(add({0, producer.id + 1, 0}), invalid_mapping);
}

TEST_F(SimSlowMarkers, UntilTheMarkersAreWrittenNothingNewBegins) {
  const Identity producer = init();
  for (PartitionIndex p = 0; p < 3; ++p) {
    ASSERT_EQ(add(producer, p), 0);
    ASSERT_EQ(produce(producer, 0, p).error_code, 0);
  }
  ASSERT_EQ(end(producer, true).error, 0) << "answered before the markers are there";
  EXPECT_EQ(state(), "PrepareCommit");
  EXPECT_EQ(add(producer), concurrent);
  EXPECT_EQ(end(producer, true).error, concurrent);
  EXPECT_EQ(end(producer, false).error, invalid_txn_state);
  EXPECT_EQ(init().error, concurrent);
  client.advance(40);
  EXPECT_EQ(state(), "CompleteCommit");
  for (PartitionIndex p = 0; p < 3; ++p) EXPECT_EQ(stable_end(p), 2);
  EXPECT_EQ(add(producer), 0);
}

TEST_F(SimSlowMarkers, MarkersWaitForLeadersAndReplicas) {
  const Identity producer = init();
  ASSERT_EQ(add(producer), 0);
  ASSERT_EQ(produce(producer, 0).error_code, 0);
  ASSERT_EQ(end(producer, true).error, 0);
  client.cluster.set_topic_config("t", "min.insync.replicas", "3");
  const NodeId follower = client.cluster.partition("t", 0)->replicas[1];
  client.cluster.stop_broker(follower);
  client.advance(500);
  EXPECT_EQ(state(), "PrepareCommit");
  EXPECT_EQ(stable_end(), 0);
  client.cluster.start_broker(follower);
  client.advance(500);
  EXPECT_EQ(state(), "CompleteCommit");
}

TEST_F(SimTransactions, AMarkerThatFollowersLackKeepsTheTransactionUnstable) {
  const Identity producer = init();
  ASSERT_EQ(add(producer), 0);
  ASSERT_EQ(produce(producer, 0).error_code, 0);
  client.cluster.set_high_watermark_lag("t", 0, 1);
  ASSERT_EQ(end(producer, true).error, 0);
  EXPECT_EQ(log_end(), 2);
  EXPECT_EQ(state(), "PrepareCommit");
  EXPECT_EQ(stable_end(), 0) << "the watermark stands at 1, behind the data and before the marker";
  client.cluster.set_high_watermark_lag("t", 0, 0);
  client.advance(1);
  EXPECT_EQ(state(), "CompleteCommit");
  EXPECT_EQ(stable_end(), 2);
}

TEST_F(SimSlowMarkers, TheStateSurvivesItsCoordinator) {
  const Identity producer = init();
  ASSERT_EQ(add(producer), 0);
  ASSERT_EQ(produce(producer, 0).error_code, 0);
  client.cluster.stop_broker(client.cluster.transaction_coordinator("tx"));
  EXPECT_EQ(end(producer, true).error, 0);
  client.cluster.stop_broker(client.cluster.transaction_coordinator("tx"));
  client.advance(40);
  EXPECT_EQ(state(), "CompleteCommit");
  EXPECT_EQ(client.cluster.partition("t", 0)->producers->entries().at(producer.id).coordinator_epoch, 2);
}

// Seen on real brokers: error 10 for a marker is not tried again before the coordinator starts anew.
TEST_F(SimSlowMarkers, ALockedTopicHangsTheTransaction) {
  const Identity producer = init();
  ASSERT_EQ(add(producer), 0);
  ASSERT_EQ(produce(producer, 0).error_code, 0);
  client.cluster.set_topic_config("t", "max.message.bytes", "0");
  ASSERT_EQ(end(producer, true).error, 0);
  client.advance(40);
  client.cluster.set_topic_config("t", "max.message.bytes", "1000000");
  client.advance(60000);
  EXPECT_EQ(state(), "PrepareCommit");
  client.cluster.stop_broker(client.cluster.transaction_coordinator("tx"));
  client.advance(40);
  EXPECT_EQ(state(), "CompleteCommit");
}

TEST_F(SimTransactions, ATransactionThatTakesTooLongIsAborted) {
  const Identity producer = init(-1, -1, 4, 5000);
  ASSERT_EQ(add(producer), 0);
  ASSERT_EQ(produce(producer, 0).error_code, 0);
  EXPECT_EQ(client.cluster.next_deadline(), client.now_ms + 5000);
  client.advance(5000);
  EXPECT_EQ(state(), "CompleteAbort");
  EXPECT_EQ(stable_end(), 2);
  EXPECT_EQ(end(producer, true).error, fenced);
  EXPECT_EQ(produce(producer, 1).error_code, invalid_producer_epoch);
}

TEST_F(SimTransactions, ADeletedTopicNeedsNoMarker) {
  const Identity producer = init();
  ASSERT_EQ(add(producer), 0);
  ASSERT_EQ(produce(producer, 0).error_code, 0);
  client.cluster.delete_topic("t");
  EXPECT_EQ(end(producer, true).error, 0);
  EXPECT_EQ(state(), "CompleteCommit");
}

TEST_F(SimTransactions, Protocol2RaisesTheEpochWithEachTransaction) {
  const Identity producer = init();
  EXPECT_EQ(produce(producer, 1, 0, 12).error_code, out_of_order) << "who has no state starts at 0";
  ASSERT_EQ(produce(producer, 0, 0, 12).error_code, 0) << "the leader adds the partition";
  EXPECT_EQ(state(), "Ongoing");
  const Identity next = end(producer, true, 5);
  EXPECT_EQ(next.error, 0);
  EXPECT_EQ(next.id, producer.id);
  EXPECT_EQ(next.epoch, producer.epoch + 1);
  EXPECT_EQ(client.cluster.partition("t", 0)->log->batches().back().header.producer_epoch, next.epoch);
  EXPECT_EQ(end(producer, true, 5).epoch, next.epoch) << "a retry gets the same answer";
  EXPECT_EQ(end(producer, false, 5).error, invalid_txn_state);
  EXPECT_EQ(produce(producer, 1, 0, 12).error_code, invalid_producer_epoch);
  EXPECT_EQ(produce(next, 1, 0, 12).error_code, out_of_order) << "sequences start anew";
  EXPECT_EQ(produce(next, 0, 0, 12).error_code, 0);
}

TEST_F(SimTransactions, Protocol2AbortsAlsoWhatWasNeverBegun) {
  const Identity producer = init();
  const Identity next = end(producer, false, 5);
  EXPECT_EQ(next.error, 0);
  EXPECT_EQ(next.epoch, 1);
  EXPECT_EQ(end(next, true, 5).error, invalid_txn_state);
  EXPECT_EQ(end(next, false, 5).epoch, 2);
}

TEST_F(SimSlowMarkers, Protocol2LetsProduceWaitForTheMarkers) {
  const Identity producer = init();
  ASSERT_EQ(produce(producer, 0, 0, 12).error_code, 0);
  const Identity next = end(producer, true, 5);
  EXPECT_EQ(end(producer, true, 5).error, concurrent);
  EXPECT_EQ(end(next, true, 5).error, fenced) << "the next epoch has no transaction yet";
  EXPECT_EQ(produce(next, 0, 1, 12).error_code, concurrent);
  client.advance(40);
  EXPECT_EQ(produce(next, 0, 1, 12).error_code, 0);
}

TEST_F(SimTransactions, AfterTheLastEpochComesANewId) {
  client.cluster.add_transactional_id("tx", 500, "Empty", last_usable_epoch);
  const Identity old{0, 500, last_usable_epoch};
  ASSERT_EQ(produce(old, 0, 0, 12).error_code, 0);
  const Identity next = end(old, true, 5);
  EXPECT_NE(next.id, old.id);
  EXPECT_EQ(next.epoch, 0);
  EXPECT_EQ(client.cluster.partition("t", 0)->log->batches().back().header.producer_epoch, INT16_MAX);
  EXPECT_EQ(end(old, true, 5).id, next.id) << "a retry gets the same answer";
  EXPECT_EQ(produce(next, 0, 0, 12).error_code, 0);
}

TEST_F(SimTransactions, AnInitAfterTheLastEpochGetsANewId) {
  client.cluster.add_transactional_id("tx", 500, "Empty", last_usable_epoch);
  const Identity next = init();
  EXPECT_NE(next.id, 500);
  EXPECT_EQ(next.epoch, 0);
  EXPECT_EQ(init(500, last_usable_epoch).error, fenced) << "this one did not ask for it";
}

TEST_F(SimTransactions, AdminToolsSeeThem) {
  const Identity producer = init();
  ASSERT_EQ(add(producer, 2), 0);
  ASSERT_EQ(add_offsets(producer), 0);
  DescribeTransactionsRequest describe;
  describe.transactional_ids = {"tx", "none"};
  const auto rows = client.ask<DescribeTransactionsResponse>(coordinator(), describe, 0)->transaction_states;
  EXPECT_EQ(rows.at(0).transaction_state, "Ongoing");
  EXPECT_EQ(rows.at(0).producer_id, producer.id);
  EXPECT_EQ(rows.at(0).transaction_timeout_ms, 60000);
  ASSERT_EQ(rows.at(0).topics.size(), 2u);
  EXPECT_EQ(rows.at(0).topics[0].topic, "__consumer_offsets");
  EXPECT_EQ(rows.at(0).topics[1].partitions, (std::vector<PartitionIndex>{2}));
  const bool elsewhere = client.cluster.transaction_coordinator("none") != client.cluster.transaction_coordinator("tx");
  EXPECT_EQ(rows.at(1).error_code, elsewhere ? not_coordinator : 105);
}

TEST_F(SimTransactions, ListsByFilter) {
  const Identity producer = init();
  const auto count = [this](const ListTransactionsRequest& request) {
    return client.ask<ListTransactionsResponse>(coordinator(), request, 2)->transaction_states.size();
  };
  ListTransactionsRequest request;
  EXPECT_EQ(count(request), 1u);
  request.state_filters = {"Empty"};
  EXPECT_EQ(count(request), 1u);
  request.producer_id_filters = {producer.id + 1};
  EXPECT_EQ(count(request), 0u);
  request = {};
  request.transactional_id_pattern = "t.";
  EXPECT_EQ(count(request), 1u);
  request.transactional_id_pattern = "t";
  EXPECT_EQ(count(request), 0u);
  request.transactional_id_pattern = "(";
  EXPECT_EQ(client.ask<ListTransactionsResponse>(coordinator(), request, 2)->error_code, 128);
  request = {};
  request.state_filters = {"Asleep"};
  EXPECT_EQ(client.ask<ListTransactionsResponse>(coordinator(), request, 2)->unknown_state_filters.at(0), "Asleep");
  ASSERT_EQ(add(producer), 0);
  request = {};
  request.duration_filter = 1000;
  EXPECT_EQ(count(request), 0u);
  client.advance(1001);
  EXPECT_EQ(count(request), 1u);
}

TEST_F(SimTransactions, TheFeatureIsFinalizedAsTheClusterSays) {
  for (std::int16_t version : {1, 2}) {
    ClusterOptions options;
    options.transaction_version = version;
    ClusterClient other(options);
    const auto answer =
        other.ask<protocol::ApiVersionsResponse>(other.to(1), protocol::ApiVersionsRequest{}, 4).value();
    ASSERT_EQ(answer.finalized_features.size(), 1u);
    EXPECT_EQ(answer.finalized_features[0].name, "transaction.version");
    EXPECT_EQ(answer.finalized_features[0].max_version_level, version);
  }
  ClusterOptions options;
  options.release = KafkaRelease::v3_9;
  ClusterClient other(options);
  EXPECT_TRUE(other.ask<protocol::ApiVersionsResponse>(other.to(1), protocol::ApiVersionsRequest{}, 3)
                  ->finalized_features.empty());
}

}  // namespace
}  // namespace crossover::sim
