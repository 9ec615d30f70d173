// What the match table costs a probe: one that is answered at once, one that is answered while many others
// fly, one that expires.
#include <benchmark/benchmark.h>

#include "engine/lane/exchange.h"

namespace {

using todd::lane::Exchange;
using todd::lane::ExchangeTable;

void fly(ExchangeTable& table, uint16_t index, int64_t now) {
  Exchange& exchange = table.at(index);
  exchange.state = Exchange::flying;
  exchange.tx_ns = now;
  exchange.deadline_ns = now + 1000;
}

// The first range: how many others are in flight meanwhile. A reply is found by its cookie, as on the wire.
void begin_and_answer(benchmark::State& state) {
  ExchangeTable table(ExchangeTable::kMax, 42);
  const auto others = static_cast<uint64_t>(state.range(0));
  uint64_t number = 0;
  std::vector<uint16_t> flying(others + 1);
  for (uint64_t i = 0; i < others; ++i) fly(table, flying[i] = table.begin(i, 0, 0, number++), 0);
  uint64_t next = others;
  for (auto _ : state) {
    const uint16_t index = table.begin(number, static_cast<uint32_t>(number), 0, number);
    ++number;
    flying[next] = index;
    fly(table, index, 0);
    next = next == others ? 0 : next + 1;
    const uint64_t cookie = table.cookie(flying[next]);
    Exchange& exchange = table.at(static_cast<uint16_t>(cookie));
    if (exchange.state != Exchange::flying || table.cookie(static_cast<uint16_t>(cookie)) != cookie) {
      state.SkipWithError("a reply found no probe");
      break;
    }
    table.finish(exchange, Exchange::answered);
    // The lane does so before each wait, and so the oldest slots become free.
    table.expire(0, 64, [](Exchange&) {});
  }
  state.SetItemsProcessed(state.iterations());
}

void begin_and_expire(benchmark::State& state) {
  ExchangeTable table(ExchangeTable::kMax, 42);
  constexpr int kBatch = 64;
  int64_t now = 0;
  uint64_t number = 0;
  for (auto _ : state) {
    for (int i = 0; i < kBatch; ++i) {
      fly(table, table.begin(number, 0, 0, number), now);
      ++number;
    }
    now += 2000;
    table.expire(now, kBatch, [&](Exchange& exchange) { table.finish(exchange, Exchange::lost); });
  }
  if (table.live() != 0) state.SkipWithError("probes are left");
  state.SetItemsProcessed(state.iterations() * kBatch);
}

BENCHMARK(begin_and_answer)->Arg(0)->Arg(1'000)->Arg(60'000);
BENCHMARK(begin_and_expire);

}  // namespace

BENCHMARK_MAIN();
