#pragma once
// What is remembered of each stream that was heard of late, in bounded memory. No sockets, no clock.

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>

namespace todd::ping {

template <class Record>
class Recent {
 public:
  // most: streams remembered at least; at most twice as many. Who is not heard while so many others are is
  // forgotten.
  explicit Recent(size_t most) : most_(most) {}

  struct Found {
    Record& record;  // until the next call
    bool is_new;     // nothing was known of it; the record is as it is made
  };
  Found of(uint64_t stream) {
    if (const auto found = recent_.find(stream); found != recent_.end()) return {found->second, false};
    if (recent_.size() >= most_) {
      older_ = std::move(recent_);
      recent_.clear();
    }
    Record& record = recent_[stream];
    const auto found = older_.find(stream);
    if (found == older_.end()) return {record, true};
    record = found->second;
    older_.erase(found);
    return {record, false};
  }

 private:
  size_t most_;
  std::unordered_map<uint64_t, Record> recent_, older_;  // what is in older_ only was not heard lately
};

}  // namespace todd::ping
