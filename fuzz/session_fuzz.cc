// Any order of client bytes, broker answers, connections opened and closed, snapshots of a flip's phases and timers
// against one session: no crash, memory that follows what arrived, and answers in the order of the requests.
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "fuzz/fuzz_input.h"
#include "protocol/frame.h"
#include "proxy/session.h"
#include "tests/unit/leak_world.h"

namespace crossover::fuzz {
namespace {

using namespace protocol;
using proxy::Cluster;

// Effects only; what becomes of them is the input's choice.
class Driver : public proxy::SessionIo {
 public:
  struct Upstream {
    bool open = false;
    FrameBuffer sent{1 << 22};
    std::deque<RequestHeader> unanswered;
  };

  void send_to_client(Bytes data) override {
    require(!closed, "nothing is sent behind the close");
    answers.append(data);
    while (const auto frame = answers.next()) take_answer(*frame);
    require(!answers.broken(), "answers are frames");
  }
  void close_client(std::string_view) override {
    require(!closed, "the client is closed once");
    closed = true;
  }
  void pause_client_reads() override {}
  void resume_client_reads() override {}
  void open_upstream(proxy::UpstreamId id, Cluster, NodeId) override {
    require(upstreams.emplace(id, Upstream{}).second, "ids of connections are not used again");
  }
  void send_upstream(proxy::UpstreamId id, Bytes data) override {
    const auto up = upstreams.find(id);
    require(up != upstreams.end(), "what is sent has a connection");
    up->second.sent.append(data);
    while (const auto frame = up->second.sent.next()) {
      const auto header = parse_request_header(*frame);
      require(header.has_value(), "brokers are sent whole requests");
      up->second.unanswered.push_back(*header);
    }
  }
  void close_upstream(proxy::UpstreamId id) override { upstreams.erase(id); }
  void arm_timer(proxy::Millis) override {}
  void want_image(Cluster, proxy::Millis) override {}
  void want_binding(const proxy::WantedBinding&) override {}
  void want_predecessors(std::uint64_t wait, Cluster, std::string_view, proxy::Millis) override { waiting = wait; }

  std::uint64_t waiting = 0;
  bool closed = false;
  std::map<proxy::UpstreamId, Upstream> upstreams;
  std::deque<std::int32_t> asked;  // correlation ids, in order; acks=0 has no answer

 private:
  void take_answer(BytesView frame) {
    require(frame.size() >= 4, "an answer has a correlation id");
    const std::int32_t id = load_id(frame);
    while (!asked.empty() && asked.front() != id) asked.pop_front();
    require(!asked.empty(), "answers come in the order of the requests");
    asked.pop_front();
  }
  static std::int32_t load_id(BytesView frame) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<std::uint8_t>(frame[i]);
    return static_cast<std::int32_t>(value);
  }
  FrameBuffer answers{1 << 26};
};

// The phases of a flip of the default route, and the state behind it.
std::vector<std::shared_ptr<const proxy::Snapshot>> phases() {
  std::vector<std::shared_ptr<const proxy::Snapshot>> all;
  const auto unknown =
      test::leak_snapshot(Cluster::source);  // what clusters speak is not known yet: nothing is answered
  unknown->announced.clear();
  all.push_back(unknown);
  const proxy::VirtualLog after = test::shifted_log().flipped(6'000'600, 900'012, Cluster::target, 7'001'000, 910'010);
  for (const auto phase :
       {proxy::RoutePhase::open, proxy::RoutePhase::fenced, proxy::RoutePhase::releasing, proxy::RoutePhase::open}) {
    const bool flipped = all.size() >= 3;
    auto snapshot = test::leak_snapshot(flipped ? Cluster::target : Cluster::source);
    snapshot->revision = all.size();
    snapshot->routes[0].phase = phase;
    snapshot->routes[0].fence = phase == proxy::RoutePhase::open ? 0 : 1;
    if (flipped) {
      snapshot->routes[0].home = Cluster::target;
      snapshot->routes[0].generation = 1;
      test::add_topic(*snapshot, test::topic_view(test::shifted_topic, {test::repeated(0xa2), test::repeated(0xb2)},
                                                  test::repeated(0x22), after, 0));
    }
    all.push_back(std::move(snapshot));
  }
  return all;
}

class Run {
 public:
  explicit Run(Input input) : input_(input) {
    proxy::SessionOptions options;
    options.limits.request_bytes = 1 << 16;
    options.limits.response_bytes = 1 << 16;
    if (const unsigned listener = input_.byte() % 8; listener < 7)
      options.virtual_broker = static_cast<NodeId>(listener);
    static const auto known = phases();
    phases_ = &known;
    session_ = std::make_unique<proxy::Session>(driver_, worker_, options, known[1], now_);
  }

  void all() {
    while (!input_.rest().empty() && !gone_) {
      step();
      // What waits is bounded by what came: a request is held once, an answer is made of a few of a broker's.
      require(session_->buffered_bytes() <= 64 * taken_ + (1 << 20), "memory follows what arrived");
    }
    if (!gone_) session_->on_client_closed(now_);
    now_ += 10 * proxy::Limits{}.linger_ms;
    session_->on_timer(now_);
    require(session_->finished(), "a session whose client left comes to an end");
  }

 private:
  void step() {
    const std::uint8_t choice = input_.byte();
    switch (choice % 10) {
      case 0:
      case 1:
      case 2:
        return client_bytes(input_.take(length()));
      case 3:
        return broker_bytes(input_.take(length()));
      case 4:
      case 5:
        return broker_answer();
      case 6:
        return with_upstream([this](proxy::UpstreamId id, Driver::Upstream& up) {
          up.open = true;
          session_->on_upstream_opened(id, now_);
        });
      case 7:
        return with_upstream([this](proxy::UpstreamId id, Driver::Upstream&) {
          driver_.upstreams.erase(id);
          session_->on_upstream_closed(id, now_);
        });
      case 8:
        return session_->on_snapshot((*phases_)[input_.byte() % phases_->size()], now_);
      default:
        return timer();
    }
  }

  std::size_t length() {
    const std::size_t high = input_.byte();
    return high << 8 | input_.byte();
  }

  void client_bytes(BytesView data) {
    taken_ += data.size();
    if (driver_.closed) return;
    requests_.append(data);
    while (const auto frame = requests_.next()) {
      if (const auto header = parse_request_header(*frame)) driver_.asked.push_back(header->correlation_id);
    }
    session_->on_client_bytes(data, now_);
  }

  template <class Act>
  void with_upstream(Act act) {
    if (driver_.upstreams.empty()) return;
    auto at = driver_.upstreams.begin();
    std::advance(at, input_.byte() % driver_.upstreams.size());
    act(at->first, at->second);
  }

  // Bytes as they are, whatever they mean.
  void broker_bytes(BytesView data) {
    taken_ += data.size();
    with_upstream(
        [this, data](proxy::UpstreamId id, Driver::Upstream&) { session_->on_upstream_bytes(id, data, now_); });
  }

  // The input as the body of the answer that is due next: without a header that fits nothing would get through.
  void broker_answer() {
    const BytesView body = input_.take(length());
    taken_ += body.size();
    with_upstream([this, body](proxy::UpstreamId id, Driver::Upstream& up) {
      if (up.unanswered.empty()) return;
      const RequestHeader header = up.unanswered.front();
      up.unanswered.pop_front();
      const Bytes frame = response_frame(header.api, header.version, header.correlation_id, body);
      session_->on_upstream_bytes(id, frame, now_);
    });
  }

  void timer() {
    now_ += 100 * input_.byte();
    if (now_ % 3'700 == 0) {
      gone_ = true;
      return session_->on_client_closed(now_);
    }
    if (driver_.waiting != 0 && now_ % 200 == 0)
      return session_->on_predecessors_answered(std::exchange(driver_.waiting, 0), now_);
    session_->on_timer(now_);
  }

  Input input_;
  Driver driver_;
  proxy::WorkerState worker_;
  proxy::Millis now_ = 1000;
  std::size_t taken_ = 0;
  bool gone_ = false;
  FrameBuffer requests_{1 << 16};
  const std::vector<std::shared_ptr<const proxy::Snapshot>>* phases_ = nullptr;
  std::unique_ptr<proxy::Session> session_;
};

}  // namespace
}  // namespace crossover::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size <= 65536) crossover::fuzz::Run({data, size}).all();
  return 0;
}
