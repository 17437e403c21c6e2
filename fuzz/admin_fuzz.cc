// Any bytes as a request to the admin endpoint, one line per header and the rest as the body: there is exactly one
// answer, errors are JSON with a hint, and a request of another site's page changes nothing.
#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "fuzz/fuzz_input.h"
#include "src/admin_api.h"
#include "tests/unit/admin_fake.h"

namespace crossover::fuzz {
namespace {

std::string line(std::string_view& rest) {
  const std::string out(rest.substr(0, rest.find('\n')));
  rest.remove_prefix(std::min(out.size() + 1, rest.size()));
  return out;
}

void run(std::string_view input) {
  src::AdminRequest request;
  request.method = line(input);
  request.target = line(input);
  request.host = line(input);
  request.origin = line(input);
  request.sec_fetch_site = line(input);
  request.content_type = line(input);
  request.body = std::string(input);

  tests::FakeAdmin backend;
  const src::AdminApi api(backend, {.allowed_hosts = {"admin.example"}});
  int answers = 0;
  src::AdminResponse answer;
  api.handle(request, [&](src::AdminResponse response) {
    ++answers;
    answer = std::move(response);
  });
  require(answers == 1, "there is exactly one answer");
  if (answer.content_type == "application/json") {
    boost::json::error_code error;
    const boost::json::value value = boost::json::parse(answer.body, error);
    require(!error && value.is_object(), "JSON is valid");
    // A flip that failed has its report instead of a hint.
    if (answer.status >= 400 && answer.status != 503 && !value.as_object().contains("gates")) {
      require(value.as_object().contains("error") && value.as_object().contains("hint"), "errors tell what to do");
    }
  }
  // Without the custom header no browser's request may change anything.
  const bool browser = !request.origin.empty() || !request.sec_fetch_site.empty();
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (browser || reads) require(backend.calls.empty(), "nothing was asked to change");
}

}  // namespace
}  // namespace crossover::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size <= 16384) crossover::fuzz::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
