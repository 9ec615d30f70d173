// What the answers of the http testlet are worth: followed where they lead, timed, checked, told of.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "plugins/http/probe.h"

namespace todd::http {
namespace {

// A status as text, NUL-terminated.
std::array<char, 8> code_text(int status) {
  std::array<char, 8> text{};
  std::to_chars(text.data(), text.data() + text.size() - 1, status);
  return text;
}

}  // namespace

// A complete answer; what it is worth is to be seen.
void Http::answered(uint32_t index, const Ended& ended, int64_t now_ns) {
  Call& call = calls_[index];
  const uint32_t t = call.target;
  if (call.fetches) return token_answered(index, ended.status, now_ns);
  if (call.token_number != 0 && (call.inquiry == nullptr || !call.inquiry->request))
    judge_token(targets_[t], call.token_number, ended.status != 401, now_ns);
  count(head_bytes, t, ended.head_bytes);
  count(bytes, t, ended.body_bytes);
  if (call.inquiry != nullptr && call.inquiry->decoder != nullptr)
    count(decoded_bytes, t, call.inquiry->keeper->bytes());
  if (settings_->follow != 0 && follow_on(index, ended, now_ns)) return;
  complete(index, ended, now_ns);
}

// True: the call goes on elsewhere, or has failed there.
bool Http::follow_on(uint32_t index, const Ended& ended, int64_t now_ns) {
  Call& call = calls_[index];
  const uint32_t t = call.target;
  Inquiry& inquiry = *call.inquiry;
  if (ended.status < 300 || ended.status >= 400) {
    if (inquiry.redirects) {
      inquiry.redirects->answered(ended.status, std::nullopt, now_ns - call.start_ns);
      inform(final_url, t, hide(inquiry.redirects->spec().url.text()));
    }
    return false;
  }
  if (!inquiry.redirects) {
    RequestSpec first = settings_->request;
    first.url = targets_[t].url;
    inquiry.redirects.emplace(std::move(first), settings_->follow);
  }
  const Url from = inquiry.redirects->spec().url;
  switch (
      inquiry.redirects->answered(ended.status, inquiry.headers.find("location"), now_ns - call.start_ns)) {
    case Redirects::Next::kStay: return false;
    case Redirects::Next::kRefused:
      record_answer(call, ended, now_ns);
      fail(index, "redirect", inquiry.redirects->why(), now_ns);
      return true;
    case Redirects::Next::kFollow: break;
  }
  const RequestSpec& spec = inquiry.redirects->spec();
  try {
    inquiry.request.emplace(spec);
  } catch (const error& e) {
    fail(index, "redirect", e.what(), now_ns);
    return true;
  }
  if (inquiry.request->wire().size() > slot_cap_) {
    fail(index, "redirect", "redirected to a URL that is too long: " + spec.url.text(), now_ns);
    return true;
  }
  count(redirects, t);
  observe(redirect_time, t, now_ns - call.start_ns);
  call.begin_again();
  hop(index, same_origin(from, spec.url), now_ns);
  return true;
}

// The answers of a request that was led on, until it ended.
void Http::tell_hops(const Call& call) {
  std::vector<Hop> hops = call.inquiry->redirects->hops();
  for (Hop& hop : hops) hop.url = hide(std::move(hop.url));
  inform(redirect_hops, call.target, text_of(hops));
}

// Counts and times of a complete answer, whatever it is worth.
void Http::record_answer(const Call& call, const Ended& ended, int64_t now_ns) {
  const uint32_t t = call.target;
  tally(status, t, code_text(ended.status).data());
  tally(versions, t, ended.version == 20 ? "2" : ended.version == 11 ? "1.1" : "1.0");
  observe(queued, t, call.start_ns - call.due.due_ns);
  // An answer may come before all of the request has left.
  const int64_t left_ns = call.left_ns != 0 ? std::min(call.left_ns, call.first_ns) : call.first_ns;
  observe(send_time, t, std::max(left_ns - call.sent_ns, int64_t{0}));
  observe(wait, t, call.first_ns - call.sent_ns);
  observe(first_byte, t, call.first_ns - call.start_ns);
  observe(transfer, t, now_ns - call.first_ns);
  observe(response_time, t, now_ns - call.start_ns);
  observe(corrected_time, t, now_ns - call.due.due_ns);
}

void Http::complete(uint32_t index, const Ended& ended, int64_t now_ns) {
  const Call& call = calls_[index];
  const uint32_t t = call.target;
  const auto code = code_text(ended.status);
  record_answer(call, ended, now_ns);
  const char* why = nullptr;
  std::string text;
  const Facts facts = facts_of(call, ended, now_ns);
  if (auto broken = settings_->checks.failed(facts)) {
    why = "check";
    text = why_checked(facts, std::move(*broken));
  } else if (!settings_->checks.has_status() && (ended.status < 200 || ended.status >= 400)) {
    why = "status";
    text = code.data();
  }
  count(why == nullptr ? ok : failed, t);
  if (why != nullptr) {
    tally(reasons, t, why);
    note(t, why, targets_[t].name + ": " + text);
  }
  record_sample(call, why == nullptr ? "ok" : why[0] == 's' ? code.data() : why, now_ns - call.start_ns);
  finish(index, now_ns);
}

// A text of the network's that may have a secret of ours in it.
std::string Http::hide(std::string text) const {
  for (const Secrets& one : token_secrets_) text = one.hide(std::move(text));
  return settings_->secrets.hide(std::move(text));
}

// What a check said, which quotes the answer; with secrets, what it says of the answer without them.
std::string Http::why_checked(const Facts& facts, std::string said) const {
  if (settings_->secrets.empty()) return said;
  Headers headers;
  for (size_t i = 0; facts.headers != nullptr && i < facts.headers->size(); ++i)
    headers.add((*facts.headers)[i].name, hide(std::string((*facts.headers)[i].value)));
  const std::string shown = hide(std::string(facts.body));
  Facts hidden = facts;
  hidden.headers = &headers;
  hidden.body = shown;
  return settings_->checks.failed(hidden).value_or("a check that would quote a secret");
}

Facts Http::facts_of(const Call& call, const Ended& ended, int64_t now_ns) const {
  Facts facts;
  facts.status = ended.status;
  facts.version = ended.version;
  facts.response_time_ns = now_ns - call.start_ns;
  facts.first_byte_ns = call.first_ns - call.start_ns;
  facts.size = ended.body_bytes;
  if (call.inquiry != nullptr) {
    facts.headers = &call.inquiry->headers;
    if (BodyKeeper* const keeper = call.inquiry->keeper.get()) {
      facts.sha256 = keeper->sha256();
      facts.body = keeper->text();
      facts.body_whole = keeper->whole();
      facts.size = keeper->bytes();
    }
  }
  const Connection& c = connections_[call.connection];
  facts.tls = endpoint_of(c).https;
  facts.tls_version = c.tls_version;
  facts.certificate_seconds = c.not_after_s - (now_ns + wall_offset_ns_) / 1'000'000'000;
  return facts;
}

}  // namespace todd::http
