#pragma once
// TLS of the streams that testlets open and accept: what came from the connection goes in, plain text comes
// out, and the other way about. No descriptor is touched but through the Stream. All on the lane's thread.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/io/reactor.h"

struct ssl_st;

namespace todd::io {

struct StreamTlsOptions {
  bool server = false;
  bool insecure = false;                      // client: a certificate that does not verify is only told of
  bool resume = false;                        // client: offer a server its last session
  uint16_t min_version = 0, max_version = 0;  // as on the wire: 0x0303 is 1.2; 0 = what this host allows
  std::string alpn;                           // "h2,http/1.1", the preferred one first
  std::string authorities_pem;                // empty: this host's own; of a server: clients need none
  std::string certificate_pem, key_pem;       // empty: none; a server makes one that signs itself
};

// What many sessions have in common. Not shared between threads.
class StreamTlsContext;
// Errors: invalid, with the text for people.
Result<std::shared_ptr<StreamTlsContext>> make_stream_tls(const StreamTlsOptions& options);

// Reads the authorities this host trusts, once for the process; contexts without others share them. It takes
// ten milliseconds, and make_stream_tls does it if nobody has before: a lane need not wait. [any-thread]
void read_trusted_authorities();

// What is known of a session, of a failed one too. Times are Unix seconds, 0 where there is no certificate.
struct TlsFacts {
  uint16_t version = 0;  // 0: the handshake did not come so far
  bool resumed = false;
  int chain = 0;   // certificates the peer sent
  int verify = 0;  // X509_V_*; -1: there was no certificate to verify
  int key_bits = 0;
  int64_t not_before_s = 0, not_after_s = 0;  // of the leaf
  int64_t chain_not_after_s = 0;              // the earliest of what was sent
  int64_t trusted_not_after_s = 0;            // the earliest of the chain that was verified
  std::string verify_text, cipher, alpn, subject, issuer, names, serial, fingerprint, error;
};

class StreamTlsSink {
 public:
  virtual ~StreamTlsSink() = default;
  // Once: 0, -EKEYREJECTED (the certificate does not verify), -ECONNRESET, -EPROTO, or the connection's
  // errno.
  virtual void on_handshake(int result) = 0;
  // Plain text, valid during the call; len 0: the peer's end (result 0) or an error (-errno), nothing
  // follows. False: the stream was closed meanwhile.
  virtual bool on_plain(int result, const uint8_t* data, uint32_t len, int64_t mono_ns) = 0;
};

class StreamTls {
 public:
  // raw is connected, outlives this, and receives.
  StreamTls(std::shared_ptr<StreamTlsContext> context, Stream& raw, StreamTlsSink& sink);
  ~StreamTls();
  StreamTls(const StreamTls&) = delete;
  StreamTls& operator=(const StreamTls&) = delete;

  // Client: name is the server's for SNI and verification, an address is only verified; empty: neither.
  // where: which server a session belongs to, for resumption.
  void begin(const std::string& name, const std::string& where);
  bool established() const { return established_; }
  // The handshake ends as failed, with that result and text; nothing follows.
  void give_up(int result, const std::string& why);
  // What the connection told (StreamSink::on_stream_data).
  void received(int result, const uint8_t* data, uint32_t len, int64_t mono_ns);
  // Plain text; the cookie comes back when what it became has left. False: the session is broken.
  bool send(const uint8_t* data, uint32_t len, uint64_t cookie);
  // What the connection told of something sent. True: the cookie is one of send()'s.
  bool sent(uint64_t cookie);
  void shutdown_write();  // close_notify behind what was sent, then the connection's
  // Tells the peer that no more comes, if it can be told at once. The connection is closed next.
  void say_goodbye();
  // certificates: what is in them too, some 20 us.
  TlsFacts facts(bool certificates = true) const;

 private:
  friend class StreamTlsContext;
  static int bio_write(void* self, const char* data, int len);
  static int bio_read(void* self, char* data, int len);
  void shake();
  void read_plain(int64_t mono_ns);
  void end(int result, int64_t mono_ns);
  void flush(uint64_t cookie);
  int verdict();
  void explain(const char* fallback);

  std::shared_ptr<StreamTlsContext> context_;
  Stream& raw_;
  StreamTlsSink& sink_;
  ssl_st* session_;
  const uint8_t* in_ = nullptr;  // what is being received
  uint32_t in_len_ = 0;
  std::vector<uint8_t> out_;                  // records not handed to the stream yet
  std::vector<std::vector<uint8_t>> on_way_;  // those it has, in order
  size_t own_waiting_ = 0;                    // bytes of those that no send() made
  std::string where_, error_;
  bool established_ = false, ended_ = false;
};

}  // namespace todd::io
