// A session's order, its holding of writes under a fence and its account of them, as scripts of events.
#include <gtest/gtest.h>

#include "protocol/codec.h"
#include "protocol/error_code.h"
#include "protocol/frame.h"
#include "protocol/messages.h"
#include "protocol/record_batch.h"
#include "proxy/producer_id.h"
#include "proxy/session.h"
#include "tests/unit/fake_session_io.h"

namespace crossover::proxy {
namespace {

using namespace protocol;

constexpr NodeId source_node = 3001, target_node = 7001;
constexpr Version produce_version = 9;

std::shared_ptr<Snapshot> snapshot(const VirtualLog& log, RoutePhase phase) {
  auto s = std::make_shared<Snapshot>();
  s->virtual_cluster_id = "virtual";
  s->advertised_host = "127.0.0.1";
  for (const Cluster c : both_clusters) {
    s->images[index_of(c)] = std::make_shared<ClusterImage>();
    s->versions[index_of(c)] = std::make_shared<ClusterVersions>();
  }
  s->brokers[0] = {0, Cluster::source, source_node, 9093};
  s->brokers[1] = {1, Cluster::target, target_node, 9094};
  s->virtual_of = {std::map<NodeId, NodeId>{{source_node, 0}}, std::map<NodeId, NodeId>{{target_node, 1}}};
  s->routes.push_back({"default", log.home(), log.open_segment().generation, phase});
  auto topic = std::make_shared<TopicView>();
  topic->name = "orders";
  PartitionView partition;
  partition.log = log;
  partition.real[0].leader = source_node;
  partition.real[1].leader = target_node;
  topic->partitions.push_back(partition);
  s->topics["orders"] = topic;
  s->announced = {{ApiKey::Produce, {3, 13}}, {ApiKey::ApiVersions, {0, 4}}};
  return s;
}

VirtualLog on_source() {
  return VirtualLog::identity(Cluster::source);
}
VirtualLog on_target() {
  return on_source().flipped(100, 5, Cluster::target, 40, 2);
}

struct SessionScript : ::testing::Test {
  FakeIo io;
  WorkerState worker;
  Millis now = 1'000;
  std::unique_ptr<Session> session;

  void begin(std::shared_ptr<const Snapshot> s) {
    session = std::make_unique<Session>(io, worker, SessionOptions{}, std::move(s), now);
  }

  void ask(ApiKey api, Version version, std::int32_t correlation, BytesView body) {
    session->on_client_bytes(request_frame(api, version, correlation, "test", body), now);
  }
  void produce(std::int32_t correlation, std::int16_t acks = -1) {
    produce_batch(correlation, acks, build_batch({{now, std::nullopt, "value"}}));
  }
  void produce_idempotent(std::int32_t correlation, std::int32_t sequence, ProducerId producer = 4000) {
    produce_batch(correlation, -1, build_batch({{now, std::nullopt, "value"}}, producer, 0, sequence));
  }
  void produce_batch(std::int32_t correlation, std::int16_t acks, const Bytes& batch) {
    ProduceRequest request;
    request.acks = acks;
    request.timeout_ms = 1'000;
    request.topic_data.emplace_back().name = "orders";
    request.topic_data[0].partition_data.emplace_back().records = Records(batch);
    ask(ApiKey::Produce, produce_version, correlation, encode(request, produce_version));
  }
  void ask_versions(std::int32_t correlation) { ask(ApiKey::ApiVersions, 0, correlation, {}); }

  // The next request that went to a broker of that cluster, by its header.
  std::optional<RequestHeader> at_broker(Cluster cluster) {
    for (auto& [id, upstream] : io.upstreams) {
      if (upstream.cluster != cluster) continue;
      if (auto frame = upstream.sent.next()) return parse_request_header(*frame);
    }
    return std::nullopt;
  }
  UpstreamId upstream_to(Cluster cluster) {
    for (auto& [id, upstream] : io.upstreams) {
      if (upstream.cluster == cluster) return id;
    }
    return 0;
  }
  void answer_produce(Cluster cluster, std::int32_t correlation, Offset base_offset,
                      ErrorCode error = ErrorCode::NONE) {
    ProduceResponse response;
    response.responses.emplace_back().name = "orders";
    auto& row = response.responses[0].partition_responses.emplace_back();
    row.base_offset = base_offset;
    row.error_code = static_cast<std::int16_t>(error);
    session->on_upstream_bytes(
        upstream_to(cluster),
        response_frame(ApiKey::Produce, produce_version, correlation, encode(response, produce_version)), now);
  }
  // The leader is asked for its producers: that it knows nobody, or producer 4000 up to that sequence.
  void answer_leader(std::optional<std::int32_t> last_sequence) {
    const auto question = at_broker(Cluster::target);
    ASSERT_TRUE(question);
    ASSERT_EQ(question->api, ApiKey::DescribeProducers);
    DescribeProducersResponse answer;
    auto& row = answer.topics.emplace_back().partitions.emplace_back();
    if (last_sequence) {
      auto& producer = row.active_producers.emplace_back();
      producer.producer_id = wire_producer_id(4000, Cluster::target, 1);
      producer.last_sequence = *last_sequence;
    }
    session->on_upstream_bytes(
        upstream_to(Cluster::target),
        response_frame(ApiKey::DescribeProducers, 0, question->correlation_id, encode(answer, Version{0})), now);
  }
  std::optional<std::int32_t> next_answer() {
    const auto frame = io.to_client.next();
    if (!frame) return std::nullopt;
    return parse_response_header(*frame, ApiKey::ApiVersions, 0)->correlation_id;
  }
  std::optional<ProduceResponse::PartitionProduceResponse> next_produce_answer() {
    const auto frame = io.to_client.next();
    if (!frame) return std::nullopt;
    const auto header = parse_response_header(*frame, ApiKey::Produce, produce_version);
    const auto answer = decode<ProduceResponse>(BytesView(*frame).substr(header->body_at), produce_version);
    return answer ? std::optional(answer->responses.at(0).partition_responses.at(0)) : std::nullopt;
  }
  RouteLoad load() { return worker.routes[{"default", 0}]; }
};

TEST_F(SessionScript, AnswersLeaveInTheOrderOfTheRequests) {
  begin(snapshot(on_source(), RoutePhase::open));
  produce(7);
  ask_versions(8);
  const auto sent = at_broker(Cluster::source);
  ASSERT_TRUE(sent);
  EXPECT_EQ(next_answer(), std::nullopt) << "the second must wait for the first";
  answer_produce(Cluster::source, sent->correlation_id, 12);
  EXPECT_EQ(next_answer(), 7);
  EXPECT_EQ(next_answer(), 8);
  EXPECT_EQ(next_answer(), std::nullopt);
}

TEST_F(SessionScript, NothingIsAnsweredBeforeItIsKnownWhatTheClustersSpeak) {
  auto nothing_known = snapshot(on_source(), RoutePhase::open);
  nothing_known->announced.clear();
  begin(nothing_known);
  ask_versions(1);
  EXPECT_EQ(next_answer(), std::nullopt);
  session->on_snapshot(snapshot(on_source(), RoutePhase::open), now);
  EXPECT_EQ(next_answer(), 1);
}

TEST_F(SessionScript, AHeldWriteGoesToTheNewHomeAndIsAnsweredInVirtualOffsets) {
  begin(snapshot(on_source(), RoutePhase::fenced));
  produce(3);
  EXPECT_FALSE(at_broker(Cluster::source));
  EXPECT_EQ(load().held, 1);
  EXPECT_EQ(load().writes_in_flight, 0);
  now += 50;
  session->on_snapshot(snapshot(on_target(), RoutePhase::releasing), now);
  EXPECT_FALSE(at_broker(Cluster::source));
  const auto sent = at_broker(Cluster::target);
  ASSERT_TRUE(sent);
  EXPECT_EQ(io.upstreams.at(upstream_to(Cluster::target)).node, target_node);
  EXPECT_EQ(load().writes_in_flight, 1);
  answer_produce(Cluster::target, sent->correlation_id, 40);
  const auto answer = next_produce_answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->error_code, 0);
  EXPECT_EQ(answer->base_offset, 100);
  EXPECT_EQ(load().held, 0);
  EXPECT_EQ(load().writes_in_flight, 0);
  EXPECT_EQ(worker.hold_times_ms, std::vector<Millis>{50});
}

TEST_F(SessionScript, AHeldWriteIsRefusedWhenTheHoldIsOver) {
  begin(snapshot(on_source(), RoutePhase::fenced));
  produce(3);
  ASSERT_GT(io.timer, now);
  now = io.timer;
  session->on_timer(now);
  const auto answer = next_produce_answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->error_code, static_cast<std::int16_t>(ErrorCode::NOT_LEADER_OR_FOLLOWER));
  EXPECT_TRUE(io.upstreams.empty());
  EXPECT_EQ(load().held, 0);
}

// The first batch of a new producer was refused, a flip came, the second was held by its fence: a broker takes any
// first sequence from a producer that it does not know, and would then refuse the first for good.
TEST_F(SessionScript, AHeldBatchDoesNotOvertakeTheRefusedFirstOne) {
  begin(snapshot(on_source(), RoutePhase::open));
  produce_idempotent(3, 0);
  const auto first = at_broker(Cluster::source);
  ASSERT_TRUE(first);
  answer_produce(Cluster::source, first->correlation_id, -1, ErrorCode::NOT_LEADER_OR_FOLLOWER);
  EXPECT_EQ(next_produce_answer()->error_code, static_cast<std::int16_t>(ErrorCode::NOT_LEADER_OR_FOLLOWER));
  session->on_snapshot(snapshot(on_source(), RoutePhase::fenced), now);
  produce_idempotent(4, 1);
  session->on_snapshot(snapshot(on_target(), RoutePhase::open), now);

  answer_leader(std::nullopt);
  const auto refused = next_produce_answer();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->error_code, static_cast<std::int16_t>(ErrorCode::NOT_LEADER_OR_FOLLOWER));

  produce_idempotent(5, 0);
  const auto again = at_broker(Cluster::target);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->api, ApiKey::Produce);
  answer_produce(Cluster::target, again->correlation_id, 40);
  EXPECT_EQ(next_produce_answer()->base_offset, 100);
  produce_idempotent(6, 1);
  const auto second = at_broker(Cluster::target);
  ASSERT_TRUE(second) << "nothing is missing any more";
  EXPECT_EQ(second->api, ApiKey::Produce);
}

TEST_F(SessionScript, BehindAFirstBatchOnlyItsOwnProducerWaits) {
  begin(snapshot(on_target(), RoutePhase::open));
  produce_idempotent(3, 0);
  const auto first = at_broker(Cluster::target);
  ASSERT_TRUE(first);
  produce_idempotent(4, 0, 4001);
  const auto other = at_broker(Cluster::target);
  ASSERT_TRUE(other) << "another producer's batch cannot overtake anything";
  produce_idempotent(5, 1);
  EXPECT_FALSE(at_broker(Cluster::target)) << "it must not be taken where the first one was refused";
  answer_produce(Cluster::target, first->correlation_id, 40);
  const auto second = at_broker(Cluster::target);
  ASSERT_TRUE(second);
  answer_produce(Cluster::target, other->correlation_id, 41);
  answer_produce(Cluster::target, second->correlation_id, 42);
  for (const Offset offset : {100, 101, 102}) EXPECT_EQ(next_produce_answer()->base_offset, offset);
}

// Producer 4000 wrote up to sequence 999 before the boundary.
std::shared_ptr<Snapshot> known_producer() {
  const auto s = snapshot(on_target(), RoutePhase::open);
  const auto topic = std::make_shared<TopicView>(*s->topics.at("orders"));
  topic->partitions[0].producers = std::make_shared<ProducerTable>(ProducerTable{{4000, {0, 999, 0}}});
  s->topics["orders"] = topic;
  return s;
}

TEST_F(SessionScript, ARetryFromBeforeTheBoundaryIsNotWrittenAgain) {
  begin(known_producer());
  produce_idempotent(3, 998);
  answer_leader(std::nullopt);
  const auto read = at_broker(Cluster::target);
  EXPECT_FALSE(read && read->api == ApiKey::Produce);
}

TEST_F(SessionScript, AWriteThatWaitedThroughAFlipGoesToTheNewHome) {
  begin(known_producer());
  produce_idempotent(3, 1'001);
  session->on_snapshot(snapshot(on_target().flipped(41, 2, Cluster::source, 100, 5), RoutePhase::open), now);
  answer_leader(1'000);
  EXPECT_FALSE(at_broker(Cluster::target));
  const auto sent = at_broker(Cluster::source);
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->api, ApiKey::Produce);
}

// What is missing may be kept waiting behind its own predecessors (5 s), a hold and a broker that does not answer (10
// s); written later than what follows it, it would be refused, and some clients take it for written then.
TEST_F(SessionScript, ABatchWaitsForItsPredecessorLongerThanThatCanBeKeptBack) {
  begin(known_producer());
  for (const Millis at : {0, 20'000, 29'999, 30'000}) {
    now = 1'000 + at;
    produce_idempotent(3, 1'001);
    answer_leader(std::nullopt);
    const auto sent = at_broker(Cluster::target);
    EXPECT_EQ(sent.has_value(), at == 30'000) << at;
    if (sent) break;
    EXPECT_EQ(next_produce_answer()->error_code, static_cast<std::int16_t>(ErrorCode::NOT_LEADER_OR_FOLLOWER));
  }
}

// Clients with librdkafka before 2.3 end when a batch whose predecessor was refused is told to be out of order.
TEST_F(SessionScript, TheWaitForAMissingBatchIsCountedForEachBatch) {
  begin(known_producer());
  const auto answered = [this](std::int32_t sequence, ErrorCode error) {
    produce_idempotent(3, sequence);
    const auto sent = at_broker(Cluster::target);
    if (!sent) return ErrorCode::UNKNOWN_SERVER_ERROR;
    answer_produce(Cluster::target, sent->correlation_id, error == ErrorCode::NONE ? 40 : -1, error);
    return static_cast<ErrorCode>(next_produce_answer()->error_code);
  };
  constexpr ErrorCode out_of_order = ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, again = ErrorCode::NOT_LEADER_OR_FOLLOWER;
  EXPECT_EQ(answered(1'000, ErrorCode::NONE), ErrorCode::NONE);
  EXPECT_EQ(answered(1'002, out_of_order), again);
  now += 5'000;
  EXPECT_EQ(answered(1'004, out_of_order), again) << "meanwhile all before it went by another connection";
  now += 4'000;
  EXPECT_EQ(answered(1'003, again), again);
  now += 1'000;
  EXPECT_EQ(answered(1'004, out_of_order), again) << "its predecessor was refused, and will come again";
  now += 4'999;
  EXPECT_EQ(answered(1'004, out_of_order), again);
  now += 1;
  EXPECT_EQ(answered(1'004, out_of_order), out_of_order);
}

// What a leader has not replicated yet goes with it, and its successor would take what follows for a first batch.
TEST_F(SessionScript, WhatALeaderKnowsOfAProducerCountsOnce) {
  begin(known_producer());
  produce_idempotent(3, 1'001);
  answer_leader(1'000);
  const auto sent = at_broker(Cluster::target);
  ASSERT_TRUE(sent);
  answer_produce(Cluster::target, sent->correlation_id, -1, ErrorCode::NOT_LEADER_OR_FOLLOWER);
  EXPECT_EQ(next_produce_answer()->error_code, static_cast<std::int16_t>(ErrorCode::NOT_LEADER_OR_FOLLOWER));
  produce_idempotent(4, 1'001);
  answer_leader(std::nullopt);
  EXPECT_FALSE(at_broker(Cluster::target));
  EXPECT_EQ(next_produce_answer()->error_code, static_cast<std::int16_t>(ErrorCode::NOT_LEADER_OR_FOLLOWER));
}

// Sequences come round: 2^31 records later the same ones are new.
TEST_F(SessionScript, ABatchWhoseSequencesHaveComeRoundIsWritten) {
  begin(known_producer());
  produce_idempotent(3, 998);
  answer_leader(997);
  for (const std::int32_t sequence : {998, 999}) {
    const auto sent = at_broker(Cluster::target);
    ASSERT_TRUE(sent);
    EXPECT_EQ(sent->api, ApiKey::Produce) << "asked once, its leader knows the producer far beyond";
    answer_produce(Cluster::target, sent->correlation_id, 40);
    EXPECT_EQ(next_produce_answer()->base_offset, 100);
    if (sequence == 998) produce_idempotent(4, 999);
  }
}

TEST_F(SessionScript, AWriteIsAcknowledgedThoughItsTopicMovedToAnotherRoute) {
  begin(snapshot(on_target(), RoutePhase::open));
  produce(3);
  const auto sent = at_broker(Cluster::target);
  ASSERT_TRUE(sent);
  const auto moved = snapshot(on_target(), RoutePhase::open);
  moved->routes.push_back({"orders", Cluster::target, 0, RoutePhase::open});
  moved->definitions = 1;
  std::const_pointer_cast<TopicView>(moved->topics.at("orders"))->route = 1;
  session->on_snapshot(moved, now);
  ASSERT_EQ(worker.routes.size(), 1u);
  EXPECT_TRUE(worker.routes.begin()->first.may_concern("orders", 1)) << "a flip of the new route must wait for it";
  answer_produce(Cluster::target, sent->correlation_id, 40);
  const auto answer = next_produce_answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->base_offset, 100);
  EXPECT_FALSE(io.client_closed);
  EXPECT_TRUE(worker.routes.empty());
}

// The generation of the new route is that of the old one: what counts is the partition's own segment.
TEST_F(SessionScript, AWriteIsNotAcknowledgedWhenItsPartitionFlippedUnderAnotherRoute) {
  begin(snapshot(on_target(), RoutePhase::open));
  produce(3);
  const auto sent = at_broker(Cluster::target);
  ASSERT_TRUE(sent);
  const auto flipped = snapshot(on_target().flipped(41, 2, Cluster::source, 100, 5), RoutePhase::open);
  flipped->routes[0].generation = 1;
  session->on_snapshot(flipped, now);
  answer_produce(Cluster::target, sent->correlation_id, 41);
  EXPECT_FALSE(next_produce_answer());
  EXPECT_TRUE(io.client_closed);
}

TEST_F(SessionScript, AHeldWriteWhoseClientLeftIsNeverSent) {
  begin(snapshot(on_source(), RoutePhase::fenced));
  produce(3);
  session->on_client_closed(now);
  EXPECT_EQ(load().held, 0);
  EXPECT_TRUE(session->finished());
  session->on_snapshot(snapshot(on_target(), RoutePhase::open), now);
  EXPECT_TRUE(io.upstreams.empty());
}

TEST_F(SessionScript, WritesThatWantNoAnswerAreCarriedOutAfterTheirClientLeft) {
  begin(snapshot(on_source(), RoutePhase::fenced));
  produce(3, 0);
  produce(4);
  produce(5, 0);
  session->on_client_closed(now);
  EXPECT_FALSE(session->finished());
  session->on_snapshot(snapshot(on_target(), RoutePhase::open), now);
  std::vector<std::int16_t> acks;
  UpstreamId id = upstream_to(Cluster::target);
  while (auto frame = io.upstreams.at(id).sent.next()) {
    const auto header = parse_request_header(*frame);
    if (header->api != ApiKey::Produce) continue;
    acks.push_back(decode<ProduceRequest>(BytesView(*frame).substr(header->body_at), header->version)->acks);
  }
  EXPECT_EQ(acks, (std::vector<std::int16_t>{0, 0})) << "who wants an answer will send again";
}

TEST_F(SessionScript, ABrokerThatEndsAConnectionWithUnansweredWritesEndsItsClients) {
  begin(snapshot(on_source(), RoutePhase::open));
  produce(3, 0);
  session->on_upstream_opened(upstream_to(Cluster::source), now);
  session->on_upstream_closed(upstream_to(Cluster::source), now);
  EXPECT_TRUE(io.client_closed) << "that is how a broker says that it leads no more";
}

TEST_F(SessionScript, AnAnswerToWhatWasSentBeforeConfirmsNothing) {
  begin(snapshot(on_source(), RoutePhase::open));
  produce(3);
  produce(4, 0);
  const auto first = at_broker(Cluster::source);
  ASSERT_TRUE(first);
  answer_produce(Cluster::source, first->correlation_id, 12);
  EXPECT_EQ(load().writes_in_flight, 1) << "the second may still be on its way";
}

TEST_F(SessionScript, AWriteUnderWayIsAwaitedAfterItsClientLeft) {
  begin(snapshot(on_source(), RoutePhase::open));
  produce(3);
  const auto sent = at_broker(Cluster::source);
  ASSERT_TRUE(sent);
  session->on_client_closed(now);
  EXPECT_FALSE(session->finished());
  EXPECT_EQ(load().writes_in_flight, 1);
  answer_produce(Cluster::source, sent->correlation_id, 12);
  EXPECT_EQ(load().writes_in_flight, 0);
  EXPECT_TRUE(session->finished());
  EXPECT_EQ(next_answer(), std::nullopt);
}

TEST_F(SessionScript, WhatASilentBrokerNeverAnsweredIsInDoubtWhenItsClientIsLongGone) {
  for (const std::int16_t acks : {-1, 0}) {
    worker = {};
    begin(snapshot(on_source(), RoutePhase::open));
    produce(3, acks);
    session->on_upstream_opened(upstream_to(Cluster::source), now);
    session->on_client_closed(now);
    EXPECT_EQ(load().writes_in_flight, 1) << acks;
    now += SessionOptions{}.limits.linger_ms;
    session->on_timer(now);
    EXPECT_TRUE(session->finished()) << acks;
    EXPECT_EQ(load().writes_in_flight, 0) << acks;
    EXPECT_EQ(worker.unknown_outcomes.all().size(), 1u) << acks;
    io.upstreams.clear();
  }
}

TEST_F(SessionScript, AWriteWhoseBrokerIsLostIsOfUnknownOutcome) {
  begin(snapshot(on_source(), RoutePhase::open));
  produce(3);
  session->on_upstream_opened(upstream_to(Cluster::source), now);
  session->on_upstream_closed(upstream_to(Cluster::source), now);
  EXPECT_TRUE(io.client_closed) << "no answer would be true";
  const auto lost = worker.unknown_outcomes.all();
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].writer, (UnknownOutcome::Writer{Cluster::source, {"default", 0}, "orders", 0, -1}));
  EXPECT_EQ(load().writes_in_flight, 0);
}

TEST_F(SessionScript, UnansweredWritesAreConfirmedUnderAFence) {
  begin(snapshot(on_source(), RoutePhase::open));
  produce(3, 0);
  const auto sent = at_broker(Cluster::source);
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->api, ApiKey::Produce);
  EXPECT_EQ(load().writes_in_flight, 1);
  session->on_upstream_opened(upstream_to(Cluster::source), now);
  session->on_snapshot(snapshot(on_source(), RoutePhase::fenced), now);
  const auto probe = at_broker(Cluster::source);
  ASSERT_TRUE(probe) << "any later answer says that the broker has handled what came before";
  EXPECT_EQ(probe->api, ApiKey::ApiVersions);
  EXPECT_EQ(load().writes_in_flight, 1);
  const ApiVersionsResponse answer;
  session->on_upstream_bytes(upstream_to(Cluster::source),
                             response_frame(ApiKey::ApiVersions, 0, probe->correlation_id, encode(answer, Version{0})),
                             now);
  EXPECT_EQ(load().writes_in_flight, 0);
  EXPECT_EQ(next_answer(), std::nullopt);
}

TEST_F(SessionScript, AThrottleThatNamesBrokersIsRefused) {
  auto s = snapshot(on_source(), RoutePhase::open);
  s->announced[ApiKey::IncrementalAlterConfigs] = {0, 1};
  begin(s);
  const auto alter = [this](std::int32_t correlation, const std::string& value) {
    IncrementalAlterConfigsRequest request;
    auto& resource = request.resources.emplace_back();
    resource.resource_type = 2;
    resource.resource_name = "orders";
    auto& config = resource.configs.emplace_back();
    config.name = "leader.replication.throttled.replicas";
    config.value = value;
    ask(ApiKey::IncrementalAlterConfigs, 1, correlation, encode(request, 1));
  };
  alter(3, "0:2,1:4");
  EXPECT_FALSE(at_broker(Cluster::source)) << "2 and 4 are virtual brokers";
  const auto frame = io.to_client.next();
  ASSERT_TRUE(frame);
  const auto header = parse_response_header(*frame, ApiKey::IncrementalAlterConfigs, 1);
  const auto answer = decode<IncrementalAlterConfigsResponse>(BytesView(*frame).substr(header->body_at), 1);
  ASSERT_TRUE(answer && answer->responses.size() == 1);
  EXPECT_EQ(answer->responses[0].error_code, static_cast<std::int16_t>(ErrorCode::INVALID_REQUEST));
  alter(4, "*");
  EXPECT_TRUE(at_broker(Cluster::source)) << "all replicas: true on both clusters";
}

TEST_F(SessionScript, ADrainAnswersWhatIsInFlightAndTakesNothingNew) {
  begin(snapshot(on_source(), RoutePhase::open));
  produce(3);
  const auto sent = at_broker(Cluster::source);
  ASSERT_TRUE(sent);
  session->drain(now);
  EXPECT_FALSE(io.client_closed);
  ask_versions(4);
  answer_produce(Cluster::source, sent->correlation_id, 12);
  EXPECT_EQ(next_answer(), 3);
  EXPECT_EQ(next_answer(), std::nullopt);
  EXPECT_TRUE(io.client_closed);
}

TEST_F(SessionScript, WithoutALeaseNothingIsForwarded) {
  const auto s = snapshot(on_source(), RoutePhase::open);
  s->lease_until[0] = now;
  begin(s);
  produce(7);
  EXPECT_FALSE(at_broker(Cluster::source));
  const auto answer = next_produce_answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->error_code, static_cast<std::int16_t>(ErrorCode::NOT_LEADER_OR_FOLLOWER));
  EXPECT_FALSE(io.client_closed);
}

// Only its coordinator's own producer id is known there.
TEST_F(SessionScript, TransactionalBatchesGoUntaggedAfterARollback) {
  constexpr std::int16_t transactional = 0x10;
  begin(snapshot(on_target().flipped(80, 2, Cluster::source, 100, 6), RoutePhase::open));
  for (int sequence = 0; sequence < 3; ++sequence) {
    const Bytes batch = build_batch({{now, std::nullopt, "value"}}, 4000, 0, sequence, transactional);
    produce_batch(sequence, -1, batch);
    bool sent = false;
    for (auto& [id, upstream] : io.upstreams) {
      while (auto frame = upstream.sent.next()) {
        const auto header = parse_request_header(*frame);
        ASSERT_EQ(header->api, ApiKey::Produce);
        sent = frame->substr(header->body_at).find(batch) != BytesView::npos;
      }
    }
    EXPECT_TRUE(sent) << "batch " << sequence << " is held or changed";
  }
}

}  // namespace
}  // namespace crossover::proxy
