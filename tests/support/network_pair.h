#pragma once
// Two network namespaces of a test, joined by one veth pair: `near`, in which the calling thread is as long
// as the object lives, and `far`. Both are gone with the object. IPv4 alone: eth0 has 192.0.2.1/24 near and
// 192.0.2.2/24 far, which know each other's link address.

#include <memory>
#include <string>

#include "engine/base/fd.h"

namespace todd::test {

class NetworkPair {
 public:
  // nullptr, and the reason in why, without root, namespaces or the command `ip`.
  static std::unique_ptr<NetworkPair> make(std::string& why);
  ~NetworkPair();
  NetworkPair(const NetworkPair&) = delete;
  NetworkPair& operator=(const NetworkPair&) = delete;

  // Runs `ip` with these words in one of them; whether it succeeded.
  bool near(const std::string& words) const { return ip(near_, words); }
  bool far(const std::string& words) const { return ip(far_, words); }
  // Writes a file below /proc/sys/net of the near one.
  bool set_near(const std::string& file, const std::string& value) const;
  // Enters the far one for as long as the object lives: sockets made meanwhile are its.
  class AtFar {
   public:
    explicit AtFar(const NetworkPair& pair);
    ~AtFar();
    AtFar(const AtFar&) = delete;
    AtFar& operator=(const AtFar&) = delete;

   private:
    const NetworkPair& pair_;
  };

 private:
  NetworkPair() = default;
  static bool ip(const UniqueFd& where, const std::string& words);

  UniqueFd home_, near_, far_;
};

}  // namespace todd::test
