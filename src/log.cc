#include "src/log.h"

#include <unistd.h>

#include <atomic>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <map>
#include <mutex>

#include "protocol/utf8.h"

namespace crossover::src {
namespace {

using config::LogLevel;

std::atomic<LogLevel> threshold{LogLevel::info};

bool is_plain(char c) {
  // What needs no quotes, so that a line stays greppable and can be split at blanks and '='.
  return std::isalnum(static_cast<unsigned char>(c)) ||
         std::string_view("_-.:/,@+[]()%*").find(c) != std::string_view::npos;
}

// Names come from clients as any bytes; whoever collects the lines reads text.
void append_value(std::string& line, std::string_view bytes) {
  const std::string value = protocol::valid_utf8(bytes);
  bool plain = !value.empty();
  for (char c : value) plain = plain && is_plain(c);
  if (plain) {
    line += value;
    return;
  }
  line += '"';
  for (char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      line += '\\';
      line += c;
    } else if (c == '\n') {
      line += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      char text[8];
      std::snprintf(text, sizeof text, "\\x%02x", byte);
      line += text;
    } else {
      line += c;
    }
  }
  line += '"';
}

std::string timestamp() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  std::tm parts{};
  ::gmtime_r(&now.tv_sec, &parts);
  char text[48];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ ", parts.tm_year + 1900, parts.tm_mon + 1,
                parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, static_cast<int>(now.tv_nsec / 1'000'000));
  return text;
}

// A second of a wall clock per event name; the names are ours, so the map stays small.
class RateLimit {
 public:
  static constexpr int per_second = 10;

  // How many lines were suppressed since the last one that passed, or -1 when this one must not pass.
  std::int64_t take(const std::string& event) {
    const auto second =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
    std::lock_guard lock(mutex_);
    Bucket& bucket = buckets_[event];
    if (bucket.second != second) {
      bucket.second = second;
      bucket.passed = 0;
    }
    if (bucket.passed >= per_second) {
      ++bucket.suppressed;
      return -1;
    }
    ++bucket.passed;
    return std::exchange(bucket.suppressed, 0);
  }

 private:
  struct Bucket {
    std::int64_t second = 0;
    int passed = 0;
    std::int64_t suppressed = 0;
  };
  std::mutex mutex_;
  std::map<std::string, Bucket> buckets_;
};

std::string upper(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return result;
}

}  // namespace

void set_log_level(LogLevel level) {
  threshold.store(level, std::memory_order_relaxed);
}

bool log_enabled(LogLevel level) {
  return level >= threshold.load(std::memory_order_relaxed);
}

std::string format_line(LogLevel level, std::string_view event, const LogFields& fields) {
  std::string line = upper(to_string(level));
  line += ' ';
  line += event;
  for (const auto& [key, value] : fields) {
    line += ' ';
    line += key;
    line += '=';
    append_value(line, value);
  }
  return line;
}

void log(LogLevel level, std::string_view event, const LogFields& fields) {
  if (!log_enabled(level)) return;
  std::string line = timestamp() + format_line(level, event, fields) + '\n';
  // A log that cannot be written must not stop the proxy.
  [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

void log_limited(LogLevel level, std::string_view event, const LogFields& fields) {
  if (!log_enabled(level)) return;
  static RateLimit limit;
  const std::int64_t suppressed = limit.take(std::string(event));
  if (suppressed < 0) return;
  if (suppressed == 0) return log(level, event, fields);
  LogFields more = fields;
  more.emplace_back("suppressed", std::to_string(suppressed));
  log(level, event, more);
}

}  // namespace crossover::src
