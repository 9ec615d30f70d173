#include "engine/base/utf8.h"

namespace todd {

size_t utf8_length(std::string_view text, uint32_t* code_point) {
  if (text.empty()) return 0;
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  size_t length = 1;
  uint32_t point = lead;
  uint32_t least = 0;
  if (lead >= 0x80) {
    if (lead >= 0xC2 && lead <= 0xDF)
      length = 2, point = lead & 0x1F, least = 0x80;
    else if ((lead & 0xF0) == 0xE0)
      length = 3, point = lead & 0x0F, least = 0x800;
    else if (lead >= 0xF0 && lead <= 0xF4)
      length = 4, point = lead & 0x07, least = 0x10000;
    else
      return 0;
  }
  if (text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    point = (point << 6) | (byte(i) & 0x3F);
  }
  if (point < least || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) return 0;
  if (code_point) *code_point = point;
  return length;
}

}  // namespace todd
