#pragma once
// The pattern of losses after RFC 3357: bursts, and how long a target did not answer. No sockets, no clock.
//
// Losses become known out of order: an ICMP error at once, a timeout late, and replies to later rounds in
// between. So they are kept until nothing earlier can come any more, and then taken in the order their probes
// left.
//
// Invariants
// - A burst is a sequence of lost rounds without any other between. A round that was not sent ends one:
// nobody knows.
// - A target that loses nothing costs nothing: its record stays on a page that was never touched.

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

namespace todd::ping {

class LossPattern {
 public:
  struct Loss {
    int64_t tx_ns;
    uint32_t target, round;
  };
  // What a loss or a reply changed for its target: 0 = not that.
  struct Change {
    bool new_burst = false;
    uint32_t longest = 0;   // rounds of the longest burst so far, if it has grown
    int64_t outage_ns = 0;  // the longest outage so far (to its latest loss if it goes on), if it has grown
  };

  // timeout_ns: after which a probe is lost at the latest. Throws std::bad_alloc.
  LossPattern(uint32_t n_target, int64_t timeout_ns);

  // A probe was lost. In any order; nothing is recorded yet.
  void lost(const Loss& loss);
  // The next loss in order, of those that no earlier one can precede any more; all are due at the end.
  std::optional<Loss> due(int64_t now_ns, bool end);
  // Records a loss that due() gave.
  Change take(const Loss& loss);
  // A reply came, and from first_missing up to its round none has yet.
  Change gap(uint32_t target, uint32_t first_missing, uint32_t round, int64_t tx_ns);
  // A reply came after one to a later round.
  Change overtaken(uint32_t target, uint32_t round, int64_t tx_ns);

 private:
  // The latest burst of a target, and the probe that may end it.
  struct Record {
    int64_t first_tx_ns, next_tx_ns, outage_ns;  // outage: the longest
    uint32_t first, last, longest;
    uint32_t missing, next;  // next: an answered round, none was from `missing` to it. 0 = no such gap
    bool open;               // the burst may go on, and its end was not seen
  };
  struct Free {
    void operator()(Record* records) const { std::free(records); }
  };

  static_assert(sizeof(Record) == 48);

  static Change close(Record& r, int64_t tx_ns);
  static int64_t note_outage(Record& r, int64_t tx_ns);

  int64_t timeout_ns_;
  std::unique_ptr<Record[], Free> records_;
  std::vector<Loss> waiting_;  // a heap, the earliest first
};

}  // namespace todd::ping
