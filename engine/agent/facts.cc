#include "engine/agent/facts.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "engine/base/files.h"
#include "engine/base/version.h"
#include "engine/io/interfaces.h"
#include "todd/v1/link.pb.h"

namespace todd::agent {
namespace {

std::string content_of(const std::string& path) { return read_file(path).value_or(std::string()); }

// IPv4 first; the interface's first address that can be reached from elsewhere.
void add_test_address(std::vector<std::string>& result, const std::vector<io::InterfaceAddress>& all,
                      const std::string& interface, bool v6) {
  const auto it = std::find_if(all.begin(), all.end(), [&](const io::InterfaceAddress& own) {
    return own.interface == interface && own.v6 == v6 && !own.link_local && !own.loopback;
  });
  if (it != all.end()) result.push_back(it->address);
}
}  // namespace

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
}

std::vector<std::string> host_addresses() {
  auto all = io::interface_addresses();
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.loopback < b.loopback; });
  std::vector<std::string> result;
  for (const io::InterfaceAddress& own : all) result.push_back(own.address);
  return result;
}

std::string default_interface_v4(std::string_view route_table) {
  std::istringstream lines{std::string(route_table)};
  std::string line, best;
  unsigned long best_metric = 0;
  std::getline(lines, line);  // names of the columns
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string interface, destination, gateway, flags, refs, use, mask;
    unsigned long metric = 0;
    if (!(words >> interface >> destination >> gateway >> flags >> refs >> use >> metric >> mask)) continue;
    if (destination != "00000000" || mask != "00000000") continue;
    if (best.empty() || metric < best_metric) {
      best = interface;
      best_metric = metric;
    }
  }
  return best;
}

std::string default_interface_v6(std::string_view route_table) {
  const std::string zeros(32, '0');
  std::istringstream lines{std::string(route_table)};
  std::string line, best;
  unsigned long best_metric = 0;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string destination, prefix, source, source_prefix, hop, metric_hex, refs, use, flags, interface;
    if (!(words >> destination >> prefix >> source >> source_prefix >> hop >> metric_hex >> refs >> use >>
          flags >> interface))
      continue;
    // The kernel keeps a "no route" entry for everything on lo.
    if (destination != zeros || prefix != "00" || interface == "lo") continue;
    const unsigned long metric = std::strtoul(metric_hex.c_str(), nullptr, 16);
    if (best.empty() || metric < best_metric) {
      best = interface;
      best_metric = metric;
    }
  }
  return best;
}

std::vector<std::string> default_test_addresses() {
  const auto all = io::interface_addresses();
  std::vector<std::string> result;
  add_test_address(result, all, default_interface_v4(content_of("/proc/net/route")), false);
  add_test_address(result, all, default_interface_v6(content_of("/proc/net/ipv6_route")), true);
  if (result.empty()) result.push_back("127.0.0.1");
  return result;
}

std::string os_name(std::string_view os_release) {
  constexpr std::string_view kKey = "PRETTY_NAME=";
  std::istringstream lines{std::string(os_release)};
  std::string line;
  while (std::getline(lines, line)) {
    if (!line.starts_with(kKey)) continue;
    std::string value = line.substr(kKey.size());
    if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') &&
        value.back() == value.front()) {
      value = value.substr(1, value.size() - 2);
    }
    return value;
  }
  return "";
}

void fill_facts(v1::Facts& facts, const Config& config) {
  facts.set_name(config.name);
  facts.set_hostname(host_name());
  facts.set_os(os_name(content_of("/etc/os-release")));
  utsname kernel{};
  if (::uname(&kernel) == 0) facts.set_kernel(std::string(kernel.sysname) + " " + kernel.release);
  facts.set_version(kVersion);
  for (const std::string& address : host_addresses()) facts.add_addresses(address);
  for (const std::string& address :
       config.test_addresses.empty() ? default_test_addresses() : config.test_addresses) {
    facts.add_test_addresses(address);
  }
  for (const auto& [key, value] : config.labels) (*facts.mutable_labels())[key] = value;
  facts.set_listen_first(config.listen_first);
  facts.set_listen_last(config.listen_last);
}

}  // namespace todd::agent
