// Typed structs for the messages that the proxy writes or restructures, zipped with the schema's rows: versions, types
// and tags are stated once, in the table; a compile-time check compares the member names with it.
#pragma once

#include <optional>

#include "protocol/schema.h"

namespace crossover::protocol {

// T is one of the structs of messages.h. nullopt when malformed, when bytes are left over or the version is unknown.
// String and bytes members are copies, strings as brokers read them (utf8.h); `Records` members point into `body`.
template <class T>
std::optional<T> decode(BytesView body, Version version);

// Appends the body. Fields absent in that version are left out whatever their value.
template <class T>
void encode(const T& message, Version version, Bytes& out);

template <class T>
Bytes encode(const T& message, Version version) {
  Bytes out;
  encode(message, version, out);
  return out;
}

}  // namespace crossover::protocol
