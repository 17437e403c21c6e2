// The admin endpoint without its sockets: a request in, one response out. docs/openapi.yaml is its description.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/admin_backend.h"

namespace crossover::src {

// What of an HTTP request matters here; the server has bounded every part of it.
struct AdminRequest {
  std::string method = "GET";
  std::string target = "/";
  std::string host = "localhost";  // the Host header
  std::string local_address;       // of this connection, without port
  std::string content_type;
  // Sent by browsers; the rules against other sites' requests look at them.
  std::string origin;
  std::string sec_fetch_site;
  bool custom_header = false;  // X-Crossover-Request, which a foreign page cannot send
  std::string body;
};

struct AdminResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

struct AdminApiOptions {
  std::vector<std::string> allowed_hosts;  // besides loopback names and the address the connection came in on
  std::function<proxy::Millis()> now;      // the clock of SessionInfo
  // Where the work of making an answer is done once the backend has spoken; empty: on the thread that it used.
  std::function<void(std::function<void()>)> run;
};

class AdminApi {
 public:
  using Respond = std::function<void(AdminResponse)>;

  AdminApi(AdminBackend& backend, AdminApiOptions options);
  // `respond` is called exactly once, here or later on another thread.
  void handle(const AdminRequest& request, Respond respond) const;

 private:
  AdminBackend& backend_;
  AdminApiOptions options_;
};

AdminResponse admin_error(int status, std::string_view error, std::string_view hint);

// What goes with every response: no caching, no framing, nothing from elsewhere.
const std::vector<std::pair<std::string, std::string>>& admin_security_headers();

// 1 to 100 of A-Z a-z 0-9 . _ -
bool valid_route_name(std::string_view name);

struct AdminAsset {
  std::string_view path, content_type, body;
};
// The page and the description, built in.
const std::vector<AdminAsset>& admin_assets();

}  // namespace crossover::src
