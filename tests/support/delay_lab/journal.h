#pragma once
// The lab's log: one line of CSV for each thing done to a request, with the kernel's stamps. A test reads the
// truth from it.

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "tests/support/delay_lab/behaviour.h"
#include "tests/support/delay_lab/packet.h"

namespace todd::delay_lab {

struct Entry {
  uint64_t request = 0;  // counted from 1 as they came
  Event event = Event::reply;
  Protocol protocol = Protocol::icmp;
  Address from, to;  // the prober, and whom it asked; of a relay as the packet has them
  uint16_t ident = 0, sequence = 0;
  size_t payload = 0;  // bytes of the request's payload
  int64_t rx_ns = 0, due_ns = 0,
          tx_ns = 0;  // wall clock: arrival, programmed departure, departure (0: none, or unknown)
};

// Written through a buffer; flush() when there is time.
class Journal {
 public:
  static Result<Journal> create(const std::string& path);

  void write(const Entry& entry);
  void flush() { std::fflush(file_.get()); }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  using File = std::unique_ptr<std::FILE, Close>;
  explicit Journal(File file) : file_(std::move(file)) {}

  File file_;
};

}  // namespace todd::delay_lab
