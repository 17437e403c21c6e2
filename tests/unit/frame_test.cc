#include "protocol/frame.h"

#include <gtest/gtest.h>

#include "protocol/wire.h"

namespace crossover::protocol {
namespace {

using namespace std::string_literals;

constexpr std::size_t limit = 100 * 1024 * 1024;

Bytes with_size(const Bytes& body) {
  Bytes out;
  Writer(out).int32(static_cast<std::int32_t>(body.size()));
  return out + body;
}

Bytes without_size(const Bytes& frame) {
  return frame.substr(4);
}

TEST(FrameBuffer, GivesFramesInOrder) {
  FrameBuffer buffer(limit);
  buffer.append(with_size("one") + with_size("") + with_size("three") + "\0\0"s);
  EXPECT_EQ(buffer.next(), "one");
  EXPECT_EQ(buffer.next(), "");
  EXPECT_EQ(buffer.next(), "three");
  EXPECT_EQ(buffer.next(), std::nullopt);
  EXPECT_FALSE(buffer.broken());
  EXPECT_EQ(buffer.buffered(), 2u);
}

TEST(FrameBuffer, ByteByByte) {
  Bytes stream;
  std::vector<Bytes> sent;
  for (std::size_t size : {0, 1, 3, 4, 5, 300, 70'000}) {
    sent.push_back(Bytes(size, static_cast<char>('a' + size % 26)));
    stream += with_size(sent.back());
  }
  FrameBuffer buffer(limit);
  std::vector<Bytes> received;
  for (const char byte : stream) {
    buffer.append(BytesView(&byte, 1));
    while (auto frame = buffer.next()) received.push_back(*frame);
  }
  EXPECT_EQ(received, sent);
  EXPECT_EQ(buffer.buffered(), 0u);
}

TEST(FrameBuffer, EverySplitOfTwoFrames) {
  const Bytes stream = with_size("hello") + with_size("world!");
  for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
    FrameBuffer buffer(limit);
    std::vector<Bytes> received;
    for (const Bytes& part : {stream.substr(0, cut), stream.substr(cut)}) {
      buffer.append(part);
      while (auto frame = buffer.next()) received.push_back(*frame);
    }
    EXPECT_EQ(received, (std::vector<Bytes>{"hello", "world!"})) << cut;
  }
}

TEST(FrameBuffer, ClaimedLengthAllocatesNothing) {
  FrameBuffer buffer(limit);
  Bytes stream;
  Writer(stream).int32(static_cast<std::int32_t>(limit));
  buffer.append(stream + "0123456789");
  EXPECT_EQ(buffer.next(), std::nullopt);
  EXPECT_FALSE(buffer.broken());
  EXPECT_EQ(buffer.buffered(), 14u);
  EXPECT_LT(buffer.memory_bytes(), 1024u);
}

TEST(FrameBuffer, GivesMemoryBackOnceALargeFrameIsTaken) {
  FrameBuffer buffer(limit);
  const Bytes large(1'000'000, 'x');
  buffer.append(with_size(large));
  EXPECT_EQ(buffer.next(), large);
  EXPECT_EQ(buffer.next(), std::nullopt);
  EXPECT_LT(buffer.memory_bytes(), 1024u);
  buffer.append(with_size("next"));
  EXPECT_EQ(buffer.next(), "next");
}

TEST(FrameBuffer, MemoryStaysBoundedOverManyFrames) {
  FrameBuffer buffer(limit);
  const Bytes frame = with_size(Bytes(1000, 'x'));
  Bytes stream;
  for (int i = 0; i < 10'000; ++i) {
    // Cuts never coincide with frames, so something is always left over.
    stream += frame;
    buffer.append(BytesView(stream).substr(0, stream.size() - 7));
    stream.erase(0, stream.size() - 7);
    while (buffer.next()) {
    }
    ASSERT_LT(buffer.memory_bytes(), 8192u);
  }
}

TEST(FrameBuffer, OversizedLengthBreaksTheStreamBehindTheGoodFrames) {
  FrameBuffer buffer(10);
  buffer.append(with_size("0123456789") + with_size("0123456789a") + with_size("ok"));
  EXPECT_EQ(buffer.next(), "0123456789");
  EXPECT_FALSE(buffer.broken());
  EXPECT_EQ(buffer.next(), std::nullopt);
  EXPECT_TRUE(buffer.broken());
  buffer.append(with_size("ok"));
  EXPECT_EQ(buffer.next(), std::nullopt);
  EXPECT_EQ(buffer.buffered(), 0u);
}

TEST(FrameBuffer, NegativeLengthBreaksTheStream) {
  FrameBuffer buffer(limit);
  buffer.append("\xff\xff\xff\xff");
  EXPECT_EQ(buffer.next(), std::nullopt);
  EXPECT_TRUE(buffer.broken());
}

TEST(RequestHeader, Version1) {
  const Bytes frame = without_size(request_frame(ApiKey::Metadata, 8, 77, "me", "body"));
  EXPECT_EQ(frame, "\x00\x03\x00\x08\x00\x00\x00\x4d\x00\x02"s + "mebody");
  const auto header = parse_request_header(frame);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->api, ApiKey::Metadata);
  EXPECT_EQ(header->version, 8);
  EXPECT_EQ(header->correlation_id, 77);
  EXPECT_EQ(header->client_id, "me");
  EXPECT_EQ(frame.substr(header->body_at), "body");
}

TEST(RequestHeader, Version2HasTags) {
  const Bytes frame = without_size(request_frame(ApiKey::Metadata, 9, -5, std::nullopt, "body"));
  EXPECT_EQ(frame, "\x00\x03\x00\x09\xff\xff\xff\xfb\xff\xff\x00"s + "body");
  const auto header = parse_request_header(frame);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->correlation_id, -5);
  EXPECT_EQ(header->client_id, std::nullopt);
  EXPECT_EQ(frame.substr(header->body_at), "body");
}

TEST(RequestHeader, UnknownTagsAreSkipped) {
  const Bytes frame = "\x00\x03\x00\x09\x00\x00\x00\x01\x00\x01"s + "c" + "\x02\x00\x03xyz\x8a\x01\x00"s + "body";
  const auto header = parse_request_header(frame);
  ASSERT_TRUE(header);
  EXPECT_EQ(frame.substr(header->body_at), "body");
}

TEST(RequestHeader, Version0HasNoClientId) {
  const Bytes frame = without_size(request_frame(ApiKey::ControlledShutdown, 0, 9, "ignored", "body"));
  EXPECT_EQ(frame, "\x00\x07\x00\x00\x00\x00\x00\x09"s + "body");
  const auto header = parse_request_header(frame);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->client_id, std::nullopt);
  EXPECT_EQ(header->body_at, 8u);
}

TEST(RequestHeader, UnknownApiAndVersionAreReadAsVersion1) {
  for (const Bytes& start : {"\x7f\x00\x00\x00"s, "\xff\xff\x00\x00"s, "\x00\x12\x7f\xff"s, "\x00\x12\xff\xff"s}) {
    const Bytes frame = start + "\x00\x00\x00\x2a\x00\x03"s + "abcrest";
    const auto header = parse_request_header(frame);
    ASSERT_TRUE(header);
    EXPECT_EQ(header->correlation_id, 42);
    EXPECT_EQ(header->client_id, "abc");
    EXPECT_EQ(frame.substr(header->body_at), "rest");
  }
}

TEST(RequestHeader, EveryTruncationIsRefused) {
  const Bytes frame = without_size(request_frame(ApiKey::Metadata, 9, 1, "client", ""));
  for (std::size_t size = 0; size < frame.size(); ++size) {
    EXPECT_FALSE(parse_request_header(BytesView(frame).substr(0, size))) << size;
  }
  EXPECT_TRUE(parse_request_header(frame));
}

TEST(RequestHeader, HostileLengthsAreRefused) {
  const Bytes start = "\x00\x03\x00\x09\x00\x00\x00\x01"s;
  EXPECT_FALSE(parse_request_header(start + "\xff\xfe\x00"s));                              // client id of -2
  EXPECT_FALSE(parse_request_header(start + "\x00\x00\xff\xff\xff\xff\x0f"s));              // 2^32-1 tags
  EXPECT_FALSE(parse_request_header(start + "\x00\x00\x01\x00\xff\xff\xff\xff\x0f"s));      // a tag of 2^32-1 bytes
  EXPECT_FALSE(parse_request_header(start + "\x00\x00\xff\xff\xff\xff\xff\xff\xff\x01"s));  // an endless varint
}

TEST(ResponseHeader, Versions) {
  const Bytes v0 = without_size(response_frame(ApiKey::Metadata, 8, 7, "body"));
  EXPECT_EQ(v0, "\x00\x00\x00\x07"s + "body");
  const Bytes v1 = without_size(response_frame(ApiKey::Metadata, 9, 7, "body"));
  EXPECT_EQ(v1, "\x00\x00\x00\x07\x00"s + "body");
  const Bytes api_versions = without_size(response_frame(ApiKey::ApiVersions, 3, 7, "body"));
  EXPECT_EQ(api_versions, v0);  // KIP-511: the client cannot know the version that the broker understood

  EXPECT_EQ(parse_response_header(v0, ApiKey::Metadata, 8)->body_at, 4u);
  EXPECT_EQ(parse_response_header(v1, ApiKey::Metadata, 9)->body_at, 5u);
  EXPECT_EQ(parse_response_header(api_versions, ApiKey::ApiVersions, 3)->body_at, 4u);
  EXPECT_EQ(parse_response_header(v1, ApiKey::Metadata, 9)->correlation_id, 7);
  EXPECT_FALSE(parse_response_header(BytesView(v0).substr(0, 3), ApiKey::Metadata, 8));
  EXPECT_FALSE(parse_response_header(BytesView(v1).substr(0, 4), ApiKey::Metadata, 9));
}

TEST(Frames, SizePrefixCountsTheRest) {
  EXPECT_EQ(load_int32(request_frame(ApiKey::Fetch, 12, 1, "c", "xyz").data()), 11 + 1 + 3);
  EXPECT_EQ(load_int32(response_frame(ApiKey::Fetch, 12, 1, "xyz").data()), 5 + 3);
}

}  // namespace
}  // namespace crossover::protocol
