#pragma once
// How a run reaches agents. The direct TLS link (coordinator/fleet) and the local worker of `todd try`
// implement it.

#include <cstdint>
#include <string>

namespace todd::v1 {
class Task;
class Ready;
class Failed;
class Record;
}  // namespace todd::v1

namespace todd::run {

// How well an agent's clock is known: offset of its wall clock from ours, and the bound of its error. All 0
// on the same host, and where nothing is known: worst_rtt_ns is of the exchanges by which the clocks were
// compared. Of an agent that is away: as last known. Known whenever on_record is called.
struct ClockQuality {
  int64_t offset_ns = 0;
  int64_t error_ns = 0;
  int64_t worst_rtt_ns = 0;
};

// All calls and callbacks on the coordinator's loop. Sends to an agent that is away are dropped: the run
// hears on_lost.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual bool connected(const std::string& agent) const = 0;
  virtual ClockQuality clock(const std::string& agent) const = 0;
  virtual void prepare(const std::string& agent, const v1::Task& task) = 0;
  virtual void start(const std::string& agent, const std::string& task,
                     int64_t at_wall_ns) = 0;  // our clock; converted here
  virtual void stop(const std::string& agent, const std::string& task, bool cancel) = 0;
  virtual void ack(const std::string& agent, const std::string& task, uint64_t seq) = 0;
};

// What comes back; implemented by run::Runs. agent is the agent's name.
class TransportEvents {
 public:
  virtual ~TransportEvents() = default;
  virtual void on_ready(const std::string& agent, const v1::Ready& ready) = 0;
  virtual void on_failed(const std::string& agent, const v1::Failed& failed) = 0;
  virtual void on_record(const std::string& agent,
                         const v1::Record& record) = 0;  // may repeat; ids make repeats harmless
  virtual void on_connected(const std::string& agent) = 0;
  virtual void on_lost(const std::string& agent) = 0;
};

}  // namespace todd::run
