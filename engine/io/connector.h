#pragma once
// Makes one connected socket: resolves the name, tries its addresses in turn. For engine/io only.

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "engine/io/channel.h"
#include "engine/io/endpoint.h"

namespace todd::io {

// Resource. done is called once, from the loop, never from inside a method; it may destroy the connector.
class Connector {
 public:
  using Done = std::function<void(Result<UniqueFd>)>;
  // within_ns bounds the whole; each address gets an equal share of what is left, so that one black hole does
  // not hide the others. The error is that of the last address tried.
  Connector(Loop& loop, std::string name, int64_t within_ns, Done done);

  void tcp(const std::string& host, uint16_t port);
  void local(const std::string& path);

 private:
  void fail_soon(Error error);
  void try_next();
  void attempt(const Endpoint& to);
  void completed();
  void failed(Error error);
  void finish(Result<UniqueFd> result);

  Loop& loop_;
  const std::string name_;  // of the peer, in errors
  const int64_t deadline_ns_;
  Done done_;
  std::unique_ptr<Resolver> resolver_;
  std::deque<Endpoint> left_;
  UniqueFd fd_;
  HandlePtr writable_;
  HandlePtr timer_;
  Error last_;
};

}  // namespace todd::io
