// A byte stream cut into arbitrary pieces yields the frames that the whole yields, in bounded memory; headers of any
// frame are read safely, and one that reads is written back to the same meaning.
#include <algorithm>
#include <utility>
#include <vector>

#include "fuzz/fuzz_input.h"
#include "protocol/frame.h"
#include "protocol/wire.h"

namespace crossover::fuzz {
namespace {

using namespace protocol;

constexpr std::size_t max_frame_bytes = 1 << 16;

// The definition, on the whole stream at once.
std::vector<Bytes> expected_frames(BytesView stream, bool& broken) {
  std::vector<Bytes> frames;
  while (stream.size() >= 4) {
    const std::int32_t size = load_int32(stream.data());
    broken = size < 0 || static_cast<std::size_t>(size) > max_frame_bytes;
    if (broken || stream.size() - 4 < static_cast<std::size_t>(size)) break;
    frames.emplace_back(stream.substr(4, static_cast<std::size_t>(size)));
    stream.remove_prefix(4 + static_cast<std::size_t>(size));
  }
  return frames;
}

void check_headers(const Bytes& frame) {
  const auto header = parse_request_header(frame);
  if (!header) return;
  require(header->body_at <= frame.size(), "the body starts inside the frame");
  const BytesView body = BytesView(frame).substr(header->body_at);
  const Bytes again = request_frame(header->api, header->version, header->correlation_id, header->client_id, body);
  const auto reread = parse_request_header(BytesView(again).substr(4));
  require(reread && reread->api == header->api && reread->version == header->version &&
              reread->correlation_id == header->correlation_id && reread->client_id == header->client_id &&
              BytesView(again).substr(4 + reread->body_at) == body,
          "a header survives being written and read");
  const auto response = parse_response_header(frame, header->api, header->version);
  require(!response || response->body_at <= frame.size(), "the response body starts inside the frame");
}

void run(Input input) {
  std::size_t piece = input.byte() + 1u;
  BytesView stream = input.rest();
  bool broken = false;
  const std::vector<Bytes> expected = expected_frames(stream, broken);

  FrameBuffer buffer(max_frame_bytes);
  std::vector<Bytes> frames;
  std::size_t arrived = 0;
  while (!stream.empty()) {
    const BytesView part = stream.substr(0, piece);
    stream.remove_prefix(part.size());
    arrived += part.size();
    buffer.append(part);
    while (auto frame = buffer.next()) frames.push_back(std::move(*frame));
    require(buffer.memory_bytes() <= 2 * arrived + 64, "memory follows what arrived");
    piece = piece * 7 % 257 + 1;
  }
  require(frames == expected, "pieces yield the frames of the whole");
  require(buffer.broken() == broken, "a bad length is noticed, a good one is not");
  std::for_each(frames.begin(), frames.end(), check_headers);
}

}  // namespace
}  // namespace crossover::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  crossover::fuzz::run({data, size});
  return 0;
}
