#include "engine/io/libevent_log.h"

#include <event2/dns.h>
#include <event2/event.h>

#include "engine/base/log.h"

namespace todd::io {
namespace {

void say_event(int severity, const char* text) {
  const LogLevel level = severity == EVENT_LOG_ERR    ? LogLevel::error
                         : severity == EVENT_LOG_WARN ? LogLevel::warn
                                                      : LogLevel::debug;
  log(level, "libevent", text);
}

void say_dns(int, const char* text) { log(LogLevel::debug, "names", text); }

}  // namespace

void take_libevent_log() {
  [[maybe_unused]] static const bool taken = [] {
    event_set_log_callback(say_event);
    evdns_set_log_fn(say_dns);
    return true;
  }();
}

}  // namespace todd::io
