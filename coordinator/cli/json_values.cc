#include "coordinator/cli/json_values.h"

#include "coordinator/model/table.h"

namespace todd::cli {

Status JsonText::parse(const std::string& json) {
  if (const auto error = parser_.parse(json).get(root_)) {
    return fail(Errc::corrupt,
                std::string("the coordinator's answer is no JSON: ") + simdjson::error_message(error));
  }
  return {};
}

std::string raw_text_at(JsonValue value, const char* key) {
  std::string_view text;
  return value[key].get(text) ? std::string() : std::string(text);
}

std::string text_at(JsonValue value, const char* key) { return model::printable(raw_text_at(value, key)); }

double number_at(JsonValue value, const char* key) {
  double number = 0;
  return value[key].get(number) ? 0 : number;
}

uint64_t count_at(JsonValue value, const char* key) {
  uint64_t number = 0;
  return value[key].get(number) ? 0 : number;
}

bool flag_at(JsonValue value, const char* key) {
  bool flag = false;
  return !value[key].get(flag) && flag;
}

std::vector<JsonValue> list_at(JsonValue value, const char* key) {
  std::vector<JsonValue> out;
  simdjson::dom::array array;
  if (value[key].get(array)) return out;
  for (const auto item : array) out.push_back(item);
  return out;
}

std::vector<std::string> texts_at(JsonValue value, const char* key) {
  std::vector<std::string> out;
  for (const auto item : list_at(value, key)) {
    std::string_view text;
    if (!item.get(text)) out.push_back(model::printable(text));
  }
  return out;
}

std::string pairs_at(JsonValue value, const char* key) {
  std::string out;
  simdjson::dom::object object;
  if (value[key].get(object)) return out;
  for (const auto field : object) {
    std::string_view text;
    if (field.value.get(text)) continue;
    if (!out.empty()) out += ',';
    out += model::printable(std::string(field.key) + "=" + std::string(text));
  }
  return out;
}

}  // namespace todd::cli
