#include "bench/floor/echo.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <barrier>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <thread>

namespace todd::floor {
namespace {

constexpr int kPatience = 1000;  // ms without any reply after which the rest is called unanswered

double process_cpu() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](timeval t) { return double(t.tv_sec) + 1e-6 * double(t.tv_usec); };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

// Busy time of all cores: user, nice, system, irq, softirq of /proc/stat. In ticks of 10 ms: sweeps should
// take longer.
double machine_cpu() {
  std::ifstream stat("/proc/stat");
  std::string word;
  uint64_t user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0;
  stat >> word >> user >> nice >> system >> idle >> iowait >> irq >> softirq;
  return double(user + nice + system + irq + softirq) / double(sysconf(_SC_CLK_TCK));
}

Path make_path(const EchoOptions& echo, const PathOptions& options) {
  if (echo.sender == "uring") return make_uring_path(options, open_icmp(options, false));
  const bool ping = echo.sender == "ping";
  Path path;
  if (echo.sender == "raw" || ping) {
    const int fd = open_icmp(options, ping);
    path.sender = make_socket_sender(options, fd);
    if (echo.receiver != "ring") path.receiver = make_socket_receiver(options, fd, ping);
  } else {
    path.sender = echo.sender == "ring" ? make_ring_sender(options) : make_packet_sender(options);
    if (echo.receiver == "raw")
      path.receiver = make_socket_receiver(options, open_icmp(options, false), false);
  }
  if (!path.receiver) path.receiver = make_ring_receiver(options);
  return path;
}

// What one thread sweeps, and what it saw.
class Shard {
 public:
  Shard(const EchoOptions& options, unsigned number)
      : options_(options), number_(number), targets_(options.targets / options.threads), ledger_(targets_) {}

  // On the thread that will sweep: a ring belongs to the thread that made it.
  void open() {
    pin_to(options_.core < 0 ? -1 : options_.core + static_cast<int>(number_));
    PathOptions path{
        .route = options_.route,
        .ident = htons(static_cast<uint16_t>((getpid() & 0x7fff) * 2 + static_cast<int>(number_))),
        .batch = options_.batch,
        .tx_stamps = options_.tx_stamps,
        .filter = options_.filter};
    path.route.first_target.s_addr = htonl(ntohl(path.route.first_target.s_addr) + number_ * targets_);
    path_ = make_path(options_, path);
  }

  void sweep() {
    ledger_.clear();
    stamps = 0;
    looked_at = 0;
    began = now_ns(CLOCK_REALTIME);
    uint32_t next = 0;
    while (ledger_.answers() < targets_) {
      const uint32_t flying = next - ledger_.answers();
      const uint32_t count =
          std::min({options_.batch, targets_ - next, options_.window - std::min(options_.window, flying)});
      if (count > 0) {
        ledger_.leaving(next, count, now_ns(CLOCK_REALTIME));
        next += path_.sender->send(next, count);
      }
      stamps += path_.sender->read_stamps();
      const unsigned got = path_.receiver->receive(ledger_);
      looked_at += got;
      if (got == 0 && count == 0 && !something_comes()) break;
    }
    // Departures are reported before their replies come, but a batch of reports may still wait to be read.
    for (unsigned more = 1; more != 0 && stamps < next;) stamps += more = path_.sender->read_stamps();
  }

  const Ledger& ledger() const { return ledger_; }

  int64_t began = 0;
  uint32_t stamps = 0;
  uint64_t looked_at = 0;

 private:
  bool something_comes() const {
    pollfd wait{path_.receiver->fd(), POLLIN, 0};
    return poll(&wait, 1, kPatience) > 0;
  }

  EchoOptions options_;
  unsigned number_;
  uint32_t targets_;
  Ledger ledger_;
  Path path_;
};

Round summary(const std::vector<std::unique_ptr<Shard>>& shards) {
  Round round;
  int64_t began = INT64_MAX, ended = 0;
  std::vector<int64_t> round_trips;
  for (const auto& shard : shards) {
    began = std::min(began, shard->began);
    ended = std::max(ended, shard->ledger().last_arrival());
    round.answers += shard->ledger().answers();
    round.duplicates += shard->ledger().duplicates();
    round.tx_stamps += shard->stamps;
    round.looked_at += shard->looked_at;
    for (const auto rtt : shard->ledger().round_trips())
      if (rtt < 0)
        ++round.unstamped;
      else
        round_trips.push_back(rtt);
  }
  round.seconds = 1e-9 * double(ended - began);
  if (!round_trips.empty()) {
    const auto middle = round_trips.begin() + static_cast<long>(round_trips.size() / 2);
    std::nth_element(round_trips.begin(), middle, round_trips.end());
    round.rtt_p50 = *middle;
  }
  return round;
}

}  // namespace

void pin_to(int core) {
  if (core < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(core), &set);
  errno = pthread_setaffinity_np(pthread_self(), sizeof set, &set);
  must(errno == 0, "pinning to a core");
}

std::vector<Round> echo(const EchoOptions& options) {
  std::vector<std::unique_ptr<Shard>> shards;
  for (unsigned n = 0; n < options.threads; ++n) shards.push_back(std::make_unique<Shard>(options, n));
  std::barrier gate(static_cast<long>(options.threads) + 1);
  std::vector<std::thread> threads;
  for (auto& shard : shards)
    threads.emplace_back([&shard, &gate, rounds = options.rounds] {
      shard->open();
      for (unsigned i = 0; i <= rounds; ++i) {
        gate.arrive_and_wait();
        shard->sweep();
        gate.arrive_and_wait();
      }
    });
  std::vector<Round> out;
  for (unsigned i = 0; i <= options.rounds; ++i) {
    const double process = process_cpu(), machine = machine_cpu();
    gate.arrive_and_wait();
    gate.arrive_and_wait();
    const double process_used = process_cpu() - process, machine_used = machine_cpu() - machine;
    if (i == 0)
      continue;  // the kernel begins to stamp after the first who asks, and memory is touched for the first
                 // time
    out.push_back(summary(shards));
    out.back().process_cpu = process_used;
    out.back().machine_cpu = machine_used;
  }
  for (auto& thread : threads) thread.join();
  return out;
}

Route find_route(const std::string& interface, const std::string& next_hop, const std::string& first_target) {
  Route route;
  route.interface = interface;
  must(inet_pton(AF_INET, first_target.c_str(), &route.first_target) == 1, "the first target's address");
  route.ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
  must(route.ifindex != 0, "the interface");
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq ask{};
  interface.copy(ask.ifr_name, IFNAMSIZ - 1);
  must(ioctl(fd, SIOCGIFHWADDR, &ask) == 0, "the interface's MAC address");
  std::memcpy(route.source_mac, ask.ifr_hwaddr.sa_data, 6);
  must(ioctl(fd, SIOCGIFADDR, &ask) == 0, "the interface's address");
  sockaddr_in own{};
  std::memcpy(&own, &ask.ifr_addr, sizeof own);
  route.source = own.sin_addr;
  close(fd);
  must(inet_pton(AF_INET, next_hop.c_str(), &route.next_hop) == 1, "the next hop's address");
  std::ifstream table("/proc/net/arp");
  for (std::string line; std::getline(table, line);) {
    char address[64], mac[64];
    if (std::sscanf(line.c_str(), "%63s %*s %*s %63s", address, mac) != 2 || next_hop != address) continue;
    uint8_t* m = route.next_hop_mac;
    must(std::sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", m, m + 1, m + 2, m + 3, m + 4, m + 5) == 6,
         "the next hop's MAC");
    return route;
  }
  errno = ENOENT;
  must(false, "the next hop's MAC address: ping it first");
  return route;
}

}  // namespace todd::floor
