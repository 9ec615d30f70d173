#include "engine/io/tls.h"

#include <openssl/err.h>
#include <openssl/sslerr.h>

#include <algorithm>
#include <cctype>

#include "engine/base/check.h"

namespace todd::io {
namespace {

int verify_callback(X509_STORE_CTX* chain, void* context) {
  return static_cast<TlsContext*>(context)->verify(chain) ? 1 : 0;
}

// A certificate authority with that key among what the peer sent, or null.
X509* find_pinned_authority(STACK_OF(X509) * sent, const std::string& pin) {
  for (int i = 0; i < sk_X509_num(sent); ++i) {
    X509* certificate = sk_X509_value(sent, i);
    if (X509_check_ca(certificate) > 0 && spki_sha256_hex(certificate) == pin) return certificate;
  }
  return nullptr;
}

bool chain_has_key(STACK_OF(X509) * chain, const std::string& pin) {
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    if (spki_sha256_hex(sk_X509_value(chain, i)) == pin) return true;
  }
  return false;
}

Status normalise_pin(std::string& pin) {
  for (char& c : pin) {
    if (isxdigit(static_cast<unsigned char>(c)) == 0)
      return fail(Errc::invalid, "pinned key hash: only hexadecimal digits allowed");
    c = static_cast<char>(tolower(static_cast<unsigned char>(c)));
  }
  if (!pin.empty() && pin.size() != 64)
    return fail(Errc::invalid, "pinned key hash: 64 hexadecimal digits needed");
  return {};
}

Result<std::shared_ptr<TlsContext>> make_context(const SSL_METHOD* method, TlsOptions options, bool server) {
  SslContextPtr context(SSL_CTX_new(method));
  if (!context) return fail_openssl("TLS context");
  SSL_CTX* c = context.get();
  SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION);
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(c, 0);
  // An end without close_notify is an end like any other: our frames carry their length.
  SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF);
  if (auto good = normalise_pin(options.pinned_spki_sha256_hex); !good) return tl::unexpected(good.error());
  // The root goes along too, because pinning peers look for it.
  if (!options.certificate_pem.empty())
    if (auto good = use_certificate(c, options.certificate_pem, options.key_pem, "TLS "); !good)
      return tl::unexpected(good.error());
  if (!options.ca_pem.empty())
    if (auto good = use_authorities(c, options.ca_pem, server, "TLS certificate authority"); !good)
      return tl::unexpected(good.error());
  const bool ask = server ? options.ask_peer_certificate : true;
  auto out = std::make_shared<TlsContext>(std::move(context), std::move(options));
  if (ask && out->verifies_peer()) {
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_cert_verify_callback(c, verify_callback, out.get());
  }
  return out;
}

bool is_certificate_alert(int reason) {
  switch (reason) {
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED: return true;
    default: return false;
  }
}

}  // namespace

Result<std::shared_ptr<TlsContext>> make_tls_server(const TlsOptions& options) {
  if (options.certificate_pem.empty())
    return fail(Errc::invalid, "TLS server: a certificate and its key are needed");
  if (!options.pinned_spki_sha256_hex.empty())
    return fail(Errc::invalid, "TLS server: pinning is for clients");
  if (options.ask_peer_certificate && options.ca_pem.empty()) {
    return fail(Errc::invalid, "TLS server: asking for certificates needs an authority to verify them with");
  }
  return make_context(TLS_server_method(), options, true);
}

Result<std::shared_ptr<TlsContext>> make_tls_client(const TlsOptions& options) {
  return make_context(TLS_client_method(), options, false);
}

SSL* TlsContext::new_session() const {
  SSL* session = SSL_new(context_.get());
  TODD_CHECK(session != nullptr);
  return session;
}

bool TlsContext::verify(X509_STORE_CTX* chain) const {
  const std::string& pin = options_.pinned_spki_sha256_hex;
  if (!options_.ca_pem.empty()) {
    if (X509_verify_cert(chain) != 1) return false;
    if (pin.empty() || chain_has_key(X509_STORE_CTX_get0_chain(chain), pin)) return true;
    X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
    return false;
  }
  // Only the pin is known. Whoever sends an authority with that key cannot sign a leaf with it unless it is
  // theirs, so the authority as sent may anchor the chain; signatures, dates and purposes are checked as
  // usual.
  X509* anchor = find_pinned_authority(X509_STORE_CTX_get0_untrusted(chain), pin);
  if (anchor == nullptr) {
    X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
    return false;
  }
  const std::unique_ptr<STACK_OF(X509), decltype([](STACK_OF(X509) * s) { sk_X509_free(s); })> anchors(
      sk_X509_new_null());
  if (!anchors || sk_X509_push(anchors.get(), anchor) <= 0) return false;
  X509_STORE_CTX_set0_trusted_stack(chain, anchors.get());
  X509_STORE_CTX_set_flags(chain,
                           X509_V_FLAG_PARTIAL_CHAIN);  // the pinned authority may be an intermediate one
  return X509_verify_cert(chain) == 1;
}

PeerIdentity peer_identity(const TlsContext& context, const SSL* session) {
  const CertPtr certificate(SSL_get1_peer_certificate(session));
  if (!certificate || !context.verifies_peer() || SSL_get_verify_result(session) != X509_V_OK) return {};
  return {to_pem(certificate.get()), common_name_of(certificate.get())};
}

Error tls_failure(const SSL* session, const std::vector<unsigned long>& codes, const std::string& peer) {
  const auto real = std::find_if(codes.begin(), codes.end(),
                                 [](unsigned long code) { return ERR_GET_LIB(code) == ERR_LIB_SSL; });
  const int reason = real == codes.end() ? 0 : ERR_GET_REASON(*real);
  const long verdict = SSL_get_verify_result(session);
  if (verdict == X509_V_ERR_APPLICATION_VERIFICATION) {
    return {Errc::denied, 0,
            "TLS with " + peer +
                ": its certificate chain does not contain the pinned key; check the token and the address"};
  }
  if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
    return {Errc::denied, 0,
            "TLS with " + peer + ": its certificate was refused: " + X509_verify_cert_error_string(verdict)};
  }
  const char* text = real == codes.end() ? nullptr : ERR_reason_error_string(*real);
  const std::string said = text != nullptr ? text : "failed";
  if (is_certificate_alert(reason))
    return {Errc::denied, 0, "TLS with " + peer + ": it refused our certificate: " + said};
  return {Errc::corrupt, 0, "TLS with " + peer + ": " + said + "; both ends must speak TLS 1.3"};
}

}  // namespace todd::io
