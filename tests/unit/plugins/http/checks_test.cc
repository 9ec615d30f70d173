#include "plugins/http/checks.h"

#include <re2/re2.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/io/digest.h"
#include "plugins/http/answer.h"

#include "todd/testlet.hpp"

namespace todd::http {
namespace {

using testing::HasSubstr;

constexpr int64_t kMs = 1'000'000, kDay = 86'400;

struct ChecksTest : testing::Test {
  Headers headers;
  Facts facts;

  ChecksTest() {
    headers.add("Server", "nginx/1.22");
    headers.add("Set-Cookie", "a=1");
    headers.add("Set-Cookie", "b=2");
    facts.status = 200;
    facts.version = 11;
    facts.headers = &headers;
    body("hello, world");
    facts.response_time_ns = 312'500'000;
    facts.first_byte_ns = 100 * kMs;
    facts.tls = true;
    facts.tls_version = 0x0303;
    facts.certificate_seconds = 14 * kDay;
  }
  void body(std::string_view text) {
    facts.body = text;
    facts.size = text.size();
  }
  // What a check says, without its own text; "" if it holds.
  std::string said(const std::string& check) const {
    const auto failed = Checks({check}).failed(facts);
    if (!failed) return "";
    EXPECT_EQ(failed->substr(0, check.size() + 2), check + ": ");
    return failed->substr(check.size() + 2);
  }
  std::string json(std::string_view text, const std::string& check) {
    body(text);
    return said("json " + check);
  }
};

std::string refusal(const std::string& check) {
  try {
    Checks({check});
  } catch (const error& e) {
    EXPECT_EQ(e.code(), TODD_E_PARAM);
    return e.what();
  }
  return "";
}

TEST_F(ChecksTest, NoneAreNeverUnmetAndWantNothing) {
  const Checks none({});
  EXPECT_EQ(none.failed(Facts()), std::nullopt);
  EXPECT_FALSE(none.wants_headers() || none.wants_body() || none.wants_tls() || none.has_status());
}

TEST_F(ChecksTest, WantWhatTheyLookAt) {
  const auto wants = [](const std::string& text) {
    const Checks c({text});
    return std::string(c.wants_headers() ? "h" : "") + (c.wants_body() ? "b" : "") +
           (c.wants_tls() ? "t" : "") + (c.has_status() ? "s" : "");
  };
  EXPECT_EQ(wants("status 200"), "s");
  EXPECT_EQ(wants("version 2"), "");
  EXPECT_EQ(wants("header A absent"), "h");
  EXPECT_EQ(wants("body ~ a"), "b");
  EXPECT_EQ(wants("json /a = 1"), "b");
  EXPECT_EQ(wants("size < 1"), "");
  EXPECT_EQ(wants("tls yes"), "");
  EXPECT_EQ(wants("tls_version >= 1.3"), "t");
  EXPECT_EQ(wants("certificate_days >= 1"), "t");
  EXPECT_EQ(wants("response_time < 1s"), "");
  EXPECT_EQ(wants("first_byte < 1s"), "");
  const Checks both({"size < 1", "body ~ a", "status 200"});
  EXPECT_TRUE(both.wants_body() && both.has_status());
}

TEST_F(ChecksTest, StatusIsOneOfTheRanges) {
  for (const char* holds :
       {"status 200", "status 200-299", "status 404,200", "status 304, 100-200", "status  200 "})
    EXPECT_EQ(Checks({holds}).failed(facts), std::nullopt) << holds;
  facts.status = 503;
  EXPECT_EQ(said("status 200-299,304"), "is 503");
  EXPECT_EQ(said("status 502,504-599"), "is 503");
  EXPECT_EQ(said("status 503"), "");
}

TEST_F(ChecksTest, VersionIsOneOfThose) {
  EXPECT_EQ(said("version 1.1"), "");
  EXPECT_EQ(said("version 1.1,2"), "");
  EXPECT_EQ(said("version 2"), "is 1.1");
  facts.version = 20;
  EXPECT_EQ(said("version 2"), "");
  EXPECT_EQ(said("version 1.0, 1.1"), "is 2");
  facts.version = 10;
  EXPECT_EQ(said("version 1.0"), "");
  EXPECT_EQ(said("version 2"), "is 1.0");
}

TEST_F(ChecksTest, HeadersMatchInAnyCaseOfTheirName) {
  EXPECT_EQ(said("header server ~ ^nginx/\\d"), "");
  EXPECT_EQ(said("header SERVER = nginx/1.22"), "");
  EXPECT_EQ(said("header Server ~ (?i)^NGINX"), "");
  EXPECT_EQ(said("header Server ~ Apache"), "is \"nginx/1.22\"");
  EXPECT_EQ(said("header Server = nginx"), "is \"nginx/1.22\"");
  EXPECT_EQ(said("header Server = NGINX/1.22"), "is \"nginx/1.22\"");
  EXPECT_EQ(said("header Server !~ Apache"), "");
  EXPECT_EQ(said("header Server !~ ng"), "is \"nginx/1.22\"");
  EXPECT_EQ(said("header Server absent"), "is \"nginx/1.22\"");
}

TEST_F(ChecksTest, AHeaderThatIsNotThere) {
  EXPECT_EQ(said("header X-Powered-By absent"), "");
  EXPECT_EQ(said("header X-Powered-By !~ php"), "");
  EXPECT_EQ(said("header X-Powered-By ~ php"), "there is no such header");
  EXPECT_EQ(said("header X-Powered-By = php"), "there is no such header");
}

TEST_F(ChecksTest, OfSeveralHeadersOneMustAndNoneMayMatch) {
  EXPECT_EQ(said("header Set-Cookie = b=2"), "");
  EXPECT_EQ(said("header Set-Cookie ~ ^a"), "");
  EXPECT_EQ(said("header Set-Cookie ~ ^c"), "is \"a=1\", \"b=2\"");
  EXPECT_EQ(said("header Set-Cookie !~ ^b"), "is \"b=2\"");
}

TEST_F(ChecksTest, BodyMatchesAnywhere) {
  EXPECT_EQ(said("body ~ wor"), "");
  EXPECT_EQ(said("body ~ ^hello, world$"), "");
  EXPECT_EQ(said("body ~ ^world"), "is \"hello, world\"");
  EXPECT_EQ(said("body !~ (?i)ERROR"), "");
  EXPECT_EQ(said("body !~ w[a-z]+"), "has \"world\"");
  body("");
  EXPECT_EQ(said("body ~ ."), "is \"\"");
  EXPECT_EQ(said("body ~ ^$"), "");
  body(std::string_view("one\ntwo\0three", 13));
  EXPECT_EQ(said("body ~ (?m)^two"), "");
  EXPECT_EQ(said("body ~ three$"), "");
}

TEST_F(ChecksTest, WhatIsToldIsPrintableAndShort) {
  const std::string wild = "\x01\xff\r\n" + std::string(100'000, 'x');
  body(wild);
  const std::string told = said("body ~ y");
  EXPECT_THAT(told, HasSubstr("\\x01\\xFF\\x0D\\x0Axxx"));
  EXPECT_LT(told.size(), 100u);
  const auto failed = Checks({"body ~ " + std::string(500, 'y')}).failed(facts);
  ASSERT_TRUE(failed);
  EXPECT_LT(failed->size(), 150u);
  EXPECT_THAT(*failed, HasSubstr("yyy...: is \"\\x01"));
}

TEST_F(ChecksTest, ABodyThatIsNotWholeFailsWhateverIsAskedOfIt) {
  body("{\"a\":1}");
  facts.body_whole = false;
  facts.size = 300'000;
  for (const char* check : {"body ~ a", "body !~ zzz", "json /a = 1"})
    EXPECT_EQ(said(check), "the body has 300000 bytes, of which only 7 are kept; raise checked_body")
        << check;
  EXPECT_EQ(said("size = 300k"), "");
  EXPECT_EQ(said("status 200"), "");
}

TEST_F(ChecksTest, Sizes) {
  facts.size = 10'240;
  for (const char* holds :
       {"size = 10Ki", "size <= 10Ki", "size >= 10Ki", "size > 10k", "size < 1M", "size < 1Mi",
        "size = 10.24k", "size < 1G", "size >= 0", "size = 0.01024M", "size < 2Gi"})
    EXPECT_EQ(said(holds), "") << holds;
  EXPECT_EQ(said("size <= 10k"), "is 10240 bytes");
  EXPECT_EQ(said("size < 10Ki"), "is 10240 bytes");
  EXPECT_EQ(said("size > 10Ki"), "is 10240 bytes");
  facts.size = UINT64_MAX;
  EXPECT_NE(said("size < 1G"), "");
}

TEST_F(ChecksTest, Times) {
  EXPECT_EQ(said("response_time <= 312.5ms"), "");
  EXPECT_EQ(said("response_time = 312500us"), "");
  EXPECT_EQ(said("response_time < 1m"), "");
  EXPECT_EQ(said("response_time < 1h"), "");
  EXPECT_EQ(said("response_time > 1ns"), "");
  EXPECT_EQ(said("response_time <= 200ms"), "is 312.5 ms");
  EXPECT_EQ(said("response_time <= 0.2s"), "is 312.5 ms");
  EXPECT_EQ(said("first_byte <= 100ms"), "");
  facts.first_byte_ns = 100 * kMs + 1;
  EXPECT_EQ(said("first_byte <= 100ms"), "is 100.000001 ms");
}

TEST_F(ChecksTest, Tls) {
  EXPECT_EQ(said("tls yes"), "");
  EXPECT_EQ(said("tls no"), "the connection has TLS");
  EXPECT_EQ(said("tls_version >= 1.2"), "");
  EXPECT_EQ(said("tls_version >= 1.3"), "is 1.2");
  EXPECT_EQ(said("tls_version = 1.3"), "is 1.2");
  EXPECT_EQ(said("certificate_days >= 14"), "");
  EXPECT_EQ(said("certificate_days > 14"), "14 days are left");
  facts.certificate_seconds = 14 * kDay - 1;
  EXPECT_EQ(said("certificate_days >= 14"), "13.99999 days are left");
  facts.certificate_seconds = -2 * kDay;
  EXPECT_EQ(said("certificate_days >= 0.5"), "it ended 2 days ago");
  facts.tls = false;
  EXPECT_EQ(said("tls no"), "");
  EXPECT_EQ(said("tls yes"), "the connection has no TLS");
  EXPECT_EQ(said("tls_version <= 1.3"), "the connection has no TLS");
  EXPECT_EQ(said("certificate_days < 14"), "the connection has no TLS");
}

TEST_F(ChecksTest, TheFirstThatDoesNotHoldIsTold) {
  const Checks checks({"status 200", "size < 5", "version 2"});
  EXPECT_EQ(checks.failed(facts), "size < 5: is 12 bytes");
  facts.size = 1;
  EXPECT_EQ(checks.failed(facts), "version 2: is 1.1");
  facts.version = 20;
  EXPECT_EQ(checks.failed(facts), std::nullopt);
}

// ---- JSON

TEST_F(ChecksTest, JsonNumbersCompareAsNumbers) {
  const auto* text =
      R"({"n": 10, "f": 1.5, "neg": -3, "most": 18446744073709551615, "least": -9223372036854775808})";
  for (const char* holds : {"/n = 10", "/n = 10.0", "/n = 1e1", "/n != 9", "/n > 9", "/n >= 10", "/n < 10.5",
                            "/n <= 10", "/f = 1.5", "/f < 2", "/neg < -2", "/neg >= -3",
                            "/most = 18446744073709551615", "/most > 18446744073709551614",
                            "/least < -9223372036854775807", "/least < 0", "/most > 1e19", "/n ~ ^10$"})
    EXPECT_EQ(json(text, holds), "") << holds;
  EXPECT_EQ(json(text, "/n < 9"), "is 10");
  EXPECT_EQ(json(text, "/n = 10.5"), "is 10");
  EXPECT_EQ(json(text, "/f >= 2"), "is 1.5");
  EXPECT_EQ(json(text, "/most < 18446744073709551615"), "is 18446744073709551615");
  EXPECT_EQ(json("9007199254740993", " = 9007199254740992"),
            "is 9007199254740993");  // 2^53+1: no double has it
}

TEST_F(ChecksTest, JsonEverythingElseComparesAsText) {
  const auto* text =
      R"({"s": "ok", "t": true, "f": false, "z": null, "ten": "10", "day": "2024-05-01", "e": ""})";
  for (const char* holds :
       {"/s = ok", "/s = \"ok\"", "/s != no", "/s ~ ^o", "/t = true", "/f = false", "/f != true", "/z = null",
        "/ten = 10", "/ten = \"10\"", "/day >= 2024-01-01", "/e = \"\"", "/s < p", "/e ~ ^$"})
    EXPECT_EQ(json(text, holds), "") << holds;
  EXPECT_EQ(json(text, "/s = no"), "is the text \"ok\"");
  EXPECT_EQ(json(text, "/s ~ x"), "is the text \"ok\"");
  EXPECT_EQ(json(text, "/t = false"), "is true");
  EXPECT_EQ(json(text, "/z = 0"), "is null");
  EXPECT_EQ(json(text, "/day < \"2025\""), "");
  EXPECT_EQ(json(text, "/day < 2025"), "is the text \"2024-05-01\"");  // 2025 is a number
}

// "10" is before "9" as a text: an order between a text and a number would be a trap.
TEST_F(ChecksTest, JsonHasNoOrderOfUnlikeThings) {
  EXPECT_EQ(json(R"("10")", "< 9"), "is the text \"10\"");
  EXPECT_EQ(json(R"("10")", "> 9"), "is the text \"10\"");
  EXPECT_EQ(json("10", "< x"), "is 10");
  EXPECT_EQ(json("true", ">= 0"), "is true");
  EXPECT_EQ(json("null", "<= x"), "is null");
}

TEST_F(ChecksTest, JsonWhatIsNotThereFailsWhateverIsAskedOfIt) {
  const auto* text = R"({"a": {"b": [1, 2, {"c": 3}]}, "s": "x"})";
  EXPECT_EQ(json(text, "/a/b/0 = 1"), "");
  EXPECT_EQ(json(text, "/a/b/2/c = 3"), "");
  EXPECT_EQ(json(text, "/a/x != 1"), "no member \"x\" in /a");
  EXPECT_EQ(json(text, "/x/y = 1"), "no member \"x\" in the document");
  EXPECT_EQ(json(text, "/a/b/3 != 1"), "no element 3 in /a/b, an array of 3");
  for (const char* index : {"-", "-1", "00", "01", "+1", "1x", "", "99999999999999999999"})
    EXPECT_EQ(json(text, "/a/b/" + std::string(index) + " = 1"),
              "no element " + std::string(index) + " in /a/b, an array of 3");
  EXPECT_EQ(json(text, "/s/0 = x"), "no \"0\" in /s, which is x");
  EXPECT_EQ(json(text, "/a = 1"), "is an object of 1");
  EXPECT_EQ(json(text, "/a/b != 1"), "is an array of 3");
  EXPECT_EQ(json(text, " ~ ."), "is an object of 2");
}

// The examples of RFC 6901 section 5.
TEST_F(ChecksTest, JsonPointersOfTheRfc) {
  const auto* text =
      R"({"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8,
          "~1": 9, "a b": 10})";
  for (const char* holds : {"/foo/0 = bar", "/ = 0", "/a~1b = 1", "/c%d = 2", "/e^f = 3", "/g|h = 4",
                            "/i\\j = 5", "/k\"l = 6", "/m~0n = 8", "/~01 = 9", "/a b = 10"})
    EXPECT_EQ(json(text, holds), "") << holds;
  EXPECT_EQ(json(text, "/foo = bar"), "is an array of 2");
  EXPECT_EQ(json(text, "/a~1b/m~0n = 1"), "no \"m~n\" in /a~1b, which is 1");
}

TEST_F(ChecksTest, JsonTextsAreUnescaped) {
  EXPECT_EQ(json(R"({"a": "\u00e9\n\ud83d\ude00\/"})", "/a = \"é\\n😀/\""), "");
  EXPECT_EQ(json(R"({"\u0061": "x"})", "/a = x"), "");
  EXPECT_EQ(json(R"({"a": 1, "a": 2})", "/a = 1"), "");  // the first counts
}

TEST_F(ChecksTest, JsonThatIsNoneFailsWithItsPlace) {
  const std::pair<std::string, const char*> cases[] = {
      {"", "line 1, column 1: it ends too early"},
      {" \n ", "line 2, column 2: it ends too early"},
      {"{\"a\": 1,\n \"b\": }", "line 2, column 7: a value is missing"},
      {"{\"a\": 1", "line 1, column 8: it ends too early"},
      {"{\"a\"", "line 1, column 5: it ends too early"},
      {"{\"a\" 1}", "line 1, column 6: a colon is missing"},
      {"{a: 1}", "line 1, column 2: a name in quotes is missing"},
      {"{\"a\": 1,}", "line 1, column 9: a name in quotes is missing"},
      {"[1,]", "line 1, column 4: a value is missing"},
      {"[1 2]", "line 1, column 4: a comma or the end of the array or object is missing"},
      {"[1}", "line 1, column 3: a comma or the end of the array or object is missing"},
      {"{} {}", "line 1, column 4: something follows the value"},
      {"nul", "line 1, column 1: a value is missing"},
      {"truex", "line 1, column 5: something follows the value"},
      {"<html>", "line 1, column 1: a value is missing"},
      {"01", "line 1, column 2: something follows the value"},
      {"[-]", "line 1, column 2: a number that is none"},
      {"[1.]", "line 1, column 2: a number that is none"},
      {"[1e+]", "line 1, column 2: a number that is none"},
      {"[18446744073709551616]", "line 1, column 2: a number of more than 64 bits"},
      {"[-9223372036854775809]", "line 1, column 2: a number of more than 64 bits"},
      {"[1e999]", "line 1, column 2: a number of more than 64 bits"},
      {"[\"a]", "line 1, column 2: a text is not closed"},
      {"[\"a\nb\"]", "line 1, column 4: a control character in a text"},
      {"[\"\\x\"]", "line 1, column 3: an escape that is none"},
      {"[\"\\u12\"]", "line 1, column 3: an escape that is none"},
      {"[\"\\ud800\"]", "line 1, column 3: half of a surrogate pair"},
      {"[\"\xff\"]", "line 1, column 2: a text that is not UTF-8"},
      {"\xef\xbb\xbf{}", "line 1, column 1: a value is missing"},
  };
  for (const auto& [text, what] : cases)
    EXPECT_EQ(json(text, "/a = 1"), "not JSON at " + std::string(what)) << text;
  // It is so wherever the member is that is asked for.
  EXPECT_THAT(json("{\"a\": 1, \"b\": [}", "/a = 1"), HasSubstr("column 16"));
}

TEST_F(ChecksTest, JsonHugeAndDeep) {
  std::string wide = "[0";
  for (int i = 1; i < 200'000; ++i) wide += "," + std::to_string(i);
  EXPECT_EQ(json(wide + "]", "/199999 = 199999"), "");
  EXPECT_THAT(json(wide, "/0 = 0"), HasSubstr("ends too early"));
  const auto nested = [](size_t depth) { return std::string(depth, '[') + "1" + std::string(depth, ']'); };
  std::string pointer;
  for (int i = 0; i < 1000; ++i) pointer += "/0";
  EXPECT_EQ(Checks({"json " + pointer + " = 1"}).failed((body(nested(1000)), facts)), std::nullopt);
  EXPECT_EQ(json(nested(1001), "/0 = 1"),
            "not JSON at line 1, column 1002: arrays and objects are too deep in each other");
  EXPECT_THAT(json(std::string(1'000'000, '['), "/0 = 1"), HasSubstr("too deep"));
  EXPECT_THAT(json("{\"a\":\"" + std::string(1'000'000, 'x'), "/a = 1"), HasSubstr("is not closed"));
}

// One reader for all answers: a later one knows nothing of an earlier one.
TEST_F(ChecksTest, JsonAnswersOneAfterAnother) {
  const Checks checks({"json /a = 1", "json /b ~ x"});
  const auto after = [&](std::string_view text) { return checks.failed((body(text), facts)).value_or("ok"); };
  EXPECT_EQ(after(R"({"a": 1, "b": "x"})"), "ok");
  EXPECT_EQ(after(R"({"a": 1})"), "json /b ~ x: no member \"b\" in the document");
  EXPECT_THAT(after("{"), HasSubstr("ends too early"));
  EXPECT_EQ(after(R"({"b": "xx", "c": ")" + std::string(100'000, 'y') + R"(", "a": 1.0})"), "ok");
  EXPECT_THAT(after(""), HasSubstr("ends too early"));
}

// ---- what is refused

TEST_F(ChecksTest, RefusalsNameTheCheckAndWhatIsAllowed) {
  EXPECT_EQ(refusal("status 20"), "check: \"status 20\": \"20\" is no status; write status 200-299,304");
  EXPECT_EQ(refusal("stauts 200"),
            "check: \"stauts 200\": there is no \"stauts\"; there are status, version, header, body, json, "
            "size, hash, tls, "
            "tls_version, certificate_days, response_time, first_byte");
  EXPECT_EQ(refusal("size <= 10x"),
            "check: \"size <= 10x\": \"10x\" is no amount; write size OP 10k with OP one of < <= > >= = and "
            "no unit, k, "
            "M, G, Ki, Mi or Gi");
}

TEST_F(ChecksTest, Refusals) {
  const std::pair<std::string, const char*> cases[] = {
      {" ", "there is no \"\""},
      {"status", "ends too early"},
      {"status 2xx", "\"2xx\" is no status"},
      {"status 200,", "\"\" is no status"},
      {"status 200-", "\"\" is no status"},
      {"status 099", "\"099\" is no status"},
      {"status 299-200", "begins after its end"},
      {"status = 200", "\"= 200\" is no status"},
      {"version 3", "\"3\" is no version"},
      {"version 1", "\"1\" is no version"},
      {"header", "ends too early"},
      {"header X", "ends too early"},
      {"header X:", "\"x:\" is no name of a header"},
      {"header X ~", "nothing follows ~"},
      {"header X =", "nothing follows ="},
      {"header X =~ a", "\"=~\" is no comparison here"},
      {"header X < 3", "\"<\" is no comparison here"},
      {"header X absent now", "\"absent\" is no comparison here"},
      {"header X ~ (", "\"(\" is no regular expression: missing ): ("},
      {"body", "ends too early"},
      {"body = x", "\"=\" is no comparison here"},
      {"body ~", "nothing follows ~"},
      {"body ~ *", "is no regular expression: no argument for repetition operator: *"},
      {"body ~ (?=a)", "is no regular expression"},
      {"body ~ ((a{1000}){1000}){1000}", "is no regular expression"},
      {"body ~ " + std::string(300'000, 'a') + "|b", "is no regular expression: pattern too large"},
      {"json", "ends too early"},
      {"json /a", "there is no comparison in it"},
      {"json /a == 1", "there is no comparison in it"},
      {"json /a =", "nothing follows ="},
      {"json a = 1", "\"a\" is no JSON pointer"},
      {"json /a~2 = 1", "\"/a~2\" is no JSON pointer"},
      {"json /a~ = 1", "\"/a~\" is no JSON pointer"},
      {"json /a !~ b", "\"!~\" is no comparison here"},
      {"json /a ~ [", "is no regular expression"},
      {"json /a = \"b", "the text in quotes is no JSON text"},
      {"json /a = \"b\" c", "the text in quotes is no JSON text"},
      {"json /a < 18446744073709551616", "more than 64 bits"},
      {"json /a < 1e999", "more than 64 bits"},
      {"size", "ends too early"},
      {"size 10k", "\"10k\" is no comparison here"},
      {"size ~ 10", "\"~\" is no comparison here"},
      {"size <= ", "nothing follows <="},
      {"size <= k", "is no amount"},
      {"size <= -1", "is no amount"},
      {"size <= 1.", "is no amount"},
      {"size <= 1.2.3", "is no amount"},
      {"size <= 1 k", "is no amount"},
      {"size <= 1.0005k", "is too fine"},
      {"size <= 10000000000G", "is too large"},
      {"size <= 1000000000000000000000", "too many digits"},
      {"hash", "ends too early"},
      {"hash md5 = 00", "\"md5\" is no hash we know"},
      {"hash sha256 != 00", "\"!=\" is no comparison here"},
      {"hash sha256 = 00", "is not 64 hexadecimal digits"},
      {"hash sha256 = " + std::string(63, '0') + "g", "is not 64 hexadecimal digits"},
      {"tls maybe", "\"maybe\" is neither yes nor no"},
      {"tls", "ends too early"},
      {"tls_version >= 1.1", "\"1.1\" is no version of TLS"},
      {"certificate_days >= 14d", "\"14d\" is no amount"},
      {"response_time <= 200", "\"200\" is no amount"},
      {"first_byte <= 200 ms", "\"200 ms\" is no amount"},
  };
  for (const auto& [check, what] : cases) {
    EXPECT_THAT(refusal(check), HasSubstr(what)) << check.substr(0, 100);
    EXPECT_EQ(refusal(check).substr(0, 7), "check: ");
    EXPECT_LT(refusal(check).size(), 500u);
  }
  EXPECT_EQ(refusal("status 200"), "");
}

// What is refused before a run begins must be refused in any case.
TEST_F(ChecksTest, EachFormFitsThePatternOfThePlan) {
  ASSERT_TRUE(RE2(kCheckForm).ok());
  for (const std::string check :
       {"status 200",
        " status\t200 - 299 , 304,404 ",
        "version 1.0,1.1, 2",
        "header X-A ~ ^a b$",
        "header x !~ a",
        "header x = a  b ",
        "header x absent",
        "body ~ .",
        "body !~ \u00e4",
        "json = 1",
        "json /a b/0 >= 3",
        "json /a ~ x",
        "json /a = = ",
        "json / != \"x y\"",
        "size <= 10k",
        "size > 1.5Gi",
        "size = 0",
        "tls yes",
        "tls no ",
        "tls_version >= 1.3",
        "certificate_days >= 14.5",
        "response_time < 200ms",
        "first_byte <= 1h",
        "first_byte <= 1m",
        "first_byte > 0ns",
        "hash sha256 = E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}) {
    EXPECT_EQ(refusal(check), "") << check;
    EXPECT_TRUE(RE2::FullMatch(check, kCheckForm)) << check;
  }
}

TEST_F(ChecksTest, ThePatternOfThePlanSeesMistakesOfForm) {
  for (const std::string check : {"",
                                  "stauts 200",
                                  "status",
                                  "status 2xx",
                                  "status 200,",
                                  "status 099",
                                  "status = 200",
                                  "version 3",
                                  "header X",
                                  "header X:",
                                  "header X =~ a",
                                  "header X absent now",
                                  "body = x",
                                  "body ~",
                                  "json /a",
                                  "json /a == 1",
                                  "json a = 1",
                                  "json /a !~ b",
                                  "size 10k",
                                  "size <= 10x",
                                  "size <= 1.",
                                  "size<=1",
                                  "tls maybe",
                                  "hash md5 = 00",
                                  "hash sha256 = 00",
                                  "tls_version >= 1.1",
                                  "certificate_days >= 14d",
                                  "response_time <= 200",
                                  "first_byte <= 200 ms"}) {
    EXPECT_NE(refusal(check), "") << check;
    EXPECT_FALSE(RE2::FullMatch(check, kCheckForm)) << check;
  }
}

// As a host has it, of one digest alone.
io::Digest& one_digest() {
  static io::Digest digest;
  return digest;
}
const todd_digest kDigests{
    sizeof kDigests,
    0,
    nullptr,
    [](const todd_lane*, uint32_t, const void* bytes, size_t len) {
      one_digest().add({static_cast<const uint8_t*>(bytes), len});
    },
    [](const todd_lane*, uint32_t, uint8_t* out) { std::ranges::copy(one_digest().end(), out); },
    nullptr,
    nullptr};

TEST_F(ChecksTest, AHashIsOfTheWholeBodyHoweverItCame) {
  BodyKeeper keeper(0, HostDigest{kDigests, nullptr, 0});
  const auto sum = [&](std::initializer_list<const char*> pieces) {
    keeper.begin(Coding::kIdentity);
    for (const char* piece : pieces) EXPECT_EQ(keeper.put(piece), nullptr);
    return std::string(keeper.sha256());
  };
  const std::string empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";  // FIPS 180-4
  const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  EXPECT_EQ(sum({}), empty);
  EXPECT_EQ(sum({"abc"}), abc);
  EXPECT_EQ(sum({"a", "", "bc"}), abc);
  EXPECT_EQ(keeper.sha256(), abc);  // and again
  EXPECT_EQ(sum({}), empty);
  keeper.begin(Coding::kIdentity);
  keeper.put("of an answer that breaks off");
  EXPECT_EQ(sum({"abc"}), abc);
  EXPECT_EQ(BodyKeeper(5).sha256(), "");

  Checks checks({"hash sha256 = " + abc});
  EXPECT_TRUE(checks.wants_hash());
  EXPECT_FALSE(checks.wants_body());
  facts.sha256 = abc;
  EXPECT_EQ(checks.failed(facts), std::nullopt);
  facts.sha256 = empty;
  EXPECT_EQ(checks.failed(facts), "hash sha256 = ba7816bf8f01cfea414140de5d...: is " + empty);
}

TEST_F(ChecksTest, SoManyAndNoMore) {
  EXPECT_NO_THROW(Checks(std::vector<std::string>(kMaxChecks, "status 200")));
  EXPECT_THROW(Checks(std::vector<std::string>(kMaxChecks + 1, "status 200")), error);
}

// Takes ages where a matcher goes back and tries again.
TEST_F(ChecksTest, ABodyCannotMakeAnExpressionSlow) {
  const std::string long_body(200'000, 'a');
  body(long_body);
  EXPECT_EQ(said("body !~ (a*)*b"), "");
  EXPECT_EQ(said("body !~ (x+x+)+y"), "");
}

}  // namespace
}  // namespace todd::http
