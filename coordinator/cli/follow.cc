#include "coordinator/cli/follow.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

#include "coordinator/cli/output.h"
#include "coordinator/model/table.h"
#include "engine/base/utf8.h"

namespace todd::cli {
namespace {

constexpr int kTries = 20;
constexpr int kPauseMs = 500;

int terminal_width() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// As many whole characters as fit.
std::string cut(const std::string& text, int width) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t length = std::max<size_t>(1, utf8_length(std::string_view(text).substr(at)));
    const std::string next = text.substr(at, length);
    width -= model::display_width(next);
    if (width < 0) break;
    out += next;
    at += length;
  }
  return out;
}

std::string probes(JsonValue test) {
  const uint64_t sent = count_at(test, "sent");
  return sent == 0 ? "" : fmt::format(", {} sent, {} received", sent, count_at(test, "received"));
}

}  // namespace

Progress::Style progress_style(bool watch) {
  const char* const term = std::getenv("TERM");
  const bool able = term != nullptr && std::strcmp(term, "dumb") != 0;
  if (stderr_is_terminal() && able) return Progress::Style::live;
  return watch ? Progress::Style::lines : Progress::Style::none;
}

void Progress::on_event(JsonValue event) {
  const std::string waiting = text_at(event, "waiting");
  const bool waits = text_at(event, "event") == "run.waiting";
  if (style_ == Style::live) {
    waiting_ = waits ? waiting : "";
    // The event of one finished test says nothing of the others.
    if (waits || text_at(event, "event") != "test.finished") show_live(event);
  }
  if (style_ == Style::lines) {
    if (waits && waiting != waiting_) std::fprintf(stderr, "%s\n", waiting.c_str());
    waiting_ = waits ? waiting : "";
    show_lines(event);
  }
}

void Progress::show_live(JsonValue event) {
  std::string line = waiting_;
  for (const auto test : list_at(event, "tests")) {
    const uint64_t edges = count_at(test, "edges"), done = count_at(test, "edges_done");
    if (!line.empty()) line += "  ";
    line += fmt::format("{}: {} of {} edges{}", text_at(test, "name"), done, edges,
                        done < edges ? probes(test) : "");
  }
  if (line.empty()) return;
  std::fprintf(stderr, "\r\033[K%s", cut(line, terminal_width() - 1).c_str());
  std::fflush(stderr);
  shown_ = true;
}

void Progress::show_lines(JsonValue event) {
  const bool finished = text_at(event, "event") == "test.finished";
  for (const auto test : list_at(event, "tests")) {
    const std::string name = text_at(test, "name");
    const std::string text =
        finished ? text_at(event, "verdict")
                 : fmt::format("{} of {} edges", count_at(test, "edges_done"), count_at(test, "edges"));
    std::string& said = said_[name];
    if (said == text || (said.empty() && count_at(test, "edges_done") == 0 && !finished)) continue;
    said = text;
    std::fprintf(stderr, "test %s: %s\n", name.c_str(), text.c_str());
  }
}

void Progress::clear() {
  if (shown_) std::fputs("\r\033[K", stderr);
  shown_ = false;
}

Result<std::string> follow_run(Client& client, const std::string& which, Progress& progress,
                               Interrupts& interrupts) {
  client.set_interrupt(interrupts.fd());
  std::string id = which;
  Status status;
  for (int failures = 0; failures < kTries; ++failures) {
    bool finished = false;
    JsonText json;
    status = client.events("runs/" + path_part(id) + "/events",
                           [&](const std::string& name, const std::string& data) {
                             failures = 0;
                             if (json.parse(data)) {
                               if (const std::string full = text_at(json.root(), "run"); !full.empty())
                                 id = full;
                               if (name == "snapshot" || name == "progress") progress.on_event(json.root());
                             }
                             if (name == "finished") finished = true;
                             return !finished;
                           });
    if (finished) break;
    if (!status && status.error().code == Errc::cancelled) interrupts.take();
    if (!status && status.error().code != Errc::unavailable) break;
    // The stream broke: the coordinator restarts, or cut us for reading too slowly.
    if (status) status = fail(Errc::unavailable, "the coordinator ended the stream of run " + id);
    pollfd wait{interrupts.fd(), POLLIN, 0};
    ::poll(&wait, 1, kPauseMs);
  }
  progress.clear();
  if (!status) return tl::unexpected(status.error());
  return id;
}

}  // namespace todd::cli
