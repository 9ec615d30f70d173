#include "engine/io/sockets.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace todd::io {
namespace {

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t len = sizeof value;
  getsockopt(fd, level, name, &value, &len);
  return value;
}

Address address(const std::string& text, uint16_t port = 0) {
  const auto parsed = parse_address(text, port);
  EXPECT_TRUE(parsed) << text;
  return parsed ? *parsed : Address{};
}

TEST(Addresses, ParseAndFormatAgree) {
  for (const char* text : {"192.0.2.1", "255.255.255.255", "::", "::1", "2001:db8::1", "fe80::1%lo"}) {
    const auto parsed = parse_address(text, 7500);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(format_address(*parsed), text);
    EXPECT_EQ(port_of(*parsed), 7500);
  }
  EXPECT_EQ(format_endpoint(address("192.0.2.1", 80)), "192.0.2.1:80");
  EXPECT_EQ(format_endpoint(address("fe80::1%lo", 80)), "[fe80::1%lo]:80");
  EXPECT_EQ(format_address(Address{}), "unknown");
}

TEST(Addresses, ScopeIsTheInterface) {
  EXPECT_EQ(address("fe80::1%lo").v6.sin6_scope_id, if_nametoindex("lo"));
  EXPECT_EQ(address("fe80::1%1").v6.sin6_scope_id, 1u);
}

TEST(Addresses, RefusesWhatIsNone) {
  for (const char* text : {"", "localhost", "127.1", "1.2.3.4.5", "256.0.0.1", "::1::", "[::1]", "fe80::1%",
                           "fe80::1%nosuchif", "192.0.2.1%lo", "fe80::1%0", " ::1"}) {
    const auto parsed = parse_address(text, 1);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Errc::invalid);
    EXPECT_NE(parsed.error().detail.find('"' + std::string(text) + '"'), std::string::npos)
        << parsed.error().detail;
  }
}

TEST(Addresses, SameHostIgnoresThePortOnly) {
  EXPECT_TRUE(same_host(address("192.0.2.1", 1), address("192.0.2.1", 2)));
  EXPECT_FALSE(same_host(address("192.0.2.1"), address("192.0.2.2")));
  EXPECT_TRUE(same_host(address("2001:db8::1", 1), address("2001:db8::1", 2)));
  EXPECT_FALSE(same_host(address("fe80::1%1"), address("fe80::1%2")));
  EXPECT_FALSE(same_host(address("::1"), address("127.0.0.1")));
  EXPECT_FALSE(same_host(Address{}, Address{}));
  Address moved = address("::1", 1);
  set_port(moved, 65535);
  EXPECT_EQ(port_of(moved), 65535);
}

TEST(OpenSocket, UdpIsReadyForTheReactor) {
  for (const char* host : {"127.0.0.1", "::1"}) {
    const Address to = address(host);
    const auto fd = open_socket({.kind = SocketRequest::udp, .family = to.sa.sa_family, .bind_to = to});
    if (!fd && to.sa.sa_family == AF_INET6) GTEST_SKIP() << "no ::1 here: " << fd.error().detail;
    ASSERT_TRUE(fd) << fd.error().detail;
    EXPECT_TRUE(fcntl(fd->get(), F_GETFL) & O_NONBLOCK);
    EXPECT_TRUE(fcntl(fd->get(), F_GETFD) & FD_CLOEXEC);
    EXPECT_EQ(option(fd->get(), SOL_SOCKET, SO_TIMESTAMPNS), 1);
    EXPECT_EQ(option(fd->get(), SOL_SOCKET, SO_RXQ_OVFL), 1);
    const bool v6 = to.sa.sa_family == AF_INET6;
    EXPECT_EQ(option(fd->get(), v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_RECVERR : IP_RECVERR), 1);
    EXPECT_GT(granted_receive_buffer(fd->get()), 0u);
    const auto local = local_address(fd->get());
    ASSERT_TRUE(local);
    EXPECT_TRUE(same_host(*local, to));
    EXPECT_NE(port_of(*local), 0);
  }
}

TEST(OpenSocket, TcpSendsAtOnceAndListens) {
  const auto fd = open_socket(
      {.kind = SocketRequest::tcp, .family = AF_INET, .bind_to = address("127.0.0.1"), .listen = true});
  ASSERT_TRUE(fd) << fd.error().detail;
  EXPECT_EQ(option(fd->get(), IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(option(fd->get(), SOL_SOCKET, SO_ACCEPTCONN), 1);
}

TEST(OpenSocket, SaysWhichAddressCannotBeBound) {
  const auto fd =
      open_socket({.kind = SocketRequest::udp, .family = AF_INET, .bind_to = address("203.0.113.77", 9)});
  ASSERT_FALSE(fd);
  EXPECT_EQ(fd.error().sys_errno, EADDRNOTAVAIL);
  EXPECT_NE(fd.error().detail.find("203.0.113.77:9"), std::string::npos) << fd.error().detail;
}

TEST(OpenSocket, RefusedIcmpNamesBothRemedies) {
  int refused = 0;
  for (const bool raw : {false, true}) {
    const auto fd = open_socket({.kind = SocketRequest::icmp, .family = AF_INET, .raw = raw});
    if (fd) continue;
    ++refused;
    EXPECT_EQ(fd.error().code, Errc::denied);
    EXPECT_NE(fd.error().detail.find("CAP_NET_RAW"), std::string::npos) << fd.error().detail;
    EXPECT_NE(fd.error().detail.find("net.ipv4.ping_group_range=\"0 2147483647\""), std::string::npos)
        << fd.error().detail;
  }
  if (!refused) GTEST_SKIP() << "this host allows both kinds of ICMP socket";
}

TEST(OpenSocket, IcmpFallsBackToRaw) {
  const auto ping = open_socket({.kind = SocketRequest::icmp, .family = AF_INET});
  const auto raw = open_socket({.kind = SocketRequest::icmp, .family = AF_INET, .raw = true});
  const auto any = open_icmp(AF_INET);
  ASSERT_EQ(bool(any), ping || raw);
  if (any) {
    EXPECT_EQ(any->is_raw, !ping);
    EXPECT_EQ(option(any->fd.get(), SOL_SOCKET, SO_TYPE), any->is_raw ? SOCK_RAW : SOCK_DGRAM);
  }
}

// The filter sees the IP header, options and all, on IPv4 and none on IPv6.
TEST(OpenSocket, ARawSocketCanLeaveOutRepliesToOthers) {
  for (const auto& [family, host, type] :
       {std::tuple{AF_INET, "127.0.0.1", uint8_t{8}}, std::tuple{AF_INET6, "::1", uint8_t{128}}}) {
    const auto fd = open_socket({.kind = SocketRequest::icmp, .family = family, .raw = true});
    if (!fd) GTEST_SKIP() << fd.error().detail;
    constexpr uint16_t kOurs = 0x1234;
    ASSERT_TRUE(pass_only_replies_to(fd->get(), family, kOurs));
    const Address to = *parse_address(host, 0);
    for (const uint16_t ident : {uint16_t{0x4321}, kOurs}) {
      uint8_t echo[8] = {type, 0, 0, 0, static_cast<uint8_t>(ident >> 8), static_cast<uint8_t>(ident), 0, 7};
      const uint32_t sum = (type << 8) + ident + 7u;
      const auto checksum = static_cast<uint16_t>(~((sum & 0xffff) + (sum >> 16)));
      echo[2] = static_cast<uint8_t>(checksum >> 8), echo[3] = static_cast<uint8_t>(checksum);
      if (sendto(fd->get(), echo, sizeof echo, 0, &to.sa, address_len(to)) < 0) GTEST_SKIP() << "no " << host;
    }
    uint8_t got[128];
    pollfd readable{fd->get(), POLLIN, 0};
    ASSERT_EQ(poll(&readable, 1, 5000), 1) << host;
    const ssize_t n = recv(fd->get(), got, sizeof got, 0);
    ASSERT_GE(n, 8) << host;
    EXPECT_EQ(got[n - 4] << 8 | got[n - 3], kOurs) << host;
    EXPECT_LT(recv(fd->get(), got, sizeof got, MSG_DONTWAIT), 0) << host << ": loopback answers in order";
  }
}

TEST(OpenSocket, PingSocketHasAnIdentWhateverItIsBoundTo) {
  for (const Address& to : {Address{}, address("127.0.0.1")}) {
    const auto fd = open_socket({.kind = SocketRequest::icmp, .family = AF_INET, .bind_to = to});
    if (!fd && fd.error().code == Errc::denied) GTEST_SKIP() << fd.error().detail;
    ASSERT_TRUE(fd) << fd.error().detail;
    const auto local = local_address(fd->get());
    ASSERT_TRUE(local);
    EXPECT_NE(port_of(*local), 0);  // a ping socket's port is its ident
    EXPECT_EQ(same_host(*local, address("127.0.0.1")), to.sa.sa_family != 0);
  }
}

TEST(OpenSocket, APingSocketTakesTheIdentItIsGiven) {
  const auto first = open_icmp(AF_INET), second = open_icmp(AF_INET);
  if (!first || first->is_raw) GTEST_SKIP() << "no ping sockets here";
  ASSERT_TRUE(bind_ping(first->fd.get(), AF_INET, {.source = "127.0.0.1"}, 0));
  const uint16_t ident = port_of(*local_address(first->fd.get()));
  EXPECT_NE(ident, 0);
  EXPECT_TRUE(same_host(*local_address(first->fd.get()), address("127.0.0.1")));
  const Status taken = bind_ping(second->fd.get(), AF_INET, {}, ident);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Errc::exhausted);
  EXPECT_NE(taken.error().detail.find("ident " + std::to_string(ident) + " is in use"), std::string::npos);
}

TEST(OpenSocket, AClaimedIdentIsOnesOwnWhileItIsHeld) {
  auto held = claim_ident(AF_INET, 54321);
  ASSERT_TRUE(held) << held.error().detail;
  const auto taken = claim_ident(AF_INET, 54321);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Errc::exhausted);
  EXPECT_TRUE(claim_ident(AF_INET, 54322));
  EXPECT_TRUE(claim_ident(AF_INET6, 54321));
  held->reset();
  EXPECT_TRUE(claim_ident(AF_INET, 54321));
}

TEST(OpenSocket, LeavesByTheEgressAskedFor) {
  const auto fd = open_socket(
      {.kind = SocketRequest::udp, .family = AF_INET, .egress = {"127.0.0.9", "lo", DontFragment::set}});
  ASSERT_TRUE(fd) << fd.error().detail;
  EXPECT_TRUE(same_host(*local_address(fd->get()), address("127.0.0.9")));
  EXPECT_NE(option(fd->get(), SOL_SOCKET, SO_BINDTOIFINDEX), 0);
  EXPECT_EQ(option(fd->get(), SOL_IP, IP_MTU_DISCOVER), IP_PMTUDISC_PROBE);
  const auto may_be_cut =
      open_socket({.kind = SocketRequest::tcp, .family = AF_INET, .egress = {"", "", DontFragment::clear}});
  ASSERT_TRUE(may_be_cut);
  EXPECT_EQ(option(may_be_cut->get(), SOL_IP, IP_MTU_DISCOVER), IP_PMTUDISC_DONT);
}

TEST(Addresses, SomeAreNoHosts) {
  for (const char* text :
       {"0.0.0.0", "224.0.0.0", "239.255.255.255", "255.255.255.255", "::ffff:0.0.0.0", "::ffff:224.0.0.1",
        "::ffff:255.255.255.255", "::", "ff00::", "ff02::1%lo", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"})
    EXPECT_TRUE(is_no_host(address(text, 80))) << text;
  for (const char* text : {"0.0.0.1", "127.0.0.1", "223.255.255.255", "240.0.0.1", "255.255.255.254", "::1",
                           "::ffff:127.0.0.1", "fe80::1%lo", "fdff::1"})
    EXPECT_FALSE(is_no_host(address(text))) << text;
  EXPECT_FALSE(is_no_host(Address{})) << "no address at all";
}

TEST(OpenSocket, WhatItSendsCarriesTheMarkOrItIsRefused) {
  for (const auto kind : {SocketRequest::udp, SocketRequest::tcp, SocketRequest::icmp}) {
    const auto fd =
        open_socket({.kind = kind, .family = AF_INET, .raw = true, .egress = {.mark = 0xcafe0007}});
    if (fd) {
      EXPECT_EQ(static_cast<uint32_t>(option(fd->get(), SOL_SOCKET, SO_MARK)), 0xcafe0007);
    } else if (kind != SocketRequest::icmp) {  // without privilege there is no raw socket to mark
      EXPECT_EQ(fd.error().code, Errc::denied);
      EXPECT_NE(fd.error().detail.find("mark 3405643783: "), std::string::npos) << fd.error().detail;
      EXPECT_NE(fd.error().detail.find("grant"), std::string::npos) << fd.error().detail;
    }
  }
}

// A ping socket may be had, and not marked: then a raw one, which may not be had, says nothing of it.
TEST(OpenIcmp, WhatItSendsCarriesTheMarkOrThatIsWhatItLacks) {
  const auto icmp = open_icmp(AF_INET, {.mark = 0xcafe0007});
  if (icmp) {
    EXPECT_EQ(static_cast<uint32_t>(option(icmp->fd.get(), SOL_SOCKET, SO_MARK)), 0xcafe0007);
  } else if (open_socket({.kind = SocketRequest::icmp, .family = AF_INET})) {
    EXPECT_EQ(icmp.error().code, Errc::denied);
    EXPECT_EQ(icmp.error().detail.find("mark 3405643783: ping socket (IPv4): "), 0u) << icmp.error().detail;
  }
}

TEST(OpenSocket, AnEgressThisHostDoesNotHaveIsInvalid) {
  const auto refused = [](Egress egress, int family, const char* why) {
    const auto fd = open_socket({.kind = SocketRequest::udp, .family = family, .egress = egress});
    ASSERT_FALSE(fd);
    EXPECT_EQ(fd.error().code, Errc::invalid);
    EXPECT_NE(fd.error().detail.find(why), std::string::npos) << fd.error().detail;
  };
  refused({"203.0.113.77", "", {}}, AF_INET, "source 203.0.113.77: this host has no such address");
  refused({"", "nosuch0", {}}, AF_INET, "interface nosuch0: this host has no such interface");
  refused({"127.0.0.1", "", {}}, AF_INET6, "does not reach targets of the other address family");
}

TEST(PassDescriptor, ArrivesUsableAndCloseOnExec) {
  int pair[2], pipes[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  ASSERT_EQ(pipe(pipes), 0);
  const UniqueFd a(pair[0]), b(pair[1]), reader(pipes[0]);
  {
    const UniqueFd writer(pipes[1]);
    ASSERT_TRUE(send_fd(a.get(), writer.get()));
  }
  auto passed = receive_fd(b.get());
  ASSERT_TRUE(passed) << passed.error().detail;
  EXPECT_TRUE(fcntl(passed->get(), F_GETFD) & FD_CLOEXEC);
  ASSERT_EQ(write(passed->get(), "x", 1), 1);
  char byte = 0;
  ASSERT_EQ(read(reader.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 'x');
}

TEST(PassDescriptor, TellsWhatIsWrong) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  UniqueFd a(pair[0]);
  const UniqueFd b(pair[1]);
  ASSERT_EQ(write(a.get(), "x", 1), 1);
  const auto none = receive_fd(b.get());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Errc::corrupt);
  a.reset();
  const auto closed = receive_fd(b.get());
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().code, Errc::unavailable);
  EXPECT_FALSE(send_fd(b.get(), b.get()));
}

}  // namespace
}  // namespace todd::io
