// Any lines as the records of a control topic, some of them well-formed ones of the proxy's own: nothing crashes, a
// record that is not accepted moves nothing, and a snapshot of what was folded folds to the same.
#include <algorithm>
#include <vector>

#include "fuzz/fuzz_input.h"
#include "proxy/control_state.h"

namespace crossover::fuzz {
namespace {

using namespace proxy;

void run(protocol::BytesView input) {
  ControlLog log;
  Offset next = 0;
  while (!input.empty()) {
    const protocol::BytesView record = input.substr(0, input.find('\n'));
    input.remove_prefix(std::min(input.size(), record.size() + 1));
    const Offset accepted = log.last_accepted();
    const std::size_t unreadable = log.unreadable();
    log.fold(next, record);
    require(log.last_accepted() == accepted || log.last_accepted() == next, "only the newest record can be accepted");
    require(log.unreadable() - unreadable <= 1, "a record is unreadable once");
    require(log.state().routes.count(default_route) == 1, "the default route is always there");
    ++next;
  }

  ControlState merged;
  merged.merge(log.state());
  merged.merge(log.state());
  for (const auto& [id, route] : merged.routes) require(route.id == id, "routes stand under their ids");

  ControlLog again;
  const auto parts = control_record::parts("parts", log.state().topics, log.state().bindings);
  for (const Bytes& part : parts) again.fold(next++, part);
  again.fold(next, control_record::snapshot({"snapshot", -1, "fuzz"}, log.state(), "parts", parts.size()));
  require(again.last_accepted() == next, "what was folded can be written down");
  require(again.unreadable() == 0, "and be read again");
  require(again.state().cluster_id == log.state().cluster_id, "the cluster id is kept");
  require(again.state().brokers == log.state().brokers, "brokers are kept");
  require(again.state().versions == log.state().versions, "versions are kept");
  require(again.state().topics.size() == log.state().topics.size(), "topics are kept");
}

}  // namespace
}  // namespace crossover::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size <= 65536) crossover::fuzz::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
