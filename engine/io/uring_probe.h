#pragma once
// What this kernel's io_uring can do, found by asking and by trying, never by version.

#include <cstdint>
#include <string>

#include "engine/base/result.h"
#include "engine/io/reactor.h"

namespace todd::io {

struct UringFeatures {
  uint32_t setup_flags = 0;     // the richest set that was accepted
  bool addressed_send = false;  // SEND takes a destination; else SENDMSG does it
  std::string text;             // one line for people
};
// Errc::unsupported names the missing feature and the remedy. Features newer than that release of Linux (601
// is 6.1) are neither asked for nor tried.
Result<UringFeatures> probe_uring(uint32_t newest = kAnyLinux);
std::string release_text(uint32_t release);  // 601 -> "6.1"

}  // namespace todd::io
