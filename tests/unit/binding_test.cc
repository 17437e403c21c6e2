// Names of transactional ids on their homes, and how bindings stand in the control topic.
#include "proxy/binding.h"

#include <gtest/gtest.h>

#include "proxy/control_state.h"
#include "proxy/producer_id.h"

namespace crossover::proxy {
namespace {

constexpr Cluster source = Cluster::source, target = Cluster::target;

ProducerName from_target(ProducerId id, ProducerEpoch epoch) {
  return {virtual_producer_id(target, id), epoch};
}

// Initialised on the source as 4000, epoch 5; moved to the target, where it became 9, epoch 0.
Bindings moved_once() {
  Bindings bindings;
  bindings.ids["orders"] = {target, 1, {4000, 5}, {9, 0}, LastEnd::committed};
  return bindings;
}

TEST(Bindings, WhatNeverMovedHasItsNamesFromTheFirstHome) {
  const Bindings none;
  EXPECT_EQ(none.home_of("orders"), source);
  EXPECT_EQ(none.to_real("orders", {4000, 5}), (ProducerName{4000, 5}));
  EXPECT_EQ(none.to_virtual("orders", {4000, 5}), (ProducerName{4000, 5}));
  EXPECT_EQ(none.to_real("orders", from_target(4000, 5)), std::nullopt);
  EXPECT_EQ(none.to_real("orders", {-1, -1}), (ProducerName{-1, -1}));
}

TEST(Bindings, AClientGoesOnUnderItsName) {
  const Bindings bindings = moved_once();
  EXPECT_EQ(bindings.to_real("orders", {4000, 5}), (ProducerName{9, 0}));
  EXPECT_EQ(bindings.to_virtual("orders", {9, 0}), (ProducerName{4000, 5}));
}

TEST(Bindings, WhatItsNewHomeGivesItLaterSaysSo) {
  const Bindings bindings = moved_once();
  EXPECT_EQ(bindings.to_virtual("orders", {9, 1}), from_target(9, 1));
  EXPECT_EQ(bindings.to_real("orders", from_target(9, 1)), (ProducerName{9, 1}));
}

TEST(Bindings, AnOlderInstanceIsFenced) {
  const Bindings bindings = moved_once();
  EXPECT_EQ(bindings.to_real("orders", {4000, 4}), std::nullopt);
  EXPECT_EQ(bindings.to_real("orders", {3999, 5}), std::nullopt);
}

// Back on the source its coordinator has raised the epoch of 4000 to 6 by the move, and knows what is older.
TEST(Bindings, TwoMovesLeadBackToTheSameIdUnderALaterEpoch) {
  Bindings bindings;
  bindings.ids["orders"] = {source, 2, {4000, 5}, {4000, 6}, LastEnd::none};
  EXPECT_EQ(bindings.to_real("orders", {4000, 5}), (ProducerName{4000, 6}));
  EXPECT_EQ(bindings.to_virtual("orders", {4000, 6}), (ProducerName{4000, 5}));
  EXPECT_EQ(bindings.to_real("orders", {4000, 4}), (ProducerName{4000, 4})) << "the coordinator fences it";
  EXPECT_EQ(bindings.to_virtual("orders", {4000, 7}), (ProducerName{4000, 7}));
  EXPECT_EQ(bindings.to_real("orders", from_target(9, 0)), std::nullopt);
}

TEST(Bindings, OfTwoTheLaterMoveHolds) {
  Bindings here = moved_once(), there;
  there.ids["orders"] = {source, 2, {4000, 5}, {4000, 6}, LastEnd::none};
  there.groups["billing"] = {target, 1};
  Bindings both = here;
  both.merge(there);
  there.merge(here);
  EXPECT_EQ(both.ids, there.ids);
  EXPECT_EQ(both.home_of("orders"), source);
  EXPECT_EQ(both.home_of_group("billing"), target);
}

TEST(Bindings, StandInTheControlTopicAndInItsSnapshots) {
  Bindings moved = moved_once();
  moved.groups["billing"] = {target, 3};
  moved.ids["orders"].sequences = {{{"a", 0}, 7}, {{"a", 2}, 0}, {{"b", 1}, 0x7fffffff}};
  moved.ids["invoices"] = {target, 4, {4001, 5}, {10, 0}, LastEnd::aborted, {4002, 1}, {}};
  ControlLog log;
  Offset at = 0;
  const auto write = [&log, &at](const Bytes& record) { log.fold(at++, record); };
  for (const Bytes& part : control_record::parts("p", {}, moved)) write(part);
  write(control_record::bind({"bind", log.last_accepted(), "a"}, "p", 1));
  ASSERT_EQ(log.outcome("bind"), true);
  EXPECT_EQ(log.state().bindings.ids, moved.ids);
  EXPECT_EQ(log.state().bindings.groups, moved.groups);

  ControlLog later;
  Offset from = 10;
  for (const Bytes& part : control_record::parts("s", {}, log.state().bindings)) later.fold(from++, part);
  later.fold(from++, control_record::snapshot({"snapshot", -1, "a"}, log.state(), "s", 1));
  ASSERT_EQ(later.outcome("snapshot"), true);
  EXPECT_EQ(later.state().bindings.ids, moved.ids);
  EXPECT_EQ(later.state().bindings.groups, moved.groups);
}

TEST(Bindings, ARecordWithoutAllItsPartsCountsForNothing) {
  ControlLog log;
  log.fold(0, control_record::bind({"bind", -1, "a"}, "p", 1));
  EXPECT_TRUE(log.state().bindings.empty());
  EXPECT_EQ(log.unreadable(), 1u);
}

}  // namespace
}  // namespace crossover::proxy
