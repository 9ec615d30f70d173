#pragma once
#include "engine/io/event_reactor.h"
#include "engine/io/mortal.h"
#include "engine/io/send_queue.h"

namespace todd::io {

class EventStream final : public Stream, public EventFlushable, public Mortal {
 public:
  EventStream(EventReactor& reactor, UniqueFd fd, StreamSink& sink, const StreamOptions& options);
  ~EventStream() override;

  void connect(const Address& to, uint64_t cookie) override;
  void send(const uint8_t* data, uint32_t len, uint64_t cookie) override;
  void receive() override;
  void stop_receiving() override;
  void shutdown_write() override;
  int fd() const override { return fd_.get(); }

  void flush() override;

 private:
  enum class Connecting { no, asked, waiting };

  void queue_flush();
  void start_connect();
  void on_writable();
  void finish_connect(int result);  // may destroy *this
  void write_pieces();              // may destroy *this
  void on_readable();

  EventReactor& reactor_;
  StreamSink& sink_;
  const uint32_t chunk_bytes_;
  uint8_t* const chunk_;
  const UniqueFd fd_;
  const EventPtr readable_, writable_;
  Address peer_{};
  uint64_t connect_cookie_ = 0;
  SendQueue queue_;
  Connecting connecting_ = Connecting::no;
  bool flush_queued_ = false, blocked_ = false, receive_wanted_ = false, shutdown_wanted_ = false;
};

class EventAcceptor final : public Acceptor, public Mortal {
 public:
  EventAcceptor(EventReactor& reactor, UniqueFd fd, AcceptSink& sink);

 private:
  void on_readable();

  EventReactor& reactor_;
  AcceptSink& sink_;
  const UniqueFd fd_;
  const EventPtr readable_, resume_;
};

}  // namespace todd::io
