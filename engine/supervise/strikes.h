#pragma once
// Who brings the worker down: a testlet in whose code it died three times within ten minutes is not started
// again.

#include <cstdint>
#include <deque>
#include <map>
#include <string>

namespace todd::supervise {

class Strikes {
 public:
  // The worker died (why: "was killed by signal 11 ...") in the code of this testlet. True if that
  // quarantines it.
  bool add(const std::string& testlet, const std::string& why, int64_t now_ns);
  // Why it is not started again; "" if it is.
  std::string quarantine_of(const std::string& testlet) const;
  const std::map<std::string, std::string>& quarantined() const { return quarantined_; }  // testlet -> why

 private:
  std::map<std::string, std::deque<int64_t>> deaths_;
  std::map<std::string, std::string> quarantined_;
};

}  // namespace todd::supervise
