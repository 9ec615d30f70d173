#include "engine/io/event_readiness.h"

#include "engine/io/datagram_base.h"

namespace todd::io {

EventReadiness::EventReadiness(EventReactor& reactor, int fd, ReadyFor what, ReadinessSink& sink)
    : reactor_(reactor),
      sink_(sink),
      ready_(reactor.new_event(
          fd, what == ReadyFor::reading ? EV_READ : EV_WRITE,
          [](evutil_socket_t, short, void* argument) {
            auto& self = *static_cast<EventReadiness*>(argument);
            ++self.reactor_.shared().callbacks;
            self.sink_.on_ready();
          },
          this)) {}

void EventReadiness::await() { event_add(ready_.get(), nullptr); }

}  // namespace todd::io
