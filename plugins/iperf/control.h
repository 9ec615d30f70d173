#pragma once
// The two ends of a control connection as machines: bytes, events and the time go in; bytes to send, things
// to do and a verdict come out. No sockets, no clock. Every state in which something is expected of the peer
// has a deadline; the end of the test itself is the owner's to say.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "plugins/iperf/messages.h"
#include "plugins/iperf/protocol.h"

namespace todd::iperf {

// What the owner of a machine has to do.
enum class Do {
  kAdmit,        // server: params() are there; call admit() or refuse()
  kOpenStreams,  // client: connect the data streams; server: they come. Then streams_ready()
  kStart,        // senders send
  kStop,         // server: the client says that it is over
  kCollect,      // call results(); at the server peer() is there already
  kDone,         // ended as it should: close
  kFailed        // reason() and text() say why: close
};

// What both machines have in common.
class Control {
 public:
  std::optional<Do> next();
  // Bytes for the peer, in order. The owner takes them.
  std::string take_out() { return std::exchange(out_, {}); }
  bool has_out() const { return !out_.empty(); }
  // When expire() has something to do; INT64_MAX: the peer owes nothing.
  int64_t deadline_ns() const { return deadline_ns_; }
  void expire(int64_t now_ns);
  // The peer has ended the connection. positive_errno 0: in order.
  void closed(int positive_errno);
  // Something that the owner found out. Nothing else is done after it.
  void fail(const char* reason, std::string text);

  bool over() const { return over_; }
  bool failed() const { return failed_; }
  const char* reason() const { return reason_; }  // a key of the metric `errors`
  const std::string& text() const { return text_; }
  const Results& peer() const { return peer_; }  // what the peer saw, from kCollect or kDone on
  const char* waiting_for() const { return waiting_for_; }

 protected:
  explicit Control(int64_t timeout_ns) : timeout_ns_(timeout_ns) {}
  ~Control() = default;

  void expect(const char* what, int64_t now_ns, int64_t within_ns);
  void expect(const char* what, int64_t now_ns) { expect(what, now_ns, timeout_ns_); }
  void put(State state) { out_ += static_cast<char>(state); }
  void done();
  void protocol(State got);
  // Takes a framed text; true when it is complete. Fails the machine where it is too long.
  bool read_text(std::string_view& bytes, const char* of);
  bool read_peer(std::string_view& bytes);

  int64_t timeout_ns_;
  int64_t deadline_ns_ = INT64_MAX;
  std::string out_;
  std::deque<Do> todo_;
  FrameReader frame_;
  Results peer_;
  bool over_ = false, failed_ = false;
  bool settled_ = false;  // all is said but goodbye
  const char* waiting_for_ = "";
  const char* reason_ = "";
  std::string text_;
};

// The end that asks for a test.
class ClientControl : public Control {
 public:
  // `params`: the text; `cookie`: 37 bytes. timeout_ns: of each answer.
  ClientControl(std::string cookie, std::string params, int64_t timeout_ns)
      : Control(timeout_ns), cookie_(std::move(cookie)), params_(std::move(params)) {}

  void connected(int64_t now_ns);
  void received(std::string_view bytes, int64_t now_ns);
  void streams_ready(int64_t now_ns);
  void end(int64_t now_ns);  // the test is over
  void results(const Results& own, int64_t now_ns);
  void abandon();  // the owner stops before that
  bool running() const { return phase_ == Phase::kRunning; }
  const std::string& cookie() const { return cookie_; }

 private:
  enum class Phase {
    kConnecting,
    kGreeted,
    kAsked,
    kOpening,
    kStarting,
    kReady,
    kRunning,
    kEnded,
    kCollecting,
    kPeer,
    kLast
  };
  void state(State got, int64_t now_ns);
  bool unusual(State got);
  void start(int64_t now_ns);

  Phase phase_ = Phase::kConnecting;
  bool ready_ = false;
  std::string cookie_, params_, error_;
  bool in_error_ = false;
};

// The end that is asked.
class ServerControl : public Control {
 public:
  // What iperf3 says of a test that cannot be: its own numbers.
  enum Fault : uint32_t { kBadParams = 114, kBadResults = 117, kCannot = 0 };

  // Of a connection whose cookie was read.
  ServerControl(int64_t timeout_ns, int64_t now_ns);

  void received(std::string_view bytes, int64_t now_ns);
  const Params& params() const { return params_; }  // from kAdmit on
  void admit(int64_t now_ns);
  // What is asked cannot be had here; `text` for people here.
  void refuse(const char* reason, std::string text);
  void streams_ready(int64_t now_ns);
  // Something went on: the end of a test without a given time is waited for from now.
  void active(int64_t now_ns);
  void results(const Results& own, int64_t now_ns);
  void abandon();  // this end is stopped
  bool running() const { return phase_ == Phase::kRunning; }

 private:
  enum class Phase { kParams, kAdmitting, kOpening, kRunning, kPeer, kCollecting, kGoodbye };
  void state(State got, int64_t now_ns);
  void error(Fault fault);

  Phase phase_ = Phase::kParams;
  Params params_;
};

}  // namespace todd::iperf
