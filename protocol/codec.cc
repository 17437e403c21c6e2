// The parts of the codec that do not depend on a struct's type, kept out of line: they would be inlined hundreds of
// times.
#include "protocol/codec.h"

#include <algorithm>

#include "protocol/codec_impl.h"
#include "protocol/utf8.h"

namespace crossover::protocol::codec {
namespace {

// Neither clients nor brokers read longer ones (the length checks of Kafka's generated messages), and versions before
// the flexible ones cannot tell their length.
constexpr std::size_t most_string_bytes = INT16_MAX;

// The next bytes as what they are in that row: text becomes what a broker makes of it, so that everything learnt from
// requests bears the name that the brokers' answers give it.
std::string next_value(Reader& reader, const Field& row, std::size_t size) {
  const BytesView raw = reader.raw(size);
  if (row.type != WireType::string) return std::string(raw);
  std::string text = valid_utf8(raw);
  if (text.size() > most_string_bytes) reader.fail();
  return text;
}

}  // namespace

std::optional<std::size_t> Source::length(bool short_length, bool nullable) {
  const std::int64_t n = flexible       ? std::int64_t{reader.unsigned_varint()} - 1
                         : short_length ? reader.int16()
                                        : reader.int32();
  // Nothing that has a length takes less than a byte per element, so a larger one cannot be honest.
  if (n > static_cast<std::int64_t>(reader.remaining()) || n < -1) reader.fail();
  if (n == -1 && !nullable) reader.fail();
  if (!reader.ok() || n == -1) return std::nullopt;
  return static_cast<std::size_t>(n);
}

void read(Source& in, const Field& row, std::string& out) {
  // Also an element of an array that may be null, which itself may not.
  if (const auto size = in.length(row.type == WireType::string, false)) out = next_value(in.reader, row, *size);
}

void read(Source& in, const Field& row, std::optional<std::string>& out) {
  out.reset();
  if (const auto size = in.length(row.type == WireType::string, in.nullable(row)))
    out.emplace(next_value(in.reader, row, *size));
}

void read(Source& in, const Field& row, Records& out) {
  out.reset();
  if (const auto size = in.length(false, in.nullable(row))) out = in.reader.raw(*size);
}

void read_tags(Source& in, std::span<const Field> rows, void* out, ReadTag read_tag) {
  const std::uint32_t count = in.reader.unsigned_varint();
  std::int64_t previous = -1;
  for (std::uint32_t i = 0; i < count && in.reader.ok(); ++i) {
    const std::uint32_t tag = in.reader.unsigned_varint();
    const std::uint32_t size = in.reader.unsigned_varint();
    if (tag <= previous || size > in.reader.remaining()) return in.reader.fail();
    previous = tag;
    read_tag(in, rows, tag, size, out);
  }
}

void Target::length(std::size_t n, bool short_length) {
  if (flexible)
    writer.unsigned_varint(static_cast<std::uint32_t>(n) + 1);
  else if (short_length)
    writer.int16(static_cast<std::int16_t>(n));
  else
    writer.int32(static_cast<std::int32_t>(n));
}

void Target::null(const Field& row, bool short_length) {
  length(row.nullable.contains(version) ? static_cast<std::size_t>(-1) : 0, short_length);
}

void write(Target& out, const Field& row, const std::string& value) {
  const bool short_length = row.type == WireType::string;
  const std::size_t size = short_length ? std::min(value.size(), most_string_bytes) : value.size();  // an error's text
  out.length(size, short_length);
  out.writer.raw(BytesView(value).substr(0, size));
}

void write(Target& out, const Field& row, const std::optional<std::string>& value) {
  value ? write(out, row, *value) : out.null(row, row.type == WireType::string);
}

void write(Target& out, const Field& row, const Records& value) {
  if (!value) return out.null(row, false);
  out.length(value->size(), false);
  out.writer.raw(*value);
}

bool any_tagged(std::span<const Field> rows) {
  return std::any_of(rows.begin(), rows.end(), [](const Field& row) { return row.tag >= 0; });
}

void write_tags(Target& out, std::vector<UnknownTag> tags) {
  std::stable_sort(tags.begin(), tags.end(), [](const auto& a, const auto& b) { return a.tag < b.tag; });
  out.writer.unsigned_varint(static_cast<std::uint32_t>(tags.size()));
  for (const UnknownTag& tag : tags) {
    out.writer.unsigned_varint(tag.tag);
    out.writer.unsigned_varint(static_cast<std::uint32_t>(tag.data.size()));
    out.writer.raw(tag.data);
  }
}

}  // namespace crossover::protocol::codec
