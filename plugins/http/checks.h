#pragma once
// What an answer must be, as the user wrote it: "status 200-299,304", "header Server !~ (?i)apache", "body ~
// ok", "json /data/0/n >= 3", "size <= 10k". README.md has all forms. RE2 and simdjson, hidden.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/http/headers.h"

namespace todd::http {

inline constexpr size_t kMaxChecks = 64;

// RE2's syntax for what has the form of a check, so that a mistake is told where a run is planned. What it
// lets through may still be refused: expressions, pointers and amounts are read by Checks alone.
inline constexpr char kCheckForm[] =
    R"([ \t]*()"
    R"(status[ \t]+([1-9][0-9]{2}[ \t]*(-[ \t]*[1-9][0-9]{2})?)([ \t]*,[ \t]*([1-9][0-9]{2}[ \t]*(-[ \t]*[1-9][0-9]{2})?))*|)"
    R"(version[ \t]+(1[.][01]|2)([ \t]*,[ \t]*(1[.][01]|2))*|)"
    R"(header[ \t]+[^ \t:]+[ \t]+(absent|(!?~|=)[ \t]+.+)|)"
    R"(body[ \t]+!?~[ \t]+.+|)"
    R"(json[ \t]+(/.*[ \t]+)?(!?=|<=?|>=?|~)[ \t]+.+|)"
    R"(size[ \t]+(<=?|>=?|=)[ \t]+[0-9]+([.][0-9]+)?([kKMG]|[KMG]i)?|)"
    R"(hash[ \t]+sha256[ \t]+=[ \t]+[0-9a-fA-F]{64}|)"
    R"(tls[ \t]+(yes|no)|)"
    R"(tls_version[ \t]+(<=?|>=?|=)[ \t]+1[.][23]|)"
    R"(certificate_days[ \t]+(<=?|>=?|=)[ \t]+[0-9]+([.][0-9]+)?|)"
    R"((response_time|first_byte)[ \t]+(<=?|>=?|=)[ \t]+[0-9]+([.][0-9]+)?([num]?s|m|h))"
    R"()[ \t]*)";

// What is known of a complete answer.
struct Facts {
  int status = 0, version = 0;       // version: 10, 11 or 20
  const Headers* headers = nullptr;  // needed only by checks that wants_headers()
  std::string_view body;             // the same with wants_body()
  bool body_whole = true;            // false: `body` is only how it begins; checks of it fail
  uint64_t size = 0;                 // bytes of the body, of which `body` may be a part
  std::string_view sha256;           // of all of them, in hexadecimal and lower case; with wants_hash()
  int64_t response_time_ns = 0, first_byte_ns = 0;
  bool tls = false;
  uint16_t tls_version = 0;         // as on the wire: 0x0303 is 1.2, 0x0304 is 1.3. Needed with wants_tls()
  int64_t certificate_seconds = 0;  // that the certificate has left; negative: since it ended. Likewise
};

// A list of checks, read and compiled once. Memory: 1 MiB at most for each regular expression, and for checks
// with json 15 times the longest body. One lane.
class Checks {
 public:
  // Throws todd::error (TODD_E_PARAM), "check: ...", that names the check, what is wrong with it and what is
  // allowed.
  explicit Checks(const std::vector<std::string>& texts);
  ~Checks();
  Checks(Checks&&) noexcept;
  Checks& operator=(Checks&&) noexcept;

  bool wants_headers() const;
  bool wants_body() const;
  bool wants_hash() const;
  bool wants_tls() const;
  bool has_status() const;  // which is then all that is asked of the status

  // None, or the first check that does not hold, and what there was instead: "status 200: is 503". Printable
  // ASCII, whatever the answer had; at most some hundred characters more than the check.
  std::optional<std::string> failed(const Facts& facts) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace todd::http
