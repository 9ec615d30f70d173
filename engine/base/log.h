#pragma once
#include <string_view>

namespace todd {

// One line to stderr: "2026-01-31T10:00:00.000Z warn coordinator: text". Never on the probe path.
// [any-thread]
enum class LogLevel { debug, info, warn, error };
void set_log_level(LogLevel least);
LogLevel log_level();  // info, until it is set
void log(LogLevel level, std::string_view component, std::string_view text);

}  // namespace todd
