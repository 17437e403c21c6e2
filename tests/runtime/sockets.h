// Plain blocking sockets for the tests' side of a connection.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <utility>

namespace crossover::test {

using namespace std::chrono_literals;

class Socket {
 public:
  explicit Socket(int fd = -1) : fd_(fd) {}
  Socket(Socket&& from) noexcept : fd_(std::exchange(from.fd_, -1)) {}
  Socket& operator=(Socket&& from) noexcept {
    std::swap(fd_, from.fd_);
    return *this;
  }
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

  bool send(std::string_view data) const {
    while (!data.empty()) {
      const ssize_t sent = ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      data.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  // Up to `size` bytes; fewer when the peer closed or nothing came in time.
  std::string receive(std::size_t size, std::chrono::milliseconds wait = 5s) const {
    std::string data;
    char buffer[65'536];
    while (data.size() < size && readable(wait)) {
      const ssize_t got = ::recv(fd_, buffer, std::min(sizeof buffer, size - data.size()), 0);
      if (got <= 0) break;
      data.append(buffer, static_cast<std::size_t>(got));
    }
    return data;
  }
  bool closed_by_peer(std::chrono::milliseconds wait = 5s) const {
    const auto end = std::chrono::steady_clock::now() + wait;
    char buffer[65'536];
    while (std::chrono::steady_clock::now() < end) {
      if (readable(50ms) && ::recv(fd_, buffer, sizeof buffer, 0) <= 0) return true;
    }
    return false;
  }
  bool readable(std::chrono::milliseconds wait) const {
    pollfd poll{fd_, POLLIN, 0};
    return ::poll(&poll, 1, static_cast<int>(wait.count())) > 0;
  }

 private:
  int fd_;
};

inline sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

inline std::uint16_t port_of(const Socket& socket) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

inline Socket listen_on_any_port() {
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(0);
  ::bind(socket.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  ::listen(socket.fd(), 16);
  return socket;
}

inline Socket connect_to(std::uint16_t port) {
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(port);
  if (::connect(socket.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return Socket();
  return socket;
}

inline Socket accept_from(const Socket& listener, std::chrono::milliseconds wait = 5s) {
  if (!listener.readable(wait)) return Socket();
  return Socket(::accept(listener.fd(), nullptr, nullptr));
}

// A port on which nobody listens.
inline std::uint16_t closed_port() {
  return port_of(listen_on_any_port());
}

// A value that other threads change and a test waits for.
template <typename T>
class Watched {
 public:
  template <typename F>
  void change(F&& f) {
    std::lock_guard lock(mutex_);
    f(value_);
    changed_.notify_all();
  }
  template <typename F>
  bool wait(F&& good, std::chrono::milliseconds time = 10s) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, time, [&] { return good(value_); });
  }
  T get() {
    std::lock_guard lock(mutex_);
    return value_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  T value_{};
};

}  // namespace crossover::test
