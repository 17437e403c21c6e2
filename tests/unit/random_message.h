// Random bodies of any message and version, made from the table alone: a second reading of the wire format beside walk
// and the codec, and the list of what a walk has to report.
#pragma once

#include <optional>
#include <random>
#include <string>
#include <vector>

#include "protocol/schema.h"
#include "protocol/wire.h"

namespace crossover::test {

struct MadeValue {
  const protocol::Field* field;
  protocol::Bytes value;
  bool null;
  bool operator==(const MadeValue&) const = default;
};

struct MadeBody {
  protocol::Bytes bytes;
  std::vector<MadeValue> values;                   // in wire order
  std::vector<const protocol::Field*> structures;  // in the order in which they are entered
};

// Lets a test choose some values itself, by role or by name.
class Choices {
 public:
  virtual ~Choices() = default;
  // The encoded value without its length, or nullopt for a random one.
  virtual std::optional<protocol::Bytes> value(const protocol::Field&) { return std::nullopt; }
  // How many elements an array has for which `drawn` was drawn.
  virtual unsigned count(const protocol::Field&, unsigned drawn) { return drawn; }
};

class RandomMessage {
 public:
  RandomMessage(const protocol::Message& message, protocol::Version version, std::uint32_t seed,
                Choices* choices = nullptr)
      : message_(message),
        version_(version),
        flexible_(version >= message.first_flexible),
        random_(seed),
        choices_(choices) {}

  MadeBody make() {
    protocol::Bytes bytes;
    structure(message_.fields, bytes, false);
    made_.bytes = std::move(bytes);
    return std::move(made_);
  }

 private:
  using Bytes = protocol::Bytes;
  using Field = protocol::Field;
  using Writer = protocol::Writer;
  using WireType = protocol::WireType;

  unsigned below(unsigned n) { return random_() % n; }

  // `plain` leaves no chance of a default value: codecs do not write a tagged field that equals its default.
  void structure(std::span<const Field> rows, Bytes& out, bool plain) {
    for (const Field& row : rows)
      if (row.tag < 0 && row.versions.contains(version_)) field(row, out, plain);
    if (flexible_) tags(rows, out);
  }

  void tags(std::span<const Field> rows, Bytes& out) {
    std::uint32_t count = 0;
    Bytes body;
    for (std::int16_t tag = 0; tag < 16; ++tag)
      for (const Field& row : rows)
        if (row.tag == tag && row.tagged.contains(version_) && below(2)) {
          Bytes value;
          field(row, value, true);
          put_tag(static_cast<std::uint32_t>(tag), value, body);
          ++count;
        }
    if (below(4) == 0) {
      put_tag(1000 + below(1000), Bytes(below(5), 'u'), body);
      ++count;
    }
    Writer(out).unsigned_varint(count);
    out += body;
  }

  static void put_tag(std::uint32_t tag, const Bytes& value, Bytes& out) {
    Writer(out).unsigned_varint(tag);
    Writer(out).unsigned_varint(static_cast<std::uint32_t>(value.size()));
    out += value;
  }

  void field(const Field& row, Bytes& out, bool plain) {
    const bool nullable = row.nullable.contains(version_) && !plain;
    if (row.array) {
      if (nullable && below(4) == 0) return length(0, true, false, out);
      const unsigned drawn = below(3) + (plain ? 1 : 0);
      const unsigned count = choices_ ? choices_->count(row, drawn) : drawn;
      length(count, false, false, out);
      for (unsigned i = 0; i < count; ++i) one(row, out, false, plain);
      return;
    }
    one(row, out, nullable, plain);
  }

  void one(const Field& row, Bytes& out, bool nullable, bool plain) {
    if (row.type == WireType::structure) {
      if (row.nullable.contains(version_) && !row.array) Writer(out).int8(nullable && below(2) ? -1 : 1);
      if (row.nullable.contains(version_) && !row.array && out.back() != 1) return;
      made_.structures.push_back(&row);
      return structure(row.children, out, plain);
    }
    const auto chosen = choices_ ? choices_->value(row) : std::nullopt;
    const Bytes value = chosen ? *chosen : primitive(row.type);
    const bool sized = row.type == WireType::string || row.type == WireType::bytes || row.type == WireType::records;
    const bool null = sized && nullable && below(4) == 0;
    if (sized) length(value.size(), null, row.type == WireType::string, out);
    if (!null) out += value;
    made_.values.push_back({&row, null ? Bytes() : value, null});
  }

  Bytes primitive(WireType type) {
    using enum WireType;
    switch (type) {
      case boolean:
        return Bytes(1, '\1');
      case int8:
        return random_bytes(1);
      case int16:
      case uint16:
        return random_bytes(2);
      case int32:
      case uint32:
        return random_bytes(4);
      case int64:
      case float64:
        return random_bytes(8);
      case uuid:
        return random_bytes(16);
      default:
        return random_bytes(1 + below(8));
    }
  }

  // ASCII, so that foreign implementations take it for text too.
  Bytes random_bytes(std::size_t size) {
    Bytes bytes(size, ' ');
    for (char& c : bytes) c = static_cast<char>('A' + below(50));
    return bytes;
  }

  void length(std::size_t n, bool null, bool short_length, Bytes& out) {
    Writer writer(out);
    if (flexible_)
      writer.unsigned_varint(null ? 0 : static_cast<std::uint32_t>(n) + 1);
    else if (short_length)
      writer.int16(null ? -1 : static_cast<std::int16_t>(n));
    else
      writer.int32(null ? -1 : static_cast<std::int32_t>(n));
  }

  const protocol::Message& message_;
  protocol::Version version_;
  bool flexible_;
  std::mt19937 random_;
  Choices* choices_;
  MadeBody made_;
};

inline MadeBody random_message(const protocol::Message& message, protocol::Version version, std::uint32_t seed,
                               Choices* choices = nullptr) {
  return RandomMessage(message, version, seed, choices).make();
}

}  // namespace crossover::test
