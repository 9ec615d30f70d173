#include "engine/io/interfaces.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "engine/io/sockets.h"

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

bool takes_pages(int fd) {
  const auto local = local_address(fd);
  if (!local) return false;
  const std::string address = format_address(*local);
  const auto all = interface_addresses();
  const auto found = std::ranges::find(all, address, &InterfaceAddress::address);
  if (found == all.end()) return address.starts_with("127.");  // all of them are the loopback interface's
  ethtool_value asked{.cmd = ETHTOOL_GSG, .data = 0};
  ifreq request{};
  found->interface.copy(request.ifr_name, sizeof request.ifr_name - 1);
  request.ifr_data = reinterpret_cast<char*>(&asked);
  return ioctl(fd, SIOCETHTOOL, &request) == 0 && asked.data != 0;
}

}  // namespace todd::io
