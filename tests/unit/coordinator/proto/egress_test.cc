#include "coordinator/proto/egress.h"

#include <gtest/gtest.h>

#include "todd/v1/task.pb.h"

namespace todd::wire {
namespace {

TEST(EgressMessageTest, ComesBackAsItWas) {
  const Egress egress{"192.0.2.9", "eth0", DontFragment::clear, SendPath::socket, 0xcafe0007, 0xfedcb};
  v1::Egress message;
  put_egress(egress, message);
  EXPECT_EQ(egress_of(message), egress);
  message.set_df(7);
  EXPECT_EQ(egress_of(message).df, DontFragment::system);
}

}  // namespace
}  // namespace todd::wire
