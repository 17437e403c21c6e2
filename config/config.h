// What an operator may set: defaults, YAML, checks. Every problem is reported at once, with its line and path.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/limits.h"

namespace crossover::config {

using proxy::Millis;

struct HostPort {
  std::string host;  // IPv6 without its brackets
  std::uint16_t port = 0;
  bool operator==(const HostPort&) const = default;
};
std::string to_string(const HostPort& address);  // "[::1]:9092" for IPv6
std::optional<HostPort> parse_host_port(std::string_view text);
// "a:1,b:2"; nullopt when it is empty or one of them is not HOST:PORT.
std::optional<std::vector<HostPort>> parse_host_port_list(std::string_view text);

bool valid_host(std::string_view host);  // a name or an address, IPv6 without brackets
// Kafka's rule: 1 to 249 of A-Z a-z 0-9 . _ - but not . and ..
bool valid_topic_name(std::string_view name);

enum class LogLevel : std::uint8_t { debug, info, warn, error };
std::string_view to_string(LogLevel level);
std::optional<LogLevel> parse_log_level(std::string_view text);

struct Config {
  struct Cluster {
    std::vector<HostPort> bootstrap;
    bool operator==(const Cluster&) const = default;
  };
  Cluster source, target;
  HostPort listen{"127.0.0.1", 9092};  // the bootstrap listener
  struct Admin {
    HostPort listen{"127.0.0.1", 9644};
    // Names, besides loopback ones, that may stand in the Host header: a guard against DNS rebinding.
    std::vector<std::string> allowed_hosts;
    bool operator==(const Admin&) const = default;
  } admin;
  std::string advertised_host;  // of the virtual brokers; empty until resolve(): the host of `listen`
  struct BrokerPorts {
    std::int32_t first = 0;  // 0 until resolve(): the port after `listen`
    // 0 until resolve(): 1000, or as many as there are before the admin port and the last port.
    std::int32_t count = 0;
    bool operator==(const BrokerPorts&) const = default;
  } broker_ports;
  std::int32_t workers = 0;  // 0: one per core
  struct Log {
    LogLevel level = LogLevel::info;
    bool operator==(const Log&) const = default;
  } log;
  struct Limits {
    std::int64_t request_bytes = static_cast<std::int64_t>(proxy::Limits{}.request_bytes);
    std::int64_t response_bytes = static_cast<std::int64_t>(proxy::Limits{}.response_bytes);
    std::int64_t requests_in_flight = static_cast<std::int64_t>(proxy::Limits{}.requests_in_flight);
    Millis hold_ms = proxy::Limits{}.hold_ms;
    // Per client connection, above which it is not read from.
    std::int64_t buffered_bytes = 134'217'728;
    // Of all connections together; above it they are not read, and if that does not help the largest one is closed.
    std::int64_t total_buffered_bytes = 1'073'741'824;
    // Kafka closes idle connections after ten minutes (connections.max.idle.ms); a little later here, so that the
    // broker's rule is the one that clients see.
    Millis idle_ms = 660'000;
    bool operator==(const Limits&) const = default;
  } limits;
  struct Flip {
    Millis hold_budget_ms = 3'500;    // fence to flip record, after which a flip is abandoned
    Millis drain_timeout_ms = 3'000;  // for the answers to what was forwarded before the fence
    Millis transactions_ms = 10'000;  // for open transactions to end, before the fence
    bool operator==(const Flip&) const = default;
  } flip;
  struct Control {
    std::string topic = "__crossover_control";
    std::string leases_topic = "__crossover_leases";
    std::int32_t replication_factor = 0;  // 0: three, or as many as the cluster has brokers
    bool operator==(const Control&) const = default;
  } control;
  struct Shutdown {
    std::int64_t drain_seconds = 30;
    bool operator==(const Shutdown&) const = default;
  } shutdown;
  Millis refresh_ms = 1'000;  // of what is known of both clusters when nobody asks
  bool operator==(const Config&) const = default;
};

// One thing that is wrong: "config.yaml:12: admin.listen: expected HOST:PORT".
using Problems = std::vector<std::string>;

// Adds what a YAML text says to `config`; `name` stands before the line in messages. Checks each value by itself.
Problems apply_yaml(Config& config, const std::string& text, const std::string& name);
// The same for a file, refusing one above 1 MiB.
Problems apply_file(Config& config, const std::string& path);

// Fills in what follows from other values (advertised_host, broker_ports).
void resolve(Config& config);
// What only the whole can tell; call it after resolve().
Problems check(const Config& config);

// The effective configuration as YAML, which apply_yaml() reads back to an equal Config. Holds no secrets.
std::string to_yaml(const Config& config);

}  // namespace crossover::config
