#include "tests/support/delay_lab/packet.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include <algorithm>

namespace todd::delay_lab {

namespace {

constexpr uint8_t kTtl = 64, kNeighbourHops = 255;  // RFC 4861 section 7.1
constexpr size_t kQuoteV4 = 576 - sizeof(iphdr) - sizeof(icmphdr);
constexpr size_t kQuoteV6 = 1280 - sizeof(ip6_hdr) - sizeof(icmp6_hdr);
constexpr uint16_t kFragment = 0x3fff;  // more fragments, or an offset

// The header at this place, by value: frames are not aligned.
template <class T>
std::optional<T> read(std::span<const uint8_t> bytes, size_t at) {
  if (at > bytes.size() || bytes.size() - at < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

template <class T>
void append(Bytes& bytes, const T& value) {
  const auto* begin = reinterpret_cast<const uint8_t*>(&value);
  bytes.insert(bytes.end(), begin, begin + sizeof value);
}

Mac mac_of(const uint8_t* bytes) {
  Mac mac;
  std::copy_n(bytes, mac.size(), mac.begin());
  return mac;
}

// Fills in addresses, protocol and packet; gives where the message begins, and its protocol.
std::optional<std::pair<size_t, uint8_t>> parse_ip(std::span<const uint8_t> bytes, uint16_t ether_type,
                                                   Request& request) {
  if (ether_type == ETH_P_IP) {
    const auto ip = read<iphdr>(bytes, 0);
    if (!ip || ip->version != 4 || ip->ihl < 5 || (ntohs(ip->frag_off) & kFragment) != 0) return std::nullopt;
    const size_t header = ip->ihl * 4u, total = ntohs(ip->tot_len);
    if (total < header || total > bytes.size()) return std::nullopt;
    request.from = Address::v4(&ip->saddr);
    request.to = Address::v4(&ip->daddr);
    request.packet.assign(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(total));
    return std::pair{header, ip->protocol};
  }
  const auto ip = read<ip6_hdr>(bytes, 0);
  if (ether_type != ETH_P_IPV6 || !ip || bytes[0] >> 4 != 6) return std::nullopt;
  const size_t total = sizeof(ip6_hdr) + ntohs(ip->ip6_plen);
  if (total > bytes.size()) return std::nullopt;
  request.from = Address::v6(&ip->ip6_src);
  request.to = Address::v6(&ip->ip6_dst);
  request.packet.assign(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(total));
  return std::pair{sizeof(ip6_hdr), ip->ip6_nxt};
}

Bytes ethernet(const Mac& to, const Mac& from, uint16_t ether_type) {
  ethhdr header{};
  std::copy(to.begin(), to.end(), header.h_dest);
  std::copy(from.begin(), from.end(), header.h_source);
  header.h_proto = htons(ether_type);
  Bytes frame;
  append(frame, header);
  return frame;
}

// The frame around a message whose checksum is right already.
Bytes wrap(const Mac& to_mac, const Mac& mac, const Address& from, const Address& to, uint8_t protocol,
           std::span<const uint8_t> message, uint8_t hops = kTtl) {
  Bytes frame = ethernet(to_mac, mac, from.is_v4() ? ETH_P_IP : ETH_P_IPV6);
  if (from.is_v4()) {
    iphdr ip{};
    ip.version = 4;
    ip.ihl = 5;
    ip.tot_len = htons(static_cast<uint16_t>(sizeof ip + message.size()));
    ip.ttl = hops;
    ip.protocol = protocol;
    std::memcpy(&ip.saddr, from.v4_bytes(), 4);
    std::memcpy(&ip.daddr, to.v4_bytes(), 4);
    ip.check = checksum({reinterpret_cast<const uint8_t*>(&ip), sizeof ip});
    append(frame, ip);
  } else {
    ip6_hdr ip{};
    ip.ip6_flow = htonl(6u << 28);
    ip.ip6_plen = htons(static_cast<uint16_t>(message.size()));
    ip.ip6_nxt = protocol;
    ip.ip6_hlim = hops;
    ip.ip6_src = from.bytes;
    ip.ip6_dst = to.bytes;
    append(frame, ip);
  }
  frame.insert(frame.end(), message.begin(), message.end());
  return frame;
}

void put_checksum(Bytes& message, size_t at, uint16_t sum) {
  std::memcpy(message.data() + at, &sum, sizeof sum);
}

// Requires: the checksum field, 2 bytes into the message, is 0.
void checksum_icmp(Bytes& message, const Address& from, const Address& to) {
  put_checksum(message, 2,
               from.is_v4() ? checksum(message) : checksum_between(from, to, IPPROTO_ICMPV6, message));
}

uint8_t icmp_protocol(const Address& address) {
  return static_cast<uint8_t>(address.is_v4() ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6});
}

}  // namespace

uint16_t checksum(std::span<const uint8_t> bytes, uint32_t sum) {
  // Of words as they lie in memory: the sum is the same in either byte order, and so is stored as it is.
  for (size_t i = 0; i < bytes.size(); i += 2) {
    uint16_t word = 0;
    std::memcpy(&word, bytes.data() + i, std::min<size_t>(2, bytes.size() - i));
    sum += word;
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

uint16_t checksum_between(const Address& from, const Address& to, uint8_t protocol,
                          std::span<const uint8_t> message) {
  Bytes pseudo;
  for (const auto* address : {&from, &to}) {
    if (address->is_v4())
      pseudo.insert(pseudo.end(), address->v4_bytes(), address->v4_bytes() + 4);
    else
      append(pseudo, address->bytes);
  }
  append(pseudo, htonl(static_cast<uint32_t>(message.size())));
  append(pseudo, htonl(protocol));
  return checksum(message, static_cast<uint16_t>(~checksum(pseudo)));
}

std::optional<Request> parse_request(std::span<const uint8_t> frame) {
  const auto ethernet_header = read<ethhdr>(frame, 0);
  if (!ethernet_header) return std::nullopt;
  Request request;
  request.from_mac = mac_of(ethernet_header->h_source);
  const auto ip = parse_ip(frame.subspan(sizeof(ethhdr)), ntohs(ethernet_header->h_proto), request);
  if (!ip) return std::nullopt;
  const auto [at, protocol] = *ip;
  if (protocol == icmp_protocol(request.to)) {
    const auto icmp = read<icmphdr>(request.packet, at);
    if (!icmp || icmp->type != (request.to.is_v4() ? ICMP_ECHO : ICMP6_ECHO_REQUEST)) return std::nullopt;
    request.ident = ntohs(icmp->un.echo.id);
    request.sequence = ntohs(icmp->un.echo.sequence);
    request.payload = at + sizeof *icmp;
    return request;
  }
  const auto udp = read<udphdr>(request.packet, at);
  if (protocol != IPPROTO_UDP || !udp || ntohs(udp->len) != request.packet.size() - at) return std::nullopt;
  request.protocol = Protocol::udp;
  request.ident = ntohs(udp->source);
  request.sequence = ntohs(udp->dest);
  request.payload = at + sizeof *udp;
  return request;
}

std::optional<Passing> parse_passing(std::span<const uint8_t> frame) {
  const auto ethernet_header = read<ethhdr>(frame, 0);
  if (!ethernet_header) return std::nullopt;
  Request packet;
  const auto ip = parse_ip(frame.subspan(sizeof(ethhdr)), ntohs(ethernet_header->h_proto), packet);
  if (!ip) return std::nullopt;
  const auto [at, protocol] = *ip;
  Passing passing{.from = packet.from, .to = packet.to, .payload = packet.packet.size() - at};
  if (protocol == icmp_protocol(packet.to)) passing.protocol = Protocol::icmp;
  if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) return passing;
  passing.protocol = protocol == IPPROTO_TCP ? Protocol::tcp : Protocol::udp;
  const auto ports = read<std::array<uint16_t, 2>>(packet.packet, at);
  const auto tcp = read<tcphdr>(packet.packet, at);
  const size_t header = protocol == IPPROTO_UDP ? sizeof(udphdr) : tcp ? tcp->doff * 4u : SIZE_MAX;
  if (!ports || header > passing.payload) return std::nullopt;
  passing.from_port = ntohs((*ports)[0]);
  passing.to_port = ntohs((*ports)[1]);
  passing.payload -= header;
  return passing;
}

Bytes build_reply(const Request& request, const Mac& mac, const Reply& reply) {
  Bytes payload(request.packet.begin() + static_cast<ptrdiff_t>(request.payload), request.packet.end());
  if (reply.keep && *reply.keep < payload.size()) payload.resize(*reply.keep);
  if (reply.corrupt && !payload.empty()) {
    auto& byte = payload[std::min(*reply.corrupt, payload.size() - 1)];
    byte = static_cast<uint8_t>(~byte);
  }
  Bytes message;
  if (request.protocol == Protocol::udp) {
    udphdr udp{};
    udp.source = htons(request.sequence);
    udp.dest = htons(request.ident);
    udp.len = htons(static_cast<uint16_t>(sizeof udp + payload.size()));
    append(message, udp);
    message.insert(message.end(), payload.begin(), payload.end());
    const auto sum = checksum_between(reply.from, request.from, IPPROTO_UDP, message);
    put_checksum(message, offsetof(udphdr, check),
                 sum == 0 ? 0xffff : sum);  // 0 would say that there is none
    return wrap(request.from_mac, mac, reply.from, request.from, IPPROTO_UDP, message);
  }
  icmphdr icmp{};
  icmp.type = request.to.is_v4() ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY;
  icmp.un.echo.id = htons(request.ident);
  icmp.un.echo.sequence = htons(request.sequence);
  append(message, icmp);
  message.insert(message.end(), payload.begin(), payload.end());
  checksum_icmp(message, reply.from, request.from);
  return wrap(request.from_mac, mac, reply.from, request.from, icmp_protocol(reply.from), message);
}

Bytes build_icmp_error(const Request& request, const Mac& mac, const IcmpComplaint& complaint) {
  const bool v4 = complaint.from.is_v4();
  icmphdr icmp{};
  icmp.type = complaint.type;
  icmp.code = complaint.code;
  // RFC 1191 puts the MTU in the lower half of the second word, RFC 4443 in all of it: the same while it
  // fits.
  const uint32_t second = htonl(complaint.mtu);
  std::memcpy(&icmp.un, &second, sizeof second);
  Bytes message;
  append(message, icmp);
  const auto quoted = std::min(request.packet.size(), v4 ? kQuoteV4 : kQuoteV6);
  message.insert(message.end(), request.packet.begin(),
                 request.packet.begin() + static_cast<ptrdiff_t>(quoted));
  checksum_icmp(message, complaint.from, request.from);
  return wrap(request.from_mac, mac, complaint.from, request.from, icmp_protocol(complaint.from), message);
}

std::optional<WhoHas> parse_who_has(std::span<const uint8_t> frame) {
  const auto ethernet_header = read<ethhdr>(frame, 0);
  if (!ethernet_header) return std::nullopt;
  WhoHas asked;
  asked.from_mac = mac_of(ethernet_header->h_source);
  if (ntohs(ethernet_header->h_proto) == ETH_P_ARP) {
    const auto arp = read<ether_arp>(frame, sizeof(ethhdr));
    if (!arp || ntohs(arp->ea_hdr.ar_op) != ARPOP_REQUEST || ntohs(arp->ea_hdr.ar_pro) != ETH_P_IP)
      return std::nullopt;
    asked.from = Address::v4(arp->arp_spa);
    asked.target = Address::v4(arp->arp_tpa);
    return asked.from == *parse_address("0.0.0.0") ? std::nullopt : std::optional(asked);
  }
  const auto ip = read<ip6_hdr>(frame, sizeof(ethhdr));
  const auto solicit = read<nd_neighbor_solicit>(frame, sizeof(ethhdr) + sizeof(ip6_hdr));
  if (ntohs(ethernet_header->h_proto) != ETH_P_IPV6 || !solicit || ip->ip6_nxt != IPPROTO_ICMPV6 ||
      solicit->nd_ns_type != ND_NEIGHBOR_SOLICIT)
    return std::nullopt;
  asked.from = Address::v6(&ip->ip6_src);
  asked.target = Address::v6(&solicit->nd_ns_target);
  return asked.from == Address{} ? std::nullopt : std::optional(asked);
}

Bytes build_is_at(const WhoHas& asked, const Mac& mac) {
  if (asked.target.is_v4()) {
    ether_arp arp{};
    arp.ea_hdr = {htons(ARPHRD_ETHER), htons(ETH_P_IP), ETH_ALEN, 4, htons(ARPOP_REPLY)};
    std::copy(mac.begin(), mac.end(), arp.arp_sha);
    std::copy_n(asked.target.v4_bytes(), 4, arp.arp_spa);
    std::copy(asked.from_mac.begin(), asked.from_mac.end(), arp.arp_tha);
    std::copy_n(asked.from.v4_bytes(), 4, arp.arp_tpa);
    Bytes frame = ethernet(asked.from_mac, mac, ETH_P_ARP);
    append(frame, arp);
    return frame;
  }
  nd_neighbor_advert advert{};
  advert.nd_na_type = ND_NEIGHBOR_ADVERT;
  advert.nd_na_flags_reserved = ND_NA_FLAG_SOLICITED | ND_NA_FLAG_OVERRIDE;
  advert.nd_na_target = asked.target.bytes;
  const nd_opt_hdr option{ND_OPT_TARGET_LINKADDR, 1};
  Bytes message;
  append(message, advert);
  append(message, option);
  append(message, mac);
  checksum_icmp(message, asked.target, asked.from);
  return wrap(asked.from_mac, mac, asked.target, asked.from, IPPROTO_ICMPV6, message, kNeighbourHops);
}

}  // namespace todd::delay_lab
