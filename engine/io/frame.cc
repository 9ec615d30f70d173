#include "engine/io/frame.h"

#include "engine/base/check.h"

namespace todd::io {

void append_frame(std::string& out, std::string_view payload) {
  size_t length = payload.size();
  for (; length >= 0x80; length >>= 7) out.push_back(static_cast<char>(length | 0x80));
  out.push_back(static_cast<char>(length));
  out.append(payload);
}

Result<size_t> next_frame(std::string_view bytes, std::string_view& payload, size_t max) {
  constexpr size_t kLongestLength = 5;
  uint64_t length = 0;
  for (size_t i = 0; i < kLongestLength; ++i) {
    if (i == bytes.size()) return size_t{0};
    const auto byte = static_cast<unsigned char>(bytes[i]);
    length |= uint64_t{byte & 0x7fu} << (7 * i);
    if (byte & 0x80) continue;
    if (length > max) {
      return fail(Errc::exhausted, "frame of " + std::to_string(length) + " bytes; at most " +
                                       std::to_string(max) + " are accepted");
    }
    const size_t head = i + 1;
    if (bytes.size() - head < length) return size_t{0};
    payload = bytes.substr(head, length);
    return head + length;
  }
  return fail(Errc::corrupt,
              "the length of a frame takes more than 5 bytes; this is not the link's protocol");
}

}  // namespace todd::io
