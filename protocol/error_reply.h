// A valid answer that carries one error in every place where the message has one.
#pragma once

#include <optional>

#include "protocol/error_code.h"
#include "protocol/schema.h"

namespace crossover::protocol {

// The body of the response to `request_body`: the error at top level, and for every topic, partition, group or resource
// that the request names. nullopt when the request does not parse or the API's answer has no place for an error
// (then the connection is closed, as brokers do).
std::optional<Bytes> error_reply(ApiKey api, Version version, BytesView request_body, ErrorCode error);

}  // namespace crossover::protocol
