#pragma once
// One end of a TLS session whose connection is memory, and what holds for it whatever arrives.

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "engine/io/stream_tls.h"

namespace todd::io {

class TlsEnd final : Stream, StreamTlsSink {
 public:
  // A client asks for this name; a server has none.
  TlsEnd(std::shared_ptr<StreamTlsContext> context, const std::string& name)
      : tls_(std::move(context), *this, *this) {
    tls_.begin(name, "there");
  }

  // What it has sent since the last call. The memory is read now, when a real connection would.
  std::string take() {
    std::string bytes;
    for (const Sent& sent : std::exchange(waiting_, {})) {
      bytes.append(reinterpret_cast<const char*>(sent.data), sent.len);
      tls_.sent(sent.cookie);
    }
    return bytes;
  }
  void put(std::string_view bytes, size_t piece = SIZE_MAX) {
    for (; !bytes.empty() && !closed_; bytes.remove_prefix(std::min(piece, bytes.size()))) {
      const std::string part(bytes.substr(0, piece));  // of its own: reading beyond it is seen
      tls_.received(0, reinterpret_cast<const uint8_t*>(part.data()), static_cast<uint32_t>(part.size()), 1);
    }
  }
  // Nothing more comes: 0, or an errno of the connection's.
  void end(int result) {
    if (closed_) return;
    tls_.received(result, nullptr, 0, 1);
    TODD_CHECK(shaken_ && (ended_ || !established()));
  }
  bool say(const std::string& text) {
    return tls_.send(reinterpret_cast<const uint8_t*>(text.data()), static_cast<uint32_t>(text.size()), 1);
  }
  void say_no_more() { tls_.shutdown_write(); }
  void close_at_plain() { closes_ = true; }

  bool established() const { return tls_.established(); }
  bool ended() const { return ended_; }
  const std::string& plain() const { return plain_; }
  TlsFacts facts() const { return tls_.facts(); }

 private:
  struct Sent {
    const uint8_t* data;
    uint32_t len;
    uint64_t cookie;
  };

  void connect(const Address&, uint64_t) override {}
  void send(const uint8_t* data, uint32_t len, uint64_t cookie) override {
    TODD_CHECK(len != 0 && waiting_.size() < 1'000);
    waiting_.push_back({data, len, cookie});
  }
  void receive() override {}
  void shutdown_write() override {}
  int fd() const override { return -1; }

  void on_handshake(int result) override {
    TODD_CHECK(!shaken_ && result <= 0 && tls_.established() == (result == 0));
    shaken_ = true;
  }
  bool on_plain(int result, const uint8_t* data, uint32_t len, int64_t) override {
    TODD_CHECK(shaken_ && tls_.established() && !ended_ && !closed_ && (len == 0 || result == 0));
    ended_ = len == 0;
    plain_.append(reinterpret_cast<const char*>(data), len);
    closed_ = closes_;
    return !closed_;
  }

  std::vector<Sent> waiting_;
  std::string plain_;
  bool shaken_ = false, ended_ = false, closes_ = false, closed_ = false;
  StreamTls tls_;
};

// What a certificate says may be anything; what is told of it is text for people.
inline void check_facts(const TlsFacts& facts) {
  for (const std::string* text :
       {&facts.subject, &facts.issuer, &facts.names, &facts.serial, &facts.fingerprint, &facts.verify_text,
        &facts.cipher, &facts.alpn, &facts.error})
    TODD_CHECK(std::all_of(text->begin(), text->end(), [](char c) { return c >= ' ' && c <= '~'; }));
  TODD_CHECK(!facts.verify_text.empty() && facts.chain >= 0 && facts.key_bits >= 0);
  TODD_CHECK((facts.verify == -1) == facts.fingerprint.empty());
  if (facts.chain != 0 && facts.not_after_s != 0) TODD_CHECK(facts.chain_not_after_s <= facts.not_after_s);
}

}  // namespace todd::io
