#include "coordinator/api/http_server.h"

#include <gtest/gtest.h>
#include <sys/un.h>
#include <unistd.h>

#include "coordinator/api/host_check.h"
#include "raw_client.h"

namespace todd::api {
namespace {

// Answers "METHOD PATH BODY" and counts.
class HttpServerTest : public ::testing::Test {
 protected:
  HttpServerTest() {
    options_.linger_ns = 20'000'000;
    options_.limits.body_bytes = 1000;
  }

  uint16_t start() {
    server_ = std::make_unique<HttpServer>(
        loop_, options_, [this](const Request& request, std::shared_ptr<Reply> reply) {
          ++handled_;
          if (request.path == "/later") {
            later_.push_back(std::move(reply));
          } else if (request.path == "/drop") {
            reply.reset();
          } else if (request.path == "/stream") {
            Response head;
            head.content_type = "text/event-stream";
            stream_ = reply->stream(std::move(head));
          } else if (request.path == "/pieces") {
            reply->send_pieces({200, "text/plain", "", {}}, [this, left = 3](std::string& out) mutable {
              ++made_;
              if (left-- > 0) out.assign(piece_bytes_, 'x');
              return !out.empty();
            });
          } else if (request.path == "/big") {
            reply->send({200, "text/plain", std::string(50'000'000, 'x'), {}});
          } else {
            reply->send({200,
                         "text/plain",
                         "[" + request.method + " " + request.path + " " + request.body + "]",
                         {}});
          }
        });
    port_ = *server_->listen_tcp("127.0.0.1", 0);
    return port_;
  }

  RawClient client() { return RawClient(loop_, port_); }

  // The whole answer to these bytes on a new connection, which ends.
  std::string ask(const std::string& bytes) {
    auto c = client();
    c.send(bytes);
    return c.read_to_end();
  }

  io::Loop loop_;
  ServerOptions options_;
  int handled_ = 0;
  size_t piece_bytes_ = 5;
  int made_ = 0;  // calls for a piece
  std::vector<std::shared_ptr<Reply>> later_;
  std::shared_ptr<EventStream> stream_;
  std::unique_ptr<HttpServer> server_;
  uint16_t port_ = 0;
};

struct Hostile {
  const char* name;
  std::string bytes;
  const char* status;
};

std::string many_fields(int n) {
  std::string head = "GET / HTTP/1.1\r\nHost: x\r\n";
  for (int i = 1; i < n; ++i) head += "X-" + std::to_string(i) + ": y\r\n";
  return head + "Connection: close\r\n\r\n";
}

const std::string kPost = "POST / HTTP/1.1\r\nHost: x\r\n";
const Hostile kHostile[] = {
    {"TwoLengths", kPost + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhelloX", "400"},
    {"TwoEqualLengths", kPost + "Content-Length: 5, 5\r\n\r\nhello", "400"},
    {"PlusLength", kPost + "Content-Length: +5\r\n\r\nhello", "400"},
    {"NegativeLength", kPost + "Content-Length: -5\r\n\r\nhello", "400"},
    {"HugeLength", kPost + "Content-Length: 99999999999999999999999\r\n\r\n", "400"},
    {"HexLength", kPost + "Content-Length: 0x5\r\n\r\nhello", "400"},
    {"UnknownCoding", kPost + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "400"},
    {"TwoCodings", kPost + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "400"},
    {"DoubledCoding", kPost + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "400"},
    {"LengthAndCoding", kPost + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
    {"CodingIn10", "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
    {"SpaceBeforeColon", kPost + "Content-Length : 5\r\n\r\nhello", "400"},
    {"BareLf", "GET / HTTP/1.1\nHost: x\n\n", "400"},
    {"BareLfInField", "GET / HTTP/1.1\r\nHost: x\nY: z\r\n\r\n", "400"},
    {"ObsFold", "GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n", "400"},
    {"FoldAfterRequestLine", "GET / HTTP/1.1\r\n Host: x\r\n\r\n", "400"},
    {"NulInValue", std::string("GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n", 36), "400"},
    {"MissingHost", "GET / HTTP/1.1\r\n\r\n", "400"},
    {"TwoHosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
    {"NoSlash", "GET foo HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
    {"BrokenEscape", "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
    {"EscapedNul", "GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
    {"Garbage", "\x16\x03\x01\x02\r\n\r\n", "400"},
    {"Http2Preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"},
    {"LongTarget", "GET /" + std::string(20'000, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n", "431"},
    {"LongField", "GET / HTTP/1.1\r\nHost: x\r\nX: " + std::string(20'000, 'a') + "\r\n\r\n", "431"},
    {"EndlessLine", std::string(20'000, 'a'), "431"},
    {"ManyFields", many_fields(150), "431"},
    {"LongBody", kPost + "Content-Length: 1001\r\n\r\n", "413"},
    {"LongChunk",
     kPost + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + std::string(1001, 'a') + "\r\n0\r\n\r\n", "413"},
    {"ManyChunks",
     kPost + "Transfer-Encoding: chunked\r\n\r\n1f4\r\n" + std::string(500, 'a') + "\r\n1f4\r\n" +
         std::string(500, 'a') + "\r\n1\r\na\r\n",
     "413"},
    {"HugeChunk", kPost + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", "400"},
    {"BadChunk", kPost + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "400"},
    {"LongChunkExtension", kPost + "Transfer-Encoding: chunked\r\n\r\n1;" + std::string(40'000, 'a'), "400"},
    {"UnknownExpectation", kPost + "Expect: miracles\r\nContent-Length: 1\r\n\r\na", "417"},
};

class HostileTest : public HttpServerTest, public ::testing::WithParamInterface<Hostile> {};

TEST_P(HostileTest, IsRefusedAndNothingOfItRuns) {
  start();
  // What follows must never be taken for a request: that would be smuggling.
  const auto answer = ask(GetParam().bytes + "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(answer.substr(0, 13), std::string("HTTP/1.1 ") + GetParam().status + " ") << answer;
  EXPECT_NE(answer.find("application/problem+json"), std::string::npos);
  EXPECT_EQ(handled_, 0);
  EXPECT_EQ(server_->connections(), 0u);
}

TEST_P(HostileTest, IsRefusedByteByByte) {
  const std::string bytes = GetParam().bytes + "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
  RequestParser parser({.head_bytes = 16 * 1024, .header_count = 100, .body_bytes = 1000});
  std::string in;
  for (const char c : bytes) {
    in += c;
    RequestParser::Step step;
    do {
      step = parser.feed(in);
      in.erase(0, step.consumed);
    } while (step.state == RequestParser::State::head || (step.consumed > 0 && !in.empty()));
    if (step.state == RequestParser::State::failed) break;
    ASSERT_NE(step.state, RequestParser::State::done);
  }
  EXPECT_EQ(std::to_string(parser.error_status()), GetParam().status);
}

INSTANTIATE_TEST_SUITE_P(Inputs, HostileTest, ::testing::ValuesIn(kHostile),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_F(HttpServerTest, AnswersAndKeepsTheConnection) {
  start();
  auto c = client();
  c.send("GET /a?b=1 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(c.read_until("[GET /a ]").find("HTTP/1.1 200 OK\r\n"), std::string::npos);
  c.send("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
  EXPECT_NE(c.read_until("[POST /b hi]").find("[POST /b hi]"), std::string::npos);
  EXPECT_FALSE(c.ended());
}

TEST_F(HttpServerTest, TakesAChunkedBodyAndLeadingEmptyLines) {
  start();
  const auto answer =
      ask("\r\n\r\nPOST /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
          "2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: x\r\n\r\n");
  EXPECT_NE(answer.find("[POST /c hello]"), std::string::npos) << answer;
}

// The last chunk alone, cut behind its first line: Boost 1.74 asserts that five bytes are there.
TEST(RequestParserTest, TakesALastChunkInPieces) {
  RequestParser parser({});
  EXPECT_EQ(parser.feed(kPost + "Transfer-Encoding: chunked\r\n\r\n").state, RequestParser::State::head);
  EXPECT_EQ(parser.feed("0\r\n").state, RequestParser::State::need_more);
  EXPECT_EQ(parser.feed("0\r\n\r").state, RequestParser::State::need_more);
  EXPECT_EQ(parser.feed("0\r\n\r\n").state, RequestParser::State::done);
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  start();
  auto c = client();
  c.send(
      "GET /later HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\nGET /3 HTTP/1.1\r\nHost: "
      "x\r\n\r\n");
  while (later_.empty()) loop_.turn(1'000'000);
  loop_.turn(1'000'000);
  EXPECT_EQ(handled_, 1) << "the second began before the first was answered";
  later_[0]->send({200, "text/plain", "[first]", {}});
  const auto& all = c.read_until("[GET /3 ]");
  EXPECT_LT(all.find("[first]"), all.find("[GET /2 ]"));
  EXPECT_LT(all.find("[GET /2 ]"), all.find("[GET /3 ]"));
  EXPECT_NE(all.find("[GET /3 ]"), std::string::npos);
}

TEST_F(HttpServerTest, AnswersHeadWithoutABody) {
  start();
  const auto answer = ask("HEAD /h HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_NE(answer.find("Content-Length: 10\r\n"), std::string::npos) << answer;
  EXPECT_EQ(answer.substr(answer.size() - 4), "\r\n\r\n");
}

TEST_F(HttpServerTest, CloseIn10AndOnWish) {
  start();
  EXPECT_NE(ask("GET / HTTP/1.0\r\n\r\n").find("[GET / ]"), std::string::npos);
  EXPECT_NE(ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").find("Connection: close"),
            std::string::npos);
}

TEST_F(HttpServerTest, TellsTheClientToContinueOnlyWithinTheLimit) {
  start();
  auto c = client();
  c.send("POST /e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(c.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  c.send("hi");
  EXPECT_NE(c.read_until("[POST /e hi]").find("200 OK"), std::string::npos);
  const auto refused =
      ask("POST /e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2000\r\n\r\n");
  EXPECT_EQ(refused.substr(0, 12), "HTTP/1.1 413");
}

TEST_F(HttpServerTest, ARefusedUploadCanReadWhy) {
  options_.linger_ns = 5'000'000'000;
  start();
  auto c = client();
  c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n");
  c.send(std::string(4'000'000, 'a'));  // would be broken by a reset if the server just closed
  EXPECT_EQ(c.read_until("larger than").substr(0, 12), "HTTP/1.1 413");
}

TEST_F(HttpServerTest, ASlowLorisIsAnsweredAndCut) {
  options_.head_ns = 100'000'000;
  options_.limits.head_bytes = 1 << 30;
  start();
  auto c = client();
  c.send("GET / HTTP/1.1\r\nX: ");
  const int64_t begin = monotonic_ns();
  while (!c.ended() &&
         monotonic_ns() - begin < 5'000'000'000) {  // each byte would renew a deadline counted per read
    c.send("y");
    c.turn();
  }
  EXPECT_EQ(c.status(), 408);
  c.read_to_end();
  EXPECT_TRUE(c.ended());
  EXPECT_EQ(handled_, 0);
}

TEST_F(HttpServerTest, ASlowBodyIsAnsweredAndCut) {
  options_.request_ns = 50'000'000;
  start();
  EXPECT_EQ(ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhi").substr(0, 12), "HTTP/1.1 408");
}

TEST_F(HttpServerTest, SilentConnectionsAreClosedWithoutAWord) {
  options_.head_ns = 30'000'000;
  options_.idle_ns = 30'000'000;
  start();
  EXPECT_EQ(ask(""), "");
  auto c = client();
  c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto& all = c.read_to_end();
  EXPECT_EQ(all.substr(all.size() - 8), "[GET / ]");
}

TEST_F(HttpServerTest, ConnectionsAboveTheCapAreClosed) {
  options_.max_connections = 2;
  start();
  auto a = client();
  auto b = client();
  while (server_->connections() < 2) loop_.turn(1'000'000);
  auto c = client();
  c.read_to_end();
  EXPECT_TRUE(c.ended());
  a.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(a.read_until("[GET / ]").find("200 OK"), std::string::npos);
  EXPECT_FALSE(b.ended());
}

TEST_F(HttpServerTest, AForgottenReplyIsAnError) {
  start();
  EXPECT_EQ(ask("GET /drop HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").substr(0, 12), "HTTP/1.1 500");
}

TEST_F(HttpServerTest, AReplyMayOutliveItsClientAndServer) {
  start();
  {
    auto c = client();
    c.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    while (later_.empty()) loop_.turn(1'000'000);
  }
  while (server_->connections() > 0) loop_.turn(1'000'000);
  EXPECT_FALSE(later_[0]->open());
  later_[0]->send({});
  auto c = client();
  c.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  while (later_.size() < 2) loop_.turn(1'000'000);
  server_.reset();
  later_[1]->send({});
}

TEST_F(HttpServerTest, AStreamArrivesAsItIsSentAndEnds) {
  start();
  auto c = client();
  c.send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
  while (!stream_) loop_.turn(1'000'000);
  EXPECT_TRUE(stream_->send("data: 1\n\n"));
  EXPECT_NE(c.read_until("data: 1").find("text/event-stream"), std::string::npos);
  EXPECT_FALSE(c.ended());
  stream_->finish();
  c.read_to_end();
  EXPECT_TRUE(c.ended());
  EXPECT_FALSE(stream_->send("more"));
}

TEST_F(HttpServerTest, AStreamClientThatDoesNotReadIsCut) {
  options_.stream_queue_bytes = 100'000;
  start();
  auto c = client();
  c.send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
  while (!stream_) loop_.turn(1'000'000);
  int sent = 0;
  while (stream_->send(std::string(10'000, 'x')) && ++sent < 100'000) loop_.turn(0);
  EXPECT_GE(sent, 10);
  EXPECT_LT(sent, 100'000) << "was never cut";
  EXPECT_FALSE(stream_->open());
  while (server_->connections() > 0) loop_.turn(1'000'000);
}

TEST_F(HttpServerTest, AStreamSeesItsClientGo) {
  start();
  int gone = 0;
  {
    auto c = client();
    c.send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    while (!stream_) loop_.turn(1'000'000);
    stream_->on_close([&] { ++gone; });
  }
  while (stream_->open()) loop_.turn(1'000'000);
  EXPECT_EQ(gone, 1);
  EXPECT_EQ(server_->connections(), 0u);
}

TEST_F(HttpServerTest, AClientThatNeverReadsItsAnswerIsCut) {
  options_.stall_ns = 50'000'000;
  start();
  auto c = client();
  c.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
  while (handled_ == 0) loop_.turn(1'000'000);
  const int64_t give_up = monotonic_ns() + 10'000'000'000;
  while (server_->connections() > 0 && monotonic_ns() < give_up) loop_.turn(1'000'000);
  EXPECT_EQ(server_->connections(), 0u);
}

TEST_F(HttpServerTest, ForeignHostsAndOriginsAreRefused) {
  options_.admit = [this](const Request& head) { return check_host(head, port_); };
  start();
  const auto status = [&](const std::string& host, const std::string& more = "") {
    return ask("GET / HTTP/1.1\r\nHost: " + host + "\r\n" + more + "Connection: close\r\n\r\n").substr(9, 3);
  };
  const std::string port = ":" + std::to_string(port_);
  EXPECT_EQ(status("localhost" + port), "200");
  EXPECT_EQ(status("127.0.0.1" + port), "200");
  EXPECT_EQ(status("[::1]" + port), "200");
  EXPECT_EQ(status("evil.example" + port), "421");
  EXPECT_EQ(status("localhost"), "421");
  EXPECT_EQ(status("localhost:1"), "421");
  EXPECT_EQ(status("localhost.evil.example" + port), "421");
  EXPECT_EQ(status("127.0.0.1@evil" + port), "421");
  EXPECT_EQ(status("localhost" + port, "Origin: http://localhost" + port + "\r\n"), "200");
  EXPECT_EQ(status("localhost" + port, "Origin: http://evil.example\r\n"), "403");
  EXPECT_EQ(status("localhost" + port, "Origin: null\r\n"), "403");
  EXPECT_EQ(ask("GET http://evil.example/ HTTP/1.1\r\nHost: localhost" + port + "\r\n\r\n").substr(9, 3),
            "421");
}

TEST_F(HttpServerTest, ServesAUnixSocketToItsOwnUser) {
  start();
  char folder[] = "/tmp/todd-api-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string path = std::string(folder) + "/api.sock";
  ASSERT_TRUE(server_->listen_unix(path, static_cast<gid_t>(-1)));
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  path.copy(to.sun_path, sizeof to.sun_path - 1);
  ASSERT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  const std::string ask = "GET /u HTTP/1.1\r\nHost: x\r\n\r\n";
  ASSERT_EQ(::send(fd.get(), ask.data(), ask.size(), 0), static_cast<ssize_t>(ask.size()));
  char buffer[1024];
  ssize_t n = -1;
  const int64_t give_up = monotonic_ns() + 10'000'000'000;
  while (n < 0 && monotonic_ns() < give_up) {
    loop_.turn(2'000'000);
    n = recv(fd.get(), buffer, sizeof buffer, MSG_DONTWAIT);
  }
  ASSERT_GT(n, 0);
  EXPECT_NE(std::string(buffer, static_cast<size_t>(n)).find("[GET /u ]"), std::string::npos);
  server_.reset();
  rmdir(folder);
}

TEST_F(HttpServerTest, ABodyInPieces) {
  start();
  const auto answer = ask("GET /pieces HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(answer.find("Transfer-Encoding: chunked\r\n"), std::string::npos);
  EXPECT_NE(answer.find("\r\n\r\n5\r\nxxxxx\r\n5\r\nxxxxx\r\n5\r\nxxxxx\r\n0\r\n\r\n"), std::string::npos)
      << answer;
  const auto old = ask("GET /pieces HTTP/1.0\r\nHost: x\r\n\r\n");
  EXPECT_EQ(old.find("chunked"), std::string::npos);
  EXPECT_NE(old.find("\r\n\r\nxxxxxxxxxxxxxxx"), std::string::npos) << old;
  made_ = 0;
  const auto head = ask("HEAD /pieces HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(head.substr(head.size() - 4), "\r\n\r\n");
  EXPECT_EQ(made_, 0);
}

// Who does not read costs one piece, and is cut.
TEST_F(HttpServerTest, PiecesWaitForTheReader) {
  piece_bytes_ = 50'000'000;
  options_.stall_ns = 50'000'000;
  start();
  auto c = client();
  c.send("GET /pieces HTTP/1.1\r\nHost: x\r\n\r\n");
  const int64_t give_up = monotonic_ns() + 10'000'000'000;
  while ((made_ == 0 || server_->connections() > 0) && monotonic_ns() < give_up) loop_.turn(10'000'000);
  EXPECT_EQ(made_, 1);
  EXPECT_EQ(server_->connections(), 0u);
}

TEST(ParseListenTest, TakesLoopbackOnly) {
  EXPECT_EQ(parse_listen("127.0.0.1:7480")->port, 7480);
  EXPECT_EQ(parse_listen("localhost:1")->address, "127.0.0.1");
  EXPECT_EQ(parse_listen("[::1]:2")->address, "::1");
  for (const char* text : {"0.0.0.0:1", "[::]:1", "192.0.2.1:7480", "example.net:1"}) {
    const auto listen = parse_listen(text);
    ASSERT_FALSE(listen) << text;
    EXPECT_NE(listen.error().detail.find("tokens"), std::string::npos) << listen.error().detail;
  }
  for (const char* text : {"", "7480", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000"}) {
    EXPECT_FALSE(parse_listen(text)) << text;
  }
}

}  // namespace
}  // namespace todd::api
