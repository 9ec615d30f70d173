#include "plugins/iperf/messages.h"

#include <simdjson.h>

#include <charconv>
#include <cmath>

#include "plugins/iperf/protocol.h"

namespace todd::iperf {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::element_type;
using simdjson::dom::object;

constexpr size_t kMaxDepth = 32;
constexpr uint64_t kMaxSeconds = 86'400, kMaxOmit = 600;
constexpr uint32_t kMaxTcpLength = 1024 * 1024, kMinUdpLength = 16, kMaxUdpLength = 65507;
constexpr uint64_t kMaxWindow = 512u << 20, kMaxBitrate = 10'000'000'000'000;
constexpr double kExact = 9007199254740992.0;  // 2^53: beyond it a double has no ones

// Members of an object, read until the first that is not what it should be.
class Members {
 public:
  Members(object from, std::string& why) : from_(from), why_(why) {}

  bool good() const { return why_.empty(); }
  std::optional<element> find(const char* name) const {
    element value;
    if (from_[name].get(value) != simdjson::SUCCESS || value.is_null()) return std::nullopt;
    return value;
  }

  // A whole number of at most `most`; iperf3 writes some of them as doubles.
  template <class T>
  void number(const char* name, T& out, uint64_t most) {
    const auto value = find(name);
    if (!value) return;
    const auto whole = whole_of(*value);
    if (!whole) return complain(name, "no whole number that is not negative");
    if (*whole > most) return complain(name, "more than " + std::to_string(most));
    out = static_cast<T>(*whole);
  }
  // The same; -1, also as iperf3's unsigned form of it: not known.
  void maybe(const char* name, std::optional<uint64_t>& out) {
    const auto value = find(name);
    if (!value) return;
    int64_t negative = 0;
    const auto whole = whole_of(*value);
    if (whole == UINT64_MAX || (value->get(negative) == simdjson::SUCCESS && negative == -1)) return;
    if (!whole) return complain(name, "no whole number");
    out = *whole;
  }
  void real(const char* name, double& out) {
    const auto value = find(name);
    if (!value) return;
    double number = 0;
    if (value->get(number) != simdjson::SUCCESS || !std::isfinite(number)) return complain(name, "no number");
    out = number;
  }
  // true, or a number that is not 0.
  void flag(const char* name, bool& out) {
    const auto value = find(name);
    if (!value) return;
    double number = 0;
    if (value->get(out) == simdjson::SUCCESS) return;
    if (value->get(number) != simdjson::SUCCESS) return complain(name, "neither true nor false");
    out = number != 0;
  }
  void text(const char* name, std::string& out, size_t most) {
    const auto value = find(name);
    if (!value) return;
    std::string_view said;
    if (value->get(said) != simdjson::SUCCESS) return complain(name, "no text");
    if (said.size() > most) return complain(name, "longer than " + std::to_string(most) + " bytes");
    out = said;
  }
  void complain(const std::string& name, const std::string& what) {
    if (good()) why_ = "\"" + name + "\": " + what;
  }

 private:
  static std::optional<uint64_t> whole_of(element value) {
    uint64_t whole = 0;
    double number = 0;
    if (value.get(whole) == simdjson::SUCCESS) return whole;
    if (value.type() != element_type::DOUBLE || value.get(number) != simdjson::SUCCESS) return std::nullopt;
    if (!(number >= 0) || number > kExact || number != std::floor(number)) return std::nullopt;
    return static_cast<uint64_t>(number);
  }

  object from_;
  std::string& why_;
};

// Parses `json`; why is set where it is no object.
std::optional<object> object_of(simdjson::dom::parser& parser, std::string_view json, std::string& why) {
  object top;
  if (parser.allocate(json.size() + 1, kMaxDepth) != simdjson::SUCCESS) {
    why = "no memory for it";
    return std::nullopt;
  }
  const auto error = parser.parse(json.data(), json.size()).get(top);
  if (error == simdjson::SUCCESS) return top;
  why = error == simdjson::INCORRECT_TYPE ? "no JSON object"
                                          : std::string("no JSON: ") + simdjson::error_message(error);
  return std::nullopt;
}

std::optional<object> inner(const Members& members, const char* name) {
  object out;
  const auto value = members.find(name);
  if (!value || value->get(out) != simdjson::SUCCESS) return std::nullopt;
  return out;
}

void check_params(Members& m, Params& p, bool tcp) {
  if (p.udp == tcp) return m.complain("tcp", "exactly one of tcp and udp must be asked for, and no other");
  if (p.reverse && p.bidir) return m.complain("reverse", "not together with \"bidirectional\"");
  if (p.streams == 0) return m.complain("parallel", "at least 1");
  const uint32_t least = p.udp ? kMinUdpLength : 1, most = p.udp ? kMaxUdpLength : kMaxTcpLength;
  if (p.length < least || p.length > most)
    m.complain("len", "from " + std::to_string(least) + " to " + std::to_string(most) + " bytes");
}

void read_facts(Members& m, StreamResult& s) {
  m.number("time_ns", s.time_ns, UINT64_MAX);
  m.number("out_of_order", s.out_of_order, UINT64_MAX);
  m.number("duplicates", s.duplicates, UINT64_MAX);
  m.number("bursts", s.bursts, UINT64_MAX);
  m.number("longest_burst", s.longest_burst, UINT64_MAX);
  m.number("unsent", s.unsent, UINT64_MAX);
  m.number("rtt_us", s.rtt_us, UINT32_MAX);
  m.number("rttvar_us", s.rttvar_us, UINT32_MAX);
  m.number("min_rtt_us", s.min_rtt_us, UINT32_MAX);
  m.number("cwnd", s.cwnd, UINT32_MAX);
  m.number("delivery_rate", s.delivery_rate, UINT64_MAX);
  m.number("busy_us", s.busy_us, UINT64_MAX);
  m.number("receive_window_us", s.receive_window_us, UINT64_MAX);
  m.number("send_buffer_us", s.send_buffer_us, UINT64_MAX);
}

StreamResult read_stream(Members& m, std::string& why) {
  StreamResult s;
  if (!m.find("id")) m.complain("id", "a stream without it");
  m.number("id", s.id, UINT32_MAX);
  m.number("bytes", s.bytes, UINT64_MAX);
  m.maybe("retransmits", s.retransmits);
  m.real("jitter", s.jitter_s);
  m.number("errors", s.lost, UINT64_MAX);
  m.number("packets", s.packets, UINT64_MAX);
  m.number("omitted_errors", s.omitted_lost, UINT64_MAX);
  m.number("omitted_packets", s.omitted_packets, UINT64_MAX);
  m.real("start_time", s.start_s);
  m.real("end_time", s.end_s);
  if (const auto own = inner(m, "todd")) {
    Members facts(*own, why);
    read_facts(facts, s);
  }
  return s;
}

// ---- writing

class Writer {
 public:
  void open() {
    out_ += '{';
    first_ = true;
  }
  void close() {
    out_ += '}';
    first_ = false;
  }
  void name(std::string_view name) {
    if (!first_) out_ += ',';
    first_ = false;
    out_.append("\"").append(name).append("\":");
  }
  template <class T>
  void number(std::string_view key, T value) {
    name(key);
    char text[64];
    out_.append(text, std::to_chars(text, text + sizeof text, value).ptr);
  }
  // Left out where it is 0.
  template <class T>
  void some(std::string_view key, T value) {
    if (value != 0) number(key, value);
  }
  void flag(std::string_view key, bool value) {
    if (!value) return;
    name(key);
    out_ += "true";
  }
  // Requires: names and versions, nothing to be escaped but quotes and backslashes.
  void text(std::string_view key, std::string_view value) {
    name(key);
    out_ += '"';
    for (const char c : value) {
      if (c == '"' || c == '\\') out_ += '\\';
      if (static_cast<unsigned char>(c) >= ' ') out_ += c;
    }
    out_ += '"';
  }
  void raw(std::string_view text) { out_ += text; }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
  bool first_ = true;
};

void write_facts(Writer& w, const StreamResult& s) {
  w.name("todd");
  w.open();
  w.some("time_ns", s.time_ns);
  w.some("out_of_order", s.out_of_order);
  w.some("duplicates", s.duplicates);
  w.some("bursts", s.bursts);
  w.some("longest_burst", s.longest_burst);
  w.some("unsent", s.unsent);
  w.some("rtt_us", s.rtt_us);
  w.some("rttvar_us", s.rttvar_us);
  w.some("min_rtt_us", s.min_rtt_us);
  w.some("cwnd", s.cwnd);
  w.some("delivery_rate", s.delivery_rate);
  w.some("busy_us", s.busy_us);
  w.some("receive_window_us", s.receive_window_us);
  w.some("send_buffer_us", s.send_buffer_us);
  w.close();
}

void write_stream(Writer& w, const StreamResult& s, bool todd) {
  w.open();
  w.number("id", s.id);
  w.number("bytes", s.bytes);
  if (s.retransmits) {
    w.number("retransmits", *s.retransmits);
  } else {
    w.number("retransmits", -1);
  }
  w.number("jitter", s.jitter_s);
  w.number("errors", s.lost);
  w.number("packets", s.packets);
  w.some("omitted_errors", s.omitted_lost);
  w.some("omitted_packets", s.omitted_packets);
  w.number("start_time", s.start_s);
  w.number("end_time", s.end_s);
  if (todd) write_facts(w, s);
  w.close();
}

}  // namespace

Read<Params> read_params(std::string_view json) {
  Read<Params> out;
  simdjson::dom::parser parser;
  const auto top = object_of(parser, json, out.why);
  if (!top) return out;
  Members m(*top, out.why);
  Params p;
  bool tcp = false;
  m.flag("tcp", tcp);
  m.flag("udp", p.udp);
  m.flag("reverse", p.reverse);
  m.flag("bidirectional", p.bidir);
  m.number("omit", p.omit_s, kMaxOmit);
  m.number("time", p.time_s, kMaxSeconds);
  m.number("num", p.bytes, UINT64_MAX);
  m.number("blockcount", p.blocks, UINT64_MAX);
  m.number("parallel", p.streams, kMaxStreams);
  m.number("len", p.length, kMaxTcpLength);
  m.number("bandwidth", p.bitrate, kMaxBitrate);
  m.number("fqrate", p.pacing, kMaxBitrate);
  m.number("window", p.window, kMaxWindow);
  m.number("MSS", p.mss, 65'535);
  m.number("TOS", p.tos, 255);
  m.flag("nodelay", p.no_delay);
  m.flag("zerocopy", p.zero_copy);
  m.flag("repeating_payload", p.repeating);
  m.flag("udp_counters_64bit", p.counters_64);
  m.text("congestion", p.congestion, 15);  // TCP_CA_NAME_MAX less its 0
  m.text("client_version", p.client_version, 100);
  if (const auto own = inner(m, "todd")) {
    Members ours(*own, out.why);
    p.todd = true;
    ours.number("token", p.token, UINT64_MAX);
  }
  check_params(m, p, tcp);
  if (m.good()) out.value = std::move(p);
  return out;
}

Read<Results> read_results(std::string_view json) {
  Read<Results> out;
  simdjson::dom::parser parser;
  const auto top = object_of(parser, json, out.why);
  if (!top) return out;
  Members m(*top, out.why);
  Results r;
  m.real("cpu_util_total", r.cpu_total);
  m.real("cpu_util_user", r.cpu_user);
  m.real("cpu_util_system", r.cpu_system);
  std::optional<uint64_t> has;
  m.maybe("sender_has_retransmits", has);
  if (has) r.has_retransmits = *has != 0;
  m.text("congestion_used", r.congestion, 100);
  if (const auto own = inner(m, "todd")) {
    Members ours(*own, out.why);
    r.todd = true;
    ours.flag("recorded", r.recorded);
  }
  array streams;
  const auto list = m.find("streams");
  if (!list || list->get(streams) != simdjson::SUCCESS) {
    m.complain("streams", "no array");
  } else if (streams.size() > 2 * kMaxStreams) {
    m.complain("streams", "more than " + std::to_string(2 * kMaxStreams));
  } else {
    for (const element one : streams) {
      object stream;
      if (one.get(stream) != simdjson::SUCCESS) m.complain("streams", "a stream that is no object");
      if (!m.good()) break;
      Members members(stream, out.why);
      r.streams.push_back(read_stream(members, out.why));
    }
  }
  if (m.good()) out.value = std::move(r);
  return out;
}

std::string write(const Params& p) {
  Writer w;
  w.open();
  w.flag(p.udp ? "udp" : "tcp", true);
  w.number("omit", p.omit_s);
  w.number("time", p.time_s);
  w.number("num", p.bytes);
  w.number("blockcount", p.blocks);
  w.some("MSS", p.mss);
  w.flag("nodelay", p.no_delay);
  w.number("parallel", p.streams);
  w.flag("reverse", p.reverse);
  w.flag("bidirectional", p.bidir);
  w.some("window", p.window);
  w.number("len", p.length);
  w.some("bandwidth", p.bitrate);
  w.some("fqrate", p.pacing);
  w.number("pacing_timer", 1000);
  w.some("TOS", p.tos);
  if (!p.congestion.empty()) w.text("congestion", p.congestion);
  w.some("udp_counters_64bit", p.counters_64 ? 1 : 0);
  w.some("repeating_payload", p.repeating ? 1 : 0);
  w.some("zerocopy", p.zero_copy ? 1 : 0);
  w.text("client_version", p.client_version);
  if (p.todd) {
    w.name("todd");
    w.open();
    w.number("token", p.token);
    w.close();
  }
  w.close();
  return w.take();
}

std::string write(const Results& r) {
  Writer w;
  w.open();
  w.number("cpu_util_total", r.cpu_total);
  w.number("cpu_util_user", r.cpu_user);
  w.number("cpu_util_system", r.cpu_system);
  w.number("sender_has_retransmits", r.has_retransmits ? (*r.has_retransmits ? 1 : 0) : -1);
  if (!r.congestion.empty()) w.text("congestion_used", r.congestion);
  w.name("streams");
  w.raw("[");
  for (size_t i = 0; i < r.streams.size(); ++i) {
    if (i != 0) w.raw(",");
    write_stream(w, r.streams[i], r.todd);
  }
  w.raw("]");
  if (r.todd) {
    w.name("todd");
    w.open();
    w.number("recorded", r.recorded ? 1 : 0);
    w.close();
  }
  w.close();
  return w.take();
}

}  // namespace todd::iperf
