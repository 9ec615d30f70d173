#include "coordinator/api/run_order.h"

#include <gtest/gtest.h>

#include "coordinator/api/run_events.h"
#include "coordinator/api/sink_option.h"

namespace todd::api {
namespace {

TEST(RunOrderTest, ReadsEveryKey) {
  const auto order = parse_run_order(
      R"({"document": "tests: []", "origin": "a.yaml", "hosts_files": {"h": "r1"}, "set": {"t.count": "3"},
          "only": ["t"], "labels": {"k": "v"}, "trigger": "manual", "check": true,
          "max_edges": 9})");
  ASSERT_TRUE(order) << order.error().detail;
  EXPECT_EQ(order->document, "tests: []");
  EXPECT_EQ(order->origin, "a.yaml");
  EXPECT_EQ(order->hosts_files.at("h"), "r1");
  EXPECT_EQ(order->sets.at("t.count"), "3");
  EXPECT_EQ(order->only, std::vector<std::string>{"t"});
  EXPECT_EQ(order->labels.at("k"), "v");
  EXPECT_EQ(order->trigger, model::Trigger::manual);
  EXPECT_TRUE(order->check);
  EXPECT_EQ(order->max_edges, 9u);
  EXPECT_FALSE(order->dry_run);
}

TEST(RunOrderTest, RefusesWhatItDoesNotUnderstandAndNamesIt) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "JSON"},
      {"[]", "JSON"},
      {"{\"suite\": ", "JSON"},
      {"{}", "suite"},
      {R"({"suite": "a", "document": "b"})", "either"},
      {R"({"suit": "a"})", "did you mean \"suite\""},
      {R"({"suite": 1})", "suite"},
      {R"({"suite": "a", "suite": "b"})", "suite"},
      {R"({"suite": "a", "set": {"t.count": 3}})", "set.t.count"},
      {R"({"suite": "a", "set": {"x": "1", "x": "2"}})", "set.x"},
      {R"({"suite": "a", "only": "t"})", "only"},
      {R"({"suite": "a", "only": [1]})", "only"},
      {R"({"suite": "a", "trigger": "magic"})", "trigger"},
      {R"({"suite": "a", "dry_run": "yes"})", "dry_run"},
      {R"({"suite": "a", "max_edges": 0})", "max_edges"},
      {R"({"suite": "a", "max_edges": -1})", "max_edges"},
      {R"({"suite": "a", "max_edges": "9"})", "max_edges"},
      {R"({"suite": "a", "dry_run": true, "check": true})", "exclude"},
  };
  for (const auto& [json, part] : cases) {
    const auto order = parse_run_order(json);
    ASSERT_FALSE(order) << json;
    EXPECT_EQ(order.error().code, Errc::invalid);
    EXPECT_NE(order.error().detail.find(part), std::string::npos) << order.error().detail;
  }
}

constexpr char kDocument[] = R"(
kind: Group
apiVersion: todd/v1
metadata: {name: routers}
spec: {hosts_file: routers.txt}
---
tests:
  - {name: t, testlet: ping, from: all, to: routers}
)";

TEST(RunOrderTest, ADocumentsGroupsComeFirstAndTakeTheirHostsFromWhatWasSent) {
  RunOrder order;
  order.document = kDocument;
  order.origin = "dir/check.yaml";
  EXPECT_NE(read_document(order, {}).error().detail.find("routers.txt was not sent"), std::string::npos);
  order.hosts_files["routers.txt"] = "r1 192.0.2.1\nr2 192.0.2.2\n";
  model::Group stored, all;
  stored.name = "routers";
  all.name = "all";
  const auto chosen = read_document(order, {stored, all});
  ASSERT_TRUE(chosen) << chosen.error().detail;
  EXPECT_EQ(chosen->suite.name, "check");
  ASSERT_EQ(chosen->groups.size(), 2u);
  EXPECT_EQ(chosen->groups[0].hosts.size(), 2u);
}

TEST(RunOrderTest, ADocumentHoldsOneSuite) {
  RunOrder order;
  order.origin = "a.yaml";
  order.document = "kind: Group\napiVersion: todd/v1\nmetadata: {name: g}\nspec: {match: {agent: x}}\n";
  EXPECT_NE(read_document(order, {}).error().detail.find("found 0"), std::string::npos);
}

TEST(RunOrderTest, NothingToTestIsNotFound) {
  RunOrder order;
  order.suite = "s";
  ChosenSuite chosen;
  const auto request = make_request(order, chosen, {}, {}, {});
  ASSERT_FALSE(request);
  EXPECT_EQ(request.error().code, Errc::not_found);
}

TEST(RunOrderTest, ARequestKnowsItsAgentsAndWhereItCameFrom) {
  model::TestPlan plan;
  plan.edges.resize(1);
  plan.edges[0].source.agent = "a1";
  model::Facts a1, a2;
  a1.agent = "a1";
  a2.agent = "a2";
  RunOrder order;
  order.document = "x";
  order.labels = {{"k", "mine"}};
  ChosenSuite chosen;
  chosen.suite.name = "s";
  chosen.suite.labels = {{"k", "file"}, {"l", "file"}};
  chosen.text = "x";
  const auto request = make_request(order, chosen, {plan}, {a1, a2}, {{"ping", "hash"}});
  ASSERT_TRUE(request);
  ASSERT_EQ(request->agents.size(), 1u);
  EXPECT_EQ(request->agents[0].agent, "a1");
  EXPECT_EQ(request->labels,
            (std::map<std::string, std::string>{{"adhoc", "true"}, {"k", "mine"}, {"l", "file"}}));
  EXPECT_EQ(request->spec_digest.size(), 64u);
}

TEST(RunOrderTest, MoreEdgesThanWereExpectedAreRefused) {
  model::TestPlan plan;
  plan.edges.resize(1);
  plan.edges[0].source.agent = "a1";
  plan.loads = {{.agent = "a1", .edges = 1, .targets = 254},
                {.agent = "a2", .responder = true, .targets = 254}};
  RunOrder order;
  order.suite = "s";
  ChosenSuite chosen;
  chosen.suite.name = "s";
  order.max_edges = 508;
  EXPECT_TRUE(make_request(order, chosen, {plan, plan}, {}, {}));
  order.max_edges = 507;
  const auto refused = make_request(order, chosen, {plan, plan}, {}, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid);
  EXPECT_EQ(refused.error().detail, "suite s: these are 508 edges, more than 507; add --yes if you mean it");
}

TEST(SseTest, EveryLineOfTheDataIsMarked) {
  EXPECT_EQ(sse_event("progress", "{}"), "event: progress\ndata: {}\n\n");
  EXPECT_EQ(sse_event("x", "a\nb"), "event: x\ndata: a\ndata: b\n\n");
}

TEST(SinkOptionTest, ReadsKeys) {
  const auto influx = parse_sink_option("name=main,url=http://127.0.0.1:8086,db=lab,create=true,user=u");
  ASSERT_TRUE(influx) << influx.error().detail;
  EXPECT_EQ(influx->name, "main");
  EXPECT_EQ(influx->type, "influx");
  EXPECT_EQ(influx->database, "lab");
  EXPECT_TRUE(influx->create);
  const auto lines = parse_sink_option("path=/tmp/x.jsonl");
  ASSERT_TRUE(lines);
  EXPECT_EQ(lines->type, "jsonl");
  EXPECT_EQ(lines->name, "jsonl");
}

TEST(SinkOptionTest, ComplaintsHoldNoPassword) {
  const auto sink = parse_sink_option("name=x,url=http://u:s3cret@host,creat=true");
  ASSERT_FALSE(sink);
  EXPECT_EQ(sink.error().detail.find("s3cret"), std::string::npos) << sink.error().detail;
  EXPECT_NE(sink.error().detail.find("url=http://***@host"), std::string::npos) << sink.error().detail;
}

TEST(SinkOptionTest, NamesWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "KEY=VALUE"},
      {"influx", "KEY=VALUE"},
      {"urll=x", "did you mean \"url\""},
      {"name=x", "either"},
      {"url=http://x,path=y", "either"},
      {"url=http://x,create=perhaps", "create"},
      {"url=http://x,password_file=/nonexistent", "password_file"},
  };
  for (const auto& [text, part] : cases) {
    const auto sink = parse_sink_option(text);
    ASSERT_FALSE(sink) << text;
    EXPECT_NE(sink.error().detail.find(part), std::string::npos) << sink.error().detail;
  }
}

}  // namespace
}  // namespace todd::api
