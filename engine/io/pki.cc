#include "engine/io/pki.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <sys/random.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <ctime>

#include "engine/base/check.h"
#include "engine/io/openssl.h"

namespace todd::io {
namespace {

constexpr size_t kCommonNameMax = 64;    // ub-common-name, RFC 5280 appendix A
constexpr long kBackdateSeconds = 3600;  // agents' clocks may be a little behind ours

Result<std::string> key_to_pem(EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_secmem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return fail_openssl("private key");
  return text_of(bio.get());
}

Status check_common_name(const std::string& name) {
  if (name.empty() || name.size() > kCommonNameMax || name.find('\0') != std::string::npos) {
    return fail(Errc::invalid, "common name '" + name.substr(0, kCommonNameMax) + "': 1 to 64 bytes needed");
  }
  return {};
}

bool set_common_name(X509_NAME* subject, const std::string& name) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(name.data());
  return X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, const_cast<unsigned char*>(bytes),
                                    static_cast<int>(name.size()), -1, 0) == 1;
}

bool add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_nconf_nid(nullptr, &context, nid, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

// 127 random bits: positive, and unguessable as the Baseline Requirements ask.
bool set_random_serial(X509* certificate) {
  const BignumPtr serial(BN_new());
  return serial && BN_rand(serial.get(), 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
         BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate)) != nullptr;
}

// Version, serial, validity, subject and key: what every certificate here shares.
Result<CertPtr> start_certificate(const std::string& common_name, EVP_PKEY* key, int days) {
  if (auto good = check_common_name(common_name); !good) return tl::unexpected(good.error());
  if (days <= 0)
    return fail(Errc::invalid, "certificate for " + common_name + ": at least one day of validity needed");
  CertPtr certificate(X509_new());
  X509* c = certificate.get();
  const bool good = c != nullptr && X509_set_version(c, X509_VERSION_3) == 1 && set_random_serial(c) &&
                    X509_gmtime_adj(X509_getm_notBefore(c), -kBackdateSeconds) != nullptr &&
                    X509_time_adj_ex(X509_getm_notAfter(c), days, 0, nullptr) != nullptr &&
                    set_common_name(X509_get_subject_name(c), common_name) && X509_set_pubkey(c, key) == 1;
  if (!good) return fail_openssl("certificate for " + common_name);
  return certificate;
}

bool is_dns_name(const std::string& name) {
  if (name.empty() || name.size() > 253) return false;
  for (const char c : name) {
    if (isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '.' && c != '_' && c != '*')
      return false;
  }
  return true;
}

bool is_address(const std::string& text) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, text.c_str(), bytes) == 1 || inet_pton(AF_INET6, text.c_str(), bytes) == 1;
}

// OpenSSL's extension syntax can read files and other sections: only plain IP: and DNS: items get through.
Status check_alt_names(const std::string& names) {
  size_t begin = 0;
  while (begin <= names.size()) {
    const size_t end = std::min(names.find(',', begin), names.size());
    const std::string item = names.substr(begin, end - begin);
    const bool good = (item.starts_with("DNS:") && is_dns_name(item.substr(4))) ||
                      (item.starts_with("IP:") && is_address(item.substr(3)));
    if (!good)
      return fail(Errc::invalid,
                  "alternative name '" + item + "': write IP:192.0.2.1 or DNS:example.net, comma separated");
    begin = end + 1;
  }
  return {};
}

bool add_leaf_extensions(X509* certificate, X509* ca, const SignOptions& options) {
  return add_extension(certificate, ca, NID_basic_constraints, "critical,CA:FALSE") &&
         add_extension(certificate, ca, NID_key_usage, "critical,digitalSignature") &&
         add_extension(certificate, ca, NID_ext_key_usage, options.server ? "serverAuth" : "clientAuth") &&
         add_extension(certificate, ca, NID_subject_key_identifier, "hash") &&
         add_extension(certificate, ca, NID_authority_key_identifier, "keyid:always") &&
         (options.alt_names.empty() ||
          add_extension(certificate, ca, NID_subject_alt_name, options.alt_names));
}

}  // namespace

Result<std::string> make_key() {
  const KeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return fail_openssl("new P-256 key");
  return key_to_pem(key.get());
}

Result<KeyPair> make_ca(const std::string& common_name, int days) {
  const KeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return fail_openssl("new P-256 key");
  auto certificate = start_certificate(common_name, key.get(), days);
  if (!certificate) return tl::unexpected(certificate.error());
  X509* c = certificate->get();
  const bool good = X509_set_issuer_name(c, X509_get_subject_name(c)) == 1 &&
                    add_extension(c, c, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                    add_extension(c, c, NID_key_usage, "critical,keyCertSign,cRLSign") &&
                    add_extension(c, c, NID_subject_key_identifier, "hash") &&
                    X509_sign(c, key.get(), EVP_sha256()) > 0;
  if (!good) return fail_openssl("certificate authority " + common_name);
  auto key_pem = key_to_pem(key.get());
  if (!key_pem) return tl::unexpected(key_pem.error());
  return KeyPair{to_pem(c), *key_pem};
}

Result<std::string> make_csr(const std::string& key_pem, const std::string& common_name) {
  if (auto good = check_common_name(common_name); !good) return tl::unexpected(good.error());
  const auto key = read_key(key_pem, "key of " + common_name);
  if (!key) return tl::unexpected(key.error());
  const CsrPtr csr(X509_REQ_new());
  const BioPtr bio(BIO_new(BIO_s_mem()));
  X509_REQ* r = csr.get();
  const bool good =
      r != nullptr && X509_REQ_set_version(r, X509_REQ_VERSION_1) == 1 &&
      set_common_name(X509_REQ_get_subject_name(r), common_name) && X509_REQ_set_pubkey(r, key->get()) == 1 &&
      X509_REQ_sign(r, key->get(), EVP_sha256()) > 0 && PEM_write_bio_X509_REQ(bio.get(), r) == 1;
  if (!good) return fail_openssl("certificate request of " + common_name);
  return text_of(bio.get());
}

Result<std::string> sign_csr(const KeyPair& ca, const std::string& csr_pem, const SignOptions& options) {
  const auto ca_certificates = read_certificates(ca.certificate_pem, "certificate of the authority");
  if (!ca_certificates) return tl::unexpected(ca_certificates.error());
  const auto ca_key = read_key(ca.key_pem, "key of the authority");
  if (!ca_key) return tl::unexpected(ca_key.error());
  X509* issuer = ca_certificates->front().get();
  if (X509_check_private_key(issuer, ca_key->get()) != 1)
    return fail_openssl("key of the authority does not fit its certificate");

  const CsrPtr csr(PEM_read_bio_X509_REQ(reader_of(csr_pem).get(), nullptr, nullptr, nullptr));
  if (!csr) return fail_openssl("certificate request for " + options.common_name);
  EVP_PKEY* key = X509_REQ_get0_pubkey(csr.get());
  // The request is signed with the key it asks for: proof that the sender holds that key.
  if (key == nullptr || X509_REQ_verify(csr.get(), key) != 1) {
    return fail_openssl("signature of the certificate request for " + options.common_name);
  }
  if (EVP_PKEY_get_security_bits(key) < 112) {
    return fail(Errc::invalid,
                "key of the certificate request for " + options.common_name + " is too weak; use P-256");
  }
  if (!options.alt_names.empty()) {
    if (auto good = check_alt_names(options.alt_names); !good) return tl::unexpected(good.error());
  }
  auto certificate = start_certificate(options.common_name, key, options.days);
  if (!certificate) return tl::unexpected(certificate.error());
  X509* c = certificate->get();
  const bool good = X509_set_issuer_name(c, X509_get_subject_name(issuer)) == 1 &&
                    add_leaf_extensions(c, issuer, options) && X509_sign(c, ca_key->get(), EVP_sha256()) > 0;
  if (!good) return fail_openssl("certificate for " + options.common_name);
  return to_pem(c);
}

Result<std::string> spki_sha256_hex(const std::string& certificate_pem) {
  const auto certificates = read_certificates(certificate_pem, "certificate");
  if (!certificates) return tl::unexpected(certificates.error());
  return spki_sha256_hex(certificates->front().get());
}

std::string hmac_sha256_hex(const std::string& key, const std::string& text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  TODD_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes, text.size(), digest,
                  &size) != nullptr);
  return to_hex(digest, size);
}

std::string random_hex(size_t bytes) {
  std::string raw(bytes, '\0');
  for (size_t have = 0; have < bytes;) {
    const ssize_t n = getrandom(raw.data() + have, bytes - have, 0);
    TODD_CHECK(n > 0 || errno == EINTR);
    if (n > 0) have += static_cast<size_t>(n);
  }
  return to_hex(reinterpret_cast<const unsigned char*>(raw.data()), raw.size());
}

bool equal_constant_time(const std::string& a, const std::string& b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace todd::io
