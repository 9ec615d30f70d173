#include "coordinator/cli/param_flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "coordinator/cli/text_argument.h"
#include "engine/base/paths.h"
#include "engine/manifest/params.h"

namespace todd::cli {

struct ParamFlags::Flag {
  std::string name;
  std::string text;
  std::vector<std::string> texts;  // instead, of one that may be given several times
  bool secret = false, boolean = false;
  CLI::Option* option = nullptr;
};

namespace {

std::string help_of(const manifest::Param& param) {
  std::string help = param.doc;
  std::string choices;
  for (const auto& choice : param.choices) choices += (choices.empty() ? "" : "|") + choice;
  if (!choices.empty()) help += fmt::format(" ({})", choices);
  if (!param.min.empty() || !param.max.empty()) help += fmt::format(" [{} .. {}]", param.min, param.max);
  if (!param.dflt.empty()) help += fmt::format(" (default {})", param.dflt);
  if (param.repeat) help += " (may be repeated)";
  return help;
}

// The testlet's own default of a host param, for the help.
std::string default_of(const manifest::Testlet& testlet, const std::string& name) {
  const auto& schedule = testlet.schedule;
  if (name == "count") return schedule.count;
  if (name == "interval") return schedule.interval;
  if (name == "rate") return schedule.rate;
  if (name == "duration") return schedule.duration;
  if (name == "timeout") return schedule.timeout;
  return "";
}

// Whether the verb, or the command, has a flag of that name itself.
bool taken(const CLI::App* app, const std::string& flag) {
  for (; app != nullptr; app = app->get_parent())
    if (app->get_option_no_throw(flag) != nullptr) return true;
  return false;
}

// "@FILE" in its place, of a text that is no secret.
CLI::Validator read_file_of(Result<std::string> (*read)(const std::string&)) {
  return CLI::Validator(
      [read](std::string& text) {
        auto whole = read(text);
        if (!whole) return whole.error().detail;
        text = std::move(*whole);
        return std::string();
      },
      "");
}

bool uses(const manifest::Testlet& testlet, const std::string& name) {
  if (name == "requests") return testlet.schedule.tickets && testlet.target_kind == "url";
  if (testlet.schedule.tickets) return true;
  return name != "count" && name != "interval" && name != "rate" && name != "shape" && name != "burst";
}

}  // namespace

ParamFlags::ParamFlags(CLI::App& app, const manifest::Testlet& testlet, bool with_host_params) {
  auto add = [&](const manifest::Param& param) {
    auto flag = std::make_unique<Flag>();
    flag->name = param.name;
    std::string dashed = param.name;
    for (auto& c : dashed)
      if (c == '_') c = '-';
    std::string names = "--" + dashed;
    if (taken(&app, names))
      names = "--param-" + dashed;
    else if (dashed != param.name)
      names += ",--" + param.name;
    flag->option = param.repeat ? app.add_option(names, flag->texts, help_of(param))->allow_extra_args(false)
                                : app.add_option(names, flag->text, help_of(param));
    flag->option->type_name(param.secret ? "secret:NAME" : manifest::param_type_name(param.type));
    if (param.type == manifest::ParamType::boolean) {
      flag->boolean = true;
      flag->option->expected(0, 1)->default_str("true");
    } else if (param.secret) {
      flag->secret = true;
      flag->option->check([](const std::string& text) {
        const auto good = manifest::parse_secret(text);
        return good ? "" : good.error().detail;
      });
    } else if (param.repeat) {
      flag->option->transform(read_file_of([](const std::string& text) {
        return text.starts_with('@') ? texts_argument(text) : manifest::join_texts({text});
      }));
    } else if (param.type != manifest::ParamType::text ||
               param.dflt.empty()) {  // else empty is not the default
      flag->option->check([](const std::string& text) { return text.empty() ? "a value is missing" : ""; });
    }
    if (param.type == manifest::ParamType::text && !param.secret && !param.repeat)
      flag->option->transform(read_file_of(text_argument));
    flags_.push_back(std::move(flag));
  };
  for (const auto& param : testlet.params) add(param);
  if (!with_host_params) return;
  for (auto param : manifest::host_params()) {
    if (!uses(testlet, param.name)) continue;
    if (const auto dflt = default_of(testlet, param.name); !dflt.empty()) param.dflt = dflt;
    add(param);
  }
}

std::string as_flags(std::string message, const manifest::Testlet& testlet) {
  const std::string place = fmt::format("test \"{}\": ", testlet.id);
  if (message.rfind(place, 0) == 0) message.erase(0, place.size());
  const auto as_flag = [&message](const std::string& name) {
    const std::string key = name + ": ";
    std::string flag = "--" + name;
    std::replace(flag.begin(), flag.end(), '_', '-');
    for (size_t at = message.find(key); at != std::string::npos; at = message.find(key, at + flag.size())) {
      if (at == 0 || message.compare(at - 1, 1, " ") == 0) message.replace(at, name.size(), flag);
    }
  };
  for (const auto& param : testlet.params) as_flag(param.name);
  for (const auto& param : manifest::host_params()) as_flag(param.name);
  return message;
}

std::string default_secrets() { return config_folder("todd") + "/secrets"; }

void add_secrets(CLI::App& app, std::string& folder) {
  app.add_option("--secrets", folder, "folder of the secrets given as secret:NAME")
      ->envname("TODD_SECRETS")
      ->capture_default_str();
}

ParamFlags::~ParamFlags() = default;

std::map<std::string, std::string> ParamFlags::given() const {
  std::map<std::string, std::string> out;
  for (const auto& flag : flags_) {
    if (flag->option->count() == 0) continue;
    if (!flag->texts.empty())
      out[flag->name] = fmt::format("{}", fmt::join(flag->texts, "\n"));  // each was checked
    else
      out[flag->name] = flag->boolean && flag->text.empty() ? "true" : flag->text;
  }
  return out;
}

std::map<std::string, model::ParamForm> ParamFlags::forms() const {
  std::map<std::string, model::ParamForm> out;
  for (const auto& flag : flags_)
    if (flag->option->count() != 0 && (flag->secret || !flag->texts.empty()))
      out[flag->name] = flag->secret ? model::ParamForm::secret : model::ParamForm::list;
  return out;
}

}  // namespace todd::cli
