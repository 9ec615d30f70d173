#pragma once
#include <string>

#include "coordinator/model/report.h"
#include "engine/base/result.h"

namespace todd::cli {

enum class Output { table, json, jsonl };
Result<Output> parse_output(const std::string& text);  // errors name the nearest
// How one run is shown. The table is as wide as the terminal and coloured only there, and only if color.
struct ShowRun {
  Output output = Output::table;
  bool color = true;
  bool periods = false;
  bool samples = false;
};
void print_report(const model::Report& report, const ShowRun& show);  // to stdout
bool stdout_is_terminal();
bool stderr_is_terminal();

}  // namespace todd::cli
