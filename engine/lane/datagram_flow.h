#pragma once
// A flow of datagrams over ICMP or UDP: exchanges with matching and timeouts, plain sends, replies, received
// datagrams.

#include <array>
#include <memory>
#include <vector>

#include "engine/lane/exchange.h"
#include "engine/lane/flow.h"
#include "engine/lane/icmp.h"
#include "engine/lane/instance.h"
#include "engine/lane/peers.h"
#include "engine/lane/slot_queue.h"
#include "engine/lane/tx_correction.h"

namespace todd::lane {

class DatagramFlow : public Flow {
 public:
  // Opens the sockets the flow needs; flow.local_port is filled in. Errors are told as the testlet's open()
  // status.
  static todd_status open(Instance& owner, uint32_t index, todd_flow& flow, todd_error* error,
                          std::unique_ptr<DatagramFlow>& out);
  DatagramFlow* as_datagram() override { return this; }

  void run(const todd_op& op);               // SEND or EXCHANGE whose slot was taken
  void expire(int64_t now_ns, size_t most);  // at most so many completions
  void retry_blocked();
  void cancel_all();  // every exchange completes -ECANCELED
  void forget_ended() override;
  int64_t next_deadline();
  // How many more probes may be under way: entries of the table, and without a pace (`unpaced`) no more than
  // the socket's buffer holds replies to, for then nothing else spreads them.
  uint32_t tickets_ahead(uint32_t limit, bool unpaced) const;
  uint16_t local_port(int family) const override { return sides_[family == AF_INET6 ? 1 : 0].port; }
  uint32_t most_waiting() const { return table_.capacity(); }  // for answers at one time

 private:
  struct Out {  // one per slot: what is being sent from it
    todd_op op{};
    io::Address to{}, from{};
    uint16_t exchange = 0;
    bool has_from = false;
  };
  // One socket per address family.
  struct Side : io::DatagramSink {
    DatagramFlow* flow = nullptr;
    int family = 0;
    uint16_t ident = 0, port = 0;
    bool unchecked = false;  // nobody has verified the checksums of what it receives
    UniqueFd claim;          // of the ident, if it was chosen
    std::unique_ptr<io::DatagramSocket> socket;
    void on_sent(uint64_t cookie, int result, int64_t tx_ns) override {
      flow->sent(static_cast<uint32_t>(cookie), result, tx_ns);
    }
    void on_datagram(const io::DatagramIn& in) override { flow->received(*this, in); }
    void on_error(const io::DatagramError& error) override { flow->failed(*this, error); }
    void on_drops(uint64_t n) override { flow->owner_.add_drops(n); }
    void on_transmitted(const uint8_t* packet, uint32_t len, int64_t tx_wall_ns) override {
      flow->transmitted(*this, {packet, len}, tx_wall_ns);
    }
  };

  DatagramFlow(Instance& owner, uint32_t index, const todd_flow& flow, uint32_t slots);
  void add_socket(int family, UniqueFd fd, const io::DatagramOptions& options);
  todd_status open_icmp(todd_error* error);
  uint16_t wanted_ident() const;
  Status choose_ident(Side& side, int family, int fd);
  Status learn_ident(Side& side, int family, int fd);
  Result<UniqueFd> open_source(int family, uint16_t port, bool wish);
  todd_status open_udp(todd_flow& flow, todd_error* error);
  bool address_out(Out& out, const todd_op& op);
  void transmit(uint32_t slot);
  void sent(uint32_t slot, int result, int64_t tx_ns);
  void received(Side& side, const io::DatagramIn& in);
  void failed(Side& side, const io::DatagramError& error);
  void transmitted(Side& side, std::span<const uint8_t> packet, int64_t tx_wall_ns);
  Exchange* match(Side& side, const io::DatagramIn& in);
  // The exchange that these marks are of, if they prove it.
  Exchange* exchange_of(const Side& side, const Echo& echo);
  Exchange* exchange_quoted(const Echo& echo);
  Exchange* exchange_of(std::span<const uint8_t> udp_payload);
  bool worth_a_stamp();
  struct Times {
    int64_t tx_ns, rx_ns;
    uint8_t tx_src, rx_src;
  };
  Times times_of(const Exchange& e, const io::DatagramIn& in);
  void answer(Exchange& e, const io::DatagramIn& in);
  bool is_reply(const Exchange& e, const io::DatagramIn& in);
  void deliver(const io::DatagramIn& in);
  void icmp_error(Exchange& e, const todd_icmp_error& record);
  void end_unanswered(const Exchange& e, int result, const char* outcome, uint16_t flags = 0);

  Instance& owner_;
  uint32_t index_;
  todd_flow wanted_;
  ExchangeTable table_;
  std::array<Side, 2> sides_;
  std::vector<Out> out_;
  SlotQueue blocked_;  // slots waiting for room in the socket
  Peers peers_;
  std::vector<uint32_t> numbers_;  // probes so far, by target; empty unless samples are kept
  TxCorrection correction_;
  uint64_t draw_;                 // of the probes to be stamped
  uint32_t window_ = UINT32_MAX;  // replies that fit into the smallest socket buffer
};

}  // namespace todd::lane
