// ICMP errors as the host hands them to ping, any type, code and sender of the network's: names of a closed
// set, and keys no longer than hosts keep.
#include <algorithm>
#include <cstring>
#include <string>

#include "engine/base/check.h"
#include "plugins/ping/wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace todd::ping;
  todd_icmp_error error{};
  std::memcpy(&error, data, std::min(size, sizeof error));
  const std::string name = icmp_error_name(error);
  const std::string all = std::string("|") + kIcmpErrorNames + "|";
  TODD_CHECK(!name.empty() && all.find("|" + name + "|") != std::string::npos);
  const auto sender = sender_key(error);
  const auto words = describe(error);
  const std::string_view key = sender.view(), text = words.view();
  TODD_CHECK(!key.empty() && key.size() <= 23);
  TODD_CHECK(text.starts_with(name) && text.ends_with(')'));
  if (size > sizeof error) {
    const uint8_t ttl = data[sizeof error];
    const int initial = ttl + estimated_hops(ttl);
    TODD_CHECK(initial == 32 || initial == 64 || initial == 128 || initial == 255);
    TODD_CHECK(own_bytes_at(false, size) <= size);
  }
  return 0;
}
