// How the connections of the http testlet come to stand: names, TCP, the way through a proxy, TLS.
#include <arpa/inet.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "plugins/http/probe.h"

namespace todd::http {
namespace {

using Phase = Connection::Phase;
constexpr int64_t kDescribeEveryNs = 1'000'000'000;

double days(int64_t until_s, int64_t now_s) { return static_cast<double>(until_s - now_s) / 86400.0; }

std::string date(int64_t unix_s) {
  const time_t at = unix_s;
  tm parts{};
  gmtime_r(&at, &parts);
  char text[32];
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

const char* version_name(uint16_t version) {
  return version == TODD_TLS_1_3 ? "1.3" : version == TODD_TLS_1_2 ? "1.2" : "older";
}

}  // namespace

bool is_literal(const std::string& host) {
  uint8_t address[16];
  const std::string bare = host.substr(0, host.find('%'));
  return inet_pton(AF_INET, bare.c_str(), address) == 1 || inet_pton(AF_INET6, bare.c_str(), address) == 1;
}

const char* reason_of(int positive_errno) {
  switch (positive_errno) {
    case ECONNREFUSED: return "refused";
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED: return "reset";
    case ETIMEDOUT: return "timeout";
    case EHOSTUNREACH:
    case ENETUNREACH: return "unreachable";
    case EACCES:
    case EPERM: return "denied";
    case EKEYREJECTED: return "certificate";
    case EPROTO: return "tls";
    default: return "local";
  }
}

// What a new connection has spent in its phase, which ends now.
void Http::time_phase(const todd::metric<TODD_M_HISTOGRAM>& phase, const Connection& c, int64_t now_ns) {
  if (!endpoint_of(c).for_token) observe(phase, c.target, now_ns - c.phase_ns);
}

void Http::open_stream(uint32_t index, int64_t now_ns) {
  Connection& c = connections_[index];
  const Endpoint& to = endpoint_of(c);
  if (!to.resolves) return begin_connecting(index, now_ns);
  c.phase_ns = now_ns;
  c.phase = Phase::resolving;
  outbox_.put(target_op(TODD_OP_RESOLVE, flow_, to.target, user_of(index), run().timeout_ns));
}

void Http::begin_connecting(uint32_t index, int64_t now_ns) {
  Connection& c = connections_[index];
  const Endpoint& to = endpoint_of(c);
  c.phase_ns = now_ns;
  c.phase = Phase::connecting;
  todd_op op = target_op(TODD_OP_CONNECT, flow_, to.target, user_of(index), run().timeout_ns);
  op.port = to.port;
  op.tos = settings_->tos;
  outbox_.put(op);
}

void Http::resolved(uint32_t index, const todd_done& d, int64_t now_ns) {
  Connection& c = connections_[index];
  const Endpoint& to = endpoint_of(c);
  if (d.result == -EACCES)
    return lost(index, "denied",
                to.target == proxy_target_ || to.for_token
                    ? whose(to) + "this host sends nothing to its address"
                    : to.server_name + ": this host tests no such address on another's word",
                now_ns);
  if (d.result < 0)
    return lost(index, d.result == -ETIMEDOUT ? "timeout" : "resolve",
                whose(to) + "the name has no address: " + std::string(strerror(-d.result)), now_ns);
  if (to.named) time_phase(resolve, c, d.rx_ns);
  begin_connecting(index, now_ns);
}

// For people: what the next words are about, where that is not the target itself.
std::string Http::whose(const Endpoint& to) const {
  return to.target == proxy_target_ ? settings_->proxy->name() + ": " : "";
}

void Http::connected(uint32_t index, const todd_done& d) {
  Connection& c = connections_[index];
  const Endpoint& to = endpoint_of(c);
  if (d.result < 0)
    return lost(index, reason_of(-d.result), whose(to) + "connecting: " + strerror(-d.result), d.rx_ns);
  c.stream = d.arg;
  time_phase(connect, c, d.rx_ns);
  if (to.https && to.way.empty()) return begin_handshake(index, d.rx_ns);
  outbox_.put(stream_op(TODD_OP_RECV, flow_, c.stream, user_of(index)));
  if (!to.https) return ready(index, d.rx_ns);
  c.phase = Phase::asking;
  c.phase_ns = d.rx_ns;
  want_to_write(index);
}

bool Http::ask_way(todd_batch& b, uint32_t index) {
  Connection& c = connections_[index];
  const std::string& way = endpoint_of(c).way;
  if (!can_send(b, flow_)) return false;
  const uint32_t slot = take_slot(b, flow_);
  memcpy(slot_data(b, flow_, slot), way.data(), way.size());
  put_send(b, index, slot, way.size());
  Want want;
  want.max_body = 0;
  want.bodiless = true;  // what follows the head is of the way, not of the answer
  c.reader.reset(want);
  c.reading = true;
  return true;
}

// What the proxy says to CONNECT. Whatever it is but a way, the proxy is to blame.
void Http::read_way(uint32_t index, std::string_view piece) {
  Connection& c = connections_[index];
  const Read read = piece.empty() ? c.reader.end() : c.reader.put(piece);
  if (read == Read::kMore) return;
  const std::string_view way = endpoint_of(c).way;
  const std::string to = std::string(way.substr(0, std::min(way.find(" HTTP/"), size_t{160})));
  const auto no = [&](const std::string& why) {
    lost(index, "proxy", settings_->proxy->name() + ": " + why, rx_ns_);
  };
  if (read == Read::kFailed) return no(c.reader.detail());
  const int code = c.reader.status();
  if (code < 200 || code > 299)
    return no(to + ": " + std::to_string(code) + (code == 407 ? ", it wants other credentials" : ""));
  if (c.reader.has_more()) return no(to + ": something came before anything was asked there");
  c.reading = false;
  time_phase(proxy_time, c, rx_ns_);
  begin_handshake(index, rx_ns_);
}

// What came over the way before TLS reads it: nobody was asked anything there yet.
void Http::spoil_way(const todd_batch& b, uint32_t index, const todd_done& d) {
  const Connection& c = connections_[index];
  const bool ended = d.result < 0 || payload(b, d).empty();
  if (ended && !c.greets)
    return lost(index, "reset", "TLS: the connection ended during the handshake", d.rx_ns);
  lost(index, "proxy",
       whose(endpoint_of(c)) + (ended ? "it closed the way as soon as it had opened it"
                                      : "something came over the way before anything was asked there"),
       d.rx_ns);
}

void Http::begin_handshake(uint32_t index, int64_t now_ns) {
  Connection& c = connections_[index];
  c.phase = Phase::shaking;
  c.phase_ns = now_ns;
  c.greets = true;
  want_to_write(index);
}

bool Http::greet(todd_batch& b, uint32_t index) {
  Connection& c = connections_[index];
  if (!can_send(b, flow_)) return false;
  const std::string& name = endpoint_of(c).server_name;
  todd_op op = stream_op(TODD_OP_TLS, flow_, c.stream, user_of(index));
  op.slot = take_slot(b, flow_);
  op.len = static_cast<uint32_t>(name.copy(reinterpret_cast<char*>(slot_data(b, flow_, op.slot)), 255));
  op.timeout_ns = run().timeout_ns;
  op.arg = endpoint_of(c).for_token ? token_tls_context_
           : endpoint_of(c).foreign ? foreign_tls_context_
                                    : tls_context_;
  put(b, op);
  c.greets = false;
  return true;
}

void Http::shaken(uint32_t index, const todd_done& d) {
  rx_ns_ = d.rx_ns;
  Connection& c = connections_[index];
  Target& t = targets_[c.target];
  const bool broken = d.result < 0;
  const bool describe = c.elsewhere == nullptr && d.rx_ns - t.described_ns >= kDescribeEveryNs;
  const todd_tls_info facts = tls_info(c.stream, describe || settings_->checks.wants_tls());
  if (describe) {
    t.described_ns = d.rx_ns;
    describe_tls(c.target, facts);
  }
  if (broken) {
    const std::string why =
        facts.error != nullptr && facts.error[0] != '\0' ? facts.error : strerror(-d.result);
    return lost(index, reason_of(-d.result), "TLS: " + why, d.rx_ns);
  }
  time_phase(tls, c, d.rx_ns);
  if (facts.resumed != 0 && !endpoint_of(c).for_token) count(resumed, c.target);
  c.tls_version = facts.version;
  c.not_after_s = facts.not_after_s;
  const bool speaks_h2 = facts.alpn != nullptr && strcmp(facts.alpn, "h2") == 0;
  if (settings_->version == Version::k2 && !speaks_h2 && !endpoint_of(c).for_token)
    return lost(index, "protocol", "the server does not offer HTTP/2 (no h2 by ALPN)", d.rx_ns);
  if (speaks_h2) begin_session(c);
  ready(index, d.rx_ns);
}

void Http::describe_tls(uint32_t target, const todd_tls_info& facts) {
  if (facts.version != 0) {
    inform(tls_version, target, version_name(facts.version));
    inform(cipher, target, facts.cipher);
    inform(alpn, target, facts.alpn[0] != '\0' ? facts.alpn : "none");
  }
  if (facts.not_after_s == 0) return;
  const int64_t now_s = (rx_ns_ + wall_offset_ns_) / 1'000'000'000;
  inform(certificate_verdict, target, facts.verify == 0 ? "ok" : facts.verify_text);
  inform(certificate_subject, target, facts.subject);
  inform(certificate_issuer, target, facts.issuer);
  inform(certificate_names, target, facts.names);
  inform(certificate_serial, target, facts.serial);
  inform(certificate_sha256, target, facts.fingerprint);
  inform(certificate_dates, target, date(facts.not_before_s) + " to " + date(facts.not_after_s));
  set(certificate_days, target, days(facts.not_after_s, now_s));
  if (facts.chain_not_after_s != 0) set(certificate_chain_days, target, days(facts.chain_not_after_s, now_s));
  if (facts.trusted_not_after_s != 0)
    set(certificate_trusted_days, target, days(facts.trusted_not_after_s, now_s));
  const double life = static_cast<double>(facts.not_after_s - facts.not_before_s);
  if (life > 0)
    set(certificate_life_left, target,
        std::clamp(static_cast<double>(facts.not_after_s - now_s) / life, 0.0, 1.0));
}

void Http::begin_session(Connection& c) { c.h2 = std::make_unique<H2Session>(*this, H2Session::Options{}); }

void Http::ready(uint32_t index, int64_t now_ns) {
  Connection& c = connections_[index];
  const Endpoint& to = endpoint_of(c);
  if (c.h2 == nullptr && !to.https && !to.for_token && settings_->version == Version::k2) begin_session(c);
  c.phase = Phase::ready;
  if (!to.for_token) count(opened, c.target);
  if (c.h2 != nullptr) want_to_write(index);
  for (const uint32_t call : std::vector(c.calls)) start_call(index, call, now_ns);
  settle(index, now_ns);
  begin_waiting(c.target, now_ns);
}

}  // namespace todd::http
