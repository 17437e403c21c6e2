#include "proxy/cluster.h"

namespace crossover::proxy {

std::string_view to_string(Cluster c) {
  return c == Cluster::source ? "source" : "target";
}

}  // namespace crossover::proxy
