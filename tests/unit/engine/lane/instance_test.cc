#include "engine/lane/instance.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "engine/io/sockets.h"

namespace todd::lane {
namespace {

constexpr int64_t kMs = 1'000'000, kS = 1'000 * kMs;
using Step = std::function<todd_status(todd_batch&)>;

// One instance of a testlet with tickets alone, whose step() is the test's, on a reactor of its own. It has
// one flow of streams, number 0.
struct Bench {
  Step step;
  todd_testlet testlet{};
  TaskSetup setup;
  std::vector<uint8_t> memory;
  std::unique_ptr<io::Reactor> reactor;
  InstanceEvents events;
  todd_host host{};
  bool ended = false;
  uint64_t planned = 0, unsent = 0;  // of target 0 in all periods
  int64_t from_wall_ns = 0;          // the first of them
  int64_t started_wall_ns = 0;
  uint32_t refuses = TODD_NONE;  // a target
  bool ready_at_once = true;     // in start()
  const todd_net* calls = nullptr;
  const todd_lane* on = nullptr;    // where they are to be called
  InstanceEvents::Refused refused;  // as the worker hears it
  std::unique_ptr<Instance> instance;

  explicit Bench(Step what) : step(std::move(what)) {
    testlet.size = sizeof testlet;
    testlet.start = [](void* self, const todd_lane* lane, todd_error*) -> todd_status {
      const auto* net = static_cast<const todd_net*>(lane->host->query(lane->host, TODD_NET_1));
      static_cast<Bench*>(self)->calls = net;
      static_cast<Bench*>(self)->on = lane;
      todd_flow flow{};
      flow.size = sizeof flow;
      flow.proto = TODD_TCP;
      flow.slot_cap = 1 << 20;
      uint32_t id = TODD_NONE;
      const uint32_t target = static_cast<Bench*>(self)->refuses;
      if (target != TODD_NONE) net->refuse(lane, target, "not that one", 12);
      if (static_cast<Bench*>(self)->ready_at_once) net->ready(lane);
      return net->open(lane, &flow, &id, nullptr);
    };
    testlet.step = [](void* self, todd_batch* b) { return static_cast<Bench*>(self)->step(*b); };
    setup.testlet = &testlet;
    setup.instance = this;
    setup.manifest.schedule.tickets = true;
    const auto counted = manifest::host_metrics(setup.manifest);
    setup.manifest.metrics.assign(counted.begin(), counted.end());
    setup.run.size = sizeof setup.run;
    setup.run.role = TODD_SOURCE;
    setup.targets.resize(1);
    setup.specs = std::make_shared<std::vector<schedule::TargetSpec>>(1);
    events = {[](const std::string&, uint16_t) {},
              [](const std::string&, const std::string&, const std::string&) {},
              [this](const std::string&, const Closed& closed) { read(closed); },
              [](const std::string&, uint64_t, const std::string&) {}};
    events.refused = [this](const std::string&, const InstanceEvents::Refused& told) { refused = told; };
    host.query = query_interface;
  }

  // Runs it from its start until it has ended.
  void run(schedule::Plan plan) {
    setup.plan = plan;
    setup.plan.targets = static_cast<uint32_t>(setup.targets.size());
    for (uint32_t i = 0; i < setup.targets.size(); ++i) setup.targets[i].edge = i;
    std::vector<stats::Kind> kinds;
    for (const auto& metric : setup.manifest.metrics) kinds.push_back(metric.kind);
    setup.layout = std::make_unique<stats::CellLayout>(kinds, setup.plan.targets, 0u);
    memory.assign(setup.layout->bytes(), 0);
    setup.cells = memory.data();
    auto made = io::make_reactor({io::Backend::event});
    ASSERT_TRUE(made) << made.error().detail;
    reactor = std::move(*made);
    instance = std::make_unique<Instance>(setup, *reactor, events, host);
    instance->begin();
    instance->start_at(started_wall_ns = wall_ns());
    const int64_t until = monotonic_ns() + 20 * kS;
    while (!ended && monotonic_ns() < until) {
      instance->work(monotonic_ns());
      if (!ended) reactor->turn(std::min(instance->next_wake(), until));
    }
    EXPECT_TRUE(ended);
  }
  uint64_t counter(HostMetric metric, uint32_t edge = 0) const {
    for (const auto& [index, value] : stats::CellReader(*setup.layout, memory.data()).bank_row(0, edge)) {
      if (index == metric) return value.counter;
    }
    return 0;
  }
  // As the supervisor does.
  void read(const Closed& closed) {
    if (from_wall_ns == 0) from_wall_ns = closed.from_wall_ns;
    for (const auto& [index, value] :
         stats::CellReader(*setup.layout, memory.data()).bank_row(closed.bank, 0)) {
      if (index == kPlanned) planned += value.counter;
      if (index == kUnsent) unsent += value.counter;
    }
    ended |= closed.last;
    if (!closed.last) instance->period_copied();
  }
  // Different ones, "outcome: text".
  std::set<std::string> notes() const {
    std::set<std::string> all;
    for (const auto& note : stats::CellReader(*setup.layout, memory.data()).notes(0, true))
      all.insert(std::string(note.outcome) + ": " + note.text);
    return all;
  }
};

// The digests of a testlet that is running, in hex.
struct Digesting {
  const todd_digest& table;
  const todd_lane* lane;

  uint32_t open(const std::string* key) const {
    uint32_t id = TODD_NONE;
    EXPECT_EQ(table.open(lane, key != nullptr ? key->data() : nullptr, key != nullptr ? key->size() : 0, &id),
              0);
    return id;
  }
  // In two pieces.
  std::string of(uint32_t id, const std::string& text) const {
    table.add(lane, id, text.data(), text.size() / 3);
    table.add(lane, id, text.data() + text.size() / 3, text.size() - text.size() / 3);
    return end(id);
  }
  std::string end(uint32_t id) const {
    uint8_t out[TODD_DIGEST_BYTES] = {};
    table.end(lane, id, out);
    std::string hex;
    for (const uint8_t byte : out) hex += {"0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]};
    return hex;
  }
};

// RFC 4231 section 4, and FIPS 180 for what has no key.
TEST(InstanceTest, TheDigestsAreThoseOfTheStandards) {
  const std::string ascending = "\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20\21\22\23\24\25\26\27\30\31";
  const struct {
    std::string key, text, value;
  } cases[] = {
      {std::string(20, '\x0b'), "Hi There",
       "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
      {"Jefe", "what do ya want for nothing?",
       "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
      {std::string(20, '\xaa'), std::string(50, '\xdd'),
       "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
      {ascending, std::string(50, '\xcd'),
       "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
      {std::string(20, '\x0c'), "Test With Truncation", "a3b6167473100ee06e0c796c2955552b"},
      {std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First",
       "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
      {std::string(131, '\xaa'),
       "This is a test using a larger than block-size key and a larger than block-size data. The key needs "
       "to be hashed before being used by the HMAC algorithm.",
       "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
  };
  Bench* self = nullptr;
  Bench bench([&](todd_batch&) -> todd_status {
    const todd_lane* lane = self->on;
    const auto* table = static_cast<const todd_digest*>(lane->host->query(lane->host, TODD_DIGEST_1));
    const Digesting digests{*table, lane};
    for (const auto& one : cases) {
      const uint32_t id = digests.open(&one.key);
      for (int again = 0; again < 3; ++again)
        EXPECT_EQ(digests.of(id, one.text).substr(0, one.value.size()), one.value) << one.text;
      table->close(lane, id);
    }
    const uint32_t plain = digests.open(nullptr), empty = digests.open(&cases[1].key);
    EXPECT_EQ(digests.of(plain, "abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(digests.end(plain), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(digests.of(empty, cases[1].text), cases[1].value) << "the two are not mixed up";
    EXPECT_EQ(table->same("ab", "ab", 2), 1);
    EXPECT_EQ(table->same("ab", "ac", 2), 0);
    EXPECT_EQ(table->same("", "", 0), 1);
    return 1;
  });
  self = &bench;
  bench.run({.count = 1, .interval_ns = kMs});
}

TEST(InstanceTest, DigestsAreBoundedAndThoseThatAreClosedAreNone) {
  Bench* self = nullptr;
  Bench bench([&](todd_batch&) -> todd_status {
    const todd_lane* lane = self->on;
    const auto* table = static_cast<const todd_digest*>(lane->host->query(lane->host, TODD_DIGEST_1));
    uint32_t id = TODD_NONE;
    std::set<uint32_t> ids;
    for (size_t i = 0; i < Digests::kMost; ++i) {
      if (table->open(lane, nullptr, 0, &id) == 0) ids.insert(id);
    }
    EXPECT_EQ(ids.size(), Digests::kMost);
    EXPECT_EQ(table->open(lane, nullptr, 0, &id), -ENOBUFS);
    table->close(lane, 7);
    table->close(lane, 7);
    table->add(lane, 7, "x", 1);
    table->add(lane, TODD_NONE, "x", 1);
    uint8_t out[TODD_DIGEST_BYTES] = {};
    table->end(lane, 7, out);
    EXPECT_EQ(out[0], 0);
    EXPECT_EQ(table->open(lane, nullptr, 0, &id), 0);
    EXPECT_EQ(id, 7u);
    EXPECT_EQ(table->open(lane, nullptr, 0, &id), -ENOBUFS) << "closed once only";
    return 1;
  });
  self = &bench;
  bench.run({.count = 1, .interval_ns = kMs});
}

// One ticket is served per ms, and not in every call: the others are offered again, and none is lost.
TEST(InstanceTest, AsFastAsServedKeepsWhatWasNotServed) {
  std::vector<uint32_t> rounds;
  uint64_t calls = 0;
  Bench bench([&](todd_batch& b) -> todd_status {
    ++calls;
    if (b.state != TODD_RUNNING) return 1;
    if (b.n_ticket != 0 && calls % 2 == 0) {
      rounds.push_back(b.ticket[0].round);
      b.served = 1;
    }
    b.wake_ns = b.now_ns + kMs / 2;
    return 0;
  });
  bench.run({.count = 100, .rate = HUGE_VAL});
  ASSERT_EQ(rounds.size(), 100u);
  for (uint32_t i = 0; i < 100; ++i) EXPECT_EQ(rounds[i], i);
  EXPECT_EQ(bench.counter(kPlanned), 100u);
  EXPECT_EQ(bench.counter(kUnsent), 0u);
  EXPECT_LT(calls, 1000u) << "tickets that wait are no reason to call";
}

// It may have something to fetch before its first ticket.
TEST(InstanceTest, ASourceIsSteppedUntilItIsReady) {
  Bench* self = nullptr;
  int prepared = 0, tickets = 0;
  Bench bench([&](todd_batch& b) -> todd_status {
    tickets += static_cast<int>(b.n_ticket);
    if (b.state != TODD_PREPARED) return b.state == TODD_DRAINING ? 1 : 0;
    EXPECT_EQ(tickets, 0);
    if (++prepared == 3) self->calls->ready(self->on);
    b.wake_ns = b.now_ns + kMs;
    return 0;
  });
  self = &bench;
  bench.ready_at_once = false;
  bench.run({.targets = 1, .count = 3, .interval_ns = kMs});
  EXPECT_EQ(prepared, 3);
  EXPECT_EQ(tickets, 3);
}

TEST(InstanceTest, TheDurationEndsWhatIsNotServed) {
  uint64_t calls = 0;
  Bench bench([&](todd_batch& b) -> todd_status {
    ++calls;
    if (b.n_ticket > 3) b.served = b.n_ticket - 3;
    return b.state == TODD_RUNNING ? 0 : 1;
  });
  const int64_t start = monotonic_ns();
  bench.run({.rate = HUGE_VAL, .duration_ns = 50 * kMs});
  EXPECT_LT(monotonic_ns() - start, 900 * kMs) << "told at once that the schedule is over";
  EXPECT_EQ(bench.counter(kUnsent), 0u);
  EXPECT_LT(calls, 10u);
}

// What is due first leaves no trace in the counts, served or not, and rounds begin again.
TEST(InstanceTest, NothingOfTheWarmUpCounts) {
  std::vector<std::pair<uint32_t, uint32_t>> tickets;  // state, round
  int64_t warmed_from = 0, counted_from = 0;
  Bench bench([&](todd_batch& b) -> todd_status {
    if (b.state == TODD_WARMING_UP) warmed_from = b.start_ns;
    if (b.state == TODD_RUNNING) counted_from = b.start_ns;
    for (uint32_t i = 0; i < b.n_ticket; ++i) tickets.emplace_back(b.state, b.ticket[i].round);
    b.served = b.state == TODD_RUNNING ? b.n_ticket : b.n_ticket / 2;
    return b.state == TODD_RUNNING || b.state == TODD_WARMING_UP ? 0 : 1;
  });
  bench.setup.warm_up_ns = 500 * kMs;
  bench.setup.timeout_ns = 10 * kMs;
  bench.setup.period_ns = 70 * kMs;
  bench.run({.count = 5, .interval_ns = 50 * kMs});
  ASSERT_EQ(tickets.size(), 15u);
  for (uint32_t i = 0; i < 15; ++i) {
    EXPECT_EQ(tickets[i].first, static_cast<uint32_t>(i < 10 ? TODD_WARMING_UP : TODD_RUNNING));
    EXPECT_EQ(tickets[i].second, i % 10);
  }
  const int64_t before = bench.setup.warm_up_ns + bench.setup.timeout_ns + manifest::kWarmUpSettleNs;
  EXPECT_EQ(counted_from - warmed_from, before);
  EXPECT_EQ(bench.planned, 5u);
  EXPECT_EQ(bench.unsent, 0u);
  // The wall clock is read anew meanwhile, to the nanosecond.
  EXPECT_GE(bench.from_wall_ns - bench.started_wall_ns, before - kMs) << "the first period is of what counts";
}

TEST(InstanceTest, AWarmUpThatIsStoppedCountsNothing) {
  Bench bench([&](todd_batch& b) -> todd_status {
    b.served = b.n_ticket;
    if (b.state == TODD_WARMING_UP && b.n_ticket != 0) bench.instance->stop(false);
    return b.state == TODD_WARMING_UP ? 0 : 1;
  });
  bench.setup.warm_up_ns = 10 * kS;
  bench.run({.rate = HUGE_VAL, .duration_ns = kS});
  EXPECT_EQ(bench.counter(kPlanned), 0u);
  EXPECT_TRUE(bench.notes().empty());
}

// The others keep their numbers, and nothing is planned for it.
TEST(InstanceTest, ATargetThatTheTestletRefusesGetsNoTickets) {
  std::vector<uint32_t> served;
  Bench bench([&](todd_batch& b) -> todd_status {
    for (; b.served < b.n_ticket; ++b.served) served.push_back(b.ticket[b.served].target);
    return b.state == TODD_RUNNING ? 0 : 1;
  });
  bench.setup.targets.resize(3);
  bench.refuses = 1;
  bench.run({.count = 2, .interval_ns = kMs});
  EXPECT_EQ(bench.refused, (InstanceEvents::Refused{{1, "not that one"}}));
  std::sort(served.begin(), served.end());
  EXPECT_EQ(served, (std::vector<uint32_t>{0, 0, 2, 2}));
  EXPECT_EQ(bench.counter(kPlanned, 0), 2u);
  EXPECT_EQ(bench.counter(kPlanned, 1), 0u);
  EXPECT_EQ(bench.counter(kPlanned, 2), 2u);
}

TEST(InstanceTest, WhoRefusesAllHasNothingToDo) {
  Bench bench([](todd_batch& b) -> todd_status { return b.state == TODD_RUNNING ? 0 : 1; });
  bench.refuses = 0;
  bench.run({.count = 2, .interval_ns = kMs});
  EXPECT_EQ(bench.refused.size(), 1u);
  EXPECT_EQ(bench.counter(kPlanned), 0u);
}

// What it finishes before it serves a batch is over within it.
TEST(InstanceTest, AFinishedTargetGetsNoMoreTicketsAndNoneOfThemCounts) {
  std::map<uint32_t, uint32_t> offered;
  Bench bench([&](todd_batch& b) -> todd_status {
    for (; b.served < b.n_ticket; ++b.served) {
      const uint32_t target = b.ticket[b.served].target;
      if (++offered[target] == 3 && target != 1) bench.calls->finish(bench.on, target);
    }
    bench.calls->finish(bench.on, 3);  // there is none, and a second time changes nothing
    if (offered[0] >= 3) bench.calls->finish(bench.on, 0);
    return b.state == TODD_RUNNING ? 0 : 1;
  });
  bench.setup.targets.resize(3);
  bench.run({.count = 5, .interval_ns = 40 * kMs});  // a batch has one round, though this host stalls
  EXPECT_EQ(offered, (std::map<uint32_t, uint32_t>{{0, 3}, {1, 5}, {2, 3}}));
  EXPECT_EQ(bench.counter(kPlanned, 0), 2u) << "the one it was finished with was passed over";
  EXPECT_EQ(bench.counter(kPlanned, 1), 5u);
  EXPECT_EQ(bench.counter(kPlanned, 2), 2u);
  for (uint32_t i = 0; i < 3; ++i) EXPECT_EQ(bench.counter(kUnsent, i), 0u);
}

// A burst comes as one batch; what it leaves of it would otherwise be unsent, or be offered again.
TEST(InstanceTest, WhatIsLeftOfAFinishedTargetIsNeitherUnsentNorKept) {
  for (const schedule::Plan& plan :
       {schedule::Plan{.count = 8, .interval_ns = 10 * kMs, .burst = 8}, {.count = 8, .rate = HUGE_VAL}}) {
    uint32_t tickets = 0;
    Bench bench([&](todd_batch& b) -> todd_status {
      tickets += b.n_ticket;
      if (b.n_ticket != 0) bench.calls->finish(bench.on, 0);
      return b.state == TODD_RUNNING ? 0 : 1;
    });
    bench.run(plan);
    EXPECT_EQ(tickets, 8u);
    EXPECT_EQ(bench.counter(kPlanned), 0u);
    EXPECT_EQ(bench.counter(kUnsent), 0u);
  }
}

// A year of tickets is left, and each of the schedule's ways to skip them.
TEST(InstanceTest, TheScheduleIsOverWhenEveryTargetIsFinished) {
  constexpr int64_t kYear = 31'536'000 * kS;
  for (const schedule::Plan& plan :
       {schedule::Plan{.rate = HUGE_VAL, .duration_ns = kYear},
        {.count = UINT32_MAX, .rate = HUGE_VAL},
        {.interval_ns = 50 * kMs, .duration_ns = kYear},
        {.interval_ns = 50 * kMs, .duration_ns = kYear, .shape = schedule::Shape::poisson},
        {.interval_ns = 50 * kMs, .duration_ns = kYear, .burst = 3}}) {
    std::vector<uint32_t> states;
    Bench bench([&](todd_batch& b) -> todd_status {
      if (states.empty() || states.back() != b.state) states.push_back(b.state);
      // Each is finished by its first ticket, which is not served.
      for (uint32_t i = 0; i < b.n_ticket; ++i) bench.calls->finish(bench.on, b.ticket[i].target);
      return b.state == TODD_RUNNING ? 0 : 1;
    });
    bench.setup.targets.resize(1000);
    bench.refuses = 17;
    bench.run(plan);
    EXPECT_EQ(states, (std::vector<uint32_t>{TODD_RUNNING, TODD_DRAINING}));
    uint64_t planned = 0;
    for (uint32_t i = 0; i < 1000; ++i) planned += bench.counter(kPlanned, i);
    EXPECT_EQ(planned, 0u);
  }
}

// It is over neither with the warm-up's last target nor for what counts.
TEST(InstanceTest, WhatWasFinishedInTheWarmUpIsForgotten) {
  std::map<uint32_t, uint32_t> served;  // by state
  Bench bench([&](todd_batch& b) -> todd_status {
    served[b.state] += b.n_ticket;
    b.served = b.n_ticket;
    if (b.state == TODD_WARMING_UP && b.n_ticket != 0) {
      --b.served;
      bench.calls->finish(bench.on, 0);
    }
    return b.state == TODD_RUNNING || b.state == TODD_WARMING_UP ? 0 : 1;
  });
  bench.setup.warm_up_ns = 100 * kMs;
  bench.setup.timeout_ns = 10 * kMs;
  bench.run({.count = 5, .interval_ns = 10 * kMs});
  EXPECT_EQ(served[TODD_WARMING_UP], 1u);
  EXPECT_EQ(served[TODD_RUNNING], 5u);
  EXPECT_EQ(bench.counter(kPlanned), 5u);
}

// Those that the schedule gives up while the lane is busy are none of a finished target either.
TEST(InstanceTest, WhatTheScheduleSkipsOfAFinishedTargetDoesNotCount) {
  Bench bench([&](todd_batch& b) -> todd_status {
    bool first = false;
    for (; b.served < b.n_ticket; ++b.served) first |= b.ticket[b.served].target == 0;
    if (first) {
      bench.calls->finish(bench.on, 0);
      for (const int64_t until = b.now_ns + 250 * kMs; monotonic_ns() < until;) {
      }
    }
    return b.state == TODD_RUNNING ? 0 : 1;
  });
  bench.setup.targets.resize(2);
  bench.run({.count = 400, .interval_ns = kMs});
  EXPECT_EQ(bench.counter(kPlanned, 0), 0u);
  EXPECT_EQ(bench.counter(kUnsent, 0), 0u);
  EXPECT_EQ(bench.counter(kPlanned, 1), 400u);
  EXPECT_GT(bench.counter(kUnsent, 1), 50u);
}

// The schedule gives up on what is due for more than 100 ms while the testlet keeps the lane busy.
TEST(InstanceTest, WhatTheScheduleSkipsIsCountedAsUnsent) {
  uint64_t served = 0;
  Bench bench([&](todd_batch& b) -> todd_status {
    for (const int64_t until = b.now_ns + 250 * kMs; served == 0 && monotonic_ns() < until;) {
    }
    served += b.n_ticket;
    b.served = b.n_ticket;
    return b.state == TODD_RUNNING ? 0 : 1;
  });
  bench.run({.count = 400, .interval_ns = kMs});
  EXPECT_EQ(bench.counter(kPlanned), 400u);
  EXPECT_EQ(bench.counter(kUnsent), 400 - served);
  EXPECT_GT(bench.counter(kUnsent), 50u);
  EXPECT_EQ(
      bench.notes(),
      (std::set<std::string>{"unsent: given up, as this host was busy with something else when it was due"}));
}

// A listening socket on loopback whose address is the target. Nobody accepts.
UniqueFd listen_for(Bench& bench) {
  auto address = *io::parse_address("127.0.0.1", 0);
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(bind(fd.get(), &address.sa, sizeof address.v4), 0);
  EXPECT_EQ(listen(fd.get(), 8), 0);
  bench.setup.targets[0].address = *io::local_address(fd.get());
  bench.setup.timeout_ns = 10 * kS;
  return fd;
}

// Code and result of each completion without bytes.
using Ends = std::multiset<std::pair<int, int>>;
void gather(const todd_batch& b, Ends& ends) {
  for (uint32_t i = 0; i < b.n_done; ++i) {
    if (b.done[i].result <= 0) ends.emplace(b.done[i].code, b.done[i].result);
  }
}

// An operation of flow 0 on a stream, or towards the target.
void put(todd_batch& b, uint16_t code, uint64_t stream, int64_t timeout_ns = 0) {
  todd_op op{};
  op.code = code;
  op.key = stream;
  op.slot = TODD_NONE;
  op.timeout_ns = timeout_ns;
  if (code == TODD_OP_SEND) {
    op.slot = b.slots[0]->free[b.slots[0]->taken++];
    op.len = b.slots[0]->cap;
  }
  b.op[b.n_op++] = op;
}

TEST(InstanceTest, CloseCompletesWhatIsPending) {
  Ends ends;
  bool begun = false;
  Bench bench([&](todd_batch& b) -> todd_status {
    gather(b, ends);
    if (!begun) put(b, TODD_OP_CONNECT, 0);
    begun = true;
    for (uint32_t i = 0; i < b.n_done; ++i) {
      if (b.done[i].code != TODD_OP_CONNECT) continue;
      put(b, TODD_OP_RECV, b.done[i].arg);
      // More than any socket takes while nobody reads.
      for (int n = 0; n < 32; ++n) put(b, TODD_OP_SEND, b.done[i].arg);
      put(b, TODD_OP_CLOSE, b.done[i].arg);
    }
    return ends.size() == 34 ? 1 : 0;
  });
  const UniqueFd peer = listen_for(bench);
  bench.run({});
  EXPECT_EQ(ends.count({TODD_OP_CONNECT, 0}), 1u);
  EXPECT_EQ(ends.count({TODD_OP_SEND, -ECANCELED}), 32u);
  EXPECT_EQ(ends.count({TODD_OP_RECV, -ECANCELED}), 1u);
}

// More than fit into a batch: all of them end in one last step.
TEST(InstanceTest, CancellationCompletesConnects) {
  Ends ends;
  uint32_t asked = 0, last_steps = 0;
  Bench bench([&](todd_batch& b) -> todd_status {
    gather(b, ends);
    last_steps += b.state == TODD_CANCELLED;
    if (b.state == TODD_CANCELLED) return 1;
    for (; asked < 400 && b.state == TODD_RUNNING; ++asked) put(b, TODD_OP_CONNECT, 0);
    if (asked == 400) bench.instance->stop(true);
    return 0;
  });
  const UniqueFd peer = listen_for(bench);
  bench.run({});
  EXPECT_EQ(ends.count({TODD_OP_CONNECT, -ECANCELED}), 400u);
  EXPECT_EQ(last_steps, 1u);
}

TEST(InstanceTest, ResolveEndsInTime) {
  Ends ends;
  bool begun = false;
  Bench bench([&](todd_batch& b) -> todd_status {
    gather(b, ends);
    if (!begun) put(b, TODD_OP_RESOLVE, 0, 5 * kMs);
    begun = true;
    return ends.empty() ? 0 : 1;
  });
  (*bench.setup.specs)[0].host = "example.net";  // whose resolver never answers
  bench.run({});
  EXPECT_EQ(ends, (Ends{{TODD_OP_RESOLVE, -ETIMEDOUT}}));
}

// A name that the testlet resolves in mid-run is sent to as those that were resolved before.
TEST(InstanceTest, AnAddressThatComesLaterHasTheFlowLabelToo) {
  Bench bench([](todd_batch& b) -> todd_status {
    if (b.n_ticket != 0) put(b, TODD_OP_RESOLVE, 0);
    b.served = b.n_ticket;
    return b.state == TODD_RUNNING ? 0 : 1;
  });
  bench.setup.egress.flow_label = 0x12345;
  bench.setup.specs->front().host = "name.example";
  bench.events.resolve = [&](const std::string&, uint64_t token, const std::string&) {
    bench.instance->resolved(token, {"2001:db8::1"}, 0);
  };
  bench.run({.count = 1, .interval_ns = kMs});
  EXPECT_EQ(bench.setup.targets[0].address.sa.sa_family, AF_INET6);
  EXPECT_EQ(ntohl(bench.setup.targets[0].address.v6.sin6_flowinfo), 0x12345u);
}

}  // namespace
}  // namespace todd::lane
