#pragma once
// Which way IPv4 packets leave this host, for senders that write the link header themselves.

#include <netinet/in.h>

#include <array>
#include <cstdint>
#include <vector>

#include "engine/base/result.h"

namespace todd::io {

using MacAddress = std::array<uint8_t, 6>;

// A gateway on an Ethernet link, resolved.
struct NextHop {
  uint32_t interface = 0;  // its index
  in_addr source{};        // the address the kernel would send from
  MacAddress own{}, peer{};
  // Nobody has heard from the gateway lately: a packet that the kernel sends there makes it ask.
  bool doubtful = false;
};

// The routes of the main, local and default tables and the neighbours, as they are when read.
class NextHops {
 public:
  NextHops() = default;  // none: everything goes by the kernel
  // A few messages to the kernel (rtnetlink), some 100 us. Errors: unsupported, where this does not follow
  // what the kernel does (policy rules, more than kMostRoutes routes); system.
  static constexpr size_t kMostRoutes = 64;
  // Adds to `syscalls` what it made.
  static Result<NextHops> read(uint64_t& syscalls);

  // nullptr: the kernel has to send it, because the address is this host's, on a link of its own,
  // unreachable, reached over several paths or a tunnel, or its gateway's link address is not known (yet).
  const NextHop* find(in_addr to) const;
  // There are gateways, and of none of them the link address is known (yet): find() gives nothing.
  bool only_unresolved() const { return unresolved_ && hops_.empty(); }
  // What find() gave is not doubtful any more.
  void trust(const NextHop& hop) { hops_[static_cast<size_t>(&hop - hops_.data())].doubtful = false; }

 private:
  struct Route {
    uint32_t prefix = 0, mask = 0;  // host order
    int hop = -1;                   // in hops_; -1: the kernel's
  };
  friend class RouteReader;

  std::vector<Route> routes_;  // in the order in which the kernel looks
  std::vector<NextHop> hops_;
  bool unresolved_ = false;
};

}  // namespace todd::io
