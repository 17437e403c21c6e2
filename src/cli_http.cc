#include "src/cli_http.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <optional>

namespace crossover::src {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

constexpr std::uint64_t max_answer_bytes = 256 * 1024 * 1024;

// Beast's synchronous calls know no timeouts, so each asynchronous one is run to its end.
class Exchange {
 public:
  Exchange(const config::HostPort& address, std::chrono::seconds timeout) : address_(address), stream_(io_) {
    stream_.expires_after(timeout);
    parser_.body_limit(max_answer_bytes);
  }

  HttpAnswer run(http::request<http::string_body> request) {
    asio::ip::tcp::resolver resolver(io_);
    beast::error_code error;
    const auto found = resolver.resolve(address_.host, std::to_string(address_.port), error);
    if (error) return failed(error);
    stream_.async_connect(found, [&](beast::error_code e, const auto&) { error = e; });
    finish();
    if (error) return failed(error);
    http::async_write(stream_, request, [&](beast::error_code e, std::size_t) { error = e; });
    finish();
    if (error) return failed(error);
    http::async_read(stream_, buffer_, parser_, [&](beast::error_code e, std::size_t) { error = e; });
    finish();
    if (error) return failed(error);
    return {static_cast<int>(parser_.get().result_int()), std::move(parser_.get().body()), ""};
  }

 private:
  void finish() {
    io_.restart();
    io_.run();
  }
  HttpAnswer failed(beast::error_code error) const { return {0, "", to_string(address_) + ": " + error.message()}; }

  config::HostPort address_;
  asio::io_context io_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  http::response_parser<http::string_body> parser_;
};

}  // namespace

HttpAnswer http_request(const config::HostPort& address, const std::string& method, const std::string& target,
                        const std::string& body, std::chrono::seconds timeout) {
  http::request<http::string_body> request(http::string_to_verb(method), target, 11);
  request.set(http::field::host, to_string(address));
  request.set(http::field::user_agent, "crossover");
  if (!body.empty()) request.set(http::field::content_type, "application/json");
  request.body() = body;
  request.keep_alive(false);
  request.prepare_payload();
  return Exchange(address, timeout).run(std::move(request));
}

}  // namespace crossover::src
