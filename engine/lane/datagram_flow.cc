#include "engine/lane/datagram_flow.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>

#include "engine/io/sockets.h"
#include "engine/lane/errors.h"

namespace todd::lane {
namespace {

// A reply that the kernel received in time may reach us late: what has no answer is given up only this much after its time.
constexpr int64_t kGraceNs = 20'000'000;
constexpr size_t kArena = 256 * 1024;
constexpr uint32_t kSlots = 512;
// What the kernel charges a socket for a short reply on top of its bytes: 768 on most drivers, more where pages are received.
constexpr uint32_t kReplyCost = 1280;

uint64_t random_word() {
  std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

uint32_t table_size(Instance& owner, const todd_flow& flow) {
  if ((flow.flags & TODD_FF_LISTEN) != 0) return 64;
  uint32_t size = 1024;
  const uint64_t want = std::max<uint64_t>(setup_targets(owner.setup()) * 2, 4096);
  while (size < ExchangeTable::kMax && size < want) size *= 2;
  return size;
}

}  // namespace

DatagramFlow::DatagramFlow(Instance& owner, uint32_t index, const todd_flow& flow, uint32_t slots)
    : Flow(flow.slot_cap, slots, kArena + flow.slot_cap),
      owner_(owner),
      index_(index),
      wanted_(flow),
      table_(table_size(owner, flow), random_word()),
      out_(slots) {
  if (owner.setup().samples != 0) numbers_.resize(setup_targets(owner.setup()));
}

todd_status DatagramFlow::open(Instance& owner, uint32_t index, todd_flow& flow, todd_error* error,
                               std::unique_ptr<DatagramFlow>& out) {
  out.reset(new DatagramFlow(owner, index, flow, flow.slots != 0 ? std::min(flow.slots, 16384u) : kSlots));
  return flow.proto == TODD_ICMP ? out->open_icmp(error) : out->open_udp(flow, error);
}

uint32_t DatagramFlow::tickets_ahead(uint32_t limit, bool unpaced) const {
  if (unpaced) limit = static_cast<uint32_t>(std::min<uint64_t>(limit, window_ - std::min<uint64_t>(window_, table_.live())));
  return table_.free_ahead(limit);
}

void DatagramFlow::add_socket(int family, UniqueFd fd, const io::DatagramOptions& options) {
  window_ = std::min(window_, io::granted_receive_buffer(fd.get()) / (kReplyCost + slot_cap()));
  Side& side = sides_[family == AF_INET6 ? 1 : 0];
  side.flow = this;
  side.family = family;
  side.socket = owner_.reactor().add_datagram(std::move(fd), side, options);
}

todd_status DatagramFlow::open_icmp(todd_error* error) {
  const io::DatagramOptions options{.max_payload = slot_cap() + 128, .send_queue = slots()};
  for (int i = 0; i < 2; ++i) {
    const int family = i == 0 ? AF_INET : AF_INET6;
    if (!needs_family(owner_.setup(), family)) continue;
    auto& given = owner_.setup().icmp[i];
    if (!given.fd) return set_error(error, -EPERM, given.error);
    Side& side = sides_[static_cast<size_t>(i)];
    // On a ping socket the kernel's "port" is the ident; on a raw one it is ours to choose.
    auto local = io::local_address(given.fd.get());
    side.ident = given.raw || !local ? static_cast<uint16_t>(random_word() | 1) : io::port_of(*local);
    add_socket(family, std::move(given.fd), options);
  }
  return 0;
}

todd_status DatagramFlow::open_udp(todd_flow& flow, todd_error* error) {
  const bool listens = (flow.flags & TODD_FF_LISTEN) != 0;
  const io::DatagramOptions options{.max_payload = std::max(slot_cap(), 2048u), .send_queue = slots()};
  uint16_t port = flow.local_port;
  for (int i = 0; i < 2; ++i) {
    const int family = i == 0 ? AF_INET : AF_INET6;
    if (!listens && !needs_family(owner_.setup(), family)) continue;
    auto fd = listens ? bind_listener(owner_.setup(), {.kind = io::SocketRequest::udp, .family = family}, port)
                      : io::open_socket({.kind = io::SocketRequest::udp, .family = family});
    if (!fd) {
      if (listens && i == 1) continue;  // a host without IPv6 still answers IPv4
      return set_error(error, fd.error().sys_errno != 0 ? -fd.error().sys_errno : -EADDRINUSE, fd.error().detail);
    }
    if (listens && port == 0) port = io::port_of(*io::local_address(fd->get()));
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
  if (wanted_.proto == TODD_ICMP) io::set_port(out.to, 0);
  else if (op.port != 0) io::set_port(out.to, op.port);
  return true;
}

void DatagramFlow::run(const todd_op& op) {
  Out& out = out_[op.slot];
  out.op = op;
  if (!address_out(out, op) || (op.code == TODD_OP_EXCHANGE && table_.full())) {
    release(op.slot);
    if (op.code == TODD_OP_EXCHANGE) owner_.host_count(kUnsent, op.target);
    owner_.complete({.user = op.user, .result = -EAGAIN, .code = op.code, .flags = TODD_DF_LOCAL, .flow = index_, .target = op.target, .slot = TODD_NONE});
    return;
  }
  if (op.code == TODD_OP_EXCHANGE) {
    const uint64_t number = op.target < numbers_.size() ? numbers_[op.target]++ : 0;
    out.exchange = table_.begin(op.user, op.target, op.at_ns, number);
    uint8_t* bytes = slot(op.slot);
    const uint64_t cookie = table_.cookie(out.exchange);
    const Side& side = sides_[out.to.sa.sa_family == AF_INET6 ? 1 : 0];
    if (wanted_.proto == TODD_ICMP && op.len >= kEchoHeader)
      stamp_echo({bytes, op.len}, side.family, {side.ident, out.exchange}, cookie);
    else if (wanted_.proto == TODD_UDP && op.len >= wanted_.stamp_off + kCookieBytes)
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
  const io::DatagramOut datagram{.data = slot(index), .len = out.op.len, .ttl = out.op.ttl, .tos = out.op.tos,
                                 .to = &out.to, .from = out.has_from ? &out.from : nullptr, .cookie = index};
  if (!side.socket->send(datagram)) blocked_.push_back(index);
}

void DatagramFlow::retry_blocked() {
  for (size_t n = blocked_.size(); n > 0; --n) {
    const uint32_t index = blocked_.front();
    blocked_.pop_front();
    transmit(index);
  }
}

void DatagramFlow::sent(uint32_t index, int result, int64_t tx_ns) {
  Out& out = out_[index];
  const bool exchange = out.op.code == TODD_OP_EXCHANGE;
  // A full socket is this host's business: the probe waits its turn, and its lateness says so.
  if (result == -EAGAIN || result == -ENOBUFS) {
    blocked_.push_back(index);
    return;
  }
  release(index);
  if (!exchange) {
    owner_.complete({.user = out.op.user, .result = result == 0 ? static_cast<int32_t>(out.op.len) : result, .code = TODD_OP_SEND,
                     .flags = static_cast<uint16_t>(result < 0 ? TODD_DF_LOCAL : 0), .flow = index_, .target = out.op.target,
                     .slot = TODD_NONE, .tx_ns = tx_ns, .rx_ns = tx_ns, .tx_src = TODD_TS_USER});
    return;
  }
  Exchange& e = table_.at(out.exchange);
  if (e.state != Exchange::sending) return;
  if (result < 0) {
    table_.finish(e, Exchange::idle);
    owner_.host_count(kUnsent, e.target);
    owner_.note(e.target, "local_error", strerror(-result));
    owner_.complete({.user = e.user, .result = result, .code = TODD_OP_EXCHANGE, .flags = TODD_DF_LOCAL, .flow = index_, .target = e.target, .slot = TODD_NONE});
    return;
  }
  e.tx_ns = tx_ns;
  e.deadline_ns = tx_ns + (out.op.timeout_ns != 0 ? out.op.timeout_ns : owner_.setup().timeout_ns);
  e.state = Exchange::flying;
  owner_.host_count(kSent, e.target);
  if (e.due_ns != 0) owner_.sent_late(tx_ns - e.due_ns);
}

Exchange* DatagramFlow::match(Side& side, const io::DatagramIn& in, uint16_t& index) {
  uint64_t cookie = 0;
  bool has_cookie = true;
  if (wanted_.proto == TODD_ICMP) {
    const auto reply = parse_echo_reply({in.data, in.len}, side.family);
    if (!reply || reply->id.ident != side.ident) return nullptr;
    index = reply->id.sequence;
    has_cookie = reply->cookie.has_value();
    cookie = reply->cookie.value_or(0);
  } else {
    if (in.len < wanted_.stamp_off + kCookieBytes) return nullptr;
    memcpy(&cookie, in.data + wanted_.stamp_off, sizeof cookie);
    index = static_cast<uint16_t>(cookie);
  }
  Exchange& e = table_.at(index);
  if (e.generation == 0 || e.state == Exchange::idle) return nullptr;
  if (has_cookie && cookie != table_.cookie(index)) return nullptr;
  if (e.target >= owner_.setup().targets.size()) return nullptr;
  if (!io::same_host(owner_.setup().targets[e.target].address, in.from)) return nullptr;
  return &e;
}

void DatagramFlow::received(Side& side, const io::DatagramIn& in) {
  uint16_t index = 0;
  if (Exchange* e = match(side, in, index)) {
    answer(*e, in);
    return;
  }
  if (wanted_.proto == TODD_ICMP) {
    // A raw socket sees everybody's ICMP: what is not ours is nobody's stray.
    if (const auto error = parse_icmp_error({in.data, in.len}, side.family)) {
      if (error->quoted.ident != side.ident) return;
      Exchange& e = table_.at(error->quoted.sequence);
      if (e.generation == 0 || e.state != Exchange::flying || !io::same_host(owner_.setup().targets[e.target].address, error->to)) return owner_.unmatched();
      todd_icmp_error record{.type = error->type, .code = error->code, .family = static_cast<uint16_t>(side.family == AF_INET6 ? 6 : 4), .mtu = error->mtu, .sender = {}, .reserved = 0};
      copy_host(in.from, record.sender);
      return icmp_error(e, record);
    }
    const auto reply = parse_echo_reply({in.data, in.len}, side.family);
    if (reply && reply->id.ident == side.ident) owner_.unmatched();
    return;
  }
  if ((wanted_.flags & TODD_FF_RECV) != 0) deliver(in);
  else owner_.unmatched();
}

void DatagramFlow::answer(Exchange& e, const io::DatagramIn& in) {
  if (e.state == Exchange::answered) return owner_.host_count(kDuplicate, e.target);
  if (e.state == Exchange::lost) {
    e.state = Exchange::ended;
    return owner_.host_count(kLate, e.target);
  }
  if (e.state != Exchange::flying) return;
  const int64_t rx_ns = in.rx_source == io::Stamp::user ? owner_.now() : owner_.to_mono(in.rx_wall_ns);
  if (rx_ns > e.deadline_ns) {
    owner_.host_count(kLost, e.target);
    owner_.host_count(kLate, e.target);
    table_.finish(e, Exchange::ended);
    return end_unanswered(e, -ETIMEDOUT, "timeout");
  }
  table_.finish(e, Exchange::answered);
  const Exchange ended = e;  // making room may step the testlet, whose next probe may take the entry
  owner_.host_count(kReceived, ended.target);
  owner_.make_room(*this, in.len);
  const auto rx_src = static_cast<uint8_t>(in.rx_source);
  owner_.stamps("user", in.rx_source == io::Stamp::kernel ? "kernel" : "user");
  owner_.sample(owner_.setup().targets[ended.target], ended.number, ended.tx_ns, std::max<int64_t>(0, rx_ns - ended.tx_ns), "ok", in.ttl,
                TODD_TS_USER, rx_src);
  owner_.complete({.user = ended.user, .result = static_cast<int32_t>(in.len), .code = TODD_OP_EXCHANGE,
                   .flags = static_cast<uint16_t>(in.truncated ? TODD_DF_TRUNCATED : 0), .flow = index_, .target = ended.target,
                   .slot = store(in.data, in.len), .len = in.len, .tx_ns = ended.tx_ns, .rx_ns = std::max(rx_ns, ended.tx_ns),
                   .tx_src = TODD_TS_USER, .rx_src = rx_src, .ttl = in.ttl, .tos = in.tos});
}

void DatagramFlow::deliver(const io::DatagramIn& in) {
  owner_.make_room(*this, in.len);
  owner_.complete({.user = 0, .result = static_cast<int32_t>(in.len), .code = TODD_OP_RECV,
                   .flags = static_cast<uint16_t>(in.truncated ? TODD_DF_TRUNCATED : 0), .flow = index_, .target = TODD_NONE,
                   .slot = store(in.data, in.len), .len = in.len,
                   .rx_ns = in.rx_source == io::Stamp::user ? owner_.now() : owner_.to_mono(in.rx_wall_ns),
                   .rx_src = static_cast<uint8_t>(in.rx_source), .ttl = in.ttl, .tos = in.tos, .port = io::port_of(in.from),
                   .arg = peers_.token_of(in.from, in.local)});
}

void DatagramFlow::failed(Side& side, const io::DatagramError& error) {
  uint16_t index;
  if (wanted_.proto == TODD_ICMP) {
    const auto echo = parse_quoted_echo({error.quoted, error.quoted_len}, side.family);
    if (!echo) return owner_.unmatched();
    index = echo->sequence;
  } else {
    uint64_t cookie;
    if (error.quoted_len < wanted_.stamp_off + kCookieBytes) return owner_.unmatched();
    memcpy(&cookie, error.quoted + wanted_.stamp_off, sizeof cookie);
    index = static_cast<uint16_t>(cookie);
    if (cookie != table_.cookie(index)) return owner_.unmatched();
  }
  Exchange& e = table_.at(index);
  if (e.generation == 0 || e.state != Exchange::flying || e.target >= owner_.setup().targets.size() ||
      !io::same_host(owner_.setup().targets[e.target].address, error.to))
    return owner_.unmatched();
  todd_icmp_error record{.type = error.type, .code = error.code, .family = static_cast<uint16_t>(side.family == AF_INET6 ? 6 : 4),
                         .mtu = error.info, .sender = {}, .reserved = 0};
  copy_host(error.offender, record.sender);
  icmp_error(e, record);
}

void DatagramFlow::icmp_error(Exchange& e, const todd_icmp_error& record) {
  table_.finish(e, Exchange::ended);
  const Exchange ended = e;
  owner_.host_count(kLost, ended.target);
  owner_.sample(owner_.setup().targets[ended.target], ended.number, ended.tx_ns, -1, "icmp_error", 0, TODD_TS_USER, TODD_TS_NONE);
  owner_.make_room(*this, sizeof record);
  uint8_t bytes[sizeof record];
  memcpy(bytes, &record, sizeof record);
  owner_.complete({.user = ended.user, .result = -icmp_errno(record.family == 6 ? AF_INET6 : AF_INET, record.type, record.code),
                   .code = TODD_OP_EXCHANGE, .flags = TODD_DF_ICMP_ERROR, .flow = index_, .target = ended.target,
                   .slot = store(bytes, sizeof bytes), .len = sizeof bytes, .tx_ns = ended.tx_ns, .rx_ns = owner_.now(),
                   .tx_src = TODD_TS_USER, .rx_src = TODD_TS_USER});
}

void DatagramFlow::end_unanswered(const Exchange& e, int result, const char* outcome) {
  owner_.sample(owner_.setup().targets[e.target], e.number, e.tx_ns, -1, outcome, 0, TODD_TS_USER, TODD_TS_NONE);
  owner_.complete({.user = e.user, .result = result, .code = TODD_OP_EXCHANGE, .flow = index_, .target = e.target, .slot = TODD_NONE,
                   .tx_ns = e.tx_ns, .rx_ns = owner_.now(), .tx_src = TODD_TS_USER});
}

void DatagramFlow::expire(int64_t now_ns, size_t most) {
  if (table_.next_deadline() > now_ns - kGraceNs) return;
  // Drops are asked for first: the reply to a burst's last probe may be among them, and nothing comes after it to say so.
  for (Side& side : sides_)
    if (side.socket) side.socket->check_drops();
  table_.expire(now_ns - kGraceNs, most, [this](Exchange& e) {
    // While this host was dropping packets, silence proves nothing about the network.
    const bool lost = owner_.last_drop_ns() < e.tx_ns;
    owner_.host_count(lost ? kLost : kUndetermined, e.target);
    table_.finish(e, lost ? Exchange::lost : Exchange::ended);
    end_unanswered(e, -ETIMEDOUT, "timeout");
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

int64_t DatagramFlow::next_deadline() {
  const int64_t deadline = table_.next_deadline();
  if (!blocked_.empty()) return owner_.now() + 1'000'000;
  return deadline == INT64_MAX ? deadline : deadline + kGraceNs;
}

}  // namespace todd::lane
