#pragma once
// Reading the API's answers: what is absent or of another type reads as nothing, because a newer coordinator
// may differ.

#include <cstdint>
#include <string>
#include <vector>

#include <simdjson.h>

#include "engine/base/result.h"

namespace todd::cli {

using JsonValue = simdjson::dom::element;

// A parsed text; its values live as long as it does.
class JsonText {
 public:
  // Errors: corrupt.
  Status parse(const std::string& json);
  JsonValue root() const { return root_; }

 private:
  simdjson::dom::parser parser_;
  JsonValue root_;
};

// Texts come printable (model/table.h): they were written by others.
std::string text_at(JsonValue value, const char* key);
// As it was sent, for further parsing only.
std::string raw_text_at(JsonValue value, const char* key);
double number_at(JsonValue value, const char* key);  // 0 if absent
uint64_t count_at(JsonValue value, const char* key);
bool flag_at(JsonValue value, const char* key);
std::vector<JsonValue> list_at(JsonValue value, const char* key);
std::vector<std::string> texts_at(JsonValue value, const char* key);
// "a=1,b=2"
std::string pairs_at(JsonValue value, const char* key);

}  // namespace todd::cli
