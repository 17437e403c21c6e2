// What a broker makes of the bytes of a string.
#pragma once

#include <string>

#include "protocol/types.h"

namespace crossover::protocol {

// As Java's `new String(bytes, UTF_8)`, by which brokers read strings and in whose terms they answer: a malformed
// sequence becomes one U+FFFD, as far as it could have been the beginning of a well-formed one.
std::string valid_utf8(BytesView text);

}  // namespace crossover::protocol
