#include "coordinator/cli/document.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "coordinator/model/objects.h"
#include "engine/base/files.h"

namespace todd::cli {
namespace {

constexpr size_t kDocumentMost = size_t{8} << 20;

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
    if (text.size() > kDocumentMost) return fail(Errc::exhausted, "standard input: longer than 8 MiB");
  }
}

}  // namespace

bool is_file_argument(const std::string& argument) {
  return argument == "-" || argument.find('/') != std::string::npos || ends_with(argument, ".yaml") ||
         ends_with(argument, ".yml") || ends_with(argument, ".json");
}

Result<Document> read_document(const std::string& path) {
  auto text = path == "-" ? read_stdin() : read_file(path, kDocumentMost);
  if (!text) return tl::unexpected(text.error());
  return Document{std::move(*text), path == "-" ? "stdin" : path, {}};
}

Status read_hosts_files(Document& document, const std::string& path) {
  const auto documents = model::parse_documents(document.text, document.origin);
  if (!documents) return {};
  const auto folder = path == "-" ? std::filesystem::path() : std::filesystem::path(path).parent_path();
  for (const auto& group : documents->groups) {
    if (group.hosts_file.empty()) continue;
    auto lines = read_file((folder / group.hosts_file).string(), kDocumentMost);
    if (!lines) {
      return fail(lines.error().code, model::at(document.origin, group.position,
                                                "group " + group.name + ": hosts_file: " + lines.error().detail));
    }
    document.hosts_files.emplace(group.hosts_file, std::move(*lines));
  }
  return {};
}

}  // namespace todd::cli
