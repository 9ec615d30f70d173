#pragma once
// The libevent back end: epoll, with batches of datagrams per system call.

#include <event2/event.h>

#include <memory>
#include <vector>

#include "engine/io/datagram_message.h"
#include "engine/io/mailbox.h"
#include "engine/io/reactor.h"

namespace todd::io {

struct ReactorShared;

struct EventDeleter {
  void operator()(event* e) const { event_free(e); }
};
using EventPtr = std::unique_ptr<event, EventDeleter>;

// A socket with something to do at the start of the next turn.
class EventFlushable {
 public:
  virtual void flush() = 0;  // may destroy any socket, itself too

 protected:
  ~EventFlushable() = default;
};

class EventReactor final : public Reactor {
 public:
  explicit EventReactor(std::string why);
  ~EventReactor() override;

  const char* name() const override { return "event"; }
  const std::string& why() const override { return why_; }
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
  EventPtr new_event(int fd, short what, event_callback_fn callback, void* argument);
  void stream_came() { ++streams_; }
  void stream_went() { --streams_; }
  void queue_flush(EventFlushable& socket) { dirty_.push_back(&socket); }
  void forget_flush(EventFlushable& socket);
  MessageBatch& batch_of(uint32_t payload_bytes);  // for at least that size, shared by all sockets near it
  uint8_t* chunk_of(uint32_t bytes);               // likewise, for streams
  std::vector<OutgoingMessage>& outgoing() { return outgoing_; }  // kBatch of them
  std::vector<mmsghdr>& outgoing_headers() { return outgoing_headers_; }

 private:
  struct BaseDeleter {
    void operator()(event_base* base) const { event_base_free(base); }
  };
  struct Chunk {
    uint32_t bytes;
    std::unique_ptr<uint8_t[]> data;
  };
  void run(int64_t deadline_mono_ns);  // one pass of libevent's loop; 0 = does not wait
  void flush();

  const std::string why_;
  std::unique_ptr<event_base, BaseDeleter> base_;
  std::unique_ptr<ReactorShared> shared_;
  Mailbox mailbox_{Mailbox::Mode::non_blocking};
  EventPtr wake_, deadline_;
  std::vector<std::unique_ptr<MessageBatch>> batches_;
  std::vector<Chunk> chunks_;
  std::vector<OutgoingMessage> outgoing_;
  std::vector<mmsghdr> outgoing_headers_;
  std::vector<EventFlushable*> dirty_, flushing_;
  size_t streams_ = 0;
  bool in_turn_ = false;
};

}  // namespace todd::io
