// What an instance's streams need beyond their flow: names resolved, targets found on the way, TLS contexts.
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "engine/lane/errors.h"
#include "engine/lane/instance.h"
#include "engine/lane/stream_base.h"

namespace todd::lane {
namespace {

constexpr size_t kFurtherTargets = 4096;
constexpr int kNearest = 2;  // this host itself

// How near to this host an address is: 0 anywhere, 1 on its links, 2 itself.
int nearness(const io::Address& address) {
  uint32_t v4 = ntohl(address.v4.sin_addr.s_addr);
  if (address.sa.sa_family == AF_INET6) {
    const in6_addr& v6 = address.v6.sin6_addr;
    if (IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_UNSPECIFIED(&v6)) return kNearest;
    if (IN6_IS_ADDR_LINKLOCAL(&v6)) return 1;
    if (!IN6_IS_ADDR_V4MAPPED(&v6)) return 0;
    v4 = uint32_t{v6.s6_addr[12]} << 24 | uint32_t{v6.s6_addr[13]} << 16;
  }
  if (v4 >> 24 == 127 || v4 >> 24 == 0) return kNearest;
  return v4 >> 16 == 0xa9fe ? 1 : 0;  // 169.254.0.0/16
}

}  // namespace

StreamBase* Instance::stream_flow_of(uint64_t stream) {
  const auto index = static_cast<size_t>(stream >> 48);
  StreamBase* const flow = index < flows_.size() ? flows_[index]->as_stream() : nullptr;
  return flow != nullptr && flow->has(stream) ? flow : nullptr;
}

// ---- targets

Target* Instance::further_target(size_t index) {
  if (index >= further_targets_.size() || !further_targets_[index].used) return nullptr;
  return &further_targets_[index].target;
}

todd_status Instance::add_target(uint32_t from, std::string_view host, uint16_t port, uint32_t& index) {
  const Target users{.spec = UINT32_MAX};  // a param's: of no edge, wherever it is
  const Target* const origin = from == TODD_NONE ? &users : target_at(from);
  const bool placed = from == TODD_NONE || (origin != nullptr && origin->address.sa.sa_family != 0);
  if (!placed || host.empty()) return -EINVAL;
  if (free_further_.empty()) {
    if (further_targets_.size() == kFurtherTargets) return -ENOBUFS;
    free_further_.push_back(static_cast<uint32_t>(further_targets_.size()));
    further_targets_.emplace_back();
  }
  const uint32_t i = free_further_.back();
  free_further_.pop_back();
  further_targets_[i] = {.target = *origin,
                         .host = std::string(host),
                         .nearest = from == TODD_NONE ? kNearest : nearness(origin->address),
                         .used = true};
  further_targets_[i].target.address = {};
  io::set_port(further_targets_[i].target.address, port);
  index = static_cast<uint32_t>(setup_.targets.size() + i);
  return 0;
}

void Instance::drop_target(uint32_t index) {
  const size_t own = setup_.targets.size();
  if (index < own || further_target(index - own) == nullptr) return;
  further_targets_[index - own] = {};
  free_further_.push_back(static_cast<uint32_t>(index - own));
  std::vector<uint64_t> asked;
  for (const auto& [token, op] : resolving_)
    if (op.target == index) asked.push_back(token);
  for (const uint64_t token : asked) resolved(token, {}, ECANCELED);
}

// 0, or EACCES. What a run was given is judged where it is prepared, but a name may lead elsewhere since.
int Instance::judge(uint32_t target, const io::Address& address) const {
  if (io::is_no_host(address) || !permitted(setup_, address)) return EACCES;
  const size_t own = setup_.targets.size();
  if (target < own) return 0;
  return nearness(address) > further_targets_[target - own].nearest ? EACCES : 0;
}

// ---- names

void Instance::resolve(const todd_op& op) {
  const Target* const target = target_at(op.target);
  if (target == nullptr) return reject(op, EINVAL);
  const size_t own = setup_.targets.size();
  const std::string host = op.target < own ? schedule::host_at((*setup_.specs)[target->spec], target->offset)
                                           : further_targets_[op.target - own].host;
  const uint64_t token = ++timer_order_;
  resolving_[token] = op;
  resolving_[token].at_ns = now();
  if (schedule::is_literal(host)) return resolved(token, {host}, 0);
  const int64_t timeout = op.timeout_ns != 0 ? op.timeout_ns : setup_.timeout_ns;
  if (timeout > 0) add_timer(now() + timeout, [this, token] { resolved(token, {}, ETIMEDOUT); });
  events_.resolve(setup_.id, token, host);
}

void Instance::resolved(uint64_t token, const std::vector<std::string>& addresses, int error) {
  const auto it = resolving_.find(token);
  if (it == resolving_.end()) return;
  const todd_op op = it->second;
  resolving_.erase(it);
  Target* const target = target_at(op.target);
  int failed = error != 0 ? error : ENOENT;
  for (const auto& text : addresses) {
    if (target == nullptr) break;  // dropped meanwhile
    const auto address = io::parse_address(text, io::port_of(target->address));
    if (!address) continue;
    if (const int refused = judge(op.target, *address); refused != 0) {
      failed = refused;
      continue;
    }
    if (!wanted_family(setup_, *target, address->sa.sa_family)) continue;
    failed = 0;
    target->address = *address;
    io::label_flow(target->address, setup_.egress);
    described_.erase(op.target);
    break;
  }
  complete({.user = op.user,
            .result = -failed,
            .code = TODD_OP_RESOLVE,
            .target = op.target,
            .slot = TODD_NONE,
            .tx_ns = op.at_ns,
            .rx_ns = now()});
}

// ---- TLS

todd_status Instance::add_tls(const todd_tls& wanted, uint32_t& context, todd_error* error) {
  const auto text = [](const char* given) { return std::string(given != nullptr ? given : ""); };
  const bool server = (wanted.flags & TODD_TLF_SERVER) != 0;
  auto made = io::make_stream_tls({.server = server,
                                   .insecure = (wanted.flags & TODD_TLF_INSECURE) != 0,
                                   .resume = (wanted.flags & TODD_TLF_RESUME) != 0,
                                   .min_version = wanted.min_version,
                                   .max_version = wanted.max_version,
                                   .alpn = text(wanted.alpn),
                                   .authorities_pem = text(wanted.authorities),
                                   .certificate_pem = text(wanted.certificate),
                                   .key_pem = text(wanted.key)});
  if (!made) return set_error(error, -EINVAL, made.error().detail);
  tls_contexts_.push_back({std::move(*made), server});
  context = static_cast<uint32_t>(tls_contexts_.size());
  return 0;
}

std::shared_ptr<io::StreamTlsContext> Instance::tls_context(uint64_t number, bool server) const {
  if (number == 0 || number > tls_contexts_.size() || tls_contexts_[number - 1].server != server)
    return nullptr;
  return tls_contexts_[number - 1].context;
}

todd_status Instance::describe_tls(uint64_t stream, todd_tls_info& out) {
  StreamBase* const flow = stream_flow_of(stream);
  const io::StreamTls* const tls = flow != nullptr ? flow->tls(stream) : nullptr;
  if (tls == nullptr) return -ENOENT;
  if (out.size < offsetof(todd_tls_info, not_before_s)) return -EINVAL;
  tls_facts_ = tls->facts(out.size > offsetof(todd_tls_info, not_before_s));
  const io::TlsFacts& facts = tls_facts_;
  const todd_tls_info whole{.size = out.size,
                            .version = facts.version,
                            .resumed = facts.resumed,
                            .chain = static_cast<uint8_t>(std::min(facts.chain, 255)),
                            .verify = facts.verify,
                            .key_bits = static_cast<uint32_t>(facts.key_bits),
                            .verify_text = facts.verify_text.c_str(),
                            .cipher = facts.cipher.c_str(),
                            .alpn = facts.alpn.c_str(),
                            .error = facts.error.c_str(),
                            .not_before_s = facts.not_before_s,
                            .not_after_s = facts.not_after_s,
                            .chain_not_after_s = facts.chain_not_after_s,
                            .trusted_not_after_s = facts.trusted_not_after_s,
                            .subject = facts.subject.c_str(),
                            .issuer = facts.issuer.c_str(),
                            .names = facts.names.c_str(),
                            .serial = facts.serial.c_str(),
                            .fingerprint = facts.fingerprint.c_str()};
  // A testlet built before the struct grew gets what it has room for.
  memcpy(&out, &whole, std::min<size_t>(out.size, sizeof whole));
  return 0;
}

// ---- bulk

todd_status Instance::begin_bulk(uint32_t flow, uint64_t stream, const todd_bulk_job& wanted,
                                 uint64_t& number) {
  StreamBase* const found = stream_flow_of(stream);
  if (found == nullptr || flow >= flows_.size() || flows_[flow].get() != found) return -ENOTCONN;
  return bulk_.begin(*found, stream, wanted, events_.move, number);
}

void Instance::tend_bulk() {
  std::vector<todd_done> ended;
  bulk_.tend(ended);
  for (const todd_done& done : ended) complete(done);
}

}  // namespace todd::lane
