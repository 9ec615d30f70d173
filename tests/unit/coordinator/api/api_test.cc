// The routes on the coordinator's real parts, without agents.
#include "coordinator/api/api.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "coordinator/api/run_order.h"
#include "coordinator/fleet/link_server.h"
#include "coordinator/fleet/roster.h"
#include "coordinator/run/runs.h"
#include "coordinator/store/definitions.h"
#include "engine/base/clock.h"

namespace todd::api {
namespace {

struct FakeReply : Reply {
  void send(Response r) override { response = std::move(r); }
  void send_pieces(Response head, Pieces next) override {
    response = std::move(head);
    for (std::string piece; next(piece); piece.clear()) response.body += piece;
  }
  std::shared_ptr<EventStream> stream(Response) override { return nullptr; }
  bool open() const override { return true; }
  Response response{0, "", "", {}};
};

struct Folder {
  Folder() {
    char name[] = "/tmp/todd-api-XXXXXX";
    path = mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

fleet::LinkOptions link_options(const std::string& folder) {
  fleet::LinkOptions options;
  options.port = 0;
  options.data_dir = folder + "/fleet";
  return options;
}

class ApiTest : public ::testing::Test {
 protected:
  ApiTest() {
    link_.set_events(runs_);
    EXPECT_TRUE(roster_.load());
    EXPECT_TRUE(link_.start());
  }

  Response ask(const std::string& method, const std::string& path, const std::string& body = "",
               const std::string& accept = "") {
    Request request;
    request.method = method;
    const size_t question = std::min(path.find('?'), path.size());
    request.path = "/api/v1/" + path.substr(0, question);
    request.query = *parse_query(std::string_view(path).substr(std::min(question + 1, path.size())));
    request.headers["content-type"] = body.substr(0, 1) == "{" ? "application/json" : "application/yaml";
    if (!accept.empty()) request.headers["accept"] = accept;
    request.body = body;
    auto reply = std::make_shared<FakeReply>();
    api_.handle(request, reply);
    return reply->response;
  }

  Folder folder_;
  io::Loop loop_;
  Clock clock_;
  fleet::Roster roster_{folder_.path + "/agents"};
  fleet::LinkServer link_{loop_, link_options(folder_.path), roster_};
  run::Runs runs_{loop_, link_, clock_};
  store::Definitions definitions_{*store::Definitions::open(folder_.path + "/definitions")};
  Api api_{Services{loop_, runs_, link_, definitions_, nullptr, "1.2.3"}};
};

constexpr char kGroup[] =
    "apiVersion: todd/v1\nkind: Group\nmetadata: {name: all}\nspec: {match: {hostname: '*'}}\n";
constexpr char kSuite[] =
    "apiVersion: todd/v1\nkind: Suite\nmetadata: {name: s}\nspec:\n  tests:\n"
    "    - {name: t, testlet: ping, from: all, to: all}\n";

TEST_F(ApiTest, ListsStartEmpty) {
  EXPECT_EQ(ask("GET", "agents").body, "{\"agents\":[]}\n");
  EXPECT_EQ(ask("GET", "groups").body, "{\"groups\":[]}\n");
  EXPECT_EQ(ask("GET", "suites").body, "{\"suites\":[]}\n");
  EXPECT_EQ(ask("GET", "runs").body, "{\"runs\":[]}\n");
  EXPECT_EQ(ask("GET", "testlets").body, "{\"testlets\":[],\"refused\":[]}\n");
  EXPECT_EQ(ask("GET", "version").body, "{\"version\":\"1.2.3\",\"api\":\"v1\"}\n");
  EXPECT_NE(ask("GET", "health").body.find("\"status\":\"ok\""), std::string::npos);
}

TEST_F(ApiTest, ApplyStoresAllOrNothingAndSaysWhatChanged) {
  const std::string both = std::string(kGroup) + "---\n" + kSuite;
  const auto wrong = ask("POST", "apply?origin=f.yaml", both + "---\nkind: Grup\n");
  EXPECT_EQ(wrong.status, 400);
  EXPECT_NE(wrong.body.find("f.yaml"), std::string::npos);
  EXPECT_EQ(ask("GET", "groups").body, "{\"groups\":[]}\n");
  const auto created = ask("POST", "apply", both);
  EXPECT_EQ(created.status, 200) << created.body;
  EXPECT_NE(created.body.find("\"change\":\"created\""), std::string::npos);
  EXPECT_EQ(ask("POST", "apply", both).body.find("created"), std::string::npos);
  EXPECT_NE(ask("GET", "suites/s").body.find("testlet: ping"), std::string::npos);
  EXPECT_NE(ask("GET", "groups/all").body.find("\"members\":[]"), std::string::npos);
}

TEST_F(ApiTest, AStoredGroupMayNotMakeTheCoordinatorReadFiles) {
  const auto response =
      ask("POST", "apply",
          "apiVersion: todd/v1\nkind: Group\nmetadata: {name: g}\nspec: {hosts_file: /etc/passwd}\n");
  EXPECT_EQ(response.status, 422);
  EXPECT_NE(response.body.find("hosts_file"), std::string::npos);
  EXPECT_EQ(ask("GET", "groups").body, "{\"groups\":[]}\n");
}

TEST_F(ApiTest, PutTakesTheOneNamedObject) {
  EXPECT_EQ(ask("PUT", "groups/all", kGroup).status, 201);
  EXPECT_EQ(ask("PUT", "groups/all", kGroup).status, 200);
  EXPECT_EQ(ask("PUT", "groups/other", kGroup).status, 400);
  EXPECT_EQ(ask("PUT", "suites/all", kGroup).status, 400);
  EXPECT_EQ(ask("DELETE", "groups/all").status, 204);
  EXPECT_EQ(ask("DELETE", "groups/all").status, 404);
}

TEST_F(ApiTest, NearestNamesAreOffered) {
  ask("PUT", "groups/all", kGroup);
  EXPECT_NE(ask("GET", "groups/al").body.find("did you mean \\\"all\\\""), std::string::npos);
}

TEST_F(ApiTest, RunsThatCannotBeAreRefused) {
  EXPECT_EQ(ask("POST", "runs", R"({"suite": "nothing"})").status, 404);
  ask("POST", "apply", std::string(kGroup) + "---\n" + kSuite);
  const auto no_testlet = ask("POST", "runs", R"({"suite": "s"})");
  EXPECT_EQ(no_testlet.status, 400);
  EXPECT_NE(no_testlet.body.find("ping"), std::string::npos);
  EXPECT_EQ(ask("GET", "runs/last").status, 404);
  EXPECT_EQ(ask("POST", "runs/last:cancel").status, 404);
  EXPECT_EQ(ask("GET", "runs/last/events").status, 404);
  EXPECT_EQ(ask("DELETE", "runs/last").status, 404);
  for (const char* limit : {"0", "x", "1001", "-1", "1x"}) {
    EXPECT_EQ(ask("GET", std::string("runs?limit=") + limit).status, 400) << limit;
  }
}

TEST_F(ApiTest, LinesHaveEveryEdgeOfARun) {
  model::TestPlan plan;
  plan.label = plan.test.name = "t";
  plan.testlet.id = "ping";
  plan.testlet.source = true;
  plan.edges.resize(70'000);  // more than the one JSON object shows
  for (auto& edge : plan.edges) edge.source.agent = "a1", edge.target_name = edge.target.host = "192.0.2.1";
  run::Request run;
  run.suite = "s";
  run.plans = {plan};
  run.agents.resize(1);
  run.agents[0].agent = "a1";
  ASSERT_TRUE(runs_.create(std::move(run)));
  const auto lines = ask("GET", "runs/last", "", "application/x-ndjson");
  EXPECT_EQ(lines.content_type, "application/x-ndjson");
  EXPECT_EQ(std::count(lines.body.begin(), lines.body.end(), '\n'), 70'001);
  EXPECT_EQ(lines.body.rfind("{\"type\":\"run\"", 0), 0u);
  const auto whole = ask("GET", "runs/last");
  EXPECT_EQ(whole.content_type, "application/json");
  EXPECT_NE(whole.body.find("\"summary\":{\"edges\":70000,\"shown\":65536,\"ok\":0,"), std::string::npos);
}

TEST_F(ApiTest, InvitesOneAgentForATime) {
  const auto response = ask("POST", "agents:invite?ttl=5m");
  EXPECT_EQ(response.status, 201);
  EXPECT_NE(response.body.find("todd-agent --join todd-join-v1."), std::string::npos);
  EXPECT_EQ(ask("POST", "agents:invite?ttl=5").status, 400);
  EXPECT_EQ(ask("POST", "agents:invite?ttl=1000h").status, 400);
  EXPECT_EQ(ask("DELETE", "agents/nobody").status, 404);
}

// As many hosts as make a document of so many bytes.
std::string large_group(size_t bytes) {
  std::string text = "apiVersion: todd/v1\nkind: Group\nmetadata: {name: large}\nspec:\n  hosts:\n";
  for (size_t i = 0; text.size() < bytes - 80; ++i) {
    text += "    - {name: host-" + std::to_string(i) + ", address: 198.18." + std::to_string(i / 250 % 250) +
            "." + std::to_string(i % 250) + ", labels: {site: somewhere}}\n";
  }
  return text;
}

TEST_F(ApiTest, ADocumentMayHaveEightMebibytes) {
  const std::string most = large_group((size_t{8} << 20) - 100);
  const auto applied = ask("POST", "apply", most);
  ASSERT_EQ(applied.status, 200) << applied.body.substr(0, 300);
  EXPECT_NE(ask("GET", "groups").body.find("\"member_count\":"), std::string::npos);
  store::Definitions again = *store::Definitions::open(folder_.path + "/definitions");
  EXPECT_EQ(again.groups().size(), 1u);
  RunOrder order;
  order.document = most + "---\ntests:\n  - {name: t, testlet: ping, from: all, to: large}\n";
  order.origin = "f.yaml";
  EXPECT_TRUE(read_document(order, {})) << read_document(order, {}).error().detail.substr(0, 300);
  const auto refused = ask("POST", "apply?origin=f.yaml", most + std::string(400, '#'));
  EXPECT_EQ(refused.status, 422);
  EXPECT_NE(refused.body.find("more than the limit of 8388608: split the file"), std::string::npos)
      << refused.body;
}

TEST(ApiLimitTest, OnlyUploadsMayBeLarge) {
  Request head;
  head.path = "/api/v1/apply";
  EXPECT_EQ(Api::body_limit(head), size_t{8} << 20);
  head.path = "/api/v1/runs";
  EXPECT_EQ(Api::body_limit(head), size_t{16} << 20);
  head.path = "/api/v1/groups/x";
  EXPECT_EQ(Api::body_limit(head), size_t{1} << 20);
}

}  // namespace
}  // namespace todd::api
