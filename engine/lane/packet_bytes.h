#pragma once
// How large the IP packet of a datagram is.

#include <todd/testlet.h>

#include <cstdint>

#include "engine/io/reactor.h"

namespace todd::lane {

// proto: TODD_ICMP or TODD_UDP; len: bytes of the flow's payload, which of ICMP begins with its header. A
// packet that is cut on its way counts once: what its fragments repeat is left out, as is the link layer. No
// options are sent, and those of a reply are not seen.
inline uint32_t packet_bytes(uint16_t proto, const io::Address& other, uint32_t len) {
  constexpr uint32_t kIpv4Header = 20, kIpv6Header = 40, kUdpHeader = 8;
  return len + (other.sa.sa_family == AF_INET6 ? kIpv6Header : kIpv4Header) +
         (proto == TODD_UDP ? kUdpHeader : 0);
}

}  // namespace todd::lane
