#pragma once
// Frames of the link and of the worker's control socket: a varint length (as protobuf writes it), then that
// many bytes.

#include <cstddef>
#include <string>
#include <string_view>

#include "engine/base/result.h"

namespace todd::io {

inline constexpr size_t kMaxFrame = 1u << 20;

// Appends one frame. Readers refuse frames longer than their max: kMaxFrame on the link.
void append_frame(std::string& out, std::string_view payload);

// The first frame of bytes: sets payload (a view into bytes) and returns how many bytes the frame takes, or 0
// when it is not complete yet. Errors: corrupt (a length longer than 5 bytes), exhausted (longer than max).
Result<size_t> next_frame(std::string_view bytes, std::string_view& payload, size_t max = kMaxFrame);

}  // namespace todd::io
