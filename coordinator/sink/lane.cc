#include "coordinator/sink/lane.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/log.h"

namespace todd::sink {
namespace {
constexpr const char* kEnding = ".lines";
}

Result<std::unique_ptr<Lane>> Lane::open(io::Loop& loop, SinkConfig config, SinkOptions options,
                                         std::string folder, std::unique_ptr<Writer> writer,
                                         std::function<void(const std::string&)> settled) {
  std::unique_ptr<Lane> lane(
      new Lane(loop, std::move(config), options, std::move(folder), std::move(writer), std::move(settled)));
  if (Status taken = lane->take_up(); !taken) return tl::unexpected(taken.error());
  return lane;
}

Lane::Lane(io::Loop& loop, SinkConfig config, SinkOptions options, std::string folder,
           std::unique_ptr<Writer> writer, std::function<void(const std::string&)> settled)
    : loop_(loop),
      config_(std::move(config)),
      options_(options),
      folder_(std::move(folder)),
      writer_(std::move(writer)),
      settled_(std::move(settled)),
      batch_bytes_(options.batch_bytes),
      random_(std::random_device{}()) {}

Lane::~Lane() {
  for (auto& [id, run] : runs_) (void)run.spool.flush(true);
}

Result<LineSpool> Lane::open_spool(const std::string& run) const {
  return LineSpool::open(folder_.empty() ? "" : folder_ + "/" + run + kEnding);
}

// What the last process left: closed, until somebody opens the run again.
Status Lane::take_up() {
  if (folder_.empty()) return {};
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) return fail_errno(error.value(), "cannot make folder " + folder_);
  for (const auto& item : std::filesystem::directory_iterator(folder_, error)) {
    if (item.path().extension() != kEnding) continue;
    const std::string id = item.path().stem().string();
    auto spool = open_spool(id);
    if (!spool) {
      log(LogLevel::error, "sink", spool.error().detail);
      continue;
    }
    backlog_ += spool->bytes();
    runs_.emplace(id, Run{std::move(*spool)});
  }
  if (error) return fail_errno(error.value(), "cannot list " + folder_);
  if (!runs_.empty()) wake(0);
  return {};
}

void Lane::open_run(const std::string& run) {
  const auto found = runs_.find(run);
  if (found != runs_.end()) {
    found->second.closed = false;
    found->second.skip = found->second.spool.total();
    return;
  }
  auto spool = open_spool(run);
  if (!spool) {
    last_error_ = spool.error().detail;
    log(LogLevel::error, "sink", config_.name + ": " + last_error_ + "; the run is kept in memory only");
    spool = LineSpool::open("");
  }
  runs_.emplace(run, Run{std::move(*spool), 0, false});
}

void Lane::add(const std::string& run, const std::string& line) {
  const auto found = runs_.find(run);
  if (found == runs_.end()) return;
  Run& into = found->second;
  if (into.skip > 0) {
    --into.skip;
    return;
  }
  const size_t room = folder_.empty() ? options_.backlog_bytes : options_.spool_bytes;
  if (backlog_ + line.size() > room) return drop(into);
  if (Status added = into.spool.append(line); !added) {
    last_error_ = added.error().detail;
    return drop(into);
  }
  backlog_ += line.size();
  if (state_ != State::ok || sending_) return;
  const bool full = backlog_ >= batch_bytes_ || into.spool.pending() >= options_.batch_lines;
  if (full && !std::exchange(hurried_, true)) timer_.reset();
  wake(full ? 0 : options_.gather_ns);
}

void Lane::drop(Run& run) {
  if (dropped_++ == 0)
    log(LogLevel::warn, "sink", config_.name + ": no room for more lines, the newest are dropped");
  run.spool.count_dropped();
}

void Lane::close_run(const std::string& run) {
  const auto found = runs_.find(run);
  if (found == runs_.end()) return;
  found->second.closed = true;
  if (Status synced = found->second.spool.flush(true); !synced) last_error_ = synced.error().detail;
  if (state_ == State::ok) timer_.reset();
  wake(0);
}

void Lane::forget_run(const std::string& run) {
  const auto found = runs_.find(run);
  if (found == runs_.end()) return;
  TODD_CHECK(!(sending_ && sending_run_ == run));
  backlog_ -= found->second.spool.bytes();
  found->second.spool.discard();
  runs_.erase(found);
}

bool Lane::settled(const std::string& run) const {
  const auto found = runs_.find(run);
  return found == runs_.end() || (found->second.closed && found->second.spool.pending() == 0);
}

void Lane::wake(int64_t delay_ns) {
  if (timer_ || sending_) return;
  timer_ = loop_.after(delay_ns, [this] { pump(); });
}

void Lane::pump() {
  timer_.reset();
  hurried_ = false;
  TODD_CHECK(!sending_);
  if (!parts_.empty()) return send(sending_run_);
  std::vector<std::string> empty;
  std::string next;
  for (auto& [id, run] : runs_) {
    if (run.spool.pending() > 0) {
      if (next.empty()) next = id;
    } else if (run.closed) {
      empty.push_back(id);
    }
  }
  if (!next.empty()) send(next);
  for (const std::string& id : empty) settled_(id);
}

void Lane::send(const std::string& id) {
  Run& run = runs_.at(id);
  auto lines = run.spool.front(parts_.empty() ? options_.batch_lines : parts_.back(), batch_bytes_);
  if (!lines) return on_outcome({Taken::retry, lines.error().detail});
  sending_run_ = id;
  sent_lines_ = static_cast<uint64_t>(std::count(lines->begin(), lines->end(), '\n'));
  sent_bytes_ = lines->size();
  if (parts_.empty()) {
    parts_.push_back(sent_lines_);
  } else if (parts_.back() > sent_lines_) {
    parts_.back() -= sent_lines_;
    parts_.push_back(sent_lines_);
  }
  sending_ = true;
  writer_->write(*lines, [this](const Outcome& outcome) {
    sending_ = false;
    on_outcome(outcome);
  });
}

void Lane::on_outcome(const Outcome& outcome) {
  if (!outcome.error.empty()) last_error_ = outcome.error;
  const bool was_ok = state_ == State::ok;
  state_ = outcome.taken == Taken::retry           ? State::failing
           : outcome.taken == Taken::misconfigured ? State::paused
                                                   : State::ok;
  if (was_ok && state_ != State::ok) log(LogLevel::warn, "sink", config_.name + ": " + last_error_);
  if (!was_ok && state_ == State::ok) log(LogLevel::info, "sink", config_.name + ": delivering again");
  switch (outcome.taken) {
    case Taken::all: consumed(true); break;
    case Taken::too_large:
      if (sent_lines_ > 1) batch_bytes_ = std::max<size_t>(sent_bytes_ / 2, 1);
      [[fallthrough]];
    case Taken::refused:
      if (sent_lines_ == 1) {
        consumed(false);
      } else {
        parts_.back() = sent_lines_ - sent_lines_ / 2;
        parts_.push_back(sent_lines_ / 2);
      }
      break;
    case Taken::retry: return wake(std::max(back_off(), outcome.wait_ns));
    case Taken::misconfigured: return wake(options_.probe_ns);
  }
  failures_ = 0;
  const auto found = runs_.find(sending_run_);
  const bool more =
      !parts_.empty() || backlog_ >= batch_bytes_ || (found != runs_.end() && found->second.closed);
  if (more || backlog_ > 0) wake(more ? 0 : options_.gather_ns);
}

void Lane::consumed(bool delivered) {
  Run& run = runs_.at(sending_run_);
  run.spool.consume(sent_lines_, sent_bytes_, delivered);
  backlog_ -= sent_bytes_;
  (delivered ? delivered_ : dead_) += sent_lines_;
  parts_.pop_back();
}

// Full jitter, so that many coordinators do not come back together.
int64_t Lane::back_off() {
  const int doublings = std::min(failures_++, 30);
  const int64_t most = std::min(options_.retry_most_ns, options_.retry_first_ns << doublings);
  return std::uniform_int_distribution<int64_t>(0, std::max<int64_t>(most, 0))(random_);
}

model::Delivery Lane::delivery(const std::string& run) const {
  model::Delivery out;
  out.sink = config_.name;
  const auto found = runs_.find(run);
  if (found == runs_.end()) return out;
  const LineSpool& spool = found->second.spool;
  out.pending = spool.pending();
  out.delivered = spool.delivered();
  out.dead = spool.dead() + spool.dropped();
  if (settled(run)) {
    out.state = out.dead > 0 ? "dead" : "delivered";
  } else {
    out.state = state_ == State::ok ? "pending" : "failing";
  }
  return out;
}

SinkHealth Lane::health() const {
  SinkHealth out;
  out.name = config_.name;
  out.state = state_ == State::ok ? "ok" : state_ == State::failing ? "failing" : "paused";
  out.last_error = last_error_;
  out.delivered = delivered_;
  out.dead = dead_;
  out.dropped = dropped_;
  for (const auto& [id, run] : runs_) out.pending += run.spool.pending();
  return out;
}

}  // namespace todd::sink
