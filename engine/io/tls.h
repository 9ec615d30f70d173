#pragma once
// What the channel needs of TLS beyond channel.h. For engine/io only.

#include <string>
#include <vector>

#include "engine/io/channel.h"
#include "engine/io/openssl.h"

namespace todd::io {

class TlsContext {
 public:
  TlsContext(SslContextPtr context, TlsOptions options)
      : context_(std::move(context)), options_(std::move(options)) {}
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  SSL* new_session() const;  // owned by the caller
  bool verifies_peer() const { return !options_.ca_pem.empty() || !options_.pinned_spki_sha256_hex.empty(); }
  // Verifies the chain of a handshake: X509_verify_cert() and the pin. What OpenSSL's callback calls.
  bool verify(X509_STORE_CTX* chain) const;

 private:
  SslContextPtr context_;
  TlsOptions options_;
};

// The certificate of the other end, when the context verified it; both empty otherwise.
struct PeerIdentity {
  std::string certificate_pem;
  std::string common_name;
};
PeerIdentity peer_identity(const TlsContext& context, const SSL* session);

// Explains a failed session; codes are what OpenSSL queued, oldest first. Errc::denied when one side refused
// the other's certificate, Errc::corrupt when the other side does not speak TLS 1.3.
Error tls_failure(const SSL* session, const std::vector<unsigned long>& codes, const std::string& peer);

}  // namespace todd::io
