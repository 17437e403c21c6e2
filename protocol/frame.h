// Frames (int32 size, then header and body) and the headers v0 to v2.
#pragma once

#include <optional>

#include "protocol/schema.h"

namespace crossover::protocol {

struct RequestHeader {
  ApiKey api{};
  Version version = 0;
  std::int32_t correlation_id = 0;
  std::optional<std::string> client_id;
  std::size_t body_at = 0;  // where the body starts in the frame (the frame without its size prefix)
};

// `frame` excludes the 4 size bytes. For an API or version outside the table the header is parsed as v1 (enough to
// answer UNSUPPORTED_VERSION) and body_at points behind it. nullopt when malformed.
std::optional<RequestHeader> parse_request_header(BytesView frame);

// Correlation id and where the body starts in a response frame (without its size prefix).
struct ResponseHeader {
  std::int32_t correlation_id = 0;
  std::size_t body_at = 0;
};
std::optional<ResponseHeader> parse_response_header(BytesView frame, ApiKey api, Version version);

// A complete frame, size prefix included, around an encoded body.
Bytes request_frame(ApiKey api, Version version, std::int32_t correlation_id,
                    const std::optional<std::string>& client_id, BytesView body);
Bytes response_frame(ApiKey api, Version version, std::int32_t correlation_id, BytesView body);

// Splits a byte stream into frames. Memory grows with the bytes that arrived, never with what a length claims.
class FrameBuffer {
 public:
  explicit FrameBuffer(std::size_t max_frame_bytes) : max_frame_bytes_(max_frame_bytes) {}
  void append(BytesView data);
  // The next whole frame without its size prefix, moved out; nullopt when none is complete or the stream is broken.
  std::optional<Bytes> next();
  bool broken() const { return broken_; }  // a negative or oversized length was seen
  std::size_t buffered() const { return buffer_.size() - start_; }
  std::size_t memory_bytes() const { return buffer_.capacity(); }

 private:
  Bytes take_rest(std::size_t body_at);
  void drop_consumed();

  Bytes buffer_;
  std::size_t start_ = 0;
  std::size_t max_frame_bytes_;
  bool broken_ = false;
};

}  // namespace crossover::protocol
