#pragma once
// The coordinator's REST interface as the verbs see it: blocking, one request at a time.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "coordinator/cli/sse.h"
#include "engine/base/result.h"

namespace todd::cli {

// Where a coordinator on this host listens unless told otherwise: api.sock in its data folder, the user's own
// first.
std::string default_socket();

class Client {
 public:
  // coordinator: a socket's path, http://127.0.0.1:PORT, or "" for the default socket. Connects only with a
  // request. Errors: invalid.
  static Result<Client> make(const std::string& coordinator);
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  // While fd (-1: none) is readable, requests end with Errc::cancelled: at once, or where they have not ended
  // by themselves in grace_ns. Nothing is read from it.
  void set_interrupt(int fd, int64_t grace_ns = 0);
  // By the monotonic clock; requests end then with Errc::timed_out. 0: none.
  void set_deadline(int64_t at_ns);

  // Paths are below /api/v1 ("runs/last?samples=1"); the answer's body. Errors: unavailable where nobody
  // answers, denied where its socket is not for us, else what the answer's status says (error_of_answer).
  Result<std::string> get(const std::string& path);
  Result<std::string> post(const std::string& path, const std::string& body = "",
                           const std::string& content_type = "application/json");
  Result<std::string> remove(const std::string& path);
  // The body as it comes, of any length, in the form that `accept` names; false from the callback ends it.
  // Errors as above; unavailable where it breaks off.
  using OnBytes = std::function<bool(std::string_view bytes)>;
  Status read(const std::string& path, const std::string& accept, const OnBytes& on_bytes);
  // Reads a stream of events until the callback returns false or the server ends it. Errors as above;
  // unavailable where the stream breaks.
  Status events(const std::string& path, const SseParser::OnEvent& on_event);

  // "/run/todd/api.sock": for messages.
  const std::string& address() const;

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// What an answer other than 2xx means: its problem+json with each place of errors[], or the status alone.
// Printable.
Error error_of_answer(long status, const std::string& body);

// One part of a path, percent-encoded.
std::string path_part(std::string_view text);

}  // namespace todd::cli
