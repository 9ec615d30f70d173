#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/fd.h"
#include "engine/base/result.h"

namespace todd::sink {

// A queue of lines of one run for one sink, in memory or in a file. Lines leave at the front when they are
// done with. Of a file the first bytes hold how far it was read and what became of the lines; the rest are
// the lines. What is done with is given back to the disk every 4 MiB, by holes in the file. Resource.
class LineSpool {
 public:
  // path empty: memory only. An existing file is taken up where it was left; a torn last line is cut off.
  // Errors: corrupt, system.
  static Result<LineSpool> open(std::string path);

  // Precondition: one line, with its line end. Errors: system (the disk is full); then nothing was added.
  Status append(std::string_view line);
  // Up to so many lines and bytes from the front, but at least one if there is any.
  Result<std::string> front(size_t max_lines, size_t max_bytes);
  // Takes lines off the front; `bytes` is their size. delivered or dead, as the flag says.
  void consume(uint64_t lines, uint64_t bytes, bool delivered);
  // A line that found no room.
  void count_dropped() { ++dropped_; }

  // Writes what is buffered; with sync it survives a power failure.
  Status flush(bool sync);
  // Removes the file.
  void discard();

  uint64_t pending() const { return pending_; }
  uint64_t bytes() const { return end_ - begin_ + tail_.size(); }  // of the pending lines
  uint64_t delivered() const { return delivered_; }
  uint64_t dead() const { return dead_; }
  uint64_t dropped() const { return dropped_; }
  // Lines ever given to this queue.
  uint64_t total() const { return pending_ + delivered_ + dead_ + dropped_; }

 private:
  explicit LineSpool(std::string path) : path_(std::move(path)) {}
  Status take_up();
  Status write_header();
  void give_back();

  std::string path_;
  UniqueFd fd_;
  std::string memory_;  // without a file: the lines, from begin_ on
  std::string tail_;    // with a file: not yet written
  uint64_t begin_ = 0;
  uint64_t end_ = 0;
  uint64_t given_back_ = 0;  // up to here the file has no blocks but the header's
  uint64_t pending_ = 0, delivered_ = 0, dead_ = 0, dropped_ = 0;
};

}  // namespace todd::sink
