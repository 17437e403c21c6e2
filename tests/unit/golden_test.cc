// The wire protocol as two foreign implementations write it.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include "protocol/codec.h"
#include "protocol/record_batch.h"
#include "protocol/typed_messages.h"
#include "protocol/walk.h"
#include "tests/unit/golden_rows.h"

namespace crossover::protocol {
namespace {

using tests::Columns;
using tests::GoldenMessage;

const std::vector<std::string> makers = {"kafka-clients", "franz-go"};

const std::vector<GoldenMessage>& golden(const std::string& maker) {
  static std::map<std::string, std::vector<GoldenMessage>> read;
  const auto [entry, added] = read.try_emplace(maker);
  if (added) entry->second = tests::read_golden_messages(maker);
  return entry->second;
}

struct IgnoreValues : Visitor {
  void value(const Visit&) override {}
};

// As Kafka's schemas spell them in snake case and the table in camel case.
std::string normalised(std::string_view name) {
  std::string result;
  for (const char c : name) {
    if (c != '_') result.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
  }
  return result;
}

struct CollectLeaves : Visitor {
  explicit CollectLeaves(BytesView encoded) : body(encoded) {}
  void value(const Visit& visit) override {
    names.push_back(normalised(visit.field.name));
    values.push_back(visit.null ? "~" : tests::to_hex(body.substr(visit.at, visit.size)));
  }
  BytesView body;
  Columns names;
  Columns values;
};

TEST(Golden, EveryRowIsWalkedWhole) {
  for (const std::string& maker : makers) {
    for (const GoldenMessage& row : golden(maker)) {
      ASSERT_NE(row.message, nullptr) << row.label;
      ASSERT_TRUE(row.message->versions.contains(row.version)) << row.label;
      IgnoreValues ignore;
      EXPECT_TRUE(walk(*row.message, row.version, row.body, ignore)) << row.label << " " << tests::to_hex(row.body);
    }
  }
}

TEST(Golden, NothingShorterNorLongerAnswersAreAccepted) {
  for (const std::string& maker : makers) {
    const auto& rows = golden(maker);
    // Every seventh: the walk is quadratic in the body's size here.
    for (std::size_t i = 0; i < rows.size(); i += 7) {
      const GoldenMessage& row = rows[i];
      IgnoreValues ignore;
      for (std::size_t size = 0; size < row.body.size(); ++size) {
        ASSERT_FALSE(walk(*row.message, row.version, BytesView(row.body).substr(0, size), ignore))
            << row.label << " " << size;
      }
      EXPECT_EQ(walk(*row.message, row.version, row.body + '\0', ignore), row.message->direction == Direction::request)
          << row.label;
    }
  }
}

// Fields are compared by value and by name, so that a field of the same type in another's place is noticed. Releases
// renamed fields: tests/golden/renamed.txt lists "old new", and a line that is not needed fails.
TEST(Golden, WalkedValuesAreThoseThatKafkasOwnReaderFinds) {
  std::map<std::string, std::string> renamed;
  std::set<std::string> used;
  std::ifstream list(std::string(CROSSOVER_TESTS_DIR) + "/golden/renamed.txt");
  for (std::string before, after; list >> before >> after;) renamed[before] = after;
  ASSERT_FALSE(renamed.empty());

  for (const GoldenMessage& row : golden("kafka-clients")) {
    CollectLeaves walked(row.body);
    ASSERT_TRUE(walk(*row.message, row.version, row.body, walked)) << row.label;
    ASSERT_EQ(walked.values.size(), row.leaves.size()) << row.label;
    for (std::size_t i = 0; i < row.leaves.size(); ++i) {
      const std::size_t equals = row.leaves[i].find('=');
      std::string name = normalised(row.leaves[i].substr(0, equals));
      const std::string key = std::string(row.message->name) + "." + name;
      if (name != walked.names[i] && renamed.contains(key)) {
        used.insert(key);
        name = renamed.at(key);
      }
      EXPECT_EQ(walked.names[i], name) << row.label << " " << key;
      EXPECT_EQ(walked.values[i], row.leaves[i].substr(equals + 1)) << row.label << " " << key;
    }
  }
  for (const auto& [key, name] : renamed) EXPECT_TRUE(used.contains(key)) << key << " is not needed";
}

TEST(Golden, TypedMessagesComeBackByteForByte) {
  std::set<std::string_view> typed;
  for (const std::string& maker : makers) {
    for (const GoldenMessage& row : golden(maker)) {
      const bool has_struct = with_typed_message(row.message->api, row.message->direction, [&](auto identity) {
        using T = typename decltype(identity)::type;
        const std::optional<T> message = decode<T>(row.body, row.version);
        ASSERT_TRUE(message) << row.label;
        EXPECT_EQ(tests::to_hex(encode(*message, row.version)), tests::to_hex(row.body)) << row.label;
      });
      if (has_struct) typed.insert(row.message->name);
    }
  }
  EXPECT_EQ(typed.size(), boost::mp11::mp_size<TypedMessages>::value);
}

TEST(Golden, ListOfTypedMessagesIsComplete) {
  std::size_t codecs = 0;
  for (const char* part : {"admin", "cluster", "data", "group", "transaction"}) {
    std::ifstream source(std::string(CROSSOVER_TESTS_DIR) + "/../protocol/codec_" + part + ".cc");
    ASSERT_TRUE(source) << part;
    for (std::string line; std::getline(source, line);) codecs += line.starts_with("CROSSOVER_CODEC(");
  }
  EXPECT_EQ(codecs, boost::mp11::mp_size<TypedMessages>::value) << "protocol/typed_messages.h";
}

// single_source.txt names what only one implementation writes: "maker api direction version", sorted.
TEST(Golden, EveryMessageAtEveryVersionHasTwoMakersOrIsListed) {
  std::map<std::string, std::set<std::string>> makers_of;
  for (const std::string& maker : makers) {
    for (const GoldenMessage& row : golden(maker)) {
      const Columns words = tests::split(row.label, ' ');
      makers_of[words[1] + " " + words[2] + " " + words[3]].insert(maker);
    }
  }
  std::set<std::string> single;
  for (const Message& message : messages()) {
    const char* direction = message.direction == Direction::request ? " request " : " response ";
    for (Version version = message.versions.first; version <= message.versions.last; ++version) {
      const std::string key = std::to_string(static_cast<int>(message.api)) + direction + std::to_string(version);
      const std::set<std::string>& found = makers_of[key];
      ASSERT_FALSE(found.empty()) << "nobody writes " << key;
      if (found.size() == 1) single.insert(*found.begin() + " " + key);
    }
  }
  std::set<std::string> listed;
  std::ifstream list(std::string(CROSSOVER_TESTS_DIR) + "/golden/single_source.txt");
  ASSERT_TRUE(list);
  for (std::string line; std::getline(list, line);) {
    if (!line.starts_with('#')) listed.insert(line);
  }
  EXPECT_EQ(listed, single);
}

std::string printed(const BatchHeader& header, const std::vector<PlainRecord>& records) {
  const auto field = [](const std::optional<Bytes>& value) { return value ? tests::to_hex(*value) : "~"; };
  std::string text;
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (i > 0) text += " ";
    text += std::to_string(header.base_offset + static_cast<Offset>(i)) + ":" + std::to_string(records[i].timestamp) +
            ":" + field(records[i].key) + ":" + field(records[i].value);
  }
  return text;
}

TEST(Golden, BatchesOfKafkasBuilder) {
  const auto rows = tests::read_golden("batches.tsv.gz");
  ASSERT_FALSE(rows.empty());
  for (const Columns& row : rows) {
    Bytes batch = tests::from_hex(row.at(11));
    BatchHeader header;
    const BatchState state = read_batch_header(batch, header);
    if (row[0] != "2") {
      EXPECT_EQ(state, BatchState::old_format) << row[11];
      continue;
    }
    ASSERT_EQ(state, BatchState::complete) << row[11];
    const Columns read = {std::to_string(header.base_offset),     std::to_string(header.last_offset()),
                          std::to_string(header.producer_id),     std::to_string(header.producer_epoch),
                          std::to_string(header.base_sequence),   std::to_string(header.last_sequence()),
                          header.is_control() ? "true" : "false", header.is_transactional() ? "true" : "false",
                          std::to_string(header.max_timestamp)};
    EXPECT_EQ(read, Columns(row.begin() + 2, row.begin() + 11));
    EXPECT_TRUE(has_valid_crc(batch));
    const auto records = read_plain_records(batch);
    EXPECT_EQ(records.has_value(), row[1] == "none");
    if (records) {
      EXPECT_EQ(printed(header, *records), row.at(12));
    }

    patch_producer_id(batch.data(), batch.size(), (1LL << 62) + 12345);
    patch_base_sequence(batch.data(), batch.size(), 77);
    EXPECT_TRUE(has_valid_crc(batch));
  }
}

}  // namespace
}  // namespace crossover::protocol
