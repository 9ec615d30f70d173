// todd-coordinator: reads its options, builds the parts, hands each what it needs, and runs until told to
// stop.

#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "coordinator/api/api.h"
#include "coordinator/api/host_check.h"
#include "coordinator/api/http_server.h"
#include "coordinator/api/sink_option.h"
#include "coordinator/fleet/link_server.h"
#include "coordinator/fleet/roster.h"
#include "coordinator/run/runs.h"
#include "coordinator/sink/sink_set.h"
#include "coordinator/store/definitions.h"
#include "coordinator/store/finished_runs.h"
#include "coordinator/store/journal.h"
#include "engine/base/clock.h"
#include "engine/base/fd.h"
#include "engine/base/files.h"
#include "engine/base/folder_lock.h"
#include "engine/base/log.h"
#include "engine/base/paths.h"
#include "engine/base/version.h"
#include "engine/io/join_token.h"
#include "engine/io/loop.h"
#include "engine/manifest/nearest.h"
#include "engine/manifest/units.h"

namespace todd {
namespace {

constexpr int64_t kGoodbyeNs = 200'000'000;  // for agents to hear that we leave
constexpr char kAbout[] =
    "todd-coordinator plans tests, hands them to agents, and collects what they measure.\n\n"
    "  todd-coordinator\n"
    "  todd-coordinator --link 0.0.0.0:7481 --advertise coordinator.example\n"
    "  todd-coordinator --sink url=http://127.0.0.1:8086,db=todd,create=true\n";
constexpr char kFooter[] =
    "A configuration file holds the same options, one per line:\n"
    "  link = 0.0.0.0:7481\n  sink = [\"name=influx,url=http://127.0.0.1:8086,db=todd\"]\n"
    "Exit codes: 0 stopped, 2 wrong usage, 4 not permitted, 7 other faults.";

// What CLI11 fills before it is checked and converted.
struct Raw {
  std::string data_dir, link = "127.0.0.1:7481", keep_bytes = "256Mi", level = "info", socket_group;
  std::vector<std::string> listen, sinks, advertise;
  size_t keep_runs = 100;
};

struct Config {
  std::string data_dir;
  io::HostPort link;
  std::vector<std::string> advertise;
  std::vector<api::ListenAddress> listen;
  std::vector<sink::SinkConfig> sinks;
  store::FinishedRunsOptions keep;
  gid_t socket_group = static_cast<gid_t>(-1);
  LogLevel log_level = LogLevel::info;
};

int leave(const Error& error) {
  std::fprintf(stderr, "todd-coordinator: %s\n", error.detail.c_str());
  if (error.code == Errc::invalid || error.code == Errc::not_found) return 2;
  return error.code == Errc::denied ? 4 : 7;
}

void declare(CLI::App& app, Raw& raw) {
  raw.data_dir = state_folder("todd");
  app.footer(kFooter);
  app.set_version_flag("--version", std::string("todd-coordinator ") + kVersion);
  app.set_config("--config", "", "Read options from this file (the command line wins)");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.add_option("--data-dir", raw.data_dir, "Folder of everything that is kept, and of api.sock")
      ->capture_default_str();
  app.add_option("--link", raw.link, "ADDRESS:PORT where agents dial in, always with TLS")
      ->capture_default_str();
  app.add_option("--advertise", raw.advertise,
                 "HOST or HOST:PORT that join tokens name; may be repeated; default: where --link listens");
  app.add_option("--listen", raw.listen,
                 "Loopback ADDRESS:PORT of the API, besides the unix socket; may be repeated");
  app.add_option("--socket-group", raw.socket_group,
                 "Group whose members may use api.sock; default: this process's");
  app.add_option("--sink", raw.sinks,
                 "Where results go: "
                 "name=influx,url=http://HOST:8086,db=todd[,create=true][,user=U,password_file=FILE] or "
                 "path=FILE for JSON lines; may be repeated");
  app.add_option("--keep-runs", raw.keep_runs, "How many finished runs are kept")
      ->capture_default_str()
      ->check(CLI::Range(size_t{1}, size_t{1'000'000}));
  app.add_option("--keep-bytes", raw.keep_bytes, "How much of them")->capture_default_str();
  app.add_option("--log-level", raw.level, "debug, info, warn or error")
      ->capture_default_str()
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}));
}

std::string config_fault(const CLI::App& app, const CLI::ConfigError& error) {
  std::vector<std::string> known;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back(name);
  }
  return manifest::config_fault(app.get_config_ptr()->as<std::string>(), error.what(), known,
                                "; `todd-coordinator --help` lists the options");
}

// A port of 0 takes any free one, which the ready line names.
Result<io::HostPort> parse_link(const std::string& text) {
  if (!text.ends_with(":0")) return io::parse_host_port(text);
  auto link = io::parse_host_port(text.substr(0, text.size() - 1) + "1");
  if (link) link->port = 0;
  return link;
}

Result<Config> convert(const Raw& raw) {
  Config config;
  config.data_dir = raw.data_dir;
  if (config.data_dir.empty()) return fail(Errc::invalid, "--data-dir: empty; name a folder");
  if (auto link = parse_link(raw.link); link) {
    config.link = std::move(*link);
  } else {
    return fail(Errc::invalid, "--link: " + link.error().detail);
  }
  config.advertise = raw.advertise;
  for (const auto& text : raw.listen) {
    auto listen = api::parse_listen(text);
    if (!listen) return tl::unexpected(listen.error());
    config.listen.push_back(std::move(*listen));
  }
  for (const auto& text : raw.sinks) {
    auto sink = api::parse_sink_option(text);
    if (!sink) return tl::unexpected(sink.error());
    config.sinks.push_back(std::move(*sink));
  }
  config.keep.keep_runs = raw.keep_runs;
  const auto bytes = manifest::parse_size(raw.keep_bytes);
  if (!bytes || *bytes <= 0) return fail(Errc::invalid, "--keep-bytes: expected a size, as in 256Mi");
  config.keep.keep_bytes = static_cast<uint64_t>(*bytes);
  if (!raw.socket_group.empty()) {
    const group* const entry = getgrnam(raw.socket_group.c_str());
    if (entry == nullptr) return fail(Errc::invalid, "--socket-group: there is no group " + raw.socket_group);
    config.socket_group = entry->gr_gid;
  }
  if (raw.level == "debug") config.log_level = LogLevel::debug;
  if (raw.level == "warn") config.log_level = LogLevel::warn;
  if (raw.level == "error") config.log_level = LogLevel::error;
  return config;
}

// The parts in the order in which they need each other; taken down the other way round.
class Coordinator {
 public:
  Coordinator(io::Loop& loop, const Config& config)
      : loop_(loop),
        config_(config),
        roster_(config.data_dir + "/fleet/agents"),
        link_(loop, link_options(config), roster_) {}

  Status start();
  // Nothing new is taken in, agents are told, and what was accepted is on disk. Open runs go on at the next
  // start.
  void stop();

 private:
  static fleet::LinkOptions link_options(const Config& config) {
    fleet::LinkOptions options;
    options.listen_address = config.link.host;
    options.port = config.link.port;
    options.data_dir = config.data_dir + "/fleet";
    options.advertise = config.advertise;
    return options;
  }
  Status open_stores();
  Status listen();

  io::Loop& loop_;
  const Config& config_;
  Clock clock_;
  UniqueFd lock_;
  std::string listening_;
  std::unique_ptr<store::Journal> journal_;
  std::optional<store::FinishedRuns> finished_;
  std::optional<store::Definitions> definitions_;
  std::unique_ptr<sink::SinkSet> sinks_;
  fleet::Roster roster_;
  fleet::LinkServer link_;
  std::unique_ptr<run::Runs> runs_;
  std::unique_ptr<api::Api> api_;
  std::vector<std::unique_ptr<api::HttpServer>> servers_;
};

Status Coordinator::open_stores() {
  const std::string& folder = config_.data_dir;
  // Others may pass through to the socket; everything beside it is private.
  if (auto made = make_folders(folder, 0711); !made) return made;
  // Two coordinators on one folder would destroy each other's files.
  auto lock = lock_folder(folder, "todd-coordinator");
  if (!lock) return tl::unexpected(lock.error());
  lock_ = std::move(*lock);
  auto definitions = store::Definitions::open(folder + "/definitions");
  if (!definitions) return tl::unexpected(definitions.error());
  definitions_.emplace(std::move(*definitions));
  auto finished = store::FinishedRuns::open(folder + "/runs", config_.keep);
  if (!finished) return tl::unexpected(finished.error());
  finished_.emplace(std::move(*finished));
  auto journal = store::Journal::open(loop_, folder + "/journal");
  if (!journal) return tl::unexpected(journal.error());
  journal_ = std::move(*journal);
  if (auto made = make_folders(folder + "/spool", 0700); !made) return made;
  auto sinks = sink::SinkSet::open(loop_, config_.sinks, folder + "/spool");
  if (!sinks) return tl::unexpected(sinks.error());
  sinks_ = std::move(*sinks);
  return roster_.load();
}

Status Coordinator::start() {
  if (auto opened = open_stores(); !opened) return opened;
  runs_ = std::make_unique<run::Runs>(loop_, link_, clock_, run::RunsOptions{},
                                      run::Stores{journal_.get(), &*finished_, sinks_.get()});
  link_.set_events(*runs_);
  link_.set_wanted([this](const std::string&, const std::string& task) { return runs_->knows_task(task); });
  if (const size_t open = runs_->recover(); open > 0) {
    log(LogLevel::info, "coordinator", fmt::format("going on with {} open runs", open));
  }
  if (auto started = link_.start(); !started) return started;
  api_ = std::make_unique<api::Api>(api::Services{loop_, *runs_, link_, *definitions_,
                                                  config_.sinks.empty() ? nullptr : sinks_.get(), kVersion});
  if (auto listens = listen(); !listens) return listens;
  std::printf("todd-coordinator %s: API on %s, agents on %s\n", kVersion, listening_.c_str(),
              io::format_host_port({config_.link.host, link_.port()}).c_str());
  std::fflush(stdout);
  return {};
}

Status Coordinator::listen() {
  const auto handler = [this](const api::Request& request, std::shared_ptr<api::Reply> reply) {
    api_->handle(request, std::move(reply));
  };
  api::ServerOptions options;
  options.body_limit = api::Api::body_limit;
  const std::string path = config_.data_dir + "/api.sock";
  servers_.push_back(std::make_unique<api::HttpServer>(loop_, options, handler));
  if (auto listens = servers_.back()->listen_unix(path, config_.socket_group); !listens) return listens;
  listening_ = path;
  for (const auto& at : config_.listen) {
    // The port is known only once it is bound: the check reads it when a request comes.
    auto bound = std::make_shared<uint16_t>(at.port);
    options.admit = [bound](const api::Request& head) { return api::check_host(head, *bound); };
    servers_.push_back(std::make_unique<api::HttpServer>(loop_, options, handler));
    const auto port = servers_.back()->listen_tcp(at.address, at.port);
    if (!port) return tl::unexpected(port.error());
    *bound = *port;
    listening_ += " and http://" + io::format_host_port({at.address, *port});
  }
  return {};
}

void Coordinator::stop() {
  servers_.clear();
  link_.stop();
  journal_->commit();
}

int serve(const Config& config) {
  set_log_level(config.log_level);
  io::Loop loop;
  Coordinator coordinator(loop, config);
  io::HandlePtr goodbye;
  const auto stop = [&] {
    if (goodbye) return loop.stop();  // asked twice: at once
    log(LogLevel::info, "coordinator", "stopping");
    coordinator.stop();
    goodbye = loop.after(kGoodbyeNs, [&] { loop.stop(); });
  };
  const io::HandlePtr on_term = loop.on_signal(SIGTERM, stop);
  const io::HandlePtr on_int = loop.on_signal(SIGINT, stop);
  if (const auto started = coordinator.start(); !started) return leave(started.error());
  loop.run();
  return 0;
}

}  // namespace
}  // namespace todd

int main(int argc, char** argv) {
  CLI::App app{todd::kAbout, "todd-coordinator"};
  todd::Raw raw;
  todd::declare(app, raw);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ConfigError& error) {
    return todd::leave({todd::Errc::invalid, 0, todd::config_fault(app, error)});
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const auto config = todd::convert(raw);
  if (!config) return todd::leave(config.error());
  return todd::serve(*config);
}
