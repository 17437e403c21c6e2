// A session of which a test plays both sides message by message: the client that asks and the brokers that are asked.
// The world is one topic "orders" of two partitions, led by the first broker of either cluster.
#pragma once

#include <gtest/gtest.h>

#include <deque>

#include "protocol/codec.h"
#include "protocol/error_code.h"
#include "protocol/frame.h"
#include "protocol/messages.h"
#include "proxy/session.h"
#include "tests/unit/fake_session_io.h"
#include "tests/unit/leak_world.h"

namespace crossover::test {

using protocol::ApiKey;
using protocol::Bytes;
using protocol::BytesView;

inline constexpr auto source = Cluster::source, target = Cluster::target;

constexpr std::int16_t number(protocol::ErrorCode error) {
  return static_cast<std::int16_t>(error);
}

struct HandlerScript : ::testing::Test {
  struct Reached {
    proxy::UpstreamId upstream = 0;
    protocol::RequestHeader header;
    Bytes frame;
    template <class T>
    T as() const {
      return protocol::decode<T>(BytesView(frame).substr(header.body_at), header.version).value();
    }
  };

  proxy::FakeIo io;
  proxy::WorkerState worker;
  proxy::SessionOptions options;
  proxy::Millis now = 1'000;
  std::unique_ptr<proxy::Session> session;
  std::int32_t next_correlation = 1;
  std::deque<Bytes> frames;  // that decoded messages point into

  static proxy::VirtualLog on_source() { return proxy::VirtualLog::identity(source); }
  // [source 0..100) and [target 40..) from virtual 100 on.
  static proxy::VirtualLog on_target() { return on_source().flipped(100, 5, target, 40, 2); }

  // The topic's real ids are 0x91 on the source and 0xa1 on the target; the virtual one is 0x33.
  static std::shared_ptr<proxy::Snapshot> world(const proxy::VirtualLog& first, const proxy::VirtualLog& second) {
    auto snapshot = leak_snapshot(source);
    snapshot->topics.clear();
    snapshot->topics_by_id.clear();
    auto topic = std::make_shared<proxy::TopicView>(
        *topic_view("orders", {repeated(0x91), repeated(0xa1)}, repeated(0x33), first, 0));
    topic->partitions[1].log = second;
    for (proxy::PartitionView& p : topic->partitions) {
      for (const Cluster c : proxy::both_clusters) p.real[proxy::index_of(c)].leader = real_node(c, 0);
    }
    add_topic(*snapshot, topic);
    snapshot->routes[0].home = first.home();
    return snapshot;
  }

  void begin(std::shared_ptr<const proxy::Snapshot> snapshot) {
    session = std::make_unique<proxy::Session>(io, worker, options, std::move(snapshot), now);
  }
  template <class T>
  void ask(ApiKey api, protocol::Version version, const T& request) {
    session->on_client_bytes(
        protocol::request_frame(api, version, next_correlation++, "test", protocol::encode(request, version)), now);
  }
  std::optional<Reached> at_broker(Cluster cluster) {
    for (auto& [id, upstream] : io.upstreams) {
      if (upstream.cluster != cluster) continue;
      auto frame = upstream.sent.next();
      if (!frame) continue;
      frames.push_back(std::move(*frame));
      return Reached{id, *protocol::parse_request_header(frames.back()), frames.back()};
    }
    return std::nullopt;
  }
  template <class T>
  void answer(const Reached& to, const T& response) {
    const auto body = protocol::encode(response, to.header.version);
    session->on_upstream_bytes(
        to.upstream, protocol::response_frame(to.header.api, to.header.version, to.header.correlation_id, body), now);
  }
  template <class T>
  std::optional<T> next_answer(ApiKey api, protocol::Version version) {
    auto frame = io.to_client.next();
    if (!frame) return std::nullopt;
    frames.push_back(std::move(*frame));
    const auto header = protocol::parse_response_header(frames.back(), api, version);
    return protocol::decode<T>(BytesView(frames.back()).substr(header->body_at), version);
  }
  // Lets time pass up to the session's own timer.
  void pass(proxy::Millis ms) {
    const proxy::Millis until = now + ms;
    while (io.timer > now && io.timer <= until) {
      now = std::exchange(io.timer, -1);
      session->on_timer(now);
    }
    now = until;
  }
};

}  // namespace crossover::test
