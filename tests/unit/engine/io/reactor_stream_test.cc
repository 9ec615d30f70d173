// TCP through the reactor, on both back ends.
#include <sys/socket.h>

#include <algorithm>

#include "engine/io/reactor.h"
#include "tests/unit/engine/io/reactor_fixture.h"

namespace todd::io {
namespace {

class ReactorStreamTest : public ReactorListeningTest {
 protected:
  static UniqueFd tcp_socket() {
    return std::move(*open_socket({.kind = SocketRequest::tcp, .family = AF_INET}));
  }
  // A connection: `client_` talks to `server_`.
  void connect() {
    client_ = reactor_->add_stream(tcp_socket(), client_sink_, {});
    client_->connect(listening_, 1);
    ASSERT_TRUE(until([&] { return client_sink_.connected.size() == 1 && accepted_.accepted.size() == 1; }));
    ASSERT_EQ(client_sink_.connected[0], 0);
    EXPECT_EQ(format_endpoint(accepted_.peers[0]), format_endpoint(*local_address(client_->fd())));
    server_ = reactor_->add_stream(std::move(accepted_.accepted[0]), server_sink_, {});
  }

  RecordingStream client_sink_, server_sink_;
  std::unique_ptr<Stream> client_, server_;
};
TODD_ALL_ENGINES(ReactorStreamTest);

std::string pattern(size_t bytes, uint32_t seed) {
  std::string out(bytes, '\0');
  for (char& c : out) {
    seed = seed * 1664525 + 1013904223;
    c = static_cast<char>(seed >> 24);
  }
  return out;
}
void send_text(Stream& stream, const std::string& text, uint64_t cookie) {
  stream.send(reinterpret_cast<const uint8_t*>(text.data()), static_cast<uint32_t>(text.size()), cookie);
}

TEST_P(ReactorStreamTest, RefusedConnectIsData) {
  acceptor_.reset();  // closes the port
  client_ = reactor_->add_stream(tcp_socket(), client_sink_, {});
  client_->connect(listening_, 1);
  EXPECT_TRUE(client_sink_.connected.empty());
  ASSERT_TRUE(until([&] { return !client_sink_.connected.empty(); }));
  EXPECT_EQ(client_sink_.connected[0], -ECONNREFUSED);
}

TEST_P(ReactorStreamTest, CarriesTenMebibytesBothWays) {
  connect();
  constexpr size_t kBytes = 10u << 20, kPiece = 1u << 20;
  const std::string there = pattern(kBytes, 1), back = pattern(kBytes, 2);
  client_->receive();
  server_->receive();
  for (size_t at = 0; at < kBytes; at += kPiece) {
    client_->send(reinterpret_cast<const uint8_t*>(there.data()) + at, kPiece, at);
    server_->send(reinterpret_cast<const uint8_t*>(back.data()) + at, kPiece, at);
  }
  ASSERT_TRUE(until(
      [&] { return client_sink_.received.size() >= kBytes && server_sink_.received.size() >= kBytes; }));
  EXPECT_TRUE(server_sink_.received == there);
  EXPECT_TRUE(client_sink_.received == back);
  ASSERT_TRUE(until([&] { return client_sink_.sent.size() == 10 && server_sink_.sent.size() == 10; }));
  for (const int result : client_sink_.sent) EXPECT_EQ(result, static_cast<int>(kPiece));
}

TEST_P(ReactorStreamTest, QueuedBeforeTheConnectionLeavesAfterIt) {
  client_ = reactor_->add_stream(tcp_socket(), client_sink_, {});
  client_->connect(listening_, 1);
  client_->receive();
  const std::string first = "first ", second = "second";
  send_text(*client_, first, 1);
  send_text(*client_, second, 2);
  client_->shutdown_write();
  ASSERT_TRUE(until([&] { return accepted_.accepted.size() == 1; }));
  server_ = reactor_->add_stream(std::move(accepted_.accepted[0]), server_sink_, {});
  server_->receive();
  ASSERT_TRUE(until([&] { return server_sink_.ended; }));
  EXPECT_EQ(server_sink_.received, "first second");
  // Half closed: the other direction still works.
  send_text(*server_, second, 3);
  ASSERT_TRUE(until([&] { return client_sink_.received == "second"; }));
  EXPECT_FALSE(client_sink_.ended);
}

TEST_P(ReactorStreamTest, ShutdownWaitsForQueuedSends) {
  connect();
  const std::string much = pattern(4u << 20, 3);
  send_text(*client_, much, 1);
  client_->shutdown_write();
  server_->receive();
  ASSERT_TRUE(until([&] { return server_sink_.ended; }));
  EXPECT_TRUE(server_sink_.received == much);
}

TEST_P(ReactorStreamTest, ClosedPeerIsLengthZero) {
  connect();
  client_->receive();
  server_.reset();
  ASSERT_TRUE(until([&] { return client_sink_.ended; }));
  EXPECT_EQ(client_sink_.error, 0);
  reactor_->turn(monotonic_ns() + 5'000'000);
  EXPECT_TRUE(client_sink_.received.empty());
}

TEST_P(ReactorStreamTest, ResetIsAnErrorForBothDirections) {
  connect();
  client_->receive();
  const linger hard{1, 0};
  ASSERT_EQ(setsockopt(server_->fd(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
  server_.reset();
  ASSERT_TRUE(until([&] { return client_sink_.error != 0; }));
  EXPECT_EQ(client_sink_.error, -ECONNRESET);
  const std::string text = "x";
  send_text(*client_, text, 1);
  ASSERT_TRUE(until([&] { return client_sink_.sent.size() == 1; }));
  EXPECT_EQ(client_sink_.sent[0], -EPIPE);
}

TEST_P(ReactorStreamTest, BuffersAreFreeOnceTheStreamIsGone) {
  connect();
  auto much = std::make_unique<std::string>(pattern(8u << 20, 4));
  send_text(*client_, *much, 1);
  send_text(*client_, *much, 2);
  reactor_->turn(monotonic_ns() + 1'000'000);
  ASSERT_TRUE(client_sink_.sent.empty());  // nobody reads: it cannot have left
  client_.reset();
  std::fill(much->begin(), much->end(), '\0');
  much.reset();
  server_->receive();
  ASSERT_TRUE(until([&] { return server_sink_.ended || server_sink_.error; }));
  const std::string sent = pattern(8u << 20, 4);
  ASSERT_LT(server_sink_.received.size(), sent.size());
  EXPECT_TRUE(sent.compare(0, server_sink_.received.size(), server_sink_.received) ==
              0);  // no zero came through
  EXPECT_TRUE(client_sink_.sent.empty());
}

TEST_P(ReactorStreamTest, SinkMayDestroyItsStream) {
  connect();
  const std::string much = pattern(1u << 20, 5);
  send_text(*client_, much, 1);
  server_->receive();
  server_sink_.then = [&] { server_.reset(); };
  ASSERT_TRUE(until([&] { return !server_; }));
  const size_t bytes = server_sink_.received.size();
  reactor_->turn(monotonic_ns() + 5'000'000);
  EXPECT_EQ(server_sink_.received.size(), bytes);
}

TEST_P(ReactorStreamTest, MoreStreamsThanBuffersLoseNothing) {
  constexpr size_t kCount = 40;
  const StreamOptions large{.receive_chunk =
                                1u << 18};  // so large that a back end with shared buffers has fewer than 40
  std::vector<std::unique_ptr<Stream>> clients, servers;
  std::vector<RecordingStream> sinks(kCount);
  const std::string text = "some bytes";
  for (size_t i = 0; i < kCount; ++i) {
    clients.push_back(reactor_->add_stream(tcp_socket(), client_sink_, {}));
    clients.back()->connect(listening_, i);
    send_text(*clients.back(), text, i);
  }
  ASSERT_TRUE(
      until([&] { return client_sink_.sent.size() == kCount && accepted_.accepted.size() == kCount; }));
  for (size_t i = 0; i < kCount; ++i) {
    servers.push_back(reactor_->add_stream(std::move(accepted_.accepted[i]), sinks[i], large));
    servers.back()->receive();
  }
  EXPECT_TRUE(until([&] {
    return std::all_of(sinks.begin(), sinks.end(),
                       [&](const RecordingStream& sink) { return sink.received == text; });
  }));
}

TEST_P(ReactorStreamTest, ConnectionsNobodyTookEndWithTheAcceptor) {
  accepted_.then = [this] { acceptor_.reset(); };
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 5; ++i) {
    clients.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(clients.back().get(), &listening_.sa, address_len(listening_)), 0);
  }
  ASSERT_TRUE(until([&] { return !acceptor_; }));
  ASSERT_EQ(accepted_.accepted.size(), 1u);
  const std::string peer = format_endpoint(accepted_.peers[0]);
  for (const UniqueFd& client : clients) {
    if (format_endpoint(*local_address(client.get())) == peer) continue;
    const timeval limit{5, 0};
    ASSERT_EQ(setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    char byte;
    const ssize_t got = recv(client.get(), &byte, 1, 0);
    EXPECT_TRUE(got == 0 || errno == ECONNRESET) << got << ' ' << errno;
  }
}

TEST_P(ReactorStreamTest, AcceptsMany) {
  constexpr size_t kCount = 200;
  std::vector<std::unique_ptr<Stream>> clients;
  for (size_t i = 0; i < kCount; ++i) {
    clients.push_back(reactor_->add_stream(tcp_socket(), client_sink_, {}));
    clients.back()->connect(listening_, i);
  }
  ASSERT_TRUE(
      until([&] { return accepted_.accepted.size() == kCount && client_sink_.connected.size() == kCount; }));
  for (const int result : client_sink_.connected) EXPECT_EQ(result, 0);
}

TEST_P(ReactorStreamTest, DestroyedWhileConnecting) {
  client_ = reactor_->add_stream(tcp_socket(), client_sink_, {});
  client_->connect(listening_, 1);
  client_.reset();
  reactor_->turn(monotonic_ns() + 2'000'000);
  EXPECT_TRUE(client_sink_.connected.empty());
}

// ---- readiness

const std::string kOne = "one", kTwo = "two", kThree = "three";

struct CountedReadiness final : ReadinessSink {
  int n = 0;
  void on_ready() override { ++n; }
};

TEST_P(ReactorStreamTest, StopsReceivingAndBeginsAgain) {
  connect();
  server_->receive();
  send_text(*client_, kOne, 1);
  ASSERT_TRUE(until([&] { return server_sink_.received == "one"; }));
  server_->stop_receiving();
  send_text(*client_, kTwo, 2);
  ASSERT_TRUE(until([&] { return client_sink_.sent.size() == 2; }));
  for (int i = 0; i < 3; ++i) reactor_->turn(monotonic_ns() + 5'000'000);
  EXPECT_EQ(server_sink_.received, "one");
  char bytes[8];
  EXPECT_EQ(recv(server_->fd(), bytes, sizeof bytes, MSG_DONTWAIT), 3);  // somebody else's now
  send_text(*client_, kThree, 3);
  server_->receive();
  ASSERT_TRUE(until([&] { return server_sink_.received == "onethree"; }));
  EXPECT_TRUE(server_sink_.received == "onethree");
}

TEST_P(ReactorStreamTest, TellsOnceWhenThereIsSomethingToRead) {
  connect();
  CountedReadiness sink;
  auto readiness = reactor_->add_readiness(server_->fd(), ReadyFor::reading, sink);
  send_text(*client_, kOne, 1);
  ASSERT_TRUE(until([&] { return client_sink_.sent.size() == 1; }));
  for (int i = 0; i < 3; ++i) reactor_->turn(monotonic_ns() + 5'000'000);
  EXPECT_EQ(sink.n, 0);  // not awaited
  readiness->await();
  readiness->await();
  ASSERT_TRUE(until([&] { return sink.n == 1; }));
  for (int i = 0; i < 3; ++i) reactor_->turn(monotonic_ns() + 5'000'000);
  EXPECT_EQ(sink.n, 1);  // though nobody has read
  char bytes[8];
  ASSERT_EQ(recv(server_->fd(), bytes, sizeof bytes, MSG_DONTWAIT), 3);
  readiness->await();
  for (int i = 0; i < 3; ++i) reactor_->turn(monotonic_ns() + 5'000'000);
  EXPECT_EQ(sink.n, 1);
  client_.reset();  // the end is something to read
  ASSERT_TRUE(until([&] { return sink.n == 2; }));
  readiness->await();
  readiness.reset();
  reactor_->turn(monotonic_ns() + 5'000'000);
  EXPECT_EQ(sink.n, 2);
}

TEST_P(ReactorStreamTest, TellsWhenThereIsRoomToWrite) {
  connect();
  const std::string much(1u << 20, 'x');
  while (send(client_->fd(), much.data(), much.size(), MSG_DONTWAIT) > 0) {
  }
  CountedReadiness sink;
  auto readiness = reactor_->add_readiness(client_->fd(), ReadyFor::writing, sink);
  readiness->await();
  for (int i = 0; i < 3; ++i) reactor_->turn(monotonic_ns() + 5'000'000);
  EXPECT_EQ(sink.n, 0);
  server_->receive();
  ASSERT_TRUE(until([&] { return sink.n == 1; }));
}

}  // namespace
}  // namespace todd::io
