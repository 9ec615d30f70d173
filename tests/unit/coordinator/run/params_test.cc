#include "coordinator/run/params.h"

#include <gtest/gtest.h>

#include "todd/v1/task.pb.h"

namespace todd::run {
namespace {

manifest::Param param(const char* name, manifest::ParamType type) {
  manifest::Param out;
  out.name = name;
  out.type = type;
  return out;
}

TEST(ParamsTest, EachTravelsAsItsTypeDoes) {
  using manifest::ParamType;
  const std::vector<manifest::Param> params{param("size", ParamType::size), param("share", ParamType::ratio),
                                            param("path", ParamType::text)};
  const auto values = manifest::resolve_params(params, {{"size", "2k"}, {"share", "5%"}, {"path", "/x"}});
  ASSERT_TRUE(values) << values.error().detail;
  v1::Task task;
  encode_params(*values, task);
  ASSERT_EQ(task.params_size(), 3);
  EXPECT_EQ(task.params(0).i(), 2000);
  EXPECT_EQ(task.params(1).r(), 0.05);
  EXPECT_EQ(task.params(2).s(), "/x");
}

}  // namespace
}  // namespace todd::run
