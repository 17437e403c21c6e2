// The admin endpoint: HTTP/1.1 on one thread of its own. Every size, time and number of connections is bounded.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "src/admin_api.h"

namespace crossover::src {

struct AdminServerOptions {
  config::HostPort listen{"127.0.0.1", 9644};
  AdminApiOptions api;
};

class AdminServer {
 public:
  // `backend` must live until the callbacks it was given were called or dropped.
  AdminServer(AdminBackend& backend, AdminServerOptions options);
  ~AdminServer();  // stops

  // Empty: it listens, and its thread runs. Otherwise what went wrong.
  std::string start();
  std::uint16_t port() const;  // the real one where 0 was asked for
  // Refuses new requests, lets answers that are being written leave for a moment, then ends the thread.
  void stop();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace crossover::src
