#include "engine/lane/bulk_datagrams.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "engine/base/clock.h"
#include "engine/io/datagram_message.h"
#include "engine/lane/bulk_pace.h"
#include "engine/stats/arrivals.h"

namespace todd::lane {
namespace {

constexpr uint16_t kAbsent = 0xffff;
constexpr uint32_t kBatch = 64;          // of a call; the kernel's limit of segments, too
constexpr uint32_t kSegmented = 65'000;  // bytes of a call that the kernel cuts
constexpr int64_t kAtOnceNs = 1'000'000;
constexpr uint32_t kHopeless = 100;  // refusals in a row of what may be an earlier datagram's error

bool switch_option(int fd, int level, int name, int on) {
  return setsockopt(fd, level, name, &on, sizeof on) == 0;
}

void put(uint8_t* datagram, uint16_t at, uint64_t value, uint32_t bytes) {
  if (at == kAbsent) return;
  for (uint32_t i = 0; i < bytes; ++i) datagram[at + i] = static_cast<uint8_t>(value >> 8 * (bytes - 1 - i));
}

uint64_t get(const uint8_t* datagram, uint16_t at, uint32_t bytes) {
  uint64_t value = 0;
  for (uint32_t i = 0; i < bytes; ++i) value = value << 8 | datagram[at + i];
  return value;
}

// ---- sending

class DatagramSender final : public BulkRun {
 public:
  DatagramSender(BulkJob& job, io::Reactor& reactor, const BulkBuffers::Source& source)
      : BulkRun(job, reactor),
        length_(job.wanted.length),
        bytes_(source.bytes.data(), source.bytes.data() + size_t{kBatch} * length_),
        parts_(kBatch),
        messages_(kBatch),
        pace_(job.wanted.bitrate, monotonic_ns()),
        at_once_(pace_.paced() ? pace_.bytes_in(kAtOnceNs) : UINT64_MAX),
        next_(job.wanted.first_sequence),
        segments_((job.wanted.flags & TODD_BF_OFFLOAD) != 0 ? std::min(kBatch, kSegmented / length_) : 0) {
    for (uint32_t i = 0; i < kBatch; ++i) {
      parts_[i] = {bytes_.data() + size_t{i} * length_, length_};
      messages_[i].msg_hdr.msg_iov = &parts_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
    }
  }

 private:
  int64_t slice(int64_t now_ns, int64_t until_ns) override {
    BulkCounts& counts = job_.counts;
    for (uint64_t sent_now = 0;;) {
      uint32_t many = wanted_now();
      if (pace_.paced()) {
        if (now_ns < pace_.due_ns()) return pace_.due_ns();
        const auto late = static_cast<uint64_t>(pace_.late_ns(now_ns));
        counts.late_ns.set(std::max(late, counts.late_ns.get()));
        many = due(many, now_ns, sent_now);
        if (many == 0) return now_ns + kAtOnceNs / 2;
      }
      number(many);
      const int sent = segments_ > 1 && many > 1 ? send_segments(many) : send_each(many);
      counts.calls.add(1);
      now_ns = monotonic_ns();
      if (sent == -EAGAIN) return stalled(sent_now == 0, now_ns);
      if (sent < 0 && !goes_on(-sent, many)) return now_ns;
      if (sent > 0) {
        hopeless_ = 0;
        const uint64_t bytes = uint64_t{length_} * static_cast<uint64_t>(sent);
        moved(bytes, now_ns);
        counts.datagrams.add(static_cast<uint64_t>(sent));
        next_ += static_cast<uint64_t>(sent);
        pace_.sent(bytes);
        sent_now += bytes;
        // What kept the others back the call does not say, and has forgotten if it was a refusal.
        const bool refused = sent < static_cast<int>(many) && refused_by_peer();
        if (refused || limit_reached()) {
          end(refused ? -ECONNREFUSED : 0);
          return now_ns;
        }
      }
      if (now_ns >= until_ns) return now_ns;
    }
  }

  // By the limit, of which the last datagram may be in excess.
  uint32_t wanted_now() const {
    const uint32_t most = segments_ > 1 ? segments_ : kBatch;
    const uint64_t limit = job_.wanted.bytes;
    if (limit == 0) return most;
    return static_cast<uint32_t>(
        std::min<uint64_t>(most, (limit - job_.counts.bytes.get() + length_ - 1) / length_));
  }

  // Those whose time has come, no more than 1 ms worth in a slice, but one at least.
  uint32_t due(uint32_t most, int64_t now_ns, uint64_t sent_now) const {
    const uint64_t by_now = 1 + pace_.bytes_in(now_ns - pace_.due_ns()) / length_;
    uint64_t room = at_once_ > sent_now ? (at_once_ - sent_now) / length_ : 0;
    if (sent_now == 0) room = std::max<uint64_t>(room, 1);
    return static_cast<uint32_t>(std::min({uint64_t{most}, by_now, room}));
  }

  // One reading of the clock for what leaves in one call.
  void number(uint32_t many) {
    const todd_bulk_job& wanted = job_.wanted;
    const auto us = static_cast<uint64_t>(wall_ns() / 1000);
    for (uint32_t i = 0; i < many; ++i) {
      uint8_t* const datagram = bytes_.data() + size_t{i} * length_;
      put(datagram, wanted.seconds_at, us / 1'000'000, 4);
      put(datagram, wanted.micros_at, us % 1'000'000, 4);
      put(datagram, wanted.sequence_at, next_ + i, wanted.sequence_bytes);
    }
  }

  // How many left, or -errno of the first. Why the others did not is told when they are sent again.
  int send_each(uint32_t many) {
    const int sent = sendmmsg(job_.fd.get(), messages_.data(), many, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
  }

  int send_segments(uint32_t many) {
    alignas(cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint16_t))] = {};
    iovec all{bytes_.data(), size_t{many} * length_};
    msghdr message{};
    message.msg_iov = &all;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const segment = CMSG_FIRSTHDR(&message);
    segment->cmsg_level = SOL_UDP;
    segment->cmsg_type = UDP_SEGMENT;
    segment->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    const auto length = static_cast<uint16_t>(length_);
    memcpy(CMSG_DATA(segment), &length, sizeof length);
    const ssize_t sent = sendmsg(job_.fd.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : static_cast<int>(many);
  }

  // An entry of the error queue makes a socket look ready that is not.
  int64_t stalled(bool at_once, int64_t now_ns) {
    job_.counts.stalls.add(1);
    if (at_once && refused_by_peer()) {
      end(-ECONNREFUSED);
      return now_ns;
    }
    return when_ready();
  }

  bool refused_by_peer() {
    job_.counts.calls.add(1);
    return io::take_refusal(job_.fd.get());
  }

  // False: the job has ended. What this host refused never left: the next one has its number.
  bool goes_on(int error, uint32_t many) {
    switch (error) {
      case EINTR: return true;
      case ENOBUFS:
      case ENOMEM:
      case EPERM: break;
      default:
        // The kernel cuts nothing that is longer than the path takes, or for this socket at all.
        if (segments_ > 1 && many > 1 && (error == EMSGSIZE || error == EINVAL || error == EIO)) {
          segments_ = 0;
          return true;
        }
        if (refused_by_peer() || error == ECONNREFUSED) error = ECONNREFUSED;
        if (error == ECONNREFUSED || !io::is_network_error(-error) || ++hopeless_ >= kHopeless) {
          end(-error);
          return false;
        }
        return true;
    }
    const uint32_t lost = segments_ > 1 ? many : 1;
    job_.counts.refused.add(lost);
    pace_.sent(uint64_t{lost} * length_);
    return true;
  }

  const uint32_t length_;
  std::vector<uint8_t> bytes_;  // of a batch, one behind the other
  std::vector<iovec> parts_;
  std::vector<mmsghdr> messages_;
  BulkPace pace_;
  const uint64_t at_once_;
  uint64_t next_;      // number
  uint32_t segments_;  // of a call; 0: each is a message
  uint32_t hopeless_ = 0;
};

// ---- receiving

class DatagramReceiver final : public BulkRun {
 public:
  DatagramReceiver(BulkJob& job, io::Reactor& reactor)
      : BulkRun(job, reactor),
        v6_(io::traits_of(job.fd.get()).family == AF_INET6),
        merged_((job.wanted.flags & TODD_BF_OFFLOAD) != 0 &&
                switch_option(job.fd.get(), SOL_UDP, UDP_GRO, 1)),
        batch_(merged_ ? kMergedBatch : kBatch, merged_ ? 65'536 : job.wanted.length, io::kReceiveControl),
        dropped_before_(io::dropped_so_far(job.fd.get())),
        arrivals_(job.wanted.first_sequence) {
    tell_destination(0);
  }
  ~DatagramReceiver() override {
    count_drops();
    if (merged_) switch_option(job_.fd.get(), SOL_UDP, UDP_GRO, 0);
    tell_destination(1);
  }

 private:
  static constexpr uint32_t kMergedBatch = 16;

  int64_t slice(int64_t now_ns, int64_t until_ns) override {
    for (bool first = true;; first = false) {
      const int got = batch_.receive(job_.fd.get(), 0);
      job_.counts.calls.add(1);
      now_ns = monotonic_ns();
      if (got == -EINTR) continue;
      if (got < 0) return nothing(-got, first, now_ns);
      for (int i = 0; i < got; ++i) take(batch_.header(i), batch_.data(i), batch_.len(i), now_ns);
      publish();
      if (limit_reached()) {
        end(0);
        return now_ns;
      }
      if (got < static_cast<int>(batch_.capacity())) return idle();
      if (now_ns >= until_ns) return now_ns;
    }
  }

  int64_t idle() {
    count_drops();
    return when_ready();
  }

  int64_t nothing(int error, bool at_once, int64_t now_ns) {
    bool refused = error == ECONNREFUSED;
    if (error != EAGAIN || at_once) {
      job_.counts.calls.add(1);
      refused |= io::take_refusal(job_.fd.get());
    }
    if (error == EAGAIN && !refused) return idle();
    if (refused || !io::is_network_error(-error)) end(refused ? -ECONNREFUSED : -error);
    return now_ns;
  }

  // A message of the kernel's: one datagram, or several of one length that it merged, the last maybe shorter.
  void take(const msghdr& header, const uint8_t* data, uint32_t len, int64_t now_ns) {
    int64_t arrived = 0;
    uint32_t segment = len;
    auto& message = const_cast<msghdr&>(header);
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
      if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
        timespec at;
        memcpy(&at, CMSG_DATA(c), sizeof at);
        arrived = int64_t{at.tv_sec} * 1'000'000'000 + at.tv_nsec;
      } else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
        int size = 0;
        memcpy(&size, CMSG_DATA(c), sizeof size);
        if (size > 0) segment = static_cast<uint32_t>(size);
      }
    }
    if (arrived == 0) arrived = wall_ns();
    moved(len, now_ns);
    if (len == 0) return job_.counts.datagrams.add(1);
    for (uint32_t at = 0; at < len; at += segment) {
      job_.counts.datagrams.add(1);
      read(data + at, std::min(segment, len - at), arrived);
    }
  }

  void read(const uint8_t* datagram, uint32_t len, int64_t arrived_ns) {
    const todd_bulk_job& wanted = job_.wanted;
    const auto there = [len](uint16_t at, uint32_t bytes) { return at != kAbsent && at + bytes <= len; };
    if (!there(wanted.sequence_at, wanted.sequence_bytes)) return;
    const uint64_t low = get(datagram, wanted.sequence_at, wanted.sequence_bytes);
    const bool short_one = wanted.sequence_bytes == 4;
    int64_t sent_ns = 0;
    if (there(wanted.seconds_at, 4))
      sent_ns = static_cast<int64_t>(get(datagram, wanted.seconds_at, 4)) * 1'000'000'000;
    if (there(wanted.micros_at, 4))
      sent_ns += static_cast<int64_t>(get(datagram, wanted.micros_at, 4)) * 1000;
    arrivals_.take(short_one ? arrivals_.widen(static_cast<uint32_t>(low)) : low, sent_ns, arrived_ns);
  }

  void publish() {
    BulkCounts& counts = job_.counts;
    counts.lost.set(arrivals_.lost());
    counts.out_of_order.set(arrivals_.out_of_order());
    counts.duplicates.set(arrivals_.duplicates());
    counts.highest.set(arrivals_.highest());
    counts.jitter_ns.set(static_cast<uint64_t>(arrivals_.jitter_ns()));
    counts.bursts.set(arrivals_.bursts());
    counts.longest_burst.set(arrivals_.longest_burst());
  }

  void count_drops() {
    job_.counts.calls.add(1);
    job_.counts.dropped.set(io::dropped_so_far(job_.fd.get()) - dropped_before_);  // wraps
  }

  // Where a datagram was sent to is the same for all of a connected socket, and costs something with each.
  void tell_destination(int on) {
    switch_option(job_.fd.get(), v6_ ? SOL_IPV6 : SOL_IP, v6_ ? IPV6_RECVPKTINFO : IP_PKTINFO, on);
  }

  const bool v6_, merged_;
  io::MessageBatch batch_;
  const uint32_t dropped_before_;
  stats::Arrivals arrivals_;
};

}  // namespace

Result<std::unique_ptr<BulkRun>> make_datagram_run(BulkJob& job, io::Reactor& reactor, BulkBuffers& buffers) {
  if ((job.wanted.flags & TODD_BF_SEND) == 0) return std::make_unique<DatagramReceiver>(job, reactor);
  const auto source = buffers.source((job.wanted.flags & TODD_BF_RANDOM) != 0, kBatch * job.wanted.length);
  if (!source) return tl::unexpected(source.error());
  return std::make_unique<DatagramSender>(job, reactor, **source);
}

}  // namespace todd::lane
