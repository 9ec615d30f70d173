#pragma once
// What is true of this host.

#include <string>
#include <string_view>
#include <vector>

#include "engine/agent/config.h"

namespace todd::v1 {
class Facts;
}

namespace todd::agent {

std::string host_name();
// Addresses of all interfaces that are up, loopback ones last, link-local ones with their zone.
std::vector<std::string> host_addresses();
// Those of the default route's interface, one per family, IPv4 first; loopback where there is no default
// route.
std::vector<std::string> default_test_addresses();
// PRETTY_NAME of an os-release text; "" if there is none.
std::string os_name(std::string_view os_release);
// The interface of the default route in a text like /proc/net/route; "" if there is none.
std::string default_interface_v4(std::string_view route_table);
// The same of /proc/net/ipv6_route.
std::string default_interface_v6(std::string_view route_table);

// All of it, with what the configuration says. Engine fields are left for the caller.
void fill_facts(v1::Facts& facts, const Config& config);

}  // namespace todd::agent
