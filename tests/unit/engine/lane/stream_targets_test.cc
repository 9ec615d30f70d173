// Targets that an instance finds on its way, on a real reactor: where they may be, and how many.
#include <set>

#include "tests/unit/engine/lane/stream_flow_fixture.h"

namespace todd::lane {
namespace {

using io::Backend;
using io::engine_name;
using io::engine_text;
using io::EngineChoice;
using io::kOldestUring;

class StreamFlowTargetsTest : public StreamFlowTest {
 protected:
  todd_status add(const std::string& host, uint32_t& index, uint32_t from = 0, uint16_t port = 80) {
    return puppet_.tls->add_target(puppet_.lane, from, host.c_str(), port, &index);
  }
  void drop(uint32_t index) { puppet_.tls->drop_target(puppet_.lane, index); }
  todd_done go_to(int code, uint32_t target) {
    todd_op asked = op(code);
    asked.target = target;
    return go(asked);
  }
};
TODD_ALL_ENGINES(StreamFlowTargetsTest);

TEST_P(StreamFlowTargetsTest, AFurtherTargetIsConnectedToOnceItIsResolved) {
  begin();
  uint32_t target = 0;
  ASSERT_EQ(add("127.0.0.1", target, 0, io::port_of(setup_.targets[0].address)), 0);
  EXPECT_EQ(target, 1u);
  EXPECT_EQ(go_to(TODD_OP_CONNECT, target).result, -EINVAL) << "not resolved yet";
  EXPECT_EQ(go_to(TODD_OP_RESOLVE, target).result, 0);
  EXPECT_EQ(go_to(TODD_OP_CONNECT, target).result, 0);
  drop(target);
  EXPECT_EQ(go_to(TODD_OP_CONNECT, target).result, -EINVAL) << "dropped";
  EXPECT_EQ(go_to(TODD_OP_RESOLVE, target).result, -EINVAL);
  drop(target);
  drop(0);  // the run's own stay
  drop(77);
  EXPECT_EQ(go_to(TODD_OP_CONNECT, 0).result, 0);
}

TEST_P(StreamFlowTargetsTest, OneThatIsDroppedIsToldThatItsResolvingIsOff) {
  begin();
  uint32_t dropped = 0, other = 0;
  ASSERT_EQ(add("gone.example", dropped), 0);
  todd_op asked = op(TODD_OP_RESOLVE);
  asked.target = dropped;
  want(asked);
  EXPECT_TRUE(rounds([&] { return asked_.size() == 1; }));
  EXPECT_EQ(asked_[0].second, "gone.example");
  drop(dropped);
  EXPECT_EQ(next(TODD_OP_RESOLVE).result, -ECANCELED);
  // Its number may come again; what was asked for the other is not that one's.
  ASSERT_EQ(add("new.example", other), 0);
  EXPECT_EQ(other, dropped);
  instance_->resolved(asked_[0].first, {"127.0.0.1"}, 0);
  settle();
  EXPECT_TRUE(puppet_.done.empty());
  EXPECT_EQ(go_to(TODD_OP_CONNECT, other).result, -EINVAL) << "not resolved";
}

TEST_P(StreamFlowTargetsTest, NoneIsNearerToThisHostThanWhereItWasFound) {
  setup_.targets.push_back({.address = *io::parse_address("192.0.2.1", 80)});
  setup_.targets.push_back({.address = *io::parse_address("169.254.1.1", 80)});
  listen_for_target(8);          // 2: loopback
  setup_.targets.push_back({});  // 3: no address yet
  begin();
  struct Case {
    uint32_t from;
    const char* host;
    int result;
  };
  for (const Case& c : {Case{0, "127.0.0.1", -EACCES},
                        {0, "::1", -EACCES},
                        {0, "169.254.169.254", -EACCES},
                        {0, "::ffff:127.0.0.1", -EACCES},
                        {0, "fe80::1", -EACCES},
                        {0, "198.51.100.1", 0},
                        {0, "10.0.0.1", 0},
                        {1, "127.0.0.1", -EACCES},
                        {1, "169.254.7.7", 0},
                        {2, "127.0.0.9", 0},
                        {2, "0.0.0.0", -EACCES},
                        {2, "224.0.0.1", -EACCES}}) {
    uint32_t target = 0;
    ASSERT_EQ(add(c.host, target, c.from), 0);
    EXPECT_EQ(go_to(TODD_OP_RESOLVE, target).result, c.result) << c.from << ' ' << c.host;
    drop(target);
  }
  uint32_t target = 0;
  EXPECT_EQ(add("198.51.100.1", target, 3), -EINVAL);
  EXPECT_EQ(add("", target), -EINVAL);
  EXPECT_EQ(add("198.51.100.1", target, 99), -EINVAL);
}

TEST_P(StreamFlowTargetsTest, OneThatAParamNamesIsAsNearAsItLikes) {
  auto rules = std::make_shared<std::vector<io::Network>>();
  rules->push_back(*io::Network::parse("192.0.2.0/24"));
  setup_.refused = rules;
  setup_.targets.push_back({});  // of a name that nobody resolves
  begin();
  struct Case {
    const char* host;
    int result;
  };
  for (const Case& c : {Case{"127.0.0.1", 0},
                        {"169.254.7.7", 0},
                        {"198.51.100.1", 0},
                        {"192.0.2.7", -EACCES},
                        {"0.0.0.0", -EACCES}}) {
    uint32_t target = 0;
    ASSERT_EQ(add(c.host, target, TODD_NONE), 0);
    EXPECT_EQ(go_to(TODD_OP_RESOLVE, target).result, c.result) << c.host;
    drop(target);
  }
}

TEST_P(StreamFlowTargetsTest, ThereIsRoomForSoManyAndForOthersWhenSomeAreDropped) {
  begin();
  std::vector<uint32_t> all(4096);
  for (uint32_t& target : all) ASSERT_EQ(add("a.example", target), 0);
  EXPECT_EQ(std::set<uint32_t>(all.begin(), all.end()).size(), all.size());
  uint32_t target = 0;
  EXPECT_EQ(add("a.example", target), -ENOBUFS);
  std::set<uint32_t> dropped{all[7], all[0], all[4095], all[1000]};
  for (const uint32_t one : dropped) drop(one), drop(one);  // the second time it is nobody's
  std::set<uint32_t> again;
  for (size_t i = 0; i < dropped.size(); ++i) {
    ASSERT_EQ(add("b.example", target), 0);
    again.insert(target);
  }
  EXPECT_EQ(again, dropped);
  EXPECT_EQ(add("b.example", target), -ENOBUFS);
}

}  // namespace
}  // namespace todd::lane
