#include "plugins/http/answer.h"

#include <algorithm>

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
  if (hash_) hash_->begin();
}

const char* BodyKeeper::put(std::string_view bytes) {
  bytes_ += bytes.size();
  if (hash_) hash_->put(bytes);
  text_ += bytes.substr(0, limit_ - text_.size());
  return nullptr;
}

}  // namespace todd::http
