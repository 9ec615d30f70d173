#include "plugins/http/wish.h"

#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <new>
#include <utility>

namespace todd::http {

namespace {

constexpr uint64_t kChunk = 4096;
constexpr std::string_view kChunkHead = "1000\r\n", kLastChunk = "0\r\n\r\n", kNewline = "\r\n";
constexpr uint64_t kMaxRedirects = 100;

struct Unit {
  std::string_view name;
  uint64_t factor;
};
constexpr Unit kBytes[] = {{"", 1}, {"k", 1'000}, {"M", 1'000'000}, {"G", 1'000'000'000}};
constexpr Unit kTimes[] = {{"us", 1'000}, {"ms", 1'000'000}, {"s", 1'000'000'000}};
constexpr Unit kPlain[] = {{"", 1}};

// Digits and one of the units, at most `max`.
template <size_t N>
bool parse(std::string_view text, const Unit (&units)[N], uint64_t max, uint64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  for (const Unit& unit : units) {
    if (unit.name != text) continue;
    if (out > max / unit.factor) return false;
    out *= unit.factor;
    return true;
  }
  return false;
}

bool parse_flag(std::string_view text, bool& out) {
  out = text == "1";
  return text == "1" || text == "0";
}

std::string printable(std::string_view word) {
  std::string text(word.substr(0, 64));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return text;
}

struct Reading {
  Wish wish;
  uint64_t redirects = 0;
  bool echo = false;

  bool word(std::string_view name, std::string_view value) {
    uint64_t n = 0;
    if (name == "size") {
      if (echo || !parse(value, kBytes, kMaxWishedSize, n)) return false;
      wish.size = n;
      return true;
    }
    if (name == "delay") {
      if (!parse(value, kTimes, static_cast<uint64_t>(kMaxDelayNs), n)) return false;
      wish.delay_ns = static_cast<int64_t>(n);
      return true;
    }
    if (name == "status") {
      if (!parse(value, kPlain, 599, n) || n < 200) return false;
      wish.status = static_cast<int>(n);
      return true;
    }
    if (name == "redirect") return parse(value, kPlain, kMaxRedirects, redirects);
    if (name == "chunked") return parse_flag(value, wish.chunked);
    if (name == "gzip") return parse_flag(value, wish.gzip);
    return name == "close" && parse_flag(value, wish.close);
  }
};

}  // namespace

bool is_echo(std::string_view target) { return target.substr(0, target.find('?')) == "/echo"; }

Wish parse_wish(std::string_view target, std::string& bad) {
  const size_t query = target.find('?');
  if (query == std::string_view::npos) return {};
  Reading reading;
  reading.echo = is_echo(target);
  std::string rest(target.substr(0, query));
  char mark = '?';
  for (std::string_view left = target.substr(query + 1); !left.empty();) {
    const std::string_view word = left.substr(0, left.find('&'));
    left.remove_prefix(std::min(word.size() + 1, left.size()));
    const size_t equals = std::min(word.find('='), word.size());
    const std::string_view name = word.substr(0, equals);
    if (word.empty()) continue;
    if (!reading.word(name, word.substr(std::min(equals + 1, word.size())))) {
      bad = printable(word);
      return {};
    }
    if (name != "redirect") (rest += std::exchange(mark, '&')) += word;
  }
  Wish& wish = reading.wish;
  if (reading.redirects != 0)
    wish.location = rest + mark + "redirect=" + std::to_string(reading.redirects - 1);
  return wish;
}

std::string gzipped(std::string_view text) {
  z_stream z{};
  if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::bad_alloc();
  std::string out(deflateBound(&z, text.size()), '\0');
  z.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(text.data()));  // zlib only reads it
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);  // into as much as it may need: done at once
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

// ---- Content

uint64_t Content::wire_size() const {
  if (!chunked_) return size_;
  const uint64_t rest = size_ % kChunk;
  char digits[20];
  const uint64_t head = rest == 0 ? 0 : std::snprintf(digits, sizeof digits, "%llx\r\n\r\n", 0ull + rest);
  return size_ / kChunk * (kChunkHead.size() + kChunk + kNewline.size()) + head + rest + kLastChunk.size();
}

void Content::copy_content(uint64_t at, char* out, size_t size) const {
  if (text_.empty())
    std::memset(out, 'x', size);
  else
    std::memcpy(out, text_.data() + at, size);
}

void Content::copy(uint64_t offset, char* out, size_t size) const {
  if (!chunked_) return copy_content(offset, out, size);
  while (size != 0) {
    const size_t n = copy_some(offset, out, size);
    offset += n;
    out += n;
    size -= n;
  }
}

// The next part of a chunk: of its head, its content or what follows that.
size_t Content::copy_some(uint64_t offset, char* out, size_t size) const {
  const uint64_t period = kChunkHead.size() + kChunk + kNewline.size();
  const uint64_t index = std::min(offset / period, size_ / kChunk);  // of the whole ones; then the short one
  const uint64_t content = std::min(kChunk, size_ - index * kChunk);
  uint64_t in = offset - index * period;
  char digits[20] = "";
  if (content != 0) std::snprintf(digits, sizeof digits, "%llx\r\n", 0ull + content);
  std::string_view part = digits;
  if (in >= part.size()) {
    in -= part.size();
    if (in < content) {
      const size_t n = std::min<uint64_t>(size, content - in);
      copy_content(index * kChunk + in, out, n);
      return n;
    }
    in -= content;
    part = content == kChunk ? kNewline : content == 0 ? kLastChunk : "\r\n0\r\n\r\n";
  }
  return part.copy(out, size, in);
}

}  // namespace todd::http
