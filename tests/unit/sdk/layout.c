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
LAYOUT(testlet, offsetof(todd_testlet, id) == 24 && offsetof(todd_testlet, check) == 88 && offsetof(todd_testlet, raw_when) == 128 && sizeof(todd_testlet) == 136);
LAYOUT(metric, offsetof(todd_metric, name) == 8 && offsetof(todd_metric, flags) == 48 && offsetof(todd_metric, keys) == 56 && offsetof(todd_metric, histogram) == 64 && sizeof(todd_metric) == 88);
LAYOUT(run, offsetof(todd_run, value) == 24 && offsetof(todd_run, flags) == 72 && sizeof(todd_run) == 80);
LAYOUT(target, offsetof(todd_target, address) == 8 && offsetof(todd_target, peer_token) == 32 && offsetof(todd_target, clock_offset_ns) == 72);
LAYOUT(flow, offsetof(todd_flow, slots) == 16 && offsetof(todd_flow, ident) == 20);
LAYOUT(record, offsetof(todd_record, count) == 8 && sizeof(todd_record) == 56);
LAYOUT(net, offsetof(todd_net, open) == 8 && offsetof(todd_net, local) == 56 && offsetof(todd_net, refuse) == 64 && offsetof(todd_net, finish) == 72);
