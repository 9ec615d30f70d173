// Ping as a responder: an UDP echo service, or a port that connections can be made to.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "plugins/ping/probe.h"

namespace todd::ping {

namespace {
constexpr uint32_t kLargestUsual = 9000;    // a responder that is not told takes probes up to a jumbo frame
constexpr uint32_t kResponderSlots = 1024;  // replies in flight
}  // namespace

void Ping::start_responder() {
  if (mode_ == kIcmp) return;  // the system answers ICMP echoes
  if (mode_ == kTcp) {
    open_streams();
    return doors_.listen();
  }
  todd_flow flow{};
  flow.proto = TODD_UDP;
  flow.flags = TODD_FF_RECV | TODD_FF_LISTEN;
  learn_lengths();
  flow.slot_cap = std::max(*std::max_element(length_.begin(), length_.end()), kLargestUsual);
  flow.slots = kResponderSlots;
  flow_ = open(flow);
  heard_.emplace(random_number());
  clock_number_ = clock_number();
  if (keyed_) replays_.emplace();
  net().publish(&lane(), flow.local_port);
}

bool Ping::step_responder(todd_batch& b) {
  if (mode_ == kTcp)
    let_in(b);
  else if (flow_ != TODD_NONE)
    echo(b);
  const bool ending = b.state == TODD_DRAINING || b.state == TODD_CANCELLED;
  if (ending && keyed_) tell_refused();
  return ending;
}

void Ping::let_in(todd_batch& b) {
  for (uint32_t i = 0; i < b.n_done; ++i) {
    if (!doors_.take(b.done[i])) continue;
    net().publish(&lane(), b.done[i].port);
    net().ready(&lane());
  }
  doors_.flush(b, flow_);
}

// The first one is told, because the source will call it loss.
void Ping::not_echoed(const char* why) {
  if (not_echoed_++ == 0)
    log(2, std::string("udp echo: ") + why + " for a reply; the sources will see loss that is this host's");
}

void Ping::write_reply(const todd_batch& b, const todd_done& d, uint8_t* reply) {
  if (d.len != 0) std::memcpy(reply, todd_payload(&b, &d), d.len);
  if (has_block(d.len)) fill_block(b, d, reply);
  if (!keyed_) return;
  Proof proof = *read_proof({reply, d.len});
  proof.way = Way::kReply;
  prove({reply, d.len}, proof);
}

void Ping::echo(todd_batch& b) {
  for (uint32_t i = 0; i < b.n_done; ++i) {
    const todd_done& d = b.done[i];
    if (d.code == TODD_OP_SEND && d.result == -ENOBUFS) not_echoed("no room in the device's queue");
    if (d.code != TODD_OP_RECV || d.result < 0 || (d.flags & TODD_DF_TRUNCATED) != 0) continue;
    if (!can_send(b, flow_) || d.len > b.slots[flow_]->cap) {
      not_echoed("no free buffer");  // waiting would only make the replies late
      continue;
    }
    if (keyed_ && !admit({todd_payload(&b, &d), d.len})) continue;
    const uint32_t slot = take_slot(b, flow_);
    write_reply(b, d, slot_data(b, flow_, slot));
    put(b, reply_op(flow_, d.arg, slot, d.len, 0));
  }
}

}  // namespace todd::ping
