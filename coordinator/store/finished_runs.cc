#include "coordinator/store/finished_runs.h"

#include <unistd.h>

#include <filesystem>
#include <utility>

#include "coordinator/model/json.h"
#include "engine/base/files.h"
#include "engine/base/log.h"

namespace todd::store {
namespace {
constexpr const char* kEnding = ".run";

// The first line is a report without tests and agents, so that lists need not parse the whole file.
std::string headline(model::Report report) {
  report.tests.clear();
  report.agents.clear();
  report.warnings.clear();
  std::string line;
  model::JsonWriter json(line);
  model::write_report(json, report);
  return line;
}

Result<std::pair<model::Report, size_t>> read_headline(std::string_view text) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) return fail(Errc::corrupt, "no headline");
  auto report = model::read_report(text.substr(0, end));
  if (!report) return tl::unexpected(report.error());
  return std::pair{std::move(*report), end + 1};
}

// Written piece by piece: every edge, however many, for eviction by bytes is what bounds the store, not the
// size of one report.
Status write_run(const std::string& path, const model::Report& report, uint64_t& bytes) {
  return write_file_by(path, 0640, [&](const FilePiece& put) {
    Status status;
    const auto take = [&](std::string& text) {
      bytes += text.size();
      if (status) status = put(text);
      text.clear();
    };
    std::string text = headline(report) + "\n";
    model::JsonWriter json(text, take);
    model::write_report(json, report, {.max_edges = SIZE_MAX});
    text += '\n';
    take(text);
    return status;
  });
}

// About what a report holds, strings aside.
uint64_t size_in_memory(const model::Report& report) {
  uint64_t bytes = sizeof report;
  for (const model::TestReport& test : report.tests) bytes += sizeof test + test.edges.bytes();
  return bytes;
}

FinishedRuns::Summary summary_of(const model::Report& report, uint64_t bytes) {
  return {report.id, report.suite, report.state, report.verdict, report.started_at_ns, report.finished_at_ns,
          bytes};
}
}  // namespace

Result<FinishedRuns> FinishedRuns::open(std::string dir, FinishedRunsOptions options) {
  FinishedRuns runs(std::move(dir), options);
  if (!runs.dir_.empty()) {
    if (Status loaded = runs.load(); !loaded) return tl::unexpected(loaded.error());
  }
  return runs;
}

std::string FinishedRuns::path_of(const std::string& id) const { return dir_ + "/" + id + kEnding; }

Status FinishedRuns::load() {
  if (Status made = make_folders(dir_, 0700); !made) return made;
  std::error_code error;
  for (const auto& item : std::filesystem::directory_iterator(dir_, error)) {
    if (item.path().extension() != kEnding) continue;
    const auto text = read_file(item.path().string(), SIZE_MAX);
    auto head = text ? read_headline(*text) : tl::unexpected(text.error());
    if (!head || head->first.id != item.path().stem().string()) {
      log(LogLevel::warn, "store", item.path().string() + " is not a finished run, passed over");
      continue;
    }
    bytes_ += text->size();
    summaries_[head->first.id] = summary_of(head->first, text->size());
  }
  if (error) return fail_errno(error.value(), "cannot list " + dir_);
  evict("");
  return {};
}

Status FinishedRuns::put(ReportPtr report) {
  uint64_t size = 0;
  if (dir_.empty()) {
    size = size_in_memory(*report);
    reports_[report->id] = report;
  } else {
    if (Status written = write_run(path_of(report->id), *report, size); !written) return written;
  }
  auto& summary = summaries_[report->id];
  bytes_ += size - summary.bytes;
  summary = summary_of(*report, size);
  evict(report->id);
  return {};
}

Status FinishedRuns::set_delivery(const std::string& id, const std::vector<model::Delivery>& delivery) {
  auto report = get(id);
  if (!report) return tl::unexpected(report.error());
  auto changed = std::make_shared<model::Report>(**report);
  changed->delivery = delivery;
  return put(std::move(changed));
}

Result<FinishedRuns::ReportPtr> FinishedRuns::get(const std::string& id) const {
  const auto summary = summaries_.find(id);
  if (summary == summaries_.end()) return fail(Errc::not_found, "no run " + id);
  if (dir_.empty()) return reports_.at(id);
  const auto text = read_file(path_of(id), SIZE_MAX);
  if (!text) return tl::unexpected(text.error());
  const size_t end = text->find('\n');
  if (end == std::string::npos) return fail(Errc::corrupt, path_of(id) + " is damaged");
  auto report = model::read_report(std::string_view(*text).substr(end + 1));
  if (!report) return tl::unexpected(report.error());
  return std::make_shared<const model::Report>(std::move(*report));
}

Status FinishedRuns::remove(const std::string& id) {
  const auto summary = summaries_.find(id);
  if (summary == summaries_.end()) return fail(Errc::not_found, "no run " + id);
  if (dir_.empty()) {
    reports_.erase(id);
  } else if (Status removed = remove_file(path_of(id)); !removed) {
    return removed;
  }
  bytes_ -= summary->second.bytes;
  summaries_.erase(summary);
  return {};
}

void FinishedRuns::evict(const std::string& but) {
  for (auto it = summaries_.begin(); it != summaries_.end();) {
    if (summaries_.size() <= options_.keep_runs && bytes_ <= options_.keep_bytes) return;
    if (it->first == but) {
      ++it;
      continue;
    }
    if (dir_.empty()) {
      reports_.erase(it->first);
    } else {
      ::unlink(path_of(it->first).c_str());
    }
    bytes_ -= it->second.bytes;
    it = summaries_.erase(it);
  }
}

}  // namespace todd::store
