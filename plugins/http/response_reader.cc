#include "plugins/http/response_reader.h"

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <new>

namespace todd::http {

namespace beast = boost::beast;
using beast::string_view;
using ErrorCode = beast::error_code;
using Code = beast::http::error;

namespace {

constexpr size_t kMaxBuffer = 2 * kMaxHead;  // unused bytes: a chunk's header, or trailers
constexpr size_t kKeptBuffer = 64;           // what an idle connection may keep of it
constexpr int kMaxInterim = 16;              // 1xx responses before the real one

std::string_view view(string_view text) { return {text.data(), text.size()}; }

}  // namespace

class ResponseReader::Parser final : public beast::http::basic_parser<false> {
 public:
  // The head is read alone, so that it can be looked at before the body; what follows, in one go. The limit
  // of the body is ours: in 1.74 an eager parser that has more to read forgets its own body_limit error.
  explicit Parser(ResponseReader& reader) : r_(reader) {
    header_limit(kMaxHead);
    body_limit(UINT64_MAX);
    skip(reader.want_.bodiless);
  }

 protected:
  void on_request_impl(beast::http::verb, string_view, string_view, int, ErrorCode& ec) override { ec = {}; }
  void on_response_impl(int code, string_view, int version, ErrorCode& ec) override {
    ec = {};
    r_.status_ = static_cast<int16_t>(code);
    r_.version_ = static_cast<uint8_t>(version);
    if (code < 100) ec = Code::bad_status;
  }
  void on_field_impl(beast::http::field field, string_view name, string_view value, ErrorCode& ec) override {
    ec = {};
    if (is_header_done()) return;  // a trailer
    // We ask for no transfer coding but the one there always is. Beast takes a body in another one for one
    // that ends with the connection, or believes a Content-Length beside it.
    if (field == beast::http::field::transfer_encoding && !same_word(view(value), "chunked"))
      ec = Code::bad_transfer_encoding;
    if (field == beast::http::field::content_encoding) r_.coding_ = coding_with(r_.coding_, view(value));
    if (r_.want_.headers != nullptr && !r_.want_.headers->add(view(name), view(value)))
      ec = Code::header_limit;
  }
  void on_header_impl(ErrorCode& ec) override { ec = {}; }
  void on_body_init_impl(boost::optional<uint64_t> const&, ErrorCode& ec) override { ec = {}; }
  size_t on_body_impl(string_view bytes, ErrorCode& ec) override { return take(bytes, ec); }
  void on_chunk_header_impl(uint64_t size, string_view, ErrorCode& ec) override {
    ec = {};
    if (size > r_.want_.max_body - r_.body_bytes_) ec = Code::body_limit;
  }
  size_t on_chunk_body_impl(uint64_t, string_view bytes, ErrorCode& ec) override { return take(bytes, ec); }
  void on_finish_impl(ErrorCode& ec) override { ec = {}; }

 private:
  size_t take(string_view bytes, ErrorCode& ec) {
    ec = {};
    if (bytes.size() > r_.want_.max_body - r_.body_bytes_) {
      ec = Code::body_limit;
      return bytes.size();
    }
    r_.body_bytes_ += bytes.size();
    if (r_.want_.body != nullptr) r_.refusal_ = r_.want_.body->put(view(bytes));
    if (r_.refusal_ != nullptr) ec = Code::body_limit;
    return bytes.size();
  }

  ResponseReader& r_;
};

ResponseReader::Parser& ResponseReader::parser() {
  return *std::launder(reinterpret_cast<Parser*>(storage_));
}
const ResponseReader::Parser& ResponseReader::parser() const {
  return *std::launder(reinterpret_cast<const Parser*>(storage_));
}

ResponseReader::ResponseReader(const Want& want) : want_(want) {
  static_assert(sizeof(Parser) <= kParserBytes && alignof(Parser) <= 8);
  new (storage_) Parser(*this);
}
ResponseReader::~ResponseReader() { parser().~Parser(); }

// For the next head on this connection, a final response's or an interim one's.
void ResponseReader::renew() {
  parser().~Parser();
  new (storage_) Parser(*this);
  status_ = 0;
  coding_ = Coding::kIdentity;
  if (want_.headers != nullptr) want_.headers->clear();
}

void ResponseReader::reset() {
  renew();
  buffer_.clear();
  why_ = "";
  refusal_ = nullptr;
  detail_.clear();
  body_bytes_ = wire_bytes_ = 0;
  head_bytes_ = 0;
  version_ = interim_ = 0;
  got_some_ = head_done_ = false;
}

void ResponseReader::reset(const Want& want) {
  want_ = want;
  reset();
}

bool ResponseReader::reusable() const { return parser().keep_alive() && buffer_.empty(); }

Read ResponseReader::fail(const char* why, std::string detail) {
  why_ = why;
  detail_ = std::move(detail);
  return Read::kFailed;
}

// kMore: an interim response, or one with a body to come.
Read ResponseReader::head_complete() {
  if (status_ == 101) return fail("protocol", "101 Switching Protocols, which nobody asked for");
  if (status_ < 200) {
    if (++interim_ > kMaxInterim) return fail("protocol", "more than 16 interim responses");
    renew();
    return Read::kMore;
  }
  head_done_ = true;
  if (want_.body != nullptr) want_.body->begin(coding_);
  if (parser().is_done()) return complete();
  const auto length = parser().content_length();
  if (length && *length > want_.max_body) return fail("too_large", "the body is longer than max_body");
  parser().eager(true);
  return Read::kMore;
}

Read ResponseReader::complete() {
  if (want_.body != nullptr) refusal_ = want_.body->finish();
  return refusal_ == nullptr ? Read::kDone : fail(refusal_, want_.body->detail());
}

// Parses as much of `in` as can be, removing it. kMore: everything usable is used.
Read ResponseReader::step(std::string_view& in) {
  while (!in.empty()) {
    const bool in_head = !head_done_;
    ErrorCode ec;
    const size_t used = parser().put(boost::asio::const_buffer(in.data(), in.size()), ec);
    in.remove_prefix(used);
    wire_bytes_ += used;
    if (in_head) {
      // Beast limits what it was given at once, and forgets the fields it has read already.
      head_bytes_ += static_cast<uint32_t>(used);
      const bool waiting = !parser().is_header_done();
      if (ec == Code::header_limit || head_bytes_ + (waiting ? in.size() : 0) > kMaxHead)
        return fail("too_large", "the head is longer than 16 KiB");
    }
    if (ec == Code::need_more) return Read::kMore;
    if (refusal_ != nullptr) return fail(refusal_, want_.body->detail());
    if (ec == Code::body_limit) return fail("too_large", "the body is longer than max_body");
    if (ec) return fail("protocol", ec.message());
    if (in_head && parser().is_header_done()) {
      if (const Read read = head_complete(); read != Read::kMore) return read;
    } else if (parser().is_done()) {
      return complete();
    } else if (used == 0) {
      return Read::kMore;
    }
  }
  return Read::kMore;
}

Read ResponseReader::put(std::string_view bytes) {
  got_some_ = got_some_ || !bytes.empty();
  Read read;
  if (buffer_.empty()) {
    // The usual case, without a copy: the parser uses everything.
    read = step(bytes);
    if (!bytes.empty()) buffer_.assign(bytes);
  } else {
    buffer_ += bytes;
    std::string_view in = buffer_;
    read = step(in);
    buffer_.erase(0, buffer_.size() - in.size());
    if (buffer_.empty() && buffer_.capacity() > kKeptBuffer) std::string().swap(buffer_);
  }
  if (read == Read::kMore && buffer_.size() > kMaxBuffer)
    return fail("protocol", "an endless chunk header or trailer");
  return read;
}

Read ResponseReader::end() {
  if (!got_some_) return fail("closed", "the server closed the connection without an answer");
  ErrorCode ec;
  if (parser().got_some()) parser().put_eof(ec);
  if (ec || !parser().is_done()) return fail("truncated", "the connection ended inside the response");
  return complete();
}

}  // namespace todd::http
