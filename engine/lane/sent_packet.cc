#include "engine/lane/sent_packet.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>

namespace todd::lane {
namespace {

constexpr size_t kUdpHeader = 8;

// Bytes before the payload if an IP header of this family and protocol stands at the beginning; 0 if not.
size_t headers_of(std::span<const uint8_t> ip, int family, uint8_t protocol) {
  size_t length = 0;
  if (family == AF_INET) {
    if (ip.size() < 20 || ip[0] >> 4 != 4 || ip[9] != protocol) return 0;
    length = size_t{ip[0] & 0xfu} * 4;
    if (length < 20) return 0;
  } else {
    if (ip.size() < 40 || ip[0] >> 4 != 6 || ip[6] != protocol) return 0;
    length = 40;
  }
  if (protocol == IPPROTO_UDP) length += kUdpHeader;
  return length <= ip.size() ? length : 0;
}

}  // namespace

// Ethernet comes first: an address in its header could look like an IP version, an IP header at offset 14
// hardly like Ethernet.
std::span<const uint8_t> payload_of_sent(std::span<const uint8_t> packet, int family, uint8_t protocol) {
  for (const size_t link : {size_t{14}, size_t{0}, size_t{18}, size_t{22}}) {
    if (link >= packet.size()) continue;
    if (const size_t headers = headers_of(packet.subspan(link), family, protocol); headers != 0)
      return packet.subspan(link + headers);
  }
  return {};
}

}  // namespace todd::lane
