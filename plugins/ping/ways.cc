// Mode udp: what the responder reports of each probe, at both ends.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "plugins/ping/probe.h"

namespace todd::ping {

namespace {

// A clock that is disciplined is slewed by at most 0.5 ms a second; one that moves by more was set.
constexpr int64_t kSetNs = 2'000'000;
constexpr int64_t kSlewDivisor = 1000;

std::span<const uint8_t> block_in(const todd_batch& b, const todd_done& d) {
  const std::string_view bytes = payload(b, d);
  if (bytes.size() < kUdpKey) return {};
  return {reinterpret_cast<const uint8_t*>(bytes.data()) + kUdpKey, bytes.size() - kUdpKey};
}

}  // namespace

// Streams of new names, and errors of clocks that are told again; what is known of the clocks stays.
void Ping::split_ways() {
  split_.emplace(size_t{run().n_target} * flows_.size(), random_number());
  for (PathClock& clock : clocks_) clock.told = false;
}

void Ping::open_ways() {
  clock_number_ = clock_number();
  split_ways();
  clocks_.resize(run().n_target);
  for (uint32_t i = 0; i < run().n_target; ++i) {
    const todd_target facts = target(i);
    clocks_[i] = {.offset_ns = facts.clock_offset_ns, .error_ns = facts.clock_error_ns};
  }
}

// Once this host's clock was set, what was known of others relative to it is void, and so are the stamps of
// the probes that were under way.
void Ping::watch_clock(const todd_batch& b) {
  const bool first = wall_read_ns_ == 0;
  const int64_t passed_ns = b.now_ns - std::exchange(wall_read_ns_, b.now_ns);
  const int64_t moved_ns = b.wall_minus_host_ns - std::exchange(wall_minus_host_ns_, b.wall_minus_host_ns);
  if (first || std::abs(moved_ns) <= kSetNs + passed_ns / kSlewDivisor) return;
  clock_set_ns_ = b.now_ns;
  for (PathClock& clock : clocks_) {
    if (!clock.shared) clock.error_ns = -1;
  }
}

PathClock& Ping::clock_of(uint32_t target, const BlockAnswer& answer) {
  PathClock& clock = clocks_[target];
  if (!clock.shared && answer.clock != 0 && answer.clock == clock_number_)
    clock = {.offset_ns = 0, .error_ns = 0, .shared = true};
  return clock;
}

void Ping::take_block(const todd_batch& b, const todd_done& d, uint32_t target, uint32_t round) {
  const auto answer = read_answer(block_in(b, d));
  if (!answer) return;  // an echo service
  record(target, split_->answered(stream_at(target, round), *answer));
  observe(processing, target, answer->processing_ns);
  PathClock& clock = clock_of(target, *answer);
  if (d.tx_ns <= clock_set_ns_) return;
  const auto delays =
      one_way_of(clock, *answer, d.tx_ns + b.wall_minus_host_ns, d.rx_ns + b.wall_minus_host_ns);
  if (!delays) return;
  observe(delay_forward, target, static_cast<uint64_t>(delays->forward_ns));
  observe(delay_back, target, static_cast<uint64_t>(delays->back_ns));
  if (std::exchange(clock.told, true)) return;
  set(clock_error, target, static_cast<double>(clock.error_ns));
}

void Ping::record(uint32_t target, LossSplit::Change change) {
  if (change.forward != 0) count(lost_forward, target, change.forward);
  if (change.back != 0) count(lost_back, target, change.back);
}

bool Ping::block_damaged(const todd_batch& b, const todd_done& d) const {
  const auto bytes = block_in(b, d);
  return bytes.size() >= kBlockBytes && !read_answer(bytes) && !read_request(bytes);
}

// The reply is written now; what it waits for in this host's queues after that is part of its way back.
void Ping::fill_block(const todd_batch& b, const todd_done& d, uint8_t* reply) {
  const auto request = read_request(block_in(b, d));
  if (!request) return;
  const uint64_t stream = static_cast<uint64_t>(request->stream) << 16 | d.port;
  const int64_t processing_ns = std::clamp<int64_t>(b.now_ns - d.rx_ns, 0, UINT32_MAX);
  const Block block = write_answer({.of = *request,
                                    .heard = heard_->take(stream, request->number),
                                    .received_ns = d.rx_ns + b.wall_minus_host_ns,
                                    .processing_ns = static_cast<uint32_t>(processing_ns),
                                    .clock = clock_number_});
  std::memcpy(reply + kUdpKey, block.data(), block.size());
}

}  // namespace todd::ping
