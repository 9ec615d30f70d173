#pragma once
// A client that sends exactly the bytes it is told to, over a real loopback socket, while the loop turns.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <string_view>

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/fd.h"
#include "engine/io/loop.h"

namespace todd::api {

class RawClient {
 public:
  RawClient(io::Loop& loop, uint16_t port)
      : loop_(loop), fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    TODD_CHECK(connect(fd_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
    fcntl(fd_.get(), F_SETFL, O_NONBLOCK);
  }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n > 0) bytes.remove_prefix(static_cast<size_t>(n));
      if (n < 0 && errno != EAGAIN) return;  // the server has hung up: the test sees its answer
      if (n < 0) loop_.turn(1'000'000);
    }
  }

  // Turns the loop until the text was received or the connection ended, at most for a while; all received so
  // far.
  const std::string& read_until(std::string_view text) {
    const int64_t give_up = monotonic_ns() + kPatienceNs;
    while (received_.find(text) == std::string::npos && !ended_ && monotonic_ns() < give_up) turn();
    return received_;
  }
  const std::string& read_to_end() {
    const int64_t give_up = monotonic_ns() + kPatienceNs;
    while (!ended_ && monotonic_ns() < give_up) turn();
    return received_;
  }
  // Turns the loop once and takes what is there.
  void turn() {
    loop_.turn(2'000'000);
    char buffer[65536];
    ssize_t n = 0;
    while ((n = recv(fd_.get(), buffer, sizeof buffer, 0)) > 0)
      received_.append(buffer, static_cast<size_t>(n));
    if (n == 0 || (n < 0 && errno != EAGAIN)) ended_ = true;
  }

  bool ended() const { return ended_; }
  const std::string& received() const { return received_; }
  int status() const { return received_.size() > 12 ? std::stoi(received_.substr(9, 3)) : 0; }
  int fd() const { return fd_.get(); }

 private:
  static constexpr int64_t kPatienceNs = 10'000'000'000;

  io::Loop& loop_;
  UniqueFd fd_;
  std::string received_;
  bool ended_ = false;
};

}  // namespace todd::api
