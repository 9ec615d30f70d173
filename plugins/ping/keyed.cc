// Mode udp with a key: who sends what is proven, at both ends (proof.h).
#include <algorithm>
#include <array>
#include <string>

#include "plugins/ping/probe.h"

namespace todd::ping {

namespace {
constexpr size_t kExamples = 5;  // as many of one outcome are kept
}

void Ping::open_key() {
  keyed_ = true;
  hmac_ = open_digest((*this)[key]);
}

Ping::Hmac Ping::hmac_of(std::span<const uint8_t> bytes) const {
  std::array<uint8_t, TODD_DIGEST_BYTES> whole;
  digest().add(&lane(), hmac_, bytes.data(), bytes.size());
  digest().end(&lane(), hmac_, whole.data());
  Hmac hmac;
  std::copy_n(whole.begin(), hmac.size(), hmac.begin());
  return hmac;
}

void Ping::prove(std::span<uint8_t> message, const Proof& proof) const {
  write_proof(message, proof);
  const Hmac hmac = hmac_of(proven_bytes(message, proof.way));
  std::copy(hmac.begin(), hmac.end(), message.end() - hmac.size());
}

// Requires: it is long enough for a proof.
bool Ping::is_proven(std::span<const uint8_t> message, Way way) const {
  const Hmac hmac = hmac_of(proven_bytes(message, way));
  return digest().same(hmac.data(), message.last(hmac.size()).data(), hmac.size()) == 1;
}

Proof Ping::proof_of(uint32_t target, uint32_t round) const {
  return {Way::kRequest, round_in_stream(round), session_ + stream_at(target, round)};
}

bool Ping::judge(uint64_t user, uint32_t target, std::string_view bytes) {
  const auto round = static_cast<uint32_t>(user);
  const std::span<const uint8_t> message(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  const auto proof = read_proof(message);
  Proof expected = proof_of(target, round);
  expected.way = Way::kReply;
  if (proof && message.size() == length_of(round) && is_proven(message, Way::kReply)) {
    if (*proof == expected) return true;
    expected.stream += warm_session_ - session_;
    if (*proof == expected) return false;  // that of the warm-up's round, too late to count anywhere
  }
  count(forged, target);
  if (proof && proof->way == Way::kRequest)
    note(target, "forged", "the probe came back as it was: the responder has no key, or is none of ours");
  else
    note(target, "forged", "the HMAC of a reply is wrong: forged, damaged, or of another key");
  return false;
}

// A responder says nothing to who lacks its key, so it is for us to say what that may be.
void Ping::tell_silent() {
  size_t told = 0;
  for (uint32_t i = 0; i < targets_.size() && told < kExamples; ++i) {
    if (targets_[i].answered || !targets_[i].lossy) continue;
    note(i, "unproven",
         "no answer that the key proves: is it the same at the responder, and does that have one?");
    ++told;
  }
}

// Whether it is to be answered.
bool Ping::admit(std::span<const uint8_t> request) {
  const auto proof = read_proof(request);
  if (!proof || proof->way != Way::kRequest || !is_proven(request, Way::kRequest)) {
    if (refused_++ == 0)
      log(2,
          "udp echo: a datagram is not answered, as it does not prove that its sender has the key; the "
          "sender may have none, or another");
    return false;
  }
  if (replays_->is_new(proof->stream, proof->number)) return true;
  ++copies_;
  return false;
}

void Ping::tell_refused() {
  if (refused_ + copies_ == 0) return;
  log(2, "udp echo: not answered: " + std::to_string(refused_) + " datagrams without proof of the key, " +
             std::to_string(copies_) + " copies of probes that were");
}

}  // namespace todd::ping
