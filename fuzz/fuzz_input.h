// What every target shares: taking choices from the input, and stating what must hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "protocol/schema.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace crossover::fuzz {

// Ends the process, as the fuzzer expects of a finding; unlike assert also in optimised builds.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "must hold: %s\n", what);
  std::abort();
}

// Choices are bytes at the start of the input, so that the rest of a corpus file stays readable. Zeros at its end.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  protocol::BytesView take(std::size_t size) {
    const protocol::BytesView taken = rest_.substr(0, size);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  protocol::BytesView rest() const { return rest_; }

 private:
  protocol::BytesView rest_;
};

struct ChosenMessage {
  const protocol::Message& message;
  protocol::Version version;
};

// Three bytes: api key, direction, version counted from the first one that exists. Any bytes choose something.
inline ChosenMessage choose_message(Input& input) {
  const auto key = static_cast<protocol::ApiKey>(input.byte());
  const auto direction = input.byte() % 2 == 0 ? protocol::Direction::request : protocol::Direction::response;
  const std::uint8_t version = input.byte();
  const protocol::Message* message = protocol::find_message(key, direction);
  if (message == nullptr) message = protocol::find_message(protocol::ApiKey::Fetch, direction);
  const int count = message->versions.last - message->versions.first + 1;
  return {*message, static_cast<protocol::Version>(message->versions.first + version % count)};
}

}  // namespace crossover::fuzz
