#include "engine/lane/bulk_stream.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "engine/base/clock.h"
#include "engine/io/interfaces.h"
#include "engine/lane/bulk_pace.h"

namespace todd::lane {
namespace {

// At most so much of a paced job at once; with what is behind its time it goes on after half of that.
constexpr int64_t kAtOnceNs = 1'000'000;
// From one round of a paced job to the next, at least: small sends due within it leave together.
constexpr int64_t kRestNs = 100'000;

class StreamSender final : public BulkRun {
 public:
  StreamSender(BulkJob& job, io::Reactor& reactor, const BulkBuffers::Source& source)
      : BulkRun(job, reactor),
        source_(source),
        pace_(job.wanted.bitrate, monotonic_ns()),
        at_once_(pace_.paced() ? pace_.bytes_in(kAtOnceNs) : UINT64_MAX),
        lending_((job.wanted.flags & TODD_BF_ZERO_COPY) != 0),
        taken_(lending_ && io::takes_pages(job.fd.get())) {
    const int flags = fcntl(job.fd.get(), F_GETFL);
    if ((flags & O_NONBLOCK) == 0) blocking_flags_ = flags;
  }

 private:
  int64_t slice(int64_t now_ns, int64_t until_ns) override {
    const int64_t rested_ns = now_ns + kRestNs;
    for (uint64_t sent_now = 0;;) {
      const uint32_t length = next_length();
      if (pace_.paced()) {
        if (now_ns < pace_.due_ns()) return std::max(pace_.due_ns(), rested_ns);
        if (sent_now != 0 && sent_now + length > at_once_) return now_ns + kAtOnceNs / 2;
        const auto late = static_cast<uint64_t>(pace_.late_ns(now_ns));
        job_.counts.late_ns.set(std::max(late, job_.counts.late_ns.get()));
      }
      const ssize_t sent = lending_ ? lend(length) : send(length);
      job_.counts.calls.add(1);
      now_ns = monotonic_ns();
      if (sent < 0) {
        if (errno == EINTR || stopped_lending()) continue;
        if (errno == EAGAIN) return stalled();
        end(-errno);
        return now_ns;
      }
      moved(static_cast<uint64_t>(sent), now_ns);
      if (lending_ && taken_) job_.counts.zero_copied.add(static_cast<uint64_t>(sent));
      if (limit_reached()) {
        end(0);
        return now_ns;
      }
      pace_.sent(static_cast<uint64_t>(sent));
      sent_now += static_cast<uint64_t>(sent);
      if (static_cast<uint32_t>(sent) < length) return stalled();
      if (now_ns >= until_ns) return now_ns;
    }
  }

  int64_t stalled() {
    job_.counts.stalls.add(1);
    return when_ready();
  }

  ssize_t send(uint32_t length) {
    return ::send(job_.fd.get(), source_.bytes.data(), length, MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  // sendfile() knows no MSG_DONTWAIT. The ring wants its files blocking, so the mode, which all descriptors
  // of the socket share, is this one for the call alone.
  ssize_t lend(uint32_t length) {
    const int fd = job_.fd.get();
    if (blocking_flags_ >= 0) fcntl(fd, F_SETFL, blocking_flags_ | O_NONBLOCK);
    off_t from = 0;
    const ssize_t sent = sendfile(fd, source_.fd.get(), &from, length);
    const int error = errno;
    if (blocking_flags_ >= 0) fcntl(fd, F_SETFL, blocking_flags_);
    errno = error;
    return sent;
  }

  // Where the system has no sendfile for this socket the bytes are copied, and not counted as lent.
  bool stopped_lending() {
    if (!lending_ || (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)) return false;
    lending_ = false;
    return true;
  }

  const BulkBuffers::Source& source_;
  BulkPace pace_;
  const uint64_t at_once_;
  bool lending_;
  const bool taken_;         // what is lent leaves without a copy
  int blocking_flags_ = -1;  // -1: the socket does not block
};

class StreamReceiver final : public BulkRun {
 public:
  StreamReceiver(BulkJob& job, io::Reactor& reactor, BulkBuffers& buffers)
      : BulkRun(job, reactor), buffers_(buffers), discard_((job.wanted.flags & TODD_BF_DISCARD) != 0) {}

 private:
  int64_t slice(int64_t now_ns, int64_t until_ns) override {
    uint8_t* const into = discard_ ? nullptr : buffers_.scratch(job_.wanted.length);
    const int flags = MSG_DONTWAIT | (discard_ ? MSG_TRUNC : 0);
    for (;;) {
      const uint32_t length = next_length();
      const ssize_t got = recv(job_.fd.get(), into, length, flags);
      job_.counts.calls.add(1);
      now_ns = monotonic_ns();
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return when_ready();
      if (got > 0) moved(static_cast<uint64_t>(got), now_ns);
      if (got <= 0 || limit_reached()) {
        end(got < 0 ? -errno : 0);
        return now_ns;
      }
      if (static_cast<uint32_t>(got) < length) return when_ready();
      if (now_ns >= until_ns) return now_ns;
    }
  }

  BulkBuffers& buffers_;
  const bool discard_;
};

}  // namespace

Result<std::unique_ptr<BulkRun>> make_stream_run(BulkJob& job, io::Reactor& reactor, BulkBuffers& buffers) {
  if ((job.wanted.flags & TODD_BF_SEND) == 0) return std::make_unique<StreamReceiver>(job, reactor, buffers);
  const auto source = buffers.source((job.wanted.flags & TODD_BF_RANDOM) != 0, job.wanted.length);
  if (!source) return tl::unexpected(source.error());
  return std::make_unique<StreamSender>(job, reactor, **source);
}

}  // namespace todd::lane
