#pragma once
// The suites of the reactor run on every back end, and on io_uring as the oldest kernel that will do has it:
// a fixture parameterised by them, and sinks that remember.

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "engine/base/clock.h"
#include "engine/io/reactor.h"
#include "engine/io/sockets.h"

namespace todd::io {

class ReactorTest : public testing::TestWithParam<EngineChoice> {
 protected:
  void SetUp() override {
    auto made = make_reactor(GetParam());
    if (!made && GetParam().backend == Backend::uring) GTEST_SKIP() << made.error().detail;
    ASSERT_TRUE(made) << made.error().detail;
    reactor_ = std::move(*made);
  }
  // Turns until done() or ten seconds have passed; says which.
  bool until(const std::function<bool()>& done) {
    const int64_t end = monotonic_ns() + 10'000'000'000;
    while (!done()) {
      if (monotonic_ns() >= end) return false;
      reactor_->turn(monotonic_ns() + 100'000'000);
    }
    return true;
  }
  std::unique_ptr<Reactor> reactor_;
};

// Linux 6.0: sends with a message header each, no deferred task work. What is newer than 6.1 is not used, so
// that is the first.
inline constexpr EngineChoice kOldestUring{Backend::uring, 600};
inline std::string engine_name(const testing::TestParamInfo<EngineChoice>& info) {
  return info.param == kOldestUring ? "uring_6_0" : engine_text(info.param);
}
#define TODD_ALL_ENGINES(suite)                                                                  \
  INSTANTIATE_TEST_SUITE_P(                                                                      \
      Engines, suite,                                                                            \
      testing::Values(EngineChoice{Backend::uring}, kOldestUring, EngineChoice{Backend::event}), \
      engine_name)

inline Address loopback(int family, uint16_t port = 0) {
  return *parse_address(family == AF_INET6 ? "::1" : "127.0.0.1", port);
}
// Whether this host has ::1: containers often do not.
inline bool has_ipv6() {
  return bool(open_socket({.kind = SocketRequest::udp, .family = AF_INET6, .bind_to = loopback(AF_INET6)}));
}
inline UniqueFd udp_socket(int family = AF_INET, uint32_t buffer_bytes = 4u << 20) {
  auto fd = open_socket({.kind = SocketRequest::udp,
                         .family = family,
                         .bind_to = loopback(family),
                         .buffer_bytes = buffer_bytes});
  EXPECT_TRUE(fd);
  return std::move(*fd);
}

struct Sent {
  uint64_t cookie;
  int result;
  int64_t tx_mono_ns;
};
struct Received {
  std::string data;
  DatagramIn in;  // its data is gone
};
struct Failed {
  DatagramError error;  // its quote is in `quoted`
  std::string quoted;
};

struct Transmitted {
  std::string packet;
  int64_t tx_wall_ns;
  size_t received_before;  // how many datagrams had come when it was told
};

struct RecordingSink : DatagramSink {
  std::vector<Sent> sent;
  std::vector<Received> received;
  std::vector<Failed> errors;
  std::vector<Transmitted> transmitted;
  uint64_t drops = 0;
  std::function<void(const DatagramIn&)> then;

  void on_sent(uint64_t cookie, int result, int64_t tx_mono_ns) override {
    sent.push_back({cookie, result, tx_mono_ns});
  }
  void on_datagram(const DatagramIn& in) override {
    received.push_back({std::string(reinterpret_cast<const char*>(in.data), in.len), in});
    if (then) then(in);
  }
  void on_error(const DatagramError& error) override {
    errors.push_back({error, std::string(reinterpret_cast<const char*>(error.quoted), error.quoted_len)});
  }
  void on_drops(uint64_t dropped) override { drops += dropped; }
  void on_transmitted(const uint8_t* packet, uint32_t len, int64_t tx_wall_ns) override {
    transmitted.push_back(
        {std::string(reinterpret_cast<const char*>(packet), len), tx_wall_ns, received.size()});
  }
};

inline DatagramOut datagram(const std::string& text, const Address& to, uint64_t cookie) {
  return {.data = reinterpret_cast<const uint8_t*>(text.data()),
          .len = static_cast<uint32_t>(text.size()),
          .to = &to,
          .cookie = cookie};
}

struct RecordingStream : StreamSink {
  std::vector<int> connected, sent;
  std::string received;
  bool ended = false;
  int error = 0;
  std::function<void()> then;

  void on_connected(uint64_t, int result) override { connected.push_back(result); }
  void on_stream_sent(uint64_t, int result, int64_t) override { sent.push_back(result); }
  void on_stream_data(int result, const uint8_t* data, uint32_t len, int64_t) override {
    if (result < 0) {
      error = result;
    } else if (len == 0) {
      ended = true;
    } else {
      received.append(reinterpret_cast<const char*>(data), len);
    }
    if (then) then();
  }
};

struct RecordingAcceptor : AcceptSink {
  std::vector<UniqueFd> accepted;
  std::vector<Address> peers;
  std::function<void()> then;
  void on_accepted(UniqueFd fd, const Address& peer) override {
    accepted.push_back(std::move(fd));
    peers.push_back(peer);
    if (then) then();
  }
};

// With a port of loopback that accepts.
class ReactorListeningTest : public ReactorTest {
 protected:
  void SetUp() override {
    ReactorTest::SetUp();
    if (!reactor_) return;
    auto fd = open_socket(
        {.kind = SocketRequest::tcp, .family = AF_INET, .bind_to = loopback(AF_INET), .listen = true});
    ASSERT_TRUE(fd);
    listening_ = *local_address(fd->get());
    acceptor_ = reactor_->add_acceptor(std::move(*fd), accepted_);
  }
  RecordingAcceptor accepted_;
  Address listening_{};
  std::unique_ptr<Acceptor> acceptor_;
};

}  // namespace todd::io
