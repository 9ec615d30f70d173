#pragma once
// Who has sent to a flow lately, behind the reply tokens that a testlet gets with each datagram.
//
// Invariant: a token stays valid until kMost other senders have been heard since its own was last.

#include <cstdint>
#include <list>
#include <unordered_map>

#include "engine/io/reactor.h"

namespace todd::lane {

class Peers {
 public:
  static constexpr size_t kMost = 1024;
  struct Peer {
    io::Address address{}, local{};  // local: where it sent to; family 0 if unknown
    uint64_t token = 0;
  };

  // The same sender to the same local address keeps its token while that is remembered.
  uint64_t token_of(const io::Address& from, const io::Address& local);
  const Peer* find(uint64_t token) const;  // nullptr: never given out, or forgotten

 private:
  struct Hash {
    size_t operator()(const Peer& peer) const;
  };
  struct Same {
    bool operator()(const Peer& a, const Peer& b) const;
  };
  std::list<Peer> recent_;  // the last heard first
  std::unordered_map<Peer, std::list<Peer>::iterator, Hash, Same> by_sender_;
  std::unordered_map<uint64_t, std::list<Peer>::iterator> by_token_;
  uint64_t next_token_ = 0;
};

}  // namespace todd::lane
