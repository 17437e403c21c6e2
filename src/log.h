// Structured log lines on stderr: `2026-11-22T18:00:00.123Z INFO event key=value ...`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/config.h"

namespace crossover::src {

using LogFields = std::vector<std::pair<std::string, std::string>>;

// Any thread. A line is one write, so that lines of several threads never mix.
void log(config::LogLevel level, std::string_view event, const LogFields& fields = {});
// For lines that a peer can cause at will: at most ten per second and event; the next line that passes says how many
// were left out.
void log_limited(config::LogLevel level, std::string_view event, const LogFields& fields = {});

void set_log_level(config::LogLevel level);
bool log_enabled(config::LogLevel level);

// The line without its time, as it would be written; for log() and its test.
std::string format_line(config::LogLevel level, std::string_view event, const LogFields& fields);

}  // namespace crossover::src
