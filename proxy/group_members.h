// Whether a member of a group still is one, asked of the coordinator that its group has.
#pragma once

#include "proxy/session_core.h"

namespace crossover::proxy {

struct GroupMember {
  std::string group;
  std::int32_t generation = -1;  // or member epoch (KIP-848)
  std::string id;
  std::optional<std::string> instance_id;
  bool named() const { return generation >= 0 || !id.empty() || instance_id; }
};

// 0: it is, or it does not claim to be one; else the error that a commit of it would get.
Task<std::int16_t> member_error(SessionCore& core, const Request& origin, GroupMember member);

}  // namespace crossover::proxy
