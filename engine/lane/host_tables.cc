// The C tables a testlet reaches through host->query: thin doors into its Instance.

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>

#include "engine/lane/instance.h"
#include "engine/lane/stream_base.h"

namespace todd::lane {

struct HostTables {
  static Instance& of(const todd_lane* lane) { return *static_cast<Instance*>(lane->ctx); }

  static void count(const todd_lane* lane, uint32_t metric, uint32_t target, uint64_t n) {
    Instance& i = of(lane);
    i.cells_.count(i.metric_base_ + metric, i.edge_of(target), n);
  }
  static void set(const todd_lane* lane, uint32_t metric, uint32_t target, double value) {
    Instance& i = of(lane);
    const uint32_t index = i.metric_base_ + metric;
    i.cells_.set(index, i.edge_of(target), value,
                 index < i.merges_.size() ? i.merges_[index] : stats::GaugeMerge::last);
  }
  static void observe(const todd_lane* lane, uint32_t metric, uint32_t target, uint64_t value) {
    Instance& i = of(lane);
    i.cells_.observe(i.metric_base_ + metric, i.edge_of(target), value);
  }
  static void tally(const todd_lane* lane, uint32_t metric, uint32_t target, const char* key, size_t len,
                    uint64_t n) {
    Instance& i = of(lane);
    i.cells_.tally(i.metric_base_ + metric, i.edge_of(target), {key, len}, n);
  }
  static void info(const todd_lane* lane, uint32_t metric, uint32_t target, const char* text, size_t len) {
    Instance& i = of(lane);
    i.cells_.info(i.metric_base_ + metric, i.edge_of(target), {text, len});
  }
  static void note(const todd_lane* lane, uint32_t target, const char* outcome, const char* text,
                   size_t len) {
    of(lane).note(target, outcome, {text, len});
  }
  static void sample(const todd_lane* lane, const todd_sample* s) {
    Instance& i = of(lane);
    if (s->target >= i.setup_.targets.size()) return;
    char outcome[sizeof s->outcome + 1] = {};
    memcpy(outcome, s->outcome, sizeof s->outcome);
    i.sample(i.setup_.targets[s->target], s->seq, s->at_ns, s->rtt_ns, outcome, s->ttl, s->tx_src, s->rx_src);
  }
  static todd_status open(const todd_lane* lane, todd_flow* flow, uint32_t* index, todd_error* error) {
    return of(lane).open_flow(*flow, index, error);
  }
  static todd_status target(const todd_lane* lane, uint32_t index, todd_target* out) {
    return of(lane).describe_target(index, *out);
  }
  static todd_status local(const todd_lane* lane, uint32_t flow, uint32_t target, todd_target* out) {
    return of(lane).describe_local(flow, target, *out);
  }
  static void refuse(const todd_lane* lane, uint32_t target, const char* text, size_t len) {
    of(lane).refuse_target(target, std::string(text, std::min<size_t>(len, 240)));
  }
  static void finish(const todd_lane* lane, uint32_t target) { of(lane).finish_target(target); }
  static uint32_t peer(const todd_lane* lane, uint64_t token) {
    Instance& i = of(lane);
    const auto it = i.peers_.find(token);
    return token == 0 || it == i.peers_.end() ? TODD_NONE : it->second;
  }
  static void publish(const todd_lane* lane, uint16_t port) { of(lane).publish(port); }
  static void ready(const todd_lane* lane) { of(lane).testlet_ready(); }
  static todd_status stream_info(const todd_lane* lane, uint64_t stream, todd_stream_info* out) {
    StreamBase* flow = of(lane).stream_flow_of(stream);
    if (flow == nullptr || out->size < offsetof(todd_stream_info, min_rtt_us)) return -ENOENT;
    tcp_info info{};  // of connections alone
    socklen_t len = sizeof info;
    if (getsockopt(flow->fd(stream), IPPROTO_TCP, TCP_INFO, &info, &len) != 0 && errno != ENOPROTOOPT &&
        errno != EOPNOTSUPP)
      return -errno;
    const auto granted = [fd = flow->fd(stream)](int which) {
      int bytes = 0;
      socklen_t size = sizeof bytes;
      return getsockopt(fd, SOL_SOCKET, which, &bytes, &size) == 0 ? static_cast<uint32_t>(bytes) : 0;
    };
    todd_stream_info whole{.size = out->size,
                           .mss = info.tcpi_snd_mss,
                           .rtt_us = info.tcpi_rtt,
                           .rttvar_us = info.tcpi_rttvar,
                           .cwnd = info.tcpi_snd_cwnd,
                           .retransmits = info.tcpi_total_retrans,
                           .pmtu = info.tcpi_pmtu,
                           .bytes_acked = info.tcpi_bytes_acked,
                           .bytes_received = info.tcpi_bytes_received,
                           .min_rtt_us = info.tcpi_min_rtt,
                           .reordering = info.tcpi_reordering,
                           .send_window = info.tcpi_snd_wnd,
                           .ecn_ce = info.tcpi_delivered_ce,
                           .delivery_rate = info.tcpi_delivery_rate,
                           .bytes_sent = info.tcpi_bytes_sent,
                           .bytes_retransmitted = info.tcpi_bytes_retrans,
                           .busy_us = info.tcpi_busy_time,
                           .receive_window_limited_us = info.tcpi_rwnd_limited,
                           .send_buffer_limited_us = info.tcpi_sndbuf_limited};
    if (out->size > offsetof(todd_stream_info, send_buffer)) {
      whole.send_buffer = granted(SO_SNDBUF);
      whole.receive_buffer = granted(SO_RCVBUF);
      len = sizeof whole.congestion - 1;
      getsockopt(flow->fd(stream), IPPROTO_TCP, TCP_CONGESTION, whole.congestion, &len);
    }
    memcpy(out, &whole, std::min<size_t>(out->size, sizeof whole));
    return 0;
  }
  static todd_status tls(const todd_lane* lane, const todd_tls* wanted, uint32_t* context,
                         todd_error* error) {
    todd_tls whole{};
    memcpy(&whole, wanted, std::min<size_t>(wanted->size, sizeof whole));
    return of(lane).add_tls(whole, *context, error);
  }
  static todd_status tls_info(const todd_lane* lane, uint64_t stream, todd_tls_info* out) {
    return of(lane).describe_tls(stream, *out);
  }
  static todd_status add_target(const todd_lane* lane, uint32_t from, const char* host, uint16_t port,
                                uint32_t* target) {
    return of(lane).add_target(from, host, port, *target);
  }
  static void drop_target(const todd_lane* lane, uint32_t target) { of(lane).drop_target(target); }
  static todd_status begin_bulk(const todd_lane* lane, uint32_t flow, uint64_t stream,
                                const todd_bulk_job* wanted, uint64_t* job) {
    return of(lane).begin_bulk(flow, stream, *wanted, *job);
  }
  static todd_status count_bulk(const todd_lane* lane, uint64_t job, todd_bulk_count* out) {
    return of(lane).bulk_.count(job, *out);
  }
  static void stop_bulk(const todd_lane* lane, uint64_t job) { of(lane).bulk_.stop(job); }
  static todd_status open_digest(const todd_lane* lane, const void* key, size_t len, uint32_t* digest) {
    std::optional<std::span<const uint8_t>> bytes;
    if (key != nullptr) bytes.emplace(static_cast<const uint8_t*>(key), len);
    return of(lane).digests_.open(bytes, *digest);
  }
  static void add_to_digest(const todd_lane* lane, uint32_t digest, const void* bytes, size_t len) {
    if (io::Digest* found = of(lane).digests_.at(digest); found != nullptr && len != 0)
      found->add({static_cast<const uint8_t*>(bytes), len});
  }
  static void end_digest(const todd_lane* lane, uint32_t digest, uint8_t* out) {
    static_assert(io::Digest::kBytes == TODD_DIGEST_BYTES);
    io::Digest* found = of(lane).digests_.at(digest);
    if (found == nullptr) return;
    const io::Digest::Value value = found->end();
    memcpy(out, value.data(), value.size());
  }
  static void close_digest(const todd_lane* lane, uint32_t digest) { of(lane).digests_.close(digest); }
  static int32_t same_bytes(const void* a, const void* b, size_t len) {
    return io::Digest::same(static_cast<const uint8_t*>(a), static_cast<const uint8_t*>(b), len) ? 1 : 0;
  }
};

const void* query_interface(const todd_host*, const char* id) {
  using T = HostTables;
  static const todd_record record{sizeof record, 0, T::count, T::set, T::observe, T::tally, T::info, T::note};
  static const todd_samples samples{sizeof samples, 0, T::sample};
  static const todd_net net{sizeof net,     0,        T::open,   T::target, T::peer, T::publish, T::ready,
                            T::stream_info, T::local, T::refuse, T::finish};
  if (strcmp(id, TODD_RECORD_1) == 0) return &record;
  if (strcmp(id, TODD_SAMPLES_1) == 0) return &samples;
  static const todd_stream stream{sizeof stream, 0, T::tls, T::tls_info, T::add_target, T::drop_target};
  static const todd_bulk bulk{sizeof bulk, 0, T::begin_bulk, T::count_bulk, T::stop_bulk};
  if (strcmp(id, TODD_BULK_1) == 0) return &bulk;
  if (strcmp(id, TODD_NET_1) == 0) return &net;
  if (strcmp(id, TODD_STREAM_1) == 0) return &stream;
  static const todd_digest digest{
      sizeof digest, 0, T::open_digest, T::add_to_digest, T::end_digest, T::close_digest, T::same_bytes};
  if (strcmp(id, TODD_DIGEST_1) == 0) return &digest;
  return nullptr;
}

}  // namespace todd::lane
