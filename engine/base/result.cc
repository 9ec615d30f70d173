#include "engine/base/result.h"

#include <cerrno>
#include <system_error>

namespace todd {

const char* errc_name(Errc code) {
  switch (code) {
    case Errc::invalid: return "invalid";
    case Errc::not_found: return "not_found";
    case Errc::exists: return "exists";
    case Errc::denied: return "denied";
    case Errc::unsupported: return "unsupported";
    case Errc::unavailable: return "unavailable";
    case Errc::exhausted: return "exhausted";
    case Errc::timed_out: return "timed_out";
    case Errc::cancelled: return "cancelled";
    case Errc::corrupt: return "corrupt";
    case Errc::system: return "system";
  }
  return "system";
}

namespace {
Errc code_of(int sys_errno) {
  switch (sys_errno) {
    case EACCES:
    case EPERM: return Errc::denied;
    case ENOENT: return Errc::not_found;
    case EEXIST: return Errc::exists;
    case EINVAL: return Errc::invalid;
    case ENOSYS:
    case EOPNOTSUPP: return Errc::unsupported;
    case ETIMEDOUT: return Errc::timed_out;
    case ECANCELED: return Errc::cancelled;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH: return Errc::unavailable;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM: return Errc::exhausted;
    default: return Errc::system;
  }
}
}  // namespace

tl::unexpected<Error> fail_errno(int sys_errno, std::string what) {
  what += ": " + std::generic_category().message(sys_errno);
  return tl::unexpected<Error>(Error{code_of(sys_errno), sys_errno, std::move(what)});
}

}  // namespace todd
