#pragma once
// What a stream has been given to send and has not sent yet, in order. No memory while it is empty from the
// start; what it once needed it keeps.

#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace todd::io {

class SendQueue {
 public:
  struct Piece {
    const uint8_t* data;
    uint32_t len, done;
    uint64_t cookie;
  };
  static constexpr size_t kVector = 8;  // pieces that leave in one system call

  bool empty() const { return first_ == pieces_.size(); }
  size_t size() const { return pieces_.size() - first_; }
  void push(const uint8_t* data, uint32_t len, uint64_t cookie) {
    if (first_ >= kVector && 2 * first_ >= pieces_.size()) {  // it may never be empty
      pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<ptrdiff_t>(first_));
      first_ = 0;
    }
    pieces_.push_back({data, len, 0, cookie});
  }
  size_t capacity() const { return pieces_.capacity(); }
  // Where the next bytes lie; returns how many entries were filled.
  size_t fill(iovec (&out)[kVector]) const {
    const size_t n = std::min(size(), kVector);
    for (size_t i = 0; i < n; ++i) {
      const Piece& piece = pieces_[first_ + i];
      out[i] = {const_cast<uint8_t*>(piece.data + piece.done), piece.len - piece.done};
    }
    return n;
  }
  // So many bytes have left. True: the first piece is among them, whole; take it with pop() and ask again
  // with what is left.
  bool advance(uint32_t& bytes) {
    if (empty()) return false;
    Piece& piece = pieces_[first_];
    const uint32_t n = std::min(bytes, piece.len - piece.done);
    piece.done += n;
    bytes -= n;
    return piece.done == piece.len;
  }
  Piece pop() {
    const Piece piece = pieces_[first_++];
    if (empty()) {
      pieces_.clear();
      first_ = 0;
    }
    return piece;
  }

 private:
  std::vector<Piece> pieces_;
  size_t first_ = 0;
};

}  // namespace todd::io
