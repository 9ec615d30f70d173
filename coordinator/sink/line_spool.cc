#include "coordinator/sink/line_spool.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "engine/base/check.h"

namespace todd::sink {
namespace {
constexpr size_t kHeader = 128;
constexpr uint64_t kBlock = 4096;  // the first holds the header
constexpr uint64_t kGiveBack = uint64_t{4} << 20;
constexpr size_t kTailMost = size_t{64} << 10;
constexpr const char* kFormat = "todd-lines-1 %020llu %020llu %020llu %020llu";

Status write_at(int fd, std::string_view bytes, uint64_t at, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "cannot write " + path);
    at += static_cast<uint64_t>(n);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Result<std::string> read_at(int fd, uint64_t at, size_t size, const std::string& path) {
  std::string bytes(size, '\0');
  size_t got = 0;
  while (got < size) {
    const ssize_t n = ::pread(fd, bytes.data() + got, size - got, static_cast<off_t>(at + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "cannot read " + path);
    if (n == 0) break;
    got += static_cast<size_t>(n);
  }
  bytes.resize(got);
  return bytes;
}
}  // namespace

Result<LineSpool> LineSpool::open(std::string path) {
  LineSpool spool(std::move(path));
  if (spool.path_.empty()) return spool;
  spool.fd_.reset(::open(spool.path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640));
  if (!spool.fd_) return fail_errno(errno, "cannot open " + spool.path_);
  if (Status taken = spool.take_up(); !taken) return tl::unexpected(taken.error());
  return spool;
}

Status LineSpool::take_up() {
  struct stat info {};
  if (::fstat(fd_.get(), &info) != 0) return fail_errno(errno, "cannot read " + path_);
  const auto size = static_cast<uint64_t>(info.st_size);
  begin_ = end_ = kHeader;
  if (size < kHeader) return write_header();
  auto header = read_at(fd_.get(), 0, kHeader, path_);
  if (!header) return tl::unexpected(header.error());
  unsigned long long begin = 0, delivered = 0, dead = 0, dropped = 0;
  if (std::sscanf(header->c_str(), "todd-lines-1 %llu %llu %llu %llu", &begin, &delivered, &dead, &dropped) !=
          4 ||
      begin < kHeader || begin > size) {
    return fail(Errc::corrupt, path_ + " is not a spool of lines; move it away");
  }
  begin_ = end_ = begin;
  delivered_ = delivered;
  dead_ = dead;
  dropped_ = dropped;
  for (uint64_t at = begin; at < size;) {
    auto block = read_at(fd_.get(), at, std::min<uint64_t>(size - at, kTailMost), path_);
    if (!block) return tl::unexpected(block.error());
    if (block->empty()) break;
    pending_ += static_cast<uint64_t>(std::count(block->begin(), block->end(), '\n'));
    const size_t last = block->rfind('\n');
    if (last != std::string::npos) end_ = at + last + 1;
    at += block->size();
  }
  if (end_ < size && ::ftruncate(fd_.get(), static_cast<off_t>(end_)) != 0)
    return fail_errno(errno, "cannot mend " + path_);
  return {};
}

Status LineSpool::write_header() {
  char text[kHeader] = {};
  std::snprintf(text, sizeof text, kFormat, static_cast<unsigned long long>(begin_),
                static_cast<unsigned long long>(delivered_), static_cast<unsigned long long>(dead_),
                static_cast<unsigned long long>(dropped_));
  return write_at(fd_.get(), {text, sizeof text}, 0, path_);
}

Status LineSpool::append(std::string_view line) {
  TODD_CHECK(!line.empty() && line.back() == '\n');
  if (!fd_) {
    memory_ += line;
    end_ += line.size();
  } else {
    if (tail_.size() + line.size() > kTailMost) {
      if (Status flushed = flush(false); !flushed) return flushed;
    }
    tail_ += line;
  }
  ++pending_;
  return {};
}

Result<std::string> LineSpool::front(size_t max_lines, size_t max_bytes) {
  if (pending_ == 0) return std::string();
  // A line may be longer than asked for: look further until there is one.
  for (size_t reach = max_bytes;; reach *= 2) {
    std::string bytes;
    if (!fd_) {
      bytes = memory_.substr(begin_, reach);
    } else {
      if (Status flushed = flush(false); !flushed) return tl::unexpected(flushed.error());
      auto read = read_at(fd_.get(), begin_, std::min<uint64_t>(end_ - begin_, reach), path_);
      if (!read) return tl::unexpected(read.error());
      bytes = std::move(*read);
    }
    size_t used = 0;
    for (size_t lines = 0; lines < max_lines; ++lines) {
      const size_t end = bytes.find('\n', used);
      if (end == std::string::npos) break;
      used = end + 1;
    }
    if (used > 0) {
      bytes.resize(used);
      return bytes;
    }
    if (bytes.size() < reach) return fail(Errc::corrupt, path_ + " has lost its end");
  }
}

void LineSpool::consume(uint64_t lines, uint64_t bytes, bool delivered) {
  TODD_CHECK(lines <= pending_ && begin_ + bytes <= end_);
  begin_ += bytes;
  pending_ -= lines;
  (delivered ? delivered_ : dead_) += lines;
  if (fd_) {
    // Best effort: without it the lines go out once more after a restart.
    (void)write_header();
    give_back();
  } else if (begin_ > memory_.size() / 2) {
    memory_.erase(0, begin_);
    end_ -= begin_;
    begin_ = 0;
  }
}

// A run may last for months: its file must not hold all lines it ever had.
void LineSpool::give_back() {
  const uint64_t from = std::max(given_back_, kBlock);
  const uint64_t to = begin_ / kBlock * kBlock;
  if (to < from + kGiveBack) return;
  // First the header, for good: a hole that an older one lets us read would be lines of zeros.
  if (::fdatasync(fd_.get()) != 0) return;
  // Where the file system cannot, the room comes back with the end of the run.
  (void)::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(from),
                    static_cast<off_t>(to - from));
  given_back_ = to;
}

Status LineSpool::flush(bool sync) {
  if (!fd_) return {};
  if (!tail_.empty()) {
    if (Status written = write_at(fd_.get(), tail_, end_, path_); !written) {
      return written;  // a part may be there: it is written over, or cut off when taken up
    }
    end_ += tail_.size();
    tail_.clear();
  }
  if (!sync) return {};
  if (Status written = write_header(); !written) return written;
  if (::fdatasync(fd_.get()) != 0) return fail_errno(errno, "cannot sync " + path_);
  return {};
}

void LineSpool::discard() {
  if (fd_) ::unlink(path_.c_str());
  fd_.reset();
  memory_.clear();
  tail_.clear();
  begin_ = end_ = pending_ = 0;
}

}  // namespace todd::sink
