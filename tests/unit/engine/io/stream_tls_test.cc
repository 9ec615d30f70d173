// TLS of testlets' streams: both ends over loopback, on every back end.
#include "engine/io/stream_tls.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "engine/io/pki.h"
#include "engine/io/send_queue.h"
#include "tests/unit/engine/io/reactor_fixture.h"

namespace todd::io {
namespace {

// One end of a connection. The peer's bytes go through `tls` where there is one.
struct End final : StreamSink, StreamTlsSink {
  std::unique_ptr<StreamTls> tls;
  std::unique_ptr<Stream> stream;
  std::vector<int> connected, shaken, ended;
  std::vector<uint64_t> sent;
  std::string plain, raw;
  bool take = true;  // what on_plain says

  void on_connected(uint64_t, int result) override { connected.push_back(result); }
  void on_stream_sent(uint64_t cookie, int, int64_t) override {
    if (tls == nullptr || tls->sent(cookie)) sent.push_back(cookie);
  }
  void on_stream_data(int result, const uint8_t* data, uint32_t len, int64_t mono_ns) override {
    if (tls != nullptr) return tls->received(result, data, len, mono_ns);
    raw.append(reinterpret_cast<const char*>(data), len);
  }
  void on_handshake(int result) override { shaken.push_back(result); }
  bool on_plain(int result, const uint8_t* data, uint32_t len, int64_t) override {
    if (len == 0) ended.push_back(result);
    plain.append(reinterpret_cast<const char*>(data), len);
    return take;
  }
  bool say(const std::string& text, uint64_t cookie = 1) {
    return tls->send(reinterpret_cast<const uint8_t*>(text.data()), static_cast<uint32_t>(text.size()),
                     cookie);
  }
};

// An authority and a certificate of it for "www.example" and 192.0.2.1, made once.
struct Pki {
  KeyPair ca = *make_ca("Test authority", 30);
  std::string key = *make_key();
  std::string leaf = *sign_csr(ca, *make_csr(key, "www.example"),
                               {.common_name = "www.example",
                                .alt_names = "DNS:www.example,IP:192.0.2.1",
                                .server = true,
                                .days = 20});
};
const Pki& pki() {
  static const Pki made;
  return made;
}

class StreamTlsTest : public ReactorListeningTest {
 protected:
  static std::shared_ptr<StreamTlsContext> context(const StreamTlsOptions& options) {
    auto made = make_stream_tls(options);
    EXPECT_TRUE(made) << made.error().detail;
    return *made;
  }
  static StreamTlsOptions server_options() {
    return {.server = true, .alpn = "http/1.1", .certificate_pem = pki().leaf, .key_pem = pki().key};
  }
  void connect() {
    client_.stream = reactor_->add_stream(
        std::move(*open_socket({.kind = SocketRequest::tcp, .family = AF_INET})), client_, {});
    client_.stream->connect(listening_, 1);
    const size_t before = taken_;
    ASSERT_TRUE(until([&] { return !client_.connected.empty() && accepted_.accepted.size() > before; }));
    server_.stream = reactor_->add_stream(std::move(accepted_.accepted[taken_++]), server_, {});
    server_.stream->receive();
  }
  // Until both ends know what became of the handshake.
  void shake(const std::shared_ptr<StreamTlsContext>& server, const std::shared_ptr<StreamTlsContext>& client,
             const std::string& name) {
    connect();
    server_.tls = std::make_unique<StreamTls>(server, *server_.stream, server_);
    client_.tls = std::make_unique<StreamTls>(client, *client_.stream, client_);
    client_.tls->begin(name, "there");
    client_.stream->receive();
    ASSERT_TRUE(until([&] { return !client_.shaken.empty(); }));
  }
  void forget_connection() {
    for (End* end : {&client_, &server_}) {
      end->stream.reset();
      *end = End{};
    }
  }

  size_t taken_ = 0;
  End client_, server_;
};
TODD_ALL_ENGINES(StreamTlsTest);

TEST_P(StreamTlsTest, CarriesPlainTextBothWaysAndTellsOfTheCertificate) {
  shake(context(server_options()),
        context({.alpn = "h2,http/1.1", .authorities_pem = pki().ca.certificate_pem}), "www.example");
  ASSERT_EQ(client_.shaken, std::vector<int>{0});
  ASSERT_TRUE(until([&] { return !server_.shaken.empty(); }));
  const std::string big(300'000, 'x');
  EXPECT_TRUE(client_.say(big, 7));
  EXPECT_TRUE(server_.say("short", 8));
  ASSERT_TRUE(until([&] { return server_.plain.size() == big.size() && client_.plain.size() == 5; }));
  EXPECT_TRUE(server_.plain == big);
  EXPECT_EQ(client_.plain, "short");
  ASSERT_TRUE(until([&] { return client_.sent.size() == 1 && server_.sent.size() == 1; }));
  EXPECT_EQ(client_.sent[0], 7u);

  const TlsFacts facts = client_.tls->facts();
  EXPECT_EQ(facts.version, TLS1_3_VERSION);
  EXPECT_EQ(facts.alpn, "http/1.1");
  EXPECT_EQ(facts.verify, X509_V_OK);
  EXPECT_EQ(facts.subject, "CN=www.example");
  EXPECT_EQ(facts.issuer, "CN=Test authority");
  EXPECT_EQ(facts.names, "DNS:www.example, IP:192.0.2.1");
  EXPECT_EQ(facts.fingerprint.size(), 64u);
  EXPECT_EQ(facts.key_bits, 256);
  EXPECT_NEAR(static_cast<double>(facts.not_after_s), static_cast<double>(time(nullptr) + 20 * 86400),
              86400.0);
  EXPECT_EQ(facts.trusted_not_after_s, facts.not_after_s);  // the authority's end is later
  EXPECT_FALSE(facts.resumed);
}

TEST_P(StreamTlsTest, ACertificateThatDoesNotVerifyIsRefusedAndToldOf) {
  const auto server = context(server_options());
  struct Case {
    StreamTlsOptions client;
    std::string name;
    int verify;
  };
  const std::string ca = pki().ca.certificate_pem;
  const Case cases[] = {
      {{}, "www.example", X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
      {{.authorities_pem = ca}, "other.example", X509_V_ERR_HOSTNAME_MISMATCH},
      {{.authorities_pem = ca}, "192.0.2.7", X509_V_ERR_IP_ADDRESS_MISMATCH},
  };
  for (const Case& c : cases) {
    shake(server, context(c.client), c.name);
    EXPECT_EQ(client_.shaken, std::vector<int>{-EKEYREJECTED}) << c.name;
    const TlsFacts facts = client_.tls->facts();
    EXPECT_EQ(facts.verify, c.verify) << facts.verify_text;
    EXPECT_EQ(facts.subject, "CN=www.example");
    EXPECT_NE(facts.not_after_s, 0);
    EXPECT_FALSE(facts.error.empty());
    EXPECT_FALSE(client_.say("secret"));
    forget_connection();
    StreamTlsOptions insecure = c.client;
    insecure.insecure = true;
    shake(server, context(insecure), c.name);
    EXPECT_EQ(client_.shaken, std::vector<int>{0}) << c.name;
    EXPECT_EQ(client_.tls->facts().verify, c.verify);
    forget_connection();
  }
  shake(server, context({.authorities_pem = ca}), "192.0.2.1");
  EXPECT_EQ(client_.shaken, std::vector<int>{0});
}

TEST_P(StreamTlsTest, ASessionIsResumedWhereThatIsWanted) {
  for (const uint16_t version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    StreamTlsOptions offered = server_options();
    offered.max_version = version;
    const auto server = context(offered);
    for (const bool wanted : {false, true}) {
      const auto client = context({.resume = wanted, .authorities_pem = pki().ca.certificate_pem});
      for (const bool again : {false, true}) {
        shake(server, client, "www.example");
        ASSERT_EQ(client_.shaken, std::vector<int>{0});
        ASSERT_TRUE(until([&] { return !server_.shaken.empty(); }));
        server_.say("with it come the tickets of 1.3");
        ASSERT_TRUE(until([&] { return !client_.plain.empty(); }));
        EXPECT_EQ(client_.tls->facts().resumed, wanted && again) << version;
        EXPECT_EQ(client_.tls->facts().subject, "CN=www.example");
        forget_connection();
      }
    }
  }
}

// Signed by itself, with these alternative names: of DNS, and addresses of any length.
KeyPair strange_certificate(const std::string& key_pem,
                            const std::vector<std::pair<int, std::string>>& names) {
  const auto bio_of = [](const std::string& text) {
    return BIO_new_mem_buf(text.data(), static_cast<int>(text.size()));
  };
  BIO* in = bio_of(key_pem);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(in, nullptr, nullptr, nullptr);
  X509* made = X509_new();
  X509_set_version(made, 2);
  X509_gmtime_adj(X509_getm_notBefore(made), 0);
  X509_gmtime_adj(X509_getm_notAfter(made), 3600);
  X509_set_pubkey(made, key);
  GENERAL_NAMES* all = GENERAL_NAMES_new();
  for (const auto& [type, text] : names) {
    GENERAL_NAME* name = GENERAL_NAME_new();
    ASN1_STRING* value = ASN1_STRING_type_new(type == GEN_DNS ? V_ASN1_IA5STRING : V_ASN1_OCTET_STRING);
    ASN1_STRING_set(value, text.data(), static_cast<int>(text.size()));
    GENERAL_NAME_set0_value(name, type, value);
    sk_GENERAL_NAME_push(all, name);
  }
  X509_add1_ext_i2d(made, NID_subject_alt_name, all, 0, 0);
  X509_sign(made, key, EVP_sha256());
  BIO* out = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(out, made);
  char* text = nullptr;
  const long n = BIO_get_mem_data(out, &text);
  KeyPair pair{std::string(text, static_cast<size_t>(n)), key_pem};
  GENERAL_NAMES_free(all);
  X509_free(made);
  EVP_PKEY_free(key);
  BIO_free(in);
  BIO_free(out);
  return pair;
}

TEST_P(StreamTlsTest, ACertificateMaySayAnything) {
  const KeyPair odd = strange_certificate(
      *make_key(),
      {{GEN_IPADD, "\x7f"}, {GEN_DNS, "a,\nIP:1\x1b"}, {GEN_IPADD, ""}, {GEN_IPADD, "\x7f\x01\x01\x01"}});
  StreamTlsOptions offered = server_options();
  offered.certificate_pem = odd.certificate_pem;
  offered.key_pem = odd.key_pem;
  shake(context(offered), context({.insecure = true}), "");
  EXPECT_EQ(client_.shaken, std::vector<int>{0});
  EXPECT_EQ(client_.tls->facts().names, "DNS:a??IP:1?, IP:127.1.1.1");
}

TEST_P(StreamTlsTest, OneWithoutACertificateMakesOneThatSignsItself) {
  shake(context({.server = true}), context({.insecure = true}), "");
  EXPECT_EQ(client_.shaken, std::vector<int>{0});
  EXPECT_EQ(client_.tls->facts().verify, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT);
}

TEST_P(StreamTlsTest, AClientShowsItsCertificateWhereOneIsAsked) {
  StreamTlsOptions offered = server_options();
  offered.authorities_pem = pki().ca.certificate_pem;
  const auto server = context(offered);
  const std::string key = *make_key();
  const std::string certificate = *sign_csr(pki().ca, *make_csr(key, "client"),
                                            {.common_name = "client", .alt_names = "", .server = false});
  shake(
      server,
      context({.authorities_pem = pki().ca.certificate_pem, .certificate_pem = certificate, .key_pem = key}),
      "www.example");
  ASSERT_TRUE(until([&] { return !server_.shaken.empty(); }));
  EXPECT_EQ(server_.shaken, std::vector<int>{0});
  EXPECT_EQ(server_.tls->facts().subject, "CN=client");
  forget_connection();
  shake(server, context({.authorities_pem = pki().ca.certificate_pem}), "www.example");
  ASSERT_TRUE(until([&] { return !server_.shaken.empty(); }));
  EXPECT_EQ(server_.shaken, std::vector<int>{-EPROTO});
}

// A server that asks for certificates makes tickets only with the word of what they are for, and without it
// broke off every handshake that came with one.
TEST_P(StreamTlsTest, AClientThatShowedItsCertificateResumes) {
  const std::string key = *make_key();
  const std::string certificate = *sign_csr(pki().ca, *make_csr(key, "client"),
                                            {.common_name = "client", .alt_names = "", .server = false});
  for (const uint16_t version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    StreamTlsOptions offered = server_options();
    offered.max_version = version;
    offered.authorities_pem = pki().ca.certificate_pem;
    const auto server = context(offered);
    const auto client = context({.resume = true,
                                 .authorities_pem = pki().ca.certificate_pem,
                                 .certificate_pem = certificate,
                                 .key_pem = key});
    for (const bool again : {false, true}) {
      shake(server, client, "www.example");
      ASSERT_TRUE(until([&] { return !server_.shaken.empty(); }));
      ASSERT_EQ(server_.shaken, std::vector<int>{0}) << version;
      server_.say("with it come the tickets of 1.3");
      ASSERT_TRUE(until([&] { return !client_.plain.empty() || !client_.ended.empty(); }));
      EXPECT_EQ(client_.tls->facts().resumed, again) << version;
      EXPECT_EQ(server_.tls->facts().subject, "CN=client") << version;
      forget_connection();
    }
  }
}

TEST_P(StreamTlsTest, VersionsThatDoNotMeetFailOnBothSides) {
  StreamTlsOptions offered = server_options();
  offered.min_version = TLS1_3_VERSION;
  shake(context(offered), context({.insecure = true, .max_version = TLS1_2_VERSION}), "");
  EXPECT_EQ(client_.shaken, std::vector<int>{-EPROTO});
  EXPECT_NE(client_.tls->facts().error.find("version"), std::string::npos) << client_.tls->facts().error;
  EXPECT_EQ(client_.tls->facts().not_after_s, 0);
  EXPECT_EQ(client_.tls->facts().verify, -1);
  ASSERT_TRUE(until([&] { return !server_.shaken.empty(); }));
  EXPECT_EQ(server_.shaken, std::vector<int>{-EPROTO});
}

TEST_P(StreamTlsTest, WhoSpeaksNoTlsFailsTheHandshake) {
  const struct {
    std::string answer;
    int result;
  } cases[] = {
      {"HTTP/1.1 400 Bad Request\r\n\r\n", -EPROTO}, {std::string(2000, '\0'), -EPROTO}, {"", -ECONNRESET}};
  for (const auto& c : cases) {
    connect();
    client_.tls = std::make_unique<StreamTls>(context({}), *client_.stream, client_);
    client_.tls->begin("www.example", "there");
    client_.stream->receive();
    ASSERT_TRUE(until([&] { return !server_.raw.empty(); }));
    server_.stream->send(reinterpret_cast<const uint8_t*>(c.answer.data()),
                         static_cast<uint32_t>(c.answer.size()), 1);
    server_.stream->shutdown_write();
    ASSERT_TRUE(until([&] { return !client_.shaken.empty(); }));
    EXPECT_EQ(client_.shaken, std::vector<int>{c.result}) << c.answer;
    EXPECT_FALSE(client_.tls->facts().error.empty());
    forget_connection();
  }
}

TEST_P(StreamTlsTest, TheEndAndABrokenRecordAreToldApart) {
  const auto server = context(server_options());
  const auto client = context({.authorities_pem = pki().ca.certificate_pem});
  shake(server, client, "www.example");
  ASSERT_TRUE(until([&] { return !server_.shaken.empty(); }));
  server_.say("last");
  server_.tls->shutdown_write();
  ASSERT_TRUE(until([&] { return !client_.ended.empty(); }));
  EXPECT_EQ(client_.plain, "last");
  EXPECT_EQ(client_.ended, std::vector<int>{0});
  forget_connection();

  shake(server, client, "www.example");
  ASSERT_TRUE(until([&] { return !server_.shaken.empty(); }));
  const std::string garbage(
      "\x17\x03\x03\x00\x20"
      "this is no record of the session",
      37);
  server_.stream->send(reinterpret_cast<const uint8_t*>(garbage.data()),
                       static_cast<uint32_t>(garbage.size()), 99);
  ASSERT_TRUE(until([&] { return !client_.ended.empty(); }));
  EXPECT_EQ(client_.ended, std::vector<int>{-EPROTO});
  EXPECT_FALSE(client_.tls->facts().error.empty());
}

TEST_P(StreamTlsTest, AHandshakeThatIsGivenUpStaysSo) {
  connect();
  client_.tls = std::make_unique<StreamTls>(context({.insecure = true}), *client_.stream, client_);
  client_.tls->begin("", "there");
  client_.stream->receive();
  client_.tls->give_up(-ETIMEDOUT, "too slow");
  server_.tls = std::make_unique<StreamTls>(context(server_options()), *server_.stream, server_);
  ASSERT_TRUE(until([&] { return !server_.tls->facts(false).cipher.empty(); }));
  EXPECT_EQ(client_.shaken, std::vector<int>{-ETIMEDOUT});
  EXPECT_FALSE(client_.tls->established());
  EXPECT_EQ(client_.tls->facts().error, "too slow");
  EXPECT_FALSE(client_.say("x"));
}

TEST_P(StreamTlsTest, NothingIsToldOnceTheSinkHasClosed) {
  shake(context(server_options()), context({.authorities_pem = pki().ca.certificate_pem}), "www.example");
  ASSERT_TRUE(until([&] { return !server_.shaken.empty(); }));
  client_.take = false;
  server_.say(std::string(40'000, 'x'));  // of several records in a piece only the first is told
  ASSERT_TRUE(until([&] { return !client_.plain.empty(); }));
  EXPECT_EQ(client_.plain.size(), 16'384u);
}

TEST(SendQueue, WhatIsNeverEmptyDoesNotGrow) {
  SendQueue queue;
  const uint8_t byte = 0;
  queue.push(&byte, 1, 0);
  for (uint64_t i = 1; i < 100'000; ++i) {
    queue.push(&byte, 1, i);
    uint32_t sent = 1;
    ASSERT_TRUE(queue.advance(sent));
    ASSERT_EQ(queue.pop().cookie, i - 1);
  }
  EXPECT_EQ(queue.size(), 1u);
  EXPECT_LE(queue.capacity(), 64u);
}

TEST(StreamTls, BadOptionsAreErrorsThatNameThem) {
  const auto error = [](const StreamTlsOptions& options) {
    const auto made = make_stream_tls(options);
    return made ? std::string("made") : made.error().detail;
  };
  EXPECT_NE(error({.certificate_pem = "nonsense"}).find("certificate"), std::string::npos);
  EXPECT_NE(error({.authorities_pem = "nonsense"}).find("authorities"), std::string::npos);
  EXPECT_NE(error({.alpn = "h2,,"}).find("ALPN"), std::string::npos);
  EXPECT_NE(error({.min_version = TLS1_3_VERSION, .max_version = TLS1_2_VERSION}).find("versions"),
            std::string::npos);
  const std::string other = *make_key();
  EXPECT_NE(error({.certificate_pem = pki().leaf, .key_pem = other}).find("does not fit"), std::string::npos);
}

}  // namespace
}  // namespace todd::io
