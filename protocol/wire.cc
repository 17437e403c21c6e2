#include "protocol/wire.h"

#include <bit>
#include <cstring>

namespace crossover::protocol {
namespace {

template <class Unsigned>
Unsigned load(const char* at) {
  Unsigned value = 0;
  for (std::size_t i = 0; i < sizeof(Unsigned); ++i)
    value = static_cast<Unsigned>(value << 8 | static_cast<unsigned char>(at[i]));
  return value;
}

template <class Unsigned>
void store(char* at, Unsigned value) {
  for (std::size_t i = 0; i < sizeof(Unsigned); ++i)
    at[i] = static_cast<char>(value >> (8 * (sizeof(Unsigned) - 1 - i)) & 0xff);
}

template <class Unsigned>
Unsigned take(Reader& reader) {
  const BytesView bytes = reader.raw(sizeof(Unsigned));
  return bytes.size() == sizeof(Unsigned) ? load<Unsigned>(bytes.data()) : Unsigned{0};
}

template <class Unsigned>
void append(Bytes& out, Unsigned value) {
  char bytes[sizeof(Unsigned)];
  store(bytes, value);
  out.append(bytes, sizeof bytes);
}

// Seven bits per byte, lowest first. Bits beyond the width of Unsigned make the number malformed.
template <class Unsigned>
Unsigned take_varint(Reader& reader) {
  constexpr int width = 8 * sizeof(Unsigned);
  Unsigned value = 0;
  for (int shift = 0; shift < width; shift += 7) {
    const auto byte = static_cast<std::uint8_t>(reader.int8());
    if (!reader.ok()) return 0;
    const Unsigned bits = byte & 0x7f;
    if (width - shift < 7 && bits >> (width - shift) != 0) break;
    value |= bits << shift;
    if (byte < 0x80) return value;
  }
  reader.fail();
  return 0;
}

template <class Unsigned>
void append_varint(Bytes& out, Unsigned value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

}  // namespace

std::int8_t Reader::int8() {
  return static_cast<std::int8_t>(take<std::uint8_t>(*this));
}
std::int16_t Reader::int16() {
  return static_cast<std::int16_t>(take<std::uint16_t>(*this));
}
std::int32_t Reader::int32() {
  return static_cast<std::int32_t>(take<std::uint32_t>(*this));
}
std::int64_t Reader::int64() {
  return static_cast<std::int64_t>(take<std::uint64_t>(*this));
}
std::uint16_t Reader::uint16() {
  return take<std::uint16_t>(*this);
}
std::uint32_t Reader::uint32() {
  return take<std::uint32_t>(*this);
}
double Reader::float64() {
  return std::bit_cast<double>(take<std::uint64_t>(*this));
}
std::uint32_t Reader::unsigned_varint() {
  return take_varint<std::uint32_t>(*this);
}

std::int32_t Reader::varint() {
  const std::uint32_t zigzag = unsigned_varint();
  return static_cast<std::int32_t>(zigzag >> 1 ^ -(zigzag & 1));
}

std::int64_t Reader::varlong() {
  const auto zigzag = take_varint<std::uint64_t>(*this);
  return static_cast<std::int64_t>(zigzag >> 1 ^ -(zigzag & 1));
}

Uuid Reader::uuid() {
  Uuid result;
  const BytesView bytes = raw(result.bytes.size());
  if (!bytes.empty()) std::memcpy(result.bytes.data(), bytes.data(), bytes.size());
  return result;
}

BytesView Reader::raw(std::size_t size) {
  if (!ok_ || size > remaining()) {
    ok_ = false;
    return {};
  }
  const BytesView result = data_.substr(position_, size);
  position_ += size;
  return result;
}

void Writer::int8(std::int8_t value) {
  out_.push_back(static_cast<char>(value));
}
void Writer::int16(std::int16_t value) {
  append(out_, static_cast<std::uint16_t>(value));
}
void Writer::int32(std::int32_t value) {
  append(out_, static_cast<std::uint32_t>(value));
}
void Writer::int64(std::int64_t value) {
  append(out_, static_cast<std::uint64_t>(value));
}
void Writer::uint16(std::uint16_t value) {
  append(out_, value);
}
void Writer::uint32(std::uint32_t value) {
  append(out_, value);
}
void Writer::float64(double value) {
  append(out_, std::bit_cast<std::uint64_t>(value));
}
void Writer::unsigned_varint(std::uint32_t value) {
  append_varint(out_, value);
}

void Writer::varint(std::int32_t value) {
  append_varint(out_, static_cast<std::uint32_t>(value) << 1 ^ static_cast<std::uint32_t>(value >> 31));
}

void Writer::varlong(std::int64_t value) {
  append_varint(out_, static_cast<std::uint64_t>(value) << 1 ^ static_cast<std::uint64_t>(value >> 63));
}

void Writer::uuid(const Uuid& value) {
  out_.append(reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size());
}

void Writer::raw(BytesView value) {
  out_.append(value);
}

void store_int32(char* at, std::int32_t value) {
  store(at, static_cast<std::uint32_t>(value));
}
void store_int64(char* at, std::int64_t value) {
  store(at, static_cast<std::uint64_t>(value));
}
std::int16_t load_int16(const char* at) {
  return static_cast<std::int16_t>(load<std::uint16_t>(at));
}
std::int32_t load_int32(const char* at) {
  return static_cast<std::int32_t>(load<std::uint32_t>(at));
}
std::int64_t load_int64(const char* at) {
  return static_cast<std::int64_t>(load<std::uint64_t>(at));
}

}  // namespace crossover::protocol
