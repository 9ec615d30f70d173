#pragma once
// What is sent: made once for a target, then copied.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plugins/http/field.h"
#include "plugins/http/url.h"

namespace todd::http {

// What a request is made of. A value type.
struct RequestSpec {
  std::string method = "GET";
  Url url;
  std::string host;                  // instead of the URL's authority; empty: that
  std::string user_agent = "todd";   // empty: none
  std::vector<std::string> headers;  // "Name: value", in the place of ours where we have one of that name
  std::string body;
  std::string user, password;               // Basic authentication, if there is a user
  std::string token;                        // Bearer, if not empty
  std::string secret_header, secret_value;  // a header whose value must not be shown; no name: none
  std::string unique_header;  // the name of one whose value is another in each request; empty: none
  bool compressed = false;    // asks for gzip or deflate
  bool keep_alive = true;
  bool by_proxy = false;            // goes to a proxy, which reads it itself unless the URL is https
  std::string proxy_authorization;  // for that one alone; empty: none
};

// A request in both versions of HTTP. A value type.
class Request {
 public:
  static constexpr size_t kUniqueSize = 16;
  static constexpr size_t kNone = SIZE_MAX;

  // Throws todd::error (TODD_E_PARAM) that names the method or header and says what is wrong with it: a
  // method that is no word of capitals, or CONNECT; a header that is no "Name: value", has a character that
  // would break the message, is the connection's business (Connection, Transfer-Encoding, ...), is given
  // twice and cannot be, a Content-Length that is not the body's, or a Host other than the URL's where a
  // proxy reads it.
  explicit Request(const RequestSpec& spec);

  // The whole message as HTTP/1.1, body included; in the absolute-form where a proxy reads it.
  const std::string& wire() const { return wire_; }
  // Writes request number n into a copy of wire(). No effect without a unique header.
  void stamp(char* copy, uint64_t n) const;

  // For HTTP/2: names in lower case, those with a colon first.
  const std::vector<Field>& fields() const { return fields_; }
  size_t unique_field() const { return unique_field_; }  // kNone: there is none
  std::string_view body() const { return std::string_view(wire_).substr(wire_.size() - body_size_); }

  bool bodiless() const { return bodiless_; }  // the answer has no body: HEAD

  // 16 hexadecimal digits.
  static void write_unique(char* out, uint64_t n);

 private:
  std::string wire_;
  std::vector<Field> fields_;
  size_t unique_field_ = kNone, unique_at_ = kNone, body_size_ = 0;
  bool bodiless_ = false;
};

}  // namespace todd::http
