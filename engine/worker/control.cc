#include "engine/worker/control.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "coordinator/proto/egress.h"
#include "coordinator/proto/histogram.h"
#include "engine/io/frame.h"
#include "engine/io/sockets.h"
#include "engine/manifest/elf.h"
#include "engine/worker/make_setup.h"
#include "todd/v1/worker.pb.h"

namespace todd::worker {
namespace {

constexpr size_t kMaxControlFrame = 64u << 20;  // a task may list a million targets

}  // namespace

struct Control::Pending {
  std::unique_ptr<lane::TaskSetup> setup;  // none: stopped meanwhile, or handed over
  v1::Ready ready;
  size_t names_open = 0;
  int sockets_open = 0;
};

Control::Control(io::Loop& loop, Options options)
    : loop_(loop), options_(std::move(options)), resolver_(loop) {}

Control::~Control() {
  lane_.reset();  // before the channel its events write to
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
  auto lane = lane::Lane::start(options_.backend, lane_events());
  if (!lane) return tl::unexpected(lane.error());
  lane_ = std::move(*lane);
  v1::FromWorker hello;
  hello.mutable_hello()->set_pid(static_cast<uint32_t>(getpid()));
  hello.mutable_hello()->set_engine(lane_->engine());
  hello.mutable_hello()->set_engine_why(lane_->why());
  send(hello);
  return {};
}

void Control::send(const v1::FromWorker& message) {
  std::string frame;
  io::append_frame(frame, message.SerializeAsString());
  channel_->send(frame);
}

lane::Lane::Events Control::lane_events() {
  lane::Lane::Events events;
  events.instance.ready = [this](const std::string& id, uint16_t port) {
    loop_.post([this, id, port] {
      v1::FromWorker message;
      auto& ready = *message.mutable_ready();
      if (const auto it = endpoints_.find(id); it != endpoints_.end()) {
        ready = it->second->ready;
        endpoints_.erase(it);
      }
      ready.set_task(id);
      ready.set_port(port);
      send(message);
    });
  };
  events.instance.failed = [this](const std::string& id, const std::string& reason,
                                  const std::string& detail) {
    loop_.post([=, this] { failed(id, reason, detail); });
  };
  events.instance.closed = [this](const std::string& id, const lane::Closed& closed) {
    v1::FromWorker message;
    auto& out = *message.mutable_closed();
    out.set_task(id);
    out.set_bank(closed.bank);
    out.set_from_wall_ns(closed.from_wall_ns);
    out.set_to_wall_ns(closed.to_wall_ns);
    out.set_last(closed.last);
    out.set_state(closed.state);
    out.set_reason(closed.reason);
    out.set_detail(closed.detail);
    auto& quality = *out.mutable_quality();
    quality.set_engine(lane_ != nullptr ? lane_->engine() : "");
    quality.set_tx_stamp(closed.tx_stamp);
    quality.set_rx_stamp(closed.rx_stamp);
    quality.set_local_drops(closed.local_drops);
    quality.set_unmatched(closed.unmatched);
    quality.set_received(closed.received);
    if (closed.lateness.count != 0) wire::put_histogram(closed.lateness, *quality.mutable_lateness());
    loop_.post([this, message = std::move(message)] { send(message); });
  };
  events.instance.resolve = [this](const std::string& id, uint64_t token, const std::string& name) {
    loop_.post([=, this] {
      resolver_.resolve(name, AF_UNSPEC, [this, id, token](Result<std::vector<std::string>> found) {
        const int error = found ? 0 : found.error().code == Errc::timed_out ? ETIMEDOUT : ENOENT;
        lane_->resolved(id, token, found ? std::move(*found) : std::vector<std::string>{}, error);
      });
    });
  };
  events.ended = [this](std::unique_ptr<lane::TaskSetup> setup) {
    auto shared = std::make_shared<std::unique_ptr<lane::TaskSetup>>(std::move(setup));
    loop_.post([this, shared] { ended(std::move(*shared)); });
  };
  return events;
}

void Control::ended(std::unique_ptr<lane::TaskSetup> setup) { setup->testlet->destroy(setup->instance); }

void Control::failed(const std::string& task, const std::string& reason, const std::string& detail) {
  preparing_.erase(task);
  endpoints_.erase(task);
  v1::FromWorker message;
  message.mutable_failed()->set_task(task);
  message.mutable_failed()->set_reason(reason);
  message.mutable_failed()->set_detail(detail);
  send(message);
}

void Control::on_message(const v1::ToWorker& message) {
  switch (message.m_case()) {
    case v1::ToWorker::kPrepare: return prepare(message.prepare());
    case v1::ToWorker::kStart: return lane_->start_task(message.start().task(), message.start().at_wall_ns());
    case v1::ToWorker::kStop: return stop(message.stop());
    case v1::ToWorker::kCopied: return lane_->copied(message.copied().task());
    case v1::ToWorker::kSocket: return on_socket(message.socket());
    case v1::ToWorker::kBeat:
      return lane_->echo([this] {
        loop_.post([this] {
          v1::FromWorker answer;
          answer.mutable_beat();
          send(answer);
        });
      });
    case v1::ToWorker::M_NOT_SET: return;
  }
}

// The shared memory that comes with every prepare.
Result<Mapping> Control::receive_cells() {
  auto fd = io::receive_fd(options_.descriptors.get());
  if (!fd) return tl::unexpected(fd.error());
  struct stat about {};
  if (fstat(fd->get(), &about) != 0) return fail_errno(errno, "the results' memory");
  return Mapping::of(fd->get(), static_cast<size_t>(about.st_size), Mapping::Access::write);
}

void Control::prepare(const v1::Prepare& prepare) {
  const auto& task = prepare.task();
  auto cells = receive_cells();
  if (!cells) return failed(task.id(), "local_resource", cells.error().detail);
  const auto library = library_of_.find(task.testlet());
  if (library == library_of_.end())
    return failed(task.id(), "testlet_missing",
                  fmt::format("this host has no testlet \"{}\"", task.testlet()));
  auto loaded = [&] {
    const stats::InTestlet mark(cells->data());  // its initialisers run
    return libraries_.load(library->second, task.testlet());
  }();
  if (!loaded) return failed(task.id(), "testlet_missing", loaded.error().detail);
  if (loaded->manifest_hash != task.manifest_hash())
    return failed(task.id(), "unsupported",
                  fmt::format("{} was replaced while the agent ran: restart the agent", library->second));
  auto setup = make_setup(task, *loaded);
  if (!setup) return failed(task.id(), "bad_param", setup.error().detail);
  if ((*setup)->layout->bytes() != cells->size())
    return failed(
        task.id(), "internal",
        fmt::format("the results take {} bytes, there are {}", (*setup)->layout->bytes(), cells->size()));
  auto pending = std::make_shared<Pending>();
  pending->setup = std::move(*setup);
  pending->setup->shared = std::move(*cells);
  pending->setup->cells = pending->setup->shared.data();
  preparing_[task.id()] = pending;
  resolve_names(pending);
}

void Control::stop(const v1::Stop& stop) {
  const auto it = preparing_.find(stop.task());
  if (it == preparing_.end()) return lane_->stop(stop.task(), stop.cancel());
  it->second->setup.reset();  // what still comes for it finds nothing
  failed(stop.task(), "cancelled", "stopped before it was ready");
}

void Control::resolve_names(const std::shared_ptr<Pending>& pending) {
  const auto names = names_of(*pending->setup);
  pending->names_open = names.size() + 1;
  auto done_one = [this, pending] {
    if (--pending->names_open == 0) need_sockets(pending);
  };
  for (const auto& name : names) {
    resolver_.resolve(name.text, AF_UNSPEC,
                      [pending, name, done_one](Result<std::vector<std::string>> found) {
                        if (!pending->setup) return;
                        auto& setup = *pending->setup;
                        auto& endpoint = *pending->ready.add_endpoints();
                        for (const auto& target : setup.targets)
                          if (target.spec == name.spec) endpoint.set_edge(target.edge);
                        if (!found) {
                          endpoint.set_error(found.error().detail);
                        } else if (!set_address(setup, name.spec, *found)) {
                          endpoint.set_error(fmt::format("{}: no address of the wanted family", name.text));
                        } else {
                          for (const auto& target : setup.targets)
                            if (target.spec == name.spec)
                              endpoint.set_address(io::format_address(target.address));
                        }
                        done_one();
                      });
  }
  done_one();
}

void Control::need_sockets(const std::shared_ptr<Pending>& pending) {
  auto& setup = *pending->setup;
  const bool source = setup.run.role == TODD_SOURCE;
  drop_unresolved(setup);
  if (source && setup.targets.empty()) {
    std::string detail;
    for (const auto& endpoint : pending->ready.endpoints())
      detail += (detail.empty() ? "" : "; ") + endpoint.error();
    return failed(setup.id, "name_resolution", detail.empty() ? "no target" : detail);
  }
  bool wanted[2] = {false, false};
  if (source && (setup.testlet->needs & TODD_NEED_RAW) != 0) {
    for (const auto& target : setup.targets) wanted[target.address.sa.sa_family == AF_INET6 ? 1 : 0] = true;
  }
  pending->sockets_open = wanted[0] + wanted[1];
  if (pending->sockets_open == 0) return hand_over(pending);
  for (int i = 0; i < 2; ++i) {
    if (!wanted[i]) continue;
    v1::FromWorker message;
    auto& need = *message.mutable_need();
    need.set_id(++next_socket_);
    need.set_family(i == 0 ? 4 : 6);
    wire::put_egress(setup.egress, *need.mutable_egress());
    waiting_sockets_[next_socket_] = pending;
    send(message);
  }
}

void Control::on_socket(const v1::GotSocket& got) {
  const auto it = waiting_sockets_.find(got.id());
  if (it == waiting_sockets_.end()) return;
  const auto pending = it->second;
  waiting_sockets_.erase(it);
  lane::TaskSetup::Icmp icmp{.fd = {}, .raw = got.raw(), .error = got.error(), .bad_param = got.bad_param()};
  if (icmp.error.empty()) {
    auto fd = io::receive_fd(options_.descriptors.get());
    if (fd)
      icmp.fd = std::move(*fd);
    else
      icmp.error = fd.error().detail;
  }
  if (!pending->setup) return;
  pending->setup->icmp[got.family() == 6 ? 1 : 0] = std::move(icmp);
  if (--pending->sockets_open == 0) hand_over(pending);
}

void Control::hand_over(const std::shared_ptr<Pending>& pending) {
  auto& setup = *pending->setup;
  todd_error error{.size = sizeof error, .code = 0, .text = {}};
  todd_status status = 0;
  {
    const stats::InTestlet mark(setup.cells);
    if (setup.testlet->check != nullptr) status = setup.testlet->check(&lane_->host(), &setup.run, &error);
    if (status >= 0) status = setup.testlet->create(&lane_->host(), &setup.run, &setup.instance, &error);
  }
  if (status < 0) {
    const char* reason = status == TODD_E_UNSUPPORTED ? "unsupported"
                         : status == TODD_E_PARAM     ? "bad_param"
                                                      : "local_resource";
    return failed(setup.id, reason,
                  error.text[0] != '\0' ? std::string(error.text)
                                        : fmt::format("the testlet refused the task ({})", status));
  }
  preparing_.erase(setup.id);
  endpoints_[setup.id] = pending;
  lane_->prepare(std::move(pending->setup));
}

}  // namespace todd::worker
