#include "engine/lane/peers.h"

#include "engine/io/sockets.h"
#include "engine/lane/errors.h"

namespace todd::lane {

size_t Peers::Hash::operator()(const Peer& peer) const {
  uint64_t hash = io::port_of(peer.address);
  uint8_t host[16] = {};
  for (const io::Address* address : {&peer.address, &peer.local}) {
    copy_host(*address, host);
    for (const uint8_t byte : host) hash = (hash ^ byte) * 1099511628211u;  // FNV-1a
  }
  return hash;
}

bool Peers::Same::operator()(const Peer& a, const Peer& b) const {
  const bool local_unknown = a.local.sa.sa_family == 0 && b.local.sa.sa_family == 0;
  return io::port_of(a.address) == io::port_of(b.address) && io::same_host(a.address, b.address) &&
         (local_unknown || io::same_host(a.local, b.local));
}

uint64_t Peers::token_of(const io::Address& from, const io::Address& local) {
  const Peer key{from, local, 0};
  if (const auto known = by_sender_.find(key); known != by_sender_.end()) {
    recent_.splice(recent_.begin(), recent_, known->second);
    return known->second->token;
  }
  if (recent_.size() == kMost) {
    by_sender_.erase(recent_.back());
    by_token_.erase(recent_.back().token);
    recent_.pop_back();
  }
  recent_.push_front({from, local, ++next_token_});
  by_sender_.emplace(key, recent_.begin());
  by_token_.emplace(next_token_, recent_.begin());
  return next_token_;
}

const Peers::Peer* Peers::find(uint64_t token) const {
  const auto known = by_token_.find(token);
  return known == by_token_.end() ? nullptr : &*known->second;
}

}  // namespace todd::lane
