#include "coordinator/api/request_parser.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

namespace todd::api {
namespace http = boost::beast::http;
namespace {

// A chunk's head or a trailer that is longer than this without its end is an attack.
constexpr size_t kMaxUnconsumed = 16 * 1024;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace

struct RequestParser::Impl {
  explicit Impl(const ParseLimits& l) : limits(l), body_limit(l.body_bytes) {
    // Our own checks come first and give better answers; these are the second fence.
    parser.header_limit(static_cast<uint32_t>(limits.head_bytes + 4));
    parser.body_limit(uint64_t{1} << 40);  // feed_body checks; in Boost 1.74 "none" refuses every length
    parser.eager(false);
  }

  Step fail_with(int status, std::string detail) {
    state = State::failed;
    error_status = status;
    error_detail = std::move(detail);
    return {state, 0};
  }

  Step feed_head(std::string_view bytes);
  Step feed_body(std::string_view bytes);
  // What may be said of the head's bytes as far as they are here; nullopt: nothing is wrong.
  std::optional<Step> scan(std::string_view bytes);
  Step take_head(size_t consumed);
  std::optional<Step> check_framing();
  bool take_target(std::string_view target);

  ParseLimits limits;
  size_t body_limit;
  http::request_parser<http::string_body> parser;
  State state = State::need_more;
  size_t scanned = 0;  // bytes of the head already seen to be harmless
  size_t lines = 0;
  size_t head_end = 0;  // behind the empty line; 0: not here yet
  bool wants_continue = false;
  Request request;
  int error_status = 0;
  std::string error_detail;
};

std::optional<RequestParser::Step> RequestParser::Impl::scan(std::string_view bytes) {
  for (size_t i = scanned; i < bytes.size(); ++i) {
    if (i >= limits.head_bytes) {
      return fail_with(431, fmt::format("the request head is longer than {} bytes", limits.head_bytes));
    }
    if (bytes[i] == '\0') return fail_with(400, "a NUL byte in the request head");
    if (bytes[i] == '\n') {
      if (i == 0 || bytes[i - 1] != '\r') return fail_with(400, "a line of the request head ends without CR");
      if (i >= 3 && bytes[i - 2] == '\n') {
        head_end = i + 1;
        return std::nullopt;
      }
      if (++lines > limits.header_count + 1) {
        return fail_with(431, fmt::format("more than {} header fields", limits.header_count));
      }
    } else if ((bytes[i] == ' ' || bytes[i] == '\t') && i > 0 && bytes[i - 1] == '\n') {
      return fail_with(400, "a header field is folded over two lines");
    }
  }
  scanned = bytes.size();
  return std::nullopt;
}

RequestParser::Step RequestParser::Impl::feed_head(std::string_view bytes) {
  if (scanned == 0) {  // RFC 9112 2.2: an empty line before a request, left by a client
    if (bytes == "\r") return {State::need_more, 0};
    if (bytes.substr(0, 2) == "\r\n") return {State::need_more, 2};
  }
  if (auto bad = scan(bytes)) return *bad;
  if (head_end == 0) return {State::need_more, 0};
  boost::system::error_code error;
  const size_t consumed = parser.put(boost::asio::const_buffer(bytes.data(), head_end), error);
  if (error == http::error::bad_version) return fail_with(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
  if (error || !parser.is_header_done()) {
    return fail_with(400, "the request cannot be read: " + (error ? error.message() : "incomplete head"));
  }
  return take_head(consumed);
}

bool RequestParser::Impl::take_target(std::string_view target) {
  if (target.substr(0, 7) == "http://") {  // RFC 9112 3.2.2: the target's authority replaces Host
    target.remove_prefix(7);
    const size_t slash = std::min(target.find_first_of("/?"), target.size());
    request.host = std::string(target.substr(0, slash));
    target.remove_prefix(slash);
    if (target.empty()) target = "/";
  }
  if (target.empty() || target[0] != '/' || target.find('#') != std::string_view::npos) return false;
  const size_t question = std::min(target.find('?'), target.size());
  request.path = std::string(target.substr(0, question));
  auto query = parse_query(target.substr(std::min(question + 1, target.size())));
  if (!query || !percent_decode(request.path)) return false;
  request.query = std::move(*query);
  return true;
}

std::optional<RequestParser::Step> RequestParser::Impl::check_framing() {
  const auto& message = parser.get();
  const auto hosts = message.count(http::field::host);
  if (hosts > 1 || (hosts == 0 && message.version() >= 11)) {
    return fail_with(400, hosts == 0 ? "the Host field is missing" : "more than one Host field");
  }
  const auto codings = message.count(http::field::transfer_encoding);
  const std::string coding = lower(request.header("transfer-encoding"));
  if (codings > 1 || (codings == 1 && (coding != "chunked" || message.version() < 11))) {
    return fail_with(400, "the only transfer coding understood is chunked, once, in HTTP/1.1");
  }
  if (codings > 0 && message.count(http::field::content_length) > 0) {
    return fail_with(400, "Content-Length and Transfer-Encoding exclude each other");
  }
  const std::string& length = request.header("content-length");
  if (length.find_first_not_of("0123456789") != std::string::npos) {
    return fail_with(400, "Content-Length is not one number");
  }
  const std::string expect = lower(request.header("expect"));
  if (!expect.empty() && expect != "100-continue") return fail_with(417, "unknown expectation: " + expect);
  wants_continue = !expect.empty() && message.version() >= 11;
  return std::nullopt;
}

RequestParser::Step RequestParser::Impl::take_head(size_t consumed) {
  const auto& message = parser.get();
  request.method = std::string(message.method_string());
  for (const auto& field : message) {
    std::string& value = request.headers[lower({field.name_string().data(), field.name_string().size()})];
    if (!value.empty()) value += ", ";
    value.append(field.value().data(), field.value().size());
  }
  request.host = request.header("host");
  if (auto bad = check_framing()) return *bad;
  if (!take_target({message.target().data(), message.target().size()})) {
    return fail_with(400, "the request target is no path that can be read");
  }
  parser.eager(true);
  state = State::head;
  return {state, consumed};
}

RequestParser::Step RequestParser::Impl::feed_body(std::string_view bytes) {
  const auto announced = parser.content_length();
  const auto too_large = [&] {
    return fail_with(413, fmt::format("the body is larger than {} bytes", body_limit));
  };
  if (announced && *announced > body_limit) return too_large();
  size_t consumed = 0;
  // A chunked body always ends with at least "0\r\n\r\n". With less than that Beast 1.74 fails an assertion
  // of its own.
  const size_t least = parser.chunked() ? 5 : 1;
  while (!parser.is_done() && bytes.size() - consumed >= least) {
    boost::system::error_code error;
    const size_t n =
        parser.put(boost::asio::const_buffer(bytes.data() + consumed, bytes.size() - consumed), error);
    consumed += n;
    if (parser.get().body().size() > body_limit) return too_large();
    if (error == http::error::need_more || (!error && n == 0)) break;
    if (error) return fail_with(400, "the body cannot be read: " + error.message());
  }
  if (!parser.is_done()) {
    if (bytes.size() - consumed > kMaxUnconsumed)
      return fail_with(400, "a chunk's head or trailer is too long");
    return {State::need_more, consumed};
  }
  request.body = std::move(parser.get().body());
  state = State::done;
  return {state, consumed};
}

RequestParser::RequestParser(const ParseLimits& limits) : impl_(std::make_unique<Impl>(limits)) {}
RequestParser::~RequestParser() = default;

RequestParser::Step RequestParser::feed(std::string_view bytes) {
  switch (impl_->state) {
    case State::need_more: return impl_->feed_head(bytes);
    case State::head: return impl_->feed_body(bytes);
    default: return {impl_->state, 0};
  }
}

void RequestParser::set_body_limit(size_t bytes) { impl_->body_limit = bytes; }
Request& RequestParser::request() { return impl_->request; }
bool RequestParser::keep_alive() const { return impl_->parser.keep_alive(); }
bool RequestParser::takes_chunks() const { return impl_->parser.get().version() >= 11; }
bool RequestParser::wants_continue() const { return impl_->wants_continue; }
int RequestParser::error_status() const { return impl_->error_status; }
const std::string& RequestParser::error_detail() const { return impl_->error_detail; }

}  // namespace todd::api
