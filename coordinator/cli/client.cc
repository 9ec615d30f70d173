#include "coordinator/cli/client.h"

#include <curl/curl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "coordinator/cli/json_values.h"
#include "coordinator/model/table.h"
#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/paths.h"

namespace todd::cli {
namespace {

constexpr long kConnectMs = 5'000;
constexpr long kAnswerMs = 60'000;
constexpr int64_t kSilenceNs = 60'000'000'000;  // a stream says something every 15 s
constexpr size_t kAnswerMost = size_t{512} << 20;

Errc code_of_status(long status) {
  switch (status) {
    case 400:
    case 409:
    case 413:
    case 415:
    case 422: return Errc::invalid;
    case 401:
    case 403:
    case 421: return Errc::denied;
    case 404: return Errc::not_found;
    case 503: return Errc::unavailable;
    case 504: return Errc::timed_out;
    default: return status >= 400 && status < 500 ? Errc::invalid : Errc::system;
  }
}

std::string place_of(JsonValue item) {
  const std::string detail = text_at(item, "detail");
  const uint64_t line = count_at(item, "line");
  if (line == 0) return detail;
  return fmt::format("{}:{}:{}: {}", text_at(item, "origin"), line, count_at(item, "column"), detail);
}

// What one transfer collects.
struct Answer {
  CURL* easy = nullptr;
  const Client::OnBytes* take = nullptr;  // null: everything into body
  std::string body;
  int64_t last_ns = monotonic_ns();  // when something came
  bool stopped = false;              // the reader wanted no more
  bool too_long = false;
};

size_t on_body(char* data, size_t, size_t size, void* user) {
  auto& answer = *static_cast<Answer*>(user);
  answer.last_ns = monotonic_ns();
  long status = 0;
  curl_easy_getinfo(answer.easy, CURLINFO_RESPONSE_CODE, &status);
  if (answer.take != nullptr && status == 200) {
    if ((*answer.take)({data, size})) return size;
    answer.stopped = true;
    return CURL_WRITEFUNC_ERROR;
  }
  if (answer.body.size() + size > kAnswerMost) {
    answer.too_long = true;
    return CURL_WRITEFUNC_ERROR;
  }
  answer.body.append(data, size);
  return size;
}

}  // namespace

std::string default_socket() {
  const std::string own = state_folder("todd") + "/api.sock",
                    of_system = system_state_folder("todd") + "/api.sock";
  return ::access(own.c_str(), F_OK) != 0 && ::access(of_system.c_str(), F_OK) == 0 ? of_system : own;
}

struct Client::Impl {
  Impl() : easy(curl_easy_init()), multi(curl_multi_init()) {
    TODD_CHECK(easy != nullptr && multi != nullptr);
  }
  ~Impl() {
    curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void prepare(const std::string& method, const std::string& path);
  Result<std::string> request(const std::string& method, const std::string& path, const std::string* body,
                              const std::string& content_type);
  Status stream(const std::string& path, const std::string& accept, const OnBytes& on_bytes);
  Result<std::string> perform(const std::string& path, curl_slist* headers, const OnBytes* take);
  Result<CURLcode> drive(const Answer& answer);
  Error unreachable(const char* why) const;

  CURL* easy;
  CURLM* multi;
  std::string socket;   // "": TCP
  std::string base;     // "http://localhost/api/v1/"
  std::string address;  // for messages
  int interrupt = -1;
  int64_t grace_ns = 0;
  int64_t deadline_ns = 0;
  char message[CURL_ERROR_SIZE] = {};
};

void Client::Impl::prepare(const std::string& method, const std::string& path) {
  curl_easy_reset(easy);
  message[0] = 0;
  curl_easy_setopt(easy, CURLOPT_URL, (base + path).c_str());
  if (!socket.empty()) curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, socket.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method.c_str());
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, kConnectMs);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, message);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "todd");
}

// Until the transfer ends, somebody interrupts, or the deadline passes.
Result<CURLcode> Client::Impl::drive(const Answer& answer) {
  int running = 1;
  int64_t give_up_ns = 0;  // once interrupted
  while (true) {
    curl_multi_perform(multi, &running);
    if (running == 0) break;
    if (answer.take != nullptr && monotonic_ns() - answer.last_ns > kSilenceNs) {
      return tl::unexpected(unreachable("it has gone silent"));
    }
    int wait_ms = 1000;
    if (deadline_ns != 0) {
      const int64_t left = deadline_ns - monotonic_ns();
      if (left <= 0) return fail(Errc::timed_out, "the deadline passed");
      wait_ms = static_cast<int>(std::min<int64_t>(wait_ms, left / 1'000'000 + 1));
    }
    if (give_up_ns != 0) {
      const int64_t left = give_up_ns - monotonic_ns();
      if (left <= 0) return fail(Errc::cancelled, "interrupted");
      wait_ms = static_cast<int>(std::min<int64_t>(wait_ms, left / 1'000'000 + 1));
    }
    curl_waitfd extra{interrupt, CURL_WAIT_POLLIN, 0};
    const bool watch = interrupt >= 0 && give_up_ns == 0;
    curl_multi_poll(multi, &extra, watch ? 1 : 0, wait_ms, nullptr);
    if (watch && (extra.revents & CURL_WAIT_POLLIN) != 0) give_up_ns = monotonic_ns() + grace_ns;
  }
  int left = 0;
  const CURLMsg* const done = curl_multi_info_read(multi, &left);
  TODD_CHECK(done != nullptr && done->msg == CURLMSG_DONE);
  return done->data.result;
}

Error Client::Impl::unreachable(const char* why) const {
  return {Errc::unavailable, 0,
          fmt::format("cannot reach the coordinator at {}: {}; start todd-coordinator or set --coordinator",
                      address, why)};
}

Result<std::string> Client::Impl::request(const std::string& method, const std::string& path,
                                          const std::string* body, const std::string& content_type) {
  prepare(method, path);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, kAnswerMs);
  curl_slist* headers = curl_slist_append(nullptr, "Expect:");
  if (body != nullptr) {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body->data());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body->size()));
    // curl would add a type of its own, and routes without a body take none.
    headers = curl_slist_append(headers,
                                body->empty() ? "Content-Type:" : ("Content-Type: " + content_type).c_str());
  }
  return perform(path, headers, nullptr);
}

Status Client::Impl::stream(const std::string& path, const std::string& accept, const OnBytes& on_bytes) {
  prepare("GET", path);
  const auto answer = perform(path, curl_slist_append(nullptr, ("Accept: " + accept).c_str()), &on_bytes);
  if (!answer) return tl::unexpected(answer.error());
  return {};
}

// Takes the headers over.
Result<std::string> Client::Impl::perform(const std::string& path, curl_slist* headers, const OnBytes* take) {
  Answer answer{easy, take};
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &answer);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  curl_multi_add_handle(multi, easy);
  const auto code = drive(answer);
  curl_multi_remove_handle(multi, easy);
  curl_slist_free_all(headers);

  if (!code) return tl::unexpected(code.error());
  if (answer.too_long) return fail(Errc::exhausted, fmt::format("the answer to {} is too long", path));
  if (*code != CURLE_OK && !answer.stopped) {
    long os_errno = 0;  // says more than libcurl, which speaks of a host and a port even for a unix socket
    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_errno);
    if (os_errno == EACCES || os_errno == EPERM) {
      return fail(Errc::denied,
                  fmt::format("cannot reach the coordinator at {}: {}; root, its own user and the members "
                              "of its --socket-group may",
                              address, std::strerror(static_cast<int>(os_errno))));
    }
    if (os_errno != 0) return tl::unexpected(unreachable(std::strerror(static_cast<int>(os_errno))));
    return tl::unexpected(unreachable(message[0] != 0 ? message : curl_easy_strerror(*code)));
  }
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  if (status < 200 || status > 299) return tl::unexpected(error_of_answer(status, answer.body));
  return std::move(answer.body);
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

Result<Client> Client::make(const std::string& coordinator) {
  auto impl = std::make_unique<Impl>();
  impl->address = coordinator.empty() ? default_socket() : coordinator;
  if (impl->address.rfind("http://", 0) == 0) {
    impl->base = impl->address;
    while (impl->base.back() == '/') impl->base.pop_back();
    impl->base += "/api/v1/";
  } else if (impl->address.find("://") == std::string::npos) {
    impl->socket = impl->address;
    impl->base = "http://localhost/api/v1/";
  } else {
    return fail(
        Errc::invalid,
        fmt::format("--coordinator {}: expected a socket's path or http://127.0.0.1:PORT", impl->address));
  }
  return Client(std::move(impl));
}

void Client::set_interrupt(int fd, int64_t grace_ns) {
  impl_->interrupt = fd;
  impl_->grace_ns = grace_ns;
}
void Client::set_deadline(int64_t at_ns) { impl_->deadline_ns = at_ns; }
const std::string& Client::address() const { return impl_->address; }

Result<std::string> Client::get(const std::string& path) { return impl_->request("GET", path, nullptr, ""); }

Result<std::string> Client::post(const std::string& path, const std::string& body,
                                 const std::string& content_type) {
  return impl_->request("POST", path, &body, content_type);
}

Result<std::string> Client::remove(const std::string& path) {
  return impl_->request("DELETE", path, nullptr, "");
}

Status Client::read(const std::string& path, const std::string& accept, const OnBytes& on_bytes) {
  return impl_->stream(path, accept, on_bytes);
}

Status Client::events(const std::string& path, const SseParser::OnEvent& on_event) {
  SseParser parser(on_event);
  const auto status =
      impl_->stream(path, "text/event-stream", [&](std::string_view bytes) { return parser.feed(bytes); });
  if (parser.too_long()) return fail(Errc::exhausted, fmt::format("an event of {} is too long", path));
  return status;
}

Error error_of_answer(long status, const std::string& body) {
  Error error{code_of_status(status), 0, ""};
  JsonText json;
  if (json.parse(body)) {
    // Where detail is the first place over again, the places say all.
    error.detail = text_at(json.root(), "detail");
    for (const auto item : list_at(json.root(), "errors")) {
      const std::string place = place_of(item);
      if (error.detail.find(place) == std::string::npos)
        error.detail += (error.detail.empty() ? "" : "\n  ") + place;
    }
  }
  if (error.detail.empty()) error.detail = fmt::format("the coordinator answered with status {}", status);
  return error;
}

std::string path_part(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
                       (byte >= 'A' && byte <= 'Z') || c == '-' || c == '_' || c == '.' || c == '~';
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  return out;
}

}  // namespace todd::cli
