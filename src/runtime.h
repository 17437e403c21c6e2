// The running proxy: the controller's thread, the workers, the listeners, the control topics and the admin endpoint.
#pragma once

#include "config/config.h"

namespace crossover::src {

// Serves until SIGTERM or SIGINT, then drains; a second signal ends it at once. Returns the process's exit code.
int run_proxy(const config::Config& config);

}  // namespace crossover::src
