#include "coordinator/api/sink_option.h"

#include <fmt/format.h>

#include "engine/base/files.h"
#include "engine/manifest/nearest.h"
#include "engine/manifest/units.h"

namespace todd::api {
namespace {

// Without what stands before an '@': there may be a password in it.
std::string without_secrets(const std::string& text) {
  const size_t at = text.rfind('@');
  const size_t scheme = text.find("://");
  if (at == std::string::npos || scheme == std::string::npos || at < scheme) return text;
  return text.substr(0, scheme + 3) + "***" + text.substr(at);
}

tl::unexpected<Error> wrong(const std::string& text, const std::string& what) {
  return fail(Errc::invalid, fmt::format("--sink {}: {}", without_secrets(text), what));
}

Status set_field(const std::string& key, const std::string& value, sink::SinkConfig& sink) {
  if (key == "name") {
    sink.name = value;
  } else if (key == "type") {
    sink.type = value;
  } else if (key == "url") {
    sink.url = value;
  } else if (key == "db") {
    sink.database = value;
  } else if (key == "user") {
    sink.user = value;
  } else if (key == "path") {
    sink.path = value;
  } else if (key == "create") {
    const auto create = manifest::parse_boolean(value);
    if (!create) return fail(Errc::invalid, "create: " + create.error().detail);
    sink.create = *create;
  } else if (key == "password_file") {
    auto text = read_file(value, 4096);
    if (!text) return fail(Errc::invalid, "password_file: " + text.error().detail);
    sink.password = text->substr(0, text->find_first_of("\r\n"));
  } else {
    static const std::vector<std::string> kKeys{"name", "type", "url",    "db",
                                                "user", "path", "create", "password_file"};
    return fail(Errc::invalid, fmt::format("unknown key {}{}", key, manifest::did_you_mean(key, kKeys)));
  }
  return {};
}

}  // namespace

Result<sink::SinkConfig> parse_sink_option(const std::string& text) {
  sink::SinkConfig sink;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string pair = text.substr(at, end - at);
    at = end + 1;
    const size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0) {
      return wrong(text, "write KEY=VALUE, as in name=influx,url=http://127.0.0.1:8086,db=todd");
    }
    if (const auto set = set_field(pair.substr(0, equals), pair.substr(equals + 1), sink); !set) {
      return wrong(text, set.error().detail);
    }
  }
  if (sink.url.empty() == sink.path.empty()) return wrong(text, "give either url (influx) or path (jsonl)");
  if (sink.type.empty()) sink.type = sink.url.empty() ? "jsonl" : "influx";
  if (sink.name.empty()) sink.name = sink.type;
  return sink;
}

}  // namespace todd::api
