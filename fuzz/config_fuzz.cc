// Any bytes as a configuration file: problems or a configuration whose dump reads back to the same.
#include "config/config.h"
#include "fuzz/fuzz_input.h"

namespace crossover::fuzz {
namespace {

void run(const std::string& text) {
  config::Config config;
  const config::Problems problems = config::apply_yaml(config, text, "fuzz");
  for (const std::string& problem : problems) require(problem.starts_with("fuzz:"), "a problem names the file");
  config::resolve(config);
  config::check(config);
  config::Config again;
  require(config::apply_yaml(again, config::to_yaml(config), "dump").empty(), "the dump is valid");
  require(again == config, "the dump reads back to the same");
}

}  // namespace
}  // namespace crossover::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size <= 4096) crossover::fuzz::run(std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}
