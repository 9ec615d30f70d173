#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace todd {

// Bytes of the character the text begins with; 0 if it is no well-formed UTF-8 (overlong, surrogate, beyond
// U+10FFFF, cut short) or the text is empty. Puts the code point where asked.
size_t utf8_length(std::string_view text, uint32_t* code_point = nullptr);

}  // namespace todd
