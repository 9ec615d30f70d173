#pragma once
// A supervisor with the books of what it said, for the tests of this folder.

#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/clock.h"
#include "engine/manifest/params.h"
#include "engine/supervise/supervisor.h"
#include "todd/v1/task.pb.h"

namespace todd::supervise {

enum { kPlanned, kUnsent, kSent, kReceived, kLost, kLate, kDuplicate, kUndetermined };

struct Book {  // what the supervisor said of one task
  bool ready = false, failed = false, last = false, partial = false;
  int64_t from_wall_ns = 0, to_wall_ns = 0;  // what the records cover has no gap
  bool more = false;
  uint32_t port = 0;
  std::vector<v1::Endpoint> endpoints;
  std::string state, reason, detail;
  uint64_t seq = 0;
  std::map<uint32_t, std::map<uint32_t, uint64_t>> counters;  // edge -> metric -> sum
  uint64_t rtts = 0, rtt_max = 0;
  int samples = 0;
};

class SupervisorBooks : public testing::Test {
 protected:
  void start(const SupervisorOptions& options) {
    supervisor_.reset();
    Supervisor::Events events;
    events.ready = [this](const v1::Ready& ready) {
      books_[ready.task()].ready = true;
      books_[ready.task()].port = ready.port();
      books_[ready.task()].endpoints.assign(ready.endpoints().begin(), ready.endpoints().end());
    };
    events.failed = [this](const v1::Failed& failed) {
      auto& book = books_[failed.task()];
      book.failed = true;
      book.reason = failed.reason();
      book.detail = failed.detail();
    };
    events.record = [this](v1::Record&& record) { enter(record); };
    supervisor_ = std::make_unique<Supervisor>(loop_, options, events);
    ASSERT_TRUE(supervisor_->start());
  }

  void enter(const v1::Record& record) {
    auto& book = books_[record.task()];
    EXPECT_EQ(record.seq(), ++book.seq);
    if (book.seq == 1) book.from_wall_ns = book.to_wall_ns = record.from_wall_ns();
    if (!book.more && !lanes_) {  // but that a worker's two clocks drift against each other
      EXPECT_NEAR(static_cast<double>(record.from_wall_ns() - book.to_wall_ns), 0, 1e6);
    }
    EXPECT_GE(record.to_wall_ns(), record.from_wall_ns());
    book.to_wall_ns = record.to_wall_ns();
    book.more = record.more();
    for (const auto& row : record.rows()) {
      for (const auto& cell : row.cells()) {
        book.counters[row.edge()][cell.metric()] += cell.counter();
        if (cell.metric() == 11 && cell.has_histogram()) {  // rtt, the first of ping's own
          book.rtts += cell.histogram().count();
          book.rtt_max = std::max<uint64_t>(book.rtt_max, cell.histogram().max());
        }
      }
    }
    book.samples += record.samples_size();
    if (!record.last()) return;
    book.last = true;
    book.partial = record.partial();
    book.state = record.state();
    book.reason = record.reason();
    book.detail = record.detail();
  }

  v1::Task ping(const std::string& id, const std::vector<std::string>& hosts, uint64_t count,
                int64_t interval_ns) {
    v1::Task task;
    task.set_id(id);
    task.set_run_id("run");
    task.set_testlet("ping");
    task.set_role(v1::SOURCE);
    fill_params(task, {});
    task.mutable_schedule()->set_count(count);
    task.mutable_schedule()->set_interval_ns(interval_ns);
    task.mutable_schedule()->set_timeout_ns(300'000'000);
    task.mutable_schedule()->set_period_ns(50'000'000);
    task.set_deadline_ns(20'000'000'000);
    for (const auto& host : hosts) task.add_targets()->set_host(host);
    return task;
  }

  void fill_params(v1::Task& task, const std::map<std::string, std::string>& given) {
    for (const auto& file : supervisor_->testlets()) {
      const auto* testlet = file.manifest.testlet(task.testlet());
      if (testlet == nullptr) continue;
      auto values = manifest::resolve_params(testlet->params, given);
      ASSERT_TRUE(values) << values.error().detail;
      for (const auto& value : *values) {
        auto& out = *task.add_params();
        out.set_given(value.given);
        if (value.type == manifest::ParamType::text)
          out.set_s(value.s);
        else if (value.type == manifest::ParamType::real || value.type == manifest::ParamType::rate ||
                 value.type == manifest::ParamType::ratio)
          out.set_r(value.r);
        else
          out.set_i(value.i);
      }
    }
  }

  template <class Done>
  bool wait(Done done) {
    const int64_t until = monotonic_ns() + 20'000'000'000;
    while (!done() && monotonic_ns() < until) loop_.turn(100'000'000);
    return done();
  }
  // A task of any testlet with one peer or target, by metric name afterwards.
  v1::Task task_of(const std::string& id, const std::string& testlet, v1::Role role,
                   const std::map<std::string, std::string>& params) {
    v1::Task task;
    task.set_id(id);
    task.set_run_id("run");
    task.set_testlet(testlet);
    task.set_role(role);
    fill_params(task, params);
    task.mutable_schedule()->set_period_ns(100'000'000);
    task.mutable_schedule()->set_timeout_ns(2'000'000'000);
    task.set_deadline_ns(15'000'000'000);
    if (role == v1::RESPONDER) task.add_peers()->set_token(kToken);
    return task;
  }
  uint64_t counter(const std::string& task, const std::string& testlet, const std::string& metric) {
    for (const auto& file : supervisor_->testlets()) {
      const auto* t = file.manifest.testlet(testlet);
      for (uint32_t m = 0; t != nullptr && m < t->metrics.size(); ++m)
        if (t->metrics[m].name == metric) return books_[task].counters[0][m];
    }
    ADD_FAILURE() << testlet << " has no metric " << metric;
    return 0;
  }
  // Prepares and starts the responder, then runs the source against its port; both have ended afterwards.
  void run_pair(v1::Task responder, v1::Task source) {
    supervisor_->prepare(responder);
    ASSERT_TRUE(wait([&] { return books_["r"].ready || books_["r"].failed; }));
    ASSERT_TRUE(books_["r"].ready) << books_["r"].detail;
    ASSERT_NE(books_["r"].port, 0u);
    supervisor_->start_task("r", wall_ns());
    auto& target = *source.add_targets();
    target.set_host("127.0.0.1");
    target.set_port(books_["r"].port);
    target.set_peer_token(kToken);
    auto& book = run(source);
    ASSERT_TRUE(book.last) << book.reason << ": " << book.detail;
    EXPECT_EQ(book.state, "complete") << book.reason << ": " << book.detail;
    supervisor_->stop_task("r", false);
    ASSERT_TRUE(wait([&] { return books_["r"].last; }));
  }
  static constexpr uint64_t kToken = 0x1234567890abcdef;

  Book& run(const v1::Task& task) {
    supervisor_->prepare(task);
    Book& book = books_[task.id()];
    EXPECT_TRUE(wait([&] { return book.ready || book.failed; }));
    if (book.ready) {
      supervisor_->start_task(task.id(), wall_ns() + 20'000'000);
      EXPECT_TRUE(wait([&] { return book.last; }));
    }
    return book;
  }

  io::Loop loop_;
  bool lanes_ = false;  // several: records of one period overlap
  std::map<std::string, Book> books_;
  std::unique_ptr<Supervisor> supervisor_;
};

}  // namespace todd::supervise
