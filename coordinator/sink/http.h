#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "engine/base/result.h"
#include "engine/io/loop.h"

namespace todd::sink {

struct HttpRequest {
  std::string url;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
  std::string user, password;  // basic authentication, where user is not empty
  int64_t timeout_ns = 0;
};

struct HttpAnswer {
  int status = 0;     // 0: no answer, see error
  std::string body;   // the first 4 KiB
  std::string error;  // "127.0.0.1:8086: Connection refused"
  int64_t retry_after_ns = 0;
};

// POSTs on an event loop. Follows no redirects, uses no proxy. Resource; on the loop's thread.
class HttpClient {
 public:
  explicit HttpClient(io::Loop& loop);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // done is called once from the loop, unless the handle is destroyed first. The client must outlive the
  // handle.
  [[nodiscard]] io::HandlePtr post(const HttpRequest& request, std::function<void(const HttpAnswer&)> done);
  std::string escaped(const std::string& text) const;  // for a query string

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace todd::sink
