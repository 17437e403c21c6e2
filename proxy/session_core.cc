#include "proxy/session_core.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "protocol/error_reply.h"
#include "protocol/messages.h"
#include "protocol/wire.h"
#include "proxy/handlers.h"

namespace crossover::proxy {

using protocol::ErrorCode;

SessionCore::SessionCore(SessionIo& io, WorkerState& worker, SessionOptions options,
                         std::shared_ptr<const Snapshot> snapshot, Millis now)
    : io_(io),
      worker_(worker),
      options_(std::move(options)),
      snapshot_(std::move(snapshot)),
      now_(now),
      connected_at_(now),
      input_(options_.limits.request_bytes) {}

SessionCore::~SessionCore() {
  closed_ = true;
  requests_.clear();  // while everything that a handler's frame refers to is still there
}

// --- events ---

void SessionCore::on_client_bytes(BytesView data, Millis now) {
  now_ = now;
  if (closed_ || draining_) return;
  worker_.counters.bytes_in += data.size();
  input_.append(data);
  while (auto frame = input_.next()) {
    auto header = protocol::parse_request_header(*frame);
    if (!header) {
      ++worker_.counters.malformed_requests;
      return close("malformed request header");
    }
    ++worker_.counters.requests;
    ++requests_seen_;
    last_request_at_ = now;
    if (header->client_id) client_id_ = *header->client_id;
    Request& request = requests_.emplace_back();
    request.header = std::move(*header);
    request.frame = std::move(*frame);
    request.arrived_at = now;
    request.place = requests_seen_;
    ahead_bytes_ += request.frame.size();
  }
  if (input_.broken()) {
    ++worker_.counters.malformed_requests;
    return close("frame length out of range");
  }
  finish_event();
}

void SessionCore::on_client_writable(Millis now) {
  now_ = now;
  if (started_ < requests_.size()) finish_event();
}

namespace {

bool wants_no_answer(const Request& request) {
  if (request.api() != ApiKey::Produce) return false;
  const auto asked = protocol::decode<protocol::ProduceRequest>(request.body(), request.version());
  return asked && asked->acks == 0;
}

}  // namespace

void SessionCore::on_client_closed(Millis now) {
  now_ = now;
  const bool orderly = !closed_;
  client_gone_ = true;
  closed_ = true;
  linger_until_ = now + options_.limits.linger_ms;
  // Held and unsent requests are dropped, never forwarded, for their clients cannot tell; writes on their way are
  // awaited for the flip's drain. An acks=0 write is done with for its client: a broker appends it all the same.
  requests_.remove_if(
      [orderly](const Request& r) { return r.done || (r.writes_in_flight == 0 && !(orderly && wants_no_answer(r))); });
  count_started();
  probe_unconfirmed();
  finish_event();
}

void SessionCore::on_upstream_opened(UpstreamId id, Millis now) {
  now_ = now;
  const auto found = upstreams_.find(id);
  if (found != upstreams_.end()) found->second.open = true;
}

void SessionCore::on_upstream_bytes(UpstreamId id, BytesView data, Millis now) {
  now_ = now;
  auto found = upstreams_.find(id);
  if (found == upstreams_.end()) return;
  found->second.input.append(data);
  while (auto frame = found->second.input.next()) {
    Upstream& up = found->second;
    if (up.in_flight.empty()) {
      io_.close_upstream(id);
      drop_upstream(id, true);
      break;
    }
    auto call = up.in_flight.front();
    const auto header = protocol::parse_response_header(*frame, call->api, call->version);
    if (!header || header->correlation_id != call->correlation_id) {
      io_.close_upstream(id);
      drop_upstream(id, true);
      break;
    }
    up.in_flight.pop_front();
    if (call->status == CallStatus::late && call->api == ApiKey::Fetch)
      up.fetch_patience = std::min(2 * patience_with(up), options_.limits.call_ms);
    // Requests of a connection are handled in order: an answer to what was sent after a write speaks for that.
    if (call->place > up.unconfirmed_place) confirm_unanswered(up);
    if (call->status == CallStatus::pending) call->frame = std::move(*frame);
    call->body_at = header->body_at;
    resolve(call, CallStatus::answered);
    found = upstreams_.find(id);  // a handler may have dropped it
    if (found == upstreams_.end()) break;
  }
  found = upstreams_.find(id);
  if (found != upstreams_.end() && found->second.input.broken()) {
    io_.close_upstream(id);
    drop_upstream(id, true);
  }
  finish_event();
}

void SessionCore::on_upstream_closed(UpstreamId id, Millis now) {
  now_ = now;
  const auto found = upstreams_.find(id);
  if (found == upstreams_.end()) return;
  drop_upstream(id, found->second.open);
  finish_event();
}

void SessionCore::on_snapshot(std::shared_ptr<const Snapshot> snapshot, Millis now) {
  now_ = now;
  snapshot_ = std::move(snapshot);
  drop_upstreams(false);
  probe_unconfirmed();
  fire_waiters(true);
  finish_event();
}

void SessionCore::on_timer(Millis now) {
  now_ = now;
  if (client_gone_ && now >= linger_until_) {
    drop_upstreams(true);  // what was not answered by now is in doubt
    requests_.clear();
    count_started();
  }
  give_up_calls();
  fire_waiters(false);
  finish_event();
}

void SessionCore::on_predecessors_answered(std::uint64_t wait, Millis now) {
  now_ = now;
  if (!waiting_ || wait != last_wait_) return;
  waiting_ = false;
  fire_waiters(true);
  finish_event();
}

void SessionCore::drain(Millis now) {
  now_ = now;
  draining_ = true;
  if (!paused_) io_.pause_client_reads();
  paused_ = true;
  finish_event();
}

bool SessionCore::finished() const {
  if (!client_gone_ || !requests_.empty()) return false;
  return std::all_of(upstreams_.begin(), upstreams_.end(),
                     [](const auto& entry) { return entry.second.unconfirmed.empty(); }) ||
         now_ >= linger_until_;
}

std::size_t SessionCore::buffered_bytes() const {
  std::size_t total = input_.buffered();
  for (const Request& r : requests_) total += r.frame.size() + r.answer.size();
  for (const auto& [id, up] : upstreams_) total += up.input.buffered();
  return total;
}

SessionInfo SessionCore::info() const {
  SessionInfo info;
  info.peer = options_.peer;
  info.client_id = client_id_;
  info.software_name = software_name;
  info.software_version = software_version;
  info.virtual_broker = options_.virtual_broker;
  info.requests = requests_seen_;
  info.in_flight = requests_.size();
  info.connected_at = connected_at_;
  info.last_request_at = last_request_at_;
  return info;
}

// --- the order of requests ---

std::uint64_t SessionCore::newest_write_elsewhere(Cluster home, std::string_view client_id, Millis arrived_at) const {
  if (client_id != client_id_) return 0;
  if (options_.virtual_broker) {
    const auto broker = snapshot_->brokers.find(*options_.virtual_broker);
    if (broker != snapshot_->brokers.end() && broker->second.cluster == home) return 0;
  }
  const bool later = waiting_ && waiting_arrived_ >= arrived_at;
  if ((input_.buffered() > 0 || paused_) && !closed_ && !draining_ && !later) return requests_seen_ + 1;
  const auto newest = std::find_if(requests_.rbegin(), requests_.rend(), [later](const Request& r) {
    return r.api() == ApiKey::Produce && !r.done && (!later || r.writes_in_flight > 0);
  });
  return newest == requests_.rend() ? 0 : newest->place;
}

bool SessionCore::owes_write(std::uint64_t up_to) const {
  if (requests_seen_ < up_to && !closed_ && !draining_) return true;
  return std::any_of(requests_.begin(), requests_.end(),
                     [up_to](const Request& r) { return r.place <= up_to && r.api() == ApiKey::Produce && !r.done; });
}

void SessionCore::ask_for_predecessors(const Request& request, Cluster home) {
  waiting_ = true;
  waiting_arrived_ = request.arrived_at;
  io_.want_predecessors(++last_wait_, home, request.header.client_id.value_or(""), request.arrived_at);
}

bool SessionCore::pump() {
  if (pumping_) return false;
  pumping_ = true;
  bool any = false;
  // Nothing can be answered before it is known what both clusters speak.
  while ((!closed_ || client_gone_) && !snapshot_->announced.empty() && started_ < requests_.size() &&
         started_ < options_.limits.requests_in_flight &&
         (client_gone_ || io_.client_backlog() <= options_.limits.client_backlog_bytes)) {
    auto next = std::next(requests_.begin(), static_cast<std::ptrdiff_t>(started_));
    if (started_ > 0) {
      const Request& before = *std::prev(next);
      if (!before.released && !before.done) break;
    }
    ++started_;
    ahead_bytes_ -= next->frame.size();
    any = true;
    start(*next);
  }
  pumping_ = false;
  return any;
}

void SessionCore::start(Request& request) {
  request.started = true;
  request.task = handle(*this, request);
  request.task.start();
}

// Of a client that is gone nobody takes the answers.
bool SessionCore::forget_done() {
  const std::size_t before = requests_.size();
  requests_.remove_if([](const Request& r) { return r.done; });
  count_started();
  return requests_.size() != before;
}

void SessionCore::count_started() {
  // They come first: requests are started in their order.
  const auto waiting = std::find_if(requests_.begin(), requests_.end(), [](const Request& r) { return !r.started; });
  started_ = static_cast<std::size_t>(std::distance(requests_.begin(), waiting));
  ahead_bytes_ = std::accumulate(waiting, requests_.end(), std::size_t{0},
                                 [](std::size_t sum, const Request& r) { return sum + r.frame.size(); });
}

void SessionCore::finish_event() {
  // An answer makes room for the next request, which may be answered at once.
  for (bool progress = true; progress && (!closed_ || client_gone_);) {
    if (std::exchange(wake_, false)) fire_waiters(true);
    const bool started = pump();
    const bool answered = client_gone_ ? forget_done() : flush_answers();
    progress = started || answered || wake_;
  }
  if (draining_ && requests_.empty() && !closed_) return close("drained");
  const Limits& limits = options_.limits;
  const bool full = requests_.size() >= limits.requests_in_flight &&
                    (ahead_bytes_ >= limits.read_ahead_bytes || requests_.size() >= limits.read_ahead_requests);
  if (full != paused_ && !draining_ && !closed_) {
    paused_ = full;
    full ? io_.pause_client_reads() : io_.resume_client_reads();
  }
  arm();
}

bool SessionCore::flush_answers() {
  bool any = false;
  while (!closed_ && started_ > 0 && !requests_.empty() && requests_.front().done) {
    Request& request = requests_.front();
    if (request.answered) {
      worker_.counters.bytes_out += request.answer_prefix.size() + request.answer.size();
      io_.send_to_client(std::move(request.answer_prefix));
      if (!request.answer.empty()) io_.send_to_client(std::move(request.answer));
    }
    requests_.pop_front();
    --started_;
    any = true;
  }
  return any;
}

void SessionCore::close(std::string_view reason) {
  if (closed_) return;
  closed_ = true;
  io_.close_client(reason);
}

// --- waiting ---

void SessionCore::fire_waiters(bool all) {
  std::list<Changed*> due;
  for (auto it = waiters_.begin(); it != waiters_.end();) {
    const auto next = std::next(it);
    if (all || (*it)->deadline_ <= now_) due.splice(due.end(), waiters_, it);
    it = next;
  }
  while (!due.empty()) {
    Changed* waiter = due.front();
    due.pop_front();
    waiter->handle_.resume();
  }
}

void SessionCore::arm() {
  Millis at = client_gone_ && !finished() ? linger_until_ : std::numeric_limits<Millis>::max();
  for (const Changed* waiter : waiters_) at = std::min(at, waiter->deadline_);
  const auto over = [](const std::weak_ptr<CallState>& limited) {
    const auto call = limited.lock();
    return !call || (call->status != CallStatus::pending && call->status != CallStatus::late);
  };
  while (!limited_.empty() && over(limited_.begin()->second)) limited_.erase(limited_.begin());
  if (!limited_.empty()) at = std::min(at, limited_.begin()->first);
  if (at != std::numeric_limits<Millis>::max()) io_.arm_timer(at);
}

// --- brokers that do not answer ---

namespace {

// Whether a broker answers as soon as it has done its work, without waiting for records, group members or replicas of
// its own accord. What an administrator changes takes as long as it takes.
bool is_prompt(ApiKey api) {
  switch (api) {
    case ApiKey::Metadata:
    case ApiKey::FindCoordinator:
    case ApiKey::ListOffsets:
    case ApiKey::OffsetForLeaderEpoch:
    case ApiKey::DescribeProducers:
    case ApiKey::DescribeConfigs:
    case ApiKey::OffsetCommit:
    case ApiKey::OffsetFetch:
    case ApiKey::Heartbeat:
    case ApiKey::ConsumerGroupHeartbeat:
    case ApiKey::LeaveGroup:
    case ApiKey::DescribeGroups:
    case ApiKey::ConsumerGroupDescribe:
    case ApiKey::ListGroups:
    case ApiKey::InitProducerId:
    case ApiKey::AddPartitionsToTxn:
    case ApiKey::AddOffsetsToTxn:
    case ApiKey::TxnOffsetCommit:
    case ApiKey::EndTxn:
    case ApiKey::DescribeTransactions:
    case ApiKey::ListTransactions:
      return true;
    default:
      return false;
  }
}

}  // namespace

Millis SessionCore::patience_with(const Upstream& up) const {
  return up.fetch_patience > 0 ? up.fetch_patience : options_.limits.fetch_patience_ms;
}

void SessionCore::limit_fetch(Call& call, Millis wait) {
  const auto up = upstreams_.find(call.state_->upstream);
  if (up == upstreams_.end()) return;
  limited_.emplace(now_ + wait + patience_with(up->second), call.state_);
}

void SessionCore::give_up_calls() {
  while (!limited_.empty() && limited_.begin()->first <= now_) {
    const auto call = limited_.begin()->second.lock();
    limited_.erase(limited_.begin());
    if (!call || (call->status != CallStatus::pending && call->status != CallStatus::late)) continue;
    const bool first = call->status == CallStatus::pending;
    call->status = CallStatus::late;
    const auto waiter = std::exchange(call->waiter, {});
    leave_hung(call, first);
    if (waiter) waiter.resume();
  }
}

// Ends a connection that stays silent, unless the outcome of a write is awaited on it: another may be answered. At once
// where any other broker will do.
void SessionCore::leave_hung(const std::shared_ptr<CallState>& call, bool first) {
  const auto found = upstreams_.find(call->upstream);
  if (found == upstreams_.end()) return;
  const Upstream& up = found->second;
  if (std::find(up.in_flight.begin(), up.in_flight.end(), call) == up.in_flight.end()) return;  // it came after all
  const bool awaited =
      !up.unconfirmed.empty() || std::any_of(up.in_flight.begin(), up.in_flight.end(),
                                             [](const auto& c) { return c->status == CallStatus::pending; });
  if (awaited || (first && up.node != any_node)) {
    limited_.emplace(now_ + options_.limits.hung_ms, call);
    return;
  }
  io_.want_image(up.cluster, now_);
  io_.close_upstream(found->first);
  drop_upstream(found->first, up.open);
}

// --- upstreams ---

std::optional<NodeId> SessionCore::own_node(Cluster cluster) const {
  if (!options_.virtual_broker) return std::nullopt;
  const auto found = snapshot_->brokers.find(*options_.virtual_broker);
  if (found == snapshot_->brokers.end() || found->second.cluster != cluster || !found->second.present)
    return std::nullopt;
  return found->second.real_id;
}

SessionCore::Upstream& SessionCore::upstream(Cluster cluster, NodeId node, UpstreamId& id) {
  const auto key = std::pair(cluster, node);
  const auto known = upstream_of_.find(key);
  if (known != upstream_of_.end()) {
    id = known->second;
    return upstreams_.at(id);
  }
  id = next_upstream_++;
  Upstream& up = upstreams_.emplace(id, Upstream(options_.limits.response_bytes)).first->second;
  up.cluster = cluster;
  up.node = node;
  upstream_of_[key] = id;
  io_.open_upstream(id, cluster, node);
  return up;
}

Call SessionCore::enqueue(UpstreamId id, Upstream& up, ApiKey api, Version version) {
  auto state = std::make_shared<CallState>();
  state->correlation_id = up.next_correlation++ & 0x7fffffff;
  state->api = api;
  state->version = version;
  state->upstream = id;
  state->place = ++up.sent;
  up.in_flight.push_back(state);
  if (is_prompt(api)) limited_.emplace(now_ + options_.limits.call_ms, state);
  return Call(std::move(state));
}

bool SessionCore::is_stalled(const Upstream& up) {
  return !up.in_flight.empty() && up.in_flight.front()->status == CallStatus::late;
}

namespace {

std::shared_ptr<CallState> call_that_is(CallStatus status) {
  auto state = std::make_shared<CallState>();
  state->status = status;
  return state;
}

}  // namespace

Call SessionCore::send(const Request& origin, Cluster cluster, NodeId node, ApiKey api, Version version,
                       BytesView body) {
  if (severed(cluster)) return Call(call_that_is(CallStatus::unreachable));
  UpstreamId id;
  Upstream& up = upstream(cluster, node, id);
  if (api != ApiKey::Produce && is_stalled(up)) return Call(call_that_is(CallStatus::late));
  Call call = enqueue(id, up, api, version);
  io_.send_upstream(
      id, protocol::request_frame(api, version, up.in_flight.back()->correlation_id, origin.header.client_id, body));
  return call;
}

Call SessionCore::forward(Request& request, Cluster cluster, NodeId node) {
  if (severed(cluster)) return Call(call_that_is(CallStatus::unreachable));
  UpstreamId id;
  Upstream& up = upstream(cluster, node, id);
  if (request.api() != ApiKey::Produce && is_stalled(up)) return Call(call_that_is(CallStatus::late));
  Call call = enqueue(id, up, request.api(), request.version());
  Bytes frame = std::move(request.frame);
  protocol::store_int32(frame.data() + 4, up.in_flight.back()->correlation_id);  // int16 key, int16 version, then this
  Bytes prefix(4, '\0');
  protocol::store_int32(prefix.data(), static_cast<std::int32_t>(frame.size()));
  io_.send_upstream(id, std::move(prefix));
  io_.send_upstream(id, std::move(frame));
  return call;
}

void SessionCore::send_unanswered(const Request& origin, Cluster cluster, NodeId node, Version version, BytesView body,
                                  std::vector<DefinedRoute> routes) {
  if (severed(cluster)) return;  // lost, as with a broker that is gone
  UpstreamId id;
  Upstream& up = upstream(cluster, node, id);
  const std::int32_t correlation = up.next_correlation++ & 0x7fffffff;
  up.unconfirmed_place = ++up.sent;
  io_.send_upstream(id, protocol::request_frame(ApiKey::Produce, version, correlation, origin.header.client_id, body));
  for (DefinedRoute& route : routes) {
    if (std::find(up.unconfirmed.begin(), up.unconfirmed.end(), route) != up.unconfirmed.end()) continue;
    worker_.count(route, 1, 0);
    up.unconfirmed.push_back(std::move(route));
  }
}

// A broker handles a connection's requests in order, so any answer confirms what was sent before it.
void SessionCore::confirm_unanswered(Upstream& up) {
  for (const DefinedRoute& route : up.unconfirmed) worker_.count(route, -1, 0);
  up.unconfirmed.clear();
}

// Under a fence the outcome of acks=0 writes is wanted: the answer to any later request says that they were handled.
void SessionCore::probe_unconfirmed() {
  for (auto& [id, up] : upstreams_) {
    const bool fenced =
        std::any_of(snapshot_->routes.begin(), snapshot_->routes.end(), [this, &up = up](const RouteView& route) {
          return route.phase == RoutePhase::fenced &&
                 std::any_of(up.unconfirmed.begin(), up.unconfirmed.end(), [this, &route](const DefinedRoute& d) {
                   return d.may_concern(route.name, snapshot_->definitions);
                 });
        });
    const bool wanted = fenced || (client_gone_ && !up.unconfirmed.empty());
    if (!wanted || (!up.in_flight.empty() && up.in_flight.back()->place > up.unconfirmed_place)) continue;
    const Call call = enqueue(id, up, ApiKey::ApiVersions, 0);
    io_.send_upstream(
        id, protocol::request_frame(ApiKey::ApiVersions, 0, up.in_flight.back()->correlation_id, std::nullopt, {}));
  }
}

// Those to severed clusters, or all.
void SessionCore::drop_upstreams(bool all) {
  std::vector<UpstreamId> ids;
  for (const auto& [id, up] : upstreams_) {
    if (all || severed(up.cluster)) ids.push_back(id);
  }
  for (const UpstreamId id : ids) {
    const auto found = upstreams_.find(id);  // what goes on meanwhile may have dropped it
    if (found == upstreams_.end()) continue;
    io_.close_upstream(id);
    drop_upstream(id, found->second.open);
  }
}

void SessionCore::resolve(const std::shared_ptr<CallState>& call, CallStatus status) {
  if (call->status != CallStatus::pending) return;
  call->status = status;
  if (const auto waiter = std::exchange(call->waiter, {})) waiter.resume();
}

void SessionCore::drop_upstream(UpstreamId id, bool was_open) {
  const auto found = upstreams_.find(id);
  if (found == upstreams_.end()) return;
  Upstream up = std::move(found->second);
  upstream_of_.erase({up.cluster, up.node});
  upstreams_.erase(found);
  const bool refused = was_open && !up.unconfirmed.empty();
  if (refused) {
    for (const DefinedRoute& route : up.unconfirmed) note_unknown_outcome({.writer = {up.cluster, route}});
  }
  confirm_unanswered(up);
  if (refused) {
    // How a broker says that it is not the leader to those who want no answer; clients then ask who is.
    io_.want_image(up.cluster, now_);
    close("broker closed the connection after unanswered writes");
  }
  for (const auto& call : up.in_flight) resolve(call, was_open ? CallStatus::lost : CallStatus::unreachable);
}

// --- answers ---

void SessionCore::reply(Request& request, BytesView body) {
  request.answer_prefix =
      protocol::response_frame(request.api(), request.version(), request.header.correlation_id, body);
  request.answered = request.done = true;
}

void SessionCore::reply_with(Request& request, CallState& call) {
  protocol::store_int32(call.frame.data(), request.header.correlation_id);
  request.answer_prefix.assign(4, '\0');
  protocol::store_int32(request.answer_prefix.data(), static_cast<std::int32_t>(call.frame.size()));
  request.answer = std::move(call.frame);
  request.answered = request.done = true;
}

void SessionCore::reply_error(Request& request, ErrorCode error) {
  if (request.frame.empty()) return close("request outcome unknown");  // it was forwarded: nothing left to answer from
  const auto body = protocol::error_reply(request.api(), request.version(), request.body(), error);
  if (!body) return close(protocol::error_name(static_cast<std::int16_t>(error)));
  reply(request, BytesView(*body));
}

void SessionCore::no_reply(Request& request) {
  request.done = true;
}

// --- accounts ---

void WorkerState::count(const DefinedRoute& route, std::int64_t writes, std::int64_t held) {
  const auto load = routes.try_emplace(route).first;
  load->second.writes_in_flight += writes;
  load->second.held += held;
  if (load->second.writes_in_flight == 0 && load->second.held == 0) routes.erase(load);
}

void note_seen(SeenIds& seen, std::string_view id, Millis at) {
  constexpr std::size_t most = 1'000, longest = 200;
  Millis& seen_at = seen.try_emplace(std::string(id.substr(0, longest)), at).first->second;
  seen_at = std::max(seen_at, at);
  if (seen.size() <= most) return;
  seen.erase(
      std::min_element(seen.begin(), seen.end(), [](const auto& a, const auto& b) { return a.second < b.second; }));
}

SessionCore::WriteGuard::WriteGuard(SessionCore& core, Request& request, std::vector<DefinedRoute> routes)
    : core_(core), request_(request), routes_(std::move(routes)) {
  ++request_.writes_in_flight;
  for (const DefinedRoute& route : routes_) core_.worker_.count(route, 1, 0);
}

SessionCore::WriteGuard::~WriteGuard() {
  --request_.writes_in_flight;
  for (const DefinedRoute& route : routes_) core_.worker_.count(route, -1, 0);
}

SessionCore::HoldGuard::HoldGuard(SessionCore& core, std::vector<DefinedRoute> routes)
    : core_(core), routes_(std::move(routes)), since_(core.now()) {
  ++core_.worker_.counters.held_requests;
  for (const DefinedRoute& route : routes_) core_.worker_.count(route, 0, 1);
}

SessionCore::HoldGuard::~HoldGuard() {
  for (const DefinedRoute& route : routes_) core_.worker_.count(route, 0, -1);
  core_.worker_.hold_times_ms.push_back(core_.now() - since_);
}

void SessionCore::note_unknown_outcome(UnknownOutcome lost) {
  lost.at = now_;
  lost.client_id = client_id_;
  worker_.unknown_outcomes.forget(now_, snapshot_->answers_since);
  worker_.unknown_outcomes.note(std::move(lost));
}

// --- Session ---

class Session::Impl : public SessionCore {
  using SessionCore::SessionCore;
};

Session::Session(SessionIo& io, WorkerState& worker, SessionOptions options, std::shared_ptr<const Snapshot> snapshot,
                 Millis now)
    : impl_(std::make_unique<Impl>(io, worker, std::move(options), std::move(snapshot), now)) {}
Session::~Session() = default;
void Session::on_client_bytes(BytesView data, Millis now) {
  impl_->on_client_bytes(data, now);
}
void Session::on_client_writable(Millis now) {
  impl_->on_client_writable(now);
}
void Session::on_client_closed(Millis now) {
  impl_->on_client_closed(now);
}
void Session::on_upstream_opened(UpstreamId id, Millis now) {
  impl_->on_upstream_opened(id, now);
}
void Session::on_upstream_bytes(UpstreamId id, BytesView data, Millis now) {
  impl_->on_upstream_bytes(id, data, now);
}
void Session::on_upstream_closed(UpstreamId id, Millis now) {
  impl_->on_upstream_closed(id, now);
}
void Session::on_snapshot(std::shared_ptr<const Snapshot> s, Millis now) {
  impl_->on_snapshot(std::move(s), now);
}
void Session::on_timer(Millis now) {
  impl_->on_timer(now);
}
void Session::on_predecessors_answered(std::uint64_t wait, Millis now) {
  impl_->on_predecessors_answered(wait, now);
}
void Session::drain(Millis now) {
  impl_->drain(now);
}
bool Session::finished() const {
  return impl_->finished();
}
std::size_t Session::buffered_bytes() const {
  return impl_->buffered_bytes();
}
SessionInfo Session::info() const {
  return impl_->info();
}
std::uint64_t Session::newest_write_elsewhere(Cluster home, std::string_view client_id, Millis arrived_at) const {
  return impl_->newest_write_elsewhere(home, client_id, arrived_at);
}
bool Session::owes_write(std::uint64_t up_to) const {
  return impl_->owes_write(up_to);
}

}  // namespace crossover::proxy
