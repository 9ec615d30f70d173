#include "coordinator/api/run_events.h"

#include <algorithm>
#include <utility>

namespace todd::api {
namespace {

constexpr int64_t kPingNs = 15'000'000'000;

// Keeps itself alive by its timer until the run or the stream ends.
class RunEvents : public std::enable_shared_from_this<RunEvents> {
 public:
  RunEvents(io::Loop& loop, std::string id, std::shared_ptr<EventStream> stream)
      : loop_(loop), id_(std::move(id)), stream_(std::move(stream)) {}

  void begin(run::Runs& runs, const run::Event& standing) {
    stream_->send("retry: 2000\n\n");
    if (standing.kind == run::Event::Kind::run_finished) {
      stream_->send(sse_event("finished", run::event_json(standing)));
      stream_->finish();
      return;
    }
    stream_->send(sse_event("snapshot", run::event_json(standing)));
    subscription_ = runs.subscribe([this](const run::Event& event) { on_event(event); });
    stream_->on_close([this] { end(); });
    arm();
  }

 private:
  void on_event(const run::Event& event) {
    if (event.run != id_ || done_) return;
    const bool last = event.kind == run::Event::Kind::run_finished;
    const bool sent = stream_->send(sse_event(last ? "finished" : "progress", run::event_json(event)));
    if (last && sent) stream_->finish();
    if (last) end();
  }

  void arm() {
    ping_ = loop_.after(kPingNs, [self = shared_from_this()] {
      if (self->done_ || !self->stream_->send(": ping\n\n")) return;
      self->arm();
    });
  }

  // Runs calls its listeners over a list and the timer holds us: both are let go from the loop.
  void end() {
    if (std::exchange(done_, true)) return;
    loop_.post([self = shared_from_this()] {
      self->subscription_.reset();
      self->ping_.reset();
    });
  }

  io::Loop& loop_;
  std::string id_;
  std::shared_ptr<EventStream> stream_;
  io::HandlePtr subscription_;
  io::HandlePtr ping_;
  bool done_ = false;
};

}  // namespace

std::string sse_event(std::string_view name, std::string_view data) {
  std::string out = "event: " + std::string(name) + "\n";
  while (true) {
    const size_t end = std::min(data.find('\n'), data.size());
    out += "data: ";
    out += data.substr(0, end);
    out += '\n';
    if (end == data.size()) break;
    data.remove_prefix(end + 1);
  }
  return out + "\n";
}

Status send_run_events(io::Loop& loop, run::Runs& runs, const std::string& id, Reply& reply) {
  const auto standing = runs.standing(id);
  if (!standing) return tl::unexpected(standing.error());
  Response head;
  head.content_type = "text/event-stream";
  auto events = std::make_shared<RunEvents>(loop, id, reply.stream(std::move(head)));
  events->begin(runs, *standing);
  return {};
}

}  // namespace todd::api
