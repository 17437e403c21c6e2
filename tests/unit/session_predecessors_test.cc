// The first write at a new home waits for what the same client had sent through other brokers before. Two sessions of
// one client as scripts of events; what a driver does between them is done by hand.
#include <gtest/gtest.h>

#include "protocol/codec.h"
#include "protocol/frame.h"
#include "protocol/messages.h"
#include "protocol/record_batch.h"
#include "proxy/predecessors.h"
#include "tests/unit/leak_world.h"

namespace crossover::proxy {
namespace {

using namespace protocol;
using test::virtual_node;

constexpr Version produce_version = 9;
constexpr char client[] = "rdkafka";

struct Io : SessionIo {
  Bytes to_client;
  std::vector<Bytes> sent;  // requests, whichever broker they went to
  FrameBuffer input{1 << 20};
  std::vector<std::pair<std::uint64_t, Cluster>> waits;
  Millis came = -1;

  void send_to_client(Bytes data) override { to_client += data; }
  void close_client(std::string_view) override {}
  void pause_client_reads() override {}
  void resume_client_reads() override {}
  void open_upstream(UpstreamId, Cluster, NodeId) override {}
  void send_upstream(UpstreamId, Bytes data) override {
    input.append(data);
    while (auto frame = input.next()) sent.push_back(std::move(*frame));
  }
  void close_upstream(UpstreamId) override {}
  void arm_timer(Millis) override {}
  void want_image(Cluster, Millis) override {}
  void want_binding(const WantedBinding&) override {}
  void want_predecessors(std::uint64_t wait, Cluster home, std::string_view client_id, Millis arrived_at) override {
    EXPECT_EQ(client_id, client);
    came = arrived_at;
    waits.emplace_back(wait, home);
  }
};

std::shared_ptr<Snapshot> moved(RoutePhase phase = RoutePhase::open) {
  auto snapshot = test::leak_snapshot(Cluster::source);
  snapshot->routes[1].phase = phase;
  return snapshot;
}

// "moved" goes back to the source.
std::shared_ptr<Snapshot> moved_back() {
  auto snapshot = moved();
  snapshot->routes[1].home = Cluster::source;
  snapshot->routes[1].generation = 2;
  const auto log = test::moved_log().flipped(7'000'050, 910'001, Cluster::source, 5'000'100, 900'001);
  test::add_topic(*snapshot, test::topic_view(test::moved_topic, {test::repeated(0xa3), test::repeated(0xb3)},
                                              test::repeated(0x33), log, 1));
  return snapshot;
}

struct Peer {
  Io io;
  WorkerState worker;
  Session session;
  Millis now = 1'000;
  std::size_t answered = 0;

  explicit Peer(std::optional<NodeId> broker, std::shared_ptr<const Snapshot> snapshot = moved())
      : session(io, worker, SessionOptions{broker, "peer", {}}, std::move(snapshot), now) {}

  static Bytes request(const char* topic, PartitionIndex partition = 0, std::int16_t acks = 1,
                       const char* client_id = client) {
    const Bytes batch = build_batch({{1, std::nullopt, "value"}});
    ProduceRequest asked;
    asked.acks = acks;
    asked.timeout_ms = 1'000;
    asked.topic_data.emplace_back().name = topic;
    asked.topic_data[0].partition_data.emplace_back().index = partition;
    asked.topic_data[0].partition_data[0].records = Records(batch);
    return request_frame(ApiKey::Produce, produce_version, 1, client_id, encode(asked, produce_version));
  }
  void produce(const char* topic = test::moved_topic, PartitionIndex partition = 0) {
    session.on_client_bytes(request(topic, partition), now);
  }
  void predecessors_answered() { session.on_predecessors_answered(io.waits.back().first, now); }
  void broker_answers() {
    const auto header = parse_request_header(io.sent.at(answered++));
    ProduceResponse answer;
    answer.responses.emplace_back().name = test::moved_topic;
    answer.responses[0].partition_responses.emplace_back();
    session.on_upstream_bytes(
        1, response_frame(ApiKey::Produce, produce_version, header->correlation_id, encode(answer, produce_version)),
        now);
  }
  std::uint64_t owed(Cluster home = Cluster::target) { return session.newest_write_elsewhere(home, client, now); }
};

TEST(Predecessors, TheFirstWriteAtTheNewHomeWaitsAndLaterOnesDoNot) {
  Peer peer(virtual_node(Cluster::target, 0));
  peer.produce();
  peer.produce();
  ASSERT_EQ(peer.io.waits.size(), 1u);
  EXPECT_EQ(peer.io.waits[0].second, Cluster::target);
  EXPECT_EQ(peer.io.sent.size(), 0u);
  peer.session.on_predecessors_answered(peer.io.waits[0].first + 1, peer.now);  // another one's
  EXPECT_EQ(peer.io.sent.size(), 0u);
  peer.predecessors_answered();
  EXPECT_EQ(peer.io.sent.size(), 2u);
  peer.produce(test::moved_topic, 1);
  EXPECT_EQ(peer.io.waits.size(), 2u) << "another partition";
  EXPECT_EQ(peer.io.sent.size(), 2u);
}

TEST(Predecessors, NothingWaitsBeforeAFlipNorAtTheOldHome) {
  Peer never_flipped(virtual_node(Cluster::source, 0)), old_home(virtual_node(Cluster::source, 0)), bootstrap({});
  never_flipped.produce(test::plain_topic);
  old_home.produce();
  bootstrap.produce();
  for (const Peer* peer : {&never_flipped, &old_home, &bootstrap}) {
    EXPECT_TRUE(peer->io.waits.empty());
    EXPECT_EQ(peer->io.sent.size(), 1u);
  }
}

// Its worker may be the last to hear of the announcement, or the client is one flip behind and comes again later.
TEST(Predecessors, BeforeTheNewHomeIsAnnouncedEachWriteThereWaits) {
  Peer peer(virtual_node(Cluster::target, 0), moved(RoutePhase::releasing));
  for (std::size_t i = 1; i <= 2; ++i) {
    peer.produce();
    EXPECT_EQ(peer.io.waits.size(), i);
    EXPECT_EQ(peer.io.sent.size(), i - 1);
    peer.predecessors_answered();
    EXPECT_EQ(peer.io.sent.size(), i);
  }
  peer.session.on_snapshot(moved(), peer.now);
  peer.produce();
  EXPECT_EQ(peer.io.waits.size(), 3u);
}

TEST(Predecessors, AreNotAwaitedForEver) {
  Peer peer(virtual_node(Cluster::target, 0));
  peer.produce();
  peer.now += Limits{}.predecessors_ms - 1;
  peer.session.on_timer(peer.now);
  EXPECT_EQ(peer.io.sent.size(), 0u);
  peer.session.on_timer(++peer.now);
  EXPECT_EQ(peer.io.sent.size(), 1u);
  peer.predecessors_answered();  // too late: of no interest
  EXPECT_EQ(peer.io.sent.size(), 1u);
}

TEST(Predecessors, AFenceThatComesMeanwhileHoldsTheWrite) {
  Peer peer(virtual_node(Cluster::target, 0));
  peer.produce();
  peer.session.on_snapshot(moved(RoutePhase::fenced), peer.now);
  peer.predecessors_answered();
  EXPECT_EQ(peer.io.sent.size(), 0u);
  EXPECT_EQ((peer.worker.routes[{"moved", 0}].held), 1);
  peer.session.on_snapshot(moved(), peer.now);
  EXPECT_EQ(peer.io.sent.size(), 1u);
}

TEST(Predecessors, AWriteIsOwedFromItsFirstByteToItsAnswer) {
  Peer peer(virtual_node(Cluster::source, 0));
  EXPECT_EQ(peer.owed(), 0u);
  const Bytes bytes = Peer::request(test::moved_topic);
  peer.session.on_client_bytes(BytesView(bytes).substr(0, 50), peer.now);
  EXPECT_EQ(peer.owed(), 0u) << "whose it is, is not known before the first whole request";
  peer.session.on_client_bytes(BytesView(bytes).substr(50), peer.now);
  EXPECT_EQ(peer.owed(), 1u);
  EXPECT_EQ(peer.owed(Cluster::source), 0u) << "it came in on a broker of that home";
  EXPECT_EQ(peer.session.newest_write_elsewhere(Cluster::target, "another", peer.now), 0u);
  peer.session.on_client_bytes(BytesView(bytes).substr(0, 50), peer.now);
  EXPECT_EQ(peer.owed(), 2u);
  EXPECT_TRUE(peer.session.owes_write(1));
  peer.broker_answers();
  EXPECT_FALSE(peer.session.owes_write(1));
  EXPECT_TRUE(peer.session.owes_write(2)) << "the second may still be a write";
}

TEST(Predecessors, OtherRequestsAndWritesWithoutAnswerAreNotOwed) {
  Peer peer(virtual_node(Cluster::source, 0));
  peer.session.on_client_bytes(Peer::request(test::moved_topic, 0, 0), peer.now);
  ASSERT_EQ(peer.io.sent.size(), 1u);
  EXPECT_EQ(peer.owed(), 0u);
  MetadataRequest ask;
  peer.session.on_client_bytes(request_frame(ApiKey::Metadata, 9, 2, client, encode(ask, Version{9})), peer.now);
  EXPECT_EQ(peer.owed(), 0u);
}

// Under a fence a write through the target's broker, then one through the source's, the home of that time: when the
// flip lets both go, the first goes first.
TEST(Predecessors, HeldWritesGoInTheOrderInWhichTheyCame) {
  const auto back = moved_back();
  auto fenced = std::make_shared<Snapshot>(*back);
  fenced->routes[1].phase = RoutePhase::fenced;
  Peer at_target(virtual_node(Cluster::target, 0), fenced), at_source(virtual_node(Cluster::source, 0), fenced);
  at_target.produce();
  EXPECT_TRUE(at_target.io.waits.empty());
  ++at_source.now;
  at_source.produce();
  ASSERT_EQ(at_source.io.waits.size(), 1u);
  EXPECT_EQ(at_target.owed(Cluster::source), 1u);
  auto flipped = std::make_shared<Snapshot>(*back);
  flipped->routes[1].home = Cluster::target;
  flipped->routes[1].generation = 3;
  flipped->routes[1].phase = RoutePhase::releasing;
  const auto log = back->topic(test::moved_topic)
                       ->partitions[0]
                       .log.flipped(5'000'200, 900'001, Cluster::target, 7'000'050, 910'001);
  test::add_topic(*flipped, test::topic_view(test::moved_topic, {test::repeated(0xa3), test::repeated(0xb3)},
                                             test::repeated(0x33), log, 1));
  at_source.session.on_snapshot(flipped, at_source.now);
  EXPECT_EQ(at_source.io.sent.size(), 0u);
  at_target.session.on_snapshot(flipped, at_target.now);
  ASSERT_EQ(at_target.io.waits.size(), 1u);
  const Millis came = at_target.io.came;
  EXPECT_EQ(at_source.session.newest_write_elsewhere(Cluster::target, client, came), 0u) << "they would wait for ever";
  at_target.predecessors_answered();
  EXPECT_EQ(at_target.io.sent.size(), 1u);
  at_source.predecessors_answered();
  EXPECT_EQ(at_source.io.sent.size(), 1u);
}

TEST(Predecessors, OfTwoThatWaitTheLaterWaitsForTheEarlier) {
  Peer earlier(virtual_node(Cluster::target, 0));
  earlier.produce();
  ASSERT_EQ(earlier.io.waits.size(), 1u);
  EXPECT_EQ(earlier.session.newest_write_elsewhere(Cluster::source, client, earlier.now), 0u);
  EXPECT_EQ(earlier.session.newest_write_elsewhere(Cluster::source, client, earlier.now + 1), 1u);
}

TEST(AwaitedWrites, EndWhenTheMarkedWritesAreAnsweredOrGone) {
  Peer one(virtual_node(Cluster::source, 0)), two(virtual_node(Cluster::source, 1));
  one.produce();
  two.produce();
  AwaitedWrites awaited;
  int done = 0;
  awaited.add({}, 2'000, [&done] { ++done; });
  EXPECT_EQ(done, 1) << "nothing to wait for";
  awaited.add({{1, one.owed()}, {2, two.owed()}}, 2'000, [&done] { ++done; });
  bool two_gone = false;
  const auto session_of = [&](std::uint64_t id) -> const Session* {
    return id == 1 ? &one.session : two_gone ? nullptr : &two.session;
  };
  awaited.check(1'000, session_of);
  one.produce();  // after the mark
  one.broker_answers();
  awaited.check(1'000, session_of);
  EXPECT_EQ(done, 1);
  two_gone = true;
  awaited.check(1'000, session_of);
  EXPECT_EQ(done, 2);
  awaited.add({{1, one.owed()}}, 2'000, [&done] { ++done; });
  awaited.check(1'999, session_of);
  EXPECT_FALSE(awaited.empty());
  awaited.check(2'000, session_of);
  EXPECT_TRUE(awaited.empty()) << "who asked does not wait any more";
  EXPECT_EQ(done, 2);
}

}  // namespace
}  // namespace crossover::proxy
