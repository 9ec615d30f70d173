#include "engine/io/uring_reactor.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/io/uring_datagram.h"
#include "engine/io/uring_readiness.h"
#include "engine/io/uring_stream.h"

namespace todd::io {
namespace {

constexpr uint32_t kSubmissions = 1024;
constexpr uint32_t kCompletions =
    16384;  // more than all receive buffers in use: overflow is the kernel's slow path
constexpr size_t kBuffersBytes = 4u << 20;  // per buffer ring
constexpr uint32_t kMaxBuffers = 2048;

// A multishot receive yields after 32 datagrams. The kernel goes on with it in the same call while fewer
// pieces of work are done than completions are waited for; those there are by then.
constexpr size_t kMultishotYield = 32;
constexpr unsigned kReceivesPerCall = 8;

// user_data: operation 8 bits, slot 24, generation 32.

uint64_t user_data_of(uint64_t id, UringOp op) { return id | static_cast<uint64_t>(op); }
UringOp op_of(uint64_t user_data) { return static_cast<UringOp>(user_data & 0xff); }
uint32_t slot_of(uint64_t user_data) { return static_cast<uint32_t>(user_data >> 8) & 0xffffffu; }
uint32_t generation_of(uint64_t user_data) { return static_cast<uint32_t>(user_data >> 32); }
uint32_t bit_of(UringOp op) { return 1u << static_cast<uint32_t>(op); }

}  // namespace

UringReactor::UringReactor(const UringFeatures& features)
    : features_(features), shared_(std::make_unique<ReactorShared>()) {}

Result<std::unique_ptr<UringReactor>> UringReactor::make(const UringFeatures& features) {
  std::unique_ptr<UringReactor> made(new UringReactor(features));
  io_uring_params params{};
  params.flags = features.setup_flags;
  params.cq_entries = kCompletions;
  if (const int error = io_uring_queue_init_params(kSubmissions, &made->ring_, &params); error < 0) {
    return fail_errno(-error, "io_uring: cannot make the ring");
  }
  made->ring_made_ = true;
  io_uring_register_ring_fd(&made->ring_);  // Linux 5.18; only saves a look-up per call, so failing is fine
  made->completions_.reserve(params.cq_entries);
  made->arm_wake();
  return made;
}

UringReactor::~UringReactor() {
  for (const Slot& slot : slots_) TODD_CHECK(!slot.socket);  // sockets go before their reactor
  if (!ring_made_) return;
  // The read on the eventfd writes to this object: end it first.
  io_uring_sqe& sqe = next_sqe();
  io_uring_prep_cancel64(&sqe, user_data_of(0, UringOp::wake), 0);
  sqe.user_data = user_data_of(0, UringOp::ignored);
  for (bool ended = false; !ended;) {
    io_uring_submit_and_wait(&ring_, 1);
    io_uring_cqe* cqe = nullptr;
    while (io_uring_peek_cqe(&ring_, &cqe) == 0) {
      if (op_of(cqe->user_data) == UringOp::wake) ended = true;
      io_uring_cqe_seen(&ring_, cqe);
    }
    if (std::any_of(completions_.begin(), completions_.end(),
                    [](const Completion& c) { return op_of(c.user_data) == UringOp::wake; })) {
      ended = true;
    }
  }
  buffers_.clear();
  io_uring_queue_exit(&ring_);
}

uint64_t UringReactor::syscalls() const { return shared_->syscalls; }

// ---- sockets

std::unique_ptr<DatagramSocket> UringReactor::add_datagram(UniqueFd fd, DatagramSink& sink,
                                                           DatagramOptions options) {
  return std::make_unique<UringDatagram>(*this, std::move(fd), sink, options);
}

std::unique_ptr<Stream> UringReactor::add_stream(UniqueFd fd, StreamSink& sink, StreamOptions options) {
  return std::make_unique<UringStream>(*this, std::move(fd), sink, options);
}

std::unique_ptr<Acceptor> UringReactor::add_acceptor(UniqueFd listening, AcceptSink& sink) {
  return std::make_unique<UringAcceptor>(*this, std::move(listening), sink);
}

std::unique_ptr<Readiness> UringReactor::add_readiness(int fd, ReadyFor what, ReadinessSink& sink) {
  return std::make_unique<UringReadiness>(*this, fd, what, sink);
}

void UringReactor::add(UringSocket& socket, UringBuffers* buffers) {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const uint32_t index = free_slots_.back();
  free_slots_.pop_back();
  Slot& slot = slots_[index];
  slot.socket = &socket;
  ++slot.generation;
  socket.id_ = uint64_t{slot.generation} << 32 | uint64_t{index} << 8;
  socket.buffers_ = buffers;
}

UringSocket* UringReactor::find(uint64_t user_data) const {
  const uint32_t index = slot_of(user_data);
  if (index >= slots_.size() || slots_[index].generation != generation_of(user_data)) return nullptr;
  return slots_[index].socket;
}

void UringReactor::ask_to_cancel(const UringSocket& socket, UringOp op) {
  io_uring_sqe& sqe = next_sqe();
  io_uring_prep_cancel64(&sqe, user_data_of(socket.id_, op), 0);
  sqe.user_data = user_data_of(0, UringOp::ignored);
  sqe.flags |= IOSQE_CQE_SKIP_SUCCESS;
}

void UringReactor::await_end(const UringSocket& socket, uint32_t ops) {
  while (socket.in_kernel_ & ops) {
    io_uring_submit_and_wait(&ring_, 1);
    ++shared_->syscalls;
    collect();
  }
}

void UringReactor::cancel(UringSocket& socket, UringOp op) {
  if (!(socket.in_kernel_ & bit_of(op))) return;
  ask_to_cancel(socket, op);
  await_end(socket, bit_of(op));
}

void UringReactor::remove(UringSocket& socket) {
  socket.closing_ = true;
  for (uint32_t bits = socket.in_kernel_; bits; bits &= bits - 1)
    ask_to_cancel(socket, static_cast<UringOp>(std::countr_zero(bits)));
  await_end(socket, UINT32_MAX);
  for (size_t i = next_; i < completions_.size(); ++i) {
    if (find(completions_[i].user_data) != &socket) continue;
    discard(completions_[i], socket);
    completions_[i].user_data = user_data_of(0, UringOp::ignored);
  }
  const uint32_t index = slot_of(socket.id_);
  slots_[index].socket = nullptr;
  free_slots_.push_back(index);
}

void UringReactor::forget_flush(UringDatagram& socket) {
  std::replace(dirty_.begin(), dirty_.end(), &socket, static_cast<UringDatagram*>(nullptr));
  std::replace(flushing_.begin(), flushing_.end(), &socket, static_cast<UringDatagram*>(nullptr));
}

UringBuffers& UringReactor::buffers_of(uint32_t wanted) {
  const uint32_t bytes = std::bit_ceil(wanted);  // few sizes: a ring is never given back
  for (auto& buffers : buffers_) {
    if (buffers->bytes() == bytes) return *buffers;
  }
  const auto fitting = static_cast<uint32_t>(std::clamp<size_t>(kBuffersBytes / bytes, 16, kMaxBuffers));
  auto made =
      UringBuffers::make(ring_, static_cast<uint16_t>(buffers_.size()), std::bit_floor(fitting), bytes);
  TODD_CHECK(made);  // the trial did the same; what is left is this host out of memory
  buffers_.push_back(std::move(*made));
  return *buffers_.back();
}

// ---- submission

io_uring_sqe& UringReactor::next_sqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (!sqe) {
    submit();
    sqe = io_uring_get_sqe(&ring_);
    TODD_CHECK(sqe);
  }
  sqe->user_data = 0;
  return *sqe;
}

void UringReactor::start(UringSocket& socket, UringOp op, io_uring_sqe& sqe) {
  TODD_DCHECK(!(socket.in_kernel_ & bit_of(op)));
  socket.in_kernel_ |= bit_of(op);
  sqe.user_data = user_data_of(socket.id_, op);
}

void UringReactor::submit() {
  while (io_uring_sq_ready(&ring_)) {
    const int submitted = io_uring_submit(&ring_);
    ++shared_->syscalls;
    if (submitted >= 0) continue;
    TODD_CHECK(submitted == -EINTR || submitted == -EAGAIN || submitted == -EBUSY);
    if (submitted == -EINTR) continue;
    io_uring_get_events(&ring_);  // completions are in the way: make room
    ++shared_->syscalls;
    collect();
  }
}

void UringReactor::enter(int64_t deadline_mono_ns) {
  const int64_t left = deadline_mono_ns ? deadline_mono_ns - monotonic_ns() : 0;
  int error;
  if (left <= 0 && yielded_) {
    error = wait_for(kReceivesPerCall, 0);
  } else if (left > 0 && deadline_mono_ns != INT64_MAX) {
    error = wait_for(1, left);
  } else {
    error = left <= 0 ? io_uring_submit_and_get_events(&ring_) : io_uring_submit_and_wait(&ring_, 1);
    ++shared_->syscalls;
  }
  TODD_CHECK(error >= 0 || error == -ETIME || error == -EINTR || error == -EAGAIN || error == -EBUSY);
}

int UringReactor::wait_for(unsigned completions, int64_t most_ns) {
  // liburing does not ask the kernel for what it has already.
  shared_->syscalls += io_uring_sq_ready(&ring_) != 0 || io_uring_cq_ready(&ring_) < completions;
  __kernel_timespec wait{most_ns / 1'000'000'000, most_ns % 1'000'000'000};
  io_uring_cqe* first = nullptr;
  return io_uring_submit_and_wait_timeout(&ring_, &first, completions, &wait, nullptr);
}

void UringReactor::arm_wake() {
  io_uring_sqe& sqe = next_sqe();
  io_uring_prep_read(&sqe, mailbox_.fd(), &wake_count_, sizeof wake_count_, 0);
  sqe.user_data = user_data_of(0, UringOp::wake);
}

// ---- datagrams

// Sends carry MSG_DONTWAIT, so each ends within the submitting call, and CQE_SKIP_SUCCESS (Linux 5.17), so
// only failures leave a completion: when the call returns, everything without one was handed over.
void UringReactor::add_to_batch(int fd, QueuedDatagram& datagram) {
  BatchEntry& entry = batch_[batched_];
  entry.datagram = &datagram;
  io_uring_sqe& sqe = next_sqe();
  if (features_.addressed_send && !datagram.needs_control()) {
    io_uring_prep_send(&sqe, fd, datagram.data, datagram.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    io_uring_prep_send_set_addr(&sqe, &datagram.to.sa, static_cast<uint16_t>(address_len(datagram.to)));
  } else {
    build_message(datagram, entry.message);
    io_uring_prep_sendmsg(&sqe, fd, &entry.message.header, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  sqe.flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe.user_data = user_data_of(uint64_t{batched_} << 8, UringOp::send_datagram);
  if (++batched_ == kBatch) send_batch();
}

void UringReactor::send_batch() {
  if (!batched_) return;
  collect();  // an empty completion queue cannot overflow, so every failure is visible when submit() returns
  const int64_t before = monotonic_ns();
  submit();
  const int64_t after = monotonic_ns();
  for (uint32_t k = 0; k < batched_; ++k)
    batch_[k].datagram->tx_mono_ns = interpolate(before, after, k, batched_);
  collect();
  batched_ = 0;
}

void UringReactor::flush_datagrams() {
  flushing_.clear();
  flushing_.swap(dirty_);
  if (flushing_.empty()) return;
  submit();  // re-arming and stream operations, so that they do not blur the stamps
  for (UringDatagram* socket : flushing_) {
    if (!socket) continue;
    for (QueuedDatagram& datagram : socket->start_sending())
      if (!datagram.departed) add_to_batch(socket->fd(), datagram);
  }
  send_batch();
  for (size_t i = 0; i < flushing_.size();
       ++i) {  // by index: a sink may destroy any socket, which nulls its entry
    if (UringDatagram* const socket = flushing_[i]) socket->finish_sending();
  }
}

// ---- completions

void UringReactor::collect() {
  unsigned head, seen = 0;
  io_uring_cqe* cqe;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    ++seen;
    const Completion completion{cqe->user_data, cqe->res, cqe->flags};
    const UringOp op = op_of(completion.user_data);
    if (op == UringOp::ignored) continue;
    if (op == UringOp::send_datagram) {
      batch_[slot_of(completion.user_data)].datagram->result = completion.result;
      continue;
    }
    if (op != UringOp::wake) {
      UringSocket* const socket = find(completion.user_data);
      TODD_CHECK(socket);  // remove() waits for every operation
      if (!(completion.flags & IORING_CQE_F_MORE)) socket->in_kernel_ &= ~bit_of(op);
      if (socket->closing_) {
        discard(completion, *socket);
        continue;
      }
    }
    completions_.push_back(completion);
  }
  io_uring_cq_advance(&ring_, seen);
  if (!seen) return;
  collected_mono_ns_ = monotonic_ns();
  ++shared_->collections;
}

void UringReactor::discard(const Completion& completion, const UringSocket& socket) {
  if (completion.flags & IORING_CQE_F_BUFFER) {
    socket.buffers_->give_back(static_cast<uint16_t>(completion.flags >> IORING_CQE_BUFFER_SHIFT));
  }
  if (op_of(completion.user_data) == UringOp::accept && completion.result >= 0) ::close(completion.result);
}

void UringReactor::dispatch() {
  while (next_ < completions_.size()) {
    const Completion completion =
        completions_[next_++];  // a copy: the vector may grow under a sink that destroys a socket
    const UringOp op = op_of(completion.user_data);
    if (op == UringOp::ignored) continue;
    if (op == UringOp::wake) {
      arm_wake();
      shared_->callbacks += mailbox_.run();
      continue;
    }
    UringSocket* const socket = find(completion.user_data);
    UringBuffers* const buffers = socket->buffers_;
    socket->complete(op, completion.result, completion.flags, collected_mono_ns_);
    if (completion.flags & IORING_CQE_F_BUFFER) {
      buffers->give_back(static_cast<uint16_t>(completion.flags >> IORING_CQE_BUFFER_SHIFT));
    }
  }
  completions_.clear();
  next_ = 0;
}

bool UringReactor::turn(int64_t deadline_mono_ns) {
  TODD_CHECK(!in_turn_);
  in_turn_ = true;
  const uint64_t before = shared_->callbacks;
  flush_datagrams();
  for (;;) {
    const bool may_wait = shared_->callbacks == before && completions_.empty();
    enter(may_wait ? std::max<int64_t>(deadline_mono_ns, 0) : 0);
    collect();
    yielded_ = completions_.size() >= kMultishotYield;
    dispatch();
    if (shared_->callbacks != before || monotonic_ns() >= deadline_mono_ns) break;
  }
  in_turn_ = false;
  return shared_->callbacks != before;
}

}  // namespace todd::io
