#include "plugins/http/request_reader.h"

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/status.hpp>

#include "plugins/http/headers.h"
#include "plugins/http/wish.h"

namespace todd::http {

namespace beast = boost::beast;
using beast::string_view;
using ErrorCode = beast::error_code;
using Code = beast::http::error;

namespace {

constexpr size_t kMaxBuffer = 2 * kMaxHead;  // unused bytes: a head, or a chunk's header
constexpr uint64_t kMaxRequestBody = 64 * 1024;

bool is_token(string_view value, const char* token) { return beast::iequals(value, token); }

}  // namespace

class RequestReader::Parser : public beast::http::basic_parser<true> {
 public:
  Parser() {
    header_limit(kMaxHead);
    body_limit(kMaxRequestBody);
    eager(false);  // the head is looked at before the body is read
  }
  int refusal = 0;
  int hosts = 0;
  bool head = false, http11 = false, echo = false;
  std::string target, body;

 protected:
  void on_request_impl(beast::http::verb verb, string_view, string_view asked, int version,
                       ErrorCode& ec) override {
    ec = {};
    target.assign(asked.data(), asked.size());
    echo = verb == beast::http::verb::post && is_echo(target);
    head = verb == beast::http::verb::head;
    http11 = version == 11;
    if (!head && !echo && verb != beast::http::verb::get) refusal = 405;
  }
  void on_response_impl(int, string_view, int, ErrorCode& ec) override { ec = {}; }
  void on_field_impl(beast::http::field field, string_view, string_view value, ErrorCode& ec) override {
    ec = {};
    if (field == beast::http::field::host) ++hosts;
    if (field == beast::http::field::transfer_encoding && !is_token(value, "chunked")) refusal = 501;
  }
  void on_header_impl(ErrorCode& ec) override {
    ec = {};
    if (hosts > 1 || (http11 && hosts == 0)) refusal = 400;
  }
  void on_body_init_impl(boost::optional<uint64_t> const&, ErrorCode& ec) override { ec = {}; }
  size_t on_body_impl(string_view bytes, ErrorCode& ec) override { return take(bytes, ec); }
  void on_chunk_header_impl(uint64_t, string_view, ErrorCode& ec) override { ec = {}; }
  size_t on_chunk_body_impl(uint64_t, string_view bytes, ErrorCode& ec) override { return take(bytes, ec); }
  void on_finish_impl(ErrorCode& ec) override { ec = {}; }

 private:
  size_t take(string_view bytes, ErrorCode& ec) {
    ec = {};
    if (echo) body.append(bytes.data(), bytes.size());
    if (body.size() > kMaxRequestBody) ec = Code::body_limit;
    return bytes.size();
  }
};

RequestReader::RequestReader() : parser_(std::make_unique<Parser>()) {}
RequestReader::~RequestReader() = default;

bool RequestReader::keep_alive() const { return parser_->keep_alive(); }
bool RequestReader::head() const { return parser_->head; }
bool RequestReader::http11() const { return parser_->http11; }
const std::string& RequestReader::target() const { return parser_->target; }
bool RequestReader::echo() const { return parser_->echo; }
const std::string& RequestReader::body() const { return parser_->body; }

Read RequestReader::fail(int status) {
  status_ = status;
  return Read::kFailed;
}

Read RequestReader::put(std::string_view bytes) {
  if (status_ != 200) return Read::kFailed;
  buffer_ += bytes;
  return done_ ? Read::kDone : advance();
}

Read RequestReader::next() {
  done_ = false;
  head_bytes_ = 0;
  parser_ = std::make_unique<Parser>();
  return advance();
}

// Beast joins a folded line to the one before; RFC 9112 section 5.2 lets a server refuse it.
bool RequestReader::folded(std::string_view head) {
  return head.find("\r\n ") != std::string_view::npos || head.find("\r\n\t") != std::string_view::npos;
}

Read RequestReader::advance() {
  while (!buffer_.empty() && !parser_->is_done()) {
    const bool in_head = !parser_->is_header_done();
    ErrorCode ec;
    const size_t used = parser_->put(boost::asio::const_buffer(buffer_.data(), buffer_.size()), ec);
    if (in_head && folded(std::string_view(buffer_).substr(0, used))) return fail(400);
    buffer_.erase(0, used);
    // Beast limits what it was given at once, and forgets the fields it has read already.
    if (in_head && (head_bytes_ += used) > kMaxHead) return fail(431);
    if (ec == Code::need_more) break;
    if (ec == Code::header_limit) return fail(431);
    if (ec == Code::body_limit) return fail(413);
    if (ec) return fail(400);
    if (parser_->refusal != 0) return fail(parser_->refusal);
    if (used == 0) break;
  }
  if (parser_->is_done()) {
    done_ = true;
    return Read::kDone;
  }
  return buffer_.size() > kMaxBuffer ? fail(431) : Read::kMore;
}

std::string response_head(const ResponseSpec& spec) {
  const auto reason = beast::http::obsolete_reason(static_cast<beast::http::status>(spec.status));
  std::string text = "HTTP/1.1 " + std::to_string(spec.status) + " ";
  if (!reason.starts_with('<')) text += std::string(reason);  // it knows no reason for this one
  text += "\r\nContent-Type: application/octet-stream\r\n";
  if (!spec.location.empty()) (text += "Location: ").append(spec.location) += "\r\n";
  if (spec.gzip) text += "Content-Encoding: gzip\r\n";
  if (spec.chunked) {
    text += "Transfer-Encoding: chunked\r\n";
  } else if (spec.status != 204 && spec.status != 304) {
    text += "Content-Length: " + std::to_string(spec.body_bytes) + "\r\n";
  }
  if (!spec.keep_alive) text += "Connection: close\r\n";
  return text + "\r\n";
}

}  // namespace todd::http
