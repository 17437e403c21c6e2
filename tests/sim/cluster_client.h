// Talks to the simulated cluster in typed messages over real wire bytes. For tests.
#pragma once

#include <deque>

#include "protocol/codec.h"
#include "protocol/frame.h"
#include "protocol/messages.h"
#include "tests/sim/cluster.h"

namespace crossover::sim {

class ClusterClient {
 public:
  explicit ClusterClient(ClusterOptions options) : cluster(std::move(options)) {}

  Cluster cluster;
  std::int64_t now_ms = 1'000'000;

  // The connection to that broker, made at first use.
  ConnectionId to(NodeId node) {
    auto found = connections_.find(node);
    if (found != connections_.end() && !closed(found->second)) return found->second;
    return connections_[node] = cluster.connect(node).value();
  }

  template <class Request>
  void send(ConnectionId connection, const Request& request, protocol::Version version) {
    Bytes body = protocol::encode(request, version);
    Bytes frame = protocol::request_frame(Request::api, version, ++correlation_id_, "test", body);
    cluster.request(connection, BytesView(frame).substr(4), now_ms);
    collect();
  }

  void advance(std::int64_t milliseconds) {
    now_ms += milliseconds;
    cluster.tick(now_ms);
    collect();
  }

  // The oldest answer that was not received yet. The frames are kept, so records in the answer stay valid.
  template <class Response>
  std::optional<Response> receive(ConnectionId connection, protocol::Version version) {
    collect();
    auto& inbox = inboxes_[connection];
    if (inbox.empty()) return std::nullopt;
    const Bytes& frame = kept_.emplace_back(std::move(inbox.front()));
    inbox.pop_front();
    BytesView whole = BytesView(frame).substr(4);
    auto header = protocol::parse_response_header(whole, Response::api, version);
    if (!header) return std::nullopt;
    return protocol::decode<Response>(whole.substr(header->body_at), version);
  }

  template <class Response, class Request>
  std::optional<Response> ask(ConnectionId connection, const Request& request, protocol::Version version) {
    send(connection, request, version);
    return receive<Response>(connection, version);
  }

  // The answer's body; nullopt when that broker is down or hangs up.
  std::optional<Bytes> ask_raw(NodeId node, ApiKey api, protocol::Version version, BytesView body) {
    const auto connection = cluster.connect(node);
    if (!connection) return std::nullopt;
    const Bytes frame = protocol::request_frame(api, version, ++correlation_id_, "test", body);
    cluster.request(*connection, BytesView(frame).substr(4), now_ms);
    collect();
    std::optional<Bytes> answer;
    if (auto& inbox = inboxes_[*connection]; !inbox.empty()) {
      const BytesView whole = BytesView(inbox.front()).substr(4);
      if (const auto header = protocol::parse_response_header(whole, api, version))
        answer = Bytes(whole.substr(header->body_at));
    }
    inboxes_.erase(*connection);
    cluster.disconnect(*connection);
    return answer;
  }

  bool closed(ConnectionId connection) {
    collect();
    return closed_.contains(connection);
  }

  bool answered(ConnectionId connection) {
    collect();
    return !inboxes_[connection].empty();
  }

 private:
  void collect() {
    for (Reply& reply : cluster.take_replies()) {
      if (reply.close) closed_[reply.connection] = true;
      if (!reply.frame.empty()) inboxes_[reply.connection].push_back(std::move(reply.frame));
    }
  }

  std::map<NodeId, ConnectionId> connections_;
  std::map<ConnectionId, std::deque<Bytes>> inboxes_;
  std::map<ConnectionId, bool> closed_;
  std::deque<Bytes> kept_;
  std::int32_t correlation_id_ = 0;
};

}  // namespace crossover::sim
