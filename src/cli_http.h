// One HTTP request, synchronously: all that the command line needs of HTTP.
#pragma once

#include <chrono>
#include <string>

#include "config/config.h"

namespace crossover::src {

struct HttpAnswer {
  int status = 0;  // 0: there was no answer
  std::string body;
  std::string error;  // why there was none
};

HttpAnswer http_request(const config::HostPort& address, const std::string& method, const std::string& target,
                        const std::string& body, std::chrono::seconds timeout);

}  // namespace crossover::src
