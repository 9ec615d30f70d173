#include "engine/io/interfaces.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <cstring>
#include <memory>

namespace todd::io {

std::vector<InterfaceAddress> interface_addresses() {
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> list(first, &::freeifaddrs);
  std::vector<InterfaceAddress> result;
  for (const ifaddrs* at = list.get(); at; at = at->ifa_next) {
    if (!at->ifa_addr || !(at->ifa_flags & IFF_UP)) continue;
    const int family = at->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    InterfaceAddress found{
        .interface = at->ifa_name, .v6 = family == AF_INET6, .loopback = (at->ifa_flags & IFF_LOOPBACK) != 0};
    char text[INET6_ADDRSTRLEN];
    if (found.v6) {
      sockaddr_in6 address;
      std::memcpy(&address, at->ifa_addr, sizeof address);
      found.link_local = IN6_IS_ADDR_LINKLOCAL(&address.sin6_addr);
      ::inet_ntop(AF_INET6, &address.sin6_addr, text, sizeof text);
    } else {
      sockaddr_in address;
      std::memcpy(&address, at->ifa_addr, sizeof address);
      found.link_local = (ntohl(address.sin_addr.s_addr) >> 16) == 0xa9fe;  // 169.254/16
      ::inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
    }
    found.address = text;
    if (found.v6 && found.link_local) found.address += "%" + found.interface;
    result.push_back(std::move(found));
  }
  return result;
}

}  // namespace todd::io
