// The whole client-visible wire protocol of Kafka 2.8 to 4.4 as one constexpr table. The rows are derived by
// schema/regenerate.py from the message definitions inside the official client jars and are checked in.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "protocol/types.h"

namespace crossover::protocol {

enum class ApiKey : std::int16_t {
#define CROSSOVER_API(name, key) name = key,
#include "protocol/schema/apis.inc"
#undef CROSSOVER_API
};

enum class Direction : std::uint8_t { request, response };

enum class WireType : std::uint8_t {
  boolean,
  int8,
  int16,
  uint16,
  int32,
  uint32,
  int64,
  float64,
  uuid,
  string,
  bytes,
  records,
  structure
};

// What a field means to a proxy. One rewriter per role serves every message at every version.
enum class Role : std::uint8_t {
  none,
  offset,
  leader_epoch,
  node_id,
  controller_id,
  host,
  port,
  rack,
  cluster_id,
  topic_name,
  topic_id,
  topic_regex,
  partition,
  partition_count,
  group_id,
  member_id,
  generation,
  instance_id,
  assignment,
  transactional_id,
  producer_id,
  producer_epoch,
  sequence,
  coordinator_epoch,
  session,
  records,
  commit_metadata,
  error_code,
  error_text,
  client_id,
  client_host,
  principal,
  resource,
  quota_entity,
  config_value,
  token,
  sasl,
  directory_id,
  log_directory,
  replica_epoch,
  timestamp,
  offset_delta,
  byte_position,
  isolation,
  throttle,
  api_version,
  envelope,
  coordinator_key  // of FindCoordinator: a group, a transactional id or a share partition, by the request's KeyType
};

struct VersionRange {
  Version first = 0;
  Version last = -1;  // inclusive; first > last means "never"
  constexpr bool contains(Version v) const { return first <= v && v <= last; }
  constexpr bool empty() const { return first > last; }
  bool operator==(const VersionRange&) const = default;
};

struct Field {
  std::string_view name;  // as in Kafka's newest schema: "TopicData"
  WireType type;
  Role role;
  VersionRange versions;  // present in these versions
  bool array = false;
  VersionRange nullable = {};
  VersionRange tagged = {};              // present as a tagged field in these versions
  std::int16_t tag = -1;                 // -1 where not tagged
  std::span<const Field> children = {};  // of a structure
};

struct Message {
  ApiKey api;
  Direction direction;
  std::string_view name;   // "FetchRequest"
  VersionRange versions;   // union over the releases covered
  Version first_flexible;  // 32767 where no version is flexible
  std::span<const Field> fields;
};

std::span<const Message> messages();
// nullptr when the table has no such message.
const Message* find_message(ApiKey api, Direction direction);
std::string_view api_name(ApiKey api);  // "Fetch"; empty when unknown

// Header versions per KIP-482; the ApiVersions response header is always v0.
int request_header_version(ApiKey api, Version version);
int response_header_version(ApiKey api, Version version);

}  // namespace crossover::protocol
