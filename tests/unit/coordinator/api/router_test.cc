#include "coordinator/api/router.h"

#include <gtest/gtest.h>

#include "coordinator/api/problem.h"

namespace todd::api {
namespace {

// Keeps what it is told.
struct FakeReply : Reply {
  void send(Response r) override { response = std::move(r); }
  void send_pieces(Response, Pieces) override {}
  std::shared_ptr<EventStream> stream(Response) override { return nullptr; }
  bool open() const override { return true; }
  Response response{0, "", "", {}};
};

class RouterTest : public ::testing::Test {
 protected:
  RouterTest() {
    add("GET", "runs/{}", Router::Body::none);
    add("POST", "runs/{}:cancel", Router::Body::none);
    add("GET", "runs/{}/events", Router::Body::none);
    add("POST", "runs", Router::Body::json);
    add("POST", "apply", Router::Body::yaml);
  }
  void add(const std::string& method, const std::string& pattern, Router::Body body) {
    router_.add(method, pattern, body, [this, name = method + " " + pattern](const Call& call) {
      called_ = name;
      args_ = call.args;
      call.ok("{}");
    });
  }
  Response ask(const std::string& method, const std::string& path, const std::string& type = "") {
    called_.clear();
    Request request;
    request.method = method;
    request.path = path;
    if (!type.empty()) request.headers["content-type"] = type;
    auto reply = std::make_shared<FakeReply>();
    router_.handle(request, reply);
    return reply->response;
  }

  Router router_;
  std::string called_;
  std::vector<std::string> args_;
};

TEST_F(RouterTest, FindsTheFunctionAndDecodesItsArguments) {
  EXPECT_EQ(ask("GET", "/api/v1/runs/a%20b").status, 200);
  EXPECT_EQ(called_, "GET runs/{}");
  EXPECT_EQ(args_, std::vector<std::string>{"a b"});
  ask("POST", "/api/v1/runs/last:cancel");
  EXPECT_EQ(called_, "POST runs/{}:cancel");
  EXPECT_EQ(args_, std::vector<std::string>{"last"});
  ask("HEAD", "/api/v1/runs/x/events");
  EXPECT_EQ(called_, "GET runs/{}/events");
}

TEST_F(RouterTest, AnEscapedSlashDoesNotLeaveItsPart) {
  ask("GET", "/api/v1/runs/..%2fevents");
  EXPECT_EQ(called_, "GET runs/{}");
  EXPECT_EQ(args_, std::vector<std::string>{"../events"});
}

TEST_F(RouterTest, UnknownPathsAre404) {
  for (const char* path : {"/", "/api/v1", "/api/v1/nothing", "/api/v2/runs", "/api/v1/runs/a/b/c"}) {
    EXPECT_EQ(ask("GET", path).status, 404) << path;
  }
  EXPECT_EQ(ask("GET", "/%zz").status, 400);
}

TEST_F(RouterTest, AnotherMethodIs405WithWhatIsAllowed) {
  const auto response = ask("DELETE", "/api/v1/runs/x");
  EXPECT_EQ(response.status, 405);
  ASSERT_EQ(response.headers.size(), 1u);
  EXPECT_EQ(response.headers[0], (std::pair<std::string, std::string>("Allow", "GET, HEAD")));
}

// Pages of other origins can send forms and plain text without asking first, but not these types.
TEST_F(RouterTest, AnotherTypeOfBodyIs415) {
  EXPECT_EQ(ask("POST", "/api/v1/runs", "text/plain").status, 415);
  EXPECT_EQ(ask("POST", "/api/v1/runs").status, 415);
  EXPECT_EQ(ask("POST", "/api/v1/runs", "application/yaml").status, 415);
  EXPECT_EQ(ask("POST", "/api/v1/runs", "Application/JSON; charset=utf-8").status, 200);
  EXPECT_EQ(ask("POST", "/api/v1/apply", "application/x-www-form-urlencoded").status, 415);
  EXPECT_EQ(ask("POST", "/api/v1/apply", "application/yaml").status, 200);
  EXPECT_EQ(ask("POST", "/api/v1/apply", "application/json").status, 200);
}

TEST(ProblemTest, NamesThePlaceInAFile) {
  const auto response = problem({Errc::invalid, 0, "dir/a:b.yaml:3:14: \"x\" is: wrong"});
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.content_type, "application/problem+json");
  EXPECT_NE(response.body.find(
                R"("errors":[{"origin":"dir/a:b.yaml","line":3,"column":14,"detail":"\"x\" is: wrong"}])"),
            std::string::npos)
      << response.body;
  EXPECT_EQ(problem({Errc::not_found, 0, "10:20 is no place: 3"}).body.find("errors"), std::string::npos);
}

TEST(ProblemTest, EveryCodeHasAStatus) {
  EXPECT_EQ(problem({Errc::not_found, 0, ""}).status, 404);
  EXPECT_EQ(problem({Errc::denied, 0, ""}).status, 403);
  EXPECT_EQ(problem({Errc::exists, 0, ""}).status, 409);
  EXPECT_EQ(problem({Errc::unavailable, 0, ""}).status, 503);
  EXPECT_EQ(problem({Errc::system, 0, ""}).status, 500);
}

TEST(HttpTest, TakesQueriesApart) {
  const auto query = parse_query("a=1+2&b=%26&c&&a=3");
  ASSERT_TRUE(query);
  EXPECT_EQ(*query, (std::map<std::string, std::string>{{"a", "3"}, {"b", "&"}, {"c", ""}}));
  for (const char* text : {"a=%", "a=%4", "a=%4g", "a=%00", "%zz=1"}) EXPECT_FALSE(parse_query(text)) << text;
}

}  // namespace
}  // namespace todd::api
