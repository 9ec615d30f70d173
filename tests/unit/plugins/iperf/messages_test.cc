// The texts in these tests were read off the wire between two iperf3 3.12.

#include "plugins/iperf/messages.h"

#include <gtest/gtest.h>

namespace todd::iperf {
namespace {

TEST(MessagesTest, ReadsTheParamsOfIperf3) {
  const auto read = read_params(
      R"({"tcp":true,"omit":1,"time":0,"num":0,"blockcount":3,"MSS":1000,"nodelay":true,"parallel":2,"window":102400,)"
      R"("len":1000,"pacing_timer":1000,"TOS":32,"title":"title","extra_data":"foo","congestion":"cubic",)"
      R"("repeating_payload":1,"zerocopy":1,"client_version":"3.12"})");
  ASSERT_TRUE(read.value) << read.why;
  const Params& p = *read.value;
  EXPECT_TRUE(!p.udp && !p.reverse && !p.bidir && p.no_delay && p.repeating && p.zero_copy && !p.todd);
  EXPECT_EQ(p.omit_s, 1u);
  EXPECT_EQ(p.blocks, 3u);
  EXPECT_EQ(p.mss, 1000u);
  EXPECT_EQ(p.streams, 2u);
  EXPECT_EQ(p.window, 102400u);
  EXPECT_EQ(p.length, 1000u);
  EXPECT_EQ(p.tos, 32u);
  EXPECT_EQ(p.congestion, "cubic");
  EXPECT_EQ(p.client_version, "3.12");
}

TEST(MessagesTest, ParamsGoOutAsIperf3WritesThem) {
  Params p;
  p.udp = p.reverse = true;
  p.time_s = 1;
  p.streams = 2;
  p.length = 32768;
  p.bitrate = 1000000;
  p.client_version = "3.12";
  EXPECT_EQ(write(p),
            R"({"udp":true,"omit":0,"time":1,"num":0,"blockcount":0,"parallel":2,"reverse":true,"len":32768,)"
            R"("bandwidth":1000000,"pacing_timer":1000,"client_version":"3.12"})");
}

TEST(MessagesTest, ParamsOfOursComeBackWhole) {
  Params p;
  p.bidir = p.no_delay = p.zero_copy = p.repeating = p.counters_64 = p.udp = p.todd = true;
  p.omit_s = 3, p.time_s = 60, p.bytes = UINT64_MAX, p.blocks = 7, p.streams = 128, p.length = 1400;
  p.bitrate = 10'000'000'000, p.pacing = 5, p.window = 1 << 20, p.mss = 536, p.tos = 0xb8;
  p.congestion = "bbr", p.client_version = "\"ToDD\\";
  p.token = 0xffffffffffffffff;
  const auto read = read_params(write(p));
  ASSERT_TRUE(read.value) << read.why;
  EXPECT_EQ(write(*read.value), write(p));
  EXPECT_EQ(read.value->token, p.token);
  EXPECT_EQ(read.value->client_version, p.client_version);
}

TEST(MessagesTest, RefusesParamsThatCannotBeServed) {
  for (const auto& [text, why] : {
           std::pair{R"({"tcp":true,"len":10,"udp":true})", "exactly one of tcp and udp"},
           {R"({"sctp":true,"len":10})", "exactly one of tcp and udp"},
           {R"({"tcp":true})", "\"len\": from 1"},
           {R"({"tcp":true,"len":1048577})", "\"len\": more than 1048576"},
           {R"({"udp":true,"len":15})", "\"len\": from 16 to 65507"},
           {R"({"udp":true,"len":65508})", "\"len\": from 16 to 65507"},
           {R"({"tcp":true,"len":10,"parallel":0})", "\"parallel\": at least 1"},
           {R"({"tcp":true,"len":10,"parallel":129})", "\"parallel\": more than 128"},
           {R"({"tcp":true,"len":10,"parallel":-1})", "\"parallel\": no whole number"},
           {R"({"tcp":true,"len":10,"parallel":1.5})", "\"parallel\": no whole number"},
           {R"({"tcp":true,"len":10,"time":1e300})", "\"time\": no whole number"},
           {R"({"tcp":true,"len":10,"time":86401})", "\"time\": more than 86400"},
           {R"({"tcp":true,"len":"10"})", "\"len\": no whole number"},
           {R"({"tcp":true,"len":10,"congestion":"a name that is far too long"})",
            "\"congestion\": longer than 15"},
           {R"({"tcp":true,"len":10,"reverse":true,"bidirectional":true})", "not together"},
           {R"({"tcp":[],"len":10})", "\"tcp\": neither true nor false"},
           {R"([1])", "no JSON object"},
           {R"({"tcp":true,"len":10)", "no JSON"},
           {"", "no JSON"},
           {"{\"tcp\":true,\"title\":\"\xff\"}", "no JSON"},
       }) {
    const auto read = read_params(text);
    EXPECT_FALSE(read.value) << text;
    EXPECT_NE(read.why.find(why), std::string::npos) << text << ": " << read.why;
  }
  const std::string deep = std::string(100, '[') + std::string(100, ']');
  EXPECT_FALSE(read_params("{\"tcp\":true,\"len\":1,\"x\":" + deep + "}").value);
}

constexpr const char* kResults =
    R"({"cpu_util_total":25.665001225865314,"cpu_util_user":0.943105600804207,"cpu_util_system":24.721797359304318,)"
    R"("sender_has_retransmits":18446744073709551615,"congestion_used":"bbr","streams":[{"id":1,"bytes":565644555,)"
    R"("retransmits":18446744073709551615,"jitter":0,"errors":0,"packets":0,"start_time":0,"end_time":1.035063},)"
    R"({"id":3,"bytes":648806400,"retransmits":12,"jitter":0.000776286376953125,"errors":3,"packets":9,)"
    R"("start_time":0,"end_time":1}]})";

TEST(MessagesTest, ReadsTheResultsOfIperf3) {
  const auto read = read_results(kResults);
  ASSERT_TRUE(read.value) << read.why;
  const Results& r = *read.value;
  EXPECT_DOUBLE_EQ(r.cpu_total, 25.665001225865314);
  EXPECT_FALSE(r.has_retransmits);
  EXPECT_EQ(r.congestion, "bbr");
  ASSERT_EQ(r.streams.size(), 2u);
  EXPECT_EQ(r.streams[0].bytes, 565644555u);
  EXPECT_FALSE(r.streams[0].retransmits);
  EXPECT_EQ(r.streams[1].id, 3u);
  EXPECT_EQ(r.streams[1].retransmits, 12u);
  EXPECT_DOUBLE_EQ(r.streams[1].jitter_s, 0.000776286376953125);
  EXPECT_EQ(r.streams[1].lost, 3u);
  EXPECT_EQ(r.streams[1].packets, 9u);
  EXPECT_DOUBLE_EQ(r.streams[1].end_s, 1);
  EXPECT_FALSE(r.todd || r.recorded);
}

TEST(MessagesTest, ResultsOfOursComeBackWhole) {
  Results r = *read_results(kResults).value;
  r.todd = r.recorded = true;
  r.has_retransmits = true;
  r.streams[0].time_ns = 1'035'063'001;
  r.streams[1].out_of_order = 1, r.streams[1].duplicates = 2, r.streams[1].bursts = 3,
  r.streams[1].longest_burst = 4;
  r.streams[1].unsent = 5, r.streams[1].rtt_us = 6, r.streams[1].rttvar_us = 7, r.streams[1].min_rtt_us = 8;
  r.streams[1].cwnd = 9, r.streams[1].delivery_rate = 10, r.streams[1].busy_us = 11;
  r.streams[1].receive_window_us = 12, r.streams[1].send_buffer_us = 13, r.streams[1].omitted_lost = 14;
  const auto read = read_results(write(r));
  ASSERT_TRUE(read.value) << read.why;
  EXPECT_EQ(write(*read.value), write(r));
  EXPECT_TRUE(read.value->todd && read.value->recorded);
  EXPECT_EQ(read.value->has_retransmits, true);
  EXPECT_EQ(read.value->streams[0].time_ns, 1'035'063'001u);
  EXPECT_EQ(read.value->streams[1].send_buffer_us, 13u);
  EXPECT_EQ(read.value->streams[1].omitted_lost, 14u);
}

TEST(MessagesTest, RefusesResultsThatMakeNoSense) {
  std::string many = R"({"streams":[)";
  for (int i = 0; i < 257; ++i) many += (i != 0 ? "," : "") + std::string(R"({"id":1})");
  many += "]}";
  for (const auto& [text, why] :
       {std::pair<std::string, const char*>{R"({"cpu_util_total":1})", "\"streams\": no array"},
        {R"({"streams":[1]})", "no object"},
        {R"({"streams":[{"bytes":1}]})", "\"id\""},
        {R"({"streams":[{"id":1,"bytes":-5}]})", "\"bytes\""},
        {R"({"streams":[{"id":1,"bytes":18446744073709551616}]})", "no JSON"},
        {R"({"streams":[{"id":1,"jitter":"x"}]})", "\"jitter\""},
        {R"({"streams":[{"id":1,"todd":{"cwnd":1e30}}]})", "\"cwnd\""},
        {many, "more than 256"}}) {
    const auto read = read_results(text);
    EXPECT_FALSE(read.value) << text;
    EXPECT_NE(read.why.find(why), std::string::npos) << text << ": " << read.why;
  }
}

}  // namespace
}  // namespace todd::iperf
