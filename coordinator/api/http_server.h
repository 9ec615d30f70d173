#pragma once
// An HTTP/1.1 server on io::Channel for few, local, possibly hostile clients. One loop's thread.

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/api/http.h"
#include "coordinator/api/request_parser.h"
#include "engine/base/result.h"
#include "engine/io/channel.h"
#include "engine/io/loop.h"

namespace todd::api {

// A response without an end (Server-Sent Events). The connection serves nothing else afterwards.
class EventStream {
 public:
  virtual ~EventStream() = default;
  // false: the client is gone, or was cut because it reads too slowly.
  virtual bool send(std::string_view bytes) = 0;
  virtual void finish() = 0;  // closes when everything was sent
  virtual bool open() const = 0;
  // Called once when the client goes or is cut; not after finish().
  virtual void on_close(std::function<void()> callback) = 0;
};

// A long body: puts its next piece into the string, which is empty, and says true; false at the end.
using Pieces = std::function<bool(std::string& out)>;

// The answer to one request, given now or later, once. Outlives connection and server; then it does nothing.
// Destroyed without an answer: the client gets 500.
class Reply {
 public:
  virtual ~Reply() = default;
  virtual void send(Response response) = 0;
  // The body is `next`'s: each piece is made when the one before has left, so that memory holds one. The
  // connection ends with it.
  virtual void send_pieces(Response head, Pieces next) = 0;
  virtual std::shared_ptr<EventStream> stream(Response head) = 0;
  virtual bool open() const = 0;  // whether somebody still waits
};

using Handler = std::function<void(const Request& request, std::shared_ptr<Reply> reply)>;

struct ServerOptions {
  ParseLimits limits;
  // For requests that may be larger (or must be smaller) than limits.body_bytes.
  std::function<size_t(const Request& head)> body_limit;
  // A response here refuses the request before its body is read.
  std::function<std::optional<Response>(const Request& head)> admit;
  size_t max_connections = 1000;
  size_t stream_queue_bytes = 1 << 20;  // a stream's client that has more than this before it is cut
  int64_t head_ns = 10'000'000'000;     // from the first byte (or the connection) to the head's end
  int64_t request_ns = 60'000'000'000;  // from the first byte to the body's end
  int64_t idle_ns = 60'000'000'000;     // between requests
  int64_t stall_ns = 60'000'000'000;    // a client that takes nothing of its response for this long is cut
  int64_t linger_ns =
      2'000'000'000;  // after a refusal, for the client to read it before the connection breaks
};

class HttpServer {
 public:
  HttpServer(io::Loop& loop, ServerOptions options, Handler handler);
  ~HttpServer();  // closes everything
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Serves on a TCP address; the port that was bound.
  Result<uint16_t> listen_tcp(const std::string& address, uint16_t port);
  // Serves on a unix socket, mode 0660, of the given group ((gid_t)-1: the process's own). Root, the
  // process's own user and members of the group may; others get 403.
  Status listen_unix(const std::string& path, gid_t group);

  size_t connections() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace todd::api
