#pragma once
#include <string>
#include <utility>
#include <vector>

namespace todd::cli {

using Row = std::vector<std::string>;

// Aligned columns under a heading, two blanks apart, never wrapped; an empty cell shows as "-". Ends with a
// newline.
std::string columns(const Row& heading, const std::vector<Row>& rows);
// "name   value" lines, one per pair, without those whose value is empty.
std::string pairs(const std::vector<std::pair<std::string, std::string>>& rows);
// "a, b, c"
std::string joined(const std::vector<std::string>& texts);
// Text of several lines from elsewhere, safe to print: each line printable; ends with a newline.
std::string printable_lines(const std::string& text);

}  // namespace todd::cli
