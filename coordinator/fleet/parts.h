#pragma once
#include <cstddef>
#include <vector>

#include "engine/base/result.h"

namespace todd::v1 {
class Prepare;
class Task;
}  // namespace todd::v1

namespace todd::fleet {

inline constexpr size_t kPartBytes = 512 * 1024;
inline constexpr size_t kMaxTaskBytes = 48u << 20;  // below what a channel may have unsent (kWriteLimit)
inline constexpr size_t kWriteLimit = 64u << 20;

// The task as Prepare messages that each fit a frame. Errors: exhausted (the whole, or what is not targets or
// peers, is too long).
Result<std::vector<v1::Prepare>> split_task(const v1::Task& task);

}  // namespace todd::fleet
