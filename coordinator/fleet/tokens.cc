#include "coordinator/fleet/tokens.h"

#include <sstream>

#include "engine/base/files.h"
#include "engine/io/pki.h"

namespace todd::fleet {
namespace {
// Expired ones are kept a while, so that a late user hears "expired" and not "unknown".
constexpr int64_t kRememberNs = 24ll * 3600 * 1'000'000'000;
}  // namespace

Tokens::Tokens(std::string file, const Clock& clock) : file_(std::move(file)), clock_(clock) {}

Status Tokens::load() {
  const auto content = read_file(file_);
  if (!content) {
    if (content.error().code == Errc::not_found) return {};
    return tl::unexpected(content.error());
  }
  std::map<std::string, Token> found;
  std::istringstream lines(*content);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::istringstream words(line);
    std::string id, extra;
    Token token;
    if (!(words >> id >> token.expires_wall_ns >> token.secret) || words >> extra) {
      return fail(Errc::corrupt, file_ + ":" + std::to_string(number) +
                                     ": not \"ID EXPIRES SECRET\"; remove the file (open invitations are "
                                     "lost, enrolled agents are not)");
    }
    found[id] = token;
  }
  tokens_ = std::move(found);
  return {};
}

Status Tokens::save() const {
  std::string content;
  for (const auto& [id, token] : tokens_) {
    content += id + " " + std::to_string(token.expires_wall_ns) + " " + token.secret + "\n";
  }
  return write_file(file_, content, 0600);
}

Result<Tokens::Made> Tokens::make(int64_t ttl_ns) {
  const int64_t now = clock_.wall_now_ns();
  std::erase_if(tokens_, [&](const auto& entry) { return entry.second.expires_wall_ns + kRememberNs < now; });
  Made made{io::random_hex(8), io::random_hex(32)};
  tokens_[made.id] = {made.secret, now + ttl_ns};
  if (auto saved = save(); !saved) {
    tokens_.erase(made.id);
    return tl::unexpected(saved.error());
  }
  return made;
}

Result<std::string> Tokens::secret(const std::string& id) const {
  const auto it = tokens_.find(id);
  if (it == tokens_.end()) {
    return fail(Errc::not_found,
                "this join token was used already, or is not of this coordinator; make a new one with `todd "
                "agents invite`");
  }
  if (it->second.expires_wall_ns <= clock_.wall_now_ns()) {
    return fail(Errc::timed_out, "this join token has expired; make a new one with `todd agents invite`");
  }
  return it->second.secret;
}

Status Tokens::use(const std::string& id) {
  const auto it = tokens_.find(id);
  if (it == tokens_.end()) return fail(Errc::not_found, "no such join token");
  const Token token = it->second;
  tokens_.erase(it);
  auto saved = save();
  if (!saved) tokens_[id] = token;
  return saved;
}

}  // namespace todd::fleet
