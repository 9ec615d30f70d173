#include "coordinator/api/connection.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "coordinator/api/problem.h"
#include "engine/base/check.h"
#include "engine/base/clock.h"

namespace todd::api {
namespace {

// While a request is being answered, this much of the next ones is read ahead.
constexpr size_t kReadAhead = 64 * 1024;
// Of a refused request so much is still read and thrown away: closing with unread bytes would destroy our
// answer.
constexpr size_t kLingerBytes = 64u << 20;

}  // namespace

class Connection::ReplyImpl : public Reply {
 public:
  ReplyImpl(std::weak_ptr<Connection> connection, uint64_t sequence)
      : connection_(std::move(connection)), sequence_(sequence) {}
  ~ReplyImpl() override {
    if (open()) send(problem(500, "internal", "the request was dropped without an answer"));
  }

  void send(Response response) override {
    const auto connection = take();
    if (connection) connection->answer(std::move(response));
  }
  void send_pieces(Response head, Pieces next) override {
    const auto connection = take();
    if (connection) connection->answer_in_pieces(std::move(head), std::move(next));
  }
  std::shared_ptr<EventStream> stream(Response head) override;
  bool open() const override {
    const auto connection = connection_.lock();
    return connection && connection->phase_ == Phase::busy && connection->sequence_ == sequence_;
  }

 private:
  std::shared_ptr<Connection> take() {
    auto connection = open() ? connection_.lock() : nullptr;
    connection_.reset();
    return connection;
  }

  std::weak_ptr<Connection> connection_;
  uint64_t sequence_;
};

class Connection::StreamImpl : public EventStream {
 public:
  explicit StreamImpl(std::weak_ptr<Connection> connection) : connection_(std::move(connection)) {}
  ~StreamImpl() override { finish(); }
  bool send(std::string_view bytes) override {
    const auto connection = connection_.lock();
    return connection && connection->stream_send(bytes);
  }
  void finish() override {
    const auto connection = connection_.lock();
    if (!connection || connection->phase_ != Phase::streaming) return;
    connection->phase_ = Phase::flushing;
    connection->stream_gone_ = nullptr;
    connection->watch_stall();
    connection->channel_->close_after_flush();
  }
  void on_close(std::function<void()> callback) override {
    if (open()) connection_.lock()->stream_gone_ = std::move(callback);
  }
  bool open() const override {
    const auto connection = connection_.lock();
    return connection && connection->phase_ == Phase::streaming;
  }

 private:
  std::weak_ptr<Connection> connection_;
};

std::shared_ptr<EventStream> Connection::ReplyImpl::stream(Response head) {
  const auto connection = take();
  if (!connection) return std::make_shared<StreamImpl>(std::weak_ptr<Connection>());
  connection->send(response_head(head, std::nullopt, false), "");
  connection->phase_ = Phase::streaming;
  auto stream = std::make_shared<StreamImpl>(connection->weak_from_this());
  if (connection->is_head_) stream->finish();
  return stream;
}

Connection::Connection(io::Loop& loop, const ServerOptions& options, const Handler& handler,
                       std::function<void()> done)
    : loop_(loop), options_(options), handler_(handler), done_(std::move(done)) {}

void Connection::open(UniqueFd fd, std::optional<Response> refusal) {
  refusal_ = std::move(refusal);
  parser_ = std::make_unique<RequestParser>(options_.limits);
  began_ns_ = monotonic_ns();
  set_deadline(options_.head_ns);
  io::Channel::Events events;
  events.on_data = [this](std::string_view bytes) { return on_data(bytes); };
  events.on_close = [this](const Error&) { close(); };
  events.on_drained = [this] { send_piece(); };
  // The response's own size is the bound here; whoever does not read is cut by watch_stall.
  io::ChannelOptions channel;
  channel.write_limit = SIZE_MAX / 2;
  channel_ = io::adopt(loop_, std::move(fd), nullptr, std::move(events), channel);
}

void Connection::close() {
  if (phase_ == Phase::closed) return;
  phase_ = Phase::closed;
  deadline_.reset();
  stall_.reset();
  pieces_ = nullptr;
  // The channel may be what calls us: let it go from the loop.
  loop_.post([self = shared_from_this()] { self->channel_.reset(); });
  done_();
  if (const auto gone = std::exchange(stream_gone_, nullptr)) gone();
}

void Connection::set_deadline(int64_t from_now_ns) {
  deadline_ = loop_.after(std::max<int64_t>(from_now_ns, 0), [this] { on_deadline(); });
}

void Connection::on_deadline() {
  const auto self = shared_from_this();
  // Nobody is told about a connection that was merely idle or has had its answer.
  if (phase_ == Phase::head || phase_ == Phase::body) {
    refuse(problem(408, "timed_out", "the request did not arrive in time"));
  } else {
    close();
  }
}

size_t Connection::on_data(std::string_view bytes) {
  const auto self = shared_from_this();
  if (phase_ == Phase::closed || phase_ == Phase::pieces || phase_ == Phase::streaming ||
      phase_ == Phase::flushing) {
    return bytes.size();
  }
  if (phase_ == Phase::lingering) {
    stall_unsent_ += bytes.size();
    if (stall_unsent_ > kLingerBytes) close();
    return bytes.size();
  }
  in_.append(bytes);
  if (phase_ == Phase::busy) {
    if (in_.size() > kReadAhead) channel_->pause_reading(true);
  } else {
    advance();
  }
  return bytes.size();
}

void Connection::advance() {
  while (phase_ == Phase::idle || phase_ == Phase::head || phase_ == Phase::body) {
    if (in_.empty() && phase_ != Phase::body) break;
    if (phase_ == Phase::idle) {
      phase_ = Phase::head;
      began_ns_ = monotonic_ns();
      set_deadline(options_.head_ns);
    }
    const auto step = parser_->feed(in_);
    in_.erase(0, step.consumed);
    if (step.state == RequestParser::State::failed) {
      refuse(problem(parser_->error_status(), parser_->error_status() == 413 ? "exhausted" : "invalid",
                     parser_->error_detail()));
    } else if (step.state == RequestParser::State::head) {
      on_head();
    } else if (step.state == RequestParser::State::done) {
      dispatch();
      break;  // answered already: answer() goes on from the loop
    } else if (step.consumed == 0 || in_.empty()) {
      break;
    }
  }
}

void Connection::on_head() {
  phase_ = Phase::body;
  set_deadline(options_.request_ns - (monotonic_ns() - began_ns_));
  Request& request = parser_->request();
  is_head_ = request.method == "HEAD";
  keep_alive_ = parser_->keep_alive();
  chunked_ = parser_->takes_chunks();
  if (!refusal_ && options_.admit) {
    if (auto refusal = options_.admit(request)) return refuse(std::move(*refusal));
  }
  if (refusal_) return refuse(*refusal_);
  if (options_.body_limit) parser_->set_body_limit(options_.body_limit(request));
  // Not for a body that is here already, nor for one whose announced length is refused by the next feed.
  if (parser_->wants_continue() && in_.empty() &&
      parser_->feed("").state == RequestParser::State::need_more) {
    channel_->send("HTTP/1.1 100 Continue\r\n\r\n");
  }
}

void Connection::dispatch() {
  phase_ = Phase::busy;
  deadline_.reset();
  ++sequence_;
  Request request = std::move(parser_->request());
  parser_ = std::make_unique<RequestParser>(options_.limits);
  handler_(request, std::make_shared<ReplyImpl>(weak_from_this(), sequence_));
}

void Connection::send(std::string_view head, std::string_view body) {
  channel_->send(head);
  if (!is_head_) channel_->send(body);
}

void Connection::answer(Response response) {
  TODD_CHECK(phase_ == Phase::busy);
  // RFC 9110 8.6: no length with 204.
  const auto length = response.status == 204 ? std::nullopt : std::optional<size_t>(response.body.size());
  send(response_head(response, length, keep_alive_), response.body);
  if (!keep_alive_) {
    phase_ = Phase::flushing;
    watch_stall();
    channel_->close_after_flush();
    return;
  }
  phase_ = Phase::idle;
  watch_stall();
  set_deadline(options_.idle_ns);
  channel_->pause_reading(false);
  if (!in_.empty()) {  // pipelined; from the loop, so that a long pipeline starves nobody
    loop_.post([self = shared_from_this()] {
      if (self->phase_ == Phase::idle) self->advance();
    });
  }
}

void Connection::answer_in_pieces(Response head, Pieces next) {
  TODD_CHECK(phase_ == Phase::busy);
  if (chunked_) head.headers.emplace_back("Transfer-Encoding", "chunked");
  channel_->send(response_head(head, std::nullopt, false));
  phase_ = Phase::pieces;
  if (!is_head_) pieces_ = std::move(next);
  send_piece();
}

// Called first, and whenever all that was sent has left.
void Connection::send_piece() {
  if (phase_ != Phase::pieces) return;
  std::string piece;
  const bool more = pieces_ && pieces_(piece);
  if (more && chunked_) channel_->send(fmt::format("{:x}\r\n{}\r\n", piece.size(), piece));
  if (more && !chunked_) channel_->send(piece);
  // Anew for each piece: the queue's length says nothing across two.
  stall_.reset();
  if (!more) {
    if (chunked_ && !is_head_) channel_->send("0\r\n\r\n");
    pieces_ = nullptr;
    phase_ = Phase::flushing;
    channel_->close_after_flush();
  }
  watch_stall();
}

void Connection::refuse(Response response) {
  keep_alive_ = false;
  send(response_head(response, response.body.size(), false), response.body);
  phase_ = Phase::lingering;
  in_.clear();
  stall_unsent_ = 0;
  set_deadline(options_.linger_ns);
}

// Closes when in a whole stall_ns nothing of what is unsent has left.
void Connection::watch_stall() {
  if (stall_) return;
  stall_unsent_ = channel_->unsent();
  if (stall_unsent_ == 0 && phase_ != Phase::flushing) return;
  stall_ = loop_.after(options_.stall_ns, [this] {
    const auto self = shared_from_this();
    const size_t before = stall_unsent_;
    stall_.reset();
    if (channel_->unsent() >= before && channel_->unsent() > 0) return close();
    watch_stall();
  });
}

bool Connection::stream_send(std::string_view bytes) {
  if (phase_ != Phase::streaming) return false;
  if (channel_->unsent() + bytes.size() > options_.stream_queue_bytes) {
    close();
    return false;
  }
  channel_->send(bytes);
  return true;
}

}  // namespace todd::api
