#include "engine/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace todd {
namespace {
spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warn: return spdlog::level::warn;
    case LogLevel::error: return spdlog::level::err;
  }
  return spdlog::level::info;
}

spdlog::logger& logger() {
  static auto* instance = [] {
    auto* made = new spdlog::logger("todd", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
    return made;
  }();
  return *instance;
}
}  // namespace

void set_log_level(LogLevel least) { logger().set_level(level_of(least)); }

LogLevel log_level() {
  for (const LogLevel level : {LogLevel::debug, LogLevel::info, LogLevel::warn})
    if (logger().should_log(level_of(level))) return level;
  return LogLevel::error;
}

void log(LogLevel level, std::string_view component, std::string_view text) {
  logger().log(level_of(level), "{}: {}", component, text);
}
}  // namespace todd
