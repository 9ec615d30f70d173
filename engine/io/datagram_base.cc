#include "engine/io/datagram_base.h"

#include <linux/errqueue.h>

#include <cerrno>

#include "engine/base/clock.h"
#include "engine/io/sockets.h"

namespace todd::io {

DatagramBase::DatagramBase(UniqueFd fd, DatagramSink& sink, const DatagramOptions& options,
                           ReactorShared& shared)
    : fd_(std::move(fd)),
      traits_(traits_of(fd_.get())),
      options_(options),
      shared_(shared),
      sink_(sink),
      drops_seen_(dropped_so_far(fd_.get())),  // a socket passed in may have dropped before it was ours
      stamps_(options.tx_stamps != TxStamps::none && enable_tx_stamps(fd_.get(), options.tx_stamps)) {
  if (options.packet != nullptr && *options.packet)
    packet_ = std::make_unique<PacketSender>(std::move(*options.packet), options.tx_stamps);
  sending_.reserve(options.send_queue);
  queue_.reserve(options.send_queue);
}

bool DatagramBase::send(const DatagramOut& out) {
  if (queue_.size() >= options_.send_queue) return false;
  QueuedDatagram datagram{out.data, out.len, out.ttl, out.tos, *out.to, Address{}, out.cookie};
  if (out.from) datagram.from = *out.from;
  datagram.stamp = stamps_ && options_.tx_stamps == TxStamps::some && out.stamp;
  if (traits_.icmp)
    set_port(datagram.to, 0);  // a raw IPv6 socket takes the port for a protocol and says EINVAL
  queue_.push_back(datagram);
  if (queue_.size() == 1) first_queued();
  return true;
}

void DatagramBase::take_queue() {
  sending_.clear();
  sending_.swap(queue_);
  if (packet_) packet_->send(sending_, shared_.syscalls);
}

bool DatagramBase::report(const QueuedDatagram& datagram, const Watch& watch) {
  ++shared_.callbacks;
  const bool stamps = datagram.departed ? packet_->stamps() : stamps_;
  if (datagram.result == 0 && stamps && (datagram.stamp || options_.tx_stamps == TxStamps::all))
    ++(datagram.departed ? packet_stamps_due_ : stamps_due_);
  sink_.on_sent(datagram.cookie, datagram.result, datagram.tx_mono_ns);
  return !watch.gone();
}

void DatagramBase::settle() {
  Watch watch(*this);
  bool doubtful = false;
  for (const QueuedDatagram& datagram : sending_) {
    if (is_network_error(datagram.result)) {
      doubtful = true;
    } else if (!report(datagram, watch)) {
      return;
    }
  }
  if (doubtful) {
    for (QueuedDatagram& datagram : sending_) {
      if (!is_network_error(datagram.result)) continue;
      repeat_until_own(datagram, watch);
      if (watch.gone() || !report(datagram, watch)) return;
    }
  }
  sending_.clear();
  // Stamps nobody fetches fill the receive buffer. Replies fetch them on their way; where none come, this
  // does.
  constexpr uint64_t kUnfetched = 256;
  if (stamps_due_ + packet_stamps_due_ >= kUnfetched) drain_stamps();
}

// Errors of others come in while this one is repeated, more than one where many targets are unreachable: as
// long as there are any, what the send says may be theirs. Twice in any case, as the kernel queues an error
// before it makes it the pending one.
void DatagramBase::repeat_until_own(QueuedDatagram& datagram, const Watch& watch) {
  constexpr int kLeast = 2, kMost = 16;
  for (int tries = 0; tries < kMost && is_network_error(datagram.result); ++tries) {
    const size_t told = drain_errors();
    if (watch.gone()) return;
    if (told == 0 && tries >= kLeast) return;
    repeat(datagram);
  }
}

void DatagramBase::repeat(QueuedDatagram& datagram) {
  OutgoingMessage message;
  build_message(datagram, message);
  const int64_t before = monotonic_ns();
  const ssize_t sent = sendmsg(fd(), &message.header, MSG_DONTWAIT | MSG_NOSIGNAL);
  datagram.result = sent < 0 ? -errno : 0;
  datagram.tx_mono_ns = interpolate(before, monotonic_ns(), 0, 1);
  ++shared_.syscalls;
}

size_t DatagramBase::drain_queue(int queue, uint64_t& stamps_due, const Watch& watch) {
  size_t told = 0;
  MessageBatch& batch = shared_.errors;
  const uint64_t due_before = stamps_due;
  for (;;) {
    const int got = batch.receive(queue, MSG_ERRQUEUE);
    ++shared_.syscalls;
    for (int i = 0; i < got; ++i) {
      DatagramError error;
      if (const int64_t stamp = stamps_ ? read_tx_stamp(batch.header(i)) : 0; stamp != 0) {
        stamps_due -= stamps_due != 0;
        sink_.on_transmitted(batch.data(i), batch.len(i), stamp);
        if (watch.gone()) return told;
        continue;
      }
      if (!read_error(batch.header(i), batch.data(i), batch.len(i), error)) continue;
      ++shared_.callbacks;
      told += error.origin != SO_EE_ORIGIN_LOCAL;
      sink_.on_error(error);
      if (watch.gone()) return told;
    }
    if (queue == fd()) echoed_ = got > 1;
    if (got < static_cast<int>(batch.capacity())) break;
  }
  // Some never come: the queue was full, or a packet was dropped before its driver. They are not looked for
  // at every reply.
  if (stamps_due == due_before) stamps_due /= 2;
  return told;
}

size_t DatagramBase::drain_errors() {
  const Watch watch(*this);
  drained_at_ = shared_.collections;
  return drain_queue(fd(), stamps_due_, watch);
}

void DatagramBase::check_drops() {
  ++shared_.syscalls;
  dropped(dropped_so_far(fd()));
}

// A datagram carries the count as it was when it was queued, which check_drops() may have overtaken. The
// counter wraps at 2^32.
void DatagramBase::dropped(uint32_t so_far) {
  const auto more = static_cast<int32_t>(so_far - drops_seen_);
  if (more <= 0) return;
  drops_seen_ = so_far;
  ++shared_.callbacks;
  sink_.on_drops(static_cast<uint64_t>(more));
}

void DatagramBase::drain_stamps() {
  const Watch watch(*this);
  if (stamps_due_ != 0 && !drained()) drain_errors();
  if (watch.gone() || packet_stamps_due_ == 0 || packet_drained_at_ == shared_.collections) return;
  packet_drained_at_ = shared_.collections;
  drain_queue(packet_->fd(), packet_stamps_due_, watch);
}

void DatagramBase::deliver(const msghdr& header, const uint8_t* data, uint32_t len) {
  Watch watch(*this);
  drain_stamps();
  if (watch.gone()) return;
  DatagramIn in;
  uint32_t drops = drops_seen_;
  const bool sound = read_datagram(header, data, len, traits_, in, drops);
  dropped(drops);
  if (watch.gone()) return;
  if (!sound) return;
  // Buffers are shared with sockets that want larger ones.
  if (in.len > options_.max_payload) {
    in.len = options_.max_payload;
    in.truncated = true;
  }
  ++shared_.callbacks;
  sink_.on_datagram(in);
}

}  // namespace todd::io
