#pragma once
// Where an answer leads, and what the next request is (RFC 9110 section 15.4).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/http/request.h"
#include "plugins/http/url.h"

namespace todd::http {

// One answer of a chain, for people.
struct Hop {
  std::string url;
  int status = 0;
  int64_t ns = 0;  // from the request's start to the last byte
};

// "302 http://a/x (1.5 ms), 200 http://a/y (0.25 ms)": each with its own time. Of more than four the first
// three and the last; long URLs are cut.
std::string text_of(const std::vector<Hop>& hops);

// A request and the redirects it is led through. At most `limit` of them: a longer chain, a loop too, ends as
// refused. A value type.
class Redirects {
 public:
  enum class Next {
    kStay,    // the answer leads nowhere: it is the last one
    kFollow,  // spec() is the next request
    kRefused  // it leads where we do not go; see why()
  };

  Redirects(RequestSpec first, uint32_t limit) : spec_(std::move(first)), limit_(limit) {}

  const RequestSpec& spec() const { return spec_; }
  // The answer to spec() is complete. `location` is the value of its Location, if it has one.
  //  - 301 and 302 make a GET of a POST, 303 makes a GET of all but HEAD; both drop the body and what
  //  describes
  //    it. 307 and 308 change nothing.
  //  - Another origin gets no credentials: user, password, token, secret_header, Authorization, Cookie; nor a
  //  given Host.
  //  - From https to http is refused, as is what parse_url() refuses.
  Next answered(int status, std::optional<std::string_view> location, int64_t ns);

  const std::vector<Hop>& hops() const { return hops_; }  // the last one is the answer that counts
  const std::string& why() const { return why_; }

 private:
  void drop_headers(const std::vector<std::string_view>& names);

  RequestSpec spec_;
  uint32_t limit_;
  std::vector<Hop> hops_;
  std::string why_;
};

}  // namespace todd::http
