// Bounds-checked cursor with sticky failure, and its appending counterpart. All integers are big-endian.
#pragma once

#include <cstdint>

#include "protocol/types.h"

namespace crossover::protocol {

// Every read past the end or of a malformed length makes ok() false for good and yields zeros, so callers check once.
class Reader {
 public:
  explicit Reader(BytesView data) : data_(data) {}

  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && position_ == data_.size(); }
  std::size_t position() const { return position_; }
  std::size_t remaining() const { return data_.size() - position_; }
  void fail() { ok_ = false; }

  std::int8_t int8();
  std::int16_t int16();
  std::int32_t int32();
  std::int64_t int64();
  std::uint16_t uint16();
  std::uint32_t uint32();
  double float64();
  std::uint32_t unsigned_varint();  // at most 5 bytes
  std::int32_t varint();            // zigzag, as inside records
  std::int64_t varlong();
  Uuid uuid();
  BytesView raw(std::size_t size);
  void skip(std::size_t size) { raw(size); }

 private:
  BytesView data_;
  std::size_t position_ = 0;
  bool ok_ = true;
};

class Writer {
 public:
  explicit Writer(Bytes& out) : out_(out) {}

  void int8(std::int8_t);
  void int16(std::int16_t);
  void int32(std::int32_t);
  void int64(std::int64_t);
  void uint16(std::uint16_t);
  void uint32(std::uint32_t);
  void float64(double);
  void unsigned_varint(std::uint32_t);
  void varint(std::int32_t);
  void varlong(std::int64_t);
  void uuid(const Uuid&);
  void raw(BytesView);

  std::size_t size() const { return out_.size(); }

 private:
  Bytes& out_;
};

// Fixed-width stores and loads at a known place, for patching in place. The caller has checked the bounds.
void store_int32(char* at, std::int32_t value);
void store_int64(char* at, std::int64_t value);
std::int16_t load_int16(const char* at);
std::int32_t load_int32(const char* at);
std::int64_t load_int64(const char* at);

}  // namespace crossover::protocol
