// All structs of messages.h as one list, for what must hold for each of them (tests, fuzz targets).
#pragma once

#include <boost/mp11/algorithm.hpp>
#include <boost/mp11/list.hpp>

#include "protocol/messages.h"

namespace crossover::protocol {

using TypedMessages = boost::mp11::mp_list<
    CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse, CreatePartitionsRequest,
    CreatePartitionsResponse, DescribeConfigsRequest, DescribeConfigsResponse, AlterConfigsRequest,
    AlterConfigsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, DescribeLogDirsRequest,
    DescribeLogDirsResponse, ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, MetadataResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, DescribeClusterRequest, DescribeClusterResponse,
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, ProduceRequest, ProduceResponse, FetchRequest,
    FetchResponse, ListOffsetsRequest, ListOffsetsResponse, DeleteRecordsRequest, DeleteRecordsResponse,
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetCommitRequest, OffsetCommitResponse,
    OffsetFetchRequest, OffsetFetchResponse, JoinGroupRequest, JoinGroupResponse, HeartbeatRequest, HeartbeatResponse,
    LeaveGroupRequest, LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse, DescribeGroupsRequest,
    DescribeGroupsResponse, ListGroupsRequest, ListGroupsResponse, DeleteGroupsRequest, DeleteGroupsResponse,
    OffsetDeleteRequest, OffsetDeleteResponse, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, InitProducerIdRequest, InitProducerIdResponse,
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddOffsetsToTxnRequest, AddOffsetsToTxnResponse,
    EndTxnRequest, EndTxnResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse, DescribeProducersRequest,
    DescribeProducersResponse, DescribeTransactionsRequest, DescribeTransactionsResponse, ListTransactionsRequest,
    ListTransactionsResponse>;

// Calls `visit(mp_identity<T>)` for the struct of that API and direction; false when it has none.
template <class Visit>
bool with_typed_message(ApiKey api, Direction direction, Visit visit) {
  bool found = false;
  boost::mp11::mp_for_each<boost::mp11::mp_transform<boost::mp11::mp_identity, TypedMessages>>([&](auto identity) {
    using T = typename decltype(identity)::type;
    if (T::api != api || T::direction != direction) return;
    found = true;
    visit(identity);
  });
  return found;
}

}  // namespace crossover::protocol
