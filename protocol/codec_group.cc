#include "protocol/messages_group.h"

#include "protocol/codec_impl.h"

namespace crossover::protocol {

CROSSOVER_CODEC(OffsetCommitRequest)
CROSSOVER_CODEC(OffsetCommitResponse)
CROSSOVER_CODEC(OffsetFetchRequest)
CROSSOVER_CODEC(OffsetFetchResponse)
CROSSOVER_CODEC(JoinGroupRequest)
CROSSOVER_CODEC(JoinGroupResponse)
CROSSOVER_CODEC(HeartbeatRequest)
CROSSOVER_CODEC(HeartbeatResponse)
CROSSOVER_CODEC(LeaveGroupRequest)
CROSSOVER_CODEC(LeaveGroupResponse)
CROSSOVER_CODEC(SyncGroupRequest)
CROSSOVER_CODEC(SyncGroupResponse)
CROSSOVER_CODEC(DescribeGroupsRequest)
CROSSOVER_CODEC(DescribeGroupsResponse)
CROSSOVER_CODEC(ListGroupsRequest)
CROSSOVER_CODEC(ListGroupsResponse)
CROSSOVER_CODEC(DeleteGroupsRequest)
CROSSOVER_CODEC(DeleteGroupsResponse)
CROSSOVER_CODEC(OffsetDeleteRequest)
CROSSOVER_CODEC(OffsetDeleteResponse)
CROSSOVER_CODEC(ConsumerGroupHeartbeatRequest)
CROSSOVER_CODEC(ConsumerGroupHeartbeatResponse)
CROSSOVER_CODEC(ConsumerGroupDescribeRequest)
CROSSOVER_CODEC(ConsumerGroupDescribeResponse)

}  // namespace crossover::protocol
