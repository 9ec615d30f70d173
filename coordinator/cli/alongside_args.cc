#include "coordinator/cli/alongside_args.h"

#include <fmt/format.h>

#include <sstream>

#include "coordinator/model/json.h"
#include "engine/manifest/params.h"
#include "engine/manifest/units.h"

namespace todd::cli {

Result<model::Test> parse_alongside(const std::string& text) {
  const auto refuse = [&](const std::string& why) {
    return fail(Errc::invalid, fmt::format("--alongside \"{}\": {}", text, why));
  };
  std::istringstream words(text);
  model::Test test;
  if (!(words >> test.testlet) || test.testlet.find('=') != std::string::npos)
    return refuse("begin with a testlet, as in \"ping interval=10ms\"");
  test.name = test.testlet;
  for (std::string word; words >> word;) {
    const size_t sign = word.find('=');
    if (sign == 0 || sign == std::string::npos || sign + 1 == word.size())
      return refuse(fmt::format("\"{}\" is no PARAM=VALUE", word));
    const std::string key = word.substr(0, sign), value = word.substr(sign + 1);
    if (key == "name") {
      if (!model::is_valid_name(value)) return refuse(fmt::format("\"{}\" is no name", value));
      test.name = value;
    } else if (key == "before" || key == "after") {
      const auto time = manifest::parse_duration(value);
      if (!time) return refuse(fmt::format("{}: {}", key, time.error().detail));
      if (*time < 0 || *time > model::kMostAround)
        return refuse(fmt::format("{}: {} is out of range, allowed 0 to 1h", key, value));
      (key == "before" ? test.before_ns : test.after_ns) = *time;
    } else {
      test.params[key] = value;
    }
  }
  return test;
}

std::string quoted(const std::string& text) {
  std::string out;
  model::JsonWriter(out).text(text);
  return out;
}

std::string quoted_list(const std::vector<std::string>& texts) {
  std::string out;
  for (const auto& text : texts) out += (out.empty() ? "" : ", ") + quoted(text);
  return "[" + out + "]";
}

std::string param_yaml(const std::string& value, model::ParamForm form) {
  if (form == model::ParamForm::list) return quoted_list(manifest::split_texts(value));
  if (form == model::ParamForm::secret)
    return fmt::format("{{secret: {}}}", quoted(value.substr(manifest::kSecretPrefix.size())));
  return quoted(value);
}

std::string alongside_yaml(const model::Test& test) {
  std::string params;
  for (const auto& [name, value] : test.params) {
    const bool secret = value.starts_with(manifest::kSecretPrefix);
    params += fmt::format("{}{}: {}", params.empty() ? "" : ", ", quoted(name),
                          param_yaml(value, secret ? model::ParamForm::secret : model::ParamForm::text));
  }
  return fmt::format("{{testlet: {}, name: {}, before: {}ns, after: {}ns, params: {{{}}}}}",
                     quoted(test.testlet), quoted(test.name), test.before_ns, test.after_ns, params);
}

}  // namespace todd::cli
