// The simulator's checks of transactions complain of what is wrong, and of nothing else.
#include <gtest/gtest.h>

#include "tests/sim/invariants.h"

namespace crossover::sim {
namespace {

using testing::Test;

class SimTransactionChecks : public Test {
 protected:
  SimTransactionChecks() : checks([this](const std::string& what) { complaints.push_back(what); }) {}

  std::uint64_t transaction(std::vector<std::string> values, int instance = 1) {
    const auto number = checks.began("tx", instance);
    for (const std::string& value : values) checks.wrote(number, value);
    return number;
  }

  std::uint64_t ended(std::vector<std::string> values, bool commit) {
    const auto number = transaction(std::move(values));
    checks.ending(number, commit);
    checks.told(number, commit);
    return number;
  }

  void check(std::vector<StoredRecord> records, bool complete = true) {
    checks.check({{out, std::move(records)}, {in, input}}, complete);
  }

  bool complains_of(const std::string& word) const {
    return std::any_of(complaints.begin(), complaints.end(),
                       [&word](const std::string& what) { return what.find(word) != std::string::npos; });
  }

  const Place in{"in", 0}, out{"out", 0};
  std::vector<StoredRecord> input;
  std::vector<std::string> complaints;
  TransactionChecks checks;
};

TEST_F(SimTransactionChecks, WhatIsRightPasses) {
  ended({"a", "b"}, true);
  ended({"c"}, false);
  const auto unknown = transaction({"d"});
  checks.ending(unknown, true);
  checks.gave_up(unknown);
  checks.read_committed("consumer", "a");
  check({{0, "a", "k"}, {1, "b", "k"}, {2, "c", "k", true}, {3, "d", "k"}});
  EXPECT_EQ(complaints, std::vector<std::string>{});
}

TEST_F(SimTransactionChecks, ACommittedRecordThatIsMissing) {
  ended({"a", "b"}, true);
  check({{0, "a", "k"}}, false);
  EXPECT_TRUE(complaints.empty()) << "retention may have removed it";
  check({{0, "a", "k"}});
  EXPECT_TRUE(complains_of("1: transaction 0"));
}

TEST_F(SimTransactionChecks, ACommittedRecordThatIsHidden) {
  ended({"a"}, true);
  check({{0, "a", "k", true}});
  EXPECT_TRUE(complains_of("1: transaction 0"));
}

TEST_F(SimTransactionChecks, ARecordTwice) {
  ended({"a"}, true);
  check({{0, "a", "k"}, {5, "a", "k"}});
  EXPECT_TRUE(complains_of("5: a"));
}

TEST_F(SimTransactionChecks, AnAbortedRecordThatIsShown) {
  ended({"a"}, false);
  checks.read_committed("consumer", "a");
  EXPECT_TRUE(complains_of("consumer was shown a"));
  complaints.clear();
  check({{0, "a", "k"}});
  EXPECT_TRUE(complains_of("committed: a is shown"));
}

TEST_F(SimTransactionChecks, WhoNeverAskedForACommitHasAborted) {
  checks.gave_up(transaction({"a"}));
  check({{0, "a", "k"}});
  EXPECT_TRUE(complains_of("committed: a is shown"));
}

TEST_F(SimTransactionChecks, AnUnknownOutcomeIsAllOrNothing) {
  const auto unknown = transaction({"a", "b"});
  checks.ending(unknown, true);
  checks.gave_up(unknown);
  check({{0, "a", "k"}, {1, "b", "k", true}});
  EXPECT_TRUE(complains_of("carried out in part"));
}

TEST_F(SimTransactionChecks, TransformedNotOnce) {
  input = {{0, "x", "k"}, {1, "y", "k"}, {2, "z", "k"}};
  for (const Offset offset : {0, 1, 2}) checks.transforms("g", in, offset, "of-" + std::to_string(offset));
  checks.transforms("g", in, 0, "again");
  ended({"of-0", "of-1", "of-2", "again"}, true);
  checks.group_is_at("g", {{in, 2}});
  check({{0, "of-0", "k"}, {1, "again", "k"}, {2, "of-2", "k"}}, false);
  EXPECT_TRUE(complains_of("in-0 offset 0 (x) was transformed 2 times"));
  EXPECT_TRUE(complains_of("in-0 offset 2 (z) was transformed 1 times")) << "above the position";
  EXPECT_FALSE(complains_of("offset 1 (y)")) << "retention may have removed it";
  check({{0, "of-0", "k"}});
  EXPECT_TRUE(complains_of("in-0 offset 1 (y) was transformed 0 times"));
}

TEST_F(SimTransactionChecks, AnAbortedInputIsNoInput) {
  input = {{0, "x", "k", true}};
  checks.group_is_at("g", {{in, 1}});
  check({});
  EXPECT_TRUE(complaints.empty());
  checks.transforms("g", in, 0, "of-0");
  ended({"of-0"}, true);
  check({{0, "of-0", "k"}});
  EXPECT_TRUE(complains_of("exactly once"));
}

TEST_F(SimTransactionChecks, ProducerIdsOfTwoOwners) {
  checks.initialised("tx", 1, 7, 0);
  checks.shown_id("tx", 8);
  EXPECT_TRUE(complaints.empty());
  checks.shown_id("other", 7);
  EXPECT_TRUE(complains_of("producer id: 7"));
}

TEST_F(SimTransactionChecks, AnEpochThatDoesNotRise) {
  checks.initialised("tx", 1, 7, 3);
  checks.initialised("tx", 2, 7, 4);
  EXPECT_TRUE(complaints.empty());
  EXPECT_TRUE(checks.is_zombie("tx", 1));
  EXPECT_FALSE(checks.is_zombie("tx", 2));
  checks.initialised("tx", 3, 7, 4);
  EXPECT_TRUE(complains_of("zombie"));
}

}  // namespace
}  // namespace crossover::sim
