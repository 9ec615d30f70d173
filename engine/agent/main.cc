// todd-agent: reads its configuration, joins if it must, then serves its coordinator until told to stop.

#include <csignal>
#include <cstdio>
#include <optional>

#include "engine/agent/agent.h"
#include "engine/agent/config.h"
#include "engine/agent/identity.h"
#include "engine/base/clock.h"
#include "engine/base/files.h"
#include "engine/base/folder_lock.h"
#include "engine/base/log.h"
#include "engine/base/memory.h"
#include "engine/base/privileges.h"

namespace todd::agent {
namespace {
int exit_code(const Error& error) {
  switch (error.code) {
    case Errc::invalid:
    case Errc::not_found: return 2;
    case Errc::unavailable:
    case Errc::timed_out: return 3;
    case Errc::denied:
    case Errc::corrupt: return 4;
    default: return 7;
  }
}

int leave(const Error& error) {
  std::fprintf(stderr, "todd-agent: %s\n", error.detail.c_str());
  return exit_code(error);
}

// The identity on disk, or a new one by the token. A token that made the one on disk is not used again.
Result<Identity> find_identity(io::Loop& loop, const Config& config) {
  auto stored = load_identity(config.data_dir);
  const bool first = !stored && stored.error().code == Errc::not_found;
  if (!stored && !first) return stored;
  if (stored && (!config.join || config.join->id == stored->token_id)) return stored;
  if (!config.join) {
    return fail(Errc::not_found,
                "no identity in " + config.data_dir +
                    "; join a coordinator with --join TOKEN, made there by `todd agents invite`");
  }
  EnrolOptions options{.token = *config.join, .name = config.name};
  if (config.coordinator) options.token.coordinators = {*config.coordinator};
  Result<Identity> joined = fail(Errc::cancelled, "stopped while joining");
  const Enrolment enrolment(loop, options, [&](Result<Identity> result) {
    joined = std::move(result);
    loop.stop();
  });
  loop.run();
  if (!joined) return joined;
  if (auto saved = save_identity(config.data_dir, *joined); !saved) return tl::unexpected(saved.error());
  log(LogLevel::info, "agent", "joined as " + joined->name + ", identity in " + config.data_dir);
  return joined;
}

int run(const Config& config) {
  set_log_level(config.log_level);
  if (config.unprivileged) {
    if (auto given = give_up_net_raw(); !given) return leave(given.error());
  }
  if (auto made = make_folders(config.data_dir, 0700); !made) return leave(made.error());
  // Two agents of one identity would take the link from each other for ever.
  const auto lock = lock_folder(config.data_dir, "todd-agent");
  if (!lock) return leave(lock.error());
  io::Loop loop;
  std::optional<Agent> agent;
  bool told_to_stop = false;
  const auto stop = [&] {
    told_to_stop = true;
    if (agent)
      agent->shut_down();
    else
      loop.stop();
  };
  const io::HandlePtr on_term = loop.on_signal(SIGTERM, stop);
  const io::HandlePtr on_int = loop.on_signal(SIGINT, stop);
  auto identity = find_identity(loop, config);
  if (!identity) return told_to_stop ? 0 : leave(identity.error());
  if (config.coordinator) identity->coordinators = {*config.coordinator};
  const Clock clock;
  Status result;
  agent.emplace(loop, clock, config, std::move(*identity), [&](Status status) {
    result = std::move(status);
    loop.stop();
  });
  if (auto started = agent->start(); !started) return leave(started.error());
  loop.run();
  return result ? 0 : leave(result.error());
}
}  // namespace
}  // namespace todd::agent

int main(int argc, char** argv) {
  todd::return_large_blocks();
  const auto parsed = todd::agent::parse_command_line(argc, argv);
  if (!parsed) return todd::agent::leave(parsed.error());
  if (parsed->help) {
    std::fputs(parsed->help->text.c_str(), stdout);
    return 0;
  }
  return todd::agent::run(parsed->config);
}
