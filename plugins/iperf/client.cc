#include "plugins/iperf/client.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace todd::iperf {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kHelloNs = 1'000 * kMs;   // a greeting of UDP is repeated
constexpr int64_t kGoodbyeNs = 1'000 * kMs;  // for the last words to leave
constexpr int64_t kMarginNs = 300 * kMs;     // before the host ends the test, to say what it hung on

const char* reason_of(int positive_errno) {
  switch (positive_errno) {
    case ECONNREFUSED: return "refused";
    case ETIMEDOUT: return "timeout";
    case EHOSTUNREACH:
    case ENETUNREACH: return "unreachable";
    case ECONNRESET: return "reset";
    default: return "local";
  }
}

Transfer::Settings transfer_of(const Client::Settings& s) {
  return {.edge = s.target,
          .udp = s.params.udp,
          .bidir = s.params.bidir,
          .zero_copy = s.params.zero_copy,
          .repeating = s.params.repeating,
          .counters_64 = s.params.counters_64,
          .source = true,
          .length = s.params.length,
          .bitrate = s.params.bitrate,
          .bytes = s.params.bytes,
          .omit_ns = s.omit_ns,
          .duration_ns = s.duration_ns};
}

}  // namespace

Client::Client(Services& services, Settings settings)
    : services_(services),
      settings_(std::move(settings)),
      control_(settings_.cookie, write(settings_.params), settings_.timeout_ns),
      transfer_(services, transfer_of(settings_)) {
  const Params& p = settings_.params;
  data_.resize(size_t{p.streams} * (p.bidir ? 2 : 1));
  // iperf3's server takes the first of them for those that the client sends on.
  for (size_t i = 0; i < data_.size(); ++i) data_[i].sending = p.bidir ? i < p.streams : !p.reverse;
}

void Client::begin(int64_t) {
  phase_ = Phase::kActive;
  todd_op op = target_op(TODD_OP_CONNECT, settings_.control_flow, settings_.target, user(0),
                         settings_.timeout_ns);
  op.tos = settings_.tos;
  outbox_.put(op);
}

Client::Data* Client::find(uint64_t stream) {
  const auto it = std::find_if(data_.begin(), data_.end(),
                               [stream](const Data& d) { return d.line.stream() == stream && stream != 0; });
  return it == data_.end() ? nullptr : &*it;
}

// ---- completions

void Client::take(const todd_batch& b, const todd_done& d) {
  if (phase_ == Phase::kOver || phase_ == Phase::kIdle) return;
  switch (d.code) {
    case TODD_OP_CONNECT: return phase_ == Phase::kActive ? connected(d, b.now_ns) : void();
    case TODD_OP_RECV: return arrived(b, d);
    case TODD_OP_BULK:
      transfer_.done(d.arg, d.result, b.now_ns);
      poll_ns_ = std::min(poll_ns_, b.now_ns);
      return;
    case TODD_OP_SEND: break;
    default: return;
  }
  Data* const data = find(d.arg);
  if (data != nullptr) return data->line.sent(d.result < 0);
  if (d.arg != line_.stream()) return;
  line_.sent(d.result < 0);
  if (d.result < 0) control_.closed(-d.result);
}

void Client::connected(const todd_done& d, int64_t now_ns) {
  const size_t index = d.user & 0xffff;
  if (d.result < 0) {
    return control_.fail(reason_of(-d.result),
                         std::string(index == 0 ? "cannot connect: " : "cannot open a data stream: ") +
                             std::strerror(-d.result));
  }
  if (index == 0) {
    line_ = Line(settings_.control_flow, d.arg);
    outbox_.put(stream_op(TODD_OP_RECV, settings_.control_flow, d.arg, user(0)));
    return control_.connected(now_ns);
  }
  Data& data = data_.at(index - 1);
  data.connected = true;
  data.line = Line(settings_.data_flow, d.arg);
  if (settings_.params.udp)
    outbox_.put(stream_op(TODD_OP_RECV, settings_.data_flow, d.arg, user(index)));
  greet(data, now_ns);
}

void Client::greet(Data& data, int64_t now_ns) {
  if (!settings_.params.udp) {
    data.line.put(settings_.cookie);
    data.ready = true;
    return;
  }
  data.line.put(kUdpHello);
  data.next_hello_ns = now_ns + kHelloNs;
}

void Client::arrived(const todd_batch& b, const todd_done& d) {
  const std::string_view bytes = payload(b, d);
  if (d.arg == line_.stream()) {
    if (d.result <= 0) return control_.closed(-d.result);
    return control_.received(bytes, b.now_ns);
  }
  Data* const data = find(d.arg);
  if (data == nullptr) return;
  if (d.result < 0) return control_.fail(reason_of(-d.result), std::string("a data stream: ") + std::strerror(-d.result));
  if (data->ready) {
    transfer_.early(d.arg, bytes.size(), b.now_ns);
  } else {
    data->ready = is_udp_answer(bytes);
  }
}

// ---- what it does

void Client::open_streams(todd_batch& b) {
  if (!opening_ || control_.over()) return;
  size_t waiting = 0;
  bool greeted = true;  // what was said first has left, so that a job may follow
  for (size_t i = 0; i < data_.size(); ++i) {
    Data& data = data_[i];
    greeted = greeted && data.line.idle();
    if (data.ready) continue;
    // iperf3's server takes one greeting of UDP at a time, and needs those of one direction before the others.
    if (!data.asked && waiting != 0 && (settings_.params.udp || data.sending != data_[0].sending)) return;
    ++waiting;
    if (!data.asked) {
      todd_op op = target_op(TODD_OP_CONNECT, settings_.data_flow, settings_.target, user(i + 1),
                             settings_.timeout_ns);
      op.tos = settings_.tos;
      outbox_.put(op);
      data.asked = true;
    } else if (data.connected && b.now_ns >= data.next_hello_ns) {
      greet(data, b.now_ns);
    }
    if (data.connected) wake_by(b, data.next_hello_ns);
  }
  if (waiting != 0 || !greeted) return;
  opening_ = false;
  control_.streams_ready(b.now_ns);
}

void Client::follow(todd_batch& b) {
  while (const auto what = control_.next()) {
    switch (*what) {
      case Do::kOpenStreams: opening_ = true; break;
      case Do::kStart:
        for (size_t i = 0; i < data_.size(); ++i)
          transfer_.add(settings_.data_flow, data_[i].line.stream(), data_[i].sending, user(i + 1));
        transfer_.begin(b.now_ns);
        stage_ = Stage::kRunning;
        poll_ns_ = b.now_ns;
        wake_by(b, b.now_ns);  // this step may have had its run()
        break;
      case Do::kCollect:
        transfer_.stop();
        stage_ = Stage::kStopping;
        break;
      case Do::kDone:
        transfer_.record_peer(control_.peer());
        finish(b);
        break;
      case Do::kFailed:
        services_.failure(settings_.target, control_.reason(), control_.text());
        finish(b);
        break;
      default: break;
    }
  }
}

void Client::run(todd_batch& b, bool stop) {
  if (transfer_.begun() && b.now_ns >= poll_ns_) poll_ns_ = transfer_.poll(b.now_ns);
  if (*transfer_.reason() != '\0' && stage_ == Stage::kRunning)
    return control_.fail(transfer_.reason(), transfer_.problem());
  if (stage_ == Stage::kAhead && stop && !control_.over()) {
    control_.abandon();
    finish(b);
  }
  if (stage_ == Stage::kRunning && (stop || transfer_.complete(settings_.params.bytes, b.now_ns))) {
    transfer_.end(b.now_ns);
    stage_ = Stage::kEnding;
  }
  if (stage_ == Stage::kEnding && transfer_.senders_done()) {
    control_.end(b.now_ns);
    stage_ = Stage::kEnded;
  }
  if (stage_ == Stage::kStopping && transfer_.all_done()) {
    stage_ = Stage::kReported;
    control_.results(transfer_.results(b.now_ns), b.now_ns);
  }
  if (stage_ != Stage::kRunning) return;
  wake_by(b, poll_ns_);
  wake_by(b, transfer_.end_ns());
}

void Client::check_deadlines(todd_batch& b) {
  if (control_.over()) return;
  control_.expire(b.now_ns);
  const int64_t last_ns = b.deadline_ns > 0 ? b.deadline_ns - kMarginNs : INT64_MAX;
  if (b.now_ns >= last_ns)
    control_.fail("timeout", std::string("the test's time is over, and the peer did not send ") +
                                 control_.waiting_for());
  if (control_.over()) return;
  const int64_t next_ns = std::min(control_.deadline_ns(), last_ns);
  if (next_ns != INT64_MAX) wake_by(b, next_ns);
}

void Client::step(todd_batch& b, bool stop) {
  if (phase_ == Phase::kIdle || phase_ == Phase::kOver) return;
  if (phase_ == Phase::kActive) {
    check_deadlines(b);
    follow(b);
    open_streams(b);
    run(b, stop);
    follow(b);
  }
  flush(b);
}

// What it has to say leaves, then all is closed.
void Client::finish(todd_batch& b) {
  if (phase_ != Phase::kActive) return;
  transfer_.stop();
  transfer_.results(b.now_ns);
  phase_ = Phase::kClosing;
  close_by_ns_ = b.now_ns + kGoodbyeNs;
}

void Client::flush(todd_batch& b) {
  if (control_.has_out()) line_.put(control_.take_out());
  outbox_.flush(b);
  line_.flush(b, user(0));
  for (size_t i = 0; i < data_.size(); ++i) data_[i].line.flush(b, user(i + 1));
  if (phase_ != Phase::kClosing) return;
  if (!line_.idle() && b.now_ns < close_by_ns_) return wake_by(b, close_by_ns_);
  for (Data& data : data_) {
    if (data.line.stream() != 0)
      outbox_.put(stream_op(TODD_OP_CLOSE, settings_.data_flow, data.line.stream(), UINT64_MAX));
    data.line = Line();
  }
  if (line_.stream() != 0)
    outbox_.put(stream_op(TODD_OP_CLOSE, settings_.control_flow, line_.stream(), UINT64_MAX));
  line_ = Line();
  outbox_.flush(b);
  if (outbox_.empty()) phase_ = Phase::kOver;
}

void Client::cancel(int64_t now_ns) {
  if (phase_ == Phase::kOver) return;
  transfer_.results(now_ns);
  phase_ = Phase::kOver;
}

}  // namespace todd::iperf
