#include <gtest/gtest.h>

#include "protocol/codec.h"
#include "protocol/typed_messages.h"
#include "protocol/walk.h"
#include "tests/unit/random_message.h"

namespace crossover::protocol {
namespace {

using namespace std::string_literals;

class Ignore : public Visitor {
 public:
  void value(const Visit&) override {}
};

// One typed message with its type forgotten, so that the tests below are compiled once and not per struct.
struct TypedMessage {
  const Message& rows;
  std::optional<Bytes> (*reencode)(BytesView body, Version version);  // nullopt when it does not decode
  Bytes (*encode_default)(Version version);
};

std::vector<TypedMessage> typed_messages() {
  std::vector<TypedMessage> result;
  boost::mp11::mp_for_each<boost::mp11::mp_transform<boost::mp11::mp_identity, TypedMessages>>([&](auto identity) {
    using T = typename decltype(identity)::type;
    result.push_back({*find_message(T::api, T::direction),
                      [](BytesView body, Version version) -> std::optional<Bytes> {
                        const auto message = decode<T>(body, version);
                        return message ? std::optional(encode(*message, version)) : std::nullopt;
                      },
                      [](Version version) { return encode(T{}, version); }});
  });
  return result;
}

template <class Check>
void for_each_body(std::uint32_t seeds, Check check) {
  for (const TypedMessage& typed : typed_messages())
    for (Version version = typed.rows.versions.first; version <= typed.rows.versions.last; ++version)
      for (std::uint32_t seed = 0; seed < seeds; ++seed) {
        SCOPED_TRACE(std::string(typed.rows.name) + " v" + std::to_string(version) + " seed " + std::to_string(seed));
        check(typed, version, test::random_message(typed.rows, version, seed).bytes);
        if (testing::Test::HasFailure()) return;
      }
}

TEST(Codec, GivesBackEveryByte) {
  for_each_body(20, [](const TypedMessage& typed, Version version, const Bytes& body) {
    EXPECT_EQ(typed.reencode(body, version), body);
  });
}

// Behind a request brokers do not look, and some clients send bytes there; behind an answer nothing may stand.
TEST(Codec, RefusesEveryPrefixAndLeftOverBytesOfAnswers) {
  for_each_body(2, [](const TypedMessage& typed, Version version, const Bytes& body) {
    for (std::size_t size = 0; size < body.size(); ++size)
      ASSERT_FALSE(typed.reencode(BytesView(body).substr(0, size), version)) << size << " bytes";
    EXPECT_EQ(typed.reencode(body + '\0', version).has_value(), typed.rows.direction == Direction::request);
  });
}

TEST(Codec, AcceptsWhatWalkAccepts) {
  for_each_body(1, [](const TypedMessage& typed, Version version, const Bytes& body) {
    for (std::size_t at = 0; at < body.size(); ++at)
      for (const int change : {0x01, 0x80, 0xff}) {
        Bytes changed = body;
        changed[at] = static_cast<char>(changed[at] ^ change);
        Ignore ignore;
        const bool walks = walk(typed.rows, version, changed, ignore);
        ASSERT_EQ(typed.reencode(changed, version).has_value(), walks) << "at " << at;
      }
  });
}

TEST(Codec, WritesDefaultsThatParseInEveryVersion) {
  for (const TypedMessage& typed : typed_messages()) {
    const VersionRange versions = typed.rows.versions;
    for (Version version = versions.first; version <= versions.last; ++version) {
      const Bytes body = typed.encode_default(version);
      EXPECT_EQ(typed.reencode(body, version), body) << typed.rows.name << " v" << version;
    }
    const auto beyond = static_cast<Version>(versions.last + 1);
    EXPECT_FALSE(typed.reencode(typed.encode_default(versions.last), beyond)) << typed.rows.name;
  }
}

// Bytes written out by hand from the protocol's description.

TEST(CodecBytes, ApiVersionsRequestBeforeAndAfterFlexible) {
  EXPECT_EQ(encode(ApiVersionsRequest{.client_software_name = "a"}, 2), "");
  const ApiVersionsRequest request{.client_software_name = "kafka", .client_software_version = "4.4"};
  EXPECT_EQ(encode(request, 3),
            "\x06kafka\x04"
            "4.4\x00"s);
}

TEST(CodecBytes, MetadataRequestOfAllTopics) {
  const MetadataRequest all{.topics = std::nullopt};
  EXPECT_EQ(encode(all, 0), "\0\0\0\0"s);  // version 0 says "all" by an empty list
  EXPECT_EQ(encode(all, 1), "\xff\xff\xff\xff"s);
  EXPECT_EQ(encode(all, 12), "\x00\x01\x00\x00"s);
  EXPECT_EQ(decode<MetadataRequest>("\0\0\0\0"s, 0)->topics, std::vector<MetadataRequest::MetadataRequestTopic>{});
}

TEST(CodecBytes, ListOffsetsRequest) {
  const ListOffsetsRequest request{
      .replica_id = -1,
      .isolation_level = 1,
      .topics = {{.name = "t", .partitions = {{.partition_index = 3, .current_leader_epoch = 7, .timestamp = -2}}}}};
  EXPECT_EQ(encode(request, 4),
            "\xff\xff\xff\xff"
            "\x01"
            "\0\0\0\x01"
            "\0\x01t"
            "\0\0\0\x01"
            "\0\0\0\x03"
            "\0\0\0\x07"
            "\xff\xff\xff\xff\xff\xff\xff\xfe"s);
  EXPECT_EQ(decode<ListOffsetsRequest>(encode(request, 4), 4), request);
}

TEST(CodecBytes, FetchResponseTagsOnlyWhatIsKnown) {
  FetchResponse response{.session_id = 5, .responses = {{.topic = "t", .partitions = {{.partition_index = 1}}}}};
  FetchResponse::PartitionData& partition = response.responses[0].partitions[0];
  partition.high_watermark = 2;
  partition.records = BytesView("rr");
  const Bytes head =
      "\0\0\0\0"
      "\0\0"
      "\0\0\0\x05"
      "\x02"
      "\x02t"
      "\x02"
      "\0\0\0\x01"
      "\0\0"
      "\0\0\0\0\0\0\0\x02"
      "\xff\xff\xff\xff\xff\xff\xff\xff"
      "\xff\xff\xff\xff\xff\xff\xff\xff"
      "\x01"
      "\xff\xff\xff\xff"
      "\x03rr"s;
  EXPECT_EQ(encode(response, 12), head +
                                      "\0"
                                      "\0"
                                      "\0"s);
  partition.current_leader = {.leader_id = 9, .leader_epoch = 4};
  EXPECT_EQ(encode(response, 12), head +
                                      "\x01\x01\x09"
                                      "\0\0\0\x09"
                                      "\0\0\0\x04"
                                      "\0"
                                      "\0"
                                      "\0"s);
}

TEST(CodecBytes, RecordsPointIntoTheDecodedBuffer) {
  const ProduceRequest request{
      .acks = -1, .topic_data = {{.name = "t", .partition_data = {{.index = 0, .records = BytesView("batch")}}}}};
  const Bytes body = encode(request, 9);
  const auto decoded = decode<ProduceRequest>(body, 9);
  ASSERT_TRUE(decoded);
  const Records& records = decoded->topic_data[0].partition_data[0].records;
  ASSERT_EQ(records, "batch");
  EXPECT_GE(records->data(), body.data());
  EXPECT_LE(records->data() + records->size(), body.data() + body.size());
}

TEST(CodecBytes, NullRecordsStayNull) {
  const ProduceRequest request{.topic_data = {{.name = "t", .partition_data = {{.index = 0}}}}};
  for (const Version version : {Version{3}, Version{9}}) {
    const Bytes body = encode(request, version);
    EXPECT_EQ(decode<ProduceRequest>(body, version)->topic_data[0].partition_data[0].records, std::nullopt);
  }
}

TEST(CodecBytes, FieldsOfOtherVersionsAreLeftOut) {
  const FindCoordinatorRequest request{.key = "old", .coordinator_keys = {"new"}};
  EXPECT_EQ(encode(request, 0), "\0\x03old"s);
  EXPECT_EQ(encode(request, 4), "\0\x02\x04new\0"s);
}

TEST(CodecBytes, UnknownTagsSurviveInTagOrder) {
  const Bytes body = "\x02\x07\x01x\x09\x02yz"s;
  const auto request = decode<DescribeClusterRequest>("\x01\x01"s + body, 2);
  ASSERT_FALSE(request);  // the fencing flag of version 2 is missing
  const auto whole = decode<DescribeClusterRequest>("\x01\x01\x00"s + body, 2);
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->unknown_tags, (std::vector<UnknownTag>{{7, "x"}, {9, "yz"}}));
  EXPECT_EQ(encode(*whole, 2), "\x01\x01\x00"s + body);
}

TEST(CodecBytes, NullableStructure) {
  DescribeTopicPartitionsRequest request;
  EXPECT_EQ(encode(request, 0),
            "\x01"
            "\0\0\x07\xd0"
            "\xff"
            "\0"s);
  request.cursor = {.topic_name = "t"};
  EXPECT_EQ(encode(request, 0),
            "\x01"
            "\0\0\x07\xd0"
            "\x01"
            "\x02t"
            "\0\0\0\0"
            "\0"
            "\0"s);
  EXPECT_EQ(decode<DescribeTopicPartitionsRequest>(encode(request, 0), 0), request);
  EXPECT_FALSE(
      decode<DescribeTopicPartitionsRequest>("\x01"
                                             "\0\0\x07\xd0"
                                             "\x02"
                                             "\x02t"
                                             "\0\0\0\0"
                                             "\0"
                                             "\0"s,
                                             0));
}

TEST(CodecBytes, NoNullInsideAnArrayThatMayBeNull) {
  // States filter of DescribeConfigs: keys may be null as a whole (-1), never one by one.
  const Bytes resource =
      "\0\0\0\x01"
      "\x02"
      "\0\x01t"s;
  EXPECT_TRUE(decode<DescribeConfigsRequest>(resource + "\xff\xff\xff\xff"
                                                        "\0"s,
                                             1));
  EXPECT_FALSE(decode<DescribeConfigsRequest>(resource + "\0\0\0\x01"
                                                         "\xff\xff"
                                                         "\0"s,
                                              1));
}

TEST(CodecBytes, StringsTooLongForReadersAreCut) {
  const CreateTopicsResponse response{.topics = {{.name = "t", .error_message = Bytes(40000, 'x')}}};
  for (const Version version : {4, 7}) {
    const auto read = decode<CreateTopicsResponse>(encode(response, version), version);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->topics[0].error_message->size(), 32767u);
  }
}

// Else what a client calls its id, and what a coordinator does, would be two things.
TEST(CodecBytes, StringsAreReadAsBrokersReadThem) {
  const EndTxnRequest request{"sh\xf6p", 7, 0, true};
  for (const Version version : {1, 3}) {
    const auto read = decode<EndTxnRequest>(encode(request, version), version);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->transactional_id, "sh\xef\xbf\xbdp");
  }
  EXPECT_EQ(decode<FindCoordinatorRequest>("\x01\x02\x05sh\xf6p\0"s, 4)->coordinator_keys.at(0), "sh\xef\xbf\xbdp");
  const auto metadata = decode<OffsetFetchResponse>(
      encode(OffsetFetchResponse{.topics = {{.name = "t", .partitions = {{.metadata = "\xff"}}}}}, 3), 3);
  EXPECT_EQ(metadata->topics.at(0).partitions.at(0).metadata, "\xef\xbf\xbd");
}

TEST(CodecBytes, StringsThatNobodyCouldBeToldAreRefused) {
  const auto read = [](std::size_t size, char c) {
    return decode<EndTxnRequest>(encode(EndTxnRequest{Bytes(size, c), 7, 0, true}, 1), 1);
  };
  EXPECT_TRUE(read(32767, 'x'));
  EXPECT_TRUE(read(32767 / 3, '\xff'));
  EXPECT_FALSE(read(32767 / 3 + 1, '\xff'));
  const Bytes ends = "\0\0\0\0\0\0\0\x07\0\0\x01\0"s;
  EXPECT_TRUE(decode<EndTxnRequest>("\x80\x80\x02" + Bytes(32767, 'x') + ends, 3));
  EXPECT_FALSE(decode<EndTxnRequest>("\x81\x80\x02" + Bytes(32768, 'x') + ends, 3));
}

TEST(CodecBytes, HugeCountsAreRefusedBeforeMemoryIsTaken) {
  EXPECT_FALSE(
      decode<MetadataResponse>("\0\0\0\0"
                               "\xff\xff\xff\xff\x0f"s,
                               9));
  EXPECT_FALSE(decode<FetchRequest>(Bytes(13, '\0') + "\x7f\xff\xff\xff"s, 4));
}

}  // namespace
}  // namespace crossover::protocol
