#include "engine/base/paths.h"

#include <unistd.h>

#include <cstdlib>

namespace todd {

std::string system_state_folder(const std::string& name) { return "/var/lib/" + name; }

std::string state_folder(const std::string& name) {
  if (::geteuid() == 0) return system_state_folder(name);
  const char* const state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state == '/') return std::string(state) + "/" + name;
  const char* const home = std::getenv("HOME");
  return std::string(home == nullptr ? "" : home) + "/.local/state/" + name;
}

}  // namespace todd
