// `todd serve TESTLET`: the responder of a testlet on this host until Ctrl-C.

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>

#include "coordinator/cli/command.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/host_testlets.h"
#include "coordinator/cli/param_flags.h"
#include "coordinator/run/params.h"
#include "engine/base/clock.h"
#include "engine/manifest/params.h"
#include "engine/supervise/supervisor.h"
#include "todd/v1/task.pb.h"

namespace todd::cli {
namespace {

constexpr const char* kTask = "serve";
constexpr int kQuietPeriods = 3;  // of 1 s: the client has gone
constexpr int64_t kStopWaitNs = 2'000'000'000;

struct ServeCommand {
  manifest::Testlet testlet;
  std::unique_ptr<ParamFlags> params;
  std::string engine = "auto", secrets = default_secrets();
  uint16_t port = 0;
  bool once = false;
};

Result<v1::Task> task_of(const ServeCommand& command) {
  auto given = command.params->given();
  // The responder of ping is its UDP echo; ICMP is answered by the system.
  if (const auto* mode = command.testlet.param("mode");
      mode != nullptr && given.count("mode") == 0 && command.testlet.id == "ping")
    given["mode"] = "udp";
  auto values = manifest::resolve_params(command.testlet.params, given);
  if (!values) return tl::unexpected(values.error());
  v1::Task task;
  task.set_id(kTask);
  task.set_run_id(kTask);
  task.set_testlet(command.testlet.id);
  task.set_role(v1::RESPONDER);
  task.set_listen_port(command.port != 0 ? command.port : command.testlet.default_port);
  task.mutable_schedule()->set_period_ns(1'000'000'000);
  run::encode_params(*values, task);
  return task;
}

std::string command_for_the_other_host(const ServeCommand& command, uint32_t port) {
  char host[256] = "HOST";
  gethostname(host, sizeof host - 1);
  const auto given = command.params->given();
  if (command.testlet.target_kind == "url") {
    const auto scheme = given.find("scheme");
    const bool https = scheme != given.end() && scheme->second == "https";
    const bool own = https && !given.contains("certificate");  // made here, signed by itself
    return fmt::format("todd try {} {}://{}:{}/{}", command.testlet.id, https ? "https" : "http", host, port,
                       own ? " --insecure true" : "");
  }
  if (command.testlet.id == "ping") {
    const auto mode = given.find("mode"), key = given.find("key");
    return fmt::format("todd try ping {}:{} --mode {}{}", host, port,
                       mode == given.end() ? "udp" : mode->second,
                       key == given.end() ? "" : " --key " + key->second);
  }
  return fmt::format("todd try {} {}:{}", command.testlet.id, host, port);
}

// What to say of a responder that could not begin, and how to leave. Testlets name no port.
int cannot_serve(const ServeCommand& command, const std::string& reason, const std::string& detail) {
  const unsigned port = command.port != 0 ? command.port : command.testlet.default_port;
  if (port != 0 && detail.find(std::strerror(EADDRINUSE)) != std::string::npos) {
    fmt::print(stderr, "todd: port {} is in use: give another with --port, or stop what listens there\n",
               port);
    return kUsage;
  }
  if (port != 0 && detail.find(std::strerror(EACCES)) != std::string::npos) {
    fmt::print(
        stderr,
        "todd: port {} may not be used: give one from 1024 up with --port, or grant CAP_NET_BIND_SERVICE\n",
        port);
    return kDenied;
  }
  fmt::print(stderr, "todd: {}\n", detail);
  return reason == "permission" ? kDenied : reason == "local_resource" ? kInternal : kUsage;
}

std::string check_port(const std::string& text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error == std::errc() && end == text.data() + text.size() && port <= UINT16_MAX) return "";
  return fmt::format("\"{}\" is no port; expected 1 to 65535", text);
}

int serve(const ServeCommand& command) {
  auto task = task_of(command);
  if (!task) return complain(task.error());
  auto options = supervise::default_options();
  auto engine = io::parse_engine(command.engine);
  if (!engine) return complain(engine.error());
  options.engine = *engine;
  options.secrets.folder = command.secrets;
  io::Loop loop;
  int code = kOk;
  int quiet = -1;  // periods since something came; -1: nothing has yet
  supervise::Supervisor* self = nullptr;
  io::HandlePtr give_up;
  auto stop = [&] {
    self->stop_task(kTask, false);
    give_up = loop.after(kStopWaitNs, [&] { loop.stop(); });
  };
  supervise::Supervisor::Events events;
  events.ready = [&](const v1::Ready& ready) {
    if (ready.port() == 0) {
      fmt::print(stderr, "todd: with these params there is nothing to serve: the system itself answers {}\n",
                 command.testlet.id);
      code = kUsage;
      return loop.stop();
    }
    fmt::print("{} answers on port {}; on the other host: {}\n", command.testlet.id, ready.port(),
               command_for_the_other_host(command, ready.port()));
    fflush(stdout);
    self->start_task(kTask, wall_ns());
  };
  events.failed = [&](const v1::Failed& failed) {
    code = cannot_serve(command, failed.reason(), failed.detail());
    loop.stop();
  };
  events.record = [&](v1::Record&& record) {
    if (record.last()) {
      if (record.state() == "error") {
        code = cannot_serve(command, "local_resource", record.detail());
      }
      return loop.stop();
    }
    if (record.quality().received() != 0)
      quiet = 0;
    else if (quiet >= 0 && !record.more() && ++quiet == kQuietPeriods && command.once)
      stop();
  };
  supervise::Supervisor supervisor(loop, std::move(options), std::move(events));
  self = &supervisor;
  if (auto started = supervisor.start(); !started) return complain(started.error());
  auto on_int = loop.on_signal(SIGINT, stop);
  auto on_term = loop.on_signal(SIGTERM, stop);
  supervisor.prepare(*task);
  loop.run();
  return code;
}

}  // namespace

void add_serve(CLI::App& app, const Globals&, Chosen& chosen) {
  auto* verb =
      app.add_subcommand("serve", "answer a testlet's probes on this host until Ctrl-C: todd serve iperf");
  verb->require_subcommand(1);
  for_each_host_testlet(*verb, [&](const manifest::Testlet& testlet) {
    if (!testlet.responder) return;
    auto command = std::make_shared<ServeCommand>();
    command->testlet = testlet;
    auto* sub = verb->add_subcommand(testlet.id, testlet.summary);
    sub->add_option("--port", command->port, "the port to answer on (default: the testlet's, or any)")
        ->check(check_port);
    sub->add_flag("--once", command->once, "end 3 s after the last that the first client sent");
    sub->add_option("--engine", command->engine, io::kEngineHelp);
    add_secrets(*sub, command->secrets);
    command->params = std::make_unique<ParamFlags>(*sub, testlet, false);
    sub->callback([command, &chosen] { chosen.action = [command] { return serve(*command); }; });
  });
}

}  // namespace todd::cli
