#include "plugins/ping/doors.h"

#include <cstring>
#include <string>

namespace todd::ping {

bool Doors::take(const todd_done& d) {
  if (d.code == TODD_OP_LISTEN) {
    if (d.result < 0) throw error(d.result, std::string("cannot listen: ") + std::strerror(-d.result));
    return true;
  }
  // Nobody has anything to say, and who closes first keeps the port for a minute (TIME-WAIT, RFC 9293):
  // better this side.
  if (d.code == TODD_OP_ACCEPT) close(d.arg);
  return false;
}

void Doors::flush(todd_batch& b, uint32_t flow) {
  if (to_listen_ && put(b, make_op(TODD_OP_LISTEN, flow, 0))) to_listen_ = false;
  while (!closing_.empty() && put(b, stream_op(TODD_OP_CLOSE, flow, closing_.back(), 0))) closing_.pop_back();
}

}  // namespace todd::ping
