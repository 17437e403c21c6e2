// The bytes that foreign implementations made; tests/golden/README.md says how.
#pragma once

#include <string>
#include <vector>

#include "protocol/schema.h"

namespace crossover::tests {

using Columns = std::vector<std::string>;

// Rows of a gzipped table of tab-separated columns in tests/golden; throws when it cannot be read.
std::vector<Columns> read_golden(const std::string& name);

std::string from_hex(std::string_view hex);
std::string to_hex(std::string_view bytes);
Columns split(const std::string& text, char separator);

struct GoldenMessage {
  const protocol::Message* message = nullptr;  // nullptr when the table has no such message
  protocol::Version version = 0;
  std::string label;  // "kafka-clients 3 response 9 full"
  std::string body;
  Columns leaves;  // "name=hex" in wire order; kafka-clients only
};
std::vector<GoldenMessage> read_golden_messages(const std::string& maker);

}  // namespace crossover::tests
