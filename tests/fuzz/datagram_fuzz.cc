// What recvmmsg() brings beside a payload: control messages of a datagram, of an ICMP error, of a transmit
// stamp. Raw bytes, or control messages in the kernel's form with any content. What is read lies in what was
// given.
#include <sys/socket.h>
#include <sys/time.h>
// These need the types of those above.
#include <linux/errqueue.h>
#include <linux/if_packet.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "engine/base/check.h"
#include "engine/io/datagram_message.h"

using namespace todd::io;

namespace {

struct Kind {
  int level, type;
};
constexpr Kind kKinds[] = {{SOL_SOCKET, SO_TIMESTAMPNS},
                           {SOL_SOCKET, SCM_TIMESTAMPING},
                           {SOL_SOCKET, SO_RXQ_OVFL},
                           {SOL_IP, IP_TTL},
                           {SOL_IP, IP_TOS},
                           {SOL_IP, IP_PKTINFO},
                           {SOL_IP, IP_RECVERR},
                           {SOL_IPV6, IPV6_HOPLIMIT},
                           {SOL_IPV6, IPV6_TCLASS},
                           {SOL_IPV6, IPV6_PKTINFO},
                           {SOL_IPV6, IPV6_RECVERR},
                           {SOL_PACKET, PACKET_TX_TIMESTAMP},
                           {SOL_SOCKET, SCM_RIGHTS}};

std::span<const uint8_t> take(std::span<const uint8_t>& from, size_t most) {
  const auto taken = from.first(std::min(most, from.size()));
  from = from.subspan(taken.size());
  return taken;
}

// Each: an index into kKinds, a length, content. The last may be cut, as the kernel cuts what finds no room.
std::vector<uint8_t> control_of(std::span<const uint8_t> from, size_t room) {
  std::vector<uint8_t> out;
  while (from.size() >= 2) {
    const auto head = take(from, 2);
    const auto content = take(from, head[1]);
    const Kind kind = kKinds[head[0] % std::size(kKinds)];
    cmsghdr message{};
    message.cmsg_level = kind.level;
    message.cmsg_type = kind.type;
    const size_t at = out.size();
    if (at + sizeof message > room) break;
    message.cmsg_len = std::min(CMSG_LEN(content.size()), room - at);
    out.resize(std::min(at + CMSG_SPACE(content.size()), room));
    std::memcpy(out.data() + at, &message, sizeof message);
    std::copy_n(content.begin(), message.cmsg_len - CMSG_LEN(0), out.data() + at + CMSG_LEN(0));
  }
  return out;
}

void check_inside(const uint8_t* part, uint32_t length, const std::vector<uint8_t>& whole) {
  TODD_CHECK(part >= whole.data() && part + length <= whole.data() + whole.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::span<const uint8_t> rest(data, size);
  if (rest.size() < 4) return 0;
  const auto head = take(rest, 4);
  const SocketTraits traits{.family = (head[0] & 1) != 0 ? AF_INET6 : AF_INET,
                            .icmp = (head[0] & 2) != 0,
                            .raw = (head[0] & 4) != 0};
  // Copies of the very size, so that a byte too far is seen.
  const auto payload_bytes = take(rest, head[1]), name_bytes = take(rest, head[2] % 40);
  const std::vector<uint8_t> payload(payload_bytes.begin(), payload_bytes.end());
  std::vector<uint8_t> name(name_bytes.begin(), name_bytes.end());
  std::vector<uint8_t> control =
      (head[0] & 8) != 0 ? std::vector<uint8_t>(rest.begin(), rest.end()) : control_of(rest, head[3]);
  msghdr header{};
  header.msg_name = name.data();
  header.msg_namelen = static_cast<socklen_t>(name.size());
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const auto length = static_cast<uint32_t>(payload.size());

  DatagramIn in;
  uint32_t drops = 0;
  const bool sound = read_datagram(header, payload.data(), length, traits, in, drops);
  if (sound) check_inside(in.data, in.len, payload);
  TODD_CHECK(in.rx_source == Stamp::kernel || in.rx_source == Stamp::user);
  DatagramError error;
  if (read_error(header, payload.data(), length, error)) {
    check_inside(error.quoted, error.quoted_len, payload);
    TODD_CHECK(error.origin != SO_EE_ORIGIN_TIMESTAMPING && error.origin != SO_EE_ORIGIN_ZEROCOPY);
  }
  read_tx_stamp(header);
  return 0;
}
