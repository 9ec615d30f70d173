#include "engine/io/softnet.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

namespace todd::io {
namespace {

// A line has at most 15 words of 9 characters: this is the room of 240 CPUs. Of more the first count.
constexpr size_t kReadBytes = 32768;

}  // namespace

uint64_t softnet_drops(std::string_view text) {
  uint64_t sum = 0;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    line.remove_prefix(std::min(line.size(), line.find(' ')));
    line.remove_prefix(std::min(line.size(), line.find_first_not_of(' ')));
    uint64_t dropped = 0;
    std::from_chars(line.data(), line.data() + line.size(), dropped, 16);
    sum += dropped;
  }
  return sum;
}

SoftnetDrops::SoftnetDrops(const char* path) : fd_(open(path, O_RDONLY | O_CLOEXEC)), seen_(read()) {}

uint64_t SoftnetDrops::read() const {
  char text[kReadBytes];
  const ssize_t got = fd_ ? pread(fd_.get(), text, sizeof text, 0) : 0;
  return got > 0 ? softnet_drops({text, static_cast<size_t>(got)}) : 0;
}

uint64_t SoftnetDrops::take() {
  const uint64_t now = read();
  // The counters of the kernel have 32 bits, and those of a CPU that went offline are not listed.
  const uint64_t more = now > seen_ ? now - seen_ : 0;
  seen_ = now;
  return more;
}

}  // namespace todd::io
