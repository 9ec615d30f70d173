#include "engine/io/channel.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/util.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "engine/base/check.h"
#include "engine/io/connector.h"
#include "engine/io/endpoint.h"
#include "engine/io/tls.h"

namespace todd::io {
namespace {

// After close_after_flush() the peer gets this long to read the rest and close: closing at once with its
// bytes unread would reset the connection and might take the last answer with it.
constexpr int64_t kLingerNs = 1'000'000'000;
const Error kClosedHere{Errc::cancelled, 0, "closed here after flushing"};
const Error kClosedByPeer{Errc::unavailable, 0, "closed by peer"};

// States: connecting (connector_, no bev_), handshaking (bev_, not open_), open, flushing, finished (no bev_,
// no events). libevent calls back deferred, from the loop and never from inside a method of ours.
class BufferedChannel final : public Channel {
 public:
  BufferedChannel(Loop& loop, std::string peer, std::shared_ptr<TlsContext> tls, Events events,
                  ChannelOptions options)
      : loop_(loop),
        options_(options),
        tls_(std::move(tls)),
        events_(std::make_shared<Events>(std::move(events))),
        peer_(std::move(peer)) {}
  ~BufferedChannel() override { release(); }

  void connect_to_host(const std::string& host, uint16_t port) { make_connector().tcp(host, port); }
  void connect_to_path(const std::string& path) { make_connector().local(path); }
  void attach(UniqueFd fd, bool server);

  void set_events(Events events) override;
  void send(std::string_view bytes) override;
  size_t unsent() const override;
  void pause_reading(bool paused) override;
  void close_after_flush() override;
  std::string peer_address() const override { return peer_; }
  uint32_t peer_uid() const override { return peer_uid_; }
  std::string peer_certificate_pem() const override { return identity_.certificate_pem; }
  std::string peer_common_name() const override { return identity_.common_name; }
  std::string tls_exporter(std::string_view label) const override;

 private:
  static void on_read(bufferevent*, void* self) { static_cast<BufferedChannel*>(self)->read(); }
  static void on_written(bufferevent*, void* self) { static_cast<BufferedChannel*>(self)->written(); }
  static void on_event(bufferevent*, short what, void* self) {
    static_cast<BufferedChannel*>(self)->event(what);
  }

  Connector& make_connector();
  void arm_deadline(const char* phase);
  void opened();
  bool read();  // false when the channel ended meanwhile
  void written();
  void event(short what);
  void ended_by_peer();
  void flushed();
  void end_held();
  Error failure();
  void finish_soon(Error error);
  void finish(const Error& error);
  void release();
  SSL* session() const { return bev_ != nullptr && tls_ ? bufferevent_openssl_get_ssl(bev_) : nullptr; }

  Loop& loop_;
  const ChannelOptions options_;
  const std::shared_ptr<TlsContext> tls_;  // shared with the other channels of this context
  const std::shared_ptr<const bool> alive_ = std::make_shared<bool>(true);  // expires with the channel
  // Shared with the callback that is running: it may replace the events or destroy the channel.
  std::shared_ptr<Events> events_;
  std::string peer_;
  uint32_t peer_uid_ = UINT32_MAX;
  PeerIdentity identity_;
  std::unique_ptr<Connector> connector_;
  std::string early_;  // sent while connecting
  bufferevent* bev_ = nullptr;
  HandlePtr deadline_;  // of connecting and handshake, later of lingering
  HandlePtr closing_;
  std::optional<Error> held_;  // the end, while the owner has paused reading and there are bytes before it
  bool open_ = false;
  bool paused_ = false;
  bool undrained_ = false;   // sent something since the last on_drained
  bool flushing_ = false;    // close_after_flush() was called
  bool flushed_ = false;     // our direction is shut
  bool peer_ended_ = false;  // theirs is, while flushing
  bool doomed_ = false;      // over the write limit, about to finish
  bool broken_ = false;      // no orderly TLS end possible
  bool finished_ = false;
};

Connector& BufferedChannel::make_connector() {
  // The connector knows the deadline too, for its shares; this one goes on over the handshake.
  arm_deadline(tls_ ? "connecting and TLS handshake" : "connecting");
  connector_ = std::make_unique<Connector>(loop_, peer_, options_.handshake_ns, [this](Result<UniqueFd> fd) {
    connector_.reset();
    if (!fd) return finish(fd.error());
    attach(std::move(*fd), false);
    if (!tls_) opened();
  });
  return *connector_;
}

void BufferedChannel::arm_deadline(const char* phase) {
  deadline_ = loop_.after(options_.handshake_ns, [this, phase] {
    finish({Errc::timed_out, 0,
            std::string(phase) + " with " + peer_ + ": not done in " +
                std::to_string(options_.handshake_ns / 1'000'000) + " ms"});
  });
}

void BufferedChannel::attach(UniqueFd fd, bool server) {
  evutil_make_socket_nonblocking(fd.get());
  const int on = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // fails on unix sockets, which need it not
  peer_ = peer_name(fd.get());
  peer_uid_ = peer_uid_of(fd.get());
  constexpr int kOptions = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS;
  if (tls_) {
    const auto state = server ? BUFFEREVENT_SSL_ACCEPTING : BUFFEREVENT_SSL_CONNECTING;
    bev_ = bufferevent_openssl_socket_new(loop_.base(), fd.release(), tls_->new_session(), state, kOptions);
    TODD_CHECK(bev_ != nullptr);
    bufferevent_openssl_set_allow_dirty_shutdown(bev_, 1);
    if (server) arm_deadline("TLS handshake");
  } else {
    bev_ = bufferevent_socket_new(loop_.base(), fd.release(), kOptions);
    TODD_CHECK(bev_ != nullptr);
    open_ = true;
  }
  bufferevent_setcb(bev_, &on_read, &on_written, &on_event, this);
  if (!early_.empty()) bufferevent_write(bev_, early_.data(), early_.size());
  early_ = {};
  bufferevent_enable(bev_, static_cast<short>(paused_ ? EV_WRITE : EV_READ | EV_WRITE));
}

void BufferedChannel::opened() {
  deadline_.reset();
  open_ = true;
  if (SSL* tls = session()) identity_ = peer_identity(*tls_, tls);
  if (paused_) bufferevent_disable(bev_, EV_READ);
  if (flushing_ || doomed_) return;
  const auto events = events_;
  if (events->on_open) events->on_open();
}

void BufferedChannel::set_events(Events events) {
  if (finished_) return;
  events_ = std::make_shared<Events>(std::move(events));
  // What the old receiver left goes to the new one without waiting for more.
  if (bev_ != nullptr && open_) bufferevent_trigger(bev_, EV_READ, BEV_TRIG_IGNORE_WATERMARKS);
}

void BufferedChannel::send(std::string_view bytes) {
  if (finished_ || flushing_ || doomed_ || bytes.empty()) return;
  undrained_ = true;
  if (unsent() + bytes.size() > options_.write_limit) {
    return finish_soon({Errc::exhausted, 0,
                        "connection to " + peer_ + ": more than " + std::to_string(options_.write_limit) +
                            " bytes unsent; the peer reads too slowly"});
  }
  if (bev_ != nullptr) {
    bufferevent_write(bev_, bytes.data(), bytes.size());
  } else {
    early_ += bytes;
  }
}

size_t BufferedChannel::unsent() const {
  return bev_ != nullptr ? evbuffer_get_length(bufferevent_get_output(bev_)) : early_.size();
}

void BufferedChannel::pause_reading(bool paused) {
  if (finished_ || flushing_ || paused_ == paused) return;
  paused_ = paused;
  if (bev_ == nullptr) return;
  if (paused) {
    bufferevent_disable(bev_, EV_READ);
  } else if (held_) {
    closing_ = loop_.after(0, [this] { end_held(); });
  } else {
    bufferevent_enable(bev_, EV_READ);
    bufferevent_trigger(bev_, EV_READ, BEV_TRIG_IGNORE_WATERMARKS);
  }
}

void BufferedChannel::end_held() {
  const HandlePtr self = std::move(closing_);
  if (paused_ || !read()) return;
  if (!paused_) finish(*held_);
}

void BufferedChannel::close_after_flush() {
  if (finished_ || flushing_ || doomed_) return;
  flushing_ = true;
  peer_ended_ = held_.has_value();
  // Reading goes on to see the peer's end; what it says is dropped.
  if (bev_ != nullptr && !peer_ended_) bufferevent_enable(bev_, EV_READ);
  if (unsent() == 0 || (peer_ended_ && tls_)) closing_ = loop_.after(0, [this] { flushed(); });
}

bool BufferedChannel::read() {
  if (finished_ || !open_) return !finished_;
  evbuffer* input = bufferevent_get_input(bev_);
  const size_t size = evbuffer_get_length(input);
  if (flushing_ || doomed_) evbuffer_drain(input, size);
  if (paused_ || flushing_ || doomed_ || size == 0) return true;
  const auto events = events_;
  if (!events->on_data) return true;
  const std::weak_ptr<const bool> alive = alive_;
  const size_t used = events->on_data({reinterpret_cast<const char*>(evbuffer_pullup(input, -1)), size});
  if (alive.expired() || finished_) return false;
  TODD_CHECK(used <= size);
  evbuffer_drain(input, used);
  return true;
}

void BufferedChannel::written() {
  if (finished_ || doomed_ || unsent() > 0) return;
  if (flushing_) return flushed();
  if (!undrained_ || !open_) return;
  undrained_ = false;
  const auto events = events_;
  if (events->on_drained) events->on_drained();
}

void BufferedChannel::event(short what) {
  if (finished_) return;
  if ((what & BEV_EVENT_CONNECTED) != 0) return opened();
  if ((what & BEV_EVENT_EOF) != 0) return ended_by_peer();
  const Error error = failure();
  broken_ = true;
  finish(flushed_ ? kClosedHere : error);
}

void BufferedChannel::ended_by_peer() {
  if (flushing_) {
    // A plain peer may have shut its direction only: it still gets the rest. A TLS session is over with
    // either end.
    if (!tls_ && unsent() > 0) {
      peer_ended_ = true;
      return;
    }
    return finish(kClosedHere);
  }
  Error error = kClosedByPeer;
  if (!open_) error.detail = "closed by peer during the TLS handshake";
  if (paused_ && evbuffer_get_length(bufferevent_get_input(bev_)) > 0) {
    held_ = std::move(error);
    return;
  }
  finish(error);
}

// Everything is in the kernel: say so, and wait for the peer's end.
void BufferedChannel::flushed() {
  closing_.reset();
  if (flushed_) return;
  flushed_ = true;
  if (bev_ == nullptr || !open_ || peer_ended_) return finish(kClosedHere);
  if (SSL* tls = session()) SSL_shutdown(tls);
  ERR_clear_error();
  ::shutdown(bufferevent_getfd(bev_), SHUT_WR);
  deadline_ = loop_.after(kLingerNs, [this] { finish(kClosedHere); });
}

Error BufferedChannel::failure() {
  const int error = EVUTIL_SOCKET_ERROR();
  if (SSL* tls = session()) {
    std::vector<unsigned long> codes;
    while (const unsigned long code = bufferevent_get_openssl_error(bev_)) codes.push_back(code);
    const bool of_tls = std::any_of(codes.begin(), codes.end(),
                                    [](unsigned long code) { return ERR_GET_LIB(code) == ERR_LIB_SSL; });
    if (of_tls || error == 0) return tls_failure(tls, codes, peer_);
  }
  if (error == ECONNRESET || error == EPIPE) return {Errc::unavailable, error, "reset by peer"};
  return fail_errno(error, "connection to " + peer_).value();
}

void BufferedChannel::finish_soon(Error error) {
  doomed_ = true;
  closing_ = loop_.after(0, [this, error = std::move(error)] { finish(error); });
}

// on_close may destroy this: nothing is touched afterwards.
void BufferedChannel::finish(const Error& error) {
  if (finished_) return;
  finished_ = true;
  const Error copy = error;  // may live in what is released now
  const auto events = std::exchange(events_, std::make_shared<Events>());
  release();
  if (events->on_close) events->on_close(copy);
}

void BufferedChannel::release() {
  connector_.reset();
  deadline_.reset();
  closing_.reset();
  early_ = {};
  if (bev_ == nullptr) return;
  if (SSL* tls = session(); tls != nullptr && open_ && !broken_ && !flushed_) SSL_shutdown(tls);
  ERR_clear_error();
  // Freed by libevent once its callback has returned; the callbacks are off from here.
  bufferevent_free(std::exchange(bev_, nullptr));
}

std::string BufferedChannel::tls_exporter(std::string_view label) const {
  SSL* tls = session();
  if (tls == nullptr || !open_) return {};
  std::string out(32, '\0');
  const int good = SSL_export_keying_material(tls, reinterpret_cast<unsigned char*>(out.data()), out.size(),
                                              label.data(), label.size(), nullptr, 0, 0);
  TODD_CHECK(good == 1);
  return out;
}

}  // namespace

ChannelPtr connect_tcp(Loop& loop, const std::string& host, uint16_t port, std::shared_ptr<TlsContext> tls,
                       Channel::Events events, ChannelOptions options) {
  auto channel = std::make_unique<BufferedChannel>(loop, host_and_port(host, port), std::move(tls),
                                                   std::move(events), options);
  channel->connect_to_host(host, port);
  return channel;
}

ChannelPtr connect_unix(Loop& loop, const std::string& path, Channel::Events events, ChannelOptions options) {
  auto channel = std::make_unique<BufferedChannel>(loop, "unix:" + path, nullptr, std::move(events), options);
  channel->connect_to_path(path);
  return channel;
}

ChannelPtr adopt(Loop& loop, UniqueFd fd, std::shared_ptr<TlsContext> tls_server, Channel::Events events,
                 ChannelOptions options) {
  TODD_CHECK(fd);
  auto channel =
      std::make_unique<BufferedChannel>(loop, "", std::move(tls_server), std::move(events), options);
  channel->attach(std::move(fd), true);
  return channel;
}

}  // namespace todd::io
