#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace todd::model {

// none: nothing was expected.
enum class Verdict : uint8_t { pass, fail, unknown, none };

const char* verdict_name(Verdict verdict);
std::optional<Verdict> parse_verdict(std::string_view name);

// fail beats unknown beats pass beats none.
Verdict combine(Verdict a, Verdict b);

}  // namespace todd::model
