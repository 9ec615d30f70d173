#include "engine/io/reactor.h"

#include <sys/prctl.h>

#include <charconv>

#include "engine/io/event_reactor.h"
#include "engine/io/uring_probe.h"
#include "engine/io/uring_reactor.h"

namespace todd::io {
namespace {

constexpr struct {
  const char* word;
  Backend backend;
} kEngines[] = {{"auto", Backend::automatic}, {"uring", Backend::uring}, {"event", Backend::event}};

// "6.1" -> 601. 0 if it is none.
uint32_t parse_release(const std::string& text) {
  uint32_t major = 0, minor = 0;
  const char* const end = text.data() + text.size();
  const auto [dot, error] = std::from_chars(text.data(), end, major);
  if (error != std::errc() || dot == end || *dot != '.') return 0;
  const auto [after, second] = std::from_chars(dot + 1, end, minor);
  return second == std::errc() && after == end && major < 100 && minor < 100 ? major * 100 + minor : 0;
}

}  // namespace

Result<EngineChoice> parse_engine(const std::string& text) {
  const size_t colon = text.find(':');
  EngineChoice choice;
  for (const auto& [word, backend] : kEngines) {
    if (text.substr(0, colon) != word) continue;
    choice.backend = backend;
    if (colon == std::string::npos) return choice;
    if (backend == Backend::event)
      return fail(Errc::invalid, "engine \"" + text + "\": event uses nothing of io_uring; write event");
    choice.newest = parse_release(text.substr(colon + 1));
    if (choice.newest == 0)
      return fail(Errc::invalid,
                  "engine \"" + text + "\": write a release of Linux, for instance " + word + ":6.1");
    return choice;
  }
  return fail(Errc::invalid, "engine \"" + text + "\" does not exist; choose auto, uring or event");
}

std::string engine_text(const EngineChoice& choice) {
  std::string text;
  for (const auto& [word, backend] : kEngines) {
    if (backend == choice.backend) text = word;
  }
  return choice.newest == kAnyLinux ? text : text + ":" + release_text(choice.newest);
}

Result<std::unique_ptr<Reactor>> make_reactor(const EngineChoice& wanted) {
  // The default slack of 50 us would dominate the pacing of probes. Per thread, and this is the lane's.
  prctl(PR_SET_TIMERSLACK, 1UL);
  if (wanted.backend == Backend::event)
    return std::unique_ptr<Reactor>(std::make_unique<EventReactor>("epoll, as asked for"));
  Result<UringFeatures> features = probe_uring(wanted.newest);
  if (features) {
    auto reactor = UringReactor::make(*features);
    if (reactor) return std::unique_ptr<Reactor>(std::move(*reactor));
    features = tl::unexpected<Error>(reactor.error());
  }
  if (wanted.backend == Backend::uring) return tl::unexpected<Error>(features.error());
  return std::unique_ptr<Reactor>(
      std::make_unique<EventReactor>("epoll, because " + features.error().detail));
}

}  // namespace todd::io
