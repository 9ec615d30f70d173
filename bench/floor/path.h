#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <memory>
#include <string>

#include "bench/floor/message.h"

namespace todd::floor {

// Where a sweep goes. Same for all shards but for ident and batch buffers.
struct Route {
  std::string interface;
  in_addr source{}, next_hop{}, first_target{};
  int ifindex = 0;
  uint8_t source_mac[6] = {}, next_hop_mac[6] = {};
};

struct PathOptions {
  Route route;
  uint16_t ident = 0;  // network order
  unsigned batch = 64;
  bool tx_stamps = false;  // a kernel stamp of each departure, read from the error queue
  bool filter = false;     // BPF by ident on what receives
};

// Sends echo requests to targets by index (first_target + index). One thread.
class Sender {
 public:
  virtual ~Sender() = default;
  // Hands over at most batch() requests to [first, first + count). Returns how many the kernel took; 0 =
  // full, try again after receiving. Aborts the program on an error that will not go away.
  virtual unsigned send(uint32_t first, unsigned count) = 0;
  // Departures stamped by the kernel that were read since the last call.
  virtual unsigned read_stamps() { return 0; }
};

// Receives their replies, with the kernel's stamp of each arrival. One thread.
class Receiver {
 public:
  virtual ~Receiver() = default;
  // Enters into the ledger what has come; does not wait. Returns how many packets it looked at.
  virtual unsigned receive(Ledger& ledger) = 0;
  // Becomes readable when something comes.
  virtual int fd() const = 0;
};

// A way of talking to the kernel. sender and receiver may be one object: io_uring does both in one call.
struct Path {
  std::shared_ptr<Sender> sender;
  std::shared_ptr<Receiver> receiver;
};

// raw, ping, uring, packet, ring: how requests leave. raw, ping, uring, ring: how replies come. See
// bench/README.md.
std::shared_ptr<Sender> make_socket_sender(const PathOptions&, int fd);
std::shared_ptr<Receiver> make_socket_receiver(const PathOptions&, int fd, bool ping);
Path make_uring_path(const PathOptions&, int fd);
std::shared_ptr<Sender> make_packet_sender(const PathOptions&);
std::shared_ptr<Sender> make_ring_sender(const PathOptions&);
std::shared_ptr<Receiver> make_ring_receiver(const PathOptions&);

// An ICMP socket with large buffers and stamps of arrival; raw, or the kernel's ping socket.
int open_icmp(const PathOptions&, bool ping);
// Only echo replies of this ident pass. `icmp_at` is where the ICMP header begins in what the filter sees:
// behind an IP header of 20 bytes for raw sockets, and behind the Ethernet header as well for packet sockets.
void filter_ident(int fd, uint16_t ident, unsigned icmp_at);

// Departure stamps of a socket from its error queue, up to 64 a call. Returns how many.
unsigned read_error_queue(int fd);
void ask_for_tx_stamps(int fd);

// Binds the calling thread to a core; -1 leaves it free.
void pin_to(int core);

// Ends the program with the name of what failed and errno if !ok.
void must(bool ok, const char* what);
void set_option(int fd, int level, int name, int value, const char* what);

}  // namespace todd::floor
