#include "coordinator/cli/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <mutex>
#include <thread>

#include "coordinator/cli/follow.h"
#include "engine/base/clock.h"
#include "engine/io/channel.h"

namespace todd::cli {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string response(int status, const std::string& body, const std::string& type = "application/json") {
  return "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Type: " + type +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

// Answers requests on a unix socket with prepared texts, each in its turn and the last to all that follow, in
// a thread of its own.
class Server {
 public:
  // close: the connection ends after the answer.
  Server(std::string answer, bool close) : Server(std::vector<std::string>{std::move(answer)}, close) {}
  Server(std::vector<std::string> answers, bool close) : answers_(std::move(answers)), close_(close) {
    char folder[] = "/tmp/todd-cli-XXXXXX";
    folder_ = ::mkdtemp(folder);
    auto listener = io::listen_unix(loop_, socket(), 0600, [this](UniqueFd fd) { accept(std::move(fd)); });
    EXPECT_TRUE(listener) << listener.error().detail;
    listener_ = std::move(*listener);
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~Server() {
    loop_.stop();
    thread_.join();
    channels_.clear();
    listener_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::string socket() const { return folder_ + "/api.sock"; }
  // The last request, head and body.
  std::string request() {
    const std::lock_guard lock(mutex_);
    return request_;
  }

 private:
  void accept(UniqueFd fd) {
    const int key = fd.get();
    auto& channel = channels_[key];
    channel = io::adopt(loop_, std::move(fd), nullptr, {});
    channel->set_events({.on_data = [this, key](std::string_view bytes) { return on_data(key, bytes); },
                         .on_close = [this, key](const Error&) { channels_.erase(key); }});
  }

  size_t on_data(int key, std::string_view bytes) {
    const size_t head = bytes.find("\r\n\r\n");
    if (head == std::string_view::npos) return 0;
    size_t length = 0;
    if (const size_t field = bytes.find("Content-Length: "); field < head) {
      length = std::stoul(std::string(bytes.substr(field + 16, 10)));
    }
    if (bytes.size() < head + 4 + length) return 0;
    {
      const std::lock_guard lock(mutex_);
      request_ = bytes.substr(0, head + 4 + length);
    }
    channels_[key]->send(answers_[std::min(answered_++, answers_.size() - 1)]);
    if (close_) channels_[key]->close_after_flush();
    return head + 4 + length;
  }

  std::vector<std::string> answers_;
  size_t answered_ = 0;
  bool close_;
  std::string folder_;
  io::Loop loop_;
  std::unique_ptr<io::Listener> listener_;
  std::map<int, io::ChannelPtr> channels_;
  std::mutex mutex_;
  std::string request_;
  std::thread thread_;
};

Client client_of(const std::string& address) {
  auto client = Client::make(address);
  EXPECT_TRUE(client);
  return std::move(*client);
}

TEST(Client, GetsFromTheSocket) {
  Server server(response(200, R"({"version":"1"})"), false);
  auto client = client_of(server.socket());
  const auto answer = client.get("version");
  ASSERT_TRUE(answer) << answer.error().detail;
  EXPECT_EQ(*answer, R"({"version":"1"})");
  EXPECT_THAT(server.request(), StartsWith("GET /api/v1/version HTTP/1.1\r\n"));
}

TEST(Client, PostsWithTypeOnlyWhereThereIsABody) {
  Server server(response(201, "{}"), false);
  auto client = client_of(server.socket());
  ASSERT_TRUE(client.post("apply", "kind: Group", "application/yaml"));
  EXPECT_THAT(server.request(), HasSubstr("Content-Type: application/yaml\r\n"));
  EXPECT_THAT(server.request(), HasSubstr("\r\n\r\nkind: Group"));
  ASSERT_TRUE(client.post("agents:invite"));
  EXPECT_THAT(server.request(), StartsWith("POST /api/v1/agents:invite "));
  EXPECT_THAT(server.request(), testing::Not(HasSubstr("Content-Type")));
}

TEST(Client, TellsEveryPlaceOfAProblem) {
  Server server(response(400, R"({"status":400,"detail":"two things are wrong","errors":[
    {"origin":"a.yaml","line":3,"column":5,"detail":"unknown key nam"},{"detail":"no tests"}]})"),
                false);
  const auto answer = client_of(server.socket()).get("runs");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::invalid);
  EXPECT_EQ(answer.error().detail, "two things are wrong\n  a.yaml:3:5: unknown key nam\n  no tests");
}

TEST(Client, SaysAPlaceOnce) {
  const Error error = error_of_answer(
      422,
      R"({"detail":"a.yaml:3:5: bad","errors":[{"origin":"a.yaml","line":3,"column":5,"detail":"bad"}]})");
  EXPECT_EQ(error.detail, "a.yaml:3:5: bad");
}

TEST(Client, StatusDecidesTheCode) {
  const std::map<long, Errc> expected{{400, Errc::invalid},   {401, Errc::denied},  {403, Errc::denied},
                                      {404, Errc::not_found}, {409, Errc::invalid}, {413, Errc::invalid},
                                      {422, Errc::invalid},   {500, Errc::system},  {503, Errc::unavailable},
                                      {504, Errc::timed_out}, {302, Errc::system}};
  for (const auto& [status, code] : expected) {
    EXPECT_EQ(error_of_answer(status, "").code, code) << status;
    EXPECT_THAT(error_of_answer(status, "<html>").detail, HasSubstr(std::to_string(status)));
  }
}

TEST(Client, ControlCharactersOfAnErrorAreTakenOut) {
  EXPECT_EQ(error_of_answer(404, "{\"detail\":\"no \\u001b[31mred\"}").detail.find('\x1b'),
            std::string::npos);
}

TEST(Client, NobodyThere) {
  const auto answer = client_of("/nowhere/api.sock").get("version");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::unavailable);
  EXPECT_THAT(answer.error().detail, HasSubstr("/nowhere/api.sock: No such file or directory"));
  EXPECT_THAT(answer.error().detail, HasSubstr("start todd-coordinator or set --coordinator"));
}

TEST(Client, RefusesOtherSchemes) {
  const auto client = Client::make("https://example.net");
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, Errc::invalid);
}

constexpr char kStream[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    "retry: 2000\n\nevent: snapshot\ndata: {}\n\n: ping\n\nevent: finished\ndata: a\ndata: b\n\n";

TEST(Client, ReadsEventsUntilTheReaderHasEnough) {
  Server server(kStream, false);  // stays open: only the reader can end it
  auto client = client_of(server.socket());
  std::vector<std::string> seen;
  const auto status = client.events("runs/1/events", [&](const std::string& name, const std::string& data) {
    seen.push_back(name + "=" + data);
    return name != "finished";
  });
  ASSERT_TRUE(status) << status.error().detail;
  EXPECT_THAT(seen, testing::ElementsAre("snapshot={}", "finished=a\nb"));
}

TEST(Follow, HoldsOnToTheRunWhoseEventsCameFirst) {
  // The first stream breaks after its first event; by then another run may be the last one.
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
  Server server({head + "event: snapshot\ndata: {\"run\":\"0192-full\",\"tests\":[]}\n\n",
                 head + "event: finished\ndata: {\"run\":\"0192-full\"}\n\n"},
                true);
  auto client = client_of(server.socket());
  Interrupts interrupts;
  Progress progress(Progress::Style::none);
  const auto followed = follow_run(client, "last", progress, interrupts);
  ASSERT_TRUE(followed) << followed.error().detail;
  EXPECT_EQ(*followed, "0192-full");
  EXPECT_THAT(server.request(), StartsWith("GET /api/v1/runs/0192-full/events "));
}

TEST(Client, AnInterruptEndsAStream) {
  Server server("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: snapshot\ndata: {}\n\n",
                false);
  auto client = client_of(server.socket());
  const UniqueFd interrupt(::eventfd(0, EFD_CLOEXEC));
  client.set_interrupt(interrupt.get());
  const auto status = client.events("runs/1/events", [&](const std::string&, const std::string&) {
    return ::eventfd_write(interrupt.get(), 1) == 0;
  });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::cancelled);
}

TEST(Client, AnInterruptLeavesARequestItsGrace) {
  const UniqueFd interrupt(::eventfd(1, EFD_CLOEXEC));
  Server server(response(201, "{}"), false);
  auto client = client_of(server.socket());
  client.set_interrupt(interrupt.get(), 10'000'000'000);
  EXPECT_TRUE(client.post("runs", "{}"));
  Server silent("", false);
  client = client_of(silent.socket());
  client.set_interrupt(interrupt.get(), 20'000'000);
  EXPECT_EQ(client.post("runs", "{}").error().code, Errc::cancelled);
}

TEST(Client, ADeadlineEndsAStream) {
  Server server("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", false);
  auto client = client_of(server.socket());
  client.set_deadline(monotonic_ns() + 20'000'000);
  const auto status =
      client.events("runs/1/events", [](const std::string&, const std::string&) { return true; });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::timed_out);
}

TEST(Client, AnEventStreamThatIsRefused) {
  Server server(response(404, R"({"detail":"no run 7"})", "application/problem+json"), false);
  const auto status =
      client_of(server.socket()).events("runs/7/events", [](const auto&, const auto&) { return true; });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::not_found);
  EXPECT_EQ(status.error().detail, "no run 7");
}

TEST(Client, ReadsABodyAsItComes) {
  Server server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n3\r\n[]\n\r\n0\r\n\r\n",
                false);
  std::string lines;
  const auto status =
      client_of(server.socket()).read("runs/7", "application/x-ndjson", [&](std::string_view bytes) {
        lines += bytes;
        return true;
      });
  ASSERT_TRUE(status) << status.error().detail;
  EXPECT_EQ(lines, "{}\n[]\n");
  EXPECT_THAT(server.request(), HasSubstr("Accept: application/x-ndjson\r\n"));
}

TEST(Client, ABodyThatBreaksOffIsAnError) {
  Server server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n", true);
  const auto status =
      client_of(server.socket()).read("runs/7", "application/x-ndjson", [](auto) { return true; });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::unavailable);
}

TEST(Sse, AnySplitGivesTheSameEvents) {
  const std::string text = "event: a\r\ndata: 1\r\n\r\n:x\n\ndata:2\n\nevent: none\n\n";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    std::string seen;
    SseParser parser([&](const std::string& name, const std::string& data) {
      seen += name + "=" + data + ";";
      return true;
    });
    EXPECT_TRUE(parser.feed(text.substr(0, cut)));
    EXPECT_TRUE(parser.feed(text.substr(cut)));
    EXPECT_EQ(seen, "a=1;message=2;") << cut;
  }
}

TEST(Client, PathPartsAreEncoded) { EXPECT_EQ(path_part("a/b ~1é"), "a%2Fb%20~1%C3%A9"); }

}  // namespace
}  // namespace todd::cli
