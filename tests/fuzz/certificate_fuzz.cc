// Any bytes as a certificate. As DER they come from a server of TLS 1.2, whose handshake is in the clear
// until then: no crash, and what is told of it is text for people. As PEM they are what a testlet was given:
// taken, or refused with a reason.

#include <openssl/ssl.h>

#include "engine/io/pki.h"
#include "tests/fuzz/tls_end.h"

namespace {

using namespace todd::io;

std::string number(size_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(value >> (8 * i));
  return text;
}

// RFC 5246, sections 6.2.1 and 7.4: a handshake message, in as many records as it needs.
std::string message(char type, const std::string& body) {
  const std::string whole = type + number(body.size(), 3) + body;
  std::string records;
  for (size_t at = 0; at < whole.size(); at += 16'384) {
    const std::string part = whole.substr(at, 16'384);
    records += "\x16\x03\x03" + number(part.size(), 2) + part;
  }
  return records;
}

// ServerHello: no session, ECDHE with a certificate of RSA or another kind, renegotiation_info (RFC 5746).
std::string server_hello(bool rsa) {
  const std::string extension("\xff\x01\x00\x01\x00", 5);
  return message(2, "\x03\x03" + std::string(32, 'r') + number(0, 1) + (rsa ? "\xc0\x2f" : "\xc0\x2b") +
                        number(0, 1) + number(extension.size(), 2) + extension);
}

std::string certificate_message(const std::string& der, int times) {
  std::string list;
  for (int i = 0; i < times; ++i) list += number(der.size(), 3) + der;
  return message(11, number(list.size(), 3) + list);
}

std::shared_ptr<StreamTlsContext> client(bool insecure) {
  static const auto authority = make_ca("Test authority", 30);
  const auto made = make_stream_tls(
      {.insecure = insecure, .max_version = TLS1_2_VERSION, .authorities_pem = authority->certificate_pem});
  TODD_CHECK(made.has_value());
  return *made;
}

void der(uint8_t flags, const std::string& bytes) {
  static const auto strict = client(false), insecure = client(true);
  TlsEnd end((flags & 2) != 0 ? insecure : strict, (flags & 4) != 0 ? "192.0.2.1" : "www.example");
  end.put(server_hello((flags & 1) != 0));
  end.put(certificate_message(bytes, 1 + ((flags >> 3) & 3)));
  const TlsFacts facts = end.facts();
  check_facts(facts);
  TODD_CHECK(facts.verify != X509_V_OK && !end.established());  // none is of that authority
  end.end(0);
}

void pem(uint8_t flags, const std::string& bytes) {
  static const std::string key = *make_key();
  StreamTlsOptions options;
  options.server = (flags & 1) != 0;
  if ((flags & 2) != 0) {
    options.certificate_pem = bytes;
    options.key_pem = (flags & 4) != 0 ? bytes : key;
  } else {
    options.authorities_pem = bytes;
  }
  const auto made = make_stream_tls(options);
  TODD_CHECK(made || (made.error().code == todd::Errc::invalid && !made.error().detail.empty()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  (data[0] & 0x80) != 0 ? pem(data[0], bytes) : der(data[0], bytes);
  return 0;
}
