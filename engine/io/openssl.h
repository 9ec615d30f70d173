#pragma once
// OpenSSL's objects with owners, and the few things tls.cc and pki.cc both need. For engine/io only.

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/base/result.h"

namespace todd::io {

template <auto free_function>
struct OpensslFree {
  template <class T>
  void operator()(T* object) const {
    free_function(object);
  }
};
using BioPtr = std::unique_ptr<BIO, OpensslFree<BIO_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>>;
using CertPtr = std::unique_ptr<X509, OpensslFree<X509_free>>;
using CsrPtr = std::unique_ptr<X509_REQ, OpensslFree<X509_REQ_free>>;
using BignumPtr = std::unique_ptr<BIGNUM, OpensslFree<BN_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, OpensslFree<X509_EXTENSION_free>>;
using SslContextPtr = std::unique_ptr<SSL_CTX, OpensslFree<SSL_CTX_free>>;

// Errc::invalid: "what: reason of OpenSSL's last error". Empties OpenSSL's error queue of this thread.
tl::unexpected<Error> fail_openssl(const std::string& what);

// All certificates of a PEM text, at least one. what names the text in errors.
Result<std::vector<CertPtr>> read_certificates(const std::string& pem, const std::string& what);
Result<KeyPtr> read_key(const std::string& pem, const std::string& what);
BioPtr reader_of(const std::string& pem);
std::string text_of(BIO* memory);  // all that was written to it
std::string to_pem(X509* certificate);
// The chain as given, own certificate first, and its key. `prefix` stands before "certificate" and "key" in
// errors.
Status use_certificate(SSL_CTX* context, const std::string& chain_pem, const std::string& key_pem,
                       const std::string& prefix);
// Trusts these. A server also names them to clients. `what` names the text in errors.
Status use_authorities(SSL_CTX* context, const std::string& pem, bool server, const std::string& what);
std::string common_name_of(X509* certificate);  // empty when it has none
std::string spki_sha256_hex(X509* certificate);
std::string to_hex(const unsigned char* bytes, size_t count);

}  // namespace todd::io
