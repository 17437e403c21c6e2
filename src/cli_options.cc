#include "src/cli_options.h"

#include <algorithm>

namespace crossover::src {
namespace {

const std::vector<CliFlag> run_flags = {
    {"--source", "HOST:PORT[,...]", "bootstrap addresses of the source cluster (IPv6 in brackets)"},
    {"--target", "HOST:PORT[,...]", "bootstrap addresses of the target cluster"},
    {"--listen", "HOST:PORT", "where clients bootstrap (default 127.0.0.1:9092)"},
    {"--advertised-host", "HOST", "the name that clients are to reach the brokers under (default: --listen's)"},
    {"--admin", "HOST:PORT", "where the admin endpoint listens (default 127.0.0.1:9644)"},
    {"--config", "FILE", "YAML; the options above go before what it says"},
};
const CliFlag admin_flag = {"--admin", "HOST:PORT",
                            "the proxy's admin endpoint (default $CROSSOVER_ADMIN, then 127.0.0.1:9644)"};
const CliFlag json_flag = {"--json", "", "print the answer as JSON"};
const std::vector<CliFlag> flip_flags = {
    admin_flag,
    {"--dry-run", "", "evaluate the gates and change nothing"},
    {"--widen", "", "the route takes over the topics that its transactions also write to"},
    {"--abort-open", "", "abort transactions that do not end in time, which fences their owners"},
    json_flag};

std::string padded(std::string_view text, std::size_t width) {
  std::string out(text);
  out.append(width > text.size() ? width - text.size() : 0, ' ');
  return out;
}

std::string flag_lines(std::vector<CliFlag> flags) {
  flags.push_back({"--help", "", "show this"});
  std::string out;
  for (const CliFlag& flag : flags) {
    const std::string left = std::string(flag.name) + (flag.value.empty() ? "" : " " + std::string(flag.value));
    out += "  " + padded(left, 26) + " " + std::string(flag.help) + "\n";
  }
  return out;
}

const CliCommand* find_command(std::string_view name) {
  const auto found = std::ranges::find(cli_commands(), name, &CliCommand::name);
  return found == cli_commands().end() ? nullptr : &*found;
}

// Takes one option, with its value from the same word (--a=b) or the next one.
void take_flag(CliCall& call, std::string_view word, const std::vector<std::string>& words, std::size_t& next) {
  const std::size_t equals = word.find('=');
  const std::string_view name = word.substr(0, equals);
  const auto& flags = call.command->flags;
  const auto flag = std::ranges::find(flags, name, &CliFlag::name);
  if (flag == flags.end()) {
    call.error = "unknown option " + std::string(name);
  } else if (call.has(name)) {
    call.error = std::string(name) + " is given twice";
  } else if (flag->value.empty()) {
    if (equals != word.npos) call.error = std::string(name) + " takes no value";
    call.flags.emplace(name, "");
  } else if (equals != word.npos) {
    call.flags.emplace(name, word.substr(equals + 1));
  } else if (next < words.size()) {
    call.flags.emplace(name, words[next++]);
  } else {
    call.error = std::string(name) + " needs a value: " + std::string(flag->value);
  }
}

void check_arguments(CliCall& call) {
  if (!call.error.empty() || call.help) return;
  const std::size_t count = call.arguments.size();
  if (count < call.command->least_arguments) call.error = "missing: " + std::string(call.command->arguments);
  if (count > call.command->most_arguments) call.error = "unexpected: " + call.arguments[call.command->most_arguments];
}

}  // namespace

const std::vector<CliCommand>& cli_commands() {
  static const std::vector<CliCommand> commands = {
      {"run", "", 0, 0, "run the proxy",
       "Clients bootstrap at --listen; the virtual brokers take the ports after it. All other settings have defaults;\n"
       "`crossover config` shows them. SIGTERM drains and stops, a second one stops at once.",
       run_flags},
      {"validate", "FILE", 1, 1, "check a configuration file", "Prints every problem with its line and path.", {}},
      {"config", "", 0, 0, "print the effective configuration", "Takes the options of `crossover run`.", run_flags},
      {"status", "", 0, 0, "show the proxy, both clusters and all routes", "", {admin_flag, json_flag}},
      {"cutover", "[ROUTE]", 0, 1, "flip a route's clients to the target",
       "Without ROUTE: the route default. Repeating a cutover that already took effect changes nothing.", flip_flags},
      {"rollback", "[ROUTE]", 0, 1, "flip a route's clients back to the source",
       "Without ROUTE: the route default. Repeating a rollback that already took effect changes nothing.", flip_flags},
      {"abort-transaction",
       "ID",
       1,
       1,
       "abort the open transaction of a transactional id",
       "Its owner is fenced, as by a newer instance, and has to start anew.",
       {admin_flag, json_flag}},
      {"recover",
       "[ROUTE]",
       0,
       1,
       "take a route to the other cluster when its home does not answer any more",
       "Without ROUTE: the route default. It shows what would be hidden or may be duplicated and changes nothing "
       "before\n"
       "the text that it names is typed, or given with --confirm. While the home answers, cutover and rollback do it\n"
       "without any loss, and recover is refused.",
       {admin_flag, {"--confirm", "TEXT", "do it, if this is the text that is to be typed"}, json_flag}},
      {"routes",
       "[ROUTE]",
       0,
       1,
       "list the routes, or show one with its segments, define it or delete it",
       "A topic moves only between routes of the same home. The route default is all that no other route names.",
       {admin_flag,
        {"--topic", "NAME", "show only this topic's segments"},
        {"--define", "TOPIC[,...]", "define ROUTE as this set of topics"},
        {"--delete", "", "delete ROUTE; its topics go back to the route default"},
        json_flag}},
      {"log-level",
       "LEVEL",
       1,
       1,
       "change the log level until the next start",
       "LEVEL is debug, info, warn or error.",
       {admin_flag}},
      {"completion",
       "SHELL",
       1,
       1,
       "print a completion script for bash, zsh or fish",
       "For example: source <(crossover completion bash)",
       {}},
  };
  return commands;
}

CliCall parse_cli(int argc, char** argv) {
  const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  CliCall call;
  bool only_arguments = false;
  for (std::size_t next = 0; next < words.size() && call.error.empty();) {
    const std::string_view word = words[next++];
    if (!only_arguments && word == "--") {
      only_arguments = true;
    } else if (!only_arguments && (word == "--help" || word == "-h")) {
      call.help = true;
    } else if (call.command == nullptr && word == "--version") {
      call.version = true;
    } else if (call.command == nullptr) {
      if (word == "help") {
        call.help = true;
        continue;
      }
      call.command = find_command(word);
      if (call.command == nullptr) call.error = "unknown command " + std::string(word);
    } else if (!only_arguments && word.starts_with("-") && word != "-") {
      take_flag(call, word, words, next);
    } else {
      call.arguments.emplace_back(word);
    }
  }
  if (call.command != nullptr) check_arguments(call);
  return call;
}

std::string cli_help(const CliCommand* command) {
  if (command != nullptr) {
    std::string out = "Usage: crossover " + std::string(command->name);
    if (!command->arguments.empty()) out += " " + std::string(command->arguments);
    out += " [options]\n\n";
    std::string summary(command->summary);
    summary[0] = static_cast<char>(summary[0] - 'a' + 'A');
    out += summary + ".\n\nOptions:\n" + flag_lines(command->flags);
    if (!command->details.empty()) out += "\n" + std::string(command->details) + "\n";
    return out;
  }
  std::string out =
      "Crossover: a transparent Kafka proxy that flips live clients between two clusters.\n\n"
      "Usage: crossover COMMAND [options]\n\nCommands:\n";
  for (const CliCommand& each : cli_commands()) {
    const std::string left = std::string(each.name) + (each.arguments.empty() ? "" : " " + std::string(each.arguments));
    out += "  " + padded(left, 20) + " " + std::string(each.summary) + "\n";
  }
  return out +
         "\n  crossover run --source localhost:19092 --target localhost:29092\n"
         "  crossover cutover --dry-run\n\n"
         "crossover COMMAND --help tells more; crossover --version tells which one this is.\n";
}

}  // namespace crossover::src
