#include "plugins/http/probe.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "plugins/http/decode.h"
#include "plugins/http/url.h"

namespace todd::http {
namespace {

constexpr uint64_t kMaxDigests = 65536;            // of an instance
constexpr uint32_t kMaxRequest = 4 * 1024 * 1024;  // the largest slot a host gives

}  // namespace

void Http::check(const todd_run& run) { (void)Settings(run); }

// ---- start

void Http::start() {
  settings_.emplace(run());
  if (run().role == TODD_SOURCE) return start_source();
  start_responder();
}

uint32_t Http::tls_flags() const {
  uint32_t flags = 0;
  if ((*this)[insecure]) flags |= TODD_TLF_INSECURE;
  if ((*this)[resume]) flags |= TODD_TLF_RESUME;
  return flags;
}

uint32_t Http::make_tls(uint32_t flags, const char* protocols, bool own_certificate) {
  const std::string trusted = pem_of("authorities", (*this)[authorities]);
  std::string chain, private_key;
  if (own_certificate) {
    chain = pem_of("certificate", (*this)[certificate]);
    private_key = (*this)[key];
  }
  if (chain.empty() != private_key.empty())
    throw error(TODD_E_PARAM,
                chain.empty() ? "key: is of no use without certificate" : "certificate: needs key");
  const auto given = [](const std::string& text) { return text.empty() ? nullptr : text.c_str(); };
  todd_tls wanted{};
  wanted.flags = flags;
  wanted.min_version = (*this)[tls_min] == 0 ? TODD_TLS_1_2 : TODD_TLS_1_3;
  wanted.max_version = (*this)[tls_max] == 0 ? TODD_TLS_1_2 : TODD_TLS_1_3;
  wanted.alpn = protocols;
  wanted.authorities = given(trusted);
  wanted.certificate = given(chain);
  wanted.key = given(private_key);
  try {
    return tls_context(wanted);
  } catch (const error& e) {
    throw error(e.code() == -EINVAL ? TODD_E_PARAM : e.code(), e.what());  // it is of what was given
  }
}

void Http::start_responder() {
  todd_flow flow{};
  flow.proto = TODD_TCP;
  flow.flags = TODD_FF_LISTEN;
  flow.slot_cap = kPiece;
  flow_ = open(flow);
  const bool https = (*this)[scheme] == 1;
  if (!https && !(*this)[certificate].empty())
    throw error(TODD_E_PARAM, "certificate: is of no use without scheme: https");
  responder_ = std::make_unique<Responder>(static_cast<uint64_t>((*this)[response_size]));
  responder_->open(flow_, https ? make_tls(TODD_TLF_SERVER, "http/1.1") : 0);
}

void Http::start_source() {
  if (settings_->checks.wants_hash()) {
    (void)digest();  // or it is refused here
    // Each call under way has one, and the fetch of a token may take a call more.
    if (uint64_t{run().n_target} * settings_->connections * settings_->streams >= kMaxDigests)
      throw error(
          TODD_E_PARAM,
          "check 'hash': targets times connections times streams must be less than 65536, which hashes a "
          "lane has room for; lower connections or streams");
  }
  targets_.resize(run().n_target);
  std::size_t longest = kPiece;
  if (settings_->proxy && stream().add_target(&lane(), TODD_NONE, settings_->proxy->host().c_str(),
                                              settings_->proxy->port(), &proxy_target_) < 0)
    throw error(TODD_E_UNSUPPORTED, "proxy: this host cannot take one");
  bool https = false;
  for (uint32_t i = 0; i < run().n_target; ++i) {
    prepare_target(i);
    const Target& t = targets_[i];
    https |= t.endpoint.https;
    if (t.request) longest = std::max({longest, t.request->wire().size(), t.endpoint.way.size()});
  }
  if (const auto& asks = settings_->token_request) {
    longest = std::max(longest + kMaxToken + 64, Request(*asks).wire().size());  // 64: of the header
    if (settings_->proxy) longest = std::max(longest, settings_->proxy->way_to(asks->url).size());
  }
  if (longest > kMaxRequest) throw error(TODD_E_PARAM, "body: a request has room for 4 MiB");
  const std::string control((*this)[congestion]);
  todd_flow flow{};
  flow.proto = TODD_TCP;
  flow.slot_cap = static_cast<uint32_t>(longest);
  slot_cap_ = longest;
  flow.mss = static_cast<uint32_t>((*this)[mss]);
  flow.congestion = control.empty() ? nullptr : control.c_str();
  flow.slots =
      std::clamp(run().n_target * settings_->connections, 64u, 1024u);  // a stalled server holds some
  try {
    flow_ = open(flow);
  } catch (const error& e) {
    throw error(control.empty() && flow.mss == 0 ? e.code() : TODD_E_PARAM, e.what());
  }
  if (https || settings_->follow != 0) {
    static constexpr const char* kProtocols[] = {"h2,http/1.1", "http/1.1", "h2"};
    const uint32_t flags = tls_flags();
    const char* const protocols = kProtocols[static_cast<size_t>(settings_->version)];
    tls_context_ = make_tls(flags, protocols);
    foreign_tls_context_ = settings_->follow != 0 ? make_tls(flags, protocols, false) : tls_context_;
  }
  if (settings_->token_request) return prepare_tokens();
  said_ready_ = true;
  net().ready(&lane());
}

void Http::prepare_target(uint32_t index) {
  const todd_target facts = target(index);
  const std::string host_name = facts.host != nullptr ? facts.host : "";
  const std::string given = facts.url != nullptr ? facts.url : "";
  Target& t = targets_[index];
  RequestSpec spec = settings_->request;
  try {
    if (given.find("://") != std::string::npos) {
      for (const auto* p : {&path.raw, &scheme.raw})
        if (is_given(p))
          throw error(TODD_E_PARAM,
                      std::string(p->name) + ": the target is a URL, which says that; leave it out");
      spec.url = parse_url(given);
    } else {
      const std::string host =
          !host_name.empty() || facts.address_text == nullptr ? host_name : facts.address_text;
      spec.url.host = host;
      spec.url.port = facts.port;
      spec.url.authority = authority_of(host, facts.port, spec.url.https ? 443 : 80);
    }
    if (settings_->proxy && settings_->version == Version::k2 && !spec.url.https)
      throw error(TODD_E_PARAM,
                  "http: 2 goes through a proxy over TLS alone; leave it out, or ask for https");
    t.request = std::make_shared<const Request>(spec);
  } catch (const error& e) {
    return refuse(index, e.what());
  }
  t.url = spec.url;
  t.name = spec.method + " " + spec.url.text();
  t.endpoint.target = index;
  t.endpoint.port = facts.port != 0 ? 0 : spec.url.effective_port();
  t.endpoint.https = spec.url.https;
  t.endpoint.named = !is_literal(host_name);
  t.endpoint.resolves = facts.family == 0 || (!given.empty() && !host_name.empty() && t.endpoint.named);
  t.endpoint.server_name = server_name_of(spec);
  if (settings_->proxy) go_by_proxy(t.endpoint, spec.url);
}

void Http::go_by_proxy(Endpoint& to, const Url& url) const {
  to.target = proxy_target_;
  to.port = 0;
  to.resolves = true;
  to.named = !is_literal(settings_->proxy->host());
  to.way = url.https ? settings_->proxy->way_to(url) : "";
}

// The name that a certificate must be for: the one asked for, of Host, or of the URL.
std::string Http::server_name_of(const RequestSpec& spec) const {
  if (!settings_->server_name.empty()) return settings_->server_name;
  if (spec.host.empty()) return spec.url.host;
  return parse_url((spec.url.https ? "https://" : "http://") + spec.host).host;
}

// ---- step

bool Http::step(todd_batch& b) {
  if (run().role == TODD_SOURCE) {
    if (b.state == TODD_CANCELLED) return cancelled(b);
    step_source(b);
    const bool over = b.state == TODD_DRAINING && wind_up(b.now_ns);
    outbox_.flush(b);
    return over && outbox_.empty();
  }
  const bool listening = responder_->port() != 0;
  responder_->step(b);
  if (!listening && responder_->port() != 0) {
    net().publish(&lane(), responder_->port());
    net().ready(&lane());
  }
  return b.state == TODD_DRAINING || b.state == TODD_CANCELLED;
}

void Http::step_source(todd_batch& b) {
  wall_offset_ns_ = b.wall_minus_host_ns;
  if (!forsaken_.empty()) drop_forsaken();
  if (tokens_) {
    begin_anew(b);
    see_gate(b.now_ns);
  }
  for (uint32_t i = 0; i < b.n_done; ++i) take(b, b.done[i]);
  expire(b);
  end_pauses(b.now_ns);
  const bool unpaced = std::isinf(run().rate);  // as fast as served: without a connection the host keeps it
  const auto takes = [&](uint32_t target) { return !waits_for_token(target) && has_room(targets_[target]); };
  while (b.served < b.n_ticket && (!unpaced || takes(b.ticket[b.served].target)))
    due(b, b.ticket[b.served++]);
  if (tokens_) {
    if (!said_ready_) get_ready(b);
    tend_tokens(b);
  }
  write(b);
  if (!deadlines_.empty()) wake_by(b, deadlines_.front().at_ns);
  if (!pauses_.empty()) wake_by(b, pauses_.front().until_ns);
}

// What ended before the cancellation is recorded as ever; the rest is not forgotten.
bool Http::cancelled(todd_batch& b) {
  for (uint32_t t = 0; t < targets_.size(); ++t) {
    count(dropped, t, targets_[t].n_waiting);
    targets_[t].n_waiting = 0;
  }
  for (uint32_t i = 0; i < b.n_done; ++i) {
    if (b.done[i].result != -ECANCELED) take(b, b.done[i]);
  }
  for (uint32_t i = 0; i < calls_.size(); ++i) {
    if (calls_[i].serial != 0) fail(i, "cancelled", "the test ended before the response", b.now_ns);
  }
  return true;
}

// When draining: once every request has ended, closes the idle connections and says true.
bool Http::wind_up(int64_t now_ns) {
  if (active_ != 0) return false;
  for (uint32_t i = 0; i < connections_.size(); ++i) {
    if (connections_[i].phase == Connection::Phase::free) continue;
    connections_[i].last = true;
    settle(i, now_ns);
  }
  return true;
}

// ---- requests

bool Http::has_connection(const Target& t) const {
  return !t.spare.empty() || t.open < settings_->connections;
}

// For a request that has not begun.
bool Http::has_room(const Target& t) const {
  return t.homeless.empty() && has_connection(t) &&
         t.active + t.thinking < settings_->connections * settings_->streams;
}

// Workers that have paused for long enough take requests again.
void Http::end_pauses(int64_t now_ns) {
  for (; !pauses_.empty() && pauses_.front().until_ns <= now_ns; pauses_.pop_front())
    --targets_[pauses_.front().target].thinking;
}

void Http::due(todd_batch& b, const todd_ticket& ticket) {
  Target& t = targets_[ticket.target];
  const Due what{ticket.due_ns, ticket.round};
  if (t.n_waiting == 0 && !waits_for_token(ticket.target) && has_room(t)) {
    begin(ticket.target, what, b.now_ns);
  } else if (t.n_waiting < kQueue) {
    t.waiting[t.n_waiting++] = what;
    begin_waiting(ticket.target, b.now_ns);
  } else {
    count(dropped, ticket.target);
  }
}

uint32_t Http::new_call(uint32_t target, int64_t now_ns) {
  if (free_calls_.empty()) {
    free_calls_.push_back(static_cast<uint32_t>(calls_.size()));
    calls_.emplace_back();
  }
  const uint32_t index = free_calls_.back();
  free_calls_.pop_back();
  Call& call = calls_[index];
  call.serial = ++serial_;
  call.target = target;
  call.start_ns = now_ns;
  call.begin_again();
  call.retried = call.fetches = false;
  call.token_number = 0;
  ++active_;
  deadlines_.push_back({now_ns + run().timeout_ns, index, serial_});
  return index;
}

void Http::end_call(uint32_t index) {
  --active_;
  calls_[index].serial = 0;
  calls_[index].request.reset();
  free_calls_.push_back(index);
}

// Requires: has_room(target), and the gate is not to be waited for.
void Http::begin(uint32_t target, Due due, int64_t now_ns) {
  const uint32_t index = new_call(target, now_ns);
  Call& call = calls_[index];
  call.due = due;
  Target& t = targets_[target];
  ++t.active;
  if (t.active > t.most_active) {
    t.most_active = t.active;
    set(in_flight, target, t.active);
  }
  prepare_inquiry(call);
  if (gate_ == Gate::shut) {
    asker_ = target;
    return fail(index, "token", tokens_->why(), now_ns);
  }
  if (tokens_) authorize(call);
  assign(index, t.spare.empty() ? new_connection(target, nullptr) : t.spare.back(), now_ns);
}

// Where answers are looked at: what for, made once for a call and used again.
void Http::prepare_inquiry(Call& call) {
  const Settings& s = *settings_;
  if (!s.looks_at_heads() && !s.looks_at_bodies()) return;
  if (call.inquiry == nullptr) {
    call.inquiry = std::make_unique<Inquiry>();
    std::optional<HostDigest> hash;
    if (s.checks.wants_hash()) hash.emplace(HostDigest{digest(), &lane(), open_digest()});
    if (s.looks_at_bodies())
      call.inquiry->keeper = std::make_unique<BodyKeeper>(s.checks.wants_body() ? s.checked_body : 0, hash);
    if (s.compressed) call.inquiry->decoder = std::make_unique<Decoder>(*call.inquiry->keeper, s.max_body);
  }
  call.inquiry->request.reset();
  call.inquiry->redirects.reset();
}

const Request& Http::request_of(const Call& call) const {
  if (call.inquiry != nullptr && call.inquiry->request) return *call.inquiry->request;
  return call.request != nullptr ? *call.request : *targets_[call.target].request;
}

Want Http::want_of(const Call& call) const {
  Want want;
  want.max_body = call.fetches ? kMaxTokenAnswer : settings_->max_body;
  want.bodiless = request_of(call).bodiless();
  if (call.inquiry == nullptr) return want;
  if (settings_->looks_at_heads() && !call.fetches) want.headers = &call.inquiry->headers;
  want.body = call.inquiry->decoder != nullptr ? call.inquiry->decoder.get() : call.inquiry->keeper.get();
  return want;
}

// Why a call has not ended in time.
const char* Http::what_takes_long(const Call& call) const {
  if (call.connection == TODD_NONE) return "no connection was free";
  switch (connections_[call.connection].phase) {
    case Connection::Phase::resolving: return "resolving the name took too long";
    case Connection::Phase::connecting: return "the connection took too long";
    case Connection::Phase::asking: return "the proxy took too long to open the way";
    case Connection::Phase::shaking: return "the TLS handshake took too long";
    default: break;
  }
  if (call.sent_ns == 0) return "the request could not be sent in time";
  return call.first_ns == 0 ? "no response in time: not a byte came"
                            : "the response was not complete in time";
}

void Http::expire(todd_batch& b) {
  while (!deadlines_.empty()) {
    const Deadline due = deadlines_.front();
    const bool over = calls_[due.call].serial != due.serial;  // what has ended is not kept until its time
    if (!over && due.at_ns > b.now_ns) return;
    deadlines_.pop_front();
    if (over) continue;
    const char* const what = what_takes_long(calls_[due.call]);
    if (const uint32_t on = calls_[due.call].connection; on != TODD_NONE && connections_[on].sends != 0)
      connections_[on].last = true;  // it may take nothing any more: the next ones go by another
    fail(due.call, "timeout", what, b.now_ns);
  }
}

// ---- the end

// What is on the connection for the call ends with it, if anything is.
void Http::fail(uint32_t index, const char* reason, const std::string& text, int64_t now_ns) {
  const Call& call = calls_[index];
  const uint32_t t = call.target;
  if (call.fetches) return token_failed(index, text, now_ns);
  count(failed, t);
  tally(reasons, t, reason);
  note(t, reason, targets_[t].name + ": " + hide(text));
  record_sample(call, reason, -1);
  finish(index, now_ns);
}

// The call is over.
void Http::finish(uint32_t index, int64_t now_ns) {
  Call& call = calls_[index];
  Target& t = targets_[call.target];
  --t.active;
  if (settings_->think_ns != 0) {
    ++t.thinking;
    pauses_.push_back({now_ns + settings_->think_ns, call.target});
  }
  if (call.inquiry != nullptr && call.inquiry->request) tell_hops(call);
  const uint32_t target = call.target;
  unassign(index, now_ns);
  end_call(index);
  begin_waiting(target, now_ns);
}

// Where there is room: first the calls that lost their connection, then what has not begun.
void Http::begin_waiting(uint32_t target, int64_t now_ns) {
  Target& t = targets_[target];
  while (!t.homeless.empty() && has_connection(t)) {
    const auto [index, serial] = t.homeless.front();
    t.homeless.erase(t.homeless.begin());
    if (calls_[index].serial != serial) continue;  // it has ended meanwhile
    assign(index, t.spare.empty() ? new_connection(target, nullptr) : t.spare.back(), now_ns);
  }
  while (t.n_waiting != 0 && !waits_for_token(target) && has_room(t)) {
    const Due next = t.waiting[0];
    t.waiting[0] = t.waiting[1];
    --t.n_waiting;
    begin(target, next, now_ns);
  }
}

void Http::record_sample(const Call& call, const char* outcome, int64_t rtt_ns) {
  todd_sample s{};
  s.at_ns = call.start_ns;
  s.rtt_ns = rtt_ns;
  s.seq = call.due.round;
  s.target = call.target;
  s.tx_src = s.rx_src = TODD_TS_USER;
  memcpy(s.outcome, outcome, std::min(strlen(outcome), sizeof s.outcome));
  sample(s);
}

}  // namespace todd::http
