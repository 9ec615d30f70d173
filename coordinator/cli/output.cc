#include "coordinator/cli/output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

#include "coordinator/model/json.h"
#include "coordinator/model/table.h"
#include "engine/manifest/nearest.h"

namespace todd::cli {
namespace {

int terminal_width() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) return size.ws_col;
  return 1000;  // a file or a pipe: nothing need be cut
}

}  // namespace

bool stdout_is_terminal() { return isatty(STDOUT_FILENO) == 1; }
bool stderr_is_terminal() { return isatty(STDERR_FILENO) == 1; }

Result<Output> parse_output(const std::string& text) {
  if (text == "table") return Output::table;
  if (text == "json") return Output::json;
  if (text == "jsonl") return Output::jsonl;
  const auto near = manifest::nearest(text, {"table", "json", "jsonl"});
  return fail(Errc::invalid, "unknown output \"" + text + "\"" +
                                 (near.empty() ? "" : ": did you mean \"" + near + "\"?") +
                                 " (table, json or jsonl)");
}

void print_report(const model::Report& report, const ShowRun& show) {
  const model::ReportOptions options{.periods = show.periods, .samples = show.samples};
  std::string text;
  const auto print = [&] {
    fwrite(text.data(), 1, text.size(), stdout);
    text.clear();
  };
  if (show.output == Output::table) {
    text = model::report_table(report,
                               {.width = terminal_width(), .colour = show.color && stdout_is_terminal()});
  } else if (show.output == Output::jsonl) {
    for (model::ReportLines lines(report, options); lines.next(text);) print();
  } else {
    model::JsonWriter json(text, [&](std::string&) { print(); });
    model::write_report(json, report, options);
    text += '\n';
  }
  print();
  fflush(stdout);
}

}  // namespace todd::cli
