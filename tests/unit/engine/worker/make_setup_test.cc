#include "engine/worker/make_setup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/io/sockets.h"

namespace todd::worker {
namespace {

using testing::HasSubstr;

// One target whose name is not resolved yet.
lane::TaskSetup named(uint32_t family = 0) {
  lane::TaskSetup setup;
  setup.specs = std::make_shared<std::vector<schedule::TargetSpec>>();
  setup.specs->push_back({.name = "web.test", .host = "web.test", .port = 80, .family = family});
  setup.targets.push_back({.address = {}, .spec = 0, .offset = 0, .edge = 0});
  return setup;
}

TEST(SetAddressTest, TakesTheFirstOfTheFamily) {
  auto setup = named();
  ASSERT_TRUE(set_address(setup, 0, {"192.0.2.1", "192.0.2.2", "2001:db8::1"}));
  EXPECT_EQ(io::format_endpoint(setup.targets[0].address), "192.0.2.1:80");
  auto six = named(6);
  ASSERT_TRUE(set_address(six, 0, {"192.0.2.1", "2001:db8::1"}));
  EXPECT_EQ(io::format_endpoint(six.targets[0].address), "[2001:db8::1]:80");
}

TEST(SetAddressTest, SkipsWhatIsNoHosts) {
  auto setup = named();
  ASSERT_TRUE(set_address(
      setup, 0,
      {"0.0.0.0", "::", "224.0.0.1", "239.255.255.255", "255.255.255.255", "ff02::1", "192.0.2.2"}));
  EXPECT_EQ(io::format_address(setup.targets[0].address), "192.0.2.2");
}

// What a name server answers that blocks a name would have reached this host.
TEST(SetAddressTest, SaysWhyNoneIsLeft) {
  auto setup = named();
  auto set = set_address(setup, 0, {"0.0.0.0", "::"});
  ASSERT_FALSE(set);
  EXPECT_THAT(set.error().detail, HasSubstr("web.test resolves to 0.0.0.0, which is no host's"));
  EXPECT_EQ(setup.targets[0].address.sa.sa_family, 0) << "and it is left out";
  EXPECT_EQ(drop_unresolved(setup), std::vector<uint32_t>{0});

  auto four = named(4);
  set = set_address(four, 0, {"2001:db8::1", "::"});
  ASSERT_FALSE(set);
  EXPECT_EQ(set.error().detail, "web.test: no address of the wanted family");
}

TEST(DropUnresolvedTest, NamesThatAProxyResolvesStay) {
  auto setup = named();
  setup.specs->push_back({.name = "192.0.2.1", .host = "192.0.2.1", .port = 80});  // this host refuses it
  setup.targets.push_back({.address = {}, .spec = 1, .offset = 0, .edge = 1});
  setup.manifest.params = {{.name = "path"}, {.name = "proxy", .proxy = true}};
  setup.values.resize(2);
  setup.values[0].len = 1;
  EXPECT_EQ(names_of(setup).size(), 2u) << "none is given";
  setup.values[1].len = 1;
  EXPECT_TRUE(names_of(setup).empty());
  EXPECT_EQ(drop_unresolved(setup), std::vector<uint32_t>{1});
  EXPECT_EQ(setup.run.n_target, 1u);
  EXPECT_EQ(setup.targets[0].spec, 0u);
}

}  // namespace
}  // namespace todd::worker
