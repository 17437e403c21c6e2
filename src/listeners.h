// Listening sockets: the bootstrap one, and one for each virtual broker. Lives on one io_context.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "config/config.h"
#include "proxy/snapshot.h"

namespace crossover::src {

class Listeners {
 public:
  // Takes over the socket of an accepted connection.
  using Accepted = std::function<void(int fd, std::optional<proxy::NodeId> virtual_broker, std::string peer)>;

  Listeners(boost::asio::io_context& io, config::HostPort address, Accepted accepted);
  ~Listeners();

  // Binds the bootstrap listener; clients may connect but are not accepted yet. The error, or empty.
  std::string open();
  // Accepts from now on.
  void start();
  // Opens what the snapshot's virtual brokers need. What is open stays open: a broker that is away may come back, and
  // its clients must find its port. A port that cannot be bound is logged and tried again with the next snapshot.
  void apply(const proxy::Snapshot& snapshot);
  void close();
  bool complete() const { return failed_.empty(); }  // every port that was asked for is bound

 private:
  class Listener;
  std::shared_ptr<Listener> bind(std::uint16_t port, std::optional<proxy::NodeId> broker, std::string& error);

  boost::asio::io_context& io_;
  const config::HostPort address_;
  const Accepted accepted_;
  std::shared_ptr<Listener> bootstrap_;
  std::map<proxy::NodeId, std::shared_ptr<Listener>> brokers_;
  std::map<proxy::NodeId, proxy::Millis> failed_;  // when it was tried last
  bool started_ = false;
  bool closed_ = false;
};

// The open-file limit to the hard one: each client connection needs several sockets. Returns the limit.
std::uint64_t raise_open_file_limit();

}  // namespace crossover::src
