#include "coordinator/fleet/manifests.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <string_view>

#include "engine/base/files.h"
#include "engine/base/log.h"

namespace todd::fleet {
namespace {
namespace fs = std::filesystem;
constexpr size_t kMostManifests = 1000;
constexpr char kEnding[] = ".json";

// Hashes come from the network and become names of files.
bool is_hash(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// The number at the front, without its leading zeros, and the rest.
std::string_view cut_number(std::string_view& text) {
  size_t digits = 0;
  while (digits < text.size() && std::isdigit(static_cast<unsigned char>(text[digits]))) ++digits;
  std::string_view number = text.substr(0, digits);
  text.remove_prefix(digits);
  while (!number.empty() && number.front() == '0') number.remove_prefix(1);
  return number;
}
}  // namespace

bool version_less(const std::string& a, const std::string& b) {
  std::string_view left = a, right = b;
  for (;;) {
    const std::string_view x = cut_number(left), y = cut_number(right);
    if (x.size() != y.size()) return x.size() < y.size();
    if (x != y) return x < y;
    const bool left_goes_on = left.starts_with('.'), right_goes_on = right.starts_with('.');
    if (left_goes_on && right_goes_on) {
      left.remove_prefix(1);
      right.remove_prefix(1);
      continue;
    }
    // "1.0-rc1" < "1.0" < "1.0.1"
    if (left.empty() != right.empty()) return left.empty() ? right_goes_on : !left_goes_on;
    if (left_goes_on != right_goes_on) return right_goes_on;
    return left < right;
  }
}

Manifests::Manifests(std::string folder) : folder_(std::move(folder)) {}

Status Manifests::load() {
  if (auto made = make_folders(folder_, 0700); !made) return made;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    if (entry.path().extension() != kEnding) continue;
    const std::string hash = entry.path().stem();
    const auto content = read_file(entry.path(), manifest::kMaxManifestBytes);
    auto parsed = content ? manifest::parse_manifest(*content)
                          : Result<manifest::Manifest>(tl::unexpected(content.error()));
    if (!parsed || parsed->hash != hash) {
      log(LogLevel::warn, "fleet",
          entry.path().string() +
              " is left out: " + (parsed ? "its content has another hash" : parsed.error().detail));
      continue;
    }
    by_hash_.emplace(hash, std::move(*parsed));
  }
  if (error) return fail_errno(error.value(), "reading folder " + folder_);
  return {};
}

const manifest::Manifest* Manifests::find(const std::string& hash) const {
  const auto it = by_hash_.find(hash);
  return it == by_hash_.end() ? nullptr : &it->second;
}

Status Manifests::put(const std::string& hash, const std::string& json) {
  if (has(hash)) return {};
  if (by_hash_.size() >= kMostManifests) {
    return fail(Errc::exhausted,
                "more than 1,000 different testlet manifests are known; remove old ones from " + folder_);
  }
  auto parsed = manifest::parse_manifest(json);
  if (!parsed) return tl::unexpected(parsed.error());
  if (parsed->hash != hash || !is_hash(hash))
    return fail(Errc::corrupt, "a manifest's content does not match its hash");
  if (auto written = write_file(folder_ + "/" + hash + kEnding, json, 0600); !written) return written;
  by_hash_.emplace(hash, std::move(*parsed));
  return {};
}

Manifests::Newest Manifests::newest(const std::set<std::string>& hashes) const {
  Newest result;
  for (const std::string& hash : hashes) {
    const manifest::Manifest* known = find(hash);
    if (!known) continue;
    for (const manifest::Testlet& testlet : known->testlets) {
      const auto have = result.testlets.find(testlet.id);
      if (have != result.testlets.end() && !version_less(have->second.version, testlet.version)) continue;
      result.testlets[testlet.id] = testlet;
      result.hashes[testlet.id] = hash;
    }
  }
  return result;
}

}  // namespace todd::fleet
