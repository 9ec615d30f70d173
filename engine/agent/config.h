#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/log.h"
#include "engine/base/result.h"
#include "engine/io/join_token.h"
#include "engine/io/reactor.h"

namespace todd::agent {

struct Config {
  std::optional<io::JoinToken> join;
  std::string data_dir;
  std::string name;                         // default: the host name
  std::optional<io::HostPort> coordinator;  // instead of where the token or the identity says
  std::map<std::string, std::string> labels;
  std::vector<std::string> test_addresses;  // empty: those of the default route's interface
  uint16_t listen_first = 7500;
  uint16_t listen_last = 7599;
  io::EngineChoice engine;
  bool unprivileged = false;                 // gives up CAP_NET_RAW
  uint32_t threads = 0;                      // that probe, at most; 0: one for each core
  std::string secrets;                       // folder with a file for each secret
  std::vector<std::string> testlet_folders;  // empty: the supervisor's default
  std::vector<std::string> refuse_targets;   // networks and addresses that no test may send to
  LogLevel log_level = LogLevel::info;
};

// What the command line asked for besides running: text to print and leave with.
struct Help {
  std::string text;
};
struct Parsed {
  Config config;
  std::optional<Help> help;  // --help, --version
};

// The command line, and the file named by --config (lines of `option = value`, the options' names without
// dashes; the command line wins). Errors: invalid, with a text that names option and remedy.
Result<Parsed> parse_command_line(int argc, const char* const* argv);

// "7500-7599" or "7500".
Status parse_port_range(const std::string& text, uint16_t& first, uint16_t& last);

// Where identity lives by default: /var/lib/todd-agent for root, else $XDG_STATE_HOME or ~/.local/state,
// /todd-agent.
std::string default_data_dir();

}  // namespace todd::agent
