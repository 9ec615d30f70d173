#pragma once
// Watching a run until it ends.

#include <map>
#include <string>

#include "coordinator/cli/client.h"
#include "coordinator/cli/interrupts.h"
#include "coordinator/cli/json_values.h"
#include "engine/base/result.h"

namespace todd::cli {

// How far a run is, on stderr: one line that is written over, or a plain line for every change.
class Progress {
 public:
  enum class Style { none, live, lines };
  explicit Progress(Style style) : style_(style) {}
  ~Progress() { clear(); }

  // The data of a `progress` event.
  void on_event(JsonValue event);
  // Takes the live line away, so that other text can follow.
  void clear();

 private:
  void show_live(JsonValue event);
  void show_lines(JsonValue event);

  Style style_;
  bool shown_ = false;
  std::string waiting_;
  std::map<std::string, std::string> said_;  // test -> its last plain line
};
// What suits the terminal; elsewhere lines, if watch.
Progress::Style progress_style(bool watch);

// Until the run has finished; its full id. A broken stream is taken up again, always that of the run whose
// events came first: what `last` means may change meanwhile. Errors: cancelled (interrupted; taken),
// timed_out (the client's deadline), unavailable (the coordinator stays away), not_found.
Result<std::string> follow_run(Client& client, const std::string& id, Progress& progress,
                               Interrupts& interrupts);

}  // namespace todd::cli
