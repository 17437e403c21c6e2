#include "protocol/walk.h"

#include "protocol/wire.h"

namespace crossover::protocol {
namespace {

// The readable definition of the wire format. Depth is that of the table, so recursion is bounded.
class Walk {
 public:
  Walk(const Message& message, Version version, BytesView body, Visitor& visitor)
      : reader_(body), version_(version), flexible_(version >= message.first_flexible), visitor_(visitor) {}

  bool run(const Message& message) {
    structure(message.fields);
    // Brokers do not look behind a request's end, and some clients send bytes there.
    return message.direction == Direction::request ? reader_.ok() : reader_.at_end();
  }

 private:
  void structure(std::span<const Field> rows) {
    for (const Field& row : rows)
      if (row.tag < 0 && row.versions.contains(version_)) field(row);
    if (flexible_) tags(rows);
  }

  void tags(std::span<const Field> rows) {
    const std::uint32_t count = reader_.unsigned_varint();
    std::int64_t previous = -1;
    for (std::uint32_t i = 0; i < count && reader_.ok(); ++i) {
      const std::uint32_t tag = reader_.unsigned_varint();
      const std::uint32_t size = reader_.unsigned_varint();
      if (tag <= previous || size > reader_.remaining()) return reader_.fail();
      previous = tag;
      const std::size_t end = reader_.position() + size;
      if (const Field* row = known_tag(rows, tag))
        field(*row);
      else
        reader_.skip(size);
      if (reader_.position() != end) reader_.fail();
    }
  }

  const Field* known_tag(std::span<const Field> rows, std::uint32_t tag) const {
    for (const Field& row : rows)
      if (row.tagged.contains(version_) && static_cast<std::uint32_t>(row.tag) == tag) return &row;
    return nullptr;
  }

  void field(const Field& row) {
    if (!row.array) return one(row);
    const std::int64_t count = length(row, false);
    for (std::int64_t i = 0; i < count && reader_.ok(); ++i) one(row, true);
  }

  void one(const Field& row, bool element = false) {
    using enum WireType;
    switch (row.type) {
      case boolean:
      case int8:
        return fixed(row, 1);
      case int16:
      case uint16:
        return fixed(row, 2);
      case int32:
      case uint32:
        return fixed(row, 4);
      case int64:
      case float64:
        return fixed(row, 8);
      case uuid:
        return fixed(row, 16);
      case string:
      case bytes:
      case records:
        return sized(row, element);
      case structure:
        return nested(row, element);
    }
  }

  void fixed(const Field& row, std::size_t size) {
    const std::size_t at = reader_.position();
    reader_.skip(size);
    report({row, at, size, false});
  }

  void sized(const Field& row, bool element) {
    const std::int64_t size = length(row, row.type == WireType::string, element);
    const std::size_t at = reader_.position();
    if (size > 0) reader_.skip(static_cast<std::size_t>(size));
    report({row, at, size > 0 ? static_cast<std::size_t>(size) : 0, size < 0});
  }

  void nested(const Field& row, bool element) {
    if (!element && row.nullable.contains(version_)) {
      const std::int8_t mark = reader_.int8();
      if (mark == -1) return;
      if (mark != 1) return reader_.fail();
    }
    if (!reader_.ok()) return;
    visitor_.enter(row);
    structure(row.children);
    visitor_.leave(row);
  }

  // -1 is null. In an array it is the array that may be null, never an element.
  std::int64_t length(const Field& row, bool short_length, bool element = false) {
    const std::int64_t n = flexible_      ? std::int64_t{reader_.unsigned_varint()} - 1
                           : short_length ? reader_.int16()
                                          : reader_.int32();
    // Nothing that has a length takes less than a byte per element, so a larger one cannot be honest.
    if (n > static_cast<std::int64_t>(reader_.remaining()) || n < -1) reader_.fail();
    if (n == -1 && (element || !row.nullable.contains(version_))) reader_.fail();
    return reader_.ok() ? n : 0;
  }

  void report(const Visit& visit) {
    if (reader_.ok()) visitor_.value(visit);
  }

  Reader reader_;
  Version version_;
  bool flexible_;
  Visitor& visitor_;
};

}  // namespace

bool walk(const Message& message, Version version, BytesView body, Visitor& visitor) {
  return message.versions.contains(version) && Walk(message, version, body, visitor).run(message);
}

}  // namespace crossover::protocol
