#include "plugins/iperf/control.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace todd::iperf {

namespace {

constexpr int64_t kS = 1'000'000'000;

const char* reason_of(int positive_errno) {
  return positive_errno == ETIMEDOUT ? "timeout" : positive_errno == ECONNRESET ? "reset" : "closed";
}

}  // namespace

// ---- both

std::optional<Do> Control::next() {
  if (todo_.empty()) return std::nullopt;
  const Do what = todo_.front();
  todo_.pop_front();
  return what;
}

void Control::expect(const char* what, int64_t now_ns, int64_t within_ns) {
  waiting_for_ = what;
  deadline_ns_ = within_ns == INT64_MAX ? INT64_MAX : now_ns + within_ns;
}

void Control::expire(int64_t now_ns) {
  if (over_ || now_ns < deadline_ns_) return;
  fail("timeout", std::string("the peer did not send ") + waiting_for_ + " in time");
}

void Control::closed(int positive_errno) {
  if (over_) return;
  if (settled_) return done();
  const bool owes = deadline_ns_ != INT64_MAX;
  fail(reason_of(positive_errno),
       "the peer ended the control connection " +
           (owes ? std::string("instead of sending ") + waiting_for_ : "before the test was over") +
           (positive_errno != 0 ? std::string(": ") + std::strerror(positive_errno) : ""));
}

void Control::fail(const char* reason, std::string text) {
  if (over_) return;
  over_ = failed_ = true;
  reason_ = reason;
  text_ = std::move(text);
  deadline_ns_ = INT64_MAX;
  todo_ = {Do::kFailed};
}

void Control::done() {
  over_ = true;
  deadline_ns_ = INT64_MAX;
  todo_.push_back(Do::kDone);
}

void Control::protocol(State got) {
  fail("protocol", "the peer sent " + name_of(got) + " instead of " + waiting_for_);
}

bool Control::read_text(std::string_view& bytes, const char* of) {
  switch (frame_.read(bytes)) {
    case FrameReader::Progress::kMore: return false;
    case FrameReader::Progress::kComplete: return true;
    case FrameReader::Progress::kTooLong: break;
  }
  fail("too_large", std::string(of) + " of " + std::to_string(frame_.announced()) +
                        " bytes are announced, at most " + std::to_string(kMaxText) + " are read");
  return false;
}

// True: the peer's results were read, and are good.
bool Control::read_peer(std::string_view& bytes) {
  if (!read_text(bytes, "results")) return false;
  auto read = read_results(frame_.text());
  frame_.clear();
  if (!read.value) {
    fail("malformed", "the peer's results: " + read.why);
    return false;
  }
  peer_ = std::move(*read.value);
  return true;
}

// ---- client

void ClientControl::connected(int64_t now_ns) {
  out_ += cookie_;
  phase_ = Phase::kGreeted;
  expect("PARAM_EXCHANGE", now_ns);
}

void ClientControl::received(std::string_view bytes, int64_t now_ns) {
  while (!bytes.empty() && !over_) {
    if (in_error_) {
      const size_t n = std::min(kServerErrorBytes - error_.size(), bytes.size());
      error_.append(bytes.substr(0, n));
      bytes.remove_prefix(n);
      if (error_.size() < kServerErrorBytes) continue;
      const auto number = [this](size_t at) {
        uint32_t value = 0;
        for (size_t i = at; i < at + 4; ++i) value = value << 8 | static_cast<uint8_t>(error_[i]);
        return value;
      };
      std::string text = "the server ends with its error " + std::to_string(number(0));
      if (number(4) != 0 && number(4) < 4096)
        text += std::string(": ") + std::strerror(static_cast<int>(number(4)));
      fail("server_error", std::move(text));
    } else if (phase_ == Phase::kPeer) {
      if (!read_peer(bytes)) continue;
      phase_ = Phase::kLast;
      expect("DISPLAY_RESULTS", now_ns);
    } else {
      const auto got = static_cast<State>(static_cast<int8_t>(bytes.front()));
      bytes.remove_prefix(1);
      state(got, now_ns);
    }
  }
}

// States that may come at any time.
bool ClientControl::unusual(State got) {
  switch (got) {
    case State::kAccessDenied: fail("denied", "the server has no room for a test now"); return true;
    case State::kServerTerminate: fail("terminated", "the server was stopped"); return true;
    case State::kServerError: in_error_ = true; return true;
    default: return false;
  }
}

void ClientControl::state(State got, int64_t now_ns) {
  if (unusual(got)) return;
  if (phase_ == Phase::kGreeted && got == State::kParamExchange) {
    out_ += frame(params_);
    phase_ = Phase::kAsked;
    expect("CREATE_STREAMS", now_ns);
  } else if (phase_ == Phase::kAsked && got == State::kCreateStreams) {
    phase_ = Phase::kOpening;
    todo_.push_back(Do::kOpenStreams);
    expect("answers to the data streams", now_ns);
  } else if ((phase_ == Phase::kOpening || phase_ == Phase::kStarting) && got == State::kTestStart) {
    // The server has seen all streams, maybe before this end has noticed so.
    phase_ = Phase::kReady;
    expect("TEST_RUNNING", now_ns);
  } else if (phase_ == Phase::kReady && got == State::kTestRunning) {
    phase_ = Phase::kRunning;
    if (ready_) return start(now_ns);
    expect("answers to the data streams", now_ns);
  } else if (phase_ == Phase::kEnded && got == State::kExchangeResults) {
    phase_ = Phase::kCollecting;
    todo_.push_back(Do::kCollect);
    expect("nothing", now_ns, INT64_MAX);
  } else if (phase_ == Phase::kLast && got == State::kDisplayResults) {
    put(State::kIperfDone);
    done();
  } else {
    protocol(got);
  }
}

void ClientControl::streams_ready(int64_t now_ns) {
  if (over_ || ready_) return;
  ready_ = true;
  if (phase_ == Phase::kRunning) return start(now_ns);
  if (phase_ != Phase::kOpening) return;
  phase_ = Phase::kStarting;
  expect("TEST_START", now_ns);
}

void ClientControl::start(int64_t now_ns) {
  todo_.push_back(Do::kStart);
  expect("nothing", now_ns, INT64_MAX);
}

void ClientControl::end(int64_t now_ns) {
  if (phase_ != Phase::kRunning || over_) return;
  put(State::kTestEnd);
  phase_ = Phase::kEnded;
  expect("EXCHANGE_RESULTS", now_ns);
}

void ClientControl::results(const Results& own, int64_t now_ns) {
  if (phase_ != Phase::kCollecting || over_) return;
  out_ += frame(write(own));
  phase_ = Phase::kPeer;
  expect("its results", now_ns);
}

void ClientControl::abandon() {
  if (over_ || phase_ == Phase::kConnecting) return;
  put(State::kClientTerminate);
  over_ = true;
}

// ---- server

ServerControl::ServerControl(int64_t timeout_ns, int64_t now_ns) : Control(timeout_ns) {
  put(State::kParamExchange);
  expect("its params", now_ns);
}

void ServerControl::received(std::string_view bytes, int64_t now_ns) {
  while (!bytes.empty() && !over_) {
    if (phase_ == Phase::kParams) {
      if (!read_text(bytes, "params")) {
        if (failed_) error(kBadParams);
        continue;
      }
      auto read = read_params(frame_.text());
      frame_.clear();
      if (!read.value) {
        refuse("malformed", "its params: " + read.why);
        return;
      }
      params_ = std::move(*read.value);
      phase_ = Phase::kAdmitting;
      todo_.push_back(Do::kAdmit);
      expect("nothing", now_ns, INT64_MAX);
    } else if (phase_ == Phase::kPeer) {
      if (!read_peer(bytes)) {
        if (failed_) error(kBadResults);
        continue;
      }
      phase_ = Phase::kCollecting;
      todo_.push_back(Do::kCollect);
      expect("nothing", now_ns, INT64_MAX);
    } else {
      const auto got = static_cast<State>(static_cast<int8_t>(bytes.front()));
      bytes.remove_prefix(1);
      state(got, now_ns);
    }
  }
}

void ServerControl::state(State got, int64_t now_ns) {
  if (got == State::kClientTerminate) {
    fail("terminated", "the client was stopped");
  } else if (phase_ == Phase::kRunning && got == State::kTestEnd) {
    todo_.push_back(Do::kStop);
    put(State::kExchangeResults);
    phase_ = Phase::kPeer;
    expect("its results", now_ns);
  } else if (phase_ == Phase::kGoodbye && got == State::kIperfDone) {
    done();
  } else {
    protocol(got);
  }
}

void ServerControl::admit(int64_t now_ns) {
  if (phase_ != Phase::kAdmitting || over_) return;
  put(State::kCreateStreams);
  phase_ = Phase::kOpening;
  todo_.push_back(Do::kOpenStreams);
  expect("its data streams", now_ns);
}

void ServerControl::refuse(const char* reason, std::string text) {
  if (over_) return;
  if (reason == std::string_view("denied"))
    put(State::kAccessDenied);
  else
    error(kBadParams);
  fail(reason, std::move(text));
}

void ServerControl::error(Fault fault) {
  put(State::kServerError);
  for (const int shift : {24, 16, 8, 0}) out_ += static_cast<char>(fault >> shift & 0xff);
  out_.append(4, '\0');
}

void ServerControl::streams_ready(int64_t now_ns) {
  if (phase_ != Phase::kOpening || over_) return;
  put(State::kTestStart);
  put(State::kTestRunning);
  phase_ = Phase::kRunning;
  todo_.push_back(Do::kStart);
  const int64_t given_s = params_.time_s == 0 ? 0 : int64_t{params_.time_s} + params_.omit_s;
  expect("TEST_END", now_ns, timeout_ns_ + given_s * kS);
}

void ServerControl::active(int64_t now_ns) {
  if (phase_ == Phase::kRunning && params_.time_s == 0) expect("TEST_END", now_ns);
}

void ServerControl::results(const Results& own, int64_t now_ns) {
  if (phase_ != Phase::kCollecting || over_) return;
  out_ += frame(write(own));
  put(State::kDisplayResults);
  phase_ = Phase::kGoodbye;
  settled_ = true;
  expect("IPERF_DONE", now_ns);
}

void ServerControl::abandon() {
  if (over_) return;
  put(State::kServerTerminate);
  over_ = true;
}

}  // namespace todd::iperf
