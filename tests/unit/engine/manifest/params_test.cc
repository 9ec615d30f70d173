#include "engine/manifest/params.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/manifest/nearest.h"

namespace todd::manifest {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Param param(const char* name, ParamType type, const char* dflt = "", const char* min = "",
            const char* max = "") {
  Param p;
  p.name = name;
  p.type = type;
  p.dflt = dflt;
  p.min = min;
  p.max = max;
  return p;
}

Testlet ping() {
  Testlet t;
  t.id = "ping";
  t.schedule.tickets = true;
  t.schedule.count = "10";
  return t;
}

TEST(Params, TheRangeErrorNamesEverything) {
  const Param size = param("size", ParamType::size, "56", "0", "65507");
  EXPECT_EQ(parse_value(size, "65507")->i, 65507);
  EXPECT_EQ(parse_value(size, "70000").error().detail, "size: 70000 is out of range, allowed 0 to 65507");
  const Param ttl = param("ttl", ParamType::integer, "", "1");
  EXPECT_EQ(parse_value(ttl, "0").error().detail, "ttl: 0 is out of range, allowed at least 1");
}

TEST(Params, EachTypeFillsItsField) {
  EXPECT_EQ(parse_value(param("a", ParamType::boolean), "yes")->i, 1);
  EXPECT_EQ(parse_value(param("a", ParamType::duration), "1ms")->i, 1'000'000);
  EXPECT_EQ(parse_value(param("a", ParamType::bitrate), "1M")->i, 1'000'000);
  EXPECT_EQ(parse_value(param("a", ParamType::rate), "max")->r, HUGE_VAL);
  EXPECT_EQ(parse_value(param("a", ParamType::ratio), "1%")->r, 0.01);
  EXPECT_EQ(parse_value(param("a", ParamType::real), "1.5")->r, 1.5);
  EXPECT_EQ(parse_value(param("a", ParamType::text), "x y")->s, "x y");
}

TEST(Params, ChoicesAreListedAndGuessed) {
  Param mode = param("mode", ParamType::choice);
  mode.choices = {"icmp", "udp", "tcp"};
  EXPECT_EQ(parse_value(mode, "tcp")->i, 2);
  EXPECT_EQ(parse_value(mode, "tcp")->s, "tcp");
  EXPECT_EQ(parse_value(mode, "icpm").error().detail,
            "mode: \"icpm\" is none of icmp, udp, tcp: did you mean \"icmp\"?");
}

TEST(Params, ARepeatedTextIsItsLines) {
  Param header = param("header", ParamType::text);
  header.repeat = true;
  EXPECT_EQ(parse_value(header, "A: b\nC: d")->s, "A: b\nC: d");
  EXPECT_EQ(parse_value(header, "")->s, "");
  for (const char* bad : {"\n", "A: b\n", "\nA: b", "A: b\n\nC: d"})
    EXPECT_EQ(parse_value(header, bad).error().detail, "header: one of its texts is empty") << bad;
  EXPECT_EQ(parse_value(param("note", ParamType::text), "a\n")->s, "a\n") << "of others a line is no item";
}

TEST(Params, TextsAreJoinedAndSplit) {
  for (const std::vector<std::string>& texts :
       {std::vector<std::string>{}, {"a"}, {"a", "b"}, {" ", "\t", "a b"}}) {
    const auto joined = join_texts(texts);
    ASSERT_TRUE(joined);
    EXPECT_EQ(split_texts(*joined), texts);
  }
  EXPECT_THAT(join_texts({"a", ""}).error().detail, HasSubstr("empty"));
  EXPECT_THAT(join_texts({"a\nb"}).error().detail, HasSubstr("more than one line"));
}

TEST(Params, ASecretIsGivenByItsNameAndNeverQuoted) {
  Param pin = param("pin", ParamType::text);
  pin.secret = true;
  EXPECT_EQ(parse_value(pin, "secret:db-1.Key_x")->secret, "db-1.Key_x");
  EXPECT_EQ(parse_value(pin, "secret:db")->s, "");
  for (const std::string bad : {"geheim", "", "secret", "Secret:geheim", "secret:", "secret:.geheim",
                                "secret:ge/heim", "secret:ge heim"}) {
    const auto value = parse_value(pin, bad);
    ASSERT_FALSE(value) << bad;
    EXPECT_THAT(value.error().detail,
                AllOf(testing::StartsWith("pin: "), HasSubstr("secret"), testing::Not(HasSubstr("heim"))));
  }
  EXPECT_THAT(parse_value(pin, "geheim").error().detail, HasSubstr("write secret:NAME on the command line"));
  EXPECT_EQ(parse_value(param("path", ParamType::text), "secret:db")->s, "secret:db")
      << "of others it is a text";
}

TEST(Params, ResolveFillsDefaultsInOrder) {
  const std::vector<Param> params = {param("size", ParamType::size, "56"), param("ttl", ParamType::integer),
                                     param("df", ParamType::boolean, "true")};
  const auto values = resolve_params(params, {{"ttl", "64"}, {"count", "5"}});  // count is the host's
  ASSERT_TRUE(values) << values.error().detail;
  EXPECT_EQ((*values)[0].i, 56);
  EXPECT_FALSE((*values)[0].given);
  EXPECT_EQ((*values)[1].i, 64);
  EXPECT_TRUE((*values)[1].given);
  EXPECT_EQ((*values)[2].i, 1);
  EXPECT_EQ(resolve_params(params, {})->at(1).type, ParamType::integer);
}

TEST(Params, UnknownNamesAreGuessed) {
  const std::vector<Param> params = {param("size", ParamType::size)};
  EXPECT_EQ(resolve_params(params, {{"intervall", "1s"}}).error().detail,
            "unknown parameter \"intervall\": did you mean \"interval\"?");
  EXPECT_THAT(resolve_params(params, {{"colour", "red"}}).error().detail, HasSubstr("known are size, count"));
}

TEST(Params, RequiredMeansRequired) {
  Param url = param("url", ParamType::text);
  url.required = true;
  EXPECT_THAT(resolve_params({url}, {}).error().detail, HasSubstr("url: is required"));
  EXPECT_TRUE(resolve_params({url}, {{"url", "x"}}));
}

TEST(Nearest, FindsWhatWasMeant) {
  const std::vector<std::string> names = {"count", "interval", "rate", "duration"};
  EXPECT_EQ(nearest("intervall", names), "interval");
  EXPECT_EQ(nearest("cuont", names), "count");
  EXPECT_EQ(nearest("durration", names), "duration");
  EXPECT_EQ(nearest("colour", names), "");
  EXPECT_EQ(nearest("", names), "");
  EXPECT_EQ(nearest("x", {"y"}), "");
  EXPECT_EQ(nearest(std::string(100'000, 'a'), names), "");
}

TEST(HostParams, Defaults) {
  const auto p = resolve_host_params(ping(), {{"size", "not ours"}});
  ASSERT_TRUE(p) << p.error().detail;
  EXPECT_EQ(*p, (HostParams{.count = 10,
                            .interval_ns = 1'000'000'000,
                            .timeout_ns = 1'000'000'000,
                            .period_ns = 1'000'000'000}));
}

TEST(HostParams, RateExcludesInterval) {
  const auto p = resolve_host_params(ping(), {{"rate", "100"}});
  EXPECT_EQ(p->rate, 100);
  EXPECT_EQ(p->interval_ns, 0);
  EXPECT_THAT(resolve_host_params(ping(), {{"rate", "100"}, {"interval", "1s"}}).error().detail,
              AllOf(HasSubstr("rate: 100"), HasSubstr("interval: 1s")));
  Testlet http = ping();
  http.schedule.rate = "10";
  EXPECT_EQ(resolve_host_params(http, {})->rate, 10);
  EXPECT_EQ(resolve_host_params(http, {{"interval", "1ms"}})->rate, 0);
  EXPECT_EQ(resolve_host_params(ping(), {{"rate", "max"}})->rate, HUGE_VAL);
}

TEST(HostParams, ShapeAndBurstWantAPace) {
  auto p = resolve_host_params(ping(), {{"shape", "poisson"}, {"burst", "4"}, {"rate", "1k"}});
  ASSERT_TRUE(p) << p.error().detail;
  EXPECT_EQ(p->shape, Shape::poisson);
  EXPECT_EQ(p->burst, 4u);
  EXPECT_EQ(resolve_host_params(ping(), {{"shape", "uniform"}})->shape, Shape::uniform);
  EXPECT_THAT(resolve_host_params(ping(), {{"shape", "uniform"}, {"rate", "max"}}).error().detail,
              HasSubstr("shape: rate: max sends as fast as it goes"));
  EXPECT_THAT(resolve_host_params(ping(), {{"burst", "2"}, {"rate", "max"}}).error().detail,
              HasSubstr("burst: rate: max sends as fast as it goes"));
  EXPECT_TRUE(resolve_host_params(ping(), {{"shape", "periodic"}, {"burst", "1"}, {"rate", "max"}}));
  EXPECT_THAT(resolve_host_params(ping(), {{"shape", "gauss"}}).error().detail, HasSubstr("poisson"));
  EXPECT_THAT(resolve_host_params(ping(), {{"burst", "1001"}}).error().detail, HasSubstr("1 to 1000"));
  EXPECT_THAT(resolve_host_params(ping(), {{"shape", "poisson"}, {"count", "5G"}}).error().detail,
              HasSubstr("count: 5000000000 is out of range"));
}

TEST(HostParams, APaceRisesWithinTheWarmUp) {
  Testlet warm = ping();
  warm.warms_up = true;
  auto p = resolve_host_params(warm, {{"ramp", "2s"}, {"warm_up", "5s"}});
  ASSERT_TRUE(p) << p.error().detail;
  EXPECT_EQ(p->ramp_ns, 2'000'000'000);
  EXPECT_EQ(p->uncounted_ns(), 5'000'000'000 + p->timeout_ns + kWarmUpSettleNs);
  p = resolve_host_params(ping(), {{"ramp", "2s"}});
  ASSERT_TRUE(p) << p.error().detail;
  EXPECT_EQ(p->uncounted_ns(), 0);
  EXPECT_THAT(resolve_host_params(ping(), {{"warm_up", "1s"}}).error().detail,
              HasSubstr("counts from its first probe on"));
  EXPECT_THAT(resolve_host_params(warm, {{"ramp", "6s"}, {"warm_up", "5s"}}).error().detail,
              HasSubstr("ramp: 6s is longer than the warm_up of 5s"));
  EXPECT_THAT(resolve_host_params(warm, {{"ramp", "1s"}, {"rate", "max"}}).error().detail,
              HasSubstr("no rate to rise to"));
}

TEST(HostParams, EgressIsRead) {
  const auto p =
      resolve_host_params(ping(), {{"source", "fe80::1%eth0"}, {"interface", "eth0"}, {"df", "set"}});
  ASSERT_TRUE(p) << p.error().detail;
  EXPECT_EQ(p->egress, (Egress{"fe80::1%eth0", "eth0", DontFragment::set}));
  EXPECT_EQ(resolve_host_params(ping(), {{"mark", "0xffffffff"}})->egress, Egress{.mark = UINT32_MAX});
  EXPECT_EQ(resolve_host_params(ping(), {{"flow_label", "1048575"}})->egress, Egress{.flow_label = 0xfffff});
  EXPECT_FALSE((Egress{.mark = 1}).plain() || (Egress{.flow_label = 1}).plain());
  for (const char* bad : {"-1", "1048576", "blue"})
    EXPECT_THAT(resolve_host_params(ping(), {{"flow_label", bad}}).error().detail, HasSubstr("flow_label"))
        << bad;
  for (const char* bad : {"-1", "4294967296", "blue", "0x", "0x-1"})
    EXPECT_THAT(resolve_host_params(ping(), {{"mark", bad}}).error().detail, HasSubstr("mark")) << bad;
  EXPECT_THAT(resolve_host_params(ping(), {{"mark", "1"}, {"via", "packet"}}).error().detail,
              HasSubstr("via: packet goes by the routes"));
  EXPECT_EQ(resolve_host_params(ping(), {})->egress, Egress{});
  EXPECT_THAT(resolve_host_params(ping(), {{"source", "eth0"}}).error().detail,
              HasSubstr("source: \"eth0\" is no IPv4 or IPv6 address"));
  EXPECT_THAT(resolve_host_params(ping(), {{"interface", "sixteen-letters!"}}).error().detail,
              HasSubstr("15 characters"));
  EXPECT_THAT(resolve_host_params(ping(), {{"df", "yes"}}).error().detail, HasSubstr("df"));
}

TEST(HostParams, AGivenEndReplacesTheDefaultEnds) {
  auto p = resolve_host_params(ping(), {{"duration", "5s"}});
  EXPECT_EQ(p->count, 0u);
  EXPECT_EQ(p->duration_ns, 5'000'000'000);
  p = resolve_host_params(ping(), {{"duration", "5s"}, {"count", "3"}});
  EXPECT_EQ(p->count, 3u);
  EXPECT_EQ(p->duration_ns, 5'000'000'000);
  Testlet timed = ping();
  timed.schedule.count = "";
  timed.schedule.duration = "10s";
  EXPECT_EQ(resolve_host_params(timed, {{"count", "100"}})->duration_ns, 0);
}

TEST(HostParams, RequestsIsAnotherWordForTheCountOfUrls) {
  Testlet http = ping();
  http.target_kind = "url";
  EXPECT_EQ(resolve_host_params(http, {})->count, 10u);
  EXPECT_EQ(resolve_host_params(http, {{"requests", "500"}})->count, 500u);
  const auto both_ends = resolve_host_params(http, {{"requests", "2k"}, {"duration", "5s"}});
  EXPECT_EQ(both_ends->count, 2000u);
  EXPECT_EQ(both_ends->duration_ns, 5'000'000'000);
  http.schedule.duration = "10s";
  EXPECT_EQ(resolve_host_params(http, {{"requests", "5"}})->duration_ns, 0);
  EXPECT_EQ(resolve_host_params(http, {{"requests", "5"}, {"count", "5"}}).error().detail,
            "requests: 5 and count: 5 mean the same; give one of them");
  EXPECT_EQ(resolve_host_params(http, {{"requests", "0"}}).error().detail,
            "requests: 0 is out of range, allowed at least 1");
  EXPECT_EQ(resolve_host_params(ping(), {{"requests", "5"}}).error().detail,
            "requests: testlet ping sends none; give count");
}

TEST(HostParams, AnEndIsNeeded) {
  Testlet endless = ping();
  endless.schedule.count = "";
  EXPECT_THAT(resolve_host_params(endless, {}).error().detail, HasSubstr("give count or duration"));
}

TEST(HostParams, ZeroAndNegativeAreRefused) {
  for (const auto& [name, value] : {std::pair{"interval", "0s"},
                                    {"interval", "-1s"},
                                    {"rate", "0"},
                                    {"rate", "-1"},
                                    {"count", "0"},
                                    {"count", "-1"},
                                    {"duration", "0s"},
                                    {"timeout", "0s"},
                                    {"samples", "-2"},
                                    {"samples", "some"}}) {
    const auto p = resolve_host_params(ping(), {{name, value}});
    ASSERT_FALSE(p) << name << value;
    EXPECT_THAT(p.error().detail, AllOf(HasSubstr(name), HasSubstr(value)));
  }
  EXPECT_EQ(resolve_host_params(ping(), {{"interval", "10"}}).error().detail,
            "interval: \"10\": 10 what? write 10s or 10ms");
}

// Beyond these a schedule only counts what it skips; "max" is how to ask for as much as there is.
TEST(HostParams, WhatNoLaneCanFollowIsRefusedWithTheRange) {
  EXPECT_EQ(resolve_host_params(ping(), {{"interval", "1ns"}}).error().detail,
            "interval: 1ns is out of range, allowed 1us to 3650d");
  EXPECT_EQ(resolve_host_params(ping(), {{"rate", "1G"}}).error().detail,
            "rate: 1G is out of range, allowed 0.0001 to 100M");
  EXPECT_EQ(resolve_host_params(ping(), {{"interval", "1us"}})->interval_ns, 1000);
  EXPECT_EQ(resolve_host_params(ping(), {{"rate", "100M"}})->rate, 1e8);
  EXPECT_EQ(resolve_host_params(ping(), {{"rate", "max"}})->rate, HUGE_VAL);
}

TEST(HostParams, SamplesAndPeriod) {
  EXPECT_EQ(resolve_host_params(ping(), {{"samples", "all"}})->samples, -1);
  EXPECT_EQ(resolve_host_params(ping(), {{"samples", "1k"}})->samples, 1000);
  EXPECT_EQ(resolve_host_params(ping(), {{"period", "10s"}})->period_ns, 10'000'000'000);
}

TEST(HostParams, WithoutTicketsThereIsNoCount) {
  Testlet iperf;
  iperf.id = "iperf";
  iperf.schedule.duration = "5s";
  EXPECT_EQ(
      *resolve_host_params(iperf, {}),
      (HostParams{.duration_ns = 5'000'000'000, .timeout_ns = 1'000'000'000, .period_ns = 1'000'000'000}));
  for (const char* name : {"count", "interval", "rate", "shape", "burst", "ramp", "warm_up"}) {
    EXPECT_THAT(resolve_host_params(iperf, {{name, "1"}}).error().detail,
                AllOf(HasSubstr(name), HasSubstr("duration")));
  }
}

}  // namespace
}  // namespace todd::manifest
