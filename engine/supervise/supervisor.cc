#include "engine/supervise/supervisor.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/io/sockets.h"
#include "engine/manifest/units.h"
#include "engine/supervise/process.h"
#include "engine/supervise/task_cells.h"
#include "todd/v1/worker.pb.h"

namespace todd::supervise {
namespace {

constexpr int64_t kFirstBackoffNs = 500'000'000;
constexpr int64_t kLastBackoffNs = 60'000'000'000;
// A worker that lived this long has earned a fresh back-off.
constexpr int64_t kHealthyNs = 60'000'000'000;
// Signs of life asked for within the hang limit. Counted, not timed: a supervisor that was itself stopped has not heard yet.
constexpr int kBeatsMissed = 5;

const char* backend_name(io::Backend backend) {
  return backend == io::Backend::uring ? "uring" : backend == io::Backend::event ? "event" : "auto";
}

struct TaskState {
  const manifest::Testlet* testlet = nullptr;
  std::unique_ptr<TaskCells> cells;
  uint64_t seq = 0;
  int64_t started_wall_ns = 0;
  bool ready = false;
};

}  // namespace

SupervisorOptions default_options() {
  std::error_code ignored;
  const auto here = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  SupervisorOptions options;
  options.worker_binary = (here / "todd-worker").string();
  options.testlet_folders = {(here / "../lib/todd/testlets").lexically_normal().string()};
  return options;
}

struct Supervisor::Impl {
  io::Loop& loop;
  SupervisorOptions options;
  Events events;
  std::vector<manifest::Found> found;
  std::unique_ptr<WorkerProcess> worker;
  std::unique_ptr<WorkerProcess> dead;  // kept until its callback has returned
  io::HandlePtr restart, beat;
  int beats_missed = 0;
  std::string engine, why;
  std::map<std::string, TaskState> tasks;
  std::vector<std::pair<std::string, std::string>> waiting;  // prepares that came while no worker lived: task id, serialized
  int64_t born_ns = 0, backoff_ns = kFirstBackoffNs;

  Impl(io::Loop& l, SupervisorOptions o, Events e) : loop(l), options(std::move(o)), events(std::move(e)) {}

  Status spawn() {
    std::vector<std::string> libraries;
    for (const auto& file : found)
      if (file.error.empty()) libraries.push_back(file.path);
    WorkerProcess::Events hooks;
    hooks.message = [this](const v1::FromWorker& message) { on_message(message); };
    hooks.died = [this](const std::string& reason) { on_died(reason); };
    auto made = WorkerProcess::spawn(loop, options.worker_binary, backend_name(options.backend), libraries, std::move(hooks));
    if (!made) return tl::unexpected(made.error());
    worker = std::move(*made);
    born_ns = monotonic_ns();
    for (const auto& [id, bytes] : waiting) {
      v1::ToWorker message;
      if (tasks.count(id) != 0 && message.mutable_prepare()->mutable_task()->ParseFromString(bytes)) worker->send(message);
    }
    waiting.clear();
    return {};
  }

  // While there are tasks. A hang is a death that the kernel does not tell of.
  void watch() {
    beats_missed = 0;
    await_beat();
  }

  void await_beat() {
    beat = loop.after(options.hang_limit_ns / kBeatsMissed, [this] { on_beat(); });
  }

  void on_beat() {
    beat.reset();
    if (!worker || tasks.empty()) return;
    if (++beats_missed > kBeatsMissed) {
      return worker->kill(fmt::format("was killed: it hung, no sign of life for {}", manifest::format_duration(options.hang_limit_ns)));
    }
    v1::ToWorker question;
    question.mutable_beat();
    worker->send(question);
    await_beat();
  }

  const manifest::Testlet* testlet(const std::string& id) const {
    for (const auto& file : found)
      if (const auto* t = file.error.empty() ? file.manifest.testlet(id) : nullptr) return t;
    return nullptr;
  }

  void failed(const std::string& task, const std::string& reason, const std::string& detail) {
    tasks.erase(task);
    v1::Failed out;
    out.set_task(task);
    out.set_reason(reason);
    out.set_detail(detail);
    events.failed(out);
  }

  void on_message(const v1::FromWorker& message) {
    switch (message.m_case()) {
      case v1::FromWorker::kHello:
        engine = message.hello().engine();
        why = message.hello().engine_why();
        if (events.engine_known) events.engine_known();
        return;
      case v1::FromWorker::kCells: return on_cells(message.cells());
      case v1::FromWorker::kReady: {
        const auto it = tasks.find(message.ready().task());
        if (it == tasks.end()) return;
        it->second.ready = true;
        return events.ready(message.ready());
      }
      case v1::FromWorker::kFailed:
        if (tasks.count(message.failed().task()) != 0)
          failed(message.failed().task(), message.failed().reason(), message.failed().detail());
        return;
      case v1::FromWorker::kClosed: return on_closed(message.closed());
      case v1::FromWorker::kNeed: return on_need(message.need());
      case v1::FromWorker::kBeat: beats_missed = 0; return;
      case v1::FromWorker::M_NOT_SET: return;
    }
  }

  void on_cells(const v1::Cells& cells) {
    auto fd = io::receive_fd(worker->descriptors());
    const auto it = tasks.find(cells.task());
    if (!fd || it == tasks.end()) return;
    auto mapped = TaskCells::map(*it->second.testlet, cells.edges(), cells.sample_slots(), cells.bytes(), *fd);
    if (mapped) it->second.cells = std::move(*mapped);
    else failed(cells.task(), "local_resource", mapped.error().detail);
  }

  void on_closed(const v1::PeriodClosed& closed) {
    const auto it = tasks.find(closed.task());
    std::vector<v1::Record> records;
    if (it != tasks.end() && it->second.cells) records = it->second.cells->read(closed);
    v1::ToWorker copied;
    copied.mutable_copied()->set_task(closed.task());
    worker->send(copied);
    if (it == tasks.end()) return;
    if (closed.last()) {
      if (records.empty()) records.emplace_back();
      records.back().set_last(true);
      records.back().set_state(closed.state());
      records.back().set_reason(closed.reason());
      records.back().set_detail(closed.detail());
    }
    deliver(closed.task(), std::move(records), closed.last());
  }

  void deliver(const std::string& task, std::vector<v1::Record> records, bool last) {
    const auto it = tasks.find(task);
    if (it == tasks.end()) return;
    uint64_t seq = it->second.seq;
    it->second.seq += records.size();
    if (last) tasks.erase(it);
    for (auto& record : records) {
      record.set_task(task);
      record.set_seq(++seq);
      events.record(std::move(record));
    }
  }

  void on_need(const v1::NeedSocket& need) {
    v1::ToWorker reply;
    auto& got = *reply.mutable_socket();
    got.set_id(need.id());
    got.set_family(need.family());
    auto icmp = io::open_icmp(need.family() == 6 ? AF_INET6 : AF_INET);
    if (icmp) {
      got.set_raw(icmp->is_raw);
      if (auto sent = io::send_fd(worker->descriptors(), icmp->fd.get()); !sent) got.set_error(sent.error().detail);
    } else {
      got.set_error(icmp.error().detail);
    }
    worker->send(reply);
  }

  void on_died(const std::string& reason) {
    log(LogLevel::warn, "supervisor", fmt::format("worker {}", reason));
    dead = std::move(worker);
    loop.post([this] { dead.reset(); });
    if (monotonic_ns() - born_ns > kHealthyNs) backoff_ns = kFirstBackoffNs;
    restart = loop.after(backoff_ns, [this] { restart_worker(); });
    backoff_ns = std::min(backoff_ns * 2, kLastBackoffNs);
    auto lost = std::move(tasks);
    tasks.clear();
    waiting.clear();
    for (auto& [id, task] : lost) end_lost(id, task, reason);
  }

  void end_lost(const std::string& id, TaskState& task, const std::string& reason) {
    if (!task.ready) return failed(id, "testlet_crashed", "the worker " + reason);
    std::vector<v1::Record> records;
    if (task.cells) records = task.cells->salvage({task.started_wall_ns, wall_ns()});
    if (records.empty()) records.emplace_back();
    auto& last = records.back();
    last.set_last(true);
    last.set_partial(true);
    last.set_state("error");
    last.set_reason("testlet_crashed");
    last.set_detail("the worker " + reason);
    for (auto& record : records) {
      record.set_task(id);
      record.set_seq(++task.seq);
      events.record(std::move(record));
    }
  }

  void restart_worker() {
    if (auto spawned = spawn(); !spawned) log(LogLevel::error, "supervisor", spawned.error().detail);
  }
};

Supervisor::Supervisor(io::Loop& loop, SupervisorOptions options, Events events)
    : impl_(std::make_unique<Impl>(loop, std::move(options), std::move(events))) {}
Supervisor::~Supervisor() = default;

Status Supervisor::start() {
  impl_->found = manifest::scan_folders(impl_->options.testlet_folders);
  return impl_->spawn();
}

const std::vector<manifest::Found>& Supervisor::testlets() const { return impl_->found; }
const std::string& Supervisor::engine() const { return impl_->engine; }
const std::string& Supervisor::engine_why() const { return impl_->why; }
int Supervisor::worker_pid() const { return impl_->worker ? impl_->worker->pid() : 0; }
size_t Supervisor::open_tasks() const { return impl_->tasks.size(); }

void Supervisor::prepare(const v1::Task& task) {
  const auto* testlet = impl_->testlet(task.testlet());
  if (testlet == nullptr) {
    // From the loop: a caller expects no answer inside its own call.
    impl_->loop.post([impl = impl_.get(), id = task.id(), name = task.testlet()] {
      impl->failed(id, "testlet_missing", fmt::format("this host has no testlet \"{}\"", name));
    });
    return;
  }
  impl_->tasks[task.id()].testlet = testlet;
  if (!impl_->beat) impl_->watch();
  if (!impl_->worker) {
    impl_->waiting.emplace_back(task.id(), task.SerializeAsString());
    return;
  }
  v1::ToWorker message;
  *message.mutable_prepare()->mutable_task() = task;
  impl_->worker->send(message);
}

void Supervisor::start_task(const std::string& task, int64_t at_wall_ns) {
  const auto it = impl_->tasks.find(task);
  if (it == impl_->tasks.end() || !impl_->worker) return;
  if (it->second.started_wall_ns == 0) it->second.started_wall_ns = at_wall_ns;
  v1::ToWorker message;
  message.mutable_start()->set_task(task);
  message.mutable_start()->set_at_wall_ns(at_wall_ns);
  impl_->worker->send(message);
}

void Supervisor::stop_task(const std::string& task, bool cancel) {
  if (impl_->tasks.count(task) == 0 || !impl_->worker) return;
  v1::ToWorker message;
  message.mutable_stop()->set_task(task);
  message.mutable_stop()->set_cancel(cancel);
  impl_->worker->send(message);
}

}  // namespace todd::supervise
