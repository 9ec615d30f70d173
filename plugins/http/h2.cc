#include "plugins/http/h2.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "plugins/http/request.h"

namespace todd::http {

namespace {

constexpr uint32_t kMaxIdleFrames = 10'000;
constexpr int kMaxInterim = 16;
constexpr const char kUnprocessed[] = "the server ended the connection before it looked at the request";

nghttp2_session* raw(void* session) { return static_cast<nghttp2_session*>(session); }
std::string_view view(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}
uint8_t* bytes_of(std::string_view text) {
  return const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(text.data()));  // the library only reads it
}

}  // namespace

void H2Session::Delete::operator()(void* session) const { nghttp2_session_del(raw(session)); }

struct H2Session::Glue {
  static H2Session& me(void* user) { return *static_cast<H2Session*>(user); }

  static int begin_frame(nghttp2_session*, const nghttp2_frame_hd* hd, void* user) {
    H2Session& h = me(user);
    if (hd->type == NGHTTP2_HEADERS || hd->type == NGHTTP2_CONTINUATION) {
      Stream* s = h.stream_of(hd->stream_id);
      if (s != nullptr) s->answer.head_bytes += static_cast<uint32_t>(hd->length) + 9;
    }
    return h.count_frame(hd->type) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  static int begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    H2Session& h = me(user);
    Stream* s = h.stream_of(frame->hd.stream_id);
    if (s == nullptr || s->began) return 0;
    s->began = true;
    h.owner_.began(s->user);
    return 0;
  }
  static int header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                    const uint8_t* value, size_t value_size, uint8_t, void* user) {
    H2Session& h = me(user);
    Stream* s = h.stream_of(frame->hd.stream_id);
    return s != nullptr ? h.header(*s, view(name, name_size), view(value, value_size)) : 0;
  }
  static int frame_received(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    H2Session& h = me(user);
    if (frame->hd.type == NGHTTP2_GOAWAY)
      h.said_goodbye(frame->goaway.last_stream_id, frame->goaway.error_code);
    const int32_t id = frame->hd.stream_id;
    if (Stream* s = h.stream_of(id)) {
      if (frame->hd.type == NGHTTP2_RST_STREAM) s->reset = true;
      if (frame->hd.type == NGHTTP2_HEADERS) h.head_complete(*s);
    }
    Stream* s = h.stream_of(id);  // looked up again: the owner may have given its place to another
    if (s != nullptr && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
      h.answer_complete(*s);
    }
    return 0;
  }
  static int frame_begins(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_HEADERS && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
      me(user).ending_ = frame->hd.stream_id;
    return 0;
  }
  static int frame_sent(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_GOAWAY) me(user).left_ = true;
    return 0;
  }
  static int data(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size, void* user) {
    H2Session& h = me(user);
    h.idle_frames_ = 0;
    Stream* s = h.stream_of(id);
    return s != nullptr ? h.data(*s, view(data, size)) : 0;
  }
  static int closed(nghttp2_session*, int32_t id, uint32_t code, void* user) {
    H2Session& h = me(user);
    Stream* s = h.stream_of(id);
    if (s != nullptr) h.closed(*s, code);
    return 0;
  }
  // A request that never left: the peer said goodbye meanwhile. Such a stream was never open.
  static int not_sent(nghttp2_session*, const nghttp2_frame* frame, int, void* user) {
    H2Session& h = me(user);
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    for (Stream& s : h.streams_) {
      if (s.id != 0 && s.id == frame->hd.stream_id) {
        h.said_ = "the server takes no more requests on this connection";
        h.closed(s, NGHTTP2_REFUSED_STREAM);
        break;
      }
    }
    return 0;
  }
  static int said(nghttp2_session*, int, const char* text, size_t size, void* user) {
    me(user).said_.assign(text, std::min<size_t>(size, 200));
    return 0;
  }
  static ssize_t read(nghttp2_session*, int32_t id, uint8_t* out, size_t cap, uint32_t* flags,
                      nghttp2_data_source*, void* user) {
    H2Session& h = me(user);
    Stream* s = h.stream_of(id);
    if (s == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // given up meanwhile
    h.idle_frames_ = 0;
    const size_t n = std::min(cap, s->body.size());
    std::memcpy(out, s->body.data(), n);
    s->body.remove_prefix(n);
    if (s->body.empty()) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      h.ending_ = id;
    }
    return static_cast<ssize_t>(n);
  }

  static nghttp2_session* make(H2Session* h) {
    nghttp2_session_callbacks* calls = nullptr;
    nghttp2_option* option = nullptr;
    nghttp2_session* session = nullptr;
    if (nghttp2_session_callbacks_new(&calls) != 0) throw std::bad_alloc();
    nghttp2_session_callbacks_set_on_begin_frame_callback(calls, begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(calls, begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(calls, header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, frame_received);
    nghttp2_session_callbacks_set_before_frame_send_callback(calls, frame_begins);
    nghttp2_session_callbacks_set_on_frame_send_callback(calls, frame_sent);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, data);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, closed);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(calls, not_sent);
    nghttp2_session_callbacks_set_error_callback2(calls, said);
    int status = nghttp2_option_new(&option);
    if (status == 0) {
      nghttp2_option_set_no_closed_streams(option, 1);
      status = nghttp2_session_client_new2(&session, calls, h, option);
      nghttp2_option_del(option);
    }
    nghttp2_session_callbacks_del(calls);
    if (status != 0) throw std::bad_alloc();
    return session;
  }
};

H2Session::H2Session(H2Owner& owner, const Options& options)
    : owner_(owner), options_(options), session_(Glue::make(this)) {
  nghttp2_session* session = raw(session_.get());
  const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                             {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.window},
                                             {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, kMaxHead}};
  if (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, std::size(settings)) != 0 ||
      nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                            static_cast<int32_t>(options.window)) != 0) {
    throw std::bad_alloc();
  }
}

H2Session::~H2Session() = default;

H2Session::Stream* H2Session::stream_of(int32_t id) const {
  if (id == 0) return nullptr;
  return static_cast<Stream*>(nghttp2_session_get_stream_user_data(raw(session_.get()), id));
}

bool H2Session::closing() const {
  return over_ || nghttp2_session_check_request_allowed(raw(session_.get())) == 0;
}

uint32_t H2Session::room() const {
  if (closing()) return 0;
  const uint32_t allowed = std::min(
      options_.max_streams,
      nghttp2_session_get_remote_settings(raw(session_.get()), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS));
  return allowed > n_open_ ? allowed - n_open_ : 0;
}

bool H2Session::open(const Request& request, uint64_t unique, const Want& want, uint64_t user) {
  if (room() == 0) return false;
  char number[Request::kUniqueSize];
  Request::write_unique(number, unique);
  const auto& fields = request.fields();
  fields_.resize(fields.size() * sizeof(nghttp2_nv));
  auto* nv = reinterpret_cast<nghttp2_nv*>(fields_.data());
  for (size_t i = 0; i < fields.size(); ++i) {
    const auto& [name, value] = fields[i];
    nv[i] = {bytes_of(name), bytes_of(value), name.size(), value.size(),
             NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
    if (i == request.unique_field()) {  // another every time: not for the table
      nv[i].value = bytes_of(std::string_view(number, sizeof number));
      nv[i].flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_INDEX;
    }
  }
  Stream* s = nullptr;
  if (free_.empty()) {
    s = &streams_.emplace_back();
  } else {
    s = free_.back();
    free_.pop_back();
  }
  *s = Stream{};
  s->user = user;
  s->want = want;
  s->body = request.body();
  if (want.headers != nullptr) want.headers->clear();
  nghttp2_data_provider body{};
  body.read_callback = Glue::read;
  s->id = nghttp2_submit_request(raw(session_.get()), nullptr, nv, fields.size(),
                                 s->body.empty() ? nullptr : &body, s);
  if (s->id <= 0) {
    s->id = 0;
    free_.push_back(s);
    return false;
  }
  ++n_open_;
  return true;
}

void H2Session::cancel(uint64_t user) {
  for (Stream& s : streams_) {
    if (s.id == 0 || s.user != user) continue;
    nghttp2_submit_rst_stream(raw(session_.get()), NGHTTP2_FLAG_NONE, s.id, NGHTTP2_CANCEL);
    return release(s);
  }
}

// ---- from the peer

// False: we leave. A push cannot be: our settings, which forbid it, come before any request.
bool H2Session::count_frame(uint8_t type) {
  if (type == NGHTTP2_PUSH_PROMISE) {
    said_ = "a pushed stream, which our settings forbid";
    return false;
  }
  if (type == NGHTTP2_HEADERS) {
    idle_frames_ = 0;  // of DATA it is the content that counts
  } else if (++idle_frames_ > kMaxIdleFrames) {
    said_ = "10,000 frames without any progress of an answer";
    return false;
  }
  return true;
}

int H2Session::header(Stream& s, std::string_view name, std::string_view value) {
  s.decoded += static_cast<uint32_t>(name.size() + value.size()) + 32;  // RFC 9113 section 6.5.2
  if (s.decoded > kMaxHead) {
    give_up(s, "too_large", "the head is longer than 16 KiB");
    return 0;
  }
  if (s.head_done) return 0;  // a trailer
  if (name == ":status") {    // the library has made sure that it is three digits and comes once and first
    s.answer.status = (value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0');
    return 0;
  }
  if (s.answer.status < 200) return 0;
  if (name == "content-encoding") s.answer.coding = coding_with(s.answer.coding, value);
  if (s.want.headers != nullptr && !s.want.headers->add(name, value))
    give_up(s, "too_large", "the head is longer than 16 KiB");
  return 0;
}

// The stream may be over after this, and another in its place.
void H2Session::head_complete(Stream& s) {
  if (s.head_done) return;  // trailers
  if (s.answer.status < 100) return give_up(s, "protocol", "a status that is not 100..999");
  if (s.answer.status < 200) {
    if (++s.interim > kMaxInterim) give_up(s, "protocol", "more than 16 interim responses");
    return;
  }
  s.head_done = true;
  if (s.want.body != nullptr) s.want.body->begin(s.answer.coding);
}

// Usually the library closes the stream now. Not while our body is still leaving: the answer does not want
// the rest (RFC 9113 section 8.1), and nobody else should wait for it.
void H2Session::answer_complete(Stream& s) {
  s.complete = true;
  if (nghttp2_session_get_stream_local_close(raw(session_.get()), s.id) != 0) return;
  nghttp2_submit_rst_stream(raw(session_.get()), NGHTTP2_FLAG_NONE, s.id, NGHTTP2_NO_ERROR);
  closed(s, NGHTTP2_NO_ERROR);
}

void H2Session::said_goodbye(int32_t last_processed, uint32_t code) {
  goodbye_ = true;
  last_processed_ = last_processed;
  if (code != NGHTTP2_NO_ERROR)
    farewell_ = std::string("the server ended the connection: ") + nghttp2_http2_strerror(code);
}

int H2Session::data(Stream& s, std::string_view bytes) {
  if (bytes.size() > s.want.max_body - s.answer.body_bytes) {
    give_up(s, "too_large", "the body is longer than max_body");
    return 0;
  }
  s.answer.body_bytes += bytes.size();
  if (s.want.body == nullptr) return 0;
  if (const char* why = s.want.body->put(bytes)) give_up(s, why, s.want.body->detail());
  return 0;
}

// The library has closed the stream, whoever wanted it.
void H2Session::closed(Stream& s, uint32_t code) {
  std::string detail;
  if (s.complete) {  // a reset after that only says that our body was not needed
    s.answer.why = s.want.body != nullptr ? s.want.body->finish() : nullptr;
    if (s.answer.why != nullptr) detail = s.want.body->detail();
  } else if (s.reset) {
    s.answer.why = "reset";
    s.answer.unprocessed = code == NGHTTP2_REFUSED_STREAM;
    detail = std::string("the server reset the stream: ") + nghttp2_http2_strerror(code);
  } else if (code == NGHTTP2_REFUSED_STREAM) {  // GOAWAY
    s.answer.why = "closed";
    s.answer.unprocessed = true;
    detail = !farewell_.empty() ? farewell_ : kUnprocessed;
  } else {
    s.answer.why = "protocol";
    detail = !said_.empty() ? said_ : nghttp2_http2_strerror(code);
  }
  s.answer.detail = detail;
  finish(s);
}

// Ends a stream on our side.
void H2Session::give_up(Stream& s, const char* why, std::string detail) {
  nghttp2_submit_rst_stream(raw(session_.get()), NGHTTP2_FLAG_NONE, s.id, NGHTTP2_CANCEL);
  s.answer.why = why;
  s.answer.detail = detail;
  finish(s);
}

// Released first: the owner may open the next one on the same place.
void H2Session::finish(Stream& s) {
  const uint64_t user = s.user;
  const H2Answer answer = s.answer;
  release(s);
  owner_.ended(user, answer);
}

void H2Session::release(Stream& s) {
  nghttp2_session_set_stream_user_data(raw(session_.get()), s.id, nullptr);
  s.id = 0;
  --n_open_;
  free_.push_back(&s);
}

bool H2Session::put(std::string_view bytes) {
  if (over_) return false;
  said_.clear();
  const ssize_t used = nghttp2_session_mem_recv(raw(session_.get()),
                                                reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (used < 0) {
    broken_ = true;
    fail("protocol", !said_.empty() ? said_ : nghttp2_strerror(static_cast<int>(used)));
  } else {
    see_whether_over();
  }
  return !over_;
}

// The library ends a connection by a GOAWAY, and reads on until that has left; we do not wait for it.
void H2Session::see_whether_over() {
  nghttp2_session* session = raw(session_.get());
  if (over_) return;
  const bool leaving = !goodbye_ && nghttp2_session_check_request_allowed(session) == 0 &&
                       nghttp2_session_get_next_stream_id(session) <= INT32_MAX;
  if (left_ || leaving) {
    fail("protocol", !said_.empty() ? said_ : "not HTTP/2");
  } else if (nghttp2_session_want_read(session) == 0) {
    fail("", farewell_);
  }
}

// Ends all streams. `why` is "" after the peer's goodbye: those that are left are requests that did not
// leave.
void H2Session::fail(const char* why, std::string detail) {
  over_ = true;
  why_ = why;
  detail_ = std::move(detail);
  for (size_t i = 0; i < streams_.size(); ++i) {
    Stream& s = streams_[i];
    if (s.id == 0) continue;
    s.answer.unprocessed = !left_us(s);
    s.answer.why = *why_ != '\0' ? why_ : "closed";
    s.answer.detail = !detail_.empty() ? std::string_view(detail_) : kUnprocessed;
    finish(s);
  }
}

// Something of the request is on its way.
bool H2Session::left_us(const Stream& s) const {
  return nghttp2_session_find_stream(raw(session_.get()), s.id) != nullptr;
}

void H2Session::end() {
  if (over_) return;
  over_ = true;
  for (size_t i = 0; i < streams_.size(); ++i) {
    Stream& s = streams_[i];
    if (s.id == 0) continue;
    s.answer.unprocessed = s.id > last_processed_ || !left_us(s);
    s.answer.why = s.began ? "truncated" : "closed";
    s.answer.detail = s.began ? "the connection ended inside the response"
                              : "the server closed the connection without an answer";
    finish(s);
  }
}

// ---- to the peer

bool H2Session::wants_to_send() const {
  return !broken_ && (!pending_.empty() || nghttp2_session_want_write(raw(session_.get())) != 0);
}

size_t H2Session::take(uint8_t* out, size_t cap) {
  size_t n = 0;
  while (n < cap && !broken_) {
    if (pending_.empty()) {
      const uint8_t* data = nullptr;
      ending_ = 0;
      const ssize_t size = nghttp2_session_mem_send(raw(session_.get()), &data);
      if (size < 0) {
        broken_ = true;
        fail("protocol", nghttp2_strerror(static_cast<int>(size)));
        break;
      }
      if (size == 0) break;
      pending_ = view(data, static_cast<size_t>(size));
    }
    const size_t piece = std::min(cap - n, pending_.size());
    std::memcpy(out + n, pending_.data(), piece);
    pending_.remove_prefix(piece);
    n += piece;
    if (!pending_.empty() || ending_ == 0) continue;
    if (const Stream* s = stream_of(std::exchange(ending_, 0))) owner_.left(s->user);
  }
  if (!broken_) see_whether_over();
  return n;
}

}  // namespace todd::http
