#pragma once
// What the parts of the testlet ask of its instance: to record, and to move bytes.

#include <cstdint>
#include <string_view>

#include "plugins/iperf/metrics.h"
#include "todd/testlet.h"

namespace todd::iperf {

// `edge`: index of the target or peer; TODD_NONE = nobody to record for, then nothing is. `back`: of the way
// back in a test of both directions (Side).
class Services {
 public:
  virtual void add(bool back, Count what, uint32_t edge, uint64_t n) = 0;
  virtual void set(bool back, Gauge what, uint32_t edge, double value) = 0;
  virtual void limited(bool back, uint32_t edge, const char* by, uint64_t us) = 0;
  // By which congestion control.
  virtual void controlled(bool back, uint32_t edge, std::string_view name) = 0;
  // CPUs, of this end and of the peer.
  virtual void used(uint32_t edge, double own, double peer) = 0;
  virtual void failure(uint32_t edge, const char* reason, std::string_view text) = 0;
  // Responder: the edge of a token, TODD_NONE if unknown; false if that stranger is not to be served.
  virtual bool admit(uint64_t token, uint32_t& edge) = 0;

  virtual todd_status begin(uint32_t flow, uint64_t stream, const todd_bulk_job& job, uint64_t& number) = 0;
  virtual todd_bulk_count counted(uint64_t job) = 0;
  virtual void stop(uint64_t job) = 0;
  // TCP_INFO of a stream; false if there is none.
  virtual bool stream_info(uint64_t stream, todd_stream_info& out) = 0;

 protected:
  ~Services() = default;
};

}  // namespace todd::iperf
