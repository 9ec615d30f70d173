#pragma once
// By which way the packets of a test leave their host.

#include <cstdint>
#include <string>

namespace todd {

// The bit of IPv4 that forbids routers to cut a packet; for IPv6, which never lets them, whether the sender
// may. set: packets leave whole even where a smaller path MTU is known, and what they meet is measured.
enum class DontFragment : uint8_t { system, set, clear };  // in the order of the param's choices

// How ICMP probes go to the driver: through a socket, or as whole frames past routing and firewall of this
// host.
enum class SendPath : uint8_t { automatic, socket, packet };  // in the order of the param's choices

struct Egress {
  std::string source;     // an address of this host; empty: the system chooses
  std::string interface;  // SO_BINDTODEVICE; empty: the routes decide
  DontFragment df = DontFragment::system;
  SendPath path = SendPath::automatic;
  uint32_t mark = 0;        // SO_MARK, for the rules of routing and firewall; 0: none
  uint32_t flow_label = 0;  // of IPv6, 20 bits; 0: the system chooses

  // The sockets' own choices do.
  bool plain() const {
    return source.empty() && interface.empty() && df == DontFragment::system && mark == 0 && flow_label == 0;
  }
  bool operator==(const Egress&) const = default;
};

}  // namespace todd
