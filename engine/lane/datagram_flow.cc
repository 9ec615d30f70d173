#include "engine/lane/datagram_flow.h"

#include <linux/errqueue.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>

#include "engine/io/sockets.h"
#include "engine/lane/errors.h"
#include "engine/lane/packet_bytes.h"
#include "engine/lane/sent_packet.h"

namespace todd::lane {
namespace {

// A reply that the kernel received in time may reach us late: what has no answer is given up only this much
// after its time.
constexpr int64_t kGraceNs = 20'000'000;
constexpr size_t kArena = 256 * 1024;
constexpr uint32_t kSlots = 512;
// What the kernel charges a socket for a short reply on top of its bytes: 768 on most drivers, more where
// pages are received.
constexpr uint32_t kReplyCost = 1280;

// Payload that no path is too narrow for: 576 (RFC 791) without the longest headers.
constexpr uint32_t kNeverCut = 500;

uint64_t random_word() {
  std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

io::TxStamps wanted_stamps(const TaskSetup& setup) {
  switch (setup.stamps) {
    case manifest::Stamps::exact: return io::TxStamps::all;
    case manifest::Stamps::sampled: return io::TxStamps::some;
    case manifest::Stamps::user: break;
  }
  return io::TxStamps::none;
}

uint32_t table_size(Instance& owner, const todd_flow& flow) {
  if ((flow.flags & TODD_FF_LISTEN) != 0) return 64;
  uint32_t size = 1024;
  // Entries are used in turn: a probe that waits for its answer holds up what is due one table behind it.
  // With room for all that is due meanwhile (its departure may be late) none does.
  constexpr int64_t kLateNs = 100'000'000;
  const auto& setup = owner.setup();
  const double meanwhile = schedule::due_within(setup.plan, setup.timeout_ns + kLateNs);
  const double want = std::max({2.0 * static_cast<double>(setup_targets(setup)), 4096.0, meanwhile});
  while (size < ExchangeTable::kMax && size < want) size *= 2;
  return size;
}

}  // namespace

DatagramFlow::DatagramFlow(Instance& owner, uint32_t index, const todd_flow& flow, uint32_t slots)
    : Flow(flow.slot_cap, slots, kArena + flow.slot_cap),
      owner_(owner),
      index_(index),
      wanted_(flow),
      // Translators of addresses tell echoes apart by ident and sequence.
      table_(table_size(owner, flow), random_word(), static_cast<uint16_t>(random_word())),
      out_(slots),
      blocked_(slots),
      draw_(random_word() | 1) {
  if (owner.setup().samples != 0) numbers_.resize(setup_targets(owner.setup()));
}

todd_status DatagramFlow::open(Instance& owner, uint32_t index, todd_flow& flow, todd_error* error,
                               std::unique_ptr<DatagramFlow>& out) {
  const todd_testlet& testlet = *owner.setup().testlet;
  if ((flow.flags & TODD_FF_JUDGE) != 0 && (!TODD_HAS(&testlet, judge) || testlet.judge == nullptr))
    return set_error(error, -EINVAL, "a flow with TODD_FF_JUDGE needs a testlet that can judge");
  out.reset(new DatagramFlow(owner, index, flow, flow.slots != 0 ? std::min(flow.slots, 16384u) : kSlots));
  return flow.proto == TODD_ICMP ? out->open_icmp(error) : out->open_udp(flow, error);
}

uint32_t DatagramFlow::tickets_ahead(uint32_t limit, bool unpaced) const {
  if (unpaced)
    limit = static_cast<uint32_t>(
        std::min<uint64_t>(limit, window_ - std::min<uint64_t>(window_, table_.live())));
  return table_.free_ahead(limit);
}

void DatagramFlow::add_socket(int family, UniqueFd fd, const io::DatagramOptions& options) {
  if (owner_.setup().egress.df == DontFragment::system && slot_cap() <= kNeverCut)
    io::never_fragment(fd.get(), family);
  window_ = std::min(window_, io::granted_receive_buffer(fd.get()) / (kReplyCost + slot_cap()));
  Side& side = sides_[family == AF_INET6 ? 1 : 0];
  side.flow = this;
  side.family = family;
  side.socket = owner_.reactor().add_datagram(std::move(fd), side, options);
}

// One in 32, at random: a fixed rhythm would always pick the same places of a batch.
bool DatagramFlow::worth_a_stamp() {
  draw_ ^= draw_ << 13;  // xorshift64
  draw_ ^= draw_ >> 7;
  draw_ ^= draw_ << 17;
  return draw_ % 32 == 0;
}

// The lanes of one task have idents in a row.
uint16_t DatagramFlow::wanted_ident() const {
  if (wanted_.ident == 0) return 0;
  return static_cast<uint16_t>((wanted_.ident - 1u + owner_.setup().shard.index) % 65535 + 1);
}

// On a raw socket the ident is ours to choose.
Status DatagramFlow::choose_ident(Side& side, int family, int fd) {
  side.unchecked = family == AF_INET;
  constexpr int kDraws = 16;
  const uint16_t wanted = wanted_ident();
  for (int draws = 0; draws < kDraws && !side.claim; ++draws) {
    side.ident = wanted != 0 ? wanted : static_cast<uint16_t>(random_word() % 65535 + 1);
    auto claimed = io::claim_ident(family, side.ident);
    if (!claimed && (wanted != 0 || draws + 1 == kDraws)) return tl::unexpected(claimed.error());
    if (claimed) side.claim = std::move(*claimed);
  }
  // Without, each lane would be woken for the others' replies; they would not match.
  (void)io::pass_only_replies_to(fd, family, side.ident);
  return {};
}

// On a ping socket it is the kernel's "port".
Status DatagramFlow::learn_ident(Side& side, int family, int fd) {
  const auto& v4 = owner_.setup().icmp[0];
  const int sibling = family == AF_INET6 && v4.fd && !v4.raw ? v4.fd.get() : -1;
  if (auto bound = io::bind_ping(fd, family, owner_.setup().egress, wanted_ident(), sibling); !bound)
    return bound;
  const auto local = io::local_address(fd);
  if (!local) return tl::unexpected(local.error());
  side.ident = io::port_of(*local);
  return {};
}

todd_status DatagramFlow::open_icmp(todd_error* error) {
  io::DatagramOptions options{
      .max_payload = slot_cap() + 128, .send_queue = slots(), .tx_stamps = wanted_stamps(owner_.setup())};
  for (int i = 0; i < 2; ++i) {
    const int family = i == 0 ? AF_INET : AF_INET6;
    if (!needs_family(owner_.setup(), family)) continue;
    auto& given = owner_.setup().icmp[i];
    if (!given.fd)
      return set_error(error, given.bad_param ? TODD_E_PARAM : -EPERM,
                       given.error.empty()
                           ? "ICMP was not asked for: the testlet's needs and raw_when say when it is"
                           : given.error);
    Side& side = sides_[static_cast<size_t>(i)];
    const Status known =
        given.raw ? choose_ident(side, family, given.fd.get()) : learn_ident(side, family, given.fd.get());
    if (!known) return set_error(error, status_of(known.error()), known.error().detail);
  }
  for (int i = 0; i < 2; ++i) {
    auto& given = owner_.setup().icmp[i];
    if (!given.fd) continue;
    options.packet = i == 0 && owner_.setup().packet ? &owner_.setup().packet : nullptr;
    add_socket(i == 0 ? AF_INET : AF_INET6, std::move(given.fd), options);
  }
  return 0;
}

// Bound in any case, so that its port is known; to any other if this one is only a wish.
Result<UniqueFd> DatagramFlow::open_source(int family, uint16_t port, bool wish) {
  io::SocketRequest request{.kind = io::SocketRequest::udp,
                            .family = family,
                            .bind_to = *io::parse_address(family == AF_INET6 ? "::" : "0.0.0.0", port),
                            .egress = owner_.setup().egress};
  auto fd = io::open_socket(request);
  if (fd || port == 0 || !wish || fd.error().sys_errno != EADDRINUSE) return fd;
  io::set_port(request.bind_to, 0);
  return io::open_socket(request);
}

todd_status DatagramFlow::open_udp(todd_flow& flow, todd_error* error) {
  const bool listens = (flow.flags & TODD_FF_LISTEN) != 0;
  // Only probes are timed; what a responder or a generator of load sends is not.
  const bool times = (owner_.setup().manifest.probes && !listens);
  const io::DatagramOptions options{.max_payload = std::max(slot_cap(), 2048u),
                                    .send_queue = slots(),
                                    .tx_stamps = times ? wanted_stamps(owner_.setup()) : io::TxStamps::none};
  uint16_t port = flow.local_port;
  if (!listens && port != 0 && owner_.setup().shard.of > 1)
    return set_error(
        error, TODD_E_PARAM,
        "a source port can belong to one lane only, and this pace is worth several: ask for less than "
        "100,000 probes a second");
  for (int i = 0; i < 2; ++i) {
    const int family = i == 0 ? AF_INET : AF_INET6;
    if (!listens && !needs_family(owner_.setup(), family)) continue;
    auto fd = listens
                  ? bind_listener(owner_.setup(), {.kind = io::SocketRequest::udp, .family = family}, port)
                  : open_source(family, flow.local_port != 0 ? flow.local_port : port, flow.local_port == 0);
    if (!fd) {
      if (listens && i == 1) continue;  // a host without IPv6 still answers IPv4
      return set_error(error, status_of(fd.error()), fd.error().detail);
    }
    const auto local = io::local_address(fd->get());
    if (local) sides_[static_cast<size_t>(i)].port = io::port_of(*local);
    if (port == 0 && local) port = io::port_of(*local);
    add_socket(family, std::move(*fd), options);
  }
  flow.local_port = port;
  return 0;
}

bool DatagramFlow::address_out(Out& out, const todd_op& op) {
  out.has_from = false;
  if ((op.flags & TODD_OF_REPLY) != 0) {
    const Peers::Peer* peer = peers_.find(op.key);
    if (peer == nullptr) return false;
    out.to = peer->address;
    out.from = peer->local;
    out.has_from = out.from.sa.sa_family != 0;
    return true;
  }
  if (op.target >= owner_.setup().targets.size()) return false;
  out.to = owner_.setup().targets[op.target].address;
  if (wanted_.proto == TODD_ICMP)
    io::set_port(out.to, 0);
  else if (op.port != 0)
    io::set_port(out.to, op.port);
  return true;
}

void DatagramFlow::run(const todd_op& op) {
  Out& out = out_[op.slot];
  out.op = op;
  if (!address_out(out, op) || (op.code == TODD_OP_EXCHANGE && table_.full())) {
    release(op.slot);
    if (op.code == TODD_OP_EXCHANGE) owner_.host_count(kUnsent, op.target);
    owner_.complete({.user = op.user,
                     .result = -EAGAIN,
                     .code = op.code,
                     .flags = TODD_DF_LOCAL,
                     .flow = index_,
                     .target = op.target,
                     .slot = TODD_NONE});
    return;
  }
  if (op.code == TODD_OP_EXCHANGE) {
    const uint64_t number = op.target < numbers_.size() ? numbers_[op.target]++ : 0;
    out.exchange = table_.begin(op.user, op.target, op.at_ns, number);
    uint8_t* bytes = slot(op.slot);
    const uint64_t cookie = table_.cookie(out.exchange);
    const Side& side = sides_[out.to.sa.sa_family == AF_INET6 ? 1 : 0];
    if (wanted_.proto == TODD_ICMP && op.len >= kEchoHeader) {
      stamp_echo({bytes, op.len}, side.family, {side.ident, out.exchange}, cookie);
      table_.at(out.exchange).proved = op.len >= kEchoHeader + kCookieBytes;
    }
    if (wanted_.proto == TODD_UDP && op.len >= wanted_.stamp_off + kCookieBytes)
      memcpy(bytes + wanted_.stamp_off, &cookie, sizeof cookie);
  }
  transmit(op.slot);
}

void DatagramFlow::transmit(uint32_t index) {
  const Out& out = out_[index];
  Side& side = sides_[out.to.sa.sa_family == AF_INET6 ? 1 : 0];
  if (!side.socket) {
    sent(index, -EAFNOSUPPORT, owner_.now());
    return;
  }
  const io::DatagramOut datagram{.data = slot(index),
                                 .len = out.op.len,
                                 .ttl = out.op.ttl,
                                 .tos = out.op.tos,
                                 .to = &out.to,
                                 .from = out.has_from ? &out.from : nullptr,
                                 .cookie = index,
                                 .stamp = owner_.setup().stamps == manifest::Stamps::sampled &&
                                          out.op.code == TODD_OP_EXCHANGE && worth_a_stamp()};
  if (!side.socket->send(datagram)) blocked_.push(index);
}

void DatagramFlow::retry_blocked() {
  for (size_t n = blocked_.size(); n > 0; --n) transmit(blocked_.pop());
}

void DatagramFlow::sent(uint32_t index, int result, int64_t tx_ns) {
  Out& out = out_[index];
  const bool exchange = out.op.code == TODD_OP_EXCHANGE;
  // A full socket is this host's business: the probe waits its turn, and its lateness says so. What a full
  // device queue refused is not offered again unless it is a probe: others have passed it, and that would
  // look like the network's doing.
  if (result == -EAGAIN || (result == -ENOBUFS && exchange)) {
    blocked_.push(index);
    return;
  }
  release(index);
  if (!exchange) {
    owner_.complete({.user = out.op.user,
                     .result = result == 0 ? static_cast<int32_t>(out.op.len) : result,
                     .code = TODD_OP_SEND,
                     .flags = static_cast<uint16_t>(result < 0 ? TODD_DF_LOCAL : 0),
                     .flow = index_,
                     .target = out.op.target,
                     .slot = TODD_NONE,
                     .tx_ns = tx_ns,
                     .rx_ns = tx_ns,
                     .tx_src = TODD_TS_USER});
    return;
  }
  Exchange& e = table_.at(out.exchange);
  if (e.state != Exchange::sending) return;
  if (result < 0) {
    table_.finish(e, Exchange::idle);
    owner_.host_count(kUnsent, e.target);
    owner_.note(e.target, "local_error", strerror(-result));
    owner_.complete({.user = e.user,
                     .result = result,
                     .code = TODD_OP_EXCHANGE,
                     .flags = TODD_DF_LOCAL,
                     .flow = index_,
                     .target = e.target,
                     .slot = TODD_NONE});
    return;
  }
  if (e.tx_wall_ns == 0) e.tx_ns = tx_ns;
  e.deadline_ns = tx_ns + (out.op.timeout_ns != 0 ? out.op.timeout_ns : owner_.setup().timeout_ns);
  e.state = Exchange::flying;
  owner_.host_count(kSent, e.target);
  owner_.host_count(kSentBytes, e.target, packet_bytes(wanted_.proto, out.to, out.op.len));
  if (e.due_ns != 0) owner_.sent_late(tx_ns - e.due_ns);
}

Exchange* DatagramFlow::exchange_of(const Side& side, const Echo& echo) {
  if (echo.id.ident != side.ident) return nullptr;
  Exchange& e = table_.at(echo.id.sequence);
  const bool fits = echo.cookie ? *echo.cookie == table_.cookie(echo.id.sequence) : !e.proved;
  return e.generation != 0 && fits ? &e : nullptr;
}

// Who quotes need not quote as much as the cookie (RFC 792); what he does quote must be right.
Exchange* DatagramFlow::exchange_quoted(const Echo& echo) {
  Exchange& e = table_.at(echo.id.sequence);
  const bool fits = !echo.cookie || *echo.cookie == table_.cookie(echo.id.sequence);
  return e.generation != 0 && fits ? &e : nullptr;
}

Exchange* DatagramFlow::exchange_of(std::span<const uint8_t> udp_payload) {
  if (udp_payload.size() < wanted_.stamp_off + kCookieBytes) return nullptr;
  uint64_t cookie;
  memcpy(&cookie, udp_payload.data() + wanted_.stamp_off, sizeof cookie);
  const auto index = static_cast<uint16_t>(cookie);
  Exchange& e = table_.at(index);
  return e.generation != 0 && cookie == table_.cookie(index) ? &e : nullptr;
}

Exchange* DatagramFlow::match(Side& side, const io::DatagramIn& in) {
  Exchange* e = nullptr;
  if (wanted_.proto == TODD_ICMP) {
    const auto reply = parse_echo_reply({in.data, in.len}, side.family);
    if (reply) e = exchange_of(side, *reply);
  } else {
    e = exchange_of({in.data, in.len});
  }
  if (e == nullptr || e->state == Exchange::idle || e->target >= owner_.setup().targets.size())
    return nullptr;
  return io::same_host(owner_.setup().targets[e->target].address, in.from) ? e : nullptr;
}

void DatagramFlow::transmitted(Side& side, std::span<const uint8_t> packet, int64_t tx_wall_ns) {
  const bool icmp = wanted_.proto == TODD_ICMP;
  const uint8_t protocol = !icmp                     ? uint8_t{IPPROTO_UDP}
                           : side.family == AF_INET6 ? uint8_t{IPPROTO_ICMPV6}
                                                     : uint8_t{IPPROTO_ICMP};
  const auto payload = payload_of_sent(packet, side.family, protocol);
  Exchange* e = nullptr;
  if (!icmp) {
    e = exchange_of(payload);
  } else if (const auto echo = parse_echo_request(payload, side.family)) {
    e = exchange_of(side, *echo);
  }
  if (e == nullptr || (e->state != Exchange::sending && e->state != Exchange::flying)) return;
  owner_.receiving();
  const int64_t tx_ns = owner_.clock().to_mono(tx_wall_ns);
  if (e->state == Exchange::flying && !owner_.clock().stepped_since(e->tx_ns))
    correction_.learn(tx_ns - e->tx_ns);
  e->tx_wall_ns = tx_wall_ns;
  e->tx_ns = tx_ns;
}

// The round trip is the difference of two kernel stamps where there are two, so that no reading of ours is in
// it. Across a step of the wall clock neither stamp means anything: there our own clock has to do.
DatagramFlow::Times DatagramFlow::times_of(const Exchange& e, const io::DatagramIn& in) {
  if (in.rx_source == io::Stamp::user || owner_.clock().stepped_since(e.tx_ns))
    return {e.tx_ns, owner_.now(), TODD_TS_USER, TODD_TS_USER};
  const auto rx_src = static_cast<uint8_t>(in.rx_source);
  if (e.tx_wall_ns != 0) return {e.tx_ns, e.tx_ns + (in.rx_wall_ns - e.tx_wall_ns), TODD_TS_KERNEL, rx_src};
  return {e.tx_ns + correction_.ns(), owner_.clock().to_mono(in.rx_wall_ns), TODD_TS_USER, rx_src};
}

void DatagramFlow::received(Side& side, const io::DatagramIn& in) {
  owner_.receiving();
  const bool sound = !side.unchecked || in.truncated || is_sound({in.data, in.len});
  if (Exchange* e = sound ? match(side, in) : nullptr) return answer(*e, in);
  if (wanted_.proto == TODD_ICMP) {
    // A raw socket sees everybody's ICMP: what is not ours is nobody's stray.
    if (const auto error = parse_icmp_error({in.data, in.len}, side.family); error && sound) {
      if (error->quoted.id.ident != side.ident) return;
      Exchange* const e = exchange_quoted(error->quoted);
      if (e == nullptr || e->state != Exchange::flying ||
          !io::same_host(owner_.setup().targets[e->target].address, error->to))
        return owner_.unmatched();
      todd_icmp_error record{.type = error->type,
                             .code = error->code,
                             .family = static_cast<uint16_t>(side.family == AF_INET6 ? 6 : 4),
                             .mtu = error->mtu,
                             .sender = {},
                             .reserved = 0};
      copy_host(in.from, record.sender);
      return icmp_error(*e, record);
    }
    const auto reply = parse_echo_reply({in.data, in.len}, side.family);
    if (reply && reply->id.ident == side.ident) owner_.unmatched();
    return;
  }
  if ((wanted_.flags & TODD_FF_RECV) != 0)
    deliver(in);
  else
    owner_.unmatched();
}

// The testlet has the last word where it asked for it.
bool DatagramFlow::is_reply(const Exchange& e, const io::DatagramIn& in) {
  if ((wanted_.flags & TODD_FF_JUDGE) == 0) return true;
  const TaskSetup& setup = owner_.setup();
  const stats::InTestlet mark(setup.cells);
  return setup.testlet->judge(setup.instance, e.user, e.target, in.data, in.len) == 1;
}

void DatagramFlow::answer(Exchange& e, const io::DatagramIn& in) {
  if (e.state == Exchange::sending || !is_reply(e, in) || e.state == Exchange::ended) return;
  owner_.host_count(kReceivedBytes, e.target, packet_bytes(wanted_.proto, in.from, in.len));
  if (e.state == Exchange::answered) return owner_.host_count(kDuplicate, e.target);
  if (e.state == Exchange::lost) {
    e.state = Exchange::ended;
    return owner_.host_count(kLate, e.target);
  }
  const Times times = times_of(e, in);
  if (times.rx_ns > e.deadline_ns) {
    owner_.host_count(kLost, e.target);
    owner_.host_count(kLate, e.target);
    table_.finish(e, Exchange::ended);
    return end_unanswered(e, -ETIMEDOUT, "timeout");
  }
  table_.finish(e, Exchange::answered);
  const Exchange ended = e;  // making room may step the testlet, whose next probe may take the entry
  owner_.host_count(kReceived, ended.target);
  owner_.make_room(*this, in.len);
  const int64_t rtt_ns = std::max<int64_t>(0, times.rx_ns - times.tx_ns);
  owner_.stamps(times.tx_src, times.rx_src);
  owner_.sample(owner_.setup().targets[ended.target], ended.number, times.tx_ns, rtt_ns, "ok", in.ttl,
                times.tx_src, times.rx_src);
  owner_.complete({.user = ended.user,
                   .result = static_cast<int32_t>(in.len),
                   .code = TODD_OP_EXCHANGE,
                   .flags = static_cast<uint16_t>(in.truncated ? TODD_DF_TRUNCATED : 0),
                   .flow = index_,
                   .target = ended.target,
                   .slot = store(in.data, in.len),
                   .len = in.len,
                   .tx_ns = times.tx_ns,
                   .rx_ns = times.tx_ns + rtt_ns,
                   .tx_src = times.tx_src,
                   .rx_src = times.rx_src,
                   .ttl = in.ttl,
                   .tos = in.tos,
                   .arg = static_cast<uint64_t>(ended.due_ns)});
}

void DatagramFlow::deliver(const io::DatagramIn& in) {
  owner_.make_room(*this, in.len);
  owner_.complete(
      {.user = 0,
       .result = static_cast<int32_t>(in.len),
       .code = TODD_OP_RECV,
       .flags = static_cast<uint16_t>(in.truncated ? TODD_DF_TRUNCATED : 0),
       .flow = index_,
       .target = TODD_NONE,
       .slot = store(in.data, in.len),
       .len = in.len,
       .rx_ns = in.rx_source == io::Stamp::user ? owner_.now() : owner_.clock().to_mono(in.rx_wall_ns),
       .rx_src = static_cast<uint8_t>(in.rx_source),
       .ttl = in.ttl,
       .tos = in.tos,
       .port = io::port_of(in.from),
       .arg = peers_.token_of(in.from, in.local)});
}

void DatagramFlow::failed(Side& side, const io::DatagramError& error) {
  Exchange* e = nullptr;
  if (wanted_.proto == TODD_ICMP) {
    // The socket's own error queue: the ident is right.
    const auto echo = parse_quoted_echo({error.quoted, error.quoted_len}, side.family);
    if (echo) e = exchange_quoted(*echo);
  } else {
    e = exchange_of({error.quoted, error.quoted_len});
  }
  if (e == nullptr || e->generation == 0 || e->state != Exchange::flying ||
      e->target >= owner_.setup().targets.size() ||
      !io::same_host(owner_.setup().targets[e->target].address, error.to)) {
    // Why this host did not send was said by the send already; it is no packet that came.
    if (error.origin != SO_EE_ORIGIN_LOCAL) owner_.unmatched();
    return;
  }
  todd_icmp_error record{.type = error.type,
                         .code = error.code,
                         .family = static_cast<uint16_t>(side.family == AF_INET6 ? 6 : 4),
                         .mtu = error.info,
                         .sender = {},
                         .reserved = 0};
  copy_host(error.offender, record.sender);
  icmp_error(*e, record);
}

void DatagramFlow::icmp_error(Exchange& e, const todd_icmp_error& record) {
  table_.finish(e, Exchange::ended);
  const Exchange ended = e;
  owner_.host_count(kLost, ended.target);
  owner_.sample(owner_.setup().targets[ended.target], ended.number, ended.tx_ns, -1, "icmp_error", 0,
                TODD_TS_USER, TODD_TS_NONE);
  owner_.make_room(*this, sizeof record);
  uint8_t bytes[sizeof record];
  memcpy(bytes, &record, sizeof record);
  owner_.complete({.user = ended.user,
                   .result = -icmp_errno(record.family == 6 ? AF_INET6 : AF_INET, record.type, record.code),
                   .code = TODD_OP_EXCHANGE,
                   .flags = TODD_DF_ICMP_ERROR,
                   .flow = index_,
                   .target = ended.target,
                   .slot = store(bytes, sizeof bytes),
                   .len = sizeof bytes,
                   .tx_ns = ended.tx_ns,
                   .rx_ns = owner_.now(),
                   .tx_src = TODD_TS_USER,
                   .rx_src = TODD_TS_USER,
                   .arg = static_cast<uint64_t>(ended.due_ns)});
}

void DatagramFlow::end_unanswered(const Exchange& e, int result, const char* outcome, uint16_t flags) {
  owner_.sample(owner_.setup().targets[e.target], e.number, e.tx_ns, -1, outcome, 0, TODD_TS_USER,
                TODD_TS_NONE);
  owner_.complete({.user = e.user,
                   .result = result,
                   .code = TODD_OP_EXCHANGE,
                   .flags = flags,
                   .flow = index_,
                   .target = e.target,
                   .slot = TODD_NONE,
                   .tx_ns = e.tx_ns,
                   .rx_ns = owner_.now(),
                   .tx_src = TODD_TS_USER,
                   .arg = static_cast<uint64_t>(e.due_ns)});
}

void DatagramFlow::expire(int64_t now_ns, size_t most) {
  if (table_.next_deadline() > now_ns - kGraceNs) return;
  // Drops are asked for first: the reply to a burst's last probe may be among them, and nothing comes after
  // it to say so.
  for (Side& side : sides_)
    if (side.socket) side.socket->check_drops();
  // What is given up now was due that long ago.
  owner_.check_host_drops(kGraceNs);
  table_.expire(now_ns - kGraceNs, most, [this](Exchange& e) {
    // While this host was dropping packets, silence proves nothing about the network.
    const bool lost = owner_.last_drop_ns() < e.tx_ns;
    owner_.host_count(lost ? kLost : kUndetermined, e.target);
    table_.finish(e, lost ? Exchange::lost : Exchange::ended);
    end_unanswered(e, -ETIMEDOUT, lost ? "timeout" : "undetermined",
                   static_cast<uint16_t>(lost ? 0 : TODD_DF_LOCAL));
  });
}

void DatagramFlow::cancel_all() {
  table_.drain([this](Exchange& e) {
    owner_.host_count(e.state == Exchange::sending ? kUnsent : kUndetermined, e.target);
    table_.finish(e, Exchange::ended);
    end_unanswered(e, -ECANCELED, "cancelled");
  });
  blocked_.clear();
}

void DatagramFlow::forget_ended() {
  table_.forget_ended();
  std::ranges::fill(numbers_, 0);
}

int64_t DatagramFlow::next_deadline() {
  const int64_t deadline = table_.next_deadline();
  if (!blocked_.empty()) return owner_.now() + 1'000'000;
  return deadline == INT64_MAX ? deadline : deadline + kGraceNs;
}

}  // namespace todd::lane
