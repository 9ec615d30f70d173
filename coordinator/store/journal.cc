#include "coordinator/store/journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <iterator>
#include <utility>

#include "coordinator/store/crc32c.h"
#include "engine/base/check.h"
#include "engine/base/files.h"
#include "engine/base/log.h"

namespace todd::store {
namespace {
constexpr size_t kHead = 8;  // length and checksum, little-endian
constexpr const char* kEnding = ".journal";

void put_u32(char* out, uint32_t v) {
  for (int i = 0; i < 4; ++i) out[i] = static_cast<char>(v >> (8 * i));
}

uint32_t get_u32(const char* in) {
  uint32_t v = 0;
  for (int i = 0; i < 4; ++i) v |= uint32_t{static_cast<unsigned char>(in[i])} << (8 * i);
  return v;
}

std::string framed(std::string_view entry) {
  std::string out(kHead, '\0');
  put_u32(out.data(), static_cast<uint32_t>(entry.size()));
  put_u32(out.data() + 4, crc32c(entry));
  return out.append(entry);
}

// Whole entries of a file's bytes; `used` is where the first damaged one begins.
std::vector<std::string> entries_of(std::string_view bytes, size_t& used) {
  std::vector<std::string> entries;
  used = 0;
  while (bytes.size() - used >= kHead) {
    const size_t length = get_u32(bytes.data() + used);
    const uint32_t sum = get_u32(bytes.data() + used + 4);
    // A run of zeros would read as empty entries with a fitting checksum; no entry is empty.
    if (length == 0 || length > Journal::kMaxEntry || length > bytes.size() - used - kHead) break;
    const std::string_view entry = bytes.substr(used + kHead, length);
    if (crc32c(entry) != sum) break;
    entries.emplace_back(entry);
    used += kHead + length;
  }
  return entries;
}

// Appends all or, as far as the disk lets it, nothing.
Status append_all(int fd, uint64_t at, std::string_view bytes, const std::string& path) {
  uint64_t offset = at;
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int why = errno;
      if (::ftruncate(fd, static_cast<off_t>(at)) != 0) return fail_errno(errno, "cannot mend " + path);
      return fail_errno(why, "cannot append to " + path);
    }
    offset += static_cast<uint64_t>(n);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}
}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(io::Loop& loop, std::string dir) {
  if (Status made = make_folders(dir, 0700); !made) return tl::unexpected(made.error());
  return std::unique_ptr<Journal>(new Journal(loop, std::move(dir)));
}

Journal::~Journal() {
  for (auto& [run, file] : files_) {
    if (file.dirty) ::fdatasync(file.fd.get());
  }
}

std::string Journal::path_of(const std::string& run) const { return dir_ + "/" + run + kEnding; }

std::vector<Journal::OpenRun> Journal::recover() {
  std::vector<std::string> ids;
  std::error_code error;
  for (const auto& item : std::filesystem::directory_iterator(dir_, error)) {
    if (item.path().extension() == kEnding) ids.push_back(item.path().stem().string());
  }
  std::sort(ids.begin(), ids.end());
  std::vector<OpenRun> open;
  for (const std::string& id : ids) {
    if (files_.count(id) != 0) continue;
    const std::string path = path_of(id);
    auto bytes = read_file(path, SIZE_MAX);
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!bytes || !fd) {
      log(LogLevel::error, "store", "the journal " + path + " cannot be read; its run is lost");
      continue;
    }
    size_t used = 0;
    OpenRun run{id, entries_of(*bytes, used)};
    if (used < bytes->size()) {
      log(LogLevel::warn, "store",
          path + ": " + std::to_string(bytes->size() - used) + " damaged bytes at the end cut off");
      if (::ftruncate(fd.get(), static_cast<off_t>(used)) != 0) continue;
    }
    File& file = files_[id];
    file.fd = std::move(fd);
    file.size = used;
    open.push_back(std::move(run));
  }
  return open;
}

Status Journal::begin(const std::string& run, std::string_view first) {
  const std::string path = path_of(run);
  if (first.size() > kMaxEntry)
    return fail(Errc::exhausted, "run " + run + " is too large to be written down; split the suite");
  File file;
  file.fd.reset(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640));
  if (!file.fd) return fail_errno(errno, "cannot create " + path);
  const std::string bytes = framed(first);
  Status done = append_all(file.fd.get(), 0, bytes, path);
  if (done && ::fdatasync(file.fd.get()) != 0) done = fail_errno(errno, "cannot sync " + path);
  if (done) done = sync_folder(dir_);
  if (!done) {
    ::unlink(path.c_str());
    return done;
  }
  file.size = bytes.size();
  files_.emplace(run, std::move(file));
  return {};
}

void Journal::append(const std::string& run, std::string_view entry,
                     std::function<void(const Status&)> on_durable) {
  const auto found = files_.find(run);
  TODD_CHECK(found != files_.end() && !entry.empty());
  File& file = found->second;
  Status taken;
  if (entry.size() > kMaxEntry) {
    taken = fail(Errc::exhausted, "an entry of " + std::to_string(entry.size()) +
                                      " bytes is too long for the journal of run " + run);
  } else if (file.status) {
    const std::string bytes = framed(entry);
    file.status = append_all(file.fd.get(), file.size, bytes, path_of(run));
    if (file.status) {
      file.size += bytes.size();
      file.dirty = true;
    }
  }
  waiting_.push_back({run, std::move(on_durable), std::move(taken)});
  if (!timer_) timer_ = loop_.after(kCommitNs, [this] { commit(); });
}

void Journal::commit() {
  timer_.reset();
  for (auto& [run, file] : files_) {
    if (!std::exchange(file.dirty, false) || !file.status) continue;
    if (::fdatasync(file.fd.get()) != 0) file.status = fail_errno(errno, "cannot sync " + path_of(run));
  }
  // Callbacks may append and end: what they add waits for the next commit.
  const std::vector<Waiting> ready = std::exchange(waiting_, {});
  for (const Waiting& waiting : ready) {
    const auto found = files_.find(waiting.run);
    if (!waiting.on_durable) continue;
    const bool written = waiting.taken && found != files_.end();
    waiting.on_durable(written ? found->second.status : waiting.taken);
  }
}

void Journal::end(const std::string& run) {
  if (files_.erase(run) == 0) return;
  const auto others =
      std::stable_partition(waiting_.begin(), waiting_.end(), [&](const Waiting& w) { return w.run != run; });
  std::vector<Waiting> of_run(std::make_move_iterator(others), std::make_move_iterator(waiting_.end()));
  waiting_.erase(others, waiting_.end());
  ::unlink(path_of(run).c_str());
  for (const Waiting& waiting : of_run) {
    if (waiting.on_durable) waiting.on_durable(waiting.taken);
  }
}

}  // namespace todd::store
