#include "src/admin_server.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <thread>

namespace crossover::src {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using tcp = asio::ip::tcp;
using namespace std::chrono_literals;

// A browser opens six; the rest is for scrapers, probes and command lines.
constexpr std::size_t max_connections = 64;
constexpr std::uint32_t max_header_bytes = 16 * 1024;
constexpr std::uint64_t max_body_bytes = 6 * 1024 * 1024;  // 20,000 topic names of 249 characters
constexpr auto read_timeout = 15s;                         // also of a kept-alive connection that says nothing
constexpr auto write_timeout = 30s;
// Flips answer within their own budgets, everything else at once; past this the backend is stuck.
constexpr auto answer_timeout = 120s;
constexpr auto stop_grace = 300ms;

class Connection;
class Server : public std::enable_shared_from_this<Server> {
 public:
  Server(AdminBackend& backend, AdminServerOptions options)
      : options_(std::move(options)), api_(backend, with_thread(options_.api)) {}

  std::string start();
  void stop();
  std::uint16_t port() const { return port_; }
  asio::io_context& io() { return io_; }
  const AdminApi& api() const { return api_; }
  bool stopping() const { return stopping_; }
  // From any thread; dropped once the server has stopped, because nothing would ever run it.
  void post(std::function<void()> work);
  void add(Connection* connection) { connections_.push_back(connection); }
  void remove(Connection* connection) { connections_.remove(connection); }

 private:
  // Answers are made on this server's thread, not on the one that drives the clusters.
  AdminApiOptions with_thread(AdminApiOptions api) {
    api.run = [this](std::function<void()> work) { post(std::move(work)); };
    return api;
  }
  void accept();
  void make_room();
  void accept_again_later();
  void close_all();

  AdminServerOptions options_;
  AdminApi api_;
  asio::io_context io_{1};
  tcp::acceptor acceptor_{io_};
  asio::steady_timer pause_{io_};
  std::uint16_t port_ = 0;
  std::list<Connection*> connections_;  // oldest first; touched by the server's thread only, until that has ended
  std::atomic<bool> stopping_{false};
  std::mutex stopped_mutex_;
  bool stopped_ = false;
  std::thread thread_;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<Server> server, tcp::socket socket)
      : server_(std::move(server)), stream_(std::move(socket)), watchdog_(server_->io()) {
    server_->add(this);
    beast::error_code error;
    local_address_ = stream_.socket().local_endpoint(error).address().to_string();
    if (local_address_.starts_with("::ffff:")) local_address_.erase(0, 7);
  }
  ~Connection() { server_->remove(this); }

  void read() {
    parser_.emplace();
    parser_->header_limit(max_header_bytes);
    parser_->body_limit(max_body_bytes);
    stream_.expires_after(read_timeout);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](beast::error_code error, std::size_t) { self->on_read(error); });
  }
  void close();
  // No request of it is being answered.
  bool silent() const { return !waiting_ && !closed_; }

 private:
  void on_read(beast::error_code error);
  void on_answer(std::uint64_t number, AdminResponse answer);
  void write(const AdminResponse& answer);
  void on_write(beast::error_code error, bool keep_alive);

  // First, so that the io_context outlives everything that belongs to it.
  std::shared_ptr<Server> server_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_{max_header_bytes + 64 * 1024};
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
  asio::steady_timer watchdog_;
  std::string local_address_;
  std::uint64_t answering_ = 0;  // number of the request that waits for its answer
  bool waiting_ = false;
  bool closed_ = false;
};

std::optional<AdminResponse> refuse_malformed(beast::error_code error) {
  if (error == http::error::body_limit) return admin_error(413, "the request body is too large", "6 MiB at most");
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return admin_error(431, "the request headers are too large", "16 KiB at most");
  }
  if (error.category() == http::make_error_code(http::error::bad_method).category() &&
      error != http::error::end_of_stream && error != http::error::partial_message) {
    return admin_error(400, "the request is not HTTP/1.1", error.message());
  }
  return std::nullopt;
}

AdminRequest to_request(http::request<http::string_body>& message, const std::string& local_address) {
  const auto field = [&](auto name) {
    const auto value = message[name];
    return std::string(value.data(), value.size());
  };
  AdminRequest request;
  request.method = std::string(message.method_string().data(), message.method_string().size());
  request.target = std::string(message.target().data(), message.target().size());
  request.host = field(http::field::host);
  request.local_address = local_address;
  request.content_type = field(http::field::content_type);
  request.origin = field(http::field::origin);
  request.sec_fetch_site = field("Sec-Fetch-Site");
  request.custom_header = !field("X-Crossover-Request").empty();
  request.body = std::move(message.body());
  return request;
}

void Connection::on_read(beast::error_code error) {
  if (error) {
    const auto refusal = refuse_malformed(error);
    if (!refusal) return close();
    // What follows a message that cannot be read cannot be read either.
    response_.keep_alive(false);
    parser_.emplace();
    return write(*refusal);
  }
  const std::uint64_t number = ++answering_;
  waiting_ = true;
  stream_.expires_never();
  watchdog_.expires_after(answer_timeout);
  watchdog_.async_wait([self = shared_from_this(), number](beast::error_code cancelled) {
    if (!cancelled) self->on_answer(number, admin_error(504, "the proxy did not answer in time", "look at its log"));
  });
  const AdminRequest request = to_request(parser_->get(), local_address_);
  if (server_->stopping()) return on_answer(number, admin_error(503, "the proxy is stopping", "try another one"));
  // May be called on any thread, also after the server was stopped.
  server_->api().handle(request, [self = shared_from_this(), number](AdminResponse answer) {
    self->server_->post(
        [self, number, answer = std::move(answer)]() mutable { self->on_answer(number, std::move(answer)); });
  });
}

void Connection::on_answer(std::uint64_t number, AdminResponse answer) {
  if (!waiting_ || number != answering_) return;
  waiting_ = false;
  watchdog_.cancel();
  write(answer);
}

void Connection::write(const AdminResponse& answer) {
  const auto& request = parser_->get();
  const bool head = request.method() == http::verb::head;
  const bool keep_alive = parser_->is_done() && request.keep_alive() && !server_->stopping();
  response_ = http::response<http::string_body>(static_cast<http::status>(answer.status), 11);
  response_.set(http::field::server, "crossover");
  response_.set(http::field::content_type, answer.content_type);
  for (const auto& [name, value] : admin_security_headers()) response_.set(name, value);
  for (const auto& [name, value] : answer.headers) response_.set(name, value);
  response_.keep_alive(keep_alive);
  response_.content_length(answer.body.size());
  if (!head) response_.body() = answer.body;
  stream_.expires_after(write_timeout);
  http::async_write(stream_, response_, [self = shared_from_this(), keep_alive](beast::error_code error, std::size_t) {
    self->on_write(error, keep_alive);
  });
}

void Connection::on_write(beast::error_code error, bool keep_alive) {
  response_ = {};
  if (error || !keep_alive || server_->stopping()) return close();
  read();
}

void Connection::close() {
  closed_ = true;
  beast::error_code ignored;
  stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
  stream_.close();
  watchdog_.cancel();
}

std::string Server::start() {
  beast::error_code error;
  tcp::resolver resolver(io_);
  const auto& listen = options_.listen;
  const auto found = resolver.resolve(listen.host, std::to_string(listen.port), tcp::resolver::passive, error);
  const auto failed = [&](const char* what) {
    return std::string(what) + " " + to_string(listen) + ": " + error.message();
  };
  if (error || found.empty()) return failed("cannot resolve");
  const tcp::endpoint endpoint = *found.begin();
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) return failed("cannot listen on");
  port_ = acceptor_.local_endpoint(error).port();
  accept();
  thread_ = std::thread([this] { io_.run(); });
  return {};
}

void Server::accept() {
  acceptor_.async_accept([self = weak_from_this()](beast::error_code error, tcp::socket socket) {
    const auto server = self.lock();
    if (!server || server->stopping_) return;
    // Out of file descriptors, for example: trying at once would only spin.
    if (error) return server->accept_again_later();
    if (server->connections_.size() >= max_connections) server->make_room();
    if (server->connections_.size() < 2 * max_connections)
      std::make_shared<Connection>(server, std::move(socket))->read();
    server->accept();
  });
}

// Slow or silent clients must not shut out those who probe or roll back: the oldest whose request is not being
// answered goes.
void Server::make_room() {
  const auto silent = std::find_if(connections_.begin(), connections_.end(),
                                   [](const Connection* connection) { return connection->silent(); });
  if (silent != connections_.end()) (*silent)->close();
}

void Server::accept_again_later() {
  pause_.expires_after(100ms);
  pause_.async_wait([self = weak_from_this()](beast::error_code cancelled) {
    const auto server = self.lock();
    if (server && !cancelled) server->accept();
  });
}

void Server::post(std::function<void()> work) {
  const std::lock_guard lock(stopped_mutex_);
  if (!stopped_) asio::post(io_, std::move(work));
}

void Server::close_all() {
  for (Connection* connection : std::list(connections_)) connection->close();
}

void Server::stop() {
  if (stopping_.exchange(true) || !thread_.joinable()) return;
  asio::post(io_, [this] {
    beast::error_code ignored;
    acceptor_.close(ignored);
    pause_.expires_after(stop_grace);
    pause_.async_wait([this](beast::error_code) { close_all(); });
  });
  thread_.join();
  const std::lock_guard lock(stopped_mutex_);
  stopped_ = true;
}

}  // namespace

class AdminServer::Impl : public Server {
 public:
  using Server::Server;
};

AdminServer::AdminServer(AdminBackend& backend, AdminServerOptions options)
    : impl_(std::make_shared<Impl>(backend, std::move(options))) {}
AdminServer::~AdminServer() {
  stop();
}
std::string AdminServer::start() {
  return impl_->start();
}
std::uint16_t AdminServer::port() const {
  return impl_->port();
}
void AdminServer::stop() {
  impl_->stop();
}

}  // namespace crossover::src
