#pragma once
// A clock moved by hand, a transport that remembers what it was told, and plans made without files.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "coordinator/run/runs.h"
#include "coordinator/run/uuid.h"
#include "coordinator/sink/sink_set.h"
#include "coordinator/store/finished_runs.h"
#include "coordinator/store/journal.h"
#include "engine/io/loop.h"
#include "todd/v1/task.pb.h"

namespace todd::run {

class HandClock : public Clock {
 public:
  int64_t now_ns() const override { return now; }
  int64_t wall_now_ns() const override { return 1'800'000'000'000'000'000 + now; }
  int64_t now = 1'000'000'000;
};

class Script : public Transport {
 public:
  struct Sent {
    std::string agent;
    v1::Task task;
  };
  bool connected(const std::string& agent) const override { return away.count(agent) == 0; }
  ClockQuality clock(const std::string& agent) const override {
    const auto own = qualities.find(agent);
    return own == qualities.end() ? quality : own->second;
  }
  void prepare(const std::string& agent, const v1::Task& task) override { prepared.push_back({agent, task}); }
  void start(const std::string& agent, const std::string& task, int64_t at) override {
    started.push_back({agent + " " + task, at});
  }
  void stop(const std::string& agent, const std::string& task, bool cancel) override {
    stopped.push_back(agent + " " + task + (cancel ? " cancel" : ""));
  }
  void ack(const std::string&, const std::string& task, uint64_t seq) override {
    acked[task] = std::max(acked[task], seq);
  }

  // The latest task prepared on the agent in the role; empty id if none.
  v1::Task last(const std::string& agent, v1::Role role) const {
    for (auto it = prepared.rbegin(); it != prepared.rend(); ++it) {
      if (it->agent == agent && it->task.role() == role) return it->task;
    }
    return {};
  }
  size_t count(v1::Role role) const {
    return static_cast<size_t>(std::count_if(prepared.begin(), prepared.end(),
                                             [&](const Sent& s) { return s.task.role() == role; }));
  }

  std::set<std::string> away;
  ClockQuality quality;
  std::map<std::string, ClockQuality> qualities;  // of those that differ
  std::vector<Sent> prepared;
  std::vector<std::pair<std::string, int64_t>> started;
  std::vector<std::string> stopped;
  std::map<std::string, uint64_t> acked;
};

inline manifest::Testlet probe_testlet(bool responder, bool heavy = false) {
  manifest::Manifest manifest;
  manifest.abi_minor = 1;
  manifest::Testlet testlet;
  testlet.id = "echo";
  testlet.version = "1.0";
  testlet.source = true;
  testlet.responder = responder;
  testlet.heavy = heavy;
  testlet.probes = true;
  testlet.schedule.tickets = true;
  testlet.schedule.count = "10";
  testlet.schedule.interval = "100ms";
  manifest::Metric rtt;
  rtt.name = "rtt";
  rtt.unit = "ns";
  rtt.kind = stats::Kind::histogram;
  testlet.metrics.push_back(rtt);
  manifest.testlets.push_back(testlet);
  // Through text, so that the host's metrics come in front as in life.
  return manifest::parse_manifest(manifest::write_manifest(manifest)).value().testlets.front();
}

inline uint32_t metric_index(const manifest::Testlet& testlet, const std::string& name) {
  for (uint32_t i = 0; i < testlet.metrics.size(); ++i) {
    if (testlet.metrics[i].name == name) return i;
  }
  return UINT32_MAX;
}

struct PlannedEdge {
  std::string source, target;
  bool agent = true;
};

inline model::TestPlan plan_of(const manifest::Testlet& testlet, const std::string& name, size_t step,
                               const std::vector<PlannedEdge>& edges,
                               const std::vector<std::string>& expect = {}) {
  model::TestPlan plan;
  plan.test.name = name;
  plan.test.testlet = testlet.id;
  plan.label = name;
  plan.step = step;
  plan.testlet = testlet;
  plan.params = manifest::resolve_params(testlet.params, {}).value();
  plan.host = manifest::resolve_host_params(testlet, {}).value();
  plan.at_once = testlet.heavy ? 1 : 0;
  for (const PlannedEdge& e : edges) {
    model::Edge edge;
    edge.source.agent = e.source;
    edge.target_name = e.target;
    edge.target.host = e.agent ? "192.0.2.7" : e.target;
    if (e.agent) {
      edge.target_agent.agent = e.target;
      edge.target.agent = e.target;
      edge.address = "192.0.2.7";
    }
    plan.edges.push_back(edge);
  }
  for (const std::string& text : expect)
    plan.expectations.push_back(model::parse_expectation(text, testlet).value());
  return plan;
}

inline Request request_of(std::vector<model::TestPlan> plans) {
  Request request;
  request.suite = "health";
  std::set<std::string> agents;
  for (const model::TestPlan& plan : plans) {
    for (const model::Edge& edge : plan.edges) {
      agents.insert(edge.source.agent);
      if (!edge.target_agent.agent.empty()) agents.insert(edge.target_agent.agent);
    }
  }
  for (const std::string& name : agents) {
    model::Facts facts;
    facts.agent = name;
    request.agents.push_back(facts);
  }
  request.plans = std::move(plans);
  return request;
}

inline v1::Ready ready_of(const v1::Task& task, uint32_t port = 0) {
  v1::Ready ready;
  ready.set_task(task.id());
  ready.set_port(port);
  return ready;
}

inline v1::Failed failed_of(const v1::Task& task, const std::string& reason,
                            const std::string& detail = "why") {
  v1::Failed failed;
  failed.set_task(task.id());
  failed.set_reason(reason);
  failed.set_detail(detail);
  return failed;
}

// A period in which every edge sent and received so much, each answer after rtt_ns.
inline v1::Record record_of(const manifest::Testlet& testlet, const v1::Task& task, uint64_t seq, bool last,
                            uint64_t sent, uint64_t received, uint32_t rows = 1,
                            uint64_t rtt_ns = 2'000'000) {
  v1::Record record;
  record.set_task(task.id());
  record.set_seq(seq);
  record.set_from_wall_ns(1'800'000'000'000'000'000 + static_cast<int64_t>(seq) * 1'000'000'000);
  record.set_to_wall_ns(record.from_wall_ns() + 1'000'000'000);
  record.set_last(last);
  if (last) record.set_state("complete");
  for (uint32_t row = 0; row < rows; ++row) {
    v1::Row* out = record.add_rows();
    out->set_edge(row);
    const auto count = [&](const char* name, uint64_t n) {
      v1::Cell* cell = out->add_cells();
      cell->set_metric(metric_index(testlet, name));
      cell->set_counter(n);
    };
    count("planned", sent);
    count("sent", sent);
    count("received", received);
    count("lost", sent - received);
    if (received == 0) continue;
    v1::Cell* cell = out->add_cells();
    cell->set_metric(metric_index(testlet, "rtt"));
    v1::Histogram* h = cell->mutable_histogram();
    stats::Histogram values;
    values.add(rtt_ns, received);
    h->set_count(values.count);
    h->set_sum(values.sum);
    h->set_min(values.min);
    h->set_max(values.max);
    h->set_squares_low(static_cast<uint64_t>(values.sum_squares));
    h->add_bucket(values.buckets[0].first);
    h->add_n(received);
  }
  return record;
}

// Runs without stores, and agents played by the test.
class RunsTest : public ::testing::Test {
 protected:
  void SetUp() override { reset(); }
  void reset(Stores stores = {}) {
    runs.reset();
    runs = std::make_unique<Runs>(loop, script, clock, RunsOptions{}, stores);
  }
  void pass(int64_t ns) {
    clock.now += ns;
    runs->expire();
  }
  // The test's only source and responder answer until the source runs.
  v1::Task bring_up(const std::string& source, const std::string& target) {
    if (!target.empty()) runs->on_ready(target, ready_of(script.last(target, v1::RESPONDER), 7501));
    const v1::Task task = script.last(source, v1::SOURCE);
    runs->on_ready(source, ready_of(task));
    return task;
  }
  model::Report report(const std::string& id) {
    auto result = runs->report(id);
    EXPECT_TRUE(result) << (result ? "" : result.error().detail);
    return result ? **result : model::Report{};
  }

  io::Loop loop;
  HandClock clock;
  Script script;
  manifest::Testlet echo = probe_testlet(true);
  std::unique_ptr<Runs> runs;
};

// With a journal, a store and a sink on disk: open_stores() is a restart.
class RestartTest : public RunsTest {
 protected:
  void SetUp() override {
    dir = ::testing::TempDir() + "todd_restart_" + UuidMaker().next(wall_ns());
    open_stores();
  }
  void TearDown() override {
    runs.reset();
    std::filesystem::remove_all(dir);
  }
  void open_stores() {
    runs.reset();
    journal.reset();
    finished.reset();
    sinks.reset();
    journal = std::move(*store::Journal::open(loop, dir + "/open"));
    finished = std::make_unique<store::FinishedRuns>(std::move(*store::FinishedRuns::open(dir + "/runs")));
    sink::SinkConfig config;
    config.name = "file";
    config.type = "jsonl";
    config.path = dir + "/points.jsonl";
    sinks = std::move(*sink::SinkSet::open(loop, {config}, dir + "/spool"));
    reset({journal.get(), finished.get(), sinks.get()});
  }
  size_t lines() const {
    FILE* file = fopen((dir + "/points.jsonl").c_str(), "r");
    if (file == nullptr) return 0;
    size_t n = 0;
    for (int c = fgetc(file); c != EOF; c = fgetc(file)) n += c == '\n';
    fclose(file);
    return n;
  }

  uintmax_t journal_bytes(const std::string& id) const {
    return std::filesystem::file_size(dir + "/open/" + id + ".journal");
  }

  std::string dir;
  std::unique_ptr<store::Journal> journal;
  std::unique_ptr<store::FinishedRuns> finished;
  std::unique_ptr<sink::SinkSet> sinks;
};

}  // namespace todd::run
