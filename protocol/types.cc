#include "protocol/types.h"

#include <cstring>

namespace crossover::protocol {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::size_t text_size = 22;  // 128 bits at 6 per character; the last one carries 2

}  // namespace

std::string to_string(const Uuid& id) {
  std::string text;
  text.reserve(text_size);
  std::uint32_t bits = 0;
  int held = 0;
  for (const std::uint8_t byte : id.bytes) {
    bits = bits << 8 | byte;
    for (held += 8; held >= 6; held -= 6) text.push_back(alphabet[bits >> (held - 6) & 0x3f]);
  }
  text.push_back(alphabet[bits << (6 - held) & 0x3f]);
  return text;
}

std::optional<Uuid> parse_uuid(std::string_view text) {
  if (text.size() != text_size) return std::nullopt;
  Uuid id;
  std::size_t at = 0;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const std::size_t value = alphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    held += 6;
    if (held < 8 || at == id.bytes.size()) continue;
    held -= 8;
    id.bytes[at++] = static_cast<std::uint8_t>(bits >> held);
  }
  // Two texts of one id would make it ambiguous as a key, so the four spare bits have to be zero.
  if (bits & 0x0f) return std::nullopt;
  return id;
}

std::size_t UuidHash::operator()(const Uuid& id) const noexcept {
  std::uint64_t high, low;
  std::memcpy(&high, id.bytes.data(), 8);
  std::memcpy(&low, id.bytes.data() + 8, 8);
  // Ids made by the proxy may differ in few bits: multiply and fold so that all of them reach the low end.
  const std::uint64_t mixed = (high ^ (low << 32 | low >> 32)) * 0x9e3779b97f4a7c15u;
  return static_cast<std::size_t>(mixed ^ mixed >> 32);
}

}  // namespace crossover::protocol
