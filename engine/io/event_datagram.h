#pragma once
#include "engine/io/datagram_base.h"
#include "engine/io/event_reactor.h"

namespace todd::io {

class EventDatagram final : public DatagramBase, public EventFlushable {
 public:
  EventDatagram(EventReactor& reactor, UniqueFd fd, DatagramSink& sink, const DatagramOptions& options);
  ~EventDatagram() override;

  void flush() override;

 private:
  void first_queued() override { reactor_.queue_flush(*this); }
  size_t send_some(size_t first);  // returns the first not yet decided
  void on_readable();

  EventReactor& reactor_;
  MessageBatch& batch_;
  const EventPtr readable_;
};

}  // namespace todd::io
