#include "coordinator/fleet/roster.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <string_view>

#include "engine/base/files.h"
#include "engine/base/log.h"

namespace todd::fleet {
namespace {
namespace fs = std::filesystem;
constexpr char kEnding[] = ".agent";

// Values stay on one line: what agents send may hold anything.
std::string escaped(const std::string& value) {
  std::string out;
  for (const char c : value) {
    if (c == '\\')
      out += "\\\\";
    else if (c == '\n')
      out += "\\n";
    else
      out.push_back(c);
  }
  return out;
}

std::string unescaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out.push_back(text[i]);
      continue;
    }
    ++i;
    out.push_back(text[i] == 'n' ? '\n' : text[i]);
  }
  return out;
}

template <class Number>
bool read_number(const std::string& text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

// Unknown keys are for newer coordinators: skipped.
enum class Taken { yes, unknown, wrong };
Taken take(EnrolledAgent& agent, const std::string& key, std::string value) {
  constexpr std::string_view kLabel = "label.";
  model::Facts& facts = agent.facts;
  const auto number = [&](auto& out) { return read_number(value, out) ? Taken::yes : Taken::wrong; };
  if (key.starts_with(kLabel))
    facts.labels[key.substr(kLabel.size())] = std::move(value);
  else if (key == "id")
    agent.id = std::move(value);
  else if (key == "name")
    agent.name = std::move(value);
  else if (key == "key_sha256")
    agent.key_sha256_hex = std::move(value);
  else if (key == "enrolled_wall_ns")
    return number(agent.enrolled_wall_ns);
  else if (key == "hostname")
    facts.hostname = std::move(value);
  else if (key == "os")
    facts.os = std::move(value);
  else if (key == "kernel")
    facts.kernel = std::move(value);
  else if (key == "version")
    facts.version = std::move(value);
  else if (key == "address")
    facts.addresses.push_back(std::move(value));
  else if (key == "test_address")
    facts.test_addresses.push_back(std::move(value));
  else if (key == "listen_first")
    return number(facts.listen_first);
  else if (key == "listen_last")
    return number(facts.listen_last);
  else if (key == "manifest")
    facts.manifests.push_back(std::move(value));
  else
    return Taken::unknown;
  return Taken::yes;
}

bool equal(const EnrolledAgent& a, const EnrolledAgent& b) { return write_agent(a) == write_agent(b); }
}  // namespace

Status check_agent_name(const std::string& name) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  constexpr size_t kLongest = 63;
  const bool good = !name.empty() && name.size() <= kLongest &&
                    kLetters.find(name[0]) != std::string_view::npos &&
                    name.find_first_not_of(std::string(kLetters) + "._-") == std::string::npos;
  if (good) return {};
  return fail(
      Errc::invalid,
      "\"" + escaped(name.substr(0, kLongest)) +
          "\" cannot name an agent: use up to 63 letters, digits and ._- beginning with a letter or digit");
}

std::string write_agent(const EnrolledAgent& agent) {
  std::string text;
  const auto line = [&](const std::string& key, const std::string& value) {
    text += key + " = " + escaped(value) + "\n";
  };
  line("id", agent.id);
  line("name", agent.name);
  line("key_sha256", agent.key_sha256_hex);
  line("enrolled_wall_ns", std::to_string(agent.enrolled_wall_ns));
  const model::Facts& facts = agent.facts;
  line("hostname", facts.hostname);
  line("os", facts.os);
  line("kernel", facts.kernel);
  line("version", facts.version);
  for (const std::string& address : facts.addresses) line("address", address);
  for (const std::string& address : facts.test_addresses) line("test_address", address);
  line("listen_first", std::to_string(facts.listen_first));
  line("listen_last", std::to_string(facts.listen_last));
  for (const std::string& hash : facts.manifests) line("manifest", hash);
  for (const auto& [key, value] : facts.labels) line("label." + key, value);
  return text;
}

Result<EnrolledAgent> read_agent(const std::string& text) {
  constexpr std::string_view kBetween = " = ";
  EnrolledAgent agent;
  size_t from = 0;
  for (int number = 1; from < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', from), text.size());
    const std::string line = text.substr(from, end - from);
    from = end + 1;
    const size_t between = line.find(kBetween);
    const Taken taken = between == std::string::npos
                            ? Taken::wrong
                            : take(agent, line.substr(0, between),
                                   unescaped(std::string_view(line).substr(between + kBetween.size())));
    if (taken == Taken::wrong)
      return fail(Errc::corrupt,
                  "line " + std::to_string(number) + ": not \"KEY = VALUE\" with a valid value");
  }
  if (agent.id.empty() || agent.key_sha256_hex.empty() || !check_agent_name(agent.name)) {
    return fail(Errc::corrupt, "id, name or key_sha256 is missing");
  }
  agent.facts.agent = agent.name;
  agent.facts.id = agent.id;
  return agent;
}

Roster::Roster(std::string folder) : folder_(std::move(folder)) {}

std::string Roster::path(const std::string& id) const { return folder_ + "/" + id + kEnding; }

Status Roster::load() {
  if (auto made = make_folders(folder_, 0700); !made) return made;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    if (entry.path().extension() != kEnding) continue;
    const auto content = read_file(entry.path());
    const auto agent =
        content ? read_agent(*content) : Result<EnrolledAgent>(tl::unexpected(content.error()));
    std::string damage;
    if (!agent)
      damage = agent.error().detail;
    else if (path(agent->id) != entry.path())
      damage = "it is of another agent, " + agent->id;
    else if (id_by_name_.contains(agent->name))
      damage = "another file has the name " + agent->name;
    if (!damage.empty()) {
      log(LogLevel::error, "fleet", entry.path().string() + ": " + damage + "; this agent is not let in");
      continue;
    }
    id_by_name_[agent->name] = agent->id;
    agents_[agent->id] = *agent;
  }
  if (error) return fail_errno(error.value(), "reading folder " + folder_);
  return {};
}

const EnrolledAgent* Roster::by_id(const std::string& id) const {
  const auto it = agents_.find(id);
  return it == agents_.end() ? nullptr : &it->second;
}

const EnrolledAgent* Roster::by_name(const std::string& name) const {
  const auto it = id_by_name_.find(name);
  return it == id_by_name_.end() ? nullptr : by_id(it->second);
}

Status Roster::put(const EnrolledAgent& agent) {
  if (auto good = check_agent_name(agent.name); !good) return good;
  const auto holder = id_by_name_.find(agent.name);
  if (holder != id_by_name_.end() && holder->second != agent.id) {
    return fail(
        Errc::exists,
        "an agent named " + agent.name +
            " is enrolled already; choose another --name, or take the old one out with `todd agents delete " +
            agent.name + "`");
  }
  const EnrolledAgent* before = by_id(agent.id);
  if (before && equal(*before, agent)) return {};
  if (auto written = write_file(path(agent.id), write_agent(agent), 0600); !written) return written;
  if (before) id_by_name_.erase(before->name);
  id_by_name_[agent.name] = agent.id;
  EnrolledAgent& stored = agents_[agent.id];
  stored = agent;
  stored.facts.agent = agent.name;
  stored.facts.id = agent.id;
  return {};
}

Status Roster::remove(const std::string& id) {
  const EnrolledAgent* agent = by_id(id);
  if (!agent) return fail(Errc::not_found, "no agent with the id " + id);
  if (auto removed = remove_file(path(id)); !removed) return removed;
  id_by_name_.erase(agent->name);
  agents_.erase(id);
  return {};
}

}  // namespace todd::fleet
