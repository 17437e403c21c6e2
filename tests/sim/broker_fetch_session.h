// Fetch sessions (KIP-227, FetchManager): which partitions a request reads, and what its answer may leave out.
#pragma once

#include "tests/sim/cluster_state.h"

namespace crossover::sim {

enum class FetchMode { sessionless, full, incremental };

struct FetchContext {
  ErrorCode error = ErrorCode::NONE;
  FetchMode mode = FetchMode::sessionless;
  std::int32_t session_id = 0;  // of the answer
  std::vector<FetchPosition> positions;
};

FetchContext open_fetch_context(ClusterState&, const Call&, const protocol::FetchRequest&);

// nullptr when the session went away while the request waited.
FetchSession* find_session(ClusterState&, NodeId, std::int32_t session_id);

}  // namespace crossover::sim
