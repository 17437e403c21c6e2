#include "src/admin_json.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <limits>

#include "tests/unit/admin_fake.h"

namespace crossover::src {
namespace {

namespace json = boost::json;

TEST(AdminJson, numbers_as_people_write_them) {
  EXPECT_EQ(to_text(json::array{0.5, 12.0, 1234.56789, -1.5, 1e300, 0.0}), "[0.5,12,1234.568,-1.5,1e+300,0]");
  EXPECT_EQ(to_text(json::array{std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}),
            "[null,null]");
  EXPECT_EQ(to_text(json::object{
                {"a", nullptr}, {"b", true}, {"c\"\n", "x\"<\x01"}, {"d", json::array{}}, {"e", json::object{}}}),
            R"({"a":null,"b":true,"c\"\n":"x\"<\u0001","d":[],"e":{}})");
  EXPECT_EQ(to_text(json::array{std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::uint64_t>::max()}),
            "[-9223372036854775808,18446744073709551615]");
}

TEST(AdminJson, bytes_that_are_no_text_are_replaced) {
  EXPECT_EQ(to_text(json::object{{"Grüße\xc3", json::array{"€, 𝄞", "a\xff", "\xe2\x82"}}, {"", "\"\xc3"}}),
            R"({"Grüße�":["€, 𝄞","a�","�"],"":"\"�"})");
}

TEST(AdminJson, hold_times_by_nearest_rank) {
  EXPECT_EQ(summarise({}).count, 0u);
  EXPECT_EQ(summarise({7}).p50, 7);
  EXPECT_EQ(summarise({7}).p99, 7);
  std::vector<proxy::Millis> hundred;
  for (int i = 100; i >= 1; --i) hundred.push_back(i);
  const HoldSummary summary = summarise(hundred);
  EXPECT_EQ(summary.count, 100u);
  EXPECT_EQ(summary.p50, 50);
  EXPECT_EQ(summary.p99, 99);
  EXPECT_EQ(summary.max, 100);
  EXPECT_EQ(summarise({1, 2}).p50, 1);
}

TEST(AdminJson, a_flip_report_whole) {
  proxy::FlipReport report{
      .route = "r", .direction = "rollback", .result = "failed", .error = "bad \xff", .generation = 4};
  report.gates = {{"g", false, "why"}};
  report.steps = {{"fence", 1.5}};
  report.partitions = {{"t", 2, 30, 20, 10}};
  report.hold_ms = {5};
  EXPECT_EQ(json::parse(to_text(flip_json(report, true))),
            json::parse(R"({"route":"r","result":"failed","direction":"rollback",
    "generation":4,"gates":[{"name":"g","ok":false,"detail":"why"}],"steps":[{"name":"fence","ms":1.5}],
    "hold_ms":{"count":1,"p50":5,"p99":5,"max":5},"partition_count":1,"added_topics":[],"open_transactions":[],"aborted":[],"error":"bad \uFFFD","partitions":[{"topic":"t","partition":2,
    "virtual_boundary":30,"from":{"cluster":"target","end_offset":20},"to":{"cluster":"source","start_offset":10}}]})"));
  EXPECT_FALSE(flip_json(report, false).contains("partitions"));
}

class AdminViews : public ::testing::Test {
 protected:
  AdminViews() {
    fake.status([this](StatusView v) { view = std::move(v); });
  }
  tests::FakeAdmin fake;
  StatusView view;
};

TEST_F(AdminViews, segments_of_a_partition) {
  const json::object route = route_json(view, view.routes[1], {});
  const json::value& partition = route.at("topics").at(0).at("partitions").at(1);
  EXPECT_EQ(partition.at("segments"), json::parse(R"([
    {"cluster":"source","virtual_base":0,"real_base":0,"length":41519,"generation":0},
    {"cluster":"target","virtual_base":41519,"real_base":40,"length":18619,"generation":1},
    {"cluster":"source","virtual_base":60138,"real_base":41519,"length":null,"generation":2}])"));
  EXPECT_EQ(partition.at("leaders"), json::parse(R"({"source":2,"target":102})"));
  EXPECT_EQ(route.at("topic_count"), 2);
  EXPECT_EQ(route.at("partition_count"), 9);
  EXPECT_EQ(route.at("defined_topics"), json::parse(R"(["orders","payments"])"));
  EXPECT_EQ(route.at("history").as_array().size(), 2u);
  EXPECT_FALSE(route.at("history").at(0).as_object().contains("partitions"));
  EXPECT_TRUE(route.at("history").at(1).as_object().contains("partitions"));
}

TEST_F(AdminViews, the_status) {
  view.strangers.push_back({"orders", 3, proxy::Cluster::target, 77, 2});
  view.routes[1].flip_running = true;
  view.routes[1].flip_step = "drain";
  const json::object status = status_json(view);
  EXPECT_EQ(status.at("strangers"),
            json::parse(R"([{"topic":"orders","partition":3,"cluster":"target","first_offset":77,"count":2}])"));
  EXPECT_EQ(status.at("routes").at(0).at("defined_topics"), nullptr);
  EXPECT_EQ(status.at("routes").at(0).at("last_flip"), nullptr);
  EXPECT_EQ(status.at("routes").at(1).at("flip"), json::parse(R"({"running":true,"step":"drain"})"));
  EXPECT_EQ(status.at("routes").at(1).at("last_flip").at("direction"), "rollback");
  EXPECT_EQ(status.at("virtual_brokers").as_array().size(), 6u);
  EXPECT_EQ(status.at("counters").as_object().size(), 11u);
  EXPECT_TRUE(status.at("problems").as_array().empty());
}

TEST_F(AdminViews, a_broker_without_a_port_is_a_problem) {
  auto snapshot = std::make_shared<proxy::Snapshot>(*view.snapshot);
  snapshot->brokers_without_port = "source broker 3: no port is left";
  view.snapshot = snapshot;
  EXPECT_EQ(status_json(view).at("problems"), json::parse(R"(["source broker 3: no port is left"])"));
}

TEST_F(AdminViews, long_lists_are_cut) {
  view.strangers.resize(1'500);
  EXPECT_EQ(status_json(view).at("strangers").as_array().size(), 1'000u);
  EXPECT_EQ(status_json(view).at("stranger_partitions"), 1'500);
  const json::object connections = connections_json(std::vector<proxy::SessionInfo>(10'001), 0);
  EXPECT_EQ(connections.at("connections").as_array().size(), 10'000u);
  EXPECT_EQ(connections.at("truncated"), true);
  EXPECT_EQ(connections.at("count"), 10'001);
}

TEST_F(AdminViews, connections) {
  const json::value all = json::parse(to_text(connections_json(fake.sessions, 71'000)));
  EXPECT_EQ(all.at("connections").at(0), json::parse(R"({"peer":"127.0.0.1:53422","client_id":"orders-producer",
    "software_name":"apache-kafka-java","software_version":"4.1.0","virtual_broker":1,"requests":18234,"in_flight":2,
    "connected_ms":70000,"idle_ms":100})"));
  EXPECT_EQ(all.at("connections").at(2).at("client_id"), "odd\xef\xbf\xbd<b>name");
  EXPECT_EQ(all.at("connections").at(2).at("virtual_broker"), nullptr);
}

}  // namespace
}  // namespace crossover::src
