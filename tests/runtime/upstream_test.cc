// What the proxy itself says to clusters: its own requests, and the control topics.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <thread>

#include "protocol/frame.h"
#include "protocol/wire.h"
#include "src/cluster_client.h"
#include "src/control_topic.h"
#include "src/log.h"
#include "tests/runtime/sockets.h"

namespace crossover::src {
namespace {

using protocol::ApiKey;
using protocol::Bytes;
using proxy::CallId;
using test::Watched;
using testing::ElementsAre;
using namespace std::chrono_literals;

constexpr ApiKey api_versions = static_cast<ApiKey>(18);

// ---- log ----

TEST(Log, values_that_are_not_plain_are_quoted_and_escaped) {
  EXPECT_EQ(format_line(config::LogLevel::warn, "event", {{"a", "1"}, {"b", "x y"}, {"c", ""}, {"d", "q\"\\\n\x01"}}),
            "WARN event a=1 b=\"x y\" c=\"\" d=\"q\\\"\\\\\\n\\x01\"");
}

// ---- requests ----

struct Client {
  using Replies = std::map<CallId, std::optional<Bytes>>;
  explicit Client(std::vector<config::HostPort> bootstrap)
      : client(io, proxy::Cluster::source, std::move(bootstrap), [this](CallId id, std::optional<Bytes> body) {
          EXPECT_TRUE(replies.emplace(id, std::move(body)).second) << "answered twice: " << id;
        }) {}
  // Runs until that many answers are there.
  bool run(std::size_t count, std::chrono::milliseconds time = 10s) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (replies.size() < count && std::chrono::steady_clock::now() < end) {
      io.restart();  // it stops whenever it has nothing to do
      io.run_one_for(50ms);
    }
    return replies.size() >= count;
  }

  boost::asio::io_context io;
  Replies replies;
  ClusterClient client;
};

// Answers requests as told by the test: reads whole frames, writes whole frames.
struct Broker {
  test::Socket listener = test::listen_on_any_port();
  config::HostPort address() const { return {"127.0.0.1", test::port_of(listener)}; }

  static std::int32_t read_correlation(const test::Socket& socket) {
    const std::string size = socket.receive(4);
    if (size.size() < 4) return -1;
    const std::string frame = socket.receive(static_cast<std::size_t>(protocol::load_int32(size.data())));
    return frame.size() < 8 ? -1 : protocol::load_int32(frame.data() + 4);
  }
  static void answer(const test::Socket& socket, std::int32_t correlation, std::string_view body) {
    EXPECT_TRUE(socket.send(protocol::response_frame(api_versions, 0, correlation, body)));
  }
};

TEST(ClusterClient, requests_are_pipelined_and_answered_in_order) {
  Broker broker;
  std::jthread thread([&] {
    auto socket = test::accept_from(broker.listener);
    const std::int32_t first = Broker::read_correlation(socket);
    const std::int32_t second = Broker::read_correlation(socket);
    Broker::answer(socket, first, "one");
    Broker::answer(socket, second, "two");
  });
  Client client({broker.address()});
  client.client.request(1, proxy::any_node, api_versions, 0, "", 5'000);
  client.client.request(2, proxy::any_node, api_versions, 0, "", 5'000);
  EXPECT_TRUE(client.replies.empty());  // never from within request()
  ASSERT_TRUE(client.run(2));
  EXPECT_EQ(client.replies[1], "one");
  EXPECT_EQ(client.replies[2], "two");
}

TEST(ClusterClient, a_closed_port_is_no_answer_and_the_next_address_is_tried) {
  Client refused({{"127.0.0.1", test::closed_port()}});
  refused.client.request(1, proxy::any_node, api_versions, 0, "", 5'000);
  ASSERT_TRUE(refused.run(1));
  EXPECT_EQ(refused.replies[1], std::nullopt);

  Broker broker;
  std::jthread thread([&] {
    auto socket = test::accept_from(broker.listener);
    Broker::answer(socket, Broker::read_correlation(socket), "here");
  });
  Client client({{"127.0.0.1", test::closed_port()}, broker.address()});
  client.client.request(1, proxy::any_node, api_versions, 0, "", 5'000);
  ASSERT_TRUE(client.run(1));
  EXPECT_EQ(client.replies[1], "here");
}

TEST(ClusterClient, a_silent_broker_costs_the_time_asked_for_and_is_left) {
  Broker broker;
  Client client({broker.address()});
  client.client.request(1, proxy::any_node, api_versions, 0, "", 200);
  client.client.request(2, proxy::any_node, api_versions, 0, "", 60'000);
  ASSERT_TRUE(client.run(2));  // what waits behind the silent one cannot be answered either
  EXPECT_EQ(client.replies[1], std::nullopt);
  EXPECT_EQ(client.replies[2], std::nullopt);
  auto first = test::accept_from(broker.listener);
  EXPECT_TRUE(first.closed_by_peer());
  std::jthread thread([&] {
    auto socket = test::accept_from(broker.listener);
    Broker::answer(socket, Broker::read_correlation(socket), "awake");
  });
  client.client.request(3, proxy::any_node, api_versions, 0, "", 5'000);
  ASSERT_TRUE(client.run(3));
  EXPECT_EQ(client.replies[3], "awake");
}

TEST(ClusterClient, one_given_up_behind_a_slow_one_does_not_hurt_it) {
  Broker broker;
  std::jthread thread([&] {
    auto socket = test::accept_from(broker.listener);
    const std::int32_t slow = Broker::read_correlation(socket);
    const std::int32_t hasty = Broker::read_correlation(socket);
    std::this_thread::sleep_for(500ms);
    Broker::answer(socket, slow, "slow");
    std::this_thread::sleep_for(200ms);
    Broker::answer(socket, hasty, "late");
    Broker::answer(socket, Broker::read_correlation(socket), "next");
  });
  Client client({broker.address()});
  client.client.request(1, proxy::any_node, api_versions, 0, "", 10'000);
  client.client.request(2, proxy::any_node, api_versions, 0, "", 100);
  ASSERT_TRUE(client.run(2));
  client.client.request(3, proxy::any_node, api_versions, 0, "", 10'000);
  ASSERT_TRUE(client.run(3));
  EXPECT_EQ(client.replies[1], "slow");
  EXPECT_EQ(client.replies[2], std::nullopt);
  EXPECT_EQ(client.replies[3], "next");
}

TEST(ClusterClient, answers_that_fit_no_request_end_the_connection) {
  Broker broker;
  std::jthread thread([&] {
    auto socket = test::accept_from(broker.listener);
    Broker::answer(socket, Broker::read_correlation(socket) + 1, "wrong");
    EXPECT_TRUE(socket.closed_by_peer());
  });
  Client client({broker.address()});
  client.client.request(1, proxy::any_node, api_versions, 0, "", 5'000);
  ASSERT_TRUE(client.run(1));
  EXPECT_EQ(client.replies[1], std::nullopt);
}

// ---- control topic ----

// librdkafka's own broker imitation: enough for one topic that exists.
class MockCluster {
 public:
  MockCluster() {
    char text[256];
    client_ = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), text, sizeof text);
    cluster_ = rd_kafka_mock_cluster_new(client_, 1);
    for (const char* topic : {"__crossover_control", "__crossover_leases"}) {
      rd_kafka_mock_topic_create(cluster_, topic, 1, 1);
    }
  }
  ~MockCluster() {
    rd_kafka_mock_cluster_destroy(cluster_);
    rd_kafka_destroy(client_);
  }
  std::vector<config::HostPort> bootstrap() const {
    return config::parse_host_port_list(rd_kafka_mock_cluster_bootstraps(cluster_)).value();
  }

 private:
  rd_kafka_t* client_;
  rd_kafka_mock_cluster_t* cluster_;
};

struct Control {
  struct Seen {
    std::vector<std::pair<proxy::Offset, Bytes>> records;
    std::map<CallId, bool> results;
    int caught_up = 0;
    std::size_t records_at_caught_up = 0;
  };
  explicit Control(std::vector<config::HostPort> bootstrap)
      : topic({.bootstrap = std::move(bootstrap)},
              {.record =
                   [this](proxy::Offset at, Bytes record) {
                     seen.change([&](Seen& s) { s.records.emplace_back(at, std::move(record)); });
                   },
               .caught_up =
                   [this] {
                     seen.change([](Seen& s) {
                       ++s.caught_up;
                       s.records_at_caught_up = s.records.size();
                     });
                   },
               .append_result = [this](CallId id, bool ok) { seen.change([&](Seen& s) { s.results[id] = ok; }); }}) {
    topic.start();
  }
  Watched<Seen> seen;
  ControlTopic topic;
};

TEST(ControlTopic, what_is_appended_comes_back_in_order_to_every_reader) {
  MockCluster cluster;
  {
    Control control(cluster.bootstrap());
    ASSERT_TRUE(control.seen.wait([](const auto& s) { return s.caught_up == 1; }, 60s));
    // The producer is made right after the topics were found; until then an append is refused.
    const auto appended = [&](CallId id, const char* record) {
      for (int attempt = 0; attempt < 100; ++attempt) {
        control.seen.change([&](auto& s) { s.results.erase(id); });
        control.topic.append(id, record);
        if (!control.seen.wait([&](const auto& s) { return s.results.contains(id); }, 20s)) return false;
        if (control.seen.get().results.at(id)) return true;
        std::this_thread::sleep_for(50ms);
      }
      return false;
    };
    for (CallId id = 1; id <= 3; ++id) ASSERT_TRUE(appended(id, std::to_string(id).c_str()));
    ASSERT_TRUE(control.seen.wait([](const auto& s) { return s.records.size() == 3; }, 20s));
    EXPECT_THAT(control.seen.get().records,
                ElementsAre(std::pair(proxy::Offset{0}, "1"), std::pair(proxy::Offset{1}, "2"),
                            std::pair(proxy::Offset{2}, "3")));
    EXPECT_EQ(control.seen.get().records_at_caught_up, 0u);
  }
  Control again(cluster.bootstrap());
  ASSERT_TRUE(again.seen.wait([](const auto& s) { return s.caught_up == 1; }, 60s));
  EXPECT_EQ(again.seen.get().records_at_caught_up, 3u);
  EXPECT_EQ(again.seen.get().records.back().second, "3");
}

TEST(ControlTopic, with_the_cluster_down_nothing_blocks_and_an_append_is_refused) {
  Control control({{"127.0.0.1", test::closed_port()}});
  control.topic.append(7, "record");
  ASSERT_TRUE(control.seen.wait([](const auto& s) { return s.results.contains(7); }));
  EXPECT_FALSE(control.seen.get().results.at(7));
  control.topic.trim(5);
  EXPECT_EQ(control.seen.get().caught_up, 0);
}

}  // namespace
}  // namespace crossover::src
