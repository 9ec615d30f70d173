#include "engine/supervise/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "engine/base/log.h"
#include "engine/io/frame.h"
#include "engine/io/sockets.h"
#include "todd/v1/worker.pb.h"

extern char** environ;

namespace todd::supervise {
namespace {

constexpr size_t kMaxControlFrame = 64u << 20;
constexpr size_t kMostUnsent = 128u << 20;
constexpr size_t kReadBytes = 64u << 10;

struct Pair {
  UniqueFd ours, theirs;
};

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK; }

Result<Pair> socket_pair() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
    return fail_errno(errno, "socketpair for the worker");
  // Our end alone never blocks: the other's flags are its own.
  Pair made{UniqueFd(fds[0]), UniqueFd(fds[1])};
  if (fcntl(made.ours.get(), F_SETFL, O_NONBLOCK) != 0) return fail_errno(errno, "socketpair for the worker");
  return made;
}

// The worker's ends survive exec under fixed numbers.
constexpr int kControlFd = 3, kDescriptorFd = 4;

Result<int> spawn_process(const std::string& binary, const WorkerProcess::Engine& engine,
                          const std::vector<std::string>& libraries, int control, int descriptors) {
  std::vector<std::string> words{
      binary,      std::to_string(kControlFd),   std::to_string(kDescriptorFd),
      engine.name, std::to_string(engine.lanes), std::to_string(static_cast<int>(log_level()))};
  words.insert(words.end(), libraries.begin(), libraries.end());
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  // Moved out of the way first: either number might be the other's target.
  UniqueFd high_control(fcntl(control, F_DUPFD_CLOEXEC, 10)),
      high_descriptors(fcntl(descriptors, F_DUPFD_CLOEXEC, 10));
  if (!high_control || !high_descriptors) return fail_errno(errno, "descriptors for the worker");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, high_control.get(), kControlFd);
  posix_spawn_file_actions_adddup2(&actions, high_descriptors.get(), kDescriptorFd);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // Its own process group, so that Ctrl-C reaches only us.
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, binary.c_str(), &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return fail_errno(error, fmt::format("starting {}", binary));
  return pid;
}

std::string describe_exit(int status) {
  if (WIFSIGNALED(status))
    return fmt::format("was killed by signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
  return fmt::format("exited with {}", WEXITSTATUS(status));
}

}  // namespace

Result<std::unique_ptr<WorkerProcess>> WorkerProcess::spawn(io::Loop& loop, const std::string& binary,
                                                            const Engine& engine,
                                                            const std::vector<std::string>& libraries,
                                                            Events events) {
  auto control = socket_pair();
  if (!control) return tl::unexpected(control.error());
  auto descriptors = socket_pair();
  if (!descriptors) return tl::unexpected(descriptors.error());
  auto pid = spawn_process(binary, engine, libraries, control->theirs.get(), descriptors->theirs.get());
  if (!pid) return tl::unexpected(pid.error());
  std::unique_ptr<WorkerProcess> worker(new WorkerProcess(loop));
  worker->pid_ = *pid;
  worker->events_ = std::move(events);
  worker->control_ = std::move(control->ours);
  worker->descriptors_ = std::move(descriptors->ours);
  worker->pidfd_ = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, *pid, 0)));  // Linux 5.3
  if (!worker->pidfd_) return fail_errno(errno, "pidfd of the worker");
  WorkerProcess* raw = worker.get();
  worker->exit_watch_ = loop.on_readable(worker->pidfd_.get(), [raw] { raw->reap(); });
  worker->readable_ = loop.on_readable(worker->control_.get(), [raw] { raw->on_readable(); });
  return worker;
}

WorkerProcess::~WorkerProcess() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void WorkerProcess::send(const v1::ToWorker& message) {
  if (pid_ == 0) return;
  io::append_frame(out_, message.SerializeAsString());
  if (out_.size() - written_ > kMostUnsent) return kill("was killed: it does not read what it is sent");
  if (!writable_) flush_frames();
}

void WorkerProcess::flush_frames() {
  while (written_ < out_.size()) {
    const ssize_t n =
        ::send(control_.get(), out_.data() + written_, out_.size() - written_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && would_block()) {
      if (!writable_) writable_ = loop_.on_writable(control_.get(), [this] { flush_frames(); });
      return;
    }
    if (n < 0) break;  // its death is on the way
    written_ += static_cast<size_t>(n);
  }
  out_ = {};
  written_ = 0;
  writable_.reset();
}

void WorkerProcess::send_descriptor(UniqueFd fd) {
  descriptors_out_.push_back(std::move(fd));
  if (!descriptors_writable_) flush_descriptors();
}

void WorkerProcess::flush_descriptors() {
  for (; !descriptors_out_.empty(); descriptors_out_.pop_front()) {
    const auto sent = io::send_fd(descriptors_.get(), descriptors_out_.front().get());
    if (sent) continue;
    if (sent.error().sys_errno == EAGAIN) {
      if (!descriptors_writable_)
        descriptors_writable_ = loop_.on_writable(descriptors_.get(), [this] { flush_descriptors(); });
      return;
    }
    // Too many in flight, or it is dying: the frames that announce them could not be kept.
    descriptors_out_.clear();
    kill("was killed: " + sent.error().detail);
    break;
  }
  descriptors_writable_.reset();
}

void WorkerProcess::kill(const std::string& why) {
  if (pid_ == 0) return;
  killed_why_ = why;
  ::kill(pid_, SIGKILL);
}

void WorkerProcess::on_readable() {
  if (receive()) return take_frames();
  // Its end comes with its exit; one that closed the socket and lives on would be of no use.
  readable_.reset();
  if (pid_ != 0) ::kill(pid_, SIGKILL);
}

// Reads once. False: there is nothing (more) to come.
bool WorkerProcess::receive() {
  const size_t had = in_.size();
  in_.resize(had + kReadBytes);
  ssize_t n;
  do n = recv(control_.get(), in_.data() + had, kReadBytes, MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  in_.resize(had + (n > 0 ? static_cast<size_t>(n) : 0));
  return n > 0 || (n < 0 && would_block());
}

void WorkerProcess::take_frames() {
  size_t used = 0;
  std::string_view payload;
  for (;;) {
    auto n = io::next_frame(std::string_view(in_).substr(used), payload, kMaxControlFrame);
    if (!n) {
      in_ = {};
      return kill("was killed: it sent what is no message");
    }
    if (*n == 0) break;
    used += *n;
    v1::FromWorker message;
    if (message.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) events_.message(message);
  }
  in_.erase(0, used);
}

void WorkerProcess::reap() {
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return;
  pid_ = 0;
  exit_watch_.reset();
  readable_.reset();
  // What it said last still lies in the socket: an end of a task makes it a complete one. At most what a
  // socket holds: a child of a testlet may have inherited the other end and go on writing.
  for (size_t left = kMaxControlFrame / kReadBytes; left > 0; --left) {
    const size_t had = in_.size();
    if (!receive() || in_.size() == had) break;
    take_frames();
  }
  events_.died(killed_why_.empty() ? describe_exit(status) : killed_why_);  // may destroy this
}

}  // namespace todd::supervise
