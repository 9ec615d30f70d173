#pragma once
// iperf3's control protocol, as iperf3 3.12 speaks it: states, cookies, framed texts, the greeting of UDP.
// Bytes in, values out; no sockets, no clock. One control connection for each session; its first 37 bytes,
// and those of each TCP data connection, are the session's cookie. Then the server sends states of one byte,
// and both send JSON texts behind a length of four bytes, network byte order.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace todd::iperf {

enum class State : int8_t {
  kTestStart = 1,         // server: make ready
  kTestRunning = 2,       // server: both send now
  kTestEnd = 4,           // client: it is over
  kParamExchange = 9,     // server: your params, please
  kCreateStreams = 10,    // server: open your data streams
  kServerTerminate = 11,  // server: somebody stopped me
  kClientTerminate = 12,  // client: somebody stopped me
  kExchangeResults = 13,  // server: your results, please; mine follow them
  kDisplayResults = 14,   // server: that was all
  kIperfDone = 16,        // client: goodbye
  kAccessDenied = -1,     // server, instead of kParamExchange: I am busy
  kServerError = -2       // server: two numbers of four bytes follow, its own error and errno
};
// "PARAM_EXCHANGE"; "state 77" of one that there is not.
std::string name_of(State state);

inline constexpr size_t kCookie = 37;            // 36 characters and a 0
inline constexpr size_t kMaxText = 1024 * 1024;  // of a JSON text from a peer
inline constexpr size_t kServerErrorBytes = 8;
inline constexpr uint32_t kMaxStreams = 128;  // of a session in each direction

// The cookie that goes with a number: base 32, and the final 0.
std::string make_cookie(uint64_t high, uint64_t low);
// Whether these 37 bytes can be a cookie: printable ASCII without blanks up to the first 0, at least one such
// character, and nothing but 0 from there.
bool is_cookie(std::string_view bytes);

std::string frame(std::string_view text);

// Takes a framed text from a stream of bytes.
class FrameReader {
 public:
  enum class Progress { kMore, kComplete, kTooLong };
  // Takes from the front of `bytes` what belongs to the text. kTooLong: `announced()` is more than kMaxText.
  Progress read(std::string_view& bytes);
  const std::string& text() const { return text_; }
  uint64_t announced() const { return announced_; }
  void clear();

 private:
  std::string length_, text_;
  uint64_t announced_ = 0;
};

// What a client sends first over a UDP data stream, and a server answers: numbers of four bytes in the order
// of iperf3's usual hosts, little endian. Also known: those of older iperf3, 123456789 and 987654321.
inline constexpr std::string_view kUdpHello = "9876", kUdpAnswer = "6789";
bool is_udp_hello(std::string_view datagram);
bool is_udp_answer(std::string_view datagram);

// The number by which results name the nth stream of a session, 0 the first: 1, 3, 4, 5, ...
uint32_t stream_id(uint32_t n);

}  // namespace todd::iperf
