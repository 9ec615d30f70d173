#include "tests/support/testlet_host.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "tests/support/testlet_host_parts.h"

namespace todd::test {

namespace {

[[noreturn]] void broken(const std::string& what) {
  throw std::logic_error("testlet broke the contract: " + what);
}

// The values the tests use, in spec syntax: a number and a suffix.
double number_of(const std::string& text) {
  static const std::map<std::string, double> units{
      {"", 1},    {"ns", 1},  {"us", 1e3},  {"ms", 1e6},           {"s", 1e9},      {"k", 1e3},
      {"M", 1e6}, {"G", 1e9}, {"Ki", 1024}, {"Mi", 1024.0 * 1024}, {"kbit/s", 1e3}, {"Mbit/s", 1e6}};
  size_t end = 0;
  const double number = std::stod(text, &end);
  return number * units.at(text.substr(end));
}

int64_t choice_of(const todd_param& p, const std::string& text) {
  const std::string all = std::string("|") + p.choices + "|";
  const size_t at = all.find("|" + text + "|");
  if (at == std::string::npos) throw std::invalid_argument(text);
  int64_t index = 0;
  for (size_t i = 1; i <= at; ++i) index += all[i] == '|';
  return index;
}

todd_value value_of(const todd_param& p, const std::string& text) {
  todd_value v{};
  v.type = p.type;
  switch (p.type) {
    case TODD_P_TEXT:
      v.v.s = text.c_str();
      v.len = static_cast<uint32_t>(text.size());
      break;
    case TODD_P_BOOL: v.v.i = text == "true"; break;
    case TODD_P_CHOICE: v.v.i = choice_of(p, text); break;
    case TODD_P_REAL:
    case TODD_P_RATE:
    case TODD_P_RATIO: v.v.r = number_of(text); break;
    default: v.v.i = static_cast<int64_t>(number_of(text));
  }
  return v;
}

}  // namespace

// The function tables lent to the testlet.
struct TestletHost::Api {
  static TestletHost& of(const todd_lane* lane) { return *static_cast<TestletHost*>(lane->ctx); }
  static void count(const todd_lane* l, uint32_t m, uint32_t t, uint64_t n) { of(l).counters_[{m, t}] += n; }
  static void set(const todd_lane* l, uint32_t m, uint32_t t, double v) { of(l).gauges_[{m, t}] = v; }
  static void observe(const todd_lane* l, uint32_t m, uint32_t t, uint64_t v) {
    of(l).observed_[{m, t}].push_back(v);
  }
  static void tally(const todd_lane* l, uint32_t m, uint32_t t, const char* key, size_t len, uint64_t n) {
    TestletHost& host = of(l);
    const todd_metric& metric = *host.testlet_.metrics[m];
    const std::string name(key, len),
        keys = metric.keys != nullptr ? std::string("|") + metric.keys + "|" : "";
    if (!keys.empty() && keys.find("|" + name + "|") == keys.npos)
      host.undeclared_ = std::string(metric.name) + " has no key " + name;
    host.tallies_[{m, t}][name] += n;
  }
  static void refuse(const todd_lane* l, uint32_t t, const char* text, size_t len) {
    of(l).refused[t] = std::string(text, len);
  }
  static void finish(const todd_lane* l, uint32_t t) {
    if (t >= of(l).options_.targets.size()) broken("finishes a target that is none");
    of(l).finished_targets_.insert(t);
  }
  static void info(const todd_lane* l, uint32_t m, uint32_t t, const char* text, size_t len) {
    of(l).informed_[{m, t}] = std::string(text, len);
  }
  static void note(const todd_lane* l, uint32_t, const char* outcome, const char* text, size_t len) {
    of(l).notes.push_back(std::string(outcome) + ": " + std::string(text, len));
  }
  static void sample(const todd_lane* l, const todd_sample* s) { of(l).samples.push_back(*s); }
  static todd_status target(const todd_lane* l, uint32_t index, todd_target* out) {
    const Options& o = of(l).options_;
    if (index >= o.targets.size()) return -ERANGE;
    const Target& t = o.targets[index];
    out->port = t.peer != nullptr ? t.peer->published_ : t.port;
    out->family = t.family;
    out->peer_token = t.peer_token;
    if (out->size < sizeof *out) return 0;
    out->name = t.name.c_str();
    out->host = t.host.c_str();
    out->url = t.url.c_str();
    out->address_text = t.host.c_str();
    out->clock_offset_ns = t.clock_offset_ns;
    out->clock_error_ns = t.clock_error_ns;
    return 0;
  }
  static todd_status local(const todd_lane* l, uint32_t flow, uint32_t, todd_target* out) {
    out->port = of(l).flows_.at(flow)->port;
    out->family = 4;
    out->address_text = "192.0.2.100";
    return 0;
  }
  static uint32_t peer(const todd_lane* l, uint64_t token) {
    const auto& tokens = of(l).options_.tokens;
    for (uint32_t i = 0; i < tokens.size(); ++i) {
      if (tokens[i] == token) return i;
    }
    return TODD_NONE;
  }
  static void publish(const todd_lane* l, uint16_t port) { of(l).published_ = port; }
  static void ready(const todd_lane* l) { of(l).ready_ = true; }
  static todd_status stream_info(const todd_lane* l, uint64_t stream, todd_stream_info* out) {
    const auto it = of(l).streams_.find(stream);
    if (it == of(l).streams_.end() || !it->second.open) return -ENOENT;
    out->retransmits = of(l).options_.retransmits();
    out->rtt_us = 250;
    out->bytes_acked = it->second.acked;
    return 0;
  }
  static todd_status tls(const todd_lane*, const todd_tls*, uint32_t* context, todd_error*) {
    *context = 1;
    return 0;
  }
  static todd_status tls_info(const todd_lane* l, uint64_t stream, todd_tls_info* out) {
    const auto it = of(l).streams_.find(stream);
    if (it == of(l).streams_.end() || !it->second.open || it->second.script == nullptr) return -ENOENT;
    todd_tls_info whole = it->second.script->tls;
    whole.size = out->size;
    for (const char** text : {&whole.verify_text, &whole.cipher, &whole.alpn, &whole.error, &whole.subject,
                              &whole.issuer, &whole.names, &whole.serial, &whole.fingerprint})
      if (*text == nullptr) *text = "";
    memcpy(out, &whole, std::min<size_t>(out->size, sizeof whole));
    return 0;
  }
  static todd_status add_target(const todd_lane* l, uint32_t, const char* host, uint16_t port,
                                uint32_t* target) {
    auto& targets = of(l).options_.targets;
    *target = static_cast<uint32_t>(targets.size());
    targets.push_back({.name = host, .host = host, .url = "", .port = port, .family = 0});
    return 0;
  }
  static void drop_target(const todd_lane*, uint32_t) {}
  static todd_status open(const todd_lane* l, todd_flow* flow, uint32_t* id, todd_error*) {
    TestletHost& h = of(l);
    auto f = std::make_unique<Flow>();
    const bool bound =
        (flow->flags & TODD_FF_LISTEN) != 0 || (flow->proto == TODD_UDP && h.run_.role == TODD_SOURCE);
    if (bound && flow->local_port == 0) flow->local_port = h.next_port_++;
    f->is = *flow;
    f->port = flow->local_port;
    const uint32_t stride = (std::max(flow->slot_cap, 1u) + 63u) / 64u * 64u;
    f->memory.resize(static_cast<size_t>(stride) * h.options_.slots);
    for (uint32_t i = 0; i < h.options_.slots; ++i) f->free.push_back(i);
    f->slots = {f->memory.data(), nullptr, nullptr, stride, flow->slot_cap, 0, 0};
    *id = static_cast<uint32_t>(h.flows_.size());
    h.flows_.push_back(std::move(f));
    return 0;
  }
  static todd_status open_digest(const todd_lane* l, const void* key, size_t len, uint32_t* digest) {
    std::optional<std::span<const uint8_t>> bytes;
    if (key != nullptr) bytes.emplace(static_cast<const uint8_t*>(key), len);
    *digest = static_cast<uint32_t>(of(l).digests_.size());
    of(l).digests_.push_back(std::make_unique<io::Digest>(bytes));
    return 0;
  }
  static io::Digest& digest(const todd_lane* l, uint32_t number) {
    if (number >= of(l).digests_.size() || of(l).digests_[number] == nullptr)
      broken("a digest that is not open");
    return *of(l).digests_[number];
  }
  static void add_to_digest(const todd_lane* l, uint32_t number, const void* bytes, size_t len) {
    digest(l, number).add({static_cast<const uint8_t*>(bytes), len});
  }
  static void end_digest(const todd_lane* l, uint32_t number, uint8_t* out) {
    const io::Digest::Value value = digest(l, number).end();
    std::memcpy(out, value.data(), value.size());
  }
  static void close_digest(const todd_lane* l, uint32_t number) {
    (void)digest(l, number);
    of(l).digests_[number].reset();
  }
  static int32_t same_bytes(const void* a, const void* b, size_t len) {
    return io::Digest::same(static_cast<const uint8_t*>(a), static_cast<const uint8_t*>(b), len);
  }
  static todd_status begin_bulk(const todd_lane* l, uint32_t flow, uint64_t stream, const todd_bulk_job* job,
                                uint64_t* number) {
    todd_bulk_job whole{};
    std::memcpy(&whole, job, std::min<size_t>(job->size, sizeof whole));
    return of(l).begin_bulk(flow, stream, whole, number);
  }
  static todd_status count_bulk(const todd_lane* l, uint64_t number, todd_bulk_count* out) {
    return of(l).count_bulk(number, out);
  }
  static void stop_bulk(const todd_lane* l, uint64_t number) { of(l).end_bulk(number, 0); }
  static const void* query(const todd_host*, const char* id) {
    static const todd_record record{sizeof record, 0, count, set, observe, tally, info, note};
    static const todd_samples samples{sizeof samples, 0, sample};
    static const todd_net net{sizeof net, 0,           open,  target, peer,  publish,
                              ready,      stream_info, local, refuse, finish};
    static const todd_stream stream{sizeof stream, 0, tls, tls_info, add_target, drop_target};
    const std::string name = id;
    if (name == TODD_STREAM_1) return &stream;
    static const todd_digest digests{sizeof digests, 0,         open_digest, add_to_digest, end_digest,
                                     close_digest,   same_bytes};
    if (name == TODD_DIGEST_1) return &digests;
    static const todd_bulk bulk{sizeof bulk, 0, begin_bulk, count_bulk, stop_bulk};
    if (name == TODD_BULK_1) return &bulk;
    if (name == TODD_RECORD_1) return &record;
    if (name == TODD_SAMPLES_1) return &samples;
    return name == TODD_NET_1 ? &net : nullptr;
  }
  static void log(const todd_host* h, int32_t, const char* text, size_t len) {
    static_cast<TestletHost*>(h->ctx)->logs.emplace_back(text, len);
  }
};

void World::run_for(int64_t duration_ns) {
  const int64_t until = now_ns + duration_ns;
  for (uint64_t turns = 0;; ++turns) {
    if (turns > 50'000'000) broken("the world does not come to rest");
    bool stepped = false;
    for (TestletHost* h : hosts_) {
      if (!h->wants_step()) continue;
      h->step();
      stepped = true;
    }
    if (stepped) continue;
    int64_t next = events_.empty() ? until + 1 : events_.begin()->first;
    for (const TestletHost* h : hosts_) {
      if (!h->may_step()) continue;
      if (h->wake_ns_ != 0) next = std::min(next, h->wake_ns_);
      if (!h->tickets_.empty()) next = std::min(next, h->tickets_.front().due_ns);
    }
    if (next > until) break;
    now_ns = std::max(now_ns, next);
    while (!events_.empty() && events_.begin()->first <= now_ns) {
      const auto what = std::move(events_.begin()->second);
      events_.erase(events_.begin());
      what();
    }
  }
  now_ns = until;
}

TestletHost::TestletHost(World& world, const todd_testlet& testlet, Options options)
    : world_(world), testlet_(testlet), options_(std::move(options)) {
  for (auto p = testlet.params; *p != nullptr; ++p) {
    const auto given = options_.params.find((*p)->name);
    texts_.push_back(given != options_.params.end() ? given->second : (*p)->dflt);
  }
  for (size_t i = 0; i < texts_.size(); ++i) {
    values_.push_back(value_of(*testlet.params[i], texts_[i]));
    values_.back().given = options_.params.contains(testlet.params[i]->name);
  }
  host_ = {sizeof host_, TODD_ABI_MINOR, this, "test", "0", Api::query, Api::log};
  run_.size = sizeof run_;
  run_.role = options_.role;
  run_.flags = options_.flags;
  run_.n_target = options_.role == TODD_SOURCE ? static_cast<uint32_t>(options_.targets.size()) : 0;
  run_.n_value = static_cast<uint32_t>(values_.size());
  run_.run_id = "r1";
  run_.value = values_.data();
  run_.timeout_ns = options_.timeout_ns;
  run_.duration_ns = options_.duration_ns;
  run_.rate = options_.rate;
  run_.n_peer = static_cast<uint32_t>(options_.tokens.size());
  lane_ = {sizeof lane_, 0, &host_, &run_, this};
  world_.hosts_.push_back(this);
}

TestletHost::~TestletHost() {
  std::erase(world_.hosts_, this);
  if (self_ != nullptr) testlet_.destroy(self_);
}

todd_status TestletHost::check() {
  todd_error e{};
  e.size = sizeof e;
  const todd_status status = testlet_.check != nullptr ? testlet_.check(&host_, &run_, &e) : 0;
  error_text = e.text;
  return status;
}

todd_status TestletHost::create() {
  todd_error e{};
  e.size = sizeof e;
  const todd_status status = testlet_.create(&host_, &run_, &self_, &e);
  error_text = e.text;
  return status;
}

todd_status TestletHost::start() {
  if (self_ == nullptr && create() < 0) return TODD_E_PLUGIN;
  todd_error e{};
  e.size = sizeof e;
  const todd_status status = testlet_.start(self_, &lane_, &e);
  error_text = e.text;
  started_ = status >= 0;
  wake_ns_ = world_.now_ns;  // stepped once, with nothing
  return status;
}

void TestletHost::ticket(uint32_t target, uint32_t round, int64_t due_ns) {
  tickets_.push_back({due_ns, target, round});
}

void TestletHost::begin(int64_t duration_ns) {
  state_ = TODD_RUNNING;
  finished_targets_.clear();
  start_ns_ = world_.now_ns;
  deadline_ns_ = duration_ns != 0 ? start_ns_ + duration_ns : 0;
  wake_ns_ = world_.now_ns;
}

void TestletHost::warm_up() {
  begin();
  state_ = TODD_WARMING_UP;
}

void TestletHost::cancel() {
  state_ = TODD_CANCELLED;
  while (!pending_.empty()) complete(pending_.begin()->first, -ECANCELED);
  for (const auto& [number, bulk] : bulks_) end_bulk(number, -ECANCELED);
  wake_ns_ = world_.now_ns;
}

size_t TestletHost::open_streams() const {
  size_t n = 0;
  for (const auto& [id, s] : streams_) n += s.open;
  return n;
}

size_t TestletHost::open_digests() const {
  return digests_.size() - static_cast<size_t>(std::count(digests_.begin(), digests_.end(), nullptr));
}

// A source that has said ready is not stepped until the START.
bool TestletHost::may_step() const {
  return started_ && status_ == 0 && (state_ != TODD_PREPARED || !ready_ || options_.role != TODD_SOURCE);
}

bool TestletHost::wants_step() const {
  if (!may_step()) return false;
  return !ready_done_.empty() || (wake_ns_ != 0 && wake_ns_ <= world_.now_ns) ||
         (!tickets_.empty() && tickets_.front().due_ns <= world_.now_ns);
}

void TestletHost::fill_done(std::vector<todd_done>& done, std::vector<std::string>& bytes) {
  for (auto& f : flows_) f->received.clear();
  while (!ready_done_.empty() && done.size() < options_.max_done) {
    done.push_back(ready_done_.front().first);
    bytes.push_back(std::move(ready_done_.front().second));
    ready_done_.pop_front();
    todd_done& d = done.back();
    if (bytes.back().empty()) continue;
    auto& area = flows_[d.flow]->received;
    area.resize((area.size() + 63) / 64 * 64);
    d.slot = static_cast<uint32_t>(area.size() / 64);
    d.len = static_cast<uint32_t>(bytes.back().size());
    area.insert(area.end(), bytes.back().begin(), bytes.back().end());
  }
}

std::vector<todd_ticket> TestletHost::due_tickets() {
  std::vector<todd_ticket> due = std::move(kept_);
  kept_.clear();
  if (state_ != TODD_RUNNING && state_ != TODD_WARMING_UP) due.clear();
  for (auto& ticket : due) ticket.due_ns = world_.now_ns;
  while (!tickets_.empty() && tickets_.front().due_ns <= world_.now_ns) {
    if (!finished_target(tickets_.front().target)) due.push_back(tickets_.front());
    tickets_.pop_front();
  }
  return due;
}

void TestletHost::step() {
  std::vector<todd_done> done;
  std::vector<std::string> bytes;
  fill_done(done, bytes);
  const std::vector<todd_ticket> due = due_tickets();
  std::vector<todd_ticket> dropped;
  std::vector<todd_op> ops(options_.cap_op);
  std::vector<todd_slots*> slots;
  for (auto& f : flows_) {
    f->slots.free = f->free.data();
    f->slots.received = f->received.data();
    f->slots.n_free = static_cast<uint32_t>(f->free.size());
    f->slots.taken = 0;
    slots.push_back(&f->slots);
  }
  todd_batch b{};
  b.size = sizeof b;
  b.state = state_;
  b.now_ns = world_.now_ns;
  b.start_ns = start_ns_;
  b.deadline_ns = deadline_ns_;
  b.wall_minus_host_ns = options_.wall_minus_host_ns;
  b.done = done.data();
  b.n_done = static_cast<uint32_t>(done.size());
  b.ticket = due.data();
  b.n_ticket = static_cast<uint32_t>(due.size());
  b.op = ops.data();
  b.cap_op = options_.cap_op;
  b.slots = slots.data();
  b.n_flow = static_cast<uint32_t>(slots.size());
  status_ = testlet_.step(self_, &b);
  wake_ns_ = b.wake_ns;
  if (b.n_op > b.cap_op) broken("more operations than cap_op");
  if (b.served > b.n_ticket) broken("more tickets served than offered");
  if (!undeclared_.empty()) broken(undeclared_);
  auto& left = std::isinf(run_.rate) ? kept_ : dropped;
  std::copy_if(due.begin() + b.served, due.end(), std::back_inserter(left),
               [this](const todd_ticket& ticket) { return !finished_target(ticket.target); });
  dropped_tickets_ += static_cast<uint32_t>(dropped.size());
  for (uint32_t i = 0; i < b.n_op; ++i) accept(ops[i]);
}

void TestletHost::accept(const todd_op& op) {
  operations.push_back(op);
  const bool probes = op.code == TODD_OP_EXCHANGE || (op.flags & TODD_OF_PROBE) != 0;
  if (probes && finished_target(op.target)) broken("a probe to a target that it has finished");
  if (op.flow >= flows_.size()) broken("operation on a flow that is not open");
  std::string payload;
  if (op.slot != TODD_NONE) {
    Flow& f = *flows_[op.flow];
    const auto front = f.free.begin() + f.slots.taken;
    const auto it = std::find(f.free.begin(), front, op.slot);
    if (it == front) broken("slot was not taken in this step, or named twice");
    if (op.len > f.slots.cap) broken("payload is longer than a slot");
    const auto* data =
        reinterpret_cast<const char*>(f.memory.data()) + static_cast<size_t>(op.slot) * f.slots.stride;
    payload.assign(data, op.len);
    f.free.erase(it);
    --f.slots.taken;
  }
  perform(op, std::move(payload));
}

void TestletHost::perform(const todd_op& op, std::string payload) {
  switch (op.code) {
    case TODD_OP_EXCHANGE: return exchange(op, std::move(payload));
    case TODD_OP_SEND:
      return flows_[op.flow]->is.proto == TODD_TCP || flows_[op.flow]->is.proto == TODD_PEERS
                 ? send_stream(op, std::move(payload))
                 : send_datagram(op, std::move(payload));
    case TODD_OP_TIMER: return complete_at(op.at_ns, add_pending(op), 0);
    case TODD_OP_RESOLVE: {
      const int64_t timeout = op.timeout_ns != 0 ? op.timeout_ns : options_.timeout_ns;
      if (options_.resolve_ns > timeout)
        return complete_at(world_.now_ns + timeout, add_pending(op), -ETIMEDOUT);
      const int result =
          options_.resolve ? options_.resolve(options_.targets.at(op.target).host) : options_.resolve_result;
      return complete_at(world_.now_ns + options_.resolve_ns, add_pending(op), result);
    }
    case TODD_OP_CONNECT: return connect(op);
    case TODD_OP_LISTEN: {
      Flow& f = *flows_[op.flow];
      if (f.port == 0) f.port = next_port_++;
      f.listening = !listen_fails;
      f.listen_user = op.user;
      return complete_at(world_.now_ns, add_pending(op), listen_fails ? -EADDRINUSE : 0, 0, f.port);
    }
    case TODD_OP_RECV: {
      const auto it = streams_.find(op.key);
      if (it == streams_.end() || !it->second.open)
        return complete_at(world_.now_ns, add_pending(op), -ENOTCONN);
      it->second.receiving = true;
      it->second.recv_user = op.user;
      it->second.recv_pending = add_pending(op);
      return pump(op.key);
    }
    case TODD_OP_SHUTDOWN: return shutdown(op);
    case TODD_OP_CLOSE: return close(op);
    case TODD_OP_TLS: return handshake(op, std::move(payload));
    default: broken("unknown operation " + std::to_string(op.code));
  }
}

uint64_t TestletHost::add_pending(const todd_op& op) {
  pending_.emplace(next_id_, Pending{op, world_.now_ns});
  return next_id_++;
}

void TestletHost::complete_at(int64_t when, uint64_t id, int32_t result, uint64_t arg, uint16_t port) {
  world_.at(when, [this, id, result, arg, port] { complete(id, result, 0, {}, arg, port); });
}

void TestletHost::complete(uint64_t id, int32_t result, uint16_t flags, std::string bytes, uint64_t arg,
                           uint16_t port, uint8_t ttl, uint8_t tos) {
  const auto it = pending_.find(id);
  if (it == pending_.end()) return;  // cancelled meanwhile
  const todd_op& op = it->second.op;
  todd_done d{};
  d.user = op.user;
  d.code = op.code;
  d.flags = flags;
  d.flow = op.flow;
  d.target = op.target;
  d.slot = TODD_NONE;
  d.result = result;
  d.tx_ns = it->second.since_ns;
  d.rx_ns = world_.now_ns;
  d.ttl = ttl;
  d.tos = tos;
  d.arg = op.code == TODD_OP_EXCHANGE ? static_cast<uint64_t>(op.at_ns) : arg != 0 ? arg : op.key;
  d.port = port;
  if (op.slot != TODD_NONE) flows_[op.flow]->free.push_back(op.slot);
  pending_.erase(it);
  ready_done_.emplace_back(d, std::move(bytes));
}

uint32_t TestletHost::metric_index(const std::string& name) const {
  for (uint32_t i = 0; testlet_.metrics[i] != nullptr; ++i) {
    if (name == testlet_.metrics[i]->name) return i;
  }
  throw std::logic_error("no metric '" + name + "'");
}

uint64_t TestletHost::counter(const std::string& m, uint32_t t) const {
  const auto it = counters_.find({metric_index(m), t});
  return it == counters_.end() ? 0 : it->second;
}
double TestletHost::gauge(const std::string& m, uint32_t t) const {
  const auto it = gauges_.find({metric_index(m), t});
  return it == gauges_.end() ? -1 : it->second;
}
std::vector<uint64_t> TestletHost::observed(const std::string& m, uint32_t t) const {
  const auto it = observed_.find({metric_index(m), t});
  return it == observed_.end() ? std::vector<uint64_t>{} : it->second;
}
std::string TestletHost::information(const std::string& metric, uint32_t target) const {
  const auto it = informed_.find({metric_index(metric), target});
  return it == informed_.end() ? "" : it->second;
}

uint64_t TestletHost::tally(const std::string& m, const std::string& key, uint32_t t) const {
  const auto it = tallies_.find({metric_index(m), t});
  if (it == tallies_.end() || !it->second.contains(key)) return 0;
  return it->second.at(key);
}

}  // namespace todd::test
