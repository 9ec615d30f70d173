#pragma once
// What this kernel's io_uring can do, found by asking and by trying, never by version.

#include <cstdint>
#include <string>

#include "engine/base/result.h"

namespace todd::io {

struct UringFeatures {
  uint32_t setup_flags = 0;     // the richest set that was accepted
  bool addressed_send = false;  // SEND takes a destination; else SENDMSG does it
  std::string text;             // one line for people
};
// Errc::unsupported names the missing feature and the remedy.
Result<UringFeatures> probe_uring();

}  // namespace todd::io
