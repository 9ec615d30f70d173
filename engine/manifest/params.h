#pragma once
// From the text a user gave to checked values.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/egress.h"
#include "engine/base/result.h"
#include "engine/manifest/manifest.h"

namespace todd::manifest {

struct TypedValue {
  ParamType type = ParamType::text;
  int64_t i = 0;       // boolean, integer, ns, bytes, bit/s, index of the choice
  double r = 0;        // real, rate (per second), ratio
  std::string s;       // text, the choice's text
  std::string secret;  // of a secret: its name. Only the host that tests with it knows the value
  bool given = false;  // by the user, not the default

  bool operator==(const TypedValue&) const = default;
};

// The value of a param that may be given several times is one text: what it was given, joined by newlines; ""
// if nothing was. Errors: invalid, for a text that is empty or has a newline ("one of its texts is empty").
Result<std::string> join_texts(const std::vector<std::string>& texts);
std::vector<std::string> split_texts(const std::string& value);

// A secret is given by its name alone, "secret:NAME". NAME: A-Z, a-z, 0-9, '.', '_', '-', at most 64, and no
// dot in front. Errors: invalid, without the text, which may be the secret itself.
inline constexpr std::string_view kSecretPrefix = "secret:";
Result<std::string> parse_secret(const std::string& text);
Status check_secret_name(const std::string& name);

// Reads a value and checks its range. Errors: invalid, naming param, value and what is allowed
// ("size: 70000 is out of range, allowed 0 to 65507"). What is given for a secret is not quoted.
Result<TypedValue> parse_value(const Param& param, const std::string& text);

// One value per declared param, in their order, defaults filled in (a param without default and value keeps
// its type's zero and given = false). Names of host_params() in `given` are passed over unless declared, so
// that the whole map of a test may be handed in. Errors: invalid, for an unknown name (with the nearest), a
// missing required param, a bad value.
Result<std::vector<TypedValue>> resolve_params(const std::vector<Param>& params,
                                               const std::map<std::string, std::string>& given);

enum class Stamps : uint8_t { exact, sampled, user };  // of departures; in the order of the param's choices
enum class Shape : uint8_t { periodic, poisson, uniform };  // likewise; schedule::Shape says what they are

// After the warm-up and its last probe's timeout, before anything counts: what was given up is told a little
// later than it was due.
inline constexpr int64_t kWarmUpSettleNs = 100'000'000;
// From START to where counting begins.
constexpr int64_t uncounted_ns(int64_t warm_up_ns, int64_t timeout_ns) {
  return warm_up_ns == 0 ? 0 : warm_up_ns + timeout_ns + kWarmUpSettleNs;
}

// The host's params of one test, resolved. 0 = none where not said otherwise.
struct HostParams {
  uint64_t count = 0;       // per edge
  int64_t interval_ns = 0;  // per edge; 0 if `rate` rules
  double rate = 0;          // per task; HUGE_VAL = max
  int64_t duration_ns = 0;
  int64_t timeout_ns = 0;
  int64_t period_ns = 0;  // results also every so often
  int64_t samples = 0;    // 0 none, -1 all, N
  Stamps stamps = Stamps::exact;
  Shape shape = Shape::periodic;
  uint32_t burst = 1;  // probes of an edge at once, each time
  int64_t ramp_ns = 0, warm_up_ns = 0;
  int64_t uncounted_ns() const { return manifest::uncounted_ns(warm_up_ns, timeout_ns); }
  int64_t counted_ramp_ns() const {
    return warm_up_ns > 0 ? 0 : ramp_ns;
  }  // the warm-up has the ramp, if there is one
  Egress egress;

  bool operator==(const HostParams&) const = default;
};

// Resolves the host's params with the testlet's defaults; other names are passed over. `rate` excludes
// `interval` and `requests` `count`, whose other word it is for testlets of URLs; either given one replaces
// the other's default; likewise a given count or duration replaces the defaults of both. Errors: invalid, for
// both interval and rate, both count and requests, zero or negative amounts, a ticket-driven testlet without
// an end, a source that is no address, a shape, burst or ramp without a pace, a ramp that the warm-up ends
// amid, a warm-up of a testlet that knows none, and count, interval, rate, shape, burst or ramp for a testlet
// that is not driven by tickets.
Result<HostParams> resolve_host_params(const Testlet& testlet,
                                       const std::map<std::string, std::string>& given);

}  // namespace todd::manifest
