#include "coordinator/cli/sse.h"

namespace todd::cli {

namespace {
constexpr size_t kEventMost = size_t{256} << 20;
}

bool SseParser::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    if (rest_.size() + data_.size() + bytes.size() > kEventMost) {
      too_long_ = true;
      return false;
    }
    if (end == std::string_view::npos) {
      rest_.append(bytes);
      return true;
    }
    rest_.append(bytes.substr(0, end));
    bytes.remove_prefix(end + 1);
    if (!rest_.empty() && rest_.back() == '\r') rest_.pop_back();
    std::string line;
    line.swap(rest_);
    if (!take_line(line)) return false;
  }
  return true;
}

bool SseParser::take_line(std::string_view line) {
  if (line.empty()) {
    const bool complete = has_data_;
    std::string name, data;
    name.swap(name_);
    data.swap(data_);
    has_data_ = false;
    return !complete || on_event_(name.empty() ? "message" : name, data);
  }
  const size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
  if (!value.empty() && value[0] == ' ') value.remove_prefix(1);
  if (field == "event") name_ = value;
  if (field == "data") {
    if (has_data_) data_ += '\n';
    data_ += value;
    has_data_ = true;
  }
  return true;
}

}  // namespace todd::cli
