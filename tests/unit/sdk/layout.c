/* The layout of every frozen record and the start of every growable one, in a form that each C and C++ standard
 * accepts. A line that stops compiling here is a break of the ABI: raise TODD_ABI_MINOR with it. */
#include "todd/testlet.h"

#define LAYOUT(name, condition) typedef char layout_##name[(condition) ? 1 : -1]

LAYOUT(value, sizeof(todd_value) == 16 && offsetof(todd_value, v) == 8);
LAYOUT(op, sizeof(todd_op) == 64 && offsetof(todd_op, len) == 24 && offsetof(todd_op, port) == 30);
LAYOUT(op_tail, offsetof(todd_op, key) == 32 && offsetof(todd_op, at_ns) == 40 && offsetof(todd_op, arg) == 56);
LAYOUT(done, sizeof(todd_done) == 64 && offsetof(todd_done, result) == 8 && offsetof(todd_done, tx_ns) == 32);
LAYOUT(done_tail, offsetof(todd_done, ttl) == 50 && offsetof(todd_done, arg) == 56);
LAYOUT(icmp_error, sizeof(todd_icmp_error) == 32 && offsetof(todd_icmp_error, sender) == 8);
LAYOUT(ticket, sizeof(todd_ticket) == 16 && offsetof(todd_ticket, target) == 8);
LAYOUT(slots, sizeof(todd_slots) == 40 && offsetof(todd_slots, stride) == 24 && offsetof(todd_slots, taken) == 36);
LAYOUT(sample, sizeof(todd_sample) == 48 && offsetof(todd_sample, outcome) == 32);
LAYOUT(error, sizeof(todd_error) == 256 && offsetof(todd_error, text) == 8);
LAYOUT(batch, offsetof(todd_batch, now_ns) == 8 && offsetof(todd_batch, done) == 40 && sizeof(todd_batch) == 104);
LAYOUT(entry, offsetof(todd_entry, magic) == 4 && offsetof(todd_entry, abi_major) == 8 && offsetof(todd_entry, sdk) == 16);
LAYOUT(testlet, offsetof(todd_testlet, id) == 24 && offsetof(todd_testlet, check) == 88 && offsetof(todd_testlet, raw_when) == 128 && offsetof(todd_testlet, judge) == 136 && sizeof(todd_testlet) == 144);
LAYOUT(metric, offsetof(todd_metric, name) == 8 && offsetof(todd_metric, flags) == 48 && offsetof(todd_metric, keys) == 56 && offsetof(todd_metric, histogram) == 64 && sizeof(todd_metric) == 88);
LAYOUT(run, offsetof(todd_run, value) == 24 && offsetof(todd_run, flags) == 72 && sizeof(todd_run) == 80);
LAYOUT(target, offsetof(todd_target, address) == 8 && offsetof(todd_target, peer_token) == 32 && offsetof(todd_target, clock_offset_ns) == 72);
LAYOUT(flow, offsetof(todd_flow, proto) == 4 && offsetof(todd_flow, slot_cap) == 12 && offsetof(todd_flow, slots) == 16 && offsetof(todd_flow, ident) == 20);
LAYOUT(flow_tcp, offsetof(todd_flow, mss) == 24 && offsetof(todd_flow, send_buffer) == 28 && offsetof(todd_flow, receive_buffer) == 32 && offsetof(todd_flow, pacing) == 40 && offsetof(todd_flow, congestion) == 48 && sizeof(todd_flow) == 56);
LAYOUT(stream_info, offsetof(todd_stream_info, mss) == 4 && offsetof(todd_stream_info, bytes_acked) == 32 && offsetof(todd_stream_info, bytes_received) == 40);
LAYOUT(stream_info_tail, offsetof(todd_stream_info, min_rtt_us) == 48 && offsetof(todd_stream_info, ecn_ce) == 60 && offsetof(todd_stream_info, delivery_rate) == 64 && offsetof(todd_stream_info, bytes_retransmitted) == 80);
LAYOUT(stream_info_limits, offsetof(todd_stream_info, busy_us) == 88 && offsetof(todd_stream_info, send_buffer_limited_us) == 104 && offsetof(todd_stream_info, send_buffer) == 112 && offsetof(todd_stream_info, congestion) == 120 && sizeof(todd_stream_info) == 136);
LAYOUT(tls, offsetof(todd_tls, flags) == 4 && offsetof(todd_tls, min_version) == 8 && offsetof(todd_tls, max_version) == 10 && offsetof(todd_tls, alpn) == 16);
LAYOUT(tls_pem, offsetof(todd_tls, authorities) == 24 && offsetof(todd_tls, certificate) == 32 && offsetof(todd_tls, key) == 40 && sizeof(todd_tls) == 48);
LAYOUT(tls_info, offsetof(todd_tls_info, version) == 4 && offsetof(todd_tls_info, resumed) == 6 && offsetof(todd_tls_info, chain) == 7 && offsetof(todd_tls_info, verify) == 8 && offsetof(todd_tls_info, key_bits) == 12);
LAYOUT(tls_info_texts, offsetof(todd_tls_info, verify_text) == 16 && offsetof(todd_tls_info, cipher) == 24 && offsetof(todd_tls_info, alpn) == 32 && offsetof(todd_tls_info, error) == 40);
LAYOUT(tls_info_dates, offsetof(todd_tls_info, not_before_s) == 48 && offsetof(todd_tls_info, chain_not_after_s) == 64 && offsetof(todd_tls_info, trusted_not_after_s) == 72);
LAYOUT(tls_info_names, offsetof(todd_tls_info, subject) == 80 && offsetof(todd_tls_info, names) == 96 && offsetof(todd_tls_info, serial) == 104 && offsetof(todd_tls_info, fingerprint) == 112 && sizeof(todd_tls_info) == 120);
LAYOUT(record, offsetof(todd_record, count) == 8 && sizeof(todd_record) == 56);
LAYOUT(net, offsetof(todd_net, open) == 8 && offsetof(todd_net, local) == 56 && offsetof(todd_net, refuse) == 64 && offsetof(todd_net, finish) == 72);
LAYOUT(stream, offsetof(todd_stream, tls) == 8 && offsetof(todd_stream, tls_info) == 16 && offsetof(todd_stream, add_target) == 24 && offsetof(todd_stream, drop_target) == 32);
LAYOUT(stream_numbers, TODD_OP_SEND == 1 && TODD_OP_CONNECT == 5 && TODD_OP_ACCEPT == 7 && TODD_OP_CLOSE == 10 && TODD_OP_TLS == 11 && TODD_TLF_SERVER == 1 && TODD_TLF_INSECURE == 2 && TODD_TLF_RESUME == 4 && TODD_TLS_1_2 == 0x0303 && TODD_TLS_1_3 == 0x0304);
LAYOUT(digest, offsetof(todd_digest, open) == 8 && offsetof(todd_digest, end) == 24 && offsetof(todd_digest, same) == 40 && TODD_DIGEST_BYTES == 32);
LAYOUT(bulk_job, offsetof(todd_bulk_job, bitrate) == 16 && offsetof(todd_bulk_job, first_sequence) == 48 && sizeof(todd_bulk_job) == 64);
LAYOUT(bulk_count, offsetof(todd_bulk_count, bytes) == 8 && offsetof(todd_bulk_count, lost) == 80 && sizeof(todd_bulk_count) == 144);
LAYOUT(bulk, offsetof(todd_bulk, begin) == 8 && offsetof(todd_bulk, stop) == 24 && sizeof(todd_bulk) == 32);
LAYOUT(bulk_numbers, TODD_OP_BULK == 12 && TODD_PEERS == 4 && TODD_TF_BULK == 16 && TODD_BF_SEND == 1 && TODD_BF_RANDOM == 16);
