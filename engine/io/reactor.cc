#include "engine/io/reactor.h"

#include <sys/prctl.h>

#include "engine/io/event_reactor.h"
#include "engine/io/uring_probe.h"
#include "engine/io/uring_reactor.h"

namespace todd::io {

Result<Backend> parse_backend(const std::string& text) {
  if (text == "auto") return Backend::automatic;
  if (text == "uring") return Backend::uring;
  if (text == "event") return Backend::event;
  return fail(Errc::invalid, "engine \"" + text + "\" does not exist; choose auto, uring or event");
}

Result<std::unique_ptr<Reactor>> make_reactor(Backend wanted) {
  // The default slack of 50 us would dominate the pacing of probes. Per thread, and this is the lane's.
  prctl(PR_SET_TIMERSLACK, 1UL);
  if (wanted == Backend::event)
    return std::unique_ptr<Reactor>(std::make_unique<EventReactor>("epoll, as asked for"));
  Result<UringFeatures> features = probe_uring();
  if (features) {
    auto reactor = UringReactor::make(*features);
    if (reactor) return std::unique_ptr<Reactor>(std::move(*reactor));
    features = tl::unexpected<Error>(reactor.error());
  }
  if (wanted == Backend::uring) return tl::unexpected<Error>(features.error());
  return std::unique_ptr<Reactor>(
      std::make_unique<EventReactor>("epoll, because " + features.error().detail));
}

}  // namespace todd::io
