#include "plugins/http/answer.h"

#include <array>

namespace todd::http {

Coding coding_with(Coding so_far, std::string_view value) {
  if (value.empty() || same_word(value, "identity")) return so_far;
  if (so_far != Coding::kIdentity) return Coding::kOther;
  if (same_word(value, "gzip") || same_word(value, "x-gzip")) return Coding::kGzip;
  return same_word(value, "deflate") ? Coding::kDeflate : Coding::kOther;
}

void BodyKeeper::begin(Coding) {
  bytes_ = 0;
  text_.clear();
  sha256();  // what one before has left in it, if that did not come to its end
  sha256_.clear();
}

const char* BodyKeeper::put(std::string_view bytes) {
  bytes_ += bytes.size();
  if (digest_) digest_->table.add(digest_->lane, digest_->number, bytes.data(), bytes.size());
  text_ += bytes.substr(0, limit_ - text_.size());
  return nullptr;
}

std::string_view BodyKeeper::sha256() {
  if (!digest_ || !sha256_.empty()) return sha256_;
  std::array<uint8_t, TODD_DIGEST_BYTES> value;
  digest_->table.end(digest_->lane, digest_->number, value.data());
  for (const uint8_t byte : value) sha256_ += {"0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]};
  return sha256_;
}

}  // namespace todd::http
