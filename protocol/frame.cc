#include "protocol/frame.h"

#include <limits>
#include <utility>

#include "protocol/wire.h"

namespace crossover::protocol {
namespace {

constexpr std::size_t size_prefix_bytes = 4;
// An emptied buffer larger than this gives its memory back, so that idle connections stay small.
constexpr std::size_t idle_capacity_bytes = 64 * 1024;

int header_version_of(ApiKey api, Version version) {
  const Message* message = find_message(api, Direction::request);
  if (message == nullptr || !message->versions.contains(version)) return 1;
  return request_header_version(api, version);
}

std::optional<std::string> read_client_id(Reader& reader) {
  const std::int16_t size = reader.int16();
  if (size == -1) return std::nullopt;
  if (size < 0) {
    reader.fail();
    return std::nullopt;
  }
  return std::string(reader.raw(static_cast<std::size_t>(size)));
}

void skip_tags(Reader& reader) {
  for (std::uint32_t left = reader.unsigned_varint(); left > 0 && reader.ok(); --left) {
    reader.unsigned_varint();
    reader.skip(reader.unsigned_varint());
  }
}

Bytes with_size_prefix(Bytes frame) {
  store_int32(frame.data(), static_cast<std::int32_t>(frame.size() - size_prefix_bytes));
  return frame;
}

}  // namespace

std::optional<RequestHeader> parse_request_header(BytesView frame) {
  Reader reader(frame);
  RequestHeader header;
  header.api = static_cast<ApiKey>(reader.int16());
  header.version = reader.int16();
  header.correlation_id = reader.int32();
  if (!reader.ok()) return std::nullopt;
  const int header_version = header_version_of(header.api, header.version);
  if (header_version >= 1) header.client_id = read_client_id(reader);
  if (header_version >= 2) skip_tags(reader);
  if (!reader.ok()) return std::nullopt;
  header.body_at = reader.position();
  return header;
}

std::optional<ResponseHeader> parse_response_header(BytesView frame, ApiKey api, Version version) {
  Reader reader(frame);
  ResponseHeader header;
  header.correlation_id = reader.int32();
  if (response_header_version(api, version) >= 1) skip_tags(reader);
  if (!reader.ok()) return std::nullopt;
  header.body_at = reader.position();
  return header;
}

Bytes request_frame(ApiKey api, Version version, std::int32_t correlation_id,
                    const std::optional<std::string>& client_id, BytesView body) {
  const int header_version = header_version_of(api, version);
  Bytes frame;
  frame.reserve(size_prefix_bytes + 11 + (client_id ? client_id->size() : 0) + body.size());
  Writer writer(frame);
  writer.int32(0);
  writer.int16(static_cast<std::int16_t>(api));
  writer.int16(version);
  writer.int32(correlation_id);
  if (header_version >= 1) {
    const BytesView id =
        client_id ? BytesView(*client_id).substr(0, std::numeric_limits<std::int16_t>::max()) : BytesView();
    writer.int16(client_id ? static_cast<std::int16_t>(id.size()) : std::int16_t{-1});
    writer.raw(id);
  }
  if (header_version >= 2) writer.unsigned_varint(0);
  writer.raw(body);
  return with_size_prefix(std::move(frame));
}

Bytes response_frame(ApiKey api, Version version, std::int32_t correlation_id, BytesView body) {
  Bytes frame;
  frame.reserve(size_prefix_bytes + 5 + body.size());
  Writer writer(frame);
  writer.int32(0);
  writer.int32(correlation_id);
  if (response_header_version(api, version) >= 1) writer.unsigned_varint(0);
  writer.raw(body);
  return with_size_prefix(std::move(frame));
}

void FrameBuffer::append(BytesView data) {
  if (!broken_) buffer_.append(data);
}

std::optional<Bytes> FrameBuffer::next() {
  if (broken_) return std::nullopt;
  if (buffered() < size_prefix_bytes) {
    drop_consumed();
    return std::nullopt;
  }
  const std::int32_t claimed = load_int32(buffer_.data() + start_);
  if (claimed < 0 || static_cast<std::size_t>(claimed) > max_frame_bytes_) {
    broken_ = true;
    buffer_ = Bytes();
    start_ = 0;
    return std::nullopt;
  }
  const std::size_t size = static_cast<std::size_t>(claimed);
  if (buffered() - size_prefix_bytes < size) {
    drop_consumed();
    return std::nullopt;
  }
  const std::size_t body_at = start_ + size_prefix_bytes;
  if (body_at + size == buffer_.size()) return take_rest(body_at);
  Bytes frame = buffer_.substr(body_at, size);
  start_ = body_at + size;
  return frame;
}

// The last frame in the buffer is moved within the memory it already has instead of being copied.
Bytes FrameBuffer::take_rest(std::size_t body_at) {
  start_ = 0;
  if (buffer_.size() <= idle_capacity_bytes) {
    Bytes frame = buffer_.substr(body_at);
    buffer_.clear();
    if (buffer_.capacity() > idle_capacity_bytes) buffer_ = Bytes();
    return frame;
  }
  Bytes frame = std::exchange(buffer_, Bytes());
  frame.erase(0, body_at);
  return frame;
}

// Only when no whole frame is left, so that each byte is moved at most once per frame it belongs to.
void FrameBuffer::drop_consumed() {
  buffer_.erase(0, start_);
  start_ = 0;
}

}  // namespace crossover::protocol
