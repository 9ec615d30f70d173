#include "plugins/http/wire.h"

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/status.hpp>

namespace todd::http {

namespace beast = boost::beast;
using beast::string_view;
using ErrorCode = beast::error_code;
using Code = beast::http::error;

namespace {

constexpr size_t kMaxBuffer = 2 * kMaxHead;  // unused bytes: a head, or a chunk's header
constexpr int kMaxInterim = 16;              // 1xx responses before the real one
constexpr uint64_t kMaxRequestBody = 64 * 1024;

bool is_token(string_view value, const char* token) { return beast::iequals(value, token); }

}  // namespace

// ---- responses

class ResponseReader::Parser : public beast::http::basic_parser<false> {
 public:
  // The limit of the body is ours: in 1.74 an eager parser that has more to read forgets its own body_limit
  // error.
  explicit Parser(uint64_t max_body) : max_body_(max_body) {
    header_limit(kMaxHead);
    body_limit(UINT64_MAX);
    eager(true);
  }
  int status = 0;
  uint64_t body = 0;

 protected:
  void on_request_impl(beast::http::verb, string_view, string_view, int, ErrorCode& ec) override { ec = {}; }
  void on_response_impl(int code, string_view, int, ErrorCode& ec) override {
    ec = {};
    status = code;
  }
  void on_field_impl(beast::http::field, string_view, string_view, ErrorCode& ec) override { ec = {}; }
  void on_header_impl(ErrorCode& ec) override { ec = {}; }
  void on_body_init_impl(boost::optional<uint64_t> const& length, ErrorCode& ec) override {
    ec = {};
    if (length && *length > max_body_) ec = Code::body_limit;
  }
  size_t on_body_impl(string_view bytes, ErrorCode& ec) override { return take(bytes, ec); }
  void on_chunk_header_impl(uint64_t size, string_view, ErrorCode& ec) override {
    ec = {};
    if (size > max_body_ - body) ec = Code::body_limit;
  }
  size_t on_chunk_body_impl(uint64_t, string_view bytes, ErrorCode& ec) override { return take(bytes, ec); }
  void on_finish_impl(ErrorCode& ec) override { ec = {}; }

 private:
  size_t take(string_view bytes, ErrorCode& ec) {
    ec = {};
    if (bytes.size() > max_body_ - body) {
      ec = Code::body_limit;
    } else {
      body += bytes.size();
    }
    return bytes.size();
  }

  uint64_t max_body_;
};

ResponseReader::ResponseReader(uint64_t max_body) : max_body_(max_body) { reset(); }
ResponseReader::~ResponseReader() = default;

void ResponseReader::reset() {
  parser_ = std::make_unique<Parser>(max_body_);
  buffer_.clear();
  got_some_ = false;
  interim_ = 0;
  why_ = "";
  detail_.clear();
}

int ResponseReader::status() const { return parser_->status; }
uint64_t ResponseReader::body_bytes() const { return parser_->body; }
bool ResponseReader::reusable() const { return parser_->keep_alive() && buffer_.empty(); }

Read ResponseReader::fail(const char* why, std::string detail) {
  why_ = why;
  detail_ = std::move(detail);
  return Read::kFailed;
}

Read ResponseReader::skip_interim() {
  const bool interim = parser_->status >= 100 && parser_->status < 200 && parser_->status != 101;
  if (!interim) return Read::kDone;
  if (++interim_ > kMaxInterim) return fail("protocol", "more than 16 interim responses");
  parser_ = std::make_unique<Parser>(max_body_);
  return Read::kMore;
}

// Parses as much of `in` as can be, removing it. kMore: everything usable is used.
Read ResponseReader::step(std::string_view& in) {
  while (!in.empty()) {
    ErrorCode ec;
    const size_t used = parser_->put(boost::asio::const_buffer(in.data(), in.size()), ec);
    in.remove_prefix(used);
    if (ec == Code::need_more) return Read::kMore;
    if (ec == Code::body_limit) return fail("too_large", "the body is longer than max_body");
    if (ec) return fail("protocol", ec.message());
    if (parser_->is_done()) {
      if (const Read read = skip_interim(); read != Read::kMore) return read;
    } else if (used == 0) {
      return Read::kMore;
    }
  }
  return Read::kMore;
}

Read ResponseReader::put(std::string_view bytes) {
  got_some_ = got_some_ || !bytes.empty();
  if (buffer_.empty()) {
    // The usual case, without a copy: the parser uses everything.
    const Read read = step(bytes);
    buffer_.assign(bytes);
    return read == Read::kMore && buffer_.size() > kMaxBuffer ? fail("protocol", "an endless header") : read;
  }
  buffer_ += bytes;
  std::string_view in = buffer_;
  const Read read = step(in);
  buffer_.erase(0, buffer_.size() - in.size());
  return read == Read::kMore && buffer_.size() > kMaxBuffer ? fail("protocol", "an endless header") : read;
}

Read ResponseReader::end() {
  if (!got_some_) return fail("closed", "the server closed the connection without an answer");
  ErrorCode ec;
  if (parser_->got_some()) parser_->put_eof(ec);
  if (ec || !parser_->is_done()) return fail("truncated", "the connection ended inside the response");
  return Read::kDone;
}

// ---- requests

class RequestReader::Parser : public beast::http::basic_parser<true> {
 public:
  Parser() {
    header_limit(kMaxHead);
    body_limit(kMaxRequestBody);
    eager(false);  // the head is looked at before the body is read
  }
  int refusal = 0;
  int hosts = 0;
  bool head = false, http11 = false;

 protected:
  void on_request_impl(beast::http::verb verb, string_view, string_view, int version,
                       ErrorCode& ec) override {
    ec = {};
    head = verb == beast::http::verb::head;
    http11 = version == 11;
    if (!head && verb != beast::http::verb::get) refusal = 405;
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
  size_t on_body_impl(string_view bytes, ErrorCode& ec) override {
    ec = {};
    return bytes.size();
  }
  void on_chunk_header_impl(uint64_t, string_view, ErrorCode& ec) override { ec = {}; }
  size_t on_chunk_body_impl(uint64_t, string_view bytes, ErrorCode& ec) override {
    ec = {};
    return bytes.size();
  }
  void on_finish_impl(ErrorCode& ec) override { ec = {}; }
};

RequestReader::RequestReader() : parser_(std::make_unique<Parser>()) {}
RequestReader::~RequestReader() = default;

bool RequestReader::keep_alive() const { return parser_->keep_alive(); }
bool RequestReader::head() const { return parser_->head; }

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

// ---- what we write

std::string get_request(std::string_view path, std::string_view host, std::string_view user_agent,
                        bool keep_alive) {
  std::string text = "GET " + std::string(path) + " HTTP/1.1\r\nHost: " + std::string(host) + "\r\n";
  if (!user_agent.empty()) text += "User-Agent: " + std::string(user_agent) + "\r\n";
  text += "Accept: */*\r\n";
  if (!keep_alive) text += "Connection: close\r\n";
  return text + "\r\n";
}

std::string response_head(int status, uint64_t body_bytes, bool keep_alive) {
  const auto reason = beast::http::obsolete_reason(static_cast<beast::http::status>(status));
  std::string text = "HTTP/1.1 " + std::to_string(status) + " " + std::string(reason) + "\r\n";
  text += "Content-Type: application/octet-stream\r\nContent-Length: " + std::to_string(body_bytes) + "\r\n";
  if (!keep_alive) text += "Connection: close\r\n";
  return text + "\r\n";
}

}  // namespace todd::http
