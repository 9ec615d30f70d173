// Requests and replies through ICMP sockets with sendmmsg and recvmmsg.
#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/icmp.h>
#include <linux/net_tstamp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "bench/floor/path.h"

namespace todd::floor {
namespace {

constexpr int kBuffer = 256 << 20;
constexpr size_t kIpHeader = 20;

class SocketSender : public Sender {
 public:
  SocketSender(const PathOptions& options, int fd)
      : fd_(fd),
        first_(ntohl(options.route.first_target.s_addr)),
        message_(options.ident),
        stamps_(options.tx_stamps),
        bytes_(options.batch * Message::kSize),
        to_(options.batch),
        parts_(options.batch),
        headers_(options.batch) {
    for (unsigned i = 0; i < options.batch; ++i) {
      message_.write(&bytes_[i * Message::kSize]);
      parts_[i] = {&bytes_[i * Message::kSize], Message::kSize};
      to_[i].sin_family = AF_INET;
      headers_[i].msg_hdr = {
          .msg_name = &to_[i], .msg_namelen = sizeof to_[i], .msg_iov = &parts_[i], .msg_iovlen = 1};
    }
    if (stamps_) ask_for_tx_stamps(fd);
  }

  unsigned send(uint32_t first, unsigned count) override {
    for (unsigned i = 0; i < count; ++i) {
      message_.readdress(&bytes_[i * Message::kSize], first + i);
      to_[i].sin_addr.s_addr = htonl(first_ + first + i);
    }
    const int sent = sendmmsg(fd_, headers_.data(), count, MSG_DONTWAIT);
    if (sent >= 0) return static_cast<unsigned>(sent);
    must(errno == EAGAIN || errno == ENOBUFS, "sendmmsg");
    return 0;
  }

  unsigned read_stamps() override { return stamps_ ? read_error_queue(fd_) : 0; }

 private:
  int fd_;
  uint32_t first_;
  Message message_;
  bool stamps_;
  std::vector<uint8_t> bytes_;
  std::vector<sockaddr_in> to_;
  std::vector<iovec> parts_;
  std::vector<mmsghdr> headers_;
};

class SocketReceiver : public Receiver {
 public:
  static constexpr size_t kRoom = 256, kControl = 64;

  SocketReceiver(const PathOptions& options, int fd, bool ping)
      : fd_(fd),
        ping_(ping),
        message_(options.ident),
        bytes_(options.batch * kRoom),
        control_(options.batch * kControl),
        parts_(options.batch),
        headers_(options.batch) {
    for (unsigned i = 0; i < options.batch; ++i) {
      parts_[i] = {&bytes_[i * kRoom], kRoom};
      headers_[i].msg_hdr = {.msg_iov = &parts_[i], .msg_iovlen = 1};
    }
  }

  unsigned receive(Ledger& ledger) override {
    for (size_t i = 0; i < headers_.size(); ++i) {
      headers_[i].msg_hdr.msg_control = &control_[i * kControl];
      headers_[i].msg_hdr.msg_controllen = kControl;
    }
    const int got =
        recvmmsg(fd_, headers_.data(), static_cast<unsigned>(headers_.size()), MSG_DONTWAIT, nullptr);
    if (got < 0) {
      must(errno == EAGAIN, "recvmmsg");
      return 0;
    }
    const size_t skip = ping_ ? 0 : kIpHeader;
    for (int i = 0; i < got; ++i) {
      const size_t n = static_cast<size_t>(i);
      if (headers_[n].msg_len < skip) continue;
      const auto target = message_.target_of(&bytes_[n * kRoom] + skip, headers_[n].msg_len - skip, !ping_);
      if (target >= 0) ledger.answered(static_cast<uint32_t>(target), stamp_of(headers_[n].msg_hdr));
    }
    return static_cast<unsigned>(got);
  }

  int fd() const override { return fd_; }

 private:
  static int64_t stamp_of(msghdr& header) {
    for (auto* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_TIMESTAMPNS) continue;
      timespec at{};
      std::memcpy(&at, CMSG_DATA(c), sizeof at);
      return int64_t{at.tv_sec} * 1'000'000'000 + at.tv_nsec;
    }
    return 1;  // answered, at no known time
  }

  int fd_;
  bool ping_;
  Message message_;
  std::vector<uint8_t> bytes_, control_;
  std::vector<iovec> parts_;
  std::vector<mmsghdr> headers_;
};

}  // namespace

std::shared_ptr<Sender> make_socket_sender(const PathOptions& options, int fd) {
  return std::make_shared<SocketSender>(options, fd);
}

std::shared_ptr<Receiver> make_socket_receiver(const PathOptions& options, int fd, bool ping) {
  return std::make_shared<SocketReceiver>(options, fd, ping);
}

int open_icmp(const PathOptions& options, bool ping) {
  const int fd = socket(AF_INET, (ping ? SOCK_DGRAM : SOCK_RAW) | SOCK_CLOEXEC, IPPROTO_ICMP);
  must(fd >= 0, ping ? "ping socket (net.ipv4.ping_group_range)" : "raw socket");
  set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, kBuffer, "SO_RCVBUFFORCE");
  set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, kBuffer, "SO_SNDBUFFORCE");
  set_option(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1, "SO_TIMESTAMPNS");
  if (ping) return fd;
  icmp_filter only_replies{~(1u << ICMP_ECHOREPLY)};
  must(setsockopt(fd, SOL_RAW, ICMP_FILTER, &only_replies, sizeof only_replies) == 0, "ICMP_FILTER");
  if (options.filter) filter_ident(fd, options.ident, kIpHeader);
  return fd;
}

void filter_ident(int fd, uint16_t ident, unsigned icmp_at) {
  // ICMP of type 0 with that ident, and on packet sockets IPv4 (their filter sees the Ethernet header).
  sock_filter code[] = {
      {BPF_LD | BPF_B | BPF_ABS, 0, 0, icmp_at - 11},     // the IP header's protocol
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 5, IPPROTO_ICMP},    //
      {BPF_LD | BPF_B | BPF_ABS, 0, 0, icmp_at},          // type
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 3, ICMP_ECHOREPLY},  //
      {BPF_LD | BPF_H | BPF_ABS, 0, 0, icmp_at + 4},      // ident
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, ntohs(ident)},    //
      {BPF_RET | BPF_K, 0, 0, 0xffff},
      {BPF_RET | BPF_K, 0, 0, 0},
  };
  sock_fprog program{sizeof code / sizeof *code, code};
  must(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0, "SO_ATTACH_FILTER");
}

void ask_for_tx_stamps(int fd) {
  set_option(fd, SOL_SOCKET, SO_TIMESTAMPING,
             SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID |
                 SOF_TIMESTAMPING_OPT_TSONLY,
             "SO_TIMESTAMPING");
}

unsigned read_error_queue(int fd) {
  constexpr unsigned kMost = 64;
  uint8_t control[kMost][256];
  mmsghdr headers[kMost];
  std::memset(headers, 0, sizeof headers);
  for (unsigned i = 0; i < kMost; ++i) {
    headers[i].msg_hdr.msg_control = control[i];
    headers[i].msg_hdr.msg_controllen = sizeof control[i];
  }
  const int got = recvmmsg(fd, headers, kMost, MSG_ERRQUEUE | MSG_DONTWAIT, nullptr);
  if (got < 0) {
    must(errno == EAGAIN, "recvmmsg of the error queue");
    return 0;
  }
  unsigned stamps = 0;
  for (int i = 0; i < got; ++i)
    for (auto* c = CMSG_FIRSTHDR(&headers[i].msg_hdr); c != nullptr;
         c = CMSG_NXTHDR(&headers[i].msg_hdr, c)) {
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPING) continue;
      timespec at{};
      std::memcpy(&at, CMSG_DATA(c), sizeof at);
      stamps += at.tv_sec != 0 ? 1 : 0;
    }
  return stamps;
}

void must(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "floor: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

void set_option(int fd, int level, int name, int value, const char* what) {
  must(setsockopt(fd, level, name, &value, sizeof value) == 0, what);
}

}  // namespace todd::floor
