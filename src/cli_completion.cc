// Completion scripts, made from the table of commands.
#include "src/cli_options.h"

namespace crossover::src {
namespace {

std::string joined_names() {
  std::string out;
  for (const CliCommand& command : cli_commands()) out += (out.empty() ? "" : " ") + std::string(command.name);
  return out;
}

// What may stand in the place of a command's argument, where that is a short list.
std::string choices(const CliCommand& command) {
  if (command.name == "log-level") return "debug info warn error";
  if (command.name == "completion") return "bash zsh fish";
  return "";
}

std::string flag_names(const CliCommand& command) {
  std::string out;
  for (const CliFlag& flag : command.flags) out += std::string(flag.name) + " ";
  return out + "--help";
}

std::string bash() {
  std::string out =
      "# bash completion of crossover\n"
      "_crossover() {\n"
      "  local word=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    COMPREPLY=($(compgen -W \"" +
      joined_names() +
      " --help --version\" -- \"$word\"))\n"
      "    return\n"
      "  fi\n"
      "  if [ \"$before\" = --config ]; then\n"
      "    COMPREPLY=($(compgen -f -- \"$word\"))\n"
      "    return\n"
      "  fi\n"
      "  case \"${COMP_WORDS[1]}\" in\n";
  for (const CliCommand& command : cli_commands()) {
    const std::string words =
        choices(command).empty() ? flag_names(command) : choices(command) + " " + flag_names(command);
    out += "    " + std::string(command.name) + ") COMPREPLY=($(compgen " + (command.name == "validate" ? "-f " : "") +
           "-W \"" + words + "\" -- \"$word\")) ;;\n";
  }
  return out + "  esac\n}\ncomplete -F _crossover crossover\n";
}

// Single quotes and colons have a meaning in zsh's specifications; fish has only the quotes.
std::string escaped(std::string_view text, bool colons) {
  std::string out;
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else if (colons && (c == ':' || c == '[' || c == ']')) {
      out += std::string("\\") + c;
    } else {
      out += c;
    }
  }
  return out;
}

std::string zsh() {
  std::string out =
      "#compdef crossover\n"
      "_crossover() {\n"
      "  local -a commands\n"
      "  commands=(\n";
  for (const CliCommand& command : cli_commands()) {
    out += "    '" + std::string(command.name) + ":" + escaped(command.summary, true) + "'\n";
  }
  out +=
      "  )\n"
      "  if (( CURRENT == 2 )); then\n"
      "    _describe command commands\n"
      "    return\n"
      "  fi\n"
      "  case ${words[2]} in\n";
  for (const CliCommand& command : cli_commands()) {
    out += "    " + std::string(command.name) + ")\n      shift words; (( CURRENT-- ))\n      _arguments";
    for (const CliFlag& flag : command.flags) {
      out += " \\\n        '" + std::string(flag.name) + (flag.value.empty() ? "" : "=") + "[" +
             escaped(flag.help, true) + "]";
      if (!flag.value.empty()) out += ":" + escaped(flag.value, true) + ":" + (flag.name == "--config" ? "_files" : "");
      out += "'";
    }
    out += " \\\n        '--help[show help]'";
    if (command.name == "validate") out += " \\\n        '1:file:_files'";
    if (!choices(command).empty()) out += " \\\n        '1:choice:(" + choices(command) + ")'";
    out += " ;;\n";
  }
  return out + "  esac\n}\n_crossover \"$@\"\n";
}

std::string fish() {
  std::string out = "# fish completion of crossover\ncomplete -c crossover -f\n";
  for (const CliCommand& command : cli_commands()) {
    const std::string name(command.name);
    out +=
        "complete -c crossover -n __fish_use_subcommand -a " + name + " -d '" + escaped(command.summary, false) + "'\n";
    const std::string within = "complete -c crossover -n '__fish_seen_subcommand_from " + name + "'";
    for (const CliFlag& flag : command.flags) {
      out += within + " -l " + std::string(flag.name.substr(2)) + " -d '" + escaped(flag.help, false) + "'";
      out += flag.value.empty() ? "\n" : flag.name == "--config" ? " -r -F\n" : " -x\n";
    }
    if (!choices(command).empty()) out += within + " -a '" + choices(command) + "'\n";
    if (command.name == "validate") out += within + " -F\n";
  }
  return out;
}

}  // namespace

std::string cli_completion(std::string_view shell) {
  if (shell == "bash") return bash();
  if (shell == "zsh") return zsh();
  if (shell == "fish") return fish();
  return "";
}

}  // namespace crossover::src
