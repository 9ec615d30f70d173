/* clang-format off */
/* todd/testlet.h - the ToDD testlet ABI, 0.2. C99, C11, C17, C++11 and later. Depends on libc headers only.
 *
 * While the major is 0 a testlet runs only on a host of exactly the same minor; each break raises the minor.
 *
 * RULES
 * 1. A struct that begins with `size` is growable: its producer stores sizeof, fields are only appended, and a reader
 *    uses field f only if TODD_HAS(p, f). Arrays of growable structs are arrays of pointers.
 * 2. A struct marked FROZEN never changes.
 * 3. No allocation crosses: whoever allocates frees. Descriptor strings are static, NUL-terminated UTF-8.
 * 4. Nothing unwinds across: every entry returns a status.
 * 5. Thread class of each call: [control] one at a time, may block; [lane] on the instance's own lane, never blocks,
 *    never concurrent with itself; [any] thread-safe.
 * 6. All times are nanoseconds of the host's CLOCK_MONOTONIC; all metric values are integers in the declared unit.
 */
#ifndef TODD_TESTLET_H
#define TODD_TESTLET_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define TODD_ABI_MAJOR 0
#define TODD_ABI_MINOR 2
#define TODD_MAGIC 0x44446f54u /* "ToDD" */
#define TODD_EXPORT __attribute__((visibility("default")))
#define TODD_HAS(p, f) ((size_t)((const char *)(&(p)->f + 1) - (const char *)(p)) <= (p)->size)
#define TODD_NONE 0xffffffffu /* no slot, no flow, no target */

typedef int32_t todd_status; /* 0 = ok, 1 = finished (step only), negative = -errno or a TODD_E_* code */
enum { TODD_E_PARAM = -10001, TODD_E_UNSUPPORTED = -10002, TODD_E_DENIED = -10003, TODD_E_PLUGIN = -10004 };
typedef struct { /* caller-owned, callee fills; text is NUL-terminated */
  uint32_t size;
  int32_t code;
  char text[248];
} todd_error;

/* ---- declared up front: parameters and metrics --------------------------------------------------------------- */

enum {
  TODD_P_BOOL = 1, TODD_P_INT, TODD_P_REAL, TODD_P_TEXT, TODD_P_DURATION /* ns */, TODD_P_SIZE /* bytes */,
  TODD_P_RATE /* per second, real */, TODD_P_BITRATE /* bit/s */, TODD_P_RATIO /* 0..1, real */,
  TODD_P_CHOICE /* index into choices, as int */
};
enum {
  TODD_PF_REQUIRED = 1,
  TODD_PF_SECRET = 2, /* TODD_P_TEXT without default and pattern: given by name, its value is on the host alone. Put it into no text, metric or log */
  TODD_PF_REPEAT = 4, /* TODD_P_TEXT: may be given several times. The value has them joined by newlines; none contains one */
  TODD_PF_PROXY = 8 /* TODD_P_TEXT without default: where it is given, somebody else reaches the targets for us. The host resolves none of
                       their names (todd_target.family is 0), and refuses of its owner's networks only targets that are addresses */
};
/* count, interval, rate, shape, burst, duration, timeout, samples, stamps, source, interface, df, via and period are the host's
 * parameters: a testlet gives only the defaults of some (todd_schedule) and must not declare these names. */
typedef struct {
  uint32_t size;
  uint16_t type, flags;
  const char *name, *dflt, *min, *max; /* text in spec syntax ("1s", "64", "1.5k"); the host parses. NULL = none */
  const char *choices;                 /* "a|b|c" for TODD_P_CHOICE, else NULL */
  const char *doc;                     /* one sentence */
  const char *pattern;                 /* TODD_P_TEXT: what a value must match as a whole, in RE2 syntax; NULL = anything. Checked where a
                                          run is planned; check() is the last word, for who runs it without a plan */
} todd_param;
typedef struct { /* FROZEN 16 */
  uint16_t type, given; /* given: 1 if the user set it */
  uint32_t len;         /* of text */
  union {
    int64_t i;
    double r;
    const char *s; /* text; lives as long as the instance; NUL-terminated */
  } v;
} todd_value;

enum { TODD_M_COUNTER = 1, TODD_M_GAUGE, TODD_M_HISTOGRAM, TODD_M_BREAKDOWN, TODD_M_RATIO, TODD_M_INFO, TODD_M_SPREAD };
enum { TODD_MERGE_SUM = 0, TODD_MERGE_MIN, TODD_MERGE_MAX, TODD_MERGE_LAST };
enum {
  TODD_MF_ONLY_TOTAL = 1 /* of an instance with more than 4,096 targets only the total is kept, not the value of each: say it of what few
                            people want to know of one among so many, as every metric kept costs memory for every target */
};
typedef struct {
  uint32_t size;
  uint16_t kind, merge;      /* merge: for gauges */
  const char *name, *unit;   /* unit in UCUM: "ns", "By", "bit/s", "1", "{probe}" */
  const char *doc;
  const char *numerator, *denominator; /* TODD_M_RATIO: names of two counters, else NULL */
  uint32_t flags, reserved;            /* TODD_MF_* */
  const char *keys; /* TODD_M_BREAKDOWN: "a|b|c", all keys there can be, so that an expectation that names another is refused before a run
                       begins. NULL = any */
  const char *histogram; /* TODD_M_SPREAD: name of a histogram of the same unit, else NULL. The value is its quantile `high` less its
                            quantile `low`, 0 <= low < high <= 1: 0 is the least value recorded, 1 the greatest. Nothing records it */
  double low, high;
} todd_metric;

/* ---- hot path: frozen records, payload in host-owned slots, one step() per batch ------------------------------ */

enum {
  TODD_OP_SEND = 1, /* a datagram, or bytes of a stream (key = stream) */
  TODD_OP_EXCHANGE, /* a datagram and its matched reply: exactly one completion (reply, -ETIMEDOUT, ICMP error, local error) */
  TODD_OP_TIMER,    /* completes at at_ns */
  TODD_OP_RESOLVE,  /* the target's name to addresses; completes 0 or -ENOENT/-ETIMEDOUT. A literal completes at once */
  TODD_OP_CONNECT,  /* flow (stream) to target; completes with the stream id in arg, or -errno */
  TODD_OP_LISTEN,   /* flow (stream); completes with port in `port`; then one completion of code TODD_OP_ACCEPT per peer. arg: a TLS context with
                       TODD_TLF_SERVER, 0 = none: who connects is told of when its handshake is done, and not if it fails */
  TODD_OP_ACCEPT,   /* completion only: a new stream, id in arg; receiving is already on */
  TODD_OP_RECV,     /* stream: from now on one RECV completion per piece until the end (result 0 = peer's end, <0 = -errno).
                       datagram flows: completion only, one per datagram that matched no exchange of the host */
  TODD_OP_SHUTDOWN, /* stream: no more bytes from us, after queued sends. No completion, but -ENOTCONN for an unknown stream */
  TODD_OP_CLOSE,    /* stream: closed and forgotten; pending SENDs and its RECV complete -ECANCELED. No completion itself */
  TODD_OP_TLS,      /* connected stream, all SENDs complete: becomes TLS by the context in arg (todd_stream.tls), as its client; what comes from
                       then on belongs to the handshake, whether RECV was asked for before or not.
                       slot, if any: the server's name, for SNI and for what its certificate must be for; an address is no SNI. Completes with 0;
                       -EKEYREJECTED: the certificate does not verify, tls_info tells why; -ETIMEDOUT; -ECONNRESET; -EPROTO: anything else
                       that was wrong with the handshake. From 0 on SEND and RECV are of the plain text, and receiving is on; else only CLOSE is of use */
  TODD_OP_BULK      /* completion only, of todd_bulk.begin: stream in arg */
};
enum {
  TODD_OF_REPLY = 1, /* SEND: to the sender of the datagram whose token is in `key`, from the same local address. A token stays valid until
                        1,024 other addresses have sent to the flow */
  TODD_OF_OWN_KEY = 2, /* reserved */
  TODD_OF_PROBE = 4 /* CONNECT that answers a ticket: the host counts it as it does an EXCHANGE, with a connection as the answer; tx_ns and
                       rx_ns are the SYN's and its answer's where the kernel tells. Refusals and timeouts are lost */
};
typedef struct { /* FROZEN 64 */
  uint64_t user; /* returned in the completion */
  uint16_t code, flags;
  uint32_t flow, target, slot; /* slot: taken from the flow's todd_slots, TODD_NONE if no payload */
  uint32_t len;                /* payload bytes in the slot */
  uint8_t ttl, tos;            /* 0 = the flow's */
  uint16_t port;               /* 0 = the flow's, or the target's */
  uint64_t key;                /* stream id, or reply token */
  int64_t at_ns;               /* EXCHANGE, SEND, probing CONNECT: intended departure (0 = now), kept for lateness; TIMER: when */
  int64_t timeout_ns;          /* EXCHANGE, CONNECT, RESOLVE: 0 = the run's timeout */
  uint64_t arg;
} todd_op;

enum { TODD_TS_NONE, TODD_TS_USER, TODD_TS_KERNEL, TODD_TS_NIC };
enum {
  TODD_DF_TRUNCATED = 1,
  TODD_DF_ICMP_ERROR = 2, /* EXCHANGE: result = -errno, the slot holds a todd_icmp_error */
  TODD_DF_LOCAL = 4       /* result is this host's doing (no route, full buffer): the probe did not leave; with -ETIMEDOUT it did, and whether
                             it was answered nobody knows, as this host dropped packets meanwhile: no loss */
};
typedef struct { /* FROZEN 64. The slot is valid until step() returns */
  uint64_t user;
  int32_t result; /* bytes, 0, or -errno */
  uint16_t code, flags;
  uint32_t flow, target, slot, len;
  int64_t tx_ns, rx_ns; /* EXCHANGE: departure and arrival. Others: rx_ns = when it completed */
  uint8_t tx_src, rx_src, ttl, tos;
  uint16_t port, reserved;
  uint64_t arg; /* stream id; reply token on a datagram RECV; EXCHANGE: the operation's at_ns */
} todd_done;
typedef struct { /* FROZEN 32: what an ICMP error said */
  uint8_t type, code;
  uint16_t family; /* 4 or 6 */
  uint32_t mtu;
  uint8_t sender[16]; /* network order; v4 in the first four */
  uint64_t reserved;
} todd_icmp_error;
typedef struct { /* FROZEN 16: the host's schedule says: one probe to this target, due then */
  int64_t due_ns;
  uint32_t target, round;
} todd_ticket;
/* Payload memory of one flow. Take slots from the front of `free`: slot = free[taken++]; memory base + slot * stride,
 * cap bytes. A slot belongs to the host from the return of step() until the operation's payload has left; then it is
 * offered again. A slot taken but named in no operation is offered again at the next step. */
typedef struct { /* FROZEN 40 */
  uint8_t *base;
  const uint32_t *free;
  const uint8_t *received; /* payload of completions, see todd_payload() */
  uint32_t stride, cap, n_free, taken;
} todd_slots;

/* TODD_WARMING_UP, of testlets with TODD_TF_WARMS_UP alone: tickets come and are to be served as ever, but nothing that is recorded counts.
 * What they began has ended when TODD_RUNNING follows, with a start_ns of its own and rounds from 0 again. */
enum { TODD_RUNNING = 1, TODD_DRAINING = 2, TODD_CANCELLED = 3, TODD_PREPARED = 4, TODD_WARMING_UP = 5 };
typedef struct {
  uint32_t size, state;
  int64_t now_ns, start_ns, deadline_ns, wall_minus_host_ns;
  const todd_done *done;
  const todd_ticket *ticket; /* answer each with operations now, or leave it: it counts as unsent. If the run's rate is
                                infinite (as fast as served) it is offered again with the next step instead */
  todd_op *op;
  todd_slots *const *slots;  /* by flow */
  uint32_t n_done, n_ticket, cap_op, n_op; /* n_op: out */
  uint32_t n_flow, served;   /* served: out, how many of the tickets were taken, from the front */
  int64_t wake_ns;           /* out: call again by then; 0 = only on a completion or ticket */
} todd_batch;
/* The bytes a completion brought (d->len of them; d->slot is an offset in units of 64 bytes). Read only, until step() returns. */
static inline const uint8_t *todd_payload(const todd_batch *b, const todd_done *d) {
  return d->slot == TODD_NONE ? 0 : b->slots[d->flow]->received + (size_t)d->slot * 64u;
}

/* ---- host ---------------------------------------------------------------------------------------------------- */

typedef struct todd_host {
  uint32_t size, abi_minor;
  void *ctx;
  const char *name, *version;
  const void *(*query)(const struct todd_host *, const char *interface_id); /* [any] NULL = absent */
  void (*log)(const struct todd_host *, int32_t level, const char *text, size_t len); /* [any] level 0 debug .. 3 error */
} todd_host;

enum { TODD_SOURCE = 1, TODD_RESPONDER = 2 };
enum { TODD_RF_WHOLE = 1 /* packets leave whole or not at all, and no router may cut them (the host's param df is set) */ };
typedef struct {
  uint32_t size, role, n_target, n_value;
  const char *run_id;
  const todd_value *value; /* in the order of the declared params, all valid */
  int64_t timeout_ns, duration_ns; /* duration 0 = by count */
  uint64_t count;                  /* per target; 0 = by duration */
  double rate;                     /* 0 = by interval; infinite = as fast as served */
  uint32_t n_peer, family;         /* responder: edges that will come; family 0, 4 or 6 */
  uint32_t flags, reserved;        /* TODD_RF_* */
} todd_run;

typedef struct { /* growable, caller sets size, host fills; at least up to `name`, and nothing is made for what is beyond */
  uint32_t size;
  uint16_t port, family;    /* family 4 or 6; 0 = not resolved yet */
  uint8_t address[16];
  uint32_t scope, reserved;
  uint64_t peer_token;      /* a responder's instance knows this edge by it; 0 = none */
  const char *name, *host, *url; /* as given; "" if none. Live as long as the instance */
  const char *address_text;
  /* By how much the wall clock of the agent there is ahead of this host's, as known when the run was prepared, and the
   * bound of the error of that; clock_error_ns < 0 = not known. */
  int64_t clock_offset_ns, clock_error_ns;
} todd_target;

struct todd_lane;
typedef struct todd_lane { /* given to start(), valid until destroy() returns */
  uint32_t size, index;
  const todd_host *host;
  const todd_run *run;
  void *ctx;
} todd_lane;

/* "todd.record/1": recording. Fetch the table once in start(). Targets are the run's targets in role source, its peers in role
 * responder. An unknown metric or target is ignored and counted. [lane] */
#define TODD_RECORD_1 "todd.record/1"
typedef struct {
  uint32_t size, reserved;
  void (*count)(const todd_lane *, uint32_t metric, uint32_t target, uint64_t n);
  void (*set)(const todd_lane *, uint32_t metric, uint32_t target, double value);
  void (*observe)(const todd_lane *, uint32_t metric, uint32_t target, uint64_t value);
  void (*tally)(const todd_lane *, uint32_t metric, uint32_t target, const char *key, size_t len, uint64_t n); /* BREAKDOWN */
  void (*info)(const todd_lane *, uint32_t metric, uint32_t target, const char *text, size_t len);
  void (*note)(const todd_lane *, uint32_t target, const char *outcome, const char *text, size_t len); /* first five examples per outcome are kept */
} todd_record;

/* "todd.samples/1": one row per probe, for testlets whose probes are not EXCHANGEs (those the host records). [lane] */
#define TODD_SAMPLES_1 "todd.samples/1"
typedef struct { /* FROZEN 48 */
  int64_t at_ns, rtt_ns; /* rtt -1: none */
  uint64_t seq;
  uint32_t target;
  uint8_t ttl, tx_src, rx_src, reserved;
  char outcome[16]; /* "ok", "timeout", "refused", ... NUL-padded */
} todd_sample;
typedef struct {
  uint32_t size, reserved;
  void (*sample)(const todd_lane *, const todd_sample *);
} todd_samples;

/* "todd.net/1": flows. [lane] in start() and step(). */
#define TODD_NET_1 "todd.net/1"
enum { TODD_UDP = 1, TODD_TCP, TODD_ICMP, TODD_PEERS };
/* TODD_PEERS: connected UDP sockets as streams. CONNECT makes one to the target (completes at once, and tells nothing of who is there); LISTEN
 * binds, and each address that sends the first time is an ACCEPT with a socket of its own, connected to it, and its first datagram the RECV that
 * follows; who sends after CLOSE is new. SEND and RECV are one datagram each, never lost or told twice by this host, but those that a peer sends
 * while it is accepted may change places; an empty one is not told. A peer that nobody is at (ICMP) ends receiving with -ECONNREFUSED until RECV
 * is asked again; SEND goes on. At most 4,096 accepted streams at a time: other peers are not heard. SHUTDOWN and TLS: -EINVAL.
 * todd_flow.local_port as with TCP; the same number may be bound by both. */
enum {
  TODD_FF_RECV = 1,     /* deliver datagrams that match no exchange (responders) */
  TODD_FF_LISTEN = 2,   /* bind inside the agent's listen range; datagrams: port in local_port after open */
  TODD_FF_JUDGE = 4     /* EXCHANGE: what matches is a reply only if todd_testlet.judge says so */
};
typedef struct {
  uint32_t size;
  uint16_t proto, local_port; /* local_port: 0 = any; with TODD_FF_LISTEN 0 = a free one of the agent's range; out: the bound one of UDP. Sources: what datagrams
                                 and connections leave from. Connections from a given port are reset when closed, or it could not be used again for a minute */
  uint16_t stamp_off, flags;  /* EXCHANGE over UDP: the host writes an 8-byte key at stamp_off of the request and expects it there in the reply.
                                 ICMP: ignored; payload begins with the ICMP type byte, ident, sequence and checksum and 8 bytes of cookie after the 8-byte header are the host's */
  uint32_t slot_cap;          /* bytes of payload per slot, largest message either way */
  uint32_t slots;             /* how many sends may be in flight; 0 = the host decides */
  uint16_t ident, reserved;   /* ICMP: the ident of the echoes; 0 = one that no other flow of this host has. -EADDRINUSE if another has it */
  /* TCP, connections of either side (TODD_PEERS: buffers and pacing); 0 or NULL = as the system does. A congestion control that this host does not have or allow: -ENOENT, -EPERM */
  uint32_t mss, send_buffer, receive_buffer, reserved2; /* bytes */
  uint64_t pacing;            /* bytes per second at most (SO_MAX_PACING_RATE) */
  const char *congestion;
} todd_flow;
typedef struct {
  uint32_t size, mss, rtt_us, rttvar_us, cwnd, retransmits, pmtu, reserved;
  uint64_t bytes_acked, bytes_received;
  uint32_t min_rtt_us, reordering, send_window, ecn_ce; /* ecn_ce: delivered segments that the peer says met congestion */
  uint64_t delivery_rate, bytes_sent, bytes_retransmitted; /* rate: bytes per second, of the last measured window */
  uint64_t busy_us, receive_window_limited_us, send_buffer_limited_us;
  uint32_t send_buffer, receive_buffer; /* bytes that the socket has now, as the system counts them */
  char congestion[16];                  /* of TCP: the control in use; NUL-terminated */
} todd_stream_info; /* growable, from TCP_INFO (of TODD_PEERS: its buffers alone); up to bytes_received at least */
typedef struct {
  uint32_t size, reserved;
  todd_status (*open)(const todd_lane *, todd_flow *, uint32_t *flow, todd_error *);
  todd_status (*target)(const todd_lane *, uint32_t index, todd_target *out);
  /* Responder: which peer has this token; TODD_NONE = none. */
  uint32_t (*peer)(const todd_lane *, uint64_t token);
  /* Responder: where sources shall aim (a bound port of a flow or of a LISTEN completion). Sources see it as their target's port. */
  void (*publish)(const todd_lane *, uint16_t port);
  /* The instance is ready for its START. Without publish/ready pending, returning from start() with no LISTEN outstanding is not enough: call it. */
  void (*ready)(const todd_lane *);
  todd_status (*stream_info)(const todd_lane *, uint64_t stream, todd_stream_info *out);
  /* Where the packets of this flow to the target leave from, by the routes of now: fills port, family, address and address_text (valid
   * until the next call) of out. Not once per probe: it asks the system. */
  todd_status (*local)(const todd_lane *, uint32_t flow, uint32_t target, todd_target *out);
  /* Source, within start() alone: this target cannot be tested as it is given. Its edge is an error with the text, no tickets come for it,
   * and the others go on. */
  void (*refuse)(const todd_lane *, uint32_t target, const char *text, size_t len);
  /* Source, within step() alone and before the batch's tickets are served: this target needs no more. No tickets come for it any more, and
   * those of this batch are to be passed over; they count neither as planned nor as unsent. What is under way ends as ever. When every
   * target is finished so is the schedule: TODD_DRAINING follows. What was said in TODD_WARMING_UP is forgotten when TODD_RUNNING follows,
   * and does not end the warm-up. */
  void (*finish)(const todd_lane *, uint32_t target);
} todd_net;

/* "todd.stream/1": TLS, and targets that are known only on the way. [lane] in start() and step(). */
#define TODD_STREAM_1 "todd.stream/1"
enum { TODD_TLS_1_2 = 0x0303, TODD_TLS_1_3 = 0x0304 };
enum {
  TODD_TLF_SERVER = 1,  /* of LISTEN; else of clients */
  TODD_TLF_INSECURE = 2, /* client: goes on with a certificate that does not verify; tls_info tells what is wrong all the same */
  TODD_TLF_RESUME = 4   /* client: the last session with a server is offered to it again (per target and server name) */
};
typedef struct { /* growable; all of it is copied */
  uint32_t size, flags;              /* TODD_TLF_* */
  uint16_t min_version, max_version; /* 0 = the lowest and highest the host allows: 1.2 and 1.3 */
  uint32_t reserved;
  const char *alpn;                  /* "h2,http/1.1", the preferred one first; a server picks the first of these that the client has. NULL = none */
  const char *authorities;           /* PEM: trusted instead of this host's own. NULL = those. Server: clients must have a certificate of these */
  const char *certificate, *key;     /* PEM: the chain, own first, and its key. NULL = none; a server has one made that signs itself */
} todd_tls;
typedef struct { /* growable, caller sets size, host fills; at least up to `error`, and nothing is made for what is beyond. Text is never NULL, and valid until the
                    next call */
  uint32_t size;
  uint16_t version;                  /* TODD_TLS_*; 0: no handshake came so far */
  uint8_t resumed, chain;            /* chain: how many certificates the peer sent; 0 in a resumed session of TLS 1.2 */
  int32_t verify;                    /* 0: chain, dates and name (if one was given) are good; -1: no certificate was sent; else OpenSSL's X509_V_ERR_* */
  uint32_t key_bits;                 /* of the leaf's key; made with what is beyond `error` */
  const char *verify_text, *cipher, *alpn;
  const char *error;                 /* why the handshake failed, for people */
  int64_t not_before_s, not_after_s; /* Unix time, of the leaf; 0: there is none */
  int64_t chain_not_after_s;         /* the earliest end in what the peer sent */
  int64_t trusted_not_after_s;       /* the earliest end in the chain that was verified; 0: none was */
  const char *subject, *issuer;      /* RFC 2253 */
  const char *names;                 /* subject alternative names: "DNS:a.example, IP:192.0.2.1" */
  const char *serial, *fingerprint;  /* hex; SHA-256 of the leaf */
} todd_tls_info;
typedef struct {
  uint32_t size, reserved;
  /* start(): makes a context, numbered from 1 on, for TODD_OP_TLS and TODD_OP_LISTEN. -EINVAL with a text: a bad PEM, no common version, ... */
  todd_status (*tls)(const todd_lane *, const todd_tls *, uint32_t *context, todd_error *);
  /* What is known of the stream's TLS, until CLOSE; -ENOENT: it has none. */
  todd_status (*tls_info)(const todd_lane *, uint64_t stream, todd_tls_info *out);
  /* A further target: a host name or an address, where another one led (a redirect). It records as the edge of `from`, and must be resolved
   * (TODD_OP_RESOLVE) before it is connected to, a literal too: the host refuses (-EACCES) what it lets nobody test, and what is nearer to this
   * host (loopback, link-local) than `from` is, which must have an address. From TODD_NONE: a param of the run names it (a proxy), so it may be
   * as near as it likes. todd_net.target() knows only the run's own. -ENOBUFS: 4,096 of them are in use. */
  todd_status (*add_target)(const todd_lane *, uint32_t from, const char *host, uint16_t port, uint32_t *target);
  void (*drop_target)(const todd_lane *, uint32_t target); /* of add_target; without streams. Its RESOLVEs complete -ECANCELED. Its number may
                                                              come again */
} todd_stream;

/* "todd.digest/1": digests, for testlets that prove or check what is sent. Numbers of other digests than the instance's own are passed over. [lane] */
#define TODD_DIGEST_1 "todd.digest/1"
enum { TODD_DIGEST_BYTES = 32 };
typedef struct {
  uint32_t size, reserved;
  /* start() and step(): SHA-256, or with a key (copied; len 0 is a key, too) HMAC-SHA-256 of RFC 2104. -ENOBUFS: 65,536 of them are open. This
   * and close allocate, the others do not. */
  todd_status (*open)(const todd_lane *, const void *key, size_t len, uint32_t *digest); /* key NULL: none */
  void (*add)(const todd_lane *, uint32_t digest, const void *bytes, size_t len);
  void (*end)(const todd_lane *, uint32_t digest, uint8_t out[TODD_DIGEST_BYTES]); /* of all that was added; it begins anew, with the same key */
  void (*close)(const todd_lane *, uint32_t digest);                               /* what is open at destroy() is closed then */
  int32_t (*same)(const void *a, const void *b, size_t len); /* 1 if equal; takes a time that does not tell where they differ */
} todd_digest;

/* "todd.bulk/1": the bytes of a connection by the gigabyte, or datagrams by the million, moved by the host on whichever of its threads has the
 * least to do. The testlet says what shall flow and reads counters; no payload passes through step(). [lane] in step(). Testlets that use it say
 * TODD_TF_BULK, so that the threads are there. */
#define TODD_BULK_1 "todd.bulk/1"
enum {
  TODD_BF_SEND = 1,      /* else it receives */
  TODD_BF_ZERO_COPY = 2, /* sending on a connection: pages are lent to the kernel (sendfile), not copied */
  TODD_BF_DISCARD = 4,   /* receiving on a connection: bytes are dropped by the kernel, not copied here (MSG_TRUNC, tcp(7)) */
  TODD_BF_OFFLOAD = 8,   /* datagrams: UDP_SEGMENT and UDP_GRO, many of them in a call */
  TODD_BF_RANDOM = 16    /* sending: random bytes; else a repeating pattern */
};
typedef struct { /* growable; all of it is copied */
  uint32_t size, flags;   /* TODD_BF_* */
  uint32_t length;        /* bytes of a send, or of each datagram sent; receiving: the largest */
  uint32_t reserved;
  uint64_t bitrate;       /* bit/s of payload; 0 = as fast as it goes. Never more than 1 ms worth at once (at least one send), and what was missed
                             for more than 10 ms is not made good */
  uint64_t bytes;         /* ends when so many are sent (received), or by less than a datagram more; 0 = no limit */
  int64_t end_ns;         /* ends then; 0 = by stop alone */
  uint64_t user;          /* of the completion */
  uint64_t first_sequence; /* of the first datagram */
  /* Datagrams: where in the payload, in network byte order, the sender writes, and the receiver reads, the seconds and microseconds of the
   * sender's clock (32 bits each) and the sequence number (of sequence_bytes, 4 or 8). 0xffff = not there. */
  uint16_t seconds_at, micros_at, sequence_at, sequence_bytes;
} todd_bulk_job;
typedef struct { /* growable, caller sets size, host fills */
  uint32_t size, running;          /* 1 until its completion was made */
  uint64_t bytes, datagrams, calls; /* moved; system calls made for it */
  int64_t first_ns, last_ns;       /* of the first and last byte; 0 = none */
  uint64_t zero_copied;            /* bytes that really went without a copy */
  uint64_t stalls, refused;        /* times that the socket took no more; datagrams that this host refused: they never left */
  int64_t late_ns;                 /* paced: the latest that a send was behind its time so far */
  uint64_t lost, out_of_order, duplicates, dropped; /* receiving datagrams; lost: missing so far (what comes later is taken off again);
                             dropped: those of the lost that this host's socket had no room for; with TODD_BF_OFFLOAD at least so many, as several are dropped as one */
  uint64_t highest, jitter_ns;     /* the highest sequence number so far; RFC 3550 section 6.4.1 */
  uint64_t bursts, longest_burst;  /* of consecutive losses (RFC 3357), as known when later ones arrived */
} todd_bulk_count;
typedef struct {
  uint32_t size, reserved;
  /* On an open stream of a TODD_TCP or TODD_PEERS flow. What arrived before a receiving job took over comes as RECV completions and is not
   * counted by it; after that none come. One job of each direction at a time. Completes once: code TODD_OP_BULK, user, stream in arg; result 0:
   * its limit was reached, it was stopped, or (receiving) the peer has ended; else -errno. CLOSE stops it first. -EBUSY: there is one of that
   * direction, or (sending) a SEND has not completed; -EOPNOTSUPP: the stream has TLS; -EINVAL: flags that do not fit, or a length of 0 or over
   * 4 MiB. Once a receiving job has completed, RECV may be asked for again. */
  todd_status (*begin)(const todd_lane *, uint32_t flow, uint64_t stream, const todd_bulk_job *, uint64_t *job);
  todd_status (*count)(const todd_lane *, uint64_t job, todd_bulk_count *out); /* as of now; valid until CLOSE of the stream; -ENOENT */
  void (*stop)(const todd_lane *, uint64_t job);
} todd_bulk;

/* ---- plugin -------------------------------------------------------------------------------------------------- */

enum { TODD_NEED_RAW = 1 };
enum {
  TODD_TF_PROBES = 1, /* the host counts planned, unsent, sent, received, lost, late, duplicate, undetermined, loss for EXCHANGEs,
                         and the sent_bytes and received_bytes of their IP packets */
  TODD_TF_TICKETS = 2, /* the host's schedule hands out tickets; else the instance only knows start and duration */
  TODD_TF_HEAVY = 4,   /* one edge at a time per agent */
  TODD_TF_WARMS_UP = 8, /* forgets what it remembers of its probes when TODD_WARMING_UP ends, so that users may ask for a warm_up */
  TODD_TF_BULK = 16    /* uses todd.bulk/1: the worker has all its threads for it */
};
enum { TODD_TARGET_HOST = 1, TODD_TARGET_ENDPOINT /* host and port; a peer that runs the responder */, TODD_TARGET_URL };
typedef struct { /* defaults of the host's parameters, in spec syntax; NULL = none */
  uint32_t size, reserved;
  const char *count, *interval, *rate, *duration, *timeout;
} todd_schedule;
typedef struct {
  uint32_t size, roles, needs, flags, target_kind, default_port;
  const char *id, *version, *summary, *doc;                            /* id: "ping", "com.example.probe": a-z, 0-9, -, _ and
                                                                          single dots between parts, at most 63 */
  const todd_param *const *params;                                     /* NULL-terminated */
  const todd_metric *const *metrics;                                   /* NULL-terminated; metric index = position */
  const char *const *default_expect;                                   /* NULL-terminated */
  const todd_schedule *schedule;
  /* May be NULL: refuse values that fit one by one but not together, before anything is created. */
  todd_status (*check)(const todd_host *, const todd_run *, todd_error *);                 /* [control] */
  todd_status (*create)(const todd_host *, const todd_run *, void **self, todd_error *);   /* [control] one per lane */
  todd_status (*start)(void *self, const todd_lane *, todd_error *);                       /* [lane] opens flows; call ready() then or later */
  todd_status (*step)(void *self, todd_batch *);                                           /* [lane] <0 fails the edges, 1 = finished */
  void (*destroy)(void *self);                                                             /* [control] every operation has completed */
  const char *raw_when; /* "mode=icmp": TODD_NEED_RAW is meant only where that param, a choice, has that value. NULL = always */
  /* Flows with TODD_FF_JUDGE: whether a datagram that matches the EXCHANGE of this user and target (sender and key are right) is its reply: 1.
   * 0: it is none, and the EXCHANGE goes on as if it had not come; the testlet counts it. May be asked again after the reply has come (a copy) or
   * the timeout. The bytes are valid until it returns. May record, nothing else. Where the host lacks todd.digest/1 it is never asked. NULL: -EINVAL
   * of open() with the flag. */
  int32_t (*judge)(void *self, uint64_t user, uint32_t target, const uint8_t *bytes, size_t len); /* [lane] between two steps */
} todd_testlet;
typedef struct {
  uint32_t size, magic;
  uint16_t abi_major, abi_minor, reserved[2];
  const char *sdk;
  const todd_testlet *const *testlets; /* NULL-terminated */
} todd_entry;
extern TODD_EXPORT const todd_entry todd_entry_v0; /* the one exported symbol */

#ifdef __cplusplus
}
#endif
#endif
