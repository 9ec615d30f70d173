// What this machine can do at most, each way of talking to its kernel by itself: the denominators of ToDD's
// own figures. Prints JSON.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "bench/floor/costs.h"
#include "bench/floor/echo.h"

namespace {

using todd::floor::EchoOptions;
using todd::floor::Round;

[[noreturn]] void usage(const char* wrong) {
  std::fprintf(
      stderr,
      "floor: %s\n"
      "floor costs|timers [--core N, -1 = unpinned]\n"
      "floor echo --interface I --next-hop A --first A [--targets N] [--path SENDER[+RECEIVER]] [--batch N]\n"
      "           [--window N] [--threads N] [--rounds N] [--core N, -1 = unpinned] [--tx-stamps] "
      "[--filter]\n"
      "SENDER: raw ping uring packet ring; RECEIVER, of packet, ring and raw: raw ring\n",
      wrong);
  std::exit(2);
}

template <typename T>
T number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) usage("not a number");
  return value;
}

void choose_path(EchoOptions& options, std::string_view path) {
  const auto plus = path.find('+');
  options.sender = path.substr(0, plus);
  options.receiver = plus == std::string_view::npos ? "" : path.substr(plus + 1);
  const auto one_of = [](std::string_view word, auto... words) { return ((word == words) || ...); };
  if (!one_of(options.sender, "raw", "ping", "uring", "packet", "ring")) usage("no such sender");
  const bool whole = one_of(options.sender, "ping", "uring");  // receive by what they send with
  if (whole ? !options.receiver.empty() : !one_of(options.receiver, "", "raw", "ring"))
    usage("no such receiver");
}

// Of `costs` and `timers`.
int read_core(int argc, char** argv) {
  if (argc == 2) return 0;
  if (argc != 4 || std::string_view(argv[2]) != "--core") usage("only --core N goes with this");
  return number<int>(argv[3]);
}

EchoOptions read_options(int argc, char** argv) {
  EchoOptions options;
  std::string interface, next_hop, first;
  for (int i = 2; i < argc; ++i) {
    const std::string_view name = argv[i];
    const auto value = [&]() -> std::string_view {
      if (i + 1 >= argc) usage("an option without its value");
      return argv[++i];
    };
    if (name == "--interface")
      interface = value();
    else if (name == "--next-hop")
      next_hop = value();
    else if (name == "--first")
      first = value();
    else if (name == "--targets")
      options.targets = number<uint32_t>(value());
    else if (name == "--path")
      choose_path(options, value());
    else if (name == "--batch")
      options.batch = number<unsigned>(value());
    else if (name == "--window")
      options.window = number<unsigned>(value());
    else if (name == "--threads")
      options.threads = number<unsigned>(value());
    else if (name == "--rounds")
      options.rounds = number<unsigned>(value());
    else if (name == "--core")
      options.core = number<int>(value());
    else if (name == "--tx-stamps")
      options.tx_stamps = true;
    else if (name == "--filter")
      options.filter = true;
    else
      usage(argv[i]);
  }
  if (options.batch == 0 || options.batch > 1024 || options.window == 0 || options.threads == 0 ||
      options.rounds == 0 || options.targets < options.threads)
    usage("a number is out of range (--batch: 1 to 1024)");
  options.targets -= options.targets % options.threads;
  if (interface.empty() || next_hop.empty() || first.empty())
    usage("echo needs --interface, --next-hop and --first");
  options.route = todd::floor::find_route(interface, next_hop, first);
  return options;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void print_echo(const EchoOptions& o) {
  const auto rounds = todd::floor::echo(o);
  std::vector<double> rate, process, machine;
  bool lossless = true;
  for (const auto& r : rounds) {
    rate.push_back(r.answers / r.seconds);
    process.push_back(1e6 * r.process_cpu / r.answers);
    machine.push_back(1e6 * r.machine_cpu / r.answers);
    lossless = lossless && r.answers == o.targets;
  }
  std::printf(
      "{\"path\": \"%s%s%s\", \"batch\": %u, \"window\": %u, \"threads\": %u, \"tx_stamps\": %s, \"filter\": "
      "%s, \"targets\": %u,\n",
      o.sender.c_str(), o.receiver.empty() ? "" : "+", o.receiver.c_str(), o.batch, o.window, o.threads,
      o.tx_stamps ? "true" : "false", o.filter ? "true" : "false", o.targets);
  std::printf(
      " \"lossless\": %s, \"answers_per_second\": %.0f, \"best\": %.0f, \"worst\": %.0f, \"process_us\": "
      "%.3f, \"machine_us\": %.3f,\n \"rounds\": [",
      lossless ? "true" : "false", median(rate), *std::max_element(rate.begin(), rate.end()),
      *std::min_element(rate.begin(), rate.end()), median(process), median(machine));
  const char* between = "";
  for (const auto& r : rounds) {
    std::printf(
        "%s\n  {\"seconds\": %.6f, \"answers\": %u, \"duplicates\": %u, \"unstamped\": %u, \"tx_stamps\": "
        "%u, \"looked_at\": %llu, \"rtt_p50_us\": %.2f}",
        between, r.seconds, r.answers, r.duplicates, r.unstamped, r.tx_stamps,
        static_cast<unsigned long long>(r.looked_at), 1e-3 * double(r.rtt_p50));
    between = ",";
  }
  std::printf("]}\n");
}

void print_costs() {
  std::printf("{");
  const char* between = "";
  for (const auto& c : todd::floor::costs()) {
    std::printf("%s\"%s\": %.2f", between, c.name.c_str(), c.nanoseconds);
    between = ",\n ";
  }
  std::printf("}\n");
}

void print_timers() {
  std::printf("[");
  const char* between = "";
  for (const auto& l : todd::floor::lateness()) {
    std::printf(
        "%s{\"timer\": \"%s\", \"interval_us\": %d, \"slack_ns\": %d, \"p50_us\": %.2f, \"p99_us\": %.2f, "
        "\"worst_us\": %.2f}",
        between, l.timer.c_str(), l.interval_us, l.slack_ns, l.p50_us, l.p99_us, l.worst_us);
    between = ",\n ";
  }
  std::printf("]\n");
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "echo") {
    print_echo(read_options(argc, argv));
    return 0;
  }
  if (what != "costs" && what != "timers") usage("echo, costs or timers?");
  todd::floor::pin_to(read_core(argc, argv));
  what == "costs" ? print_costs() : print_timers();
}
