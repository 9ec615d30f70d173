#include "coordinator/store/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
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

// All of the bytes at that place; false at the file's end and where it cannot be read.
bool read_all(int fd, uint64_t at, char* into, size_t size) {
  while (size > 0) {
    const ssize_t n = ::pread(fd, into, size, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += static_cast<uint64_t>(n);
    into += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

// Whether a whole entry stands at that place of a file of so many bytes.
bool read_entry(int fd, uint64_t at, uint64_t size, std::string& entry) {
  char head[kHead];
  if (size - at < kHead || !read_all(fd, at, head, kHead)) return false;
  const size_t length = get_u32(head);
  // A run of zeros would read as empty entries with a fitting checksum; no entry is empty.
  if (length == 0 || length > Journal::kMaxEntry || length > size - at - kHead) return false;
  entry.resize(length);
  return read_all(fd, at + kHead, entry.data(), length) && crc32c(entry) == get_u32(head + 4);
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

std::vector<std::string> Journal::left_open() const {
  std::vector<std::string> ids;
  std::error_code error;
  for (const auto& item : std::filesystem::directory_iterator(dir_, error)) {
    const std::string id = item.path().stem().string();
    if (item.path().extension() == kEnding && files_.count(id) == 0) ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

Status Journal::recover(const std::string& run, const std::function<bool(std::string_view)>& on_entry) {
  const std::string path = path_of(run);
  File file;
  file.fd.reset(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  struct stat info {};
  if (!file.fd || ::fstat(file.fd.get(), &info) != 0) return fail_errno(errno, "cannot read " + path);
  const auto size = static_cast<uint64_t>(info.st_size);
  for (std::string entry; read_entry(file.fd.get(), file.size, size, entry);
       file.size += kHead + entry.size()) {
    if (!on_entry(entry)) return {};
  }
  if (file.size < size) {
    log(LogLevel::warn, "store",
        path + ": " + std::to_string(size - file.size) + " damaged bytes at the end cut off");
    if (::ftruncate(file.fd.get(), static_cast<off_t>(file.size)) != 0)
      file.status = fail_errno(errno, "cannot mend " + path);
  }
  files_[run] = std::move(file);
  return {};
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
  files_.erase(run);
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
