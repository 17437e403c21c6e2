// The simulated cluster behind real sockets, one port per broker: what the demo runs against when no Kafka is wanted.

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>
#include <set>

#include "protocol/frame.h"
#include "tests/sim/cluster.h"

namespace crossover::sim {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t max_frame_bytes = 100 * 1024 * 1024;
constexpr std::size_t read_chunk_bytes = 64 * 1024;
constexpr std::size_t requests_ahead = 8;              // taken from a connection before the earlier ones are answered
constexpr std::size_t unsent_limit = 4 * 1024 * 1024;  // a client that does not read its answers is not read either

std::int64_t now_ms() {
  auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

struct Client {
  explicit Client(tcp::socket accepted)
      : socket(std::move(accepted)), frames(max_frame_bytes), chunk(read_chunk_bytes, 0) {}

  tcp::socket socket;
  ConnectionId id = 0;
  protocol::FrameBuffer frames;
  Bytes chunk;
  Bytes unsent;  // waits behind `sending`
  Bytes sending;
  bool reading = false;
  bool closing = false;  // once everything is sent
};

using ClientPtr = std::shared_ptr<Client>;

class Server {
 public:
  Server(asio::io_context& io, Cluster cluster) : io_(io), cluster_(std::move(cluster)), timer_(io) {}

  void listen(NodeId node, const tcp::endpoint& endpoint) {
    tcp::acceptor& acceptor = acceptors_.emplace_back(io_, endpoint);
    accept(node, acceptor);
  }

 private:
  void accept(NodeId node, tcp::acceptor& acceptor) {
    acceptor.async_accept([this, node, &acceptor](error_code failed, tcp::socket socket) {
      if (failed == asio::error::operation_aborted) return;
      if (!failed) welcome(node, std::move(socket));
      accept(node, acceptor);
    });
  }

  void welcome(NodeId node, tcp::socket socket) {
    auto connection = cluster_.connect(node);
    if (!connection) return;
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    auto client = std::make_shared<Client>(std::move(socket));
    client->id = *connection;
    clients_[client->id] = client;
    read(client);
  }

  void read(const ClientPtr& client) {
    bool full = cluster_.outstanding(client->id) >= requests_ahead || client->unsent.size() > unsent_limit;
    if (client->reading || client->closing || full) return;
    client->reading = true;
    client->socket.async_read_some(asio::buffer(client->chunk), [this, client](error_code failed, std::size_t size) {
      client->reading = false;
      if (failed) return drop(client);
      client->frames.append(BytesView(client->chunk).substr(0, size));
      serve(client);
    });
  }

  void serve(const ClientPtr& client) {
    feed(client);
    deliver();
    if (client->frames.broken()) return drop(client);
    read(client);
  }

  void feed(const ClientPtr& client) {
    while (!client->closing && cluster_.outstanding(client->id) < requests_ahead) {
      auto frame = client->frames.next();
      if (!frame) return;
      cluster_.request(client->id, *frame, now_ms());
    }
  }

  // Passes answers on until the brokers have no more, then sleeps until the next of them is due.
  void deliver() {
    for (auto replies = cluster_.take_replies(); !replies.empty(); replies = cluster_.take_replies()) {
      std::set<ConnectionId> touched;
      for (Reply& reply : replies) {
        auto found = clients_.find(reply.connection);
        if (found == clients_.end()) continue;
        found->second->unsent += reply.frame;
        found->second->closing |= reply.close;
        touched.insert(reply.connection);
      }
      for (ConnectionId id : touched) {
        auto found = clients_.find(id);
        if (found == clients_.end()) continue;
        ClientPtr client = found->second;
        feed(client);
        send(client);
      }
    }
    auto deadline = cluster_.next_deadline();
    if (!deadline) return;
    timer_.expires_after(std::chrono::milliseconds(std::max<std::int64_t>(*deadline - now_ms(), 0)));
    timer_.async_wait([this](error_code failed) {
      if (failed) return;
      cluster_.tick(now_ms());
      deliver();
    });
  }

  void send(const ClientPtr& client) {
    if (!client->sending.empty()) return;
    if (client->unsent.empty()) {
      if (client->closing) return drop(client);
      return read(client);
    }
    client->sending.swap(client->unsent);
    asio::async_write(client->socket, asio::buffer(client->sending), [this, client](error_code failed, std::size_t) {
      client->sending.clear();
      if (failed) return drop(client);
      send(client);
    });
  }

  void drop(const ClientPtr& client) {
    client->closing = true;
    cluster_.disconnect(client->id);
    clients_.erase(client->id);
    error_code ignored;
    client->socket.close(ignored);
  }

  asio::io_context& io_;
  Cluster cluster_;
  asio::steady_timer timer_;
  std::deque<tcp::acceptor> acceptors_;
  std::map<ConnectionId, ClientPtr> clients_;
};

struct Arguments {
  std::string name = "embedded";
  std::string host = "127.0.0.1";
  int port = 19092;
  ClusterOptions options;
};

constexpr const char* usage =
    "usage: embedded_cluster [--name NAME] [--listen HOST:PORT] [--brokers N] [--first-id N]\n"
    "         [--cluster-id ID] [--seed N] [--first-leader-epoch N] [--first-producer-id N]\n"
    "         [--release 2.8|3.9|4.4] [--auto-create] [--help]\n"
    "The brokers take the ports from PORT on.\n";

void fail(const std::string& what) {
  std::fprintf(stderr, "embedded_cluster: %s\n%s", what.c_str(), usage);
  std::exit(2);
}

long long number(const std::string& option, const std::string& text) {
  char* end = nullptr;
  long long value = std::strtoll(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || value < 0) fail(option + " wants a number, not '" + text + "'");
  return value;
}

void listen_argument(Arguments& arguments, const std::string& text) {
  std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) fail("--listen wants HOST:PORT");
  arguments.host = text.substr(0, colon);
  arguments.port = static_cast<int>(number("--listen", text.substr(colon + 1)));
}

KafkaRelease release(const std::string& text) {
  if (text == "2.8") return KafkaRelease::v2_8;
  if (text == "3.9") return KafkaRelease::v3_9;
  if (text != "4.4") fail("--release wants 2.8, 3.9 or 4.4");
  return KafkaRelease::v4_4;
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  ClusterOptions& options = arguments.options;
  using Setter = std::function<void(const std::string&)>;
  const std::map<std::string, Setter> setters = {
      {"--name", [&](const std::string& value) { arguments.name = value; }},
      {"--listen", [&](const std::string& value) { listen_argument(arguments, value); }},
      {"--brokers", [&](const std::string& value) { options.brokers = static_cast<int>(number("--brokers", value)); }},
      {"--first-id",
       [&](const std::string& value) { options.first_id = static_cast<NodeId>(number("--first-id", value)); }},
      {"--cluster-id", [&](const std::string& value) { options.cluster_id = value; }},
      {"--seed", [&](const std::string& v) { options.seed = static_cast<std::uint64_t>(number("--seed", v)); }},
      {"--first-leader-epoch",
       [&](const std::string& value) {
         options.first_leader_epoch = static_cast<LeaderEpoch>(number("--first-leader-epoch", value));
       }},
      {"--first-producer-id",
       [&](const std::string& value) { options.first_producer_id = number("--first-producer-id", value); }},
      {"--release", [&](const std::string& value) { options.release = release(value); }},
  };
  for (int i = 1; i < argc; ++i) {
    std::string option = argv[i];
    if (option == "--help") {
      std::fputs(usage, stdout);
      std::exit(0);
    }
    if (option == "--auto-create") {
      options.auto_create_topics = true;
      continue;
    }
    auto setter = setters.find(option);
    if (setter == setters.end()) fail("unknown option " + option);
    if (++i == argc) fail(option + " wants a value");
    setter->second(argv[i]);
  }
  if (options.brokers < 1 || options.brokers > 100) fail("--brokers wants 1 to 100");
  for (int i = 0; i < options.brokers; ++i) options.addresses.emplace_back(arguments.host, arguments.port + i);
  return arguments;
}

int serve(const Arguments& arguments) {
  asio::io_context io(1);
  Server server(io, Cluster(arguments.options));
  for (int i = 0; i < arguments.options.brokers; ++i) {
    tcp::endpoint endpoint(asio::ip::make_address(arguments.host), static_cast<std::uint16_t>(arguments.port + i));
    server.listen(arguments.options.first_id + i, endpoint);
  }
  asio::signal_set signals(io, SIGTERM, SIGINT);
  signals.async_wait([&](error_code, int) { io.stop(); });
  std::printf("READY %s %s:%d\n", arguments.name.c_str(), arguments.host.c_str(), arguments.port);
  std::fflush(stdout);
  io.run();
  return 0;
}

}  // namespace
}  // namespace crossover::sim

int main(int argc, char** argv) {
  using namespace crossover::sim;
  Arguments arguments = parse(argc, argv);
  try {
    return serve(arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "embedded_cluster: %s: %s\n", arguments.name.c_str(), error.what());
    return 1;
  }
}
