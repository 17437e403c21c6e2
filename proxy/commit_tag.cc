#include "proxy/commit_tag.h"

namespace crossover::proxy {
namespace {

constexpr std::string_view marker = "~xo:";
constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr int digits = 11;  // 66 bits, of which an offset takes 63

}  // namespace

std::string with_commit_tag(std::string metadata, Offset virtual_offset) {
  metadata += marker;
  for (int i = digits - 1; i >= 0; --i)
    metadata += alphabet[(static_cast<std::uint64_t>(virtual_offset) >> (6 * i)) & 63];
  return metadata;
}

TaggedMetadata split_commit_tag(std::string metadata) {
  if (metadata.size() < commit_tag_bytes) return {std::move(metadata), std::nullopt};
  const std::size_t at = metadata.size() - commit_tag_bytes;
  if (std::string_view(metadata).substr(at, marker.size()) != marker) return {std::move(metadata), std::nullopt};
  std::uint64_t value = 0;
  for (const char c : std::string_view(metadata).substr(at + marker.size())) {
    const auto digit = alphabet.find(c);
    if (digit == std::string_view::npos) return {std::move(metadata), std::nullopt};
    value = (value << 6) | digit;
  }
  if (value > static_cast<std::uint64_t>(INT64_MAX)) return {std::move(metadata), std::nullopt};
  metadata.resize(at);
  return {std::move(metadata), static_cast<Offset>(value)};
}

}  // namespace crossover::proxy
