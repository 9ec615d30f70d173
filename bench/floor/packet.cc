// Whole Ethernet frames: requests by sendmmsg or a TX ring, replies from a TPACKET_V3 ring.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/ip.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "bench/floor/path.h"

namespace todd::floor {
namespace {

constexpr size_t kEthernet = 14, kIp = 20, kIcmpAt = kEthernet + kIp, kFrame = kIcmpAt + Message::kSize;

int open_packet(const Route& route, int protocol) {
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  must(fd >= 0, "packet socket");
  sockaddr_ll where{};
  where.sll_family = AF_PACKET;
  where.sll_protocol = htons(static_cast<uint16_t>(protocol));
  where.sll_ifindex = route.ifindex;
  must(bind(fd, reinterpret_cast<sockaddr*>(&where), sizeof where) == 0, "binding the packet socket");
  return fd;
}

int open_packet_sender(const PathOptions& options) {
  const int fd = open_packet(options.route, 0);  // receives nothing
  set_option(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1, "PACKET_QDISC_BYPASS");
  set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, 256 << 20, "SO_SNDBUFFORCE");
  set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20, "SO_RCVBUFFORCE");  // the error queue's
  return fd;
}

// A frame to the next hop with an echo request in it, of which readdress() changes what a target changes.
class Frame {
 public:
  explicit Frame(const PathOptions& options)
      : message_(options.ident), first_(ntohl(options.route.first_target.s_addr)), route_(options.route) {
    uint8_t out[kFrame];
    write(out);
    constant_sum_ = sum_words(out + kEthernet, kIp);
  }

  void write(uint8_t* out) const {
    std::memcpy(out, route_.next_hop_mac, 6);
    std::memcpy(out + 6, route_.source_mac, 6);
    out[12] = ETH_P_IP >> 8;
    out[13] = ETH_P_IP & 0xff;
    ip header{};
    header.ip_v = 4;
    header.ip_hl = 5;
    header.ip_len = htons(kIp + Message::kSize);
    header.ip_off = htons(IP_DF);
    header.ip_ttl = 64;
    header.ip_p = IPPROTO_ICMP;
    header.ip_src = route_.source;
    std::memcpy(out + kEthernet, &header, kIp);
    message_.write(out + kIcmpAt);
  }

  void readdress(uint8_t* out, uint32_t target) const {
    const uint32_t address = htonl(first_ + target);
    const uint16_t checksum = fold(constant_sum_ + (address & 0xffff) + (address >> 16));
    std::memcpy(out + kEthernet + 10, &checksum, sizeof checksum);
    std::memcpy(out + kEthernet + 16, &address, sizeof address);
    message_.readdress(out + kIcmpAt, target);
  }

 private:
  Message message_;
  uint32_t first_;
  Route route_;
  uint32_t constant_sum_ = 0;
};

class PacketSender : public Sender {
 public:
  explicit PacketSender(const PathOptions& options)
      : fd_(open_packet_sender(options)),
        frame_(options),
        stamps_(options.tx_stamps),
        bytes_(options.batch * kFrame),
        parts_(options.batch),
        headers_(options.batch) {
    for (unsigned i = 0; i < options.batch; ++i) {
      frame_.write(&bytes_[i * kFrame]);
      parts_[i] = {&bytes_[i * kFrame], kFrame};
      headers_[i].msg_hdr = {.msg_iov = &parts_[i], .msg_iovlen = 1};
    }
    if (stamps_) ask_for_tx_stamps(fd_);
  }

  unsigned send(uint32_t first, unsigned count) override {
    for (unsigned i = 0; i < count; ++i) frame_.readdress(&bytes_[i * kFrame], first + i);
    const int sent = sendmmsg(fd_, headers_.data(), count, MSG_DONTWAIT);
    if (sent >= 0) return static_cast<unsigned>(sent);
    must(errno == EAGAIN || errno == ENOBUFS, "sendmmsg of frames");
    return 0;
  }

  unsigned read_stamps() override { return stamps_ ? read_error_queue(fd_) : 0; }

 private:
  int fd_;
  Frame frame_;
  bool stamps_;
  std::vector<uint8_t> bytes_;
  std::vector<iovec> parts_;
  std::vector<mmsghdr> headers_;
};

class RingSender : public Sender {
 public:
  static constexpr unsigned kSlot = 256, kSlots = 4096, kData = TPACKET2_HDRLEN - sizeof(sockaddr_ll);

  explicit RingSender(const PathOptions& options) : fd_(open_packet_sender(options)), frame_(options) {
    set_option(fd_, SOL_PACKET, PACKET_VERSION, TPACKET_V2, "PACKET_VERSION");
    tpacket_req shape{.tp_block_size = 4096 * 16,
                      .tp_block_nr = kSlots * kSlot / (4096 * 16),
                      .tp_frame_size = kSlot,
                      .tp_frame_nr = kSlots};
    must(setsockopt(fd_, SOL_PACKET, PACKET_TX_RING, &shape, sizeof shape) == 0, "PACKET_TX_RING");
    void* memory = mmap(nullptr, kSlots * kSlot, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, 0);
    must(memory != MAP_FAILED, "mapping the TX ring");
    slots_ = static_cast<uint8_t*>(memory);
    for (unsigned i = 0; i < kSlots; ++i) {
      frame_.write(slots_ + i * kSlot + kData);
      header(i)->tp_len = kFrame;
    }
  }

  unsigned send(uint32_t first, unsigned count) override {
    unsigned made = 0;
    for (; made < count; ++made) {
      auto* slot = header(next_);
      std::atomic_ref<__u32> status(slot->tp_status);
      if (status.load(std::memory_order_acquire) != TP_STATUS_AVAILABLE) break;
      frame_.readdress(slots_ + next_ * kSlot + kData, first + made);
      status.store(TP_STATUS_SEND_REQUEST, std::memory_order_release);
      next_ = (next_ + 1) % kSlots;
    }
    // The kernel sends what is marked; what it could not take stays marked for the next call.
    if (::send(fd_, nullptr, 0, MSG_DONTWAIT) < 0)
      must(errno == EAGAIN || errno == ENOBUFS, "sending the TX ring");
    return made;
  }

 private:
  tpacket2_hdr* header(unsigned slot) { return reinterpret_cast<tpacket2_hdr*>(slots_ + slot * kSlot); }

  int fd_;
  Frame frame_;
  uint8_t* slots_ = nullptr;
  unsigned next_ = 0;
};

class RingReceiver : public Receiver {
 public:
  // Small blocks, so that few replies wait for a block to fill; the window of the loop is larger than one.
  static constexpr unsigned kBlock = 1 << 15, kBlocks = 1024;

  explicit RingReceiver(const PathOptions& options)
      : fd_(open_packet(options.route, ETH_P_IP)), message_(options.ident) {
    set_option(fd_, SOL_PACKET, PACKET_VERSION, TPACKET_V3, "PACKET_VERSION");
    set_option(fd_, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING");
    set_option(fd_, SOL_SOCKET, SO_TIMESTAMPNS, 1, "SO_TIMESTAMPNS");  // or frames have no stamp of arrival
    if (options.filter) filter_ident(fd_, options.ident, kIcmpAt);
    tpacket_req3 shape{};
    shape.tp_block_size = kBlock;
    shape.tp_block_nr = kBlocks;
    shape.tp_frame_size = 2048;
    shape.tp_frame_nr = kBlocks * (kBlock / shape.tp_frame_size);
    shape.tp_retire_blk_tov = 1;  // ms
    must(setsockopt(fd_, SOL_PACKET, PACKET_RX_RING, &shape, sizeof shape) == 0, "PACKET_RX_RING");
    void* memory =
        mmap(nullptr, size_t{kBlock} * kBlocks, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, 0);
    must(memory != MAP_FAILED, "mapping the RX ring");
    blocks_ = static_cast<uint8_t*>(memory);
  }

  unsigned receive(Ledger& ledger) override {
    unsigned seen = 0;
    for (;;) {
      auto* block = reinterpret_cast<tpacket_block_desc*>(blocks_ + size_t{next_} * kBlock);
      std::atomic_ref<__u32> status(block->hdr.bh1.block_status);
      if ((status.load(std::memory_order_acquire) & TP_STATUS_USER) == 0) return seen;
      const uint8_t* at = reinterpret_cast<uint8_t*>(block) + block->hdr.bh1.offset_to_first_pkt;
      for (unsigned i = 0; i < block->hdr.bh1.num_pkts; ++i) {
        const auto* packet = reinterpret_cast<const tpacket3_hdr*>(at);
        enter(*packet, at + packet->tp_mac, ledger);
        at += packet->tp_next_offset;
      }
      seen += block->hdr.bh1.num_pkts;
      status.store(TP_STATUS_KERNEL, std::memory_order_release);
      next_ = (next_ + 1) % kBlocks;
    }
  }

  int fd() const override { return fd_; }

 private:
  void enter(const tpacket3_hdr& header, const uint8_t* frame, Ledger& ledger) const {
    if (header.tp_snaplen < kFrame || frame[kEthernet] != 0x45 || frame[kEthernet + 9] != IPPROTO_ICMP)
      return;
    const auto target = message_.target_of(frame + kIcmpAt, header.tp_snaplen - kIcmpAt, true);
    if (target >= 0)
      ledger.answered(static_cast<uint32_t>(target), int64_t{header.tp_sec} * 1'000'000'000 + header.tp_nsec);
  }

  int fd_;
  Message message_;
  uint8_t* blocks_ = nullptr;
  unsigned next_ = 0;
};

}  // namespace

std::shared_ptr<Sender> make_packet_sender(const PathOptions& options) {
  return std::make_shared<PacketSender>(options);
}
std::shared_ptr<Sender> make_ring_sender(const PathOptions& options) {
  return std::make_shared<RingSender>(options);
}
std::shared_ptr<Receiver> make_ring_receiver(const PathOptions& options) {
  return std::make_shared<RingReceiver>(options);
}

}  // namespace todd::floor
