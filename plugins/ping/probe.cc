#include "plugins/ping/probe.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>
#include <utility>

#include "plugins/ping/sizes.h"
#include "plugins/ping/wire.h"

namespace todd::ping {

namespace {
constexpr uint32_t kSlotsOfAll = 512;  // of a source with several flows: probes being sent

constexpr size_t kMaxStreams = 1 << 20;  // flows times targets

constexpr uint32_t kIpv4Header = 20, kIpv6Header = 40, kUdpHeader = 8;  // without options

constexpr uint32_t kMaxConnecting = 1024;  // connections that are being opened

// Which probe comes back: target and round.
uint64_t user_of(const todd_ticket& ticket) {
  return static_cast<uint64_t>(ticket.target) << 32 | ticket.round;
}

const char* connect_error_name(int error) {
  switch (error) {
    case ECONNREFUSED: return "refused";
    case ECONNRESET: return "reset";
    case ETIMEDOUT: return "timeout";
    default: return "unreachable";
  }
}

uint32_t least_size(bool udp, bool keyed) { return (udp ? kUdpKey : 0) + (keyed ? kProofBytes : 0); }

bool was_given(const todd_run& run, std::string_view name) {
  for (uint32_t i = 0; i < run.n_value; ++i) {
    if (Ping::params[i]->name == name) return run.value[i].given != 0;
  }
  return false;
}
FlowPlan flows_of(const todd_run& run, int64_t flows, std::string_view ports) {
  return plan_flows(was_given(run, "flows") ? static_cast<uint32_t>(flows) : 0, ports);
}

void check_flows(const todd_run& run) {
  const bool any = was_given(run, "flows") || was_given(run, "source_port");
  const auto value = [&run](const auto& param) {
    return run.value[detail::index_in(Ping::params, &param.raw)];
  };
  if (!any) return;
  const int64_t mode = value(Ping::mode).v.i;
  if (mode == kIcmp)
    throw error(TODD_E_PARAM, "flows, source_port: belong to modes udp and tcp; ICMP has no ports");
  const todd_value ports = value(Ping::source_port);
  const FlowPlan plan = flows_of(run, value(Ping::flows).v.i, {ports.v.s, ports.len});
  if (!plan.wrong.empty()) throw error(TODD_E_PARAM, plan.wrong);
  if (mode == kTcp && plan.flows > 1 && plan.first_port == 0)
    throw error(TODD_E_PARAM,
                "flows: mode tcp needs source_port too, as a connection has no port before it is made");
}
}  // namespace

void Ping::check(const todd_run& run) {
  if (get(run, mode) == kTcp) {
    for (const char* name : {"size", "sizes", "payload"}) {
      if (was_given(run, name))
        throw error(TODD_E_PARAM, std::string(name) + ": mode tcp sends no payload; leave it out");
    }
  }
  check_flows(run);
  if (was_given(run, "ident") && get(run, mode) != kIcmp)
    throw error(TODD_E_PARAM, "ident: belongs to mode icmp; leave it out");
  const bool udp = get(run, mode) == kUdp, keyed = was_given(run, "key");
  if (keyed && !udp)
    throw error(TODD_E_PARAM, "key: belongs to mode udp, where a responder of ours answers; leave it out");
  if (keyed && get(run, key).empty()) throw error(TODD_E_PARAM, "key: the secret is empty");
  const uint32_t least = least_size(udp, keyed);
  const std::string_view sweep = get(run, sizes);
  if (!sweep.empty()) {
    if (was_given(run, "size")) throw error(TODD_E_PARAM, "size and sizes exclude each other");
    const Sizes parsed = parse_sizes(sweep, least, kMaxPayload);
    if (!parsed.wrong.empty()) throw error(TODD_E_PARAM, "sizes: " + parsed.wrong);
  } else if (get(run, size) < least) {
    throw error(TODD_E_PARAM,
                keyed ? "size: with a key at least 40 bytes, 32 of them to prove who wrote the probe"
                      : "size: mode udp needs at least 8 bytes, by which a reply is recognised");
  }
  if (const std::string_view text = get(run, pattern); !Payload::known(text)) {
    throw error(TODD_E_PARAM, "payload: \"" + std::string(text) +
                                  "\" is none of increment, zero, random, nor 1 to 16 bytes in hex (ff00)");
  }
}

void Ping::start() {
  mode_ = static_cast<Mode>((*this)[mode]);
  ttl_ = static_cast<uint8_t>((*this)[ttl]);
  tos_ = static_cast<uint8_t>((*this)[dscp] << 2);  // the lower two bits are ECN's, RFC 3168
  if (!(*this)[key].empty()) open_key();
  if (run().role == TODD_RESPONDER) {
    start_responder();
  } else {
    start_source();
  }
  const bool will_listen = mode_ == kTcp && run().role == TODD_RESPONDER;
  if (!will_listen) net().ready(&lane());
}

uint64_t Ping::random_number() {
  std::random_device random;
  return static_cast<uint64_t>(random()) << 32 | random();
}

void Ping::start_source() {
  begin_counting();
  paced_ = !std::isinf(run().rate);
  until_answer_ = (*this)[until_answer];
  check_ports();
  if (mode_ == kTcp) return open_streams();
  if (mode_ == kIcmp) {
    header4_ = icmp_header(4);
    header6_ = icmp_header(6);
  }
  if (TODD_HAS(&run(), flags) && (run().flags & TODD_RF_WHOLE) != 0) largest_.resize(run().n_target);
  learn_lengths();
  const uint32_t longest = *std::max_element(length_.begin(), length_.end());
  payload_ = Payload((*this)[pattern], longest - kIcmpHeader, random_number());
  todd_flow flow{};
  flow.proto = mode_ == kUdp ? TODD_UDP : TODD_ICMP;
  flow.flags = keyed_ ? TODD_FF_JUDGE : 0;
  flow.slot_cap = longest;
  flow.ident = static_cast<uint16_t>((*this)[ident]);
  open_flows(flow);
  if (mode_ == kUdp && (*this)[one_way]) open_ways();
}

// Nothing is known of any target yet, or no more.
void Ping::begin_counting() {
  targets_.assign(run().n_target, {});
  losses_.emplace(run().n_target, run().timeout_ns);
  if (flow_table_) flow_table_.emplace(run().n_target, static_cast<uint32_t>(flows_.size()));
  if (split_) split_ways();
  warm_session_ = std::exchange(session_, random_number());
  std::fill(largest_.begin(), largest_.end(), 0);
}

void Ping::open_flows(todd_flow flow) {
  const FlowPlan plan = flows_of(run(), (*this)[flows], (*this)[source_port]);
  const size_t streams = size_t{plan.flows} * run().n_target;
  if (plan.flows > 1 && streams > kMaxStreams)
    throw error(TODD_E_PARAM, "flows: " + std::to_string(streams) + " of all targets; at most " +
                                  std::to_string(kMaxStreams));
  // Together they have as many buffers as one flow alone.
  if (plan.flows > 1) flow.slots = std::max(kSlotsOfAll / plan.flows, 16u);
  for (uint32_t i = 0; i < plan.flows; ++i) {
    todd_flow one = flow;
    one.local_port = static_cast<uint16_t>(plan.first_port == 0 ? 0 : plan.first_port + i);
    const uint32_t id = open(one);
    flows_.push_back({id, one.local_port});
  }
  flow_ = flows_.front().id;
  if (plan.flows > 1) flow_table_.emplace(run().n_target, plan.flows);
}

void Ping::count_flow(uint32_t target, uint32_t round, bool lost) {
  if (!flow_table_) return;
  const uint32_t flow = flow_at(round);
  const std::string port = std::to_string(flows_[flow].port);
  tally(flow_sent, target, port);
  if (lost) tally(flow_lost, target, port);
  lost ? flow_table_->lost(target, flow) : flow_table_->sent(target, flow);
}

// Of the targets of which the flows fare differently: by which way a network sends a packet is decided by
// these five values.
void Ping::tell_worst_flows() {
  constexpr size_t kMost = 5;  // as many examples of one outcome are kept
  if (!flow_table_) return;
  const auto end = [](const todd_target& at, uint16_t port) {
    const std::string host = at.address_text;
    return (at.family == 6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
  };
  for (const FlowTable::Worst& worst : flow_table_->worst(kMost)) {
    const Flow& flow = flows_[worst.flow];
    todd_target from{};
    from.size = sizeof from;
    const bool known =
        net().size > offsetof(todd_net, local) && net().local(&lane(), flow.id, worst.target, &from) >= 0;
    const todd_target to = target(worst.target);
    note(worst.target, "flow_loss",
         std::string(mode_ == kTcp ? "tcp " : "udp ") +
             (known ? end(from, flow.port) : std::to_string(flow.port)) + " to " +
             end(to, to.port != 0 ? to.port : kEchoPort) + ": " + std::to_string(worst.lost) + " of " +
             std::to_string(worst.sent) + " lost");
  }
}

// What check() has let pass.
void Ping::learn_lengths() {
  length_ = parse_sizes((*this)[sizes], least_size(mode_ == kUdp, keyed_), kMaxPayload).bytes;
  sweeps_ = !length_.empty();
  // A default is what it is for: with a key the proof comes on top, and one_way has its room.
  if (!sweeps_)
    length_.push_back(static_cast<uint32_t>((*this)[size]) + (is_given(&size.raw) ? 0 : proof_bytes()));
  for (uint32_t& length : length_) length += mode_ == kUdp ? 0 : kIcmpHeader;
}

// Nothing of ICMP goes to a port: whoever gives one means another test. A connection needs one.
void Ping::check_ports() {
  if (mode_ == kUdp) return;
  for (uint32_t i = 0; i < run().n_target; ++i) {
    if ((target_address(i).port != 0) == (mode_ == kTcp)) continue;
    const todd_target facts = target(i);
    const std::string name = std::string("target ") + facts.name;
    if (mode_ == kTcp)
      refuse(i, name + ": mode tcp needs a port, as in HOST:443");
    else
      refuse(i, name + ": mode icmp takes no port; leave " + std::to_string(facts.port) +
                    " out, or use mode udp or tcp");
  }
}

void Ping::open_streams() {
  handshakes_.resize(run().role == TODD_SOURCE ? kMaxConnecting : 0);
  for (uint32_t i = 0; i < handshakes_.size(); ++i) free_handshakes_.push_back(i);
  todd_flow flow{};
  flow.proto = TODD_TCP;
  flow.slot_cap = 1;  // nothing is said on them
  if (run().role == TODD_SOURCE) return open_flows(flow);
  flow_ = open(flow);
}

bool Ping::step(todd_batch& b) {
  if (run().role == TODD_RESPONDER) return step_responder(b);
  if (warming_up_ && b.state == TODD_RUNNING) begin_counting();
  warming_up_ = b.state == TODD_WARMING_UP;
  if (split_) watch_clock(b);
  for (uint32_t i = 0; i < b.n_done; ++i) finish_probe(b, b.done[i]);
  if (mode_ == kTcp) {
    doors_.flush(b, flow_);
    connect_tickets(b);
  } else {
    probe_tickets(b);
  }
  const bool ending = b.state == TODD_DRAINING || b.state == TODD_CANCELLED;
  const bool finished = ending && in_flight_ == 0;
  settle_losses(b.now_ns, finished);
  if (finished) tell_worst_flows();
  if (finished && keyed_) tell_silent();
  return finished;
}

void Ping::settle_losses(int64_t now_ns, bool end) {
  while (const auto loss = losses_->due(now_ns, end)) record(loss->target, losses_->take(*loss));
}

void Ping::record(uint32_t target, const LossPattern::Change& change) {
  if (change.new_burst) {
    count(loss_bursts, target);
    targets_[target].lossy = true;
  }
  if (change.longest != 0) set(longest_loss_burst, target, change.longest);
  if (change.outage_ns != 0) set(outage, target, static_cast<double>(change.outage_ns));
}

void Ping::probe_tickets(todd_batch& b) {
  // The targets of a batch lie far apart.
  for (uint32_t i = b.served; i < b.n_ticket; ++i) __builtin_prefetch(&targets_[b.ticket[i].target], 1);
  while (b.served < b.n_ticket) {
    const todd_ticket& ticket = b.ticket[b.served];
    if (needs_no_more(ticket.target)) {
      ++b.served;
      continue;
    }
    const uint32_t flow = flows_[flow_at(ticket.round)].id;
    if (!can_send(b, flow)) break;
    ++b.served;
    Target& t = targets_[ticket.target];
    if (t.family == 0) learn(t, ticket.target);
    const uint32_t slot = take_slot(b, flow);
    uint8_t* probe = slot_data(b, flow, slot);
    const uint32_t length = write_probe(probe, t.family, ticket.target, ticket.round);
    if (asks(length)) {
      const Block block =
          write_request(split_->sent(stream_at(ticket.target, ticket.round), round_in_stream(ticket.round)));
      std::memcpy(probe + kUdpKey, block.data(), block.size());
    }
    if (keyed_) prove({probe, length}, proof_of(ticket.target, ticket.round));
    todd_op op = exchange_op(flow, ticket.target, slot, length, user_of(ticket), ticket.due_ns);
    op.ttl = ttl_;
    op.tos = tos_;
    if (mode_ == kUdp && !t.has_port) op.port = kEchoPort;
    put(b, op);
    ++in_flight_;
  }
}

void Ping::connect_tickets(todd_batch& b) {
  while (b.served < b.n_ticket && b.n_op < b.cap_op && !free_handshakes_.empty()) {
    const todd_ticket& ticket = b.ticket[b.served++];
    if (needs_no_more(ticket.target)) continue;
    const uint32_t place = free_handshakes_.back();
    free_handshakes_.pop_back();
    handshakes_[place] = {ticket.target, ticket.round, ticket.due_ns};
    todd_op op = target_op(TODD_OP_CONNECT, flows_[flow_at(ticket.round)].id, ticket.target, place, 0);
    op.flags = TODD_OF_PROBE;
    op.ttl = ttl_;
    op.tos = tos_;
    op.at_ns = ticket.due_ns;
    put(b, op);
    ++in_flight_;
  }
}

// Returns its length.
uint32_t Ping::write_probe(uint8_t* to, uint16_t family, uint32_t target, uint32_t round) const {
  const auto& header = family == 6 ? header6_ : header4_;
  std::memcpy(to, header.data(), kIcmpHeader);
  const uint32_t length = length_of(round);
  std::memcpy(to + kIcmpHeader, payload_.of(target, round), length - kIcmpHeader);
  return length;
}

void Ping::learn(Target& t, uint32_t index) {
  const todd_target facts = target_address(index);
  t.family = static_cast<uint8_t>(facts.family & 0xf);
  t.has_port = facts.port != 0;
}

void Ping::finish_probe(const todd_batch& b, const todd_done& d) {
  if (d.code != TODD_OP_EXCHANGE && d.code != TODD_OP_CONNECT) return;
  --in_flight_;
  if (d.code == TODD_OP_CONNECT) return finish_connect(d);
  const auto target = static_cast<uint32_t>(d.user >> 32);
  const auto round = static_cast<uint32_t>(d.user);
  if (d.result >= 0) {
    take_reply(d, target, round, static_cast<int64_t>(d.arg));
    if (asks(length_of(round))) take_block(b, d, target, round);
    check_echo(b, d, target, round);
    if (!largest_.empty()) take_whole(d, target, round);
    if (sweeps_) tally_size(target, round, "received");
    count_flow(target, round, false);
    return;
  }
  // The host counts these; what did not leave or was cancelled says nothing about the network.
  const bool icmp_error = (d.flags & TODD_DF_ICMP_ERROR) != 0;
  if (icmp_error) take_icmp_error(b, d, target);
  if (!icmp_error && (d.result != -ETIMEDOUT || (d.flags & TODD_DF_LOCAL) != 0)) {
    if (split_) split_->unsent(stream_at(target, round), round_in_stream(round));
    return;
  }
  if (asks(length_of(round))) record(target, split_->lost(stream_at(target, round), round_in_stream(round)));
  losses_->lost({d.tx_ns, target, round});
  if (sweeps_) tally_size(target, round, "lost");
  count_flow(target, round, true);
}

void Ping::finish_connect(const todd_done& d) {
  const auto [target, round, due_ns] = handshakes_[d.user];
  free_handshakes_.push_back(static_cast<uint32_t>(d.user));
  if (d.result >= 0) {
    doors_.close(d.arg);
    count_flow(target, round, false);
    return take_reply(d, target, round, due_ns);
  }
  if (d.result == -ECANCELED || (d.flags & TODD_DF_LOCAL) != 0) return;
  losses_->lost({d.tx_ns, target, round});
  count_flow(target, round, true);
  const char* name = connect_error_name(-d.result);
  tally(connect_errors, target, name);
  note(target, name, std::strerror(-d.result));
}

void Ping::tally_size(uint32_t target, uint32_t round, const char* became) {
  char word[24];
  const uint32_t bytes = length_of(round) - (mode_ == kUdp ? 0 : kIcmpHeader);
  std::snprintf(word, sizeof word, "%u_%s", static_cast<unsigned>(bytes), became);
  tally(by_size, target, word);
}

void Ping::take_whole(const todd_done& d, uint32_t target, uint32_t round) {
  const uint32_t length = length_of(round);
  const uint32_t bytes =
      length + (mode_ == kUdp ? kUdpHeader : 0) + (targets_[target].family == 6 ? kIpv6Header : kIpv4Header);
  if (d.len != length || bytes <= largest_[target]) return;
  set(path_mtu, target, largest_[target] = bytes);
}

void Ping::take_reply(const todd_done& d, uint32_t target, uint32_t round, int64_t due_ns) {
  const int64_t rtt_ns = std::max<int64_t>(d.rx_ns - d.tx_ns, 0);
  Target& t = targets_[target];
  observe(rtt, target, rtt_ns);
  if (paced_) observe(rtt_corrected, target, std::max(d.rx_ns - due_ns, rtt_ns));
  const bool first = !t.answered;
  if (first && until_answer_) finish(target);
  take_jitter(t, target, round, rtt_ns);
  take_order(t, d, target, round, rtt_ns);
  if (d.ttl != 0) take_ttl(t, target, d.ttl);
  if ((d.tos | tos_) != 0 && mode_ != kTcp) take_dscp(target, d.tos);
  if (!first && !t.twice) take_second(t, target);
}

void Ping::take_dscp(uint32_t target, uint8_t tos) {
  static constexpr std::string_view kEcn[] = {"", " ect1", " ect0", " ce"};  // RFC 3168 section 5
  std::array<char, 8> word;
  char* end = std::to_chars(word.data(), word.data() + word.size(), tos >> 2).ptr;
  end = std::copy(kEcn[tos & 3].begin(), kEcn[tos & 3].end(), end);
  tally(reply_dscp, target, {word.data(), static_cast<size_t>(end - word.data())});
}

void Ping::take_jitter(Target& t, uint32_t target, uint32_t round, int64_t rtt_ns) {
  if (t.answered) {
    // A reply that was overtaken by a later one makes no pair with either neighbour.
    if (round == t.round + 1) observe(jitter, target, std::abs(rtt_ns - t.rtt_ns));
    // RFC 3550 takes packets as they come, whatever is missing between them: J += (|D| - J) / 16.
    t.jitter_ns += (std::abs(static_cast<float>(rtt_ns) - t.last_rtt_ns) - t.jitter_ns) / 16;
    set(jitter_rfc3550, target, static_cast<double>(static_cast<int64_t>(t.jitter_ns)));  // whole ns
  }
  t.last_rtt_ns = static_cast<float>(rtt_ns);
}

void Ping::take_order(Target& t, const todd_done& d, uint32_t target, uint32_t round, int64_t rtt_ns) {
  if (t.answered && round < t.round) {
    count(reordered, target);
    observe(reorder_extent, target, t.round - round);
    record(target, losses_->overtaken(target, round, d.tx_ns));
    return;
  }
  if (const uint32_t next = t.answered ? t.round + 1 : 0; round > next) {
    record(target, losses_->gap(target, next, round, d.tx_ns));
  }
  t.rtt_ns = rtt_ns;
  t.round = round;
  t.answered = true;
}

void Ping::take_ttl(Target& t, uint32_t target, uint8_t now) {
  set(reply_ttl, target, now);
  if (t.ttl == 0) t.ttl = t.ttl_min = t.ttl_max = now;
  if (now == t.ttl) return;
  count(ttl_changes, target);
  const bool first_change = t.ttl_min == t.ttl_max;
  if (first_change || now < t.ttl_min) set(ttl_min, target, t.ttl_min = std::min(now, t.ttl_min));
  if (first_change || now > t.ttl_max) set(ttl_max, target, t.ttl_max = std::max(now, t.ttl_max));
  set(hops, target, estimated_hops(now));
  t.ttl = now;
}

// What is recorded costs each target a cell all the way to the report (a microsecond of CPU in all), so a
// scan of one probe per target records nothing that says no more than `ttl` and the counters. Where there are
// more, expectations may ask: that nothing was lost is a 0 then.
void Ping::take_second(Target& t, uint32_t target) {
  t.twice = true;
  if (t.ttl != 0) set(hops, target, estimated_hops(t.ttl));
  if (t.lossy) return;
  set(longest_loss_burst, target, 0);
  set(outage, target, 0);
}

// Whatever differs was let through by checksums: the network's, or those of this host's device.
void Ping::check_echo(const todd_batch& b, const todd_done& d, uint32_t target, uint32_t round) {
  const uint32_t length = length_of(round);
  const uint32_t from = own_bytes_at(mode_ == kUdp, length) + (asks(length) ? kBlockBytes : 0);
  const uint32_t unsized = mode_ == kUdp ? 0 : kIcmpHeader;  // what param size does not count
  const uint8_t* got = todd_payload(&b, &d);
  const uint32_t shared =
      std::min(d.len, length) - proof_bytes();  // of a reply that is proven both are longer
  const bool cut = d.len != length || (d.flags & TODD_DF_TRUNCATED) != 0;
  const uint8_t* sent = payload_.of(target, round) + (from - kIcmpHeader);
  const size_t same = shared > from ? first_difference(got + from, sent, shared - from) : 0;
  const bool changed = shared > from && same < shared - from;
  const bool damaged = asks(length) && block_damaged(b, d);
  if (!cut && !changed && !damaged) return;
  count(corrupted, target);
  std::string what;
  if (changed) {
    char bytes[32];
    std::snprintf(bytes, sizeof bytes, "0x%02x came back as 0x%02x", sent[same], got[from + same]);
    what = "payload byte " + std::to_string(from + same - unsized) + ": " + bytes;
  }
  if (damaged) what += std::string(changed ? "; " : "") + "the 48 bytes of the responder's report are none";
  if (cut) {
    if (!what.empty()) what += "; ";
    what += std::to_string(length - unsized) + " bytes of payload came back as " +
            ((d.flags & TODD_DF_TRUNCATED) != 0 ? "more than " : "") +
            std::to_string(d.len - std::min(d.len, unsized));
  }
  note(target, "corrupted", what);
}

void Ping::take_icmp_error(const todd_batch& b, const todd_done& d, uint32_t target) {
  todd_icmp_error what{};
  const std::string_view bytes = payload(b, d);
  if (bytes.size() < sizeof what) return;
  std::memcpy(&what, bytes.data(), sizeof what);
  const char* name = icmp_error_name(what);
  tally(icmp_errors, target, name);
  tally(icmp_senders, target, sender_key(what).view());
  if (what.mtu != 0 && std::string_view(name) == kPacketTooBig) set(mtu, target, what.mtu);
  note(target, name, describe(what).view());
}

}  // namespace todd::ping
