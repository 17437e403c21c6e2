#include "proxy/virtual_log.h"

#include <gtest/gtest.h>

namespace crossover::proxy {
namespace {

constexpr Cluster source = Cluster::source, target = Cluster::target;

// [source 0..100) [target 40..70) [source 110..inf): ten records were written past the proxy meanwhile.
VirtualLog there_and_back() {
  return VirtualLog::identity(source).flipped(100, 5, target, 40, 9).flipped(70, 9, source, 110, 6);
}

TEST(VirtualLog, BeforeAFlipEverythingIsAsOnTheCluster) {
  const VirtualLog log = VirtualLog::identity(target);
  EXPECT_TRUE(log.is_plain_identity());
  EXPECT_EQ(log.home(), target);
  EXPECT_EQ(log.project(42, 7, target).real, 42);
  EXPECT_EQ(log.project(42, 7, target).epoch, 7);
  EXPECT_EQ(log.inverse(42, target), 42);
}

TEST(VirtualLog, AFlipClosesAtTheEndAndOpensAtTheOthersEnd) {
  const VirtualLog log = there_and_back();
  ASSERT_EQ(log.segments().size(), 3u);
  EXPECT_EQ(log.segments()[0].virtual_end(), 100);
  EXPECT_EQ(log.segments()[1].virtual_base, 100);
  EXPECT_EQ(log.segments()[1].real_base, 40);
  EXPECT_EQ(log.segments()[1].virtual_end(), 130);
  EXPECT_EQ(log.segments()[2].to_virtual(110), 130);
  EXPECT_EQ(log.segments()[2].generation, 2);
  EXPECT_FALSE(log.is_plain_identity());
}

TEST(VirtualLog, EachOffsetLiesInOneSegment) {
  const VirtualLog log = there_and_back();
  EXPECT_EQ(log.find(0), 0u);
  EXPECT_EQ(log.find(99), 0u);
  EXPECT_EQ(log.find(100), 1u);
  EXPECT_EQ(log.find(129), 1u);
  EXPECT_EQ(log.find(130), 2u);
  EXPECT_EQ(log.find(1'000'000), 2u);
}

TEST(VirtualLog, EpochsRiseAtEachFlipAndAreFoundAgain) {
  const VirtualLog log = there_and_back();
  EXPECT_EQ(log.segments()[0].boundary_epoch, 5);
  EXPECT_EQ(log.segments()[1].epoch_base + 9, 6);
  EXPECT_EQ(log.segments()[2].epoch_base + 6, 7);
  EXPECT_EQ(log.find_epoch(5), 0u);
  EXPECT_EQ(log.find_epoch(6), 1u);
  EXPECT_EQ(log.find_epoch(7), 2u);
  EXPECT_EQ(log.find_epoch(8), 2u);
}

TEST(VirtualLog, AnEpochBelowItsSegmentsIsLiftedToIt) {
  // The closing leader's epoch as last seen is older than the one the segment was opened with.
  const VirtualLog log = VirtualLog::identity(source).flipped(10, 5, target, 0, 9).flipped(5, 3, source, 10, 5);
  EXPECT_EQ(log.segments()[1].boundary_epoch, 6);
  EXPECT_EQ(log.first_epoch(2), 7);
}

TEST(VirtualLog, EmptySegmentsHoldNothingAndMoveNothing) {
  const VirtualLog log = VirtualLog::identity(source).flipped(100, 5, target, 40, 0).flipped(40, 0, source, 100, 5);
  ASSERT_EQ(log.segments().size(), 3u);
  EXPECT_EQ(log.segments()[1].length, 0);
  EXPECT_EQ(log.find(100), 2u);
  EXPECT_EQ(log.segments()[2].virtual_base, 100);
  EXPECT_EQ(log.inverse(100, source), 100);
  EXPECT_EQ(log.inverse(40, target), 100);
  EXPECT_TRUE(log.project(100, -1, source).invertible);
}

TEST(VirtualLog, APositionStoredBeforeAFlipIsKnownAfterIt) {
  const VirtualLog before = VirtualLog::identity(source).flipped(0, 0, target, 5, 0);
  EXPECT_EQ(before.project(47, -1, source).real, 0);
  EXPECT_FALSE(before.project(47, -1, source).invertible);
  const VirtualLog after = before.flipped(52, 0, source, 1, 2);
  EXPECT_EQ(after.project(47, -1, source).real, 1);
  EXPECT_TRUE(after.ever_projected(47, 0, source));
  EXPECT_TRUE(after.ever_projected(47, 1, source));
  EXPECT_FALSE(after.ever_projected(47, 2, source));
  EXPECT_FALSE(after.ever_projected(48, 1, source));
}

TEST(VirtualLog, NoPositionIsReadBackFromAClusterWithoutASegment) {
  const VirtualLog before = VirtualLog::identity(source);
  EXPECT_EQ(before.project(0, -1, target).real, 0);
  EXPECT_FALSE(before.project(0, -1, target).invertible);
  const VirtualLog after = before.flipped(50, 0, target, 0, 0);
  EXPECT_EQ(after.inverse(0, target), 50);
  EXPECT_TRUE(after.ever_projected(0, 0, target));
}

TEST(VirtualLog, AFlipOfAnEmptyPartition) {
  const VirtualLog log = VirtualLog::identity(source).flipped(0, 0, target, 0, 0);
  EXPECT_EQ(log.open_segment().virtual_base, 0);
  EXPECT_EQ(log.find(0), 1u);
  EXPECT_EQ(log.project(0, -1, source).real, 0);
}

TEST(VirtualLog, WhereTwoSegmentsMeetTheLowerPositionIsMeant) {
  // Back on source with nothing written there meanwhile: real 100 ends the first segment and begins the third.
  const VirtualLog log = VirtualLog::identity(source).flipped(100, 5, target, 0, 0).flipped(30, 0, source, 100, 5);
  EXPECT_EQ(log.open_segment().virtual_base, 130);
  EXPECT_EQ(log.inverse(100, source), 100);
  EXPECT_TRUE(log.project(99, -1, source).invertible);
  const Projection at_reopening = log.project(130, -1, source);
  EXPECT_EQ(at_reopening.real, 100);
  EXPECT_FALSE(at_reopening.invertible);
  EXPECT_EQ(log.inverse(101, source), 131);
}

TEST(VirtualLog, APositionOnTheOtherClusterIsProjectedToTheEndOfWhatWasBefore) {
  const VirtualLog log = there_and_back();
  const Projection projection = log.project(115, 6, source);
  EXPECT_EQ(projection.real, 100);
  EXPECT_EQ(projection.epoch, -1);
  EXPECT_FALSE(projection.invertible);
  EXPECT_EQ(log.project(50, 5, target).real, 40);  // before anything of target: its first segment's start
}

TEST(VirtualLog, RealOffsetsBetweenSegmentsBelongToNone) {
  const VirtualLog log = there_and_back();
  for (Offset real = 101; real < 110; ++real) EXPECT_EQ(log.inverse(real, source), 100) << real;
  EXPECT_EQ(log.inverse(110, source), 130);
  EXPECT_EQ(log.inverse(39, target), 0);
}

TEST(VirtualLog, OnlyEpochsThatTheClusterHandedOutAreProjected) {
  const VirtualLog log = there_and_back();
  EXPECT_EQ(log.project(99, 5, source).epoch, 5);
  EXPECT_EQ(log.project(99, 6, source).epoch, -1);
  EXPECT_EQ(log.project(131, 7, source).epoch, 6);
  EXPECT_EQ(log.project(131, 5, source).epoch, -1);
}

}  // namespace
}  // namespace crossover::proxy
