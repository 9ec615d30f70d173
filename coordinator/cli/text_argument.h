#pragma once
// A text of the command line that may stand in a file.

#include <cstddef>
#include <string>

#include "engine/base/result.h"

namespace todd::cli {

inline constexpr size_t kTextFileMost = size_t{256} << 10;  // params of a test have room for 512 KiB

// "@FILE" is the text of that file, each byte of it, read here and now; "@@..." a text that begins with "@";
// anything else itself. Errors: invalid, naming the file: one that cannot be read, is longer than
// kTextFileMost, or is no text (UTF-8 without NUL).
Result<std::string> text_argument(const std::string& given);

// The same for one of several texts: each line of the file that is not blank is one, joined as
// manifest::join_texts does. Errors: also a file without any.
Result<std::string> texts_argument(const std::string& given);

}  // namespace todd::cli
