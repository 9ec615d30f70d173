// delay-lab: answers echoes for addresses that nobody has, or relays packets between two interfaces, as late
// and as badly as its rules say, and logs the truth.
#include <sched.h>
#include <sys/prctl.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "tests/support/delay_lab/lab.h"
#include "tests/support/delay_lab/rules.h"

namespace todd::delay_lab {
namespace {

volatile std::sig_atomic_t g_ended = 0;  // of the signal handler, which has no other way

struct Options {
  std::string interface, far_interface, rules, journal;
};

// --interface NAME [--relay NAME] --journal FILE, and rules: --rules FILE, --rule TEXT, as often as one
// likes.
Result<Options> parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) return fail(Errc::invalid, name + " needs a value");
    const std::string value = argv[i + 1];
    if (name == "--interface")
      options.interface = value;
    else if (name == "--relay")
      options.far_interface = value;
    else if (name == "--journal")
      options.journal = value;
    else if (name == "--rule")
      options.rules += value + "\n";
    else if (name == "--rules") {
      std::ifstream file(value);
      if (!file) return fail_errno(errno, value);
      std::stringstream text;
      text << file.rdbuf();
      options.rules += text.str() + "\n";
    } else
      return fail(Errc::invalid, "there is no " + name);
  }
  if (options.interface.empty() || options.journal.empty())
    return fail(Errc::invalid, "--interface and --journal are needed");
  return options;
}

int fail_with(const Error& error) {
  std::fprintf(
      stderr,
      "delay-lab: %s\nusage: delay-lab --interface NAME [--relay NAME] --journal FILE [--rules FILE] "
      "[--rule TEXT]...\n",
      error.detail.c_str());
  return error.code == Errc::invalid ? 2 : 1;
}

// Blocks the signals that end the lab but while it waits; gives the mask for then. One sent in between is not
// missed.
sigset_t handle_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { g_ended = 1; };
  sigset_t ending, while_waiting;
  sigemptyset(&ending);
  for (const int signo : {SIGINT, SIGTERM}) {
    sigaction(signo, &action, nullptr);
    sigaddset(&ending, signo);
  }
  sigprocmask(SIG_BLOCK, &ending, &while_waiting);
  return while_waiting;
}

// Where the priority is refused the lab is as late as the host is busy, and its journal says how late.
void be_punctual() {
  prctl(PR_SET_TIMERSLACK, 1);  // the default of 50 us would use up what is spun
  const sched_param least{.sched_priority = 1};
  (void)sched_setscheduler(0, SCHED_RR, &least);
}

int run(int argc, char** argv) {
  const auto options = parse_options(argc, argv);
  if (!options) return fail_with(options.error());
  auto rules = parse_rules(options->rules);
  if (!rules) return fail_with(rules.error());
  const auto count = rules->size();
  const bool relays = !options->far_interface.empty();
  if (const auto good = check_rules(*rules, relays); !good) return fail_with(good.error());
  std::vector<Wire> wires;
  for (const auto& name : {options->interface, options->far_interface}) {
    if (name.empty()) continue;
    auto wire = Wire::open(name, relays ? Wire::Use::relays : Wire::Use::reflects);
    if (!wire) return fail_with(wire.error());
    wires.push_back(std::move(*wire));
  }
  auto journal = Journal::create(options->journal);
  if (!journal) return fail_with(journal.error());
  be_punctual();
  Behaviour behaviour(std::move(*rules));
  Lab lab(std::move(wires), behaviour, std::move(*journal));
  const auto while_waiting = handle_signals();
  std::printf("ready: %zu rules on %s %s\n", count, options->interface.c_str(),
              options->far_interface.c_str());
  std::fflush(stdout);
  lab.run(g_ended, while_waiting);
  return 0;
}

}  // namespace
}  // namespace todd::delay_lab

int main(int argc, char** argv) { return todd::delay_lab::run(argc, argv); }
