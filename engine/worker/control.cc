#include "engine/worker/control.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <numeric>

#include "coordinator/proto/egress.h"
#include "coordinator/proto/histogram.h"
#include "engine/base/clock.h"
#include "engine/io/frame.h"
#include "engine/io/sockets.h"
#include "engine/io/stream_tls.h"
#include "engine/lane/errors.h"
#include "engine/manifest/elf.h"
#include "engine/worker/make_setup.h"
#include "engine/worker/process_cpu.h"
#include "todd/v1/worker.pb.h"

namespace todd::worker {
namespace {

constexpr size_t kMaxControlFrame = 64u << 20;  // a task may list a million targets

}  // namespace

struct Control::Pending {
  // One, until its names are resolved; then its shards. None: stopped meanwhile, or handed over.
  std::vector<std::unique_ptr<lane::TaskSetup>> shards;
  std::vector<Mapping> cells;  // by shard
  uint32_t edges = 0;
  v1::Ready ready;
  size_t names_open = 0;
  int sockets_open = 0;
};

struct Control::Running {
  std::vector<uint32_t> lanes;  // by shard
  std::vector<uint32_t> first_edges;
  uint64_t serial = 0;  // of the set-ups: an id may come again before the lanes have let go of them
  uint32_t ready = 0, ended = 0;
  bool failed = false;  // and said so
  bool begun = false;
  uint32_t company = 0;  // the most others that had begun and not ended meanwhile
  ProcessCpu worker_cpu;
  v1::Ready message;  // what names resolved to
};

Control::Control(io::Loop& loop, Options options)
    : loop_(loop), options_(std::move(options)), resolver_(loop) {}

Control::~Control() {
  bulk_lanes_.clear();  // no lane gives a job to one that is gone
  lanes_.clear();       // before the channel their events write to
}

Status Control::start() {
  for (const auto& path : options_.libraries) {
    if (auto manifest = manifest::read_manifest(path))
      for (const auto& testlet : manifest->testlets) library_of_[testlet.id] = path;
  }
  io::Channel::Events events;
  events.on_data = [this](std::string_view bytes) {
    size_t used = 0;
    std::string_view payload;
    for (;;) {
      auto n = io::next_frame(bytes.substr(used), payload, kMaxControlFrame);
      if (!n || *n == 0) break;
      used += *n;
      v1::ToWorker message;
      if (message.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) on_message(message);
    }
    return used;
  };
  events.on_close = [this](const Error&) { loop_.stop(); };
  channel_ = io::adopt(loop_, std::move(options_.control), nullptr, std::move(events),
                       {.write_limit = kMaxControlFrame});
  if (auto started = add_lane(); !started) return started;
  v1::FromWorker hello;
  hello.mutable_hello()->set_pid(static_cast<uint32_t>(getpid()));
  hello.mutable_hello()->set_engine(lanes_[0].lane->engine());
  hello.mutable_hello()->set_engine_why(lanes_[0].lane->why());
  send(hello);
  return {};
}

void Control::send(const v1::FromWorker& message) {
  std::string frame;
  io::append_frame(frame, message.SerializeAsString());
  channel_->send(frame);
}

Status Control::add_lane() {
  auto lane = lane::Lane::start(options_.engine, lane_events(static_cast<uint32_t>(lanes_.size())));
  if (!lane) return tl::unexpected(lane.error());
  lanes_.push_back({.lane = std::move(*lane)});
  bulk_lanes_.add(*lanes_.back().lane);
  return {};
}

// They are told on the lane's thread and carried to ours.
lane::Lane::Events Control::lane_events(uint32_t lane) {
  lane::Lane::Events events;
  events.instance.move = [this](const std::shared_ptr<lane::BulkJob>& job) { return bulk_lanes_.place(job); };
  events.instance.ready = [this](const std::string& id, uint16_t port) {
    loop_.post([=, this] { on_ready(id, port); });
  };
  events.instance.refused = [this, lane](const std::string& id,
                                         const lane::InstanceEvents::Refused& refused) {
    loop_.post([=, this] { on_refused(id, lane, refused); });
  };
  events.instance.failed = [this, lane](const std::string& id, const std::string& reason,
                                        const std::string& detail) {
    loop_.post([=, this] { on_failed(id, lane, reason, detail); });
  };
  events.instance.closed = [this](const std::string& id, const lane::Closed& closed) {
    loop_.post([=, this] { on_closed(id, closed); });
  };
  events.instance.resolve = [this, lane](const std::string& id, uint64_t token, const std::string& name) {
    loop_.post([=, this] {
      resolver_.resolve(name, AF_UNSPEC, [this, lane, id, token](Result<std::vector<std::string>> found) {
        const int error = found ? 0 : found.error().code == Errc::timed_out ? ETIMEDOUT : ENOENT;
        lanes_[lane].lane->resolved(id, token, found ? std::move(*found) : std::vector<std::string>{}, error);
      });
    });
  };
  events.ended = [this, lane](std::unique_ptr<lane::TaskSetup> setup) {
    auto shared = std::make_shared<std::unique_ptr<lane::TaskSetup>>(std::move(setup));
    loop_.post([this, lane, shared] { on_ended(lane, std::move(*shared)); });
  };
  return events;
}

void Control::on_refused(const std::string& task, uint32_t lane,
                         const lane::InstanceEvents::Refused& refused) {
  const auto it = running_.find(task);
  if (it == running_.end()) return;
  Running& running = it->second;
  const auto shard = std::find(running.lanes.begin(), running.lanes.end(), lane) - running.lanes.begin();
  for (const auto& [edge, why] : refused) {
    auto& endpoint = *running.message.add_endpoints();
    endpoint.set_edge(running.first_edges.at(static_cast<size_t>(shard)) + edge);
    endpoint.set_error(why);
    endpoint.set_reason("bad_param");
  }
}

void Control::on_ready(const std::string& task, uint16_t port) {
  const auto it = running_.find(task);
  if (it == running_.end() || ++it->second.ready < it->second.lanes.size()) return;
  v1::FromWorker message;
  *message.mutable_ready() = std::move(it->second.message);
  message.mutable_ready()->set_task(task);
  message.mutable_ready()->set_port(port);
  send(message);
}

// A shard that cannot start ends the others, too: a task is prepared whole or not at all.
void Control::on_failed(const std::string& task, uint32_t lane, const std::string& reason,
                        const std::string& detail) {
  const auto it = running_.find(task);
  if (it == running_.end() || std::exchange(it->second.failed, true)) return;
  for (const uint32_t other : it->second.lanes)
    if (other != lane) lanes_[other].lane->stop(task, true);
  failed(task, reason, detail);
}

void Control::on_closed(const std::string& task, const lane::Closed& closed) {
  v1::FromWorker message;
  auto& out = *message.mutable_closed();
  out.set_task(task);
  out.set_shard(closed.shard);
  out.set_bank(closed.bank);
  out.set_from_wall_ns(closed.from_wall_ns);
  out.set_to_wall_ns(closed.to_wall_ns);
  out.set_last(closed.last);
  out.set_state(closed.state);
  out.set_reason(closed.reason);
  out.set_detail(closed.detail);
  auto& quality = *out.mutable_quality();
  quality.set_engine(lanes_[0].lane->engine());
  quality.set_tx_stamp(closed.tx_stamp);
  quality.set_rx_stamp(closed.rx_stamp);
  quality.set_local_drops(closed.local_drops);
  quality.set_unmatched(closed.unmatched);
  quality.set_received(closed.received);
  quality.set_lane_cpu_ns(static_cast<uint64_t>(closed.lane_cpu_ns));
  if (const auto it = running_.find(task); it != running_.end()) {
    Running& running = it->second;
    quality.set_worker_cpu_ns(
        static_cast<uint64_t>(running.worker_cpu.add(closed.worker_cpu_from_ns, closed.worker_cpu_to_ns)));
    quality.set_other_tasks(running.company);
  }
  if (closed.lateness.count != 0) wire::put_histogram(closed.lateness, *quality.mutable_lateness());
  send(message);
}

void Control::count_company() {
  const auto begun =
      std::count_if(running_.begin(), running_.end(), [](const auto& one) { return one.second.begun; });
  for (auto& [id, running] : running_)
    if (running.begun) running.company = std::max(running.company, static_cast<uint32_t>(begun - 1));
}

void Control::on_ended(uint32_t lane, std::unique_ptr<lane::TaskSetup> setup) {
  setup->testlet->destroy(setup->instance);
  --lanes_[lane].tasks;
  const auto it = running_.find(setup->id);
  if (it == running_.end() || it->second.serial != setup->serial) return;
  if (++it->second.ended == it->second.lanes.size()) running_.erase(it);
}

void Control::failed(const std::string& task, const std::string& reason, const std::string& detail) {
  preparing_.erase(task);
  v1::FromWorker message;
  message.mutable_failed()->set_task(task);
  message.mutable_failed()->set_reason(reason);
  message.mutable_failed()->set_detail(detail);
  send(message);
}

void Control::on_message(const v1::ToWorker& message) {
  switch (message.m_case()) {
    case v1::ToWorker::kPrepare: return prepare(message.prepare());
    case v1::ToWorker::kStart: return start_task(message.start().task(), message.start().at_wall_ns());
    case v1::ToWorker::kStop: return stop(message.stop());
    case v1::ToWorker::kCopied: {
      const auto it = running_.find(message.copied().task());
      if (it != running_.end() && message.copied().shard() < it->second.lanes.size())
        lanes_[it->second.lanes[message.copied().shard()]].lane->copied(it->first);
      return;
    }
    case v1::ToWorker::kSocket: return on_socket(message.socket());
    case v1::ToWorker::kBeat: return answer_beat(0);
    case v1::ToWorker::M_NOT_SET: return;
  }
}

// A sign of life goes through every lane.
void Control::answer_beat(size_t lane) {
  if (lane < lanes_.size())
    return lanes_[lane].lane->echo([this, lane] { loop_.post([=, this] { answer_beat(lane + 1); }); });
  v1::FromWorker answer;
  answer.mutable_beat();
  send(answer);
}

void Control::start_task(const std::string& task, int64_t at_wall_ns) {
  const auto it = running_.find(task);
  if (it == running_.end()) return;
  for (const uint32_t lane : it->second.lanes) lanes_[lane].lane->start_task(task, at_wall_ns);
  it->second.begun = true;
  count_company();
}

// The shared memory that comes with every prepare.
Result<std::vector<Mapping>> Control::receive_cells(uint32_t shards) {
  std::vector<Mapping> out;
  for (uint32_t i = 0; i < shards; ++i) {
    auto fd = io::receive_fd(options_.descriptors.get());
    if (!fd) return tl::unexpected(fd.error());
    struct stat about {};
    if (fstat(fd->get(), &about) != 0) return fail_errno(errno, "the results' memory");
    auto mapped = Mapping::of(fd->get(), static_cast<size_t>(about.st_size), Mapping::Access::write);
    if (!mapped) return tl::unexpected(mapped.error());
    out.push_back(std::move(*mapped));
  }
  return out;
}

void Control::prepare(const v1::Prepare& prepare) {
  const auto& task = prepare.task();
  auto cells = receive_cells(std::max(prepare.shards(), 1u));
  if (!cells) return failed(task.id(), "local_resource", cells.error().detail);
  const auto library = library_of_.find(task.testlet());
  if (library == library_of_.end())
    return failed(task.id(), "testlet_missing",
                  fmt::format("this host has no testlet \"{}\"", task.testlet()));
  auto loaded = [&] {
    const stats::InTestlet mark(cells->front().data());  // its initialisers run
    return libraries_.load(library->second, task.testlet());
  }();
  if (!loaded) return failed(task.id(), "testlet_missing", loaded.error().detail);
  if (loaded->manifest_hash != task.manifest_hash())
    return failed(task.id(), "unsupported",
                  fmt::format("{} was replaced while the agent ran: restart the agent", library->second));
  auto setup = make_setup(task, *loaded);
  if (!setup) return failed(task.id(), "bad_param", setup.error().detail);
  auto pending = std::make_shared<Pending>();
  pending->edges = edges_of(**setup);
  pending->cells = std::move(*cells);
  pending->shards.push_back(std::move(*setup));
  preparing_[task.id()] = pending;
  resolve_names(pending);
}

void Control::stop(const v1::Stop& stop) {
  if (const auto it = running_.find(stop.task()); it != running_.end()) {
    for (const uint32_t lane : it->second.lanes) lanes_[lane].lane->stop(stop.task(), stop.cancel());
    return;
  }
  const auto it = preparing_.find(stop.task());
  if (it == preparing_.end()) return;
  it->second->shards.clear();  // what still comes for it finds nothing
  failed(stop.task(), "cancelled", "stopped before it was ready");
}

void Control::resolve_names(const std::shared_ptr<Pending>& pending) {
  const auto names = names_of(*pending->shards[0]);
  pending->names_open = names.size() + 1;
  auto done_one = [this, pending] {
    if (--pending->names_open == 0) need_sockets(pending);
  };
  for (const auto& name : names) {
    resolver_.resolve(
        name.text, AF_UNSPEC,
        [pending, name, done_one, asked_ns = monotonic_ns()](Result<std::vector<std::string>> found) {
          if (pending->shards.empty()) return;
          auto& setup = *pending->shards[0];
          auto& endpoint = *pending->ready.add_endpoints();
          for (const auto& target : setup.targets)
            if (target.spec == name.spec) endpoint.set_edge(target.edge);
          if (!found) {
            endpoint.set_error(found.error().detail);
          } else if (auto set = set_address(setup, name.spec, *found); !set) {
            endpoint.set_error(set.error().detail);
          } else {
            endpoint.set_resolve_ns(static_cast<uint64_t>(std::max<int64_t>(1, monotonic_ns() - asked_ns)));
            for (const auto& target : setup.targets)
              if (target.spec == name.spec) endpoint.set_address(io::format_address(target.address));
          }
          done_one();
        });
  }
  done_one();
}

void Control::need_sockets(const std::shared_ptr<Pending>& pending) {
  auto& setup = *pending->shards[0];
  const bool source = setup.run.role == TODD_SOURCE;
  bool denied = false;
  for (const Denied& one : drop_denied(setup)) {
    auto& endpoint = *pending->ready.add_endpoints();
    endpoint.set_edge(one.edge);
    endpoint.set_edges(one.edges);
    endpoint.set_error(one.why);
    endpoint.set_reason("denied");
    denied = true;
  }
  drop_unresolved(setup);
  if (setup.egress.flow_label != 0) label_flows(setup);
  if (source && setup.targets.empty()) {
    std::string detail;
    for (const auto& endpoint : pending->ready.endpoints())
      detail += (detail.empty() ? "" : "; ") + endpoint.error();
    return failed(setup.id, denied ? "denied" : "name_resolution", detail.empty() ? "no target" : detail);
  }
  const bool wanted = source && needs_raw(setup);
  const bool frames = wanted && wants_frames(setup);
  pending->shards =
      divide(std::move(pending->shards[0]), pending->edges, static_cast<uint32_t>(pending->cells.size()));
  for (uint32_t i = 0; wanted && i < pending->shards.size(); ++i) {
    for (const int family : {AF_INET, AF_INET6})
      if (needs_family(*pending->shards[i], family)) need_socket(pending, i, family, false);
    if (frames && needs_family(*pending->shards[i], AF_INET)) need_socket(pending, i, AF_INET, true);
  }
  if (pending->sockets_open == 0) hand_over(pending);
}

void Control::need_socket(const std::shared_ptr<Pending>& pending, uint32_t shard, int family, bool packet) {
  ++pending->sockets_open;
  v1::FromWorker message;
  auto& need = *message.mutable_need();
  need.set_id(++next_socket_);
  need.set_family(family == AF_INET ? 4 : 6);
  need.set_packet(packet);
  wire::put_egress(pending->shards[shard]->egress, *need.mutable_egress());
  waiting_sockets_[next_socket_] = {pending, shard};
  send(message);
}

void Control::on_socket(const v1::GotSocket& got) {
  const auto it = waiting_sockets_.find(got.id());
  if (it == waiting_sockets_.end()) return;
  const auto [pending, shard] = it->second;
  waiting_sockets_.erase(it);
  lane::TaskSetup::Icmp icmp{.fd = {}, .raw = got.raw(), .error = got.error(), .bad_param = got.bad_param()};
  if (icmp.error.empty()) {
    auto fd = io::receive_fd(options_.descriptors.get());
    if (fd)
      icmp.fd = std::move(*fd);
    else
      icmp.error = fd.error().detail;
  }
  if (pending->shards.empty()) return;
  auto& setup = *pending->shards[shard];
  const std::string id = setup.id;
  --pending->sockets_open;
  if (!got.packet()) {
    setup.icmp[got.family() == 6 ? 1 : 0] = std::move(icmp);
  } else if (icmp.fd || setup.egress.path != SendPath::packet) {
    setup.packet = std::move(icmp.fd);
  } else {
    pending->shards.clear();
    return failed(id, "permission", "via: packet: " + icmp.error);
  }
  if (pending->sockets_open == 0) hand_over(pending);
}

// Those with the fewest tasks; another is started while all have some. `all`: they are to be there, for what
// the task has them do beside its shards.
Result<std::vector<uint32_t>> Control::choose_lanes(size_t shards, bool all) {
  const auto busy = [&] {
    return std::all_of(lanes_.begin(), lanes_.end(), [](const LaneSlot& slot) { return slot.tasks > 0; });
  };
  while (lanes_.size() < shards || ((all || busy()) && lanes_.size() < options_.lanes))
    if (auto added = add_lane(); !added) return tl::unexpected(added.error());
  std::vector<uint32_t> order(lanes_.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return lanes_[a].tasks < lanes_[b].tasks; });
  order.resize(shards);
  return order;
}

// Calls the testlet's check (once a task) and create.
Status Control::create(lane::TaskSetup& setup, bool check, std::string& reason) {
  todd_error error{.size = sizeof error, .code = 0, .text = {}};
  todd_status status = 0;
  const todd_host& host = lanes_[0].lane->host();
  {
    const stats::InTestlet mark(setup.cells);
    if (check && setup.testlet->check != nullptr) status = setup.testlet->check(&host, &setup.run, &error);
    if (status >= 0) status = setup.testlet->create(&host, &setup.run, &setup.instance, &error);
  }
  if (status >= 0) return {};
  reason = status == TODD_E_UNSUPPORTED ? "unsupported"
           : status == TODD_E_PARAM     ? "bad_param"
                                        : "local_resource";
  return fail(Errc::invalid, error.text[0] != '\0'
                                 ? std::string(error.text)
                                 : fmt::format("the testlet refused the task ({})", status));
}

void Control::hand_over(const std::shared_ptr<Pending>& pending) {
  auto shards = std::exchange(pending->shards, {});
  const std::string id = shards[0]->id;
  const auto give_up = [&](size_t created, const std::string& reason, const std::string& detail) {
    for (size_t i = 0; i < created; ++i) shards[i]->testlet->destroy(shards[i]->instance);
    failed(id, reason, detail);
  };
  // What URLs are tested by may speak TLS. Read here, so that no lane, which other tests share, waits for it.
  if (shards[0]->manifest.target_kind == "url" && shards[0]->run.role == TODD_SOURCE)
    io::read_trusted_authorities();
  const auto lanes = choose_lanes(shards.size(), shards[0]->manifest.bulk);
  if (!lanes) return give_up(0, "local_resource", lanes.error().detail);
  for (size_t i = 0; i < shards.size(); ++i) {
    auto& setup = *shards[i];
    if (setup.layout->bytes() != pending->cells[i].size())
      return give_up(i, "internal",
                     fmt::format("the results take {} bytes, there are {}", setup.layout->bytes(),
                                 pending->cells[i].size()));
    setup.shared = std::move(pending->cells[i]);
    setup.cells = setup.shared.data();
    std::string reason;
    if (auto made = create(setup, i == 0, reason); !made) return give_up(i, reason, made.error().detail);
  }
  preparing_.erase(id);
  std::vector<uint32_t> first_edges;
  for (const auto& shard : shards) first_edges.push_back(shard->shard.first_edge);
  running_[id] = {.lanes = *lanes,
                  .first_edges = std::move(first_edges),
                  .serial = ++next_serial_,
                  .message = std::move(pending->ready)};
  for (size_t i = 0; i < shards.size(); ++i) {
    auto& slot = lanes_[(*lanes)[i]];
    ++slot.tasks;
    shards[i]->serial = next_serial_;
    slot.lane->prepare(std::move(shards[i]));
  }
}

}  // namespace todd::worker
