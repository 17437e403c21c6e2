#include "proxy/producer_id.h"

#include <gtest/gtest.h>

#include <set>

namespace crossover::proxy {
namespace {

constexpr Cluster source = Cluster::source, target = Cluster::target;

TEST(ProducerId, SourcesIdsGoAsAllocatedTargetsAreTagged) {
  EXPECT_EQ(virtual_producer_id(source, 4711), 4711);
  const ProducerId tagged = virtual_producer_id(target, 4711);
  EXPECT_NE(tagged, 4711);
  EXPECT_GT(tagged, 0);
  EXPECT_EQ(split_virtual(tagged).allocator, target);
  EXPECT_EQ(split_virtual(tagged).id, 4711);
  EXPECT_EQ(split_virtual(4711).allocator, source);
}

TEST(ProducerId, OnItsOwnClusterInTheFirstSegmentAsAllocated) {
  EXPECT_EQ(wire_producer_id(17, source, 0), 17);
  EXPECT_EQ(wire_producer_id(virtual_producer_id(target, 17), target, 0), 17);
}

TEST(ProducerId, NeverMeetsAnotherAllocatorsOrAnotherSegments) {
  std::set<ProducerId> seen;
  for (const Cluster allocator : both_clusters) {
    for (const Cluster cluster : both_clusters) {
      for (const std::int32_t generation : {0, 1, 2, 3, 1000, max_generation}) {
        // On one cluster generations are even or odd; only those that can meet are compared.
        if (cluster == target &&
            !seen.insert(wire_producer_id(virtual_producer_id(allocator, 17), cluster, generation)).second) {
          ADD_FAILURE() << "allocator " << to_string(allocator) << " generation " << generation;
        }
      }
    }
  }
}

TEST(ProducerId, ComesBackFromTheWire) {
  for (const Cluster allocator : both_clusters) {
    for (const Cluster cluster : both_clusters) {
      for (const std::int32_t generation : {0, 1, 2, 77, max_generation}) {
        for (const ProducerId allocated : {ProducerId{0}, ProducerId{1}, (ProducerId{1} << 44) - 1}) {
          const ProducerId id = virtual_producer_id(allocator, allocated);
          const ProducerId wire = wire_producer_id(id, cluster, generation);
          EXPECT_GE(wire, 0);
          EXPECT_EQ(virtual_from_wire(wire, cluster, generation), id);
          EXPECT_EQ(virtual_from_any_wire(wire, cluster), id);
        }
      }
    }
  }
}

TEST(ProducerId, AnotherGenerationsIdDoesNotBelongHere) {
  const ProducerId wire = wire_producer_id(17, target, 3);
  EXPECT_EQ(virtual_from_wire(wire, target, 1), std::nullopt);
  EXPECT_EQ(virtual_from_wire(17, target, 3), std::nullopt);  // target's own, by a client that went past the proxy
}

}  // namespace
}  // namespace crossover::proxy
