#pragma once
#include <string>

namespace todd {

// Where a program of that name keeps what must survive it: /var/lib/NAME for root, else NAME in
// $XDG_STATE_HOME or
// ~/.local/state.
std::string state_folder(const std::string& name);
// That of the system, whoever runs.
std::string system_state_folder(const std::string& name);

// Where a user keeps what programs of that name are told: NAME in $XDG_CONFIG_HOME or ~/.config.
std::string config_folder(const std::string& name);

}  // namespace todd
