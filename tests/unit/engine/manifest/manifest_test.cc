#include "engine/manifest/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace todd::manifest {
namespace {

using testing::HasSubstr;
using namespace std::string_literals;

Manifest sample() {
  Param size;
  size.name = "size";
  size.type = ParamType::size;
  size.dflt = "56", size.min = "0", size.max = "64Ki";
  size.doc = "Payload,\n\"as\" in \\ping\x01 -s: \xc3\xa4";
  Param mode;
  mode.name = "mode";
  mode.type = ParamType::choice;
  mode.choices = {"icmp", "udp"};
  mode.dflt = "udp";
  Param key;
  key.name = "key";
  key.required = key.secret = true;
  Metric rtt;
  rtt.name = "rtt", rtt.unit = "ns";
  rtt.kind = stats::Kind::histogram;
  rtt.host = true;
  Metric load;
  load.name = "load";
  load.kind = stats::Kind::gauge;
  load.merge = stats::GaugeMerge::max;
  load.only_total = true;
  Testlet t;
  t.id = "ping", t.version = "1.0", t.summary = "s", t.doc = "d";
  t.source = t.responder = t.heavy = t.probes = t.warms_up = t.bulk = true;
  t.needs = 1, t.target_kind = "endpoint", t.default_port = 7;
  t.default_expect = {"loss < 100%"};
  t.schedule = {
      .tickets = true, .count = "10", .interval = "1s", .rate = "", .duration = "", .timeout = "2s"};
  Param header;
  header.name = "header";
  header.dflt = "A: b\nC: d";
  header.repeat = true;
  t.params = {size, mode, key, header};
  t.metrics = probe_metrics();
  t.metrics.push_back(rtt);
  t.metrics.push_back(load);
  Manifest m;
  m.abi_minor = 1, m.sdk = "0.1.0";
  m.testlets = {t};
  return m;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Manifest, RoundTrips) {
  const std::string json = write_manifest(sample());
  auto parsed = parse_manifest(json);
  ASSERT_TRUE(parsed) << parsed.error().detail;
  EXPECT_EQ(parsed->hash.size(), 64u);
  EXPECT_EQ(write_manifest(*parsed), json);
  parsed->hash.clear();
  EXPECT_EQ(*parsed, sample());
}

TEST(Manifest, TheHashIsOfTheBytes) {
  const auto parsed = parse_manifest(R"({"format":1,"abi_major":0,"abi_minor":1,"testlets":[]})");
  ASSERT_TRUE(parsed) << parsed.error().detail;
  EXPECT_EQ(parsed->hash, "3af318b2e33cc16cf67ec87c3f5270578986b9db888d519b85e44f5ec4048f9d");
}

TEST(Manifest, ProbeMetricsStandInFront) {
  const auto parsed = parse_manifest(write_manifest(sample()));
  const Testlet* t = parsed->testlet("ping");
  ASSERT_NE(t, nullptr);
  EXPECT_EQ(t->metrics[0].name, "planned");
  EXPECT_TRUE(t->metrics[0].host);
  EXPECT_EQ(t->metric("loss")->numerator, "lost");
  EXPECT_EQ(t->metrics.size(), 13u);
  EXPECT_EQ(t->param("mode")->choices.size(), 2u);
  EXPECT_EQ(t->param("nothing"), nullptr);
  EXPECT_EQ(parsed->testlet("http"), nullptr);
}

TEST(Manifest, TicketsAloneBringPlannedAndUnsent) {
  Manifest made = sample();
  made.testlets[0].probes = false;
  auto& metrics = made.testlets[0].metrics;
  metrics.erase(metrics.begin() + 2, metrics.begin() + static_cast<ptrdiff_t>(probe_metrics().size()));
  const auto parsed = parse_manifest(write_manifest(made));
  ASSERT_TRUE(parsed) << parsed.error().detail;
  EXPECT_EQ(parsed->testlets[0].metrics, made.testlets[0].metrics);
  EXPECT_EQ(parsed->testlets[0].metrics.size(), 4u);
}

TEST(Manifest, IsStrict) {
  const std::string json = write_manifest(sample());
  struct Case {
    const char *from, *to, *error;
  };
  for (const Case& c : {
           Case{"\"size\"", "7", "testlets[0].params[0].name must be a text"},
           Case{"\"probes\":true", "\"probes\":1", "testlets[0].probes must be true or false"},
           Case{"\"default_port\":7", "\"default_port\":65536",
                "testlets[0].default_port must be a whole number of 0 to 65535"},
           Case{"\"abi_minor\":1", "\"abi_minor\":-1", "abi_minor must be"},
           Case{"\"abi_major\":0,", "", "abi_major is missing"},
           Case{"\"type\":\"choice\"", "\"type\":\"chioce\"", "\"chioce\" is none of boolean"},
           Case{"[\"icmp\",\"udp\"]", "[\"icmp\",1]", "testlets[0].params[1].choices[1] must be a text"},
           Case{"[\"icmp\",\"udp\"]", "[]", "choices"},
           Case{"\"dflt\":\"udp\"", "\"dflt\":\"tcp\"", "param mode: default: mode: \"tcp\""},
           Case{"\"dflt\":\"56\"", "\"dflt\":\"70000\"", "out of range"},
           Case{"\"max\":\"64Ki\"", "\"max\":\"much\"", "bound"},
           Case{"\"name\":\"mode\"", "\"name\":\"size\"", "declared twice"},
           Case{"\"name\":\"mode\"", "\"name\":\"count\"", "the host's"},
           Case{"\"name\":\"mode\"", "\"name\":\"Mode\"", "a-z"},
           Case{"\"required\":false", "\"required\":true", "param size: the user must give it"},
           Case{"\"name\":\"rtt\"", "\"name\":\"sent\"", "metric sent is declared twice"},
           Case{"\"kind\":\"gauge\"", "\"kind\":\"ratio\"", "no counter"},
           Case{"\"kind\":\"gauge\"", "\"low\":\"0\",\"kind\":\"spread\"",
                "testlets[0].metrics[1].low must be a number"},
           Case{"\"interval\":\"1s\"", "\"interval\":\"1\"", "1 what?"},
           Case{"\"rate\":\"\"", "\"rate\":\"5\"", "exclude each other"},
           Case{"\"target_kind\":\"endpoint\"", "\"target_kind\":\"box\"", "target_kind"},
           Case{"\"testlets\":[{", "\"testlets\":[3,{", "testlets[0] must be an object"},
           Case{"}]}", "}]", "no JSON object"},
       }) {
    const auto parsed = parse_manifest(replaced(json, c.from, c.to));
    ASSERT_FALSE(parsed) << c.to;
    EXPECT_EQ(parsed.error().code, Errc::invalid);
    EXPECT_THAT(parsed.error().detail, HasSubstr(c.error));
  }
}

TEST(Manifest, ARatioIsKeptNoFinerThanItsCounters) {
  Manifest m = sample();
  Metric part;
  part.name = "part";
  part.only_total = true;
  Metric share;
  share.name = "share";
  share.kind = stats::Kind::ratio;
  share.numerator = "part", share.denominator = "sent";
  m.testlets[0].metrics.push_back(part);
  m.testlets[0].metrics.push_back(share);
  const auto parsed = parse_manifest(write_manifest(m));
  ASSERT_FALSE(parsed);
  EXPECT_THAT(parsed.error().detail, HasSubstr("of \"part\" only the total is kept"));
  m.testlets[0].metrics.back().only_total = true;
  EXPECT_TRUE(parse_manifest(write_manifest(m)));
}

TEST(Manifest, OnlyATextMayBeRepeated) {
  const std::string json = write_manifest(sample());
  Manifest m = sample();
  m.testlets[0].params[0].repeat = true;
  EXPECT_THAT(parse_manifest(write_manifest(m)).error().detail,
              HasSubstr("param size: only a text may be repeated"));
  m = sample();
  m.testlets[0].params[3].dflt = "A: b\n\nC: d";
  EXPECT_THAT(parse_manifest(write_manifest(m)).error().detail, HasSubstr("one of its texts is empty"));
}

// A target among a million costs nothing for them.
TEST(Manifest, TheBytesOfProbesHaveNoPlaceInFlatRows) {
  Testlet with;
  with.metrics = probe_metrics();
  Testlet without = with;
  std::erase_if(without.metrics, [](const Metric& metric) { return metric.unit == "By"; });
  ASSERT_EQ(without.metrics.size() + 2, with.metrics.size());
  constexpr uint32_t kMany = stats::kTwoBankEdges + 1;
  EXPECT_EQ(cell_layout(with, kMany, 0, kMany).flat_stride(),
            cell_layout(without, kMany, 0, kMany).flat_stride());
}

TEST(Manifest, ASecretIsATextWithoutDefaultAndPattern) {
  const auto with = [](auto change) {
    Manifest m = sample();
    Param& key = m.testlets[0].params[2];
    key.required = false;
    change(key);
    const auto parsed = parse_manifest(write_manifest(m));
    return parsed ? "" : parsed.error().detail;
  };
  EXPECT_EQ(with([](Param&) {}), "");
  EXPECT_THAT(with([](Param& key) { key.type = ParamType::integer; }), HasSubstr("only a text is a secret"));
  EXPECT_THAT(with([](Param& key) { key.dflt = "x"; }), HasSubstr("a secret is given once, has no default"));
  EXPECT_THAT(with([](Param& key) { key.pattern = "x"; }), HasSubstr("a secret is given once"));
  EXPECT_THAT(with([](Param& key) { key.repeat = true; }), HasSubstr("a secret is given once"));
}

TEST(Manifest, AProxyIsATextWithoutDefault) {
  const auto with = [](auto change) {
    Manifest m = sample();
    Param& param = m.testlets[0].params[2];
    param.required = param.secret = false;
    param.proxy = true;
    change(param);
    const auto parsed = parse_manifest(write_manifest(m));
    return !parsed ? parsed.error().detail : parsed->testlets[0].params[2].proxy ? "" : "lost";
  };
  EXPECT_EQ(with([](Param&) {}), "");
  EXPECT_THAT(with([](Param& p) { p.type = ParamType::integer; }), HasSubstr("a proxy is a text"));
  EXPECT_THAT(with([](Param& p) { p.secret = true; }), HasSubstr("a proxy is a text"));
  EXPECT_THAT(with([](Param& p) { p.dflt = "x"; }), HasSubstr("a proxy is a text"));
}

Metric spread_of_rtt(double low, double high) {
  Metric spread;
  spread.name = "spread", spread.unit = "ns";
  spread.kind = stats::Kind::spread;
  spread.histogram = "rtt", spread.low = low, spread.high = high;
  return spread;
}

TEST(Manifest, ASpreadIsOfAHistogramOfItsTestlet) {
  const auto with = [](Metric spread, bool histogram_total = false) {
    Manifest m = sample();
    m.testlets[0].metrics[probe_metrics().size()].only_total = histogram_total;
    m.testlets[0].metrics.push_back(std::move(spread));
    auto parsed = parse_manifest(write_manifest(m));
    if (parsed) {
      parsed->hash.clear();
      EXPECT_EQ(*parsed, m);
    }
    return parsed ? "" : parsed.error().detail;
  };
  EXPECT_EQ(with(spread_of_rtt(0, 1)), "");
  EXPECT_EQ(with(spread_of_rtt(1.0 / 3, 0.95)), "");
  Metric other = spread_of_rtt(0.5, 0.95);
  for (const char* name : {"", "nothing", "load", "spread"}) {
    other.histogram = name;
    EXPECT_THAT(with(other), HasSubstr("is no histogram of this testlet")) << name;
  }
  other = spread_of_rtt(0.5, 0.95);
  other.unit = "By";
  EXPECT_THAT(with(other), HasSubstr("its unit must be that of \"rtt\", ns"));
  const std::pair<double, double> wrong[] = {{0.5, 0.5}, {0.95, 0.5}, {-0.1, 0.5}, {0.5, 1.01}};
  for (const auto& [low, high] : wrong)
    EXPECT_THAT(with(spread_of_rtt(low, high)), HasSubstr("0 <= low < high <= 1")) << low << " " << high;
  EXPECT_THAT(with(spread_of_rtt(0, 1), true), HasSubstr("of \"rtt\" only the total is kept"));
}

// An author's ids carry the author's domain, so that two authors' "beat" can live on one host.
TEST(Manifest, IdsMayHaveDotsBetweenTheirParts) {
  const auto with_id = [](const std::string& id) {
    return parse_manifest(replaced(write_manifest(sample()), "\"id\":\"ping\"", "\"id\":\"" + id + "\""));
  };
  const std::string longest(63, 'a');
  for (const std::string& id : {"com.example.beat"s, "x"s, "com.my-firm.a_b2"s, longest}) {
    EXPECT_TRUE(with_id(id)) << id;
  }
  for (const std::string& id : {""s, ".beat"s, "beat."s, "com..beat"s, "Com.beat"s, "7.beat"s, "-beat"s,
                                "com/beat"s, "a b"s, longest + 'a'}) {
    const auto parsed = with_id(id);
    ASSERT_FALSE(parsed) << id;
    EXPECT_THAT(parsed.error().detail, HasSubstr("an id is")) << id;
  }
}

TEST(Manifest, RefusesOtherFormatsAndSizes) {
  const auto later = parse_manifest(R"({"format":2,"whatever":0})");
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().code, Errc::unsupported);
  EXPECT_EQ(parse_manifest(std::string(kMaxManifestBytes + 1, ' ')).error().code, Errc::exhausted);
  for (const char* bad : {"", "[]", "7", "{", "{} {}"}) EXPECT_FALSE(parse_manifest(bad)) << bad;
}

TEST(Manifest, IgnoresFieldsOfLaterVersions) {
  EXPECT_TRUE(parse_manifest(R"({"format":1,"abi_major":0,"abi_minor":1,"testlets":[],"signature":{}})"));
}

}  // namespace
}  // namespace todd::manifest
