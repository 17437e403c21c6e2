#include "tests/unit/golden_rows.h"

#include <zlib.h>

#include <sstream>
#include <stdexcept>

namespace crossover::tests {
namespace {

std::string gunzip(const std::string& path) {
  gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) throw std::runtime_error("cannot open " + path);
  std::string text;
  char chunk[65536];
  int size = 0;
  while ((size = gzread(file, chunk, sizeof chunk)) > 0) text.append(chunk, static_cast<std::size_t>(size));
  gzclose(file);
  if (size < 0) throw std::runtime_error("cannot read " + path);
  return text;
}

int hex_digit(char digit) {
  const std::size_t value = std::string_view("0123456789abcdef").find(digit);
  if (value == std::string_view::npos) throw std::runtime_error("not a hex digit");
  return static_cast<int>(value);
}

}  // namespace

Columns split(const std::string& text, char separator) {
  Columns parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

std::vector<Columns> read_golden(const std::string& name) {
  std::vector<Columns> rows;
  std::istringstream lines(gunzip(std::string(CROSSOVER_TESTS_DIR) + "/golden/" + name));
  for (std::string line; std::getline(lines, line);) rows.push_back(split(line, '\t'));
  return rows;
}

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(hex_digit(hex[i]) * 16 + hex_digit(hex[i + 1])));
  }
  return bytes;
}

std::string to_hex(std::string_view bytes) {
  std::string hex;
  for (const char byte : bytes) {
    hex.push_back("0123456789abcdef"[static_cast<unsigned char>(byte) >> 4]);
    hex.push_back("0123456789abcdef"[byte & 0xf]);
  }
  return hex;
}

std::vector<GoldenMessage> read_golden_messages(const std::string& maker) {
  std::vector<GoldenMessage> messages;
  for (const Columns& row : read_golden(maker + ".tsv.gz")) {
    GoldenMessage& golden = messages.emplace_back();
    const auto api = static_cast<protocol::ApiKey>(std::stoi(row.at(0)));
    const bool request = row.at(1) == "request";
    golden.message = find_message(api, request ? protocol::Direction::request : protocol::Direction::response);
    golden.version = static_cast<protocol::Version>(std::stoi(row.at(2)));
    golden.label = maker + " " + row[0] + " " + row[1] + " " + row[2] + " " + row.at(3);
    if (row.size() > 4) golden.body = from_hex(row[4]);  // a body may be empty
    if (row.size() > 5) golden.leaves = split(row[5], ' ');
  }
  return messages;
}

}  // namespace crossover::tests
