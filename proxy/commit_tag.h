// A virtual position that cannot be read back from its projection travels in the commit's metadata string, so that
// offset and tag are stored atomically (design, section 5): "~xo:" and 11 characters of base64url, at the end.
#pragma once

#include <optional>
#include <string>

#include "proxy/cluster.h"

namespace crossover::proxy {

inline constexpr std::size_t commit_tag_bytes = 15;
// offset.metadata.max.bytes of brokers: longer metadata is refused with error 12.
inline constexpr std::size_t commit_metadata_bytes = 4096;

std::string with_commit_tag(std::string metadata, Offset virtual_offset);
struct TaggedMetadata {
  std::string metadata;  // without the tag
  std::optional<Offset> virtual_offset;
};
TaggedMetadata split_commit_tag(std::string metadata);

}  // namespace crossover::proxy
