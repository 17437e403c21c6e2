// Values that the Kafka wire protocol is made of. No I/O, no policy.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace crossover::protocol {

// Encoded data. `Bytes` owns, `BytesView` points into somebody else's buffer.
using Bytes = std::string;
using BytesView = std::string_view;

// A record blob inside a produce request or a fetch answer. Decoding leaves it pointing into the decoded buffer, so it
// lives as long as that buffer; encoding appends it. nullopt is the protocol's null.
using Records = std::optional<BytesView>;

using NodeId = std::int32_t;  // negative ones are sentinels and are never mapped
using PartitionIndex = std::int32_t;
using Offset = std::int64_t;
using LeaderEpoch = std::int32_t;  // -1: unknown
using ProducerId = std::int64_t;   // -1: none
using ProducerEpoch = std::int16_t;
using Version = std::int16_t;  // of an API

// KIP-516 topic ids and other uuids; 16 bytes as they stand on the wire.
struct Uuid {
  std::array<std::uint8_t, 16> bytes{};
  bool is_zero() const { return *this == Uuid{}; }
  auto operator<=>(const Uuid&) const = default;
};

// Kafka's own text form: URL-safe base64 without padding, 22 characters.
std::string to_string(const Uuid&);
std::optional<Uuid> parse_uuid(std::string_view text);

struct UuidHash {
  std::size_t operator()(const Uuid& id) const noexcept;
};

// Tagged fields that a struct does not know, kept so that re-encoding loses nothing (KIP-482).
struct UnknownTag {
  std::uint32_t tag = 0;
  Bytes data;
  bool operator==(const UnknownTag&) const = default;
};

}  // namespace crossover::protocol
