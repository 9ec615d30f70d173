#include "engine/io/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>

#include "engine/base/check.h"
#include "engine/io/openssl.h"

namespace todd::io {

namespace {

constexpr size_t kBlock = 64;  // of SHA-256

using ContextPtr = std::unique_ptr<EVP_MD_CTX, OpensslFree<EVP_MD_CTX_free>>;
using KindPtr = std::unique_ptr<EVP_MD, OpensslFree<EVP_MD_free>>;

}  // namespace

// The HMAC is made here of two digests, as RFC 2104 section 2 has it: OpenSSL's own (EVP_MAC) copies a
// context for each message, and so allocates.
struct Digest::Impl {
  KindPtr kind{EVP_MD_fetch(nullptr, "SHA256", nullptr)};
  ContextPtr context{EVP_MD_CTX_new()};
  bool keyed = false;
  std::array<uint8_t, kBlock> inner{}, outer{};

  ~Impl() {
    OPENSSL_cleanse(inner.data(), inner.size());
    OPENSSL_cleanse(outer.data(), outer.size());
  }
  void begin() {
    TODD_CHECK(EVP_DigestInit_ex2(context.get(), kind.get(), nullptr) == 1);
    if (keyed) add(inner);
  }
  void add(std::span<const uint8_t> bytes) {
    TODD_CHECK(EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) == 1);
  }
  Value end() {
    Value value;
    unsigned length = 0;
    TODD_CHECK(EVP_DigestFinal_ex(context.get(), value.data(), &length) == 1 && length == kBytes);
    return value;
  }
};

Digest::Digest(std::optional<std::span<const uint8_t>> key) : impl_(std::make_unique<Impl>()) {
  TODD_CHECK(impl_->kind != nullptr && impl_->context != nullptr);
  impl_->begin();
  if (!key) return;
  std::array<uint8_t, kBlock> block{};
  if (key->size() > kBlock) {
    add(*key);
    const Value hashed = end();
    std::copy(hashed.begin(), hashed.end(), block.begin());
  } else {
    std::copy(key->begin(), key->end(), block.begin());
  }
  for (size_t i = 0; i < kBlock; ++i) {
    impl_->inner[i] = block[i] ^ 0x36;
    impl_->outer[i] = block[i] ^ 0x5c;
  }
  OPENSSL_cleanse(block.data(), block.size());
  impl_->keyed = true;
  impl_->begin();
}

Digest::~Digest() = default;

void Digest::add(std::span<const uint8_t> bytes) { impl_->add(bytes); }

Digest::Value Digest::end() {
  Value value = impl_->end();
  if (impl_->keyed) {
    TODD_CHECK(EVP_DigestInit_ex2(impl_->context.get(), nullptr, nullptr) == 1);
    impl_->add(impl_->outer);
    impl_->add(value);
    value = impl_->end();
  }
  impl_->begin();
  return value;
}

bool Digest::same(const uint8_t* a, const uint8_t* b, size_t size) { return CRYPTO_memcmp(a, b, size) == 0; }

}  // namespace todd::io
