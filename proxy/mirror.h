// What is changed on both clusters. Of a request that names several topics each is judged by itself: what one cluster
// refuses for one topic says nothing of the others.
#pragma once

#include "proxy/session_core.h"

namespace crossover::proxy {

// CreateTopics, CreatePartitions, AlterConfigs and IncrementalAlterConfigs of topics.
Task<> change_topics(SessionCore& core, Request& request);
Task<> delete_topics(SessionCore& core, Request& request);

// Administration never overlaps a flip: waits for one to end, false when it lasts too long.
Task<bool> no_flip(SessionCore& core);
// A change counts as a write into all of these, so that a flip that starts meanwhile waits for it.
std::vector<DefinedRoute> all_routes(const Snapshot& snapshot);
// Asks the broker that takes changes; nullopt: no answer, so it may have been carried out or not.
Task<std::optional<Bytes>> ask_controller(SessionCore& core, const Request& request, Cluster cluster, ApiKey api,
                                          Version version, Bytes body);

// Where a change of one topic stands when a cluster refused it.
enum class Elsewhere : std::uint8_t { unchanged, changed };
std::string refusal(Cluster cluster, const std::optional<std::string>& message, std::int16_t error,
                    Elsewhere elsewhere);

}  // namespace crossover::proxy
