#pragma once
// The lab's loop: takes frames in, holds what is to leave until it is due, and writes the journal.

#include <signal.h>

#include <csignal>
#include <cstdint>
#include <queue>
#include <vector>

#include "tests/support/delay_lab/behaviour.h"
#include "tests/support/delay_lab/journal.h"
#include "tests/support/delay_lab/packet.h"
#include "tests/support/delay_lab/wire.h"

namespace todd::delay_lab {

// On one wire it answers for the addresses of the rules. Between two it is a relay: what comes on one leaves
// on the other, unchanged, as late and as badly as the rule says of the address it goes to, or else comes
// from; ARP and what has no rule pass at once.
class Lab {
 public:
  // Requires: one wire, or two that relay. behaviour outlives the lab.
  Lab(std::vector<Wire> wires, Behaviour& behaviour, Journal journal)
      : wires_(std::move(wires)), behaviour_(behaviour), journal_(std::move(journal)) {}

  // Until `ended` is set, by a signal that only `while_waiting` lets in. What is held then is not sent.
  void run(const volatile std::sig_atomic_t& ended, const sigset_t& while_waiting);

 private:
  // What is to leave at `due_ns` of the monotonic clock, which no step of the wall clock moves.
  struct Held {
    int64_t due_ns = 0;
    uint64_t order = 0;  // ties leave as they came
    Wire* out = nullptr;
    Bytes frame;
    Entry entry;
  };
  struct Later {
    bool operator()(const Held& a, const Held& b) const {
      return a.due_ns != b.due_ns ? a.due_ns > b.due_ns : a.order > b.order;
    }
  };

  void take(const Wire::Arrived& arrived, Wire& wire);
  void relay(const Wire::Arrived& arrived, Wire& out);
  void log_or_hold(const Action& action, Entry entry, int64_t to_monotonic, Wire& out, Bytes frame);
  int64_t send(Wire& out, std::span<const uint8_t> frame);
  void send_due();
  void wait(const sigset_t& while_waiting);

  std::vector<Wire> wires_;
  Behaviour& behaviour_;
  Journal journal_;
  std::priority_queue<Held, std::vector<Held>, Later> held_;
  uint64_t requests_ = 0, order_ = 0, unsent_ = 0;
};

}  // namespace todd::delay_lab
