// Requests as SEND with an address, replies by one multishot RECVMSG, through one ring.
#include <arpa/inet.h>
#include <liburing.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "bench/floor/path.h"

namespace todd::floor {
namespace {

constexpr unsigned kBuffers = 8192, kRoom = 256, kEntries = 1024, kCompletions = 32768;
constexpr uint64_t kReceive = 1, kSend = 2;
constexpr size_t kIpHeader = 20;

class Uring : public Sender, public Receiver {
 public:
  Uring(const PathOptions& options, int fd)
      : fd_(fd),
        first_(ntohl(options.route.first_target.s_addr)),
        message_(options.ident),
        bytes_(options.batch * Message::kSize),
        to_(options.batch) {
    io_uring_params params{};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                   IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    params.cq_entries = kCompletions;
    const int made = io_uring_queue_init_params(kEntries, &ring_, &params);
    errno = -made;
    must(made == 0, "io_uring");
    must(io_uring_register_files(&ring_, &fd_, 1) == 0, "registering the socket");
    io_uring_register_ring_fd(&ring_);
    give_buffers();
    for (unsigned i = 0; i < options.batch; ++i) {
      message_.write(&bytes_[i * Message::kSize]);
      to_[i].sin_family = AF_INET;
    }
    shape_.msg_controllen = CMSG_SPACE(sizeof(timespec));
    arm();
    io_uring_submit(&ring_);
  }
  ~Uring() override {
    io_uring_queue_exit(&ring_);
    munmap(memory_, kBuffers * (sizeof(io_uring_buf) + kRoom));
  }
  Uring(const Uring&) = delete;
  Uring& operator=(const Uring&) = delete;

  unsigned send(uint32_t first, unsigned count) override {
    for (unsigned i = 0; i < count; ++i) {
      uint8_t* message = &bytes_[i * Message::kSize];
      message_.readdress(message, first + i);
      to_[i].sin_addr.s_addr = htonl(first_ + first + i);
      auto* entry = io_uring_get_sqe(&ring_);
      must(entry != nullptr, "a batch is larger than the ring");
      io_uring_prep_send(entry, 0, message, Message::kSize, MSG_DONTWAIT);
      io_uring_prep_send_set_addr(entry, reinterpret_cast<sockaddr*>(&to_[i]), sizeof to_[i]);
      entry->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
      io_uring_sqe_set_data64(entry, kSend);
    }
    must(io_uring_submit_and_get_events(&ring_) >= 0, "io_uring_enter");
    return count;
  }

  unsigned receive(Ledger& ledger) override {
    if (!io_uring_cq_ready(&ring_)) io_uring_get_events(&ring_);
    unsigned head, seen = 0, freed = 0;
    bool armed = true;
    io_uring_cqe* done;
    io_uring_for_each_cqe(&ring_, head, done) {
      ++seen;
      if (done->user_data == kSend) {
        // Only failures are reported. The window is small against the socket's buffer: this does not happen.
        errno = -done->res;
        must(false, "io_uring send");
      }
      if ((done->flags & IORING_CQE_F_MORE) == 0) armed = false;
      if (done->res < 0) continue;
      const auto buffer = static_cast<unsigned short>(done->flags >> IORING_CQE_BUFFER_SHIFT);
      uint8_t* at = room_ + buffer * kRoom;
      enter(at, done->res, ledger);
      io_uring_buf_ring_add(buffers_, at, kRoom, buffer, kBuffers - 1, static_cast<int>(freed++));
    }
    io_uring_cq_advance(&ring_, seen);
    io_uring_buf_ring_advance(buffers_, static_cast<int>(freed));
    if (!armed) {
      arm();
      io_uring_submit_and_get_events(&ring_);
    }
    return seen;
  }

  int fd() const override { return ring_.ring_fd; }

 private:
  void give_buffers() {
    const size_t size = kBuffers * (sizeof(io_uring_buf) + kRoom);
    memory_ = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE | MAP_POPULATE, -1, 0);
    must(memory_ != MAP_FAILED, "mmap");
    buffers_ = static_cast<io_uring_buf_ring*>(memory_);
    room_ = static_cast<uint8_t*>(memory_) + kBuffers * sizeof(io_uring_buf);
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<uint64_t>(buffers_);
    registration.ring_entries = kBuffers;
    must(io_uring_register_buf_ring(&ring_, &registration, 0) == 0, "registering buffers");
    io_uring_buf_ring_init(buffers_);
    for (unsigned i = 0; i < kBuffers; ++i)
      io_uring_buf_ring_add(buffers_, room_ + i * kRoom, kRoom, static_cast<unsigned short>(i), kBuffers - 1,
                            static_cast<int>(i));
    io_uring_buf_ring_advance(buffers_, kBuffers);
  }

  void arm() {
    auto* entry = io_uring_get_sqe(&ring_);
    must(entry != nullptr, "no room to receive");
    io_uring_prep_recvmsg_multishot(entry, 0, &shape_, 0);
    entry->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    entry->buf_group = 0;
    io_uring_sqe_set_data64(entry, kReceive);
  }

  void enter(uint8_t* buffer, int size, Ledger& ledger) {
    auto* out = io_uring_recvmsg_validate(buffer, size, &shape_);
    if (out == nullptr) return;
    const auto* packet = static_cast<const uint8_t*>(io_uring_recvmsg_payload(out, &shape_));
    const size_t length = io_uring_recvmsg_payload_length(out, size, &shape_);
    if (length < kIpHeader) return;
    const auto target = message_.target_of(packet + kIpHeader, length - kIpHeader, true);
    if (target < 0) return;
    int64_t at = 1;
    const auto* control = io_uring_recvmsg_cmsg_firsthdr(out, &shape_);
    if (control != nullptr && control->cmsg_type == SO_TIMESTAMPNS) {
      timespec stamp{};
      std::memcpy(&stamp, CMSG_DATA(control), sizeof stamp);
      at = int64_t{stamp.tv_sec} * 1'000'000'000 + stamp.tv_nsec;
    }
    ledger.answered(static_cast<uint32_t>(target), at);
  }

  int fd_;
  uint32_t first_;
  Message message_;
  std::vector<uint8_t> bytes_;
  std::vector<sockaddr_in> to_;
  io_uring ring_{};
  msghdr shape_{};
  void* memory_ = nullptr;
  io_uring_buf_ring* buffers_ = nullptr;
  uint8_t* room_ = nullptr;
};

}  // namespace

Path make_uring_path(const PathOptions& options, int fd) {
  auto both = std::make_shared<Uring>(options, fd);
  return {both, both};
}

}  // namespace todd::floor
