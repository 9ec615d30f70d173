#pragma once
// The coordinator's own certificate authority and what enrolment needs of X.509. P-256 keys, SHA-256
// signatures. PEM text in and out.

#include <string>

#include "engine/base/result.h"

namespace todd::io {

struct KeyPair {
  std::string certificate_pem;
  std::string key_pem;
};

Result<KeyPair> make_ca(const std::string& common_name, int days);
Result<std::string> make_key();  // private key PEM
Result<std::string> make_csr(const std::string& key_pem, const std::string& common_name);
// A server or client certificate for the CSR's key; the subject is the given common name, not the CSR's.
// alt_names: "IP:127.0.0.1", "DNS:example.net".
struct SignOptions {
  std::string common_name;
  std::string alt_names;  // comma separated, may be empty
  bool server = false;    // extended key usage serverAuth, else clientAuth
  int days = 365;
};
Result<std::string> sign_csr(const KeyPair& ca, const std::string& csr_pem, const SignOptions& options);
Result<std::string> spki_sha256_hex(const std::string& certificate_pem);
std::string hmac_sha256_hex(const std::string& key, const std::string& text);
std::string random_hex(size_t bytes);  // from the kernel's generator
bool equal_constant_time(const std::string& a, const std::string& b);

}  // namespace todd::io
