// One coroutine per kind of treatment. Each answers its request, or closes the connection, before it returns.
#pragma once

#include "proxy/session_core.h"

namespace crossover::proxy {

Task<> handle(SessionCore& core, Request& request);  // picks by api_policy.h

Task<> handle_api_versions(SessionCore& core, Request& request);
Task<> handle_metadata(SessionCore& core, Request& request);
Task<> handle_describe_cluster(SessionCore& core, Request& request);
Task<> handle_describe_topic_partitions(SessionCore& core, Request& request);
Task<> handle_find_coordinator(SessionCore& core, Request& request);
Task<> handle_produce(SessionCore& core, Request& request);
Task<> handle_fetch(SessionCore& core, Request& request);
Task<> handle_session_fetch(SessionCore& core, Request& request, const protocol::FetchRequest& asked);
Task<> handle_list_offsets(SessionCore& core, Request& request);
Task<> handle_offset_for_leader_epoch(SessionCore& core, Request& request);
Task<> handle_delete_records(SessionCore& core, Request& request);
Task<> handle_describe_producers(SessionCore& core, Request& request);
Task<> handle_coordinator(SessionCore& core, Request& request);
Task<> handle_transaction(SessionCore& core, Request& request);
Task<> handle_list_groups(SessionCore& core, Request& request);
Task<> handle_list_transactions(SessionCore& core, Request& request);
Task<> handle_forward(SessionCore& core, Request& request);
Task<> handle_configs(SessionCore& core, Request& request);
Task<> handle_mirror(SessionCore& core, Request& request);

}  // namespace crossover::proxy
