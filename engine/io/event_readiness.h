#pragma once
#include "engine/io/event_reactor.h"

namespace todd::io {

class EventReadiness final : public Readiness {
 public:
  EventReadiness(EventReactor& reactor, int fd, ReadyFor what, ReadinessSink& sink);

  void await() override;

 private:
  EventReactor& reactor_;
  ReadinessSink& sink_;
  EventPtr ready_;
};

}  // namespace todd::io
