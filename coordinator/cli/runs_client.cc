#include "coordinator/cli/runs_client.h"

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
  if (report) print_report(*report, show.output, show.color);
  return report;
}

Status cancel_run(Client& client, const std::string& id) {
  const auto answer = client.post("runs/" + path_part(id) + ":cancel");
  if (!answer) return tl::unexpected(answer.error());
  return {};
}

}  // namespace todd::cli
