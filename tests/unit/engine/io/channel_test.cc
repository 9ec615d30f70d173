#include "engine/io/channel.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "engine/base/clock.h"
#include "engine/io/pki.h"

namespace todd::io {
namespace {

using testing::HasSubstr;
constexpr int64_t kSecond = 1'000'000'000;

template <class Done>
[[nodiscard]] bool turn_until(Loop& loop, Done done, int64_t within_ns = 10 * kSecond) {
  const int64_t end = monotonic_ns() + within_ns;
  while (!done()) {
    const int64_t left = end - monotonic_ns();
    if (left <= 0) return false;
    loop.turn(left);
  }
  return true;
}

// One end of a stream that remembers what happened to it.
struct End {
  ChannelPtr channel;
  bool open = false, drained = false;
  std::string got;
  std::optional<Error> closed;
  int closes = 0;

  Channel::Events events() {
    return {.on_open = [this] { open = true; },
            .on_data =
                [this](std::string_view bytes) {
                  got += bytes;
                  return bytes.size();
                },
            .on_close =
                [this](const Error& error) {
                  closed = error;
                  ++closes;
                },
            .on_drained = [this] { drained = true; }};
  }
};

struct Identity {
  std::string key_pem, certificate_pem;
};
Identity make_identity(const KeyPair& ca, const std::string& name, bool server) {
  Identity out;
  out.key_pem = make_key().value();
  const auto csr = make_csr(out.key_pem, "whatever").value();
  out.certificate_pem =
      sign_csr(ca, csr, {.common_name = name, .alt_names = "", .server = server, .days = 1}).value();
  return out;
}

class ChannelTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/todd-channel-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void serve_tcp(std::shared_ptr<TlsContext> tls = nullptr, ChannelOptions options = {},
                 const std::string& address = "127.0.0.1") {
    auto listener = listen_tcp(loop_, address, 0, [this, tls, options](UniqueFd fd) {
      server_.channel = adopt(loop_, std::move(fd), tls, server_.events(), options);
    });
    ASSERT_TRUE(listener) << listener.error().detail;
    listener_ = std::move(*listener);
    ASSERT_NE(listener_->port(), 0);
  }
  void dial(std::shared_ptr<TlsContext> tls = nullptr, ChannelOptions options = {},
            const std::string& host = "127.0.0.1") {
    client_.channel = connect_tcp(loop_, host, listener_->port(), std::move(tls), client_.events(), options);
  }
  void make_pair(ChannelOptions options = {}) {
    int fds[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    client_.channel = adopt(loop_, UniqueFd(fds[0]), nullptr, client_.events(), options);
    server_.channel = adopt(loop_, UniqueFd(fds[1]), nullptr, server_.events(), options);
  }
  // Both directions carry bytes, also more than one buffer of them.
  void expect_echo() {
    const std::string big(300'000, 'b');
    client_.channel->send("hello");
    ASSERT_TRUE(turn_until(loop_, [&] { return server_.got == "hello"; })) << describe();
    server_.channel->send(big);
    ASSERT_TRUE(turn_until(loop_, [&] { return client_.got.size() == big.size(); })) << describe();
    EXPECT_EQ(client_.got, big);
    EXPECT_TRUE(turn_until(loop_, [&] { return server_.drained; }));
    EXPECT_EQ(server_.channel->unsent(), 0u);
  }
  std::string describe() const {
    return "client: " + (client_.closed ? client_.closed->detail : "open") +
           "; server: " + (server_.closed ? server_.closed->detail : "open");
  }

  Loop loop_;
  std::string folder_;
  End client_, server_;
  std::unique_ptr<Listener> listener_;
};

TEST_F(ChannelTest, CarriesBytesOverTcp) {
  serve_tcp();
  dial();
  client_.channel->send("he");  // before it is connected
  client_.channel->send("llo");
  EXPECT_EQ(client_.channel->unsent(), 5u);
  ASSERT_TRUE(turn_until(loop_, [&] { return server_.got == "hello"; })) << describe();
  EXPECT_TRUE(client_.open);
  EXPECT_FALSE(server_.open);  // a plain accepted fd is open from the start
  server_.got.clear();
  expect_echo();
  EXPECT_EQ(client_.channel->peer_address(), "127.0.0.1:" + std::to_string(listener_->port()));
  EXPECT_THAT(server_.channel->peer_address(), testing::StartsWith("127.0.0.1:"));
  EXPECT_EQ(client_.channel->peer_uid(), UINT32_MAX);
  EXPECT_EQ(client_.channel->tls_exporter("x"), "");
}

TEST_F(ChannelTest, CarriesBytesOverIpv6) {
  const UniqueFd probe(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 loopback{};
  loopback.sin6_family = AF_INET6;
  loopback.sin6_addr = in6addr_loopback;
  if (!probe || bind(probe.get(), reinterpret_cast<sockaddr*>(&loopback), sizeof loopback) != 0)
    GTEST_SKIP() << "no ::1 here";
  serve_tcp(nullptr, {}, "::1");
  dial(nullptr, {}, "::1");
  expect_echo();
  EXPECT_EQ(client_.channel->peer_address(), "[::1]:" + std::to_string(listener_->port()));
}

TEST_F(ChannelTest, ConnectsToANameByTheHostsFile) {
  serve_tcp();
  dial(nullptr, {}, "localhost");
  expect_echo();
}

TEST_F(ChannelTest, CarriesBytesOverAUnixSocketAndKnowsThePeer) {
  const std::string path = folder_ + "/s";
  auto listener = listen_unix(loop_, path, 0600, [&](UniqueFd fd) {
    server_.channel = adopt(loop_, std::move(fd), nullptr, server_.events());
  });
  ASSERT_TRUE(listener) << listener.error().detail;
  EXPECT_EQ((*listener)->port(), 0);
  client_.channel = connect_unix(loop_, path, client_.events());
  ASSERT_TRUE(turn_until(loop_, [&] { return client_.open && server_.channel; })) << describe();
  expect_echo();
  EXPECT_EQ(server_.channel->peer_uid(), getuid());
  EXPECT_EQ(server_.channel->peer_address(), "unix:uid=" + std::to_string(getuid()));
}

TEST_F(ChannelTest, TellsOnceWhyAConnectionFailed) {
  serve_tcp();
  const uint16_t port = listener_->port();
  listener_.reset();
  client_.channel = connect_tcp(loop_, "127.0.0.1", port, nullptr, client_.events());
  EXPECT_FALSE(client_.closed);  // never from inside the call
  ASSERT_TRUE(turn_until(loop_, [&] { return client_.closed.has_value(); }));
  EXPECT_EQ(client_.closed->sys_errno, ECONNREFUSED);
  EXPECT_THAT(client_.closed->detail, HasSubstr("127.0.0.1:" + std::to_string(port)));
  client_.channel->send("x");
  client_.channel->close_after_flush();
  loop_.turn(0);
  EXPECT_EQ(client_.closes, 1);

  End missing;
  missing.channel = connect_unix(loop_, folder_ + "/none", missing.events());
  ASSERT_TRUE(turn_until(loop_, [&] { return missing.closed.has_value(); }));
  EXPECT_EQ(missing.closed->code, Errc::not_found);
}

TEST_F(ChannelTest, SaysWhenThePeerClosed) {
  make_pair();
  client_.channel->send("last words");
  ASSERT_TRUE(turn_until(loop_, [&] { return client_.drained; }));
  client_.channel.reset();
  ASSERT_TRUE(turn_until(loop_, [&] { return server_.closed.has_value(); }));
  EXPECT_EQ(server_.closed->code, Errc::unavailable);
  EXPECT_EQ(server_.closed->detail, "closed by peer");
  EXPECT_EQ(server_.got, "last words");
  EXPECT_EQ(client_.closes, 0);
}

TEST_F(ChannelTest, OffersUnconsumedBytesAgain) {
  make_pair();
  std::vector<std::string> offers;
  auto events = server_.events();
  events.on_data = [&](std::string_view bytes) -> size_t {
    offers.emplace_back(bytes);
    return bytes.size() >= 4 ? 3 : 0;
  };
  server_.channel->set_events(events);
  client_.channel->send("ab");
  ASSERT_TRUE(turn_until(loop_, [&] { return !offers.empty() && offers.back() == "ab"; }));
  client_.channel->send("cd");
  ASSERT_TRUE(turn_until(loop_, [&] { return offers.back() == "abcd"; }));
  server_.channel->set_events(server_.events());  // a new receiver gets what is left without more arriving
  ASSERT_TRUE(turn_until(loop_, [&] { return server_.got == "d"; }));
}

TEST_F(ChannelTest, MayBeDestroyedInEveryCallback) {
  make_pair();
  auto events = server_.events();
  int calls = 0;
  events.on_data = [&](std::string_view bytes) {
    ++calls;
    server_.channel.reset();
    return bytes.size();
  };
  server_.channel->set_events(events);
  client_.channel->send("x");
  auto client_events = client_.events();
  client_events.on_close = [&](const Error&) {
    ++calls;
    client_.channel.reset();
  };
  client_.channel->set_events(client_events);
  ASSERT_TRUE(turn_until(loop_, [&] { return !client_.channel; }));
  EXPECT_EQ(calls, 2);

  serve_tcp();
  End third;
  auto third_events = third.events();
  third_events.on_open = [&] { third.channel.reset(); };
  third.channel = connect_tcp(loop_, "127.0.0.1", listener_->port(), nullptr, third_events);
  ASSERT_TRUE(turn_until(loop_, [&] { return !third.channel; }));

  End fourth;
  auto fourth_events = fourth.events();
  fourth_events.on_drained = [&] { fourth.channel.reset(); };
  fourth.channel = connect_tcp(loop_, "127.0.0.1", listener_->port(), nullptr, fourth_events);
  fourth.channel->send("x");
  ASSERT_TRUE(turn_until(loop_, [&] { return !fourth.channel; }));
}

TEST_F(ChannelTest, ClosesWhenTheWriteLimitIsPassed) {
  make_pair({.write_limit = 1000});
  client_.channel->send(std::string(1000, 'x'));
  client_.channel->send("y");
  EXPECT_FALSE(client_.closed);  // not from inside send()
  ASSERT_TRUE(turn_until(loop_, [&] { return client_.closed.has_value(); }));
  EXPECT_EQ(client_.closed->code, Errc::exhausted);
  EXPECT_EQ(client_.closes, 1);
}

TEST_F(ChannelTest, PausesReading) {
  make_pair();
  server_.channel->pause_reading(true);
  client_.channel->send("wait");
  ASSERT_TRUE(turn_until(loop_, [&] { return client_.drained; }));
  loop_.turn(0);
  EXPECT_EQ(server_.got, "");
  client_.channel.reset();
  loop_.turn(0);
  loop_.turn(0);
  EXPECT_FALSE(server_.closed);
  server_.channel->pause_reading(false);
  ASSERT_TRUE(turn_until(loop_, [&] { return server_.closed.has_value(); }));
  EXPECT_EQ(server_.got, "wait");
}

TEST_F(ChannelTest, ClosesAfterFlushingWithoutLosingBytes) {
  serve_tcp();
  dial();
  client_.channel->send("request");
  ASSERT_TRUE(turn_until(loop_, [&] { return server_.got == "request"; }));
  const std::string answer(2'000'000, 'a');
  server_.channel->send(answer);
  server_.channel->close_after_flush();
  client_.channel->send("something the server never reads");
  ASSERT_TRUE(turn_until(loop_, [&] { return client_.closed.has_value(); }));
  EXPECT_EQ(client_.got.size(), answer.size());
  EXPECT_EQ(client_.closed->detail, "closed by peer");
  client_.channel.reset();
  ASSERT_TRUE(turn_until(loop_, [&] { return server_.closed.has_value(); }));
  EXPECT_EQ(server_.closed->code, Errc::cancelled);
  EXPECT_EQ(server_.got, "request");
}

// Closing a TCP socket whose peer is still sending resets the connection, and the reset may overtake the last
// answer.
TEST_F(ChannelTest, WaitsForThePeersEndAfterFlushing) {
  serve_tcp();
  const UniqueFd peer(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(listener_->port());
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(connect(peer.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  ASSERT_TRUE(turn_until(loop_, [&] { return server_.channel != nullptr; }));
  server_.channel->send("bye");
  server_.channel->close_after_flush();
  std::string got;
  const auto read_end = [&] {
    char buffer[16];
    const ssize_t n = recv(peer.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (n > 0) got.append(buffer, static_cast<size_t>(n));
    return n == 0;
  };
  bool ended = false;  // the raw peer is not in the loop: short turns, looking at it in between
  for (int i = 0; i < 400 && !ended; ++i) {
    loop_.turn(kSecond / 1000);
    ended = read_end();
  }
  ASSERT_TRUE(ended);
  EXPECT_EQ(got, "bye");
  EXPECT_FALSE(server_.closed);
  const int64_t begin = monotonic_ns();
  ASSERT_EQ(::shutdown(peer.get(), SHUT_WR), 0);
  ASSERT_TRUE(turn_until(loop_, [&] { return server_.closed.has_value(); }));
  EXPECT_LT(monotonic_ns() - begin, kSecond / 2);  // by the peer's end, not by the deadline
  EXPECT_EQ(server_.closed->code, Errc::cancelled);
}

TEST_F(ChannelTest, GivesUpAHandshakeThatDoesNotCome) {
  const auto ca = make_ca("test CA", 1).value();
  const auto id = make_identity(ca, "server", true);
  auto tls = make_tls_server({.certificate_pem = id.certificate_pem, .key_pem = id.key_pem}).value();
  serve_tcp(tls, {.handshake_ns = kSecond / 20});
  dial();  // speaks no TLS and says nothing
  ASSERT_TRUE(turn_until(loop_, [&] { return server_.closed.has_value(); }));
  EXPECT_EQ(server_.closed->code, Errc::timed_out);
}

// ---- TLS

class TlsChannelTest : public ChannelTest {
 protected:
  std::shared_ptr<TlsContext> server_tls(const Identity& id, bool ask = true) {
    return make_tls_server({.certificate_pem = id.certificate_pem + ca_.certificate_pem,
                            .key_pem = id.key_pem,
                            .ca_pem = ca_.certificate_pem,
                            .ask_peer_certificate = ask})
        .value();
  }
  void expect_client_refuses(std::shared_ptr<TlsContext> tls, const std::string& why) {
    serve_tcp(server_tls(server_id_));
    dial(std::move(tls));
    ASSERT_TRUE(turn_until(loop_, [&] { return client_.closed && server_.closed; })) << describe();
    EXPECT_EQ(client_.closed->code, Errc::denied);
    EXPECT_THAT(client_.closed->detail, HasSubstr(why));
    EXPECT_FALSE(client_.open);
    EXPECT_FALSE(server_.open);
  }

  const KeyPair ca_ = make_ca("test CA", 30).value();
  const KeyPair other_ca_ = make_ca("other CA", 30).value();
  const Identity server_id_ = make_identity(ca_, "coordinator", true);
  const Identity agent_id_ = make_identity(ca_, "agent-7", false);
};

TEST_F(TlsChannelTest, MutualCertificatesShowTheNames) {
  serve_tcp(server_tls(server_id_));
  dial(make_tls_client({.certificate_pem = agent_id_.certificate_pem,
                        .key_pem = agent_id_.key_pem,
                        .ca_pem = ca_.certificate_pem})
           .value());
  client_.channel->send("");
  ASSERT_TRUE(turn_until(loop_, [&] { return client_.open && server_.open; })) << describe();
  expect_echo();
  EXPECT_EQ(server_.channel->peer_common_name(), "agent-7");
  EXPECT_EQ(server_.channel->peer_certificate_pem(), agent_id_.certificate_pem);
  EXPECT_EQ(client_.channel->peer_common_name(), "coordinator");

  const auto exported = client_.channel->tls_exporter("EXPORTER-todd");
  EXPECT_EQ(exported.size(), 32u);
  EXPECT_EQ(exported, server_.channel->tls_exporter("EXPORTER-todd"));
  EXPECT_NE(exported, server_.channel->tls_exporter("EXPORTER-other"));

  client_.channel->close_after_flush();
  ASSERT_TRUE(turn_until(loop_, [&] { return server_.closed.has_value(); }));
  EXPECT_EQ(server_.closed->detail, "closed by peer");
  EXPECT_EQ(server_.channel->peer_common_name(), "agent-7");  // still known in on_close
}

TEST_F(TlsChannelTest, SendsEarlyBytesAfterTheHandshake) {
  serve_tcp(server_tls(server_id_));
  dial(make_tls_client({.ca_pem = ca_.certificate_pem}).value());
  client_.channel->send("early");
  ASSERT_TRUE(turn_until(loop_, [&] { return server_.got == "early"; })) << describe();
}

TEST_F(TlsChannelTest, AClientWithoutCertificateIsLetInNameless) {
  serve_tcp(server_tls(server_id_));
  dial(make_tls_client({.ca_pem = ca_.certificate_pem}).value());
  ASSERT_TRUE(turn_until(loop_, [&] { return client_.open && server_.open; })) << describe();
  EXPECT_EQ(server_.channel->peer_common_name(), "");
  EXPECT_EQ(server_.channel->peer_certificate_pem(), "");
}

TEST_F(TlsChannelTest, DestroyingIsCloseToThePeer) {
  serve_tcp(server_tls(server_id_));
  dial(make_tls_client({.ca_pem = ca_.certificate_pem}).value());
  ASSERT_TRUE(turn_until(loop_, [&] { return client_.open && server_.open; })) << describe();
  server_.channel.reset();
  ASSERT_TRUE(turn_until(loop_, [&] { return client_.closed.has_value(); }));
  EXPECT_EQ(client_.closed->code, Errc::unavailable);
  EXPECT_EQ(client_.closed->detail, "closed by peer");
}

TEST_F(TlsChannelTest, ServerRefusesAClientOfAnotherAuthority) {
  const auto stranger = make_identity(other_ca_, "agent-7", false);
  serve_tcp(server_tls(server_id_));
  dial(make_tls_client({.certificate_pem = stranger.certificate_pem,
                        .key_pem = stranger.key_pem,
                        .ca_pem = ca_.certificate_pem})
           .value());
  ASSERT_TRUE(turn_until(loop_, [&] { return client_.closed && server_.closed; })) << describe();
  EXPECT_FALSE(server_.open);
  EXPECT_EQ(server_.closed->code, Errc::denied);
  EXPECT_EQ(client_.closed->code, Errc::denied)
      << client_.closed->detail;  // TLS 1.3 tells it after its own end is open
}

TEST_F(TlsChannelTest, ClientRefusesAServerOfAnotherAuthority) {
  expect_client_refuses(make_tls_client({.ca_pem = other_ca_.certificate_pem}).value(),
                        "certificate was refused");
}

TEST_F(TlsChannelTest, AnAgentsCertificateDoesNotMakeAServer) {
  serve_tcp(server_tls(agent_id_));
  dial(make_tls_client({.pinned_spki_sha256_hex = spki_sha256_hex(ca_.certificate_pem).value()}).value());
  ASSERT_TRUE(turn_until(loop_, [&] { return client_.closed.has_value(); }));
  EXPECT_EQ(client_.closed->code, Errc::denied);
  EXPECT_FALSE(client_.open);
}

TEST_F(TlsChannelTest, AcceptsThePinnedAuthority) {
  serve_tcp(server_tls(server_id_));
  std::string pin = spki_sha256_hex(ca_.certificate_pem).value();
  pin[0] = static_cast<char>(toupper(pin[0]));
  dial(make_tls_client({.pinned_spki_sha256_hex = pin}).value());
  ASSERT_TRUE(turn_until(loop_, [&] { return client_.open && server_.open; })) << describe();
  EXPECT_EQ(client_.channel->peer_common_name(), "coordinator");
}

TEST_F(TlsChannelTest, RefusesAnotherPin) {
  expect_client_refuses(
      make_tls_client({.pinned_spki_sha256_hex = spki_sha256_hex(other_ca_.certificate_pem).value()}).value(),
      "pinned key");
}

TEST_F(TlsChannelTest, ThePinOfALeafThatIsNoAuthorityIsNotEnough) {
  expect_client_refuses(
      make_tls_client({.pinned_spki_sha256_hex = spki_sha256_hex(server_id_.certificate_pem).value()})
          .value(),
      "pinned key");
}

TEST_F(TlsChannelTest, WithAuthorityAndPinBothMustHold) {
  expect_client_refuses(
      make_tls_client({.ca_pem = ca_.certificate_pem,
                       .pinned_spki_sha256_hex = spki_sha256_hex(other_ca_.certificate_pem).value()})
          .value(),
      "pinned key");
}

// A man in the middle shows the real authority beside a leaf of his own.
TEST_F(TlsChannelTest, ThePinnedAuthorityMustHaveSignedTheServer) {
  const auto fake = make_identity(other_ca_, "coordinator", true);
  serve_tcp(server_tls(fake));  // sends fake + the real CA
  dial(make_tls_client({.pinned_spki_sha256_hex = spki_sha256_hex(ca_.certificate_pem).value()}).value());
  ASSERT_TRUE(turn_until(loop_, [&] { return client_.closed.has_value(); }));
  EXPECT_EQ(client_.closed->code, Errc::denied) << client_.closed->detail;
  EXPECT_FALSE(client_.open);
}

TEST_F(TlsChannelTest, APeerThatSpeaksNoTlsIsCorrupt) {
  serve_tcp(server_tls(server_id_));
  dial();
  client_.channel->send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(turn_until(loop_, [&] { return server_.closed.has_value(); }));
  EXPECT_EQ(server_.closed->code, Errc::corrupt);
}

TEST_F(TlsChannelTest, ContextsNameWhatIsWrong) {
  EXPECT_EQ(make_tls_server({}).error().code, Errc::invalid);
  EXPECT_EQ(make_tls_server({.certificate_pem = "nonsense", .key_pem = server_id_.key_pem}).error().code,
            Errc::invalid);
  const auto mixed =
      make_tls_server({.certificate_pem = server_id_.certificate_pem, .key_pem = agent_id_.key_pem});
  ASSERT_FALSE(mixed);
  EXPECT_THAT(mixed.error().detail, HasSubstr("does not fit"));
  EXPECT_EQ(make_tls_client({.pinned_spki_sha256_hex = "abc"}).error().code, Errc::invalid);
  EXPECT_EQ(make_tls_client({.ca_pem = "nonsense"}).error().code, Errc::invalid);
}

// ---- listener

TEST_F(ChannelTest, AUnixListenerReplacesAStaleSocketSetsTheModeAndCleansUp) {
  const std::string path = folder_ + "/s";
  {
    const auto first = listen_unix(loop_, path, 0660, [](UniqueFd) {});
    ASSERT_TRUE(first);
    const auto second = listen_unix(loop_, path, 0660, [](UniqueFd) {});
    ASSERT_FALSE(second);  // somebody lives there
    EXPECT_EQ(second.error().code, Errc::exists);
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  sockaddr_un stale_address{};
  stale_address.sun_family = AF_UNIX;
  path.copy(stale_address.sun_path, sizeof stale_address.sun_path - 1);
  {
    const UniqueFd stale(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(bind(stale.get(), reinterpret_cast<sockaddr*>(&stale_address), sizeof stale_address), 0);
  }
  ASSERT_TRUE(std::filesystem::exists(path));
  const auto listener = listen_unix(loop_, path, 0640, [](UniqueFd) {});
  ASSERT_TRUE(listener) << listener.error().detail;
  struct stat s {};
  ASSERT_EQ(stat(path.c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777, 0640u);

  std::ofstream(folder_ + "/file") << "precious";
  EXPECT_EQ(listen_unix(loop_, folder_ + "/file", 0660, [](UniqueFd) {}).error().code, Errc::exists);
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/file"));
  EXPECT_EQ(listen_unix(loop_, std::string(200, 'x'), 0660, [](UniqueFd) {}).error().code, Errc::invalid);
}

TEST_F(ChannelTest, AListenerMayBeDestroyedInItsCallback) {
  int accepted = 0;
  listener_ = listen_tcp(loop_, "127.0.0.1", 0, [&](UniqueFd) {
                ++accepted;
                listener_.reset();
              }).value();
  dial();
  End other;
  other.channel = connect_tcp(loop_, "127.0.0.1", listener_->port(), nullptr, other.events());
  ASSERT_TRUE(turn_until(loop_, [&] { return client_.closed && other.closed; }));
  EXPECT_EQ(accepted, 1);
}

TEST_F(ChannelTest, AListenerRefusesNamesAndTakenPorts) {
  serve_tcp();
  EXPECT_EQ(listen_tcp(loop_, "localhost", 0, [](UniqueFd) {}).error().code, Errc::invalid);
  const auto taken = listen_tcp(loop_, "127.0.0.1", listener_->port(), [](UniqueFd) {});
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().sys_errno, EADDRINUSE);
}

TEST_F(ChannelTest, WithoutDescriptorsTheListenerPausesAndComesBack) {
  serve_tcp();
  dial();
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
  ASSERT_TRUE(turn_until(loop_, [&] { return client_.open && server_.channel; }));
  server_.channel.reset();
  client_ = {};
  loop_.turn(0);
  // The client's socket is the last descriptor there is.
  const UniqueFd dialler(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const rlimit tight{static_cast<rlim_t>(dialler.get()) + 1, old.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
  std::vector<UniqueFd> filler;
  for (int fd = dup(0); fd >= 0; fd = dup(0)) filler.emplace_back(fd);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(listener_->port());
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int connected = connect(dialler.get(), reinterpret_cast<sockaddr*>(&to), sizeof to);
  loop_.turn(kSecond);  // accept fails here
  const int64_t begin = monotonic_ns();
  loop_.turn(kSecond / 10);  // a spinning listener would end this turn at once
  const int64_t waited = monotonic_ns() - begin;
  setrlimit(RLIMIT_NOFILE, &old);
  filler.clear();
  ASSERT_EQ(connected, 0);
  EXPECT_FALSE(server_.channel);
  EXPECT_GE(waited, kSecond / 10);
  EXPECT_TRUE(turn_until(loop_, [&] { return server_.channel != nullptr; }));
}

// ---- resolver

using Names = Result<std::vector<std::string>>;

TEST(ResolverTest, ResolvesLiteralsAndTheHostsFileButNeverInsideTheCall) {
  Loop loop;
  Resolver resolver(loop);
  std::optional<Names> literal, scoped, wrong, local;
  resolver.resolve("192.0.2.1", AF_UNSPEC, [&](Names r) { literal = std::move(r); });
  resolver.resolve("2001:db8::1", AF_INET6, [&](Names r) { scoped = std::move(r); });
  resolver.resolve("2001:db8::1", AF_INET, [&](Names r) { wrong = std::move(r); });
  resolver.resolve("localhost", AF_INET, [&](Names r) { local = std::move(r); });
  EXPECT_FALSE(literal || scoped || wrong || local);
  ASSERT_TRUE(turn_until(loop, [&] { return literal && scoped && wrong && local; }));
  EXPECT_EQ(literal->value(), std::vector<std::string>{"192.0.2.1"});
  EXPECT_EQ(scoped->value(), std::vector<std::string>{"2001:db8::1"});
  EXPECT_EQ(wrong->error().code, Errc::not_found);
  ASSERT_TRUE(*local) << local->error().detail;
  EXPECT_THAT(**local, testing::Contains("127.0.0.1"));
}

TEST(ResolverTest, MayBeDestroyedWhileAskingAndInItsCallback) {
  Loop loop;
  auto resolver = std::make_unique<Resolver>(loop);
  resolver->resolve("host.invalid", AF_UNSPEC, [](Names) { ADD_FAILURE() << "answered after the end"; });
  resolver.reset();
  loop.turn(0);
  resolver = std::make_unique<Resolver>(loop);
  resolver->resolve("localhost", AF_INET, [&](Names) { resolver.reset(); });
  ASSERT_TRUE(turn_until(loop, [&] { return !resolver; }));
}

// With a name server or without: a task has 10 s to get ready, and its owner wants to hear that it was the
// name.
TEST(ResolverTest, AnUnknownNameIsNotFoundInTime) {
  Loop loop;
  Resolver resolver(loop);
  std::optional<Names> answer;
  resolver.resolve("no-such-host.invalid", AF_UNSPEC, [&](Names r) { answer = std::move(r); });
  ASSERT_TRUE(turn_until(
      loop, [&] { return answer.has_value(); }, 9 * kSecond));
  ASSERT_FALSE(*answer);
  EXPECT_THAT(answer->error().code, testing::AnyOf(Errc::not_found, Errc::timed_out, Errc::unavailable));
  EXPECT_THAT(answer->error().detail, HasSubstr("no-such-host.invalid"));
}

}  // namespace
}  // namespace todd::io
