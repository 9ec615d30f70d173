#include "bench/floor/message.h"

#include <algorithm>
#include <cstring>
#include <ctime>

namespace todd::floor {
namespace {

constexpr uint32_t kCookie = 0x7464464c;
constexpr size_t kChecksum = 2, kIdent = 4, kSequence = 6, kIndex = 8, kCookieAt = 12;

template <typename T>
T load(const uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <typename T>
void store(uint8_t* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

}  // namespace

void Ledger::clear() {
  std::fill(left_.begin(), left_.end(), 0);
  std::fill(answered_.begin(), answered_.end(), 0);
  answers_ = duplicates_ = 0;
  last_ = 0;
}

void Ledger::leaving(uint32_t first, uint32_t count, int64_t at) {
  std::fill_n(left_.begin() + first, count, at);
}

void Ledger::answered(uint32_t target, int64_t at) {
  if (target >= answered_.size()) return;
  if (answered_[target] != 0) {
    ++duplicates_;
    return;
  }
  answered_[target] = at;
  last_ = at;
  ++answers_;
}

std::vector<int64_t> Ledger::round_trips() const {
  std::vector<int64_t> out;
  out.reserve(answers_);
  for (size_t i = 0; i < left_.size(); ++i)
    if (answered_[i] != 0) out.push_back(answered_[i] - left_[i]);
  return out;
}

uint32_t sum_words(const void* data, size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < size; i += 2) sum += load<uint16_t>(bytes + i);
  return sum;
}

uint16_t fold(uint32_t sum) {
  while ((sum >> 16) != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

Message::Message(uint16_t ident) : ident_(ident) {
  uint8_t message[kSize];
  write(message);
  constant_sum_ = sum_words(message, kSize);
}

void Message::write(uint8_t* out) const {
  std::memset(out, 0, kSize);
  out[0] = 8;
  store(out + kIdent, ident_);
  store(out + kCookieAt, kCookie);
  for (size_t i = 16; i < kSize; ++i) out[i] = static_cast<uint8_t>(i - kHeader);
}

void Message::readdress(uint8_t* out, uint32_t target) const {
  const auto sequence = static_cast<uint16_t>(target);
  store(out + kSequence, sequence);
  store(out + kIndex, target);
  store(out + kChecksum, fold(constant_sum_ + sequence + (target & 0xffff) + (target >> 16)));
}

int64_t Message::target_of(const uint8_t* icmp, size_t size, bool compare_ident) const {
  if (size < kSize || icmp[0] != 0 || load<uint32_t>(icmp + kCookieAt) != kCookie) return -1;
  if (compare_ident && load<uint16_t>(icmp + kIdent) != ident_) return -1;
  return load<uint32_t>(icmp + kIndex);
}

int64_t now_ns(int clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace todd::floor
