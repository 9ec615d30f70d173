#include "tests/support/delay_lab/wire.h"

#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <linux/if_packet.h>
#include <linux/net_tstamp.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>

namespace todd::delay_lab {

namespace {

constexpr int kReceiveBuffer =
    64 << 20;  // 100,000 small frames, while the lab waits for a moment or is not scheduled

constexpr size_t kVirtioHeader = 10;  // virtio_net_hdr, whose header is no C++

// The software stamp among a message's control data, 0 if there is none.
int64_t software_stamp(msghdr& message) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr;
       control = CMSG_NXTHDR(&message, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_TIMESTAMPING) continue;
    scm_timestamping stamps;
    std::memcpy(&stamps, CMSG_DATA(control), sizeof stamps);
    return stamps.ts[0].tv_sec * 1'000'000'000LL + stamps.ts[0].tv_nsec;
  }
  return 0;
}

Status set(int fd, int level, int option, int value, const char* what) {
  if (setsockopt(fd, level, option, &value, sizeof value) != 0) return fail_errno(errno, what);
  return {};
}

}  // namespace

Result<Wire> Wire::open(const std::string& interface, Use use) {
  UniqueFd fd(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "packet socket, which needs root or CAP_NET_RAW");
  ifreq request{};
  if (interface.size() >= sizeof request.ifr_name)
    return fail(Errc::invalid, "interface " + interface + ": the name is too long");
  std::memcpy(request.ifr_name, interface.data(), interface.size());
  if (ioctl(fd.get(), SIOCGIFHWADDR, &request) != 0) return fail_errno(errno, "interface " + interface);
  Mac mac;
  std::memcpy(mac.data(), request.ifr_hwaddr.sa_data, mac.size());
  constexpr int stamps = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_TX_SOFTWARE |
                         SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_TSONLY;
  for (const auto& done : {set(fd.get(), SOL_SOCKET, SO_TIMESTAMPING, stamps, "kernel time stamps"),
                           set(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, kReceiveBuffer, "receive buffer"),
                           set(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "ignoring own frames"),
                           set(fd.get(), SOL_PACKET, PACKET_VNET_HDR, use == Use::relays ? 1 : 0,
                               "frames with the header of virtio")})
    if (!done) return tl::unexpected(done.error());
  sockaddr_ll here{};
  here.sll_family = AF_PACKET;
  here.sll_protocol = htons(ETH_P_ALL);
  here.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&here), sizeof here) != 0)
    return fail_errno(errno, "interface " + interface);
  return Wire(std::move(fd), mac, use);
}

std::optional<Wire::Arrived> Wire::receive() {
  for (;;) {
    iovec part{buffer_.data(), buffer_.size()};
    alignas(cmsghdr) char control[256];
    sockaddr_ll from{};
    msghdr message{&from, sizeof from, &part, 1, control, sizeof control, 0};
    const auto size = recvmsg(fd_.get(), &message, MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return std::nullopt;  // EAGAIN, or ENETDOWN while the interface is down
    if (use_ == Use::reflects && from.sll_pkttype == PACKET_OTHERHOST) continue;
    const std::span<const uint8_t> whole{buffer_.data(), static_cast<size_t>(size)};
    return Arrived{whole.subspan(use_ == Use::relays ? kVirtioHeader : 0), whole, software_stamp(message)};
  }
}

Result<int64_t> Wire::send(std::span<const uint8_t> frame) {
  if (::send(fd_.get(), frame.data(), frame.size(), MSG_DONTWAIT) < 0)
    return fail_errno(errno, "sending a frame");
  return departure();
}

int64_t Wire::departure() {
  int64_t stamp = 0;
  for (;;) {  // the last one is this frame's; one that came too late for its own send is thrown away
    alignas(cmsghdr) char control[256];
    msghdr message{nullptr, 0, nullptr, 0, control, sizeof control, 0};
    if (recvmsg(fd_.get(), &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return stamp;
    if (const auto found = software_stamp(message)) stamp = found;
  }
}

uint64_t Wire::missed() {
  tpacket_stats counts{};
  socklen_t size = sizeof counts;
  if (getsockopt(fd_.get(), SOL_PACKET, PACKET_STATISTICS, &counts, &size) == 0) missed_ += counts.tp_drops;
  return missed_;
}

}  // namespace todd::delay_lab
