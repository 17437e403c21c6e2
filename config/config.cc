#include "config/config.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <functional>
#include <set>

namespace crossover::config {
namespace {

constexpr std::size_t max_file_bytes = 1 << 20;
constexpr std::int64_t max_port = 65'535;

bool is_host(std::string_view host) {
  const auto allowed = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
           c == '_';
  };
  return !host.empty() && host.size() <= 253 && std::ranges::all_of(host, allowed);
}

// Only the alphabet is checked (the resolver has the last word); % begins a scope id.
bool is_ipv6(std::string_view host) {
  const auto allowed = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ':' || c == '.' ||
           c == '%';
  };
  return host.size() >= 2 && host.size() <= 64 && host.find(':') != host.npos && std::ranges::all_of(host, allowed);
}

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// What was written, short enough for a message and without control characters.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text.substr(0, 60)) out += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
  return out + (text.size() > 60 ? "…\"" : "\"");
}

// One key: how it is read and how it is written. `read` returns what is wrong, or nothing.
struct Field {
  std::string_view path;
  std::function<std::string(Config&, const YAML::Node&)> read;
  std::function<void(YAML::Emitter&, const Config&)> write;
};

template <typename Access>
Field text_field(std::string_view path, Access access, std::string expected,
                 std::function<bool(std::string_view)> valid) {
  return {path,
          [=](Config& config, const YAML::Node& node) -> std::string {
            if (!node.IsScalar()) return "expected " + expected;
            if (!valid(node.Scalar())) return "expected " + expected + ", not " + quoted(node.Scalar());
            access(config) = node.Scalar();
            return {};
          },
          [=](YAML::Emitter& out, const Config& config) { out << access(config); }};
}

template <typename Access>
Field number_field(std::string_view path, Access access, std::int64_t least, std::int64_t most) {
  return {path,
          [=](Config& config, const YAML::Node& node) -> std::string {
            const std::string range = "a whole number from " + std::to_string(least) + " to " + std::to_string(most);
            if (!node.IsScalar()) return "expected " + range;
            const auto value = parse_number<std::int64_t>(node.Scalar());
            if (!value || *value < least || *value > most)
              return "expected " + range + ", not " + quoted(node.Scalar());
            auto& place = access(config);
            place = static_cast<std::remove_reference_t<decltype(place)>>(*value);
            return {};
          },
          [=](YAML::Emitter& out, const Config& config) { out << access(config); }};
}

template <typename Access>
Field address_field(std::string_view path, Access access) {
  return {path,
          [=](Config& config, const YAML::Node& node) -> std::string {
            if (!node.IsScalar()) return "expected HOST:PORT";
            const auto address = parse_host_port(node.Scalar());
            if (!address) return "expected HOST:PORT, not " + quoted(node.Scalar());
            access(config) = *address;
            return {};
          },
          [=](YAML::Emitter& out, const Config& config) { out << to_string(access(config)); }};
}

// A YAML list, or one string with commas as on the command line.
template <typename Access>
Field bootstrap_field(std::string_view path, Access access) {
  return {path,
          [=](Config& config, const YAML::Node& node) -> std::string {
            if (!node.IsScalar() && !node.IsSequence()) return "expected a list of HOST:PORT";
            std::vector<HostPort> addresses;
            for (const YAML::Node& item : node.IsScalar() ? std::vector{node} : node.as<std::vector<YAML::Node>>()) {
              const auto some = item.IsScalar() ? parse_host_port_list(item.Scalar()) : std::nullopt;
              if (!some)
                return "expected HOST:PORT" + (item.IsScalar() ? ", not " + quoted(item.Scalar()) : std::string());
              addresses.insert(addresses.end(), some->begin(), some->end());
            }
            access(config) = std::move(addresses);
            return {};
          },
          [=](YAML::Emitter& out, const Config& config) {
            out << YAML::Flow << YAML::BeginSeq;
            for (const HostPort& address : access(config)) out << to_string(address);
            out << YAML::EndSeq;
          }};
}

Field allowed_hosts_field() {
  return {"admin.allowed_hosts",
          [](Config& config, const YAML::Node& node) -> std::string {
            if (!node.IsSequence()) return "expected a list of host names";
            std::vector<std::string> hosts;
            for (const YAML::Node& item : node) {
              if (!item.IsScalar() || !(is_host(item.Scalar()) || is_ipv6(item.Scalar()))) {
                return "expected a host name" + (item.IsScalar() ? ", not " + quoted(item.Scalar()) : std::string());
              }
              hosts.push_back(item.Scalar());
            }
            config.admin.allowed_hosts = std::move(hosts);
            return {};
          },
          [](YAML::Emitter& out, const Config& config) { out << YAML::Flow << config.admin.allowed_hosts; }};
}

Field log_level_field() {
  return {"log.level",
          [](Config& config, const YAML::Node& node) -> std::string {
            const auto level = node.IsScalar() ? parse_log_level(node.Scalar()) : std::nullopt;
            if (!level) return "expected debug, info, warn or error";
            config.log.level = *level;
            return {};
          },
          [](YAML::Emitter& out, const Config& config) { out << std::string(to_string(config.log.level)); }};
}

// All keys. Those of one group stand together, because to_yaml() writes a group in one go.
const std::vector<Field>& fields() {
  constexpr std::int64_t mib = 1 << 20;
  constexpr std::int64_t gib = 1 << 30;
  static const std::vector<Field> all = {
      bootstrap_field(
          "source.bootstrap", [](auto& c) -> auto& { return c.source.bootstrap; }),
      bootstrap_field(
          "target.bootstrap", [](auto& c) -> auto& { return c.target.bootstrap; }),
      address_field(
          "listen", [](auto& c) -> auto& { return c.listen; }),
      text_field(
          "advertised_host", [](auto& c) -> auto& { return c.advertised_host; }, "a host name or address", valid_host),
      number_field(
          "broker_ports.first", [](auto& c) -> auto& { return c.broker_ports.first; }, 1, max_port),
      number_field(
          "broker_ports.count", [](auto& c) -> auto& { return c.broker_ports.count; }, 1, 10'000),
      address_field(
          "admin.listen", [](auto& c) -> auto& { return c.admin.listen; }),
      allowed_hosts_field(),
      number_field(
          "workers", [](auto& c) -> auto& { return c.workers; }, 0, 256),
      log_level_field(),
      number_field(
          "limits.request_bytes", [](auto& c) -> auto& { return c.limits.request_bytes; }, 1024, gib),
      number_field(
          "limits.response_bytes", [](auto& c) -> auto& { return c.limits.response_bytes; }, mib, 2 * gib - 1),
      number_field(
          "limits.requests_in_flight", [](auto& c) -> auto& { return c.limits.requests_in_flight; }, 1, 1'000),
      number_field(
          "limits.hold_ms", [](auto& c) -> auto& { return c.limits.hold_ms; }, 100, 25'000),
      number_field(
          "limits.buffered_bytes", [](auto& c) -> auto& { return c.limits.buffered_bytes; }, mib, 4 * gib),
      number_field(
          "limits.total_buffered_bytes", [](auto& c) -> auto& { return c.limits.total_buffered_bytes; }, mib,
          1'024 * gib),
      number_field(
          "limits.idle_ms", [](auto& c) -> auto& { return c.limits.idle_ms; }, 1'000, 86'400'000),
      number_field(
          "flip.hold_budget_ms", [](auto& c) -> auto& { return c.flip.hold_budget_ms; }, 50, 24'000),
      number_field(
          "flip.drain_timeout_ms", [](auto& c) -> auto& { return c.flip.drain_timeout_ms; }, 10, 24'000),
      number_field(
          "flip.transactions_ms", [](auto& c) -> auto& { return c.flip.transactions_ms; }, 100, 60'000),
      text_field(
          "control.topic", [](auto& c) -> auto& { return c.control.topic; }, "a topic name", valid_topic_name),
      text_field(
          "control.leases_topic", [](auto& c) -> auto& { return c.control.leases_topic; }, "a topic name",
          valid_topic_name),
      number_field(
          "control.replication_factor", [](auto& c) -> auto& { return c.control.replication_factor; }, 0, 100),
      number_field(
          "shutdown.drain_seconds", [](auto& c) -> auto& { return c.shutdown.drain_seconds; }, 0, 3'600),
      number_field(
          "refresh_ms", [](auto& c) -> auto& { return c.refresh_ms; }, 50, 300'000),
  };
  return all;
}

const Field* find_field(std::string_view path) {
  const auto found = std::ranges::find(fields(), path, &Field::path);
  return found == fields().end() ? nullptr : &*found;
}

bool is_group(std::string_view path) {
  return std::ranges::any_of(fields(), [&](const Field& field) {
    return field.path.size() > path.size() && field.path.starts_with(path) && field.path[path.size()] == '.';
  });
}

// A key of another place with the same last word, or of the same place: what was probably meant.
std::string suggestion(std::string_view path) {
  const auto last_word = [](std::string_view p) { return p.substr(p.rfind('.') == p.npos ? 0 : p.rfind('.') + 1); };
  for (const Field& field : fields()) {
    if (last_word(field.path) == last_word(path)) return ", did you mean " + std::string(field.path) + "?";
  }
  const std::string_view group = path.substr(0, path.rfind('.') == path.npos ? 0 : path.rfind('.'));
  std::string known;
  for (const Field& field : fields()) {
    if (!group.empty() && field.path.starts_with(group))
      known += (known.empty() ? "" : ", ") + std::string(last_word(field.path));
  }
  return known.empty() ? "" : " (known here: " + known + ")";
}

class Reader {
 public:
  Reader(Config& config, const std::string& name) : config_(config), name_(name) {}

  void read_group(const YAML::Node& group, const std::string& prefix) {
    if (group.IsNull()) return;  // a heading with all its keys commented out
    if (!group.IsMap())
      return problem(group, prefix, prefix.empty() ? "expected keys and values" : "expected keys below it");
    std::set<std::string> seen;
    for (const auto& entry : group) {
      if (!entry.first.IsScalar()) {
        problem(entry.first, prefix, "a key must be a plain word");
        continue;
      }
      const std::string path = prefix.empty() ? entry.first.Scalar() : prefix + "." + entry.first.Scalar();
      if (!seen.insert(path).second) {
        problem(entry.first, path, "given twice");
      } else {
        read_key(entry.first, entry.second, path);
      }
    }
  }

  Problems take() { return std::move(problems_); }

 private:
  void read_key(const YAML::Node& key, const YAML::Node& value, const std::string& path) {
    if (const Field* field = find_field(path)) {
      // A null value has no mark of its own.
      const std::string wrong = value.IsNull() ? "has no value" : field->read(config_, value);
      if (!wrong.empty()) problem(value.IsNull() ? key : value, path, wrong);
    } else if (is_group(path)) {
      read_group(value, path);
    } else {
      problem(key, path, "unknown key" + suggestion(path));
    }
  }

  void problem(const YAML::Node& node, const std::string& path, const std::string& wrong) {
    problems_.push_back(name_ + ":" + std::to_string(node.Mark().line + 1) + ": " + (path.empty() ? "" : path + ": ") +
                        wrong);
  }

  Config& config_;
  const std::string& name_;
  Problems problems_;
};

bool is_wildcard(std::string_view host) {
  return host == "0.0.0.0" || host == "::";
}

// Whether two listeners would be in each other's way if they had the same port.
bool overlaps(std::string_view a, std::string_view b) {
  return a == b || is_wildcard(a) || is_wildcard(b);
}

void check_ports(const Config& config, Problems& problems) {
  const std::int64_t first = config.broker_ports.first;
  const std::int64_t last = first + config.broker_ports.count - 1;
  const std::string range = std::to_string(first) + " to " + std::to_string(last);
  if (first < 1) {
    problems.push_back("broker_ports.first: must be set when listen leaves its port to the system");
    return;
  }
  if (last < first || first > max_port) {
    problems.push_back("broker_ports: none is left after " + to_string(config.listen) + "; set broker_ports.first");
    return;
  }
  if (last > max_port)
    problems.push_back("broker_ports: " + range + " reaches beyond port " + std::to_string(max_port));
  const auto within = [&](std::uint16_t port) { return port >= first && port <= last; };
  if (within(config.listen.port)) {
    problems.push_back("listen: port " + std::to_string(config.listen.port) + " is one of broker_ports (" + range +
                       ")");
  }
  if (!overlaps(config.admin.listen.host, config.listen.host) || config.admin.listen.port == 0) return;
  if (within(config.admin.listen.port)) {
    problems.push_back("admin.listen: port " + std::to_string(config.admin.listen.port) + " is one of broker_ports (" +
                       range + "); move it, or set broker_ports.count");
  } else if (config.admin.listen.port == config.listen.port) {
    problems.push_back("admin.listen: is the same as listen");
  }
}

void check_clusters(const Config& config, Problems& problems) {
  if (config.source.bootstrap.empty()) problems.push_back("source.bootstrap: missing (--source HOST:PORT)");
  if (config.target.bootstrap.empty()) problems.push_back("target.bootstrap: missing (--target HOST:PORT)");
  for (const HostPort& address : config.source.bootstrap) {
    if (std::ranges::count(config.target.bootstrap, address) > 0) {
      problems.push_back("target.bootstrap: " + to_string(address) +
                         " is also in source.bootstrap; they must be two clusters");
    }
  }
  for (const auto* cluster : {&config.source, &config.target}) {
    if (std::ranges::count(cluster->bootstrap, config.listen) > 0) {
      problems.push_back((cluster == &config.source ? "source" : "target") + std::string(".bootstrap: ") +
                         to_string(config.listen) + " is the proxy's own listener");
    }
  }
}

}  // namespace

std::string to_string(const HostPort& address) {
  const bool bracketed = address.host.find(':') != std::string::npos;
  return (bracketed ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

std::optional<HostPort> parse_host_port(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    if (!is_ipv6(host)) return std::nullopt;
  } else if (!is_host(host)) {
    return std::nullopt;
  }
  const auto port = parse_number<std::uint16_t>(text.substr(colon + 1));
  if (!port) return std::nullopt;
  return HostPort{std::string(host), *port};
}

std::optional<std::vector<HostPort>> parse_host_port_list(std::string_view text) {
  std::vector<HostPort> addresses;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t comma = std::min(text.find(',', begin), text.size());
    const auto address = parse_host_port(text.substr(begin, comma - begin));
    // Nothing listens on port 0: it only makes sense for an own listener.
    if (!address || address->port == 0) return std::nullopt;
    addresses.push_back(*address);
    begin = comma + 1;
  }
  return addresses;
}

bool valid_host(std::string_view host) {
  return is_host(host) || is_ipv6(host);
}

bool valid_topic_name(std::string_view name) {
  // The same alphabet as a host's.
  return name.size() <= 249 && name != "." && name != ".." && is_host(name);
}

std::string_view to_string(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warn:
      return "warn";
    case LogLevel::error:
      return "error";
  }
  return "info";
}

std::optional<LogLevel> parse_log_level(std::string_view text) {
  for (const LogLevel level : {LogLevel::debug, LogLevel::info, LogLevel::warn, LogLevel::error}) {
    if (text == to_string(level)) return level;
  }
  return std::nullopt;
}

Problems apply_yaml(Config& config, const std::string& text, const std::string& name) {
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.empty()) return {};
    if (documents.size() > 1) return {name + ": more than one YAML document"};
    Reader reader(config, name);
    reader.read_group(documents[0], "");
    return reader.take();
  } catch (const YAML::Exception& error) {
    return {name + ":" + std::to_string(error.mark.line + 1) + ": " + error.msg};
  }
}

Problems apply_file(Config& config, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return {path + ": cannot be opened"};
  std::string text(max_file_bytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || (file.fail() && !file.eof())) return {path + ": cannot be read"};
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > max_file_bytes) return {path + ": larger than 1 MiB"};
  return apply_yaml(config, text, path);
}

void resolve(Config& config) {
  if (config.advertised_host.empty() && !is_wildcard(config.listen.host)) config.advertised_host = config.listen.host;
  if (config.broker_ports.first == 0 && config.listen.port != 0) config.broker_ports.first = config.listen.port + 1;
  auto& ports = config.broker_ports;
  if (ports.count != 0 || ports.first == 0) return;
  std::int64_t end = std::min<std::int64_t>(ports.first + 1'000, max_port + 1);
  const auto& admin = config.admin.listen;
  if (overlaps(admin.host, config.listen.host) && admin.port > ports.first)
    end = std::min<std::int64_t>(end, admin.port);
  ports.count = static_cast<std::int32_t>(std::max<std::int64_t>(end - ports.first, 0));
}

Problems check(const Config& config) {
  Problems problems;
  check_clusters(config, problems);
  if (config.advertised_host.empty()) {
    problems.push_back("advertised_host: must be set when listen is " + config.listen.host +
                       ", which no client can connect to");
  }
  check_ports(config, problems);
  if (config.control.topic == config.control.leases_topic)
    problems.push_back("control.leases_topic: is the same as control.topic");
  if (config.flip.hold_budget_ms >= config.limits.hold_ms) {
    problems.push_back("flip.hold_budget_ms: must be below limits.hold_ms, or requests fail before a flip gives up");
  }
  if (config.flip.drain_timeout_ms > config.flip.hold_budget_ms) {
    problems.push_back("flip.drain_timeout_ms: must not be above flip.hold_budget_ms");
  }
  if (config.limits.buffered_bytes < config.limits.request_bytes) {
    problems.push_back("limits.buffered_bytes: must hold one request (limits.request_bytes)");
  }
  return problems;
}

std::string to_yaml(const Config& config) {
  YAML::Emitter out;
  out << YAML::BeginMap;
  std::string_view group;
  for (const Field& field : fields()) {
    const std::size_t dot = field.path.find('.');
    const std::string_view its_group = dot == field.path.npos ? std::string_view() : field.path.substr(0, dot);
    if (its_group != group) {
      if (!group.empty()) out << YAML::EndMap;
      if (!its_group.empty()) out << YAML::Key << std::string(its_group) << YAML::Value << YAML::BeginMap;
      group = its_group;
    }
    // Not resolved yet: a file without the key means the same.
    if (field.path == "advertised_host" && config.advertised_host.empty()) continue;
    if (field.path == "broker_ports.first" && config.broker_ports.first == 0) continue;
    if (field.path == "broker_ports.count" && config.broker_ports.count == 0) continue;
    out << YAML::Key << std::string(dot == field.path.npos ? field.path : field.path.substr(dot + 1)) << YAML::Value;
    field.write(out, config);
  }
  if (!group.empty()) out << YAML::EndMap;
  out << YAML::EndMap;
  return std::string(out.c_str()) + "\n";
}

}  // namespace crossover::config
