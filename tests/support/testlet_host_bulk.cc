#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "tests/support/testlet_host_parts.h"

// todd.bulk/1 of a TestletHost, and the streams of TODD_PEERS: what is sent takes its time on the host's
// link, beside all else that it sends.

namespace todd::test {

namespace {

constexpr int64_t kMaxLateNs = 10'000'000;
constexpr uint16_t kAbsent = 0xffff;

void put(std::string& bytes, uint16_t at, uint64_t value, size_t n) {
  if (at == kAbsent) return;
  for (size_t i = 0; i < n; ++i) bytes.at(at + i) = static_cast<char>(value >> (8 * (n - 1 - i)));
}

uint64_t get(const std::string& bytes, uint16_t at, size_t n) {
  uint64_t value = 0;
  for (size_t i = 0; i < n; ++i) value = value << 8 | static_cast<uint8_t>(bytes.at(at + i));
  return value;
}

}  // namespace

bool TestletHost::is_peers(uint64_t stream) const {
  return flows_[streams_.at(stream).flow]->is.proto == TODD_PEERS;
}

todd_status TestletHost::begin_bulk(uint32_t flow, uint64_t stream, const todd_bulk_job& job,
                                    uint64_t* number) {
  const auto it = streams_.find(stream);
  if (it == streams_.end() || !it->second.open) return -ENOTCONN;
  if (it->second.flow != flow) throw std::logic_error("a bulk job on a stream of another flow");
  const bool sending = (job.flags & TODD_BF_SEND) != 0;
  if (job.length == 0) throw std::logic_error("a bulk job without a length");
  if (running_bulk(stream, sending) != nullptr) throw std::logic_error("two bulk jobs in one direction");
  *number = next_id_++;
  Bulk& b = bulks_.try_emplace(*number, Bulk{job, stream, sending, job.first_sequence}).first->second;
  b.count.running = 1;
  if (job.end_ns != 0) world_.at(job.end_ns, [this, n = *number] { end_bulk(n, 0); });
  if (sending) {
    b.due_ns = static_cast<double>(world_.now_ns);
    world_.at(world_.now_ns, [this, n = *number] { send_bulk(n); });
    return 0;
  }
  Stream& s = it->second;
  pending_.erase(s.recv_pending);
  s.receiving = false;
  if (!s.backlog.empty()) take_bulk(*number, std::exchange(s.backlog, {}));
  if (s.end) end_bulk(*number, *s.end);
  return 0;
}

TestletHost::Bulk* TestletHost::running_bulk(uint64_t stream, bool sending, uint64_t* number) {
  for (auto& [n, b] : bulks_) {
    if (b.stream != stream || b.sending != sending || b.count.running == 0) continue;
    if (number != nullptr) *number = n;
    return &b;
  }
  return nullptr;
}

todd_status TestletHost::count_bulk(uint64_t number, todd_bulk_count* out) const {
  const auto it = bulks_.find(number);
  if (it == bulks_.end()) return -ENOENT;
  todd_bulk_count whole = it->second.count;
  const stats::Arrivals& a = it->second.arrivals;
  whole.lost = a.lost();
  whole.out_of_order = a.out_of_order();
  whole.duplicates = a.duplicates();
  whole.highest = a.highest();
  whole.jitter_ns = static_cast<uint64_t>(a.jitter_ns());
  whole.bursts = a.bursts();
  whole.longest_burst = a.longest_burst();
  whole.size = out->size;
  std::memcpy(out, &whole, std::min<size_t>(out->size, sizeof whole));
  return 0;
}

void TestletHost::end_bulk(uint64_t number, int result) {
  const auto it = bulks_.find(number);
  if (it == bulks_.end() || it->second.count.running == 0) return;
  it->second.count.running = 0;
  todd_done d{};
  d.user = it->second.is.user;
  d.code = TODD_OP_BULK;
  d.flow = streams_.at(it->second.stream).flow;
  d.target = TODD_NONE;
  d.slot = TODD_NONE;
  d.result = result;
  d.rx_ns = world_.now_ns;
  d.arg = it->second.stream;
  ready_done_.emplace_back(d, std::string());
}

void TestletHost::end_bulks(uint64_t stream, int result, bool forget) {
  for (const bool sending : {false, true}) {
    uint64_t number = 0;
    if (running_bulk(stream, sending, &number) != nullptr) end_bulk(number, result);
  }
  if (forget) std::erase_if(bulks_, [stream](const auto& b) { return b.second.stream == stream; });
}

// One send of a job, as soon as its rate and the link allow; then the next.
void TestletHost::send_bulk(uint64_t number) {
  const auto it = bulks_.find(number);
  if (it == bulks_.end() || it->second.count.running == 0) return;
  Bulk& b = it->second;
  Stream& s = streams_.at(b.stream);
  if (s.script != nullptr && s.script->takes_nothing) return;  // until it is stopped
  const auto now = static_cast<double>(world_.now_ns);
  if (b.due_ns > now)
    return world_.at(static_cast<int64_t>(b.due_ns) + 1, [this, number] { send_bulk(number); });
  b.count.late_ns = std::max(b.count.late_ns, static_cast<int64_t>(b.is.bitrate != 0 ? now - b.due_ns : 0));
  uint64_t n = b.is.length;
  const bool datagrams = is_peers(b.stream);  // which are never shorter
  if (b.is.bytes != 0 && !datagrams) n = std::min(n, b.is.bytes - b.count.bytes);
  std::string bytes(n, 'b');
  if (datagrams) number_datagram(b, bytes);
  ++b.count.calls;
  if (const int error = datagrams ? options_.refuse(bytes) : 0; error != 0) {
    ++b.count.refused;
    departure(n);
  } else {
    depart_stream(b.stream, std::move(bytes));
    b.count.bytes += n;
    b.count.datagrams += datagrams;
    if ((b.is.flags & TODD_BF_ZERO_COPY) != 0) b.count.zero_copied += n;
    if (b.count.first_ns == 0) b.count.first_ns = world_.now_ns;
    b.count.last_ns = world_.now_ns;
  }
  if (b.is.bytes != 0 && b.count.bytes >= b.is.bytes) return end_bulk(number, 0);
  if (b.is.bitrate != 0)
    b.due_ns = std::max(b.due_ns, now - static_cast<double>(kMaxLateNs)) +
               static_cast<double>(n) * 8e9 / static_cast<double>(b.is.bitrate);
  const int64_t free_at = free_at_ns_ - buffer_ns();
  if (free_at > world_.now_ns) ++b.count.stalls;
  world_.at(free_at, [this, number] { send_bulk(number); });
}

void TestletHost::number_datagram(Bulk& b, std::string& bytes) {
  const int64_t us = (world_.now_ns + options_.wall_minus_host_ns) / 1000;
  put(bytes, b.is.seconds_at, static_cast<uint64_t>(us / 1'000'000), 4);
  put(bytes, b.is.micros_at, static_cast<uint64_t>(us % 1'000'000), 4);
  put(bytes, b.is.sequence_at, b.next_sequence++, b.is.sequence_bytes);
}

void TestletHost::take_bulk(uint64_t number, const std::string& bytes) {
  Bulk& b = bulks_.at(number);
  ++b.count.calls;
  b.count.bytes += bytes.size();
  if (b.count.first_ns == 0) b.count.first_ns = world_.now_ns;
  b.count.last_ns = world_.now_ns;
  if (is_peers(b.stream)) {
    ++b.count.datagrams;
    if (b.is.sequence_at != kAbsent && bytes.size() >= size_t{b.is.sequence_at} + b.is.sequence_bytes) {
      const uint64_t low = get(bytes, b.is.sequence_at, b.is.sequence_bytes);
      const uint64_t sequence = b.is.sequence_bytes == 4 ? b.arrivals.widen(static_cast<uint32_t>(low)) : low;
      const auto sent = static_cast<int64_t>(get(bytes, b.is.seconds_at, 4) * 1'000'000'000 +
                                             get(bytes, b.is.micros_at, 4) * 1000);
      b.arrivals.take(sequence, sent, world_.now_ns);
    }
  }
  if (b.is.bytes != 0 && b.count.bytes >= b.is.bytes) end_bulk(number, 0);
}

// ---- TODD_PEERS

void TestletHost::connect_peers(uint64_t pending, const todd_op& op) {
  const uint64_t mine = next_id_++;
  Stream& s = streams_[mine];
  s.flow = op.flow;
  s.peer = options_.targets.at(op.target).peer;
  complete(pending, 0, 0, {}, mine);
}

void TestletHost::deliver_peers(TestletHost* from, uint64_t from_stream, uint64_t to_stream,
                                std::string bytes) {
  auto it = streams_.find(to_stream);
  if (it == streams_.end() || !it->second.open) {
    uint32_t flow = 0;
    if (listener(TODD_PEERS, flow) == nullptr) {
      if (from != nullptr)
        world_.at(world_.now_ns + options_.latency_ns,
                  [from, from_stream] { from->stream_end(from_stream, -ECONNREFUSED); });
      return;
    }
    to_stream = accept_stream(flow);
    it = streams_.find(to_stream);
    it->second.peer = from;
    it->second.peer_stream = from_stream;
    if (from != nullptr) from->streams_.at(from_stream).peer_stream = to_stream;
  }
  uint64_t number = 0;
  if (running_bulk(to_stream, false, &number) != nullptr) return take_bulk(number, bytes);
  Stream& s = it->second;
  if (!s.receiving) return;  // as if its socket had no room
  todd_done d{};
  d.user = s.recv_user;
  d.code = TODD_OP_RECV;
  d.flow = s.flow;
  d.target = TODD_NONE;
  d.slot = TODD_NONE;
  d.result = static_cast<int32_t>(bytes.size());
  d.rx_ns = world_.now_ns;
  d.arg = to_stream;
  ready_done_.emplace_back(d, std::move(bytes));
}

}  // namespace todd::test
