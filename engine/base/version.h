#pragma once

namespace todd {

// ToDD's own version, "MAJOR.MINOR.PATCH": the one of project() in CMakeLists.txt. Testlets and the SDK have
// theirs.
extern const char kVersion[];

}  // namespace todd
