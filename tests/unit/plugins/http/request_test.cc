#include "plugins/http/request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "todd/testlet.hpp"

namespace todd::http {
namespace {

RequestSpec get(const char* url = "http://example.net:8080/a?b") {
  RequestSpec spec;
  spec.url = parse_url(url);
  return spec;
}

TEST(RequestTest, PlainInBothVersions) {
  const Request request(get());
  EXPECT_EQ(request.wire(),
            "GET /a?b HTTP/1.1\r\nHost: example.net:8080\r\nUser-Agent: todd\r\nAccept: */*\r\n\r\n");
  const std::vector<Field> fields = {
      {":method", "GET"}, {":scheme", "http"},    {":authority", "example.net:8080"},
      {":path", "/a?b"},  {"user-agent", "todd"}, {"accept", "*/*"}};
  EXPECT_EQ(request.fields(), fields);
  EXPECT_EQ(request.unique_field(), Request::kNone);
  EXPECT_FALSE(request.bodiless());
}

TEST(RequestTest, BodyAndHeadersInThePlaceOfOurs) {
  RequestSpec spec = get();
  spec.method = "POST";
  spec.body = "{\"a\": 1}";
  spec.compressed = true;
  spec.keep_alive = false;
  spec.headers = {"content-type:application/json", "HOST: other", "Accept:  text/* ", "X-Empty:"};
  const Request request(spec);
  EXPECT_EQ(request.wire(),
            "POST /a?b HTTP/1.1\r\nHost: other\r\nUser-Agent: todd\r\nAccept-Encoding: gzip, deflate\r\n"
            "Content-Length: 8\r\ncontent-type: application/json\r\nAccept: text/*\r\nX-Empty: \r\n"
            "Connection: close\r\n\r\n{\"a\": 1}");
  EXPECT_EQ(request.body(), spec.body);
  for (const auto& [name, value] : request.fields()) EXPECT_NE(name, "connection");
  spec.body.clear();
  EXPECT_NE(Request(spec).wire().find("Content-Length: 0\r\n"), std::string::npos);
  spec.method = "HEAD";
  EXPECT_TRUE(Request(spec).bodiless());
}

// RFC 7617 section 2, RFC 6750 section 2.1, RFC 4648 section 10.
TEST(RequestTest, Credentials) {
  RequestSpec spec = get();
  spec.user = "Aladdin";
  spec.password = "open sesame";
  EXPECT_NE(Request(spec).wire().find("\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"),
            std::string::npos);
  spec.user = "f", spec.password = "o";
  EXPECT_NE(Request(spec).wire().find("Basic Zjpv\r\n"), std::string::npos);
  spec.password = "oo";
  EXPECT_NE(Request(spec).wire().find("Basic Zjpvbw==\r\n"), std::string::npos);
  spec.user = spec.password = "";
  spec.token = "abc.def";
  EXPECT_NE(Request(spec).wire().find("\r\nAuthorization: Bearer abc.def\r\n"), std::string::npos);
}

TEST(RequestTest, TheSecretHeader) {
  RequestSpec spec = get();
  spec.secret_header = "X-Api-Key", spec.secret_value = " geheim: 1 ";
  EXPECT_NE(Request(spec).wire().find("\r\nX-Api-Key: geheim: 1\r\n"), std::string::npos);
  EXPECT_EQ(Request(spec).fields().back(), (Field{"x-api-key", "geheim: 1"}));
  const auto refused = [](RequestSpec bad) -> std::string {
    try {
      (void)Request(bad);
    } catch (const error& e) {
      return e.what();
    }
    return "";
  };
  spec.secret_header = "User-Agent";  // in the place of ours
  EXPECT_EQ(Request(spec).wire().find("todd"), std::string::npos);
  spec.by_proxy = true;
  for (const char* name :
       {"Host", "Content-Length", "Connection", "Proxy-Authorization", "a b", "X: geheim"}) {
    spec.secret_header = name;
    EXPECT_THAT(refused(spec), testing::AllOf(testing::StartsWith("secret_header"),
                                              testing::Not(testing::HasSubstr("geheim"))))
        << name;
  }
  spec.secret_header = "X-Api-Key";
  spec.headers = {"x-api-key: other"};
  EXPECT_EQ(refused(spec), "secret_header 'X-Api-Key': is given by header too");
  spec.headers.clear();
  spec.secret_value = "gehe\nim";
  EXPECT_EQ(refused(spec),
            "secret_header 'X-Api-Key': the value must be on one line, without control characters");
  spec.secret_value.clear();
  EXPECT_EQ(refused(spec), "secret_header: needs a secret_value");
  spec.secret_header.clear(), spec.secret_value = "geheim";
  EXPECT_EQ(refused(spec), "secret_value: needs a secret_header, its name");
  spec = get();
  spec.secret_header = "Authorization", spec.secret_value = "ApiKey geheim", spec.token = "b";
  EXPECT_THAT(refused(spec), testing::HasSubstr("cannot be given with a user or token"));
}

TEST(RequestTest, StampsTheUniqueHeader) {
  RequestSpec spec = get();
  spec.unique_header = "X-Request-Id";
  spec.body = "0000000000000000";
  const Request request(spec);
  std::string copy = request.wire();
  request.stamp(copy.data(), 0x12ab);
  EXPECT_NE(copy.find("\r\nX-Request-Id: 00000000000012ab\r\n"), std::string::npos);
  EXPECT_EQ(copy.substr(copy.size() - 16), spec.body);
  ASSERT_LT(request.unique_field(), request.fields().size());
  EXPECT_EQ(request.fields()[request.unique_field()].first, "x-request-id");
}

TEST(RequestTest, RefusesWhatWouldBreakTheMessage) {
  for (const char* header :
       {"no colon", ": no name", "a b: c", "a\r\nb: c", "a: b\r\nc: d", "a: b\nc", "Connection: close",
        "transfer-encoding: chunked", "TE: trailers", "Upgrade: h2c", "Expect: 100-continue", "Keep-Alive: 5",
        "Content-Length: 1", "Content-Length: x", "Host: a b", "Host:", ":path: /"}) {
    RequestSpec spec = get();
    spec.headers = {header};
    EXPECT_THROW(Request{spec}, error) << header;
  }
  for (const char* method : {"", "get", "GET /", "CONNECT", "G\r\n"}) {
    RequestSpec spec = get();
    spec.method = method;
    EXPECT_THROW(Request{spec}, error) << method;
  }
  RequestSpec spec = get();
  spec.headers = {"Host: a", "Host: b"};
  EXPECT_THROW(Request{spec}, error);
  spec = get();
  spec.user = "a:b";
  EXPECT_THROW(Request{spec}, error);
  spec.user = "a", spec.token = "b";
  EXPECT_THROW(Request{spec}, error);
  spec.token = "", spec.headers = {"Authorization: x"};
  EXPECT_THROW(Request{spec}, error);
  spec = get();
  spec.password = "b";
  EXPECT_THROW(Request{spec}, error);
  spec = get();
  for (const char* name : {"Host", "User-Agent", "accept", "Connection", "a b"}) {  // ours, or none
    spec.unique_header = name;
    EXPECT_THROW(Request{spec}, error) << name;
  }
  spec = get();
  spec.headers = {"Connection: close"};
  try {
    Request{spec};
  } catch (const error& e) {
    EXPECT_STREQ(e.what(), "header 'Connection': belongs to the connection and cannot be given");
  }
}

}  // namespace
}  // namespace todd::http
