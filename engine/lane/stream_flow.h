#pragma once
// A flow of TCP connections: connected ones of a source, accepted ones of a responder.

#include <algorithm>
#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/lane/flow.h"
#include "engine/lane/instance.h"

namespace todd::lane {

class StreamFlow : public Flow {
 public:
  StreamFlow(Instance& owner, uint32_t index, const todd_flow& flow);
  ~StreamFlow() override;

  void connect(const todd_op& op);
  void listen(const todd_op& op);
  // SEND (slot taken), RECV, SHUTDOWN, CLOSE of the stream in op.key. False: no such stream.
  bool run(const todd_op& op);
  void cancel_all();  // closes every stream
  bool has(uint64_t stream) const { return streams_.count(stream) != 0; }
  int fd(uint64_t stream) const;
  uint16_t local_port(int) const override { return wanted_.local_port; }
  void forget_ended() override { std::ranges::fill(numbers_, 0); }

 private:
  struct Conn : io::StreamSink {
    StreamFlow* flow = nullptr;
    uint64_t id = 0;
    todd_op connecting{};
    bool connected = false, receiving = false;
    int64_t began_ns = 0;  // connect()
    uint64_t number = 0;   // of the probe it is, per target
    uint32_t target = TODD_NONE;
    std::unique_ptr<io::Stream> stream;
    void on_connected(uint64_t, int result) override { flow->connected(*this, result); }
    void on_stream_sent(uint64_t cookie, int result, int64_t mono_ns) override {
      flow->sent(*this, static_cast<uint32_t>(cookie), result, mono_ns);
    }
    void on_stream_data(int result, const uint8_t* data, uint32_t len, int64_t mono_ns) override {
      flow->data(*this, result, data, len, mono_ns);
    }
  };
  struct Listening : io::AcceptSink {
    StreamFlow* flow = nullptr;
    uint64_t user = 0;
    std::unique_ptr<io::Acceptor> acceptor;
    void on_accepted(UniqueFd fd, const io::Address& peer) override {
      flow->accepted(*this, std::move(fd), peer);
    }
  };
  struct Out {
    uint64_t user = 0, stream = 0;
    uint32_t len = 0;
    bool busy = false;
  };

  Conn& add(UniqueFd fd, uint32_t target);
  // Counts the probe that a connection was, and puts its times into `done`.
  void end_probe(const Conn& conn, todd_done& done);
  void connected(Conn& conn, int result);
  void accepted(Listening& listening, UniqueFd fd, const io::Address& peer);
  void sent(Conn& conn, uint32_t slot, int result, int64_t mono_ns);
  void data(Conn& conn, int result, const uint8_t* bytes, uint32_t len, int64_t mono_ns);
  void close(uint64_t id);  // what is pending completes -ECANCELED
  void forget(uint64_t id);
  todd_done about(const Conn& conn, uint16_t code, int32_t result) const;

  Instance& owner_;
  uint32_t index_;
  todd_flow wanted_;
  std::unordered_map<uint64_t, std::unique_ptr<Conn>> streams_;
  std::vector<std::unique_ptr<Conn>> closed_;  // until the sinks are left
  std::vector<std::unique_ptr<Listening>> listening_;
  std::vector<Out> out_;
  std::vector<uint64_t> numbers_;  // probes by target, if samples are kept
  uint64_t next_id_ = 0;

 public:
  void forget_closed() { closed_.clear(); }  // outside any sink
};

}  // namespace todd::lane
