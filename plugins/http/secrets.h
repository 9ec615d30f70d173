#pragma once
// What must not be told though it may come back from the network.

#include <string>
#include <vector>

namespace todd::http {

// A value type.
class Secrets {
 public:
  void add(const std::string& secret);  // nothing, if it is empty
  bool empty() const { return all_.empty(); }
  // The text with *** in the place of each, whichever of its bytes are percent-encoded.
  // Requires: the text is as it came, neither cut nor made printable.
  std::string hide(std::string text) const;

 private:
  std::vector<std::string> all_;  // the longest first: one may be a part of another
};

}  // namespace todd::http
