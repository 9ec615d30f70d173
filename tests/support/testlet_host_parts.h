#pragma once
// What a TestletHost is made of inside; shared by its source files.

#include <optional>
#include <string>
#include <vector>

#include "engine/stats/arrivals.h"
#include "tests/support/testlet_host.h"

namespace todd::test {

struct TestletHost::Flow {
  todd_flow is{};
  uint16_t port = 0;
  uint64_t listen_user = 0;
  bool listening = false;
  std::vector<uint8_t> memory, received;
  std::vector<uint32_t> free;
  todd_slots slots{};
};

struct TestletHost::Stream {
  uint32_t flow = 0;
  TestletHost* peer = nullptr;
  uint64_t peer_stream = 0;
  Script* script = nullptr;
  uint64_t recv_user = 0, recv_pending = 0;
  bool receiving = false, shut = false, open = true;
  std::string backlog;
  uint64_t acked = 0;
  std::optional<int> end;
};

struct TestletHost::Bulk {
  Bulk(const todd_bulk_job& job, uint64_t on, bool sends, uint64_t first)
      : is(job), stream(on), sending(sends), next_sequence(first), arrivals(first) {}

  todd_bulk_job is;
  uint64_t stream;
  bool sending;
  uint64_t next_sequence;
  double due_ns = 0;
  todd_bulk_count count{};
  stats::Arrivals arrivals;
};

struct TestletHost::Pending {
  todd_op op;
  int64_t since_ns;
};

}  // namespace todd::test
