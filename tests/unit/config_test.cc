#include "config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace crossover::config {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Problems problems_of(const std::string& text) {
  Config config;
  return apply_yaml(config, text, "config.yaml");
}

Config with_clusters() {
  Config config;
  config.source.bootstrap = {{"source.example", 9092}};
  config.target.bootstrap = {{"target.example", 9092}};
  return config;
}

Problems whole(Config config) {
  resolve(config);
  return check(config);
}

TEST(HostPort, names_and_addresses) {
  EXPECT_EQ(parse_host_port("localhost:9092"), (HostPort{"localhost", 9092}));
  EXPECT_EQ(parse_host_port("10.0.0.1:1"), (HostPort{"10.0.0.1", 1}));
  EXPECT_EQ(parse_host_port("[::1]:65535"), (HostPort{"::1", 65535}));
  EXPECT_EQ(parse_host_port("[fe80::1%eth0]:9092"), (HostPort{"fe80::1%eth0", 9092}));
  EXPECT_EQ(to_string(HostPort{"::1", 9092}), "[::1]:9092");
  EXPECT_EQ(to_string(HostPort{"a", 9092}), "a:9092");
}

TEST(HostPort, everything_else_is_refused) {
  for (const char* wrong : {"", ":", "a", "a:", ":9092", "a:65536", "a:-1", "a:9092x", "a: 9092", "::1:9092", "[::1]",
                            "[]:1", "[a]:1", "a b:1", "a/b:1", "http://a:1", "a:0x10", "a:9092\n"}) {
    EXPECT_EQ(parse_host_port(wrong), std::nullopt) << wrong;
  }
}

TEST(HostPort, lists) {
  EXPECT_EQ(parse_host_port_list("a:1,[::1]:2"), (std::vector<HostPort>{{"a", 1}, {"::1", 2}}));
  for (const char* wrong : {"", ",", "a:1,", ",a:1", "a:1,,b:2", "a:1 b:2", "a:0"}) {
    EXPECT_EQ(parse_host_port_list(wrong), std::nullopt) << wrong;
  }
}

TEST(Config, an_empty_text_changes_nothing) {
  Config config;
  EXPECT_THAT(apply_yaml(config, "", "x"), IsEmpty());
  EXPECT_THAT(apply_yaml(config, "# nothing\n", "x"), IsEmpty());
  EXPECT_THAT(apply_yaml(config, "limits:\n  # hold_ms: 1\n", "x"), IsEmpty());
  EXPECT_EQ(config, Config{});
}

TEST(Config, the_wrong_value_is_named_with_line_and_path) {
  EXPECT_THAT(problems_of("# a comment\nadmin:\n  listen: 9644\n"),
              ElementsAre("config.yaml:3: admin.listen: expected HOST:PORT, not \"9644\""));
  EXPECT_THAT(problems_of("limits:\n  hold_ms: 4s\n"),
              ElementsAre("config.yaml:2: limits.hold_ms: expected a whole number from 100 to 25000, not \"4s\""));
  EXPECT_THAT(problems_of("flip: {transactions_ms: 0}"),
              ElementsAre("config.yaml:1: flip.transactions_ms: expected a whole number from 100 to 60000, not \"0\""))
      << "no worker could take the brake within it";
  EXPECT_THAT(problems_of("log: {level: loud}"),
              ElementsAre("config.yaml:1: log.level: expected debug, info, warn or error"));
  EXPECT_THAT(problems_of("source:\n  bootstrap: [a:1, b]\n"),
              ElementsAre("config.yaml:2: source.bootstrap: expected HOST:PORT, not \"b\""));
}

TEST(Config, a_wrong_value_leaves_the_default) {
  Config config;
  EXPECT_EQ(apply_yaml(config, "workers: -1\nrefresh_ms: 99999999999999999999\nlisten: [a:1]\n", "x").size(), 3u);
  EXPECT_EQ(config, Config{});
}

TEST(Config, every_problem_is_reported_at_once) {
  EXPECT_EQ(problems_of("workers: x\nlisten: y\nsurprise: 1\n").size(), 3u);
}

TEST(Config, unknown_keys_are_refused_with_their_path) {
  EXPECT_THAT(problems_of("limits:\n  hold: 1\n"),
              ElementsAre(AllOf(HasSubstr("config.yaml:2: limits.hold: unknown key"), HasSubstr("hold_ms"))));
  EXPECT_THAT(problems_of("hold_ms: 1\n"),
              ElementsAre("config.yaml:1: hold_ms: unknown key, did you mean limits.hold_ms?"));
  EXPECT_THAT(problems_of("listen: {host: a}\n"), ElementsAre("config.yaml:1: listen: expected HOST:PORT"));
}

TEST(Config, structure_that_is_not_a_map_is_refused) {
  EXPECT_THAT(problems_of("- a\n"), ElementsAre("config.yaml:1: expected keys and values"));
  EXPECT_THAT(problems_of("limits: 3\n"), ElementsAre("config.yaml:1: limits: expected keys below it"));
  EXPECT_THAT(problems_of("workers:\n"), ElementsAre("config.yaml:1: workers: has no value"));
  EXPECT_THAT(problems_of("workers: 1\nworkers: 2\n"), ElementsAre("config.yaml:2: workers: given twice"));
  EXPECT_THAT(problems_of("? [a]\n: 1\n"), ElementsAre(HasSubstr("a key must be a plain word")));
  EXPECT_THAT(problems_of("a: 1\n---\nb: 2\n"), ElementsAre("config.yaml: more than one YAML document"));
  EXPECT_THAT(problems_of("a: [1\nb: 2"), ElementsAre(HasSubstr("config.yaml:")));
}

TEST(Config, bootstrap_is_a_list_or_one_string) {
  Config config;
  EXPECT_THAT(apply_yaml(config, "source: {bootstrap: \"a:1,b:2\"}\ntarget: {bootstrap: [\"[::1]:3\"]}\n", "x"),
              IsEmpty());
  EXPECT_EQ(config.source.bootstrap, (std::vector<HostPort>{{"a", 1}, {"b", 2}}));
  EXPECT_EQ(config.target.bootstrap, (std::vector<HostPort>{{"::1", 3}}));
}

TEST(Config, what_follows_from_listen) {
  Config config = with_clusters();
  config.listen = {"10.1.2.3", 19'000};
  resolve(config);
  EXPECT_EQ(config.advertised_host, "10.1.2.3");
  EXPECT_EQ(config.broker_ports.first, 19'001);
  EXPECT_EQ(config.broker_ports.count, 1'000);
  EXPECT_THAT(check(config), IsEmpty());
}

TEST(Config, broker_ports_end_before_the_admin_port_and_the_last_port) {
  Config config = with_clusters();
  resolve(config);
  EXPECT_EQ(config.broker_ports.first, 9'093);
  EXPECT_EQ(config.broker_ports.count, 9'644 - 9'093);
  EXPECT_THAT(check(config), IsEmpty());
  Config high = with_clusters();
  high.listen.port = 65'000;
  resolve(high);
  EXPECT_EQ(high.broker_ports.count, 535);
  EXPECT_THAT(check(high), IsEmpty());
}

TEST(Config, ports_in_each_others_way_are_found) {
  Config config = with_clusters();
  config.broker_ports = {9'093, 1'000};
  EXPECT_THAT(whole(config), ElementsAre(HasSubstr("admin.listen: port 9644 is one of broker_ports (9093 to 10092)")));
  config.admin.listen.host = "10.0.0.1";
  EXPECT_THAT(whole(config), IsEmpty());
  config.admin.listen.host = "0.0.0.0";
  EXPECT_THAT(whole(config), ElementsAre(HasSubstr("admin.listen")));
  config = with_clusters();
  config.broker_ports = {9'000, 100};
  EXPECT_THAT(whole(config), ElementsAre(HasSubstr("listen: port 9092 is one of broker_ports")));
  config = with_clusters();
  config.admin.listen.port = 9'092;
  EXPECT_THAT(whole(config), ElementsAre("admin.listen: is the same as listen"));
  config = with_clusters();
  config.broker_ports = {65'000, 1'000};
  EXPECT_THAT(whole(config), ElementsAre(HasSubstr("reaches beyond port 65535")));
  config = with_clusters();
  config.listen.port = 65'535;
  EXPECT_FALSE(whole(config).empty());
}

TEST(Config, the_whole_is_checked) {
  EXPECT_THAT(whole(Config{}), ElementsAre(HasSubstr("source.bootstrap"), HasSubstr("target.bootstrap")));
  Config config = with_clusters();
  config.target = config.source;
  EXPECT_THAT(whole(config), ElementsAre(HasSubstr("must be two clusters")));
  config = with_clusters();
  config.target.bootstrap = {config.listen};
  EXPECT_THAT(whole(config), ElementsAre(HasSubstr("the proxy's own listener")));
  config = with_clusters();
  config.listen.host = "0.0.0.0";
  EXPECT_THAT(whole(config), ElementsAre(HasSubstr("advertised_host")));
  config = with_clusters();
  config.control.leases_topic = config.control.topic;
  EXPECT_THAT(whole(config), ElementsAre(HasSubstr("control.leases_topic")));
  config = with_clusters();
  config.limits.hold_ms = config.flip.hold_budget_ms;
  EXPECT_THAT(whole(config), ElementsAre(HasSubstr("flip.hold_budget_ms")));
  config = with_clusters();
  config.flip.drain_timeout_ms = config.flip.hold_budget_ms + 1;
  EXPECT_THAT(whole(config), ElementsAre(HasSubstr("flip.drain_timeout_ms")));
  config = with_clusters();
  config.limits.buffered_bytes = config.limits.request_bytes - 1;
  EXPECT_THAT(whole(config), ElementsAre(HasSubstr("limits.buffered_bytes")));
}

TEST(Config, the_dump_reads_back_as_the_same) {
  Config plain;
  Config again;
  EXPECT_THAT(apply_yaml(again, to_yaml(plain), "x"), IsEmpty());
  EXPECT_EQ(again, plain);

  Config config = with_clusters();
  config.source.bootstrap.push_back({"2001:db8::1", 9093});
  config.control.topic = "null";
  config.admin.allowed_hosts = {"a.example", "::1"};
  config.log.level = LogLevel::warn;
  config.limits.hold_ms = 4'321;
  config.workers = 7;
  resolve(config);
  again = {};
  EXPECT_THAT(apply_yaml(again, to_yaml(config), "x"), IsEmpty());
  EXPECT_EQ(again, config);
}

TEST(Config, the_examples_are_valid_and_the_full_one_holds_the_defaults) {
  const std::filesystem::path folder = std::filesystem::path(CROSSOVER_TESTS_DIR) / "../config";
  std::vector<std::string> seen;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!entry.path().string().ends_with(".example.yaml")) continue;
    Config config;
    EXPECT_THAT(apply_file(config, entry.path().string()), IsEmpty());
    EXPECT_THAT(whole(config), IsEmpty()) << entry.path();
    seen.push_back(entry.path().filename().string());
  }
  EXPECT_THAT(seen,
              AllOf(Contains("plain.example.yaml"), Contains("full.example.yaml"), Contains("gateway.example.yaml")));

  Config full;
  apply_file(full, (folder / "full.example.yaml").string());
  Config defaults;
  defaults.source = full.source;
  defaults.target = full.target;
  resolve(defaults);
  EXPECT_EQ(full, defaults);
  // Every key of the effective dump stands in the example.
  std::ifstream file(folder / "full.example.yaml");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  std::istringstream dump(to_yaml(full));
  for (std::string line; std::getline(dump, line);) {
    const std::string key = line.substr(0, line.find(':') + 1);
    EXPECT_NE(text.find(key), std::string::npos) << key;
  }
}

TEST(Config, files_that_cannot_be_used) {
  Config config;
  EXPECT_THAT(apply_file(config, "/nonexistent/x.yaml"), ElementsAre("/nonexistent/x.yaml: cannot be opened"));
  const std::string large = testing::TempDir() + "/crossover_large.yaml";
  std::ofstream(large) << std::string((1 << 20) + 1, '#');
  EXPECT_THAT(apply_file(config, large), ElementsAre(large + ": larger than 1 MiB"));
  std::filesystem::remove(large);
  EXPECT_FALSE(apply_file(config, testing::TempDir()).empty());
}

}  // namespace
}  // namespace crossover::config
