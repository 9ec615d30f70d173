#include "tests/support/kernel_calls.h"

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "engine/base/check.h"
#include "engine/base/files.h"

namespace todd::test {

std::optional<KernelCalls> KernelCalls::of_this_thread(std::string& why) {
  uint64_t number = 0;
  for (const char* folder : {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}) {
    const auto id = read_file(std::string(folder) + "/events/raw_syscalls/sys_enter/id");
    if (id) number = strtoull(id->c_str(), nullptr, 10);
    if (number != 0) break;
  }
  if (number == 0) {
    why =
        "the kernel's tracepoint of system calls needs root and tracefs (mount -t tracefs none "
        "/sys/kernel/tracing)";
    return std::nullopt;
  }
  perf_event_attr wanted{};
  wanted.type = PERF_TYPE_TRACEPOINT;
  wanted.size = sizeof wanted;
  wanted.config = number;
  UniqueFd fd(static_cast<int>(syscall(SYS_perf_event_open, &wanted, 0, -1, -1, PERF_FLAG_FD_CLOEXEC)));
  if (!fd) {
    why = std::string("perf_event_open: ") + strerror(errno);
    return std::nullopt;
  }
  return KernelCalls(std::move(fd));
}

uint64_t KernelCalls::so_far() {
  uint64_t count = 0;
  TODD_CHECK(read(fd_.get(), &count, sizeof count) == sizeof count);
  return count - ++readings_;
}

}  // namespace todd::test
