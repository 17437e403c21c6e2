#include <gtest/gtest.h>

#include <limits>

#include "protocol/error_code.h"
#include "protocol/wire.h"

namespace crossover::protocol {
namespace {

using namespace std::string_literals;

TEST(Wire, IntegersAreBigEndian) {
  Bytes out;
  Writer writer(out);
  writer.int8(-2);
  writer.int16(0x0102);
  writer.int32(0x01020304);
  writer.int64(0x0102030405060708);
  writer.uint16(0xfffe);
  writer.uint32(0xfffffffe);
  writer.float64(1.5);
  EXPECT_EQ(out,
            "\xfe\x01\x02\x01\x02\x03\x04\x01\x02\x03\x04\x05\x06\x07\x08\xff\xfe\xff\xff\xff\xfe"
            "\x3f\xf8\0\0\0\0\0\0"s);
  Reader reader(out);
  EXPECT_EQ(reader.int8(), -2);
  EXPECT_EQ(reader.int16(), 0x0102);
  EXPECT_EQ(reader.int32(), 0x01020304);
  EXPECT_EQ(reader.int64(), 0x0102030405060708);
  EXPECT_EQ(reader.uint16(), 0xfffe);
  EXPECT_EQ(reader.uint32(), 0xfffffffe);
  EXPECT_EQ(reader.float64(), 1.5);
  EXPECT_TRUE(reader.at_end());
}

TEST(Wire, FailureSticks) {
  Reader reader("\x01\x02");
  EXPECT_EQ(reader.int32(), 0);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.int8(), 0);
  EXPECT_EQ(reader.raw(1), "");
  EXPECT_FALSE(reader.at_end());
}

TEST(Wire, Varints) {
  const std::pair<std::uint32_t, Bytes> cases[] = {
      {0, "\0"s}, {127, "\x7f"}, {128, "\x80\x01"}, {300, "\xac\x02"}, {0xffffffff, "\xff\xff\xff\xff\x0f"}};
  for (const auto& [value, bytes] : cases) {
    Bytes out;
    Writer(out).unsigned_varint(value);
    EXPECT_EQ(out, bytes);
    Reader reader(bytes);
    EXPECT_EQ(reader.unsigned_varint(), value);
    EXPECT_TRUE(reader.at_end());
  }
  for (const Bytes& bad : {"\xff\xff\xff\xff\x10"s, "\xff\xff\xff\xff\xff\x01"s, "\x80"s, ""s}) {
    Reader reader(bad);
    reader.unsigned_varint();
    EXPECT_FALSE(reader.ok());
  }
}

TEST(Wire, ZigzagNumbersGoThereAndBack) {
  const std::int64_t numbers[] = {
      0, -1, 1, -64, 64, 1 << 20, std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max()};
  for (const std::int64_t number : numbers) {
    Bytes out;
    Writer(out).varint(static_cast<std::int32_t>(number));
    Writer(out).varlong(number << 20);
    Reader reader(out);
    EXPECT_EQ(reader.varint(), number);
    EXPECT_EQ(reader.varlong(), number << 20);
    EXPECT_TRUE(reader.at_end());
  }
  Bytes out;
  Writer(out).varlong(std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(out, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s);
  EXPECT_EQ(Reader(out).varlong(), std::numeric_limits<std::int64_t>::min());
}

TEST(Wire, StoresAndLoadsInPlace) {
  Bytes bytes(12, '\0');
  store_int64(bytes.data(), -3);
  store_int32(bytes.data() + 8, 0x01020304);
  EXPECT_EQ(load_int64(bytes.data()), -3);
  EXPECT_EQ(load_int32(bytes.data() + 8), 0x01020304);
  EXPECT_EQ(load_int16(bytes.data() + 8), 0x0102);
}

TEST(Types, UuidTextIsKafkas) {
  Uuid id;
  EXPECT_EQ(to_string(id), "AAAAAAAAAAAAAAAAAAAAAA");
  EXPECT_TRUE(id.is_zero());
  // The metadata log's topic id in Kafka's sources: 0L, 1L.
  id.bytes[15] = 1;
  EXPECT_EQ(to_string(id), "AAAAAAAAAAAAAAAAAAAAAQ");
  for (std::size_t i = 0; i < 16; ++i) id.bytes[i] = static_cast<std::uint8_t>(0xff - 3 * i);
  EXPECT_EQ(parse_uuid(to_string(id)), id);
  id.bytes.fill(0xff);
  EXPECT_EQ(to_string(id), "_____________________w");
  EXPECT_EQ(parse_uuid("_____________________w"), id);
}

TEST(Types, UuidTextIsChecked) {
  EXPECT_FALSE(parse_uuid(""));
  EXPECT_FALSE(parse_uuid("AAAAAAAAAAAAAAAAAAAAA"));
  EXPECT_FALSE(parse_uuid("AAAAAAAAAAAAAAAAAAAAAAA"));
  EXPECT_FALSE(parse_uuid("AAAAAAAAAAAAAAAAAAAA+A"));
  EXPECT_FALSE(parse_uuid("AAAAAAAAAAAAAAAAAAAAAB"));  // spare bits set
}

TEST(Types, UuidHashSpreadsNeighbours) {
  std::uint64_t low_bits = 0;
  for (std::uint8_t i = 0; i < 64; ++i) {
    Uuid id;
    id.bytes[8] = i;
    low_bits |= std::uint64_t{1} << (UuidHash{}(id) % 64);
  }
  EXPECT_GT(__builtin_popcountll(low_bits), 24);
}

TEST(ErrorCode, Names) {
  EXPECT_EQ(error_name(0), "NONE");
  EXPECT_EQ(error_name(-1), "UNKNOWN_SERVER_ERROR");
  EXPECT_EQ(error_name(6), "NOT_LEADER_OR_FOLLOWER");
  EXPECT_EQ(error_name(129), "REBOOTSTRAP_REQUIRED");
  EXPECT_EQ(error_name(4321), "error 4321");
}

}  // namespace
}  // namespace crossover::protocol
