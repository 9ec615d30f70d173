#pragma once
// Commands of the build's tools, for the tests of what authors include and build.

#include <array>
#include <cstdio>
#include <string>

namespace todd::test {

struct Ran {
  int status;
  std::string output;  // both streams
};

inline Ran run(const std::string& command) {
  FILE* pipe = popen(("{ " + command + "; } 2>&1").c_str(), "r");
  std::string output;
  std::array<char, 4096> buffer;
  for (size_t n; (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) output.append(buffer.data(), n);
  return {pclose(pipe), output};
}

}  // namespace todd::test
