// Any line as a check, and any body that it looks at: refused with a reason, or read; what does not hold is
// told in printable characters, and says the same of the same answer. JSON that is refused is refused with
// its place, and what the reader takes the finder of faults takes too.

#include <algorithm>
#include <string>

#include "engine/base/check.h"
#include "plugins/http/checks.h"
#include "plugins/http/json.h"
#include "todd/testlet.hpp"

namespace {

using namespace todd::http;

bool printable(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

// One header, and figures that depend on the body.
Facts facts_of(std::string_view body, const Headers& headers) {
  Facts facts;
  facts.status = 200 + static_cast<int>(body.size() % 400);
  facts.version = body.size() % 2 == 0 ? 11 : 20;
  facts.headers = &headers;
  facts.body = body;
  facts.body_whole = body.size() % 7 != 0;
  facts.size = body.size();
  facts.response_time_ns = static_cast<int64_t>(body.size()) * 1'000'003;
  facts.tls = body.size() % 3 != 0;
  facts.tls_version = 0x0304;
  facts.certificate_seconds = (static_cast<int64_t>(body.size()) - 20) * 86'401;
  return facts;
}

void read(std::string_view body) {
  JsonReader reader;
  const auto broken = reader.read(body);
  const auto fault = find_fault(body);
  TODD_CHECK(broken.has_value() == fault.has_value());
  if (!broken) return;
  TODD_CHECK(fault->at <= body.size() && broken->find("line ") != std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\n'), size);
  const std::string check(input.substr(0, end));
  const std::string_view body = input.substr(std::min(end + 1, size));
  read(body);
  try {
    const Checks checks({check});
    Headers headers;
    headers.add("x", body.substr(0, 1000));
    const Facts facts = facts_of(body, headers);
    const auto failed = checks.failed(facts);
    TODD_CHECK(failed == checks.failed(facts));
    if (!failed) return 0;
    TODD_CHECK(!failed->empty() && failed->size() < 400 && printable(*failed));
    if (checks.wants_body() && !facts.body_whole)
      TODD_CHECK(failed->find("checked_body") != std::string::npos);
  } catch (const todd::error& e) {
    const std::string what = e.what();
    TODD_CHECK(what.substr(0, 7) == "check: " && what.size() > 10);
  }
  return 0;
}
