// Hostile bytes into a TLS session, of a client and of a server: those of the input as they are, or those of
// an honest peer with the input's changes. No crash, every end is told once, plain text is what the peer
// said or the beginning of it, and an untouched session carries all of it.

// RAND_METHOD is the one way to have OpenSSL do the same each time; it has no successor.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include <map>

#include "engine/io/pki.h"
#include "tests/fuzz/tls_end.h"

namespace {

using namespace todd::io;

uint64_t g_random = 0;  // OpenSSL asks by function pointers without a context

int same_bytes(unsigned char* out, int n) {
  for (int i = 0; i < n; ++i) {
    g_random = g_random * 6364136223846793005u + 1442695040888963407u;
    out[i] = static_cast<unsigned char>(g_random >> 56);
  }
  return 1;
}
int always() { return 1; }

// An authority, and its certificates for a server and a client.
struct Pki {
  Pki() {
    static RAND_METHOD method{nullptr, same_bytes, nullptr, nullptr, same_bytes, always};
    RAND_set_rand_method(&method);
    ca = *make_ca("Test authority", 30);
    key = *make_key();
    server = *sign_csr(ca, *make_csr(key, "www.example"),
                       {.common_name = "www.example", .alt_names = "DNS:www.example", .server = true});
    client = *sign_csr(ca, *make_csr(key, "client"), {.common_name = "client", .alt_names = ""});
  }
  KeyPair ca;
  std::string key, server, client;
};

// The first byte of an input, bit by bit.
struct Setting {
  bool client, honest_peer, old, insecure, asks_client, resumes, closes, small;
  explicit Setting(uint8_t b)
      : client(b & 1),
        honest_peer(b & 2),
        old(b & 4),
        insecure(b & 8),
        asks_client(b & 16),
        resumes(b & 32),
        closes(b & 64),
        small(b & 128) {}
};

std::shared_ptr<StreamTlsContext> context_of(const Setting& s, bool server) {
  static const Pki pki;
  static std::map<std::pair<bool, int>, std::shared_ptr<StreamTlsContext>> kept;
  auto& context = kept[{server, s.old + 2 * s.insecure + 4 * s.asks_client}];
  if (context != nullptr && !s.resumes) return context;
  StreamTlsOptions options{.server = server,
                           .insecure = !server && s.insecure,
                           .resume = !server && s.resumes,
                           .max_version = static_cast<uint16_t>(s.old ? TLS1_2_VERSION : 0),
                           .alpn = server ? "http/1.1" : "h2,http/1.1",
                           .certificate_pem = server ? pki.server : pki.client,
                           .key_pem = pki.key};
  if (!server || s.asks_client) options.authorities_pem = pki.ca.certificate_pem;
  auto made = make_stream_tls(options);
  TODD_CHECK(made.has_value());
  if (s.resumes) return *made;
  return context = *made;
}

// The changes that an input makes to what passes by, in order: two bytes each, some with bytes behind them.
class Changes {
 public:
  explicit Changes(std::string_view input) : input_(input) {}

  bool changed() const { return changed_; }
  std::string apply(std::string bytes) {
    if (bytes.empty() || input_.size() < 2) return bytes;
    const auto what = static_cast<uint8_t>(input_[0]), where = static_cast<uint8_t>(input_[1]);
    input_.remove_prefix(2);
    const std::string before = bytes;
    const size_t at = (where + (what >> 3) * 37) % bytes.size();
    switch (what & 7) {
      case 0: break;  // let it pass
      case 1: bytes[at] = static_cast<char>(bytes[at] ^ (1 << (what >> 5))); break;
      case 2: bytes.erase(at); break;
      case 3: bytes.erase(at, 1 + (what >> 3)); break;
      case 4: bytes += before; break;
      case 5: bytes.insert(at, taken(what >> 3)); break;
      case 6: bytes.replace(at, std::min<size_t>(what >> 3, bytes.size() - at), taken(what >> 3)); break;
      case 7: bytes.clear(); break;
    }
    changed_ |= bytes != before;
    return bytes;
  }

 private:
  std::string taken(size_t n) {
    const std::string text(input_.substr(0, n));
    input_.remove_prefix(text.size());
    return text;
  }

  std::string_view input_;
  bool changed_ = false;
};

void raw(const Setting& s, std::string_view bytes) {
  TlsEnd end(context_of(s, !s.client), s.client ? "www.example" : "");
  size_t sent = 0;
  for (size_t at = 0; at < bytes.size(); at += 1'000) {
    end.put(bytes.substr(at, 1'000), s.small ? 7 : SIZE_MAX);
    sent += end.take().size();
  }
  TODD_CHECK(!end.established() && !end.say("x"));  // who has not the keys gets no session
  check_facts(end.facts());
  end.end(s.closes ? -ECONNRESET : 0);
  TODD_CHECK(sent + end.take().size() < 10'000);
}

// Carries until neither has more to send.
void carry(TlsEnd& client, TlsEnd& server, Changes& changes, size_t piece) {
  for (int quiet = 0, turns = 0; quiet < 2; ++turns) {
    TODD_CHECK(turns < 1'000);
    TlsEnd& from = turns % 2 == 0 ? client : server;
    TlsEnd& to = turns % 2 == 0 ? server : client;
    const std::string bytes = changes.apply(from.take());
    quiet = bytes.empty() ? quiet + 1 : 0;
    to.put(bytes, piece);
  }
}

void between(const Setting& s, std::string_view input) {
  const auto of_client = context_of(s, false), of_server = context_of(s, true);
  Changes changes(input);
  for (int session = 0; session <= s.resumes; ++session) {
    TlsEnd client(of_client, "www.example"), server(of_server, "");
    const size_t piece = s.small ? 7 : SIZE_MAX;
    if (s.closes) server.close_at_plain();
    carry(client, server, changes, piece);
    const std::string question = "question", answer(20'000, 'a');
    const bool said = client.say(question) && server.say(answer);
    carry(client, server, changes, piece);
    client.say_no_more();
    server.say_no_more();
    carry(client, server, changes, piece);
    TODD_CHECK(question.starts_with(server.plain()) && answer.starts_with(client.plain()));
    for (const TlsEnd* end : {&client, &server}) check_facts(end->facts());
    TODD_CHECK(!client.established() || s.insecure || client.facts().verify == X509_V_OK);
    if (!changes.changed())
      TODD_CHECK(said && server.plain() == question && client.plain() == answer && client.ended() &&
                 client.facts().resumed == (session == 1));
    client.end(0);
    server.end(-ECONNRESET);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const Setting setting(data[0]);
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  g_random = 1;
  setting.honest_peer ? between(setting, input) : raw(setting, input);
  return 0;
}
