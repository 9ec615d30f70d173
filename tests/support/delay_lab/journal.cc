#include "tests/support/delay_lab/journal.h"

#include <cerrno>
#include <cinttypes>

namespace todd::delay_lab {

Result<Journal> Journal::create(const std::string& path) {
  File file(std::fopen(path.c_str(), "we"));
  if (!file) return fail_errno(errno, path);
  std::setvbuf(file.get(), nullptr, _IOFBF, 1 << 20);
  std::fputs("request,event,protocol,from,to,ident,sequence,payload,rx_ns,due_ns,tx_ns\n", file.get());
  return Journal(std::move(file));
}

namespace {

const char* protocol_name(Protocol protocol) {
  switch (protocol) {
    case Protocol::icmp: return "icmp";
    case Protocol::udp: return "udp";
    case Protocol::tcp: return "tcp";
    case Protocol::other: return "other";
  }
  return "?";
}

}  // namespace

void Journal::write(const Entry& entry) {
  std::fprintf(file_.get(), "%" PRIu64 ",%s,%s,%s,%s,%u,%u,%zu,%" PRId64 ",%" PRId64 ",%" PRId64 "\n",
               entry.request, event_name(entry.event), protocol_name(entry.protocol),
               entry.from.text().c_str(), entry.to.text().c_str(), entry.ident, entry.sequence, entry.payload,
               entry.rx_ns, entry.due_ns, entry.tx_ns);
}

}  // namespace todd::delay_lab
