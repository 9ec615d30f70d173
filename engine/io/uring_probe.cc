#include "engine/io/uring_probe.h"

#include <liburing.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <system_error>

#include "engine/base/fd.h"
#include "engine/io/uring_buffers.h"

namespace todd::io {
namespace {

tl::unexpected<Error> missing(const std::string& what) {
  return fail(Errc::unsupported, "io_uring: " + what);
}

std::string reason(int error) {
  switch (error) {
    case EPERM:
    case EACCES:
      return "not permitted here; allow it with sysctl -w kernel.io_uring_disabled=0 or in the container's "
             "seccomp profile, "
             "or use the event engine";
    case ENOSYS: return "this kernel has none; use Linux 6.1 or later, or the event engine";
    case ENOMEM:
      return "no memory for the rings; raise the limit of locked memory (ulimit -l), or use the event engine";
    default: return "set-up failed: " + std::generic_category().message(error);
  }
}

// A ring for the trial only.
struct TrialRing {
  io_uring ring{};
  int error = 0;
  explicit TrialRing(uint32_t flags) {
    io_uring_params params{};
    params.flags = flags;
    params.cq_entries = 64;
    error = -io_uring_queue_init_params(16, &ring, &params);
  }
  ~TrialRing() {
    if (!error) io_uring_queue_exit(&ring);
  }
  TrialRing(const TrialRing&) = delete;
  TrialRing& operator=(const TrialRing&) = delete;

  // Submits and gives the result of the operation with that user_data, or -ETIME after a second.
  int result_of(uint64_t user_data, uint32_t* flags) {
    __kernel_timespec second{1, 0};
    for (int tries = 0; tries < 16; ++tries) {
      io_uring_cqe* cqe = nullptr;
      const int waited = io_uring_submit_and_wait_timeout(&ring, &cqe, 1, &second, nullptr);
      if (!cqe) return waited < 0 ? waited : -ETIME;
      const io_uring_cqe seen = *cqe;
      io_uring_cqe_seen(&ring, cqe);
      if (seen.user_data != user_data) continue;
      if (flags) *flags = seen.flags;
      return seen.res;
    }
    return -ETIME;
  }
};

// Releases of Linux that brought what is tried here.
constexpr uint32_t kSubmitAll = 518, kCoopTaskrun = 519, kBufferRings = 519, kSingleIssuer = 600,
                   kMultishotReceive = 600, kDeferTaskrun = 601, kAddressedSend = 601;

Result<uint32_t> accepted_flags(uint32_t newest) {
  constexpr uint32_t all = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL;
  constexpr struct {
    uint32_t since, flags;
  } kSets[] = {{kDeferTaskrun, all | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN},
               {kSingleIssuer, all | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN},
               {kCoopTaskrun, all | IORING_SETUP_COOP_TASKRUN},
               {kSubmitAll, all}};
  for (const auto& [since, flags] : kSets) {
    if (since > newest) continue;
    const int error = TrialRing(flags).error;  // EINVAL: a flag is unknown
    if (!error) return flags;
    if (error != EINVAL) return missing(reason(error));
  }
  return missing("SUBMIT_ALL is missing; use Linux 6.1 or later, or the event engine");
}

Status check_operations(TrialRing& trial) {
  if (!(trial.ring.features & IORING_FEAT_EXT_ARG) || !(trial.ring.features & IORING_FEAT_CQE_SKIP)) {
    return missing(
        "waiting with a timeout or skipping completions is missing; use Linux 6.1 or later, or the event "
        "engine");
  }
  const std::unique_ptr<io_uring_probe, decltype(&io_uring_free_probe)> probe(
      io_uring_get_probe_ring(&trial.ring), io_uring_free_probe);
  if (!probe) return missing("the kernel does not list its operations");
  for (const int op :
       {IORING_OP_SEND, IORING_OP_SENDMSG, IORING_OP_RECV, IORING_OP_RECVMSG, IORING_OP_CONNECT,
        IORING_OP_ACCEPT, IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL, IORING_OP_TIMEOUT, IORING_OP_READ}) {
    if (!io_uring_opcode_supported(probe.get(), op))
      return missing("operation " + std::to_string(op) + " is missing");
  }
  return {};
}

// A datagram sent to oneself: addressed SEND (EINVAL where it is missing), multishot RECVMSG on a ring of
// provided buffers.
Status try_datagram(TrialRing& trial, uint32_t newest, UringFeatures& features) {
  if (newest < kBufferRings)
    return missing("buffer rings are missing; use Linux 6.1 or later, or the event engine");
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in self{};
  self.sin_family = AF_INET;
  self.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t len = sizeof self;
  auto* const name = reinterpret_cast<sockaddr*>(&self);
  if (!fd || bind(fd.get(), name, len) != 0 || getsockname(fd.get(), name, &len) != 0) {
    return missing("the trial needs a UDP socket on 127.0.0.1: " + std::generic_category().message(errno));
  }
  auto buffers = UringBuffers::make(trial.ring, 0, 4, 512);
  if (!buffers) return tl::unexpected<Error>(buffers.error());

  enum : uint64_t { kSend = 1, kReceive = 2 };
  char byte = 1;
  if (newest >= kAddressedSend) {
    io_uring_sqe* const sqe = io_uring_get_sqe(&trial.ring);
    io_uring_prep_send(sqe, fd.get(), &byte, 1, MSG_DONTWAIT);
    io_uring_prep_send_set_addr(sqe, name, sizeof self);
    sqe->user_data = kSend;
    features.addressed_send = trial.result_of(kSend, nullptr) == 1;
  }
  if (!features.addressed_send && sendto(fd.get(), &byte, 1, MSG_DONTWAIT, name, len) != 1) {
    return missing("the trial datagram could not be sent: " + std::generic_category().message(errno));
  }
  const char* const no_multishot =
      "multishot receive is missing; use Linux 6.1 or later, or the event engine";
  if (newest < kMultishotReceive) return missing(no_multishot);
  msghdr header{};
  io_uring_sqe* sqe = io_uring_get_sqe(&trial.ring);
  io_uring_prep_recvmsg_multishot(sqe, fd.get(), &header, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = 0;
  sqe->user_data = kReceive;
  uint32_t flags = 0;
  const int got = trial.result_of(kReceive, &flags);
  if (got < 0 || !(flags & IORING_CQE_F_MORE) || !(flags & IORING_CQE_F_BUFFER)) {
    return missing(no_multishot);
  }
  // The receive is still in the kernel and holds the header and the buffers: end it before they go.
  sqe = io_uring_get_sqe(&trial.ring);
  io_uring_prep_cancel64(sqe, kReceive, 0);
  sqe->user_data = 0;
  trial.result_of(kReceive, nullptr);
  return {};
}

Result<UringFeatures> try_features(uint32_t newest) {
  UringFeatures features;
  const auto flags = accepted_flags(newest);
  if (!flags) return tl::unexpected<Error>(flags.error());
  features.setup_flags = *flags;
  TrialRing trial(*flags);
  if (trial.error) return missing(reason(trial.error));
  if (const Status ok = check_operations(trial); !ok) return tl::unexpected<Error>(ok.error());
  if (const Status ok = try_datagram(trial, newest, features); !ok) return tl::unexpected<Error>(ok.error());
  features.text = "io_uring with multishot receive, buffer rings";
  if (features.addressed_send) features.text += ", addressed send";
  if (*flags & IORING_SETUP_SINGLE_ISSUER) features.text += ", single issuer";
  if (*flags & IORING_SETUP_DEFER_TASKRUN) features.text += ", deferred task work";
  return features;
}

}  // namespace

std::string release_text(uint32_t release) {
  return std::to_string(release / 100) + "." + std::to_string(release % 100);
}

Result<UringFeatures> probe_uring(uint32_t newest) {
  auto features = try_features(newest);
  if (newest == kAnyLinux) return features;
  const std::string held = " (asked for as of Linux " + release_text(newest) + ")";
  (features ? features->text : features.error().detail) += held;
  return features;
}

}  // namespace todd::io
