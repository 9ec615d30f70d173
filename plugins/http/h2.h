#pragma once
// A client's side of one HTTP/2 connection (RFC 9113) on nghttp2, fed and drained without sockets.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/http/answer.h"

namespace todd::http {

class Request;

// How a stream ended, or how far its answer has come.
struct H2Answer {
  int status = 0;           // 200..999
  uint32_t head_bytes = 0;  // HEADERS and CONTINUATION frames, compressed as they are on the wire
  uint64_t body_bytes = 0;  // content of DATA frames
  Coding coding = Coding::kIdentity;
  const char* why = nullptr;  // nullptr: complete. "reset", "protocol", "too_large", "truncated", "closed"
  std::string_view detail;    // for people, if it failed
  bool unprocessed = false;   // the server says that it did nothing with the request: it may be sent again
};

// Where the events of the streams go. `user` is what open() was given. Called within put(), take() and end();
// open() and cancel() may be called from here, the others may not.
class H2Owner {
 public:
  virtual ~H2Owner() = default;
  // Within take(): the last byte of the request is in what it gives.
  virtual void left(uint64_t user) = 0;
  // The first frame of an answer is there.
  virtual void began(uint64_t user) = 0;
  // The stream is over; after this nothing comes for `user`. Not called for one that was cancelled.
  virtual void ended(uint64_t user, const H2Answer& answer) = 0;
};

// Speaks at once: the preface is the first thing take() gives. Memory: about 20 KiB, and 600 bytes for each
// stream that was ever open at the same time; requests are borrowed. What the peer may make it keep is
// bounded: 16 KiB of decoded headers for each answer (a longer head fails as "too_large"), the 4 KiB table of
// HPACK, 1,000 acknowledgements. A peer that sends 10,000 frames without any progress of an answer is left;
// frames that are ignored, of unknown types and of streams that are gone, are not counted and cost nothing.
class H2Session {
 public:
  struct Options {
    uint32_t max_streams = 256;        // at the same time; the peer may allow fewer
    uint32_t window = (1u << 30) - 1;  // of the connection and of each stream: bodies are taken at once
  };

  H2Session(H2Owner& owner, const Options& options);
  ~H2Session();
  H2Session(const H2Session&) = delete;
  H2Session& operator=(const H2Session&) = delete;

  // How many streams may be opened now; 0 once the peer said goodbye or the numbers of streams are used up.
  uint32_t room() const;
  // True: this connection takes no more streams, ever; those it has go on.
  bool closing() const;
  uint32_t open_streams() const { return n_open_; }

  // Begins a request; its bytes leave with the next take(). `unique` is the number for the request's unique
  // header. The request and what `want` points at must outlive the stream; want.bodiless is ignored: the
  // request knows. False: there is no room().
  bool open(const Request& request, uint64_t unique, const Want& want, uint64_t user);
  // Gives a stream up; nothing comes for it any more. No effect for a user who has none. Looks at all
  // streams.
  void cancel(uint64_t user);

  // The next bytes of the connection. False: it is over, and all streams have ended; see why(). What take()
  // still gives then tells the server why.
  bool put(std::string_view bytes);
  // The connection ended: all streams end.
  void end();
  // Up to `cap` bytes to send. 0: nothing to send now. Streams may end in here, all of them too: then
  // closing().
  size_t take(uint8_t* out, size_t cap);
  // take() would give something.
  bool wants_to_send() const;

  // After put() was false: "protocol" and what was wrong, or "" if the server ended it, and what for if it
  // said that.
  const char* why() const { return why_; }
  const std::string& detail() const { return detail_; }

 private:
  struct Stream {
    int32_t id = 0;        // 0: free
    uint32_t decoded = 0;  // bytes of headers
    uint64_t user = 0;
    Want want;
    H2Answer answer;
    std::string_view body;  // of the request, not sent yet
    uint8_t interim = 0;
    bool began = false, head_done = false, complete = false, reset = false;
  };
  struct Glue;  // the library's callbacks
  struct Delete {
    void operator()(void* session) const;
  };

  Stream* stream_of(int32_t id) const;
  int header(Stream& s, std::string_view name, std::string_view value);
  int data(Stream& s, std::string_view bytes);
  void head_complete(Stream& s);
  void answer_complete(Stream& s);
  void said_goodbye(int32_t last_processed, uint32_t code);
  bool count_frame(uint8_t type);
  void closed(Stream& s, uint32_t code);
  void give_up(Stream& s, const char* why, std::string detail);
  void finish(Stream& s);
  void release(Stream& s);
  void fail(const char* why, std::string detail);
  void see_whether_over();
  bool left_us(const Stream& s) const;

  H2Owner& owner_;
  Options options_;
  std::unique_ptr<void, Delete> session_;
  std::deque<Stream> streams_;  // addresses stay
  std::vector<Stream*> free_;
  std::vector<char> fields_;  // scratch of open()
  std::string_view pending_;  // what take() had no room for; the library's memory
  uint32_t n_open_ = 0, idle_frames_ = 0;
  int32_t last_processed_ = INT32_MAX;  // by GOAWAY
  int32_t ending_ = 0;                  // the stream whose request ends with pending_; 0: none does
  bool over_ = false;
  bool goodbye_ = false;  // the peer's GOAWAY has come
  bool left_ = false;     // ours was given to take()
  bool broken_ = false;   // the library is not to be asked again
  const char* why_ = "";
  std::string detail_, said_;  // said_: the library's last words
  std::string farewell_;       // what the peer's GOAWAY blames us for
};

}  // namespace todd::http
