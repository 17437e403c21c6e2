#include "src/cli_admin.h"

#include <unistd.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>

#include "src/cli_http.h"
#include "src/cli_render.h"

namespace crossover::src {
namespace {

namespace json = boost::json;

constexpr int usage_error = 2;
// A flip answers within its own budgets, which are configurable up to about half a minute, plus prepare.
constexpr std::chrono::seconds flip_timeout{150};
constexpr std::chrono::seconds ask_timeout{20};

void print(std::FILE* file, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), file);
}

int complain(const std::string& text, int code) {
  print(stderr, "crossover: " + text + "\n");
  return code;
}

std::string admin_address(const CliCall& call) {
  if (const auto flag = call.flags.find("--admin"); flag != call.flags.end()) return flag->second;
  const char* environment = std::getenv("CROSSOVER_ADMIN");
  return environment != nullptr && *environment != '\0' ? environment : "127.0.0.1:9644";
}

bool valid_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
           c == '_';
  };
  bool good = !name.empty();
  for (const char c : name) good = good && allowed(c);
  return good;
}

// A transactional id may have any characters.
std::string percent_encoded(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (valid_name({&c, 1})) {
      out += c;
    } else {
      out += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return out;
}

struct Request {
  std::string method = "GET";
  std::string target;
  std::string body;
  std::chrono::seconds timeout = ask_timeout;
  std::string (*render)(const json::value&) = nullptr;
};

std::string render_done(const json::value&) {
  return "done\n";
}

std::string json_list(std::string_view commas) {
  json::array items;
  for (std::size_t begin = 0; begin <= commas.size();) {
    const std::size_t comma = std::min(commas.find(',', begin), commas.size());
    items.emplace_back(json::string_view(commas.data() + begin, comma - begin));
    begin = comma + 1;
  }
  return json::serialize(json::object{{"topics", std::move(items)}});
}

// What to ask for; `error` when the options do not go together.
Request request_of(const CliCall& call, std::string& error) {
  const std::string_view name = call.command->name;
  const std::string argument = call.arguments.empty() ? "" : call.arguments[0];
  const auto flag = [&](std::string_view f) { return call.has(f) ? call.flags.find(f)->second : std::string(); };
  if (name == "abort-transaction") {
    return {
        .method = "POST", .target = "/v1/transactions/" + percent_encoded(argument) + "/abort", .render = render_abort};
  }
  if (!argument.empty() && !valid_name(argument)) error = "not a name: " + argument;
  if (!flag("--topic").empty() && !valid_name(flag("--topic"))) error = "not a topic name: " + flag("--topic");
  if (name == "status") return {.target = "/v1/status", .render = render_status};
  if (name == "log-level") {
    return {.method = "PUT",
            .target = "/v1/log-level",
            .body = json::serialize(json::object{{"level", argument}}),
            .render = render_done};
  }
  if (name == "cutover" || name == "rollback") {
    const std::string route = argument.empty() ? "default" : argument;
    std::string query;
    for (const auto& [option, key] :
         {std::pair("--dry-run", "dry_run"), std::pair("--widen", "widen"), std::pair("--abort-open", "abort_open")}) {
      if (call.has(option)) query += (query.empty() ? "?" : "&") + std::string(key) + "=true";
    }
    return {.method = "POST",
            .target = "/v1/routes/" + route + "/" + std::string(name) + query,
            .timeout = flip_timeout,
            .render = render_flip};
  }
  if (name == "recover") {
    const std::string route = argument.empty() ? "default" : argument;
    return {.method = "POST",
            .target = "/v1/routes/" + route + "/recover",
            .body = call.has("--confirm") ? json::serialize(json::object{{"confirm", flag("--confirm")}}) : "",
            .timeout = flip_timeout,
            .render = render_recovery};
  }
  const int wishes = int{call.has("--topic")} + int{call.has("--define")} + int{call.has("--delete")};
  if (wishes > 1 || (wishes == 1 && argument.empty()))
    error = "--topic, --define and --delete go with one ROUTE, one at a time";
  if (argument.empty()) return {.target = "/v1/routes", .render = render_routes};
  const std::string target = "/v1/routes/" + argument;
  if (call.has("--define"))
    return {.method = "PUT", .target = target, .body = json_list(flag("--define")), .render = render_done};
  if (call.has("--delete")) return {.method = "DELETE", .target = target, .render = render_done};
  return {.target = target + (call.has("--topic") ? "?topic=" + flag("--topic") : ""), .render = render_route};
}

// An answer that says what went wrong; a failed flip says more than that and is printed like any other.
bool is_refusal(const json::value& value) {
  return value.is_object() && value.as_object().contains("error") && value.as_object().contains("hint");
}

std::string refusal_text(const json::value& value) {
  const auto text = [&](const char* key) {
    const json::value* found = value.as_object().if_contains(key);
    return found != nullptr && found->is_string() ? printable(found->get_string()) : std::string();
  };
  return text("error") + (text("hint").empty() ? "" : " (" + text("hint") + ")");
}

// `cutover --dry-run && cutover` must stop at a gate that is closed.
bool gates_open(const json::value& value) {
  const json::value* gates = value.is_object() ? value.as_object().if_contains("gates") : nullptr;
  if (gates == nullptr || !gates->is_array()) return true;
  return std::ranges::all_of(gates->get_array(), [](const json::value& gate) {
    const json::value* ok = gate.is_object() ? gate.get_object().if_contains("ok") : nullptr;
    return ok != nullptr && ok->is_bool() && ok->get_bool();
  });
}

// What an answer asks to be typed; empty: nothing.
std::string wanted_text(const HttpAnswer& answer) {
  json::error_code error;
  const json::value value = json::parse(answer.body, error);
  if (error || !value.is_object()) return "";
  const json::value* result = value.as_object().if_contains("result");
  const json::value* confirm = value.as_object().if_contains("confirm");
  const bool asks = result && *result == "unconfirmed" && confirm && confirm->is_string();
  return asks ? std::string(confirm->get_string()) : "";
}

// The line that is typed on the terminal; nullopt: there is none.
std::optional<std::string> typed() {
  if (::isatty(STDIN_FILENO) == 0) return std::nullopt;
  print(stdout, "\nType it here to go on, anything else to leave it: ");
  std::fflush(stdout);
  std::string line;
  if (!std::getline(std::cin, line)) return std::nullopt;
  return line;
}

int show(const CliCall& call, const Request& request, const HttpAnswer& answer) {
  json::error_code error;
  const json::value value = json::parse(answer.body, error);
  if (error) return complain("the answer is not JSON; is this Crossover's admin endpoint?", 1);
  const bool good = answer.status == 200 && gates_open(value);
  if (call.has("--json")) {
    print(stdout, answer.body);
    return good ? 0 : 1;
  }
  if (is_refusal(value)) return complain(refusal_text(value), 1);
  try {
    print(stdout, request.render(value));
  } catch (const std::exception& unexpected) {
    return complain("the answer has another shape than expected; are the versions the same?", 1);
  }
  return good ? 0 : 1;
}

}  // namespace

int run_admin_command(const CliCall& call) {
  std::string error;
  const Request request = request_of(call, error);
  if (!error.empty()) return complain(error, usage_error);
  const std::string text = admin_address(call);
  const auto address = config::parse_host_port(text.starts_with("http://") ? text.substr(7) : text);
  if (!address || address->port == 0) return complain("--admin: expected HOST:PORT, not \"" + text + "\"", usage_error);
  const auto ask = [&](const std::string& body) {
    return http_request(*address, request.method, request.target, body, request.timeout);
  };
  HttpAnswer answer = ask(request.body);
  if (answer.status == 0) return complain("no answer from the admin endpoint at " + answer.error, 1);
  const int code = show(call, request, answer);
  const std::string wanted = request.body.empty() && !call.has("--json") ? wanted_text(answer) : "";
  const auto line = wanted.empty() ? std::nullopt : typed();
  if (!line) return code;
  if (*line != wanted) return complain("that is not the text; nothing was changed", 1);
  answer = ask(json::serialize(json::object{{"confirm", wanted}}));
  if (answer.status == 0) return complain("no answer from the admin endpoint at " + answer.error, 1);
  return show(call, request, answer);
}

}  // namespace crossover::src
