// A session's driver in tests: keeps what the session sends, by connection.
#pragma once

#include <map>
#include <vector>

#include "protocol/frame.h"
#include "proxy/session.h"

namespace crossover::proxy {

struct FakeIo : SessionIo {
  struct Upstream {
    Cluster cluster;
    NodeId node;
    protocol::FrameBuffer sent{1 << 20};
    bool closed = false;
  };
  protocol::FrameBuffer to_client{1 << 20};
  std::map<UpstreamId, Upstream> upstreams;
  bool client_closed = false;
  std::vector<WantedBinding> bindings;
  Millis timer = -1;

  void send_to_client(Bytes data) override { to_client.append(data); }
  void close_client(std::string_view) override { client_closed = true; }
  void pause_client_reads() override {}
  void resume_client_reads() override {}
  void open_upstream(UpstreamId id, Cluster cluster, NodeId node) override {
    upstreams[id].cluster = cluster;
    upstreams[id].node = node;
  }
  void send_upstream(UpstreamId id, Bytes data) override { upstreams.at(id).sent.append(data); }
  void close_upstream(UpstreamId id) override { upstreams.at(id).closed = true; }
  void arm_timer(Millis at) override { timer = at; }
  void want_image(Cluster, Millis) override {}
  void want_binding(const WantedBinding& wanted) override { bindings.push_back(wanted); }
  void want_predecessors(std::uint64_t, Cluster, std::string_view, Millis) override {}
};

}  // namespace crossover::proxy
