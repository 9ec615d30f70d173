#include "plugins/ping/sizes.h"

#include <charconv>

namespace todd::ping {

namespace {

bool parse_number(std::string_view text, uint32_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

struct Range {
  uint32_t first = 0, last = 0, step = 1;
};

bool parse_range(std::string_view item, Range& out) {
  const size_t dots = item.find("..");
  if (dots == item.npos) {
    const bool good = parse_number(item, out.first);
    out.last = out.first;
    return good;
  }
  const size_t slash = item.find('/', dots);
  return slash != item.npos && parse_number(item.substr(0, dots), out.first) &&
         parse_number(item.substr(dots + 2, slash - dots - 2), out.last) &&
         parse_number(item.substr(slash + 1), out.step);
}

}  // namespace

Sizes parse_sizes(std::string_view text, uint32_t least, uint32_t most) {
  Sizes out;
  const auto refuse = [&](std::string_view item, const std::string& why) {
    return Sizes{{}, "\"" + std::string(item) + "\": " + why};
  };
  for (bool more = true; more;) {
    const size_t comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    more = comma != text.npos;
    text.remove_prefix(more ? comma + 1 : text.size());
    Range range;
    if (!parse_range(item, range))
      return refuse(item, "expected a size (64) or FIRST..LAST/STEP (56..1400/100)");
    if (range.first < least || range.last > most || range.first > range.last || range.step == 0) {
      return refuse(item, "sizes go from " + std::to_string(least) + " to " + std::to_string(most) +
                              ", upwards, in steps of at least 1");
    }
    for (uint64_t size = range.first; size <= range.last; size += range.step) {
      if (out.bytes.size() == kMaxSizes) return refuse(item, "more than 32 sizes in all; take larger steps");
      out.bytes.push_back(static_cast<uint32_t>(size));
    }
  }
  return out;
}

}  // namespace todd::ping
