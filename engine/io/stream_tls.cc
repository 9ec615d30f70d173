#include "engine/io/stream_tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <unordered_map>

#include "engine/base/check.h"
#include "engine/io/openssl.h"
#include "engine/io/pki.h"
#include "engine/io/sockets.h"

namespace todd::io {
namespace {

constexpr uint64_t kOwnCookie = UINT64_MAX;  // of records that no send() made
constexpr size_t kMaxSessions = 4096;        // kept for resumption
constexpr size_t kMaxOwnBytes = 64 * 1024;   // of ours that wait for the peer to read, beside what was sent
constexpr uint32_t kPlainBytes = 16 * 1024;  // the most that a record holds
constexpr unsigned char kTicketsAre[] = "todd";

using SessionPtr = std::unique_ptr<SSL_SESSION, OpensslFree<SSL_SESSION_free>>;
using BioMethodPtr = std::unique_ptr<BIO_METHOD, OpensslFree<BIO_meth_free>>;
using StorePtr = std::unique_ptr<X509_STORE, OpensslFree<X509_STORE_free>>;

X509_STORE* trusted_store() {
  static const StorePtr store = [] {
    StorePtr made(X509_STORE_new());
    TODD_CHECK(made != nullptr);
    X509_STORE_set_default_paths(made.get());  // SSL_CERT_FILE and SSL_CERT_DIR, or the system's
    ERR_clear_error();
    return made;
  }();
  return store.get();
}

// "h2,http/1.1" as on the wire: each with its length before it.
Result<std::string> alpn_wire(const std::string& list) {
  std::string wire;
  for (size_t from = 0; from <= list.size() && !list.empty();) {
    const size_t comma = std::min(list.find(',', from), list.size());
    const size_t n = comma - from;
    if (n == 0 || n > 255)
      return fail(Errc::invalid, "ALPN \"" + list + "\": names of 1 to 255 bytes between commas");
    wire += static_cast<char>(n);
    wire += list.substr(from, n);
    from = comma + 1;
  }
  return wire;
}

int64_t unix_time(const ASN1_TIME* time) {
  tm parts{};
  return time != nullptr && ASN1_TIME_to_tm(time, &parts) == 1 ? timegm(&parts) : 0;
}

int64_t earliest_end(const STACK_OF(X509) * chain) {
  int64_t earliest = 0;
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    const int64_t end = unix_time(X509_get0_notAfter(sk_X509_value(chain, i)));
    if (end != 0 && (earliest == 0 || end < earliest)) earliest = end;
  }
  return earliest;
}

std::string name_text(const X509_NAME* name) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253);
  return text_of(bio.get());
}

// What a certificate says may be anything; here it stays one word.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) out += c > ' ' && c < 0x7f && c != ',' ? c : '?';
  return out;
}

std::string address_text(const uint8_t* bytes, size_t n) {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(n == 4 ? AF_INET : AF_INET6, bytes, text, sizeof text);
  return text;
}

// "DNS:a.example, IP:192.0.2.1"; other kinds of names are left out.
std::string alternative_names(const X509* certificate) {
  auto* names =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  std::string text;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    int type = 0;
    const auto* value =
        static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type));
    if (type != GEN_DNS && type != GEN_IPADD) continue;
    const auto* bytes = ASN1_STRING_get0_data(value);
    const auto n = static_cast<size_t>(ASN1_STRING_length(value));
    if (type == GEN_IPADD && n != 4 && n != 16) continue;
    if (!text.empty()) text += ", ";
    text += type == GEN_DNS ? "DNS:" + printable({reinterpret_cast<const char*>(bytes), n})
                            : "IP:" + address_text(bytes, n);
  }
  GENERAL_NAMES_free(names);
  return text;
}

void describe_leaf(X509* leaf, TlsFacts& facts) {
  facts.not_before_s = unix_time(X509_get0_notBefore(leaf));
  facts.not_after_s = unix_time(X509_get0_notAfter(leaf));
  facts.subject = name_text(X509_get_subject_name(leaf));
  facts.issuer = name_text(X509_get_issuer_name(leaf));
  facts.names = alternative_names(leaf);
  facts.key_bits = EVP_PKEY_get_bits(X509_get0_pubkey(leaf));
  if (const BignumPtr serial(ASN1_INTEGER_to_BN(X509_get0_serialNumber(leaf), nullptr)); serial) {
    char* hex = BN_bn2hex(serial.get());
    facts.serial = hex;
    OPENSSL_free(hex);
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int n = 0;
  if (X509_digest(leaf, EVP_sha256(), digest, &n) == 1) facts.fingerprint = to_hex(digest, n);
}

Status use_own(SSL_CTX* context, const StreamTlsOptions& options) {
  if (!options.certificate_pem.empty())
    return use_certificate(context, options.certificate_pem, options.key_pem, "");
  if (!options.server) return {};
  const auto made = make_ca("todd", 7);
  if (!made) return tl::unexpected(made.error());
  return use_certificate(context, made->certificate_pem, made->key_pem, "");
}

Status use_trusted(SSL_CTX* context, const StreamTlsOptions& options) {
  if (options.authorities_pem.empty()) {
    if (!options.server) SSL_CTX_set1_cert_store(context, trusted_store());
    return {};
  }
  if (options.server) {
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    // OpenSSL resumes a verified client only where it is told what for. Tickets' keys are a context's own.
    SSL_CTX_set_session_id_context(context, kTicketsAre, sizeof kTicketsAre);
  }
  return use_authorities(context, options.authorities_pem, options.server, "certificate authorities");
}

Status use_versions(SSL_CTX* context, const StreamTlsOptions& options) {
  const int least = options.min_version != 0 ? options.min_version : TLS1_2_VERSION;
  if (options.max_version != 0 && options.max_version < least)
    return fail(Errc::invalid, "TLS versions: the highest is below the lowest");
  if (SSL_CTX_set_min_proto_version(context, least) != 1 ||
      SSL_CTX_set_max_proto_version(context, options.max_version) != 1)
    return fail(Errc::invalid, "TLS versions: this host knows 1.2 and 1.3");
  return {};
}

}  // namespace

class StreamTlsContext {
 public:
  StreamTlsContext(SslContextPtr context, const StreamTlsOptions& options, std::string alpn)
      : context_(std::move(context)),
        server_(options.server),
        insecure_(options.insecure),
        resume_(options.resume),
        alpn_(std::move(alpn)) {
    method_.reset(BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream"));
    TODD_CHECK(method_ != nullptr);
    BIO_meth_set_write(method_.get(), [](BIO* bio, const char* data, int len) {
      return StreamTls::bio_write(BIO_get_data(bio), data, len);
    });
    BIO_meth_set_read(method_.get(), [](BIO* bio, char* data, int len) {
      const int n = StreamTls::bio_read(BIO_get_data(bio), data, len);
      BIO_clear_retry_flags(bio);
      if (n < 0) BIO_set_retry_read(bio);
      return n;
    });
    BIO_meth_set_ctrl(method_.get(),
                      [](BIO*, int command, long, void*) -> long { return command == BIO_CTRL_FLUSH; });
    SSL_CTX_set_app_data(context_.get(), this);
    if (server_ && !alpn_.empty()) SSL_CTX_set_alpn_select_cb(context_.get(), choose_protocol, this);
    if (!resume_) return;
    SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context_.get(), keep_session);
  }

  bool server() const { return server_; }
  bool insecure() const { return insecure_; }

  SSL* new_session(StreamTls* of) {
    SSL* session = SSL_new(context_.get());
    BIO* bio = BIO_new(method_.get());
    TODD_CHECK(session != nullptr && bio != nullptr);
    BIO_set_data(bio, of);
    BIO_set_init(bio, 1);
    SSL_set_bio(session, bio, bio);
    SSL_set_app_data(session, of);
    if (server_) {
      SSL_set_accept_state(session);
    } else {
      SSL_set_connect_state(session);
      if (!alpn_.empty())
        SSL_set_alpn_protos(session, reinterpret_cast<const unsigned char*>(alpn_.data()),
                            static_cast<unsigned>(alpn_.size()));
    }
    return session;
  }
  void offer_session(SSL* session, const std::string& where) {
    if (const auto known = sessions_.find(where); resume_ && known != sessions_.end())
      SSL_set_session(session, known->second.get());
  }
  // Where a record's plain text goes until the sink has seen it.
  uint8_t* plain() { return plain_.get(); }

 private:
  static int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_len, const unsigned char* in,
                             unsigned in_len, void* self) {
    const std::string& ours = static_cast<StreamTlsContext*>(self)->alpn_;
    unsigned char* chosen = nullptr;
    const int found =
        SSL_select_next_proto(&chosen, out_len, reinterpret_cast<const unsigned char*>(ours.data()),
                              static_cast<unsigned>(ours.size()), in, in_len);
    *out = chosen;
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
  }
  static int keep_session(SSL* session, SSL_SESSION* made) {
    auto* self = static_cast<StreamTlsContext*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(session)));
    const std::string& where = static_cast<StreamTls*>(SSL_get_app_data(session))->where_;
    if (self->sessions_.size() >= kMaxSessions && !self->sessions_.contains(where)) return 0;
    self->sessions_[where].reset(made);
    return 1;
  }

  BioMethodPtr method_;
  std::unordered_map<std::string, SessionPtr> sessions_;
  SslContextPtr context_;
  const bool server_, insecure_, resume_;
  const std::string alpn_;
  std::unique_ptr<uint8_t[]> plain_{new uint8_t[kPlainBytes]};
};

void read_trusted_authorities() { (void)trusted_store(); }

Result<std::shared_ptr<StreamTlsContext>> make_stream_tls(const StreamTlsOptions& options) {
  auto alpn = alpn_wire(options.alpn);
  if (!alpn) return tl::unexpected(alpn.error());
  SslContextPtr context(SSL_CTX_new(options.server ? TLS_server_method() : TLS_client_method()));
  if (!context) return fail_openssl("TLS context");
  SSL_CTX* c = context.get();
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  // Ten thousand connections have no use for two buffers of 17 KiB each.
  SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
  // A connection that ends without close_notify is judged by who knows what was to come.
  SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_COMPRESSION);
  // Whether it verifies is told, whatever is made of it: the chain is to be seen then too.
  SSL_CTX_set_verify(c, SSL_VERIFY_NONE, nullptr);
  if (options.insecure) SSL_CTX_set_security_level(c, 0);
  if (auto good = use_versions(c, options); !good) return tl::unexpected(good.error());
  if (auto good = use_own(c, options); !good) return tl::unexpected(good.error());
  if (auto good = use_trusted(c, options); !good) return tl::unexpected(good.error());
  return std::make_shared<StreamTlsContext>(std::move(context), options, std::move(*alpn));
}

StreamTls::StreamTls(std::shared_ptr<StreamTlsContext> context, Stream& raw, StreamTlsSink& sink)
    : context_(std::move(context)), raw_(raw), sink_(sink), session_(context_->new_session(this)) {}

StreamTls::~StreamTls() {
  // OpenSSL resumes no session of a connection that ended without a word, as tested ones often do.
  SSL_set_shutdown(session_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(session_);
}

int StreamTls::bio_write(void* self, const char* data, int len) {
  auto& out = static_cast<StreamTls*>(self)->out_;
  out.insert(out.end(), data, data + len);
  return len;
}

int StreamTls::bio_read(void* self, char* data, int len) {
  auto& me = *static_cast<StreamTls*>(self);
  const uint32_t n = std::min(static_cast<uint32_t>(len), me.in_len_);
  if (n == 0) return -1;
  memcpy(data, me.in_, n);
  me.in_ += n;
  me.in_len_ -= n;
  return static_cast<int>(n);
}

void StreamTls::begin(const std::string& name, const std::string& where) {
  if (!context_->server()) {
    where_ = where + "\n" + name;
    const std::string bare = name.substr(0, name.find('%'));
    if (parse_address(bare, 0)) {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session_), bare.c_str());
    } else if (!name.empty()) {
      SSL_ctrl(session_, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
               const_cast<char*>(name.c_str()));
      SSL_set1_host(session_, name.c_str());
    }
    context_->offer_session(session_, where_);
  }
  shake();
}

// Hands what OpenSSL wrote to the connection.
void StreamTls::flush(uint64_t cookie) {
  if (out_.empty()) return;
  if (cookie == kOwnCookie) own_waiting_ += out_.size();
  on_way_.push_back(std::move(out_));
  out_.clear();
  raw_.send(on_way_.back().data(), static_cast<uint32_t>(on_way_.back().size()), cookie);
}

bool StreamTls::sent(uint64_t cookie) {
  if (on_way_.empty()) return false;
  if (cookie == kOwnCookie) own_waiting_ -= on_way_.front().size();
  on_way_.erase(on_way_.begin());
  return cookie != kOwnCookie;
}

void StreamTls::explain(const char* fallback) {
  const unsigned long code = ERR_peek_error();
  const char* reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
  error_ = reason != nullptr ? reason : fallback;
  ERR_clear_error();
}

int StreamTls::verdict() {
  const long verify = SSL_get_verify_result(session_);
  if (context_->server() || context_->insecure() || verify == X509_V_OK) return 0;
  error_ = X509_verify_cert_error_string(verify);
  return -EKEYREJECTED;
}

void StreamTls::shake() {
  ERR_clear_error();
  const int done = SSL_do_handshake(session_);
  const int why = done == 1 ? SSL_ERROR_NONE : SSL_get_error(session_, done);
  flush(kOwnCookie);
  if (why == SSL_ERROR_WANT_READ) return;
  int result = -EPROTO;
  if (why == SSL_ERROR_NONE) {
    result = verdict();
    established_ = result == 0;
  } else {
    explain("the handshake failed");
  }
  ended_ = !established_;
  sink_.on_handshake(result);
}

void StreamTls::received(int result, const uint8_t* data, uint32_t len, int64_t mono_ns) {
  if (ended_) return;
  if (len == 0) return end(result, mono_ns);
  in_ = data;
  in_len_ = len;
  if (!established_) {
    shake();
    if (!established_) return;  // not yet, or never
  }
  read_plain(mono_ns);
}

void StreamTls::give_up(int result, const std::string& why) {
  if (ended_ || established_) return;
  ended_ = true;
  error_ = why;
  sink_.on_handshake(result);
}

// Nothing more comes from the connection.
void StreamTls::end(int result, int64_t mono_ns) {
  if (!established_)
    return give_up(result < 0 ? result : -ECONNRESET, "the connection ended during the handshake");
  ended_ = true;
  sink_.on_plain(result, nullptr, 0, mono_ns);
}

void StreamTls::read_plain(int64_t mono_ns) {
  for (;;) {
    ERR_clear_error();
    const int n = SSL_read(session_, context_->plain(), kPlainBytes);
    if (n > 0) {
      if (!sink_.on_plain(0, context_->plain(), static_cast<uint32_t>(n), mono_ns)) return;
      continue;
    }
    const int why = SSL_get_error(session_, n);
    if (why == SSL_ERROR_WANT_READ) {
      flush(kOwnCookie);  // a key update's answer
      if (own_waiting_ <= kMaxOwnBytes) return;
      ended_ = true;
      error_ = "the peer asks for ever new keys and reads none";
      sink_.on_plain(-EPROTO, nullptr, 0, mono_ns);
      return;
    }
    ended_ = true;
    const bool broken = why != SSL_ERROR_ZERO_RETURN;
    if (broken) explain("the session broke");
    flush(kOwnCookie);  // the alert
    sink_.on_plain(broken ? -EPROTO : 0, nullptr, 0, mono_ns);
    return;
  }
}

bool StreamTls::send(const uint8_t* data, uint32_t len, uint64_t cookie) {
  if (!established_) return false;
  ERR_clear_error();
  if (len != 0 && SSL_write(session_, data, static_cast<int>(len)) != static_cast<int>(len)) {
    explain("the session broke");
    return false;
  }
  flush(cookie);
  return true;
}

void StreamTls::shutdown_write() {
  if (established_) SSL_shutdown(session_);
  ERR_clear_error();
  flush(kOwnCookie);
  raw_.shutdown_write();
}

void StreamTls::say_goodbye() {
  if (!established_ || !on_way_.empty()) return;
  SSL_shutdown(session_);
  ERR_clear_error();
  if (!out_.empty()) (void)::send(raw_.fd(), out_.data(), out_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  out_.clear();
}

TlsFacts StreamTls::facts(bool certificates) const {
  TlsFacts facts;
  facts.error = error_;
  X509* const leaf = SSL_get0_peer_certificate(session_);
  facts.verify = leaf != nullptr ? static_cast<int>(SSL_get_verify_result(session_)) : -1;
  facts.verify_text =
      leaf != nullptr ? X509_verify_cert_error_string(facts.verify) : "no certificate was sent";
  if (const SSL_CIPHER* cipher = SSL_get_current_cipher(session_)) {
    facts.version = static_cast<uint16_t>(SSL_version(session_));
    facts.cipher = SSL_CIPHER_get_name(cipher);
  }
  facts.resumed = SSL_session_reused(session_) == 1;
  const unsigned char* protocol = nullptr;
  unsigned n = 0;
  SSL_get0_alpn_selected(session_, &protocol, &n);
  if (n != 0) facts.alpn.assign(reinterpret_cast<const char*>(protocol), n);
  const auto* sent = SSL_get_peer_cert_chain(session_);
  facts.chain = sent != nullptr ? sk_X509_num(sent) : 0;
  const bool apart = leaf != nullptr && context_->server();  // only a client's view has the leaf in it
  if (apart) ++facts.chain;
  if (!certificates) return facts;
  facts.chain_not_after_s = earliest_end(sent);
  if (const int64_t end = apart ? unix_time(X509_get0_notAfter(leaf)) : 0; end != 0)
    facts.chain_not_after_s = facts.chain_not_after_s == 0 ? end : std::min(end, facts.chain_not_after_s);
  if (facts.verify == X509_V_OK) facts.trusted_not_after_s = earliest_end(SSL_get0_verified_chain(session_));
  if (leaf != nullptr) describe_leaf(leaf, facts);
  return facts;
}

}  // namespace todd::io
