// The few topic and broker settings that the simulated brokers know.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace crossover::sim {

struct ConfigDefault {
  std::string_view name;
  std::string_view value;
  int type;  // DescribeConfigs: 1 boolean, 2 string, 3 int, 5 long, 6 double, 7 list
};

std::span<const ConfigDefault> topic_config_defaults();
// Empty when there is no such setting.
std::string_view default_topic_config(const std::string& name);
bool known_topic_config(const std::string& name);

}  // namespace crossover::sim
