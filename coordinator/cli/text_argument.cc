#include "coordinator/cli/text_argument.h"

#include <fmt/format.h>

#include <string_view>
#include <vector>

#include "engine/base/files.h"
#include "engine/base/utf8.h"
#include "engine/manifest/params.h"

namespace todd::cli {
namespace {

// The byte that makes it no text; npos: it is one.
size_t bad_byte(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t length = text[at] == '\0' ? 0 : utf8_length(text.substr(at));
    if (length == 0) return at;
    at += length;
  }
  return text.npos;
}

}  // namespace

Result<std::string> text_argument(const std::string& given) {
  if (given.empty() || given[0] != '@') return given;
  if (given.starts_with("@@")) return given.substr(1);
  const std::string path = given.substr(1);
  auto text = read_file(path, kTextFileMost);
  if (!text && text.error().code == Errc::exhausted)
    return fail(Errc::invalid, path + ": longer than 256 KiB, which is the most that a text may have");
  if (!text)
    return fail(Errc::invalid, fmt::format("{} (a text that begins with @ names a file; @@ is an @ itself)",
                                           text.error().detail));
  if (const size_t bad = bad_byte(*text); bad != std::string::npos)
    return fail(Errc::invalid, fmt::format("{}: byte {} is not of a text: only UTF-8 without NUL can be sent",
                                           path, bad + 1));
  return text;
}

Result<std::string> texts_argument(const std::string& given) {
  auto text = text_argument(given);
  if (!text || given[0] != '@' || given.starts_with("@@")) return text;
  std::vector<std::string> lines;
  for (std::string& line : manifest::split_texts(*text)) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.find_first_not_of(" \t") != line.npos) lines.push_back(std::move(line));
  }
  if (lines.empty()) return fail(Errc::invalid, given.substr(1) + ": has no line");
  return manifest::join_texts(lines);
}

}  // namespace todd::cli
