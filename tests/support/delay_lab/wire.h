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
  // reflects: frames to others are passed over. relays: they arrive, and frames have the header before them
  // by which the two kernels leave checksums and segmentation to each other (virtio_net_hdr).
  enum class Use { reflects, relays };
  // denied without CAP_NET_RAW, not_found without that interface.
  static Result<Wire> open(const std::string& interface, Use use);

  int fd() const { return fd_.get(); }
  const Mac& mac() const { return mac_; }

  struct Arrived {
    std::span<const uint8_t> frame;  // valid until the next call
    std::span<const uint8_t> whole;  // with the header of a relay, as send() wants it
    int64_t wall_ns = 0;             // the kernel's receive stamp
  };
  // The next frame sent to this host or to a group, or of a relay any; none if there is none now.
  std::optional<Arrived> receive();

  // The frame, of a relay with its header. When the driver was given it, in ns of the wall clock; 0 if it did
  // not say. veth says before send returns.
  Result<int64_t> send(std::span<const uint8_t> frame);

  // Frames that found the socket full and were never seen here, since the start.
  uint64_t missed();

 private:
  Wire(UniqueFd fd, Mac mac, Use use) : fd_(std::move(fd)), mac_(mac), use_(use), buffer_(1 << 17) {}
  int64_t departure();

  UniqueFd fd_;
  Mac mac_;
  Use use_;
  Bytes buffer_;
  uint64_t missed_ = 0;
};

}  // namespace todd::delay_lab
