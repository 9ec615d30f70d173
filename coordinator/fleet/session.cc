#include "coordinator/fleet/session.h"

#include <utility>

#include "coordinator/fleet/parts.h"
#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/io/frame.h"
#include "todd/v1/link.pb.h"

namespace todd::fleet {
namespace {
constexpr int kFirstExchanges = 8;
constexpr int kMostMissed = 3;
// An agent keeps 1 MiB in its channel, and what answers the first ping is right behind.
constexpr size_t kMostHeldBytes = 8u << 20;
constexpr size_t kMaxStrangerFrame = 16 * 1024;  // an Enroll with its CSR takes about 1 KiB
}  // namespace

Session::Session(io::Loop& loop, UniqueFd fd, std::shared_ptr<io::TlsContext> tls, Timing timing,
                 Owner& owner)
    : loop_(loop), timing_(timing), owner_(owner) {
  io::Channel::Events events;
  events.on_open = [this] {
    peer_id_ = channel_->peer_common_name();
    timer_ = loop_.after(timing_.hello_ns, [this] { end("said nothing after the TLS handshake"); });
    owner_.on_open(*this);
  };
  events.on_data = [this](std::string_view bytes) { return take(bytes); };
  events.on_close = [this](const Error& error) { closed(finishing_ ? finish_reason_ : error.detail); };
  channel_ = io::adopt(loop, std::move(fd), std::move(tls), std::move(events),
                       {.write_limit = kWriteLimit, .handshake_ns = timing.hello_ns});
}

Session::~Session() = default;

void Session::send(const v1::ToAgent& message) {
  if (ended_ || finishing_) return;
  const std::string payload = message.SerializeAsString();
  TODD_CHECK(payload.size() <= io::kMaxFrame);
  std::string frame;
  io::append_frame(frame, payload);
  channel_->send(frame);
}

void Session::end(const std::string& reason) {
  if (ended_) return;
  channel_->pause_reading(true);
  closed(reason);
}

void Session::finish(const std::string& reason) {
  if (ended_ || finishing_) return;
  finishing_ = true;
  finish_reason_ = reason;
  timer_ = loop_.after(timing_.hello_ns, [this] { closed(finish_reason_); });  // a peer that does not read
  channel_->close_after_flush();
}

void Session::closed(const std::string& reason) {
  if (ended_) return;
  ended_ = true;
  timer_.reset();
  owner_.on_end(*this, reason);
}

size_t Session::take(std::string_view bytes) {
  heard_ = true;
  size_t taken = 0;
  while (!ended_ && !finishing_) {
    std::string_view payload;
    const size_t most = peer_id_.empty() ? kMaxStrangerFrame : io::kMaxFrame;
    const auto frame = io::next_frame(bytes.substr(taken), payload, most);
    if (!frame) {
      end(frame.error().detail);
      break;
    }
    if (*frame == 0) return taken;
    taken += *frame;
    v1::FromAgent message;
    if (message.ParseFromArray(payload.data(), static_cast<int>(payload.size())))
      dispatch(message);
    else
      end("a message that does not parse");
  }
  return bytes.size();
}

void Session::dispatch(const v1::FromAgent& message) {
  using Kind = v1::FromAgent;
  const auto kind = message.m_case();
  if (!greeted_) {
    greeted_ = true;
    if (peer_id_.empty() && kind == Kind::kEnroll) return owner_.on_enrol(*this, message.enroll());
    if (!peer_id_.empty() && kind == Kind::kHello) return owner_.on_hello(*this, message.hello());
    return end(peer_id_.empty() ? "no certificate: only Enroll is accepted"
                                : "the first message is not AgentHello");
  }
  switch (kind) {
    case Kind::kPong: return answer(message.pong());
    case Kind::kManifest: return owner_.on_manifest(*this, message.manifest());
    case Kind::kFacts: return owner_.on_facts(*this, message.facts());
    case Kind::kReady: return owner_.on_message(*this, message);
    case Kind::kFailed:
    case Kind::kRecord:
      // A failure too, as it comes behind the records of its task.
      if (!clock_.known()) return hold(message);
      return owner_.on_message(*this, message);
    case Kind::M_NOT_SET: return;  // of a newer protocol: skipped
    case Kind::kHello:
    case Kind::kEnroll: return end("a second greeting");
  }
}

void Session::start_pings() {
  timer_ = loop_.after(timing_.ping_ns, [this] { keep_alive(); });
  ping();
}

void Session::ping() {
  v1::ToAgent message;
  ping_sent_ns_ = wall_ns();
  message.mutable_ping()->set_id(++ping_id_);
  message.mutable_ping()->set_t1(ping_sent_ns_);
  send(message);
}

void Session::answer(const v1::Pong& pong) {
  if (pong.id() != ping_id_ || ping_sent_ns_ == 0) return;  // late, after a newer ping, or repeated
  const bool was_known = clock_.known();
  clock_.add({ping_sent_ns_, pong.t2(), pong.t3(), wall_ns()});
  ping_sent_ns_ = 0;
  const bool lost = was_known && !clock_.known();
  if (++first_exchanges_ < kFirstExchanges || lost) ping();
  if (clock_.known()) release();
  if (!ended_) owner_.on_exchange(*this);
}

void Session::hold(const v1::FromAgent& message) {
  held_bytes_ += message.ByteSizeLong();
  if (held_bytes_ > kMostHeldBytes)
    return end("its clock is not known, and its records do not wait for that");
  held_.push_back(message);
}

void Session::release() {
  held_bytes_ = 0;
  for (const v1::FromAgent& message : std::exchange(held_, {})) {
    if (ended_ || finishing_) return;
    owner_.on_message(*this, message);
  }
}

void Session::keep_alive() {
  missed_ = heard_ ? 0 : missed_ + 1;
  heard_ = false;
  if (missed_ >= kMostMissed) return end("no answer to " + std::to_string(kMostMissed) + " keep-alives");
  timer_ = loop_.after(timing_.ping_ns, [this] { keep_alive(); });
  ping();
}

}  // namespace todd::fleet
