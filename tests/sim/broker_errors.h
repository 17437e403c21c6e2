// Kafka's names for error codes that only the simulated brokers need.
#pragma once

#include "protocol/error_code.h"

namespace crossover::sim::errors {

using protocol::ErrorCode;

inline constexpr ErrorCode invalid_required_acks{21};
inline constexpr ErrorCode inconsistent_group_protocol{23};
inline constexpr ErrorCode invalid_group_id{24};
inline constexpr ErrorCode invalid_session_timeout{26};
inline constexpr ErrorCode invalid_replication_factor{38};
inline constexpr ErrorCode invalid_replica_assignment{39};
inline constexpr ErrorCode invalid_config{40};
inline constexpr ErrorCode non_empty_group{68};
inline constexpr ErrorCode group_id_not_found{69};
inline constexpr ErrorCode unsupported_compression_type{76};
inline constexpr ErrorCode fenced_instance_id{82};
inline constexpr ErrorCode group_subscribed_to_topic{86};
inline constexpr ErrorCode invalid_record{87};
inline constexpr ErrorCode fetch_session_topic_id_error{106};
inline constexpr ErrorCode mismatched_endpoint_type{114};

}  // namespace crossover::sim::errors
