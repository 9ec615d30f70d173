#pragma once
// The io_uring back end: the ring, its completions, and the order of a turn.

#include <liburing.h>

#include <array>
#include <memory>
#include <vector>

#include "engine/io/datagram_message.h"
#include "engine/io/mailbox.h"
#include "engine/io/reactor.h"
#include "engine/io/uring_buffers.h"
#include "engine/io/uring_probe.h"

namespace todd::io {

struct ReactorShared;
class UringDatagram;

// What an operation is, kept in its user_data. At most one of each kind per socket is in the kernel.
enum class UringOp : uint8_t {
  ignored,
  send_datagram,
  wake,
  receive,
  poll_error,
  connect,
  send,
  accept,
  retry,
  poll
};

// A socket with operations in the ring. Its destructor must call UringReactor::remove first.
class UringSocket {
 public:
  virtual ~UringSocket() = default;
  // One completion. mono_ns: when it was collected. The socket may be destroyed by the sink that this calls.
  virtual void complete(UringOp op, int result, uint32_t flags, int64_t mono_ns) = 0;

 protected:
  UringSocket() = default;

 private:
  friend class UringReactor;
  uint64_t id_ = 0;         // index and generation as in user_data
  uint32_t in_kernel_ = 0;  // bit per UringOp
  bool closing_ = false;
  UringBuffers* buffers_ = nullptr;
};

class UringReactor final : public Reactor {
 public:
  static Result<std::unique_ptr<UringReactor>> make(const UringFeatures& features);
  ~UringReactor() override;

  const char* name() const override { return "uring"; }
  const std::string& why() const override { return features_.text; }
  bool turn(int64_t deadline_mono_ns) override;
  void post(std::function<void()> task) override { mailbox_.post(std::move(task)); }
  std::unique_ptr<DatagramSocket> add_datagram(UniqueFd fd, DatagramSink& sink,
                                               DatagramOptions options) override;
  std::unique_ptr<Stream> add_stream(UniqueFd fd, StreamSink& sink, StreamOptions options) override;
  std::unique_ptr<Acceptor> add_acceptor(UniqueFd listening, AcceptSink& sink) override;
  std::unique_ptr<Readiness> add_readiness(int fd, ReadyFor what, ReadinessSink& sink) override;
  uint64_t syscalls() const override;

  // For the sockets.
  ReactorShared& shared() { return *shared_; }
  void add(UringSocket& socket, UringBuffers* buffers);
  // Ends the operation. What came of it by then is handed over as ever.
  void cancel(UringSocket& socket, UringOp op);
  // Cancels what is in the kernel and waits for its end; forgets completions not yet handed over.
  void remove(UringSocket& socket);
  io_uring_sqe& next_sqe();  // submits what is queued if there is no room
  void start(UringSocket& socket, UringOp op,
             io_uring_sqe& sqe);             // call after the io_uring_prep_*, which must not fail
  UringBuffers& buffers_of(uint32_t bytes);  // of at least that size, shared by all sockets near it
  void queue_flush(UringDatagram& socket) { dirty_.push_back(&socket); }
  void forget_flush(UringDatagram& socket);

 private:
  struct Slot {
    UringSocket* socket = nullptr;
    uint32_t generation = 0;
  };
  struct Completion {
    uint64_t user_data;
    int32_t result;
    uint32_t flags;
  };
  struct BatchEntry {
    QueuedDatagram* datagram;
    OutgoingMessage message;
  };

  explicit UringReactor(const UringFeatures& features);

  void ask_to_cancel(const UringSocket& socket, UringOp op);
  void await_end(const UringSocket& socket, uint32_t ops);  // a bit each
  void submit();                         // without waiting or running the kernel's deferred work
  void enter(int64_t deadline_mono_ns);  // submits and waits; 0 = does not wait
  int wait_for(unsigned completions, int64_t most_ns);  // submits; 0 or -errno
  void collect();
  void discard(const Completion& completion, const UringSocket& socket);
  void dispatch();
  UringSocket* find(uint64_t user_data) const;
  void arm_wake();
  void flush_datagrams();
  void add_to_batch(int fd, QueuedDatagram& datagram);
  void send_batch();

  const UringFeatures features_;
  io_uring ring_{};
  bool ring_made_ = false;
  std::unique_ptr<ReactorShared> shared_;
  Mailbox mailbox_{Mailbox::Mode::blocking};
  uint64_t wake_count_ = 0;  // the read on the mailbox's eventfd fills it
  std::vector<std::unique_ptr<UringBuffers>> buffers_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  std::vector<Completion> completions_;  // collected, not yet handed over from next_ on
  size_t next_ = 0;
  int64_t collected_mono_ns_ = 0;
  std::vector<UringDatagram*> dirty_, flushing_;
  std::array<BatchEntry, kBatch> batch_;
  uint32_t batched_ = 0;
  bool in_turn_ = false;
  bool yielded_ = false;  // the last enter left a receive unfinished, or may have
};

}  // namespace todd::io
