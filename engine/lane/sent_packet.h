#pragma once
// A packet of ours as the driver saw it, which comes back with its transmit stamp: a pure function over
// bytes.

#include <cstdint>
#include <span>

namespace todd::lane {

// The ICMP message or UDP payload inside an IP packet that may have a link header before it (Ethernet with up
// to two VLAN tags, or none), for IP protocol `protocol`. Empty where there is none; cut short where the
// packet is.
std::span<const uint8_t> payload_of_sent(std::span<const uint8_t> packet, int family, uint8_t protocol);

}  // namespace todd::lane
