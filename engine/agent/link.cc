#include "engine/agent/link.h"

#include <deque>
#include <map>
#include <random>

#include "engine/agent/backoff.h"
#include "engine/base/log.h"
#include "engine/io/channel.h"
#include "engine/io/frame.h"
#include "engine/io/goodbye.h"
#include "engine/io/pki.h"
#include "todd/v1/link.pb.h"

namespace todd::agent {
namespace {
constexpr size_t kMostPending = 4096;         // answers kept while the link is away
constexpr size_t kMostUnsent = 1u << 20;      // records wait in the spool, not in the channel
constexpr size_t kMostTaskBytes = 64u << 20;  // of all tasks that arrive in parts
constexpr int kEndpointsPerPart = 8192;       // of at most some 100 bytes each
constexpr int64_t kSteadyNs = 5'000'000'000;  // a link that lived so long was no failed attempt
constexpr int kStoppingAttempts = 5;          // a coordinator that stops is not back at once
}  // namespace

struct Link::Impl {
  Impl(io::Loop& l, Identity i, Spool& s, const Clock& c, Events e, LinkOptions o)
      : loop(l),
        identity(std::move(i)),
        spool(s),
        clock(c),
        events(std::move(e)),
        options(o),
        backoff(o.first_delay_ns, o.longest_delay_ns, std::random_device{}()) {}

  void dial();
  void greet();
  size_t take(std::string_view bytes);
  bool dispatch(const v1::ToAgent& message);
  bool greeted(const v1::CoordinatorHello& hello);
  bool part(const v1::Prepare& prepare);
  bool goodbye(const std::string& reason);
  void pong(const v1::Ping& ping, int64_t received_wall_ns);
  void watch_silence();
  void down(const std::string& why);
  void reject(Errc code, std::string detail);
  void write(const v1::FromAgent& message);
  void post(const v1::FromAgent& message);
  void flush();

  io::Loop& loop;
  Identity identity;
  Spool& spool;
  const Clock& clock;
  Events events;
  LinkOptions options;
  Backoff backoff;
  size_t next_address = 0;
  std::shared_ptr<io::TlsContext> tls;
  io::ChannelPtr channel;
  io::HandlePtr dial_timer;
  io::HandlePtr silence_timer;
  int64_t heard_ns = 0;
  int64_t up_since_ns = 0;
  bool up = false;
  bool stopped = false;                   // rejected: dials no more
  std::deque<std::string> pending;        // frames that wait for the link
  std::map<std::string, v1::Task> parts;  // tasks of which more is to come
  size_t part_bytes = 0;
};

void Link::Impl::dial() {
  const io::HostPort& at = identity.coordinators[next_address++ % identity.coordinators.size()];
  io::Channel::Events on;
  on.on_open = [this] { greet(); };
  on.on_data = [this](std::string_view bytes) { return take(bytes); };
  on.on_close = [this](const Error& error) { down(error.detail); };
  on.on_drained = [this] { flush(); };
  channel = io::connect_tcp(loop, at.host, at.port, tls, std::move(on));
}

void Link::Impl::greet() {
  heard_ns = clock.now_ns();
  watch_silence();
  v1::FromAgent message;
  v1::AgentHello& hello = *message.mutable_hello();
  events.hello(hello);
  hello.set_protocol_min(options.protocol_min);
  hello.set_protocol_max(options.protocol_max);
  hello.set_agent_id(identity.agent_id);
  write(message);
}

void Link::Impl::watch_silence() {
  const int64_t left = heard_ns + options.silence_ns - clock.now_ns();
  if (left <= 0)
    return down("the coordinator has said nothing for " + std::to_string(options.silence_ns / 1'000'000'000) +
                " s");
  silence_timer = loop.after(left, [this] { watch_silence(); });
}

// dispatch() says whether the channel that the bytes came on is still there.
size_t Link::Impl::take(std::string_view bytes) {
  heard_ns = clock.now_ns();
  size_t taken = 0;
  for (;;) {
    std::string_view payload;
    const auto frame = io::next_frame(bytes.substr(taken), payload);
    if (frame && *frame == 0) return taken;
    v1::ToAgent message;
    if (!frame || !message.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
      down(frame ? "a message that does not parse" : frame.error().detail);
      return bytes.size();
    }
    taken += *frame;
    if (!dispatch(message)) return bytes.size();
  }
}

bool Link::Impl::dispatch(const v1::ToAgent& message) {
  using Kind = v1::ToAgent;
  const int64_t received = clock.wall_now_ns();
  if (!up && message.m_case() != Kind::kHello && message.m_case() != Kind::kGoodbye) {
    down("the coordinator's first message is no greeting");
    return false;
  }
  switch (message.m_case()) {
    case Kind::kHello: return greeted(message.hello());
    case Kind::kPrepare: return part(message.prepare());
    case Kind::kGoodbye: return goodbye(message.goodbye().reason());
    case Kind::kPing: pong(message.ping(), received); break;
    case Kind::kStart: events.start(message.start().task(), message.start().at_wall_ns()); break;
    case Kind::kStop: events.stop(message.stop().task(), message.stop().cancel()); break;
    case Kind::kAck:
      spool.ack(message.ack().task(), message.ack().seq());
      if (events.acked) events.acked();
      break;
    case Kind::kEnrolled:
    case Kind::M_NOT_SET: break;  // of a newer protocol: skipped
  }
  return channel != nullptr;
}

bool Link::Impl::greeted(const v1::CoordinatorHello& hello) {
  if (!hello.error().empty()) {
    reject(Errc::unsupported, hello.error());
    return false;
  }
  up = true;
  up_since_ns = clock.now_ns();
  for (const std::string& task : hello.forget_tasks()) {
    spool.forget(task);
    events.forget(task);
  }
  for (const std::string& hash : hello.want_manifests()) {
    v1::FromAgent message;
    message.mutable_manifest()->set_hash(hash);
    message.mutable_manifest()->set_json(events.manifest(hash));
    write(message);
  }
  for (const std::string& frame : pending) channel->send(frame);
  pending.clear();
  spool.rewind();
  log(LogLevel::info, "agent", "connected to the coordinator at " + channel->peer_address());
  if (events.state) events.state(true);
  flush();
  return channel != nullptr;
}

bool Link::Impl::part(const v1::Prepare& prepare) {
  const v1::Task& task = prepare.task();
  auto it = parts.find(task.id());
  if (it == parts.end() && !prepare.more()) {
    events.prepare(task);
    return channel != nullptr;
  }
  if (it == parts.end()) it = parts.emplace(task.id(), v1::Task()).first;
  it->second.MergeFrom(task);
  part_bytes += task.ByteSizeLong();
  if (part_bytes > kMostTaskBytes) {
    down("tasks in parts of more than 64 MiB");
    return false;
  }
  if (prepare.more()) return true;
  const v1::Task whole = std::move(it->second);
  parts.erase(it);
  if (parts.empty()) part_bytes = 0;
  events.prepare(whole);
  return channel != nullptr;
}

bool Link::Impl::goodbye(const std::string& reason) {
  const std::string word = reason.substr(0, reason.find(':'));
  if (word == io::kGoodbyeIdentityInvalid || word == io::kGoodbyeReplaced) {
    reject(Errc::denied, "the coordinator ended the link: " + reason);
    return false;
  }
  while (word == io::kGoodbyeStopping && backoff.attempts() < kStoppingAttempts) backoff.next_ns();
  up_since_ns = clock.now_ns();  // keeps that back-off
  down("the coordinator said goodbye: " + reason);
  return false;
}

void Link::Impl::pong(const v1::Ping& ping, int64_t received_wall_ns) {
  v1::FromAgent message;
  v1::Pong& pong = *message.mutable_pong();
  pong.set_id(ping.id());
  pong.set_t1(ping.t1());
  pong.set_t2(received_wall_ns);
  pong.set_t3(clock.wall_now_ns());
  write(message);
}

void Link::Impl::down(const std::string& why) {
  const bool was_up = std::exchange(up, false);
  channel.reset();
  silence_timer.reset();
  parts.clear();
  part_bytes = 0;
  if (was_up && clock.now_ns() - up_since_ns >= kSteadyNs) backoff.reset();
  if (!stopped) {
    const int64_t delay = backoff.next_ns();
    log(was_up ? LogLevel::warn : LogLevel::info, "agent",
        (was_up ? "link lost: " : "no link: ") + why + "; dialling again in " +
            std::to_string(delay / 1'000'000) + " ms");
    dial_timer = loop.after(delay, [this] { dial(); });
  }
  if (was_up && events.state) events.state(false);
}

void Link::Impl::reject(Errc code, std::string detail) {
  stopped = true;
  down(detail);
  if (events.rejected) events.rejected(Error{code, 0, std::move(detail)});
}

void Link::Impl::write(const v1::FromAgent& message) {
  std::string frame;
  io::append_frame(frame, message.SerializeAsString());
  channel->send(frame);
}

void Link::Impl::post(const v1::FromAgent& message) {
  if (up) return write(message);
  std::string frame;
  io::append_frame(frame, message.SerializeAsString());
  pending.push_back(std::move(frame));
  if (pending.size() > kMostPending) pending.pop_front();
}

void Link::Impl::flush() {
  while (up && channel->unsent() < kMostUnsent) {
    const std::string* record = spool.next();
    if (!record) return;
    std::string frame;
    io::append_frame(frame, *record);
    channel->send(frame);
  }
}

Link::Link(io::Loop& loop, Identity identity, Spool& spool, const Clock& clock, Events events,
           LinkOptions options)
    : impl_(std::make_unique<Impl>(loop, std::move(identity), spool, clock, std::move(events), options)) {}
Link::~Link() = default;

Status Link::start() {
  const Identity& identity = impl_->identity;
  auto context = io::make_tls_client(
      {.certificate_pem = identity.certificate_pem, .key_pem = identity.key_pem, .ca_pem = identity.ca_pem});
  if (!context) return tl::unexpected(context.error());
  impl_->tls = std::move(*context);
  impl_->dial();
  return {};
}

bool Link::up() const { return impl_->up; }
bool Link::flushed() const { return impl_->spool.records() == 0; }
void Link::flush() { impl_->flush(); }

void Link::send(const v1::Ready& ready) {
  v1::FromAgent message;
  v1::Ready& part = *message.mutable_ready();
  part.set_task(ready.task());
  part.set_port(ready.port());
  for (const v1::Endpoint& endpoint : ready.endpoints()) {
    if (part.endpoints_size() == kEndpointsPerPart) {
      part.set_more(true);
      impl_->post(message);
      part.set_more(false);
      part.clear_endpoints();
    }
    *part.add_endpoints() = endpoint;
  }
  impl_->post(message);
}

void Link::send(const v1::Failed& failed) {
  v1::FromAgent message;
  *message.mutable_failed() = failed;
  impl_->post(message);
}

void Link::send(const v1::Facts& facts) {
  if (!impl_->up) return;
  v1::FromAgent message;
  *message.mutable_facts() = facts;
  impl_->write(message);
}

}  // namespace todd::agent
