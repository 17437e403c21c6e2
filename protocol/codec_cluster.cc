#include "protocol/codec_impl.h"
#include "protocol/messages_cluster.h"

namespace crossover::protocol {

CROSSOVER_CODEC(ApiVersionsRequest)
CROSSOVER_CODEC(ApiVersionsResponse)
CROSSOVER_CODEC(MetadataRequest)
CROSSOVER_CODEC(MetadataResponse)
CROSSOVER_CODEC(FindCoordinatorRequest)
CROSSOVER_CODEC(FindCoordinatorResponse)
CROSSOVER_CODEC(DescribeClusterRequest)
CROSSOVER_CODEC(DescribeClusterResponse)
CROSSOVER_CODEC(DescribeTopicPartitionsRequest)
CROSSOVER_CODEC(DescribeTopicPartitionsResponse)

}  // namespace crossover::protocol
