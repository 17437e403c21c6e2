#include "src/connection.h"

#include <boost/asio/post.hpp>

#include "src/log.h"
#include "src/worker.h"

namespace crossover::src {

using boost::system::error_code;
using config::LogLevel;
using protocol::Bytes;
using protocol::BytesView;
using proxy::Millis;

namespace {

// For the last answers of a session that ended, and for the peer to close too.
constexpr Millis closing_ms_max = 5'000;

}  // namespace

Connection::Connection(Worker& worker, std::uint64_t id, int fd, proxy::SessionOptions options)
    : worker_(worker), id_(id), peer_(options.peer), timer_(worker.io_), progress_at_(now_ms()) {
  client_ = std::make_shared<Channel>(worker.io_, static_cast<Channel::Events&>(*this), worker.read_buffer_);
  session_ = std::make_unique<proxy::Session>(static_cast<proxy::SessionIo&>(*this), worker.state_, std::move(options),
                                              worker.snapshot_, progress_at_);
  client_->adopt(fd);
}

void Connection::start() {
  settle();
}

Connection::~Connection() {
  client_->close();
  for (auto& [id, upstream] : upstreams_) upstream.channel->close();
  worker_.account(-static_cast<std::int64_t>(buffered_));
}

void Connection::on_snapshot(std::shared_ptr<const proxy::Snapshot> snapshot) {
  if (retired_) return;
  session_->on_snapshot(std::move(snapshot), now_ms());
  settle();
}

void Connection::on_predecessors_answered(std::uint64_t wait) {
  if (retired_) return;
  session_->on_predecessors_answered(wait, now_ms());
  settle();
}

void Connection::drain() {
  if (retired_) return;
  session_->drain(now_ms());
  settle();
}

void Connection::abort(std::string_view reason) {
  if (client_gone_) return;
  client_->close();
  if (closing_since_ == 0) close_client(reason);
  client_closed(close_reason_);
}

void Connection::on_tick(bool over_budget) {
  const Millis now = now_ms();
  if (memory_paused_ && !over_budget) {
    memory_paused_ = false;
    apply_backpressure();
  }
  if (client_gone_) return;
  if (closing_since_ != 0) {
    if (now - closing_since_ > closing_ms_max) abort(close_reason_);
    return;
  }
  // A client that trickles bytes and never completes a request makes no progress either.
  const proxy::SessionInfo info = session_->info();
  if (info.requests != progress_requests_ || info.in_flight != 0) {
    progress_requests_ = info.requests;
    progress_at_ = now;
  } else if (now - progress_at_ > worker_.options_.idle_ms) {
    ++worker_.totals_.closed_idle;
    abort("idle");
  }
}

// ---- what the session asks for ----

void Connection::send_to_client(Bytes data) {
  client_->send(std::move(data));
}

void Connection::close_client(std::string_view reason) {
  if (closing_since_ != 0) return;
  closing_since_ = now_ms();
  close_reason_ = reason;
}

void Connection::open_upstream(proxy::UpstreamId id, proxy::Cluster cluster, proxy::NodeId node) {
  auto channel = std::make_shared<Channel>(worker_.io_, static_cast<Channel::Events&>(*this), worker_.read_buffer_);
  if (upstream_reads_paused_) channel->pause_reads();
  channel->connect(worker_.addresses(cluster, node), worker_.options_.limits.upstream_connect_ms);
  upstream_ids_.emplace(channel.get(), id);
  upstreams_.insert_or_assign(id, Upstream{std::move(channel), cluster, node});
}

void Connection::send_upstream(proxy::UpstreamId id, Bytes data) {
  if (auto found = upstreams_.find(id); found != upstreams_.end()) found->second.channel->send(std::move(data));
}

void Connection::close_upstream(proxy::UpstreamId id) {
  auto found = upstreams_.find(id);
  if (found == upstreams_.end()) return;
  upstream_ids_.erase(found->second.channel.get());
  found->second.channel->close();
  upstreams_.erase(found);
}

void Connection::arm_timer(Millis at) {
  timer_wanted_ = at;
}

void Connection::want_binding(const proxy::WantedBinding& wanted) {
  worker_.want_binding(wanted);
}

void Connection::want_image(proxy::Cluster cluster, Millis not_before) {
  worker_.want_image(cluster, not_before);
}

void Connection::want_predecessors(std::uint64_t wait, proxy::Cluster home, std::string_view client_id,
                                   proxy::Millis arrived_at) {
  worker_.want_predecessors(id_, wait, home, std::string(client_id), arrived_at);
}

// ---- what the sockets tell ----

void Connection::on_open(Channel& channel) {
  auto found = upstream_ids_.find(&channel);
  if (found == upstream_ids_.end()) return;
  Upstream& upstream = upstreams_.at(found->second);
  upstream.opened = true;
  ++worker_.totals_.upstream_opened[proxy::index_of(upstream.cluster)];
  session_->on_upstream_opened(found->second, now_ms());
  settle();
}

void Connection::on_bytes(Channel& channel, BytesView data) {
  if (&channel == client_.get()) {
    session_->on_client_bytes(data, now_ms());
  } else if (auto found = upstream_ids_.find(&channel); found != upstream_ids_.end()) {
    session_->on_upstream_bytes(found->second, data, now_ms());
  }
  settle();
}

void Connection::on_sent(Channel& channel) {
  if (retired_) return;
  if (&channel == client_.get()) session_->on_client_writable(now_ms());
  settle();
}

void Connection::on_closed(Channel& channel, const std::string& reason) {
  if (&channel == client_.get()) return client_closed(reason);
  if (auto found = upstream_ids_.find(&channel); found != upstream_ids_.end()) upstream_closed(found->second, reason);
}

void Connection::client_closed(const std::string& reason) {
  if (client_gone_) return;
  client_gone_ = true;
  const bool ours = closing_since_ != 0;
  const std::string why = ours ? close_reason_ : reason;
  const proxy::SessionInfo info = session_->info();
  // That clients leave is their own affair; that we send one away is worth a line.
  log_limited(
      ours && !worker_.draining_ ? LogLevel::warn : LogLevel::debug, "client_closed",
      {{"peer", peer_}, {"client_id", info.client_id}, {"requests", std::to_string(info.requests)}, {"reason", why}});
  session_->on_client_closed(now_ms());
  settle();
}

void Connection::upstream_closed(proxy::UpstreamId id, const std::string& reason) {
  const Upstream upstream = upstreams_.at(id);
  upstream_ids_.erase(upstream.channel.get());
  upstreams_.erase(id);
  auto& count = upstream.opened ? worker_.totals_.upstream_lost : worker_.totals_.upstream_failed;
  ++count[proxy::index_of(upstream.cluster)];
  log_limited(LogLevel::debug, "upstream_closed",
              {{"peer", peer_},
               {"cluster", std::string(to_string(upstream.cluster))},
               {"node", std::to_string(upstream.node)},
               {"reason", reason}});
  session_->on_upstream_closed(id, now_ms());
  settle();
}

// ---- timer ----

// Sessions move their timer often and mostly to later; the real one is only moved to earlier and otherwise asked again.
void Connection::schedule_timer() {
  if (timer_wanted_ == 0 || (timer_armed_ != 0 && timer_armed_ <= timer_wanted_)) return;
  timer_armed_ = timer_wanted_;
  timer_.expires_after(std::chrono::milliseconds(std::max<Millis>(timer_wanted_ - now_ms(), 0)));
  timer_.async_wait([weak = weak_from_this(), armed = timer_armed_](error_code ec) {
    auto self = weak.lock();
    if (!self || ec || self->timer_armed_ != armed) return;
    self->timer_armed_ = 0;
    self->on_timer_due();
  });
}

void Connection::on_timer_due() {
  if (retired_ || timer_wanted_ == 0) return;
  const Millis now = now_ms();
  if (now < timer_wanted_) return schedule_timer();
  timer_wanted_ = 0;
  session_->on_timer(now);
  settle();
}

// ---- after every event ----

void Connection::settle() {
  if (retired_) return;
  client_->flush();
  std::size_t buffered = session_->buffered_bytes() + client_->unsent();
  for (auto& [id, upstream] : upstreams_) {
    upstream.channel->flush();
    buffered += upstream.channel->unsent();
  }
  worker_.account(static_cast<std::int64_t>(buffered) - static_cast<std::int64_t>(buffered_));
  const bool grew = buffered > buffered_;
  buffered_ = buffered;
  if (grew && !memory_paused_ && worker_.budget_->exceeded()) {
    memory_paused_ = true;
    log_limited(LogLevel::warn, "memory_budget_exceeded",
                {{"peer", peer_}, {"buffered_bytes", std::to_string(buffered_)}, {"action", "reading paused"}});
  }
  apply_backpressure();
  schedule_timer();
  if (closing_since_ != 0 && !client_gone_) client_->close_after_flush();
  worker_.note_state();
  if (client_gone_ && session_->finished()) {
    retired_ = true;
    for (auto& [id, upstream] : upstreams_) upstream.channel->close();
    worker_.retire(*this);
  }
}

// Whoever feeds a peer that does not keep up is not read until that peer has caught up by half.
void Connection::apply_backpressure() {
  const std::size_t bound = worker_.options_.unsent_bytes;
  bool upstream_slow = false;
  for (const auto& [id, upstream] : upstreams_) upstream_slow = upstream_slow || upstream.channel->unsent() > bound;
  const bool too_much = buffered_ > worker_.options_.connection_bytes;
  if (!client_gone_) {
    if (session_paused_ || memory_paused_ || upstream_slow || too_much || client_->unsent() > bound) {
      client_->pause_reads();
    } else {
      client_->resume_reads();
    }
  }
  const bool client_slow =
      !client_gone_ && (memory_paused_ || client_->unsent() > (upstream_reads_paused_ ? bound / 2 : bound));
  if (client_slow == upstream_reads_paused_) return;
  upstream_reads_paused_ = client_slow;
  for (auto& [id, upstream] : upstreams_) {
    if (client_slow) {
      upstream.channel->pause_reads();
    } else {
      upstream.channel->resume_reads();
    }
  }
}

}  // namespace crossover::src
