#pragma once
// A reactor whose sockets send nowhere: a test sees what was sent and says what comes of it.

#include <cstring>
#include <string>
#include <vector>

#include "engine/base/check.h"
#include "engine/io/reactor.h"

namespace todd::lane {

struct FakeSocket final : io::DatagramSocket {
  struct Sent {
    std::string bytes;
    io::Address to{};
    uint64_t cookie = 0;
  };

  bool send(const io::DatagramOut& out) override {
    if (sent.size() >= room) return false;
    sent.push_back({std::string(reinterpret_cast<const char*>(out.data), out.len), *out.to, out.cookie});
    return true;
  }
  int fd() const override { return descriptor.get(); }
  void check_drops() override {
    if (const uint64_t n = std::exchange(unseen_drops, 0); n > 0) sink->on_drops(n);
  }

  void reply(const std::string& bytes, const io::Address& from, int64_t rx_wall_ns) {
    io::DatagramIn in{};
    in.data = reinterpret_cast<const uint8_t*>(bytes.data());
    in.len = static_cast<uint32_t>(bytes.size());
    in.from = from;
    in.rx_wall_ns = rx_wall_ns;
    in.rx_source = io::Stamp::kernel;
    sink->on_datagram(in);
  }

  ~FakeSocket() override {
    if (known_as != nullptr && *known_as == this) *known_as = nullptr;
  }

  FakeSocket** known_as = nullptr;
  io::DatagramSink* sink = nullptr;
  UniqueFd descriptor;
  std::vector<Sent> sent;
  size_t room = SIZE_MAX;
  uint64_t unseen_drops = 0;
};

struct FakeReactor final : io::Reactor {
  const char* name() const override { return "fake"; }
  const std::string& why() const override { return why_; }
  bool turn(int64_t) override { return false; }
  void post(std::function<void()> task) override { task(); }
  std::unique_ptr<io::DatagramSocket> add_datagram(UniqueFd fd, io::DatagramSink& sink,
                                                   io::DatagramOptions) override {
    auto made = std::make_unique<FakeSocket>();
    made->sink = &sink;
    made->descriptor = std::move(fd);
    socket = made.get();
    made->known_as = &socket;
    return made;
  }
  std::unique_ptr<io::Stream> add_stream(UniqueFd, io::StreamSink&, io::StreamOptions) override {
    TODD_CHECK(false);
  }
  std::unique_ptr<io::Acceptor> add_acceptor(UniqueFd, io::AcceptSink&) override { TODD_CHECK(false); }
  std::unique_ptr<io::Readiness> add_readiness(int, io::ReadyFor, io::ReadinessSink&) override {
    TODD_CHECK(false);
  }
  uint64_t syscalls() const override { return 0; }

  FakeSocket* socket = nullptr;  // the last one made; owned by its flow. nullptr: closed
  std::string why_;
};

}  // namespace todd::lane
