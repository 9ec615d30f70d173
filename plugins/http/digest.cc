#include "plugins/http/digest.h"

#include <openssl/evp.h>

#include "todd/testlet.hpp"

namespace todd::http {

void Sha256::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

void Sha256::must(int done) const {
  if (done != 1) throw error(TODD_E_UNSUPPORTED, "check: hash: this host's OpenSSL has no SHA-256");
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) { begin(); }

void Sha256::begin() {
  hex_.clear();
  must(context_ != nullptr ? EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) : 0);
}

void Sha256::put(std::string_view bytes) {
  must(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
}

const std::string& Sha256::hex() {
  if (!hex_.empty()) return hex_;
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  must(EVP_DigestFinal_ex(context_.get(), digest, &size));
  for (unsigned i = 0; i < size; ++i)
    hex_ += {"0123456789abcdef"[digest[i] >> 4], "0123456789abcdef"[digest[i] & 15]};
  return hex_;
}

}  // namespace todd::http
