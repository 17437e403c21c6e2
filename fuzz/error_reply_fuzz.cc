// Any bytes as any request: an error reply is a valid answer of that API and version, or there is none.
#include "fuzz/fuzz_input.h"
#include "protocol/error_reply.h"
#include "protocol/walk.h"

namespace crossover::fuzz {
namespace {

using namespace protocol;

class FindError : public Visitor {
 public:
  FindError(BytesView body, ErrorCode error) : body_(body), error_(error) {}
  void value(const Visit& visit) override {
    if (visit.field.role != Role::error_code || visit.size != 2) return;
    const auto high = static_cast<std::uint8_t>(body_[visit.at]);
    const auto low = static_cast<std::uint8_t>(body_[visit.at + 1]);
    found_ = found_ || static_cast<ErrorCode>(static_cast<std::int16_t>(high << 8 | low)) == error_;
  }
  bool found() const { return found_; }

 private:
  BytesView body_;
  ErrorCode error_;
  bool found_ = false;
};

void run(Input input) {
  const auto [message, version] = choose_message(input);
  const BytesView body = input.rest();
  const ErrorCode error = ErrorCode::UNSUPPORTED_VERSION;
  const std::optional<Bytes> reply = error_reply(message.api, version, body, error);
  if (!reply) return;
  FindError find(*reply, error);
  require(walk(*find_message(message.api, Direction::response), version, *reply, find), "the reply is valid");
  require(find.found(), "the reply says the error");
}

}  // namespace
}  // namespace crossover::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  crossover::fuzz::run({data, size});
  return 0;
}
