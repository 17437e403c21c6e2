// The proxy's own requests to one cluster: one pipelined connection per broker, answers in order. One thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "proxy/controller.h"
#include "src/channel.h"

namespace crossover::src {

class ClusterClient {
 public:
  // Exactly once per request, never from within request(). nullopt: no answer; the broker may have seen the request.
  using Reply = std::function<void(proxy::CallId id, std::optional<protocol::Bytes> body)>;

  ClusterClient(boost::asio::io_context& io, proxy::Cluster cluster, std::vector<config::HostPort> bootstrap,
                Reply reply);
  ~ClusterClient();

  // To any_node: a broker of the image, or a bootstrap address; another one after a failure.
  void request(proxy::CallId id, proxy::NodeId node, protocol::ApiKey api, protocol::Version version,
               protocol::BytesView body, proxy::Millis timeout_ms);
  // A broker that moved is talked to at its new address from the next request on.
  void apply(const proxy::ClusterImage& image);

 private:
  class Link;
  std::vector<config::HostPort> addresses(proxy::NodeId node);

  boost::asio::io_context& io_;
  const proxy::Cluster cluster_;
  const std::vector<config::HostPort> bootstrap_;
  const Reply reply_;
  std::map<proxy::NodeId, config::HostPort> brokers_;
  std::map<proxy::NodeId, std::shared_ptr<Link>> links_;
  std::vector<char> read_buffer_;
  std::mt19937 random_;
};

}  // namespace crossover::src
