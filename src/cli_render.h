// The admin endpoint's answers as text for a terminal. Throws (std::exception) when an answer has another shape.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>

namespace crossover::src {

std::string render_status(const boost::json::value& status);
std::string render_routes(const boost::json::value& routes);
std::string render_route(const boost::json::value& route);
// POST /v1/transactions/{id}/abort.
std::string render_abort(const boost::json::value& answer);
std::string render_recovery(const boost::json::value& report);
std::string render_flip(const boost::json::value& report);

// Without what a terminal would obey.
std::string printable(std::string_view text);

}  // namespace crossover::src
