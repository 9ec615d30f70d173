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

#include "engine/io/frame.h"
#include "todd/v1/worker.pb.h"

extern char** environ;

namespace todd::supervise {
namespace {

constexpr size_t kMaxControlFrame = 64u << 20;

struct Pair {
  UniqueFd ours, theirs;
};

Result<Pair> socket_pair() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) return fail_errno(errno, "socketpair for the worker");
  return Pair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// The worker's ends survive exec under fixed numbers.
constexpr int kControlFd = 3, kDescriptorFd = 4;

Result<int> spawn_process(const std::string& binary, const std::string& backend, const std::vector<std::string>& libraries, int control, int descriptors) {
  std::vector<std::string> words{binary, std::to_string(kControlFd), std::to_string(kDescriptorFd), backend};
  words.insert(words.end(), libraries.begin(), libraries.end());
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  // Moved out of the way first: either number might be the other's target.
  UniqueFd high_control(fcntl(control, F_DUPFD_CLOEXEC, 10)), high_descriptors(fcntl(descriptors, F_DUPFD_CLOEXEC, 10));
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
  if (WIFSIGNALED(status)) return fmt::format("was killed by signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
  return fmt::format("exited with {}", WEXITSTATUS(status));
}

}  // namespace

Result<std::unique_ptr<WorkerProcess>> WorkerProcess::spawn(io::Loop& loop, const std::string& binary, const std::string& backend,
                                                            const std::vector<std::string>& libraries, Events events) {
  auto control = socket_pair();
  if (!control) return tl::unexpected(control.error());
  auto descriptors = socket_pair();
  if (!descriptors) return tl::unexpected(descriptors.error());
  auto pid = spawn_process(binary, backend, libraries, control->theirs.get(), descriptors->theirs.get());
  if (!pid) return tl::unexpected(pid.error());
  std::unique_ptr<WorkerProcess> worker(new WorkerProcess);
  worker->pid_ = *pid;
  worker->events_ = std::move(events);
  worker->descriptors_ = std::move(descriptors->ours);
  worker->pidfd_ = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, *pid, 0)));  // Linux 5.3
  if (!worker->pidfd_) return fail_errno(errno, "pidfd of the worker");
  WorkerProcess* raw = worker.get();
  worker->exit_watch_ = loop.on_readable(worker->pidfd_.get(), [raw] { raw->reap(); });
  io::Channel::Events channel_events;
  channel_events.on_data = [raw](std::string_view bytes) { return raw->on_data(bytes); };
  channel_events.on_close = [](const Error&) {};  // the process's end says more
  const int flags = fcntl(control->ours.get(), F_GETFL);
  fcntl(control->ours.get(), F_SETFL, flags | O_NONBLOCK);
  worker->channel_ = io::adopt(loop, std::move(control->ours), nullptr, std::move(channel_events), {.write_limit = kMaxControlFrame});
  return worker;
}

WorkerProcess::~WorkerProcess() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void WorkerProcess::send(const v1::ToWorker& message) {
  std::string frame;
  io::append_frame(frame, message.SerializeAsString());
  channel_->send(frame);
}

void WorkerProcess::kill(const std::string& why) {
  killed_why_ = why;
  ::kill(pid_, SIGKILL);
}

size_t WorkerProcess::on_data(std::string_view bytes) {
  size_t used = 0;
  std::string_view payload;
  for (;;) {
    auto n = io::next_frame(bytes.substr(used), payload, kMaxControlFrame);
    if (!n) {
      kill("was killed: it sent what is no message");
      return bytes.size();
    }
    if (*n == 0) return used;
    used += *n;
    v1::FromWorker message;
    if (message.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) events_.message(message);
  }
}

void WorkerProcess::reap() {
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return;
  pid_ = 0;
  exit_watch_.reset();
  events_.died(killed_why_.empty() ? describe_exit(status) : killed_why_);  // may destroy this
}

}  // namespace todd::supervise
