#include "engine/agent/config.h"

#include <CLI/CLI.hpp>
#include <charconv>

#include "engine/agent/facts.h"
#include "engine/base/paths.h"
#include "engine/base/version.h"
#include "engine/io/networks.h"
#include "engine/io/sockets.h"
#include "engine/manifest/nearest.h"

namespace todd::agent {
namespace {
constexpr char kAbout[] =
    "todd-agent runs network tests for a coordinator. It dials out to it and listens only for tests, in "
    "--listen-ports.\n"
    "The first start needs --join; later ones find the identity in the data folder.\n";
constexpr char kFooter[] =
    "A configuration file holds the same options, one per line:\n"
    "  label = [\"site=branch-7\", \"role=edge\"]\n  listen-ports = 7500-7599\n"
    "Exit codes: 0 stopped, 2 wrong usage, 3 no coordinator answers, 4 refused by the coordinator, 7 other "
    "faults.";

// What CLI11 fills before it is checked and converted.
struct Raw {
  std::string join, data_dir = default_data_dir(), name = host_name(), coordinator, ports = "7500-7599",
                    engine = "auto", secrets, level = "info";
  uint32_t threads = 0;
  bool unprivileged = false;
  std::vector<std::string> labels, test_addresses, testlets, refuse_targets;
};

void declare(CLI::App& app, Raw& raw) {
  app.footer(kFooter);
  app.set_version_flag("--version", std::string("todd-agent ") + kVersion);
  app.set_config("--config", "", "Read options from this file (the command line wins)");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.add_option("--join", raw.join, "Join token, made by `todd agents invite`");
  app.add_option("--data-dir", raw.data_dir, "Folder of the agent's identity")->capture_default_str();
  app.add_option("--name", raw.name, "Name to join under")->capture_default_str();
  app.add_option("--coordinator", raw.coordinator, "HOST:PORT to dial instead of where the token says");
  app.add_option("--label", raw.labels, "KEY=VALUE for groups to match; may be repeated");
  app.add_option("--test-address", raw.test_addresses,
                 "Address others aim at; default: those of the default route's interface");
  app.add_option("--listen-ports", raw.ports, "The only ports responders use")->capture_default_str();
  app.add_option("--engine", raw.engine, io::kEngineHelp)->capture_default_str();
  app.add_flag("--unprivileged", raw.unprivileged, "Give up CAP_NET_RAW: ICMP by ping sockets only");
  app.add_option("--threads", raw.threads, "At most so many threads probe; 0: one for each core")
      ->check(CLI::Range(0, 256))
      ->capture_default_str();
  app.add_option("--secrets", raw.secrets,
                 "Folder with a file for each secret that tests may use [secrets in --data-dir]");
  app.add_option("--refuse-targets", raw.refuse_targets,
                 "Network or address that no test may send to; may be repeated");
  app.add_option("--testlets", raw.testlets, "Folder of testlets; may be repeated");
  app.add_option("--log-level", raw.level, "debug, info, warn or error")->capture_default_str();
}

std::string config_fault(const CLI::App& app, const CLI::ConfigError& error) {
  std::vector<std::string> known;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back(name);
  }
  return manifest::config_fault(app.get_config_ptr()->as<std::string>(), error.what(), known);
}

tl::unexpected<Error> wrong(const std::string& option, const std::string& why) {
  return fail(Errc::invalid, option + ": " + why);
}

Status take_labels(const std::vector<std::string>& texts, std::map<std::string, std::string>& labels) {
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    if (equals == 0 || equals == std::string::npos)
      return wrong("--label", "\"" + text + "\": write KEY=VALUE");
    if (!labels.emplace(text.substr(0, equals), text.substr(equals + 1)).second) {
      return wrong("--label", "\"" + text.substr(0, equals) + "\" is given twice");
    }
  }
  return {};
}

Status check_addresses(const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    if (!io::parse_address(text, 0))
      return wrong("--test-address", "\"" + text + "\" is no IPv4 or IPv6 address; names are not looked up");
  }
  return {};
}

Status check_networks(const std::vector<std::string>& texts) {
  for (const std::string& text : texts)
    if (auto network = io::Network::parse(text); !network)
      return wrong("--refuse-targets", network.error().detail);
  return {};
}

Status take_level(const std::string& text, LogLevel& level) {
  if (text == "debug")
    level = LogLevel::debug;
  else if (text == "info")
    level = LogLevel::info;
  else if (text == "warn")
    level = LogLevel::warn;
  else if (text == "error")
    level = LogLevel::error;
  else
    return wrong("--log-level", "\"" + text + "\" is none of debug, info, warn, error");
  return {};
}

Result<Config> convert(const Raw& raw) {
  Config config;
  config.data_dir = raw.data_dir;
  config.name = raw.name;
  config.test_addresses = raw.test_addresses;
  config.testlet_folders = raw.testlets;
  config.secrets = raw.secrets.empty() ? raw.data_dir + "/secrets" : raw.secrets;
  if (!raw.join.empty()) {
    auto token = io::parse_join_token(raw.join);
    if (!token) return wrong("--join", token.error().detail);
    config.join = std::move(*token);
  }
  if (!raw.coordinator.empty()) {
    auto at = io::parse_host_port(raw.coordinator);
    if (!at) return wrong("--coordinator", at.error().detail);
    config.coordinator = std::move(*at);
  }
  if (config.data_dir.empty()) return wrong("--data-dir", "empty; name a folder");
  if (auto good = check_addresses(raw.test_addresses); !good) return tl::unexpected(good.error());
  if (auto good = check_networks(raw.refuse_targets); !good) return tl::unexpected(good.error());
  config.refuse_targets = raw.refuse_targets;
  if (auto good = take_labels(raw.labels, config.labels); !good) return tl::unexpected(good.error());
  if (auto good = parse_port_range(raw.ports, config.listen_first, config.listen_last); !good) {
    return wrong("--listen-ports", good.error().detail);
  }
  const auto engine = io::parse_engine(raw.engine);
  if (!engine) return wrong("--engine", engine.error().detail);
  config.engine = *engine;
  config.unprivileged = raw.unprivileged;
  config.threads = raw.threads;
  if (auto good = take_level(raw.level, config.log_level); !good) return tl::unexpected(good.error());
  return config;
}
}  // namespace

Status parse_port_range(const std::string& text, uint16_t& first, uint16_t& last) {
  const auto bad = [&] {
    return fail(Errc::invalid, "\"" + text + "\": write FIRST-LAST, ports of 1..65535");
  };
  const char* const end = text.data() + text.size();
  const auto [after_first, error] = std::from_chars(text.data(), end, first);
  if (error != std::errc() || first == 0) return bad();
  last = first;
  if (after_first == end) return {};
  if (*after_first != '-') return bad();
  const auto [after_last, second_error] = std::from_chars(after_first + 1, end, last);
  if (second_error != std::errc() || after_last != end || last < first) return bad();
  return {};
}

std::string default_data_dir() { return state_folder("todd-agent"); }

Result<Parsed> parse_command_line(int argc, const char* const* argv) {
  Raw raw;
  CLI::App app(kAbout, "todd-agent");
  declare(app, raw);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return Parsed{{}, Help{app.help()}};
  } catch (const CLI::CallForVersion&) {
    return Parsed{{}, Help{std::string("todd-agent ") + kVersion + "\n"}};
  } catch (const CLI::ConfigError& error) {
    return fail(Errc::invalid, config_fault(app, error) + "; `todd-agent --help` lists the options");
  } catch (const CLI::Error& error) {
    return fail(Errc::invalid, std::string(error.what()) + "; `todd-agent --help` lists the options");
  }
  auto config = convert(raw);
  if (!config) return tl::unexpected(config.error());
  return Parsed{std::move(*config), {}};
}

}  // namespace todd::agent
