#include <gtest/gtest.h>

#include "protocol/walk.h"
#include "tests/unit/random_message.h"

namespace crossover::protocol {
namespace {

using test::MadeBody;
using test::MadeValue;
using test::random_message;

class Recorder : public Visitor {
 public:
  explicit Recorder(BytesView body) : body_(body) {}
  void enter(const Field& field) override {
    structures.push_back(&field);
    ++depth;
  }
  void leave(const Field&) override { --depth; }
  void value(const Visit& visit) override {
    values.push_back({&visit.field, Bytes(body_.substr(visit.at, visit.size)), visit.null});
  }
  std::vector<MadeValue> values;
  std::vector<const Field*> structures;
  int depth = 0;

 private:
  BytesView body_;
};

class Ignore : public Visitor {
 public:
  void value(const Visit&) override {}
};

bool parses(const Message& message, Version version, BytesView body) {
  Ignore ignore;
  return walk(message, version, body, ignore);
}

template <class Check>
void for_each_body(std::uint32_t seeds, Check check) {
  for (const Message& message : messages())
    for (Version version = message.versions.first; version <= message.versions.last; ++version)
      for (std::uint32_t seed = 0; seed < seeds; ++seed) {
        SCOPED_TRACE(std::string(message.name) + " v" + std::to_string(version) + " seed " + std::to_string(seed));
        check(message, version, random_message(message, version, seed));
        if (testing::Test::HasFailure()) return;
      }
}

TEST(Walk, ReportsEveryValueOfEveryMessageInWireOrder) {
  for_each_body(20, [](const Message& message, Version version, const MadeBody& made) {
    Recorder recorder(made.bytes);
    ASSERT_TRUE(walk(message, version, made.bytes, recorder));
    EXPECT_EQ(recorder.values, made.values);
    EXPECT_EQ(recorder.structures, made.structures);
    EXPECT_EQ(recorder.depth, 0);
  });
}

TEST(Walk, RefusesEveryPrefixAndLeftOverBytesOfAnswers) {
  for_each_body(3, [](const Message& message, Version version, const MadeBody& made) {
    for (std::size_t size = 0; size < made.bytes.size(); ++size)
      ASSERT_FALSE(parses(message, version, BytesView(made.bytes).substr(0, size))) << size << " bytes";
    EXPECT_EQ(parses(message, version, made.bytes + '\0'), message.direction == Direction::request);
  });
}

TEST(Walk, SurvivesChangedBytesAndStaysInsideTheBody) {
  for_each_body(2, [](const Message& message, Version version, const MadeBody& made) {
    for (std::size_t at = 0; at < made.bytes.size(); ++at)
      for (const int change : {0x01, 0x80, 0xff}) {
        Bytes changed = made.bytes;
        changed[at] = static_cast<char>(changed[at] ^ change);
        Recorder recorder(changed);  // reads every place that it is told of
        walk(message, version, changed, recorder);
        ASSERT_LE(recorder.values.size(), changed.size());
      }
  });
}

TEST(Walk, RefusesVersionsOutsideTheTable) {
  const Message& message = *find_message(ApiKey::Heartbeat, Direction::request);
  EXPECT_FALSE(parses(message, 5, random_message(message, 4, 1).bytes));
  EXPECT_FALSE(parses(message, -1, random_message(message, 0, 1).bytes));
}

TEST(Walk, RefusesHugeCountsWithoutLoopingOverThem) {
  const Message& message = *find_message(ApiKey::Metadata, Direction::request);
  EXPECT_FALSE(parses(message, 0, Bytes("\x7f\xff\xff\xff", 4)));
  EXPECT_FALSE(parses(message, 9, Bytes("\xff\xff\xff\xff\x0f", 5)));
}

TEST(Walk, RefusesNullWhereTheVersionHasNone) {
  const Message& message = *find_message(ApiKey::Metadata, Direction::request);
  const Bytes null_array("\xff\xff\xff\xff", 4);
  EXPECT_FALSE(parses(message, 0, null_array));
  EXPECT_TRUE(parses(message, 1, null_array));
}

TEST(Walk, RefusesTagsOutOfOrderAndOfAWrongSize) {
  const Message& message = *find_message(ApiKey::ListGroups, Direction::request);
  const auto body = [](BytesView tags) { return Bytes(tags); };
  using namespace std::string_literals;
  EXPECT_TRUE(parses(message, 3, body("\x02\x05\x00\x06\x01x"s)));
  EXPECT_FALSE(parses(message, 3, body("\x02\x06\x00\x05\x01x"s)));
  EXPECT_FALSE(parses(message, 3, body("\x02\x05\x00\x05\x01x"s)));
  // The fetch request's cluster id (tag 0) says 3 bytes, its string takes 2.
  const Message& fetch = *find_message(ApiKey::Fetch, Direction::request);
  Bytes made;
  Writer writer(made);
  for (int i = 0; i < 4; ++i) writer.int32(1);  // replica, wait, min, max
  writer.int8(0);
  writer.int32(0);
  writer.int32(-1);
  made += "\x01\x01\x01"s;  // no topics, none forgotten, no rack
  EXPECT_TRUE(parses(fetch, 12, made + "\x01\x00\x02\x02x"s));
  EXPECT_FALSE(parses(fetch, 12, made + "\x01\x00\x03\x02x"s));
  EXPECT_FALSE(parses(fetch, 12, made + "\x01\x00\x03\x02xy"s));
}

}  // namespace
}  // namespace crossover::protocol
