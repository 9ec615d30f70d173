#pragma once
// How a failed operation is told: a value or an Error that names the object and the remedy.
// Bugs are TODD_CHECK (check.h); what the network answered is data, never an Error.

#include <string>
#include <utility>

#include <tl/expected.hpp>

namespace todd {

// What the caller can do about it.
enum class Errc {
  invalid,      // the input is wrong: mend it
  not_found,    // no such object
  exists,       // already there
  denied,       // permission, privilege or policy
  unsupported,  // this build, kernel or version cannot
  unavailable,  // the other side is away: try again later
  exhausted,    // a limit was reached
  timed_out,    // a deadline passed
  cancelled,    // somebody asked to stop
  corrupt,      // stored or received bytes make no sense
  system,       // a system call failed; sys_errno says how
};

// The closed name of a code, as used in JSON and messages ("not_found").
const char* errc_name(Errc code);

struct Error {
  Errc code = Errc::system;
  int sys_errno = 0;   // 0 where no system call failed
  std::string detail;  // "raw socket: Operation not permitted; grant CAP_NET_RAW ..."
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

inline tl::unexpected<Error> fail(Errc code, std::string detail) {
  return tl::unexpected<Error>(Error{code, 0, std::move(detail)});
}

// Adds ": <strerror>" to the text and keeps the number. The code follows from the errno.
tl::unexpected<Error> fail_errno(int sys_errno, std::string what);

}  // namespace todd
