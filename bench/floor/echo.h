#pragma once

#include <string>
#include <vector>

#include "bench/floor/path.h"

namespace todd::floor {

struct EchoOptions {
  std::string sender = "raw";  // raw, ping, uring, packet, ring
  std::string receiver;        // raw, ring; empty: the sender's own kind (of packet and ring: ring)
  Route route;
  uint32_t targets = 131072;  // of all shards together
  unsigned batch = 64, window = 4096, threads = 1, rounds = 5;
  int core = 0;  // of the first thread; the others follow. -1: unpinned
  bool tx_stamps = false, filter = false;
};

// One sweep over all targets.
struct Round {
  double seconds = 0;      // first departure to last arrival
  double process_cpu = 0;  // seconds of this program, user and system
  double machine_cpu = 0;  // seconds that all cores were busy, interrupts included
  uint32_t answers = 0, duplicates = 0, unstamped = 0, tx_stamps = 0;
  uint64_t looked_at = 0;  // packets that receivers read: more than answers where they see each other's
  int64_t rtt_p50 = 0;     // ns, from the clock before the batch to the kernel's stamp
};

// Sweeps `rounds` times after one that warms up. Ends the program when the kernel refuses something.
std::vector<Round> echo(const EchoOptions& options);

// Fills a Route from the interface's addresses and the neighbour table; next_hop must have answered before.
Route find_route(const std::string& interface, const std::string& next_hop, const std::string& first_target);

}  // namespace todd::floor
