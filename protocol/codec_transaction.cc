#include "protocol/codec_impl.h"
#include "protocol/messages_transaction.h"

namespace crossover::protocol {

CROSSOVER_CODEC(InitProducerIdRequest)
CROSSOVER_CODEC(InitProducerIdResponse)
CROSSOVER_CODEC(AddPartitionsToTxnRequest)
CROSSOVER_CODEC(AddPartitionsToTxnResponse)
CROSSOVER_CODEC(AddOffsetsToTxnRequest)
CROSSOVER_CODEC(AddOffsetsToTxnResponse)
CROSSOVER_CODEC(EndTxnRequest)
CROSSOVER_CODEC(EndTxnResponse)
CROSSOVER_CODEC(TxnOffsetCommitRequest)
CROSSOVER_CODEC(TxnOffsetCommitResponse)
CROSSOVER_CODEC(DescribeProducersRequest)
CROSSOVER_CODEC(DescribeProducersResponse)
CROSSOVER_CODEC(DescribeTransactionsRequest)
CROSSOVER_CODEC(DescribeTransactionsResponse)
CROSSOVER_CODEC(ListTransactionsRequest)
CROSSOVER_CODEC(ListTransactionsResponse)

}  // namespace crossover::protocol
