#include "proxy/handlers.h"

#include "proxy/api_policy.h"

namespace crossover::proxy {
namespace {

Task<> refuse(SessionCore& core, Request& request) {
  ++core.worker().counters.refused_requests;
  core.reply_error(request, protocol::ErrorCode::UNSUPPORTED_VERSION);
  co_return;
}

Task<> answer_here(SessionCore& core, Request& request) {
  switch (request.api()) {
    case ApiKey::Metadata:
      return handle_metadata(core, request);
    case ApiKey::DescribeCluster:
      return handle_describe_cluster(core, request);
    case ApiKey::DescribeTopicPartitions:
      return handle_describe_topic_partitions(core, request);
    default:
      return handle_api_versions(core, request);
  }
}

bool spoken(const SessionCore& core, const Request& request) {
  if (request.api() == ApiKey::ApiVersions) return true;  // answers any version, in its oldest form
  const auto announced = core.snapshot().announced.find(request.api());
  if (announced == core.snapshot().announced.end()) return false;
  return announced->second.contains(request.version());
}

}  // namespace

Task<> handle(SessionCore& core, Request& request) {
  if (!spoken(core, request)) return refuse(core, request);
  switch (policy_of(request.api()).treatment) {
    case Treatment::answer_here:
      return answer_here(core, request);
    case Treatment::find_coordinator:
      return handle_find_coordinator(core, request);
    case Treatment::produce:
      return handle_produce(core, request);
    case Treatment::fetch:
      return handle_fetch(core, request);
    case Treatment::list_offsets:
      return handle_list_offsets(core, request);
    case Treatment::offset_for_leader_epoch:
      return handle_offset_for_leader_epoch(core, request);
    case Treatment::delete_records:
      return handle_delete_records(core, request);
    case Treatment::describe_producers:
      return handle_describe_producers(core, request);
    case Treatment::coordinator:
      return handle_coordinator(core, request);
    case Treatment::transaction:
      return handle_transaction(core, request);
    case Treatment::list_groups:
      return handle_list_groups(core, request);
    case Treatment::list_transactions:
      return handle_list_transactions(core, request);
    case Treatment::forward:
      return handle_forward(core, request);
    case Treatment::configs:
      return handle_configs(core, request);
    case Treatment::mirror:
      return handle_mirror(core, request);
    case Treatment::refuse:
      break;
  }
  return refuse(core, request);
}

}  // namespace crossover::proxy
