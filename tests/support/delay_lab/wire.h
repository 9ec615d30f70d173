#pragma once
// One interface, below IP: frames that arrive with the kernel's stamp, frames that leave with the driver's.

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "engine/base/fd.h"
#include "engine/base/result.h"
#include "tests/support/delay_lab/packet.h"

namespace todd::delay_lab {

// An AF_PACKET socket. A clone of each frame comes here and the kernel has its own, so the lab's addresses
// must not be the kernel's. The stamps are those that a capture and the prober's socket see, which a tap
// device does not have.
class Wire {
 public:
  // denied without CAP_NET_RAW, not_found without that interface.
  static Result<Wire> open(const std::string& interface);

  int fd() const { return fd_.get(); }
  const Mac& mac() const { return mac_; }

  struct Arrived {
    std::span<const uint8_t> frame;  // valid until the next call
    int64_t wall_ns = 0;             // the kernel's receive stamp
  };
  // The next frame sent to this host or to a group; none if there is none now. Others' frames are passed
  // over.
  std::optional<Arrived> receive();

  // When the driver was given the frame, in ns of the wall clock; 0 if it did not say. veth says before send
  // returns.
  Result<int64_t> send(std::span<const uint8_t> frame);

  // Frames that found the socket full and were never seen here, since the start.
  uint64_t missed();

 private:
  Wire(UniqueFd fd, Mac mac) : fd_(std::move(fd)), mac_(mac), buffer_(1 << 17) {}
  int64_t departure();

  UniqueFd fd_;
  Mac mac_;
  Bytes buffer_;
  uint64_t missed_ = 0;
};

}  // namespace todd::delay_lab
