#include <random>

#include "engine/agent/backoff.h"
#include "engine/agent/identity.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/io/frame.h"
#include "engine/io/pki.h"
#include "todd/v1/link.pb.h"

namespace todd::agent {
namespace {
constexpr int64_t kFirstDelayNs = 100'000'000;
constexpr int64_t kLongestDelayNs = 5'000'000'000;
constexpr size_t kMaxAnswer = 64 * 1024;
}  // namespace

struct Enrolment::Impl {
  Impl(io::Loop& l, EnrolOptions o, Done d)
      : loop(l),
        options(std::move(o)),
        done(std::move(d)),
        give_up_at(monotonic_ns() + options.give_up_ns),
        backoff(kFirstDelayNs, kLongestDelayNs, std::random_device{}()) {
    timer = loop.after(0, [this] { begin(); });
  }

  void begin();
  void dial();
  void ask();
  size_t take(std::string_view bytes);
  void answered(const v1::Enrolled& enrolled);
  void unanswered(const Error& error);
  void finish(Result<Identity> result);

  io::Loop& loop;
  EnrolOptions options;
  Done done;
  int64_t give_up_at;
  Backoff backoff;
  size_t next_address = 0;
  std::string key_pem, csr_pem;
  std::shared_ptr<io::TlsContext> tls;
  io::HandlePtr timer;
  io::ChannelPtr channel;
};

void Enrolment::Impl::begin() {
  auto key = io::make_key();
  if (!key) return finish(tl::unexpected(key.error()));
  auto request = io::make_csr(*key, options.name);
  if (!request) return finish(tl::unexpected(request.error()));
  auto context = io::make_tls_client({.certificate_pem = {},
                                      .key_pem = {},
                                      .ca_pem = {},
                                      .pinned_spki_sha256_hex = options.token.ca_sha256_hex});
  if (!context) return finish(tl::unexpected(context.error()));
  key_pem = std::move(*key);
  csr_pem = std::move(*request);
  tls = std::move(*context);
  dial();
}

void Enrolment::Impl::dial() {
  const io::HostPort& at = options.token.coordinators[next_address++ % options.token.coordinators.size()];
  io::Channel::Events events;
  events.on_open = [this] { ask(); };
  events.on_data = [this](std::string_view bytes) { return take(bytes); };
  events.on_close = [this](const Error& error) { unanswered(error); };
  channel = io::connect_tcp(loop, at.host, at.port, tls, std::move(events));
}

void Enrolment::Impl::ask() {
  v1::FromAgent message;
  v1::Enroll& enroll = *message.mutable_enroll();
  enroll.set_token_id(options.token.id);
  enroll.set_proof(io::enrol_proof(options.token.secret, channel->tls_exporter(io::kEnrolLabel), csr_pem));
  enroll.set_csr_pem(csr_pem);
  enroll.set_name(options.name);
  std::string frame;
  io::append_frame(frame, message.SerializeAsString());
  channel->send(frame);
}

size_t Enrolment::Impl::take(std::string_view bytes) {
  std::string_view payload;
  const auto frame = io::next_frame(bytes, payload, kMaxAnswer);
  if (frame && *frame == 0) return 0;
  v1::ToAgent message;
  const bool good = frame && message.ParseFromArray(payload.data(), static_cast<int>(payload.size())) &&
                    message.has_enrolled();
  const size_t all = bytes.size();
  channel->pause_reading(true);
  if (good)
    answered(message.enrolled());
  else
    finish(fail(Errc::corrupt, "what answers at the token's address does not speak the link's protocol"));
  return all;
}

void Enrolment::Impl::answered(const v1::Enrolled& enrolled) {
  if (!enrolled.error().empty()) {
    return finish(fail(Errc::denied, "the coordinator refused: " + enrolled.error()));
  }
  const auto ca_hash = io::spki_sha256_hex(enrolled.ca_pem());
  if (!ca_hash || *ca_hash != options.token.ca_sha256_hex || enrolled.agent_id().empty() ||
      enrolled.certificate_pem().empty()) {
    return finish(fail(Errc::corrupt, "the coordinator's answer is not of the CA that the join token names"));
  }
  finish(Identity{enrolled.agent_id(), options.name, options.token.id, options.token.coordinators,
                  enrolled.certificate_pem(), key_pem, enrolled.ca_pem()});
}

void Enrolment::Impl::unanswered(const Error& error) {
  const size_t addresses = options.token.coordinators.size();
  const std::string where = io::format_host_port(options.token.coordinators[(next_address - 1) % addresses]);
  // Another key than the pinned one does not get better by waiting, but another address may be the right one.
  const bool permanent = error.code == Errc::denied || error.code == Errc::corrupt;
  if (permanent && next_address >= addresses)
    return finish(fail(Errc::corrupt, "coordinator at " + where + ": " + error.detail));
  const int64_t delay = backoff.next_ns();
  if (monotonic_ns() + delay > give_up_at) {
    return finish(
        fail(Errc::unavailable,
             "no coordinator answered; last " + where + ": " + error.detail +
                 "; check the address in the token and the firewall, or say --coordinator HOST:PORT"));
  }
  log(LogLevel::info, "agent", "joining by " + where + ": " + error.detail + "; trying again");
  timer = loop.after(delay, [this] { dial(); });
}

// Told in a turn of its own, so that the callback may destroy the enrolment.
void Enrolment::Impl::finish(Result<Identity> result) {
  timer = loop.after(0, [this, result = std::move(result)] {
    channel.reset();
    const Done tell = std::move(done);
    tell(result);
  });
}

Enrolment::Enrolment(io::Loop& loop, EnrolOptions options, Done done)
    : impl_(std::make_unique<Impl>(loop, std::move(options), std::move(done))) {}
Enrolment::~Enrolment() = default;

}  // namespace todd::agent
