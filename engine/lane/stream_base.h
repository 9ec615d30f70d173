#pragma once
// What an instance asks of every flow of streams: TCP connections (StreamFlow) or connected UDP sockets
// (PeerFlow).

#include "engine/base/fd.h"
#include "engine/lane/flow.h"

namespace todd::io {
class StreamTls;
}

namespace todd::lane {

class StreamBase : public Flow {
 public:
  using Flow::Flow;
  StreamBase* as_stream() override { return this; }

  // Whether this host has what the flow asks of its sockets: else -errno and why.
  virtual todd_status usable(todd_error* error) const = 0;
  virtual void connect(const todd_op& op) = 0;
  virtual void listen(const todd_op& op) = 0;
  // SEND (slot taken), RECV, SHUTDOWN, TLS, CLOSE of the stream in op.key. False: no such stream, or nothing
  // that it does.
  virtual bool run(const todd_op& op) = 0;
  virtual void cancel_all() = 0;  // closes every stream
  virtual bool has(uint64_t stream) const = 0;
  virtual int fd(uint64_t stream) const = 0;  // -1: no such stream
  virtual bool datagrams() const { return false; }  // else connections
  // For a job of that direction: another descriptor of the stream's socket, and what its completion tells.
  // What has come by now is told (RECV), and then nothing more. 0; -ENOTCONN: no such stream, or not open;
  // -EOPNOTSUPP: it has TLS; -EBUSY: SENDs are under way; or of dup().
  virtual int lend(uint64_t stream, bool sending, UniqueFd& fd, uint32_t& flow, uint32_t& target) = 0;
  // Null: no such stream, or it has no TLS.
  virtual const io::StreamTls* tls(uint64_t) const { return nullptr; }
  // Gives up what has taken too long.
  virtual void expire(int64_t) {}
  virtual int64_t next_deadline() const { return INT64_MAX; }
  virtual void forget_closed() = 0;  // outside any sink
};

}  // namespace todd::lane
