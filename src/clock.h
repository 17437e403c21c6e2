// The clock that the whole proxy lives by.
#pragma once

#include <ctime>

#include "proxy/cluster.h"

namespace crossover::src {

// Goes on while the machine is suspended: a lease must not outlive a sleep.
inline proxy::Millis now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<proxy::Millis>(now.tv_sec) * 1'000 + now.tv_nsec / 1'000'000;
}

}  // namespace crossover::src
