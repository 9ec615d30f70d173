#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace todd::v1 {
class Record;
}

namespace todd::agent {

// Records the coordinator has not acknowledged, in the order they were made, in memory. Resource, of one
// thread.
//
// Above the limit the oldest records that do not end a task lose their content: what stays is an empty record
// of the same seq, partial, with the detail saying so. So the coordinator sees no gap in seq, and sees that
// something was lost.
class Spool {
 public:
  explicit Spool(size_t limit_bytes = 64u << 20);

  void add(const v1::Record& record);
  // Everything of the task up to and with seq is durable elsewhere.
  void ack(const std::string& task, uint64_t seq);
  void forget(const std::string& task);

  // The next record that was not sent on this link, as a FromAgent message, or nullptr. Valid until the next
  // call.
  const std::string* next();
  // A new link: everything left is to be sent again.
  void rewind() { cursor_ = 0; }

  size_t bytes() const { return bytes_; }
  size_t records() const { return entries_.size(); }
  uint64_t dropped() const { return dropped_; }  // records that lost their content, ever
  std::vector<std::string> tasks() const;        // with records here, each once

 private:
  struct Entry {
    std::string task;
    uint64_t seq = 0;
    bool keep = false;  // ends its task, or is empty already
    std::string bytes;
  };
  void shrink();
  template <class Predicate>
  void erase_if(Predicate gone);

  size_t limit_;
  size_t bytes_ = 0;
  size_t cursor_ = 0;     // entries_ before it were sent on this link
  size_t full_from_ = 0;  // entries_ before it have nothing more to drop
  uint64_t dropped_ = 0;
  std::deque<Entry> entries_;
};

}  // namespace todd::agent
