// What it costs to read a response of HTTP/1.1: counted only, with its headers kept, and cut into pieces.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <new>
#include <string>

#include "plugins/http/response_reader.h"

namespace {

uint64_t allocated = 0;

using todd::http::Headers;
using todd::http::Read;
using todd::http::ResponseReader;
using todd::http::Want;

std::string response(size_t body) {
  return "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 18:00:00 GMT\r\n"
         "Content-Type: application/octet-stream\r\nContent-Length: " +
         std::to_string(body) +
         "\r\nLast-Modified: Mon, 23 Nov 2026 05:00:00 GMT\r\nConnection: keep-alive\r\n"
         "ETag: \"6744ad30-400\"\r\nAccept-Ranges: bytes\r\n\r\n" +
         std::string(body, 'x');
}

void read(benchmark::State& state, const Want& want, const std::string& text, size_t piece) {
  ResponseReader reader(want);
  const uint64_t before = allocated;
  for (auto _ : state) {
    reader.reset();
    Read read = Read::kMore;
    for (size_t at = 0; at < text.size(); at += piece)
      read = reader.put(std::string_view(text).substr(at, piece));
    if (read != Read::kDone || !reader.reusable()) {
      state.SkipWithError("the response was not read");
      break;
    }
  }
  state.SetItemsProcessed(state.iterations());
  state.counters["allocations"] =
      benchmark::Counter(static_cast<double>(allocated - before), benchmark::Counter::kAvgIterations);
}

// The range: bytes of the body.
void counted(benchmark::State& state) {
  read(state, Want{}, response(static_cast<size_t>(state.range(0))), SIZE_MAX / 2);
}
void with_headers(benchmark::State& state) {
  Headers headers;
  Want want;
  want.headers = &headers;
  read(state, want, response(static_cast<size_t>(state.range(0))), SIZE_MAX / 2);
}
void cut_at_100(benchmark::State& state) {
  read(state, Want{}, response(static_cast<size_t>(state.range(0))), 100);
}

BENCHMARK(counted)->Arg(0)->Arg(1'024)->Arg(16'384);
BENCHMARK(with_headers)->Arg(1'024);
BENCHMARK(cut_at_100)->Arg(1'024);

}  // namespace

// Counts what is allocated. The C library's memory, so that the sanitizers see it too.
__attribute__((noinline)) void* operator new(size_t size) {
  ++allocated;
  if (void* p = std::malloc(size != 0 ? size : 1)) return p;
  throw std::bad_alloc();
}
__attribute__((noinline)) void operator delete(void* p) noexcept { std::free(p); }
__attribute__((noinline)) void operator delete(void* p, size_t) noexcept { std::free(p); }

BENCHMARK_MAIN();
