#include "src/channel.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>

namespace crossover::src {
namespace {

using boost::system::error_code;
using proxy::Millis;

// A reader that always has more must not starve the thread's other connections.
constexpr int reads_per_turn = 4;
constexpr std::size_t pieces_per_write = 64;

void set_option(int fd, int level, int name, int value) {
  // Best effort: a socket without it works as well, only slower or noticed dead later.
  (void)::setsockopt(fd, level, name, &value, sizeof value);
}

void tune(int fd) {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  // A peer that vanished without a word is noticed after about two minutes.
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 6);
}

}  // namespace

Channel::Channel(boost::asio::io_context& io, Events& events, std::span<char> read_buffer)
    : io_(io), events_(&events), read_buffer_(read_buffer), socket_(io) {}

void Channel::adopt(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  const bool v6 = ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 && address.ss_family == AF_INET6;
  error_code ec;
  socket_.assign(v6 ? Tcp::v6() : Tcp::v4(), fd, ec);
  if (ec) {
    ::close(fd);
    return fail_later(ec.message());
  }
  begin();
}

void Channel::begin() {
  error_code ec;
  socket_.native_non_blocking(true, ec);
  tune(socket_.native_handle());
  open_ = true;
  wait_readable();
}

void Channel::connect(std::vector<config::HostPort> candidates, Millis timeout_ms) {
  dial_ = std::make_unique<Dial>(io_);
  dial_->candidates.assign(candidates.begin(), candidates.end());
  dial_->deadline = now_ms() + timeout_ms;
  // Posted, so that even a refusal known at once comes as an event of its own.
  boost::asio::post(io_, [self = shared_from_this()] { self->next_attempt("no address"); });
}

void Channel::next_attempt(std::string reason) {
  if (!events_ || !dial_) return;
  if (now_ms() >= dial_->deadline) return finish("connect timeout; last: " + reason);
  if (!dial_->endpoints.empty()) {
    const Tcp::endpoint endpoint = dial_->endpoints.front();
    dial_->endpoints.pop_front();
    return attempt(endpoint);
  }
  if (dial_->candidates.empty()) return finish(reason);
  config::HostPort candidate = std::move(dial_->candidates.front());
  dial_->candidates.pop_front();
  resolve(std::move(candidate));
}

// The time left, shared evenly among what is left to try, so that one dead address does not use up all of it.
Millis Channel::attempt_time() const {
  const auto left = static_cast<Millis>(dial_->endpoints.size() + dial_->candidates.size() + 1);
  return std::max<Millis>((dial_->deadline - now_ms()) / left, 50);
}

void Channel::resolve(config::HostPort candidate) {
  error_code ec;
  const auto literal = boost::asio::ip::make_address(candidate.host, ec);
  if (!ec) {
    dial_->endpoints.emplace_back(literal, candidate.port);
    return next_attempt("no address");
  }
  const std::uint64_t number = ++dial_->attempt;
  dial_->timer.expires_after(std::chrono::milliseconds(attempt_time()));
  // A lookup cannot be interrupted; it is left behind, and its late answer is not used.
  dial_->timer.async_wait([self = shared_from_this(), number, host = candidate.host](error_code timer_ec) {
    if (timer_ec || !self->dial_ || self->dial_->attempt != number) return;
    ++self->dial_->attempt;
    self->next_attempt("resolve " + host + ": timeout");
  });
  dial_->resolver.async_resolve(candidate.host, std::to_string(candidate.port), Tcp::resolver::numeric_service,
                                [self = shared_from_this(), number, host = candidate.host](
                                    error_code found_ec, Tcp::resolver::results_type found) {
                                  if (!self->events_ || !self->dial_ || self->dial_->attempt != number) return;
                                  self->dial_->timer.cancel();
                                  for (const auto& entry : found) self->dial_->endpoints.push_back(entry.endpoint());
                                  self->next_attempt("resolve " + host + ": " + found_ec.message());
                                });
}

void Channel::attempt(const Tcp::endpoint& endpoint) {
  error_code ec;
  socket_.close(ec);
  socket_.open(endpoint.protocol(), ec);
  if (ec) return next_attempt(ec.message());
  const std::uint64_t number = ++dial_->attempt;
  dial_->timer.expires_after(std::chrono::milliseconds(attempt_time()));
  dial_->timer.async_wait([self = shared_from_this(), number](error_code timer_ec) {
    error_code ignored;
    if (!timer_ec && self->dial_ && self->dial_->attempt == number) self->socket_.close(ignored);
  });
  socket_.async_connect(endpoint, [self = shared_from_this(), number](error_code connect_ec) {
    if (!self->events_ || !self->dial_ || self->dial_->attempt != number) return;
    if (connect_ec == boost::asio::error::operation_aborted) return self->next_attempt("connect timeout");
    if (connect_ec) return self->next_attempt(connect_ec.message());
    self->dial_->timer.cancel();
    self->dial_.reset();
    self->begin();
    self->flush();
    self->events_->on_open(*self);
  });
}

void Channel::send(protocol::Bytes data) {
  if (data.empty() || closing_ || failed_) return;
  unsent_ += data.size();
  queue_.push_back(std::move(data));
}

void Channel::flush() {
  if (!open_ || waiting_writable_ || failed_) return;
  while (!queue_.empty()) {
    std::array<iovec, pieces_per_write> pieces;
    std::size_t count = 0;
    for (auto piece = queue_.begin(); piece != queue_.end() && count < pieces.size(); ++piece, ++count) {
      const std::size_t skip = count == 0 ? front_sent_ : 0;
      pieces[count] = {piece->data() + skip, piece->size() - skip};
    }
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = count;
    const ssize_t sent = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL);
    if (sent >= 0) {
      drop_sent(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return wait_writable();
    } else if (errno != EINTR) {
      return fail_later(std::strerror(errno));
    }
  }
  if (closing_) linger();
}

// Says that nothing follows and waits for the peer to close too: closing with unread bytes would send a reset, which
// can destroy answers that the peer has not read yet.
void Channel::linger() {
  ::shutdown(socket_.native_handle(), SHUT_WR);
  resume_reads();
  auto timer = std::make_shared<boost::asio::steady_timer>(io_, std::chrono::seconds(1));
  timer->async_wait([self = shared_from_this(), timer](error_code) { self->finish("closed"); });
}

void Channel::drop_sent(std::size_t sent) {
  unsent_ -= sent;
  sent += front_sent_;
  while (!queue_.empty() && sent >= queue_.front().size()) {
    sent -= queue_.front().size();
    queue_.pop_front();
  }
  front_sent_ = sent;
}

void Channel::wait_writable() {
  waiting_writable_ = true;
  socket_.async_wait(Tcp::socket::wait_write, [self = shared_from_this()](error_code) {
    self->waiting_writable_ = false;
    if (!self->events_ || !self->open_) return;
    self->flush();
    self->events_->on_sent(*self);
  });
}

void Channel::resume_reads() {
  if (!reads_paused_) return;
  reads_paused_ = false;
  wait_readable();
}

void Channel::wait_readable() {
  if (!open_ || reads_paused_ || waiting_readable_ || failed_) return;
  waiting_readable_ = true;
  socket_.async_wait(Tcp::socket::wait_read, [self = shared_from_this()](error_code) {
    self->waiting_readable_ = false;
    if (self->events_ && self->open_) self->read();
  });
}

void Channel::read() {
  for (int turn = 0; turn < reads_per_turn && events_ && open_ && !reads_paused_ && !failed_; ++turn) {
    const ssize_t got = ::recv(socket_.native_handle(), read_buffer_.data(), read_buffer_.size(), 0);
    if (got > 0) {
      if (!closing_) events_->on_bytes(*this, {read_buffer_.data(), static_cast<std::size_t>(got)});
      if (static_cast<std::size_t>(got) < read_buffer_.size()) break;
    } else if (got == 0) {
      return finish("closed by peer");
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      break;
    } else if (errno != EINTR) {
      return finish(std::strerror(errno));
    }
  }
  if (events_) wait_readable();
}

void Channel::fail_later(std::string reason) {
  if (failed_) return;
  failed_ = true;
  boost::asio::post(io_, [self = shared_from_this(), reason = std::move(reason)] { self->finish(reason); });
}

void Channel::finish(const std::string& reason) {
  Events* events = events_;
  close();
  if (events) events->on_closed(*this, reason);
}

void Channel::close() {
  events_ = nullptr;
  open_ = false;
  failed_ = true;
  dial_.reset();
  error_code ec;
  socket_.close(ec);
  queue_.clear();
  unsent_ = front_sent_ = 0;
}

void Channel::close_after_flush() {
  if (closing_) return;
  closing_ = true;
  if (!open_) return fail_later("closed");
  flush();
}

}  // namespace crossover::src
