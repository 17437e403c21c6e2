#include "protocol/utf8.h"

#include <algorithm>

namespace crossover::protocol {
namespace {

struct Sequence {
  std::size_t size;  // at least 1
  bool valid;
};

bool continues(unsigned char byte) {
  return (byte & 0xc0) == 0x80;
}

// Overlong forms and what lies above U+10FFFF show in the second byte.
bool may_follow(unsigned char first, unsigned char second) {
  if (first == 0xe0 && second < 0xa0) return false;
  if (first == 0xf0 && second < 0x90) return false;
  if (first == 0xf4 && second >= 0x90) return false;
  return continues(second);
}

// What `text`, which is not empty, begins with.
Sequence next(BytesView text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {1, true};
  if (first < 0xc2 || first > 0xf4) return {1, false};
  const std::size_t whole = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  std::size_t size = 1;
  while (size < std::min(whole, text.size()) && (size == 1 ? may_follow(first, byte(1)) : continues(byte(size))))
    ++size;
  const bool surrogate = first == 0xed && size == whole && byte(1) >= 0xa0;
  return {size, size == whole && !surrogate};
}

}  // namespace

std::string valid_utf8(BytesView text) {
  std::string out;
  out.reserve(text.size());
  for (;;) {
    const auto plain =
        std::find_if(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
    const auto ascii = static_cast<std::size_t>(plain - text.begin());
    out += text.substr(0, ascii);  // nearly always all of it
    text.remove_prefix(ascii);
    if (text.empty()) break;
    const Sequence sequence = next(text);
    out += sequence.valid ? text.substr(0, sequence.size) : BytesView("\xef\xbf\xbd");
    text.remove_prefix(sequence.size);
  }
  return out;
}

}  // namespace crossover::protocol
