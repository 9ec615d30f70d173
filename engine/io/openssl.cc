#include "engine/io/openssl.h"

#include <openssl/err.h>
#include <openssl/pem.h>

namespace todd::io {
namespace {

// OpenSSL would ask on the terminal for the pass phrase of an encrypted key.
int no_pass_phrase(char*, int, int, void*) { return -1; }

}  // namespace

tl::unexpected<Error> fail_openssl(const std::string& what) {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
  ERR_clear_error();
  return fail(Errc::invalid, what + ": " + (reason != nullptr ? reason : "refused by OpenSSL"));
}

BioPtr reader_of(const std::string& pem) {
  return BioPtr(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

Result<std::vector<CertPtr>> read_certificates(const std::string& pem, const std::string& what) {
  const BioPtr bio = reader_of(pem);
  std::vector<CertPtr> out;
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, no_pass_phrase, nullptr))
    out.emplace_back(certificate);
  const unsigned long code = ERR_peek_last_error();
  const bool at_end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
  if (out.empty() || !at_end) return fail_openssl(what + " is not a PEM certificate");
  ERR_clear_error();
  return out;
}

Result<KeyPtr> read_key(const std::string& pem, const std::string& what) {
  const BioPtr bio = reader_of(pem);
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_pass_phrase, nullptr));
  if (!key) return fail_openssl(what + " is not an unencrypted PEM private key");
  return key;
}

std::string text_of(BIO* memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory, &data);
  return size > 0 ? std::string(data, static_cast<size_t>(size)) : "";
}

std::string to_pem(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(bio.get(), certificate) != 1) return {};
  return text_of(bio.get());
}

Status use_certificate(SSL_CTX* context, const std::string& chain_pem, const std::string& key_pem,
                       const std::string& prefix) {
  const auto chain = read_certificates(chain_pem, prefix + "certificate");
  if (!chain) return tl::unexpected(chain.error());
  const auto key = read_key(key_pem, prefix + "key");
  if (!key) return tl::unexpected(key.error());
  if (SSL_CTX_use_certificate(context, chain->front().get()) != 1)
    return fail_openssl(prefix + "certificate");
  for (size_t i = 1; i < chain->size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, (*chain)[i].get()) != 1)
      return fail_openssl(prefix + "certificate chain");
  }
  if (SSL_CTX_use_PrivateKey(context, key->get()) != 1)
    return fail_openssl(prefix + "key does not fit the certificate");
  return {};
}

Status use_authorities(SSL_CTX* context, const std::string& pem, bool server, const std::string& what) {
  const auto authorities = read_certificates(pem, what);
  if (!authorities) return tl::unexpected(authorities.error());
  for (const CertPtr& authority : *authorities) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get()) != 1 ||
        (server && SSL_CTX_add_client_CA(context, authority.get()) != 1))
      return fail_openssl(what);
  }
  return {};
}

std::string common_name_of(X509* certificate) {
  X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return {};
  unsigned char* text = nullptr;
  const int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (size < 0) return {};
  std::string out(reinterpret_cast<const char*>(text), static_cast<size_t>(size));
  OPENSSL_free(text);
  return out;
}

std::string spki_sha256_hex(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  if (size <= 0) return {};
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned digest_size = 0;
  EVP_Digest(der, static_cast<size_t>(size), digest, &digest_size, EVP_sha256(), nullptr);
  OPENSSL_free(der);
  return to_hex(digest, digest_size);
}

std::string to_hex(const unsigned char* bytes, size_t count) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(count * 2);
  for (size_t i = 0; i < count; ++i) {
    out += kDigits[bytes[i] >> 4];
    out += kDigits[bytes[i] & 15];
  }
  return out;
}

}  // namespace todd::io
