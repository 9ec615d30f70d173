#pragma once
#include <functional>
#include <string>
#include <string_view>

namespace todd::cli {

// Bytes of a text/event-stream, in pieces of any size, to events. Comments, ids and retries are passed over.
class SseParser {
 public:
  // false: stop reading.
  using OnEvent = std::function<bool(const std::string& name, const std::string& data)>;

  explicit SseParser(OnEvent on_event) : on_event_(std::move(on_event)) {}
  // false once the callback wanted no more, or an event is longer than 256 MiB (then too_long()).
  bool feed(std::string_view bytes);
  bool too_long() const { return too_long_; }

 private:
  bool take_line(std::string_view line);

  OnEvent on_event_;
  std::string rest_;  // of a line not yet ended
  std::string name_, data_;
  bool has_data_ = false;
  bool too_long_ = false;
};

}  // namespace todd::cli
