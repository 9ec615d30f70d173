#include "engine/agent/spool.h"

#include <algorithm>

#include "engine/io/frame.h"
#include "todd/v1/link.pb.h"

namespace todd::agent {
namespace {
// Ends nothing, says what is missing.
std::string empty_record(const std::string& task, uint64_t seq, size_t lost_bytes) {
  v1::FromAgent message;
  v1::Record& record = *message.mutable_record();
  record.set_task(task);
  record.set_seq(seq);
  record.set_partial(true);
  record.set_detail(std::to_string(lost_bytes) +
                    " bytes of results were dropped: the agent's memory for unacknowledged records was full");
  return message.SerializeAsString();
}
}  // namespace

Spool::Spool(size_t limit_bytes) : limit_(limit_bytes) {}

void Spool::add(const v1::Record& record) {
  v1::FromAgent message;
  *message.mutable_record() = record;
  Entry entry{record.task(), record.seq(), record.last(), message.SerializeAsString()};
  if (entry.bytes.size() > io::kMaxFrame) {
    // Would end the link each time it is sent. Whoever makes records splits them; this one cannot travel.
    ++dropped_;
    v1::Record& cut = *message.mutable_record();
    cut.clear_rows();
    cut.clear_blocks();
    cut.clear_totals();
    cut.clear_samples();
    cut.clear_examples();
    cut.set_partial(true);
    cut.set_detail((cut.detail().empty() ? "" : cut.detail() + "; ") + std::to_string(entry.bytes.size()) +
                   " bytes of results were dropped: too long for one message");
    entry.bytes = message.SerializeAsString();
    entry.keep = true;
  }
  bytes_ += entry.bytes.size();
  entries_.push_back(std::move(entry));
  if (bytes_ > limit_) shrink();
}

void Spool::shrink() {
  for (; bytes_ > limit_ && full_from_ < entries_.size(); ++full_from_) {
    Entry& entry = entries_[full_from_];
    if (entry.keep) continue;
    std::string empty = empty_record(entry.task, entry.seq, entry.bytes.size());
    entry.keep = true;
    if (empty.size() >= entry.bytes.size()) continue;
    bytes_ -= entry.bytes.size() - empty.size();
    entry.bytes = std::move(empty);
    ++dropped_;
  }
}

template <class Predicate>
void Spool::erase_if(Predicate gone) {
  size_t kept = 0, kept_before_cursor = 0, kept_before_full = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (i == cursor_) kept_before_cursor = kept;
    if (i == full_from_) kept_before_full = kept;
    if (gone(entries_[i])) {
      bytes_ -= entries_[i].bytes.size();
      continue;
    }
    if (kept != i) entries_[kept] = std::move(entries_[i]);
    ++kept;
  }
  cursor_ = cursor_ >= entries_.size() ? kept : kept_before_cursor;
  full_from_ = full_from_ >= entries_.size() ? kept : kept_before_full;
  entries_.resize(kept);
}

void Spool::ack(const std::string& task, uint64_t seq) {
  erase_if([&](const Entry& entry) { return entry.seq <= seq && entry.task == task; });
}

void Spool::forget(const std::string& task) {
  erase_if([&](const Entry& entry) { return entry.task == task; });
}

const std::string* Spool::next() { return cursor_ < entries_.size() ? &entries_[cursor_++].bytes : nullptr; }

std::vector<std::string> Spool::tasks() const {
  std::vector<std::string> result;
  for (const Entry& entry : entries_) result.push_back(entry.task);
  std::sort(result.begin(), result.end());
  result.erase(std::unique(result.begin(), result.end()), result.end());
  return result;
}

}  // namespace todd::agent
