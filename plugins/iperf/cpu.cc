#include "plugins/iperf/cpu.h"

#include <sys/resource.h>

namespace todd::iperf {
namespace {

int64_t ns_of(const timeval& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + int64_t{time.tv_usec} * 1'000;
}

}  // namespace

void Cpu::start(int64_t now_ns) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  since_ns_ = now_ns;
  user_ns_ = ns_of(usage.ru_utime);
  system_ns_ = ns_of(usage.ru_stime);
}

Cpu::Use Cpu::use(int64_t now_ns) const {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto elapsed = static_cast<double>(now_ns - since_ns_);
  if (since_ns_ == 0 || elapsed <= 0) return {};
  return {static_cast<double>(ns_of(usage.ru_utime) - user_ns_) / elapsed,
          static_cast<double>(ns_of(usage.ru_stime) - system_ns_) / elapsed};
}

}  // namespace todd::iperf
