#pragma once
// Networks, and which addresses are in one: what an agent's owner says that it must not test.

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/io/reactor.h"

namespace todd::io {

// Value type. IPv4 is kept as the addresses of IPv6 that map it (::ffff:0:0/96), so that both compare alike.
class Network {
 public:
  // "10.0.0.0/8", "2001:db8::/32", or an address, which is a network of one. Errors: invalid, for anything
  // else and for a network with bits behind its prefix.
  static Result<Network> parse(const std::string& text);

  // Whether any address from first to last, both included and of one family, is in it. An IPv4 address that
  // IPv6 carries (mapped, NAT64 64:ff9b::/96, 6to4 2002::/16) is one of IPv4 too. A
  // range that begins or ends amid such addresses is told to meet.
  bool meets(const Address& first, const Address& last) const;
  bool contains(const Address& address) const { return meets(address, address); }
  const std::string& text() const { return text_; }  // as it was written

 private:
  using Bytes = std::array<uint8_t, 16>;

  bool v4_ = false;
  Bytes first_{}, last_{};
  std::string text_;
};

// The first of them that an address is in, or nullptr.
const Network* find_network(const std::vector<Network>& networks, const Address& address);

}  // namespace todd::io
