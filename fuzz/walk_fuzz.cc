// Any bytes as any message: the walk stays inside the body and the typed codec agrees with it about what is valid; what
// was decoded is encoded to something that decodes and encodes to itself.
#include <vector>

#include "fuzz/fuzz_input.h"
#include "protocol/codec.h"
#include "protocol/typed_messages.h"
#include "protocol/walk.h"

namespace crossover::fuzz {
namespace {

using namespace protocol;

class CheckOrder : public Visitor {
 public:
  explicit CheckOrder(std::size_t size) : size_(size) {}
  void enter(const Field& field) override {
    require(field.type == WireType::structure, "only structures are entered");
    open_.push_back(&field);
  }
  void leave(const Field& field) override {
    require(!open_.empty() && open_.back() == &field, "structures nest");
    open_.pop_back();
  }
  void value(const Visit& visit) override {
    require(visit.at >= behind_ && visit.at <= size_ && visit.size <= size_ - visit.at,
            "values lie in the body in order");
    require(!visit.null || visit.size == 0, "null has no bytes");
    behind_ = visit.at + visit.size;
  }
  bool balanced() const { return open_.empty(); }

 private:
  std::size_t size_;
  std::size_t behind_ = 0;
  std::vector<const Field*> open_;
};

bool is_valid(const Message& message, Version version, BytesView body) {
  CheckOrder check(body.size());
  const bool valid = walk(message, version, body, check);
  require(!valid || check.balanced(), "what was entered is left");
  return valid;
}

template <class T>
void check_codec(const Message& message, Version version, BytesView body, bool valid) {
  const std::optional<T> decoded = decode<T>(body, version);
  // Text longer than any reader in Java takes is for the codec alone to refuse.
  constexpr std::size_t longest_text = 32'767;
  require(decoded.has_value() == valid || (valid && body.size() > longest_text / 3),
          "codec and walk accept the same bytes");
  if (!decoded) return;
  // Not always the same bytes: an overlong varint or a tag that holds its default is written the short way, and what is
  // no UTF-8 becomes U+FFFD, three bytes.
  const Bytes encoded = encode(*decoded, version);
  require(encoded.size() <= 3 * body.size(), "encoding adds only replacements");
  require(is_valid(message, version, encoded), "what is encoded is valid");
  const std::optional<T> again = decode<T>(encoded, version);
  require(again && encode(*again, version) == encoded, "encoding is stable");
}

void run(Input input) {
  const ChosenMessage chosen = choose_message(input);
  const BytesView body = input.rest();
  const bool valid = is_valid(chosen.message, chosen.version, body);
  with_typed_message(chosen.message.api, chosen.message.direction, [&](auto identity) {
    check_codec<typename decltype(identity)::type>(chosen.message, chosen.version, body, valid);
  });
}

}  // namespace
}  // namespace crossover::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  crossover::fuzz::run({data, size});
  return 0;
}
