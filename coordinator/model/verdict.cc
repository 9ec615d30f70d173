#include "coordinator/model/verdict.h"

namespace todd::model {

const char* verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::pass: return "pass";
    case Verdict::fail: return "fail";
    case Verdict::unknown: return "unknown";
    case Verdict::none: return "none";
  }
  return "none";
}

std::optional<Verdict> parse_verdict(std::string_view name) {
  for (Verdict verdict : {Verdict::pass, Verdict::fail, Verdict::unknown, Verdict::none}) {
    if (name == verdict_name(verdict)) return verdict;
  }
  return std::nullopt;
}

Verdict combine(Verdict a, Verdict b) {
  for (Verdict stronger : {Verdict::fail, Verdict::unknown, Verdict::pass}) {
    if (a == stronger || b == stronger) return stronger;
  }
  return Verdict::none;
}

}  // namespace todd::model
