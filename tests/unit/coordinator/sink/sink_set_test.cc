#include "coordinator/sink/sink_set.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <list>

#include "coordinator/sink/line_spool.h"
#include "engine/base/files.h"
#include "engine/io/channel.h"

namespace todd::sink {
namespace {

// Answers POSTs as told; everything it took with 204 is in `lines`.
class Server {
 public:
  using Judge =
      std::function<std::string(const std::string& path, const std::string& body)>;  // "204", "400 text"
  explicit Server(io::Loop& loop, uint16_t port = 0) : loop_(loop) {
    listener_ =
        std::move(*io::listen_tcp(loop, "127.0.0.1", port, [this](UniqueFd fd) { accept(std::move(fd)); }));
  }
  uint16_t port() const { return listener_->port(); }

  Judge judge = [](const std::string&, const std::string&) { return "204"; };
  std::vector<std::string> lines;
  std::vector<std::string> paths;

 private:
  void accept(UniqueFd fd) {
    channels_.emplace_back();
    auto at = std::prev(channels_.end());
    io::Channel::Events events;
    events.on_data = [this, at](std::string_view bytes) { return take(**at, bytes); };
    events.on_close = [](const Error&) {};
    *at = io::adopt(loop_, std::move(fd), nullptr, std::move(events));
  }
  size_t take(io::Channel& channel, std::string_view bytes) {
    const size_t head = bytes.find("\r\n\r\n");
    if (head == std::string_view::npos) return 0;
    const size_t at = bytes.find("Content-Length: ");
    const size_t length = std::stoul(std::string(bytes.substr(at + 16, 10)));
    if (bytes.size() < head + 4 + length) return 0;
    const std::string path(bytes.substr(5, bytes.find(' ', 5) - 5)), body(bytes.substr(head + 4, length));
    paths.push_back(path);
    const std::string verdict = judge(path, body);
    if (verdict == "204" && path.rfind("/write", 0) == 0) {
      for (size_t from = 0, to; (to = body.find('\n', from)) != std::string::npos; from = to + 1)
        lines.push_back(body.substr(from, to - from));
    }
    const std::string text = verdict.size() > 4 ? verdict.substr(4) : "";
    channel.send("HTTP/1.1 " + verdict.substr(0, 3) + " X\r\nContent-Length: " + std::to_string(text.size()) +
                 "\r\n\r\n" + text);
    return head + 4 + length;
  }

  io::Loop& loop_;
  std::unique_ptr<io::Listener> listener_;
  std::list<io::ChannelPtr> channels_;
};

class SinkSetTest : public ::testing::Test {
 protected:
  SinkSetTest() {
    testlet.id = "ping";
    manifest::Metric sent;
    sent.name = "sent";
    sent.kind = stats::Kind::counter;
    testlet.metrics.push_back(sent);
    options.gather_ns = 1'000'000;
    options.retry_first_ns = 1'000'000;
    options.retry_most_ns = 4'000'000;
    options.probe_ns = 5'000'000;
    std::string pattern = ::testing::TempDir() + "todd_sink_XXXXXX";
    dir = mkdtemp(pattern.data());
  }
  ~SinkSetTest() override { std::filesystem::remove_all(dir); }

  void open(uint16_t port, const std::string& spool = "") {
    SinkConfig config;
    config.name = "tsdb";
    config.type = "influx";
    config.url = "http://127.0.0.1:" + std::to_string(port);
    config.create = create;
    sinks.reset();
    sinks = std::move(*SinkSet::open(loop, {config}, spool, options));
    sinks->on_settled(
        [this](const std::string& run, const std::vector<model::Delivery>& d) { settled[run] = d.at(0); });
  }
  void write(const std::string& run, uint64_t sent) {
    stats::Values metrics;
    metrics["sent"].counter = sent;
    const std::string text = "x";
    sinks->write({run, text, text, testlet, text, text, text, static_cast<int64_t>(sent), metrics});
  }
  template <class Condition>
  bool until(Condition condition) {
    for (int i = 0; i < 2000 && !condition(); ++i) loop.turn(5'000'000);
    return condition();
  }
  static bool has(const std::string& body, int sent) {
    return body.find("sent=" + std::to_string(sent) + "i") != std::string::npos;
  }

  io::Loop loop;
  manifest::Testlet testlet;
  SinkOptions options;
  bool create = false;
  std::string dir;
  std::unique_ptr<SinkSet> sinks;
  std::map<std::string, model::Delivery> settled;
};

TEST_F(SinkSetTest, DeliversInOrderAndSettles) {
  Server server(loop);
  options.batch_lines = 3;
  open(server.port(), dir);
  sinks->open_run("r1");
  for (uint64_t i = 1; i <= 10; ++i) write("r1", i);
  EXPECT_EQ(sinks->delivery("r1").at(0).state, "pending");
  sinks->close_run("r1");
  ASSERT_TRUE(until([&] { return settled.count("r1") != 0; }));
  EXPECT_EQ(settled["r1"].state, "delivered");
  EXPECT_EQ(settled["r1"].delivered, 10u);
  ASSERT_EQ(server.lines.size(), 10u);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(has(server.lines[static_cast<size_t>(i)], i + 1));
  EXPECT_EQ(server.paths.at(0), "/write?precision=ns&db=todd");
  EXPECT_TRUE(sinks->delivery("r1").empty());
  EXPECT_TRUE(std::filesystem::is_empty(dir + "/tsdb"));
}

TEST_F(SinkSetTest, RetriesAfterServerErrors) {
  Server server(loop);
  int left = 4;
  server.judge = [&](const std::string&, const std::string&) { return left-- > 0 ? "503 busy" : "204"; };
  open(server.port());
  sinks->open_run("r1");
  write("r1", 1);
  ASSERT_TRUE(until([&] { return sinks->health()[0].state == "failing"; }));
  EXPECT_EQ(sinks->delivery("r1").at(0).state, "failing");
  sinks->close_run("r1");
  ASSERT_TRUE(until([&] { return settled.count("r1") != 0; }));
  EXPECT_EQ(server.lines.size(), 1u);
  EXPECT_NE(sinks->health()[0].last_error.find("HTTP 503 busy"), std::string::npos);
}

TEST_F(SinkSetTest, ARefusedConnectionIsRetriedUntilTheServerIsBack) {
  uint16_t port = 0;
  { port = Server(loop).port(); }
  open(port);
  sinks->open_run("r1");
  write("r1", 1);
  sinks->close_run("r1");
  ASSERT_TRUE(until([&] { return !sinks->health()[0].last_error.empty(); }));
  Server server(loop, port);
  ASSERT_TRUE(until([&] { return settled.count("r1") != 0; }));
  EXPECT_EQ(settled["r1"].delivered, 1u);
}

TEST_F(SinkSetTest, BisectionFindsTheBadLinesAndKeepsTheOrder) {
  Server server(loop);
  server.judge = [&](const std::string&, const std::string& body) {
    return has(body, 7) || has(body, 12) ? "400 {\"error\":\"unable to parse\"}" : "204";
  };
  open(server.port());
  sinks->open_run("r1");
  for (uint64_t i = 1; i <= 16; ++i) write("r1", i);
  sinks->close_run("r1");
  ASSERT_TRUE(until([&] { return settled.count("r1") != 0; }));
  EXPECT_EQ(settled["r1"].state, "dead");
  EXPECT_EQ(settled["r1"].dead, 2u);
  EXPECT_EQ(settled["r1"].delivered, 14u);
  ASSERT_EQ(server.lines.size(), 14u);
  EXPECT_TRUE(has(server.lines[5], 6) && has(server.lines[6], 8));
  EXPECT_LE(server.paths.size(), 20u);
  EXPECT_NE(sinks->health()[0].last_error.find("unable to parse"), std::string::npos);
}

TEST_F(SinkSetTest, TooLargeABatchIsHalved) {
  Server server(loop);
  server.judge = [&](const std::string&, const std::string& body) {
    return body.size() > 200 ? "413 large" : "204";
  };
  open(server.port());
  sinks->open_run("r1");
  for (uint64_t i = 1; i <= 20; ++i) write("r1", i);
  sinks->close_run("r1");
  ASSERT_TRUE(until([&] { return settled.count("r1") != 0; }));
  EXPECT_EQ(settled["r1"].delivered, 20u);
}

TEST_F(SinkSetTest, AMissingDatabasePausesOrIsMade) {
  Server server(loop);
  bool made = false;
  server.judge = [&](const std::string& path, const std::string& body) -> std::string {
    if (path == "/query") {
      made = body == "q=CREATE%20DATABASE%20%22todd%22";
      return "200 {}";
    }
    return made ? "204" : "404 {\"error\":\"database not found: \\\"todd\\\"\"}";
  };
  open(server.port());
  sinks->open_run("r1");
  write("r1", 1);
  sinks->close_run("r1");
  ASSERT_TRUE(until([&] { return sinks->health()[0].state == "paused"; }));
  EXPECT_FALSE(made);
  create = true;
  open(server.port());
  sinks->open_run("r2");
  write("r2", 2);
  sinks->close_run("r2");
  ASSERT_TRUE(until([&] { return settled.count("r2") != 0; }));
  EXPECT_TRUE(made);
  EXPECT_EQ(server.lines.size(), 1u);
}

TEST_F(SinkSetTest, UndeliveredLinesSurviveARestartAndReplayAddsNoneTwice) {
  uint16_t port = 0;
  { port = Server(loop).port(); }
  open(port, dir);
  sinks->open_run("r1");
  write("r1", 1);
  write("r1", 2);
  sinks->close_run("r1");
  sinks->open_run("r2");
  write("r2", 3);
  open(port, dir);
  sinks->open_run("r2");
  write("r2", 3);  // replayed
  write("r2", 4);
  sinks->close_run("r2");
  Server server(loop, port);
  ASSERT_TRUE(until([&] { return settled.size() == 2; }));
  ASSERT_EQ(server.lines.size(), 4u);
  EXPECT_EQ(settled["r1"].delivered, 2u);
  EXPECT_EQ(settled["r2"].delivered, 2u);
}

TEST_F(SinkSetTest, WhatFindsNoRoomIsCounted) {
  uint16_t port = 0;
  { port = Server(loop).port(); }
  options.backlog_bytes = 300;
  open(port);
  sinks->open_run("r1");
  for (uint64_t i = 1; i <= 10; ++i) write("r1", i);
  const auto delivery = sinks->delivery("r1").at(0);
  EXPECT_GT(delivery.dead, 0u);
  EXPECT_EQ(delivery.dead + delivery.pending, 10u);
  EXPECT_EQ(sinks->health()[0].dropped, delivery.dead);
}

// As after a kill between the write and the note of it in the spool.
TEST_F(SinkSetTest, AFileGetsNoLineTwiceAfterAKill) {
  SinkConfig config;
  config.name = "file";
  config.type = "jsonl";
  config.path = dir + "/points.jsonl";
  const std::string spool = dir + "/spool", lines = spool + "/file/r1.lines", before = dir + "/before.lines";
  const auto deliver = [&](std::initializer_list<uint64_t> counts) {
    sinks = std::move(*SinkSet::open(loop, {config}, spool, options));
    sinks->open_run("r1");
    for (const uint64_t sent : counts) write("r1", sent);
  };
  const auto delivered = [&](uint64_t n) { return sinks->delivery("r1").at(0).delivered == n; };
  deliver({1});
  ASSERT_TRUE(until([&] { return delivered(1); }));
  write("r1", 2);
  write("r1", 3);
  sinks.reset();
  std::filesystem::copy_file(lines, before);
  deliver({1, 2, 3});
  ASSERT_TRUE(until([&] { return delivered(3); }));
  sinks.reset();
  const std::string all = *read_file(config.path);
  const size_t second = all.find('\n') + 1;
  ASSERT_EQ(std::count(all.begin(), all.end(), '\n'), 3);
  // Whatever part of the two lines had reached the file.
  for (size_t size = second; size <= all.size(); ++size) {
    std::filesystem::copy_file(before, lines, std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(config.path, size);
    deliver({1, 2, 3});
    ASSERT_TRUE(until([&] { return delivered(3); })) << size;
    sinks.reset();
    ASSERT_EQ(*read_file(config.path), all) << size;
  }
}

TEST(LineSpoolTest, WhatIsDoneWithLeavesTheDisk) {
  std::string pattern = ::testing::TempDir() + "todd_lines_XXXXXX";
  const std::string dir = mkdtemp(pattern.data()), path = dir + "/r1.lines";
  const auto on_disk = [&] {
    struct stat info {};
    EXPECT_EQ(::stat(path.c_str(), &info), 0);
    return static_cast<uint64_t>(info.st_blocks) * 512;
  };
  auto spool = LineSpool::open(path).value();
  std::string line(1023, 'x');
  line += '\n';
  for (int i = 0; i < 20'000; ++i) {
    ASSERT_TRUE(spool.append(line));
    if (i % 100 != 99) continue;
    ASSERT_EQ(spool.front(100, SIZE_MAX / 2)->size(), line.size() * 100);
    spool.consume(100, line.size() * 100, true);
  }
  line[0] = 'y';
  ASSERT_TRUE(spool.append(line));
  ASSERT_TRUE(spool.flush(true));
  EXPECT_LT(on_disk(), uint64_t{6} << 20);
  auto again = LineSpool::open(path).value();
  EXPECT_EQ(again.pending(), 1u);
  EXPECT_EQ(again.delivered(), 20'000u);
  EXPECT_EQ(*again.front(10, 10'000), line);
  std::filesystem::remove_all(dir);
}

TEST_F(SinkSetTest, BadConfigIsRefused) {
  SinkConfig config;
  config.name = "x";
  config.type = "kafka";
  EXPECT_EQ(SinkSet::open(loop, {config}, "").error().code, Errc::invalid);
  config.type = "influx";
  config.url = "file:///etc/passwd";
  EXPECT_EQ(SinkSet::open(loop, {config}, "").error().code, Errc::invalid);
  for (const char* url :
       {"http://u:s3cret@127.0.0.1:8086", "http://s3cret@host", "https://u:s3cret@host/path"}) {
    config.url = url;
    const auto refused = SinkSet::open(loop, {config}, "");
    ASSERT_FALSE(refused) << url;
    EXPECT_NE(refused.error().detail.find("password_file="), std::string::npos) << refused.error().detail;
    EXPECT_EQ(refused.error().detail.find("s3cret"), std::string::npos) << refused.error().detail;
  }
  config.name = "../x";
  EXPECT_EQ(SinkSet::open(loop, {config}, "").error().code, Errc::invalid);
}

}  // namespace
}  // namespace todd::sink
