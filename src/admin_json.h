// What the admin endpoint says, as JSON. Pure functions of what AdminBackend hands out; docs/openapi.yaml describes the
// shapes.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>

#include "src/admin_backend.h"

namespace crossover::src {

// Numbers as people write them (Boost.JSON prints 1.5 as 1.5E0). What clients send as their names may be any bytes:
// what is not UTF-8 becomes U+FFFD.
std::string to_text(const boost::json::value& value);

struct HoldSummary {
  std::size_t count = 0;
  proxy::Millis p50 = 0, p99 = 0, max = 0;
};
HoldSummary summarise(std::vector<proxy::Millis> hold_ms);

boost::json::object flip_json(const proxy::FlipReport& report, bool with_partitions);
boost::json::object recovery_json(const proxy::RecoveryReport& report);
boost::json::object status_json(const StatusView& view);
boost::json::object transaction_json(const proxy::OpenTransaction& transaction);
boost::json::object clusters_json(const StatusView& view);
boost::json::object connections_json(const std::vector<proxy::SessionInfo>& sessions, proxy::Millis now);
boost::json::object routes_json(const StatusView& view);

// Which partitions GET /v1/routes/{route} lists: those of one topic, or of all in the order of their names after
// `after`.
struct PartitionFilter {
  std::string topic;
  std::string after;
  std::size_t limit = 1'000;
};
boost::json::object route_json(const StatusView& view, const proxy::RouteStatus& route, const PartitionFilter& filter);

}  // namespace crossover::src
