#include "tests/sim/world_proxy.h"

namespace crossover::sim {

// --- sessions ---

class ProxyProcess::Connection : public proxy::SessionIo {
 public:
  Connection(ProxyProcess& process, std::size_t worker, std::uint64_t id, std::optional<NodeId> broker,
             ClientEnd client);
  ~Connection() override;

  void send_to_client(Bytes data) override {
    if (!process_.frozen_) client_.to_client->send(data);
  }
  void close_client(std::string_view) override { closing_ = true; }
  void pause_client_reads() override { client_.to_proxy->pause(true); }
  void resume_client_reads() override { client_.to_proxy->pause(false); }
  void open_upstream(proxy::UpstreamId id, Side side, NodeId node) override;
  void send_upstream(proxy::UpstreamId id, Bytes data) override {
    const auto found = upstreams_.find(id);
    if (found != upstreams_.end() && !process_.frozen_) found->second->send(data);
  }
  void close_upstream(proxy::UpstreamId id) override {
    const auto found = upstreams_.find(id);
    if (found == upstreams_.end()) return;
    found->second->close();
    upstreams_.erase(found);
  }
  void arm_timer(Millis at) override;
  void want_image(Side side, Millis not_before) override { process_.want_image(side, not_before); }
  void want_binding(const proxy::WantedBinding& wanted) override { process_.want_binding(wanted); }
  void want_predecessors(std::uint64_t wait, Side home, std::string_view client_id, Millis arrived_at) override {
    process_.want_predecessors(worker_, id_, wait, home, std::string(client_id), arrived_at);
  }
  void on_predecessors_answered(std::uint64_t wait) {
    session_->on_predecessors_answered(wait, now());
    settle();
  }
  const proxy::Session& session() const { return *session_; }

  void on_snapshot(std::shared_ptr<const proxy::Snapshot> snapshot) {
    session_->on_snapshot(std::move(snapshot), now());
    settle();
  }
  void reset() {
    client_.to_client->close();
    client_closed();
  }
  void cut(Random& random) { (random.one_in(2) ? client_.to_proxy : client_.to_client)->cut_after(some_bytes(random)); }

 private:
  Millis now() const { return process_.around_.events.now_ms(); }
  void client_closed();
  void settle();

  ProxyProcess& process_;
  std::size_t worker_;
  std::uint64_t id_;
  ClientEnd client_;
  std::unique_ptr<proxy::Session> session_;
  std::map<proxy::UpstreamId, std::shared_ptr<BrokerConnection>> upstreams_;
  bool closing_ = false, closed_ = false, gone_ = false, retired_ = false;
  Millis timer_at_ = -1;
};

struct ProxyProcess::Worker {
  Worker(Events& events, Random& random, bool slow) : inbox(events, random, slow), outbox(events, random, slow) {}
  Mailbox inbox, outbox;  // from and to the controller
  std::shared_ptr<const proxy::Snapshot> snapshot = std::make_shared<proxy::Snapshot>();
  std::map<std::uint64_t, std::unique_ptr<Connection>> connections;
  std::map<std::uint64_t, ClientEnd> arriving;
  std::uint64_t next_id = 1;
  proxy::AwaitedWrites awaited;
  std::set<std::string> reported_ids;
  bool report_due = false, flip_under_way = false, check_due = false;
  std::map<proxy::DefinedRoute, std::pair<std::int64_t, std::int64_t>> reported;
  std::map<std::string, std::int64_t> reported_commits;
};

ProxyProcess::Connection::Connection(ProxyProcess& process, std::size_t worker, std::uint64_t id,
                                     std::optional<NodeId> broker, ClientEnd client)
    : process_(process), worker_(worker), id_(id), client_(std::move(client)) {
  proxy::SessionOptions options;
  options.virtual_broker = broker;
  session_ = std::make_unique<proxy::Session>(*this, process.states_[worker], options,
                                              process.workers_[worker]->snapshot, now());
  client_.to_proxy->on_bytes = [this](BytesView data) {
    if (gone_) return;
    session_->on_client_bytes(data, now());
    settle();
  };
  client_.to_proxy->on_close = [this] {
    client_.to_client->close();
    client_closed();
  };
}

ProxyProcess::Connection::~Connection() {
  session_.reset();  // its last effects still find everything in place
  client_.to_proxy->cut();
  client_.to_client->close();
  for (auto& [id, upstream] : upstreams_) {
    if (process_.frozen_ && process_.around_.random.one_in(10))
      upstream->stall(process_.around_.random.between(1, 500) * one_ms);
    upstream->close();
  }
}

void ProxyProcess::Connection::client_closed() {
  if (gone_) return;
  gone_ = true;
  client_.to_proxy->cut();
  session_->on_client_closed(now());
  settle();
}

void ProxyProcess::Connection::open_upstream(proxy::UpstreamId id, Side side, NodeId node) {
  const auto& snapshot = *process_.workers_[worker_]->snapshot;
  auto upstream = process_.around_.nets[proxy::index_of(side)]->connect(process_.pick_node(side, node, snapshot));
  upstreams_[id] = upstream;
  upstream->on_open = [this, id] {
    session_->on_upstream_opened(id, now());
    settle();
  };
  upstream->on_bytes = [this, id](BytesView data) {
    session_->on_upstream_bytes(id, data, now());
    settle();
  };
  upstream->on_closed = [this, id] {
    upstreams_.erase(id);
    session_->on_upstream_closed(id, now());
    settle();
  };
}

void ProxyProcess::Connection::arm_timer(Millis at) {
  if (timer_at_ >= now() && timer_at_ <= at) {
    timer_at_ = std::min(timer_at_, at);
    return;
  }
  timer_at_ = at;
  const auto weak_process = std::weak_ptr<bool>(process_.alive_);
  ProxyProcess* process = &process_;
  process_.around_.events.after((at - now()) * one_ms, [process, weak_process, worker = worker_, id = id_] {
    if (weak_process.expired()) return;
    auto& connections = process->workers_[worker]->connections;
    const auto found = connections.find(id);
    if (found == connections.end()) return;
    Connection& self = *found->second;
    self.timer_at_ = -1;
    self.session_->on_timer(self.now());
    self.settle();
  });
}

// After every event; the object may be gone once this event is over.
void ProxyProcess::Connection::settle() {
  if (closing_ && !closed_) {
    closed_ = true;
    client_.to_client->close();
    client_.to_proxy->cut();
    process_.around_.events.after(500, process_.guarded([process = &process_, worker = worker_, id = id_] {
      auto& connections = process->workers_[worker]->connections;
      if (const auto found = connections.find(id); found != connections.end()) found->second->client_closed();
    }));
  }
  process_.note_state(worker_);
  if (!gone_ || retired_ || !session_->finished()) return;
  retired_ = true;
  process_.around_.events.after(0, process_.guarded([process = &process_, worker = worker_, id = id_] {
    process->workers_[worker]->connections.erase(id);
    process->check_writes(worker);
  }));
}

// --- the controller's own requests ---

class ProxyProcess::OwnLink : public std::enable_shared_from_this<OwnLink> {
 public:
  OwnLink(ProxyProcess& process, Side side, NodeId node) : process_(process), side_(side), node_(node) {}
  ~OwnLink() {
    if (connection_) connection_->close();
  }

  void request(proxy::CallId id, ApiKey api, protocol::Version version, BytesView body, Millis timeout_ms) {
    if (!connection_) connect();
    const std::int32_t correlation = ++next_correlation_;
    connection_->send(protocol::request_frame(api, version, correlation, "crossover", body));
    waiting_.push_back({id, correlation, api, version});
    process_.around_.events.after(timeout_ms * one_ms, process_.guarded([weak = weak_from_this(), id] {
      if (const auto self = weak.lock()) self->timed_out(id);
    }));
  }

 private:
  struct Waiting {
    proxy::CallId id;
    std::int32_t correlation;
    ApiKey api;
    protocol::Version version;
  };

  void connect() {
    const auto snapshot = process_.controller_->snapshot();
    connection_ = process_.around_.nets[proxy::index_of(side_)]->connect(process_.pick_node(side_, node_, *snapshot));
    input_ = protocol::FrameBuffer(std::size_t{1} << 26);
    connection_->on_bytes = [this](BytesView data) {
      input_.append(data);
      while (auto frame = input_.next()) {
        if (waiting_.empty()) return;
        const Waiting call = waiting_.front();
        waiting_.pop_front();
        const auto header = protocol::parse_response_header(*frame, call.api, call.version);
        answer(call.id, header ? std::optional(Bytes(frame->substr(header->body_at))) : std::nullopt);
      }
    };
    connection_->on_closed = [this] {
      connection_.reset();
      fail_all();
    };
  }

  void timed_out(proxy::CallId id) {
    const bool known = std::any_of(waiting_.begin(), waiting_.end(), [id](const Waiting& w) { return w.id == id; });
    if (!known) return;
    if (connection_) connection_->close();
    connection_.reset();
    fail_all();
  }

  void fail_all() {
    for (const Waiting& call : std::exchange(waiting_, {})) answer(call.id, std::nullopt);
  }

  void answer(proxy::CallId id, std::optional<Bytes> body) {
    ProxyProcess* process = &process_;
    process_.controller_event([process, id, body = std::move(body)] {
      process->controller_->on_reply(id, body, process->around_.events.now_ms());
    });
  }

  ProxyProcess& process_;
  Side side_;
  NodeId node_;
  std::shared_ptr<BrokerConnection> connection_;
  protocol::FrameBuffer input_{std::size_t{1} << 26};
  std::deque<Waiting> waiting_;
  std::int32_t next_correlation_ = 0;
};

// --- the controller's effects ---

class ProxyProcess::Io : public proxy::ControllerIo {
 public:
  explicit Io(ProxyProcess& process) : process_(process) {}
  void publish(std::shared_ptr<const proxy::Snapshot> snapshot) override { process_.publish(std::move(snapshot)); }
  void request(proxy::CallId id, Side side, NodeId node, ApiKey api, protocol::Version version, Bytes body,
               Millis timeout_ms) override {
    if (process_.frozen_) return;
    auto& link = process_.links_[{side, node}];
    if (!link) link = std::make_shared<OwnLink>(process_, side, node);
    // Posted: the controller must not be called back from within.
    process_.around_.events.after(10, process_.guarded([link, id, api, version, body = std::move(body), timeout_ms] {
      link->request(id, api, version, body, timeout_ms);
    }));
  }
  void append_control(proxy::CallId id, Side side, Bytes record) override {
    if (!process_.frozen_) process_.append(id, side, std::move(record));
  }
  void trim_control(Side side, Offset before) override {
    ControlTopic& topic = *process_.around_.topics[proxy::index_of(side)];
    while (!process_.frozen_ && topic.start < before && !topic.records.empty()) {
      topic.records.pop_front();
      ++topic.start;
    }
  }
  void arm_timer(Millis at) override { process_.arm_controller(at); }
  void log(std::string_view level, std::string_view event,
           std::vector<std::pair<std::string, std::string>> fields) override {
    if (!process_.around_.log) return;
    std::string line = std::string(level) + " " + std::string(event);
    for (const auto& [key, value] : fields) line += " " + key + "=" + value;
    process_.around_.log(line);
  }
  void passed(std::string_view step) override {
    if (process_.around_.passed) process_.around_.passed(step);
  }

 private:
  ProxyProcess& process_;
};

// --- the process ---

ProxyProcess::ProxyProcess(ProxySurroundings around, std::uint64_t generation)
    : around_(std::move(around)), generation_(generation), io_(std::make_unique<Io>(*this)) {
  const auto count = static_cast<std::size_t>(around_.random.between(1, 3));
  if (around_.random.one_in(2)) late_when_dead_ = around_.random.between(1, 1'000) * one_ms;
  states_.resize(count);
  for (std::size_t i = 0; i < count; ++i)
    workers_.push_back(std::make_unique<Worker>(around_.events, around_.random, around_.slow_workers));
  proxy::ControllerOptions options;
  options.proxy_id = "proxy-" + std::to_string(generation);
  options.first_port = first_port;
  options.seed = generation;
  options.predecessor_ms = -1;  // this process begins when the one before is dead
  controller_ = std::make_unique<proxy::Controller>(*io_, options, count);
}

ProxyProcess::~ProxyProcess() {
  alive_.reset();
  for (auto& worker : workers_) {
    worker->connections.clear();
    for (auto& [id, end] : worker->arriving) {
      end.to_proxy->cut();
      end.to_client->close();
    }
  }
  links_.clear();
}

std::function<void()> ProxyProcess::guarded(std::function<void()> act) {
  return [alive = std::weak_ptr<bool>(alive_), act = std::move(act)] {
    if (!alive.expired()) act();
  };
}

void ProxyProcess::controller_event(std::function<void()> act) {
  around_.events.after(around_.random.between(1, 30), guarded(std::move(act)));
}

void ProxyProcess::start() {
  controller_->start(around_.events.now_ms());
  for (const Side side : proxy::both_clusters) {
    ControlTopic& topic = *around_.topics[proxy::index_of(side)];
    topic.readers.push_back(guarded([this, side] { read_control(side); }));
    around_.events.after(around_.random.between(1, 30) * one_ms, guarded([this, side] { read_control(side); }));
  }
  for (std::size_t i = 0; i < workers_.size(); ++i) tick(i);
}

void ProxyProcess::die() {
  frozen_ = true;
  for (auto& topic : around_.topics) topic->readers.clear();
}

void ProxyProcess::tick(std::size_t worker) {
  report(worker);
  around_.events.after(250 * one_ms, guarded([this, worker] { tick(worker); }));
}

NodeId ProxyProcess::pick_node(Side side, NodeId node, const proxy::Snapshot& snapshot) {
  if (node != proxy::any_node) return node;
  std::vector<NodeId> known;
  if (const auto& image = snapshot.images[proxy::index_of(side)]) {
    for (const auto& [id, address] : image->brokers) known.push_back(id);
  }
  // The bootstrap addresses: one that answers.
  if (known.empty() || around_.random.one_in(3)) known = around_.nets[proxy::index_of(side)]->cluster.brokers();
  return known.empty() ? -1 : around_.random.pick(known);
}

// Listeners open when both control topics were read: what one says may be superseded by the other.
std::optional<ClientEnd> ProxyProcess::accept(int port) {
  const bool serving = readers_[0].caught_up && readers_[1].caught_up && !controller_->snapshot()->announced.empty();
  if (!serving) return std::nullopt;
  std::optional<NodeId> broker;
  if (port != bootstrap_port) broker = port - first_port;
  ClientEnd end{std::make_shared<Pipe>(around_.events, around_.random),
                std::make_shared<Pipe>(around_.events, around_.random)};
  const auto at = static_cast<std::size_t>(around_.random.below(static_cast<std::int64_t>(workers_.size())));
  // It comes to the worker behind the snapshots that were published before it.
  const std::uint64_t id = workers_[at]->next_id++;
  workers_[at]->arriving[id] = end;
  end.to_proxy->pause(true);
  workers_[at]->inbox.post(guarded([this, at, id, broker, end] {
    workers_[at]->arriving.erase(id);
    workers_[at]->connections[id] = std::make_unique<Connection>(*this, at, id, broker, end);
    end.to_proxy->pause(false);
  }));
  return end;
}

void ProxyProcess::reset_some_client() {
  Worker& worker = *around_.random.pick(workers_);
  if (!worker.connections.empty()) around_.random.pick(worker.connections).second->reset();
}

void ProxyProcess::cut_some_client() {
  Worker& worker = *around_.random.pick(workers_);
  if (!worker.connections.empty()) around_.random.pick(worker.connections).second->cut(around_.random);
}

std::int64_t ProxyProcess::held() const {
  std::int64_t held = 0;
  for (const auto& state : states_) {
    for (const auto& [name, load] : state.routes) held += load.held;
  }
  return held;
}

// --- controller and workers ---

void ProxyProcess::publish(std::shared_ptr<const proxy::Snapshot> snapshot) {
  if (frozen_) return;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    workers_[i]->inbox.post(guarded([this, i, snapshot] { apply(i, snapshot); }));
  }
}

void ProxyProcess::apply(std::size_t at, std::shared_ptr<const proxy::Snapshot> snapshot) {
  Worker& worker = *workers_[at];
  worker.snapshot = snapshot;
  worker.flip_under_way = snapshot->under_way();
  for (auto& [id, connection] : worker.connections) connection->on_snapshot(snapshot);
  report(at);
}

void ProxyProcess::note_state(std::size_t at) {
  Worker& worker = *workers_[at];
  if (!worker.awaited.empty() && !std::exchange(worker.check_due, true))
    around_.events.after(0, guarded([this, at] { check_writes(at); }));
  if (!worker.flip_under_way || worker.report_due) return;
  bool same = worker.reported.size() == states_[at].routes.size();
  for (const auto& [name, load] : states_[at].routes) {
    const auto found = worker.reported.find(name);
    same = same && found != worker.reported.end() && found->second == std::pair(load.writes_in_flight, load.held);
  }
  same = same && worker.reported_commits == states_[at].commits_in_flight;
  if (same && worker.reported_ids == states_[at].in_flight_of(worker.snapshot->held_ids)) return;
  worker.report_due = true;
  around_.events.after(0, guarded([this, at] { report(at); }));
}

// Each worker sees the question, and the asking one each answer, some time later.
void ProxyProcess::want_predecessors(std::size_t at, std::uint64_t connection, std::uint64_t wait, Side home,
                                     const std::string& client_id, Millis arrived_at) {
  const auto missing = std::make_shared<std::size_t>(workers_.size());
  const auto answered = [this, at, connection, wait, missing] {
    around_.events.after(around_.random.between(5, 150), guarded([this, at, connection, wait, missing] {
                           if (--*missing > 0) return;
                           const auto found = workers_[at]->connections.find(connection);
                           if (found != workers_[at]->connections.end()) found->second->on_predecessors_answered(wait);
                         }));
  };
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    around_.events.after(around_.random.between(5, 150), guarded([this, i, home, client_id, arrived_at, answered] {
                           std::vector<proxy::AwaitedWrites::Mark> marks;
                           for (const auto& [id, peer] : workers_[i]->connections) {
                             const auto newest = peer->session().newest_write_elsewhere(home, client_id, arrived_at);
                             if (newest > 0) marks.push_back({id, newest});
                           }
                           const proxy::Limits limits;
                           const Millis until = around_.events.now_ms() + limits.hold_ms + limits.predecessors_ms;
                           workers_[i]->awaited.add(std::move(marks), until, answered);
                         }));
  }
}

void ProxyProcess::check_writes(std::size_t at) {
  Worker& worker = *workers_[at];
  worker.check_due = false;
  worker.awaited.check(around_.events.now_ms(), [&worker](std::uint64_t connection) -> const proxy::Session* {
    const auto found = worker.connections.find(connection);
    return found == worker.connections.end() ? nullptr : &found->second->session();
  });
}

void ProxyProcess::report(std::size_t at) {
  Worker& worker = *workers_[at];
  worker.report_due = false;
  worker.reported.clear();
  worker.reported_commits = states_[at].commits_in_flight;
  worker.reported_ids = states_[at].in_flight_of(worker.snapshot->held_ids);
  proxy::WorkerReport report;
  report.worker = at;
  report.revision = worker.snapshot->revision;
  proxy::WorkerState& state = states_[at];
  for (const auto& [name, load] : state.routes) {
    worker.reported[name] = {load.writes_in_flight, load.held};
    report.routes.push_back({name, load.writes_in_flight, load.held});
  }
  report.unknown_outcomes = state.unknown_outcomes.all();
  report.transactional_ids = state.transactional_ids;
  report.couplings = state.couplings.take_changes();
  report.commits_in_flight = state.commits_in_flight;
  report.ids_in_flight = worker.reported_ids;
  report.known_ends = state.known_ends.take_changed(*worker.snapshot);
  report.hold_times_ms = std::exchange(state.hold_times_ms, {});
  report.transactional_ids = state.transactional_ids;
  worker.outbox.post(
      guarded([this, report = std::move(report)] { controller_->on_worker_report(report, around_.events.now_ms()); }));
}

void ProxyProcess::want_image(Side side, Millis not_before) {
  if (frozen_) return;
  controller_event([this, side, not_before] { controller_->on_want_image(side, not_before, around_.events.now_ms()); });
}

void ProxyProcess::want_binding(const proxy::WantedBinding& wanted) {
  if (frozen_) return;
  controller_event([this, wanted] { controller_->on_want_binding(wanted, around_.events.now_ms()); });
}

void ProxyProcess::arm_controller(Millis at) {
  if (controller_due_ == at) return;
  controller_due_ = at;
  const std::uint64_t timer = ++controller_timer_;
  around_.events.after((at - around_.events.now_ms()) * one_ms, guarded([this, timer] {
                         if (timer != controller_timer_) return;
                         controller_due_ = -1;
                         controller_->on_timer(around_.events.now_ms());
                       }));
}

// --- control topics ---

// A record may be written and the answer lost, written long after it was given up, or not written at all.
void ProxyProcess::append(proxy::CallId id, Side side, Bytes record) {
  ControlTopic* topic = around_.topics[proxy::index_of(side)];
  Events& events = around_.events;
  const auto answer = [this, id](bool acknowledged) {
    return guarded(
        [this, id, acknowledged] { controller_->on_append_result(id, acknowledged, around_.events.now_ms()); });
  };
  const auto write = [topic, record] {
    topic->records.push_back(record);
    topic->changed();
  };
  // What a process had under way when it died may arrive after its successor has read the topic to its end.
  const auto arrive = [write, &events, late = late_when_dead_, alive = std::weak_ptr<bool>(alive_)] {
    alive.expired() && late > 0 ? events.after(late, write) : write();
  };
  Micros arrival = around_.random.between(200, 3'000);
  const bool fails = !topic->available || (!around_.calm && around_.random.one_in(25));
  if (!fails) {
    // An idempotent producer: what it sent later does not arrive before.
    Micros& last = last_arrival_[proxy::index_of(side)];
    arrival = std::max(arrival, last - events.now() + 1);
    last = events.now() + arrival;
    events.after(arrival, arrive);
    events.after(arrival + around_.random.between(100, 2'000), answer(true));
    return;
  }
  const std::int64_t luck = around_.random.below(3);
  if (luck == 0) events.after(arrival, write);
  if (luck == 1) events.after(arrival + around_.random.between(1, 800) * one_ms, write);
  events.after(around_.random.between(10, 500) * one_ms, answer(false));
}

void ProxyProcess::read_control(Side side) {
  Reader& reader = readers_[proxy::index_of(side)];
  ControlTopic& topic = *around_.topics[proxy::index_of(side)];
  if (reader.busy || !topic.available) return;
  if (reader.end_at_start < 0) {
    reader.end_at_start = topic.end();
    reader.at = topic.start;
  }
  reader.at = std::max(reader.at, topic.start);
  const bool at_end = reader.at >= topic.end();
  if (at_end && reader.caught_up) return;
  reader.busy = true;
  around_.events.after(around_.random.between(50, 1'000), guarded([this, side] {
                         Reader& reader = readers_[proxy::index_of(side)];
                         ControlTopic& topic = *around_.topics[proxy::index_of(side)];
                         reader.busy = false;
                         const Millis now = around_.events.now_ms();
                         if (!topic.available) return;
                         for (int batch = 0; batch < 50 && reader.at < topic.end(); ++batch) {
                           reader.at = std::max(reader.at, topic.start);
                           const Bytes record = topic.records[static_cast<std::size_t>(reader.at - topic.start)];
                           controller_->on_control_record(side, reader.at++, record, now);
                         }
                         if (!reader.caught_up && reader.at >= reader.end_at_start) {
                           reader.caught_up = true;
                           controller_->on_control_caught_up(side, now);
                         }
                         read_control(side);
                       }));
}

}  // namespace crossover::sim
