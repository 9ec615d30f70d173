#pragma once
// SHA-256 of what comes piece by piece. OpenSSL, hidden.

#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace todd::http {

// One text after another: begin(), put() any number of times, hex(). One lane.
class Sha256 {
 public:
  static constexpr size_t kDigits = 64;

  // Throws todd::error (TODD_E_UNSUPPORTED) where this host's OpenSSL has no SHA-256.
  Sha256();
  void begin();
  void put(std::string_view bytes);
  // In lower case. Ends the text: until begin() only hex() may follow, which says the same.
  const std::string& hex();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  void must(int done) const;

  std::unique_ptr<evp_md_ctx_st, Free> context_;
  std::string hex_;  // empty: the text goes on
};

}  // namespace todd::http
