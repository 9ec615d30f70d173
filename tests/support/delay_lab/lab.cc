#include "tests/support/delay_lab/lab.h"

#include <poll.h>

#include <algorithm>
#include <cstdio>

#include "engine/base/clock.h"

namespace todd::delay_lab {

namespace {

constexpr int64_t kSpinNs = 50'000;       // waking up is that late at worst on an idle host
constexpr int64_t kIdleNs = 100'000'000;  // after which the journal is flushed
constexpr int kBatch = 64;                // frames taken in before looking at what is due

// An interrupt between the two readings would move what is due by as much: of five pairs the one read most
// quickly.
int64_t monotonic_minus_wall() {
  int64_t offset = 0, quickest = INT64_MAX;
  for (int i = 0; i < 5 && quickest > 200; ++i) {
    const int64_t before = monotonic_ns(), wall = wall_ns(), took = monotonic_ns() - before;
    if (took >= quickest) continue;
    quickest = took;
    offset = before + took / 2 - wall;
  }
  return offset;
}

Bytes frame_of(const Request& request, const Action& action, const Mac& mac) {
  if (action.event == Event::icmp)
    return build_icmp_error(
        request, mac,
        {action.icmp->address.value_or(request.to), action.icmp->type, action.icmp->code, action.icmp->mtu});
  Reply reply;
  reply.from = action.from != nullptr ? *action.from->address : request.to;
  if (action.truncate != nullptr) reply.keep = static_cast<size_t>(*action.truncate->position);
  if (action.corrupt != nullptr)
    reply.corrupt = static_cast<size_t>(action.corrupt->position.value_or(INT64_MAX));
  return build_reply(request, mac, reply);
}

}  // namespace

void Lab::run(const volatile std::sig_atomic_t& ended, const sigset_t& while_waiting) {
  while (ended == 0) {
    for (Wire& wire : wires_) {
      for (int i = 0; i < kBatch; ++i) {
        const auto arrived = wire.receive();
        if (!arrived) break;
        if (wires_.size() == 1)
          take(*arrived, wire);
        else
          relay(*arrived, &wire == &wires_[0] ? wires_[1] : wires_[0]);
      }
    }
    send_due();
    wait(while_waiting);
  }
  journal_.flush();
  uint64_t missed = 0;
  for (Wire& wire : wires_) missed += wire.missed();
  std::printf("%llu requests, %llu frames missed, %llu not sent\n",
              static_cast<unsigned long long>(requests_), static_cast<unsigned long long>(missed),
              static_cast<unsigned long long>(unsent_));
}

void Lab::take(const Wire::Arrived& arrived, Wire& wire) {
  if (const auto asked = parse_who_has(arrived.frame)) {
    if (behaviour_.owns(asked->target)) (void)send(wire, build_is_at(*asked, wire.mac()));
    return;
  }
  const auto request = parse_request(arrived.frame);
  if (!request || !behaviour_.owns(request->to)) return;
  const Entry entry{.request = ++requests_,
                    .protocol = request->protocol,
                    .from = request->from,
                    .to = request->to,
                    .ident = request->ident,
                    .sequence = request->sequence,
                    .payload = request->packet.size() - request->payload,
                    .rx_ns = arrived.wall_ns};
  const int64_t to_monotonic = monotonic_minus_wall();
  for (const auto& action : behaviour_.decide(request->to, arrived.wall_ns + to_monotonic))
    log_or_hold(action, entry, to_monotonic, wire, frame_of(*request, action, wire.mac()));
}

void Lab::relay(const Wire::Arrived& arrived, Wire& out) {
  const auto passing = parse_passing(arrived.frame);
  const bool there = passing && behaviour_.owns(passing->to);
  if (!there && !(passing && behaviour_.owns(passing->from))) {
    (void)send(out, arrived.whole);
    return;
  }
  const Entry entry{.request = ++requests_,
                    .protocol = passing->protocol,
                    .from = passing->from,
                    .to = passing->to,
                    .ident = passing->from_port,
                    .sequence = passing->to_port,
                    .payload = passing->payload,
                    .rx_ns = arrived.wall_ns};
  const int64_t to_monotonic = monotonic_minus_wall();
  for (auto action :
       behaviour_.decide(there ? passing->to : passing->from, arrived.wall_ns + to_monotonic, !there)) {
    if (action.event == Event::reply) action.event = Event::passed;
    log_or_hold(action, entry, to_monotonic, out, {arrived.whole.begin(), arrived.whole.end()});
  }
}

void Lab::log_or_hold(const Action& action, Entry entry, int64_t to_monotonic, Wire& out, Bytes frame) {
  entry.event = action.event;
  entry.due_ns = action.due_ns - to_monotonic;
  if (action.event == Event::dropped || action.event == Event::frozen)
    journal_.write(entry);
  else
    held_.push({action.due_ns, ++order_, &out, std::move(frame), entry});
}

int64_t Lab::send(Wire& out, std::span<const uint8_t> frame) {
  const auto sent = out.send(frame);
  if (sent) return *sent;
  if (unsent_++ == 0) std::fprintf(stderr, "delay-lab: %s\n", sent.error().detail.c_str());
  return 0;
}

// Sends what is due within kSpinNs, each exactly when it is.
void Lab::send_due() {
  while (!held_.empty() && held_.top().due_ns - monotonic_ns() < kSpinNs) {
    while (monotonic_ns() < held_.top().due_ns) {
    }
    Entry entry = held_.top().entry;
    entry.tx_ns = send(*held_.top().out, held_.top().frame);
    held_.pop();
    journal_.write(entry);
  }
}

void Lab::wait(const sigset_t& while_waiting) {
  const int64_t due = held_.empty() ? INT64_MAX : held_.top().due_ns - kSpinNs - monotonic_ns();
  const int64_t ns = std::clamp<int64_t>(due, 0, kIdleNs);
  const timespec timeout{0, static_cast<long>(ns)};
  std::vector<pollfd> readable;
  for (const Wire& wire : wires_) readable.push_back({wire.fd(), POLLIN, 0});
  if (ppoll(readable.data(), readable.size(), &timeout, &while_waiting) == 0 && ns == kIdleNs)
    journal_.flush();
}

}  // namespace todd::delay_lab
