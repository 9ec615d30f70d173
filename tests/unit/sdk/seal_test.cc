// What todd-seal refuses, so that an author hears of it from the build and not from a host.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/unit/sdk/command.h"

namespace todd {
namespace {

using testing::HasSubstr;

using test::Ran;
using test::run;

class SealTest : public testing::Test {
 protected:
  SealTest() {
    std::string name = (std::filesystem::temp_directory_path() / "todd-seal-XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~SealTest() override { std::filesystem::remove_all(folder_); }

  // Builds a library whose one testlet has this id, one text param, a histogram and a spread, and seals it.
  Ran seal(const std::string& id, const std::string& flags, const std::string& dflt,
           const std::string& spread = "\"rtt\", 0.5, 0.95", const std::string& type = "TODD_P_TEXT") {
    const std::string base = folder_ + "/testlet";
    std::ofstream(base + ".c") << R"(#include "todd/testlet.h"
static todd_status create(const todd_host *h, const todd_run *r, void **s, todd_error *e) { return 0; }
static todd_status start(void *s, const todd_lane *l, todd_error *e) { return 0; }
static todd_status step(void *s, todd_batch *b) { return 1; }
static void destroy(void *s) {}
static const todd_param key = {sizeof key, )"
                               << type << ", " << flags << ", \"key\", " << dflt << R"(, 0, 0, 0, "a key"};
static const todd_param *const params[] = {&key, 0};
static const todd_metric rtt = {sizeof rtt, TODD_M_HISTOGRAM, 0, "rtt", "ns", "d"};
static const todd_metric spread = {sizeof spread, TODD_M_SPREAD, 0, "spread", "ns", "d", 0, 0, 0, 0, 0, )"
                               << spread << R"(};
static const todd_metric *const metrics[] = {&rtt, &spread, 0};
static const todd_testlet one = {.size = sizeof one, .roles = TODD_SOURCE, .target_kind = TODD_TARGET_HOST,
  .id = ")" << id << R"(", .version = "1", .summary = "s", .doc = "", .params = params, .metrics = metrics,
  .create = create, .start = start, .step = step, .destroy = destroy};
static const todd_testlet *const all[] = {&one, 0};
const todd_entry todd_entry_v0 = {sizeof todd_entry_v0, TODD_MAGIC, TODD_ABI_MAJOR, TODD_ABI_MINOR, {0, 0}, "test", all};
)";
    const Ran built =
        run("cc -std=c99 -shared -fPIC -I" TODD_SOURCE_DIR "/sdk/include -o " + base + ".so " + base + ".c");
    EXPECT_EQ(built.status, 0) << built.output;
    return run("ASAN_OPTIONS=detect_leaks=0 " TODD_BINARY_DIR "/bin/todd-seal " + base + ".so " + base +
               ".json");
  }

  std::string folder_;
};

TEST_F(SealTest, TakesIdsWithDots) {
  const Ran ran = seal("com.example.beat", "0", "\"x\"");
  EXPECT_EQ(ran.status, 0) << ran.output;
}

TEST_F(SealTest, RefusesAnIdThatAHostRefuses) {
  for (const char* id : {".beat", "beat.", "com..beat", "Beat", "a b"}) {
    const Ran ran = seal(id, "0", "\"x\"");
    EXPECT_NE(ran.status, 0) << id;
    EXPECT_THAT(ran.output, HasSubstr("is no id")) << id;
  }
}

TEST_F(SealTest, RefusesADefaultOfWhatTheUserMustGive) {
  EXPECT_EQ(seal("beat", "TODD_PF_REQUIRED", "\"\"").status, 0);
  EXPECT_EQ(seal("beat", "TODD_PF_REQUIRED", "0").status, 0);
  const Ran ran = seal("beat", "TODD_PF_REQUIRED", "\"x\"");
  EXPECT_NE(ran.status, 0);
  EXPECT_THAT(ran.output, HasSubstr("'key': the user must give it"));
}

TEST_F(SealTest, OnlyATextMayBeRepeated) {
  const Ran ran = seal("beat", "TODD_PF_REPEAT", "\"x\"");
  EXPECT_EQ(ran.status, 0) << ran.output;
  const Ran refused = seal("beat", "TODD_PF_REPEAT", "\"1\"", "\"rtt\", 0, 1", "TODD_P_INT");
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.output, HasSubstr("'key': only type text may be repeated"));
}

TEST_F(SealTest, AProxyIsATextWithoutDefault) {
  EXPECT_EQ(seal("beat", "TODD_PF_PROXY", "0").status, 0);
  for (const Ran& ran :
       {seal("beat", "TODD_PF_PROXY", "\"x\""), seal("beat", "TODD_PF_PROXY | TODD_PF_SECRET", "0"),
        seal("beat", "TODD_PF_PROXY", "0", "\"rtt\", 0, 1", "TODD_P_INT")}) {
    EXPECT_NE(ran.status, 0);
    EXPECT_THAT(ran.output, HasSubstr("'key': a proxy is of type text, no secret, and has no default"));
  }
}

TEST_F(SealTest, ASecretIsATextWithoutDefault) {
  EXPECT_EQ(seal("beat", "TODD_PF_SECRET", "0").status, 0);
  EXPECT_EQ(seal("beat", "TODD_PF_SECRET | TODD_PF_REQUIRED", "\"\"").status, 0);
  for (const Ran& ran :
       {seal("beat", "TODD_PF_SECRET", "\"x\""), seal("beat", "TODD_PF_SECRET | TODD_PF_REPEAT", "0"),
        seal("beat", "TODD_PF_SECRET", "0", "\"rtt\", 0, 1", "TODD_P_INT")}) {
    EXPECT_NE(ran.status, 0);
    EXPECT_THAT(ran.output, HasSubstr("'key': a secret is of type text, given once, and has no default"));
  }
}

TEST_F(SealTest, RefusesASpreadOfNothing) {
  EXPECT_EQ(seal("beat", "0", "\"x\"", "\"rtt\", 0, 1").status, 0);
  for (const char* of : {"0, 0, 1", "\"rrt\", 0, 1", "\"spread\", 0, 1", "\"rtt\", 0.5, 0.5",
                         "\"rtt\", 0, 1.1", "\"rtt\", 0.0 / 0.0, 1"}) {
    const Ran ran = seal("beat", "0", "\"x\"", of);
    EXPECT_NE(ran.status, 0) << of;
    EXPECT_THAT(ran.output, HasSubstr("'spread': ")) << of;
  }
}

}  // namespace
}  // namespace todd
