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

TEST(ParamsTest, OfASecretTheNameTravels) {
  std::vector<manifest::Param> params{param("password", manifest::ParamType::text)};
  params[0].secret = true;
  for (const auto& [given, name] :
       {std::pair<std::map<std::string, std::string>, std::string>{{{"password", "secret:db"}}, "db"},
        {{}, ""}}) {
    const auto values = manifest::resolve_params(params, given);
    ASSERT_TRUE(values) << values.error().detail;
    v1::Task task;
    encode_params(*values, task);
    EXPECT_EQ(task.params(0).secret(), name);
    EXPECT_EQ(task.params(0).has_secret(), !name.empty());
    EXPECT_EQ(task.params(0).s(), "");
  }
}

}  // namespace
}  // namespace todd::run
