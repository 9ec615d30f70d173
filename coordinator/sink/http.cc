#include "coordinator/sink/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <map>
#include <utility>

#include "engine/base/check.h"

namespace todd::sink {
namespace {
constexpr size_t kBodyMost = 4096;

struct Watch {
  io::HandlePtr readable, writable;
};
}  // namespace

struct HttpClient::Impl {
  explicit Impl(io::Loop& on) : loop(on), multi(curl_multi_init()) {
    TODD_CHECK(multi != nullptr);
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &Impl::on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &Impl::on_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
  }
  ~Impl() { curl_multi_cleanup(multi); }

  static int on_socket(CURL*, curl_socket_t fd, int what, void* self, void*) {
    auto& impl = *static_cast<Impl*>(self);
    if (what == CURL_POLL_REMOVE) {
      impl.watches.erase(fd);
      return 0;
    }
    Watch& watch = impl.watches[fd];
    watch.readable.reset();
    watch.writable.reset();
    if ((what & CURL_POLL_IN) != 0)
      watch.readable = impl.loop.on_readable(fd, [&impl, fd] { impl.act(fd, CURL_CSELECT_IN); });
    if ((what & CURL_POLL_OUT) != 0)
      watch.writable = impl.loop.on_writable(fd, [&impl, fd] { impl.act(fd, CURL_CSELECT_OUT); });
    return 0;
  }

  static int on_timer(CURLM*, long ms, void* self) {
    auto& impl = *static_cast<Impl*>(self);
    impl.timer.reset();
    // Even with 0 not from here: libcurl calls this from within its own functions.
    if (ms >= 0)
      impl.timer = impl.loop.after(ms * int64_t{1'000'000}, [&impl] { impl.act(CURL_SOCKET_TIMEOUT, 0); });
    return 0;
  }

  void act(curl_socket_t fd, int events);

  io::Loop& loop;
  CURLM* multi;
  std::map<curl_socket_t, Watch> watches;
  io::HandlePtr timer;
};

namespace {
class Transfer : public io::Handle {
 public:
  Transfer(CURLM* multi, const HttpRequest& request, std::function<void(const HttpAnswer&)> done)
      : multi_(multi), body_(request.body), done_(std::move(done)), easy_(curl_easy_init()) {
    TODD_CHECK(easy_ != nullptr);
    headers_ = curl_slist_append(nullptr, ("Content-Type: " + request.content_type).c_str());
    headers_ = curl_slist_append(headers_, "Expect:");
    curl_easy_setopt(easy_, CURLOPT_URL, request.url.c_str());
    curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy_, CURLOPT_PROXY, "");
    curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy_, CURLOPT_POST, 1L);
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, body_.data());
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body_.size()));
    curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, headers_);
    curl_easy_setopt(easy_, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout_ns / 1'000'000));
    curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, error_);
    curl_easy_setopt(easy_, CURLOPT_PRIVATE, this);
    curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &Transfer::on_body);
    curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
    if (!request.user.empty()) {
      curl_easy_setopt(easy_, CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BASIC));
      curl_easy_setopt(easy_, CURLOPT_USERNAME, request.user.c_str());
      curl_easy_setopt(easy_, CURLOPT_PASSWORD, request.password.c_str());
    }
    TODD_CHECK(curl_multi_add_handle(multi_, easy_) == CURLM_OK);
  }
  ~Transfer() override {
    curl_multi_remove_handle(multi_, easy_);
    curl_easy_cleanup(easy_);
    curl_slist_free_all(headers_);
  }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  // Calls back, which may destroy this.
  void finish(CURLcode code) {
    HttpAnswer answer;
    if (code == CURLE_OK) {
      long status = 0;
      curl_off_t retry_after = 0;
      curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
      curl_easy_getinfo(easy_, CURLINFO_RETRY_AFTER, &retry_after);
      answer.status = static_cast<int>(status);
      answer.retry_after_ns = std::min<int64_t>(retry_after, 300) * 1'000'000'000;
      answer.body = std::move(received_);
    } else {
      answer.error = error_[0] != '\0' ? error_ : curl_easy_strerror(code);
    }
    const auto done = std::move(done_);
    done(answer);
  }

 private:
  static size_t on_body(char* bytes, size_t size, size_t n, void* self) {
    auto& received = static_cast<Transfer*>(self)->received_;
    received.append(bytes, std::min(size * n, kBodyMost - received.size()));
    return size * n;
  }

  CURLM* multi_;
  const std::string body_;
  std::function<void(const HttpAnswer&)> done_;
  CURL* easy_;
  curl_slist* headers_ = nullptr;
  char error_[CURL_ERROR_SIZE] = {};
  std::string received_;
};
}  // namespace

void HttpClient::Impl::act(curl_socket_t fd, int events) {
  int running = 0;
  curl_multi_socket_action(multi, fd, events, &running);
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;
    char* transfer = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    reinterpret_cast<Transfer*>(transfer)->finish(code);
  }
}

HttpClient::HttpClient(io::Loop& loop) : impl_(std::make_unique<Impl>(loop)) {}
HttpClient::~HttpClient() = default;

io::HandlePtr HttpClient::post(const HttpRequest& request, std::function<void(const HttpAnswer&)> done) {
  return std::make_unique<Transfer>(impl_->multi, request, std::move(done));
}

std::string HttpClient::escaped(const std::string& text) const {
  char* out = curl_easy_escape(nullptr, text.data(), static_cast<int>(text.size()));
  TODD_CHECK(out != nullptr);
  const std::string copy = out;
  curl_free(out);
  return copy;
}

}  // namespace todd::sink
