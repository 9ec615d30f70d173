#include "engine/io/next_hops.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <tuple>

#include "engine/base/fd.h"

namespace todd::io {
namespace {

constexpr size_t kReadBytes = 32768;
// Of one dump. A host with more routes, links or neighbours is a router: reading them all would hold up the
// lane.
constexpr size_t kMostMessages = 4096;
constexpr uint16_t kSureNeighbour = NUD_REACHABLE | NUD_PERMANENT;
constexpr uint16_t kUsableNeighbour = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT;

// What stands behind a message's header, without the casts of the kernel's macros.
const char* body_of(const nlmsghdr& message) {
  return reinterpret_cast<const char*>(&message) + NLMSG_HDRLEN;
}

// The attributes of one message, by type; later ones win.
template <class Header>
class Attributes {
 public:
  explicit Attributes(const nlmsghdr& message) {
    auto* at = reinterpret_cast<const rtattr*>(body_of(message) + NLMSG_ALIGN(sizeof(Header)));
    auto left = static_cast<int>(message.nlmsg_len) - static_cast<int>(NLMSG_LENGTH(sizeof(Header)));
    for (; RTA_OK(at, left); at = next(at, left)) found_[at->rta_type & NLA_TYPE_MASK] = at;
  }
  static const rtattr* next(const rtattr* at, int& left) {
    const auto length = static_cast<int>(RTA_ALIGN(at->rta_len));
    left -= length;
    return reinterpret_cast<const rtattr*>(reinterpret_cast<const char*>(at) + length);
  }
  bool has(uint16_t type) const { return found_.contains(type); }
  template <class T>
  std::optional<T> get(uint16_t type) const {
    const auto it = found_.find(type);
    if (it == found_.end() || RTA_PAYLOAD(it->second) < sizeof(T)) return std::nullopt;
    T value;
    memcpy(&value, RTA_DATA(it->second), sizeof value);
    return value;
  }

 private:
  std::map<uint16_t, const rtattr*> found_;
};

template <class Header>
const Header& header_of(const nlmsghdr& message) {
  return *reinterpret_cast<const Header*>(body_of(message));
}

class Netlink {
 public:
  static Result<Netlink> open(uint64_t& syscalls) {
    Netlink made;
    made.syscalls_ = &syscalls;
    syscalls += 2;  // with the close
    made.fd_ = UniqueFd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    if (!made.fd_) return fail_errno(errno, "netlink socket for the routes");
    return made;
  }
  // Sends a request and calls each for every message of the answer.
  template <class Header>
  Status ask(uint16_t type, uint16_t flags, const Header& header, std::optional<in_addr> to,
             const std::function<void(const nlmsghdr&)>& each) {
    struct {
      nlmsghdr head;
      Header body;
      alignas(4) char room[16];
    } request{};
    request.head = {.nlmsg_len = NLMSG_LENGTH(sizeof(Header)),
                    .nlmsg_type = type,
                    .nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags),
                    .nlmsg_seq = ++sequence_,
                    .nlmsg_pid = 0};
    request.body = header;
    if (to) {
      auto* attribute = reinterpret_cast<rtattr*>(reinterpret_cast<char*>(&request) + request.head.nlmsg_len);
      attribute->rta_type = RTA_DST;
      attribute->rta_len = RTA_LENGTH(sizeof(in_addr));
      memcpy(RTA_DATA(attribute), &*to, sizeof(in_addr));
      request.head.nlmsg_len += attribute->rta_len;
    }
    ++*syscalls_;
    if (send(fd_.get(), &request, request.head.nlmsg_len, 0) < 0)
      return fail_errno(errno, "asking for routes");
    return receive((flags & NLM_F_DUMP) != 0, each);
  }

 private:
  static const nlmsghdr* next(const nlmsghdr* at, size_t& left) {
    const size_t length = NLMSG_ALIGN(at->nlmsg_len);
    left -= std::min(left, length);
    return reinterpret_cast<const nlmsghdr*>(reinterpret_cast<const char*>(at) + length);
  }
  Status receive(bool dump, const std::function<void(const nlmsghdr&)>& each) {
    std::vector<char> bytes(kReadBytes);
    size_t messages = 0;
    for (;;) {
      ++*syscalls_;
      const ssize_t got = recv(fd_.get(), bytes.data(), bytes.size(), 0);
      if (got < 0) return fail_errno(errno, "reading routes");
      auto left = static_cast<size_t>(got);
      for (auto* m = reinterpret_cast<const nlmsghdr*>(bytes.data()); NLMSG_OK(m, left); m = next(m, left)) {
        if (m->nlmsg_seq != sequence_) continue;
        if (m->nlmsg_type == NLMSG_DONE) return {};
        if (m->nlmsg_type == NLMSG_ERROR) return fail_errno(-header_of<nlmsgerr>(*m).error, "routes");
        if ((m->nlmsg_flags & NLM_F_DUMP_INTR) != 0)
          return fail_errno(EAGAIN, "the routes changed meanwhile");
        each(*m);
        if (!dump) return {};
        if (++messages > kMostMessages)
          return fail(Errc::unsupported, "this host has very many routes: packets are left to the kernel");
      }
    }
  }
  UniqueFd fd_;
  uint32_t sequence_ = 0;
  uint64_t* syscalls_ = nullptr;
};

}  // namespace

// Puts a NextHops together from the kernel's dumps.
class RouteReader {
 public:
  Result<NextHops> read(uint64_t& syscalls) {
    auto opened = Netlink::open(syscalls);
    if (!opened) return tl::unexpected(opened.error());
    netlink_ = std::move(*opened);
    for (const auto step : {&RouteReader::read_rules, &RouteReader::read_links, &RouteReader::read_neighbours,
                            &RouteReader::read_routes})
      if (auto done = (this->*step)(); !done) return tl::unexpected(done.error());
    std::stable_sort(routes_.begin(), routes_.end(),
                     [](const Entry& a, const Entry& b) { return a.order() < b.order(); });
    NextHops out;
    for (const Entry& entry : routes_) {
      out.routes_.push_back({.prefix = entry.prefix, .mask = mask_of(entry.length), .hop = -1});
      const auto hop = entry.gateway ? hop_of(entry) : std::nullopt;
      out.unresolved_ |= entry.gateway && !hop;
      if (!hop) continue;
      out.routes_.back().hop = static_cast<int>(out.hops_.size());
      out.hops_.push_back(*hop);
    }
    return out;
  }

 private:
  struct Entry {
    uint32_t prefix = 0;
    uint8_t length = 0, table = 0;
    uint32_t priority = 0;
    std::optional<in_addr> gateway;  // none: the kernel's
    // The rules ask the local table first, then main, then default: numbered 255, 254, 253.
    std::tuple<int, int, uint32_t> order() const { return std::tuple(255 - table, 32 - length, priority); }
  };
  struct Link {
    MacAddress address{};
    bool ethernet = false;
  };

  struct Neighbour {
    MacAddress address{};
    bool doubtful = false;
  };

  static uint32_t mask_of(uint8_t length) { return length == 0 ? 0 : ~uint32_t{0} << (32 - length); }
  static Status unsupported(const char* what) {
    return fail(Errc::unsupported, fmt::format("{}: packets are left to the kernel", what));
  }

  Status read_rules() {
    bool plain = true;
    auto asked = netlink_.ask(
        RTM_GETRULE, NLM_F_DUMP, fib_rule_hdr{.family = AF_INET}, {}, [&](const nlmsghdr& message) {
          const auto& rule = header_of<fib_rule_hdr>(message);
          const Attributes<fib_rule_hdr> attributes(message);
          plain = plain && rule.action == FR_ACT_TO_TBL && rule.table >= RT_TABLE_DEFAULT &&
                  rule.src_len == 0 && rule.dst_len == 0 && rule.tos == 0 && !attributes.has(FRA_FWMARK) &&
                  !attributes.has(FRA_IIFNAME) && !attributes.has(FRA_OIFNAME);
        });
    if (!asked) return asked;
    return plain ? Status() : unsupported("this host has rules of its own for routes");
  }

  Status read_links() {
    return netlink_.ask(
        RTM_GETLINK, NLM_F_DUMP, ifinfomsg{.ifi_family = AF_UNSPEC}, {}, [&](const nlmsghdr& message) {
          const auto& link = header_of<ifinfomsg>(message);
          const Attributes<ifinfomsg> attributes(message);
          const auto address = attributes.get<MacAddress>(IFLA_ADDRESS);
          links_[static_cast<uint32_t>(link.ifi_index)] = {
              .address = address.value_or(MacAddress{}),
              .ethernet = address && link.ifi_type == ARPHRD_ETHER && (link.ifi_flags & IFF_RUNNING) != 0 &&
                          (link.ifi_flags & IFF_NOARP) == 0};
        });
  }

  Status read_neighbours() {
    return netlink_.ask(RTM_GETNEIGH, NLM_F_DUMP, ndmsg{.ndm_family = AF_INET}, {},
                        [&](const nlmsghdr& message) {
                          const auto& neighbour = header_of<ndmsg>(message);
                          const Attributes<ndmsg> attributes(message);
                          const auto host = attributes.get<uint32_t>(NDA_DST);
                          const auto address = attributes.get<MacAddress>(NDA_LLADDR);
                          if (host && address && (neighbour.ndm_state & kUsableNeighbour) != 0)
                            neighbours_[{static_cast<uint32_t>(neighbour.ndm_ifindex), *host}] = {
                                *address, (neighbour.ndm_state & kSureNeighbour) == 0};
                        });
  }

  Status read_routes() {
    auto asked = netlink_.ask(RTM_GETROUTE, NLM_F_DUMP, rtmsg{.rtm_family = AF_INET}, {},
                              [&](const nlmsghdr& message) { add_route(message); });
    if (!asked) return asked;
    return routes_.size() <= NextHops::kMostRoutes ? Status() : unsupported("this host has very many routes");
  }

  void add_route(const nlmsghdr& message) {
    const auto& route = header_of<rtmsg>(message);
    if (route.rtm_table < RT_TABLE_DEFAULT || (route.rtm_flags & RTM_F_CLONED) != 0) return;
    const Attributes<rtmsg> attributes(message);
    Entry entry{.prefix = ntohl(attributes.get<uint32_t>(RTA_DST).value_or(0)),
                .length = route.rtm_dst_len,
                .table = route.rtm_table,
                .priority = attributes.get<uint32_t>(RTA_PRIORITY).value_or(0),
                .gateway = {}};
    const bool plain = route.rtm_type == RTN_UNICAST && route.rtm_tos == 0 &&
                       !attributes.has(RTA_MULTIPATH) && !attributes.has(RTA_ENCAP) &&
                       !attributes.has(RTA_METRICS) && !attributes.has(RTA_NH_ID);
    if (plain) entry.gateway = attributes.get<in_addr>(RTA_GATEWAY);
    routes_.push_back(entry);
  }

  // What the kernel itself says of an address behind the route: with it comes the source it would choose.
  std::optional<NextHop> hop_of(const Entry& entry) {
    std::optional<NextHop> out;
    const in_addr inside{htonl(entry.prefix | (entry.length < 31 ? 1u : 0u))};
    (void)netlink_.ask(RTM_GETROUTE, 0, rtmsg{.rtm_family = AF_INET, .rtm_dst_len = 32}, inside,
                       [&](const nlmsghdr& message) {
                         const Attributes<rtmsg> attributes(message);
                         const auto interface = attributes.get<uint32_t>(RTA_OIF);
                         const auto source = attributes.get<in_addr>(RTA_PREFSRC);
                         const auto gateway = attributes.get<in_addr>(RTA_GATEWAY);
                         if (!interface || !source || !gateway || gateway->s_addr != entry.gateway->s_addr)
                           return;
                         const auto link = links_.find(*interface);
                         const auto peer = neighbours_.find({*interface, gateway->s_addr});
                         if (link == links_.end() || !link->second.ethernet || peer == neighbours_.end())
                           return;
                         out = NextHop{.interface = *interface,
                                       .source = *source,
                                       .own = link->second.address,
                                       .peer = peer->second.address,
                                       .doubtful = peer->second.doubtful};
                       });
    return out;
  }

  Netlink netlink_;
  std::map<uint32_t, Link> links_;
  std::map<std::pair<uint32_t, uint32_t>, Neighbour> neighbours_;  // by interface and address
  std::vector<Entry> routes_;
};

Result<NextHops> NextHops::read(uint64_t& syscalls) { return RouteReader().read(syscalls); }

const NextHop* NextHops::find(in_addr to) const {
  const uint32_t address = ntohl(to.s_addr);
  for (const Route& route : routes_)
    if ((address & route.mask) == route.prefix)
      return route.hop < 0 ? nullptr : &hops_[static_cast<size_t>(route.hop)];
  return nullptr;
}

}  // namespace todd::io
