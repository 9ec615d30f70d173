#pragma once
// A byte stream to a peer (TCP, unix socket or socketpair, with or without TLS 1.3) and how such streams are
// made.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/fd.h"
#include "engine/base/result.h"
#include "engine/io/loop.h"

namespace todd::io {

// Certificates and keys as PEM text. One context serves many channels; immutable once made.
struct TlsOptions {
  std::string certificate_pem;  // own chain; may be empty on a client
  std::string key_pem;
  std::string ca_pem;  // peers must chain to one of these; empty = peer not verified by chain
  bool ask_peer_certificate =
      false;  // server: request one (verified if sent); the caller decides when it is missing
  std::string pinned_spki_sha256_hex;  // client: some certificate of the peer's chain must have this key hash
};
class TlsContext;  // TLS 1.3 only, ALPN unused, no session tickets
Result<std::shared_ptr<TlsContext>> make_tls_server(const TlsOptions& options);
Result<std::shared_ptr<TlsContext>> make_tls_client(const TlsOptions& options);

struct ChannelOptions {
  size_t write_limit = 8u << 20;         // more than this unsent: the channel closes with Errc::exhausted
  int64_t handshake_ns = 5'000'000'000;  // TLS and connect deadline
};

// Resource. Owned by the caller; destroying it closes the stream without callbacks. Callbacks may destroy the
// channel.
class Channel {
 public:
  struct Events {
    std::function<void()>
        on_open;  // connected and, with TLS, handshake done. Not called for plain accepted/adopted fds
    // All bytes received and not yet consumed; returns how many it consumed (the rest is offered again with
    // more).
    std::function<size_t(std::string_view)> on_data;
    // The stream ended: peer closed (Errc::unavailable, detail "closed by peer"), failed, or limit. Called
    // once.
    std::function<void(const Error&)> on_close;
    std::function<void()> on_drained;  // everything written has left (may be empty)
  };
  virtual ~Channel() = default;
  virtual void set_events(Events events) = 0;
  virtual void send(std::string_view bytes) = 0;  // copied; never blocks
  virtual size_t unsent() const = 0;
  virtual void pause_reading(bool paused) = 0;
  virtual void close_after_flush() = 0;          // no more on_data; on_close when flushed
  virtual std::string peer_address() const = 0;  // "192.0.2.1:443", "[2001:db8::1]:443", "unix:uid=0"
  virtual uint32_t peer_uid() const = 0;         // unix sockets, else UINT32_MAX
  // With TLS: the verified peer certificate as PEM and its subject common name; empty when it sent none.
  virtual std::string peer_certificate_pem() const = 0;
  virtual std::string peer_common_name() const = 0;
  // RFC 5705 exporter, 32 bytes, the same on both ends of one TLS session; empty without TLS.
  virtual std::string tls_exporter(std::string_view label) const = 0;
};
using ChannelPtr = std::unique_ptr<Channel>;

// Connects; failures arrive in on_close. tls may be null. host is a literal address or a name (resolved by
// the loop's resolver).
ChannelPtr connect_tcp(Loop& loop, const std::string& host, uint16_t port, std::shared_ptr<TlsContext> tls,
                       Channel::Events events, ChannelOptions options = {});
ChannelPtr connect_unix(Loop& loop, const std::string& path, Channel::Events events,
                        ChannelOptions options = {});
// Takes over a connected fd (accepted, socketpair).
ChannelPtr adopt(Loop& loop, UniqueFd fd, std::shared_ptr<TlsContext> tls_server, Channel::Events events,
                 ChannelOptions options = {});

// Accepts connections while it lives. The callback adopts the fd. On EMFILE it pauses for a second, never
// spins.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual uint16_t port() const = 0;  // 0 for unix sockets
};
using Accepted = std::function<void(UniqueFd fd)>;
Result<std::unique_ptr<Listener>> listen_tcp(Loop& loop, const std::string& address, uint16_t port,
                                             Accepted accepted);
// Replaces a stale socket file; the file is removed when the listener dies. mode e.g. 0660.
Result<std::unique_ptr<Listener>> listen_unix(Loop& loop, const std::string& path, unsigned mode,
                                              Accepted accepted);

// Names to addresses by libevent's resolver (resolv.conf, hosts). family: AF_INET, AF_INET6 or AF_UNSPEC.
// done gets literal addresses in resolver order, or an error (Errc::not_found: no such name;
// Errc::timed_out).
class Resolver {
 public:
  explicit Resolver(Loop& loop);
  ~Resolver();
  void resolve(const std::string& name, int family,
               std::function<void(Result<std::vector<std::string>>)> done);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace todd::io
