// Datagrams, deadlines and tasks, on both back ends. Streams are in reactor_stream_test.cc.
#include "engine/io/reactor.h"

#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <set>
#include <thread>

#include "tests/unit/engine/io/reactor_fixture.h"

namespace todd::io {
namespace {

class ReactorDatagramTest : public ReactorTest {};
TODD_ALL_ENGINES(ReactorDatagramTest);

TEST_P(ReactorDatagramTest, EchoesAThousandDatagrams) {
  constexpr size_t kCount = 1000;
  RecordingSink here, there;
  auto source = reactor_->add_datagram(udp_socket(), here, {.send_queue = 64});
  auto echo = reactor_->add_datagram(udp_socket(), there, {.send_queue = 1024});
  const Address to = *local_address(echo->fd());
  std::vector<std::string> replies(kCount);
  size_t replied = 0;
  there.then = [&](const DatagramIn& in) {
    replies[replied].assign(reinterpret_cast<const char*>(in.data), in.len);
    EXPECT_TRUE(echo->send(datagram(replies[replied], in.from, replied)));
    ++replied;
  };
  std::vector<std::string> payloads;
  for (size_t i = 0; i < kCount; ++i) payloads.push_back("probe " + std::to_string(i));
  const int64_t wall_before = wall_ns(), before = monotonic_ns();
  for (size_t i = 0; i < kCount;) {
    if (source->send(datagram(payloads[i], to, i))) {
      ++i;
    } else {
      reactor_->turn(0);
    }
  }
  ASSERT_TRUE(until([&] { return here.received.size() == kCount; })) << here.received.size();
  ASSERT_EQ(here.sent.size(), kCount);
  std::set<std::string> seen;
  for (size_t i = 0; i < kCount; ++i) {
    EXPECT_EQ(here.sent[i].cookie, i);
    EXPECT_EQ(here.sent[i].result, 0);
    EXPECT_GE(here.sent[i].tx_mono_ns, i ? here.sent[i - 1].tx_mono_ns : before);
    seen.insert(here.received[i].data);
    const DatagramIn& in = here.received[i].in;
    EXPECT_TRUE(same_host(in.from, to));
    EXPECT_EQ(port_of(in.from), port_of(to));
    EXPECT_FALSE(in.truncated);
    if (i < 10) continue;  // the first may come before the kernel stamps
    EXPECT_EQ(in.rx_source, Stamp::kernel);
    EXPECT_GE(in.rx_wall_ns, wall_before);
    EXPECT_LE(in.rx_wall_ns, wall_ns());
  }
  EXPECT_EQ(seen.size(), kCount);
  EXPECT_EQ(here.drops, 0u);
}

// Each departure is stamped by the kernel, and told before what came in reply to it.
TEST_P(ReactorDatagramTest, TransmitStampsComeBeforeReplies) {
  RecordingSink here, there;
  auto source = reactor_->add_datagram(udp_socket(), here, {.send_queue = 64, .tx_stamps = TxStamps::all});
  auto echo = reactor_->add_datagram(udp_socket(), there, {.send_queue = 64});
  const Address to = *local_address(echo->fd());
  const std::string reply = "reply";
  there.then = [&](const DatagramIn& in) { EXPECT_TRUE(echo->send(datagram(reply, in.from, 0))); };
  const int64_t before = wall_ns();
  for (size_t round = 0; round < 10; ++round) {
    std::vector<std::string> texts;
    for (size_t i = 0; i < 20; ++i) texts.push_back("probe " + std::to_string(round * 20 + i));
    for (size_t i = 0; i < 20; ++i) ASSERT_TRUE(source->send(datagram(texts[i], to, i)));
    ASSERT_TRUE(until([&] { return here.received.size() == (round + 1) * 20; }));
  }
  ASSERT_EQ(here.transmitted.size(), 200u);
  for (size_t i = 0; i < 200; ++i) {
    const auto& one = here.transmitted[i];
    EXPECT_NE(one.packet.find("probe " + std::to_string(i)), std::string::npos) << i;
    EXPECT_LE(one.received_before, i) << "the stamp of probe " << i << " after its reply";
    EXPECT_GE(one.tx_wall_ns, before);
    EXPECT_LE(one.tx_wall_ns, here.received[i].in.rx_wall_ns);
    EXPECT_EQ(here.received[i].in.rx_source, Stamp::kernel);
  }
  EXPECT_TRUE(here.errors.empty());
}

TEST_P(ReactorDatagramTest, SomeTransmitStampsAreOfThoseAskedFor) {
  RecordingSink here, there;
  auto source = reactor_->add_datagram(udp_socket(), here, {.send_queue = 64, .tx_stamps = TxStamps::some});
  auto target = reactor_->add_datagram(udp_socket(), there, {.send_queue = 64});
  const Address to = *local_address(target->fd());
  std::vector<std::string> texts;
  for (size_t i = 0; i < 30; ++i) texts.push_back("probe " + std::to_string(i) + ".");
  for (size_t i = 0; i < 30; ++i) {
    auto out = datagram(texts[i], to, i);
    out.stamp = i % 10 == 3;
    ASSERT_TRUE(source->send(out));
  }
  ASSERT_TRUE(until([&] { return here.transmitted.size() == 3; }));
  for (size_t i = 0; i < 3; ++i)
    EXPECT_NE(here.transmitted[i].packet.find("probe " + std::to_string(i * 10 + 3) + "."),
              std::string::npos);
}

// What nobody answers leaves stamps that nobody fetches; they must not eat up the receive buffer.
TEST_P(ReactorDatagramTest, UnansweredStampsAreFetchedToo) {
  RecordingSink here;
  auto source = reactor_->add_datagram(udp_socket(AF_INET, 65536), here,
                                       {.send_queue = 64, .tx_stamps = TxStamps::all});
  RecordingSink silent;
  auto sink = reactor_->add_datagram(udp_socket(), silent, {});
  const Address to = *local_address(sink->fd());
  const std::string text = "x";
  for (size_t n = 0; n < 2000;) {
    if (source->send(datagram(text, to, n)))
      ++n;
    else
      reactor_->turn(0);
  }
  ASSERT_TRUE(until([&] { return here.sent.size() == 2000 && here.transmitted.size() > 1500; }))
      << here.transmitted.size();
}

TEST_P(ReactorDatagramTest, ShowsTtlTosAndDestination) {
  for (const int family : {AF_INET, AF_INET6}) {
    if (family == AF_INET6 && !has_ipv6()) GTEST_SKIP() << "no ::1 here";
    RecordingSink here, there;
    auto source = reactor_->add_datagram(udp_socket(family), here, {});
    auto target = reactor_->add_datagram(udp_socket(family), there, {});
    const Address to = *local_address(target->fd());
    const std::string text = "x";
    DatagramOut out = datagram(text, to, 1);
    out.ttl = 17;
    out.tos = 0xb8;
    ASSERT_TRUE(source->send(out));
    ASSERT_TRUE(until([&] { return there.received.size() == 1; }));
    EXPECT_EQ(there.received[0].in.ttl, 17);
    EXPECT_EQ(there.received[0].in.tos, 0xb8);
    EXPECT_TRUE(same_host(there.received[0].in.local, to));
    EXPECT_EQ(port_of(there.received[0].in.local), port_of(to));
  }
}

TEST_P(ReactorDatagramTest, AnswersFromTheAddressThatWasAsked) {
  RecordingSink here, there;
  auto source = reactor_->add_datagram(udp_socket(), here, {});
  auto wildcard =
      open_socket({.kind = SocketRequest::udp, .family = AF_INET, .bind_to = *parse_address("0.0.0.0", 0)});
  ASSERT_TRUE(wildcard);
  auto echo = reactor_->add_datagram(std::move(*wildcard), there, {});
  const std::string text = "x";
  there.then = [&](const DatagramIn& in) {
    DatagramOut out = datagram(text, in.from, 2);
    out.from = &in.local;
    EXPECT_TRUE(echo->send(out));
  };
  const Address to = *parse_address("127.0.0.9", port_of(*local_address(echo->fd())));
  ASSERT_TRUE(source->send(datagram(text, to, 1)));
  ASSERT_TRUE(until([&] { return here.received.size() == 1; }));
  EXPECT_EQ(format_address(here.received[0].in.from), "127.0.0.9");
}

// The pending error of a datagram to a closed port must neither fail nor end anything else on the socket.
TEST_P(ReactorDatagramTest, ClosedPortDisturbsNobody) {
  for (const int family : {AF_INET, AF_INET6}) {
    if (family == AF_INET6 && !has_ipv6()) GTEST_SKIP() << "no ::1 here";
    RecordingSink here, there;
    auto source = reactor_->add_datagram(udp_socket(family), here, {.send_queue = 512});
    auto live = reactor_->add_datagram(udp_socket(family), there, {});
    const Address to_live = *local_address(live->fd());
    const Address to_closed = *local_address(udp_socket(family).get());
    const std::string alive = "alive", dead = "dead";
    constexpr uint64_t kPairs = 200;
    for (uint64_t i = 0; i < kPairs; ++i) {
      ASSERT_TRUE(source->send(datagram(dead, to_closed, 2 * i)));
      ASSERT_TRUE(source->send(datagram(alive, to_live, 2 * i + 1)));
    }
    ASSERT_TRUE(source->send(
        datagram(dead, to_closed, 2 * kPairs)));  // its error is pending when the first send is repeated
    ASSERT_TRUE(until([&] {
      return here.sent.size() == 2 * kPairs + 1 && there.received.size() == kPairs && !here.errors.empty();
    }));
    for (const Sent& sent : here.sent) EXPECT_EQ(sent.result, 0) << sent.cookie;
    for (const Failed& failed : here.errors) {
      EXPECT_EQ(failed.error.sys_errno, ECONNREFUSED);
      EXPECT_EQ(failed.error.origin, family == AF_INET ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6);
      EXPECT_EQ(format_endpoint(failed.error.to), format_endpoint(to_closed));
      EXPECT_TRUE(same_host(failed.error.offender, loopback(family)));
      EXPECT_EQ(failed.quoted, dead);
    }
    // Still receiving, and quiet once drained.
    ASSERT_TRUE(live->send(datagram(alive, *local_address(source->fd()), 0)));
    ASSERT_TRUE(until([&] { return here.received.size() == 1; }));
    const size_t errors = here.errors.size();
    const uint64_t calls = reactor_->syscalls();
    reactor_->turn(monotonic_ns() + 20'000'000);
    reactor_->turn(monotonic_ns() + 20'000'000);
    EXPECT_LE(reactor_->syscalls() - calls, 10u);
    EXPECT_EQ(here.errors.size(), errors);
  }
}

TEST_P(ReactorDatagramTest, RefusalOfOneProbeArrivesAlone) {
  RecordingSink here;
  auto source = reactor_->add_datagram(udp_socket(), here, {});
  const Address to_closed = *local_address(udp_socket().get());
  const std::string text = "anybody?";
  for (uint64_t i = 0; i < 3;
       ++i) {  // one after the other: the second also needs the receive and the poll armed again
    ASSERT_TRUE(source->send(datagram(text, to_closed, i)));
    ASSERT_TRUE(until([&] { return here.errors.size() == i + 1; }));
    EXPECT_EQ(here.sent.back().result, 0);
  }
  RecordingSink there;
  auto peer = reactor_->add_datagram(udp_socket(), there, {});
  ASSERT_TRUE(peer->send(datagram(text, *local_address(source->fd()), 0)));
  EXPECT_TRUE(until([&] { return here.received.size() == 1; }));
  EXPECT_GT(here.errors[0].error.rx_wall_ns, 0);
  EXPECT_LE(here.errors[0].error.rx_wall_ns, wall_ns());
}

TEST_P(ReactorDatagramTest, OversizeDatagramIsItsOwnError) {
  RecordingSink here, there;
  auto source = reactor_->add_datagram(udp_socket(), here, {});
  auto target = reactor_->add_datagram(udp_socket(), there, {});
  const Address to = *local_address(target->fd());
  const std::string huge(65536, 'h'), small = "s";
  ASSERT_TRUE(source->send(datagram(huge, to, 1)));
  ASSERT_TRUE(source->send(datagram(small, to, 2)));
  ASSERT_TRUE(until([&] { return there.received.size() == 1; }));
  ASSERT_EQ(here.sent.size(), 2u);
  for (const Sent& sent : here.sent) EXPECT_EQ(sent.result, sent.cookie == 1 ? -EMSGSIZE : 0);
  EXPECT_EQ(there.received[0].data, small);
}

// A local error stands in the error queue but is not pending on the socket: only draining it ends the
// wake-ups.
TEST_P(ReactorDatagramTest, LocalErrorsDoNotStayInTheQueue) {
  if (!has_ipv6()) GTEST_SKIP() << "no ::1 here";
  RecordingSink here;
  UniqueFd fd = udp_socket(AF_INET6);
  const int on = 1;
  ASSERT_EQ(setsockopt(fd.get(), SOL_IPV6, IPV6_DONTFRAG, &on, sizeof on), 0);
  auto source = reactor_->add_datagram(std::move(fd), here, {});
  const std::string huge(65520, 'h');  // with headers more than the 65,536 of the loopback interface
  ASSERT_TRUE(source->send(datagram(huge, loopback(AF_INET6, 9), 1)));
  ASSERT_TRUE(until([&] { return here.sent.size() == 1; }));
  EXPECT_EQ(here.sent[0].result, -EMSGSIZE);
  ASSERT_TRUE(until([&] { return !here.errors.empty(); }));
  EXPECT_EQ(here.errors[0].error.sys_errno, EMSGSIZE);
  EXPECT_EQ(here.errors[0].error.info, 65536u);
  reactor_->turn(monotonic_ns() + 5'000'000);
  char byte;
  EXPECT_EQ(recv(source->fd(), &byte, 1, MSG_ERRQUEUE | MSG_DONTWAIT), -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST_P(ReactorDatagramTest, ReceivesMoreThanItsBuffersAtOnce) {
  constexpr uint64_t kCount = 1500;
  RecordingSink here, there;
  auto source = reactor_->add_datagram(udp_socket(), here, {.send_queue = kCount});
  auto target = reactor_->add_datagram(udp_socket(AF_INET, 16u << 20), there, {.max_payload = 65000});
  if (granted_receive_buffer(target->fd()) < (8u << 20))
    GTEST_SKIP() << "needs CAP_NET_ADMIN for a large receive buffer";
  const Address to = *local_address(target->fd());
  const std::string text = "x";
  for (uint64_t i = 0; i < kCount; ++i) ASSERT_TRUE(source->send(datagram(text, to, i)));
  EXPECT_TRUE(until([&] { return there.received.size() == kCount; })) << there.received.size();
  EXPECT_EQ(there.drops, 0u);
}

TEST_P(ReactorDatagramTest, SaysWhenADatagramWasCut) {
  RecordingSink here, there;
  auto source = reactor_->add_datagram(udp_socket(), here, {});
  auto target = reactor_->add_datagram(udp_socket(), there, {.max_payload = 100});
  const Address to = *local_address(target->fd());
  const std::string fits(100, 'a'), cut(101, 'b');
  ASSERT_TRUE(source->send(datagram(fits, to, 1)));
  ASSERT_TRUE(source->send(datagram(cut, to, 2)));
  ASSERT_TRUE(until([&] { return there.received.size() == 2; }));
  EXPECT_EQ(there.received[0].data, fits);
  EXPECT_FALSE(there.received[0].in.truncated);
  EXPECT_EQ(there.received[1].data, cut.substr(0, 100));
  EXPECT_TRUE(there.received[1].in.truncated);
}

TEST_P(ReactorDatagramTest, CountsWhatTheKernelDropped) {
  constexpr uint64_t kCount = 200;
  RecordingSink here, there;
  auto source = reactor_->add_datagram(udp_socket(), here, {});
  UniqueFd tiny = udp_socket(AF_INET, 2048);
  const Address to = *local_address(tiny.get());
  const std::string payload(500, 'p');
  // The flood meets a socket nobody reads yet, some of it before and some after the reactor takes it over.
  const Address* const address = &to;
  UniqueFd flood = udp_socket();
  for (uint64_t i = 0; i < kCount; ++i) {
    ASSERT_EQ(sendto(flood.get(), payload.data(), payload.size(), 0, &address->sa, address_len(to)), 500);
  }
  auto target = reactor_->add_datagram(std::move(tiny), there, {});
  for (uint64_t i = 0; i < kCount; ++i) {
    ASSERT_EQ(sendto(flood.get(), payload.data(), payload.size(), 0, &address->sa, address_len(to)), 500);
  }
  ASSERT_TRUE(until([&] { return !there.received.empty(); }));
  reactor_->turn(monotonic_ns() + 10'000'000);
  const size_t kept = there.received.size();
  ASSERT_LT(kept, kCount);
  // The count travels with the next datagram that finds room.
  ASSERT_TRUE(source->send(datagram(payload, to, 1)));
  ASSERT_TRUE(until([&] { return there.received.size() == kept + 1; }));
  EXPECT_EQ(there.drops,
            kCount);  // the queue was full when the reactor came: all of the second flood, none of the first
}

TEST_P(ReactorDatagramTest, FullQueueRefusesAndRecovers) {
  RecordingSink here, there;
  auto source = reactor_->add_datagram(udp_socket(), here, {.send_queue = 2});
  auto target = reactor_->add_datagram(udp_socket(), there, {});
  const Address to = *local_address(target->fd());
  const std::string text = "x";
  EXPECT_TRUE(source->send(datagram(text, to, 1)));
  EXPECT_TRUE(source->send(datagram(text, to, 2)));
  EXPECT_FALSE(source->send(datagram(text, to, 3)));
  EXPECT_TRUE(here.sent.empty());  // never from within a queueing call
  reactor_->turn(0);
  EXPECT_EQ(here.sent.size(), 2u);
  EXPECT_TRUE(source->send(datagram(text, to, 3)));
  ASSERT_TRUE(until([&] { return there.received.size() == 3; }));
}

TEST_P(ReactorDatagramTest, SinkMayDestroyItsSocket) {
  RecordingSink here, there;
  auto source = reactor_->add_datagram(udp_socket(), here, {});
  auto target = reactor_->add_datagram(udp_socket(), there, {});
  const Address to = *local_address(target->fd());
  const std::string text = "x";
  there.then = [&](const DatagramIn&) { target.reset(); };
  for (uint64_t i = 0; i < 50; ++i) ASSERT_TRUE(source->send(datagram(text, to, i)));
  ASSERT_TRUE(until([&] { return !target; }));
  reactor_->turn(monotonic_ns() + 5'000'000);
  EXPECT_EQ(there.received.size(), 1u);
  ASSERT_TRUE(source->send(datagram(text, to, 50)));
  source.reset();  // with a datagram still queued
  reactor_->turn(0);
}

TEST_P(ReactorDatagramTest, SocketsComeAndGo) {
  RecordingSink here, there;
  const std::string text = "x";
  for (size_t i = 1; i <= 100; ++i) {
    auto source = reactor_->add_datagram(udp_socket(), here, {});
    auto target = reactor_->add_datagram(udp_socket(), there, {});
    const Address to = *local_address(target->fd());
    ASSERT_TRUE(source->send(datagram(text, to, i)));
    ASSERT_TRUE(until([&] { return there.received.size() == i; }));
  }
  EXPECT_EQ(here.sent.size(), 100u);
}

uint16_t checksum(const std::string& bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
    uint16_t word;
    std::memcpy(&word, bytes.data() + i, 2);
    sum += word;
  }
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

TEST_P(ReactorDatagramTest, RawIcmpShowsTheMessageFromItsTypeByte) {
  for (const int family : {AF_INET, AF_INET6}) {
    if (family == AF_INET6 && !has_ipv6()) GTEST_SKIP() << "no ::1 here";
    auto fd = open_socket({.kind = SocketRequest::icmp, .family = family, .raw = true});
    if (!fd) GTEST_SKIP() << fd.error().detail;
    RecordingSink here;
    auto socket = reactor_->add_datagram(std::move(*fd), here, {});
    std::string echo(64, 'e');
    echo.replace(0, 8, std::string("\x08\0\0\0\x5a\xa5\0\x01", 8));
    if (family == AF_INET6) echo[0] = static_cast<char>(ICMP6_ECHO_REQUEST);
    const uint16_t sum = checksum(echo);
    if (family == AF_INET) std::memcpy(echo.data() + 2, &sum, 2);  // the kernel does it for ICMPv6
    const Address to = loopback(family, 7);                        // a port must not matter
    ASSERT_TRUE(socket->send(datagram(echo, to, 1)));
    const auto ours = [&](const Received& r) {
      return r.data.size() == 64 && r.data.substr(4) == echo.substr(4);
    };
    ASSERT_TRUE(until([&] { return std::any_of(here.received.begin(), here.received.end(), ours); }));
    EXPECT_EQ(here.sent.at(0).result, 0);
    for (const Received& r : here.received) {
      if (!ours(r)) continue;
      EXPECT_EQ(static_cast<uint8_t>(r.data[0]), family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY);
      EXPECT_TRUE(same_host(r.in.from, to));
      EXPECT_EQ(r.in.ttl, 64);
    }
  }
}

TEST_P(ReactorDatagramTest, PingSocketAnswers) {
  auto fd = open_socket({.kind = SocketRequest::icmp, .family = AF_INET});
  if (!fd) GTEST_SKIP() << fd.error().detail;
  RecordingSink here;
  auto socket = reactor_->add_datagram(std::move(*fd), here, {});
  std::string echo(64, 'e');
  echo.replace(0, 8, std::string("\x08\0\0\0\0\0\0\x01", 8));
  ASSERT_TRUE(socket->send(datagram(echo, loopback(AF_INET), 1)));
  ASSERT_TRUE(until([&] { return here.received.size() == 1; }));
  EXPECT_EQ(here.received[0].data[0], ICMP_ECHOREPLY);
  EXPECT_EQ(here.received[0].data.substr(8), echo.substr(8));
  EXPECT_EQ(here.received[0].in.ttl, 64);
}

class ReactorTurnTest : public ReactorTest {};
TODD_ALL_ENGINES(ReactorTurnTest);

TEST_P(ReactorTurnTest, NeverReturnsBeforeTheDeadlineWhenIdle) {
  RecordingSink sink;
  auto socket = reactor_->add_datagram(udp_socket(), sink, {});
  reactor_->turn(0);
  for (const int64_t wait : {1'000, 100'000, 1'500'000, 20'000'000}) {
    const int64_t deadline = monotonic_ns() + wait;
    const uint64_t calls = reactor_->syscalls();
    reactor_->turn(deadline);
    EXPECT_GE(monotonic_ns(), deadline);
    EXPECT_LE(reactor_->syscalls() - calls, 3u);
  }
  const uint64_t calls = reactor_->syscalls();
  reactor_->turn(0);
  reactor_->turn(-1);
  EXPECT_LE(reactor_->syscalls() - calls, 4u);
}

TEST_P(ReactorTurnTest, PostWakesFromAnotherThread) {
  std::vector<int> ran;
  for (int round = 0; round < 20; ++round) {
    std::thread other([&, round] {
      reactor_->post([&ran, round] { ran.push_back(2 * round); });
      reactor_->post([&ran, round] { ran.push_back(2 * round + 1); });
    });
    while (ran.size() < static_cast<size_t>(2 * round + 2)) reactor_->turn(INT64_MAX);
    other.join();
  }
  for (size_t i = 0; i < ran.size(); ++i) EXPECT_EQ(ran[i], static_cast<int>(i));
}

TEST_P(ReactorTurnTest, TaskMayPostAgain) {
  int ran = 0;
  reactor_->post([&] {
    ++ran;
    reactor_->post([&] { ++ran; });
  });
  EXPECT_TRUE(until([&] { return ran == 2; }));
}

TEST_P(ReactorTurnTest, TellsItsNameAndReason) {
  EXPECT_STREQ(reactor_->name(), GetParam().backend == Backend::uring ? "uring" : "event");
  EXPECT_FALSE(reactor_->why().empty());
}

TEST(MakeReactor, ChoosesByItself) {
  const auto reactor = make_reactor({});
  ASSERT_TRUE(reactor) << reactor.error().detail;
  const bool can = bool(make_reactor({Backend::uring}));
  EXPECT_STREQ((*reactor)->name(), can ? "uring" : "event");
  if (!can) {
    EXPECT_NE((*reactor)->why().find("io_uring"), std::string::npos) << (*reactor)->why();
  }
}

// Makes one system call fail for this thread, as containers do.
void forbid(uint32_t call, uint32_t error) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{std::size(program), program};
  ASSERT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

TEST(MakeReactor, FallsBackAndSaysWhy) {
  if (const auto able = make_reactor({Backend::uring}); !able) GTEST_SKIP() << able.error().detail;
  struct Case {
    uint32_t call, error;
    const char* said;
  };
  for (const Case& c :
       {Case{__NR_io_uring_setup, EPERM, "kernel.io_uring_disabled"},
        Case{__NR_io_uring_setup, ENOSYS, "Linux 6.1"}, Case{__NR_io_uring_setup, ENOMEM, "locked memory"},
        Case{__NR_io_uring_register, EINVAL, "operations"}}) {
    std::thread([&c] {  // a filter stays with its thread
      forbid(c.call, c.error);
      const auto forced = make_reactor({Backend::uring});
      ASSERT_FALSE(forced);
      EXPECT_EQ(forced.error().code, Errc::unsupported);
      EXPECT_NE(forced.error().detail.find(c.said), std::string::npos) << forced.error().detail;
      const auto chosen = make_reactor({});
      ASSERT_TRUE(chosen);
      EXPECT_STREQ((*chosen)->name(), "event");
      EXPECT_EQ((*chosen)->why(), "epoll, because " + forced.error().detail);
    })
        .join();
  }
}

TEST(MakeReactor, UsesNothingNewerThanAskedFor) {
  const auto all = make_reactor({Backend::uring});
  if (!all) GTEST_SKIP() << all.error().detail;
  const auto why = [](uint32_t newest) { return (*make_reactor({Backend::uring, newest}))->why(); };
  EXPECT_EQ((*all)->why().find("asked for"), std::string::npos);
  EXPECT_EQ(why(601), (*all)->why() + " (asked for as of Linux 6.1)") << "nothing newer than 6.1 is used";
  EXPECT_EQ(why(600),
            "io_uring with multishot receive, buffer rings, single issuer (asked for as of Linux 6.0)");
}

TEST(MakeReactor, WithoutWhatLinux60HasThereIsOnlyEpoll) {
  if (const auto able = make_reactor({Backend::uring}); !able) GTEST_SKIP() << able.error().detail;
  for (const auto& [newest, said] : {std::pair{515u, "io_uring: SUBMIT_ALL is missing"},
                                     std::pair{518u, "io_uring: buffer rings are missing"},
                                     std::pair{519u, "io_uring: multishot receive is missing"}}) {
    const auto forced = make_reactor({Backend::uring, newest});
    ASSERT_FALSE(forced) << newest;
    EXPECT_EQ(forced.error().code, Errc::unsupported);
    EXPECT_EQ(forced.error().detail.find(said), 0u) << forced.error().detail;
    const auto chosen = make_reactor({Backend::automatic, newest});
    ASSERT_TRUE(chosen) << newest;
    EXPECT_STREQ((*chosen)->name(), "event");
    EXPECT_EQ((*chosen)->why(), "epoll, because " + forced.error().detail);
  }
}

TEST(ParseEngine, KnowsThreeWordsAndReleases) {
  for (const auto& [text, meant] : {std::pair{"auto", EngineChoice{}},
                                    {"uring", EngineChoice{Backend::uring}},
                                    {"event", EngineChoice{Backend::event}},
                                    {"auto:5.15", EngineChoice{Backend::automatic, 515}},
                                    {"uring:6.1", EngineChoice{Backend::uring, 601}},
                                    {"uring:6.12", EngineChoice{Backend::uring, 612}}}) {
    const auto parsed = parse_engine(text);
    ASSERT_TRUE(parsed) << parsed.error().detail;
    EXPECT_EQ(*parsed, meant) << text;
    EXPECT_EQ(engine_text(*parsed), text);
  }
  for (const auto& [text, said] : {std::pair{"", "auto, uring or event"},
                                   {"Uring", "auto, uring or event"},
                                   {"epoll", "auto, uring or event"},
                                   {"auto ", "auto, uring or event"},
                                   {":6.1", "auto, uring or event"},
                                   {"event:6.1", "write event"},
                                   {"uring:", "uring:6.1"},
                                   {"uring:6", "uring:6.1"},
                                   {"uring:6.", "uring:6.1"},
                                   {"uring:6.1.2", "uring:6.1"},
                                   {"uring:-6.1", "uring:6.1"},
                                   {"uring:6.100", "uring:6.1"},
                                   {"auto:99999999999.1", "auto:6.1"}}) {
    const auto parsed = parse_engine(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Errc::invalid);
    EXPECT_NE(parsed.error().detail.find(said), std::string::npos) << parsed.error().detail;
  }
}

}  // namespace
}  // namespace todd::io
