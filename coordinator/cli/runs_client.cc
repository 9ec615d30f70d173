#include "coordinator/cli/runs_client.h"

#include <cstdio>

#include "coordinator/model/json.h"

namespace todd::cli {

Result<model::Report> show_run(Client& client, const std::string& id, const ShowRun& show) {
  std::string path = "runs/" + path_part(id);
  if (show.periods || show.samples) path += "?";
  if (show.periods) path += "periods=1&";
  if (show.samples) path += "samples=1";
  const auto answer = client.get(path);
  if (!answer) return tl::unexpected(answer.error());
  auto report = model::read_report(*answer);
  if (!report) return report;
  if (show.output == Output::table) print_report(*report, show);
  if (show.output == Output::json) std::fwrite(answer->data(), 1, answer->size(), stdout);
  if (show.output == Output::jsonl) {
    const auto printed = client.read(path, "application/x-ndjson", [](std::string_view lines) {
      return std::fwrite(lines.data(), 1, lines.size(), stdout) == lines.size();
    });
    if (!printed) return tl::unexpected(printed.error());
  }
  return report;
}

Status cancel_run(Client& client, const std::string& id, run::Runs::Because because) {
  const char* const why = because == run::Runs::Because::deadline ? "?because=deadline" : "";
  const auto answer = client.post("runs/" + path_part(id) + ":cancel" + why);
  if (!answer) return tl::unexpected(answer.error());
  return {};
}

}  // namespace todd::cli
