#include "engine/io/mortal.h"

namespace todd::io {

// Out of line: inlined, they make gcc 12 warn of a dangling pointer that the destructors rule out.
Mortal::Watch::Watch(Mortal& object) : object_(object), outer_(object.innermost_) {
  object.innermost_ = this;
}

Mortal::Watch::~Watch() {
  if (!gone_) object_.innermost_ = outer_;
}

Mortal::~Mortal() {
  for (Watch* watch = innermost_; watch; watch = watch->outer_) watch->gone_ = true;
}

}  // namespace todd::io
