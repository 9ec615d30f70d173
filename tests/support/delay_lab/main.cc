// delay-lab: answers echoes for addresses that nobody has, as late and as badly as its rules say, and logs
// the truth.
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <queue>
#include <sstream>

#include "engine/base/clock.h"
#include "tests/support/delay_lab/behaviour.h"
#include "tests/support/delay_lab/journal.h"
#include "tests/support/delay_lab/packet.h"
#include "tests/support/delay_lab/rules.h"
#include "tests/support/delay_lab/wire.h"

namespace todd::delay_lab {
namespace {

constexpr int64_t kSpinNs = 50'000;       // waking up is that late at worst on an idle host
constexpr int64_t kIdleNs = 100'000'000;  // after which the journal is flushed
constexpr int kBatch = 64;                // frames taken in before looking at what is due

volatile std::sig_atomic_t g_ended = 0;  // of the signal handler, which has no other way

struct Options {
  std::string interface, rules, journal;
};

// What is to leave at `due_ns` of the monotonic clock, which no step of the wall clock moves.
struct Held {
  int64_t due_ns = 0;
  uint64_t order = 0;  // ties leave as they came
  Bytes frame;
  Entry entry;
};
struct Later {
  bool operator()(const Held& a, const Held& b) const {
    return a.due_ns != b.due_ns ? a.due_ns > b.due_ns : a.order > b.order;
  }
};

// An interrupt between the two readings would move what is due by as much: of five pairs the one read most
// quickly.
int64_t monotonic_minus_wall() {
  int64_t offset = 0, quickest = INT64_MAX;
  for (int i = 0; i < 5 && quickest > 200; ++i) {
    const int64_t before = monotonic_ns(), wall = wall_ns(), took = monotonic_ns() - before;
    if (took >= quickest) continue;
    quickest = took;
    offset = before + took / 2 - wall;
  }
  return offset;
}

Bytes frame_of(const Request& request, const Action& action, const Mac& mac) {
  if (action.event == Event::icmp)
    return build_icmp_error(
        request, mac,
        {action.icmp->address.value_or(request.to), action.icmp->type, action.icmp->code, action.icmp->mtu});
  Reply reply;
  reply.from = action.from != nullptr ? *action.from->address : request.to;
  if (action.truncate != nullptr) reply.keep = static_cast<size_t>(*action.truncate->position);
  if (action.corrupt != nullptr)
    reply.corrupt = static_cast<size_t>(action.corrupt->position.value_or(INT64_MAX));
  return build_reply(request, mac, reply);
}

class Lab {
 public:
  Lab(Wire wire, Behaviour& behaviour, Journal journal)
      : wire_(std::move(wire)), behaviour_(behaviour), journal_(std::move(journal)) {}

  // Until a signal. What is held then is not sent.
  void run(const sigset_t& while_waiting) {
    while (g_ended == 0) {
      for (int i = 0; i < kBatch; ++i) {
        const auto arrived = wire_.receive();
        if (!arrived) break;
        take(*arrived);
      }
      send_due();
      wait(while_waiting);
    }
    journal_.flush();
    std::printf("%llu requests, %llu frames missed, %llu not sent\n",
                static_cast<unsigned long long>(requests_), static_cast<unsigned long long>(wire_.missed()),
                static_cast<unsigned long long>(unsent_));
  }

 private:
  void take(const Wire::Arrived& arrived) {
    if (const auto asked = parse_who_has(arrived.frame)) {
      if (behaviour_.owns(asked->target)) (void)send(build_is_at(*asked, wire_.mac()));
      return;
    }
    const auto request = parse_request(arrived.frame);
    if (!request || !behaviour_.owns(request->to)) return;
    ++requests_;
    const int64_t to_monotonic = monotonic_minus_wall();
    for (const auto& action : behaviour_.decide(request->to, arrived.wall_ns + to_monotonic)) {
      Entry entry{requests_,
                  action.event,
                  request->protocol,
                  request->from,
                  request->to,
                  request->ident,
                  request->sequence,
                  request->packet.size() - request->payload,
                  arrived.wall_ns,
                  action.due_ns - to_monotonic,
                  0};
      if (action.event == Event::dropped || action.event == Event::frozen)
        journal_.write(entry);
      else
        held_.push({action.due_ns, ++order_, frame_of(*request, action, wire_.mac()), entry});
    }
  }

  int64_t send(const Bytes& frame) {
    const auto sent = wire_.send(frame);
    if (sent) return *sent;
    if (unsent_++ == 0) std::fprintf(stderr, "delay-lab: %s\n", sent.error().detail.c_str());
    return 0;
  }

  // Sends what is due within kSpinNs, each exactly when it is.
  void send_due() {
    while (!held_.empty() && held_.top().due_ns - monotonic_ns() < kSpinNs) {
      while (monotonic_ns() < held_.top().due_ns) {
      }
      Entry entry = held_.top().entry;
      entry.tx_ns = send(held_.top().frame);
      held_.pop();
      journal_.write(entry);
    }
  }

  void wait(const sigset_t& while_waiting) {
    const int64_t due = held_.empty() ? INT64_MAX : held_.top().due_ns - kSpinNs - monotonic_ns();
    const int64_t ns = std::clamp<int64_t>(due, 0, kIdleNs);
    const timespec timeout{0, static_cast<long>(ns)};
    pollfd readable{wire_.fd(), POLLIN, 0};
    if (ppoll(&readable, 1, &timeout, &while_waiting) == 0 && ns == kIdleNs) journal_.flush();
  }

  Wire wire_;
  Behaviour& behaviour_;
  Journal journal_;
  std::priority_queue<Held, std::vector<Held>, Later> held_;
  uint64_t requests_ = 0, order_ = 0, unsent_ = 0;
};

// --interface NAME --journal FILE, and rules: --rules FILE, --rule TEXT, as often as one likes.
Result<Options> parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) return fail(Errc::invalid, name + " needs a value");
    const std::string value = argv[i + 1];
    if (name == "--interface")
      options.interface = value;
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
      "delay-lab: %s\nusage: delay-lab --interface NAME --journal FILE [--rules FILE] [--rule TEXT]...\n",
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
  auto wire = Wire::open(options->interface);
  if (!wire) return fail_with(wire.error());
  auto journal = Journal::create(options->journal);
  if (!journal) return fail_with(journal.error());
  be_punctual();
  Behaviour behaviour(std::move(*rules));
  Lab lab(std::move(*wire), behaviour, std::move(*journal));
  const auto while_waiting = handle_signals();
  std::printf("ready: %zu rules on %s\n", count, options->interface.c_str());
  std::fflush(stdout);
  lab.run(while_waiting);
  return 0;
}

}  // namespace
}  // namespace todd::delay_lab

int main(int argc, char** argv) { return todd::delay_lab::run(argc, argv); }
