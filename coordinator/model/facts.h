#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace todd::model {

// What is known of one enrolled agent, connected or not. Groups are rules over this.
struct Facts {
  std::string agent;  // its name
  std::string id;
  std::string hostname;
  std::string os;
  std::string kernel;
  std::string version;
  std::vector<std::string> addresses;       // all of the host
  std::vector<std::string> test_addresses;  // where others aim, in order of preference
  std::map<std::string, std::string> labels;
  uint16_t listen_first = 7500;  // the only ports its responders use
  uint16_t listen_last = 7599;
  bool connected = false;
  std::vector<std::string> manifests;  // hashes of the testlets it has
};

}  // namespace todd::model
