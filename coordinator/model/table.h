#pragma once
// Reports for people at a terminal.

#include <string>
#include <string_view>

#include "coordinator/model/report.h"

namespace todd::model {

struct TableOptions {
  int width = 80;         // columns of the terminal; longer lines are cut
  bool colour = false;    // never the only carrier of a meaning
  size_t max_edges = 40;  // per test; edges that are not ok come first
};

// Per test the edges with their main metrics, why those that are not ok are not, and the expectations; then
// one line with the verdict. Ends with a newline.
std::string report_table(const Report& report, const TableOptions& options = {});

// A number for people: "23.4 ms", "1.5 kB", "94.1 Mbit/s", "0.4 %", "1,024". Unit is a base unit. "-" for
// NaN.
std::string format_amount(double value, std::string_view unit);

// Text from elsewhere, safe to print: control characters, escape sequences and broken UTF-8 are taken out.
std::string printable(std::string_view text);

// Columns the text takes on a terminal; East Asian wide characters take two.
int display_width(std::string_view text);

}  // namespace todd::model
