#pragma once
// todd/testlet.hpp - a testlet in C++17, on top of the C boundary in testlet.h. Header only; libc and the
// standard library only. Nothing in this file is ABI: it is compiled into the testlet and may change with
// every SDK.
//
// A testlet is one class. Params and metrics are constexpr objects, so that they can be read without running
// code:
//
//   class Beacon : public todd::testlet<Beacon> {
//    public:
//     static constexpr todd::info info{"com.example.beacon", "1.0.0", "how long it takes", TODD_SOURCE};
//     static constexpr auto bytes = todd::size("size", "64", "payload of a probe").range("8", "1400");
//     static constexpr auto params = todd::params(&bytes);
//     static constexpr auto rtt = todd::histogram("rtt", "ns", "from departure to reply");
//     static constexpr auto metrics = todd::metrics(&rtt);
//     void start();                  // [lane] open flows; throw todd::error to refuse
//     bool step(todd_batch& batch);  // [lane] true = finished
//   };
//   TODD_REGISTER(Beacon)
//
// What a class may define besides (the base has the empty version of each):
//   static constexpr auto expect = todd::expect("loss < 1%");  default expectations
//   static constexpr todd::schedule schedule{...};             defaults of the host's params
//   static void check(const todd_run&);                        [control] throw todd::error to refuse values
//   void create();                                             [control] host() and run() are there, lane()
//   is not
//   bool judge(uint64_t user, uint32_t target, std::string_view bytes);  [lane] of flows with TODD_FF_JUDGE

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>

#include "todd/operations.hpp"
#include "todd/testlet.h"

namespace todd {

inline constexpr char kSdkVersion[] = "0.1.0";

// Thrown inside a testlet, stopped at the boundary: becomes the status and the text of the failed call.
// `code` is negative: -errno or TODD_E_*. The text names the object and the remedy.
class error : public std::exception {
 public:
  error(todd_status code, std::string text) : code_(code), text_(std::move(text)) {}
  todd_status code() const noexcept { return code_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  todd_status code_;
  std::string text_;
};

// ---- params

// A param whose value is read as T: bool, int64_t (integers, ns, bytes, bit/s, index of a choice), double
// (real, per second, ratio) or std::string_view (text; lives as long as the instance).
template <class T>
struct param {
  todd_param raw;

  // Bounds in the same syntax as the default, both included.
  constexpr param range(const char* min, const char* max) const {
    param p = *this;
    p.raw.min = min;
    p.raw.max = max;
    return p;
  }
  // Of a text: what a value must match as a whole, in RE2 syntax. Refused before a run begins.
  constexpr param matching(const char* pattern) const {
    param p = *this;
    p.raw.pattern = pattern;
    return p;
  }
  // The user must give it, so it has no default: give "" as such, any other is refused.
  constexpr param required() const { return flagged(TODD_PF_REQUIRED); }
  // Of a text without default: given by its name, the value lies on the host that tests. Put it into no
  // text, metric or log.
  constexpr param secret() const { return flagged(TODD_PF_SECRET); }
  // Of a text: may be given several times. Its value is read with each_line.
  constexpr param repeated() const {
    static_assert(std::is_same_v<T, std::string_view>, "only a text may be repeated");
    return flagged(TODD_PF_REPEAT);
  }
  // Of a text without default: where it is given, it names who reaches the targets for us, and the host
  // resolves none of their names.
  constexpr param proxy() const { return flagged(TODD_PF_PROXY); }

 private:
  constexpr param flagged(int flag) const {
    param p = *this;
    p.raw.flags = static_cast<uint16_t>(p.raw.flags | flag);
    return p;
  }
};

namespace detail {
template <class T>
constexpr param<T> make_param(int type, const char* name, const char* dflt, const char* choices,
                              const char* doc) {
  return {{sizeof(todd_param), static_cast<uint16_t>(type), 0, name, dflt, nullptr, nullptr, choices, doc,
           nullptr}};
}
template <class T>
constexpr todd_metric make_metric(T kind, const char* name, const char* unit, const char* doc,
                                  int merge = TODD_MERGE_SUM, const char* numerator = nullptr,
                                  const char* denominator = nullptr) {
  todd_metric m{};
  m.size = sizeof m;
  m.kind = static_cast<uint16_t>(kind), m.merge = static_cast<uint16_t>(merge);
  m.name = name, m.unit = unit, m.doc = doc;
  m.numerator = numerator, m.denominator = denominator;
  return m;
}
}  // namespace detail

// Each takes the name, the default in spec syntax and one sentence for people.
constexpr param<bool> boolean(const char* name, const char* dflt, const char* doc) {
  return detail::make_param<bool>(TODD_P_BOOL, name, dflt, nullptr, doc);
}
constexpr param<int64_t> integer(const char* name, const char* dflt, const char* doc) {
  return detail::make_param<int64_t>(TODD_P_INT, name, dflt, nullptr, doc);
}
constexpr param<double> real(const char* name, const char* dflt, const char* doc) {
  return detail::make_param<double>(TODD_P_REAL, name, dflt, nullptr, doc);
}
constexpr param<std::string_view> text(const char* name, const char* dflt, const char* doc) {
  return detail::make_param<std::string_view>(TODD_P_TEXT, name, dflt, nullptr, doc);
}
constexpr param<int64_t> duration(const char* name, const char* dflt, const char* doc) {
  return detail::make_param<int64_t>(TODD_P_DURATION, name, dflt, nullptr, doc);
}
constexpr param<int64_t> size(const char* name, const char* dflt, const char* doc) {
  return detail::make_param<int64_t>(TODD_P_SIZE, name, dflt, nullptr, doc);
}
constexpr param<double> rate(const char* name, const char* dflt, const char* doc) {
  return detail::make_param<double>(TODD_P_RATE, name, dflt, nullptr, doc);
}
constexpr param<int64_t> bitrate(const char* name, const char* dflt, const char* doc) {
  return detail::make_param<int64_t>(TODD_P_BITRATE, name, dflt, nullptr, doc);
}
constexpr param<double> ratio_param(const char* name, const char* dflt, const char* doc) {
  return detail::make_param<double>(TODD_P_RATIO, name, dflt, nullptr, doc);
}
// choices: "a|b|c". The value is the index of the one chosen.
constexpr param<int64_t> choice(const char* name, const char* dflt, const char* choices, const char* doc) {
  return detail::make_param<int64_t>(TODD_P_CHOICE, name, dflt, choices, doc);
}

// Calls use(std::string_view) for each text that a repeated param was given, in their order.
template <class Use>
void each_line(std::string_view value, Use&& use) {
  while (!value.empty()) {
    const std::size_t end = value.find('\n');
    use(value.substr(0, end));
    value.remove_prefix(end == value.npos ? value.size() : end + 1);
  }
}

// The NULL-terminated table of the declared params.
template <class... P>
constexpr std::array<const todd_param*, sizeof...(P) + 1> params(const P*... p) {
  return {{&p->raw..., nullptr}};
}

// ---- metrics

// One type per kind, so that a histogram cannot be counted or a counter observed. Units in UCUM: "ns", "By",
// "1".
template <int Kind>
struct metric {
  todd_metric raw;
  // Of an instance with more than 4,096 targets only the total is kept (TODD_MF_ONLY_TOTAL).
  constexpr metric only_total() const {
    metric m = *this;
    m.raw.flags |= TODD_MF_ONLY_TOTAL;
    return m;
  }
  // Of a breakdown: "a|b|c", all keys there can be. An expectation on another is refused before a run begins.
  constexpr metric keyed(const char* all) const {
    static_assert(Kind == TODD_M_BREAKDOWN, "only a breakdown has keys");
    metric m = *this;
    m.raw.keys = all;
    return m;
  }
};
constexpr metric<TODD_M_COUNTER> counter(const char* name, const char* unit, const char* doc) {
  return {detail::make_metric(TODD_M_COUNTER, name, unit, doc)};
}
// merge: TODD_MERGE_*, how the values of several edges or periods become one.
constexpr metric<TODD_M_GAUGE> gauge(const char* name, const char* unit, int merge, const char* doc) {
  return {detail::make_metric(TODD_M_GAUGE, name, unit, doc, merge)};
}
constexpr metric<TODD_M_HISTOGRAM> histogram(const char* name, const char* unit, const char* doc) {
  return {detail::make_metric(TODD_M_HISTOGRAM, name, unit, doc)};
}
constexpr metric<TODD_M_BREAKDOWN> breakdown(const char* name, const char* unit, const char* doc) {
  return {detail::make_metric(TODD_M_BREAKDOWN, name, unit, doc)};
}
// numerator and denominator name two declared counters; computed by whoever merges.
constexpr metric<TODD_M_RATIO> ratio(const char* name, const char* unit, const char* numerator,
                                     const char* denominator, const char* doc) {
  return {detail::make_metric(TODD_M_RATIO, name, unit, doc, TODD_MERGE_SUM, numerator, denominator)};
}
// The quantile `high` of a histogram less its quantile `low`, both 0..1 (0: the least value, 1: the
// greatest), in its unit; computed by whoever merges.
constexpr metric<TODD_M_SPREAD> spread(const char* name, const metric<TODD_M_HISTOGRAM>* of, double low,
                                       double high, const char* doc) {
  metric<TODD_M_SPREAD> m{detail::make_metric(TODD_M_SPREAD, name, of->raw.unit, doc)};
  m.raw.histogram = of->raw.name;
  m.raw.low = low;
  m.raw.high = high;
  return m;
}
constexpr metric<TODD_M_INFO> information(const char* name, const char* doc) {
  return {detail::make_metric(TODD_M_INFO, name, "", doc)};
}

template <class... M>
constexpr std::array<const todd_metric*, sizeof...(M) + 1> metrics(const M*... m) {
  return {{&m->raw..., nullptr}};
}

// ---- the rest of the description

struct info {
  const char *id, *version, *summary;
  uint32_t roles = TODD_SOURCE;  // TODD_SOURCE | TODD_RESPONDER
  uint32_t flags = 0;            // TODD_TF_*
  uint32_t target_kind = TODD_TARGET_HOST;
  uint32_t default_port = 0;
  uint32_t needs = 0;  // TODD_NEED_*
  const char* doc = "";
  const char* raw_when = nullptr;  // "mode=icmp": TODD_NEED_RAW only where that choice has that value
};

// Defaults of the host's params in spec syntax; nullptr = none.
struct schedule {
  const char *count = nullptr, *interval = nullptr, *rate = nullptr, *duration = nullptr, *timeout = nullptr;
};

template <class... S>
constexpr std::array<const char*, sizeof...(S) + 1> expect(S... expression) {
  return {{expression..., nullptr}};
}

// ---- the base of a testlet

namespace detail {
template <class T>
T value_of(const todd_value& v) {
  if constexpr (std::is_same_v<T, bool>) {
    return v.v.i != 0;
  } else if constexpr (std::is_same_v<T, double>) {
    return v.v.r;
  } else if constexpr (std::is_same_v<T, std::string_view>) {
    return v.v.s != nullptr ? std::string_view(v.v.s, v.len) : std::string_view();
  } else {
    return v.v.i;
  }
}
template <class Table, class Item>
constexpr uint32_t index_in(const Table& table, const Item* item) {
  uint32_t i = 0;
  while (table[i] != item && table[i] != nullptr) ++i;
  return i;  // the position of the terminator for one that is not declared: the host ignores and counts it
}
template <class T>
struct glue;
}  // namespace detail

// Base class of a testlet; Self is the class itself. One instance belongs to one lane: no locks are needed.
template <class Self>
class testlet {
 public:
  static constexpr auto params = todd::params();
  static constexpr auto metrics = todd::metrics();
  static constexpr auto expect = todd::expect();
  static constexpr todd::schedule schedule{};
  static void check(const todd_run&) {}
  void create() {}
  bool judge(uint64_t, uint32_t, std::string_view) { return true; }

  // The value of a declared param. Requires: the param is in Self::params.
  template <class T>
  static T get(const todd_run& run, const param<T>& p) {
    const uint32_t i = detail::index_in(Self::params, &p.raw);
    if (i >= run.n_value)
      throw error(TODD_E_PLUGIN, std::string("param '") + p.raw.name + "' is not declared");
    return detail::value_of<T>(run.value[i]);
  }

 protected:
  testlet() = default;
  testlet(const testlet&) = delete;
  testlet& operator=(const testlet&) = delete;
  ~testlet() = default;

  const todd_host& host() const { return *host_; }
  const todd_run& run() const { return *run_; }
  const todd_lane& lane() const { return *lane_; }  // from start() on
  const todd_net& net() const { return *net_; }     // from start() on
  // TLS and further targets, from start() on. Throws todd::error where the host has none.
  const todd_stream& stream() const {
    if (stream_ == nullptr) throw error(TODD_E_UNSUPPORTED, "this host lacks " TODD_STREAM_1);
    return *stream_;
  }

  // Digests, from start() on. Throws todd::error where the host has none.
  const todd_digest& digest() const {
    if (digest_ == nullptr) throw error(TODD_E_UNSUPPORTED, "this host lacks " TODD_DIGEST_1);
    return *digest_;
  }

  // Bytes moved by the host, from start() on. Throws todd::error where the host does not.
  const todd_bulk& bulk() const {
    if (bulk_ == nullptr) throw error(TODD_E_UNSUPPORTED, "this host lacks " TODD_BULK_1);
    return *bulk_;
  }

  template <class T>
  T operator[](const param<T>& p) const {
    return get(*run_, p);
  }
  // Whether the user gave it. Requires: the param is in Self::params.
  bool is_given(const todd_param* p) const {
    const uint32_t i = detail::index_in(Self::params, p);
    return i < run_->n_value && run_->value[i].given != 0;
  }

  // Within start(): this target cannot be tested as it is given. Its edge is an error with the text, no
  // tickets come for it, and the others go on.
  void refuse(uint32_t target, const std::string& text) {
    if (net_->size <= offsetof(todd_net, refuse)) throw error(TODD_E_PARAM, text);
    net_->refuse(lane_, target, text.data(), text.size());
  }
  // Within step(), see todd_net.
  void finish(uint32_t target) {
    if (net_->size <= offsetof(todd_net, finish))
      throw error(TODD_E_UNSUPPORTED, "this host cannot finish single targets: it is older than the testlet");
    net_->finish(lane_, target);
  }
  // Recording, from start() on. `target`: index of the run's target, or of the peer in role responder.
  void count(const metric<TODD_M_COUNTER>& m, uint32_t target, uint64_t n = 1) {
    record_->count(lane_, index(m), target, n);
  }
  void set(const metric<TODD_M_GAUGE>& m, uint32_t target, double value) {
    record_->set(lane_, index(m), target, value);
  }
  // A negative duration (a clock's doing) is recorded as 0.
  void observe(const metric<TODD_M_HISTOGRAM>& m, uint32_t target, int64_t value) {
    record_->observe(lane_, index(m), target, value > 0 ? static_cast<uint64_t>(value) : 0);
  }
  void tally(const metric<TODD_M_BREAKDOWN>& m, uint32_t target, std::string_view key, uint64_t n = 1) {
    record_->tally(lane_, index(m), target, key.data(), key.size(), n);
  }
  void inform(const metric<TODD_M_INFO>& m, uint32_t target, std::string_view text) {
    record_->info(lane_, index(m), target, text.data(), text.size());
  }
  // An example for people; the host keeps the first five per outcome.
  void note(uint32_t target, const char* outcome, std::string_view text) {
    record_->note(lane_, target, outcome, text.data(), text.size());
  }
  // One row per probe; nothing where the host offers no samples.
  void sample(const todd_sample& s) {
    if (samples_ != nullptr) samples_->sample(lane_, &s);
  }
  // level: 0 debug .. 3 error. For the operator; what the network answered belongs into metrics.
  void log(int level, std::string_view text) const { host_->log(host_, level, text.data(), text.size()); }

  // Opens a flow. On return `flow` has what the host filled in (the bound port). Throws todd::error.
  uint32_t open(todd_flow& flow) {
    uint32_t id = TODD_NONE;
    todd_error why{};
    why.size = sizeof why;
    flow.size = sizeof flow;
    const todd_status status = net_->open(lane_, &flow, &id, &why);
    if (status < 0) throw error(status, why.text[0] != '\0' ? why.text : "the host could not open a flow");
    return id;
  }
  // Makes a TLS context, within start(). Throws todd::error.
  uint32_t tls_context(todd_tls& wanted) {
    uint32_t id = 0;
    todd_error why{};
    why.size = sizeof why;
    wanted.size = sizeof wanted;
    const todd_status status = stream().tls(lane_, &wanted, &id, &why);
    if (status < 0)
      throw error(status, why.text[0] != '\0' ? why.text : "the host could not make a TLS context");
    return id;
  }
  // SHA-256, or HMAC-SHA-256 if key.data() is not null. Throws todd::error.
  uint32_t open_digest(std::string_view key = {}) {
    uint32_t id = 0;
    const todd_status status = digest().open(lane_, key.data(), key.size(), &id);
    if (status < 0) throw error(status, "the host has no room for another digest");
    return id;
  }
  // What is known of a stream's TLS, the certificates in it too or only what comes with the handshake. All 0
  // of a stream without.
  todd_tls_info tls_info(uint64_t id, bool certificates) const {
    todd_tls_info info{};
    info.size = certificates ? sizeof info : offsetof(todd_tls_info, not_before_s);
    if (stream().tls_info(lane_, id, &info) < 0) return {};
    return info;
  }
  // Begins a job on an open stream; `job` is its number. Returns 0 or what is wrong, as todd_bulk.begin.
  todd_status begin_bulk(uint32_t flow, uint64_t stream, todd_bulk_job wanted, uint64_t& job) const {
    wanted.size = sizeof wanted;
    return bulk().begin(lane_, flow, stream, &wanted, &job);
  }
  // A job's counters as of now. All 0 of one that is forgotten.
  todd_bulk_count bulk_count(uint64_t job) const {
    todd_bulk_count counted{};
    counted.size = sizeof counted;
    if (bulk().count(lane_, job, &counted) < 0) return {};
    return counted;
  }
  // A target's facts; its strings live as long as the instance. Throws todd::error for an index out of range.
  todd_target target(uint32_t index) const { return target_facts(index, sizeof(todd_target)); }
  // The same up to peer_token, without strings: costs no memory, of a target that may be one of a million.
  todd_target target_address(uint32_t index) const {
    return target_facts(index, offsetof(todd_target, name));
  }

 private:
  todd_target target_facts(uint32_t index, size_t size) const {
    todd_target t{};
    t.size = static_cast<uint32_t>(size);
    const todd_status status = net_->target(lane_, index, &t);
    if (status < 0) throw error(status, "no target " + std::to_string(index));
    return t;
  }

  template <class T>
  friend struct detail::glue;

  template <int Kind>
  static constexpr uint32_t index(const metric<Kind>& m) {
    return detail::index_in(Self::metrics, &m.raw);
  }
  void attach(const todd_lane* lane) {
    lane_ = lane;
    record_ = static_cast<const todd_record*>(host_->query(host_, TODD_RECORD_1));
    net_ = static_cast<const todd_net*>(host_->query(host_, TODD_NET_1));
    samples_ = static_cast<const todd_samples*>(host_->query(host_, TODD_SAMPLES_1));
    stream_ = static_cast<const todd_stream*>(host_->query(host_, TODD_STREAM_1));
    bulk_ = static_cast<const todd_bulk*>(host_->query(host_, TODD_BULK_1));
    digest_ = static_cast<const todd_digest*>(host_->query(host_, TODD_DIGEST_1));
    if (record_ == nullptr || net_ == nullptr) {
      throw error(TODD_E_UNSUPPORTED, "this host lacks " TODD_RECORD_1 " or " TODD_NET_1);
    }
  }

  const todd_host* host_ = nullptr;
  const todd_run* run_ = nullptr;
  const todd_lane* lane_ = nullptr;
  const todd_record* record_ = nullptr;
  const todd_net* net_ = nullptr;
  const todd_samples* samples_ = nullptr;
  const todd_stream* stream_ = nullptr;
  const todd_bulk* bulk_ = nullptr;
  const todd_digest* digest_ = nullptr;
};

// ---- the boundary

// Runs `body` (returning a status) and turns whatever it throws into a status and, if `out` is given, a text.
template <class Body>
todd_status guard(todd_error* out, Body&& body) noexcept {
  const auto tell = [out](todd_status code, const char* text) {
    if (out != nullptr) {
      out->code = code;
      std::snprintf(out->text, sizeof out->text, "%s", text);
    }
    return code;
  };
  try {
    return body();
  } catch (const error& e) {
    return tell(e.code() < 0 ? e.code() : TODD_E_PLUGIN, e.what());
  } catch (const std::bad_alloc&) {
    return tell(-ENOMEM, "out of memory");
  } catch (const std::exception& e) {
    return tell(TODD_E_PLUGIN, e.what());
  } catch (...) {
    return tell(TODD_E_PLUGIN, "the testlet threw something that is no std::exception");
  }
}

namespace detail {
// The C table of one class.
template <class T>
struct glue {
  static todd_status check(const todd_host*, const todd_run* run, todd_error* out) noexcept {
    return guard(out, [&] {
      T::check(*run);
      return 0;
    });
  }
  static todd_status create(const todd_host* host, const todd_run* run, void** self,
                            todd_error* out) noexcept {
    return guard(out, [&] {
      auto made = std::make_unique<T>();
      made->host_ = host;
      made->run_ = run;
      made->create();
      *self = made.release();
      return 0;
    });
  }
  static todd_status start(void* self, const todd_lane* lane, todd_error* out) noexcept {
    return guard(out, [&] {
      static_cast<T*>(self)->attach(lane);
      static_cast<T*>(self)->start();
      return 0;
    });
  }
  static todd_status step(void* self, todd_batch* batch) noexcept {
    T* it = static_cast<T*>(self);
    todd_error why{};
    const todd_status status = guard(&why, [&] { return it->step(*batch) ? 1 : 0; });
    if (status < 0) it->host_->log(it->host_, 3, why.text, std::strlen(why.text));
    return status;
  }
  static void destroy(void* self) noexcept { delete static_cast<T*>(self); }
  static int32_t judge(void* self, uint64_t user, uint32_t target, const uint8_t* bytes,
                       size_t len) noexcept {
    const todd_status status = guard(nullptr, [&] {
      return static_cast<T*>(self)->judge(user, target, {reinterpret_cast<const char*>(bytes), len}) ? 1 : 0;
    });
    return status == 1;  // what threw has not said that it is one
  }

  static constexpr todd_schedule schedule{sizeof(todd_schedule), 0,
                                          T::schedule.count,     T::schedule.interval,
                                          T::schedule.rate,      T::schedule.duration,
                                          T::schedule.timeout};
  static constexpr todd_testlet table{sizeof(todd_testlet),
                                      T::info.roles,
                                      T::info.needs,
                                      T::info.flags,
                                      T::info.target_kind,
                                      T::info.default_port,
                                      T::info.id,
                                      T::info.version,
                                      T::info.summary,
                                      T::info.doc,
                                      T::params.data(),
                                      T::metrics.data(),
                                      T::expect.data(),
                                      &schedule,
                                      &check,
                                      &create,
                                      &start,
                                      &step,
                                      &destroy,
                                      T::info.raw_when,
                                      &judge};
};
template <class... T>
struct tables {
  static constexpr const todd_testlet* list[] = {&glue<T>::table..., nullptr};
};
template <class... T>
constexpr todd_entry entry() {
  return {sizeof(todd_entry), TODD_MAGIC,        TODD_ABI_MAJOR, TODD_ABI_MINOR, {0, 0},
          kSdkVersion,        tables<T...>::list};
}
}  // namespace detail
}  // namespace todd

// Once per library, at namespace scope: emits the one exported symbol. One or more testlet classes.
#define TODD_REGISTER(...) constexpr todd_entry todd_entry_v0 = ::todd::detail::entry<__VA_ARGS__>();
