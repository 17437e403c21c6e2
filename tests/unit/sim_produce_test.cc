#include <gtest/gtest.h>

#include "protocol/record_batch.h"
#include "tests/sim/cluster_client.h"

namespace crossover::sim {
namespace {

using protocol::build_batch;
using protocol::InitProducerIdRequest;
using protocol::InitProducerIdResponse;
using protocol::ListOffsetsRequest;
using protocol::PlainRecord;
using protocol::ProduceRequest;
using protocol::ProduceResponse;

Bytes batch_of(int records, ProducerId id = -1, ProducerEpoch epoch = -1, std::int32_t sequence = -1) {
  std::vector<PlainRecord> plain(static_cast<std::size_t>(records));
  for (PlainRecord& record : plain) record = {1000, "key", "value"};
  return build_batch(plain, id, epoch, sequence);
}

class SimProduce : public testing::Test {
 protected:
  SimProduce() : client(ClusterOptions{}) { client.cluster.create_topic("t", 3); }

  NodeId leader(PartitionIndex partition = 0) { return client.cluster.partition("t", partition)->leader; }

  ProduceRequest request_of(BytesView batch, std::int16_t acks) {
    ProduceRequest request;
    request.acks = acks;
    request.timeout_ms = 1000;
    request.topic_data = {{"t", *client.cluster.topic_id("t"), {{0, batch}}}};
    return request;
  }

  ProduceResponse::PartitionProduceResponse produce(BytesView batch, std::int16_t acks = -1,
                                                    protocol::Version version = 9) {
    auto response = client.ask<ProduceResponse>(client.to(leader()), request_of(batch, acks), version);
    return response.value().responses.at(0).partition_responses.at(0);
  }

  ClusterClient client;
};

TEST_F(SimProduce, StampsOffsetAndEpoch) {
  EXPECT_EQ(produce(batch_of(3)).base_offset, 0);
  client.cluster.move_leader("t", 0, client.cluster.partition("t", 0)->replicas[1]);
  EXPECT_EQ(produce(batch_of(2)).base_offset, 3);
  auto view = *client.cluster.partition("t", 0);
  ASSERT_EQ(view.log->batches().size(), 2u);
  BatchHeader second;
  ASSERT_EQ(protocol::read_batch_header(view.log->batches()[1].bytes, second), protocol::BatchState::complete);
  EXPECT_EQ(second.base_offset, 3);
  EXPECT_EQ(second.leader_epoch, 1);
  EXPECT_EQ(view.log->end(), 5);
  EXPECT_EQ(view.high_watermark, 5);
}

TEST_F(SimProduce, AnswersEveryVersion) {
  Offset expected = 0;
  for (protocol::Version version = 3; version <= 13; ++version) {
    auto answer = produce(batch_of(1), 1, version);
    EXPECT_EQ(answer.error_code, 0) << version;
    EXPECT_EQ(answer.base_offset, expected++) << version;
  }
}

TEST_F(SimProduce, OldVersionsAreShownButCloseTheConnection) {
  client.send(client.to(leader()), request_of(batch_of(1), 1), 2);
  EXPECT_TRUE(client.closed(1));
}

TEST_F(SimProduce, DuplicateOfTheLastFiveGetsTheOldOffset) {
  for (std::int32_t i = 0; i < 6; ++i) EXPECT_EQ(produce(batch_of(2, 7, 0, 2 * i)).base_offset, 2 * i);
  EXPECT_EQ(produce(batch_of(2, 7, 0, 2)).base_offset, 2);
  EXPECT_EQ(produce(batch_of(2, 7, 0, 10)).base_offset, 10);
  // The sixth from the end is forgotten and looks like a gap backwards.
  EXPECT_EQ(produce(batch_of(2, 7, 0, 0)).error_code, 45);
  EXPECT_EQ(client.cluster.partition("t", 0)->log->end(), 12);
}

TEST_F(SimProduce, AnUnknownProducerMayStartAnywhere) {
  EXPECT_EQ(produce(batch_of(1, 7, 3, 5)).error_code, 0);
  EXPECT_EQ(produce(batch_of(1, 7, 3, 4)).error_code, 45);
  EXPECT_EQ(produce(batch_of(1, 7, 3, 7)).error_code, 45);
  EXPECT_EQ(produce(batch_of(1, 7, 3, 6)).error_code, 0);
}

TEST_F(SimProduce, EpochsRiseFromSequenceZeroOnly) {
  EXPECT_EQ(produce(batch_of(1, 7, 1, 0)).error_code, 0);
  EXPECT_EQ(produce(batch_of(1, 7, 0, 1)).error_code, 47);
  EXPECT_EQ(produce(batch_of(1, 7, 2, 1)).error_code, 45);
  EXPECT_EQ(produce(batch_of(1, 7, 2, 0)).error_code, 0);
  EXPECT_EQ(produce(batch_of(1, 7, 1, 1)).error_code, 47);
}

TEST_F(SimProduce, SequencesWrapToZero) {
  EXPECT_EQ(produce(batch_of(2, 7, 0, INT32_MAX - 1)).error_code, 0);
  EXPECT_EQ(produce(batch_of(1, 7, 0, 1)).error_code, 45);
  EXPECT_EQ(produce(batch_of(2, 7, 0, 0)).error_code, 0);
  // A batch that itself runs over the end.
  EXPECT_EQ(produce(batch_of(1, 8, 0, INT32_MAX - 1)).error_code, 0);
  EXPECT_EQ(produce(batch_of(3, 8, 0, INT32_MAX)).error_code, 0);
  EXPECT_EQ(produce(batch_of(1, 8, 0, 2)).error_code, 0);
}

TEST_F(SimProduce, ForgetsProducersAfterTheExpiration) {
  EXPECT_EQ(produce(batch_of(1, 7, 0, 0)).error_code, 0);
  client.advance(86400000);
  EXPECT_EQ(produce(batch_of(1, 7, 0, 40)).error_code, 0);
}

TEST_F(SimProduce, RefusesWhatIsNotOneGoodBatch) {
  Bytes good = batch_of(1);
  EXPECT_EQ(produce(good + good).error_code, 87);
  EXPECT_EQ(produce(BytesView(good).substr(0, good.size() - 1)).error_code, 87);
  EXPECT_EQ(produce("").error_code, 87);
  Bytes moved = good;
  protocol::patch_base_offset(moved.data(), 4);
  EXPECT_EQ(produce(moved).error_code, 87);
  Bytes broken = good;
  broken.back() ^= 1;
  EXPECT_EQ(produce(broken).error_code, 2);
  EXPECT_EQ(produce(build_batch({{1, "k", "v"}}, -1, -1, -1, 0x20)).error_code, 87);
  EXPECT_EQ(client.cluster.partition("t", 0)->log->end(), 0);
}

TEST_F(SimProduce, TheSizeLimitIsLookedAtBeforeTheChecksum) {
  Bytes broken = batch_of(1);
  broken.back() ^= 1;
  EXPECT_EQ(produce(broken).error_code, 2);
  client.cluster.set_topic_config("t", "max.message.bytes", "0");
  EXPECT_EQ(produce(broken).error_code, 10);
  EXPECT_EQ(produce(batch_of(1)).error_code, 10);
}

TEST_F(SimProduce, ACompactedTopicWantsKeys) {
  client.cluster.set_topic_config("t", "cleanup.policy", "compact");
  EXPECT_EQ(produce(build_batch({{1, std::nullopt, "v"}})).error_code, 87);
  EXPECT_EQ(produce(build_batch({{1, "k", "v"}})).error_code, 0);
}

TEST_F(SimProduce, AcksAllWaitsForTheHighWatermark) {
  client.cluster.set_high_watermark_lag("t", 0, 10);
  ConnectionId connection = client.to(leader());
  client.send(connection, request_of(batch_of(1), -1), 9);
  EXPECT_FALSE(client.answered(connection));
  EXPECT_EQ(client.cluster.partition("t", 0)->high_watermark, 0);
  client.cluster.set_high_watermark_lag("t", 0, 0);
  auto response = client.receive<ProduceResponse>(connection, 9);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->responses[0].partition_responses[0].error_code, 0);
}

TEST_F(SimProduce, AcksOneDoesNotWaitAndAcksAllTimesOut) {
  client.cluster.set_high_watermark_lag("t", 0, 10);
  EXPECT_EQ(produce(batch_of(1), 1).error_code, 0);
  ConnectionId connection = client.to(leader());
  client.send(connection, request_of(batch_of(1), -1), 9);
  EXPECT_EQ(client.cluster.next_deadline(), client.now_ms + 1000);
  client.advance(999);
  EXPECT_FALSE(client.answered(connection));
  client.advance(1);
  EXPECT_EQ(client.receive<ProduceResponse>(connection, 9)->responses[0].partition_responses[0].error_code, 7);
}

TEST_F(SimProduce, AMutedConnectionServesOneRequestAtATime) {
  client.cluster.set_high_watermark_lag("t", 0, 10);
  ConnectionId connection = client.to(leader());
  client.send(connection, request_of(batch_of(1), -1), 9);
  client.send(connection, request_of(batch_of(1), 1), 9);
  EXPECT_EQ(client.cluster.outstanding(connection), 2u);
  EXPECT_EQ(client.cluster.partition("t", 0)->log->end(), 1);
  client.cluster.set_high_watermark_lag("t", 0, 0);
  EXPECT_EQ(client.receive<ProduceResponse>(connection, 9)->responses[0].partition_responses[0].base_offset, 0);
  EXPECT_EQ(client.receive<ProduceResponse>(connection, 9)->responses[0].partition_responses[0].base_offset, 1);
}

TEST_F(SimProduce, AcksZeroIsNotAnsweredAndFailsByClosing) {
  ConnectionId connection = client.to(leader());
  client.send(connection, request_of(batch_of(1), 0), 9);
  EXPECT_FALSE(client.answered(connection));
  EXPECT_FALSE(client.closed(connection));
  EXPECT_EQ(client.cluster.partition("t", 0)->log->end(), 1);
  EXPECT_EQ(client.cluster.outstanding(connection), 0u);
  Bytes broken = batch_of(1);
  broken.back() ^= 1;
  client.send(connection, request_of(broken, 0), 9);
  EXPECT_TRUE(client.closed(connection));
}

TEST_F(SimProduce, OtherAcksAreRefused) {
  EXPECT_EQ(produce(batch_of(1), 2).error_code, 21);
}

TEST_F(SimProduce, AFollowerNamesTheLeader) {
  NodeId follower = client.cluster.partition("t", 0)->replicas[1];
  client.cluster.set_address(leader(), "elsewhere", 1234);
  auto response = client.ask<ProduceResponse>(client.to(follower), request_of(batch_of(1), 1), 10);
  auto& answer = response.value().responses[0].partition_responses[0];
  EXPECT_EQ(answer.error_code, 6);
  EXPECT_EQ(answer.current_leader.leader_id, leader());
  EXPECT_EQ(answer.current_leader.leader_epoch, 0);
  ASSERT_EQ(response->node_endpoints.size(), 1u);
  EXPECT_EQ(response->node_endpoints[0].host, "elsewhere");
  EXPECT_EQ(response->node_endpoints[0].port, 1234);
}

TEST_F(SimProduce, UnknownTopicsAndTooFewReplicas) {
  const Bytes batch = batch_of(1);
  ProduceRequest request = request_of(batch, 1);
  request.topic_data[0].topic_id.bytes[0] ^= 1;
  auto unknown = client.ask<ProduceResponse>(client.to(1), request, 13);
  EXPECT_EQ(unknown->responses[0].partition_responses[0].error_code, 100);
  request.topic_data[0].name = "none";
  EXPECT_EQ(client.ask<ProduceResponse>(client.to(1), request, 9)->responses[0].partition_responses[0].error_code, 3);
  client.cluster.set_topic_config("t", "min.insync.replicas", "3");
  client.cluster.stop_broker(client.cluster.partition("t", 0)->replicas[2]);
  EXPECT_EQ(produce(batch_of(1)).error_code, 19);
  EXPECT_EQ(produce(batch_of(1), 1).error_code, 0);
}

TEST_F(SimProduce, AWaitingProduceLearnsThatTheLeaderMoved) {
  client.cluster.set_high_watermark_lag("t", 0, 10);
  ConnectionId connection = client.to(leader());
  client.send(connection, request_of(batch_of(1), -1), 9);
  client.cluster.move_leader("t", 0, client.cluster.partition("t", 0)->replicas[1]);
  EXPECT_EQ(client.receive<ProduceResponse>(connection, 9)->responses[0].partition_responses[0].error_code, 6);
}

TEST_F(SimProduce, ATruncatedLogForgetsItsProducers) {
  EXPECT_EQ(produce(batch_of(1, 7, 0, 0)).error_code, 0);
  EXPECT_EQ(produce(batch_of(1, 7, 0, 1)).error_code, 0);
  client.cluster.unclean_election("t", 0, client.cluster.partition("t", 0)->replicas[1], 1);
  auto view = *client.cluster.partition("t", 0);
  EXPECT_EQ(view.log->end(), 1);
  EXPECT_EQ(view.high_watermark, 1);
  EXPECT_EQ(view.producers->entries().at(7).last_sequence(), 0);
  EXPECT_EQ(produce(batch_of(1, 7, 0, 1)).base_offset, 1);
}

TEST_F(SimProduce, EachBrokerHandsOutIdsFromABlockOfItsOwn) {
  ClusterOptions options;
  options.first_producer_id = 5000;
  ClusterClient other(options);
  InitProducerIdRequest request;
  request.transactional_id.reset();
  auto ask = [&](NodeId node) { return other.ask<InitProducerIdResponse>(other.to(node), request, 4).value(); };
  EXPECT_EQ(ask(2).producer_id, 5000);
  EXPECT_EQ(ask(2).producer_id, 5001);
  EXPECT_EQ(ask(1).producer_id, 6000);
  EXPECT_EQ(ask(2).producer_epoch, 0);
  request.transactional_id = "";
  EXPECT_EQ(ask(1).error_code, 42);
}

TEST_F(SimProduce, InjectedFaults) {
  client.cluster.fail_next(1, ApiKey::Produce, ErrorCode::NOT_ENOUGH_REPLICAS);
  EXPECT_EQ(produce(batch_of(1)).error_code, 19);
  EXPECT_EQ(produce(batch_of(1)).error_code, 19) << "what comes right behind it is refused as well";
  client.advance(10);
  EXPECT_EQ(produce(batch_of(1)).error_code, 0);
  client.cluster.lose_answers(1, ApiKey::Produce);
  ConnectionId connection = client.to(leader());
  client.send(connection, request_of(batch_of(1), 1), 9);
  EXPECT_TRUE(client.closed(connection));
  EXPECT_EQ(client.cluster.partition("t", 0)->log->end(), 2);
}

TEST_F(SimProduce, AStrangersWriteIsCheckedAndKept) {
  EXPECT_EQ(client.cluster.append_as_stranger("t", 0, batch_of(2)), ErrorCode::NONE);
  EXPECT_EQ(client.cluster.append_as_stranger("t", 9, batch_of(2)), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
  EXPECT_EQ(produce(batch_of(1)).base_offset, 2);
}

}  // namespace
}  // namespace crossover::sim
