#pragma once
#include <string>
#include <vector>

namespace todd::io {

struct InterfaceAddress {
  std::string interface;
  std::string address;  // link-local ones with their zone, "fe80::1%eth0"
  bool v6 = false;
  bool loopback = false;
  bool link_local = false;
};

// Addresses of the interfaces that are up, in the kernel's order; none if it does not say.
std::vector<InterfaceAddress> interface_addresses();

// Whether the interface that has this connected socket's own address sends pages from where they lie
// (scatter-gather): without, TCP copies also what it was lent by sendfile. False where the system does not
// say.
bool takes_pages(int fd);

}  // namespace todd::io
