#include "engine/agent/identity.h"

#include <sstream>

#include "engine/base/files.h"

namespace todd::agent {
namespace {
// agent.pem with its key and CA; identity names the agent and is written last.
constexpr char kIdentity[] = "/identity", kCertificate[] = "/agent.pem", kKey[] = "/agent.key",
               kCa[] = "/ca.pem";

Status take_line(Identity& identity, const std::string& key, const std::string& value) {
  if (key == "agent_id")
    identity.agent_id = value;
  else if (key == "name")
    identity.name = value;
  else if (key == "token_id")
    identity.token_id = value;
  else if (key == "coordinator") {
    auto at = io::parse_host_port(value);
    if (!at) return tl::unexpected(at.error());
    identity.coordinators.push_back(*at);
  }
  return {};
}
}  // namespace

Result<Identity> load_identity(const std::string& folder) {
  const auto text = read_file(folder + kIdentity);
  if (!text) return tl::unexpected(text.error());
  const auto damaged = [&](const std::string& what) {
    return fail(Errc::corrupt, "the identity in " + folder + " is damaged (" + what +
                                   "); remove the files identity, agent.pem, agent.key and ca.pem there and "
                                   "join again with a new token");
  };
  Identity identity;
  std::istringstream lines(*text);
  std::string key, between, value;
  while (lines >> key >> between >> value) {
    if (auto taken = take_line(identity, key, value); !taken) return damaged(taken.error().detail);
  }
  if (identity.agent_id.empty() || identity.name.empty() || identity.coordinators.empty())
    return damaged("lines are missing");
  for (const auto& [file, into] : {std::pair{kCertificate, &identity.certificate_pem},
                                   std::pair{kKey, &identity.key_pem}, std::pair{kCa, &identity.ca_pem}}) {
    auto content = read_file(folder + file);
    if (!content) return damaged(content.error().detail);
    *into = std::move(*content);
  }
  return identity;
}

Status save_identity(const std::string& folder, const Identity& identity) {
  if (auto made = make_folders(folder, 0700); !made) return made;
  std::string text = "agent_id = " + identity.agent_id + "\nname = " + identity.name +
                     "\ntoken_id = " + identity.token_id + "\n";
  for (const io::HostPort& at : identity.coordinators)
    text += "coordinator = " + io::format_host_port(at) + "\n";
  // An older identity must not be mixed with parts of the new one by a crash in between.
  if (auto removed = remove_file(folder + kIdentity); !removed) return removed;
  for (const auto& [file, content] :
       {std::pair{kKey, &identity.key_pem}, std::pair{kCertificate, &identity.certificate_pem},
        std::pair{kCa, &identity.ca_pem}, std::pair{kIdentity, static_cast<const std::string*>(&text)}}) {
    if (auto written = write_file(folder + file, *content, 0600); !written) return written;
  }
  return {};
}

}  // namespace todd::agent
