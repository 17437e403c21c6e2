#include "protocol/codec_impl.h"
#include "protocol/messages_data.h"

namespace crossover::protocol {

CROSSOVER_CODEC(ProduceRequest)
CROSSOVER_CODEC(ProduceResponse)
CROSSOVER_CODEC(FetchRequest)
CROSSOVER_CODEC(FetchResponse)
CROSSOVER_CODEC(ListOffsetsRequest)
CROSSOVER_CODEC(ListOffsetsResponse)
CROSSOVER_CODEC(DeleteRecordsRequest)
CROSSOVER_CODEC(DeleteRecordsResponse)
CROSSOVER_CODEC(OffsetForLeaderEpochRequest)
CROSSOVER_CODEC(OffsetForLeaderEpochResponse)

}  // namespace crossover::protocol
