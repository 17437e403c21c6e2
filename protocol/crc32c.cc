#include "protocol/crc32c.h"

#include <algorithm>
#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace crossover::protocol {
namespace {

// Castagnoli's polynomial with the lowest power in the highest bit, the order in which CRC-32C reads its bytes.
constexpr std::uint32_t polynomial = 0x82f63b78;
constexpr std::uint32_t one = 0x80000000;  // the polynomial 1 in that order

constexpr std::uint32_t times_x(std::uint32_t a) {
  return (a >> 1) ^ ((a & 1) ? polynomial : 0);
}

constexpr std::uint32_t multiply(std::uint32_t a, std::uint32_t b) {
  std::uint32_t product = 0;
  for (std::uint32_t bit = one; bit != 0; bit >>= 1) {
    if (a & bit) product ^= b;
    b = times_x(b);
  }
  return product;
}

// slices[k][b]: the effect of byte b followed by k zero bytes.
constexpr auto slices = [] {
  std::array<std::array<std::uint32_t, 256>, 8> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = times_x(value);
    table[0][byte] = value;
  }
  for (std::size_t k = 1; k < table.size(); ++k) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t shorter = table[k - 1][byte];
      table[k][byte] = (shorter >> 8) ^ table[0][shorter & 0xff];
    }
  }
  return table;
}();

// zero_bytes[k]: the factor that 2^k zero bytes apply, x^(8 * 2^k); each is the square of the one before.
constexpr auto zero_bytes = [] {
  std::array<std::uint32_t, 64> factors{};
  factors[0] = one >> 8;
  for (std::size_t k = 1; k < factors.size(); ++k) factors[k] = multiply(factors[k - 1], factors[k - 1]);
  return factors;
}();

std::uint32_t step(std::uint32_t state, char byte) {
  return (state >> 8) ^ slices[0][(state ^ static_cast<unsigned char>(byte)) & 0xff];
}

std::uint32_t update_portable(std::uint32_t state, BytesView data) {
  while (data.size() >= 8) {
    std::uint32_t next = 0;
    for (std::size_t i = 0; i < 8; ++i) {
      const std::uint32_t from_state = i < 4 ? (state >> (8 * i)) & 0xff : 0;
      next ^= slices[7 - i][static_cast<unsigned char>(data[i]) ^ from_state];
    }
    state = next;
    data.remove_prefix(8);
  }
  for (const char byte : data) state = step(state, byte);
  return state;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t update_sse42(std::uint32_t state, BytesView data) {
  std::uint64_t wide = state;
  while (data.size() >= 8) {
    std::uint64_t word;
    std::memcpy(&word, data.data(), 8);
    wide = _mm_crc32_u64(wide, word);
    data.remove_prefix(8);
  }
  auto narrow = static_cast<std::uint32_t>(wide);
  for (const char byte : data) narrow = _mm_crc32_u8(narrow, static_cast<unsigned char>(byte));
  return narrow;
}
#endif

std::uint32_t update(std::uint32_t state, BytesView data) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2");
  if (has_instruction) return update_sse42(state, data);
#endif
  return update_portable(state, data);
}

std::uint32_t append_zeros(std::uint32_t state, std::uint64_t count) {
  for (std::size_t k = 0; count != 0; ++k, count >>= 1) {
    if (count & 1) state = multiply(zero_bytes[k], state);
  }
  return state;
}

}  // namespace

std::uint32_t crc32c(BytesView data, std::uint32_t crc) {
  return ~update(~crc, data);
}

std::uint32_t crc32c_portable(BytesView data, std::uint32_t crc) {
  return ~update_portable(~crc, data);
}

std::uint32_t crc32c_replace(std::uint32_t crc, BytesView before, BytesView after, std::uint64_t bytes_behind) {
  // Everything unchanged cancels out of old XOR new, so the difference is the checksum, without the customary
  // inversions, of a buffer that is zero except for the changed bytes.
  std::uint32_t difference = 0;
  const std::size_t size = std::min(before.size(), after.size());
  for (std::size_t i = 0; i < size; ++i) difference = step(difference, static_cast<char>(before[i] ^ after[i]));
  return crc ^ append_zeros(difference, bytes_behind);
}

}  // namespace crossover::protocol
