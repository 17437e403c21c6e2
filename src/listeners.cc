#include "src/listeners.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <cstring>

#include "src/clock.h"
#include "src/log.h"

namespace crossover::src {

using boost::asio::ip::tcp;
using boost::system::error_code;
using config::LogLevel;
using proxy::Millis;

namespace {

constexpr int backlog = 1'024;
constexpr int accepts_per_turn = 64;
constexpr auto pause_without_files = std::chrono::milliseconds(100);
constexpr Millis bind_again_ms = 1'000;

std::string describe(const sockaddr_storage& address) {
  tcp::endpoint endpoint;
  std::memcpy(endpoint.data(), &address, std::min(sizeof address, endpoint.capacity()));
  return config::to_string({endpoint.address().to_string(), endpoint.port()});
}

}  // namespace

// One listening socket. Handlers hold it alive; close() detaches it.
class Listeners::Listener : public std::enable_shared_from_this<Listener> {
 public:
  Listener(boost::asio::io_context& io, std::optional<proxy::NodeId> broker, const Accepted& accepted)
      : acceptor_(io), timer_(io), broker_(broker), accepted_(accepted) {}

  error_code bind(const tcp::endpoint& endpoint) {
    error_code ec;
    acceptor_.open(endpoint.protocol(), ec);
    if (!ec) acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
    if (!ec) acceptor_.bind(endpoint, ec);
    if (!ec) acceptor_.listen(backlog, ec);
    if (!ec) acceptor_.native_non_blocking(true, ec);
    if (ec) close();
    return ec;
  }

  void accept() {
    acceptor_.async_wait(tcp::acceptor::wait_read, [self = shared_from_this()](error_code ec) {
      if (!ec && self->acceptor_.is_open()) self->accept_pending();
    });
  }

  void close() {
    error_code ec;
    acceptor_.close(ec);
    timer_.cancel();
  }

 private:
  void accept_pending() {
    for (int turn = 0; turn < accepts_per_turn; ++turn) {
      sockaddr_storage address{};
      socklen_t size = sizeof address;
      const int fd = ::accept4(acceptor_.native_handle(), reinterpret_cast<sockaddr*>(&address), &size,
                               SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        accepted_(fd, broker_, describe(address));
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        break;
      } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        return wait_for_files(errno);
      }
      // Anything else concerns the one connection that was to be accepted (accept(2)): go on with the next.
    }
    accept();
  }

  // The connection stays in the backlog and would wake us at once and for ever, so look again only after a while.
  void wait_for_files(int error) {
    log_limited(LogLevel::error, "accept_failed", {{"error", std::strerror(error)}});
    timer_.expires_after(pause_without_files);
    timer_.async_wait([self = shared_from_this()](error_code ec) {
      if (!ec && self->acceptor_.is_open()) self->accept();
    });
  }

  tcp::acceptor acceptor_;
  boost::asio::steady_timer timer_;
  const std::optional<proxy::NodeId> broker_;
  const Accepted& accepted_;
};

Listeners::Listeners(boost::asio::io_context& io, config::HostPort address, Accepted accepted)
    : io_(io), address_(std::move(address)), accepted_(std::move(accepted)) {}

Listeners::~Listeners() {
  close();
}

std::shared_ptr<Listeners::Listener> Listeners::bind(std::uint16_t port, std::optional<proxy::NodeId> broker,
                                                     std::string& error) {
  error_code ec;
  tcp::resolver resolver(io_);
  const auto found = resolver.resolve(address_.host, std::to_string(port), tcp::resolver::passive, ec);
  for (const auto& entry : found) {
    auto listener = std::make_shared<Listener>(io_, broker, accepted_);
    ec = listener->bind(entry.endpoint());
    if (!ec) return listener;
  }
  error = "cannot listen on " + config::to_string({address_.host, port}) + ": " + ec.message();
  return nullptr;
}

std::string Listeners::open() {
  std::string error;
  bootstrap_ = bind(address_.port, std::nullopt, error);
  if (bootstrap_) log(LogLevel::info, "listening", {{"address", config::to_string(address_)}, {"broker", "bootstrap"}});
  return error;
}

void Listeners::start() {
  if (std::exchange(started_, true) || closed_) return;
  if (bootstrap_) bootstrap_->accept();
  for (auto& [id, listener] : brokers_) listener->accept();
}

void Listeners::apply(const proxy::Snapshot& snapshot) {
  if (closed_) return;
  for (const auto& [id, broker] : snapshot.brokers) {
    if (brokers_.contains(id)) continue;
    const Millis now = now_ms();
    if (auto failed = failed_.find(id); failed != failed_.end() && now - failed->second < bind_again_ms) continue;
    std::string error;
    auto listener = bind(static_cast<std::uint16_t>(broker.port), id, error);
    if (!listener) {
      failed_[id] = now;
      log(LogLevel::error, "listen_failed", {{"broker", std::to_string(id)}, {"error", error}});
      continue;
    }
    failed_.erase(id);
    log(LogLevel::info, "listening",
        {{"address", config::to_string({address_.host, static_cast<std::uint16_t>(broker.port)})},
         {"broker", std::to_string(id)},
         {"cluster", std::string(to_string(broker.cluster))},
         {"real_broker", std::to_string(broker.real_id)}});
    if (started_) listener->accept();
    brokers_.emplace(id, std::move(listener));
  }
}

void Listeners::close() {
  closed_ = true;
  if (bootstrap_) bootstrap_->close();
  for (auto& [id, listener] : brokers_) listener->close();
}

std::uint64_t raise_open_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    log(LogLevel::warn, "open_file_limit", {{"error", std::strerror(errno)}});
    ::getrlimit(RLIMIT_NOFILE, &limit);
  }
  return limit.rlim_cur;
}

}  // namespace crossover::src
