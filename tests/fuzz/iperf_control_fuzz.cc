// Any bytes to either end of iperf3's control protocol, cut anywhere: no crash, what is kept stays within its
// limits, and what is accepted is written as it was read. The first byte says which end, and how it is cut.

#include <algorithm>

#include "engine/base/check.h"
#include "plugins/iperf/control.h"

namespace {

using namespace todd::iperf;

template <class Machine, class Act>
void feed(Machine& machine, std::string_view bytes, size_t piece, Act act) {
  int64_t now = 0;
  while (!bytes.empty() && !machine.over()) {
    const size_t n = std::min(piece, bytes.size());
    machine.received(bytes.substr(0, n), ++now);
    bytes.remove_prefix(n);
    while (const auto what = machine.next()) act(*what, now);
  }
  machine.expire(now);
  machine.closed(0);
  TODD_CHECK(machine.over());
  TODD_CHECK(!machine.failed() || (*machine.reason() != '\0' && !machine.text().empty()));
  TODD_CHECK(machine.peer().streams.size() <= 2 * kMaxStreams);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t piece = 1 + (data[0] >> 1);
  Results own;
  own.streams.resize(1);
  if ((data[0] & 1) == 0) {
    ServerControl server(1000, 0);
    feed(server, bytes, piece, [&](Do what, int64_t now) {
      if (what == Do::kAdmit) {
        const Params& p = server.params();
        TODD_CHECK(p.streams >= 1 && p.streams <= kMaxStreams && p.length >= 1 && p.length <= 1024 * 1024);
        const auto again = read_params(write(p));
        TODD_CHECK(again.value && write(*again.value) == write(p));
        server.admit(now);
      }
      if (what == Do::kOpenStreams) server.streams_ready(now);
      if (what == Do::kCollect) server.results(own, now);
    });
  } else {
    ClientControl client(make_cookie(data[0], size), "{}", 1000);
    client.connected(0);
    feed(client, bytes, piece, [&](Do what, int64_t now) {
      if (what == Do::kOpenStreams) client.streams_ready(now);
      if (what == Do::kStart) client.end(now);
      if (what == Do::kCollect) client.results(own, now);
    });
    if (client.over() && !client.failed()) {
      const auto again = read_results(write(client.peer()));
      TODD_CHECK(again.value && write(*again.value) == write(client.peer()));
    }
  }
  is_cookie(bytes);
  is_udp_hello(bytes);
  is_udp_answer(bytes);
  return 0;
}
