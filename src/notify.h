// Telling the service manager how we are (sd_notify(3)), where there is one.
#pragma once

#include <string_view>

namespace crossover::src {

void notify_service_manager(std::string_view state);  // "READY=1"

}  // namespace crossover::src
