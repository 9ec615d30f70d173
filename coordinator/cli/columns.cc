#include "coordinator/cli/columns.h"

#include <algorithm>

#include "coordinator/model/table.h"

namespace todd::cli {
namespace {

void put_cell(std::string& line, const std::string& text, size_t width) {
  line += text;
  const auto used = static_cast<size_t>(model::display_width(text));
  line.append(width > used ? width - used : 0, ' ');
}

std::string put_row(const Row& row, const std::vector<size_t>& widths) {
  std::string line;
  for (size_t i = 0; i < row.size(); ++i) put_cell(line, row[i].empty() ? "-" : row[i], widths[i] + 2);
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

}  // namespace

std::string columns(const Row& heading, const std::vector<Row>& rows) {
  std::vector<size_t> widths;
  for (const auto& text : heading) widths.push_back(text.size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], static_cast<size_t>(model::display_width(row[i])));
    }
  }
  std::string out = put_row(heading, widths);
  for (const auto& row : rows) out += put_row(row, widths);
  return out;
}

std::string pairs(const std::vector<std::pair<std::string, std::string>>& rows) {
  size_t width = 0;
  for (const auto& [name, value] : rows) width = std::max(width, name.size());
  std::string out;
  for (const auto& [name, value] : rows) {
    if (value.empty()) continue;
    put_cell(out, name, width + 2);
    out += value + "\n";
  }
  return out;
}

std::string joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const auto& text : texts) out += (out.empty() ? "" : ", ") + text;
  return out;
}

std::string printable_lines(const std::string& text) {
  std::string out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    out += model::printable(text.substr(begin, end - begin)) + "\n";
    begin = end + 1;
  }
  return out;
}

}  // namespace todd::cli
