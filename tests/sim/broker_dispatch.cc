#include "tests/sim/broker_dispatch.h"

#include "protocol/error_reply.h"
#include "tests/sim/broker_versions.h"

namespace crossover::sim {

namespace {

const Handlers& handlers() {
  static const Handlers all = [] {
    Handlers made;
    add_produce_handlers(made);
    add_fetch_handlers(made);
    add_metadata_handlers(made);
    add_offset_handlers(made);
    add_topic_handlers(made);
    add_config_handlers(made);
    add_group_handlers(made);
    add_group_admin_handlers(made);
    add_commit_handlers(made);
    add_transactional_commit_handlers(made);
    add_transaction_handlers(made);
    add_transaction_admin_handlers(made);
    return made;
  }();
  return all;
}

// ApiVersions alone is answered at a version that the broker does not know: with error 35, in version 0 (KIP-511).
void refuse_api_versions(ClusterState& state, Ticket ticket) {
  protocol::ApiVersionsResponse response;
  response.error_code = code(ErrorCode::UNSUPPORTED_VERSION);
  protocol::VersionRange range = state.versions.at(ApiKey::ApiVersions);
  response.api_keys.push_back({static_cast<std::int16_t>(ApiKey::ApiVersions), range.first, range.last});
  ticket.version = 0;
  respond(state, ticket, response);
}

// True when the request has been answered, or its connection closed, by an injected fault.
// What refuses one write refuses those behind it as well: no leader takes the later one of two that come together.
bool take_fault(ClusterState& state, const Call& call) {
  constexpr std::int64_t refusing_ms = 10;
  const bool writes = call.ticket.api == ApiKey::Produce;
  auto found = state.faults.find(call.ticket.api);
  const bool due = found != state.faults.end() && !found->second.empty() && !found->second.front().lose_answer;
  if (!due && !(writes && state.now_ms < state.refuses_writes_until)) return false;
  if (due && writes) {
    state.refuses_writes_until = state.now_ms + refusing_ms;
    state.refusal = found->second.front().error;
  }
  const ErrorCode error = due ? found->second.front().error : state.refusal;
  if (due && --found->second.front().count <= 0) found->second.pop_front();
  auto body = protocol::error_reply(call.ticket.api, call.version(), call.body, error);
  if (!body) {
    state.close(call.ticket.connection);
  } else {
    state.reply(call.ticket, *body);
  }
  return true;
}

}  // namespace

void serve_next(ClusterState& state, ConnectionId id) {
  auto found = state.connections.find(id);
  if (found == state.connections.end() || found->second.busy || found->second.waiting.empty()) return;
  Bytes frame = std::move(found->second.waiting.front());
  found->second.waiting.pop_front();
  found->second.busy = true;
  auto header = protocol::parse_request_header(frame);
  if (!header) return state.close(id);
  Call call;
  call.ticket = {id, found->second.node, header->api, header->version, header->correlation_id};
  call.client_id = header->client_id.value_or("");
  call.body = BytesView(frame).substr(header->body_at);
  auto handler = handlers().find(header->api);
  if (!served(header->api, header->version, state.versions) || handler == handlers().end()) {
    if (header->api == ApiKey::ApiVersions && state.versions.contains(header->api)) {
      return refuse_api_versions(state, call.ticket);
    }
    return state.close(id);
  }
  if (take_fault(state, call)) return;
  handler->second(state, call);
}

}  // namespace crossover::sim
