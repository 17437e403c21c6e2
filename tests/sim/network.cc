#include "tests/sim/network.h"

namespace crossover::sim {

Pipe::Pipe(Events& events, Random& random) : events_(events), random_(random), slowness_(random.between(50, 700)) {}

Micros Pipe::delay() {
  const Micros spike = random_.one_in(100) ? random_.between(2, 60) * one_ms : 0;
  return slowness_ + random_.below(200) + spike;
}

void Pipe::send(BytesView data) {
  if (cut_ || closed_ || data.empty()) return;
  if (!chunks_.empty() && chunks_.back().sent == events_.now()) {
    chunks_.back().data += data;
    return;
  }
  const Micros due = std::max(chunks_.empty() ? 0 : chunks_.back().due, events_.now() + delay());
  chunks_.push_back({events_.now(), due, Bytes(data), false});
  schedule();
}

void Pipe::close() {
  if (cut_ || closed_) return;
  closed_ = true;
  const Micros due = std::max(chunks_.empty() ? 0 : chunks_.back().due, events_.now() + delay());
  chunks_.push_back({-1, due, {}, true});
  schedule();
}

void Pipe::cut() {
  cut_ = true;
  chunks_.clear();
  on_bytes = nullptr;
  on_close = nullptr;
}

void Pipe::pause(bool paused) {
  paused_ = paused;
  schedule();
}

void Pipe::stall(Micros time) {
  for (Chunk& chunk : chunks_) chunk.due += time;
}

void Pipe::schedule() {
  if (scheduled_ || paused_ || chunks_.empty()) return;
  scheduled_ = true;
  events_.at(std::max(chunks_.front().due, events_.now()), [self = shared_from_this()] { self->deliver(); });
}

void Pipe::deliver() {
  const auto self = shared_from_this();
  scheduled_ = false;
  if (paused_ || chunks_.empty()) return;
  if (chunks_.front().due > events_.now()) return schedule();
  Chunk chunk = std::move(chunks_.front());
  chunks_.pop_front();
  if (chunk.data.size() > 1 && random_.one_in(40)) {
    const auto cut_at = static_cast<std::size_t>(random_.between(1, static_cast<std::int64_t>(chunk.data.size()) - 1));
    chunks_.push_front({-1, events_.now() + random_.below(2 * one_ms), chunk.data.substr(cut_at), false});
    chunk.data.resize(cut_at);
  }
  const bool ends = chunk.end || (bytes_left_ && chunk.data.size() >= *bytes_left_);
  if (bytes_left_) {
    chunk.data.resize(std::min(chunk.data.size(), *bytes_left_));
    *bytes_left_ -= chunk.data.size();
  }
  const auto arrived = on_bytes;
  const auto closed = on_close;
  if (ends) {
    cut();
  } else {
    schedule();
  }
  if (arrived && !chunk.data.empty()) arrived(chunk.data);
  if (ends && closed) closed();
}

namespace {

// In transaction protocol 1 these belong to whatever transaction is open when they are carried out: one that comes late
// ends the next transaction or moves its positions, on a plain cluster too (KIP-890 mends it with protocol 2).
bool belongs_to_any_transaction(BytesView frame) {
  constexpr protocol::Version first_protocol_2 = 5;
  const auto header = protocol::parse_request_header(frame);
  return header && header->version < first_protocol_2 &&
         (header->api == protocol::ApiKey::EndTxn || header->api == protocol::ApiKey::TxnOffsetCommit);
}

}  // namespace

std::size_t some_bytes(Random& random) {
  return static_cast<std::size_t>(random.below(random.one_in(2) ? 40 : 2'000));
}

void BrokerConnection::send(BytesView data) {
  if (!ended_) up_->send(data);
}

void BrokerConnection::close() {
  if (ended_) return;
  forget();
  if (open_) {
    up_->close();
  } else {
    up_->cut();
  }
}

void BrokerConnection::stall(Micros time) {
  stalled_ = true;
  up_->stall(time);
}

// The proxy hears no more of it.
void BrokerConnection::forget() {
  ended_ = true;
  on_open = nullptr;
  on_bytes = nullptr;
  on_closed = nullptr;
  down_->cut();
}

ClusterNet::ClusterNet(Events& events, Random& random, ClusterOptions options)
    : cluster(std::move(options)), events_(events), random_(random) {}

std::shared_ptr<BrokerConnection> ClusterNet::connect(NodeId node) {
  auto connection = std::make_shared<BrokerConnection>();
  connection->net_ = this;
  connection->up_ = std::make_shared<Pipe>(events_, random_);
  connection->down_ = std::make_shared<Pipe>(events_, random_);
  connection->up_->pause(true);
  events_.after(random_.between(100, 1'500), [this, connection, node] { opened(connection, node); });
  return connection;
}

void ClusterNet::opened(const std::shared_ptr<BrokerConnection>& connection, NodeId node) {
  if (connection->ended_) return;
  connection->id_ = cluster.connect(node);
  if (!connection->id_) {
    const auto closed = connection->on_closed;
    connection->forget();
    connection->up_->cut();
    if (closed) closed();
    return;
  }
  connection->open_ = true;
  const ConnectionId id = *connection->id_;
  connections_[id] = connection;
  const std::weak_ptr<BrokerConnection> weak = connection;
  connection->up_->on_bytes = [this, id, weak](BytesView data) {
    const auto self = weak.lock();
    if (!self) return;
    self->input_.append(data);
    while (auto frame = self->input_.next()) {
      if (!self->stalled_ || !belongs_to_any_transaction(*frame)) cluster.request(id, *frame, events_.now_ms());
    }
    pump();
  };
  connection->up_->on_close = [this, id, weak] {
    if (const auto self = weak.lock()) self->down_->close();
    cluster.disconnect(id);
    connections_.erase(id);
    pump();
  };
  connection->down_->on_bytes = [weak](BytesView data) {
    const auto self = weak.lock();
    if (!self) return;
    if (const auto act = self->on_bytes) act(data);
  };
  connection->down_->on_close = [weak] {
    const auto self = weak.lock();
    if (!self) return;
    const auto act = self->on_closed;
    self->forget();
    self->up_->close();
    if (act) act();
  };
  if (const auto act = connection->on_open) act();
  connection->up_->pause(false);
}

void ClusterNet::pump() {
  for (Reply& reply : cluster.take_replies()) {
    const auto found = connections_.find(reply.connection);
    if (found == connections_.end()) continue;
    const auto connection = found->second;
    connection->down_->send(reply.frame);
    if (!reply.close) continue;
    connections_.erase(found);
    connection->up_->cut();
    connection->down_->close();
  }
  const auto deadline = cluster.next_deadline();
  if (!deadline) return;
  const Micros due = events_.now() + std::max<std::int64_t>(*deadline - events_.now_ms(), 0) * one_ms;
  if (tick_due_ >= events_.now() && tick_due_ <= due) return;
  tick_due_ = due;
  events_.at(due, [this, due] {
    if (tick_due_ != due) return;  // an earlier one took its place
    cluster.tick(events_.now_ms());
    tick_due_ = -1;
    pump();
  });
}

// Both sides hear of it; whether the broker saw what was just under way is a matter of luck.
void ClusterNet::reset_some_connection() {
  if (connections_.empty()) return;
  const auto [id, connection] = random_.pick(connections_);
  connection->down_->close();
  if (random_.one_in(2)) {
    if (random_.one_in(2)) connection->stall(random_.between(1, 1'500) * one_ms);
    connection->up_->close();
  } else {
    connection->up_->cut();
    cluster.disconnect(id);
    connections_.erase(id);
    pump();
  }
}

void ClusterNet::strand_some_request() {
  std::vector<std::shared_ptr<BrokerConnection>> carrying;
  for (const auto& [id, connection] : connections_) {
    if (connection->up_->carries()) carrying.push_back(connection);
  }
  if (carrying.empty()) return;
  const auto connection = random_.pick(carrying);
  connection->down_->close();
  connection->stall(random_.between(20, longest_stranded / one_ms) * one_ms);
  connection->up_->close();
}

void ClusterNet::cut_some_connection() {
  if (connections_.empty()) return;
  const auto connection = random_.pick(connections_).second;
  (random_.one_in(2) ? connection->up_ : connection->down_)->cut_after(some_bytes(random_));
}

}  // namespace crossover::sim
