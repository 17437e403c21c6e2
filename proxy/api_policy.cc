#include "proxy/api_policy.h"

#include <algorithm>

namespace crossover::proxy {
namespace {

bool narrow(VersionRange& range, const ClusterVersions& cluster, ApiKey api) {
  if (cluster.apis.empty()) return true;
  const auto found = cluster.apis.find(api);
  if (found == cluster.apis.end()) return false;
  range.first = std::max(range.first, found->second.first);
  range.last = std::min(range.last, found->second.last);
  return !range.empty();
}

}  // namespace

std::map<ApiKey, VersionRange> announced_versions(const ClusterVersions& source, const ClusterVersions& target) {
  std::map<ApiKey, VersionRange> announced;
  for (const protocol::Message& message : protocol::messages()) {
    if (message.direction != protocol::Direction::request) continue;
    const ApiPolicy policy = policy_of(message.api);
    if (policy.treatment == Treatment::refuse) continue;
    VersionRange range{message.versions.first, std::min(message.versions.last, policy.last)};
    const bool everywhere = policy.treatment == Treatment::answer_here ||
                            (narrow(range, source, message.api) && narrow(range, target, message.api));
    if (everywhere) announced[message.api] = range;
  }
  return announced;
}

}  // namespace crossover::proxy
