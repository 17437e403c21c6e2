#include "protocol/crc32c.h"

#include <gtest/gtest.h>

#include <random>

namespace crossover::protocol {
namespace {

Bytes random_bytes(std::mt19937_64& random, std::size_t size) {
  Bytes bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

// Vectors of RFC 3720, appendix B.4, and the catalogue's check value.
TEST(Crc32c, AgreesWithPublishedVectors) {
  Bytes rising;
  for (int i = 0; i < 32; ++i) rising.push_back(static_cast<char>(i));
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(Bytes(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(Bytes(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c(rising), 0x46dd794eu);
}

TEST(Crc32c, InstructionAndTablesAgreeAtEveryLengthAndAlignment) {
  std::mt19937_64 random(1);
  const Bytes bytes = random_bytes(random, 100);
  for (std::size_t from = 0; from < 9; ++from) {
    for (std::size_t size = 0; from + size <= bytes.size(); ++size) {
      const BytesView part = BytesView(bytes).substr(from, size);
      ASSERT_EQ(crc32c(part), crc32c_portable(part)) << from << " " << size;
    }
  }
}

TEST(Crc32c, ContinuesFromAnEarlierChecksum) {
  std::mt19937_64 random(2);
  const Bytes bytes = random_bytes(random, 1000);
  const BytesView view = bytes;
  for (std::size_t cut : {0, 1, 7, 8, 9, 500, 999, 1000}) {
    EXPECT_EQ(crc32c(view.substr(cut), crc32c(view.substr(0, cut))), crc32c(view));
    EXPECT_EQ(crc32c_portable(view.substr(cut), crc32c_portable(view.substr(0, cut))), crc32c(view));
  }
}

TEST(Crc32c, ReplaceEqualsRecomputation) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 500; ++round) {
    Bytes bytes = random_bytes(random, 1 + random() % 5000);
    const std::size_t at = random() % bytes.size();
    const std::size_t size = 1 + random() % std::min<std::size_t>(bytes.size() - at, 20);
    const Bytes after = random_bytes(random, size);
    const std::uint32_t patched =
        crc32c_replace(crc32c(bytes), BytesView(bytes).substr(at, size), after, bytes.size() - at - size);
    bytes.replace(at, size, after);
    ASSERT_EQ(patched, crc32c(bytes)) << "round " << round;
  }
}

TEST(Crc32c, ReplaceHandlesTailsOfManyMegabytes) {
  Bytes bytes(20'000'003, 'x');
  const std::uint32_t before = crc32c(bytes);
  const std::uint32_t patched = crc32c_replace(before, "xxx", "abc", bytes.size() - 3);
  bytes.replace(0, 3, "abc");
  EXPECT_EQ(patched, crc32c(bytes));
  EXPECT_NE(patched, before);
}

TEST(Crc32c, ReplacingBytesByThemselvesChangesNothing) {
  EXPECT_EQ(crc32c_replace(0x12345678, "same", "same", 1u << 30), 0x12345678u);
}

}  // namespace
}  // namespace crossover::protocol
