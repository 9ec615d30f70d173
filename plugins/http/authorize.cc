// The Bearer token of the http testlet's requests (oauth_url): fetched by a call of its own that no edge
// counts.
#include <algorithm>
#include <cmath>
#include <utility>

#include "plugins/http/probe.h"

namespace todd::http {
namespace {

constexpr int64_t kPatienceNs = 3'000'000'000;  // before the START, for the first token

std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return text.substr(0, 300);
}

}  // namespace

// Where the server is that has tokens; requests are made without a token and with room for one.
void Http::prepare_tokens() {
  tokens_.emplace();
  fetch_ = std::make_unique<Inquiry>();
  fetch_->keeper = std::make_unique<BodyKeeper>(kMaxTokenAnswer);
  fetch_->request.emplace(*settings_->token_request);
  const Url& url = settings_->token_request->url;
  token_tls_context_ = url.https ? make_tls(tls_flags(), "http/1.1", false) : 0;
  if (!settings_->proxy &&
      stream().add_target(&lane(), TODD_NONE, url.host.c_str(), url.effective_port(), &token_target_) < 0)
    throw error(TODD_E_UNSUPPORTED, "oauth_url: this host cannot go there");
}

// Before the START, so that no request waits for the first token; but not for ever.
void Http::get_ready(todd_batch& b) {
  if (ready_by_ns_ == 0) {
    ready_by_ns_ = b.now_ns + kPatienceNs;
    asker_ = 0;
  }
  if (tokens_->fetching() || tokens_->wanted(b.now_ns)) {
    wake_by(b, ready_by_ns_);
    if (b.now_ns < ready_by_ns_) return;
  }
  said_ready_ = true;
  net().ready(&lane());
}

// At the START: a fetch under way stood still since the testlet was ready, and there is nothing else under
// way.
void Http::begin_anew(const todd_batch& b) {
  if (b.state == TODD_PREPARED || std::exchange(begun_, true)) return;
  for (Deadline& fetch : deadlines_) fetch.at_ns = b.now_ns + run().timeout_ns;
}

// Whether requests may begin, as of now.
void Http::see_gate(int64_t now_ns) {
  const bool paced = !std::isinf(run().rate);
  if (tokens_->usable(now_ns))
    gate_ = Gate::open;
  else if (!tokens_->fetching() && now_ns < tokens_->retry_ns() && paced)
    gate_ = Gate::shut;  // the next try is some time away
  else
    gate_ = Gate::wait;
}

// A request waits for a token: somebody must fetch one.
bool Http::waits_for_token(uint32_t target) {
  if (gate_ != Gate::wait) return false;
  asker_ = target;
  return true;
}

// With the token as it is now.
void Http::authorize(Call& call) {
  Target& t = targets_[call.target];
  if (t.token != tokens_->number()) {
    RequestSpec spec = settings_->request;
    spec.url = t.url;
    t.request = std::make_shared<const Request>(spec);
    t.token = tokens_->number();
  }
  call.request = t.request;
  call.token_number = t.token;
  asker_ = call.target;
}

// The target's word on a request that went with the token of that number. One that never took it would take
// no other.
void Http::judge_token(Target& t, uint32_t number, bool taken, int64_t now_ns) {
  if (taken)
    t.taken_token = number;
  else if (t.taken_token == number)
    tokens_->revoked(number, now_ns);
}

void Http::tend_tokens(todd_batch& b) {
  if (b.state != TODD_PREPARED) {
    for (const auto& [target, ns] : token_times_) observe(token_time, target, ns);
    token_times_.clear();
  }
  if (asker_ == TODD_NONE) return;
  const uint32_t target = std::exchange(asker_, TODD_NONE);
  if (tokens_->wanted(b.now_ns)) return fetch_token(target, b.now_ns);
  if (gate_ != Gate::wait || tokens_->fetching()) return;
  asker_ = target;
  wake_by(b, tokens_->retry_ns());
}

void Http::fetch_token(uint32_t target, int64_t now_ns) {
  tokens_->asked();
  const uint32_t index = new_call(target, now_ns);
  Call& call = calls_[index];
  call.fetches = true;
  std::swap(call.inquiry, fetch_);
  const RequestSpec& spec = *settings_->token_request;
  auto to = std::make_unique<Endpoint>();
  to->target = token_target_;
  to->https = spec.url.https;
  to->resolves = true;
  to->named = !is_literal(spec.url.host);
  to->server_name = spec.url.host;
  to->for_token = true;
  if (settings_->proxy) go_by_proxy(*to, spec.url);
  assign(index, new_connection(target, std::move(to)), now_ns);
}

void Http::token_answered(uint32_t index, int status, int64_t now_ns) {
  Call& call = calls_[index];
  std::string why;
  auto token = read_token(status, call.inquiry->keeper->text(), why);
  if (!token) return token_failed(index, why, now_ns);
  // Another token may still be sent back by an answer that is late.
  settings_->request.token = token->text;
  Secrets& hidden = token_secrets_[tokens_->number() % token_secrets_.size()];
  hidden = {};
  hidden.add(token->text);
  tokens_->got(std::move(*token), call.start_ns, now_ns);
  token_times_.emplace_back(call.target, now_ns - call.start_ns);
  end_fetch(index, now_ns);
}

void Http::token_failed(uint32_t index, const std::string& why, int64_t now_ns) {
  tokens_->failed(printable(hide(settings_->token_request->url.text() + ": " + why)), now_ns);
  end_fetch(index, now_ns);
}

// Those who waited for it begin, or fail with it.
void Http::end_fetch(uint32_t index, int64_t now_ns) {
  unassign(index, now_ns);
  end_call(index);
  std::swap(calls_[index].inquiry, fetch_);
  gate_ = tokens_->usable(now_ns) ? Gate::open : Gate::shut;
  for (uint32_t t = 0; t < targets_.size(); ++t)
    if (targets_[t].n_waiting != 0) begin_waiting(t, now_ns);
}

}  // namespace todd::http
