// Where lines go: InfluxDB's v1 write call, which VictoriaMetrics speaks too, and files.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

#include "coordinator/sink/http.h"
#include "coordinator/sink/lane.h"
#include "engine/base/fd.h"

namespace todd::sink {
namespace {

class InfluxWriter : public Writer {
 public:
  InfluxWriter(io::Loop& loop, const SinkConfig& config, const SinkOptions& options)
      : config_(config), timeout_ns_(options.timeout_ns), client_(loop) {
    while (!config_.url.empty() && config_.url.back() == '/') config_.url.pop_back();
  }

  void write(const std::string& lines, std::function<void(const Outcome&)> done) override {
    done_ = std::move(done);
    lines_ = lines;
    post_lines();
  }

 private:
  HttpRequest request(const std::string& path) const {
    HttpRequest out;
    out.url = config_.url + path;
    out.user = config_.user;
    out.password = config_.password;
    out.timeout_ns = timeout_ns_;
    return out;
  }

  void post_lines() {
    HttpRequest write = request("/write?precision=ns&db=" + client_.escaped(config_.database));
    write.body = lines_;
    under_way_ = client_.post(write, [this](const HttpAnswer& answer) { on_answer(answer); });
  }

  void on_answer(const HttpAnswer& answer) {
    const bool no_database =
        answer.status == 404 && answer.body.find("database not found") != std::string::npos;
    if (no_database && config_.create && !std::exchange(creating_, true)) return create_database();
    creating_ = false;
    finish(judge(answer));
  }

  void create_database() {
    HttpRequest query = request("/query");
    std::string quoted;
    for (const char c : config_.database) {
      if (c == '"' || c == '\\') quoted += '\\';
      quoted += c;
    }
    query.content_type = "application/x-www-form-urlencoded";
    query.body = "q=" + client_.escaped("CREATE DATABASE \"" + quoted + "\"");
    under_way_ = client_.post(query, [this](const HttpAnswer& answer) {
      if (answer.status / 100 == 2) return post_lines();
      creating_ = false;
      finish(judge(answer));
    });
  }

  Outcome judge(const HttpAnswer& answer) const {
    const int status = answer.status;
    if (status / 100 == 2) return {};
    Outcome out;
    out.error = status == 0 ? config_.url + ": " + answer.error
                            : config_.url + ": HTTP " + std::to_string(status) + " " + one_line(answer.body);
    out.wait_ns = answer.retry_after_ns;
    if (status == 400 || status == 422) {
      out.taken = Taken::refused;
    } else if (status == 413) {
      out.taken = Taken::too_large;
    } else if (status == 0 || status == 408 || status == 429 || status >= 500) {
      out.taken = Taken::retry;
    } else {
      out.taken = Taken::misconfigured;
    }
    return out;
  }

  static std::string one_line(std::string_view text) {
    std::string out(text.substr(0, 500));
    for (char& c : out) c = static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    while (!out.empty() && out.back() == ' ') out.pop_back();
    return out;
  }

  void finish(const Outcome& outcome) {
    const auto done = std::exchange(done_, nullptr);
    done(outcome);
  }

  SinkConfig config_;
  int64_t timeout_ns_;
  HttpClient client_;
  std::string lines_;
  std::function<void(const Outcome&)> done_;
  bool creating_ = false;
  io::HandlePtr under_way_;
};

class JsonlWriter : public Writer {
 public:
  JsonlWriter(io::Loop& loop, const SinkConfig& config) : loop_(loop), path_(config.path) {}

  void write(const std::string& lines, std::function<void(const Outcome&)> done) override {
    done_later_ = loop_.after(0, [done = std::move(done), outcome = append(lines)] { done(outcome); });
  }

 private:
  // Opened every time: the file may have been rotated away.
  Outcome append(const std::string& lines) {
    const UniqueFd fd(::open(path_.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0640));
    if (!fd) return failed(errno, 0, 0);
    const off_t before = ::lseek(fd.get(), 0, SEEK_END);
    std::string_view left = lines;
    // The last process may have ended between a write and its note of it.
    if (!std::exchange(knows_end_, false)) left.remove_prefix(there_already(fd.get(), before, lines));
    while (!left.empty()) {
      const ssize_t n = ::write(fd.get(), left.data(), left.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return failed(errno, fd.get(), before);
      left.remove_prefix(static_cast<size_t>(n));
    }
    if (::fdatasync(fd.get()) != 0) return failed(errno, fd.get(), before);
    knows_end_ = true;
    return {};
  }

  // How many bytes of the lines the file already ends with: whole ones, or a part that was torn off.
  static size_t there_already(int fd, off_t size, std::string_view lines) {
    // One byte more shows whether the first line is whole.
    std::string end(std::min(static_cast<size_t>(std::max<off_t>(size, 0)), lines.size() + 1), '\0');
    const off_t from = size - static_cast<off_t>(end.size());
    if (::pread(fd, end.data(), end.size(), from) != static_cast<ssize_t>(end.size())) return 0;
    size_t at = from == 0 ? 0 : end.find('\n');
    if (from != 0 && at++ == std::string::npos) return 0;
    while (at < end.size()) {
      if (lines.starts_with(std::string_view(end).substr(at))) return end.size() - at;
      const size_t line_end = end.find('\n', at);
      if (line_end == std::string::npos) break;
      at = line_end + 1;
    }
    return 0;
  }

  // The whole batch comes again, so no part of it may stay.
  Outcome failed(int why, int fd, off_t before) const {
    std::string mend;
    if (fd > 0 && ::ftruncate(fd, before) != 0) mend = "; lines may be doubled";
    return {Taken::retry, fail_errno(why, "cannot append to " + path_).value().detail + mend, 0};
  }

  io::Loop& loop_;
  std::string path_;
  bool knows_end_ = false;  // the file ends with the lines of the last success, or was rotated away
  io::HandlePtr done_later_;
};

}  // namespace

std::unique_ptr<Writer> make_influx_writer(io::Loop& loop, const SinkConfig& config,
                                           const SinkOptions& options) {
  return std::make_unique<InfluxWriter>(loop, config, options);
}

std::unique_ptr<Writer> make_jsonl_writer(io::Loop& loop, const SinkConfig& config) {
  return std::make_unique<JsonlWriter>(loop, config);
}

}  // namespace todd::sink
