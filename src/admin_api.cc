#include "src/admin_api.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <chrono>
#include <map>
#include <optional>
#include <set>

#include "config/config.h"
#include "protocol/utf8.h"
#include "src/admin_json.h"

namespace crossover::src {
namespace {

namespace json = boost::json;
using Respond = AdminApi::Respond;
using Run = std::function<void(std::function<void()>)>;
using Sessions = std::vector<proxy::SessionInfo>;

constexpr std::size_t max_topics_of_route = 20'000;
constexpr std::size_t max_partitions_listed = 10'000;

AdminResponse reply(int status, const json::value& body) {
  AdminResponse response;
  response.status = status;
  response.body = to_text(body) + "\n";
  return response;
}

AdminResponse plain(int status, std::string body, std::string content_type) {
  AdminResponse response;
  response.status = status;
  response.body = std::move(body);
  response.content_type = std::move(content_type);
  return response;
}

AdminResponse method_not_allowed(std::string allow) {
  AdminResponse response = admin_error(405, "method not allowed", "use " + allow);
  response.headers.emplace_back("Allow", std::move(allow));
  return response;
}

// --- request targets ---

// nullopt also for what is not UTF-8: nothing has such a name.
std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned value = 0;
    if (i + 2 >= text.size()) return std::nullopt;
    const auto [end, error] = std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16);
    if (error != std::errc{} || end != text.data() + i + 3) return std::nullopt;
    out += static_cast<char>(value);
    i += 2;
  }
  if (protocol::valid_utf8(out) != out) return std::nullopt;
  return out;
}

struct Target {
  std::vector<std::string> path;  // decoded, without the empty first part
  std::map<std::string, std::string> query;
};

std::optional<Target> parse_target(std::string_view text) {
  if (!text.starts_with('/')) return std::nullopt;
  Target target;
  const std::size_t mark = std::min(text.find('?'), text.size());
  std::string_view path = text.substr(1, mark - 1);
  while (true) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    auto part = percent_decoded(path.substr(0, slash));
    if (!part) return std::nullopt;
    target.path.push_back(std::move(*part));
    if (slash == path.size()) break;
    path.remove_prefix(slash + 1);
  }
  for (std::string_view rest = mark == text.size() ? "" : text.substr(mark + 1); !rest.empty();) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const auto key = percent_decoded(pair.substr(0, equals));
    const auto value = percent_decoded(equals == pair.size() ? "" : pair.substr(equals + 1));
    if (!key || !value || !target.query.emplace(*key, *value).second) return std::nullopt;
  }
  return target;
}

// A misspelt ?dryrun=true must never become a real flip, so what is not known is refused.
std::optional<AdminResponse> refuse_unknown_query(const Target& target, const std::set<std::string>& known) {
  for (const auto& [key, value] : target.query) {
    if (known.contains(key)) continue;
    std::string hint = known.empty() ? "this path takes none" : "known here:";
    for (const std::string& name : known) hint += " " + name;
    return admin_error(400, "unknown query parameter " + key.substr(0, 60), hint);
  }
  return std::nullopt;
}

std::optional<bool> flag(const Target& target, const std::string& key) {
  const auto found = target.query.find(key);
  if (found == target.query.end()) return false;
  if (found->second == "true" || found->second == "1") return true;
  if (found->second == "false" || found->second == "0") return false;
  return std::nullopt;
}

// --- who may ask ---

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

// The name in a Host header or an origin's authority, without port and brackets, in lower case.
std::string host_name(std::string_view authority) {
  if (authority.starts_with('[')) {
    authority = authority.substr(1, std::min(authority.find(']'), authority.size()) - 1);
  } else if (const std::size_t colon = authority.rfind(':'); colon != authority.npos) {
    authority = authority.substr(0, colon);
  }
  return lower(authority);
}

bool is_loopback_name(std::string_view name) {
  if (name == "localhost" || name == "::1") return true;
  // An address, not a name that only begins like one (127.0.0.1.example).
  return name.starts_with("127.") &&
         std::ranges::all_of(name, [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
}

// A page of another site can let its own name resolve to this address (DNS rebinding); its name gives it away.
std::optional<AdminResponse> refuse_foreign_host(const AdminRequest& request, const AdminApiOptions& options) {
  const std::string name = host_name(request.host);
  if (is_loopback_name(name) || (!name.empty() && name == request.local_address)) return std::nullopt;
  // Configured as bare names, so that an IPv6 address has no brackets there.
  const auto same = [&](const std::string& host) { return lower(host) == name; };
  if (std::ranges::any_of(options.allowed_hosts, same)) return std::nullopt;
  return admin_error(403, "the admin endpoint does not answer under this host name", "add it to admin.allowed_hosts");
}

// Browsers say where a request comes from, other programs do not. A browser's must come from our own page.
std::optional<AdminResponse> refuse_cross_site(const AdminRequest& request) {
  const bool browser = !request.origin.empty() || !request.sec_fetch_site.empty();
  if (!browser) return std::nullopt;
  const bool same_origin = request.origin.empty() || request.origin == "http://" + request.host;
  const bool same_site =
      request.sec_fetch_site.empty() || request.sec_fetch_site == "same-origin" || request.sec_fetch_site == "none";
  if (same_origin && same_site && request.custom_header) return std::nullopt;
  return admin_error(403, "a page of another site may not change anything here",
                     "use this endpoint's own page or the command line");
}

// --- bodies ---

std::optional<json::object> json_body(const AdminRequest& request) {
  json::error_code error;
  json::parse_options options;
  options.max_depth = 8;
  json::value value = json::parse({request.body.data(), request.body.size()}, error, {}, options);
  if (error || !value.is_object()) return std::nullopt;
  return std::move(value.get_object());
}

std::optional<AdminResponse> refuse_body_type(const AdminRequest& request) {
  std::string_view type = std::string_view(request.content_type).substr(0, request.content_type.find(';'));
  while (type.ends_with(' ')) type.remove_suffix(1);
  if (type == "application/json") return std::nullopt;
  return admin_error(415, "the body must be application/json", "send Content-Type: application/json");
}

// {"topics":["a","b"]} and nothing else; nullopt when it is something else.
std::optional<std::vector<std::string>> topics_of_body(const AdminRequest& request) {
  const auto body = json_body(request);
  if (!body || body->size() != 1 || !body->contains("topics") || !body->at("topics").is_array()) return std::nullopt;
  std::vector<std::string> topics;
  for (const json::value& item : body->at("topics").get_array()) {
    if (!item.is_string()) return std::nullopt;
    const json::string& name = item.get_string();
    if (!config::valid_topic_name({name.data(), name.size()})) return std::nullopt;
    topics.emplace_back(name.data(), name.size());
  }
  std::ranges::sort(topics);
  topics.erase(std::unique(topics.begin(), topics.end()), topics.end());
  if (topics.empty() || topics.size() > max_topics_of_route) return std::nullopt;
  return topics;
}

// {"confirm":"..."} and nothing else, or {}; nullopt when it is something else.
std::optional<std::string> confirmation_of_body(const AdminRequest& request) {
  const auto body = json_body(request);
  if (body && body->empty()) return "";
  const json::value* text = body && body->size() == 1 ? body->if_contains("confirm") : nullptr;
  if (!text || !text->is_string()) return std::nullopt;
  return std::string(text->get_string().data(), text->get_string().size());
}

// --- answers ---

AdminResponse readiness(const StatusView& view) {
  const bool ready = view.ready && !view.draining;
  return reply(ready ? 200 : 503,
               json::object{{"ready", ready}, {"draining", view.draining}, {"clusters", clusters_json(view)}});
}

AdminResponse unknown_route(const std::string& route) {
  return admin_error(404, "there is no route " + route, "GET /v1/routes lists them");
}

AdminResponse route_detail(const StatusView& view, const std::string& route, const PartitionFilter& filter) {
  const auto found = std::ranges::find_if(view.routes, [&](const auto& r) { return r.view.name == route; });
  if (found == view.routes.end()) return unknown_route(route);
  return reply(200, route_json(view, *found, filter));
}

AdminResponse flip_answer(const proxy::FlipReport& report) {
  return reply(report.result == "failed" ? 409 : 200, flip_json(report, true));
}

AdminResponse abort_answer(const proxy::AbortReport& report) {
  if (!report.error.empty()) return admin_error(409, report.error, report.hint);
  return reply(200, json::object{{"result", "aborted"},
                                 {"cluster", std::string(to_string(report.cluster))},
                                 {"transaction", transaction_json(report.transaction)}});
}

AdminResponse recovery_answer(const proxy::RecoveryReport& report) {
  return reply(report.result == "done" ? 200 : 409, recovery_json(report));
}

AdminResponse change_answer(const std::string& route, const std::string& error) {
  if (!error.empty()) return admin_error(409, error, "GET /v1/routes shows what there is");
  return reply(200, json::object{{"route", route}, {"result", "done"}});
}

// Passes on what the backend says to where answers are made.
template <typename Value, typename Then>
std::function<void(Value)> on(const Run& run, Then then) {
  return [run, then](Value value) { run([then, value = std::move(value)]() mutable { then(std::move(value)); }); };
}

// One request on its way through the rules to the backend.
class Dispatch {
 public:
  Dispatch(AdminBackend& backend, const AdminApiOptions& options, const AdminRequest& request, Target target,
           Respond respond)
      : backend_(backend),
        options_(options),
        request_(request),
        target_(std::move(target)),
        respond_(std::move(respond)) {}

  void run() {
    const std::vector<std::string>& path = target_.path;
    if (path.size() == 1 && probe(path[0])) return;
    if (auto refusal = refuse_foreign_host(request_, options_)) return respond_(std::move(*refusal));
    if (asset()) return;
    if (path[0] != "v1" || path.size() < 2) return not_found();
    if (path.size() == 2) return collection(path[1]);
    if (path.size() == 4 && path[1] == "transactions" && path[3] == "abort") return abort_transaction(path[2]);
    if (path[1] != "routes" || path.size() > 4) return not_found();
    if (!valid_route_name(path[2])) {
      return respond_(admin_error(400, "not a route name", "1 to 100 of A-Z a-z 0-9 . _ -"));
    }
    if (path.size() == 3) return route(path[2]);
    if (path[3] == "cutover") return flip(path[2], proxy::Cluster::target);
    if (path[3] == "rollback") return flip(path[2], proxy::Cluster::source);
    if (path[3] == "recover") return recover(path[2]);
    not_found();
  }

 private:
  bool reads() const { return request_.method == "GET" || request_.method == "HEAD"; }
  void not_found() {
    respond_(admin_error(404, "there is nothing here", "GET /v1/openapi.yaml describes what there is"));
  }

  // True when answered: what may be asked under any name, because orchestrators and scrapers use addresses.
  bool probe(const std::string& name) {
    if (name != "healthz" && name != "readyz" && name != "metrics") return false;
    if (!reads()) {
      respond_(method_not_allowed("GET"));
    } else if (name == "healthz") {
      respond_(reply(200, json::object{{"ok", true}}));
    } else if (name == "metrics") {
      respond_(plain(200, backend_.metrics(), "text/plain; version=0.0.4; charset=utf-8"));
    } else {
      backend_.status(
          on<StatusView>(options_.run, [respond = respond_](StatusView view) { respond(readiness(view)); }));
    }
    return true;
  }

  bool asset() {
    const std::string_view path = std::string_view(request_.target).substr(0, request_.target.find('?'));
    const auto& assets = admin_assets();
    const auto found = std::ranges::find(assets, path, &AdminAsset::path);
    if (found == assets.end()) return false;
    respond_(reads() ? plain(200, std::string(found->body), std::string(found->content_type))
                     : method_not_allowed("GET"));
    return true;
  }

  void collection(const std::string& name) {
    if (name == "log-level") return log_level();
    if (name != "status" && name != "routes" && name != "connections") return not_found();
    if (!reads()) return respond_(method_not_allowed("GET"));
    if (auto refusal = refuse_unknown_query(target_, {})) return respond_(std::move(*refusal));
    if (name == "connections") {
      backend_.connections(on<Sessions>(options_.run, [respond = respond_, now = options_.now](Sessions sessions) {
        respond(reply(200, connections_json(sessions, now())));
      }));
    } else {
      backend_.status(on<StatusView>(options_.run, [respond = respond_, all = name == "status"](StatusView view) {
        respond(reply(200, all ? status_json(view) : routes_json(view)));
      }));
    }
  }

  void log_level() {
    if (request_.method != "PUT") return respond_(method_not_allowed("PUT"));
    if (auto refusal = refuse_change({})) return respond_(std::move(*refusal));
    if (auto refusal = refuse_body_type(request_)) return respond_(std::move(*refusal));
    const auto body = json_body(request_);
    const json::value* level = body && body->size() == 1 ? body->if_contains("level") : nullptr;
    const std::string name = level && level->is_string() ? std::string(level->get_string().c_str()) : "";
    if (name.empty() || !backend_.set_log_level(name)) {
      return respond_(admin_error(400, "not a log level", "send {\"level\":\"debug\"}, or info, warn, error"));
    }
    respond_(reply(200, json::object{{"level", name}}));
  }

  void route(const std::string& name) {
    if (reads()) return show_route(name);
    if (request_.method == "PUT") return define_route(name);
    if (request_.method == "DELETE") return delete_route(name);
    respond_(method_not_allowed("GET, PUT, DELETE"));
  }

  void show_route(const std::string& name) {
    if (auto refusal = refuse_unknown_query(target_, {"topic", "after", "limit"})) return respond_(std::move(*refusal));
    PartitionFilter filter{.topic = target_.query["topic"], .after = target_.query["after"]};
    if (const std::string& limit = target_.query["limit"]; !limit.empty()) {
      const auto [end, error] = std::from_chars(limit.data(), limit.data() + limit.size(), filter.limit);
      if (error != std::errc{} || end != limit.data() + limit.size() || filter.limit < 1 ||
          filter.limit > max_partitions_listed) {
        return respond_(admin_error(400, "limit must be a number from 1 to " + std::to_string(max_partitions_listed),
                                    "it counts partitions"));
      }
    }
    backend_.status(on<StatusView>(options_.run, [respond = respond_, name, filter](StatusView view) {
      respond(route_detail(view, name, filter));
    }));
  }

  void define_route(const std::string& name) {
    if (auto refusal = refuse_change({})) return respond_(std::move(*refusal));
    if (auto refusal = refuse_body_type(request_)) return respond_(std::move(*refusal));
    if (name == "default") return refuse_default();
    auto topics = topics_of_body(request_);
    if (!topics) {
      return respond_(admin_error(400, "the body does not define a route",
                                  "send {\"topics\":[\"a\",\"b\"]} with 1 to 20000 topic names"));
    }
    backend_.define_route({name, std::move(*topics)}, change_done(name, respond_));
  }

  void delete_route(const std::string& name) {
    if (auto refusal = refuse_change({})) return respond_(std::move(*refusal));
    if (name == "default") return refuse_default();
    with_route(name,
               [&backend = backend_, name, done = change_done(name, respond_)] { backend.delete_route(name, done); });
  }

  void flip(const std::string& name, proxy::Cluster to) {
    if (request_.method != "POST") return respond_(method_not_allowed("POST"));
    if (auto refusal = refuse_change({"dry_run", "widen", "abort_open"})) return respond_(std::move(*refusal));
    proxy::FlipWishes wishes;
    for (const auto& [key, wish] : {std::pair("dry_run", &wishes.dry_run), std::pair("widen", &wishes.widen),
                                    std::pair("abort_open", &wishes.abort_open)}) {
      const std::optional<bool> value = flag(target_, key);
      if (!value)
        return respond_(
            admin_error(400, std::string(key) + " must be true or false", "?" + std::string(key) + "=true"));
      *wish = *value;
    }
    // Somebody who sends {"dry_run":true} in the body must not get a real flip.
    if (!request_.body.empty() && request_.body != "{}") {
      return respond_(admin_error(400, "this request takes no body", "?dry_run=true shows what would be done"));
    }
    auto done = on<proxy::FlipReport>(options_.run,
                                      [respond = respond_](proxy::FlipReport report) { respond(flip_answer(report)); });
    with_route(name, [&backend = backend_, name, to, wishes, done] { backend.flip(name, to, wishes, done); });
  }

  void abort_transaction(const std::string& id) {
    if (request_.method != "POST") return respond_(method_not_allowed("POST"));
    if (auto refusal = refuse_change({})) return respond_(std::move(*refusal));
    if (!request_.body.empty() && request_.body != "{}")
      return respond_(admin_error(400, "this request takes no body", "the path names the transactional id"));
    if (id.empty()) return respond_(admin_error(400, "no transactional id", "/v1/transactions/ID/abort"));
    backend_.abort_transaction(
        id, on<proxy::AbortReport>(options_.run,
                                   [respond = respond_](proxy::AbortReport report) { respond(abort_answer(report)); }));
  }

  // Without a body it says what it would do, and what is to be sent for it to be done.
  void recover(const std::string& name) {
    if (request_.method != "POST") return respond_(method_not_allowed("POST"));
    if (auto refusal = refuse_change({})) return respond_(std::move(*refusal));
    std::string confirm;
    if (!request_.body.empty()) {
      if (auto refusal = refuse_body_type(request_)) return respond_(std::move(*refusal));
      const auto text = confirmation_of_body(request_);
      if (!text) {
        return respond_(admin_error(400, "the body does not confirm a recovery",
                                    "send {\"confirm\":\"...\"} with the text that the answer to no body names"));
      }
      confirm = *text;
    }
    auto done = on<proxy::RecoveryReport>(
        options_.run, [respond = respond_](proxy::RecoveryReport report) { respond(recovery_answer(report)); });
    with_route(name, [&backend = backend_, name, confirm, done] { backend.recover(name, confirm, done); });
  }

  void refuse_default() {
    respond_(admin_error(409, "the route default is all that no other route names", "it cannot be defined or deleted"));
  }

  std::optional<AdminResponse> refuse_change(const std::set<std::string>& known_query) {
    if (auto refusal = refuse_cross_site(request_)) return refusal;
    return refuse_unknown_query(target_, known_query);
  }

  std::function<void(std::string)> change_done(const std::string& name, const Respond& respond) const {
    return on<std::string>(options_.run, [respond, name](std::string error) { respond(change_answer(name, error)); });
  }

  void with_route(const std::string& name, std::function<void()> then) {
    backend_.status(on<StatusView>(options_.run, [respond = respond_, name, then](StatusView view) {
      if (std::ranges::none_of(view.routes, [&](const auto& route) { return route.view.name == name; })) {
        return respond(unknown_route(name));
      }
      then();
    }));
  }

  AdminBackend& backend_;
  const AdminApiOptions& options_;
  const AdminRequest& request_;
  Target target_;
  Respond respond_;
};

}  // namespace

AdminApi::AdminApi(AdminBackend& backend, AdminApiOptions options) : backend_(backend), options_(std::move(options)) {
  if (!options_.run) options_.run = [](std::function<void()> work) { work(); };
  if (!options_.now) {
    options_.now = [] {
      return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count();
    };
  }
}

void AdminApi::handle(const AdminRequest& request, Respond respond) const {
  auto target = parse_target(request.target);
  if (!target)
    return respond(admin_error(400, "the request target cannot be read",
                               "expected a path and key=value pairs in UTF-8, each key once"));
  Dispatch(backend_, options_, request, std::move(*target), std::move(respond)).run();
}

AdminResponse admin_error(int status, std::string_view error, std::string_view hint) {
  return reply(status, json::object{{"error", json::string_view(error.data(), error.size())},
                                    {"hint", json::string_view(hint.data(), hint.size())}});
}

const std::vector<std::pair<std::string, std::string>>& admin_security_headers() {
  static const std::vector<std::pair<std::string, std::string>> headers = {
      {"Cache-Control", "no-store"},
      {"Content-Security-Policy",
       "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
       "form-action 'none'; frame-ancestors 'none'"},
      {"Cross-Origin-Opener-Policy", "same-origin"},
      {"Cross-Origin-Resource-Policy", "same-origin"},
      {"Referrer-Policy", "no-referrer"},
      {"X-Content-Type-Options", "nosniff"},
      {"X-Frame-Options", "DENY"},
  };
  return headers;
}

bool valid_route_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
           c == '_';
  };
  return !name.empty() && name.size() <= 100 && std::ranges::all_of(name, allowed);
}

}  // namespace crossover::src
