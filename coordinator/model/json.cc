#include "coordinator/model/json.h"

#include <charconv>
#include <cmath>

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/utf8.h"

namespace todd::model {

void JsonWriter::before_value() {
  if (open_.empty()) {
    TODD_CHECK(!started_);  // one value per writer
    started_ = true;
    return;
  }
  Level& level = open_.back();
  TODD_CHECK(level.object == have_key_);
  if (!level.object && !level.first) out_ += ',';
  level.first = false;
  have_key_ = false;
}

JsonWriter& JsonWriter::begin_object() {
  before_value();
  out_ += '{';
  open_.push_back({true});
  return *this;
}

JsonWriter& JsonWriter::end_object() {
  TODD_CHECK(!open_.empty() && open_.back().object && !have_key_);
  open_.pop_back();
  out_ += '}';
  return *this;
}

JsonWriter& JsonWriter::begin_array() {
  before_value();
  out_ += '[';
  open_.push_back({false});
  return *this;
}

JsonWriter& JsonWriter::end_array() {
  TODD_CHECK(!open_.empty() && !open_.back().object);
  open_.pop_back();
  out_ += ']';
  return *this;
}

namespace {

void append_quoted(std::string& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const auto c = static_cast<unsigned char>(text[0]);
    if (length == 0) {
      out += "\xEF\xBF\xBD";  // U+FFFD for one broken byte
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += text[0];
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c < 0x20 || c == 0x7F) {
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out += '"';
}

template <class Number>
void append_number(std::string& out, Number value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value);
  out.append(buffer, end.ptr);
}

}  // namespace

JsonWriter& JsonWriter::key(std::string_view name) {
  TODD_CHECK(!open_.empty() && open_.back().object && !have_key_);
  if (!open_.back().first) out_ += ',';
  open_.back().first = false;
  append_quoted(out_, name);
  out_ += ':';
  have_key_ = true;
  return *this;
}

JsonWriter& JsonWriter::text(std::string_view value) {
  before_value();
  append_quoted(out_, value);
  return *this;
}

JsonWriter& JsonWriter::number(double value) {
  if (!std::isfinite(value)) return null();
  before_value();
  append_number(out_, value);
  return *this;
}

JsonWriter& JsonWriter::integer(int64_t value) {
  before_value();
  append_number(out_, value);
  return *this;
}

JsonWriter& JsonWriter::unsigned_integer(uint64_t value) {
  before_value();
  append_number(out_, value);
  return *this;
}

JsonWriter& JsonWriter::boolean(bool value) { return raw(value ? "true" : "false"); }

JsonWriter& JsonWriter::null() { return raw("null"); }

JsonWriter& JsonWriter::time(int64_t wall_ns) {
  if (wall_ns == 0) return null();
  char buffer[32];
  return text(format_rfc3339(wall_ns, buffer));
}

JsonWriter& JsonWriter::raw(std::string_view json) {
  before_value();
  out_ += json;
  return *this;
}

JsonWriter& JsonWriter::field(std::string_view name, const std::vector<std::string>& values) {
  key(name).begin_array();
  for (const std::string& value : values) text(value);
  return end_array();
}

}  // namespace todd::model
