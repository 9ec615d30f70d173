#include "plugins/iperf/protocol.h"

#include <algorithm>
#include <array>

namespace todd::iperf {

std::string name_of(State state) {
  switch (state) {
    case State::kTestStart: return "TEST_START";
    case State::kTestRunning: return "TEST_RUNNING";
    case State::kTestEnd: return "TEST_END";
    case State::kParamExchange: return "PARAM_EXCHANGE";
    case State::kCreateStreams: return "CREATE_STREAMS";
    case State::kServerTerminate: return "SERVER_TERMINATE";
    case State::kClientTerminate: return "CLIENT_TERMINATE";
    case State::kExchangeResults: return "EXCHANGE_RESULTS";
    case State::kDisplayResults: return "DISPLAY_RESULTS";
    case State::kIperfDone: return "IPERF_DONE";
    case State::kAccessDenied: return "ACCESS_DENIED";
    case State::kServerError: return "SERVER_ERROR";
  }
  return "state " + std::to_string(static_cast<int>(state));
}

std::string make_cookie(uint64_t high, uint64_t low) {
  constexpr std::string_view kDigits = "abcdefghijklmnopqrstuvwxyz234567";
  std::string cookie;
  for (size_t i = 0; i + 1 < kCookie; ++i) {
    uint64_t& from = i % 2 == 0 ? high : low;  // 18 digits each, more than its 64 bits
    cookie += kDigits[from & 31];
    from = from >> 5 | from << 59;
  }
  cookie += '\0';
  return cookie;
}

bool is_cookie(std::string_view bytes) {
  if (bytes.size() != kCookie) return false;
  const size_t end = bytes.find('\0');
  if (end == 0 || end == bytes.npos) return false;
  const auto good = [](char c) { return c > ' ' && c < 0x7f; };
  return std::all_of(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(end), good) &&
         bytes.substr(end).find_first_not_of('\0') == bytes.npos;
}

std::string frame(std::string_view text) {
  std::string out;
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(text.size() >> shift & 0xff);
  return out.append(text);
}

FrameReader::Progress FrameReader::read(std::string_view& bytes) {
  const auto take = [&bytes](std::string& to, size_t size) {
    const size_t n = std::min(size - to.size(), bytes.size());
    to.append(bytes.substr(0, n));
    bytes.remove_prefix(n);
    return to.size() == size;
  };
  if (length_.size() < 4) {
    if (!take(length_, 4)) return Progress::kMore;
    announced_ = 0;
    for (const char c : length_) announced_ = announced_ << 8 | static_cast<uint8_t>(c);
  }
  if (announced_ > kMaxText) return Progress::kTooLong;
  return take(text_, announced_) ? Progress::kComplete : Progress::kMore;
}

void FrameReader::clear() {
  length_.clear();
  text_.clear();
  announced_ = 0;
}

namespace {

bool is_number(std::string_view datagram, uint32_t number) {
  if (datagram.size() < 4) return false;
  uint32_t said = 0;
  for (size_t i = 4; i-- > 0;) said = said << 8 | static_cast<uint8_t>(datagram[i]);
  return said == number;
}

}  // namespace

bool is_udp_hello(std::string_view datagram) {
  return is_number(datagram, 0x36373839) || is_number(datagram, 123456789);
}
bool is_udp_answer(std::string_view datagram) {
  return is_number(datagram, 0x39383736) || is_number(datagram, 987654321);
}

uint32_t stream_id(uint32_t n) { return n == 0 ? 1 : n + 2; }

}  // namespace todd::iperf
