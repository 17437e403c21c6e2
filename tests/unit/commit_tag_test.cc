#include "proxy/commit_tag.h"

#include <gtest/gtest.h>

namespace crossover::proxy {
namespace {

TEST(CommitTag, ComesBackWithTheClientsOwnMetadata) {
  for (const Offset offset : {Offset{0}, Offset{1}, Offset{63}, Offset{64}, Offset{1} << 40, Offset{INT64_MAX}}) {
    for (const std::string metadata : {"", "mine", "~xo:"}) {
      const std::string stored = with_commit_tag(metadata, offset);
      EXPECT_EQ(stored.size(), metadata.size() + commit_tag_bytes);
      const TaggedMetadata read = split_commit_tag(stored);
      EXPECT_EQ(read.metadata, metadata);
      EXPECT_EQ(read.virtual_offset, offset);
    }
  }
}

TEST(CommitTag, WhatIsNoTagStaysAsItIs) {
  for (const std::string metadata :
       {"", "~xo:", "~xo:AAAAAAAAAA", "~xo:AAAAAAAAA!A", "some consumer's note", "~xo:___________"}) {
    const TaggedMetadata read = split_commit_tag(metadata);
    EXPECT_EQ(read.metadata, metadata);
    EXPECT_EQ(read.virtual_offset, std::nullopt) << metadata;
  }
}

TEST(CommitTag, OnlyTheLastTagCounts) {
  const TaggedMetadata read = split_commit_tag(with_commit_tag(with_commit_tag("a", 5), 7));
  EXPECT_EQ(read.virtual_offset, 7);
  EXPECT_EQ(read.metadata, with_commit_tag("a", 5));
}

}  // namespace
}  // namespace crossover::proxy
