#pragma once
// A flow of TODD_PEERS: connected UDP sockets as streams, those of a source and those of a responder, which
// has one for each address that sends to it.
//
// Invariants: a stream's socket is bound to the address that its peer sent to, so that answers leave from
// there. A datagram is told once, by whichever socket it came: those of others that a new socket took in
// before it was connected go to their own streams. Datagrams of one peer may change places while its stream
// is being made.

#include <compare>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/io/datagram_message.h"
#include "engine/io/reactor.h"
#include "engine/io/sockets.h"
#include "engine/lane/instance.h"
#include "engine/lane/stream_base.h"

namespace todd::lane {

class PeerFlow final : public StreamBase {
 public:
  // Whoever sends from further addresses is not heard: each costs a descriptor.
  static constexpr size_t kMostAccepted = 4096;

  PeerFlow(Instance& owner, uint32_t index, const todd_flow& flow);
  ~PeerFlow() override;

  todd_status usable(todd_error* error) const override;
  void connect(const todd_op& op) override;
  void listen(const todd_op& op) override;
  bool run(const todd_op& op) override;
  void cancel_all() override;
  bool has(uint64_t stream) const override { return find(stream) != nullptr; }
  int fd(uint64_t stream) const override;
  bool datagrams() const override { return true; }
  int lend(uint64_t stream, bool sending, UniqueFd& fd, uint32_t& flow, uint32_t& target) override;
  void forget_closed() override {
    closed_.clear();
    closed_listening_.clear();
  }
  uint16_t local_port(int) const override { return wanted_.local_port; }
  void forget_ended() override {}

 private:
  struct Conn;
  struct Listening;
  struct Side final : io::ReadinessSink {  // of a stream's socket
    Conn* conn = nullptr;
    bool writing = false;
    std::unique_ptr<io::Readiness> readiness;  // goes before the descriptor
    void on_ready() override;
  };
  struct Pair {  // of addresses
    uint16_t port = 0;
    uint32_t scope = 0;
    uint8_t peer[16] = {}, local[16] = {};
    auto operator<=>(const Pair&) const = default;
  };
  struct Conn {
    PeerFlow* flow = nullptr;
    uint64_t id = 0, user = 0;
    uint32_t target = TODD_NONE;
    bool open = true, receiving = false, lent = false;  // lent: to a job that receives
    int end = 0;                                        // of receiving, that no RECV was there to tell
    const Listening* from = nullptr;                    // of an accepted one, with its
    Pair pair;
    UniqueFd fd;
    Side reading, sending;
    std::deque<uint32_t> waiting;  // slots of SENDs that the socket had no room for
  };
  struct Listening final : io::ReadinessSink {
    PeerFlow* flow = nullptr;
    uint64_t user = 0;
    UniqueFd fd;
    io::SocketTraits traits;
    std::unique_ptr<io::Readiness> readiness;
    bool open = true;
    void on_ready() override {
      if (open) flow->heard_something(*this);
    }
  };
  struct Stray {
    const Listening* listening;
    io::DatagramIn in;
    std::vector<uint8_t> bytes;
  };
  struct Out {
    uint64_t user = 0;
    uint32_t len = 0;
  };

  Conn* find(uint64_t id) const;
  static Pair pair_of(const io::Address& peer, const io::Address& local);
  Result<UniqueFd> open_socket(io::SocketRequest request, const io::Address& to) const;  // connected
  Status set_options(int fd) const;
  Conn& add(UniqueFd fd, uint32_t target);
  // The stream of a new peer; null: it is not to be had, or was closed already.
  Conn* accept(const Listening& listening, const io::DatagramIn& in);
  void keep_strays(int fd, const Listening& listening);
  void tell_strays();
  void heard_something(const Listening& listening);
  void heard(const Listening& listening, const io::DatagramIn& in);
  void readable(Conn& conn);
  void receive(Conn& conn, const io::DatagramIn& in);
  void end_receiving(Conn& conn, int result);
  void send(Conn& conn, const todd_op& op);
  void flush(Conn& conn);
  int transmit(Conn& conn, uint32_t slot);
  void sent(Conn& conn, uint32_t slot, int result);
  void close(Conn& conn);
  todd_done about(const Conn& conn, uint16_t code, int32_t result) const;

  Instance& owner_;
  uint32_t index_;
  todd_flow wanted_;
  std::unordered_map<uint64_t, std::unique_ptr<Conn>> streams_;
  uint64_t last_ = 0;                          // number given to a stream, which none has again
  std::map<Pair, uint64_t> by_pair_;           // those that were accepted
  std::vector<std::unique_ptr<Conn>> closed_;  // until the sinks are left
  std::vector<std::unique_ptr<Listening>> listening_, closed_listening_;
  std::deque<Stray> strays_;  // that new sockets had before they were told of
  std::vector<Out> out_;
  io::MessageBatch batch_, stray_batch_;
};

}  // namespace todd::lane
