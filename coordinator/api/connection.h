#pragma once
// One client's connection: requests in, responses out, in order; deadlines for everything the client could be
// slow at.

#include <functional>
#include <memory>
#include <string>

#include "coordinator/api/http_server.h"

namespace todd::api {

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  // done is called once, when the connection is to be forgotten; never from the constructor or open().
  // options and handler must outlive this. refusal: every request gets this answer instead.
  Connection(io::Loop& loop, const ServerOptions& options, const Handler& handler,
             std::function<void()> done);
  void open(UniqueFd fd, std::optional<Response> refusal);
  // Cuts the connection without a word.
  void close();

 private:
  class ReplyImpl;
  class StreamImpl;
  enum class Phase {
    idle,       // between requests
    head,       // a request has begun
    body,       // its head is known
    busy,       // the handler has it
    pieces,     // the response's body is being made
    streaming,  // the response has no end
    lingering,  // refused; what still comes is thrown away
    flushing,   // the last response is on its way
    closed,
  };

  size_t on_data(std::string_view bytes);
  // Reads what lies in in_, until a request is complete or more is needed.
  void advance();
  void on_head();
  void dispatch();
  void answer(Response response);
  void answer_in_pieces(Response head, Pieces next);
  void send_piece();
  void refuse(Response response);
  void on_deadline();
  void set_deadline(int64_t from_now_ns);
  void watch_stall();
  void send(std::string_view head, std::string_view body);
  bool stream_send(std::string_view bytes);

  io::Loop& loop_;
  const ServerOptions& options_;
  const Handler& handler_;
  std::function<void()> done_;
  std::function<void()> stream_gone_;
  Pieces pieces_;  // what is left of the body
  std::optional<Response> refusal_;
  io::ChannelPtr channel_;
  io::HandlePtr deadline_;
  io::HandlePtr stall_;
  std::unique_ptr<RequestParser> parser_;
  std::string in_;  // received and not yet parsed
  Phase phase_ = Phase::idle;
  int64_t began_ns_ = 0;  // of the current request's first byte
  size_t stall_unsent_ = 0;
  uint64_t sequence_ = 0;  // of the request being answered, so that a late reply cannot answer the next
  bool is_head_ = false;   // the method is HEAD
  bool chunked_ = false;   // the client knows chunks (HTTP/1.1)
  bool keep_alive_ = false;
};

}  // namespace todd::api
