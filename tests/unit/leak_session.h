// Drives one session by hand: a client that sends one request, and brokers that answer whatever reaches them.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <utility>

#include "protocol/frame.h"
#include "proxy/session.h"
#include "tests/unit/leak_messages.h"

namespace crossover::test {

class LeakSession : public proxy::SessionIo {
 public:
  struct Outcome {
    std::optional<Bytes> answer;  // body
    bool closed = false;
    bool stuck = false;
    std::set<ApiKey> reached;  // what was sent to brokers
  };

  LeakSession(Dice& dice, std::shared_ptr<const proxy::Snapshot> snapshot, std::optional<NodeId> listener)
      : dice_(dice), snapshot_(std::move(snapshot)) {
    proxy::SessionOptions options;
    options.virtual_broker = listener;
    session_ = std::make_unique<proxy::Session>(*this, worker_, options, snapshot_, now_);
  }

  // Published as soon as a request reached a broker, before it is answered.
  void change_midway(std::shared_ptr<const proxy::Snapshot> next) { next_ = std::move(next); }
  // Brokers sometimes close instead of answering.
  void lose_connections() { lossy_ = true; }

  Outcome ask(ApiKey api, Version version, BytesView body) {
    outcome_ = {};
    session_->on_client_bytes(protocol::request_frame(api, version, 77, "client", body), now_);
    constexpr int most_exchanges = 2000;
    for (int i = 0; i < most_exchanges && !done(); ++i) {
      if (!step() && !done()) break;
    }
    outcome_.stuck = !done();
    if (auto frame = from_session_.next()) {
      const auto header = protocol::parse_response_header(*frame, api, version);
      if (header && header->correlation_id == 77) outcome_.answer = frame->substr(header->body_at);
    }
    return outcome_;
  }

  void send_to_client(Bytes data) override {
    from_session_.append(data);
    sent_ = true;
  }
  void close_client(std::string_view) override { outcome_.closed = true; }
  void pause_client_reads() override {}
  void resume_client_reads() override {}
  void open_upstream(proxy::UpstreamId id, Cluster cluster, NodeId) override {
    upstreams_.emplace(id, Upstream{cluster, protocol::FrameBuffer(1 << 24)});
    due_.push_back({id, std::nullopt});
  }
  void send_upstream(proxy::UpstreamId id, Bytes data) override {
    Upstream& up = upstreams_.at(id);
    up.input.append(data);
    while (auto frame = up.input.next()) {
      const auto header = protocol::parse_request_header(*frame);
      if (!header) throw std::logic_error("a broker was sent what has no header");
      outcome_.reached.insert(header->api);
      due_.push_back({id, std::move(frame)});
    }
  }
  void close_upstream(proxy::UpstreamId id) override { upstreams_.erase(id); }
  void arm_timer(proxy::Millis at) override { timer_ = at; }
  void want_image(Cluster, proxy::Millis) override {}
  void want_binding(const proxy::WantedBinding&) override {}
  void want_predecessors(std::uint64_t wait, Cluster, std::string_view, proxy::Millis) override { wait_ = wait; }

 private:
  struct Upstream {
    Cluster cluster;
    protocol::FrameBuffer input;
  };
  struct Due {
    proxy::UpstreamId id;
    std::optional<Bytes> request;  // nullopt: the connection opens
  };

  bool done() const { return sent_ || outcome_.closed; }

  // False when nothing is left that could happen.
  bool step() {
    if (const std::uint64_t wait = std::exchange(wait_, 0)) {
      session_->on_predecessors_answered(wait, now_);
      return true;
    }
    if (due_.empty()) {
      if (timer_ < 0) return false;
      now_ = std::max(now_, std::exchange(timer_, -1));
      session_->on_timer(now_);
      return true;
    }
    const Due due = std::move(due_.front());
    due_.pop_front();
    const auto up = upstreams_.find(due.id);
    if (up == upstreams_.end()) return true;
    if (!due.request) {
      session_->on_upstream_opened(due.id, now_);
    } else if (lossy_ && dice_.one_in(12)) {
      upstreams_.erase(up);
      session_->on_upstream_closed(due.id, now_);
    } else {
      answer(due.id, up->second.cluster, *due.request);
    }
    return true;
  }

  void answer(proxy::UpstreamId id, Cluster cluster, const Bytes& frame) {
    const auto header = protocol::parse_request_header(frame);
    const BytesView body = BytesView(frame).substr(header->body_at);
    const Bytes answer = PoisonBroker(dice_, cluster, *snapshot_).answer(header->api, header->version, body);
    if (next_) {
      snapshot_ = std::exchange(next_, nullptr);
      session_->on_snapshot(snapshot_, now_);
    }
    session_->on_upstream_bytes(
        id, protocol::response_frame(header->api, header->version, header->correlation_id, answer), now_);
  }

  Dice& dice_;
  std::shared_ptr<const proxy::Snapshot> snapshot_, next_;
  proxy::WorkerState worker_;
  proxy::Millis now_ = 1000, timer_ = -1;
  std::uint64_t wait_ = 0;  // for predecessors: there are none
  bool lossy_ = false, sent_ = false;
  Outcome outcome_;
  protocol::FrameBuffer from_session_{1 << 26};
  std::map<proxy::UpstreamId, Upstream> upstreams_;
  std::deque<Due> due_;
  std::unique_ptr<proxy::Session> session_;
};

}  // namespace crossover::test
