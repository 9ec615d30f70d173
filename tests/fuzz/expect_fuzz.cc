// An expectation that is accepted is unknown of an edge without data, and of one with data it holds or not.
#include <cmath>
#include <string_view>

#include "coordinator/model/expect.h"
#include "engine/base/check.h"

using namespace todd;

namespace {

manifest::Testlet make_testlet() {
  manifest::Testlet testlet;
  testlet.id = "ping";
  testlet.metrics = manifest::probe_metrics();
  const auto add = [&](const char* name, const char* unit, stats::Kind kind) {
    manifest::Metric metric;
    metric.name = name;
    metric.unit = unit;
    metric.kind = kind;
    testlet.metrics.push_back(metric);
  };
  add("rtt", "ns", stats::Kind::histogram);
  add("rtt_spread", "ns", stats::Kind::spread);
  testlet.metrics.back().histogram = "rtt", testlet.metrics.back().high = 0.99;
  add("errors", "{error}", stats::Kind::breakdown);
  add("bytes", "By", stats::Kind::counter);
  add("throughput", "bit/s", stats::Kind::gauge);
  return testlet;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const manifest::Testlet testlet = make_testlet();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = model::parse_expectation(text, testlet, true);
  const auto plain = model::parse_expectation(text, testlet);
  TODD_CHECK(plain.has_value() == (parsed && parsed->window == model::Window::whole));
  TODD_CHECK(!parsed || model::names_window(text) == (parsed->window != model::Window::whole));
  if (!parsed) {
    TODD_CHECK(!parsed.error().detail.empty());
    return 0;
  }
  TODD_CHECK(std::isfinite(parsed->literal) && model::samples_needed(*parsed) > 0);

  model::EdgeData none;
  none.name = "a → b";
  TODD_CHECK(model::evaluate_edge(*parsed, none) == model::Verdict::unknown);
  TODD_CHECK(model::evaluate(*parsed, {none}, none).verdict != model::Verdict::pass);

  model::EdgeData edge = none;
  edge.has_data = true;
  edge.seconds = 10;
  edge.metrics["sent"].counter = 10'000;
  edge.metrics["received"].counter = 9'990;
  edge.metrics["lost"].counter = 10;
  edge.metrics["rtt"].kind = stats::Kind::histogram;
  edge.metrics["rtt"].histogram.add(10'000'000, 9'990);
  const model::Outcome outcome = model::evaluate(*parsed, {edge}, edge);
  TODD_CHECK(outcome.verdict != model::Verdict::none && !outcome.observed.empty());
  // With a negation of the comparison it cannot pass too.
  if (parsed->scope == model::Expectation::Scope::percent || outcome.verdict != model::Verdict::pass)
    return 0;
  model::Expectation opposite = *parsed;
  using Op = model::Expectation::Op;
  switch (parsed->op) {
    case Op::lt: opposite.op = Op::ge; break;
    case Op::le: opposite.op = Op::gt; break;
    case Op::gt: opposite.op = Op::le; break;
    case Op::ge: opposite.op = Op::lt; break;
    case Op::eq: opposite.op = Op::ne; break;
    case Op::ne: opposite.op = Op::eq; break;
  }
  TODD_CHECK(model::evaluate(opposite, {edge}, edge).verdict != model::Verdict::pass);
  return 0;
}
