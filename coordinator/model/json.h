#pragma once
// Reports as JSON, and the small writer they are made with.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "coordinator/model/report.h"
#include "engine/base/result.h"

namespace todd::model {

// Writes JSON to the end of a string, putting commas and quotes itself. Numbers take their shortest form
// that reads back equal, NaN and infinities
// become null, invalid UTF-8 becomes U+FFFD. Misuse (a value without a key inside an object) is a bug and
// aborts.
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}
  // Text of any length with little memory: what is in `out` is given to `take` in pieces, which empties it.
  // What remains at the end is the caller's.
  JsonWriter(std::string& out, std::function<void(std::string&)> take) : out_(out), take_(std::move(take)) {}

  // Between values: gives away what there is if it is worth it.
  void let_go() {
    if (take_ && out_.size() >= kPiece) take_(out_);
  }

  JsonWriter& begin_object();
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  JsonWriter& key(std::string_view name);

  JsonWriter& text(std::string_view value);
  JsonWriter& number(double value);
  JsonWriter& integer(int64_t value);
  JsonWriter& unsigned_integer(uint64_t value);
  JsonWriter& boolean(bool value);
  JsonWriter& null();
  // RFC 3339, or null for 0.
  JsonWriter& time(int64_t wall_ns);
  // Text that is JSON already.
  JsonWriter& raw(std::string_view json);

  JsonWriter& field(std::string_view name, std::string_view value) { return key(name).text(value); }
  JsonWriter& field(std::string_view name, const char* value) { return key(name).text(value); }
  JsonWriter& field(std::string_view name, const std::string& value) { return key(name).text(value); }
  JsonWriter& field(std::string_view name, double value) { return key(name).number(value); }
  JsonWriter& field(std::string_view name, bool value) { return key(name).boolean(value); }
  JsonWriter& field(std::string_view name, int value) { return key(name).integer(value); }
  JsonWriter& field(std::string_view name, int64_t value) { return key(name).integer(value); }
  JsonWriter& field(std::string_view name, uint64_t value) { return key(name).unsigned_integer(value); }
  JsonWriter& field(std::string_view name, const std::vector<std::string>& values);

  // True once one whole value was written.
  bool done() const { return started_ && open_.empty(); }

 private:
  struct Level {
    bool object;
    bool first = true;
  };
  static constexpr size_t kPiece = size_t{1} << 18;
  void before_value();

  std::string& out_;
  std::function<void(std::string&)> take_;
  std::vector<Level> open_;
  bool have_key_ = false;
  bool started_ = false;
};

struct ReportOptions {
  size_t max_edges = 65'536;  // per test; above it only edges that are not ok are written, and a `summary`
  bool periods = true;
  bool samples = true;
};

// The whole report as one object.
void write_report(JsonWriter& json, const Report& report, const ReportOptions& options = {});

// "params": {...}, into an object that is open: texts, lists of texts, {secret: NAME}.
void write_params(JsonWriter& json, const std::map<std::string, ParamReport>& params);

// JSON lines, one at a time because the edges may be many: the run without its edges, then a line for every
// edge with run, test and the edge's own fields. max_edges does not count here. Borrows the report.
class ReportLines {
 public:
  explicit ReportLines(const Report& report, const ReportOptions& options = {})
      : report_(&report), options_(options) {}
  // Appends the next line with its newline; false after the last.
  bool next(std::string& out);

 private:
  const Report* report_;
  ReportOptions options_;
  bool begun_ = false;
  size_t test_ = 0, edge_ = 0;
};

// What write_report wrote. Unknown keys are ignored, as a newer coordinator may have written them.
// Errc::corrupt for anything else.
Result<Report> read_report(std::string_view json);

}  // namespace todd::model
