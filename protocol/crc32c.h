#pragma once

#include <cstdint>

#include "protocol/types.h"

namespace crossover::protocol {

std::uint32_t crc32c(BytesView data, std::uint32_t crc = 0);

// What crc32c falls back to where the processor has no instruction for it.
std::uint32_t crc32c_portable(BytesView data, std::uint32_t crc = 0);

// CRC-32C is linear: the checksum of a buffer in which `before` was replaced by `after` (same size), followed by
// `bytes_behind` unchanged bytes, from the old checksum and the change alone. O(log bytes_behind).
std::uint32_t crc32c_replace(std::uint32_t crc, BytesView before, BytesView after, std::uint64_t bytes_behind);

}  // namespace crossover::protocol
