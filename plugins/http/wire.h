#pragma once
// What the readers of HTTP/1.1 have in common.

namespace todd::http {

enum class Read {
  kMore,   // the message is not complete yet
  kDone,   // complete
  kFailed  // will never be; the reader says why
};

}  // namespace todd::http
