#include "engine/base/paths.h"

#include <unistd.h>

#include <cstdlib>

namespace todd {

std::string system_state_folder(const std::string& name) { return "/var/lib/" + name; }

namespace {
std::string folder_of_user(const char* variable, const char* in_home, const std::string& name) {
  const char* const set = std::getenv(variable);
  if (set != nullptr && *set == '/') return std::string(set) + "/" + name;
  const char* const home = std::getenv("HOME");
  return std::string(home == nullptr ? "" : home) + in_home + name;
}
}  // namespace

std::string state_folder(const std::string& name) {
  if (::geteuid() == 0) return system_state_folder(name);
  return folder_of_user("XDG_STATE_HOME", "/.local/state/", name);
}

std::string config_folder(const std::string& name) {
  return folder_of_user("XDG_CONFIG_HOME", "/.config/", name);
}

}  // namespace todd
