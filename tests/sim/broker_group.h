// A classic consumer group as its coordinator keeps it (GroupMetadataManager, ClassicGroup).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/cluster.h"

namespace crossover::sim {

struct Ticket;
struct ClusterState;

//                    JoinGroup, a member leaves or falls silent
//   empty ──────────────────────────────> preparing_rebalance <─────────────┐
//     ^                                     │ all joined, or time is over   │
//     │ nobody joined                       v                               │
//     └──────────────────────────── completing_rebalance ──leader syncs──> stable
enum class GroupState { empty, preparing_rebalance, completing_rebalance, stable };

std::string state_name(GroupState);

struct GroupMember {
  std::string id;
  std::optional<std::string> instance_id;
  std::string client_id;
  std::int64_t session_timeout_ms = 0;
  std::int64_t rebalance_timeout_ms = 0;
  std::vector<std::pair<std::string, Bytes>> protocols;  // in the member's order of preference
  Bytes assignment;
  std::int64_t session_deadline_ms = 0;  // not looked at while a join or sync is waiting
  // Where the answer to a waiting JoinGroup or SyncGroup goes.
  std::shared_ptr<const Ticket> joining;
  std::shared_ptr<const Ticket> syncing;
};

// Offsets that a transaction which is still open has committed.
struct PendingOffset {
  CommittedOffset offset;
  std::uint64_t record = 0;
};

struct Group {
  using Place = std::pair<std::string, PartitionIndex>;

  GroupState state = GroupState::empty;
  std::int32_t generation = 0;
  std::string protocol_type;
  std::string protocol_name;
  std::string leader;
  std::map<std::string, GroupMember> members;
  // Member ids that were handed out with MEMBER_ID_REQUIRED (KIP-394), and until when they are waited for.
  std::map<std::string, std::int64_t> promised;
  std::int64_t rebalance_deadline_ms = 0;
  std::int64_t not_before_ms = 0;  // group.initial.rebalance.delay.ms
  std::int64_t sync_deadline_ms = 0;
  std::map<Place, CommittedOffset> offsets;
  std::map<Place, std::uint64_t> offset_records;  // which record of __consumer_offsets each stands in
  std::map<ProducerId, std::map<Place, PendingOffset>> pending_offsets;
};

// The group's member that a request speaks for, or why not: 25, 82.
ErrorCode check_member(const Group&, const std::string& member_id, const std::optional<std::string>& instance_id);
void touch_session(ClusterState&, GroupMember&);
void remove_member(ClusterState&, Group&, const std::string& member_id);

constexpr std::size_t offset_metadata_limit = 4096;  // offset.metadata.max.bytes
void store_offset(Group&, const Group::Place&, const CommittedOffset&, std::uint64_t record);
bool has_pending_offset(const Group&, const Group::Place&);

// The coordinators were reassigned: waiting joins and syncs of groups that moved are answered NOT_COORDINATOR.
void coordinators_moved(ClusterState&);
void expire_group_timers(ClusterState&);
std::optional<std::int64_t> next_group_deadline(const ClusterState&);

}  // namespace crossover::sim
