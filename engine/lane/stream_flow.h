#pragma once
// A flow of TCP connections: connected ones of a source, accepted ones of a responder; with TLS where the
// testlet asks for it.

#include <algorithm>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "engine/io/stream_tls.h"
#include "engine/lane/instance.h"
#include "engine/lane/stream_base.h"

namespace todd::lane {

class StreamFlow : public StreamBase {
 public:
  StreamFlow(Instance& owner, uint32_t index, const todd_flow& flow);
  ~StreamFlow() override;

  todd_status usable(todd_error* error) const override;
  void connect(const todd_op& op) override;
  void listen(const todd_op& op) override;
  bool run(const todd_op& op) override;
  void cancel_all() override;
  bool has(uint64_t stream) const override { return find(stream) != nullptr; }
  int fd(uint64_t stream) const override;
  int lend(uint64_t stream, bool sending, UniqueFd& fd, uint32_t& flow, uint32_t& target) override;
  const io::StreamTls* tls(uint64_t stream) const override;
  uint16_t local_port(int) const override { return wanted_.local_port; }
  void forget_ended() override { std::ranges::fill(numbers_, 0); }
  void expire(int64_t now_ns) override;  // connections and handshakes
  int64_t next_deadline() const override { return deadlines_.empty() ? INT64_MAX : deadlines_.top().at_ns; }
  void forget_closed() override { closed_.clear(); }

 private:
  enum class Phase : uint8_t { connecting, handshake, open };
  struct Conn final : io::StreamSink, io::StreamTlsSink {
    StreamFlow* flow = nullptr;
    uint64_t id = 0, user = 0;
    uint64_t number = 0;   // of the probe it is, per target
    int64_t at_ns = 0;     // of a probe: when it was due
    int64_t began_ns = 0;  // connect()
    int64_t deadline_ns = INT64_MAX;
    uint32_t target = TODD_NONE, sends = 0;  // sends: under way
    uint16_t peer_port = 0;
    Phase phase = Phase::connecting;
    bool probe = false, accepted = false, receiving = false;
    std::unique_ptr<io::StreamTls> tls;  // ends after the stream, which sends from it
    std::unique_ptr<io::Stream> stream;  // null: closed
    void on_connected(uint64_t, int result) override { flow->connected(*this, result); }
    void on_stream_sent(uint64_t cookie, int result, int64_t mono_ns) override {
      if (tls == nullptr || tls->sent(cookie))
        flow->sent(*this, static_cast<uint32_t>(cookie), result, mono_ns);
    }
    void on_stream_data(int result, const uint8_t* data, uint32_t len, int64_t mono_ns) override {
      if (tls != nullptr) return tls->received(result, data, len, mono_ns);
      flow->data(*this, result, data, len, mono_ns);
    }
    void on_handshake(int result) override { flow->shaken(*this, result); }
    bool on_plain(int result, const uint8_t* data, uint32_t len, int64_t mono_ns) override {
      if (stream != nullptr) flow->data(*this, result, data, len, mono_ns);
      return stream != nullptr;
    }
  };
  struct Listening : io::AcceptSink {
    StreamFlow* flow = nullptr;
    uint64_t user = 0;
    std::shared_ptr<io::StreamTlsContext> tls;
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
  struct Deadline {
    int64_t at_ns;
    uint64_t stream;
    bool operator>(const Deadline& o) const { return at_ns > o.at_ns; }
  };
  struct Entry {  // of a stream's number
    std::unique_ptr<Conn> conn;
    uint32_t generation = 0;
  };

  Conn* find(uint64_t id) const;
  Conn& add(UniqueFd fd, uint32_t target);
  Status set_options(int fd) const;
  Result<UniqueFd> open_socket(const todd_op& op, const io::Address& to) const;
  void give_up_at(Conn& conn, int64_t timeout_ns);
  // Counts the probe that a connection was, and puts its times into `done`.
  void end_probe(const Conn& conn, todd_done& done);
  void connected(Conn& conn, int result);
  void accepted(Listening& listening, UniqueFd fd, const io::Address& peer);
  void tell_accepted(Conn& conn);
  bool begin_tls(Conn& conn, const todd_op& op);
  void shaken(Conn& conn, int result);
  void send(Conn& conn, const todd_op& op);
  void sent(Conn& conn, uint32_t slot, int result, int64_t mono_ns);
  void data(Conn& conn, int result, const uint8_t* bytes, uint32_t len, int64_t mono_ns);
  void close(Conn& conn);  // what is pending completes -ECANCELED
  void forget(Conn& conn);
  todd_done about(const Conn& conn, uint16_t code, int32_t result) const;  // now
  todd_done about(const Conn& conn, uint16_t code, int32_t result, int64_t at_ns) const;

  Instance& owner_;
  uint32_t index_;
  todd_flow wanted_;
  std::string congestion_;  // behind wanted_
  std::vector<Entry> streams_;
  std::vector<uint32_t> free_;
  uint32_t shaking_ = 0;                       // accepted streams that are not told yet
  std::vector<std::unique_ptr<Conn>> closed_;  // until the sinks are left
  std::vector<std::unique_ptr<Listening>> listening_;
  std::vector<Out> out_;
  std::vector<uint64_t> numbers_;  // probes by target, if samples are kept
  std::priority_queue<Deadline, std::vector<Deadline>, std::greater<>> deadlines_;
};

}  // namespace todd::lane
