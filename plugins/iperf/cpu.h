#pragma once
// What this process uses of the CPU, all its threads together: other tests of the host are in it.

#include <cstdint>

namespace todd::iperf {

// Shares of one CPU since start(): 1.5 is one and a half.
class Cpu {
 public:
  struct Use {
    double user = 0, system = 0;
  };
  void start(int64_t now_ns);
  Use use(int64_t now_ns) const;

 private:
  int64_t since_ns_ = 0, user_ns_ = 0, system_ns_ = 0;
};

}  // namespace todd::iperf
