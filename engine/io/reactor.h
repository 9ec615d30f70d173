#pragma once
// The probe path's loop: completion-shaped, one per lane, all methods for the lane's thread but post() and
// wake(). Back ends: `uring` (probed feature by feature) and `event` (libevent/epoll with sendmmsg/recvmmsg).
// Same contract, same tests. After start-up nothing here allocates per packet.
//
// One turn: (1) submit what was queued, (2) wait until a completion or the deadline, (3) collect completions,
// (4) call the sinks. Sinks are never called from inside a queueing method.

#include <netinet/in.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "engine/base/fd.h"
#include "engine/base/result.h"

namespace todd::io {

union Address {
  sockaddr sa;
  sockaddr_in v4;
  sockaddr_in6 v6;
};
inline socklen_t address_len(const Address& a) {
  return a.sa.sa_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
}

enum class Stamp : uint8_t { none, user, kernel, nic };  // values equal TODD_TS_* of the SDK

// ---- datagrams

struct DatagramOut {
  const uint8_t* data;  // must stay unchanged until on_sent
  uint32_t len;
  uint8_t ttl = 0;  // 0 = socket's
  uint8_t tos = 0;
  const Address* to;              // copied
  const Address* from = nullptr;  // answer from this local address (wildcard sockets), copied; may be null
  uint64_t cookie;                // returned in on_sent
  bool stamp = false;             // with TxStamps::some: ask for this one's stamp
};

struct DatagramIn {
  const uint8_t* data;  // valid during the call
  uint32_t len;
  bool truncated = false;
  uint8_t ttl = 0, tos = 0;
  Address from;
  Address local;       // destination address the datagram came to (family 0 if unknown)
  int64_t rx_wall_ns;  // kernel receive time, CLOCK_REALTIME; or the user's clock if source is user
  Stamp rx_source;
};

// An error of an earlier datagram, from the socket's error queue (IP_RECVERR): ICMP or local.
struct DatagramError {
  int sys_errno;
  uint8_t origin;         // SO_EE_ORIGIN_*
  uint8_t type, code;     // ICMP
  uint32_t info;          // MTU for "fragmentation needed"
  Address offender;       // who sent the ICMP (family 0 if unknown)
  Address to;             // where our datagram was going
  const uint8_t* quoted;  // as much of our datagram's payload as the kernel gives back
  uint32_t quoted_len;
  int64_t rx_wall_ns;
};

class DatagramSink {
 public:
  virtual ~DatagramSink() = default;
  // One per send(): result 0 = handed to the kernel, else -errno (the pending error of *another* datagram has
  // already been drained and the send repeated; what arrives here is this datagram's own). tx_mono_ns: when
  // it left by the user's clock, interpolated by position within the batch.
  virtual void on_sent(uint64_t cookie, int result, int64_t tx_mono_ns) = 0;
  virtual void on_datagram(const DatagramIn& in) = 0;
  virtual void on_error(const DatagramError& error) = 0;
  virtual void on_drops(
      uint64_t dropped) = 0;  // the kernel dropped that many received datagrams since the last call
  // When the driver took over a datagram (TxStamps). `packet` begins with the network or the link header,
  // whichever the driver saw, and may end early; valid during the call. Called before any datagram that came
  // in reply to it.
  virtual void on_transmitted(const uint8_t* packet, uint32_t len, int64_t tx_wall_ns) = 0;
};

// A socket registered with the reactor. Destroying it cancels everything; no sink call afterwards.
class DatagramSocket {
 public:
  virtual ~DatagramSocket() = default;
  virtual bool send(
      const DatagramOut& out) = 0;  // queues; false when the queue is full (flush by a turn, try again)
  virtual int fd() const = 0;
  // Asks the kernel how many it dropped, now; on_drops before it returns if there are more. Otherwise drops
  // are known only with the next datagram, and after a burst there may be none. One system call.
  virtual void check_drops() = 0;
};
// Which datagrams the kernel stamps when they leave: SO_TIMESTAMPING, TX_SOFTWARE (Linux 3.17 for what is
// used of it). Each costs an entry of the error queue, charged to the receive buffer.
enum class TxStamps : uint8_t { none, some, all };
struct DatagramOptions {
  uint32_t max_payload = 2048;  // of received datagrams, with headers
  uint32_t send_queue = 256;    // datagrams queued per turn
  TxStamps tx_stamps = TxStamps::none;
  UniqueFd* packet =
      nullptr;  // of open_packet_socket(), taken: ICMP over IPv4 may leave as frames through it
};

// ---- streams

class StreamSink {
 public:
  virtual ~StreamSink() = default;
  virtual void on_connected(uint64_t cookie, int result) = 0;  // 0 or -errno
  virtual void on_stream_sent(uint64_t cookie, int result,
                              int64_t mono_ns) = 0;  // bytes (all of them) or -errno
  // len 0: the peer closed its side. result <0: -errno. data valid during the call. mono_ns: when the read
  // returned.
  virtual void on_stream_data(int result, const uint8_t* data, uint32_t len, int64_t mono_ns) = 0;
};
// A TCP connection. Destroying it closes the fd and cancels; no sink call afterwards, buffers of pending
// sends are free at once.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual void connect(const Address& to, uint64_t cookie) = 0;
  // Sends all of it, in order with earlier sends. data stays unchanged until on_stream_sent. Any number may
  // be queued.
  virtual void send(const uint8_t* data, uint32_t len, uint64_t cookie) = 0;
  virtual void receive() = 0;  // from now on, on_stream_data until the end
  // No further reads, for somebody else is going to. What was read by now is still told: in this turn, or in
  // the next one if none is under way. receive() may follow after that.
  virtual void stop_receiving() = 0;
  virtual void shutdown_write() = 0;  // after queued sends
  virtual int fd() const = 0;
};
struct StreamOptions {
  uint32_t receive_chunk = 16384;  // largest piece handed to on_stream_data, rounded up to a power of two
};

class AcceptSink {
 public:
  virtual ~AcceptSink() = default;
  virtual void on_accepted(UniqueFd fd, const Address& peer) = 0;
};
class Acceptor {
 public:
  virtual ~Acceptor() = default;
};

// ---- descriptors that their owner reads and writes by himself

class ReadinessSink {
 public:
  virtual ~ReadinessSink() = default;
  virtual void on_ready() = 0;  // or there is an error to fetch
};
enum class ReadyFor : uint8_t { reading, writing };
// Destroying it cancels; no sink call afterwards. To be destroyed before its descriptor is closed.
class Readiness {
 public:
  virtual ~Readiness() = default;
  virtual void await() = 0;  // one on_ready follows, now if it is so already
};

// ---- reactor

class Reactor {
 public:
  virtual ~Reactor() = default;
  virtual const char* name() const = 0;        // "uring", "event"
  virtual const std::string& why() const = 0;  // one line: features used, or why the richer back end is not
  // Runs one turn; returns when something completed or was posted, or at deadline (monotonic; INT64_MAX =
  // none). Queued sends leave in any case; deadline in the past = do not wait. True: something completed or
  // was posted, and there may be more.
  virtual bool turn(int64_t deadline_mono_ns) = 0;
  virtual void post(std::function<void()> task) = 0;  // [any-thread] runs in a turn

  // fds are non-blocking, configured by the caller (see sockets.h); the socket objects take ownership.
  virtual std::unique_ptr<DatagramSocket> add_datagram(UniqueFd fd, DatagramSink& sink,
                                                       DatagramOptions options) = 0;
  virtual std::unique_ptr<Stream> add_stream(UniqueFd fd, StreamSink& sink, StreamOptions options) = 0;
  virtual std::unique_ptr<Acceptor> add_acceptor(UniqueFd listening, AcceptSink& sink) = 0;
  // Of a descriptor that stays the caller's.
  virtual std::unique_ptr<Readiness> add_readiness(int fd, ReadyFor what, ReadinessSink& sink) = 0;
  virtual uint64_t syscalls() const = 0;  // made by turn() so far, for benches and tests
};

enum class Backend { automatic, uring, event };
inline constexpr uint32_t kAnyLinux = UINT32_MAX;
struct EngineChoice {
  Backend backend = Backend::automatic;
  // Of io_uring nothing is used that is newer than this release of Linux, whatever the kernel has: 601 is
  // 6.1. So what an older kernel gets can be had, and tested, on a newer one.
  uint32_t newest = kAnyLinux;

  bool operator==(const EngineChoice&) const = default;
};
// automatic: uring when the kernel has what it needs, else event. A forced back end that cannot run is an
// error (Errc::unsupported) that says which feature is missing and what to do. Call on the lane's thread.
Result<std::unique_ptr<Reactor>> make_reactor(const EngineChoice& wanted);
// "auto" | "uring" | "event", the first two with ":6.1" or another release behind them. Errc::invalid.
Result<EngineChoice> parse_engine(const std::string& text);
std::string engine_text(const EngineChoice& choice);  // what parse_engine reads
inline constexpr char kEngineHelp[] = "auto, uring or event; uring:6.1 uses of io_uring what Linux 6.1 has";

}  // namespace todd::io
