// One client connection: the sockets around a proxy::Session. Owned by its worker, used from that worker's thread only.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "proxy/session.h"
#include "src/channel.h"

namespace crossover::src {

class Worker;

class Connection final : public std::enable_shared_from_this<Connection>,
                         private proxy::SessionIo,
                         private Channel::Events {
 public:
  Connection(Worker& worker, std::uint64_t id, int fd, proxy::SessionOptions options);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void start();  // once, when it is owned
  void on_snapshot(std::shared_ptr<const proxy::Snapshot> snapshot);
  void on_predecessors_answered(std::uint64_t wait);
  void drain();
  void abort(std::string_view reason);  // closes the client side at once
  // Regularly: ends connections that are of no use to anybody, and reads again when memory allows.
  void on_tick(bool over_budget);

  std::uint64_t id() const { return id_; }
  std::size_t buffered() const { return buffered_; }
  proxy::SessionInfo info() const { return session_->info(); }
  const proxy::Session& session() const { return *session_; }
  const std::string& peer() const { return peer_; }

 private:
  // SessionIo
  void send_to_client(protocol::Bytes data) override;
  void close_client(std::string_view reason) override;
  std::size_t client_backlog() const override { return client_->unsent(); }
  void pause_client_reads() override { session_paused_ = true; }
  void resume_client_reads() override { session_paused_ = false; }
  void open_upstream(proxy::UpstreamId id, proxy::Cluster cluster, proxy::NodeId node) override;
  void send_upstream(proxy::UpstreamId id, protocol::Bytes data) override;
  void close_upstream(proxy::UpstreamId id) override;
  void arm_timer(proxy::Millis at) override;
  void want_image(proxy::Cluster cluster, proxy::Millis not_before) override;
  void want_binding(const proxy::WantedBinding& wanted) override;
  void want_predecessors(std::uint64_t wait, proxy::Cluster home, std::string_view client_id,
                         proxy::Millis arrived_at) override;

  // Channel::Events
  void on_open(Channel& channel) override;
  void on_bytes(Channel& channel, protocol::BytesView data) override;
  void on_sent(Channel& channel) override;
  void on_closed(Channel& channel, const std::string& reason) override;

  struct Upstream {
    std::shared_ptr<Channel> channel;
    proxy::Cluster cluster{};
    proxy::NodeId node = proxy::any_node;
    bool opened = false;
  };

  void client_closed(const std::string& reason);
  void upstream_closed(proxy::UpstreamId id, const std::string& reason);
  void schedule_timer();
  void on_timer_due();
  // After every event: writes what the session queued, applies backpressure, accounts, and ends when all is over.
  void settle();
  void apply_backpressure();

  Worker& worker_;
  const std::uint64_t id_;
  const std::string peer_;
  std::shared_ptr<Channel> client_;
  std::map<proxy::UpstreamId, Upstream> upstreams_;
  std::map<const Channel*, proxy::UpstreamId> upstream_ids_;
  boost::asio::steady_timer timer_;
  proxy::Millis timer_wanted_ = 0;  // 0: none
  proxy::Millis timer_armed_ = 0;
  std::string close_reason_;
  proxy::Millis closing_since_ = 0;
  proxy::Millis progress_at_;
  std::uint64_t progress_requests_ = 0;
  std::size_t buffered_ = 0;
  bool session_paused_ = false;
  bool memory_paused_ = false;
  bool upstream_reads_paused_ = false;
  bool client_gone_ = false;
  bool retired_ = false;
  std::unique_ptr<proxy::Session> session_;  // last: it goes first, while its io still stands
};

}  // namespace crossover::src
