#include "tests/sim/clients.h"

namespace crossover::sim {

namespace {

// Above anything a broker or a proxy may take; beyond it a client would give up.
constexpr Micros request_timeout = 30'000 * one_ms;
constexpr Micros backoff = 50 * one_ms;

}  // namespace

// --- a connection ---

void ClientConnection::dial(int port, std::function<void()> on_closed) {
  on_closed_ = std::move(on_closed);
  const auto self = shared_from_this();
  world_.events.after(world_.random.between(100, 1'500), [self, port] {
    if (self->closed_) return;
    self->end_ = self->world_.dial(port);
    if (!self->end_) return self->ended();
    const std::weak_ptr<ClientConnection> weak = self;
    self->end_->to_client->on_bytes = [weak](BytesView data) {
      if (const auto self = weak.lock()) self->on_bytes(data);
    };
    self->end_->to_client->on_close = [weak] {
      if (const auto self = weak.lock()) self->ended();
    };
    self->end_->to_proxy->send(self->unsent_);
    self->unsent_.clear();
  });
  watch_time();
}

void ClientConnection::watch_time() {
  world_.events.after(5'000 * one_ms, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || self->closed_) return;
    if (!self->waiting_.empty() && self->world_.events.now() - self->waiting_.front().sent_at > request_timeout) {
      self->world_.checks.violated("7: " + self->owner_ + " got no answer for 30 s to API " +
                                   std::to_string(static_cast<int>(self->waiting_.front().api)));
      return self->close();
    }
    self->watch_time();
  });
}

void ClientConnection::send(ApiKey api, protocol::Version version, BytesView body, Answer answer) {
  if (closed_) {
    world_.events.after(0, [answer] { answer(std::nullopt); });
    return;
  }
  waiting_.push_back({api, version, next_correlation_, std::move(answer), world_.events.now()});
  send_unanswered(api, version, body);
}

void ClientConnection::send_unanswered(ApiKey api, protocol::Version version, BytesView body) {
  if (closed_) return;
  const Bytes frame = protocol::request_frame(api, version, next_correlation_++, owner_, body);
  if (end_) {
    end_->to_proxy->send(frame);
  } else {
    unsent_ += frame;
  }
}

void ClientConnection::on_bytes(BytesView data) {
  const auto self = shared_from_this();
  input_.append(data);
  while (auto frame = input_.next()) {
    if (closed_) return;
    if (waiting_.empty()) return world_.checks.violated("order: " + owner_ + " got an answer that it did not ask for");
    const Waiting call = std::move(waiting_.front());
    waiting_.pop_front();
    const auto header = protocol::parse_response_header(*frame, call.api, call.version);
    if (!header || header->correlation_id != call.correlation) {
      return world_.checks.violated("order: " + owner_ + " got an answer to another request than its oldest");
    }
    const BytesView body = BytesView(*frame).substr(header->body_at);
    world_.checks.on_answer(id_, call.api, call.version, body);
    call.answer(body);
  }
}

void ClientConnection::close() {
  if (end_) end_->to_proxy->close();
  ended();
}

void ClientConnection::ended() {
  if (closed_) return;
  const auto self = shared_from_this();
  closed_ = true;
  if (end_) {
    end_->to_client->cut();
    end_->to_proxy->close();
  }
  for (const Waiting& call : std::exchange(waiting_, {})) call.answer(std::nullopt);
  if (const auto act = std::exchange(on_closed_, nullptr)) act();
}

// --- what all clients do ---

Client::Client(ClientWorld& world, std::string name) : world_(world), name_(std::move(name)) {}

void Client::start() {
  ask_versions();
}

std::shared_ptr<ClientConnection> Client::connection(NodeId node) {
  auto& at = connections_[node];
  if (at && !at->closed()) return at;
  int port = ProxyProcess::bootstrap_port;
  if (node != bootstrap) {
    const auto found = ports_.find(node);
    if (found == ports_.end()) return nullptr;
    port = found->second;
  }
  at = std::make_shared<ClientConnection>(world_, name_);
  at->dial(port, [this, node] { on_connection_lost(node); });
  return at;
}

void Client::drop_connection(NodeId node) {
  const auto found = connections_.find(node);
  if (found != connections_.end() && found->second) found->second->close();
}

void Client::drop_connections() {
  for (auto& [node, connection] : connections_) {
    if (connection) connection->close();
  }
}

void Client::ask_versions() {
  protocol::ApiVersionsRequest ask;
  ask.client_software_name = "model";
  ask.client_software_version = "1";
  call<protocol::ApiVersionsResponse>(connection(bootstrap), 3, ask, [this](auto answer) {
    if (!answer || answer->error_code != 0) {
      world_.events.after(backoff, [this] { ask_versions(); });
      return;
    }
    for (const auto& row : answer->api_keys)
      announced_[static_cast<ApiKey>(row.api_key)] = {row.min_version, row.max_version};
    for (const auto& feature : answer->finalized_features) {
      if (feature.name == "transaction.version") transaction_version_ = feature.max_version_level;
    }
    metadata_version_ = version(ApiKey::Metadata, 7, 13);
    // Who does not learn topic ids speaks of topics by name.
    if (metadata_version_ < 10) cap(ApiKey::Produce, 12), cap(ApiKey::Fetch, 12);
    refresh();
  });
}

void Client::cap(ApiKey api, Version highest) {
  const auto found = announced_.find(api);
  if (found != announced_.end()) found->second.last = std::min(found->second.last, highest);
}

Client::Version Client::version(ApiKey api, Version lowest, Version highest) {
  const auto found = announced_.find(api);
  if (found == announced_.end()) {
    world_.checks.violated("answer: " + name_ + ": ApiVersions leaves out API " +
                           std::to_string(static_cast<int>(api)) + " of " + std::to_string(announced_.size()));
    return lowest;
  }
  const Version low = std::max(lowest, found->second.first), high = std::min(highest, found->second.last);
  return static_cast<Version>(world_.random.between(low, std::max(low, high)));
}

bool Client::all_arrived() const {
  return std::all_of(connections_.begin(), connections_.end(),
                     [](const auto& entry) { return !entry.second || entry.second->all_arrived(); });
}

void Client::refresh(Micros delay) {
  if (refreshing_ || announced_.empty()) return;
  refreshing_ = true;
  world_.events.after(delay, [this] { ask_metadata(); });
}

void Client::ask_metadata() {
  protocol::MetadataRequest ask;
  ask.allow_auto_topic_creation = false;
  ask.topics.emplace();
  std::set<std::string> names;
  for (const Place& place : world_.places) names.insert(place.topic);
  for (const std::string& name : names) ask.topics->emplace_back().name = name;
  NodeId node = bootstrap;
  if (!ports_.empty() && !world_.random.one_in(4)) node = world_.random.pick(ports_).first;
  call<protocol::MetadataResponse>(connection(node), metadata_version_, ask, [this](auto answer) {
    refreshing_ = false;
    if (!answer) return refresh(backoff);
    take_metadata(*answer, true);
    const bool first = !std::exchange(ready_, true);
    if (first) on_ready();
    on_metadata();
  });
}

void Client::take_metadata(const protocol::MetadataResponse& answer, bool) {
  if (answer.brokers.empty()) return;
  ports_.clear();
  for (const auto& broker : answer.brokers) ports_[broker.node_id] = broker.port;
  for (const auto& topic : answer.topics) {
    if (topic.error_code != 0 || !topic.name) continue;
    TopicInfo& info = topics_[*topic.name];
    info.id = topic.topic_id;
    for (const auto& p : topic.partitions) {
      PartitionInfo& known = info.partitions[p.partition_index];
      // As all clients do: what is older than what is known is not believed.
      if (p.leader_epoch >= 0 && p.leader_epoch < known.epoch) continue;
      known = {p.error_code == 0 ? p.leader_id : -1, p.leader_epoch};
    }
  }
}

const Client::PartitionInfo* Client::leader_of(const Place& place) const {
  const auto topic = topics_.find(place.topic);
  if (topic == topics_.end()) return nullptr;
  const auto found = topic->second.partitions.find(place.partition);
  return found == topic->second.partitions.end() || found->second.leader < 0 ? nullptr : &found->second;
}

Uuid Client::id_of(const std::string& topic) const {
  const auto found = topics_.find(topic);
  return found == topics_.end() ? Uuid{} : found->second.id;
}

std::optional<std::string> Client::name_of(const Uuid& id) const {
  for (const auto& [name, info] : topics_) {
    if (info.id == id) return name;
  }
  return std::nullopt;
}

// --- a watcher ---

namespace {

class Watcher : public Client {
 public:
  using Client::Client;
  bool done() override { return true; }

 protected:
  void on_ready() override {}
  void on_metadata() override { refresh(world_.random.between(5, 250) * one_ms); }
};

}  // namespace

std::unique_ptr<Client> make_watcher(ClientWorld& world, std::string name) {
  return std::make_unique<Watcher>(world, std::move(name));
}

}  // namespace crossover::sim
