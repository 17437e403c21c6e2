// Kafka's error codes by name.
#pragma once

#include <cstdint>
#include <string>

namespace crossover::protocol {

enum class ErrorCode : std::int16_t {
#define CROSSOVER_ERROR(name, code) name = code,
#include "protocol/error_codes.inc"
#undef CROSSOVER_ERROR
};

// "NOT_LEADER_OR_FOLLOWER"; "error N" for a code not listed.
std::string error_name(std::int16_t code);

}  // namespace crossover::protocol
