#pragma once
#include "engine/io/uring_reactor.h"

namespace todd::io {

class UringReadiness final : public Readiness, public UringSocket {
 public:
  UringReadiness(UringReactor& reactor, int fd, ReadyFor what, ReadinessSink& sink);
  ~UringReadiness() override;

  void await() override;

  void complete(UringOp op, int result, uint32_t flags, int64_t mono_ns) override;

 private:
  UringReactor& reactor_;
  ReadinessSink& sink_;
  const int fd_;
  const unsigned events_;
  bool armed_ = false;
};

}  // namespace todd::io
