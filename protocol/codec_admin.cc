#include "protocol/codec_impl.h"
#include "protocol/messages_admin.h"

namespace crossover::protocol {

CROSSOVER_CODEC(CreateTopicsRequest)
CROSSOVER_CODEC(CreateTopicsResponse)
CROSSOVER_CODEC(DeleteTopicsRequest)
CROSSOVER_CODEC(DeleteTopicsResponse)
CROSSOVER_CODEC(CreatePartitionsRequest)
CROSSOVER_CODEC(CreatePartitionsResponse)
CROSSOVER_CODEC(DescribeConfigsRequest)
CROSSOVER_CODEC(DescribeConfigsResponse)
CROSSOVER_CODEC(AlterConfigsRequest)
CROSSOVER_CODEC(AlterConfigsResponse)
CROSSOVER_CODEC(IncrementalAlterConfigsRequest)
CROSSOVER_CODEC(IncrementalAlterConfigsResponse)
CROSSOVER_CODEC(DescribeLogDirsRequest)
CROSSOVER_CODEC(DescribeLogDirsResponse)

}  // namespace crossover::protocol
