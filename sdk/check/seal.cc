// todd-seal LIB.so OUT.json: loads a freshly built testlet library, reads its descriptors and writes the
// manifest that is then embedded into it. Runs at build time only; knows nothing of the project but the ABI.

#include <dlfcn.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iomanip>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>

#include "todd/testlet.h"

namespace {

[[noreturn]] void refuse(const std::string& text) { throw std::runtime_error(text); }

// JSON of a static string of a descriptor; NULL is "".
std::string quoted(const char* text) {
  std::string out = "\"";
  for (const char* p = text != nullptr ? text : ""; *p != '\0'; ++p) {
    const auto c = static_cast<unsigned char>(*p);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += *p;
    } else if (c < 0x20) {
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, "\\u%04x", c);
      out += buffer;
    } else {
      out += *p;
    }
  }
  return out + '"';
}

const char* truth(bool value) { return value ? "true" : "false"; }

// The name of enum value 1..n, or a refusal that says whose it was.
template <size_t N>
const char* named(const char* const (&names)[N], uint32_t value, const std::string& whose) {
  if (value < 1 || value > N) refuse(whose + ": unknown type or kind " + std::to_string(value));
  return names[value - 1];
}

constexpr const char* kParamTypes[] = {"boolean", "integer", "real",    "text",  "duration",
                                       "size",    "rate",    "bitrate", "ratio", "choice"};
constexpr const char* kMetricKinds[] = {"counter", "gauge", "histogram", "breakdown",
                                        "ratio",   "info",  "spread"};
constexpr const char* kTargetKinds[] = {"host", "endpoint", "url"};
constexpr const char* kMerges[] = {"sum", "min", "max", "last"};
constexpr const char* kHostParams[] = {"count",      "requests", "interval", "rate",      "shape",
                                       "burst",      "duration", "ramp",     "warm_up",   "timeout",
                                       "samples",    "stamps",   "source",   "interface", "mark",
                                       "flow_label", "df",       "via",      "period"};

void check_name(std::set<std::string>& seen, const char* name, const std::string& whose) {
  if (name == nullptr || *name == '\0') refuse(whose + ": a name is missing");
  if (!seen.insert(name).second) refuse(whose + ": '" + name + "' is declared twice");
}

// The host's rule for ids, here so that the author hears of a wrong one from the build.
void check_id(const std::string& id) {
  const bool letters = id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-.") == id.npos;
  if (!letters || id.size() > 63 || id[0] < 'a' || id[0] > 'z' || id.back() == '.' ||
      id.find("..") != id.npos)
    refuse("'" + id +
           "' is no id: a-z, 0-9, -, _ and single dots between parts, at most 63, beginning with a letter");
}

// The parts of "a|b|c".
void write_list(std::ostream& out, const char* choices) {
  std::istringstream in(choices != nullptr ? choices : "");
  std::string one;
  const char* comma = "";
  while (std::getline(in, one, '|')) {
    out << comma << quoted(one.c_str());
    comma = ",";
  }
}

void write_param(std::ostream& out, const todd_param& p, const std::string& whose) {
  for (const char* reserved : kHostParams) {
    if (std::strcmp(p.name, reserved) == 0)
      refuse(whose + ": '" + p.name + "' is a param of the host; give its default in the schedule");
  }
  if ((p.type == TODD_P_CHOICE) != (p.choices != nullptr))
    refuse(whose + ": '" + p.name + "': choices belong to type choice, and to no other");
  if ((p.flags & TODD_PF_REQUIRED) != 0 && p.dflt != nullptr && *p.dflt != '\0')
    refuse(whose + ": '" + p.name + "': the user must give it, so it has no default");
  if ((p.flags & TODD_PF_SECRET) != 0 &&
      (p.type != TODD_P_TEXT || (p.flags & TODD_PF_REPEAT) != 0 || (p.dflt != nullptr && *p.dflt != '\0')))
    refuse(whose + ": '" + p.name + "': a secret is of type text, given once, and has no default");
  out << "{\"name\":" << quoted(p.name) << ",\"type\":\"" << named(kParamTypes, p.type, whose)
      << "\",\"dflt\":" << quoted(p.dflt) << ",\"min\":" << quoted(p.min) << ",\"max\":" << quoted(p.max)
      << ",\"choices\":[";
  write_list(out, p.choices);
  const bool has_pattern = p.size >= offsetof(todd_param, pattern) + sizeof p.pattern;
  if (has_pattern && p.pattern != nullptr && p.type != TODD_P_TEXT)
    refuse(whose + ": '" + p.name + "': a pattern belongs to type text");
  if (has_pattern && p.pattern != nullptr && (p.flags & TODD_PF_SECRET) != 0)
    refuse(whose + ": '" + p.name + "': nobody could check the pattern of a secret");
  if ((p.flags & TODD_PF_REPEAT) != 0 && p.type != TODD_P_TEXT)
    refuse(whose + ": '" + p.name + "': only type text may be repeated");
  const bool proxy = (p.flags & TODD_PF_PROXY) != 0;
  if (proxy &&
      (p.type != TODD_P_TEXT || (p.flags & TODD_PF_SECRET) != 0 || (p.dflt != nullptr && *p.dflt != '\0')))
    refuse(whose + ": '" + p.name + "': a proxy is of type text, no secret, and has no default");
  out << "],\"pattern\":" << quoted(has_pattern ? p.pattern : nullptr) << ",\"doc\":" << quoted(p.doc)
      << ",\"required\":" << truth((p.flags & TODD_PF_REQUIRED) != 0)
      << ",\"secret\":" << truth((p.flags & TODD_PF_SECRET) != 0)
      << ",\"repeat\":" << truth((p.flags & TODD_PF_REPEAT) != 0) << ",\"proxy\":" << truth(proxy) << "}";
}

// A spread must name a histogram of its testlet.
void check_spread(const todd_testlet& t, const todd_metric& m, const std::string& whose) {
  if (m.kind != TODD_M_SPREAD) return;
  const std::string name = whose + ": '" + m.name + "'";
  if (m.size < offsetof(todd_metric, high) + sizeof m.high || m.histogram == nullptr)
    refuse(name + ": a spread names a histogram");
  if (!(m.low >= 0 && m.low < m.high && m.high <= 1)) refuse(name + ": a spread has 0 <= low < high <= 1");
  for (auto h = t.metrics; *h != nullptr; ++h) {
    if ((*h)->kind == TODD_M_HISTOGRAM && std::strcmp((*h)->name, m.histogram) == 0 &&
        std::strcmp((*h)->unit, m.unit) == 0)
      return;
  }
  refuse(name + ": '" + m.histogram + "' is no histogram of this testlet in the same unit");
}

void write_metric(std::ostream& out, const todd_metric& m, const std::string& whose) {
  const bool has_flags = m.size >= offsetof(todd_metric, flags) + sizeof m.flags;
  const bool only_total = has_flags && (m.flags & TODD_MF_ONLY_TOTAL) != 0;
  out << "{\"name\":" << quoted(m.name) << ",\"unit\":" << quoted(m.unit) << ",\"kind\":\""
      << named(kMetricKinds, m.kind, whose) << "\",\"merge\":\"" << named(kMerges, m.merge + 1u, whose)
      << "\",\"numerator\":" << quoted(m.numerator) << ",\"denominator\":" << quoted(m.denominator)
      << ",\"doc\":" << quoted(m.doc) << ",\"only_total\":" << truth(only_total) << ",\"keys\":[";
  const bool has_keys = m.size >= offsetof(todd_metric, keys) + sizeof m.keys && m.keys != nullptr;
  if (has_keys && m.kind != TODD_M_BREAKDOWN)
    refuse(whose + ": '" + m.name + "': keys belong to a breakdown");
  write_list(out, has_keys ? m.keys : nullptr);
  out << "],";
  if (m.kind == TODD_M_SPREAD) {
    out << std::setprecision(17) << "\"histogram\":" << quoted(m.histogram) << ",\"low\":" << m.low
        << ",\"high\":" << m.high << ",";
  }
  out << "\"host\":false}";
}

void write_schedule(std::ostream& out, const todd_testlet& t) {
  const todd_schedule none{};
  const todd_schedule& s = t.schedule != nullptr ? *t.schedule : none;
  out << "{\"tickets\":" << truth((t.flags & TODD_TF_TICKETS) != 0) << ",\"count\":" << quoted(s.count)
      << ",\"interval\":" << quoted(s.interval) << ",\"rate\":" << quoted(s.rate)
      << ",\"duration\":" << quoted(s.duration) << ",\"timeout\":" << quoted(s.timeout) << "}";
}

// "mode=icmp" must be a choice and one of its words.
void check_raw_when(const todd_testlet& t, const std::string& id) {
  const std::string when = t.raw_when != nullptr ? t.raw_when : "";
  if (when.empty()) return;
  const size_t equals = when.find('=');
  for (auto p = t.params; p != nullptr && *p != nullptr && equals != when.npos; ++p) {
    if (when.substr(0, equals) != (*p)->name || (*p)->choices == nullptr) continue;
    const std::string words = std::string("|") + (*p)->choices + "|";
    if (words.find("|" + when.substr(equals + 1) + "|") != words.npos) return;
  }
  refuse("testlet '" + id + "': raw_when '" + when + "' is no PARAM=WORD of a choice");
}

void write_testlet(std::ostream& out, const todd_testlet& t) {
  const std::string id = t.id != nullptr ? t.id : "";
  if (t.size < sizeof(todd_testlet))
    refuse("testlet '" + id + "': built with another header: its table is " + std::to_string(t.size) +
           " bytes");
  if (t.create == nullptr || t.start == nullptr || t.step == nullptr || t.destroy == nullptr)
    refuse("testlet '" + id + "': create, start, step and destroy are required");
  if ((t.roles & (TODD_SOURCE | TODD_RESPONDER)) == 0) refuse("testlet '" + id + "': has no role");
  check_raw_when(t, id);
  out << "{\"id\":" << quoted(t.id) << ",\"version\":" << quoted(t.version)
      << ",\"summary\":" << quoted(t.summary) << ",\"doc\":" << quoted(t.doc)
      << ",\"source\":" << truth((t.roles & TODD_SOURCE) != 0)
      << ",\"responder\":" << truth((t.roles & TODD_RESPONDER) != 0)
      << ",\"heavy\":" << truth((t.flags & TODD_TF_HEAVY) != 0)
      << ",\"probes\":" << truth((t.flags & TODD_TF_PROBES) != 0)
      << ",\"warms_up\":" << truth((t.flags & TODD_TF_WARMS_UP) != 0)
      << ",\"bulk\":" << truth((t.flags & TODD_TF_BULK) != 0) << ",\"needs\":" << t.needs
      << ",\"target_kind\":\"" << named(kTargetKinds, t.target_kind, "testlet '" + id + "': target_kind")
      << "\",\"default_port\":" << t.default_port << ",\"default_expect\":[";
  const char* comma = "";
  for (auto e = t.default_expect; e != nullptr && *e != nullptr; ++e, comma = ",") out << comma << quoted(*e);
  out << "],\"schedule\":";
  write_schedule(out, t);
  out << ",\"params\":[";
  std::set<std::string> seen;
  comma = "";
  for (auto p = t.params; p != nullptr && *p != nullptr; ++p, comma = ",") {
    const std::string whose = "testlet '" + id + "': params";
    check_name(seen, (*p)->name, whose);
    out << comma;
    write_param(out, **p, whose);
  }
  out << "],\"metrics\":[";
  seen.clear();
  comma = "";
  for (auto m = t.metrics; m != nullptr && *m != nullptr; ++m, comma = ",") {
    const std::string whose = "testlet '" + id + "': metrics";
    check_name(seen, (*m)->name, whose);
    check_spread(t, **m, whose);
    out << comma;
    write_metric(out, **m, whose);
  }
  out << "]}";
}

std::string manifest_of(const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);  // stays loaded: this process ends soon
  if (library == nullptr) refuse(dlerror());
  const auto* entry = static_cast<const todd_entry*>(dlsym(library, "todd_entry_v0"));
  if (entry == nullptr) refuse("exports no todd_entry_v0: is TODD_REGISTER missing?");
  if (entry->magic != TODD_MAGIC) refuse("todd_entry_v0 is not a testlet entry");
  if (entry->abi_major != TODD_ABI_MAJOR || entry->abi_minor != TODD_ABI_MINOR) {
    refuse("built for ABI " + std::to_string(entry->abi_major) + "." + std::to_string(entry->abi_minor) +
           ", this todd-seal knows " + std::to_string(TODD_ABI_MAJOR) + "." + std::to_string(TODD_ABI_MINOR) +
           ": rebuild it with this SDK");
  }
  std::ostringstream out;
  out << "{\"format\":1,\"abi_major\":" << entry->abi_major << ",\"abi_minor\":" << entry->abi_minor
      << ",\"sdk\":" << quoted(entry->sdk) << ",\"testlets\":[";
  std::set<std::string> seen;
  const char* comma = "";
  for (auto t = entry->testlets; *t != nullptr; ++t, comma = ",") {
    check_name(seen, (*t)->id, "testlets");
    check_id((*t)->id);
    out << comma;
    write_testlet(out, **t);
  }
  if (seen.empty()) refuse("registers no testlet");
  out << "]}\n";
  return out.str();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: todd-seal LIBRARY.so MANIFEST.json\n", stderr);
    return 2;
  }
  try {
    const std::string text = manifest_of(argv[1]);
    std::ofstream out(argv[2], std::ios::binary | std::ios::trunc);
    out << text;
    out.close();
    if (!out) refuse(std::string("cannot write ") + argv[2]);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "todd-seal: %s: %s\n", argv[1], e.what());
    return 1;
  }
  return 0;
}
