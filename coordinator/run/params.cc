#include "coordinator/run/params.h"

#include "todd/v1/task.pb.h"

namespace todd::run {

void encode_params(const std::vector<manifest::TypedValue>& values, v1::Task& out) {
  for (const manifest::TypedValue& in : values) {
    using manifest::ParamType;
    v1::Value& value = *out.add_params();
    value.set_given(in.given);
    switch (in.type) {
      case ParamType::real:
      case ParamType::rate:
      case ParamType::ratio: value.set_r(in.r); break;
      case ParamType::text:
        if (in.secret.empty())
          value.set_s(in.s);
        else
          value.set_secret(in.secret);
        break;
      default: value.set_i(in.i);
    }
  }
}

}  // namespace todd::run
