#include "coordinator/model/table.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>

#include <fmt/format.h>

#include "engine/base/utf8.h"

namespace todd::model {

namespace {

// One column of the table of edges: a value of a metric, and what to call it.
struct Column {
  const char* metric;
  const char* title;
  double MetricReport::*value;
};

// What people look at first, in this order. A testlet with none of these shows its first metrics.
constexpr Column kColumns[] = {
    {"throughput", "throughput", &MetricReport::value},
    {"rtt", "rtt p50", &MetricReport::p50},
    {"rtt", "rtt p99", &MetricReport::p99},
    {"loss", "loss", &MetricReport::value},
    {"response_time", "response p50", &MetricReport::p50},
    {"response_time", "response p95", &MetricReport::p95},
    {"ok", "ok", &MetricReport::value},
    {"failed", "failed", &MetricReport::value},
    {"dropped", "dropped", &MetricReport::value},
    {"retransmits", "retransmits", &MetricReport::value},
    {"jitter", "jitter", &MetricReport::value},
};
constexpr size_t kMaxColumns = 5;
constexpr size_t kLookedAt = 1000;  // edges, for one with metrics
constexpr size_t kDetailed = 5;     // edges of a test, at most, that have lines below their rows

double value_of(const MetricReport& metric, double MetricReport::*value) {
  if (metric.kind != MetricKind::histogram && value != &MetricReport::value) return NAN;
  // A column that wants one value takes the mean of a distribution.
  if (metric.kind == MetricKind::histogram && value == &MetricReport::value) return metric.mean;
  return metric.*value;
}

std::string metric_text(const MetricReport& metric, double MetricReport::*value) {
  return format_amount(value_of(metric, value),
                       metric.kind == MetricKind::ratio && metric.unit == "1" ? "%" : metric.unit);
}

std::string count_text(uint64_t n) { return format_amount(static_cast<double>(n), ""); }

struct Wanted {
  std::string metric, title;
  double MetricReport::*value;
};

// The columns of a test: those any of its edges has a metric for, which the total then has too.
std::vector<Wanted> columns_of(const TestReport& test) {
  std::vector<Wanted> columns;
  for (const Column& column : kColumns) {
    if (columns.size() < kMaxColumns && test.total.contains(column.metric))
      columns.push_back({column.metric, column.title, column.value});
  }
  if (!columns.empty()) return columns;
  const size_t few = std::min<size_t>(test.edges.size(), kLookedAt);
  for (size_t i = 0; i < few; ++i) {
    const EdgeReport edge = test.edges.at(i);
    for (const auto& [name, metric] : edge.metrics) {
      if (metric.kind == MetricKind::breakdown || columns.size() == kMaxColumns) continue;
      const bool many = metric.kind == MetricKind::histogram;
      columns.push_back(
          {name, many ? name + " p50" : name, many ? &MetricReport::p50 : &MetricReport::value});
    }
    if (!columns.empty()) break;
  }
  return columns;
}

const char* mark_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::pass: return "✓";
    case Verdict::fail: return "✗";
    case Verdict::unknown: return "?";
    case Verdict::none: return " ";
  }
  return " ";
}

std::string cut_to(std::string_view text, int width) {
  if (display_width(text) <= width) return std::string(text);
  std::string out;
  int used = 0;
  while (!text.empty()) {
    const size_t length = std::max<size_t>(1, utf8_length(text));
    const int columns = display_width(text.substr(0, length));
    if (used + columns > width - 1) break;
    out += text.substr(0, length);
    used += columns;
    text.remove_prefix(length);
  }
  return width > 0 ? out + "…" : "";
}

std::string padded(const std::string& text, int width, bool right) {
  const std::string space(static_cast<size_t>(std::max(0, width - display_width(text))), ' ');
  return right ? space + text : text + space;
}

class Table {
 public:
  explicit Table(const TableOptions& options) : options_(options) {}

  std::string print(const Report& report) {
    for (const TestReport& test : report.tests) print_test(test);
    for (const std::string& warning : report.warnings) {
      if (!is_told(warning)) line("! " + printable(warning));
    }
    for (const AgentReport& agent : report.agents) {
      const bool warned =
          std::any_of(report.warnings.begin(), report.warnings.end(),
                      [&](const auto& warning) { return warning.ends_with(": " + agent.reason); });
      if (!agent.reason.empty() && !warned && !is_told(": " + agent.reason))
        line(fmt::format("! agent {}: {}", printable(agent.name), printable(agent.reason)));
    }
    for (const Delivery& sink : report.delivery) {
      if (sink.pending + sink.dead == 0) continue;
      line(fmt::format("! sink {}: {}, {} pending, {} dead", printable(sink.sink), printable(sink.state),
                       sink.pending, sink.dead));
    }
    print_verdict(report);
    return std::move(out_);
  }

 private:
  // Whether the row of an edge has said it to its end, as "AGENT: DETAIL".
  bool is_told(const std::string& warning) const {
    return std::any_of(told_.begin(), told_.end(),
                       [&](const auto& detail) { return warning.ends_with(": " + detail); });
  }

  void line(const std::string& text, Verdict colour = Verdict::none) {
    const std::string cut = cut_to(text, options_.width);
    const char* code = colour == Verdict::pass      ? "32"
                       : colour == Verdict::fail    ? "31"
                       : colour == Verdict::unknown ? "33"
                                                    : "";
    if (options_.colour && *code)
      out_ += fmt::format("\x1b[{}m{}\x1b[0m\n", code, cut);
    else
      out_ += cut + "\n";
  }

  void print_test(const TestReport& test) {
    line(fmt::format("{}  ({})  {} → {}{}", printable(test.name), printable(test.testlet),
                     printable(test.from), printable(test.to),
                     test.alongside.empty() ? "" : "  alongside " + printable(test.alongside)));
    print_edges(test);
    for (const ExpectationReport& expectation : test.expectations) print_expectation(expectation);
    out_ += '\n';
  }

  // Those that are not ok first, each in the order of the report.
  std::vector<EdgeReport> shown_edges(const TestReport& test) const {
    std::vector<EdgeReport> edges;
    const size_t size = test.edges.size();
    const bool all = size <= options_.max_edges;
    for (const bool ok : {false, true}) {
      for (size_t i = 0; i < size && edges.size() < options_.max_edges; ++i)
        if (all ? !ok : test.edges.is_ok(i) == ok) edges.push_back(test.edges.at(i));
    }
    return edges;
  }

  // A line below the head of a test's table: the verdict's mark, what it is of, its cells, what follows them.
  struct Row {
    Verdict verdict = Verdict::none;
    std::string name;
    std::vector<std::string> cells;
    std::string text;
    std::vector<std::vector<std::string>> details;  // lines below it, of items between commas
    std::vector<Row> parts;                         // rows below it that are parts of it
  };

  // What a test alongside another measured while that one did not run, and while it did.
  static std::vector<Row> windows_of(const MetricReports& idle, const MetricReports& loaded,
                                     const std::vector<Wanted>& columns) {
    std::vector<Row> rows;
    for (const auto& [name, metrics] : {std::pair{"  idle", &idle}, {"  loaded", &loaded}}) {
      if (metrics->empty()) continue;
      rows.push_back({Verdict::none, name, cells_of(*metrics, columns), "", {}, {}});
      const auto found = metrics->find("responsiveness");
      if (metrics == &loaded && found != metrics->end())
        rows.back().text =
            fmt::format("  {} round trips/min", format_amount(std::round(found->second.value), ""));
    }
    return rows;
  }

  // The spreads, unless all answers took as long, and how long the name took.
  static std::vector<std::string> times_of(const EdgeReport& edge) {
    std::vector<std::string> items;
    bool any = false;
    for (const auto& [name, metric] : edge.metrics) {
      if (metric.kind != MetricKind::spread || std::isnan(metric.value)) continue;
      any |= metric.value != 0;
      items.push_back(fmt::format("{} {}", printable(name), format_amount(metric.value, metric.unit)));
    }
    if (!any) items.clear();
    if (edge.resolve_s > 0) items.push_back("name resolved in " + format_amount(edge.resolve_s, "s"));
    return items;
  }

  // What is known of the connection's TLS.
  static std::vector<std::string> tls_of(const EdgeReport& edge) {
    std::vector<std::string> items;
    for (const auto& [name, title] : {std::pair{"tls_version", "TLS "},
                                      {"cipher", ""},
                                      {"alpn", "ALPN "},
                                      {"certificate_verdict", "certificate: "}}) {
      const auto found = edge.info.find(name);
      if (found != edge.info.end()) items.push_back(title + printable(found->second));
    }
    if (const auto days = edge.metrics.find("certificate_days"); days != edge.metrics.end())
      items.push_back(days->second.value < 0 ? format_amount(-days->second.value, "") + " days past its end"
                                             : format_amount(days->second.value, "") + " days left");
    return items;
  }

  // "1400: 8/10": of ten probes of that size eight were answered.
  static std::vector<std::string> sizes_of(const MetricReports& metrics) {
    const auto found = metrics.find("by_size");
    if (found == metrics.end()) return {};
    std::map<uint64_t, std::pair<uint64_t, uint64_t>> by_size;  // answered, answered or lost
    for (const auto& [key, count] : found->second.values) {
      const size_t size = std::strtoull(key.c_str(), nullptr, 10);
      if (key.ends_with("_received")) by_size[size].first += count;
      if (key.ends_with("_received") || key.ends_with("_lost")) by_size[size].second += count;
    }
    std::vector<std::string> items;
    for (const auto& [size, counts] : by_size)
      items.push_back(fmt::format("{}{}: {}/{}", items.empty() ? "answered by size: " : "", size,
                                  counts.first, counts.second));
    return items;
  }

  static std::vector<std::string> cells_of(const MetricReports& metrics, const std::vector<Wanted>& columns) {
    std::vector<std::string> cells;
    for (const Wanted& column : columns) {
      const auto found = metrics.find(column.metric);
      cells.push_back(found == metrics.end() ? "-" : printable(metric_text(found->second, column.value)));
    }
    return cells;
  }

  // The edges shown. Those of one name (a pair of families) say their addresses.
  static std::vector<Row> rows_of(const std::vector<EdgeReport>& edges, const std::vector<Wanted>& columns) {
    std::map<std::string, size_t> named;
    for (const EdgeReport& edge : edges) ++named[edge.label()];
    std::vector<Row> rows;
    for (const EdgeReport& edge : edges) {
      const bool alone = edge.address.empty() || named[edge.label()] == 1;
      const std::string name = edge.label() + (alone ? "" : fmt::format(" ({})", edge.address));
      rows.push_back({edge.verdict,
                      printable(name),
                      cells_of(edge.metrics, columns),
                      state_text(edge) + example_text(edge),
                      {},
                      windows_of(edge.idle, edge.loaded, columns)});
      if (edges.size() <= kDetailed)
        rows.back().details = {times_of(edge), tls_of(edge), sizes_of(edge.metrics)};
    }
    return rows;
  }

  // All edges together, and what became of their probes.
  static Row total_of(const TestReport& test, uint64_t edges, const std::vector<Wanted>& columns) {
    Row row{Verdict::none,
            fmt::format("total of {}", count_text(edges)),
            cells_of(test.total, columns),
            "",
            {sizes_of(test.total)},
            windows_of(test.idle, test.loaded, columns)};
    for (const char* name : {"sent", "received", "lost", "unsent", "undetermined"}) {
      const auto found = test.total.find(name);
      if (!test.total.contains("planned") || found == test.total.end()) continue;
      // The last two are the exception.
      if (found->second.value == 0 &&
          (name == std::string_view("unsent") || name == std::string_view("undetermined")))
        continue;
      row.text += fmt::format("{}{} {}", row.text.empty() ? "  " : ", ",
                              format_amount(found->second.value, ""), name);
    }
    return row;
  }

  static std::string row_text(const Row& row, int name_width, const std::vector<int>& widths) {
    std::string text =
        fmt::format("  {} {}", mark_of(row.verdict), padded(cut_to(row.name, name_width), name_width, false));
    for (size_t c = 0; c < widths.size(); ++c) text += "  " + padded(row.cells[c], widths[c], true);
    return text + row.text;
  }

  void print_edges(const TestReport& test) {
    const auto edges = shown_edges(test);
    for (const EdgeReport& edge : edges) shows_incomplete_ |= edge.state != EdgeState::complete;
    const auto columns = columns_of(test);
    const EdgeSummary all = test.count_edges();
    auto rows = rows_of(edges, columns);
    if (all.edges > 1 && !test.total.empty()) rows.push_back(total_of(test, all.edges, columns));
    int name_width = 4;
    std::vector<int> widths;
    for (const Wanted& column : columns) widths.push_back(display_width(printable(column.title)));
    const auto widen = [&](const Row& row) {
      name_width = std::max(name_width, display_width(row.name));
      for (size_t i = 0; i < columns.size(); ++i)
        widths[i] = std::max(widths[i], display_width(row.cells[i]));
    };
    for (const Row& row : rows) {
      widen(row);
      std::for_each(row.parts.begin(), row.parts.end(), widen);
    }
    int others = 4;
    for (int width : widths) others += width + 2;
    // The numbers matter more than the ends of long names.
    name_width = std::min(name_width, std::max(12, options_.width - others));

    std::string head = "    " + padded("edge", name_width, false);
    for (size_t i = 0; i < columns.size(); ++i)
      head += "  " + padded(printable(columns[i].title), widths[i], true);
    if (!rows.empty()) line(head);
    for (size_t i = 0; i < rows.size(); ++i) {
      if (i == edges.size()) print_rest(all, edges.size());
      const Row& row = rows[i];
      const std::string text = row_text(row, name_width, widths);
      if (i < edges.size() && !edges[i].detail.empty() && display_width(text) <= options_.width)
        told_.insert(edges[i].detail);
      line(text, row.verdict == Verdict::pass ? Verdict::none : row.verdict);
      for (const Row& part : row.parts) line(row_text(part, name_width, widths));
      for (const auto& items : row.details) print_items(items);
    }
    if (rows.size() == edges.size()) print_rest(all, edges.size());
  }

  // On as many lines as they need.
  void print_items(const std::vector<std::string>& items) {
    constexpr const char* kIndent = "      ";
    std::string text;
    for (const std::string& item : items) {
      if (!text.empty() && display_width(text) + display_width(item) + 3 > options_.width) {
        line(text + ",");
        text.clear();
      }
      text += (text.empty() ? kIndent : ", ") + item;
    }
    if (!text.empty()) line(text);
  }

  void print_rest(const EdgeSummary& all, size_t shown) {
    if (all.edges <= shown) return;
    const uint64_t bad = all.edges - std::min(all.ok, all.edges);
    const uint64_t more_bad = bad > shown ? bad - shown : 0;
    const uint64_t more_ok = all.edges - shown - more_bad;
    if (more_bad > 0) line(fmt::format("    ... and {} more not ok", count_text(more_bad)), Verdict::fail);
    if (more_ok > 0) line(fmt::format("    ... and {} more ok", count_text(more_ok)));
  }

  static std::string state_text(const EdgeReport& edge) {
    std::string text;
    if (edge.state != EdgeState::complete) {
      text = fmt::format("  {}", name_of(edge.state));
      if (!edge.reason.empty()) text += fmt::format(": {}", printable(edge.reason));
      if (!edge.detail.empty()) text += fmt::format(" ({})", printable(edge.detail));
    }
    if (edge.quality.grade == Grade::suspect) {
      text +=
          fmt::format("  suspect: {}", printable(fmt::format("{}", fmt::join(edge.quality.causes, ", "))));
    }
    return text;
  }

  // What the network did to an edge that is not ok, by the first that was kept of it.
  static std::string example_text(const EdgeReport& edge) {
    if (edge.is_ok() || edge.examples.empty()) return "";
    const Example& first = edge.examples.front();
    std::string text = fmt::format("  {}", printable(first.outcome));
    if (!first.detail.empty()) text += fmt::format(" ({})", printable(first.detail));
    return text;
  }

  void print_expectation(const ExpectationReport& expectation) {
    const bool warning = expectation.severity == Severity::warn && expectation.verdict != Verdict::pass;
    std::string text =
        fmt::format("  {} {}  {}", warning ? "!" : mark_of(expectation.verdict), printable(expectation.expr),
                    warning ? "warning" : verdict_name(expectation.verdict));
    if (!expectation.observed.empty() && expectation.observed != "-")
      text += "  " + printable(expectation.observed);
    if (!expectation.worst_edge.empty())
      text += fmt::format("  worst: {}", printable(expectation.worst_edge));
    if (!expectation.reason.empty()) text += fmt::format("  ({})", printable(expectation.reason));
    line(text, warning ? Verdict::unknown : expectation.verdict);
  }

  // What the row of an edge has said is not said again.
  std::string reason_of(const Report& report) const {
    if (shows_incomplete_ || report.first_incomplete.empty()) return report.reason;
    return report.reason + "; the first is " + report.first_incomplete;
  }

  void print_verdict(const Report& report) {
    std::string text = fmt::format("{} {}: {}", mark_of(report.verdict), printable(report.suite),
                                   verdict_name(report.verdict));
    if (report.verdict == Verdict::none)
      text = fmt::format("{}: {}", printable(report.suite),
                         report.check ? "checked, nothing was sent" : "nothing was expected");
    if (report.state != RunState::completed) text += fmt::format("  ({})", name_of(report.state));
    if (!report.reason.empty()) text += fmt::format("  {}", printable(reason_of(report)));
    if (report.started_at_ns > 0 && report.finished_at_ns >= report.started_at_ns) {
      text += fmt::format(
          "  in {}",
          format_amount(static_cast<double>(report.finished_at_ns - report.started_at_ns) / 1e9, "s"));
    }
    if (!report.id.empty()) text += fmt::format("  run {}", printable(report.id));
    line(text, report.verdict);
  }

  const TableOptions& options_;
  std::set<std::string> told_;     // details of edges that stand whole in their rows
  bool shows_incomplete_ = false;  // an edge that was not measured whole, with why
  std::string out_;
};

}  // namespace

std::string report_table(const Report& report, const TableOptions& options) {
  return Table(options).print(report);
}

}  // namespace todd::model
