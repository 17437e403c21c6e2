// A non-blocking TCP connection with a write queue. Lives on one io_context and is used from its thread only.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "config/config.h"
#include "protocol/types.h"
#include "src/clock.h"

namespace crossover::src {

class Channel : public std::enable_shared_from_this<Channel> {
 public:
  // Called from the io_context only, never from within a method of the channel.
  class Events {
   public:
    virtual ~Events() = default;
    virtual void on_open(Channel& channel) = 0;
    virtual void on_bytes(Channel& channel, protocol::BytesView data) = 0;
    virtual void on_sent(Channel& channel) = 0;  // something of the queue left after having waited
    virtual void on_closed(Channel& channel, const std::string& reason) = 0;  // once; not after close()
  };

  // Bytes are received into `read_buffer`, which all channels of a thread share: an idle connection owns no buffer.
  Channel(boost::asio::io_context& io, Events& events, std::span<char> read_buffer);

  void adopt(int fd);  // an accepted socket; reading begins
  // Resolves each candidate anew and tries all its addresses in turn, until one answers or the time is over.
  void connect(std::vector<config::HostPort> candidates, proxy::Millis timeout_ms);

  void send(protocol::Bytes data);  // queues
  void flush();                     // writes what the kernel takes; the rest follows by itself
  void pause_reads() { reads_paused_ = true; }
  void resume_reads();
  void close();              // at once; no event follows
  void close_after_flush();  // takes nothing more in; on_closed follows

  std::size_t unsent() const { return unsent_; }
  bool is_open() const { return open_; }

 private:
  using Tcp = boost::asio::ip::tcp;

  void begin();
  void next_attempt(std::string reason);
  void resolve(config::HostPort candidate);
  void attempt(const Tcp::endpoint& endpoint);
  proxy::Millis attempt_time() const;
  void wait_readable();
  void read();
  void wait_writable();
  void linger();
  void drop_sent(std::size_t sent);
  void fail_later(std::string reason);
  void finish(const std::string& reason);

  boost::asio::io_context& io_;
  Events* events_;
  std::span<char> read_buffer_;
  Tcp::socket socket_;
  // Only while connecting.
  struct Dial {
    explicit Dial(boost::asio::io_context& io) : resolver(io), timer(io) {}
    Tcp::resolver resolver;
    boost::asio::steady_timer timer;
    std::deque<config::HostPort> candidates;
    std::deque<Tcp::endpoint> endpoints;
    proxy::Millis deadline = 0;
    std::uint64_t attempt = 0;  // a late timer must not cut a later attempt
  };
  std::unique_ptr<Dial> dial_;
  std::deque<protocol::Bytes> queue_;
  std::size_t front_sent_ = 0;
  std::size_t unsent_ = 0;
  bool open_ = false;
  bool failed_ = false;
  bool reads_paused_ = false;
  bool waiting_readable_ = false;
  bool waiting_writable_ = false;
  bool closing_ = false;
};

}  // namespace crossover::src
