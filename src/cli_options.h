// The commands and their options as data: parsing, help and shell completion read the same table.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace crossover::src {

struct CliFlag {
  std::string_view name;   // with its dashes
  std::string_view value;  // what stands for it in the help; empty: takes none
  std::string_view help;
};

struct CliCommand {
  std::string_view name;
  std::string_view arguments;  // as the help shows them
  std::size_t least_arguments = 0, most_arguments = 0;
  std::string_view summary;
  std::string_view details;  // paragraphs below the options
  std::vector<CliFlag> flags;
};
const std::vector<CliCommand>& cli_commands();

struct CliCall {
  const CliCommand* command = nullptr;  // null: none was given
  std::map<std::string, std::string, std::less<>> flags;
  std::vector<std::string> arguments;
  bool help = false;
  bool version = false;
  std::string error;  // wrong usage

  bool has(std::string_view flag) const { return flags.find(flag) != flags.end(); }
};
CliCall parse_cli(int argc, char** argv);

std::string cli_help(const CliCommand* command);  // null: of the program
// Empty for a shell that is not known.
std::string cli_completion(std::string_view shell);

}  // namespace crossover::src
