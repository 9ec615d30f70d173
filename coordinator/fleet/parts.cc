#include "coordinator/fleet/parts.h"

#include "todd/v1/task.pb.h"

namespace todd::fleet {
namespace {
constexpr size_t kPerItem = 8;  // tag and length, generously

v1::Task without_lists(const v1::Task& task) {
  v1::Task head = task;
  head.clear_targets();
  head.clear_peers();
  return head;
}

class Splitter {
 public:
  explicit Splitter(const v1::Task& head) : bytes_(head.ByteSizeLong()) {
    *parts_.emplace_back().mutable_task() = head;
  }

  template <class Items, class Add>
  void append(const Items& items, Add add) {
    for (const auto& item : items) {
      const size_t bytes = item.ByteSizeLong() + kPerItem;
      if (bytes_ + bytes > kPartBytes) next_part();
      bytes_ += bytes;
      *add(*parts_.back().mutable_task()) = item;
    }
  }
  std::vector<v1::Prepare> take() { return std::move(parts_); }

 private:
  void next_part() {
    const std::string id = parts_.back().task().id();
    parts_.back().set_more(true);
    parts_.emplace_back().mutable_task()->set_id(id);
    bytes_ = id.size() + kPerItem;
  }

  std::vector<v1::Prepare> parts_;
  size_t bytes_;
};
}  // namespace

Result<std::vector<v1::Prepare>> split_task(const v1::Task& task) {
  const size_t whole = task.ByteSizeLong();
  if (whole > kMaxTaskBytes) {
    return fail(Errc::exhausted, "a task of " + std::to_string(whole >> 20) + " MiB for one agent, at most " +
                                     std::to_string(kMaxTaskBytes >> 20) +
                                     " are sent; spread its targets over more agents or tests");
  }
  const v1::Task head = without_lists(task);
  if (head.ByteSizeLong() > kPartBytes) {
    return fail(Errc::exhausted,
                "the params of the test take more than " + std::to_string(kPartBytes >> 10) + " KiB");
  }
  Splitter splitter(head);
  splitter.append(task.targets(), [](v1::Task& to) { return to.add_targets(); });
  splitter.append(task.peers(), [](v1::Task& to) { return to.add_peers(); });
  return splitter.take();
}

}  // namespace todd::fleet
