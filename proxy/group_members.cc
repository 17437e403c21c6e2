#include "proxy/group_members.h"

#include "protocol/error_code.h"
#include "proxy/coordinators.h"
#include "proxy/log_lookup.h"

namespace crossover::proxy {

using namespace protocol;

namespace {

constexpr std::int16_t code(ErrorCode e) {
  return static_cast<std::int16_t>(e);
}

// A read of no offsets at all under that member's name; nullopt: no answer.
Task<std::optional<std::int16_t>> error_of_read(SessionCore& core, const Request& origin, GroupMember member,
                                                Version version) {
  OffsetFetchRequest question;
  auto& group = question.groups.emplace_back();
  group.group_id = member.group;
  group.member_id = member.id;
  group.member_epoch = member.generation;
  group.topics.emplace();
  const auto answer = co_await ask_coordinator<OffsetFetchResponse>(
      core, origin, core.snapshot().groups_home, CoordinatorKind::group, member.group, question, version);
  if (!answer || answer->groups.size() != 1) co_return std::nullopt;
  co_return answer->groups[0].error_code;
}

// Members of the newer protocol (KIP-848) are unknown to Heartbeat. A read of offsets tells them: it looks at the
// epoch, which it does not in a classic group.
Task<std::int16_t> newer_member_error(SessionCore& core, const Request& origin, GroupMember member) {
  const auto version = version_for(core.snapshot(), core.snapshot().groups_home, ApiKey::OffsetFetch, {9, 9});
  if (!version) co_return code(ErrorCode::UNKNOWN_MEMBER_ID);
  const auto error = co_await error_of_read(core, origin, member, *version);
  if (!error) co_return code(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
  if (*error != 0) co_return *error;
  GroupMember wrong = member;
  wrong.generation += 1'000'000;
  const auto judged = co_await error_of_read(core, origin, wrong, *version);
  if (!judged) co_return code(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
  co_return *judged == 0 ? code(ErrorCode::UNKNOWN_MEMBER_ID) : code(ErrorCode::NONE);
}

}  // namespace

Task<std::int16_t> member_error(SessionCore& core, const Request& origin, GroupMember member) {
  if (!member.named()) co_return 0;
  const Cluster home = core.snapshot().groups_home;
  const auto version = version_for(core.snapshot(), home, ApiKey::Heartbeat, {3, 4});
  if (!version) co_return code(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
  HeartbeatRequest question;
  question.group_id = member.group;
  question.generation_id = member.generation;
  question.member_id = member.id;
  question.group_instance_id = member.instance_id;
  const auto answer = co_await ask_coordinator<HeartbeatResponse>(core, origin, home, CoordinatorKind::group,
                                                                  member.group, question, *version);
  if (!answer) co_return code(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
  note_coordinator_error(core, home, CoordinatorKind::group, member.group, answer->error_code);
  switch (static_cast<ErrorCode>(answer->error_code)) {
    case ErrorCode::NONE:
    case ErrorCode::REBALANCE_IN_PROGRESS:  // it is one until the next generation begins
      co_return 0;
    case ErrorCode::UNKNOWN_MEMBER_ID: {
      const std::int16_t error = co_await newer_member_error(core, origin, member);
      co_return error;
    }
    case ErrorCode::NOT_COORDINATOR:
    case ErrorCode::COORDINATOR_NOT_AVAILABLE:
      co_return code(ErrorCode::NOT_COORDINATOR);  // the client took the broker for it: it is to look for it anew
    default:
      co_return answer->error_code;
  }
}

}  // namespace crossover::proxy
