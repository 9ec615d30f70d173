#include "engine/supervise/supervisor.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include "coordinator/proto/egress.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/io/packet_sender.h"
#include "engine/io/sockets.h"
#include "engine/manifest/units.h"
#include "engine/schedule/shards.h"
#include "engine/supervise/process.h"
#include "engine/supervise/strikes.h"
#include "engine/supervise/task_cells.h"
#include "todd/v1/worker.pb.h"

namespace todd::supervise {
namespace {

constexpr int64_t kFirstBackoffNs = 500'000'000;
constexpr int64_t kLastBackoffNs = 60'000'000'000;
// A worker that lived this long has earned a fresh back-off.
constexpr int64_t kHealthyNs = 60'000'000'000;
// Signs of life asked for within the hang limit. Counted, not timed: a supervisor that was itself stopped has
// not heard yet.
constexpr int kBeatsMissed = 5;
// Unless more are asked for: a lane takes a core whole only where nothing paces it.
constexpr uint32_t kMostLanes = 16;

// To be told from the loop: a caller of prepare() expects no answer inside its own call.
struct Refusal {
  std::string task, reason, detail;
};

struct TaskState {
  const manifest::Testlet* testlet = nullptr;
  uint32_t edges = 0;
  std::vector<std::unique_ptr<TaskCells>> cells;  // by shard
  v1::PeriodClosed ended;                         // the worst end of the shards that have ended
  size_t shards_ended = 0;
  uint64_t seq = 0;
  int64_t started_wall_ns = 0;
  bool ready = false;
};

// How many lanes a task is worth: testlets that have state of their own across targets, or a fixed number of
// samples to keep, are not divided.
uint32_t shards_of(const v1::Task& task, const manifest::Testlet& testlet, uint32_t edges, uint32_t lanes) {
  const bool divisible = task.role() == v1::SOURCE && testlet.probes && testlet.schedule.tickets &&
                         !testlet.heavy && task.schedule().samples() == 0;
  if (!divisible) return 1;
  return schedule::lanes_worth({.targets = edges,
                                .count = task.schedule().count(),
                                .interval_ns = task.schedule().interval_ns(),
                                .rate = task.schedule().rate(),
                                .duration_ns = task.schedule().duration_ns(),
                                .burst = std::max(1u, task.schedule().burst())},
                               lanes);
}

uint32_t usable_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  return sched_getaffinity(0, sizeof cores, &cores) == 0 ? static_cast<uint32_t>(CPU_COUNT(&cores)) : 1;
}

// Of the ends of two shards the one that says more.
bool worse(const v1::PeriodClosed& a, const v1::PeriodClosed& b) {
  const auto rank = [](const std::string& state) {
    return state == "error" ? 2 : state == "cancelled" ? 1 : 0;
  };
  return rank(a.state()) > rank(b.state());
}

}  // namespace

SupervisorOptions default_options() {
  std::error_code ignored;
  const auto here = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  SupervisorOptions options;
  options.worker_binary = (here / "todd-worker").string();
  if (const char* const credentials = std::getenv("CREDENTIALS_DIRECTORY"); credentials != nullptr)
    options.secrets.credentials = credentials;
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
  std::string no_worker;                // why the last attempt to start one failed; "" if it did not
  io::HandlePtr restart, beat, burial, answering;
  int beats_missed = 0;
  std::string engine, why;
  std::map<std::string, TaskState> tasks;
  std::vector<v1::Task> waiting;  // prepares that came while no worker lived
  std::vector<Refusal> refusals;  // to be told in the next turn
  Strikes strikes;
  int64_t born_ns = 0, backoff_ns = kFirstBackoffNs;

  Impl(io::Loop& l, SupervisorOptions o, Events e) : loop(l), options(std::move(o)), events(std::move(e)) {
    if (options.lanes == 0) options.lanes = std::clamp(usable_cores(), 1u, kMostLanes);
  }

  Status spawn() {
    std::vector<std::string> libraries;
    for (const auto& file : found)
      if (file.error.empty()) libraries.push_back(file.path);
    WorkerProcess::Events hooks;
    hooks.message = [this](const v1::FromWorker& message) { on_message(message); };
    hooks.died = [this](const std::string& reason) { on_died(reason); };
    auto made =
        WorkerProcess::spawn(loop, options.worker_binary, {io::engine_text(options.engine), options.lanes},
                             libraries, std::move(hooks));
    if (!made) return tl::unexpected(made.error());
    worker = std::move(*made);
    born_ns = monotonic_ns();
    no_worker.clear();
    for (auto& task : std::exchange(waiting, {})) hand_over(std::move(task));
    if (!tasks.empty()) watch();
    return {};
  }

  // The results' memory is ours, so that nothing about it need be believed.
  void hand_over(v1::Task task) {
    auto& state = tasks[task.id()];
    const uint32_t shards = shards_of(task, *state.testlet, state.edges, options.lanes);
    std::vector<UniqueFd> memory;
    for (uint32_t i = 0; i < shards; ++i) {
      auto made = TaskCells::make(*state.testlet, state.edges, schedule::shard_of(state.edges, i, shards),
                                  stats::sample_slots_for(task.schedule().samples()));
      if (!made) return refuse(task.id(), "local_resource", made.error().detail);
      state.cells.push_back(std::move(made->cells));
      memory.push_back(std::move(made->fd));
    }
    for (auto& fd : memory) worker->send_descriptor(std::move(fd));
    v1::ToWorker message;
    message.mutable_prepare()->set_shards(shards);
    *message.mutable_prepare()->mutable_task() = std::move(task);
    worker->send(message);
  }

  void refuse(const std::string& task, const std::string& reason, const std::string& detail) {
    tasks.erase(task);
    refusals.push_back({task, reason, detail});
    if (answering) return;
    answering = loop.after(0, [this] {
      const io::HandlePtr done = std::move(answering);
      for (const auto& one : std::exchange(refusals, {})) failed(one.task, one.reason, one.detail);
    });
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
      return worker->kill(fmt::format("was killed: it hung, no sign of life for {}",
                                      manifest::format_duration(options.hang_limit_ns)));
    }
    v1::ToWorker question;
    question.mutable_beat();
    worker->send(question);
    await_beat();
  }

  const manifest::Found* file_of(const std::string& testlet) const {
    for (const auto& file : found)
      if (file.error.empty() && file.manifest.testlet(testlet) != nullptr) return &file;
    return nullptr;
  }

  void prepare(v1::Task task) {
    if (tasks.contains(task.id())) return;
    const auto* file = file_of(task.testlet());
    if (file == nullptr)
      return refuse(task.id(), "testlet_missing",
                    fmt::format("this host has no testlet \"{}\"", task.testlet()));
    const std::string& hash = file->manifest.hash;
    // Values go by position: another version of the testlet would read them as others.
    if (!task.manifest_hash().empty() && task.manifest_hash() != hash) {
      const auto& version = file->manifest.testlet(task.testlet())->version;
      return refuse(task.id(), "unsupported",
                    fmt::format("the test needs {} with manifest {:.12}, this host has version {} with "
                                "manifest {:.12}: install the same "
                                "version on both",
                                task.testlet(), task.manifest_hash(), version, hash));
    }
    if (const auto text = strikes.quarantine_of(task.testlet()); !text.empty())
      return refuse(task.id(), "quarantined", text);
    const auto edges = count_edges(task);
    if (!edges) return refuse(task.id(), "bad_param", edges.error().detail);
    if (!no_worker.empty()) return refuse(task.id(), "local_resource", no_worker);
    if (auto filled = fill_secrets(task, options.secrets); !filled)
      return refuse(task.id(), "secret_missing", filled.error().detail);
    auto& state = tasks[task.id()];
    state.testlet = file->manifest.testlet(task.testlet());
    state.edges = *edges;
    task.set_manifest_hash(hash);  // for the worker, which reads the file later
    if (!worker) return waiting.push_back(std::move(task));
    if (!beat) watch();
    hand_over(std::move(task));
  }

  void stop(const std::string& task, bool cancel) {
    if (!tasks.contains(task)) return;
    if (std::erase_if(waiting, [&](const v1::Task& one) { return one.id() == task; }) > 0)
      return refuse(task, "cancelled", "stopped before it was prepared");
    if (!worker) return;
    v1::ToWorker message;
    message.mutable_stop()->set_task(task);
    message.mutable_stop()->set_cancel(cancel);
    worker->send(message);
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
        if (events.changed) events.changed();
        return;
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

  void on_closed(const v1::PeriodClosed& closed) {
    const auto it = tasks.find(closed.task());
    const bool known = it != tasks.end() && closed.shard() < it->second.cells.size();
    std::vector<v1::Record> records;
    if (known) records = it->second.cells[closed.shard()]->read(closed);
    v1::ToWorker copied;
    copied.mutable_copied()->set_task(closed.task());
    copied.mutable_copied()->set_shard(closed.shard());
    worker->send(copied);
    if (!known) return;
    const bool last = closed.last() && end_shard(it->second, closed);
    if (last) {
      const v1::PeriodClosed& end = it->second.ended;
      records.back().set_last(true);
      records.back().set_state(end.state());
      records.back().set_reason(end.reason());
      records.back().set_detail(end.detail());
    }
    deliver(closed.task(), std::move(records), last);
  }

  // Whether that was the last.
  static bool end_shard(TaskState& task, const v1::PeriodClosed& closed) {
    if (task.shards_ended == 0 || worse(closed, task.ended)) task.ended = closed;
    return ++task.shards_ended == task.cells.size();
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

  static Result<UniqueFd> open_icmp(const v1::NeedSocket& need, v1::GotSocket& got) {
    auto icmp = io::open_icmp(need.family() == 6 ? AF_INET6 : AF_INET, wire::egress_of(need.egress()));
    if (!icmp) return tl::unexpected(icmp.error());
    got.set_raw(icmp->is_raw);
    return std::move(icmp->fd);
  }

  void on_need(const v1::NeedSocket& need) {
    v1::ToWorker reply;
    auto& got = *reply.mutable_socket();
    got.set_id(need.id());
    got.set_family(need.family());
    got.set_packet(need.packet());
    if (auto fd = need.packet() ? io::open_packet_socket() : open_icmp(need, got)) {
      worker->send_descriptor(std::move(*fd));
    } else {
      got.set_error(fd.error().detail);
      got.set_bad_param(fd.error().code == Errc::invalid);
    }
    worker->send(reply);
  }

  void on_died(const std::string& reason) {
    log(LogLevel::warn, "supervisor", fmt::format("worker {}", reason));
    dead = std::move(worker);
    burial = loop.after(0, [this] { dead.reset(); });
    if (monotonic_ns() - born_ns > kHealthyNs) backoff_ns = kFirstBackoffNs;
    restart_later();
    const std::string where = blame(reason);
    auto lost = std::exchange(tasks, {});
    for (auto& [id, task] : lost) end_lost(id, task, reason + where);
  }

  // A strike for each testlet in whose code the worker was; returns their names for the reason.
  std::string blame(const std::string& reason) {
    std::set<std::string> inside;
    for (const auto& [id, task] : tasks)
      for (const auto& cells : task.cells)
        if (cells->in_testlet()) inside.insert(task.testlet->id);
    bool changed = false;
    for (const auto& testlet : inside) changed |= strikes.add(testlet, reason, monotonic_ns());
    if (changed && events.changed) events.changed();
    return inside.empty() ? "" : fmt::format(", in the code of {}", fmt::join(inside, " and "));
  }

  void restart_later() {
    restart = loop.after(backoff_ns, [this] { restart_worker(); });
    backoff_ns = std::min(backoff_ns * 2, kLastBackoffNs);
  }

  void end_lost(const std::string& id, TaskState& task, const std::string& reason) {
    if (!task.ready) return failed(id, "testlet_crashed", "the worker " + reason);
    std::vector<v1::Record> records;
    for (const auto& cells : task.cells)
      for (auto& record : cells->salvage({task.started_wall_ns, wall_ns()}))
        records.push_back(std::move(record));
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
    auto spawned = spawn();
    if (spawned) return;
    no_worker = fmt::format("no worker can be started: {}; the next attempt is in {}", spawned.error().detail,
                            manifest::format_duration(backoff_ns));
    log(LogLevel::error, "supervisor", no_worker);
    for (const auto& task : std::exchange(waiting, {})) refuse(task.id(), "local_resource", no_worker);
    restart_later();
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
std::vector<Supervisor::Quarantined> Supervisor::quarantined() const {
  std::vector<Quarantined> out;
  for (const auto& [testlet, why] : impl_->strikes.quarantined())
    if (const auto* file = impl_->file_of(testlet)) out.push_back({testlet, file->path, why});
  return out;
}
const std::string& Supervisor::engine() const { return impl_->engine; }
const std::string& Supervisor::engine_why() const { return impl_->why; }
int Supervisor::worker_pid() const { return impl_->worker ? impl_->worker->pid() : 0; }
size_t Supervisor::open_tasks() const { return impl_->tasks.size(); }

void Supervisor::prepare(const v1::Task& task) { impl_->prepare(task); }

void Supervisor::start_task(const std::string& task, int64_t at_wall_ns) {
  const auto it = impl_->tasks.find(task);
  if (it == impl_->tasks.end() || !impl_->worker) return;
  if (it->second.started_wall_ns == 0) it->second.started_wall_ns = at_wall_ns;
  v1::ToWorker message;
  message.mutable_start()->set_task(task);
  message.mutable_start()->set_at_wall_ns(at_wall_ns);
  impl_->worker->send(message);
}

void Supervisor::end() {
  if (impl_->worker) impl_->worker->kill("is not wanted any more");
}

void Supervisor::stop_task(const std::string& task, bool cancel) { impl_->stop(task, cancel); }

}  // namespace todd::supervise
