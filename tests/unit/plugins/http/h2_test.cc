// Against a server session of nghttp2, in pieces of odd sizes; where that would not misbehave enough, against
// frames made by hand.
#include "plugins/http/h2.h"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <functional>
#include <map>
#include <stdexcept>

#include "plugins/http/request.h"

namespace todd::http {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

Request request(const std::string& method = "GET", const std::string& body = "",
                const std::string& unique = "") {
  RequestSpec spec;
  spec.method = method;
  spec.url.host = spec.url.authority = "a.test";
  spec.url.path = "/x";
  spec.body = body;
  spec.unique_header = unique;
  return Request(spec);
}

// What came of each stream.
struct Owner : H2Owner {
  struct Seen {
    int left = 0, began = 0, ended = 0;
    H2Answer answer;
    std::string why, detail;
  };
  std::map<uint64_t, Seen> of;
  std::function<void(uint64_t)> on_began = [](uint64_t) {}, on_ended = on_began, on_left = on_began;

  void left(uint64_t user) override {
    EXPECT_EQ(++of[user].left, 1) << user;
    on_left(user);
  }
  void began(uint64_t user) override {
    ++of[user].began;
    on_began(user);
  }
  void ended(uint64_t user, const H2Answer& answer) override {
    Seen& seen = of[user];
    ++seen.ended;
    EXPECT_EQ(seen.ended, 1) << user;
    seen.answer = answer;
    seen.why = answer.why != nullptr ? answer.why : "";
    seen.detail = answer.detail;
    seen.answer.detail = {};
    EXPECT_EQ(seen.why.empty(), seen.detail.empty());
    on_ended(user);
  }
};

struct Server {
  struct Exchange {
    Fields fields;
    std::string body, answer;
    bool whole = false;
    std::string field(const std::string& name) const {
      for (const auto& [n, value] : fields)
        if (n == name) return value;
      return "";
    }
  };
  nghttp2_session* session = nullptr;
  std::map<int32_t, Exchange> of;
  std::vector<uint32_t> resets;                              // codes of the client's RST_STREAM
  std::function<void(int32_t)> on_request = [](int32_t) {};  // its head is there
  std::function<void(int32_t)> on_whole = [](int32_t) {};
  bool broken = false;

  static Server& me(void* user) { return *static_cast<Server*>(user); }
  static int header(nghttp2_session*, const nghttp2_frame* f, const uint8_t* n, size_t ns, const uint8_t* v,
                    size_t vs, uint8_t, void* user) {
    me(user).of[f->hd.stream_id].fields.emplace_back(std::string(n, n + ns), std::string(v, v + vs));
    return 0;
  }
  static int frame(nghttp2_session*, const nghttp2_frame* f, void* user) {
    Server& s = me(user);
    if (f->hd.type == NGHTTP2_RST_STREAM) s.resets.push_back(f->rst_stream.error_code);
    if (f->hd.type == NGHTTP2_HEADERS) s.on_request(f->hd.stream_id);
    if ((f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA) &&
        f->hd.flags & NGHTTP2_FLAG_END_STREAM) {
      s.of[f->hd.stream_id].whole = true;
      s.on_whole(f->hd.stream_id);
    }
    return 0;
  }
  static int data(nghttp2_session*, uint8_t, int32_t id, const uint8_t* d, size_t size, void* user) {
    me(user).of[id].body.append(reinterpret_cast<const char*>(d), size);
    return 0;
  }
  static ssize_t read(nghttp2_session*, int32_t id, uint8_t* out, size_t cap, uint32_t* flags,
                      nghttp2_data_source*, void* user) {
    std::string& left = me(user).of[id].answer;
    if (left == "hold") return NGHTTP2_ERR_DEFERRED;
    const size_t n = std::min(cap, left.size());
    left.copy(reinterpret_cast<char*>(out), n);
    left.erase(0, n);
    if (left.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(n);
  }

  explicit Server(std::vector<nghttp2_settings_entry> settings = {}) {
    nghttp2_session_callbacks* calls = nullptr;
    nghttp2_session_callbacks_new(&calls);
    nghttp2_session_callbacks_set_on_header_callback(calls, header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, data);
    nghttp2_session_server_new(&session, calls, this);
    nghttp2_session_callbacks_del(calls);
    nghttp2_submit_settings(session, 0, settings.data(), settings.size());
  }
  ~Server() { nghttp2_session_del(session); }
  Server(const Server&) = delete;

  static std::vector<nghttp2_nv> nv(const Fields& fields) {
    std::vector<nghttp2_nv> out;
    for (const auto& [n, v] : fields)
      out.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(n.data())),
                     reinterpret_cast<uint8_t*>(const_cast<char*>(v.data())), n.size(), v.size(), 0});
    return out;
  }
  // A body of "hold" never comes.
  void respond(int32_t id, const Fields& fields, const std::string& body = "") {
    of[id].answer = body;
    const auto all = nv(fields);
    nghttp2_data_provider provider{};
    provider.read_callback = read;
    ASSERT_EQ(
        nghttp2_submit_response(session, id, all.data(), all.size(), body.empty() ? nullptr : &provider), 0);
  }
  void interim(int32_t id, const Fields& fields) {
    const auto all = nv(fields);
    nghttp2_submit_headers(session, 0, id, nullptr, all.data(), all.size(), nullptr);
  }
  void reset(int32_t id, uint32_t code) { nghttp2_submit_rst_stream(session, 0, id, code); }
  std::string take() {
    const uint8_t* data = nullptr;
    const ssize_t n = nghttp2_session_mem_send(session, &data);
    return n > 0 ? std::string(data, data + n) : "";
  }
  void put(std::string_view bytes) {
    if (nghttp2_session_mem_recv(session, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()) < 0)
      broken = true;
  }
};

// A frame by hand. Header fields in it: 0x88 is :status 200, 0x10 a literal name and value.
std::string frame(uint8_t type, uint8_t flags, uint32_t id, const std::string& payload = "") {
  const size_t n = payload.size();
  std::string out;
  for (const size_t byte : {n >> 16, n >> 8, n, size_t{type}, size_t{flags}, size_t{id >> 24},
                            size_t{id >> 16}, size_t{id >> 8}, size_t{id}})
    out += static_cast<char>(byte & 0xff);
  return out + payload;
}
constexpr uint8_t kEnd = NGHTTP2_FLAG_END_STREAM, kEndHeaders = NGHTTP2_FLAG_END_HEADERS;
const std::string kSettings = frame(NGHTTP2_SETTINGS, 0, 0);
std::string status(const std::string& digits) { return "\x08\x03" + digits; }

struct H2Test : testing::Test {
  Owner owner;
  H2Session client{owner, {}};
  const Request get = request(), head = request("HEAD");
  const Fields kOk = {{":status", "200"}};

  std::string taken(size_t cap = 1000) {
    std::string all;
    std::vector<uint8_t> out(cap);
    while (const size_t n = client.take(out.data(), cap))
      all.append(out.begin(), out.begin() + static_cast<ssize_t>(n));
    return all;
  }
  // Until neither has anything to say, each piece one byte more than the last one, from 1 to 1,999.
  void talk(Server& server) {
    for (size_t piece = 1; !server.broken;) {
      std::string to = taken(piece), from;
      for (std::string one = server.take(); !one.empty(); one = server.take()) from += one;
      if (to.empty() && from.empty()) return;
      for (std::string_view left = to; !left.empty(); left.remove_prefix(std::min(piece, left.size())))
        server.put(left.substr(0, piece = piece % 1999 + 1));
      for (std::string_view left = from; !left.empty();) {
        piece = piece % 1999 + 1;
        if (!client.put(left.substr(0, piece))) return;
        left.remove_prefix(std::min(piece, left.size()));
      }
    }
  }
  bool open(uint64_t user, const Want& want = {}) { return client.open(get, user, want, user); }
};

TEST_F(H2Test, ARequestAndItsAnswer) {
  Server server;
  const std::string body(100'000, 'b');
  server.on_whole = [&](int32_t id) {
    server.interim(id, {{":status", "103"}, {"link", "early"}});
    server.respond(id, {{":status", "404"}, {"content-encoding", "gzip"}, {"x-a", "1"}}, body);
  };
  Headers headers;
  BodyKeeper keeper(1'000'000);
  const Request unique = request("GET", "", "X-Request-Id");
  ASSERT_TRUE(client.open(unique, 0x1f, Want{.headers = &headers, .body = &keeper}, 7));
  EXPECT_EQ(client.open_streams(), 1u);
  talk(server);
  const auto& seen = owner.of[7];
  EXPECT_EQ(seen.why, "") << seen.detail;
  EXPECT_EQ(seen.began + seen.ended, 2);
  EXPECT_EQ(seen.answer.status, 404);
  EXPECT_EQ(seen.answer.coding, Coding::kGzip);
  EXPECT_EQ(seen.answer.body_bytes, body.size());
  EXPECT_GT(seen.answer.head_bytes, 18u);
  EXPECT_LT(seen.answer.head_bytes, 80u);  // two heads, compressed
  EXPECT_EQ(keeper.text(), body);
  EXPECT_EQ(headers.size(), 2u);  // not those of the interim response
  EXPECT_EQ(headers.find("X-A"), "1");
  const auto& asked = server.of.at(1);
  EXPECT_EQ(asked.field(":method") + asked.field(":scheme") + asked.field(":path"), "GEThttp/x");
  EXPECT_EQ(asked.field(":authority"), "a.test");
  EXPECT_EQ(asked.field("x-request-id"), "000000000000001f");
  EXPECT_EQ(client.open_streams(), 0u);
  EXPECT_FALSE(client.wants_to_send());
  EXPECT_TRUE(server.resets.empty());
}

TEST_F(H2Test, TheAnswerToAHeadHasNoBody) {
  Server server;
  server.on_whole = [&](int32_t id) { server.respond(id, {{":status", "200"}, {"content-length", "5000"}}); };
  ASSERT_TRUE(client.open(head, 0, {.bodiless = true}, 1));
  talk(server);
  EXPECT_EQ(owner.of[1].why, "") << owner.of[1].detail;
  EXPECT_EQ(owner.of[1].answer.status, 200);
  EXPECT_EQ(owner.of[1].answer.body_bytes, 0u);
}

TEST_F(H2Test, ManyStreamsAtOnceOutOfOrder) {
  Server server;
  std::vector<int32_t> asked;
  server.on_whole = [&](int32_t id) { asked.push_back(id); };
  for (uint64_t user = 0; user < 32; ++user) ASSERT_TRUE(open(user));
  talk(server);
  ASSERT_EQ(asked.size(), 32u);
  for (auto id = asked.rbegin(); id != asked.rend(); ++id)
    server.respond(*id, kOk, std::string(static_cast<size_t>(*id) * 1000, 'x'));
  talk(server);
  for (uint64_t user = 0; user < 32; ++user) {
    EXPECT_EQ(owner.of[user].ended, 1);
    EXPECT_EQ(owner.of[user].why, "");
    EXPECT_EQ(owner.of[user].answer.body_bytes, (2 * user + 1) * 1000);
  }
  // The places are used again.
  server.on_whole = [&](int32_t id) { server.respond(id, kOk); };
  ASSERT_TRUE(open(100));
  talk(server);
  EXPECT_EQ(owner.of[100].answer.status, 200);
}

TEST_F(H2Test, ThePeersLimitOfStreams) {
  Server server({{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 3}});
  for (uint64_t user = 0; user < 10; ++user) ASSERT_TRUE(open(user));  // it has not said so yet
  server.on_whole = [&](int32_t id) { server.respond(id, kOk, "hold"); };
  client.put(server.take());
  EXPECT_EQ(client.room(), 0u);
  EXPECT_FALSE(open(10));
  talk(server);
  EXPECT_EQ(server.of.size(), 3u);  // the others wait
  for (int32_t id = 1; id < 20; id += 2) {
    server.of[id].answer = "done";
    server.on_whole = [&](int32_t now) { server.respond(now, kOk, "done"); };
    if (id < 7) nghttp2_session_resume_data(server.session, id);
    talk(server);
  }
  for (uint64_t user = 0; user < 10; ++user)
    EXPECT_EQ(owner.of[user].why + owner.of[user].detail, "") << user;
  EXPECT_EQ(client.room(), 3u);
}

TEST_F(H2Test, OurLimitOfStreams) {
  H2Session two(owner, {.max_streams = 2});
  EXPECT_EQ(two.room(), 2u);
  ASSERT_TRUE(two.open(get, 0, {}, 1));
  ASSERT_TRUE(two.open(get, 0, {}, 2));
  EXPECT_FALSE(two.open(get, 0, {}, 3));
  two.cancel(1);
  EXPECT_EQ(two.room(), 1u);
}

TEST_F(H2Test, GoodbyeTellsWhichRequestsItLeftAlone) {
  Server server;
  for (uint64_t user = 0; user < 4; ++user) ASSERT_TRUE(open(user));
  talk(server);
  ASSERT_TRUE(open(4));  // has not left yet
  nghttp2_submit_goaway(server.session, 0, 3, NGHTTP2_NO_ERROR, nullptr, 0);
  client.put(server.take());
  EXPECT_TRUE(client.closing());
  EXPECT_EQ(client.room(), 0u);
  EXPECT_FALSE(open(9));
  server.respond(1, kOk);
  server.respond(3, kOk);
  talk(server);
  for (uint64_t user = 0; user < 5; ++user) {
    EXPECT_EQ(owner.of[user].ended, 1) << user;
    EXPECT_EQ(owner.of[user].answer.unprocessed, user >= 2) << user;
    EXPECT_EQ(owner.of[user].why, user < 2 ? "" : "closed") << user << owner.of[user].detail;
  }
  EXPECT_FALSE(client.put(""));
  EXPECT_STREQ(client.why(), "");
}

// The server sees nothing of a request that is still with us when its goodbye comes.
TEST_F(H2Test, GoodbyeBeforeTheFirstRequestLeft) {
  Server server;
  talk(server);
  ASSERT_TRUE(open(1));
  nghttp2_submit_goaway(server.session, 0, 0, NGHTTP2_NO_ERROR, nullptr, 0);
  EXPECT_FALSE(client.put(server.take()));
  EXPECT_STREQ(client.why(), "");
  EXPECT_EQ(owner.of[1].why, "closed");
  EXPECT_TRUE(owner.of[1].answer.unprocessed);
}

// RFC 9113 section 6.8: a first goodbye that excludes nothing, and the real one later.
TEST_F(H2Test, AGracefulGoodbyeIsNoError) {
  Server server;
  server.on_whole = [&](int32_t id) { server.respond(id, kOk, "hold"); };
  ASSERT_TRUE(open(1));
  talk(server);
  nghttp2_submit_shutdown_notice(server.session);
  talk(server);
  EXPECT_TRUE(client.closing());
  EXPECT_FALSE(open(2));
  server.of[1].answer = "the end";
  nghttp2_session_resume_data(server.session, 1);
  talk(server);
  EXPECT_EQ(owner.of[1].why, "") << owner.of[1].detail;
  EXPECT_EQ(owner.of[1].answer.body_bytes, 7u);
  EXPECT_FALSE(client.put(""));
  EXPECT_STREQ(client.why(), "");
}

TEST_F(H2Test, AGoodbyeWithAReasonTellsIt) {
  Server server;
  talk(server);
  nghttp2_submit_goaway(server.session, 0, 0, NGHTTP2_ENHANCE_YOUR_CALM, nullptr, 0);
  EXPECT_FALSE(client.put(server.take()));
  EXPECT_STREQ(client.why(), "");
  EXPECT_EQ(client.detail(), "the server ended the connection: ENHANCE_YOUR_CALM");
}

TEST_F(H2Test, ResetsByTheServer) {
  Server server;
  for (uint64_t user = 0; user < 3; ++user) ASSERT_TRUE(open(user));
  talk(server);
  server.reset(1, NGHTTP2_INTERNAL_ERROR);
  server.reset(3, NGHTTP2_REFUSED_STREAM);
  server.respond(5, kOk, "fine");
  talk(server);
  EXPECT_EQ(owner.of[0].why, "reset");
  EXPECT_EQ(owner.of[0].detail, "the server reset the stream: INTERNAL_ERROR");
  EXPECT_FALSE(owner.of[0].answer.unprocessed);
  EXPECT_EQ(owner.of[1].why, "reset");
  EXPECT_TRUE(owner.of[1].answer.unprocessed);
  EXPECT_EQ(owner.of[2].why, "");
}

TEST_F(H2Test, RapidResetsEndStreamsAndNothingElse) {
  Server server;
  server.on_request = [&](int32_t id) { server.reset(id, NGHTTP2_CANCEL); };
  uint64_t next = 64;
  owner.on_ended = [&](uint64_t) {
    if (next < 3000) {
      EXPECT_TRUE(open(next++));
    }
  };
  for (uint64_t user = 0; user < 64; ++user) ASSERT_TRUE(open(user));
  talk(server);
  EXPECT_EQ(owner.of.size(), 3000u);
  for (const auto& [user, seen] : owner.of) EXPECT_EQ(seen.why, "reset") << user;
  EXPECT_EQ(client.open_streams(), 0u);
  EXPECT_FALSE(client.closing());
}

TEST_F(H2Test, ABodyLargerThanTheWindow) {
  Server server({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1000}});
  server.on_whole = [&](int32_t id) { server.respond(id, kOk); };
  const Request post = request("POST", std::string(300'000, 'p'));
  for (uint64_t user = 1; user < 3; ++user) ASSERT_TRUE(client.open(post, 0, {}, user));
  talk(server);
  for (uint64_t user = 1; user < 3; ++user) EXPECT_EQ(owner.of[user].why + owner.of[user].detail, "");
  EXPECT_EQ(server.of[1].body, post.body());
  EXPECT_EQ(server.of[3].body, post.body());
  EXPECT_EQ(server.of[1].field("content-length"), "300000");
}

// As soon as the last byte of a request is in what take() gives, and no byte before.
TEST_F(H2Test, SaysWhenARequestHasLeft) {
  for (const size_t size : {0, 1, 16'375, 16'384, 20'000}) {
    for (const size_t cap : {1, 1000, 16'384}) {
      Owner mine;
      H2Session session(mine, {});
      Server server;
      const Request post = request("POST", std::string(size, 'p'));
      ASSERT_TRUE(session.open(post, 0, {}, 1));
      std::vector<uint8_t> out(cap);
      while (const size_t n = session.take(out.data(), cap)) {
        server.put({reinterpret_cast<const char*>(out.data()), n});
        ASSERT_EQ(mine.of[1].left == 1, server.of[1].whole) << size << " by " << cap;
      }
      EXPECT_EQ(mine.of[1].left, 1);
    }
  }
}

// RFC 9113 section 8.1: the answer may be complete before the request is.
TEST_F(H2Test, AnAnswerThatDoesNotWaitForTheBody) {
  const Request post = request("POST", std::string(300'000, 'p'));
  for (const bool resets : {false, true}) {
    Owner mine;
    H2Session session(mine, {});
    ASSERT_TRUE(session.open(post, 0, {}, 1));
    uint8_t out[1000];
    while (session.take(out, sizeof out) != 0) continue;  // all that the window lets through
    ASSERT_TRUE(session.put(kSettings + frame(NGHTTP2_HEADERS, kEnd | kEndHeaders, 1, status("413"))));
    if (resets) session.put(frame(NGHTTP2_RST_STREAM, 0, 1, std::string(4, '\0')));
    EXPECT_EQ(mine.of[1].ended, 1);
    EXPECT_EQ(mine.of[1].why, "") << mine.of[1].detail;
    EXPECT_EQ(mine.of[1].answer.status, 413);
    EXPECT_EQ(session.open_streams(), 0u);
    std::string said;
    while (const size_t n = session.take(out, sizeof out)) said.append(out, out + n);
    // The rest of the body does not leave.
    EXPECT_LT(said.size(), 100u);
    EXPECT_TRUE(resets || said.find(frame(NGHTTP2_RST_STREAM, 0, 1).substr(3)) != std::string::npos);
  }
}

TEST_F(H2Test, TheConnectionEnds) {
  Server server;
  for (uint64_t user = 0; user < 3; ++user) ASSERT_TRUE(open(user));
  talk(server);
  server.respond(1, kOk, "hold");
  server.interim(3, {{":status", "100"}});
  talk(server);
  ASSERT_TRUE(open(3));  // never left
  client.end();
  EXPECT_EQ(owner.of[0].why, "truncated");
  EXPECT_EQ(owner.of[1].why, "truncated");
  EXPECT_EQ(owner.of[2].why, "closed");
  EXPECT_FALSE(owner.of[2].answer.unprocessed);
  EXPECT_EQ(owner.of[3].why, "closed");
  EXPECT_TRUE(owner.of[3].answer.unprocessed);
  EXPECT_TRUE(client.closing());
  EXPECT_FALSE(open(4));
  EXPECT_FALSE(client.put("x"));
  client.end();
}

TEST_F(H2Test, AHeadBombIsTooLarge) {
  Server server;
  server.on_whole = [&](int32_t id) {
    Fields fields = kOk;
    for (int i = 0; i < 8; ++i) fields.emplace_back("x-" + std::to_string(i), std::string(4000, 'y'));
    server.respond(id, id == 1 ? fields : kOk);
  };
  Headers headers;
  ASSERT_TRUE(open(1, {.headers = &headers}));
  ASSERT_TRUE(open(2));
  talk(server);
  EXPECT_EQ(owner.of[1].why, "too_large");
  EXPECT_EQ(owner.of[1].detail, "the head is longer than 16 KiB");
  EXPECT_EQ(owner.of[2].why, "");  // the connection goes on
  EXPECT_EQ(server.resets, std::vector<uint32_t>{NGHTTP2_CANCEL});
}

// A byte that stands for 4,000: the table of HPACK makes the bomb small on the wire.
TEST_F(H2Test, ABombOfReferencesIsTooLarge) {
  ASSERT_TRUE(open(1));
  ASSERT_TRUE(open(2));
  taken();
  const std::string entry =
      std::string("\x40\x01x\x7f\xe1\x1d", 6) + std::string(3936, 'y');  // indexed as 62
  ASSERT_TRUE(client.put(kSettings + frame(NGHTTP2_HEADERS, kEndHeaders, 1,
                                           status("200") + entry + std::string(10'000, '\xbe'))));
  EXPECT_EQ(owner.of[1].why, "too_large");
  ASSERT_TRUE(client.put(frame(NGHTTP2_HEADERS, kEnd | kEndHeaders, 3, "\x88")));
  EXPECT_EQ(owner.of[2].why, "") << owner.of[2].detail;
}

TEST_F(H2Test, AHeadInSeveralFramesIsOneHead) {
  ASSERT_TRUE(open(1));
  taken();
  const std::string field = std::string("\x10\x01x\x01y", 5);
  const std::string bytes = kSettings + frame(NGHTTP2_HEADERS, kEnd, 1, status("200")) +
                            frame(NGHTTP2_CONTINUATION, 0, 1, field) +
                            frame(NGHTTP2_CONTINUATION, kEndHeaders, 1, field);
  // Not in single bytes: the library counts the pieces of a CONTINUATION's header as so many frames, up to 8.
  for (size_t at = 0; at < bytes.size(); at += 7)
    ASSERT_TRUE(client.put(std::string_view(bytes).substr(at, 7)));
  EXPECT_EQ(owner.of[1].why, "") << owner.of[1].detail;
  EXPECT_EQ(owner.of[1].answer.head_bytes, bytes.size() - kSettings.size());
}

TEST_F(H2Test, WhatIsNoAnswerIsRefused) {
  const std::string ok = frame(NGHTTP2_HEADERS, kEndHeaders, 1, "\x88");
  const std::string length = std::string("\x88\x0f\x0d\x01", 4) + "5";  // content-length: 5
  const std::pair<const char*, std::string> cases[] = {
      {"a status of no class", frame(NGHTTP2_HEADERS, kEnd | kEndHeaders, 1, status("042"))},
      {"a status that is no number", frame(NGHTTP2_HEADERS, kEnd | kEndHeaders, 1, status("2x0"))},
      {"no status", frame(NGHTTP2_HEADERS, kEnd | kEndHeaders, 1, std::string("\x10\x01x\x01y", 5))},
      {"two", frame(NGHTTP2_HEADERS, kEnd | kEndHeaders, 1, "\x88\x88")},
      {"101", frame(NGHTTP2_HEADERS, kEndHeaders, 1, status("101"))},
      {"an interim response at the end", frame(NGHTTP2_HEADERS, kEnd | kEndHeaders, 1, status("100"))},
      {"a body without a head", frame(NGHTTP2_DATA, kEnd, 1, "body")},
      {"more than announced",
       frame(NGHTTP2_HEADERS, kEndHeaders, 1, length) + frame(NGHTTP2_DATA, 0, 1, "123456")},
      {"less", frame(NGHTTP2_HEADERS, kEndHeaders, 1, length) + frame(NGHTTP2_DATA, kEnd, 1, "1234")},
      {"a third head", ok + frame(NGHTTP2_HEADERS, kEndHeaders, 1, "\x88")},
      {"no header compression", frame(NGHTTP2_HEADERS, kEndHeaders, 1, "\xff\xff\xff\xff\xff\xff")},
      {"a push", frame(NGHTTP2_PUSH_PROMISE, kEndHeaders, 1, std::string("\0\0\0\2\x82\x84\x86", 7))},
      {"a stream that we did not open", frame(NGHTTP2_HEADERS, kEndHeaders, 5, "\x88")}};
  for (const auto& [what, bytes] : cases) {
    Owner mine;
    H2Session session(mine, {});
    ASSERT_TRUE(session.open(get, 0, {}, 1));
    uint8_t out[1000];
    while (session.take(out, sizeof out) != 0) continue;
    session.put(kSettings + bytes);
    while (session.take(out, sizeof out) != 0) continue;
    session.put("");
    EXPECT_EQ(mine.of[1].ended, 1) << what;
    EXPECT_EQ(mine.of[1].why, "protocol") << what;
  }
}

TEST_F(H2Test, InterimResponsesAreCounted) {
  ASSERT_TRUE(open(1));
  taken();
  std::string many = kSettings;
  for (int i = 0; i < 16; ++i) many += frame(NGHTTP2_HEADERS, kEndHeaders, 1, status("100"));
  ASSERT_TRUE(client.put(many));
  EXPECT_EQ(owner.of[1].ended, 0);
  ASSERT_TRUE(client.put(frame(NGHTTP2_HEADERS, kEndHeaders, 1, status("100"))));
  EXPECT_EQ(owner.of[1].why, "protocol");
}

TEST_F(H2Test, AServerOfAnotherProtocol) {
  ASSERT_TRUE(open(1));
  EXPECT_FALSE(client.put("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
  EXPECT_STREQ(client.why(), "protocol");
  EXPECT_NE(client.detail(), "");
  EXPECT_EQ(owner.of[1].why, "protocol");
  EXPECT_FALSE(client.put("x"));
}

TEST_F(H2Test, MaxBody) {
  Server server;
  server.on_whole = [&](int32_t id) { server.respond(id, kOk, std::string(20'000, 'b')); };
  ASSERT_TRUE(open(1, {.max_body = 20'000}));
  ASSERT_TRUE(open(2, {.max_body = 19'999}));
  talk(server);
  EXPECT_EQ(owner.of[1].why, "");
  EXPECT_EQ(owner.of[2].why, "too_large");
  EXPECT_LE(owner.of[2].answer.body_bytes, 19'999u);
  EXPECT_EQ(server.resets, std::vector<uint32_t>{NGHTTP2_CANCEL});
}

TEST_F(H2Test, TheSinksRefusalEndsTheStream) {
  struct Refusing : BodySink {
    bool at_end = false;
    void begin(Coding) override {}
    const char* put(std::string_view) override { return at_end ? nullptr : "too_large"; }
    const char* finish() override { return "truncated"; }
    std::string detail() const override { return "not wanted"; }
  } at_once, late;
  late.at_end = true;
  Server server;
  server.on_whole = [&](int32_t id) { server.respond(id, kOk, "some body"); };
  ASSERT_TRUE(open(1, {.body = &at_once}));
  ASSERT_TRUE(open(2, {.body = &late}));
  talk(server);
  EXPECT_EQ(owner.of[1].why + owner.of[1].detail, "too_largenot wanted");
  EXPECT_EQ(owner.of[2].why + owner.of[2].detail, "truncatednot wanted");
}

// Acknowledgements that do not leave are bounded by the library, frames that bring nothing by us.
TEST_F(H2Test, FloodsEndTheConnection) {
  const std::pair<std::string, size_t> cases[] = {
      {kSettings, 10'000},
      {frame(NGHTTP2_PING, 0, 0, "12345678"), 10'000},
      {frame(NGHTTP2_WINDOW_UPDATE, 0, 0, std::string("\0\0\0\1", 4)), 10'000},
      {frame(NGHTTP2_DATA, 0, 1), 10'000},
      {frame(NGHTTP2_DATA, 8, 1, std::string("\1\0", 2)), 10'000},  // padding alone
  };
  for (const bool acknowledges : {true, false}) {
    for (const auto& [flood, limit] : cases) {
      Owner mine;
      H2Session session(mine, {});
      ASSERT_TRUE(session.open(get, 0, {}, 1));
      uint8_t out[1000];
      while (session.take(out, sizeof out) != 0) continue;
      ASSERT_TRUE(session.put(kSettings + frame(NGHTTP2_HEADERS, kEndHeaders, 1, "\x88")));
      size_t n = 0;
      while (n < 20'000 && session.put(flood)) {
        ++n;
        while (acknowledges && session.take(out, sizeof out) != 0) continue;
      }
      EXPECT_LE(n, limit) << int{static_cast<uint8_t>(flood[3])};
      if (acknowledges) {
        EXPECT_GE(n, limit - 10) << int{static_cast<uint8_t>(flood[3])};
      }
      EXPECT_STREQ(session.why(), "protocol");
      EXPECT_NE(session.detail(), "");
      EXPECT_EQ(mine.of[1].why, "protocol");
      for (n = 0; n < 10'000 && session.take(out, sizeof out) != 0; ++n) continue;
      EXPECT_LT(n, 1000u);
      EXPECT_FALSE(session.wants_to_send());
    }
  }
}

TEST_F(H2Test, CancelIsSilentAndTellsTheServer) {
  Server server;
  server.on_request = [&](int32_t id) { server.respond(id, kOk, "hold"); };
  for (uint64_t user = 0; user < 3; ++user) ASSERT_TRUE(open(user));
  talk(server);
  client.cancel(1);
  client.cancel(99);
  {
    const Request other = request("POST", "gone before it leaves");
    ASSERT_TRUE(client.open(other, 0, {}, 3));
    client.cancel(3);
  }
  EXPECT_EQ(client.open_streams(), 2u);
  talk(server);
  EXPECT_EQ(server.resets, std::vector<uint32_t>{NGHTTP2_CANCEL});
  EXPECT_EQ(server.of.size(), 3u);
  client.end();
  EXPECT_EQ(owner.of[0].ended, 1);
  EXPECT_EQ(owner.of[1].ended, 0);
  EXPECT_EQ(owner.of[3].ended, 0);
}

// The place of a stream that is given up within a call is taken by the next at once. What remains of the
// frame is not the new one's.
TEST_F(H2Test, CancelAndOpenWithinTheCalls) {
  for (const bool at_end : {false, true}) {
    SCOPED_TRACE(at_end);
    Owner mine;
    H2Session session(mine, {});
    Server server;
    server.on_whole = [&](int32_t id) { server.respond(id, {{":status", "200"}, {"x", "y"}}); };
    bool once = true;
    const auto swap = [&](uint64_t user) {
      if (!std::exchange(once, false)) return;
      session.cancel(user);
      EXPECT_TRUE(session.open(get, 0, {}, 2));
    };
    (at_end ? mine.on_ended : mine.on_began) = swap;
    ASSERT_TRUE(session.open(get, 0, {}, 1));
    uint8_t out[1000];
    for (int i = 0; i < 5; ++i) {
      while (const size_t n = session.take(out, sizeof out)) server.put({reinterpret_cast<char*>(out), n});
      for (std::string one = server.take(); !one.empty(); one = server.take()) ASSERT_TRUE(session.put(one));
    }
    EXPECT_EQ(mine.of[1].ended, at_end ? 1 : 0);
    EXPECT_EQ(mine.of[2].ended, 1);
    EXPECT_EQ(mine.of[2].answer.status, 200);
    EXPECT_EQ(mine.of[2].why, "");
    EXPECT_EQ(session.open_streams(), 0u);
  }
}

}  // namespace
}  // namespace todd::http
