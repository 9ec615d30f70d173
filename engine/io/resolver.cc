#include "engine/io/channel.h"

#include <event2/dns.h>
#include <event2/util.h>
#include <netinet/in.h>

#include <set>
#include <utility>

#include "engine/base/check.h"
#include "engine/io/endpoint.h"

namespace todd::io {

using Outcome = Result<std::vector<std::string>>;

// Shared by the resolver and by its queries under way: libevent answers cancelled ones too, a turn later, and
// its base has to be there until then.
struct Resolver::Impl {
  struct Shared;
  struct Query;
  std::shared_ptr<Shared> shared;
};

struct Resolver::Impl::Shared {
  Loop& loop;
  evdns_base* dns = nullptr;
  bool closed = false;  // the resolver is gone: nobody is called any more
  std::set<evdns_getaddrinfo_request*> pending;

  explicit Shared(Loop& l) : loop(l) {}
  ~Shared() {
    if (dns != nullptr) evdns_base_free(dns, 0);
  }
};

struct Resolver::Impl::Query {
  std::shared_ptr<Shared> shared;
  std::string name;
  std::function<void(Outcome)> done;
  evdns_getaddrinfo_request* request = nullptr;

  static void answered(int code, evutil_addrinfo* found, void* self);
};

namespace {

Outcome outcome_of(int code, const evutil_addrinfo* found, const std::string& name) {
  std::vector<std::string> addresses;
  for (const auto* at = found; at != nullptr; at = at->ai_next) {
    char text[INET6_ADDRSTRLEN];
    const void* bytes =
        at->ai_family == AF_INET6
            ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in6*>(at->ai_addr)->sin6_addr)
            : static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(at->ai_addr)->sin_addr);
    if (evutil_inet_ntop(at->ai_family, bytes, text, sizeof text) != nullptr) addresses.emplace_back(text);
  }
  if (!addresses.empty()) return addresses;
  switch (code) {
    case 0:
    case EVUTIL_EAI_NONAME:
    case EVUTIL_EAI_NODATA:
      return fail(Errc::not_found, "name '" + name + "': no such host, or no address of the wanted family");
    case EVUTIL_EAI_AGAIN:
      return fail(Errc::timed_out, "name '" + name + "': no answer; check the name servers in resolv.conf");
    default: return fail(Errc::unavailable, "name '" + name + "': " + evutil_gai_strerror(code));
  }
}

}  // namespace

// libevent may call this from inside evdns_getaddrinfo() (hosts file) and holds its own state while it does:
// the caller hears in a turn of its own, where it may destroy anything.
void Resolver::Impl::Query::answered(int code, evutil_addrinfo* found, void* self) {
  std::shared_ptr<Query> query(static_cast<Query*>(self));
  query->shared->pending.erase(query->request);
  Outcome outcome = outcome_of(code, found, query->name);
  if (found != nullptr) evutil_freeaddrinfo(found);
  Loop& loop = query->shared->loop;
  loop.post([query, outcome = std::move(outcome)] {
    if (!query->shared->closed) query->done(outcome);
  });
}

Resolver::Resolver(Loop& loop) : impl_(std::make_unique<Impl>()) {
  impl_->shared = std::make_shared<Impl::Shared>(loop);
  evdns_base* dns = evdns_base_new(loop.base(), EVDNS_BASE_DISABLE_WHEN_INACTIVE);
  TODD_CHECK(dns != nullptr);
  impl_->shared->dns = dns;
  // libevent's three tries of 5 s take longer than the 10 s in which a task must be ready, and then nobody
  // hears that it was the name. resolv.conf's own options win.
  evdns_base_set_option(dns, "timeout:", "2");
  evdns_base_set_option(dns, "attempts:", "2");
  // Hosts and name servers. Without a readable resolv.conf libevent falls back to a name server on 127.0.0.1.
  evdns_base_resolv_conf_parse(dns, DNS_OPTIONS_ALL, "/etc/resolv.conf");
}

Resolver::~Resolver() {
  impl_->shared->closed = true;
  const auto pending = std::exchange(impl_->shared->pending, {});
  for (evdns_getaddrinfo_request* request : pending) evdns_getaddrinfo_cancel(request);
}

void Resolver::resolve(const std::string& name, int family, std::function<void(Outcome)> done) {
  auto query = std::make_unique<Impl::Query>();
  query->shared = impl_->shared;
  query->name = name;
  query->done = std::move(done);
  if (const auto literal = literal_endpoint(name, 0)) {
    const bool wanted = family == AF_UNSPEC || family == literal->storage.ss_family;
    Outcome outcome =
        wanted ? Outcome(std::vector<std::string>{name})
               : Outcome(fail(Errc::not_found, "address " + name + " is not of the wanted family"));
    impl_->shared->loop.post(
        [query = std::shared_ptr<Impl::Query>(std::move(query)), outcome = std::move(outcome)] {
          if (!query->shared->closed) query->done(outcome);
        });
    return;
  }
  evutil_addrinfo hints{};
  hints.ai_family = family;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_protocol = IPPROTO_TCP;
  // The callback owns the query from here, and may have run already when this returns: then there is no
  // request.
  Impl::Query* raw = query.release();
  auto* request =
      evdns_getaddrinfo(impl_->shared->dns, name.c_str(), nullptr, &hints, &Impl::Query::answered, raw);
  if (request == nullptr) return;
  raw->request = request;
  impl_->shared->pending.insert(request);
}

}  // namespace todd::io
