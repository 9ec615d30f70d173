// Any bytes, in any pieces, to the client's side of a connection of HTTP/2 with requests on it: no crash,
// every stream ends once, what is kept and what is sent is bounded, and what comes of the bytes does not
// depend on how they were cut.

#include <algorithm>
#include <array>
#include <string>

#include "engine/base/check.h"
#include "plugins/http/h2.h"
#include "plugins/http/request.h"

namespace {

using namespace todd::http;

constexpr uint64_t kStreams = 3;

Request request(const std::string& method, const std::string& body) {
  RequestSpec spec;
  spec.method = method;
  spec.url.host = spec.url.authority = "a.test";
  spec.url.path = "/";
  spec.body = body;
  return Request(spec);
}

// What became of the streams. Gives a stream up, or opens another, in the calls if it is told so.
struct Owner : H2Owner {
  struct Seen {
    bool left = false, began = false, ended = false;
    int status = 0;
    uint64_t body = 0;
    std::string why, text;
    bool operator==(const Seen&) const = default;
  };
  H2Session* session = nullptr;
  const Request* next = nullptr;
  std::array<Seen, kStreams + 2> of;
  std::array<BodyKeeper, kStreams + 2> bodies{BodyKeeper(9'000), BodyKeeper(9'000), BodyKeeper(9'000),
                                              BodyKeeper(9'000), BodyKeeper(9'000)};
  std::array<Headers, kStreams + 2> headers;
  bool cancels = false;

  Want want(uint64_t user) { return {.max_body = 8'000, .headers = &headers[user], .body = &bodies[user]}; }
  void left(uint64_t user) override {
    TODD_CHECK(!of[user].left && !of[user].ended);
    of[user].left = true;
  }
  void began(uint64_t user) override {
    TODD_CHECK(!of[user].began && !of[user].ended);
    of[user].began = true;
    if (cancels && user == 0) {
      session->cancel(user);
      session->open(*next, 0, want(kStreams), kStreams);
    }
    if (cancels && user == 1) session->cancel(user);
  }
  void ended(uint64_t user, const H2Answer& answer) override {
    Seen& seen = of[user];
    TODD_CHECK(!seen.ended && answer.body_bytes <= 8'000);
    seen.ended = true;
    if (answer.why == nullptr) {
      TODD_CHECK(seen.began && answer.status >= 200 && answer.status <= 999 &&
                 bodies[user].bytes() == answer.body_bytes);
      seen.status = answer.status;
      seen.body = answer.body_bytes;
      seen.text = bodies[user].text();
    } else {
      TODD_CHECK(*answer.why != '\0' && !answer.detail.empty());
      seen.why = answer.why;
    }
    if (user == 2) session->open(*next, 0, want(kStreams + 1), kStreams + 1);
  }
};

size_t drain(H2Session& session) {
  uint8_t out[300];
  size_t all = 0;
  while (const size_t n = session.take(out, sizeof out)) all += n;
  return all;
}

decltype(Owner::of) run(std::string_view bytes, size_t piece, bool cancels, bool answers) {
  const Request get = request("GET", ""), head = request("HEAD", ""),
                post = request("POST", std::string(99'000, 'p'));
  Owner owner;
  H2Session session(owner, {});
  owner.session = &session;
  owner.next = &get;
  owner.cancels = cancels;
  session.open(get, 0, owner.want(0), 0);
  session.open(head, 0, owner.want(1), 1);
  session.open(post, 0, owner.want(2), 2);
  size_t sent = drain(session);
  const size_t size = bytes.size();
  bool goes_on = true;
  for (; goes_on && !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    goes_on = session.put(bytes.substr(0, piece));
    if (answers) sent += drain(session);
  }
  TODD_CHECK(goes_on || (session.open_streams() == 0 && !session.put("x")));
  sent += drain(session);
  TODD_CHECK(sent < 200'000 + 20 * size);
  session.end();
  TODD_CHECK(session.open_streams() == 0 && session.room() == 0);
  for (uint64_t user = 0; user < kStreams; ++user) TODD_CHECK(owner.of[user].ended || cancels);
  return owner.of;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool cancels = (data[0] & 0x80) != 0;
  // Pieces of 9 bytes and more: nghttp2 counts those of a CONTINUATION's header as frames.
  const size_t piece = 9 + (data[0] & 0x1f);
  run(bytes, piece, cancels, true);
  const auto whole = run(bytes, SIZE_MAX, cancels, false);
  if ((data[0] & 0x40) != 0) TODD_CHECK(whole == run(bytes, piece, cancels, false));
  return 0;
}
