#include "src/cluster_client.h"

#include <algorithm>
#include <boost/asio/post.hpp>

#include "protocol/frame.h"
#include "proxy/limits.h"
#include "src/log.h"

namespace crossover::src {

using boost::system::error_code;
using config::LogLevel;
using protocol::Bytes;
using protocol::BytesView;
using proxy::CallId;
using proxy::Millis;

namespace {

constexpr std::size_t read_buffer_bytes = 262'144;
// Between attempts to connect, so that a broker that refuses at once is not asked in a tight loop.
constexpr Millis connect_again_ms = 50;
constexpr Millis passing_ms = 5'000;
const std::string client_id = "crossover";

}  // namespace

// The connection to one broker, opened when there is something to say.
class ClusterClient::Link : public std::enable_shared_from_this<Link>, private Channel::Events {
 public:
  Link(ClusterClient& owner, proxy::NodeId node) : owner_(owner), node_(node), timer_(owner.io_) {}
  ~Link() override {
    if (channel_) channel_->close();
  }

  void request(CallId id, protocol::ApiKey api, protocol::Version version, BytesView body, Millis timeout_ms) {
    const std::int32_t correlation = next_correlation_++ & 0x7fffffff;
    waiting_.push_back({id, api, version, correlation, now_ms() + timeout_ms, false});
    if (!channel_) connect();
    channel_->send(protocol::request_frame(api, version, correlation, client_id, body));
    channel_->flush();
    arm_timer();
  }

  // Whoever waits gets no answer; the next request connects anew.
  void drop(const std::string& reason) {
    if (channel_) channel_->close();
    channel_.reset();
    fail_all(reason);
  }

 private:
  struct Waiting {
    CallId id;
    protocol::ApiKey api;
    protocol::Version version;
    std::int32_t correlation;
    Millis deadline;
    bool answered;  // with nothing, because it took too long; its answer may still come
  };

  void connect() {
    channel_ = std::make_shared<Channel>(owner_.io_, static_cast<Channel::Events&>(*this), owner_.read_buffer_);
    input_ = protocol::FrameBuffer(proxy::Limits{}.response_bytes);
    const Millis wait = failed_at_ + connect_again_ms - now_ms();
    if (failed_at_ == 0 || wait <= 0) return dial(channel_);
    auto pause = std::make_shared<boost::asio::steady_timer>(owner_.io_, std::chrono::milliseconds(wait));
    pause->async_wait([weak = weak_from_this(), channel = channel_, pause](error_code) {
      if (auto self = weak.lock(); self && self->channel_ == channel) self->dial(channel);
    });
  }

  void dial(const std::shared_ptr<Channel>& channel) {
    channel->connect(owner_.addresses(node_), proxy::Limits{}.upstream_connect_ms);
  }

  void on_open(Channel&) override { failed_at_ = 0; }

  void on_bytes(Channel&, BytesView data) override {
    auto self = shared_from_this();
    input_.append(data);
    while (channel_) {
      std::optional<Bytes> frame = input_.next();
      if (!frame) break;
      take(std::move(*frame));
    }
    if (channel_ && input_.broken()) drop("malformed answer");
    arm_timer();
  }

  void take(Bytes frame) {
    if (waiting_.empty()) return drop("answer without a request");
    const Waiting call = waiting_.front();
    const auto header = protocol::parse_response_header(frame, call.api, call.version);
    if (!header || header->correlation_id != call.correlation) return drop("answer to another request");
    waiting_.pop_front();
    // One that was given up while it stood behind others is only now being worked on: time for its answer to pass by.
    if (!waiting_.empty() && waiting_.front().answered) waiting_.front().deadline = now_ms() + passing_ms;
    if (!call.answered) owner_.reply_(call.id, frame.substr(header->body_at));
  }

  void on_sent(Channel&) override {}

  void on_closed(Channel&, const std::string& reason) override {
    auto self = shared_from_this();
    channel_.reset();
    failed_at_ = now_ms();
    fail_all(reason);
  }

  void fail_all(const std::string& reason) {
    std::deque<Waiting> failed = std::exchange(waiting_, {});
    if (!failed.empty()) {
      log_limited(LogLevel::debug, "cluster_request_failed",
                  {{"cluster", std::string(to_string(owner_.cluster_))},
                   {"node", std::to_string(node_)},
                   {"requests", std::to_string(failed.size())},
                   {"reason", reason}});
    }
    // Posted: drop() may be called by who asks.
    boost::asio::post(owner_.io_, [&reply = owner_.reply_, failed = std::move(failed)] {
      for (const Waiting& call : failed) {
        if (!call.answered) reply(call.id, std::nullopt);
      }
    });
  }

  void arm_timer() {
    Millis next = 0;
    for (const Waiting& call : waiting_) {
      if (!call.answered || &call == &waiting_.front())
        next = next == 0 ? call.deadline : std::min(next, call.deadline);
    }
    if (next == 0 || (armed_ != 0 && armed_ <= next)) return;
    armed_ = next;
    timer_.expires_after(std::chrono::milliseconds(std::max<Millis>(next - now_ms(), 0)));
    timer_.async_wait([weak = weak_from_this(), due = next](error_code ec) {
      auto self = weak.lock();
      if (ec || !self || self->armed_ != due) return;
      self->armed_ = 0;
      self->on_timer();
    });
  }

  // The broker answers in order: when the first one is late, nothing behind it can be expected on this connection.
  void on_timer() {
    const Millis now = now_ms();
    if (!waiting_.empty() && waiting_.front().deadline <= now) {
      failed_at_ = now;
      return drop("no answer in time");
    }
    for (Waiting& call : waiting_) {
      if (call.answered || call.deadline > now) continue;
      call.answered = true;
      boost::asio::post(owner_.io_, [&reply = owner_.reply_, id = call.id] { reply(id, std::nullopt); });
    }
    arm_timer();
  }

  ClusterClient& owner_;
  const proxy::NodeId node_;
  boost::asio::steady_timer timer_;
  Millis armed_ = 0;
  std::shared_ptr<Channel> channel_;
  protocol::FrameBuffer input_{0};
  std::deque<Waiting> waiting_;
  std::int32_t next_correlation_ = 0;
  Millis failed_at_ = 0;
};

ClusterClient::ClusterClient(boost::asio::io_context& io, proxy::Cluster cluster,
                             std::vector<config::HostPort> bootstrap, Reply reply)
    : io_(io),
      cluster_(cluster),
      bootstrap_(std::move(bootstrap)),
      reply_(std::move(reply)),
      read_buffer_(read_buffer_bytes),
      random_(std::random_device{}()) {}

ClusterClient::~ClusterClient() = default;

void ClusterClient::request(CallId id, proxy::NodeId node, protocol::ApiKey api, protocol::Version version,
                            BytesView body, Millis timeout_ms) {
  auto& link = links_[node];
  if (!link) link = std::make_shared<Link>(*this, node);
  link->request(id, api, version, body, timeout_ms);
}

void ClusterClient::apply(const proxy::ClusterImage& image) {
  std::map<proxy::NodeId, config::HostPort> now;
  for (const auto& [id, at] : image.brokers) now[id] = {at.host, static_cast<std::uint16_t>(at.port)};
  if (now == brokers_) return;
  for (const auto& [id, address] : brokers_) {
    auto link = links_.find(id);
    if (link == links_.end()) continue;
    auto moved = now.find(id);
    if (moved == now.end() || moved->second != address) link->second->drop("broker moved");
  }
  brokers_ = std::move(now);
}

std::vector<config::HostPort> ClusterClient::addresses(proxy::NodeId node) {
  std::vector<config::HostPort> found;
  if (node != proxy::any_node) {
    if (auto broker = brokers_.find(node); broker != brokers_.end()) found.push_back(broker->second);
    return found;
  }
  for (const auto& [id, address] : brokers_) found.push_back(address);
  std::shuffle(found.begin(), found.end(), random_);
  // Each attempt gets an even share of the time: a few are enough, and the operator's addresses are always among them.
  if (found.size() > 3) found.resize(3);
  found.insert(found.end(), bootstrap_.begin(), bootstrap_.end());
  return found;
}

}  // namespace crossover::src
