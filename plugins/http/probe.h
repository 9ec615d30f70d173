#pragma once
// The http testlet: one request per ticket as a source, over connections that are kept; see responder.h for
// the other role. probe.cc has the requests, judge.cc what their answers are worth, pool.cc the connections,
// opening.cc how they come to stand, authorize.cc the token that requests go with.

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plugins/http/call.h"
#include "plugins/http/connection.h"
#include "plugins/http/responder.h"
#include "plugins/http/settings.h"
#include "todd/testlet.hpp"

namespace todd::http {

class Http : public testlet<Http>, public H2Owner {
 public:
  static constexpr todd::info info{
      "http",
      "0.2.0",
      "HTTP/1.1 and HTTP/2 requests, over TLS too: phase times, statuses, checks and failures",
      TODD_SOURCE | TODD_RESPONDER,
      TODD_TF_TICKETS,
      TODD_TARGET_URL,
      0,
      0,
      "Sends one request per ticket (open model: a slow server does not slow the requests down; with rate: "
      "max "
      "the closed model) and times each phase. Answers of 2xx and 3xx that pass the checks are ok. Needs no "
      "responder, but has one: agents as targets answer themselves."};
  static constexpr todd::schedule schedule{"10", "1s", nullptr, nullptr, "5s"};
  static constexpr auto expect = todd::expect("failed == 0", "dropped == 0");

  // What is asked for.
  static constexpr auto method =
      todd::text("method", "GET", "method of the requests").matching("[A-Z]{1,20}");
  static constexpr auto path = todd::text("path", "/", "what to request where the target is not a URL");
  static constexpr auto scheme = todd::choice(
      "scheme", "http", "http|https", "where the target is not a URL; of a responder: what it serves");
  static constexpr auto header =
      todd::text("header", "", "\"Name: value\", instead of ours of that name or besides them").repeated();
  static constexpr auto body = todd::text("body", "", "body of the requests");
  static constexpr auto host_header =
      todd::text("host_header", "", "Host header instead of the target's own");
  static constexpr auto user_agent = todd::text("user_agent", "todd", "User-Agent header; empty for none");
  static constexpr auto user = todd::text("user", "", "user name for Basic authentication");
  static constexpr auto password = todd::text("password", "", "password for Basic authentication").secret();
  static constexpr auto token = todd::text("token", "", "Bearer token for authentication").secret();
  static constexpr auto secret_header =
      todd::text("secret_header", "", "name of a header whose value is secret_value");
  static constexpr auto secret_value =
      todd::text("secret_value", "", "value of secret_header, such as an API key").secret();
  static constexpr auto oauth_url =
      todd::text("oauth_url", "", "where a Bearer token is to be had, by OAuth 2.0 client credentials");
  static constexpr auto oauth_client = todd::text("oauth_client", "", "who we are there");
  static constexpr auto oauth_secret = todd::text("oauth_secret", "", "the secret of oauth_client").secret();
  static constexpr auto oauth_scope =
      todd::text("oauth_scope", "", "scopes of the token, separated by blanks");
  static constexpr auto unique_header = todd::text(
      "unique_header", "", "a header whose value is another in each request, 16 hexadecimal digits");
  static constexpr auto compressed =
      todd::boolean("compressed", "false", "ask for gzip or deflate, and check what it decodes to");

  // How it gets there.
  static constexpr auto version =
      todd::choice("http", "auto", "auto|1.1|2",
                   "version of HTTP: auto is what an https server prefers of 2 and 1.1, and 1.1 for http");
  static constexpr auto connections =
      todd::integer("connections", "1", "connections to a target at the same time").range("1", "10000");
  static constexpr auto streams =
      todd::integer("streams", "1", "requests at the same time on a connection of HTTP/2").range("1", "256");
  static constexpr auto think_time =
      todd::duration("think_time", "0s",
                     "with rate: max, how long a worker pauses after each request; connections x streams of "
                     "them work on a target")
          .range("0s", "1h");
  static constexpr auto keep_alive =
      todd::boolean("keep_alive", "true", "use a connection for more than one request");
  static constexpr auto follow = todd::integer("follow", "0", "redirects to follow at most").range("0", "20");
  static constexpr auto dscp = todd::integer("dscp", "0", "DSCP of what is sent").range("0", "63");
  static constexpr auto mss =
      todd::size("mss", "0", "largest TCP segment; 0 leaves it to the system").range("0", "65535");
  static constexpr auto congestion =
      todd::text("congestion", "", "TCP congestion control; empty for the system's");

  static constexpr auto proxy =
      todd::text("proxy", "", "http://HOST:PORT that requests go through: https by CONNECT").proxy();
  static constexpr auto proxy_user =
      todd::text("proxy_user", "", "user name for Basic authentication at the proxy");
  static constexpr auto proxy_password =
      todd::text("proxy_password", "", "password for Basic authentication at the proxy").secret();
  static constexpr auto proxy_header =
      todd::text("proxy_header", "", "\"Name: value\" of CONNECT, for the proxy alone").repeated();

  // TLS.
  static constexpr auto insecure = todd::boolean(
      "insecure", "false", "go on with a certificate that does not verify; it is reported all the same");
  static constexpr auto authorities =
      todd::text("authorities", "",
                 "certificates to trust instead of the agent's own: PEM, or a file of the agent's (/...)");
  static constexpr auto certificate =
      todd::text("certificate", "",
                 "our certificate chain, of a responder its own: PEM, or a file of the agent's (/...)");
  static constexpr auto key = todd::text("key", "", "the key of certificate, PEM").secret();
  static constexpr auto server_name =
      todd::text("server_name", "", "the server's name for SNI and verification instead of the one in Host");
  static constexpr auto tls_min = todd::choice("tls_min", "1.2", "1.2|1.3", "lowest version of TLS");
  static constexpr auto tls_max = todd::choice("tls_max", "1.3", "1.2|1.3", "highest version of TLS");
  static constexpr auto resume =
      todd::boolean("resume", "false", "resume TLS sessions on new connections instead of whole handshakes");

  // What is made of answers.
  static constexpr auto check_ = todd::text("check", "",
                                            "what an answer must be: status 200-299, version 2, header NAME "
                                            "~ REGEX, body ~ REGEX, json /POINTER = VALUE, size <= 10k, hash "
                                            "sha256 = HEX, tls yes, tls_version >= 1.3, certificate_days >= "
                                            "14, response_time <= 200ms, first_byte <= 100ms")
                                     .repeated()
                                     .matching(kCheckForm);
  static constexpr auto checked_body =
      todd::size("checked_body", "256k", "bytes of a body that checks can see; of a longer one they fail")
          .range("0", "64M");
  static constexpr auto max_body =
      todd::size("max_body", "16M", "a longer response body fails as too_large").range("0", "1T");
  static constexpr auto response_size =
      todd::size("response_size", "1k", "body of the responder's answers").range("0", "1G");
  static constexpr auto params = todd::params(
      &method, &path, &scheme, &header, &body, &host_header, &user_agent, &user, &password, &token,
      &secret_header, &secret_value, &oauth_url, &oauth_client, &oauth_secret, &oauth_scope, &unique_header,
      &compressed, &version, &connections, &streams, &think_time, &keep_alive, &follow, &dscp, &mss,
      &congestion, &proxy, &proxy_user, &proxy_password, &proxy_header, &insecure, &authorities, &certificate,
      &key, &server_name, &tls_min, &tls_max, &resume, &check_, &checked_body, &max_body, &response_size);

  static constexpr auto ok =
      todd::counter("ok", "{response}", "complete responses with status 2xx or 3xx that pass the checks");
  static constexpr auto failed = todd::counter("failed", "{request}", "requests without such a response");
  static constexpr auto dropped =
      todd::counter("dropped", "{request}",
                    "requests that were due while all connections were busy and two requests waited already");
  static constexpr auto reused =
      todd::counter("reused", "{request}", "requests on a connection that carried one before");
  static constexpr auto opened =
      todd::counter("opened", "{connection}", "connections that stood, with TLS where that is spoken");
  static constexpr auto resumed =
      todd::counter("resumed", "{connection}", "of them those that resumed a TLS session");
  static constexpr auto redirects = todd::counter("redirects", "{response}", "redirects that were followed");
  static constexpr auto bytes =
      todd::counter("bytes", "By", "bytes of response bodies as they came, without headers and framing");
  static constexpr auto decoded_bytes =
      todd::counter("decoded_bytes", "By", "the same after decompression, with compressed");
  static constexpr auto head_bytes =
      todd::counter("head_bytes", "By", "bytes of response heads as they came");
  static constexpr auto retransmits =
      todd::counter("retransmits", "{segment}", "TCP segments sent again, of connections that were closed");
  static constexpr auto in_flight =
      todd::gauge("in_flight", "{request}", TODD_MERGE_MAX, "the most requests under way at the same time");
  static constexpr auto status = todd::breakdown("status", "{response}", "complete responses by status code");
  static constexpr auto versions =
      todd::breakdown("versions", "{response}", "complete responses by version of HTTP").keyed("1.0|1.1|2");
  static constexpr auto reasons = todd::breakdown("reasons", "{request}", "failed requests by reason")
                                      .keyed(
                                          "resolve|refused|unreachable|timeout|reset|closed|truncated|"
                                          "protocol|too_large|status|denied|local|cancelled|tls|certificate|"
                                          "check|redirect|proxy|token");
  static constexpr auto resolve =
      todd::histogram("resolve", "ns", "resolving the name, for each new connection to a name");
  static constexpr auto connect =
      todd::histogram("connect", "ns", "opening a new connection, after the name was resolved");
  static constexpr auto tls =
      todd::histogram("tls", "ns", "the TLS handshake of a new connection, after it was opened");
  static constexpr auto proxy_time = todd::histogram(
      "proxy", "ns", "from a new connection to the proxy until the way through it was open, by CONNECT");
  static constexpr auto queued = todd::histogram(
      "queued", "ns", "from when the request was due to its start, which waits for room on a connection");
  static constexpr auto send_time = todd::histogram(
      "send", "ns",
      "from when the request was handed to an open connection until the system had taken its last byte");
  static constexpr auto wait = todd::histogram(
      "wait", "ns",
      "from when the request was handed to an open connection to the first byte of the response");
  static constexpr auto first_byte =
      todd::histogram("first_byte", "ns", "from the request's start to the first byte of the response");
  static constexpr auto transfer =
      todd::histogram("transfer", "ns", "from the first to the last byte of the response");
  static constexpr auto redirect_time = todd::histogram(
      "redirect_time", "ns", "from the request's start to the last byte of the last redirect followed");
  static constexpr auto response_time =
      todd::histogram("response_time", "ns",
                      "from the request's start, resolving, connecting and redirects included when they "
                      "happen, to the last byte");
  static constexpr auto corrected_time =
      todd::histogram("corrected_time", "ns", "from the time the request was due to the last byte");
  static constexpr auto token_time = todd::histogram(
      "token_time", "ns", "from when a token was asked for until it was there; of no request a part");
  static constexpr auto tcp_rtt =
      todd::gauge("tcp_rtt", "ns", TODD_MERGE_LAST,
                  "smoothed round-trip time of the last connection closed, the kernel's");
  static constexpr auto certificate_days = todd::gauge(
      "certificate_days", "d", TODD_MERGE_MIN, "until the server's certificate ends; negative: it has");
  static constexpr auto certificate_chain_days =
      todd::gauge("certificate_chain_days", "d", TODD_MERGE_MIN,
                  "until the first certificate of those the server sent ends");
  static constexpr auto certificate_trusted_days =
      todd::gauge("certificate_trusted_days", "d", TODD_MERGE_MIN,
                  "until the first certificate of the verified chain ends");
  static constexpr auto certificate_life_left = todd::gauge(
      "certificate_life_left", "1", TODD_MERGE_MIN, "part of the certificate's validity that is left, 0..1");
  static constexpr auto certificate_verdict =
      todd::information("certificate_verdict", "\"ok\", or what is wrong with the certificate");
  static constexpr auto certificate_subject = todd::information("certificate_subject", "RFC 2253");
  static constexpr auto certificate_issuer = todd::information("certificate_issuer", "RFC 2253");
  static constexpr auto certificate_names =
      todd::information("certificate_names", "subject alternative names: DNS:..., IP:...");
  static constexpr auto certificate_serial = todd::information("certificate_serial", "in hexadecimal");
  static constexpr auto certificate_sha256 = todd::information("certificate_sha256", "fingerprint");
  static constexpr auto certificate_dates =
      todd::information("certificate_dates", "from when to when it is valid: ISO 8601, UTC");
  static constexpr auto tls_version = todd::information("tls_version", "of the last connection: 1.2 or 1.3");
  static constexpr auto cipher = todd::information("cipher", "of the last connection, OpenSSL's name");
  static constexpr auto alpn =
      todd::information("alpn", "protocol that the server chose: h2, http/1.1 or none");
  static constexpr auto redirect_hops = todd::information(
      "redirect_hops", "of the last request that was redirected: status, URL and own time of each answer");
  static constexpr auto final_url = todd::information("final_url", "where the last redirects ended");
  static constexpr auto metrics = todd::metrics(
      &ok, &failed, &dropped, &reused, &opened, &resumed, &redirects, &bytes, &decoded_bytes, &head_bytes,
      &retransmits, &in_flight, &status, &versions, &reasons, &resolve, &connect, &proxy_time, &tls, &queued,
      &send_time, &wait, &first_byte, &transfer, &redirect_time, &response_time, &corrected_time, &token_time,
      &tcp_rtt, &certificate_days, &certificate_chain_days, &certificate_trusted_days, &certificate_life_left,
      &certificate_verdict, &certificate_subject, &certificate_issuer, &certificate_names,
      &certificate_serial, &certificate_sha256, &certificate_dates, &tls_version, &cipher, &alpn, &final_url,
      &redirect_hops);

  static void check(const todd_run& run);
  void start();
  bool step(todd_batch& b);

 private:
  static constexpr uint32_t kPiece = 16 * 1024;  // bytes sent at once at least
  static constexpr uint32_t kQueue = 2;          // requests that wait for a connection, per target

  struct Target {
    std::shared_ptr<const Request> request;  // none: the target was refused
    uint32_t token = 0;                      // that it goes with
    uint32_t taken_token = 0;                // that it has last taken
    std::string name;                        // for people
    Url url;
    Endpoint endpoint;
    std::vector<uint32_t> spare;  // connections with room for a request, the last used at the back
    std::vector<std::pair<uint32_t, uint64_t>>
        homeless;  // calls, with their serial, that lost their connection
    std::array<Due, kQueue> waiting{};
    uint32_t n_waiting = 0;
    uint32_t open = 0;                     // connections
    uint32_t active = 0, most_active = 0;  // requests
    uint32_t thinking = 0;                 // workers that pause
    uint32_t sends = 0;                    // that have not left
    int64_t described_ns = INT64_MIN / 2;  // when its certificate was
  };
  struct Deadline {
    int64_t at_ns;
    uint32_t call;
    uint64_t serial;
  };
  struct Pause {
    int64_t until_ns;
    uint32_t target;
  };
  // A complete answer.
  struct Ended {
    int status = 0, version = 0;  // version: 10, 11 or 20
    uint32_t head_bytes = 0;
    uint64_t body_bytes = 0;
  };

  // Whether requests may begin: with a token, or because none is needed; wait: one is being fetched; shut:
  // none is to be had.
  enum class Gate : uint8_t { open, wait, shut };

  void start_source();
  void start_responder();
  uint32_t tls_flags() const;
  uint32_t make_tls(uint32_t flags, const char* protocols, bool own_certificate = true);
  bool has_connection(const Target& t) const;
  void prepare_target(uint32_t index);
  std::string server_name_of(const RequestSpec& spec) const;
  void go_by_proxy(Endpoint& to, const Url& url) const;
  void step_source(todd_batch& b);
  bool cancelled(todd_batch& b);
  bool wind_up(int64_t now_ns);

  // ---- requests (probe.cc)
  bool has_room(const Target& t) const;
  void due(todd_batch& b, const todd_ticket& ticket);
  uint32_t new_call(uint32_t target, int64_t now_ns);
  void end_call(uint32_t call);
  void begin(uint32_t target, Due due, int64_t now_ns);
  void begin_waiting(uint32_t target, int64_t now_ns);
  void prepare_inquiry(Call& call);
  const Request& request_of(const Call& call) const;
  Want want_of(const Call& call) const;
  void fail(uint32_t call, const char* reason, const std::string& text, int64_t now_ns);
  void finish(uint32_t call, int64_t now_ns);
  void end_pauses(int64_t now_ns);
  void record_sample(const Call& call, const char* outcome, int64_t rtt_ns);
  const char* what_takes_long(const Call& call) const;
  void expire(todd_batch& b);

  // ---- answers (judge.cc)
  void answered(uint32_t call, const Ended& ended, int64_t now_ns);
  bool follow_on(uint32_t call, const Ended& ended, int64_t now_ns);
  void record_answer(const Call& call, const Ended& ended, int64_t now_ns);
  void complete(uint32_t call, const Ended& ended, int64_t now_ns);
  void tell_hops(const Call& call);
  std::string hide(std::string text) const;
  std::string why_checked(const Facts& facts, std::string said) const;
  Facts facts_of(const Call& call, const Ended& ended, int64_t now_ns) const;

  // ---- the token of requests (authorize.cc)
  void prepare_tokens();
  void get_ready(todd_batch& b);
  void begin_anew(const todd_batch& b);
  void see_gate(int64_t now_ns);
  bool waits_for_token(uint32_t target);
  void authorize(Call& call);
  void judge_token(Target& t, uint32_t number, bool taken, int64_t now_ns);
  void tend_tokens(todd_batch& b);
  void fetch_token(uint32_t target, int64_t now_ns);
  void token_answered(uint32_t call, int status, int64_t now_ns);
  void token_failed(uint32_t call, const std::string& why, int64_t now_ns);
  void end_fetch(uint32_t call, int64_t now_ns);

  // ---- connections (pool.cc, opening.cc)
  const Endpoint& endpoint_of(const Connection& c) const;
  uint32_t new_connection(uint32_t target, std::unique_ptr<Endpoint> elsewhere);
  uint32_t capacity(const Connection& c) const;
  void assign(uint32_t call, uint32_t index, int64_t now_ns);
  void unassign(uint32_t call, int64_t now_ns);
  void settle(uint32_t index, int64_t now_ns);
  void disconnect(uint32_t index);
  void lost(uint32_t index, const char* reason, const std::string& text, int64_t now_ns);
  void retry(uint32_t call, uint32_t target, int64_t now_ns);
  void rehome(uint32_t call, uint32_t target, int64_t now_ns);
  void hop(uint32_t call, bool same, int64_t now_ns);
  void drop_forsaken();
  void open_stream(uint32_t index, int64_t now_ns);
  void begin_connecting(uint32_t index, int64_t now_ns);
  void take(todd_batch& b, const todd_done& d);
  void resolved(uint32_t index, const todd_done& d, int64_t now_ns);
  void connected(uint32_t index, const todd_done& d);
  void time_phase(const todd::metric<TODD_M_HISTOGRAM>& phase, const Connection& c, int64_t now_ns);
  void begin_handshake(uint32_t index, int64_t now_ns);
  std::string whose(const Endpoint& to) const;
  void shaken(uint32_t index, const todd_done& d);
  void describe_tls(uint32_t target, const todd_tls_info& info);
  void begin_session(Connection& c);
  void ready(uint32_t index, int64_t now_ns);
  void start_call(uint32_t index, uint32_t call, int64_t now_ns);
  void want_to_write(uint32_t index);
  bool may_send(const todd_batch& b, uint32_t target) const;
  void leaves(uint32_t index, uint32_t call);
  void sent(uint32_t index, const todd_done& d);
  void put_send(todd_batch& b, uint32_t index, uint32_t slot, size_t size);
  void write(todd_batch& b);
  bool write_some(todd_batch& b, uint32_t index);
  bool ask_way(todd_batch& b, uint32_t index);
  bool greet(todd_batch& b, uint32_t index);
  bool write_http1(todd_batch& b, uint32_t index);
  void received(const todd_batch& b, uint32_t index, const todd_done& d);
  void read_way(uint32_t index, std::string_view bytes);
  void spoil_way(const todd_batch& b, uint32_t index, const todd_done& d);
  void read_http1(uint32_t index, std::string_view bytes);
  void read_http2(uint32_t index, std::string_view bytes, bool end);
  uint64_t user_of(uint32_t index) const;

  // H2Owner; `user` is the call.
  void left(uint64_t user) override;
  void began(uint64_t user) override;
  void ended(uint64_t user, const H2Answer& answer) override;

  uint32_t flow_ = TODD_NONE;
  std::unique_ptr<Responder> responder_;
  std::optional<Settings> settings_;
  std::optional<Tokens> tokens_;          // none: requests need no token
  std::array<Secrets, 2> token_secrets_;  // this one and the one before, which must not be shown
  std::vector<std::pair<uint32_t, int64_t>> token_times_;  // not recorded yet: for which target, how long
  int64_t ready_by_ns_ = 0;                                // though there is no token
  uint32_t asker_ = TODD_NONE;                             // a target whose requests want a token
  Gate gate_ = Gate::open;
  bool said_ready_ = false, begun_ = false;
  uint32_t proxy_target_ = TODD_NONE, token_target_ = TODD_NONE;  // the host's numbers of them
  uint32_t token_tls_context_ = 0;
  std::unique_ptr<Inquiry> fetch_;  // what a call that fetches a token has in the place of its own
  uint32_t tls_context_ = 0, foreign_tls_context_ = 0;  // foreign: without our certificate
  std::vector<Target> targets_;
  std::deque<Connection> connections_;  // grows up to what is open at once; never shrinks
  std::vector<uint32_t> free_connections_;
  std::deque<Call> calls_;  // likewise
  std::vector<uint32_t> free_calls_;
  std::deque<Deadline> deadlines_;   // in order: every request has the same time
  std::deque<Pause> pauses_;         // likewise
  std::deque<uint32_t> writing_;     // connections with something to send
  std::vector<uint32_t> held_back_;  // those of them that must wait for what their target has under way
  uint32_t slots_ = 0;               // to send from, in all
  size_t slot_cap_ = 0;              // bytes that one has room for
  std::vector<uint32_t> forsaken_;   // further targets to be dropped
  outbox outbox_;
  uint64_t serial_ = 0;
  int64_t rx_ns_ = 0;  // when what is being read came
  int64_t wall_offset_ns_ = 0;
  uint32_t active_ = 0;
};

}  // namespace todd::http
