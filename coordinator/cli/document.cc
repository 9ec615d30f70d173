#include "coordinator/cli/document.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "coordinator/model/objects.h"
#include "engine/base/files.h"

namespace todd::cli {
namespace {

constexpr size_t kDocumentMost = model::YamlLimits{}.max_bytes;

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() > end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

Result<std::string> read_stdin() {
  std::string text;
  std::array<char, 65536> buffer;
  while (true) {
    const ssize_t got = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "standard input");
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<size_t>(got));
    if (text.size() > kDocumentMost)
      return fail(Errc::invalid, "standard input: longer than 8 MiB: split it");
  }
}

// What is missing or too long is a wrong word of the command line.
Result<std::string> read_text(const std::string& path) {
  auto text = read_file(path, kDocumentMost);
  if (text) return text;
  const Errc code = text.error().code;
  if (code == Errc::exhausted) return fail(Errc::invalid, path + ": longer than 8 MiB: split it");
  return fail(code == Errc::not_found ? Errc::invalid : code, text.error().detail);
}

}  // namespace

bool is_file_argument(const std::string& argument) {
  return argument == "-" || argument.find('/') != std::string::npos || ends_with(argument, ".yaml") ||
         ends_with(argument, ".yml") || ends_with(argument, ".json");
}

Result<Document> read_document(const std::string& path) {
  auto text = path == "-" ? read_stdin() : read_text(path);
  if (!text) return tl::unexpected(text.error());
  if (text->empty())
    return fail(Errc::invalid, (path == "-" ? std::string("standard input") : path) +
                                   ": empty: a document begins with apiVersion: todd/v1");
  return Document{std::move(*text), path == "-" ? "stdin" : path, {}};
}

Status read_hosts_files(Document& document, const std::string& path) {
  const auto documents = model::parse_documents(document.text, document.origin);
  if (!documents) return {};
  const auto folder = path == "-" ? std::filesystem::path() : std::filesystem::path(path).parent_path();
  for (const auto& group : documents->groups) {
    if (group.hosts_file.empty()) continue;
    auto lines = read_text((folder / group.hosts_file).string());
    if (!lines) {
      return fail(lines.error().code,
                  model::at(document.origin, group.position,
                            "group " + group.name + ": hosts_file: " + lines.error().detail));
    }
    document.hosts_files.emplace(group.hosts_file, std::move(*lines));
  }
  return {};
}

std::string without_place(const std::string& message, const std::string& origin) {
  size_t at = origin.size();
  if (message.compare(0, at, origin) != 0) return message;
  for (const char* end : {":", ":", ": "}) {
    if (message.compare(at, std::strlen(end), end) != 0) return message;
    at = std::min(message.find_first_not_of("0123456789", at + std::strlen(end)), message.size());
  }
  return message.substr(at);
}

}  // namespace todd::cli
