#include "src/cli.h"

#include <cstdio>
#include <string>

#include "config/config.h"
#include "src/cli_admin.h"
#include "src/cli_options.h"
#include "src/runtime.h"

namespace crossover::src {
namespace {

constexpr int usage_error = 2;

void print(std::FILE* file, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), file);
}

int wrong_usage(const CliCall& call) {
  const std::string of = call.command == nullptr ? "" : std::string(call.command->name) + " ";
  print(stderr, "crossover: " + call.error + "\nTry: crossover " + of + "--help\n");
  return usage_error;
}

// Defaults, then the file, then the options.
config::Problems effective_config(const CliCall& call, config::Config& config) {
  config::Problems problems;
  if (const auto file = call.flags.find("--config"); file != call.flags.end()) {
    problems = config::apply_file(config, file->second);
  }
  const auto addresses = [&](const char* flag, std::vector<config::HostPort>& place) {
    const auto found = call.flags.find(flag);
    if (found == call.flags.end()) return;
    const auto parsed = config::parse_host_port_list(found->second);
    if (!parsed)
      return problems.push_back(std::string(flag) + ": expected HOST:PORT[,HOST:PORT...], not \"" + found->second +
                                "\"");
    place = *parsed;
  };
  const auto address = [&](const char* flag, config::HostPort& place) {
    const auto found = call.flags.find(flag);
    if (found == call.flags.end()) return;
    const auto parsed = config::parse_host_port(found->second);
    if (!parsed) return problems.push_back(std::string(flag) + ": expected HOST:PORT, not \"" + found->second + "\"");
    place = *parsed;
  };
  addresses("--source", config.source.bootstrap);
  addresses("--target", config.target.bootstrap);
  address("--listen", config.listen);
  address("--admin", config.admin.listen);
  if (const auto host = call.flags.find("--advertised-host"); host != call.flags.end()) {
    if (!config::valid_host(host->second))
      problems.push_back("--advertised-host: expected a host name or address, not \"" + host->second + "\"");
    config.advertised_host = host->second;
  }
  config::resolve(config);
  // What a value that was refused would have meant is not known, so the whole is not judged.
  return problems.empty() ? config::check(config) : problems;
}

int report(const config::Problems& problems, int code) {
  for (const std::string& problem : problems) print(stderr, problem + "\n");
  return problems.empty() ? 0 : code;
}

int run(const CliCall& call) {
  config::Config config;
  const config::Problems problems = effective_config(call, config);
  return problems.empty() ? run_proxy(config) : report(problems, usage_error);
}

int print_config(const CliCall& call) {
  config::Config config;
  const config::Problems problems = effective_config(call, config);
  print(stdout, config::to_yaml(config));
  return report(problems, 1);
}

int validate(const CliCall& call) {
  config::Config config;
  config::Problems problems = config::apply_file(config, call.arguments[0]);
  if (problems.empty()) {
    config::resolve(config);
    for (const std::string& problem : config::check(config)) problems.push_back(call.arguments[0] + ": " + problem);
  }
  if (problems.empty()) print(stdout, call.arguments[0] + ": valid\n");
  return report(problems, 1);
}

int completion(const CliCall& call) {
  const std::string script = cli_completion(call.arguments[0]);
  if (script.empty()) {
    print(stderr, "crossover: no completion for " + call.arguments[0] + "; there is bash, zsh and fish\n");
    return usage_error;
  }
  print(stdout, script);
  return 0;
}

}  // namespace

int run_command(int argc, char** argv) {
  const CliCall call = parse_cli(argc, argv);
  if (!call.error.empty()) return wrong_usage(call);
  if (call.help) {
    print(stdout, cli_help(call.command));
    return 0;
  }
  if (call.version) {
    print(stdout, "crossover " CROSSOVER_VERSION "\n");
    return 0;
  }
  if (call.command == nullptr) {
    print(stderr, cli_help(nullptr));
    return usage_error;
  }
  const std::string_view name = call.command->name;
  if (name == "run") return run(call);
  if (name == "config") return print_config(call);
  if (name == "validate") return validate(call);
  if (name == "completion") return completion(call);
  return run_admin_command(call);
}

}  // namespace crossover::src
