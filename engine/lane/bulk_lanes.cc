#include "engine/lane/bulk_lanes.h"

#include <algorithm>

namespace todd::lane {

void BulkLanes::add(Lane& lane) {
  const std::lock_guard lock(mutex_);
  lanes_.push_back(&lane);
}

void BulkLanes::clear() {
  const std::lock_guard lock(mutex_);
  lanes_.clear();
}

bool BulkLanes::place(const std::shared_ptr<BulkJob>& job) {
  const std::lock_guard lock(mutex_);
  if (lanes_.empty()) return false;
  Lane* const least = *std::ranges::min_element(lanes_, {}, [](const Lane* lane) { return lane->load(); });
  least->move(job);
  return true;
}

}  // namespace todd::lane
